"""Pooling to a size that is asked for, whatever the input's: adaptive pooling, and pooling of whole planes.

    window i of m over an axis of n elements: from floor(i n / m) to ceil((i + 1) n / m)

So networks with a linear head take pictures of any size (He et al., ECCV 2014; Lin et al., ICLR 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from chainrule import ops
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import flag, refuse, tensor_input
from chainrule.nn._spatial import SpatialLayer, plain_sizes
from chainrule.nn.module import Module
from chainrule.ops import mean, reshape

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "GlobalAvgPool",
    "GlobalMaxPool",
]

Output = int | None | Sequence[int | None]


# ---------------------------------------------------------------------------------------------------- shared parts
class _Adaptive(SpatialLayer):
    function: Callable[..., Any]
    named = ("output_size",)

    def __init__(self, output_size: Output):
        super().__init__()
        n = self.axes
        sizes: tuple[Any, ...] = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * n
        whole = all(size is None or (type(size) is int and size >= 0) for size in sizes)
        if len(sizes) != n or not whole:
            many = f", or {n} of them" if n > 1 else ""
            raise ValueError(
                f"{type(self).__name__}.output_size must be an int >= 0 or None{many}; got {output_size!r}."
            )
        self.output_size = sizes

    def receptive_field(self, shape: Sequence[int]) -> Any:
        """Return "all", or the largest (window, stride) of each spatial axis for an input of a shape."""
        if all(size == 1 for size in self.output_size):
            return "all"
        found = []
        for n, size in zip(shape[-self.axes :], self.output_size, strict=True):
            m = n if size is None else size
            widths = (-(-(i + 1) * n // m) - i * n // m for i in range(m))
            found.append((max(widths, default=1), Fraction(n, m or 1)))
        return tuple(found)

    def _arguments(self) -> dict[str, Any]:
        return {"output_size": plain_sizes(self.output_size)}

    def forward(self, x: Tensor) -> Any:
        """Return one number per window."""
        return type(self).function(self._input(x), self.output_size)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Output, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = flag(type(self).__name__, "return_indices", return_indices)

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "return_indices": self.return_indices}

    def forward(self, x: Tensor) -> Any:
        """Return the largest element of each window; with `return_indices` also where it stood."""
        return type(self).function(self._input(x), self.output_size, self.return_indices)


def _planes(layer: Module, x: Any) -> Tensor:
    """Return [batch, channels, positions]."""
    x = tensor_input(layer, x)
    if x.ndim < 3:
        raise refuse(ShapeError, f"{layer} got {x.shape}; it needs [batch, channels, ...] with a spatial axis or more.")
    if 0 in x.shape[2:]:
        raise refuse(ShapeError, f"{layer} got {x.shape}, which has no positions to pool.")
    return reshape(x, (*x.shape[:2], math.prod(x.shape[2:])))


# ---------------------------------------------------------------------------------------------------- layers
class AdaptiveAvgPool1d(_Adaptive):
    """Mean pooling to a given size, over one axis.

        y[b, c, i] = mean of x[b, c, floor(i n / m) : ceil((i + 1) n / m)]

    Args:
        output_size: size of the axis of the output, >= 0; None keeps that of the input.
    Call:
        x: float tensor [batch, channels, length], or without the batch axis  ->  tensor
            [batch, channels, *output_size].
    Raises:
        ValueError: a size outside its range.
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AdaptiveAvgPool1d(1)
        >>> layer, layer(cr.zeros((2, 3, 8))).shape
        (AdaptiveAvgPool1d(output_size=1), (2, 3, 1))
    """

    axes = 1
    function = staticmethod(ops.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_Adaptive):
    """Mean pooling to a given size, over two axes.

        y[b, c, i] = mean of x[b, c, floor(i n / m) : ceil((i + 1) n / m)]

    Args:
        output_size: size of each axis of the output, >= 0, or 2 of them; None keeps that of the input.
    Call:
        x: float tensor [batch, channels, height, width], or without the batch axis  ->  tensor
            [batch, channels, *output_size].
    Raises:
        ValueError: a size outside its range.
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AdaptiveAvgPool2d(1)
        >>> layer, layer(cr.zeros((2, 3, 8, 8))).shape
        (AdaptiveAvgPool2d(output_size=1), (2, 3, 1, 1))
    """

    axes = 2
    function = staticmethod(ops.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_Adaptive):
    """Mean pooling to a given size, over three axes.

        y[b, c, i] = mean of x[b, c, floor(i n / m) : ceil((i + 1) n / m)]

    Args:
        output_size: size of each axis of the output, >= 0, or 3 of them; None keeps that of the input.
    Call:
        x: float tensor [batch, channels, depth, height, width], or without the batch axis  ->  tensor
            [batch, channels, *output_size].
    Raises:
        ValueError: a size outside its range.
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AdaptiveAvgPool3d(1)
        >>> layer, layer(cr.zeros((2, 3, 8, 8, 8))).shape
        (AdaptiveAvgPool3d(output_size=1), (2, 3, 1, 1, 1))
    """

    axes = 3
    function = staticmethod(ops.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Max pooling to a given size, over one axis.

        y[b, c, i] = max of x[b, c, floor(i n / m) : ceil((i + 1) n / m)]

    Args:
        output_size: size of the axis of the output, >= 0; None keeps that of the input.
        return_indices: whether the positions are returned too; default False.
    Call:
        x: real numeric tensor [batch, channels, length], or without the batch axis  ->  tensor
            [batch, channels, *output_size]; with `return_indices` also the flat position of each element in its plane,
            int64.
    Raises:
        ValueError: a size outside its range.
        ShapeError: another number of axes, or an axis without elements.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AdaptiveMaxPool1d(1)
        >>> layer, layer(cr.zeros((2, 3, 8))).shape
        (AdaptiveMaxPool1d(output_size=1), (2, 3, 1))
    """

    axes = 1
    function = staticmethod(ops.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Max pooling to a given size, over two axes.

        y[b, c, i] = max of x[b, c, floor(i n / m) : ceil((i + 1) n / m)]

    Args:
        output_size: size of each axis of the output, >= 0, or 2 of them; None keeps that of the input.
        return_indices: whether the positions are returned too; default False.
    Call:
        x: real numeric tensor [batch, channels, height, width], or without the batch axis  ->  tensor
            [batch, channels, *output_size]; with `return_indices` also the flat position of each element in its plane,
            int64.
    Raises:
        ValueError: a size outside its range.
        ShapeError: another number of axes, or an axis without elements.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AdaptiveMaxPool2d(1)
        >>> layer, layer(cr.zeros((2, 3, 8, 8))).shape
        (AdaptiveMaxPool2d(output_size=1), (2, 3, 1, 1))
    """

    axes = 2
    function = staticmethod(ops.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Max pooling to a given size, over three axes.

        y[b, c, i] = max of x[b, c, floor(i n / m) : ceil((i + 1) n / m)]

    Args:
        output_size: size of each axis of the output, >= 0, or 3 of them; None keeps that of the input.
        return_indices: whether the positions are returned too; default False.
    Call:
        x: real numeric tensor [batch, channels, depth, height, width], or without the batch axis  ->  tensor
            [batch, channels, *output_size]; with `return_indices` also the flat position of each element in its plane,
            int64.
    Raises:
        ValueError: a size outside its range.
        ShapeError: another number of axes, or an axis without elements.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AdaptiveMaxPool3d(1)
        >>> layer, layer(cr.zeros((2, 3, 8, 8, 8))).shape
        (AdaptiveMaxPool3d(output_size=1), (2, 3, 1, 1, 1))
    """

    axes = 3
    function = staticmethod(ops.adaptive_max_pool3d)


class GlobalAvgPool(Module):
    """The mean of each plane: one number per channel, whatever the size of the picture.

        y[b, c] = mean over p of x[b, c, p]

    Call:
        x: float tensor [batch, channels, ...] with one spatial axis or more  ->  tensor [batch, channels], without the
            axes of size 1 that `AdaptiveAvgPool2d(1)` leaves.
    Raises:
        ShapeError: fewer than three axes, or a plane without elements.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.GlobalAvgPool()(cr.ones((2, 3, 8, 8))).shape
        (2, 3)

    Source: Lin, Chen and Yan, ICLR 2014.
    """

    receptive_field = "all"

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of each plane."""
        planes = _planes(self, x)
        if not planes.dtype.is_float:
            raise refuse(DTypeError, f"{self} needs a float tensor; got {planes.dtype.name}: use .astype(cr.float32).")
        return mean(planes, 2)


class GlobalMaxPool(Module):
    """The largest element of each plane: one number per channel, whatever the size of the picture.

        y[b, c] = max over p of x[b, c, p]

    Call:
        x: real numeric tensor [batch, channels, ...] with one spatial axis or more  ->  tensor [batch, channels]. Of
            equal elements the first gets the gradient.
    Raises:
        ShapeError: fewer than three axes, or a plane without elements.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.GlobalMaxPool()(cr.ones((2, 3, 8, 8))).shape
        (2, 3)

    Source: Oquab et al., CVPR 2015.
    """

    receptive_field = "all"

    def forward(self, x: Tensor) -> Tensor:
        """Return the largest element of each plane."""
        planes = _planes(self, x)
        largest: Any = ops.max_pool1d(planes, planes.shape[2])
        return reshape(largest, planes.shape[:2])

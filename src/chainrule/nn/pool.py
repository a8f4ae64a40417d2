"""Max and min pooling over 1 to 3 spatial axes, and max pooling undone.

    y[b, c, p] = max over k of x[b, c, stride p + dilation k - padding]

Of equal elements the first gets the gradient, as in PyTorch. Means stand in `avg_pool.py`, pooling to a size that is
asked for in `adaptive.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule import ops
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import flag
from chainrule.nn._spatial import SpatialLayer, plain_sizes
from chainrule.ops._windows import half_at_most

__all__ = [
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "MinPool1d",
    "MinPool2d",
    "MinPool3d",
]

Sizes = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- shared parts
class PoolLayer(SpatialLayer):
    """What pooling layers share: window, step and border."""

    function: Callable[..., Any]
    dilation: tuple[int, ...] | None = None

    def _window(self, kernel_size: Sizes, stride: Sizes | None, padding: Sizes = 0, dilation: Sizes = 1) -> None:
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else self._sizes("stride", stride)
        self.padding = self._sizes("padding", padding, 0)
        spread = self._sizes("dilation", dilation)
        half_at_most(type(self).__name__, self.padding, self.kernel_size, spread)
        reach = tuple(step * (size - 1) + 1 for size, step in zip(self.kernel_size, spread, strict=True))
        self.receptive_field = tuple(zip(reach, self.stride, strict=True))

    def _arguments(self) -> dict[str, Any]:
        found = {key: plain_sizes(getattr(self, key)) for key in ("kernel_size", "stride", "padding")}
        if self.dilation is not None:
            found["dilation"] = plain_sizes(self.dilation)
        return {**found, "stride": None if self.stride == self.kernel_size else found["stride"]}


class _Extreme(PoolLayer):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self._window(kernel_size, stride, padding, dilation)
        self.dilation = self._sizes("dilation", dilation)
        self.return_indices = flag(type(self).__name__, "return_indices", return_indices)
        self.ceil_mode = flag(type(self).__name__, "ceil_mode", ceil_mode)

    def forward(self, x: Tensor) -> Any:
        """Return the chosen element of each window; with `return_indices` also where it stood."""
        settings = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        return type(self).function(self._input(x), *settings)


class _Unpool(PoolLayer):
    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0):
        super().__init__()
        self._window(kernel_size, stride, padding)
        self.receptive_field = None

    def forward(self, x: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return x put back where it came from, zeros elsewhere."""
        settings = (self.kernel_size, self.stride, self.padding, output_size)
        return type(self).function(self._input(x), indices, *settings)


# ---------------------------------------------------------------------------------------------------- layers
class MaxPool1d(_Extreme):
    """Pooling that keeps the largest element of each window, over one axis.

        y[b, c, p] = max over k of x[b, c, stride p + dilation k - padding]

    Args:
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window; default 0.
        dilation: step between the elements of a window, >= 1; default 1.
        return_indices: whether the positions are returned too; default False.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: real numeric tensor [batch, channels, length], or without the batch axis  ->  tensor
            [batch, channels, length]; with `return_indices` also the flat position of each
            element in its plane, int64.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.MaxPool1d(2)
        >>> layer, layer(cr.zeros((2, 3, 8))).shape
        (MaxPool1d(kernel_size=2), (2, 3, 4))
    """

    axes = 1
    function = staticmethod(ops.max_pool1d)


class MaxPool2d(_Extreme):
    """Pooling that keeps the largest element of each window, over two axes.

        y[b, c, p] = max over k of x[b, c, stride p + dilation k - padding]

    Args:
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window, or 2 ints; default 0.
        dilation: step between the elements of a window, >= 1, or 2 ints; default 1.
        return_indices: whether the positions are returned too; default False.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: real numeric tensor [batch, channels, height, width], or without the batch axis  ->  tensor
            [batch, channels, height, width]; with `return_indices` also the flat position of each
            element in its plane, int64.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.MaxPool2d(2)
        >>> layer, layer(cr.zeros((2, 3, 8, 8))).shape
        (MaxPool2d(kernel_size=2), (2, 3, 4, 4))
    """

    axes = 2
    function = staticmethod(ops.max_pool2d)


class MaxPool3d(_Extreme):
    """Pooling that keeps the largest element of each window, over three axes.

        y[b, c, p] = max over k of x[b, c, stride p + dilation k - padding]

    Args:
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window, or 3 ints; default 0.
        dilation: step between the elements of a window, >= 1, or 3 ints; default 1.
        return_indices: whether the positions are returned too; default False.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: real numeric tensor [batch, channels, depth, height, width], or without the batch axis  ->  tensor
            [batch, channels, depth, height, width]; with `return_indices` also the flat position of each
            element in its plane, int64.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.MaxPool3d(2)
        >>> layer, layer(cr.zeros((2, 3, 8, 8, 8))).shape
        (MaxPool3d(kernel_size=2), (2, 3, 4, 4, 4))
    """

    axes = 3
    function = staticmethod(ops.max_pool3d)


class MinPool1d(_Extreme):
    """Pooling that keeps the smallest element of each window, over one axis.

        y[b, c, p] = min over k of x[b, c, stride p + dilation k - padding]

    Args:
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window; default 0.
        dilation: step between the elements of a window, >= 1; default 1.
        return_indices: whether the positions are returned too; default False.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: real numeric tensor [batch, channels, length], or without the batch axis  ->  tensor
            [batch, channels, length]; with `return_indices` also the flat position of each
            element in its plane, int64.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.MinPool1d(2)
        >>> layer, layer(cr.zeros((2, 3, 8))).shape
        (MinPool1d(kernel_size=2), (2, 3, 4))
    """

    axes = 1
    function = staticmethod(ops.min_pool1d)


class MinPool2d(_Extreme):
    """Pooling that keeps the smallest element of each window, over two axes.

        y[b, c, p] = min over k of x[b, c, stride p + dilation k - padding]

    Args:
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window, or 2 ints; default 0.
        dilation: step between the elements of a window, >= 1, or 2 ints; default 1.
        return_indices: whether the positions are returned too; default False.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: real numeric tensor [batch, channels, height, width], or without the batch axis  ->  tensor
            [batch, channels, height, width]; with `return_indices` also the flat position of each
            element in its plane, int64.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.MinPool2d(2)
        >>> layer, layer(cr.zeros((2, 3, 8, 8))).shape
        (MinPool2d(kernel_size=2), (2, 3, 4, 4))
    """

    axes = 2
    function = staticmethod(ops.min_pool2d)


class MinPool3d(_Extreme):
    """Pooling that keeps the smallest element of each window, over three axes.

        y[b, c, p] = min over k of x[b, c, stride p + dilation k - padding]

    Args:
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window, or 3 ints; default 0.
        dilation: step between the elements of a window, >= 1, or 3 ints; default 1.
        return_indices: whether the positions are returned too; default False.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: real numeric tensor [batch, channels, depth, height, width], or without the batch axis  ->  tensor
            [batch, channels, depth, height, width]; with `return_indices` also the flat position of each
            element in its plane, int64.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.MinPool3d(2)
        >>> layer, layer(cr.zeros((2, 3, 8, 8, 8))).shape
        (MinPool3d(kernel_size=2), (2, 3, 4, 4, 4))
    """

    axes = 3
    function = staticmethod(ops.min_pool3d)


class MaxUnpool1d(_Unpool):
    """Max pooling undone in part, over one axis: each element goes back to its place, zeros stand elsewhere.

    Args:
        kernel_size: size of the window of the pooling, >= 1.
        stride: its step, >= 1; default the size of the window.
        padding: its border, >= 0; default 0.
    Call:
        x: tensor [batch, channels, length], or without the batch axis; indices: the positions that
            `MaxPool1d(..., return_indices=True)` gives; output_size: sizes of the result, where pooling rounded them
            down; default (n - 1) stride - 2 padding + kernel_size  ->  tensor [batch, channels, length].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: indices of another shape, or an output size that no pooling could have had.

    Example:
        >>> import chainrule as cr
        >>> x = cr.zeros((2, 3, 8))
        >>> y, places = cr.nn.MaxPool1d(2, return_indices=True)(x)
        >>> cr.nn.MaxUnpool1d(2)(y, places).shape == x.shape
        True
    """

    axes = 1
    function = staticmethod(ops.max_unpool1d)


class MaxUnpool2d(_Unpool):
    """Max pooling undone in part, over two axes: each element goes back to its place, zeros stand elsewhere.

    Args:
        kernel_size: size of the window of the pooling, >= 1, or 2 ints.
        stride: its step, >= 1, or 2 ints; default the size of the window.
        padding: its border, >= 0, or 2 ints; default 0.
    Call:
        x: tensor [batch, channels, height, width], or without the batch axis; indices: the positions that
            `MaxPool2d(..., return_indices=True)` gives; output_size: sizes of the result, where pooling rounded them
            down; default (n - 1) stride - 2 padding + kernel_size  ->  tensor [batch, channels, height, width].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: indices of another shape, or an output size that no pooling could have had.

    Example:
        >>> import chainrule as cr
        >>> x = cr.zeros((2, 3, 8, 8))
        >>> y, places = cr.nn.MaxPool2d(2, return_indices=True)(x)
        >>> cr.nn.MaxUnpool2d(2)(y, places).shape == x.shape
        True
    """

    axes = 2
    function = staticmethod(ops.max_unpool2d)


class MaxUnpool3d(_Unpool):
    """Max pooling undone in part, over three axes: each element goes back to its place, zeros stand elsewhere.

    Args:
        kernel_size: size of the window of the pooling, >= 1, or 3 ints.
        stride: its step, >= 1, or 3 ints; default the size of the window.
        padding: its border, >= 0, or 3 ints; default 0.
    Call:
        x: tensor [batch, channels, depth, height, width], or without the batch axis; indices: the positions that
            `MaxPool3d(..., return_indices=True)` gives; output_size: sizes of the result, where pooling rounded them
            down; default (n - 1) stride - 2 padding + kernel_size  ->  tensor [batch, channels, depth, height, width].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: indices of another shape, or an output size that no pooling could have had.

    Example:
        >>> import chainrule as cr
        >>> x = cr.zeros((2, 3, 8, 8, 8))
        >>> y, places = cr.nn.MaxPool3d(2, return_indices=True)(x)
        >>> cr.nn.MaxUnpool3d(2)(y, places).shape == x.shape
        True
    """

    axes = 3
    function = staticmethod(ops.max_unpool3d)

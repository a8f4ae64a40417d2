"""Normalisation without running statistics: over the last axes, over groups of channels, along the channels.

    LayerNorm, GroupNorm    y = (x - mean) / sqrt(var + eps) w + b       per sample
    RMSNorm                 y = x / sqrt(mean(x^2) + eps) w              per sample
    LocalResponseNorm       y_c = x_c / (k + alpha / size sum of neighbours x_c'^2)^beta

Train and eval mode are alike. What keeps running statistics stands in `norm.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Parameter, Tensor
from chainrule.nn import init
from chainrule.nn._axis_norms import local_response_norm
from chainrule.nn._checks import flag, float_dtype, integer, number, refuse, same_dtype, tensor_input
from chainrule.nn._norms import group_norm, layer_norm, rms_norm
from chainrule.nn.module import Module
from chainrule.ops import empty

__all__ = ["GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]


# ---------------------------------------------------------------------------------------------------- shared parts
class _Affine(Module):
    """Scale and shift, either of which may be absent."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(self, shape: tuple[int, ...], weight: bool, bias: bool, dtype: Any) -> None:
        kind = float_dtype(type(self).__name__, dtype)
        self.register_parameter("weight", Parameter(empty(shape, dtype=kind)) if weight else None)
        self.register_parameter("bias", Parameter(empty(shape, dtype=kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set scale 1 and shift 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _checked(self, x: Any) -> Tensor:
        x = tensor_input(self, x)
        if self.weight is not None:
            same_dtype(self, x, self.weight.dtype)
        return x

    def _dtype(self) -> str | None:
        name = "float32" if self.weight is None else self.weight.dtype.name
        return None if name == "float32" else name


class _LastAxes(_Affine):
    normalized_shape: tuple[int, ...]

    def _shape(self, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
        sizes = tuple(normalized_shape) if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
        if not sizes or any(type(size) is not int or size < 1 for size in sizes):
            raise ValueError(
                f"{type(self).__name__}.normalized_shape must be an int >= 1, or several; got {normalized_shape!r}."
            )
        return sizes

    def _checked(self, x: Any) -> Tensor:
        shape, n = tensor_input(self, x).shape, len(self.normalized_shape)
        if shape[-n:] != self.normalized_shape:
            raise refuse(ShapeError, f"{self} got {shape}; its last axes must be {self.normalized_shape}.")
        return super()._checked(x)


# ---------------------------------------------------------------------------------------------------- layers
class LayerNorm(_LastAxes):
    """Layer normalisation: mean 0 and variance 1 over the last axes of each sample.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        normalized_shape: sizes of the last axes, each >= 1; one int for the last alone.
        eps: added to the variance, mostly > 0; default 1e-5.
        elementwise_affine: whether there are scale w and shift b; default True.
        bias: whether there is a shift b beside w; default True.
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [..., *normalized_shape]  ->  tensor of the same shape.
    Attributes:
        weight: w, [*normalized_shape], ones at first; None without `elementwise_affine`.
        bias: b, [*normalized_shape], zeros at first; None without it.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: the input ends in other sizes.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.LayerNorm(8)
        >>> layer, layer(cr.ones((4, 5, 8))).shape
        (LayerNorm(8), (4, 5, 8))

    Source: Ba, Kiros and Hinton, arXiv 1607.06450.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__()
        self.normalized_shape = self._shape(normalized_shape)
        self.eps = number("LayerNorm", "eps", eps)
        self.elementwise_affine = flag("LayerNorm", "elementwise_affine", elementwise_affine)
        shift = flag("LayerNorm", "bias", bias) and elementwise_affine
        self._make(self.normalized_shape, elementwise_affine, shift, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised over its last axes."""
        return layer_norm(self._checked(x), self.normalized_shape, self.weight, self.bias, self.eps)

    def _arguments(self) -> dict[str, Any]:
        shape = self.normalized_shape
        return {
            "normalized_shape": shape[0] if len(shape) == 1 else shape,
            "bias": self.bias is not None or not self.elementwise_affine,
            "dtype": self._dtype(),
        }


class RMSNorm(_LastAxes):
    """Division by the root mean square over the last axes of each sample; the mean stays.

        y = x / sqrt(mean(x^2) + eps) w

    Args:
        normalized_shape: sizes of the last axes, each >= 1; one int for the last alone.
        eps: added to the mean square; default the gap between 1 and the next number of the dtype.
        elementwise_affine: whether there is a scale w; default True.
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [..., *normalized_shape]  ->  tensor of the same shape.
    Attributes:
        weight: w, [*normalized_shape], ones at first; None without `elementwise_affine`.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: the input ends in other sizes.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.RMSNorm(8)
        >>> layer, layer(cr.ones((4, 5, 8))).shape
        (RMSNorm(8), (4, 5, 8))

    Source: Zhang and Sennrich, NeurIPS 2019.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
    ):
        super().__init__()
        self.normalized_shape = self._shape(normalized_shape)
        self.eps = None if eps is None else number("RMSNorm", "eps", eps)
        self.elementwise_affine = flag("RMSNorm", "elementwise_affine", elementwise_affine)
        self._make(self.normalized_shape, elementwise_affine, False, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return x divided by its root mean square."""
        return rms_norm(self._checked(x), self.normalized_shape, self.weight, self.eps)

    def _arguments(self) -> dict[str, Any]:
        shape = self.normalized_shape
        return {"normalized_shape": shape[0] if len(shape) == 1 else shape, "dtype": self._dtype()}


class GroupNorm(_Affine):
    """Group normalisation: mean 0 and variance 1 over each group of channels of each sample.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        num_groups: number of groups, >= 1; it divides the channels.
        num_channels: number of channels, >= 1.
        eps: added to the variance, mostly > 0; default 1e-5.
        affine: whether there are scale w and shift b; default True.
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [batch, channels, ...]  ->  tensor of the same shape.
    Attributes:
        weight: w, [num_channels], ones at first; None without `affine`.
        bias: b, [num_channels], zeros at first; None without `affine`.
    Raises:
        ValueError: a setting outside its range, or groups that do not divide the channels.
        ShapeError: fewer than two axes, or another number of channels.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.GroupNorm(2, 6)
        >>> layer, layer(cr.ones((4, 6, 8, 8))).shape
        (GroupNorm(2, 6), (4, 6, 8, 8))

    Source: Wu and He, ECCV 2018.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, dtype: Any = None):
        super().__init__()
        self.num_groups = integer("GroupNorm", "num_groups", num_groups)
        self.num_channels = integer("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm.num_groups must divide num_channels; got {num_groups} groups for {num_channels} channels."
            )
        self.eps = number("GroupNorm", "eps", eps)
        self.affine = flag("GroupNorm", "affine", affine)
        self._make((num_channels,), affine, affine, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised per group."""
        x = self._checked(x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise refuse(ShapeError, f"{self} got {x.shape}; it needs [batch, {self.num_channels}, ...].")
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def _arguments(self) -> dict[str, Any]:
        return {"dtype": self._dtype()}


class LocalResponseNorm(Module):
    """Division by the strength of neighbouring channels, as in AlexNet and GoogLeNet.

        y_c = x_c / (k + alpha / size sum over |c' - c| <= size / 2 of x_c'^2)^beta

    Args:
        size: number of neighbouring channels, >= 1.
        alpha: factor of the squares; default 1e-4.
        beta: exponent; default 0.75.
        k: added to the squares; default 1.
    Call:
        x: float tensor [batch, channels, ...] with one spatial axis or more  ->  tensor of the same shape.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: fewer than three axes.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.LocalResponseNorm(5)
        >>> layer, layer(cr.ones((2, 8, 4, 4))).shape
        (LocalResponseNorm(5), (2, 8, 4, 4))

    Source: Krizhevsky, Sutskever and Hinton, NIPS 2012; there the sum is not divided by size.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = integer("LocalResponseNorm", "size", size)
        self.alpha = number("LocalResponseNorm", "alpha", alpha)
        self.beta = number("LocalResponseNorm", "beta", beta)
        self.k = number("LocalResponseNorm", "k", k)

    def forward(self, x: Tensor) -> Tensor:
        """Return x divided by the strength of its neighbours."""
        return local_response_norm(tensor_input(self, x), self.size, self.alpha, self.beta, self.k)

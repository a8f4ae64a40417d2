"""Pooling by means: average pooling and power pooling over 1 to 3 spatial axes.

AvgPool   y = mean of the window
LPPool    y = (sum of x^p over the window)^(1/p)
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule import ops
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import flag, number
from chainrule.nn.pool import PoolLayer

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
]

Sizes = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- shared parts
class _Average(PoolLayer):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__()
        self._window(kernel_size, stride, padding)
        self.ceil_mode = flag(type(self).__name__, "ceil_mode", ceil_mode)
        self.count_include_pad = flag(type(self).__name__, "count_include_pad", count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of each window."""
        settings = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return type(self).function(self._input(x), *settings)


class _DividedAverage(_Average):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        if divisor_override is not None and (
            not isinstance(divisor_override, int) or isinstance(divisor_override, bool) or divisor_override == 0
        ):
            raise ValueError(
                f"{type(self).__name__}.divisor_override must be an int other than 0, or None; got "
                f"{divisor_override!r}."
            )
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of each window."""
        settings = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return type(self).function(self._input(x), *settings, self.divisor_override)


class _Power(PoolLayer):
    def __init__(self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False):
        super().__init__()
        owner = type(self).__name__
        if number(owner, "norm_type", norm_type) == 0:
            raise ValueError(f"{owner}.norm_type must be a number other than 0; got {norm_type!r}.")
        self.norm_type = norm_type
        self._window(kernel_size, stride)
        self.ceil_mode = flag(owner, "ceil_mode", ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Return the norm of each window."""
        return type(self).function(self._input(x), self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


# ---------------------------------------------------------------------------------------------------- layers
class AvgPool1d(_Average):
    """Pooling that takes the mean of each window, over one axis.

        y[b, c, p] = mean over k of x[b, c, stride p + k - padding]

    Args:
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        padding: zeros on both sides, at most half the window; default 0.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        count_include_pad: whether the zeros of the border count in the mean; default True.
    Call:
        x: float tensor [batch, channels, length], or without the batch axis  ->  tensor
            [batch, channels, length].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AvgPool1d(2)
        >>> layer, layer(cr.zeros((2, 3, 8))).shape
        (AvgPool1d(kernel_size=2), (2, 3, 4))
    """

    axes = 1
    function = staticmethod(ops.avg_pool1d)


class AvgPool2d(_DividedAverage):
    """Pooling that takes the mean of each window, over two axes.

        y[b, c, p] = mean over k of x[b, c, stride p + k - padding]

    Args:
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        padding: zeros on both sides, at most half the window, or 2 ints; default 0.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        count_include_pad: whether the zeros of the border count in the mean; default True.
        divisor_override: what the sum is divided by, not 0; default the number of elements.
    Call:
        x: float tensor [batch, channels, height, width], or without the batch axis  ->  tensor
            [batch, channels, height, width].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AvgPool2d(2)
        >>> layer, layer(cr.zeros((2, 3, 8, 8))).shape
        (AvgPool2d(kernel_size=2), (2, 3, 4, 4))
    """

    axes = 2
    function = staticmethod(ops.avg_pool2d)


class AvgPool3d(_DividedAverage):
    """Pooling that takes the mean of each window, over three axes.

        y[b, c, p] = mean over k of x[b, c, stride p + k - padding]

    Args:
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        padding: zeros on both sides, at most half the window, or 3 ints; default 0.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        count_include_pad: whether the zeros of the border count in the mean; default True.
        divisor_override: what the sum is divided by, not 0; default the number of elements.
    Call:
        x: float tensor [batch, channels, depth, height, width], or without the batch axis  ->  tensor
            [batch, channels, depth, height, width].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.AvgPool3d(2)
        >>> layer, layer(cr.zeros((2, 3, 8, 8, 8))).shape
        (AvgPool3d(kernel_size=2), (2, 3, 4, 4, 4))
    """

    axes = 3
    function = staticmethod(ops.avg_pool3d)


class LPPool1d(_Power):
    """Pooling that takes the p-norm of each window, over one axis: p = 1 is the sum, large p close to the maximum.

        y[b, c, i] = (sum over k of x[b, c, stride i + k]^p)^(1/p)

    Args:
        norm_type: the exponent p, not 0.
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: float tensor [batch, channels, length], or without the batch axis  ->  tensor
            [batch, channels, length].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the input.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.LPPool1d(2, 2)
        >>> layer, layer(cr.zeros((2, 3, 8))).shape
        (LPPool1d(2, kernel_size=2), (2, 3, 4))
    """

    axes = 1
    function = staticmethod(ops.lp_pool1d)


class LPPool2d(_Power):
    """Pooling that takes the p-norm of each window, over two axes: p = 1 is the sum, large p close to the maximum.

        y[b, c, i] = (sum over k of x[b, c, stride i + k]^p)^(1/p)

    Args:
        norm_type: the exponent p, not 0.
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: float tensor [batch, channels, height, width], or without the batch axis  ->  tensor
            [batch, channels, height, width].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the input.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.LPPool2d(2, 2)
        >>> layer, layer(cr.zeros((2, 3, 8, 8))).shape
        (LPPool2d(2, kernel_size=2), (2, 3, 4, 4))
    """

    axes = 2
    function = staticmethod(ops.lp_pool2d)


class LPPool3d(_Power):
    """Pooling that takes the p-norm of each window, over three axes: p = 1 is the sum, large p close to the maximum.

        y[b, c, i] = (sum over k of x[b, c, stride i + k]^p)^(1/p)

    Args:
        norm_type: the exponent p, not 0.
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
    Call:
        x: float tensor [batch, channels, depth, height, width], or without the batch axis  ->  tensor
            [batch, channels, depth, height, width].
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes, or a window larger than the input.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.LPPool3d(2, 2)
        >>> layer, layer(cr.zeros((2, 3, 8, 8, 8))).shape
        (LPPool3d(2, kernel_size=2), (2, 3, 4, 4, 4))
    """

    axes = 3
    function = staticmethod(ops.lp_pool3d)

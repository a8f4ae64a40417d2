"""Means and p-norms of windows: average pooling and power-average pooling over 1 to 3 axes.

    avg_pool   y[b, c, p] = sum over k of x[b, c, stride p + k - padding] / divisor
    lp_pool    y[b, c, p] = (sum over k of x[b, c, stride p + k]^p)^(1/p)

The divisor is the number of elements of the window: with its padding (`count_include_pad`) or without, and in
`ceil_mode` never with what lies beyond the padding. It depends on shapes alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import constant
from chainrule.ops._pooling import window_sum_p
from chainrule.ops._windows import SPATIAL, Pads, Sizes, batched, fail, half_at_most, per_axis, pooled, without_batch
from chainrule.ops.powers import pow
from chainrule.ops.selection import where
from chainrule.ops.slices import pad_p

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
]

Setting = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- shared parts
def _float_input(name: str, input: Tensor, n: int) -> tuple[Tensor, bool]:
    x, added = batched(name, input, n, SPATIAL[n])
    if not x.dtype.is_float:
        raise fail(DTypeError, f"{name} needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    return x, added


def _sums(x: Tensor, size: Sizes, stride: Sizes, borders: Pads) -> Tensor:
    """Return the sum of each window."""
    lead = (0,) * (x.ndim - len(size))
    if any(map(any, borders)):
        low, high = zip(*borders)
        x = bind(pad_p, x, low=(*lead, *low), high=(*lead, *high), interior=(0,) * x.ndim)
    return bind(window_sum_p, x, size=size, stride=stride, dilation=(1,) * len(size))


def _divisor(
    shape: Sizes, count: Sizes, size: Sizes, stride: Sizes, padding: Sizes, count_include_pad: bool
) -> np.ndarray:
    """Return the number of elements of each window, [*count]."""
    rows = []
    for n, c, k, s, p in zip(shape, count, size, stride, padding):
        start = np.arange(c) * s - p
        limit = np.minimum(start + k, n + p)  # never beyond the padding
        rows.append(limit - start if count_include_pad else np.minimum(limit, n) - np.maximum(start, 0))
    return functools.reduce(np.multiply.outer, rows)


def _avg_pool(
    name: str,
    n: int,
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None,
    padding: Setting,
    ceil_mode: bool,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    x, added = _float_input(name, input, n)
    size = per_axis(name, "kernel_size", kernel_size, n)
    steps = size if stride is None or stride == () else per_axis(name, "stride", stride, n)
    pads = per_axis(name, "padding", padding, n, 0)
    half_at_most(name, pads, size, (1,) * n)
    if divisor_override is not None and (not isinstance(divisor_override, int) or divisor_override == 0):
        raise ValueError(f"{name}.divisor_override must be an int other than 0; got {divisor_override!r}.")
    count, borders = pooled(name, x.shape, size, steps, pads, (1,) * n, ceil_mode)
    y = _sums(x, size, steps, borders)
    if divisor_override is not None:
        return without_batch(y / divisor_override, added)
    divisor = _divisor(x.shape[2:], count, size, steps, pads, count_include_pad)
    same = divisor.size == 0 or (divisor == divisor.flat[0]).all()
    y = y / float(divisor.flat[0] if divisor.size else 1) if same else y / constant(divisor.astype(x.dtype.numpy))
    return without_batch(y, added)


def _lp_pool(
    n: int, input: Tensor, norm_type: float, kernel_size: Setting, stride: Setting | None, ceil_mode: bool
) -> Tensor:
    name = f"lp_pool{n}d"
    if not isinstance(norm_type, int | float) or isinstance(norm_type, bool) or norm_type == 0:
        raise ValueError(f"{name}.norm_type must be a number other than 0; got {norm_type!r}.")
    x, added = _float_input(name, input, n)
    size = per_axis(name, "kernel_size", kernel_size, n)
    powers = without_batch(pow(x, norm_type), added)
    total = _avg_pool(name, n, powers, size, stride, 0, ceil_mode) * float(math.prod(size))
    zero = total == 0.0  # the slope of the root is infinite there; 0 is chosen
    return where(zero, 0.0, pow(where(zero, 1.0, total), 1.0 / norm_type))


# ---------------------------------------------------------------------------------------------------- functions
def avg_pool1d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of each window of length.

        y[b, c, p] = sum over k of x[b, c, stride p + k - padding] / divisor

    Args:
        input: float tensor [batch, channels, length], or without the batch axis.
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        padding: zeros on both sides, at most half the window; default 0.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        count_include_pad: whether the divisor counts the zeros of the padding; default True.

    Returns:
        Tensor [batch, channels, length].

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: not a float tensor.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.avg_pool1d(cr.ones((2, 3, 6)), 2).shape
        (2, 3, 3)
    """
    name = "avg_pool1d"
    return _avg_pool(name, 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window of height, width.

        y[b, c, p] = sum over k of x[b, c, stride p + k - padding] / divisor

    Args:
        input: float tensor [batch, channels, height, width], or without the batch axis.
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        padding: zeros on both sides, at most half the window, or 2 ints; default 0.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        count_include_pad: whether the divisor counts the zeros of the padding; default True.
        divisor_override: divisor of every window, not 0; default the number of its elements.

    Returns:
        Tensor [batch, channels, height, width].

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: not a float tensor.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.avg_pool2d(cr.ones((2, 3, 6, 6)), 2).shape
        (2, 3, 3, 3)
    """
    name = "avg_pool2d"
    return _avg_pool(name, 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window of depth, height, width.

        y[b, c, p] = sum over k of x[b, c, stride p + k - padding] / divisor

    Args:
        input: float tensor [batch, channels, depth, height, width], or without the batch axis.
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        padding: zeros on both sides, at most half the window, or 3 ints; default 0.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        count_include_pad: whether the divisor counts the zeros of the padding; default True.
        divisor_override: divisor of every window, not 0; default the number of its elements.

    Returns:
        Tensor [batch, channels, depth, height, width].

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: not a float tensor.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.avg_pool3d(cr.ones((2, 3, 6, 6, 6)), 2).shape
        (2, 3, 3, 3, 3)
    """
    name = "avg_pool3d"
    return _avg_pool(name, 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Setting,
    stride: Setting | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window of length, for elements >= 0 or an even p.

        y[b, c, p] = (sum over k of x[b, c, stride p + k]^norm_type)^(1 / norm_type)

    Args:
        input: float tensor [batch, channels, length], or without the batch axis.
        norm_type: the power; 1 gives the sum; not 0.
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        ceil_mode: whether a last window that reaches beyond the input counts; default False.

    Returns:
        Tensor [batch, channels, length]; where the sum is 0 it is 0, with gradient 0.

    Raises:
        ShapeError: another number of axes, or a window larger than the input.
        DTypeError: not a float tensor.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.lp_pool1d(cr.ones((2, 3, 6)), 2, 2).shape
        (2, 3, 3)
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Setting,
    stride: Setting | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window of height, width, for elements >= 0 or an even p.

        y[b, c, p] = (sum over k of x[b, c, stride p + k]^norm_type)^(1 / norm_type)

    Args:
        input: float tensor [batch, channels, height, width], or without the batch axis.
        norm_type: the power; 1 gives the sum; not 0.
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        ceil_mode: whether a last window that reaches beyond the input counts; default False.

    Returns:
        Tensor [batch, channels, height, width]; where the sum is 0 it is 0, with gradient 0.

    Raises:
        ShapeError: another number of axes, or a window larger than the input.
        DTypeError: not a float tensor.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.lp_pool2d(cr.ones((2, 3, 6, 6)), 2, 2).shape
        (2, 3, 3, 3)
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Setting,
    stride: Setting | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window of depth, height, width, for elements >= 0 or an even p.

        y[b, c, p] = (sum over k of x[b, c, stride p + k]^norm_type)^(1 / norm_type)

    Args:
        input: float tensor [batch, channels, depth, height, width], or without the batch axis.
        norm_type: the power; 1 gives the sum; not 0.
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        ceil_mode: whether a last window that reaches beyond the input counts; default False.

    Returns:
        Tensor [batch, channels, depth, height, width]; where the sum is 0 it is 0, with gradient 0.

    Raises:
        ShapeError: another number of axes, or a window larger than the input.
        DTypeError: not a float tensor.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.lp_pool3d(cr.ones((2, 3, 6, 6, 6)), 2, 2).shape
        (2, 3, 3, 3, 3)
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)

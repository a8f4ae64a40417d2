"""The largest or smallest element of each window: max pooling and min pooling over 1 to 3 axes.

    y[b, c, p] = max over k of x[b, c, stride p + dilation k - padding]

The gradient goes to the first largest element of a window alone, as in PyTorch. The position of that element is found
first (`window_argmax`), and the value is taken there, so derivatives of every order follow. Padding is never the
largest; with `ceil_mode` the last window may reach beyond the border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule.core.bind import bind
from chainrule.core.tensor import Tensor
from chainrule.ops._along import take_along
from chainrule.ops._pooling import window_argmax_p
from chainrule.ops._window_picks import window_pick_p
from chainrule.ops._windows import SPATIAL, batched, half_at_most, per_axis, pooled, without_batch
from chainrule.ops.shape import reshape

__all__ = [
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "min_pool1d",
    "min_pool2d",
    "min_pool3d",
]

Setting = int | Sequence[int]
Pooled = Tensor | tuple[Tensor, Tensor]


# ---------------------------------------------------------------------------------------------------- shared parts
def _max_pool(
    name: str,
    n: int,
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None,
    padding: Setting,
    dilation: Setting,
    ceil_mode: bool,
    return_indices: bool,
    sign: int = 1,
) -> Pooled:
    x, added = batched(name, input, n, SPATIAL[n])
    size = per_axis(name, "kernel_size", kernel_size, n)
    steps = size if stride is None or stride == () else per_axis(name, "stride", stride, n)
    pads, spread = per_axis(name, "padding", padding, n, 0), per_axis(name, "dilation", dilation, n)
    half_at_most(name, pads, size, spread)
    _, borders = pooled(name, x.shape, size, steps, pads, spread, ceil_mode)
    ranked = x.detach() if sign > 0 else -x.detach()
    how = {"size": size, "stride": steps, "padding": borders, "dilation": spread}
    places = bind(window_argmax_p, ranked, **how)
    y = without_batch(bind(window_pick_p, x, places, **how), added)
    return (y, without_batch(places, added)) if return_indices else y


def pick_in_plane(x: Tensor, places: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the elements of x at flat positions in the plane of its last n axes, and these positions."""
    lead, count = x.shape[:-n], places.shape[-n:]
    flat = reshape(x, (*lead, math.prod(x.shape[-n:])))
    y = take_along(flat, reshape(places, (*lead, math.prod(count))), len(lead))
    return reshape(y, (*lead, *count)), places


# ---------------------------------------------------------------------------------------------------- functions
def max_pool1d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    dilation: Setting = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the largest element of each window of length; of equal ones the first gets the gradient.

        y[b, c, p] = max over k of x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, channels, length], or without the batch axis.
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window; default 0.
        dilation: step between the elements of a window, >= 1; default 1.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, length]; with `return_indices` also the flat
        position of each element in its plane, int64. NaN counts as the largest.

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.max_pool1d(cr.ones((2, 3, 6)), 2).shape
        (2, 3, 3)
    """
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    dilation: Setting = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the largest element of each window of height, width; of equal ones the first gets the gradient.

        y[b, c, p] = max over k of x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, channels, height, width], or without the batch axis.
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window, or 2 ints; default 0.
        dilation: step between the elements of a window, >= 1, or 2 ints; default 1.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, height, width]; with `return_indices` also the flat
        position of each element in its plane, int64. NaN counts as the largest.

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.max_pool2d(cr.ones((2, 3, 6, 6)), 2).shape
        (2, 3, 3, 3)
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    dilation: Setting = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the largest element of each window of depth, height, width; of equal ones the first gets the gradient.

        y[b, c, p] = max over k of x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, channels, depth, height, width], or without the batch axis.
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window, or 3 ints; default 0.
        dilation: step between the elements of a window, >= 1, or 3 ints; default 1.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, depth, height, width]; with `return_indices` also the flat
        position of each element in its plane, int64. NaN counts as the largest.

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.max_pool3d(cr.ones((2, 3, 6, 6, 6)), 2).shape
        (2, 3, 3, 3, 3)
    """
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def min_pool1d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    dilation: Setting = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the smallest element of each window of length; of equal ones the first gets the gradient.

        y[b, c, p] = min over k of x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, channels, length], or without the batch axis.
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window; default 0.
        dilation: step between the elements of a window, >= 1; default 1.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, length]; with `return_indices` also the flat
        position of each element in its plane, int64. NaN counts as the smallest.

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.min_pool1d(cr.ones((2, 3, 6)), 2).shape
        (2, 3, 3)
    """
    return _max_pool("min_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, -1)


def min_pool2d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    dilation: Setting = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the smallest element of each window of height, width; of equal ones the first gets the gradient.

        y[b, c, p] = min over k of x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, channels, height, width], or without the batch axis.
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window, or 2 ints; default 0.
        dilation: step between the elements of a window, >= 1, or 2 ints; default 1.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, height, width]; with `return_indices` also the flat
        position of each element in its plane, int64. NaN counts as the smallest.

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.min_pool2d(cr.ones((2, 3, 6, 6)), 2).shape
        (2, 3, 3, 3)
    """
    return _max_pool("min_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, -1)


def min_pool3d(
    input: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    dilation: Setting = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the smallest element of each window of depth, height, width; of equal ones the first gets the gradient.

        y[b, c, p] = min over k of x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, channels, depth, height, width], or without the batch axis.
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        padding: border on both sides that is never chosen, at most half the window, or 3 ints; default 0.
        dilation: step between the elements of a window, >= 1, or 3 ints; default 1.
        ceil_mode: whether a last window that reaches beyond the border counts; default False.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, depth, height, width]; with `return_indices` also the flat
        position of each element in its plane, int64. NaN counts as the smallest.

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.min_pool3d(cr.ones((2, 3, 6, 6, 6)), 2).shape
        (2, 3, 3, 3, 3)
    """
    return _max_pool("min_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, -1)

"""Windows as tensors: sliding windows over any axes, and unfold and fold of images.

sliding_window   y[..., p, ..., k] = x[..., stride p + k, ...]                                    a view of x
unfold           columns [channels * kernel, windows], so that a convolution is a matrix product
fold             their overlapping sum: the transpose of unfold
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axis_index
from chainrule.ops._pooling import overlap_add_p, windows_p
from chainrule.ops._windows import SPATIAL, batched, counts, fail, fitting, per_axis, symmetric, without_batch
from chainrule.ops.shape import permute_dims, reshape
from chainrule.ops.slices import narrow, pad_p

__all__ = ["fold", "sliding_window", "unfold"]

Setting = int | Sequence[int]


def sliding_window(
    x: Tensor, size: Setting, stride: Setting = 1, axis: Setting = -1, *, dilation: Setting = 1
) -> Tensor:
    """Return all windows along one or several axes.

        y[..., p, ..., k] = x[..., stride p + dilation k, ...]

    Args:
        x: tensor of any dtype.
        size: size of the window, >= 1, one per axis or one for all.
        stride: step between windows, >= 1; default 1.
        axis: the axes along which the window slides; default the last.
        dilation: step between the elements of a window, >= 1; default 1.

    Returns:
        Tensor in which each such axis counts windows, with the axes of the window behind all others.

    Raises:
        ShapeError: a window is larger than its axis, or an axis is given twice.
        IndexRangeError: the axis does not exist.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.sliding_window(cr.arange(5), 3, 2)
        tensor([[0, 1, 2],
                [2, 3, 4]], shape=(2, 3), dtype=int64)
    """
    x = as_tensor(x)
    given = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(axis_index(a, x.ndim, "sliding_window") for a in given)
    if len(set(axes)) != len(axes):
        raise fail(ShapeError, f"sliding_window: an axis is given twice in {given}.")
    n = len(axes)
    settings = {
        "size": per_axis("sliding_window", "size", size, n),
        "stride": per_axis("sliding_window", "stride", stride, n),
        "dilation": per_axis("sliding_window", "dilation", dilation, n),
    }
    others = tuple(a for a in range(x.ndim) if a not in axes)
    y = bind(windows_p, permute_dims(x, others + axes), **settings)  # [*others, *windows, *size]
    order = [0] * x.ndim
    for position, a in enumerate(others + axes):
        order[a] = position
    return permute_dims(y, (*order, *range(x.ndim, x.ndim + n)))


def unfold(
    input: Tensor, kernel_size: Setting, dilation: Setting = 1, padding: Setting = 0, stride: Setting = 1
) -> Tensor:
    """Return the windows of images as columns ("im2col").

        y[b, (c, k), p] = x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, channels, height, width], or without the batch axis.
        kernel_size: size of the window, >= 1, or 2 ints.
        dilation: step between the elements of a window, >= 1, or 2 ints; default 1.
        padding: zeros on both sides, >= 0, or 2 ints; default 0.
        stride: step between windows, >= 1, or 2 ints; default 1.

    Returns:
        Tensor [batch, channels * kernel, windows].

    Raises:
        ShapeError: another number of axes, or a window larger than the padded input.
        DTypeError: bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.unfold(cr.ones((2, 3, 5, 5)), 3).shape
        (2, 27, 9)
    """
    x, added = batched("unfold", input, 2, SPATIAL[2])
    size, spread, pads, steps = _settings("unfold", kernel_size, dilation, padding, stride)
    fitting("unfold", x.shape, size, steps, symmetric(pads), spread)
    if any(pads):
        x = bind(pad_p, x, low=(0, 0, *pads), high=(0, 0, *pads), interior=(0,) * 4)
    y = bind(windows_p, x, size=size, stride=steps, dilation=spread)  # [batch, channels, h, w, kh, kw]
    batch, channels, *count = y.shape[:4]
    columns = reshape(permute_dims(y, (0, 1, 4, 5, 2, 3)), (batch, channels * math.prod(size), math.prod(count)))
    return without_batch(columns, added)


def fold(
    input: Tensor,
    output_size: Setting,
    kernel_size: Setting,
    dilation: Setting = 1,
    padding: Setting = 0,
    stride: Setting = 1,
) -> Tensor:
    """Return images from the columns of their windows; where windows overlap, they add up: the transpose of unfold.

        x[b, c, stride p + dilation k - padding] += y[b, (c, k), p]

    Args:
        input: numeric tensor [batch, channels * kernel, windows], or without the batch axis.
        output_size: height and width of the images, one int for both or 2.
        kernel_size: size of the window, >= 1, or 2 ints.
        dilation: step between the elements of a window, >= 1, or 2 ints; default 1.
        padding: border that is cut off, >= 0, or 2 ints; default 0.
        stride: step between windows, >= 1, or 2 ints; default 1.

    Returns:
        Tensor [batch, channels, height, width].

    Raises:
        ShapeError: the columns are not those of such an image.
        DTypeError: bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.fold(cr.unfold(cr.ones((1, 1, 3, 3)), 2), 3, 2)[0, 0]
        tensor([[1., 2., 1.],
                [2., 4., 2.],
                [1., 2., 1.]], shape=(3, 3), dtype=float32)
    """
    x = as_tensor(input)
    if x.dtype.kind == "bool":
        raise fail(DTypeError, "fold needs a numeric tensor; got bool: use .astype(cr.float32).")
    if x.ndim not in (2, 3):
        raise fail(
            ShapeError,
            "fold needs an input [batch, channels * kernel, windows] or [channels * kernel, windows]; "
            f"got the shape {x.shape}.",
        )
    added = x.ndim == 2
    x = reshape(x, (1, *x.shape)) if added else x
    size, spread, pads, steps = _settings("fold", kernel_size, dilation, padding, stride)
    plane = per_axis("fold", "output_size", output_size, 2)
    count = counts(plane, size, steps, symmetric(pads), spread)
    if x.shape[1] % math.prod(size) or x.shape[2] != math.prod(count) or min(count) < 1:
        raise fail(
            ShapeError,
            f"fold: the input is {x.shape}; an image {plane} with windows of {size} needs a multiple of "
            f"{math.prod(size)} rows and {math.prod(max(c, 0) for c in count)} columns.",
        )
    channels = x.shape[1] // math.prod(size)
    windows = permute_dims(reshape(x, (x.shape[0], channels, *size, *count)), (0, 1, 4, 5, 2, 3))
    bordered = tuple(n + 2 * p for n, p in zip(plane, pads))
    y = bind(overlap_add_p, windows, shape=bordered, stride=steps, dilation=spread)
    for axis, (n, p) in enumerate(zip(plane, pads), 2):
        y = narrow(y, axis, p, p + n)
    return without_batch(y, added)


def _settings(name: str, kernel_size: Setting, dilation: Setting, padding: Setting, stride: Setting) -> tuple:
    """Return size, dilation, padding and stride per axis."""
    size, spread = per_axis(name, "kernel_size", kernel_size, 2), per_axis(name, "dilation", dilation, 2)
    return size, spread, per_axis(name, "padding", padding, 2, 0), per_axis(name, "stride", stride, 2)

"""Max unpooling over 1 to 3 axes: pooled elements go back where they came from, and everything else is 0.

It is no inverse, as what was not the largest is lost; decoders use it beside an encoder that pools (`return_indices`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule.core.bind import bind
from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor
from chainrule.ops._windows import SPATIAL, batched, fail, per_axis, without_batch
from chainrule.ops.creation import arange, zeros
from chainrule.ops.gather import index_rows, integer_indices, scatter_set_p
from chainrule.ops.shape import reshape

__all__ = ["max_unpool1d", "max_unpool2d", "max_unpool3d"]

Setting = int | Sequence[int]


def _max_unpool(
    n: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Setting,
    stride: Setting | None,
    padding: Setting,
    output_size: Sequence[int] | None,
) -> Tensor:
    name = f"max_unpool{n}d"
    x, added = batched(name, input, n, SPATIAL[n])
    places = integer_indices(indices, name)
    if places.shape != as_tensor(input).shape:
        raise fail(
            ShapeError,
            f"{name}: the input is {as_tensor(input).shape} and the indices {places.shape}; they must be equal.",
        )
    size = per_axis(name, "kernel_size", kernel_size, n)
    steps = size if stride is None or stride == () else per_axis(name, "stride", stride, n)
    pads = per_axis(name, "padding", padding, n, 0)
    plane = tuple((m - 1) * s - 2 * p + k for m, k, s, p in zip(x.shape[2:], size, steps, pads))
    if output_size is not None:
        wanted = tuple(output_size)[-n:]
        if len(wanted) != n or any(abs(w - m) >= s for w, m, s in zip(wanted, plane, steps)):
            raise fail(
                ShapeError,
                f"{name}.output_size must differ from {plane} by less than the stride {steps}; "
                f"got {tuple(output_size)}.",
            )
        plane = wanted
    rows, columns = x.shape[0] * x.shape[1], math.prod(x.shape[2:])
    at = index_rows([reshape(arange(rows), (rows, 1)), reshape(places, (rows, columns))])
    blank = zeros((rows, math.prod(plane)), dtype=x.dtype)
    y = bind(scatter_set_p, blank, at, reshape(x, (rows, columns)), axes=(0, 1))
    return without_batch(reshape(y, (*x.shape[:2], *plane)), added)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Return pooled elements put back where they came from, zeros elsewhere.

    Args:
        input: tensor [batch, channels, length] of pooled elements, or without the batch axis.
        indices: their flat positions, as max_pool1d returns them.
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default the size of the window.
        padding: border that the pooling had, >= 0; default 0.
        output_size: sizes of the last axes of the result, where pooling rounded them down; default
            (n - 1) stride - 2 padding + kernel_size.

    Returns:
        Tensor [batch, channels, length]. Of equal positions the last one stays.

    Raises:
        ShapeError: indices of another shape, or an output size that no pooling could have had.
        IndexRangeError: a position outside the plane.
        DTypeError: indices that are no integers.

    Example:
        >>> import chainrule as cr
        >>> y, places = cr.max_pool1d(cr.ones((1, 1, 4)), 2, return_indices=True)
        >>> cr.max_unpool1d(y, places, 2).shape
        (1, 1, 4)
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Return pooled elements put back where they came from, zeros elsewhere.

    Args:
        input: tensor [batch, channels, height, width] of pooled elements, or without the batch axis.
        indices: their flat positions, as max_pool2d returns them.
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default the size of the window.
        padding: border that the pooling had, >= 0, or 2 ints; default 0.
        output_size: sizes of the last axes of the result, where pooling rounded them down; default
            (n - 1) stride - 2 padding + kernel_size.

    Returns:
        Tensor [batch, channels, height, width]. Of equal positions the last one stays.

    Raises:
        ShapeError: indices of another shape, or an output size that no pooling could have had.
        IndexRangeError: a position outside the plane.
        DTypeError: indices that are no integers.

    Example:
        >>> import chainrule as cr
        >>> y, places = cr.max_pool2d(cr.ones((1, 1, 4, 4)), 2, return_indices=True)
        >>> cr.max_unpool2d(y, places, 2).shape
        (1, 1, 4, 4)
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Return pooled elements put back where they came from, zeros elsewhere.

    Args:
        input: tensor [batch, channels, depth, height, width] of pooled elements, or without the batch axis.
        indices: their flat positions, as max_pool3d returns them.
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default the size of the window.
        padding: border that the pooling had, >= 0, or 3 ints; default 0.
        output_size: sizes of the last axes of the result, where pooling rounded them down; default
            (n - 1) stride - 2 padding + kernel_size.

    Returns:
        Tensor [batch, channels, depth, height, width]. Of equal positions the last one stays.

    Raises:
        ShapeError: indices of another shape, or an output size that no pooling could have had.
        IndexRangeError: a position outside the plane.
        DTypeError: indices that are no integers.

    Example:
        >>> import chainrule as cr
        >>> y, places = cr.max_pool3d(cr.ones((1, 1, 4, 4, 4)), 2, return_indices=True)
        >>> cr.max_unpool3d(y, places, 2).shape
        (1, 1, 4, 4, 4)
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)

"""Segments: the rows of a tensor summed, multiplied or compared by the segment that each belongs to.

    y[k] = reduce of all x[i] with segment_ids[i] = k

This is pooling over the nodes of graphs and the sentences of a packed batch. Ids need not be sorted.
"""

from __future__ import annotations

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axis_index
from chainrule.ops._windows import fail
from chainrule.ops.creation import full, ones, zeros
from chainrule.ops.gather import integer_indices, scatter_add_p
from chainrule.ops.scatter import neutral, scatter_reduce
from chainrule.ops.selection import maximum
from chainrule.ops.shape import broadcast_to, moveaxis, reshape

__all__ = ["segment_max", "segment_mean", "segment_min", "segment_prod", "segment_sum"]


def _arguments(name: str, x: Tensor, segment_ids: Tensor, num_segments: int, axis: int) -> tuple[Tensor, Tensor, int]:
    x, ids = as_tensor(x), integer_indices(segment_ids, name)
    a = axis_index(axis, x.ndim, name)
    if x.dtype.kind == "bool":
        raise fail(DTypeError, f"{name} needs a numeric tensor; got bool: use .astype(cr.float32).")
    if ids.shape != (x.shape[a],):
        raise fail(
            ShapeError,
            f"{name}: the segment ids are {ids.shape}; axis {a} of {x.shape} needs a vector of {x.shape[a]}.",
        )
    if not isinstance(num_segments, int) or isinstance(num_segments, bool) or num_segments < 0:
        raise ValueError(f"{name}.num_segments must be an int >= 0; got {num_segments!r}.")
    return x, ids, a


def _total(x: Tensor, ids: Tensor, num_segments: int, axis: int) -> Tensor:
    blank = zeros((*x.shape[:axis], num_segments, *x.shape[axis + 1 :]), dtype=x.dtype)
    return bind(scatter_add_p, blank, reshape(ids, (1, ids.shape[0])), moveaxis(x, axis, 0), axes=(axis,))


def _combined(x: Tensor, ids: Tensor, num_segments: int, axis: int, reduce: str) -> Tensor:
    """Return products or extremes; the empty ones are 1 and the far end of the dtype."""
    shape = (*x.shape[:axis], num_segments, *x.shape[axis + 1 :])
    column = (1,) * axis + (ids.shape[0],) + (1,) * (x.ndim - axis - 1)
    at = broadcast_to(reshape(ids, column), x.shape)
    blank = full(shape, neutral(reduce, x), dtype=x.dtype)
    return scatter_reduce(blank, at, x, reduce, axis=axis)


def segment_sum(x: Tensor, segment_ids: Tensor, num_segments: int, *, axis: int = 0) -> Tensor:
    """Return the sum of the rows of each segment.

        y[k] = sum of all x[i] with segment_ids[i] = k

    Args:
        x: numeric tensor.
        segment_ids: integer vector, one id in [0, num_segments) per row of the axis, in any order.
        num_segments: number of segments, >= 0.
        axis: the axis of the rows; default 0.

    Returns:
        Tensor of the shape of x, but num_segments along the axis; 0 for a segment without rows.

    Raises:
        IndexRangeError: an id outside the range, or the axis does not exist.
        ShapeError: not one id per row.
        DTypeError: ids that are no integers, or bool.
        ValueError: a negative number of segments.

    Example:
        >>> import chainrule as cr
        >>> cr.segment_sum(cr.asarray([1.0, 2.0, 4.0]), cr.asarray([1, 0, 1]), 2)
        tensor([2., 5.], shape=(2,), dtype=float32)
    """
    x, ids, a = _arguments("segment_sum", x, segment_ids, num_segments, axis)
    return _total(x, ids, num_segments, a)


def segment_mean(x: Tensor, segment_ids: Tensor, num_segments: int, *, axis: int = 0) -> Tensor:
    """Return the mean of the rows of each segment.

        y[k] = mean of all x[i] with segment_ids[i] = k

    Args:
        x: float tensor.
        segment_ids: integer vector, one id in [0, num_segments) per row of the axis, in any order.
        num_segments: number of segments, >= 0.
        axis: the axis of the rows; default 0.

    Returns:
        Tensor of the shape of x, but num_segments along the axis; 0 for a segment without rows.

    Raises:
        IndexRangeError: an id outside the range, or the axis does not exist.
        ShapeError: not one id per row.
        DTypeError: ids that are no integers, or not a float tensor.
        ValueError: a negative number of segments.

    Example:
        >>> import chainrule as cr
        >>> cr.segment_mean(cr.asarray([1.0, 2.0, 4.0]), cr.asarray([1, 0, 1]), 2)
        tensor([2. , 2.5], shape=(2,), dtype=float32)
    """
    x, ids, a = _arguments("segment_mean", x, segment_ids, num_segments, axis)
    if not x.dtype.is_float:
        raise fail(DTypeError, f"segment_mean needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    counts = _total(ones(ids.shape, dtype=x.dtype), ids, num_segments, 0)
    column = reshape(maximum(counts, 1.0), (num_segments,) + (1,) * (x.ndim - a - 1))
    return _total(x, ids, num_segments, a) / column


def segment_prod(x: Tensor, segment_ids: Tensor, num_segments: int, *, axis: int = 0) -> Tensor:
    """Return the product of the rows of each segment; its gradient is finite where factors are zero.

        y[k] = product of all x[i] with segment_ids[i] = k

    Args:
        x: numeric tensor.
        segment_ids: integer vector, one id in [0, num_segments) per row of the axis, in any order.
        num_segments: number of segments, >= 0.
        axis: the axis of the rows; default 0.

    Returns:
        Tensor of the shape of x, but num_segments along the axis; 1 for a segment without rows.

    Raises:
        IndexRangeError: an id outside the range, or the axis does not exist.
        ShapeError: not one id per row.
        DTypeError: ids that are no integers, or bool.
        ValueError: a negative number of segments.

    Example:
        >>> import chainrule as cr
        >>> cr.segment_prod(cr.asarray([1.0, 2.0, 4.0]), cr.asarray([1, 0, 1]), 2)
        tensor([2., 4.], shape=(2,), dtype=float32)
    """
    x, ids, a = _arguments("segment_prod", x, segment_ids, num_segments, axis)
    return _combined(x, ids, num_segments, a, "prod")


def segment_max(x: Tensor, segment_ids: Tensor, num_segments: int, *, axis: int = 0) -> Tensor:
    """Return the largest of the rows of each segment; equal ones share the gradient.

        y[k] = maximum of all x[i] with segment_ids[i] = k

    Args:
        x: numeric tensor.
        segment_ids: integer vector, one id in [0, num_segments) per row of the axis, in any order.
        num_segments: number of segments, >= 0.
        axis: the axis of the rows; default 0.

    Returns:
        Tensor of the shape of x, but num_segments along the axis; -infinity, or the least
        integer, for a segment without rows.

    Raises:
        IndexRangeError: an id outside the range, or the axis does not exist.
        ShapeError: not one id per row.
        DTypeError: ids that are no integers, or bool.
        ValueError: a negative number of segments.

    Example:
        >>> import chainrule as cr
        >>> cr.segment_max(cr.asarray([1.0, 2.0, 4.0]), cr.asarray([1, 0, 1]), 2)
        tensor([2., 4.], shape=(2,), dtype=float32)
    """
    x, ids, a = _arguments("segment_max", x, segment_ids, num_segments, axis)
    return _combined(x, ids, num_segments, a, "max")


def segment_min(x: Tensor, segment_ids: Tensor, num_segments: int, *, axis: int = 0) -> Tensor:
    """Return the smallest of the rows of each segment; equal ones share the gradient.

        y[k] = minimum of all x[i] with segment_ids[i] = k

    Args:
        x: numeric tensor.
        segment_ids: integer vector, one id in [0, num_segments) per row of the axis, in any order.
        num_segments: number of segments, >= 0.
        axis: the axis of the rows; default 0.

    Returns:
        Tensor of the shape of x, but num_segments along the axis; infinity, or the greatest
        integer, for a segment without rows.

    Raises:
        IndexRangeError: an id outside the range, or the axis does not exist.
        ShapeError: not one id per row.
        DTypeError: ids that are no integers, or bool.
        ValueError: a negative number of segments.

    Example:
        >>> import chainrule as cr
        >>> cr.segment_min(cr.asarray([1.0, 2.0, 4.0]), cr.asarray([1, 0, 1]), 2)
        tensor([2., 1.], shape=(2,), dtype=float32)
    """
    x, ids, a = _arguments("segment_min", x, segment_ids, num_segments, axis)
    return _combined(x, ids, num_segments, a, "min")

"""Elements picked and placed by integer tensors: `gather`, its transpose `scatter_add`, `scatter_set`, and `one_hot`.

    gather        y[b, r] = x[i(b), r]                   b: the batch of indices, r: the axes of x that are not indexed
    scatter_add   y = x;  y[i(b), r] += updates[b, r]    equal indices add up
    scatter_set   y = x;  y[i(b), r] = updates[b, r]     of equal indices the last one stays

`indices` is int64 [k, *batch]: row j indexes axis axes[j] of x. The indexed axes vanish; the batch axes come first, and
the other axes of x in their order. Negative indices count from the end; one outside its axis is an error that names it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import DType, float32, int64, to_dtype
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError, user_location
from chainrule.core.lowering import IndexMap, Loop
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axis_index, cast
from chainrule.ops._rules import broadcast_shapes
from chainrule.ops.creation import arange, full, zeros
from chainrule.ops.join import stack
from chainrule.ops.selection import where
from chainrule.ops.shape import broadcast_to, permute_dims, reshape

__all__ = ["one_hot", "take", "take_along_axis"]

Axes = tuple[int, ...]


# ---------------------------------------------------------------------------------------------------- shared rules
def _type(name: str, x: TensorType, indices: TensorType, axes: Axes) -> TensorType:
    """Return the type of what is gathered, after checking the indices."""
    if indices.dtype is not int64:
        raise DTypeError(f"{name}: indices must be int64; got {indices.dtype.name}: use .astype(cr.int64).")
    if indices.ndim < 1 or indices.shape[0] != len(axes):
        raise ShapeError(f"{name}: indices {indices.shape} must begin with one row for each of the axes {axes}.")
    if not axes or sorted(set(axes)) != sorted(axes) or min(axes) < 0 or max(axes) >= x.ndim:
        raise ShapeError(f"{name}: axes {axes} must be different axes of {x.shape}.")
    return TensorType((*indices.shape[1:], *(n for i, n in enumerate(x.shape) if i not in axes)), x.dtype)


def _scatter_shape(name: str) -> Any:
    def rule(x: TensorType, indices: TensorType, updates: TensorType, *, axes: Axes) -> TensorType:
        wanted = _type(name, x, indices, axes)
        if updates.dtype is not x.dtype:
            raise DTypeError(
                f"{name}: the dtypes {x.dtype.name} and {updates.dtype.name} differ; convert one with .astype."
            )
        if updates.shape != wanted.shape:
            raise ShapeError(f"{name}: updates must have the shape {wanted.shape}; got {updates.shape}.")
        return x

    return rule


def _rows(name: str, x: np.ndarray, indices: np.ndarray, axes: Axes) -> tuple[np.ndarray, ...]:
    """Return one array of non-negative indices per axis.

    Raises:
        IndexRangeError: an index is outside its axis.
    """
    rows = []
    for row, axis in zip(indices, axes):
        size = x.shape[axis]
        negative = row < 0
        wrapped = np.where(negative, row + size, row) if negative.any() else row
        wrong = (wrapped < 0) | (wrapped >= size)
        if wrong.any():
            raise IndexRangeError(_outside(name, int(row[wrong].flat[0]), axis, x.shape), location=user_location())
        rows.append(wrapped)
    return tuple(rows)


def _outside(name: str, index: int, axis: int, shape: Axes) -> str:
    size = shape[axis]
    allowed = f"allowed: [{-size}, {size - 1}]" if size else "it has no elements"
    return f"{name}: index {index} is outside axis {axis} of {shape}; {allowed}."


_PAIRS = np.array([[0, 2, -1, 0], [1, 0, 2, 1]])  # [2, 4]: two axes; the first and last pick the same element
_PICKS: list[tuple[tuple, np.ndarray, Axes]] = [  # shape of x, indices, axes
    ((3,), np.array([[0, 2, 2, -1]]), (0,)),
    ((3, 2), np.array([[2, 0]]), (0,)),
    ((2, 3), np.array([[[0, 1], [1, 2]]]), (1,)),
    ((3, 4), _PAIRS, (0, 1)),
    ((3, 2, 4), _PAIRS, (0, 2)),
    ((3, 2), np.array([1]), (0,)),
    ((3, 2), np.zeros((1, 0), np.int64), (0,)),
]


def _refusals(name: str, *, updates: bool) -> list[Invalid]:
    """Return what gather and the scatters refuse alike."""
    x, i = np.zeros((3, 2)), np.array([[0]])
    rest = (np.zeros((1, 2)),) if updates else ()
    return [
        Invalid((x, np.array([[3]]), *rest), _outside(name, 3, 0, (3, 2)), {"axes": (0,)}),
        Invalid((x, np.array([[-4]]), *rest), _outside(name, -4, 0, (3, 2)), {"axes": (0,)}),
        Invalid((x, i, *rest), f"{name}: axes (2,) must be different axes of (3, 2).", {"axes": (2,)}),
        Invalid(
            (x, i, *rest),
            f"{name}: indices (1, 1) must begin with one row for each of the axes (0, 1).",
            {"axes": (0, 1)},
        ),
        Invalid(
            (x, i.astype(np.int32), *rest),
            f"{name}: indices must be int64; got int32: use .astype(cr.int64).",
            {"axes": (0,)},
        ),
    ]


# ---------------------------------------------------------------------------------------------------- gather
def _gather(x: np.ndarray, indices: np.ndarray, *, axes: Axes) -> np.ndarray:
    rows = _rows("gather", x, indices, axes)
    if len(axes) == 1:  # along one axis whole rows are copied
        batch, axis = indices.ndim - 1, axes[0]
        return np.moveaxis(np.take(x, rows[0], axis=axis), range(axis, axis + batch), range(batch))
    return np.moveaxis(x, axes, range(len(axes)))[rows]


def _gather_element(k: Any, at: Sequence[Any], x: Any, indices: Any, *, axes: Axes) -> Any:
    batch = indices.ndim - 1
    rest = iter(at[batch:])
    row = {a: k.position(indices(k.index(j), *at[:batch]), x.shape[a]) for j, a in enumerate(axes)}
    return x(*(row[a] if a in row else next(rest) for a in range(x.ndim)))


gather_p = primitive(
    "gather",
    reference=_gather,
    lower=IndexMap(_gather_element),
    shape=lambda x, indices, *, axes: _type("gather", x, indices, axes),
    linear=(0,),
    transpose=(
        lambda g, x_shape, indices, *, axes: bind(scatter_add_p, zeros(x_shape, dtype=g.dtype), indices, g, axes=axes),
        None,
    ),
    samples=[
        *(Sample((shape, indices), {"axes": axes}) for shape, indices, axes in _PICKS),
        Sample((np.arange(6).reshape(3, 2), np.array([[2, 1]])), {"axes": (0,)}, smooth=False),
    ],
    invalid=_refusals("gather", updates=False),
)


# ---------------------------------------------------------------------------------------------------- scatter_add
def _scatter_add(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axes: Axes) -> np.ndarray:
    rows = _rows("scatter_add", x, indices, axes)
    front = np.moveaxis(x, axes, range(len(axes)))
    lead, rest = front.shape[: len(axes)], math.prod(front.shape[len(axes) :])
    place = np.zeros(indices.shape[1:], np.int64)
    for row, size in zip(rows, lead):
        place = place * size + row
    out = np.array(front, order="C").reshape(-1)
    np.add.at(out, (place.reshape(-1, 1) * rest + np.arange(rest)).reshape(-1), updates.reshape(-1))
    return np.moveaxis(out.reshape(front.shape), range(len(axes)), axes)


def _gathered(shape: tuple, indices: np.ndarray, axes: Axes) -> tuple:
    """Return the shape of the updates of a sample."""
    return (*indices.shape[1:], *(n for i, n in enumerate(shape) if i not in axes))


_SCATTERS = [
    *(Sample((shape, indices, _gathered(shape, indices, axes)), {"axes": axes}) for shape, indices, axes in _PICKS),
    Sample((np.arange(3), np.array([[2, 0, 2]]), np.array([5, 6, 7])), {"axes": (0,)}, smooth=False),
]


def _scatter_refusals(name: str) -> list[Invalid]:
    x, i = np.zeros((3, 2)), np.array([[0]])
    return [
        *_refusals(name, updates=True),
        Invalid((x, i, np.zeros(2)), f"{name}: updates must have the shape (1, 2); got (2,).", {"axes": (0,)}),
        Invalid(
            (x, i, np.zeros((1, 2), np.int64)),
            f"{name}: the dtypes float64 and int64 differ; convert one with .astype.",
            {"axes": (0,)},
        ),
    ]


scatter_add_p: Primitive = primitive(
    "scatter_add",
    lower=Loop("scatter_add"),
    reference=_scatter_add,
    shape=_scatter_shape("scatter_add"),
    linear=(0, 2),
    transpose=(lambda g: g, None, lambda g, indices, *, axes: bind(gather_p, g, indices, axes=axes)),
    flops=lambda x, indices, updates, *, axes: updates.size,
    samples=_SCATTERS,
    invalid=_scatter_refusals("scatter_add"),
)


# ---------------------------------------------------------------------------------------------------- scatter_set
def _scatter_set(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axes: Axes) -> np.ndarray:
    rows = _rows("scatter_set", x, indices, axes)
    out = x.copy()
    np.moveaxis(out, axes, range(len(axes)))[rows] = updates
    return out


def _kept_updates(g: Tensor, x_shape: Axes, indices: Tensor, *, axes: Axes) -> Tensor:
    """Return the gradient of the updates: only the last of several with equal indices reaches the result."""
    batch = indices.shape[1:]
    order = reshape(arange(math.prod(batch)), batch)
    lead = tuple(x_shape[a] for a in axes)
    front = tuple(range(len(axes)))
    last = bind(scatter_set_p, full(lead, -1, dtype=int64), indices, order, axes=front)
    stays = bind(gather_p, last, indices, axes=front) == order  # [*batch]
    picked = bind(gather_p, g, indices, axes=axes)
    return where(reshape(stays, batch + (1,) * (picked.ndim - len(batch))), picked, 0.0)


scatter_set_p: Primitive = primitive(
    "scatter_set",
    lower=Loop("scatter_set"),
    reference=_scatter_set,
    shape=_scatter_shape("scatter_set"),
    linear=(0, 2),
    transpose=(
        lambda g, indices, updates_shape, *, axes: bind(
            scatter_set_p, g, indices, zeros(updates_shape, dtype=g.dtype), axes=axes
        ),
        None,
        _kept_updates,
    ),
    samples=_SCATTERS,
    invalid=_scatter_refusals("scatter_set"),
)


# ---------------------------------------------------------------------------------------------------- one_hot
def _one_hot(x: np.ndarray, *, num_classes: int, dtype: DType) -> np.ndarray:
    wrong = (x < 0) | (x >= num_classes)
    if wrong.any():
        message = f"one_hot: the label {x[wrong].flat[0]} is outside [0, {num_classes - 1}]."
        raise IndexRangeError(message, location=user_location())
    return (x[..., None] == np.arange(num_classes)).astype(dtype.numpy)


def _one_hot_shape(x: TensorType, *, num_classes: int, dtype: DType) -> TensorType:
    if not x.dtype.is_integer:
        raise DTypeError(f"one_hot needs an integer tensor; got {x.dtype.name}: use .astype(cr.int64).")
    return TensorType((*x.shape, num_classes), dtype)


def _one_hot_element(k: Any, at: Sequence[Any], x: Any, *, num_classes: int, dtype: DType) -> Any:
    label = k.cast(x(*at[:-1]), "i64")
    inside = k.both(k.ge(label, 0), k.lt(label, num_classes))
    return k.cast(k.eq(k.check(inside, label), at[-1]), dtype)


one_hot_p = primitive(
    "one_hot",
    lower=IndexMap(_one_hot_element),
    reference=_one_hot,
    shape=_one_hot_shape,
    samples=[
        Sample((np.array([0, 2, 1]),), {"num_classes": 3, "dtype": float32}, smooth=False),
        Sample((np.array([[1], [0]], np.int32),), {"num_classes": 2, "dtype": int64}, smooth=False),
        Sample((np.zeros((0,), np.int64),), {"num_classes": 2, "dtype": float32}, smooth=False),
    ],
    invalid=[
        Invalid((np.array([0, 3]),), "one_hot: the label 3 is outside [0, 2].", {"num_classes": 3, "dtype": float32}),
        Invalid((np.array([-1, 0]),), "one_hot: the label -1 is outside [0, 2].", {"num_classes": 3, "dtype": float32}),
        Invalid(
            (np.zeros(2),),
            "one_hot needs an integer tensor; got float64: use .astype(cr.int64).",
            {"num_classes": 3, "dtype": float32},
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- functions
def integer_indices(indices: Any, name: str) -> Tensor:
    """Return indices as an int64 tensor.

    Raises:
        DTypeError: they are no integers.
    """
    indices = as_tensor(np.asarray(indices, np.int64) if isinstance(indices, list | tuple) and not indices else indices)
    if not indices.dtype.is_integer:
        raise DTypeError(f"{name}: indices must be integers; got {indices.dtype.name}.")
    return cast(indices, int64)


def gather(x: Tensor, rows: Sequence[Tensor], axes: Axes) -> Tensor:
    """Return x[rows] on `axes`, [*batch, *rest]; the rows are int64 and broadcast against each other."""
    return bind(gather_p, x, index_rows(rows), axes=axes)


def index_rows(rows: Sequence[Tensor]) -> Tensor:
    """Return index tensors broadcast and stacked, [k, *batch]."""
    try:
        batch = broadcast_shapes("index", *(row.shape for row in rows))
    except ShapeError as error:
        error.location = user_location()
        raise
    if len(rows) == 1:
        return reshape(rows[0], (1, *batch))
    return stack([row if row.shape == batch else broadcast_to(row, batch) for row in rows])


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Return the elements of x at positions along an axis.

    Args:
        x: tensor of any shape and dtype.
        indices: integer tensor [*batch]; negative ones count from the end.
        axis: the axis; default x is a vector, and it is its axis.

    Returns:
        Tensor in which the axes of the indices stand in the place of the axis.

    Raises:
        IndexRangeError: an index is outside the axis, or the axis does not exist.
        ShapeError: no axis is given and x is no vector.
        DTypeError: indices that are no integers.

    Example:
        >>> import chainrule as cr
        >>> cr.take(cr.asarray([5.0, 6.0, 7.0]), cr.asarray([2, 0]))
        tensor([7., 5.], shape=(2,), dtype=float32)
    """
    x, indices = as_tensor(x), integer_indices(indices, "take")
    if axis is None and x.ndim != 1:
        raise ShapeError(f"take: x has the shape {x.shape}; without axis= it must be a vector.")
    a = axis_index(0 if axis is None else axis, x.ndim, "take")
    y = gather(x, [indices], (a,))  # [*batch, *rest]
    n = indices.ndim
    return permute_dims(y, (*range(n, n + a), *range(n), *range(n + a, y.ndim))) if a and n else y


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """Return, for each position of `indices`, the element of x at that index along an axis.

        y[i, j] = x[i, indices[i, j]]                                                       for a matrix and axis 1

    Args:
        x: tensor of any shape and dtype.
        indices: integer tensor with as many axes as x; its other sizes broadcast with those of x.
        axis: the axis; default -1.

    Returns:
        Tensor whose size along the axis is that of `indices`.

    Raises:
        IndexRangeError: an index is outside the axis, or the axis does not exist.
        ShapeError: another number of axes, or sizes that do not broadcast.
        DTypeError: indices that are no integers.

    Example:
        >>> import chainrule as cr
        >>> cr.take_along_axis(cr.asarray([[1.0, 2.0], [3.0, 4.0]]), cr.asarray([[1], [0]]))
        tensor([[2.],
                [3.]], shape=(2, 1), dtype=float32)
    """
    x, indices = as_tensor(x), integer_indices(indices, "take_along_axis")
    if x.ndim != indices.ndim:
        raise ShapeError(f"take_along_axis: x is {x.shape} and indices {indices.shape}; both need as many axes.")
    a = axis_index(axis, x.ndim, "take_along_axis")
    others = (*x.shape[:a], 1, *x.shape[a + 1 :])
    shape = broadcast_shapes("take_along_axis", others, indices.shape)
    rows = [
        indices if i == a else reshape(arange(n), (1,) * i + (n,) + (1,) * (x.ndim - i - 1))
        for i, n in enumerate(x.shape)
    ]

    return gather(x, [broadcast_to(row, shape) for row in rows], tuple(range(x.ndim)))


def one_hot(x: Tensor, num_classes: int, *, dtype: Any = float32) -> Tensor:
    """Return a vector per label that is 1 at the label and 0 elsewhere.

    Args:
        x: integer tensor [...] of labels in [0, num_classes).
        num_classes: number of classes.
        dtype: element type; default float32.

    Returns:
        Tensor [..., num_classes].

    Raises:
        IndexRangeError: a label outside [0, num_classes).
        DTypeError: labels that are no integers.

    Example:
        >>> import chainrule as cr
        >>> cr.one_hot(cr.asarray([1, 0]), 3)
        tensor([[0., 1., 0.],
                [1., 0., 0.]], shape=(2, 3), dtype=float32)
    """
    return bind(one_hot_p, as_tensor(x), num_classes=num_classes, dtype=to_dtype(dtype))

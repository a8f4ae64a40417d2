"""Elements picked and placed along one axis, each row by its own indices: the pair behind pooling and scatters.

    take_along   y[r, j] = x[r, i[r, j]]
    add_along    y = x;  y[r, i[r, j]] += updates[r, j]             the transpose; equal indices add up

r stands for all other axes, on which the sizes are equal. They do with one index per element what `gather` and
`scatter_add` would do with one per element and axis. Indices are int64 in [0, n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import int64
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError, user_location
from chainrule.core.lowering import IndexMap, Loop
from chainrule.core.primitive import Invalid, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops.creation import zeros

__all__ = ["add_along_p", "check_along", "check_range", "place_along", "take_along", "take_along_p"]


# ---------------------------------------------------------------------------------------------------- shared rules
def check_along(name: str, x: TensorType, indices: TensorType, axis: int) -> TensorType:
    """Return the type of what is picked."""
    if indices.dtype is not int64:
        raise DTypeError(f"{name}: indices must be int64; got {indices.dtype.name}: use .astype(cr.int64).")
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"{name}: axis {axis} does not exist in {x.shape}.")
    if _without(x.shape, axis) != _without(indices.shape, axis) or x.ndim != indices.ndim:
        raise ShapeError(
            f"{name}: x is {x.shape} and the indices are {indices.shape}; "
            f"all sizes but that of axis {axis} must be equal."
        )
    return TensorType(indices.shape, x.dtype)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def check_range(name: str, shape: tuple[int, ...], indices: np.ndarray, axis: int) -> None:
    """Refuse indices outside the axis.

    Raises:
        IndexRangeError: names the first.
    """
    if indices.size and (indices.min() < 0 or indices.max() >= shape[axis]):
        first = indices[(indices < 0) | (indices >= shape[axis])].flat[0]
        raise IndexRangeError(
            f"{name}: index {first} is outside axis {axis} of {shape}; allowed: [0, {shape[axis] - 1}].",
            location=user_location(),
        )


# ---------------------------------------------------------------------------------------------------- references
def _take(x: np.ndarray, indices: np.ndarray, *, axis: int) -> np.ndarray:
    check_range("take_along", x.shape, indices, axis)
    return np.take_along_axis(x, indices, axis)


def _add(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axis: int) -> np.ndarray:
    check_range("add_along", x.shape, indices, axis)
    out = np.array(np.moveaxis(x, axis, -1), order="C")  # [rows, n]
    rows = math.prod(out.shape[:-1])
    picked = np.moveaxis(indices, axis, -1)
    places = picked.reshape(rows, picked.shape[-1]) + np.arange(rows)[:, None] * out.shape[-1]
    np.add.at(out.reshape(-1), places.reshape(-1), np.moveaxis(updates, axis, -1).reshape(-1))
    return np.moveaxis(out, -1, axis)


# ---------------------------------------------------------------------------------------------------- primitives
_PICKS: list[tuple[tuple, np.ndarray, int]] = [  # shape of x, indices, axis
    ((3,), np.array([0, 2, 2, 1]), 0),
    ((2, 3), np.array([[2, 0], [1, 1]]), 1),
    ((3, 2), np.array([[2, 0], [1, 1]]), 0),
    ((2, 2, 2), np.array([[[1, 0]], [[0, 0]]]), 1),
    ((1,), np.array([0]), 0),
    ((2, 3), np.zeros((2, 0), np.int64), 1),
    ((0, 3), np.zeros((0, 2), np.int64), 1),
]


def _refusals(name: str, *, updates: bool) -> list[Invalid]:
    x, how = np.zeros((2, 3)), {"axis": 1}
    rest = (np.zeros((2, 1)),) if updates else ()
    good = np.zeros((2, 1), np.int64)
    return [
        Invalid((x, good + 3, *rest), f"{name}: index 3 is outside axis 1 of (2, 3); allowed: [0, 2].", {"axis": 1}),
        Invalid((x, good - 1, *rest), f"{name}: index -1 is outside axis 1 of (2, 3); allowed: [0, 2].", how),
        Invalid(
            (x, good.astype(np.int32), *rest),
            f"{name}: indices must be int64; got int32: use .astype(cr.int64).",
            how,
        ),
        Invalid((x, good, *rest), f"{name}: axis 2 does not exist in (2, 3).", {"axis": 2}),
        Invalid(
            (x, np.zeros((1, 1), np.int64), *rest),
            f"{name}: x is (2, 3) and the indices are (1, 1); all sizes but that of axis 1 must be equal.",
            how,
        ),
    ]


def _take_element(k: Any, at: Sequence[Any], x: Any, indices: Any, *, axis: int) -> Any:
    index = indices(*at)
    row = k.position(k.check(k.ge(index, 0), index), x.shape[axis])
    return x(*(row if a == axis else i for a, i in enumerate(at)))


take_along_p = primitive(
    "take_along",
    lower=IndexMap(_take_element),
    reference=_take,
    shape=lambda x, indices, *, axis: check_along("take_along", x, indices, axis),
    linear=(0,),
    transpose=(lambda g, x_shape, indices, *, axis: place_along(g, indices, x_shape, axis), None),
    samples=[
        *(Sample((shape, indices), {"axis": axis}) for shape, indices, axis in _PICKS),
        Sample((np.arange(6).reshape(2, 3), np.array([[2], [0]])), {"axis": 1}, smooth=False),
        Sample((np.array([[True, False]]), np.array([[1, 1, 0]])), {"axis": 1}, smooth=False),
    ],
    invalid=_refusals("take_along", updates=False),
)


def _add_shape(x: TensorType, indices: TensorType, updates: TensorType, *, axis: int) -> TensorType:
    check_along("add_along", x, indices, axis)
    if updates.dtype is not x.dtype or x.dtype.kind == "bool":
        raise DTypeError(
            f"add_along: x is {x.dtype.name} and the updates are {updates.dtype.name}; "
            "both must be of one numeric dtype."
        )
    if updates.shape != indices.shape:
        raise ShapeError(f"add_along: the updates must have the shape {indices.shape}; got {updates.shape}.")
    return x


add_along_p = primitive(
    "add_along",
    lower=Loop("add_along"),
    reference=_add,
    shape=_add_shape,
    linear=(0, 2),
    transpose=(lambda g: g, None, lambda g, indices, *, axis: take_along(g, indices, axis)),
    flops=lambda x, indices, updates, *, axis: updates.size,
    samples=[
        *(Sample((shape, indices, indices.shape), {"axis": axis}) for shape, indices, axis in _PICKS),
        Sample((np.arange(3), np.array([2, 0, 2]), np.array([5, 6, 7])), {"axis": 0}, smooth=False),
    ],
    invalid=[
        *_refusals("add_along", updates=True),
        Invalid(
            (np.zeros((2, 3)), np.zeros((2, 1), np.int64), np.zeros((2, 2))),
            "add_along: the updates must have the shape (2, 1); got (2, 2).",
            {"axis": 1},
        ),
        Invalid(
            (np.zeros((2, 3)), np.zeros((2, 1), np.int64), np.zeros((2, 1), np.int64)),
            "add_along: x is float64 and the updates are int64; both must be of one numeric dtype.",
            {"axis": 1},
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- functions
def take_along(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Return x at int64 indices along an axis; all other sizes are equal."""
    return bind(take_along_p, x, indices, axis=axis)


def place_along(updates: Tensor, indices: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """Return zeros of `shape` with updates added at indices along an axis."""
    return bind(add_along_p, zeros(shape, dtype=updates.dtype), indices, updates, axis=axis)

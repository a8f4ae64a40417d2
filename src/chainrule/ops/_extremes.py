"""The largest or smallest of an element and all updates that are scattered to it: max_along and min_along.

    y = x;  y[r, i[r, j]] = max(y[r, i[r, j]], updates[r, j])

Equal ones share the gradient, as those of `max` do. NaN propagates and gets no gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import int64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import Loop
from chainrule.core.primitive import Edge, Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._along import add_along_p, check_along, check_range, place_along, take_along
from chainrule.ops._elementwise import indicator
from chainrule.ops._windows import REAL
from chainrule.ops.selection import maximum

__all__ = ["max_along_p", "min_along_p"]


def _shape(name: str) -> Any:
    def rule(x: TensorType, indices: TensorType, updates: TensorType, *, axis: int) -> TensorType:
        check_along(name, x, indices, axis)
        if updates.dtype is not x.dtype or x.dtype.kind not in REAL:
            raise DTypeError(
                f"{name}: x is {x.dtype.name} and the updates are {updates.dtype.name}; "
                "both must be of one real numeric dtype."
            )
        if updates.shape != indices.shape:
            raise ShapeError(f"{name}: the updates must have the shape {indices.shape}; got {updates.shape}.")
        return x

    return rule


def _reference(name: str, function: np.ufunc) -> Any:
    def reference(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axis: int) -> np.ndarray:
        check_range(name, x.shape, indices, axis)
        out = np.array(np.moveaxis(x, axis, -1), order="C")  # [rows, n]
        rows = math.prod(out.shape[:-1])
        picked = np.moveaxis(indices, axis, -1)
        places = picked.reshape(rows, picked.shape[-1]) + np.arange(rows)[:, None] * out.shape[-1]
        function.at(out.reshape(-1), places.reshape(-1), np.moveaxis(updates, axis, -1).reshape(-1))
        return np.moveaxis(out, -1, axis)

    return reference


def _winners(x: Tensor, indices: Tensor, updates: Tensor, y: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return where x and where the updates reached the result, and how many share each of its elements, at least 1."""
    own, given = indicator(x == y, x), indicator(updates == take_along(y, indices, axis), x)
    return own, given, maximum(bind(add_along_p, own, indices, given, axis=axis), 1.0)


def _own_gradient(g: Tensor, x: Tensor, indices: Tensor, updates: Tensor, y: Tensor, *, axis: int) -> Tensor:
    own, _, count = _winners(x, indices, updates, y, axis)
    return g * own / count


def _given_gradient(g: Tensor, x: Tensor, indices: Tensor, updates: Tensor, y: Tensor, *, axis: int) -> Tensor:
    _, given, count = _winners(x, indices, updates, y, axis)
    return take_along(g / count, indices, axis) * given


def _pushforward(tangents: tuple, x: Tensor, indices: Tensor, updates: Tensor, y: Tensor, *, axis: int) -> Tensor:
    own, given, count = _winners(x, indices, updates, y, axis)
    tx, _, tu = tangents
    total: Any = 0.0 if tx is None else tx * own
    if tu is not None:
        total = total + place_along(tu * given, indices, x.shape, axis)
    return total / count


def _extreme(name: str, function: np.ufunc, sign: float) -> Primitive:
    """Declare max_along or min_along."""
    tie = np.array([0, 0, 1])
    spread = np.array([[0.0, -2.0, 1.0], [2.0, 0.5, -1.0]]) * sign
    whole = {"axis": 0}
    return primitive(
        name,
        lower=Loop(name),
        reference=_reference(name, function),
        shape=_shape(name),
        vjp=(_own_gradient, None, _given_gradient),
        jvp=_pushforward,
        flops=lambda x, indices, updates, *, axis: updates.size,
        samples=[
            Sample(((3,), np.array([0, 2, 2, 1]), (4,)), whole),
            Sample((spread, np.array([[2, 0], [1, 1]]), (2, 2)), {"axis": 1}),
            Sample(((3, 2), np.array([[2, 0], [1, 1]]), (2, 2)), whole),
            Sample(((2, 3), np.zeros((2, 0), np.int64), (2, 0)), {"axis": 1}),
            Sample(((0, 3), np.zeros((0, 2), np.int64), (0, 2)), {"axis": 1}),
            Sample((np.array([3, 1]), np.array([1, 1]), np.array([5, 2])), whole, smooth=False),
            Sample((np.array([np.nan, 1.0]), np.array([1, 1]), np.array([np.nan, 2.0])), whole, smooth=False),
        ],
        edges=[
            Edge(
                (np.array([1.0, 5.0]) * sign, tie, np.array([1.0, 0.0, 5.0]) * sign),
                (np.full(2, 0.5), None, np.array([0.5, 0.0, 0.5])),
                whole,
                "an element and an update share",
            ),
            Edge(
                (np.zeros(2), tie, np.array([2.0, 2.0, -3.0]) * sign),
                (np.array([0.0, 1.0]), None, np.array([0.5, 0.5, 0.0])),
                whole,
                "two updates share",
            ),
        ],
        invalid=[
            Invalid(
                (np.zeros(2), np.array([2]), np.zeros(1)),
                f"{name}: index 2 is outside axis 0 of (2,); allowed: [0, 1].",
                whole,
            ),
            Invalid(
                (np.zeros(2), np.array([0]), np.zeros(2)),
                f"{name}: the updates must have the shape (1,); got (2,).",
                whole,
            ),
            Invalid(
                (np.zeros(2), np.array([0]), np.zeros(1, np.int64)),
                f"{name}: x is float64 and the updates are int64; both must be of one real numeric dtype.",
                whole,
            ),
            Invalid(
                (np.zeros(2), np.array([0], np.int32), np.zeros(1)),
                f"{name}: indices must be {int64.name}; got int32: use .astype(cr.int64).",
                whole,
            ),
        ],
    )


max_along_p = _extreme("max_along", np.maximum, 1.0)
min_along_p = _extreme("min_along", np.minimum, -1.0)

"""Updates placed along an axis: scatter_add, scatter_reduce, put_along_axis and index_add.

    y = x;  y[r, i[r, j]] = y[r, i[r, j]] (+, *, max, min) updates[r, j]

r stands for all other axes. Where indices are smaller than x there, only that corner of x is written, as in PyTorch.
Products are taken after a stable sort by index, by doubling (`_segment_products`): no division, so their gradients are
finite where factors are zero, and derivatives of every order follow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import promote
from chainrule.core.errors import DTypeError, ShapeError, nearest
from chainrule.core.tensor import Tensor
from chainrule.ops._along import add_along_p, place_along, take_along
from chainrule.ops._extremes import max_along_p, min_along_p
from chainrule.ops._inputs import as_tensor, axis_index, cast
from chainrule.ops._windows import fail
from chainrule.ops.creation import arange, full, ones
from chainrule.ops.gather import index_rows, integer_indices, scatter_add_p, scatter_set_p
from chainrule.ops.join import concat
from chainrule.ops.selection import where
from chainrule.ops.shape import broadcast_to, moveaxis, reshape
from chainrule.ops.slices import slice_p, update_slice_p
from chainrule.ops.sort import argsort

__all__ = ["index_add", "put_along_axis", "scatter_add", "scatter_reduce"]

REDUCTIONS = ("sum", "prod", "mean", "max", "min")
SYNONYMS = {"amax": "max", "amin": "min"}  # PyTorch's names


# ---------------------------------------------------------------------------------------------------- arguments
def _arguments(name: str, x: Any, indices: Any, updates: Any, axis: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Return x, the corner of x that is written, indices >= 0, updates of their shape, and the axis."""
    x, indices = as_tensor(x), integer_indices(indices, name)
    a = axis_index(axis, x.ndim, name)
    if indices.ndim != x.ndim or any(m > n for i, (m, n) in enumerate(zip(indices.shape, x.shape)) if i != a):
        raise fail(
            ShapeError,
            f"{name}: x is {x.shape} and the indices are {indices.shape}; they need as many axes, and but for axis {a} "
            "no more elements.",
        )
    updates = _values(name, x, updates, indices.shape)
    n = x.shape[a]
    indices = where(indices < 0, indices + n, indices)
    size = tuple(n if i == a else m for i, m in enumerate(indices.shape))
    corner = x if size == x.shape else bind(slice_p, x, starts=(0,) * x.ndim, limits=size, steps=(1,) * x.ndim)
    return x, corner, indices, updates, a


def _values(name: str, x: Tensor, updates: Any, shape: tuple[int, ...]) -> Tensor:
    """Return the updates in the dtype of x and the shape of the indices; more than that is left out."""
    updates = as_tensor(updates, x)
    if promote(updates.dtype, x.dtype) is not x.dtype:
        raise fail(
            DTypeError,
            f"{name}: x is {x.dtype.name} and the updates are {updates.dtype.name}; convert one with .astype.",
        )
    updates = cast(updates, x.dtype)
    if not updates.ndim:
        return broadcast_to(updates, shape)
    if updates.ndim != len(shape) or any(m < n for m, n in zip(updates.shape, shape)):
        raise fail(ShapeError, f"{name}: the updates are {updates.shape} and the indices {shape}; they must be equal.")
    if updates.shape == shape:
        return updates
    return bind(slice_p, updates, starts=(0,) * len(shape), limits=shape, steps=(1,) * len(shape))


def _written(x: Tensor, corner: Tensor) -> Tensor:
    """Return x with its corner replaced."""
    if corner.shape == x.shape:
        return corner
    return bind(update_slice_p, x, corner, starts=(0,) * x.ndim, steps=(1,) * x.ndim)


# ---------------------------------------------------------------------------------------------------- products
def _later(x: Tensor, places: int, axis: int, fill: float) -> Tensor:
    """Return x moved towards the end of an axis, with `fill` in front."""
    front = tuple(min(places, n) if i == axis else n for i, n in enumerate(x.shape))
    limits = tuple(n - m if i == axis else n for i, (n, m) in enumerate(zip(x.shape, front)))
    kept = bind(slice_p, x, starts=(0,) * x.ndim, limits=limits, steps=(1,) * x.ndim)
    return concat([full(front, fill, dtype=x.dtype), kept], axis=axis)


def _segment_products(indices: Tensor, updates: Tensor, shape: tuple[int, ...], axis: int) -> tuple[Tensor, Tensor]:
    """Return the product of the updates of each place, 0 where there is none, and how many places that are, 0 or 1."""
    order = argsort(indices, axis=axis)
    places, factors = take_along(indices, order, axis), take_along(updates, order, axis)
    reach, n = 1, places.shape[axis]  # factors holds the product of the last `reach` factors of the same place
    while reach < n:
        same = _later(places, reach, axis, -1) == places
        factors = factors * where(same, _later(factors, reach, axis, 1), 1)
        reach *= 2
    last = _later(places[_reverse(places.ndim, axis)], 1, axis, -1)[_reverse(places.ndim, axis)] != places
    products = place_along(where(last, factors, 0), places, shape, axis)
    return products, place_along(cast(last, updates.dtype), places, shape, axis)


def _reverse(ndim: int, axis: int) -> tuple[slice, ...]:
    return tuple(slice(None, None, -1) if i == axis else slice(None) for i in range(ndim))


# ---------------------------------------------------------------------------------------------------- functions
def scatter_add(x: Tensor, indices: Tensor, updates: Tensor | float, /, *, axis: int = -1) -> Tensor:
    """Return x with updates added at indices along an axis; updates of equal indices add up.

        y = x;  y[i, indices[i, j]] += updates[i, j]                                         for a matrix and axis 1

    Args:
        x: numeric tensor.
        indices: integer tensor with as many axes as x and, but for `axis`, no more elements; negative ones count from
            the end.
        updates: tensor of the shape of the indices, or a number.
        axis: the axis; default -1.

    Returns:
        Tensor of the shape and dtype of x.

    Raises:
        IndexRangeError: an index outside the axis, or the axis does not exist.
        ShapeError: shapes that do not fit.
        DTypeError: indices that are no integers, updates that x can't hold, or bool.

    Example:
        >>> import chainrule as cr
        >>> cr.scatter_add(cr.zeros(3), cr.asarray([0, 2, 0]), cr.asarray([1.0, 2.0, 3.0]))
        tensor([4., 0., 2.], shape=(3,), dtype=float32)
    """
    return scatter_reduce(x, indices, updates, "sum", axis=axis)


def scatter_reduce(
    x: Tensor,
    indices: Tensor,
    updates: Tensor | float,
    /,
    reduce: str,
    *,
    axis: int = -1,
    include_self: bool = True,
) -> Tensor:
    """Return x with the updates of each place combined with it: their sum, product, mean, maximum or minimum.

        y[i, k] = reduce of x[i, k] and all updates[i, j] with indices[i, j] = k             for a matrix and axis 1

    Args:
        x: numeric tensor; a float tensor for "mean".
        indices: integer tensor with as many axes as x and, but for `axis`, no more elements; negative ones count from
            the end.
        updates: tensor of the shape of the indices, or a number.
        reduce: "sum", "prod", "mean", "max" or "min" ("amax", "amin"); equal largest ones share the gradient.
        axis: the axis; default -1.
        include_self: whether x itself counts where there are updates; default True.

    Returns:
        Tensor of the shape and dtype of x; places without updates keep x.

    Raises:
        IndexRangeError: an index outside the axis, or the axis does not exist.
        ShapeError: shapes that do not fit.
        DTypeError: indices that are no integers, updates that x can't hold, or bool.
        ValueError: an unknown reduction.

    Example:
        >>> import chainrule as cr
        >>> cr.scatter_reduce(cr.ones(2), cr.asarray([0, 0, 1]), cr.asarray([5.0, 3.0, -1.0]), "max")
        tensor([5., 1.], shape=(2,), dtype=float32)
    """
    reduce = SYNONYMS.get(reduce, reduce)
    if reduce not in REDUCTIONS:
        listed = ", ".join(f'"{name}"' for name in REDUCTIONS)
        close = nearest(reduce, REDUCTIONS) if isinstance(reduce, str) else ""
        raise ValueError(f"scatter_reduce.reduce must be one of {listed}; got {reduce!r}{close or '.'}")
    name = "scatter_add" if reduce == "sum" else "scatter_reduce"
    x, corner, indices, updates, a = _arguments(name, x, indices, updates, axis)
    if x.dtype.kind == "bool" or (reduce == "mean" and not x.dtype.is_float):
        wanted = "float" if reduce == "mean" else "numeric"
        raise fail(DTypeError, f"{name} needs a {wanted} tensor; got {x.dtype.name}: use .astype(cr.float32).")
    if not include_self:
        counts = place_along(ones(indices.shape, dtype=corner.dtype), indices, corner.shape, a)
        corner = where(counts > 0, neutral(reduce, x), corner)
    return _written(x, _reduced(reduce, corner, indices, updates, a, include_self))


def neutral(reduce: str, x: Tensor) -> float:
    """Return what changes nothing."""
    if reduce in ("max", "min"):
        sign = -1 if reduce == "max" else 1
        if x.dtype.is_float:
            return sign * math.inf
        limits = np.iinfo(x.dtype.numpy)
        return int(limits.min if reduce == "max" else limits.max)
    return 1 if reduce == "prod" else 0


def _reduced(reduce: str, x: Tensor, indices: Tensor, updates: Tensor, axis: int, include_self: bool) -> Tensor:
    if reduce in ("max", "min"):
        return bind(max_along_p if reduce == "max" else min_along_p, x, indices, updates, axis=axis)
    if reduce == "prod":
        products, touched = _segment_products(indices, updates, x.shape, axis)
        return where(touched > 0, x * products, x)
    y = bind(add_along_p, x, indices, updates, axis=axis)
    if reduce == "sum":
        return y
    counts = place_along(ones(indices.shape, dtype=x.dtype), indices, x.shape, axis)
    return y / (counts + 1 if include_self else where(counts > 0, counts, 1))


def put_along_axis(x: Tensor, indices: Tensor, values: Tensor | float, /, *, axis: int = -1) -> Tensor:
    """Return x with values placed at indices along an axis: what take_along_axis reads, this writes.

        y = x;  y[i, indices[i, j]] = values[i, j]                                           for a matrix and axis 1

    Args:
        x: tensor of any dtype.
        indices: integer tensor with as many axes as x and, but for `axis`, no more elements; negative ones count from
            the end.
        values: tensor of the shape of the indices, or a number.
        axis: the axis; default -1.

    Returns:
        Tensor of the shape and dtype of x; of equal indices the last one stays.

    Raises:
        IndexRangeError: an index outside the axis, or the axis does not exist.
        ShapeError: shapes that do not fit.
        DTypeError: indices that are no integers, or values that x can't hold.

    Example:
        >>> import chainrule as cr
        >>> cr.put_along_axis(cr.zeros((2, 3)), cr.asarray([[1], [2]]), 7.0)
        tensor([[0., 7., 0.],
                [0., 0., 7.]], shape=(2, 3), dtype=float32)
    """
    x, corner, indices, values, a = _arguments("put_along_axis", x, indices, values, axis)
    rows = [
        indices if i == a else reshape(arange(n), (1,) * i + (n,) + (1,) * (x.ndim - i - 1))
        for i, n in enumerate(indices.shape)
    ]
    at = index_rows([broadcast_to(row, indices.shape) for row in rows])
    return _written(x, bind(scatter_set_p, corner, at, values, axes=tuple(range(x.ndim))))


def index_add(x: Tensor, indices: Tensor, updates: Tensor, /, *, axis: int = 0) -> Tensor:
    """Return x with whole rows of updates added at indices of an axis; rows of equal indices add up.

        y = x;  y[indices[j], ...] += updates[j, ...]                                                      for axis 0

    Args:
        x: numeric tensor.
        indices: integer vector [m]; negative ones count from the end.
        updates: tensor of the shape of x, but m along the axis.
        axis: the axis; default 0.

    Returns:
        Tensor of the shape and dtype of x.

    Raises:
        IndexRangeError: an index outside the axis, or the axis does not exist.
        ShapeError: indices that are no vector, or updates of another shape.
        DTypeError: indices that are no integers, or updates that x can't hold.

    Example:
        >>> import chainrule as cr
        >>> cr.index_add(cr.zeros((3, 2)), cr.asarray([2, 2]), cr.ones((2, 2)))
        tensor([[0., 0.],
                [0., 0.],
                [2., 2.]], shape=(3, 2), dtype=float32)
    """
    x, indices = as_tensor(x), integer_indices(indices, "index_add")
    a = axis_index(axis, x.ndim, "index_add")
    if indices.ndim != 1:
        raise fail(ShapeError, f"index_add: the indices must be a vector; got the shape {indices.shape}.")
    updates = as_tensor(updates, x)
    wanted = (*x.shape[:a], indices.shape[0], *x.shape[a + 1 :])
    if updates.shape != wanted:
        raise fail(ShapeError, f"index_add: the updates must have the shape {wanted}; got {updates.shape}.")
    rows = moveaxis(_values("index_add", x, updates, wanted), a, 0)
    return bind(scatter_add_p, x, reshape(indices, (1, indices.shape[0])), rows, axes=(a,))

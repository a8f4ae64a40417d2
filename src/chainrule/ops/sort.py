"""Order: sorting, the largest and smallest elements, their positions, and where elements are.

`argsort`, `argmax`, `argmin` and `searchsorted` are primitives with integer outputs; `sort` and `top_k` pick with them,
so their gradients are those of `take_along_axis`. All sorts are stable. NaN counts as larger than every number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.context import local
from chainrule.core.dtypes import int64
from chainrule.core.errors import DTypeError, ShapeError, TraceError, user_location
from chainrule.core.lowering import Loop
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor, concrete_value
from chainrule.ops._inputs import as_tensor, axis_index, constant, pair
from chainrule.ops._reductions import reduced
from chainrule.ops.gather import take_along_axis
from chainrule.ops.shape import expand_dims, reshape
from chainrule.ops.slices import narrow

__all__ = ["argmax", "argmin", "argsort", "nonzero", "searchsorted", "sort", "top_k"]


# ---------------------------------------------------------------------------------------------------- primitives
def _position(name: str, function: Callable) -> Primitive:
    """Declare argmax or argmin: the first of equals; a NaN counts as the extreme one."""

    def shape(x: TensorType, *, axis: int) -> TensorType:
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"{name}: axis {axis} does not exist in {x.shape}.")
        out = reduced(x.shape, (axis,), False)
        if x.shape[axis] == 0 and 0 not in out:
            raise ShapeError(f"{name}: axis {axis} of {x.shape} has no elements, so there is no {name[3:]}.")
        return TensorType(out, int64)

    def reference(x: np.ndarray, *, axis: int) -> np.ndarray:
        if not x.size:  # of no rows: NumPy refuses where they are empty too
            return np.zeros(reduced(x.shape, (axis,), False), np.int64)
        return function(x, axis=axis).astype(np.int64)

    return primitive(
        name,
        lower=Loop(name),
        reference=reference,
        shape=shape,
        flops=lambda x, *, axis: x.size,
        samples=[
            Sample(((2, 3),), {"axis": 0}, smooth=False),
            Sample(((2, 3),), {"axis": 1}, smooth=False),
            Sample(((0, 3),), {"axis": 1}, smooth=False),
            Sample((np.array([1, 5, 5, 0]),), {"axis": 0}, smooth=False),
            Sample((np.array([True, False, True]),), {"axis": 0}, smooth=False),
        ],
        invalid=[
            Invalid((np.zeros(3),), f"{name}: axis 1 does not exist in (3,).", {"axis": 1}),
            Invalid(
                (np.zeros((0, 3)),),
                f"{name}: axis 0 of (0, 3) has no elements, so there is no {name[3:]}.",
                {"axis": 0},
            ),
        ],
    )


argmax_p = _position("argmax", lambda x, *, axis: np.argmax(x, axis=axis))
argmin_p = _position("argmin", lambda x, *, axis: np.argmin(x, axis=axis))


def _argsort(x: np.ndarray, *, axis: int, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(x, axis=axis, stable=True).astype(np.int64)
    backwards = np.argsort(
        np.flip(x, axis), axis=axis, stable=True
    )  # equal elements keep their order when flipped back
    return np.flip(x.shape[axis] - 1 - backwards, axis).astype(np.int64)


def _argsort_shape(x: TensorType, *, axis: int, descending: bool) -> TensorType:
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"argsort: axis {axis} does not exist in {x.shape}.")
    return TensorType(x.shape, int64)


argsort_p = primitive(
    "argsort",
    reference=_argsort,
    shape=_argsort_shape,
    samples=[
        Sample(((2, 3),), {"axis": 0, "descending": False}, smooth=False),
        Sample(((2, 3),), {"axis": 1, "descending": True}, smooth=False),
        Sample(((0, 3),), {"axis": 0, "descending": True}, smooth=False),
        Sample((np.array([2, 1, 2, 1]),), {"axis": 0, "descending": False}, smooth=False),
        Sample((np.array([2, 1, 2, 1]),), {"axis": 0, "descending": True}, smooth=False),
        Sample((np.array([1.0, np.nan, -np.inf, np.inf]),), {"axis": 0, "descending": False}, smooth=False),
    ],
    invalid=[
        Invalid((np.zeros(3),), "argsort: axis 1 does not exist in (3,).", {"axis": 1, "descending": False}),
    ],
)


def _searchsorted_shape(x1: TensorType, x2: TensorType, *, side: str) -> TensorType:
    if x1.ndim != 1:
        raise ShapeError(f"searchsorted: the sorted tensor must be a vector; got the shape {x1.shape}.")
    if x1.dtype is not x2.dtype:
        raise DTypeError(
            f"searchsorted: the dtypes {x1.dtype.name} and {x2.dtype.name} differ; convert one with .astype."
        )
    return TensorType(x2.shape, int64)


searchsorted_p = primitive(
    "searchsorted",
    reference=lambda x1, x2, *, side: np.asarray(np.searchsorted(x1, x2, side=side), np.int64),
    shape=_searchsorted_shape,
    samples=[
        Sample((np.array([1.0, 2.0, 2.0, 5.0]), np.array([[2.0, 0.0], [9.0, 5.0]])), {"side": "left"}, smooth=False),
        Sample((np.array([1, 2, 2, 5]), np.array([2, 5])), {"side": "right"}, smooth=False),
        Sample((np.zeros(0), np.array(1.0)), {"side": "left"}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros((2, 2)), np.zeros(1)),
            "searchsorted: the sorted tensor must be a vector; got the shape (2, 2).",
            {"side": "left"},
        ),
        Invalid(
            (np.zeros(2), np.arange(1)),
            "searchsorted: the dtypes float64 and int64 differ; convert one with .astype.",
            {"side": "left"},
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- functions
def argmax(x: Tensor, /, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Return the position of the largest element along an axis: the first of equals, and NaN is the largest.

    Args:
        x: tensor of any dtype with at least one element along the axis.
        axis: the axis; default x is flattened.
        keepdims: keep the axis with size 1; default False.

    Returns:
        Tensor int64 of the remaining shape.

    Raises:
        ShapeError: there is no element.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.argmax(cr.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=1)
        tensor([1, 0], shape=(2,), dtype=int64)
    """
    return _find(argmax_p, x, axis, keepdims)


def argmin(x: Tensor, /, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Return the position of the smallest element along an axis: the first of equals, and NaN is the smallest.

    Args:
        x: tensor of any dtype with at least one element along the axis.
        axis: the axis; default x is flattened.
        keepdims: keep the axis with size 1; default False.

    Returns:
        Tensor int64 of the remaining shape.

    Raises:
        ShapeError: there is no element.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.argmin(cr.asarray([[1.0, 5.0], [7.0, 2.0]]), axis=1)
        tensor([0, 1], shape=(2,), dtype=int64)
    """
    return _find(argmin_p, x, axis, keepdims)


def _find(p: Primitive, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    if axis is None:
        y = bind(p, reshape(x, (x.size,)), axis=0)
        return reshape(y, (1,) * x.ndim) if keepdims else y
    a = axis_index(axis, x.ndim, p.name)
    y = bind(p, x, axis=a)
    return expand_dims(y, a) if keepdims else y


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the positions that sort x along an axis.

    Args:
        x: tensor of any shape and dtype.
        axis: the axis; default -1.
        descending: largest first; default False.
        stable: equal elements keep their order; they always do.

    Returns:
        Tensor int64 of the shape of x.

    Raises:
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.argsort(cr.asarray([3.0, 1.0, 2.0]))
        tensor([1, 2, 0], shape=(3,), dtype=int64)
    """
    x = as_tensor(x)
    return bind(argsort_p, x, axis=axis_index(axis, x.ndim, "argsort"), descending=descending)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return x sorted along an axis; each gradient goes to the element that it belongs to.

    Args:
        x: tensor of any shape and dtype.
        axis: the axis; default -1.
        descending: largest first; default False.
        stable: equal elements keep their order; they always do.

    Returns:
        Tensor of the shape and dtype of x.

    Raises:
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.sort(cr.asarray([3.0, 1.0, 2.0]), descending=True)
        tensor([3., 2., 1.], shape=(3,), dtype=float32)
    """
    x = as_tensor(x)
    return take_along_axis(x, argsort(x, axis=axis, descending=descending), axis=axis)


def top_k(x: Tensor, k: int, /, *, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Return the k largest elements along an axis, largest first, and their positions.

    Args:
        x: tensor with at least k elements along the axis.
        k: how many, >= 0.
        axis: the axis; default -1.

    Returns:
        Values, and positions as int64; of equal elements the first comes first.

    Raises:
        ShapeError: the axis has fewer than k elements.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.top_k(cr.asarray([3.0, 1.0, 2.0]), 2)[1]
        tensor([0, 2], shape=(2,), dtype=int64)
    """
    x = as_tensor(x)
    a = axis_index(axis, x.ndim, "top_k")
    if not 0 <= k <= x.shape[a]:
        raise ShapeError(f"top_k: k must be in [0, {x.shape[a]}], the size of axis {a} of {x.shape}; got {k}.")
    positions = narrow(argsort(x, axis=a, descending=True), a, 0, k)
    return take_along_axis(x, positions, axis=a), positions


def searchsorted(x1: Tensor, x2: Tensor, /, *, side: str = "left", sorter: Tensor | None = None) -> Tensor:
    """Return where each element of x2 would have to be inserted to keep x1 sorted.

    Args:
        x1: sorted vector [n].
        x2: tensor of any shape.
        side: "left" before equal elements, "right" after them; default "left".
        sorter: positions that sort x1, where it is not sorted itself; default none.

    Returns:
        Tensor int64 of the shape of x2, with values in [0, n].

    Raises:
        ShapeError: x1 is no vector.
        ValueError: an unknown side.

    Example:
        >>> import chainrule as cr
        >>> cr.searchsorted(cr.asarray([1.0, 2.0, 4.0]), cr.asarray([2.0, 3.0]))
        tensor([1, 2], shape=(2,), dtype=int64)
    """
    if side not in ("left", "right"):
        raise ValueError(f'searchsorted.side must be "left" or "right"; got {side!r}.')
    x1, x2 = pair(x1, x2)
    return bind(searchsorted_p, x1 if sorter is None else take_along_axis(x1, sorter), x2, side=side)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Return the positions of the elements that are not 0, one tensor per axis.

    Args:
        x: tensor with at least one axis.

    Returns:
        Tuple of int64 vectors, in row-major order.

    Raises:
        ShapeError: a tensor without axes.
        TraceError: while tracing, as the shape of the result depends on values.

    Example:
        >>> import chainrule as cr
        >>> cr.nonzero(cr.asarray([0, 3, 0, 5]))
        (tensor([1, 3], shape=(2,), dtype=int64),)
    """
    x = as_tensor(x)
    if not x.ndim:
        raise ShapeError("nonzero needs a tensor with axes; got the shape ().", location=user_location())
    if local.interpreter is not None:
        raise TraceError(
            "the shape of nonzero(x) depends on the values of x, and there are none yet while cr.jit traces. "
            "Use cr.where(x != 0, ...), or move this line outside the step.",
            location=user_location(),
        )
    return tuple(constant(row.astype(np.int64)) for row in np.nonzero(concrete_value(x, "nonzero")))

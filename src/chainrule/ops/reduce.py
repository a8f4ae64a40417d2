"""Reductions: many values along some axes become one.

Sums of bool and integer tensors are computed in int64 (unsigned ones in uint64), floats keep their dtype. Ties of
`max` and `min` share the gradient equally, as PyTorch's `amax` does. `prod` stands in `product.py`, `mean` in
`statistics.py`, `argmax` in `sort.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import bool_
from chainrule.core.lowering import Reduction
from chainrule.core.primitive import Edge, Invalid, Primitive, Sample, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple, cast
from chainrule.ops._reductions import Axes, Axis, accumulator, reduced, reduced_shape, reductions, refuses_axes, spread
from chainrule.ops.shape import broadcast_to

__all__ = ["all", "any", "count_nonzero", "max", "min", "sum"]


# ---------------------------------------------------------------------------------------------------- primitives
sum_p = primitive(
    "sum",
    reference=lambda x, *, axis, keepdims: np.sum(x, axis=axis, dtype=x.dtype, keepdims=keepdims),
    shape=reduced_shape("sum", "numeric or complex"),
    linear=(0,),
    transpose=lambda g, x_shape, *, axis, keepdims: broadcast_to(spread(g, x_shape, axis, keepdims), x_shape),
    flops=lambda x, *, axis, keepdims: x.size,
    samples=reductions(),
    invalid=refuses_axes("sum", "numeric or complex"),
    lower=Reduction("add"),
)


def _extreme(name: str, function: Callable) -> Primitive:
    """Declare max or min; where several elements are extreme, each gets an equal share of the gradient."""

    def share(x: Tensor, y: Tensor, axis: Axes, keepdims: bool) -> Tensor:
        hits = cast(x == spread(y, x.shape, axis, keepdims), x.dtype)
        return hits / bind(sum_p, hits, axis=axis, keepdims=True)

    def vjp(g: Tensor, x: Tensor, y: Tensor, *, axis: Axes, keepdims: bool) -> Tensor:
        return spread(g, x.shape, axis, keepdims) * share(x, y, axis, keepdims)

    def jvp(tangents: tuple, x: Tensor, y: Tensor, *, axis: Axes, keepdims: bool) -> Tensor:
        return bind(sum_p, tangents[0] * share(x, y, axis, keepdims), axis=axis, keepdims=keepdims)

    def reference(x: np.ndarray, *, axis: Axes, keepdims: bool) -> np.ndarray:
        if not x.size:  # the extremes of no rows: NumPy refuses where an axis of them is empty too
            return np.zeros(reduced(x.shape, axis, keepdims), x.dtype)
        return function(x, axis=axis, keepdims=keepdims)

    sign = 1.0 if name == "max" else -1.0
    whole = {"axis": (0,), "keepdims": False}
    missing = f"{name}: axis 0 of (0, 3) has no elements, so there is no {name}."
    return primitive(
        name,
        reference=reference,
        shape=reduced_shape(name, "numeric", needs_elements=True),
        vjp=vjp,
        jvp=jvp,
        flops=lambda x, *, axis, keepdims: x.size,
        lower=Reduction(name),
        samples=reductions(empty=False),
        edges=[
            Edge((sign * np.array([1.0, 2.0, 2.0]),), (np.array([0.0, 0.5, 0.5]),), whole, "ties share equally"),
            Edge((np.array([3.0, 3.0, 3.0]),), (np.full(3, 1 / 3),), whole, "all equal"),
            Edge(
                (sign * np.array([[0.0, 1.0]]),),
                (np.array([[0.0, 1.0]]),),
                {"axis": (0, 1), "keepdims": False},
                "no tie",
            ),
        ],
        invalid=[*refuses_axes(name, "numeric"), Invalid((np.zeros((0, 3)),), missing, whole)],
    )


max_p = _extreme("max", lambda x, *, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims))
min_p = _extreme("min", lambda x, *, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims))


def _test(name: str, function: Callable) -> Primitive:
    """Declare any or all."""
    grid = np.array([[True, False, False], [True, True, False]])
    return primitive(
        name,
        reference=lambda x, *, axis, keepdims: function(x, axis=axis, keepdims=keepdims),
        shape=reduced_shape(name, "any", bool_),
        lower=Reduction("or" if name == "any" else "and", lambda k, x: k.cast(x, "bool")),
        samples=[
            *reductions(smooth=False),
            Sample((grid,), {"axis": (0,), "keepdims": False}, smooth=False),
            Sample((grid,), {"axis": (0, 1), "keepdims": True}, smooth=False),
        ],
        invalid=refuses_axes(name, "any"),
    )


any_p = _test("any", lambda x, *, axis, keepdims: np.any(x != 0, axis=axis, keepdims=keepdims))
all_p = _test("all", lambda x, *, axis, keepdims: np.all(x != 0, axis=axis, keepdims=keepdims))


# ---------------------------------------------------------------------------------------------------- functions
def sum(x: Tensor, /, axis: Axis = None, *, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Return the sum along axes.

    Args:
        x: tensor of any shape and dtype.
        axis: the axes that vanish; default all.
        dtype: dtype of the sum; default that of a float x, int64 for bool and ints, uint64 for unsigned ints.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Tensor of the remaining shape; an empty sum is 0.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.sum(cr.ones((2, 3)), axis=1)
        tensor([3., 3.], shape=(2,), dtype=float32)
    """
    x = accumulator(as_tensor(x), dtype)
    return bind(sum_p, x, axis=axes_tuple(axis, x.ndim, "sum"), keepdims=keepdims)


def max(x: Tensor, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return the largest element along axes; NaN if there is one, and equal ones share the gradient.

    Args:
        x: numeric tensor of any shape.
        axis: the axes that vanish; default all.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Tensor of the remaining shape, and the dtype of x.

    Raises:
        IndexRangeError: an axis does not exist.
        ShapeError: there is no element.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.max(cr.asarray([[1, 5], [3, 2]]), axis=1)
        tensor([5, 3], shape=(2,), dtype=int64)
    """
    x = as_tensor(x)
    return bind(max_p, x, axis=axes_tuple(axis, x.ndim, "max"), keepdims=keepdims)


def min(x: Tensor, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return the smallest element along axes; NaN if there is one, and equal ones share the gradient.

    Args:
        x: numeric tensor of any shape.
        axis: the axes that vanish; default all.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Tensor of the remaining shape, and the dtype of x.

    Raises:
        IndexRangeError: an axis does not exist.
        ShapeError: there is no element.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.min(cr.asarray([[1, 5], [3, 2]]), axis=1)
        tensor([1, 2], shape=(2,), dtype=int64)
    """
    x = as_tensor(x)
    return bind(min_p, x, axis=axes_tuple(axis, x.ndim, "min"), keepdims=keepdims)


def any(x: Tensor, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return whether any element along axes is true (not 0).

    Args:
        x: tensor of any shape and dtype; NaN counts as true.
        axis: the axes that vanish; default all.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Bool tensor of the remaining shape; False where there is no element.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.any(cr.asarray([[0, 5], [0, 0]]), axis=1)
        tensor([ True, False], shape=(2,), dtype=bool)
    """
    x = as_tensor(x)
    return bind(any_p, x, axis=axes_tuple(axis, x.ndim, "any"), keepdims=keepdims)


def all(x: Tensor, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return whether all elements along axes are true (not 0).

    Args:
        x: tensor of any shape and dtype; NaN counts as true.
        axis: the axes that vanish; default all.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Bool tensor of the remaining shape; True where there is no element.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.all(cr.asarray([[1, 5], [0, 1]]), axis=1)
        tensor([ True, False], shape=(2,), dtype=bool)
    """
    x = as_tensor(x)
    return bind(all_p, x, axis=axes_tuple(axis, x.ndim, "all"), keepdims=keepdims)


def count_nonzero(x: Tensor, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return how many elements along axes are not 0.

    Args:
        x: tensor of any shape and dtype; NaN counts.
        axis: the axes that vanish; default all.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Tensor int64 of the remaining shape.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.count_nonzero(cr.asarray([[0, 5], [0, 0]]))
        tensor(1, shape=(), dtype=int64)
    """
    x = as_tensor(x)
    return sum(x if x.dtype is bool_ else x != 0, axis, keepdims=keepdims)

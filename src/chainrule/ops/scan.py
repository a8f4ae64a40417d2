"""Running sums and products along an axis.

The gradient of a running product divides by nothing, so it is finite where factors are zero. With E the product of all
earlier factors,

    y_k = x_k y_(k-1),     dL/dx_i = E_i h_i,     h_i = g_i + x_(i+1) h_(i+1)

and the recurrence h is solved in log2(n) steps by doubling (Kogge and Stone, IEEE Trans. Comput. C-22, 1973).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import Loop
from chainrule.core.primitive import Edge, Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axis_index
from chainrule.ops._reductions import accumulator
from chainrule.ops.complex_parts import conj
from chainrule.ops.creation import full, ones
from chainrule.ops.join import concat, flip
from chainrule.ops.slices import narrow, pad_p

__all__ = ["cumulative_prod", "cumulative_sum"]


# ---------------------------------------------------------------------------------------------------- primitives
def _shape_rule(name: str) -> Callable[..., TensorType]:
    def rule(x: TensorType, *, axis: int) -> TensorType:
        if x.dtype.kind == "bool":
            raise DTypeError(f"{name} needs a numeric tensor; got bool.")
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"{name}: axis {axis} does not exist in {x.shape}.")
        return x

    return rule


SAMPLES = [
    Sample(((3,),), {"axis": 0}),
    Sample(((2, 3),), {"axis": 0}),
    Sample(((2, 5),), {"axis": 1}),
    Sample(((1,),), {"axis": 0}),
    Sample(((0, 3),), {"axis": 0}),
    Sample((np.array([[3, -1], [2, 2]]),), {"axis": 1}, smooth=False),
]


def _refusals(name: str) -> list[Invalid]:
    return [
        Invalid((np.zeros(3),), f"{name}: axis 1 does not exist in (3,).", {"axis": 1}),
        Invalid((np.zeros(3, bool),), f"{name} needs a numeric tensor; got bool.", {"axis": 0}),
    ]


cumulative_sum_p: Primitive = primitive(
    "cumulative_sum",
    lower=Loop("cumulative_sum"),
    reference=lambda x, *, axis: np.cumsum(x, axis=axis, dtype=x.dtype),
    shape=_shape_rule("cumulative_sum"),
    linear=(0,),
    transpose=lambda g, *, axis: flip(bind(cumulative_sum_p, flip(g, axis), axis=axis), axis),
    flops=lambda x, *, axis: x.size,
    samples=SAMPLES,
    invalid=_refusals("cumulative_sum"),
)


def _later(x: Tensor, places: int, axis: int) -> Tensor:
    """Return x moved towards the end of an axis, with zeros in front."""
    low = tuple(places if i == axis else 0 for i in range(x.ndim))
    none = (0,) * x.ndim
    return bind(pad_p, narrow(x, axis, 0, x.shape[axis] - places), low=low, high=none, interior=none)


def _recurrence(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """Return s with s_k = b_k + a_k s_(k-1) and nothing before the first."""
    reach = 1  # b_k holds the terms of the last `reach` places, a_k the factors between
    while reach < b.shape[axis]:
        a, b = a * _later(a, reach, axis), b + a * _later(b, reach, axis)
        reach *= 2
    return b


def _earlier_product(x: Tensor, y: Tensor, axis: int) -> Tensor:
    """Return the product of all factors before each place; 1 before the first."""
    n = x.shape[axis]
    first = ones(tuple(min(1, n) if i == axis else size for i, size in enumerate(x.shape)), dtype=x.dtype)
    return concat([first, narrow(y, axis, 0, max(n - 1, 0))], axis=axis)


def _prod_vjp(g: Tensor, x: Tensor, y: Tensor, *, axis: int) -> Tensor:
    if not x.shape[axis]:
        return g
    x, y = conj(x), conj(y)
    factors = _later(flip(x, axis), 1, axis)
    h = flip(_recurrence(factors, flip(g, axis), axis), axis)
    return _earlier_product(x, y, axis) * h


cumulative_prod_p = primitive(
    "cumulative_prod",
    lower=Loop("cumulative_prod"),
    reference=lambda x, *, axis: np.cumprod(x, axis=axis, dtype=x.dtype),
    shape=_shape_rule("cumulative_prod"),
    vjp=_prod_vjp,
    jvp=lambda tangents, x, y, *, axis: _recurrence(x, tangents[0] * _earlier_product(x, y, axis), axis),
    flops=lambda x, *, axis: x.size,
    samples=SAMPLES,
    edges=[
        Edge((np.array([2.0, 0.0, 3.0]),), (np.array([1.0, 8.0, 0.0]),), {"axis": 0}, "one zero: finite"),
        Edge((np.array([0.0, 0.0, 3.0]),), (np.array([1.0, 0.0, 0.0]),), {"axis": 0}, "two zeros"),
    ],
    invalid=_refusals("cumulative_prod"),
)


# ---------------------------------------------------------------------------------------------------- functions
def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Return the sums of all elements up to each place.

        y_k = x_0 + ... + x_k

    Args:
        x: tensor of any shape and dtype.
        axis: the axis; it may be left out where there is only one.
        dtype: dtype of the sum; default that of a float x, int64 for bool and ints, uint64 for unsigned ints.
        include_initial: put the empty sum 0 in front; default False.

    Returns:
        Tensor of the shape of x, or one longer along the axis.

    Raises:
        ShapeError: no axis is given and there is not exactly one.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.cumulative_sum(cr.asarray([1.0, 2.0, 3.0]))
        tensor([1., 3., 6.], shape=(3,), dtype=float32)
    """
    return _cumulative(cumulative_sum_p, x, axis, dtype, 0 if include_initial else None)


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Return the products of all elements up to each place.

        y_k = x_0 * ... * x_k

    Args:
        x: tensor of any shape and dtype.
        axis: the axis; it may be left out where there is only one.
        dtype: dtype of the product; default that of a float x, int64 for bool and ints, uint64 for unsigned ints.
        include_initial: put the empty product 1 in front; default False.

    Returns:
        Tensor of the shape of x, or one longer along the axis.

    Raises:
        ShapeError: no axis is given and there is not exactly one.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.cumulative_prod(cr.asarray([1.0, 2.0, 3.0]))
        tensor([1., 2., 6.], shape=(3,), dtype=float32)
    """
    return _cumulative(cumulative_prod_p, x, axis, dtype, 1 if include_initial else None)


def _cumulative(p: Primitive, x: Tensor, axis: int | None, dtype: Any, initial: int | None) -> Tensor:
    x = accumulator(as_tensor(x), dtype)
    if axis is None and x.ndim != 1:
        raise ShapeError(f"{p.name}: x has the shape {x.shape}; without axis= it must be a vector.")
    a = axis_index(0 if axis is None else axis, x.ndim, p.name)
    y = bind(p, x, axis=a)
    if initial is None:
        return y
    first = full(tuple(1 if i == a else n for i, n in enumerate(x.shape)), initial, dtype=x.dtype)
    return concat([first, y], axis=a)

"""The product of many values. Its gradient multiplies the other factors and divides by none.

So it is finite where factors are zero, to every order:

    d prod / d x_i = product of x_j over all j other than i

All of these together cost O(n): pairs are multiplied up a tree, and on the way down each element gets its partner times
what the level above found for their pair.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.lowering import Reduction
from chainrule.core.primitive import Edge, Sample, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple
from chainrule.ops._reductions import Axes, Axis, accumulator, reduced_shape, reductions, refuses_axes, spread
from chainrule.ops.complex_parts import conj
from chainrule.ops.creation import ones
from chainrule.ops.join import concat, stack
from chainrule.ops.reduce import sum_p
from chainrule.ops.shape import permute_dims, reshape
from chainrule.ops.slices import narrow

__all__ = ["prod"]


def _others(x: Tensor) -> Tensor:
    """Return, for each element along the last axis, the product of all the others: a tree of pairs, no division."""
    n = x.shape[-1]
    if n <= 1:
        return ones(x.shape, dtype=x.dtype)
    even = n + n % 2
    if even != n:
        x = concat([x, ones((*x.shape[:-1], 1), dtype=x.dtype)], axis=-1)
    left, right = narrow(x, -1, 0, even, 2), narrow(x, -1, 1, even, 2)  # [..., even / 2]
    rest = _others(left * right)
    pairs = stack([rest * right, rest * left], axis=-1)  # [..., even / 2, 2]
    return narrow(reshape(pairs, (*x.shape[:-1], even)), -1, 0, n)


def _prod_others(x: Tensor, axis: Axes) -> Tensor:
    """Return d prod / dx: the product of the other elements along `axis`, in the shape of x."""
    kept = tuple(i for i in range(x.ndim) if i not in axis)
    order = kept + axis
    moved = permute_dims(x, order)
    flat = reshape(moved, (*(x.shape[i] for i in kept), math.prod(x.shape[i] for i in axis)))
    back = tuple(order.index(i) for i in range(x.ndim))
    return permute_dims(reshape(_others(flat), moved.shape), back)


prod_p = primitive(
    "prod",
    reference=lambda x, *, axis, keepdims: np.prod(x, axis=axis, dtype=x.dtype, keepdims=keepdims),
    shape=reduced_shape("prod", "numeric or complex"),
    lower=Reduction("mul"),
    vjp=lambda g, x, *, axis, keepdims: spread(g, x.shape, axis, keepdims) * _prod_others(conj(x), axis),
    jvp=lambda tangents, x, *, axis, keepdims: bind(
        sum_p, tangents[0] * _prod_others(x, axis), axis=axis, keepdims=keepdims
    ),
    flops=lambda x, *, axis, keepdims: x.size,
    samples=[*reductions(), Sample(((5,),), {"axis": (0,), "keepdims": False})],
    edges=[
        Edge(
            (np.array([2.0, 0.0, 3.0]),),
            (np.array([0.0, 6.0, 0.0]),),
            {"axis": (0,), "keepdims": False},
            "one zero: finite",
        ),
        Edge(
            (np.array([2.0, 0.0, 0.0]),), (np.array([0.0, 0.0, 0.0]),), {"axis": (0,), "keepdims": False}, "two zeros"
        ),
        Edge(
            (np.array([[0.0, 5.0]]),), (np.array([[5.0, 0.0]]),), {"axis": (0, 1), "keepdims": True}, "zero, two axes"
        ),
    ],
    invalid=refuses_axes("prod", "numeric or complex"),
)


def prod(x: Tensor, /, axis: Axis = None, *, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Return the product along axes.

    Args:
        x: numeric or bool tensor of any shape.
        axis: the axes that vanish; default all.
        dtype: dtype of the product; default that of a float x, int64 for bool and ints, uint64 for unsigned ints.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Tensor of the remaining shape; an empty product is 1.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.prod(cr.asarray([2.0, 3.0, 4.0]))
        tensor(24., shape=(), dtype=float32)
    """
    x = accumulator(as_tensor(x), dtype)
    return bind(prod_p, x, axis=axes_tuple(axis, x.ndim, "prod"), keepdims=keepdims)

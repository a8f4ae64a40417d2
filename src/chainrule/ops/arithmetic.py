"""Arithmetic: sums, products, quotients and signs, elementwise.

Each block states the reference, the local derivative (from which vjp and jvp follow), where it is smooth, and the
values chosen at kinks and singular points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import float32, real_dtype
from chainrule.core.primitive import Edge
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, POSITIVE, elementwise, zero
from chainrule.ops._inputs import as_tensor, cast, pair
from chainrule.ops.complex_parts import conj
from chainrule.ops.selection import where

__all__ = [
    "abs",
    "add",
    "divide",
    "floor_divide",
    "multiply",
    "negative",
    "positive",
    "reciprocal",
    "remainder",
    "sign",
    "subtract",
]

# ---------------------------------------------------------------------------------------------------- primitives
add_p = elementwise(
    "add",
    lambda x1, x2: np.add(x1, x2),
    ANY,
    ANY,
    kind="numeric or complex",
    linear=(0, 1),
    transpose=(lambda g: g, lambda g: g),
    lower=lambda k, x1, x2: k.add(x1, x2),
)

subtract_p = elementwise(
    "subtract",
    lambda x1, x2: np.subtract(x1, x2),
    ANY,
    ANY,
    kind="numeric or complex",
    linear=(0, 1),
    transpose=(lambda g: g, lambda g: -g),
    lower=lambda k, x1, x2: k.sub(x1, x2),
)

multiply_p = elementwise(
    "multiply",
    lambda x1, x2: np.multiply(x1, x2),
    ANY,
    ANY,
    kind="numeric or complex",
    derivative=(lambda x2: x2, lambda x1: x1),
    lower=lambda k, x1, x2: k.mul(x1, x2),
)

divide_p = elementwise(
    "divide",
    lambda x1, x2: np.divide(x1, x2),
    ANY,
    POSITIVE,
    kind="float or complex",
    derivative=(lambda x2: reciprocal(x2), lambda x2, y: -y / x2),
    edges=[Edge((1.0, 0.0), (np.inf, -np.inf), why="a pole")],
    lower=lambda k, x1, x2: k.div(x1, x2),
)


def _floor_divide(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Return floor(x1 / x2); where one of two floats is infinite that is their quotient, as the Array API says."""
    y = np.floor_divide(x1, x2)
    if x1.dtype.kind in "iu":
        return y
    finite = np.isfinite(x1), np.isfinite(x2)
    odd = (np.isinf(x1) & finite[1] & (x2 != 0)) | (finite[0] & np.isinf(x2))
    return np.where(odd, x1 / x2, y)


def _floor_divide_element(k: Any, x1: Any, x2: Any) -> Any:
    if not x1.is_float:
        return k.floor_divide(x1, x2)
    infinite, finite = [k.eq(k.abs(x), np.inf) for x in (x1, x2)], [k.lt(k.abs(x), np.inf) for x in (x1, x2)]
    upper = k.both(infinite[0], k.both(finite[1], k.ne(x2, 0.0)))
    odd = k.either(upper, k.both(finite[0], infinite[1]))
    return k.select(odd, k.div(x1, x2), k.call("floor_divide", x1, x2))


floor_divide_p = elementwise(
    "floor_divide",
    _floor_divide,
    (2.1, 2.9),
    (0.8, 1.0),
    kind="numeric",
    derivative=(zero, zero),
    edges=[Edge((6.0, 3.0), (0.0, 0.0), why="a jump: constant on both sides")],
    lower=_floor_divide_element,
)

remainder_p = elementwise(
    "remainder",
    lambda x1, x2: np.remainder(x1, x2),
    (2.1, 2.9),
    (-1.0, -0.8),
    kind="numeric",
    flops=2,
    derivative=(lambda: 1.0, lambda x1, x2: -floor_divide(x1, x2)),
    edges=[Edge((6.0, 3.0), (1.0, -2.0), why="a jump: the slope to the right of it")],
    lower=lambda k, x1, x2: k.call("remainder", x1, x2) if x1.is_float else k.remainder(x1, x2),
)

negative_p = elementwise(
    "negative",
    lambda x: np.negative(x),
    ANY,
    kind="numeric or complex",
    linear=(0,),
    transpose=lambda g: -g,
    lower=lambda k, x: k.neg(x),
)

positive_p = elementwise(
    "positive",
    lambda x: np.positive(x),
    ANY,
    kind="numeric or complex",
    linear=(0,),
    transpose=lambda g: g,
    lower=lambda k, x: x,
)

reciprocal_p = elementwise(
    "reciprocal",
    lambda x: np.reciprocal(x),
    POSITIVE,
    kind="float or complex",
    derivative=lambda y: -y * y,
    edges=[Edge((0.0,), (-np.inf,), why="a pole")],
    lower=lambda k, x: k.div(1.0, x),
)

abs_p = elementwise(
    "abs",
    lambda x: np.abs(x),
    (0.1, 2.0),
    kind="numeric or complex",
    result=real_dtype,
    derivative=lambda x: conj(sign(x)),
    edges=[
        Edge((0.0,), (0.0,), why="the middle of the slopes -1 and 1"),
        Edge((-2.0,), (-1.0,), why="left of the kink"),
    ],
    lower=lambda k, x: k.abs(x),
)


def _sign_element(k: Any, x: Any) -> Any:
    side = k.select(k.lt(x, 0), 0 if x.kind[0] == "u" else -1, k.select(k.eq(x, 0), 0, x))  # what is left is NaN
    return k.select(k.gt(x, 0), 1, side)


sign_p = elementwise(
    "sign",
    lambda x: np.sign(x),
    (0.1, 2.0),
    kind="numeric",
    derivative=zero,
    edges=[Edge((0.0,), (0.0,), why="a jump: constant on both sides")],
    lower=_sign_element,
)


def add(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 + x2 elementwise, with broadcasting.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.add(cr.ones(2), 1)
        tensor([2., 2.], shape=(2,), dtype=float32)
    """
    return bind(add_p, *pair(x1, x2))


def subtract(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 - x2 elementwise, with broadcasting.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.subtract(cr.ones(2), 3)
        tensor([-2., -2.], shape=(2,), dtype=float32)
    """
    return bind(subtract_p, *pair(x1, x2))


def multiply(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 * x2 elementwise, with broadcasting.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.multiply(cr.ones(2), 3)
        tensor([3., 3.], shape=(2,), dtype=float32)
    """
    return bind(multiply_p, *pair(x1, x2))


def divide(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 / x2 elementwise, with broadcasting; integers are converted to float32 first.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Float tensor of the broadcast shape. Division by zero gives an infinity, 0 / 0 NaN.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.divide(cr.arange(3), 2)
        tensor([0. , 0.5, 1. ], shape=(3,), dtype=float32)
    """
    x1, x2 = pair(x1, x2)
    if x1.dtype.is_integer:
        x1, x2 = cast(x1, float32), cast(x2, float32)
    return bind(divide_p, x1, x2)


def floor_divide(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the quotient rounded to minus infinity, elementwise.

        y = floor(x1 / x2),   gradient 0

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype; an integer divided by 0 gives 0,
        a float an infinity or NaN.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.floor_divide(cr.asarray([-7, 7]), 2)
        tensor([-4,  3], shape=(2,), dtype=int64)
    """
    return bind(floor_divide_p, *pair(x1, x2))


def remainder(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the remainder of the division, with the sign of x2, elementwise.

        y = x1 - floor(x1 / x2) x2

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype; the remainder of a division by 0
        is 0 in integers, NaN in floats.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.remainder(cr.asarray([-7, 7]), 3)
        tensor([2, 1], shape=(2,), dtype=int64)
    """
    return bind(remainder_p, *pair(x1, x2))


def negative(x: Tensor, /) -> Tensor:
    """Return -x elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.negative(cr.arange(3))
        tensor([ 0, -1, -2], shape=(3,), dtype=int64)
    """
    return bind(negative_p, as_tensor(x))


def positive(x: Tensor, /) -> Tensor:
    """Return +x, a new tensor with the values of x.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.positive(cr.arange(3))
        tensor([0, 1, 2], shape=(3,), dtype=int64)
    """
    return bind(positive_p, as_tensor(x))


def reciprocal(x: Tensor, /) -> Tensor:
    """Return 1 / x elementwise.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.reciprocal(cr.asarray([2.0, 4.0]))
        tensor([0.5 , 0.25], shape=(2,), dtype=float32)
    """
    return bind(reciprocal_p, as_tensor(x))


def abs(x: Tensor, /) -> Tensor:
    """Return the absolute value elementwise; its gradient at 0 is 0.

        y = |x|,   dy/dx = sign(x)

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.abs(cr.asarray([-2.0, 1.0]))
        tensor([2., 1.], shape=(2,), dtype=float32)
    """
    return bind(abs_p, as_tensor(x))


def sign(x: Tensor, /) -> Tensor:
    """Return -1, 0 or 1 by the sign of x, elementwise; of a complex x the number of size 1 in its direction.

        y = x / |x|,   0 at x = 0

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; NaN stays NaN. The gradient of a real x is 0.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.sign(cr.asarray([-2.0, 0.0, 3.0]))
        tensor([-1.,  0.,  1.], shape=(3,), dtype=float32)
    """
    x = as_tensor(x)
    if not x.dtype.is_complex:
        return bind(sign_p, x)
    size = bind(abs_p, x)
    zero = size == 0.0
    return where(zero, 0.0, x / where(zero, 1.0, size))

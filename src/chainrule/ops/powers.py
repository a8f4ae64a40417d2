"""Powers and roots, elementwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError
from chainrule.core.primitive import Edge, Sample
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, POSITIVE, elementwise
from chainrule.ops._inputs import as_tensor, pair
from chainrule.ops.compare import isfinite
from chainrule.ops.exponential import log
from chainrule.ops.logical import logical_and, logical_not, logical_or
from chainrule.ops.selection import where

__all__ = ["hypot", "pow", "rsqrt", "sqrt", "square"]

# ---------------------------------------------------------------------------------------------------- primitives
square_p = elementwise(
    "square",
    lambda x: np.square(x),
    ANY,
    kind="numeric or complex",
    derivative=lambda x: 2.0 * x,
    edges=[Edge((0.0,), (0.0,), why="the lowest point")],
    lower=lambda k, x: k.mul(x, x),
)

sqrt_p = elementwise(
    "sqrt",
    lambda x: np.sqrt(x),
    POSITIVE,
    kind="float or complex",
    derivative=lambda y: 0.5 / y,
    edges=[Edge((0.0,), (np.inf,), why="a vertical tangent"), Edge((-1.0,), (np.nan,), why="no real root")],
    lower=lambda k, x: k.sqrt(x),
)

rsqrt_p = elementwise(
    "rsqrt",
    lambda x: 1 / np.sqrt(x),
    POSITIVE,
    kind="float or complex",
    flops=2,
    derivative=lambda y: -0.5 * y * y * y,
    edges=[Edge((0.0,), (-np.inf,), why="a pole"), Edge((-1.0,), (np.nan,), why="no real root")],
    lower=lambda k, x: k.div(1.0, k.sqrt(x)),
)


def _part(x: Tensor, y: Tensor) -> Tensor:
    """Return x / y, and 0 where both are 0."""
    return x / where(y == 0.0, 1.0, y)


hypot_p = elementwise(
    "hypot",
    lambda x1, x2: np.hypot(x1, x2),
    POSITIVE,
    POSITIVE,
    flops=4,
    derivative=(lambda x1, y: _part(x1, y), lambda x2, y: _part(x2, y)),
    edges=[
        Edge((0.0, 0.0), (0.0, 0.0), why="the tip of a cone: 0 like the norm, where PyTorch gives NaN"),
        Edge((3e200, 4e200), (0.6, 0.8), why="the squares would overflow"),
    ],
    lower=lambda k, x1, x2: k.call("hypot", x1, x2),
)


def _pow(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Return x1 ** x2; an integer to a negative power is 1 / x1 ** -x2 without its fraction, and 0 for x1 = 0."""
    if x1.dtype.kind != "i":
        return np.power(x1, x2)
    unit = np.power(x1, x2 & 1)  # of 1 and -1: their powers repeat
    return np.where(x2 < 0, np.where(np.abs(x1) == 1, unit, 0), np.power(x1, np.maximum(x2, 0)))


def _pow_element(k: Any, x1: Any, x2: Any) -> Any:
    if x1.is_float:
        return k.call("pow", x1, x2)
    one = k.const(1, x1)
    bits = int(x1.kind[1:])
    power, square = one, x1
    for n in range(bits):  # bit by bit of the exponent
        power = k.select(k.eq(k.both(k.shift_right(x2, n), one), 1), k.mul(power, square), power)
        square = k.mul(square, square)
    if x1.kind[0] == "u":
        return power
    odd = k.select(k.eq(k.both(x2, one), 1), x1, one)
    return k.select(k.lt(x2, 0), k.select(k.eq(k.abs(x1), 1), odd, 0), power)


def _pow_base(x1: Tensor, x2: Tensor) -> Tensor:
    """Return d/dx1 = x2 x1^(x2 - 1); a constant power has the slope 0 also where x1^-1 is not finite."""
    if x1.dtype.is_complex:
        constant = x2 == 0.0
        return where(constant, 0.0, x2 * pow(where(constant, 1.0, x1), x2 - 1.0))
    constant = logical_and(x2 == 0.0, logical_not(isfinite(1.0 / x1)))
    return x2 * pow(where(constant, 1.0, x1), x2 - 1.0)


def _pow_exponent(x1: Tensor, x2: Tensor, y: Tensor) -> Tensor:
    """Return d/dx2 = x1^x2 log x1, and 0 where x1 is 0, or real and below, but at the pole 0^-n."""
    if x1.dtype.is_complex:
        zero = x1 == 0.0
        return where(zero, 0.0, y * log(where(zero, 1.0, x1)))
    live = logical_or(x1 > 0.0, logical_and(x1 == 0.0, x2 < 0.0))
    return where(live, y * log(where(live, x1, 1.0)), 0.0)


pow_p = elementwise(
    "pow",
    _pow,
    POSITIVE,
    ANY,
    kind="numeric or complex",
    ints=(0, 5),
    derivative=(_pow_base, _pow_exponent),
    lower=_pow_element,
    samples=[
        Sample((np.array([-2, -1, 0, 1, 2, 3]), np.array([-2, -3, -1, -5, 3, -1])), smooth=False),
        Sample((np.array([-2.0, -0.5, 0.0, 2.0]), np.array([2.0, -3.0, 0.0, np.inf])), smooth=False),
    ],
    edges=[
        Edge((0.0, 0.0), (0.0, 0.0), why="x^0 is the constant 1"),
        Edge((0.0, 1.0), (1.0, 0.0), why="x itself"),
        Edge((0.0, 2.0), (0.0, 0.0), why="a parabola"),
        Edge((0.0, 0.5), (np.inf, 0.0), why="a vertical tangent"),
        Edge((0.0, -1.0), (-np.inf, -np.inf), why="a pole"),
        Edge((np.nan, 0.0), (0.0, 0.0), why="x^0 is 1 for every x"),
        Edge(
            (-2.0, 3.0),
            (12.0, 0.0),
            why="a negative base has no powers around an integer one: 0, where PyTorch gives NaN",
        ),
    ],
)


def pow(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 to the power x2 elementwise, with broadcasting.

        y = x1^x2,   dy/dx1 = x2 x1^(x2 - 1),   dy/dx2 = y log x1

    Args:
        x1: numeric tensor or number; a negative base with a fractional exponent gives NaN.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype. Integers to the negative powers in a tensor lose their
        fraction: 0 but for the bases 1 and -1.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: bool tensors, or an integer tensor to a negative number.

    Example:
        >>> import chainrule as cr
        >>> cr.pow(cr.asarray([2.0, 3.0]), 3)
        tensor([ 8., 27.], shape=(2,), dtype=float32)
    """
    if isinstance(x1, Tensor) and type(x2) in (int, float):
        if x1.dtype.is_integer and type(x2) is int and x2 < 0:
            raise DTypeError(
                f"pow: an integer tensor to the power {x2} is not an integer; use .astype(cr.float32) first."
            )
        if x2 == 2 and (x1.dtype.is_inexact or (x1.dtype.is_integer and type(x2) is int)):
            return square(x1)  # the same values, cheaper in both directions
    return bind(pow_p, *pair(x1, x2))


def square(x: Tensor, /) -> Tensor:
    """Return x * x elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.square(cr.arange(3))
        tensor([0, 1, 4], shape=(3,), dtype=int64)
    """
    return bind(square_p, as_tensor(x))


def sqrt(x: Tensor, /) -> Tensor:
    """Return the square root elementwise; NaN below 0, and the gradient at 0 is infinite.

        y = sqrt(x),   dy/dx = 1 / (2 y)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.sqrt(cr.asarray([4.0, 9.0]))
        tensor([2., 3.], shape=(2,), dtype=float32)
    """
    return bind(sqrt_p, as_tensor(x))


def rsqrt(x: Tensor, /) -> Tensor:
    """Return 1 / sqrt(x) elementwise.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.rsqrt(cr.asarray([4.0, 0.25]))
        tensor([0.5, 2. ], shape=(2,), dtype=float32)
    """
    return bind(rsqrt_p, as_tensor(x))


def hypot(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the length of the vector (x1, x2) elementwise, without overflow; its gradient at (0, 0) is 0.

        y = sqrt(x1^2 + x2^2)

    Args:
        x1: float tensor or number.
        x2: float tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        DTypeError: not float tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.hypot(cr.asarray([3.0]), 4)
        tensor([5.], shape=(1,), dtype=float32)
    """
    return bind(hypot_p, *pair(x1, x2))

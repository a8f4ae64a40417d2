"""Rounding, and functions that look at a float's sign or last bit, elementwise.

Rounding is constant between its jumps, so its gradient is 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import DType, bool_, float64
from chainrule.core.primitive import Edge, Invalid, Primitive, Sample, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, elementwise, zero
from chainrule.ops._inputs import as_tensor, pair
from chainrule.ops._rules import elementwise_flops, elementwise_shape
from chainrule.ops.arithmetic import sign

__all__ = ["ceil", "copysign", "floor", "nextafter", "round", "signbit", "trunc"]


# ---------------------------------------------------------------------------------------------------- primitives
def _rounding(name: str, function: Callable, kind: str = "numeric") -> Primitive:
    """Declare a rounding to integers; integers stay as they are."""
    return elementwise(
        name,
        lambda x: function(x) if x.dtype.kind in "fc" else x,
        (1.1, 1.4),
        kind=kind,
        derivative=zero,
        lower=lambda k, x: k.call(name, x) if x.is_float else x,
        edges=[
            Edge((2.0,), (0.0,), why="an integer: constant on both sides"),
            Edge((0.5,), (0.0,), why="a half: constant on both sides"),
            Edge((-1.7,), (0.0,), why="negative"),
        ],
    )


floor_p = _rounding("floor", np.floor)
ceil_p = _rounding("ceil", np.ceil)
trunc_p = _rounding("trunc", np.trunc)
round_p = _rounding("round", np.round, "numeric or complex")

copysign_p = elementwise(
    "copysign",
    lambda x1, x2: np.copysign(x1, x2),
    (-2.0, -0.1),
    (0.1, 2.0),
    derivative=(lambda x1, x2: copysign(sign(x1), x2) * sign(x1), zero),
    lower=lambda k, x1, x2: k.call("copysign", x1, x2),
    edges=[
        Edge((0.0, 1.0), (0.0, 0.0), why="like abs at 0"),
        Edge((2.0, -0.0), (-1.0, 0.0), why="the sign of minus zero counts"),
    ],
)


_WORDS = {"f64": "i64", "f32": "i32", "bf16": "i16"}


def _nextafter_element(k: Any, x1: Any, x2: Any, *, dtype: DType) -> Any:
    """Step through the bits: those of numbers of one sign are in order."""
    a, b = (k.cast(x, "f32") if x.kind == "bf16" else x for x in (x1, x2))
    word = _WORDS[x1.kind]
    bits = k.bits(x1, word)
    sign = k.both(k.bits(x2, word), k.const(-(1 << (int(word[1:]) - 1)), word))
    away = k.xor(k.lt(a, b), k.lt(a, 0))
    step = k.add(bits, k.select(away, k.const(1, word), k.const(-1, word)))
    step = k.select(k.eq(a, 0), k.either(sign, k.const(1, word)), step)
    order = k.both(k.eq(a, a), k.eq(b, b))
    found = k.select(k.eq(a, b), k.bits(x2, word), step)
    return k.bits(k.select(order, found, k.bits(k.const(np.nan, x1), word)), x1.kind)


# The attribute says in which dtype the neighbour is sought: bfloat16 must not be computed in float32 here.
nextafter_p = primitive(
    "nextafter",
    reference=lambda x1, x2, *, dtype: np.nextafter(x1, x2),
    shape=elementwise_shape("nextafter", "float"),
    elementwise=True,
    flops=elementwise_flops(1),
    derivative=(lambda: 1.0, zero),
    lower=_nextafter_element,
    samples=[
        Sample(((), ()), {"dtype": float64}),
        Sample(((3,), (3,)), {"dtype": float64}),
        Sample(((2, 1), (1, 3)), {"dtype": float64}),
        Sample(((0, 3), (3,)), {"dtype": float64}),
    ],
    invalid=[
        Invalid(
            (np.arange(3), np.arange(3)),
            "nextafter needs a float tensor; got int64: use .astype(cr.float32).",
            {"dtype": float64},
        )
    ],
)

signbit_p = elementwise(
    "signbit",
    lambda x: np.signbit(x),
    ANY,
    result=bool_,
    lower=lambda k, x: k.lt(k.bits(x, _WORDS[x.kind]), 0),
)


def floor(x: Tensor, /) -> Tensor:
    """Return the largest integer not above x, elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; its gradient is 0.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.floor(cr.asarray([-1.5, 1.5]))
        tensor([-2.,  1.], shape=(2,), dtype=float32)
    """
    return bind(floor_p, as_tensor(x))


def ceil(x: Tensor, /) -> Tensor:
    """Return the smallest integer not below x, elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; its gradient is 0.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.ceil(cr.asarray([-1.5, 1.5]))
        tensor([-1.,  2.], shape=(2,), dtype=float32)
    """
    return bind(ceil_p, as_tensor(x))


def trunc(x: Tensor, /) -> Tensor:
    """Return x without its fraction, elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; its gradient is 0.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.trunc(cr.asarray([-1.5, 1.5]))
        tensor([-1.,  1.], shape=(2,), dtype=float32)
    """
    return bind(trunc_p, as_tensor(x))


def round(x: Tensor, /) -> Tensor:
    """Return the nearest integer, halves to the even one, elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; its gradient is 0.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.round(cr.asarray([0.5, 1.5, 2.4]))
        tensor([0., 2., 2.], shape=(3,), dtype=float32)
    """
    return bind(round_p, as_tensor(x))


def copysign(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return |x1| with the sign of x2, elementwise; the gradient at x1 = 0 is 0.

    Args:
        x1: float tensor or number.
        x2: float tensor or number; shapes broadcast; the sign of -0.0 counts.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        DTypeError: not float tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.copysign(cr.asarray([1.0, -2.0]), -3)
        tensor([-1., -2.], shape=(2,), dtype=float32)
    """
    return bind(copysign_p, *pair(x1, x2))


def nextafter(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the next number of the dtype after x1 towards x2, elementwise; x2 where they are equal.

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
        >>> (cr.nextafter(cr.ones(1), 2) - 1).item() == 2.0**-23
        True
    """
    x1, x2 = pair(x1, x2)
    return bind(nextafter_p, x1, x2, dtype=x1.dtype)


def signbit(x: Tensor, /) -> Tensor:
    """Return whether the sign bit is set, elementwise: x < 0, or x is -0.0.

    Args:
        x: float tensor of any shape.

    Returns:
        Bool tensor of the same shape.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.signbit(cr.asarray([-0.0, 1.0]))
        tensor([ True, False], shape=(2,), dtype=bool)
    """
    return bind(signbit_p, as_tensor(x))

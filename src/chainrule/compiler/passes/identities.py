"""Operations that change nothing, and pairs that undo each other.

Every rule keeps the bits of every result, of -0.0, infinities and NaN too (but for the sign and payload of a NaN).
So x * 1 and x - 0.0 are x, and x + 0.0 is not: -0.0 + 0.0 is 0.0. `logical_not(less_equal(a, b))` of floats stays, for
it holds where one is NaN and `greater` does not. A product with a mask stays a product: infinity times 0 is NaN.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.compiler.passes.facts import is_lossless, is_number, never_minus_zero, uniform
from chainrule.compiler.passes.rewriting import Rewriting, Rules, rewrite
from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["remove_identities"]

RULES = Rules()


def remove_identities(graph: Graph) -> Graph:
    """Return the graph without operations that change nothing, and without pairs that undo each other.

    %0 = multiply(x, 1.0)
    %1 = negative(%0)
    %2 = negative(%1)
    %3 = exp(%2)            ->    %0 = exp(x)
    """
    return rewrite(graph, RULES)


def _first(rw: Rewriting, equation: Equation, *names: str) -> Equation | None:
    """Return what makes the first input, if it is of one of the named primitives."""
    return rw.maker(equation.inputs[0], *names)


# ---------------------------------------------------------------------------------------------------- one input
@RULES.on("identity", "positive")
def _unchanged(rw: Rewriting, equation: Equation) -> Variable | None:
    return equation.inputs[0]


@RULES.on("negative", "logical_not", "bitwise_invert", "conj")
def _twice(rw: Rewriting, equation: Equation) -> Variable | None:
    inner = _first(rw, equation, equation.primitive.name)
    return inner.inputs[0] if inner else None


@RULES.on("abs", "relu", "floor", "ceil", "trunc", "round", "sign")
def _same_again(rw: Rewriting, equation: Equation) -> Variable | None:
    return equation.inputs[0] if _first(rw, equation, equation.primitive.name) else None


@RULES.on("abs", "square")
def _of_the_opposite(rw: Rewriting, equation: Equation) -> Variable | None:
    """Drop a sign that does not matter; of signed integers the smallest is its own opposite."""
    inner, dtype = _first(rw, equation, "negative"), equation.inputs[0].type.dtype
    if inner is None or dtype.is_complex or (dtype.kind == "uint" and equation.primitive.name == "abs"):
        return None
    return rw.same(equation, inner.inputs[0])


@RULES.on("logical_not")
def _opposite_comparison(rw: Rewriting, equation: Equation) -> Variable | None:
    """Turn a comparison round: equality always, an order only where there is no NaN."""
    opposite = {"equal": "not_equal", "not_equal": "equal"}
    order = {"less": "greater_equal", "less_equal": "greater", "greater": "less_equal", "greater_equal": "less"}
    inner = _first(rw, equation, *opposite, *order)
    if inner is None:
        return None
    name = inner.primitive.name
    if name in order and inner.inputs[0].type.dtype.is_inexact:
        return None
    return rw.emit(opposite.get(name) or order[name], *inner.inputs)


@RULES.on("astype")
def _conversions(rw: Rewriting, equation: Equation) -> Variable | None:
    """Drop a conversion to the dtype that is there, and the first of two where it loses nothing."""
    (x,), dtype = equation.inputs, equation.attributes["dtype"]
    if x.type.dtype is dtype:
        return x
    inner = _first(rw, equation, "astype")
    if inner is None or not is_lossless(inner.inputs[0].type.dtype, x.type.dtype):
        return None
    start = inner.inputs[0]
    if start.type.dtype is dtype:
        return start
    middle = (start.type.dtype, x.type.dtype, dtype)
    if middle[0].is_integer and middle[1].is_float and middle[2].is_integer:
        return None  # an integer wraps around, a float saturates
    return rw.same(equation, start)


# ---------------------------------------------------------------------------------------------------- two inputs
@RULES.on("multiply", "divide", "floor_divide")
def _by_one(rw: Rewriting, equation: Equation) -> Variable | None:
    """Drop a factor of 1; of complex numbers infinity times (1 + 0i) is NaN, and floor_divide rounds floats."""
    name, out = equation.primitive.name, equation.outputs[0]
    kind = out.type.dtype.kind
    if kind == "complex" or (name == "floor_divide" and kind == "float"):
        return None
    x1, x2 = equation.inputs
    for x, one in ((x1, x2), (x2, x1)) if name == "multiply" else ((x1, x2),):
        if is_number(rw, one, 1):
            return rw.spread(x, out.shape)
    return None


@RULES.on("divide")
def _by_a_power_of_two(rw: Rewriting, equation: Equation) -> Variable | None:
    """Turn 1 / x into the reciprocal, and x / 2^k into x * 2^-k: a multiplication with the same bits."""
    x1, x2 = equation.inputs
    if not x1.type.dtype.is_float:
        return None
    if x1.size == 1 and x1.type.ndim <= x2.type.ndim and is_number(rw, x1, 1):
        return rw.emit("reciprocal", x2)
    divisor = uniform(rw, x2)
    if divisor is None or x2.size != 1 or abs(math.frexp(float(divisor))[0]) != 0.5:
        return None
    inverse = 1.0 / float(divisor)
    if not 2.0**-100 < abs(inverse) < 2.0**100:
        return None  # 2^-k must be a normal number of every float dtype
    return rw.emit("multiply", x1, rw.constant(np.full(x2.shape, inverse).astype(x2.dtype)))


@RULES.on("add", "subtract")
def _plus_nothing(rw: Rewriting, equation: Equation) -> Variable | None:
    """Drop x + -0.0 and x - 0.0, and x + 0.0 where x is never -0.0; of integers every zero."""
    name, out = equation.primitive.name, equation.outputs[0]
    kind = out.type.dtype.kind
    if kind == "complex":
        return None
    x1, x2 = equation.inputs
    for x, zero in ((x1, x2), (x2, x1)) if name == "add" else ((x1, x2),):
        nothing = 0 if kind != "float" else -0.0 if name == "add" else 0.0
        if is_number(rw, zero, nothing):
            return rw.spread(x, out.shape)
        if kind == "float" and is_number(rw, zero, -nothing) and never_minus_zero(rw, x):
            return rw.spread(x, out.shape)
    return None


@RULES.on("add", "subtract")
def _plus_the_opposite(rw: Rewriting, equation: Equation) -> Variable | None:
    """Turn a + -b and -b + a into a - b, and a - -b into a + b."""
    name, (x1, x2) = equation.primitive.name, equation.inputs
    second = rw.maker(x2, "negative")
    if second:
        return rw.emit("subtract" if name == "add" else "add", x1, second.inputs[0])
    first = rw.maker(x1, "negative")
    return rw.emit("subtract", x2, first.inputs[0]) if first and name == "add" else None


@RULES.on("multiply", "divide")
def _two_opposites(rw: Rewriting, equation: Equation) -> Variable | None:
    """Turn -a times -b into a times b."""
    first, second = (rw.maker(x, "negative") for x in equation.inputs)
    return rw.same(equation, first.inputs[0], second.inputs[0]) if first and second else None


@RULES.on("logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or")
def _of_itself(rw: Rewriting, equation: Equation) -> Variable | None:
    """Drop what is combined with itself, with True in an "and", or with False in an "or"."""
    name, out, (x1, x2) = equation.primitive.name, equation.outputs[0], equation.inputs
    if x1 is x2 and name != "logical_xor":
        return x1
    if out.type.dtype.kind != "bool":
        return None
    neutral = name.endswith("_and")
    for x, other in ((x1, x2), (x2, x1)):
        if is_number(rw, other, neutral):
            return rw.spread(x, out.shape)
    return None


# ---------------------------------------------------------------------------------------------------- a choice
@RULES.on("where")
def _choices(rw: Rewriting, equation: Equation) -> Variable | None:
    """Drop a choice between equals and one that is made already, and turn round that of an opposite condition."""
    condition, x1, x2 = equation.inputs
    shape = equation.outputs[0].shape
    if x1 is x2:
        return rw.spread(x1, shape)
    for choice, x in ((True, x1), (False, x2)):
        if is_number(rw, condition, choice):
            return rw.spread(x, shape)
    opposite = rw.maker(condition, "logical_not")
    if opposite:
        return rw.same(equation, opposite.inputs[0], x2, x1)
    inner = rw.maker(x1, "where")
    if inner and inner.inputs[0] is condition:
        return rw.spread(rw.same(equation, condition, inner.inputs[1], x2), shape)
    inner = rw.maker(x2, "where")
    if inner and inner.inputs[0] is condition:
        return rw.spread(rw.same(equation, condition, x1, inner.inputs[2]), shape)
    return None

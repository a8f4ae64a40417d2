"""Broadcasts before elementwise operations: dropped where the operation broadcasts by itself, else moved below it."""

from __future__ import annotations

import math

import numpy as np

from chainrule.compiler.passes.rewriting import Rewriting, Rules, rewrite
from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["sink_broadcasts"]

RULES = Rules()


def sink_broadcasts(graph: Graph) -> Graph:
    """Return the graph with elementwise operations computed before values are repeated, never after.

    %0: f32[8] = broadcast_to(s, shape=(8,))
    %1: f32[8] = negative(%0)                       %0: f32[] = negative(s)
    %2: f32[8] = where(mask, %1, 0.0)        ->     %1: f32[8] = where(mask, %0, 0.0)
    """
    return rewrite(graph, RULES)


@RULES.on_elementwise()
def _operands(rw: Rewriting, equation: Equation) -> Variable | None:
    made = [rw.maker(v, "broadcast_to") for v in equation.inputs]
    if not any(made):
        return None
    sources = [v if b is None else b.inputs[0] for v, b in zip(equation.inputs, made, strict=True)]
    shape = equation.outputs[0].shape
    if 0 in shape:
        return None
    result = rw.same(equation, *sources)
    return rw.spread(result, shape)


@RULES.on("sum", "max", "min")
def _reduced_axes_of_one_value(rw: Rewriting, equation: Equation) -> Variable | None:
    """Reduce what was repeated before it is repeated: a maximum of equal values is that value, a sum n times it."""
    (x,), a, out = equation.inputs, equation.attributes, equation.outputs[0]
    inner = rw.maker(x, "broadcast_to")
    if inner is None or not out.size or not x.size:
        return None
    source = inner.inputs[0]
    padded = (1,) * (x.type.ndim - source.type.ndim) + source.shape
    if any(padded[axis] != 1 for axis in a["axis"]):
        return None
    kept = tuple(n for axis, n in enumerate(padded) if a["keepdims"] or axis not in a["axis"])
    value = rw.reshaped(source, kept)
    if equation.primitive.name == "sum":
        factor = _factor(x, a["axis"])
        if factor is None:
            return None
        value = rw.emit("multiply", value, rw.constant(factor))
        if x.type.dtype.is_float:
            value = rw.emit("add", value, rw.constant(np.zeros((), x.dtype)))  # a sum begins with 0.0: it is never -0.0
    return rw.spread(value, out.shape)


def _factor(x: Variable, axes: tuple[int, ...]) -> np.ndarray | None:
    """Return how often a value is summed, as a number of its dtype, or None if it is none of these."""
    count, dtype = math.prod(x.shape[a] for a in axes), x.type.dtype
    if dtype.is_complex:
        return None  # infinity times (n + 0i) is NaN
    factor = np.asarray(count).astype(dtype.numpy)
    return factor if int(factor) == count else None

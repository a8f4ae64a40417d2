"""Reductions and the views around them: axes kept or dropped by the reduction itself, permutations taken in."""

from __future__ import annotations

import numpy as np

from chainrule.compiler.passes.rewriting import Rewriting, Rules, rewrite
from chainrule.core.graph import Equation, Graph, Variable
from chainrule.ops._reductions import reduced

__all__ = ["tidy_reductions"]

RULES = Rules()
REDUCTIONS = ("sum", "prod", "max", "min", "any", "all")


def tidy_reductions(graph: Graph) -> Graph:
    """Return the graph with reductions that give the shape that is wanted, of the tensor as it lies.

    %0: f32[4] = sum(x, axis=(0, 2, 3), keepdims=False)
    %1: f32[1,4,1,1] = reshape(%0, shape=(1, 4, 1, 1))    ->    %0: f32[1,4,1,1] = sum(x, axis=..., keepdims=True)
    """
    return rewrite(graph, RULES)


@RULES.on("reshape")
def _kept_axes(rw: Rewriting, equation: Equation) -> Variable | None:
    (y,), shape = equation.inputs, equation.attributes["shape"]
    inner = rw.maker(y, *REDUCTIONS)
    if inner is None or not rw.used_once(y):
        return None
    (x,), a = inner.inputs, inner.attributes
    if shape != reduced(x.shape, a["axis"], not a["keepdims"]):
        return None
    return rw.emit(inner.primitive, x, axis=a["axis"], keepdims=not a["keepdims"])


@RULES.on(*REDUCTIONS)
def _single_elements(rw: Rewriting, equation: Equation) -> Variable | None:
    """Turn the reduction of axes of size 1 into a reshape; a sum begins with 0.0, so it is never -0.0."""
    (x,), out, name = equation.inputs, equation.outputs[0], equation.primitive.name
    if x.type.dtype is not out.type.dtype or any(x.shape[a] != 1 for a in equation.attributes["axis"]):
        return None
    if name == "prod" and x.type.dtype.is_complex:
        return None  # 1 times an infinity
    y = rw.reshaped(x, out.shape)
    return rw.emit("add", y, rw.constant(np.zeros((), x.dtype))) if name == "sum" and x.type.dtype.is_inexact else y


@RULES.on(*REDUCTIONS)
def _of_a_permutation(rw: Rewriting, equation: Equation) -> Variable | None:
    """Reduce the tensor as it lies, where the axes that stay keep their order."""
    (x,), axis, out = equation.inputs, equation.attributes["axis"], equation.outputs[0]
    inner = rw.maker(x, "permute_dims")
    if inner is None:
        return None
    order = inner.attributes["axes"]
    stay = [a for i, a in enumerate(order) if i not in axis and inner.inputs[0].shape[a] != 1]
    if stay != sorted(stay):
        return None
    gone = tuple(sorted(order[i] for i in axis))
    return rw.reshaped(rw.emit(equation.primitive, inner.inputs[0], axis=gone, keepdims=False), out.shape)


@RULES.on("max", "min", "any", "all")
def _of_a_reduction(rw: Rewriting, equation: Equation) -> Variable | None:
    """Join two reductions in a row; not sums and products, whose order of rounding would change."""
    (y,), a, out = equation.inputs, equation.attributes, equation.outputs[0]
    inner = rw.maker(y, equation.primitive.name)
    if inner is None or not rw.used_once(y):
        return None
    (x,), b = inner.inputs, inner.attributes
    places = range(x.type.ndim) if b["keepdims"] else [i for i in range(x.type.ndim) if i not in b["axis"]]
    axis = tuple(sorted({*b["axis"], *(places[i] for i in a["axis"])}))
    return rw.reshaped(rw.emit(equation.primitive, x, axis=axis, keepdims=False), out.shape)

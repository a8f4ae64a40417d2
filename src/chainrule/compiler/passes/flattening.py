"""Split axes move down, to where they are joined again: between two products a stack of matrices stays one matrix.

A product of a stack [batch, time, features] with one matrix is made as a product of [batch * time, features], and its
result is split again. What follows element by element, or reduces other axes, works on the joined axes just as well;
then the next product finds them joined, and its reshape vanishes.
"""

from __future__ import annotations

import math

from chainrule.compiler.passes.rewriting import Rewriting, Rules, rewrite
from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["sink_splits"]

RULES = Rules()
Shape = tuple[int, ...]
Groups = list[range]  # per axis of the joined shape the axes of the split shape that it is the product of


def sink_splits(graph: Graph) -> Graph:
    """Return the graph with reshapes that split axes moved below elementwise operations and reductions.

    %0: f32[6,4] = matmul(a, w)
    %1: f32[2,3,4] = reshape(%0, shape=(2, 3, 4))        %0: f32[6,4] = matmul(a, w)
    %2: f32[2,3,4] = add(%1, bias)                       %1: f32[6,4] = add(%0, bias)
    %3: f32[6,4] = reshape(%2, shape=(6, 4))        ->   %2: f32[6,5] = matmul(%1, v)
    %4: f32[6,5] = matmul(%3, v)
    """
    return rewrite(graph, RULES)


def _groups(joined: Shape, split: Shape) -> Groups | None:
    """Return which axes of `split` make up each axis of `joined`, or None if an axis is no product of others."""
    groups, place = [], 0
    for size in joined:
        start, product = place, 1
        while place < len(split) and (place == start or product < size):
            product *= split[place]
            place += 1
        if product != size:
            return None
        groups.append(range(start, place))
    while groups and place < len(split) and split[place] == 1:  # axes of size 1 at the end
        groups[-1] = range(groups[-1].start, place + 1)
        place += 1
    return groups if place == len(split) else None


def _split(rw: Rewriting, v: Variable) -> tuple[Shape, Groups] | None:
    """Return the joined shape that a value is split from, and its groups."""
    equation = rw.maker(v, "reshape")
    if equation is None or 0 in v.shape:
        return None
    joined = equation.inputs[0].shape
    groups = _groups(joined, v.shape) if 0 < len(joined) < v.type.ndim else None
    # A split off axis of size 1 alone is for broadcasting: it stays where it is.
    if groups is None or all(len(_wide(v.shape, group)) < 2 for group in groups):
        return None
    return joined, groups


def _wide(shape: Shape, group: range) -> list[int]:
    return [i for i in group if shape[i] != 1]


@RULES.on_elementwise()
def _below_elementwise(rw: Rewriting, equation: Equation) -> Variable | None:
    shape = equation.outputs[0].shape
    for v in equation.inputs:
        found = _split(rw, v) if v.shape == shape else None
        if found is None:
            continue
        joined = [_joined(rw, x, shape, found[1]) for x in equation.inputs]
        if None not in joined:
            moved = [rw.reshaped(x, target) for x, target in zip(equation.inputs, joined, strict=True)]
            return rw.reshaped(rw.same(equation, *moved), shape)
    return None


def _joined(rw: Rewriting, v: Variable, shape: Shape, groups: Groups) -> Shape | None:
    """Return the shape of an operand with its axes joined; None if that is no view, or would not vanish."""
    if v.size == 1:
        return ()
    padded = (1,) * (len(shape) - v.type.ndim) + v.shape
    target = []
    for group in groups:
        sizes = [padded[i] for i in group]
        if any(n != 1 for n in sizes) and sizes != [shape[i] for i in group]:
            return None  # repeated along a part of what is joined
        target.append(math.prod(sizes))
    result = tuple(target)
    if v.type.ndim < len(shape):
        first = next((i for i, n in enumerate(result) if n != 1), len(result))
        result = result[first:]
    return result if result == v.shape or _is_free(rw, v, result) else None


def _is_free(rw: Rewriting, v: Variable, shape: Shape) -> bool:
    """Return whether a value in the joined shape costs nothing: it was split itself, or it lies in memory as it is."""
    equation = rw.maker(v)
    if equation is None:
        return True  # an input or a constant
    if equation.primitive.name == "reshape":
        source = equation.inputs[0].shape
        return source == shape or math.prod(source) == max(source, default=1)
    return equation.primitive.name == "matmul"


@RULES.on("sum", "max", "min", "prod", "any", "all")
def _below_reductions(rw: Rewriting, equation: Equation) -> Variable | None:
    """Reduce the joined axes, where each of them vanishes as a whole or not at all."""
    (x,), axis, out = equation.inputs, equation.attributes["axis"], equation.outputs[0]
    found = _split(rw, x)
    if found is None:
        return None
    gone = []
    for number, group in enumerate(found[1]):
        inside = [i in axis for i in group if x.shape[i] != 1]
        if any(inside) and not all(inside):
            return None
        if inside and all(inside):
            gone.append(number)
    source = rw.maker(x, "reshape").inputs[0]
    return rw.reshaped(rw.emit(equation.primitive, source, axis=tuple(gone), keepdims=False), out.shape)

"""Views: reshape, permute_dims, broadcast_to, slice and their like, alone and in chains, brought to one short form.

Only data moves here, so every rule is exact. A chain ends as at most one reshape, below it one permutation, below it
one broadcast, where that is possible: broadcasts sink, so that what stands before them stays small.
"""

from __future__ import annotations

from chainrule.compiler.passes.rewriting import Rewriting, Rules, rewrite
from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["merge_views"]

RULES = Rules()
Shape = tuple[int, ...]


def merge_views(graph: Graph) -> Graph:
    """Return the graph with chains of views made short.

    %0: f32[1] = reshape(x, shape=(1,))
    %1: f32[8] = broadcast_to(%0, shape=(8,))
    %2: f32[2,4] = reshape(%1, shape=(2, 4))        ->    %0: f32[2,4] = broadcast_to(x, shape=(2, 4))
    """
    return rewrite(graph, RULES)


def _wide(shape: Shape) -> list[int]:
    """Return the axes whose size is not 1."""
    return [i for i, n in enumerate(shape) if n != 1]


def _without_front(shape: Shape) -> Shape:
    """Return a shape without the axes of size 1 at its front."""
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return shape[first:]


# ---------------------------------------------------------------------------------------------------- nothing happens
@RULES.on("reshape", "broadcast_to")
def _same_shape(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,) = equation.inputs
    return x if x.shape == equation.outputs[0].shape else None


@RULES.on("slice")
def _whole(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,) = equation.inputs
    return x if x.shape == equation.outputs[0].shape else None  # with steps >= 1 nothing can be left out


@RULES.on("pad")
def _no_padding(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), a = equation.inputs, equation.attributes
    gaps = any(gap and n > 1 for gap, n in zip(a["interior"], x.shape, strict=True))
    return x if not gaps and not any((*a["low"], *a["high"])) else None


@RULES.on("update_slice")
def _all_updated(rw: Rewriting, equation: Equation) -> Variable | None:
    x, update = equation.inputs
    return update if x.shape == update.shape else None


@RULES.on("concat")
def _one_part(rw: Rewriting, equation: Equation) -> Variable | None:
    """Drop empty parts, and the concatenation of a single one."""
    axis = equation.attributes["axis"]
    parts = [x for x in equation.inputs if x.shape[axis]]
    if len(parts) == 1:
        return parts[0]
    return rw.same(equation, *parts) if 0 < len(parts) < len(equation.inputs) else None


# ---------------------------------------------------------------------------------------------------- reshape
@RULES.on("reshape")
def _reshape_of_a_view(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), shape = equation.inputs, equation.attributes["shape"]
    inner = rw.maker(x, "reshape", "broadcast_to")
    if inner is None:
        return None
    source = inner.inputs[0]
    if inner.primitive.name == "reshape":
        return rw.reshaped(source, shape)
    if source.size == 1:
        return rw.spread(rw.reshaped(source, ()), shape)
    old, new = _wide(x.shape), _wide(shape)
    if [x.shape[i] for i in old] != [shape[i] for i in new]:
        return None
    padded = (1,) * (x.type.ndim - source.type.ndim) + source.shape  # only axes of size 1 come and go
    moved = [1] * len(shape)
    for i, j in zip(old, new, strict=True):
        moved[j] = padded[i]
    return rw.spread(rw.reshaped(source, moved), shape)


# ---------------------------------------------------------------------------------------------------- broadcast_to
@RULES.on("broadcast_to")
def _broadcast_of_a_view(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), shape = equation.inputs, equation.attributes["shape"]
    inner = rw.maker(x, "broadcast_to", "reshape")
    if inner is None:
        return None
    source = inner.inputs[0]
    if inner.primitive.name == "broadcast_to":
        return rw.spread(source, shape)
    same = source.size != 1 and _without_front(source.shape) == _without_front(x.shape)
    return rw.spread(source, shape) if same and source.type.ndim <= len(shape) else None


@RULES.on("broadcast_to")
def _broadcast_of_one(rw: Rewriting, equation: Equation) -> Variable | None:
    """Give a single number the shape (): all broadcasts of it look alike then."""
    (x,), shape = equation.inputs, equation.attributes["shape"]
    return rw.spread(rw.reshaped(x, ()), shape) if x.size == 1 and x.shape else None


# ---------------------------------------------------------------------------------------------------- permute_dims
@RULES.on("permute_dims")
def _permutation_of_a_view(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), axes, out = equation.inputs, equation.attributes["axes"], equation.outputs[0]
    if sorted(wide := [a for a in axes if x.shape[a] != 1]) == wide:
        return rw.reshaped(x, out.shape)  # only axes of size 1 change their places
    inner = rw.maker(x, "permute_dims", "broadcast_to")
    if inner is None:
        return None
    source = inner.inputs[0]
    if inner.primitive.name == "permute_dims":
        first = inner.attributes["axes"]
        return rw.permuted(source, [first[a] for a in axes])
    if source.size == 1:
        return rw.spread(rw.reshaped(source, ()), out.shape)
    padded = (1,) * (len(axes) - source.type.ndim) + source.shape
    return rw.spread(rw.permuted(rw.reshaped(source, padded), axes), out.shape)


# ---------------------------------------------------------------------------------------------------- slice, flip
@RULES.on("slice")
def _slice_of_a_view(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), a, out = equation.inputs, equation.attributes, equation.outputs[0]
    inner = rw.maker(x, "slice", "broadcast_to")
    if inner is None:
        return None
    source = inner.inputs[0]
    if inner.primitive.name == "broadcast_to":
        return rw.spread(rw.reshaped(source, ()), out.shape) if source.size == 1 else None
    b = inner.attributes
    steps = tuple(s * t for s, t in zip(a["steps"], b["steps"], strict=True))
    starts = tuple(p + i * s for p, i, s in zip(b["starts"], a["starts"], b["steps"], strict=True))
    starts = tuple(min(i, n) for i, n in zip(starts, source.shape, strict=True))
    limits = tuple(i + (n - 1) * s + 1 if n else i for i, n, s in zip(starts, out.shape, steps, strict=True))
    return rw.emit("slice", source, starts=starts, limits=limits, steps=steps)


@RULES.on("flip")
def _flips(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), axis = equation.inputs, equation.attributes["axis"]
    if all(x.shape[a] == 1 for a in axis):
        return x
    inner = rw.maker(x, "flip")
    if inner and inner.attributes["axis"] == axis:
        return inner.inputs[0]
    inner = rw.maker(x, "broadcast_to")
    return x if inner and inner.inputs[0].size == 1 else None

"""Transposes of products: (A B)^T is B^T A^T, element for element, so a transpose moves to where it cancels.

A weight [out, in] is used as its transpose, so its gradient is made as a transpose too. Moved before the product it
cancels against the one there, the gradient comes out in the weight's own shape, and the optimizer's update acts on it
directly. `permute_dims` stays an operation of its own: a permutation of a value in memory is only a matter of strides.
"""

from __future__ import annotations

from chainrule.compiler.passes.rewriting import Rewriting, Rules, rewrite
from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["move_transposes"]

RULES = Rules()
DEEPEST = 8  # elementwise operations between a permutation and what it cancels against


def move_transposes(graph: Graph) -> Graph:
    """Return the graph with permutations moved up, through products and elementwise operations, to where they vanish.

    %0: f32[784,8] = permute_dims(x, axes=(1, 0))
    %1: f32[784,64] = matmul(%0, g)                         %0: f32[64,8] = permute_dims(g, axes=(1, 0))
    %2: f32[64,784] = permute_dims(%1, axes=(1, 0))    ->   %1: f32[64,784] = matmul(%0, x)
    """
    return rewrite(graph, RULES)


def _swapped(ndim: int) -> list[int]:
    """Return the order of axes with the last two exchanged."""
    return [*range(ndim - 2), ndim - 1, ndim - 2]


@RULES.on("permute_dims")
def _transposed_product(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), axes = equation.inputs, equation.attributes["axes"]
    product = rw.maker(x, "matmul")
    if product is None or list(axes) != _swapped(len(axes)) or not rw.used_once(x):
        return None
    rw.abandon(x)
    a, b = product.inputs
    return rw.same(product, rw.permuted(b, _swapped(b.type.ndim)), rw.permuted(a, _swapped(a.type.ndim)))


@RULES.on("permute_dims")
def _before_elementwise(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), axes = equation.inputs, equation.attributes["axes"]
    inner = rw.maker(x)
    if inner is None or not _vanishes(rw, x, axes, DEEPEST):
        return None
    if not inner.primitive.elementwise:
        return None  # a product or a permutation: other rules
    rw.abandon(x)
    moved = [v if v.size == 1 and v.type.ndim < len(axes) else rw.permuted(v, axes) for v in inner.inputs]
    return rw.same(inner, *moved)


def _vanishes(rw: Rewriting, x: Variable, axes: tuple[int, ...], depth: int) -> bool:
    """Return whether a permutation of x can be taken into what makes x, without computing anything twice."""
    inner = rw.maker(x)
    if inner is None:
        return False
    name = inner.primitive.name
    if name == "permute_dims":
        return True
    if not rw.used_once(x):
        return False
    if name == "matmul":
        return list(axes) == _swapped(len(axes))
    if not inner.primitive.elementwise or name == "barrier" or not depth:
        return False
    wide = [v for v in inner.inputs if v.size != 1]
    if not wide or any(v.type.ndim != len(axes) for v in wide):
        return False
    return all(_only_ones_move(v, axes) or _vanishes(rw, v, axes, depth - 1) for v in wide)


def _only_ones_move(v: Variable, axes: tuple[int, ...]) -> bool:
    """Return whether a permutation of v is no more than a reshape: a bias [1, n], for example."""
    wide = [a for a in axes if v.shape[a] != 1]
    return wide == sorted(wide)

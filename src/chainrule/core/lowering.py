"""How a primitive tells the compiler what one element of its output is.

A primitive's `lower=` is one of:

    Pointwise(f)    f(k, *elements, **attributes): elementwise, from the elements of the inputs at the same place
    IndexMap(f)     f(k, at, *inputs, **attributes): from elements of the inputs anywhere; `at` holds the indices of the
                    output, and an input is called with indices: x(i, j), or x(i, j, where=condition) if an index may be
                    outside where the condition does not hold
    Reduction(op)   the attributes axis and keepdims say what is combined with op: add, mul, max, min, and, or
    Fold(op, e, f)  f(k, at, over, *inputs, **attributes) combined with op over the indices `over`, whose extents are
                    e(*input_shapes, **attributes): a window, say
    Contraction     a sum of products over strided operands: matmul and the convolutions
    Loop(f)         written out as loops by the compiler: scatters, sorts, running sums

k is `chainrule.compiler.expr.Vocabulary`; lowerings state meaning and know nothing of machines. A primitive without one
calls its reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Contraction", "Fold", "IndexMap", "Loop", "Lowering", "Pointwise", "Reduction", "Term"]


@dataclass(frozen=True)
class Pointwise:
    """An elementwise operation on scalars: `rule(k, *elements, **attributes)`."""

    rule: Callable


@dataclass(frozen=True)
class IndexMap:
    """An output element from input elements at computed places: `rule(k, at, *inputs, **attributes)`.

    `view` says that elements are only renamed or repeated, never computed.
    """

    rule: Callable
    view: bool = False


@dataclass(frozen=True)
class Reduction:
    """Elements along the attribute `axis` combined by add, mul, max, min, and, or; `element(k, x)` comes before."""

    combine: str
    element: Callable | None = None


@dataclass(frozen=True)
class Fold:
    """An output element as a combination over further indices: `rule(k, at, over, *inputs, **attributes)`.

    `extents(*input_shapes, **attributes)` says how far these run. Few terms are written out in their order.
    """

    combine: str
    extents: Callable
    rule: Callable


@dataclass(frozen=True)
class Contraction:
    """A sum of products; `form` names the index pattern that the compiler knows: "matmul", "convolution", ..."""

    form: str


@dataclass(frozen=True)
class Loop:
    """A kernel that the compiler writes by hand; `form` names it."""

    form: str


class Term:
    """A scalar expression with the operators of numbers: what is written with + - * / serves reference and lowering.

    Args:
        k: the vocabulary.
        e: the expression.
    """

    __slots__ = ("e", "k")

    def __init__(self, k: Any, e: Any):
        self.k, self.e = k, e

    def _of(self, op: Callable, a: Any, b: Any) -> Term:
        return Term(self.k, op(*(x.e if isinstance(x, Term) else x for x in (a, b))))

    def __add__(self, other: Any) -> Term:
        return self._of(self.k.add, self, other)

    def __radd__(self, other: Any) -> Term:
        return self._of(self.k.add, other, self)

    def __sub__(self, other: Any) -> Term:
        return self._of(self.k.sub, self, other)

    def __rsub__(self, other: Any) -> Term:
        return self._of(self.k.sub, other, self)

    def __mul__(self, other: Any) -> Term:
        return self._of(self.k.mul, self, other)

    def __rmul__(self, other: Any) -> Term:
        return self._of(self.k.mul, other, self)

    def __truediv__(self, other: Any) -> Term:
        return self._of(self.k.div, self, other)


Lowering = Pointwise | IndexMap | Reduction | Fold | Contraction | Loop

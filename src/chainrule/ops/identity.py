"""Two identities: the same values as a new result, for transforms and for the compiler.

identity   a result of its own on the tape, so that transforms can tell a variable from its copy
barrier    no pass of the compiler takes what stands behind it for what stands before: a recomputation stays one
"""

from __future__ import annotations

from chainrule.core.primitive import Primitive, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._rules import elementwise_shape, grid, integers

__all__: list[str] = []


def _unchanged(g: Tensor) -> Tensor:
    return g


def _identity(name: str) -> Primitive:
    return primitive(
        name,
        reference=lambda x: x,
        shape=elementwise_shape(name, "any"),
        linear=(0,),
        transpose=_unchanged,
        elementwise=True,
        lower=lambda k, x: x,
        flops=lambda x: 0,
        samples=[*grid((-2.0, 2.0)), *integers(1)],
    )


identity_p = _identity("identity")
barrier_p = _identity("barrier")

"""Loops and branches traced inside `vmap`: what differs by sample, and which random numbers can't be drawn."""

from __future__ import annotations

from chainrule.autodiff.vmap import Batched, BatchLevel
from chainrule.core.context import local
from chainrule.core.errors import TraceError, user_location
from chainrule.core.graph import Graph
from chainrule.core.levels import Lifted
from chainrule.core.tensor import Tensor

__all__ = ["differs_by_sample", "inside_vmap", "refuse_draws"]


def differs_by_sample(tensor: Tensor) -> bool:
    """Return whether a value has a batch axis of some `vmap`."""
    value = tensor._value
    if isinstance(value, Batched):
        return True
    return isinstance(value, Lifted) and any(differs_by_sample(part) for part in value.parts())


def inside_vmap() -> bool:
    """Return whether a `vmap` is around."""
    level = local.transform
    while level is not None and not isinstance(level, BatchLevel):
        level = level.outer
    return level is not None


def _draws(graph: Graph) -> bool:
    inner = [value for equation in graph for value in equation.attributes.values() if isinstance(value, Graph)]
    return any(equation.primitive.name == "random_bits" for equation in graph) or any(map(_draws, inner))


def refuse_draws(name: str, graph: Graph) -> None:
    """Raise if a body that is traced inside `vmap` draws random numbers.

    Raises:
        TraceError: names the ways out.
    """
    if inside_vmap() and _draws(graph):
        raise TraceError(
            f"{name} inside vmap draws random numbers in a traced body, where all samples would get the same. "
            "Draw them before it.",
            location=user_location(),
        )

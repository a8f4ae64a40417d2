"""Loops and branches traced inside `vmap`: what differs by sample, and which random numbers can't be drawn."""

from __future__ import annotations

from chainrule.autodiff.vmap import Batched
from chainrule.core.context import local
from chainrule.core.errors import TraceError, user_location
from chainrule.core.graph import Graph
from chainrule.core.levels import Lifted
from chainrule.core.tensor import Tensor

__all__ = ["differs_by_sample", "draws_by_sample", "refuse_draws"]


def differs_by_sample(tensor: Tensor) -> bool:
    """Return whether a value has a batch axis of some `vmap`."""
    value = tensor._value
    if isinstance(value, Batched):
        return True
    return isinstance(value, Lifted) and any(differs_by_sample(part) for part in value.parts())


def draws_by_sample(graph: Graph) -> bool:
    """Return whether the graph draws random numbers that each sample of a `vmap` around wants for itself."""
    level = local.transform
    while level is not None and level.copies == 1:
        level = level.outer
    return level is not None and _draws(graph)


def _draws(graph: Graph) -> bool:
    inner = [value for equation in graph for value in equation.attributes.values() if isinstance(value, Graph)]
    return any(equation.primitive.name == "random_bits" for equation in graph) or any(map(_draws, inner))


def refuse_draws(name: str, graph: Graph) -> None:
    """Raise if a traced body draws random numbers by sample.

    Raises:
        TraceError: names the ways out.
    """
    if draws_by_sample(graph):
        raise TraceError(
            f"{name} inside vmap draws random numbers in a traced body, where all samples would get the same. "
            'Draw them before it, or write cr.vmap(..., randomness="same").',
            location=user_location(),
        )

"""Recomputations: where `checkpoint`'s barriers stood, and from which kernel on what stands behind them is computed.

A barrier moves no data: behind it stands the same memory. What it says to the schedule is when. An item that reads
through one joins no kernel from before the barrier, or a value that was to be forgotten after the forward pass would be
computed there a second time and kept until the backward pass asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["Recomputations", "without_barriers"]


@dataclass
class Recomputations:
    """A graph without its barriers.

    Attributes:
        graph: the equations that are left; they read what stood before the barriers.
        original: an equation that was changed -> as it stood in the graph with barriers.
        since: an equation that read through barriers -> how many equations of `graph` come before the last of them.
    """

    graph: Graph
    original: dict[Equation, Equation] = field(default_factory=dict)
    since: dict[Equation, int] = field(default_factory=dict)


def without_barriers(graph: Graph) -> Recomputations:
    """Return the graph without barriers.

    %0 = exp(x)               %0 = exp(x)
    %1 = barrier(x)    ->     %2 = exp(x)      since: 1
    %2 = exp(%1)
    """
    before: dict[Variable, tuple[Variable, int]] = {}
    equations: list[Equation] = []
    found = Recomputations(graph)
    for e in graph.equations:
        places = [before[v][1] for v in e.inputs if v in before]
        if e.primitive.name == "barrier":
            (x,), (y,) = e.inputs, e.outputs
            before[y] = before.get(x, (x, 0))[0], len(equations)
            continue
        if places:
            inputs = tuple([before[v][0] if v in before else v for v in e.inputs])
            changed = Equation(e.primitive, inputs, e.attributes, e.outputs, e.source, e.module)
            found.original[changed], found.since[changed] = e, max(places)
            e = changed
        equations.append(e)
    if before:
        outputs = tuple([before[v][0] if v in before else v for v in graph.outputs])
        found.graph = Graph(graph.name, graph.inputs, tuple(equations), outputs, graph.labels)
    return found

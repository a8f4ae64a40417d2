"""Dead code: equations that nobody reads go; those with an effect stay."""

from __future__ import annotations

from chainrule.core.graph import Graph

__all__ = ["without_dead_code"]


def without_dead_code(graph: Graph, first_effect: int = 0) -> Graph:
    """Return the graph without equations whose outputs nobody reads; those with an effect stay.

    Of the equations before number `first_effect`, which have run elsewhere, only those stay that are needed.

        %0 = exp(x)           ->
        %1 = check_finite(x)         %0 = check_finite(x)
        return x                     return x
    """
    needed = set(graph.outputs)
    kept = []
    for number in range(len(graph.equations) - 1, -1, -1):
        equation = graph.equations[number]
        if not needed.isdisjoint(equation.outputs) or (number >= first_effect and equation.effect):
            kept.append(equation)
            needed.update(equation.inputs)
    if len(kept) == len(graph.equations):
        return graph
    return Graph(graph.name, graph.inputs, tuple(reversed(kept)), graph.outputs, graph.labels)

"""Dead code: equations that nobody reads go; those with an effect stay."""

from __future__ import annotations

from dataclasses import replace

from chainrule.core.graph import Equation, Graph, frozen

__all__ = ["without_dead_code"]


def without_dead_code(graph: Graph, first_effect: int = 0) -> Graph:
    """Return the graph without equations whose outputs nobody reads; those with an effect stay.

        %0 = exp(x)           ->
        %1 = check_finite(x)         %0 = check_finite(x)
        return x                     return x

    Args:
        graph: any graph.
        first_effect: the equations before this number have run elsewhere: of them only those stay that are needed,
            without the effects inside them; default 0.

    Returns:
        The graph; the same object if nothing is dead.

    Example:
        >>> import chainrule as cr
        >>> from chainrule.compiler.passes import without_dead_code
        >>> step = cr.jit(lambda x: -x)
        >>> _ = step(cr.ones(3))
        >>> without_dead_code(step.graph()) is step.graph()  # `cr.jit` has done it
        True
    """
    needed = set(graph.outputs)
    kept = []
    for number in range(len(graph.equations) - 1, -1, -1):
        equation = graph.equations[number]
        if not needed.isdisjoint(equation.outputs) or (number >= first_effect and equation.effect):
            kept.append(equation if number >= first_effect else _silent(equation))
            needed.update(equation.inputs)
    if len(kept) == len(graph.equations) and not first_effect:
        return graph
    return Graph(graph.name, graph.inputs, tuple(reversed(kept)), graph.outputs, graph.labels)


def _silent(equation: Equation) -> Equation:
    """Return the equation without effects in the graphs inside it that nobody needs."""
    if not equation.graphs or not equation.effect:
        return equation
    inner = {
        name: graph.with_equations(without_dead_code(graph, len(graph.equations)).equations)
        for name, graph in equation.graphs.items()
    }
    return replace(equation, attributes=frozen({**equation.attributes, **inner}))

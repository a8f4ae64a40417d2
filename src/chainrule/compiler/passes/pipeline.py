"""The order of the passes, and running them until none finds anything."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence

from chainrule.compiler.passes.broadcasts import sink_broadcasts
from chainrule.compiler.passes.common import merge_common
from chainrule.compiler.passes.dead_code import without_dead_code
from chainrule.compiler.passes.flattening import sink_splits
from chainrule.compiler.passes.folding import fold_constants
from chainrule.compiler.passes.identities import remove_identities
from chainrule.compiler.passes.reductions import tidy_reductions
from chainrule.compiler.passes.scatters import compare_instead_of_scatter
from chainrule.compiler.passes.transposes import move_transposes
from chainrule.compiler.passes.views import merge_views
from chainrule.core.graph import Equation, Graph, check, frozen

__all__ = ["PASSES", "Pass", "simplify", "simplify_bodies"]

Pass = Callable[[Graph], Graph]


def simplify_bodies(graph: Graph) -> Graph:
    """Return the graph with the graphs among its attributes simplified: branches of conditions, bodies of loops.

    %0 = scan(c, xs, body=step)            %0 = scan(c, xs, body=step)
      body: step(c, x) -> (c)                body: step(c, x) -> (c)
        %0 = multiply(c, 1.0)        ->        %0 = add(c, x)
        %1 = add(%0, x)
    """
    equations = [_with_simple_bodies(e) if e.primitive.multiple and e.graphs else e for e in graph.equations]
    if all(new is old for new, old in zip(equations, graph.equations, strict=True)):
        return graph
    return Graph(graph.name, graph.inputs, tuple(equations), graph.outputs, graph.labels)


def _with_simple_bodies(equation: Equation) -> Equation:
    simple = {}
    for name, body in equation.graphs.items():
        if body not in _SIMPLE:
            simple[name] = simplify(Graph(body.name, body.inputs, body.equations, body.outputs, body.labels))
            _SIMPLE.add(simple[name])
    if not simple:
        return equation
    attributes = frozen({**equation.attributes, **simple})
    return Equation(equation.primitive, equation.inputs, attributes, equation.outputs, equation.source, equation.module)


# Views first, for the others look through them; common subexpressions next, so that "used once" means it.
PASSES: tuple[Pass, ...] = (
    without_dead_code,
    simplify_bodies,
    merge_views,
    merge_common,
    fold_constants,
    sink_broadcasts,
    remove_identities,
    tidy_reductions,
    move_transposes,
    sink_splits,
    compare_instead_of_scatter,
)
_SIMPLE: weakref.WeakSet[Graph] = weakref.WeakSet()  # bodies that nothing is left to do in
ROUNDS = 10  # a graph that still changes then has two rules that undo each other; it is correct all the same


def simplify(
    graph: Graph,
    after: Callable[[str, Graph], None] | None = None,
    *,
    checked: bool = False,
    passes: Sequence[Pass] = PASSES,
) -> Graph:
    """Return a graph of the same meaning with less to do.

    Args:
        graph: a checked graph.
        after: called with the name of each pass that changed something, and the graph.
        checked: re-derive every type after each such pass; default False, for it takes longer than the pass.
        passes: which, in order; they run round after round until none of them changes anything.

    Returns:
        The graph; the same inputs in the same order, as many outputs. An output may be an input or a constant, and two
        outputs may be the same variable.

    Raises:
        GraphError: `checked`, and a pass broke a rule of graphs.

    Example:
        >>> import chainrule as cr
        >>> from chainrule.compiler.passes import simplify
        >>> step = cr.jit(lambda x: -(-x) * 1.0)
        >>> _ = step(cr.ones(3))
        >>> print(simplify(step.graph()))
        <lambda>(x: f32[3]) -> (x: f32[3])
    """
    unchanged = 0
    for step in itertools.chain.from_iterable(itertools.repeat(tuple(passes), ROUNDS)):
        changed = step(graph)
        if changed is graph:
            unchanged += 1
            if unchanged == len(passes):
                break
            continue
        graph, unchanged = changed, 0
        if checked:
            check(graph)
        if after is not None:
            after(step.__name__, graph)
    return graph

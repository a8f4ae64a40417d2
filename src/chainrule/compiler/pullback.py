"""Gradients of a compiled call from outside: `loss = step(x); loss.backward()`.

The tape that the trace recorded is kept, with symbols for values. When a gradient is first asked for, the walk down
this tape is traced too: that gives a second graph, from the inputs of the first and the upstream gradients to the
gradients of the inputs. So detach, no_grad and hard-coded derivatives inside the step mean what they mean eagerly. The
gradients have a tape of their own, so they can be differentiated again, as often as one likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.autodiff.backward import pull_to
from chainrule.compiler.executor import ReferenceExecutor, evaluate
from chainrule.compiler.passes.dead_code import without_dead_code
from chainrule.core.context import local, no_grad
from chainrule.core.graph import Graph, Variable, check
from chainrule.core.primitive import TensorType
from chainrule.core.tape import Edge, FunctionNode, Leaf
from chainrule.core.tensor import Tensor, connected
from chainrule.core.tracer import Tracer
from chainrule.ops._inputs import cast

__all__ = ["Pullback"]


class Pullback:
    """How gradients of a graph's outputs flow to its inputs.

    Args:
        tracer: the trace that made the graph.
        inputs: the graph's inputs.
        ends: per input its place on the tape of the trace, or None where no gradient flows.
        outputs: the differentiable outputs, as tensors on the tape of the trace.
    """

    def __init__(
        self, tracer: Tracer, inputs: Sequence[Variable], ends: Sequence[Edge | None], outputs: Sequence[Tensor]
    ):
        self.tracer, self.inputs, self.ends, self.outputs = tracer, list(inputs), list(ends), list(outputs)
        self.seeds: list[Tensor] = []  # of the walk that was traced to make the outputs; their leaves are ends
        self._made: _Gradients | None = None

    def connect(self, values: Sequence[Any], edges: Sequence[Edge | None], outputs: Sequence[Tensor]) -> None:
        """Put one run of the graph on the tape.

        Args:
            values: buffers of the inputs in this run.
            edges: per input its place on the real tape, or None.
            outputs: the differentiable outputs of this run.
        """
        edges = [edge if end is not None else None for edge, end in zip(edges, self.ends, strict=True)]
        if not any(edges):
            return

        def pull(*upstream: Tensor) -> list[Tensor | None]:
            return self._pull(values, edges, upstream)

        types = [(value.shape, value.dtype) for value in values]
        made = [(out._value.shape, out._value.dtype) for out in outputs]
        node = FunctionNode(f"jit {self.tracer.name}", pull, edges, types, made)
        for index, out in enumerate(outputs):
            out._node, out._index = node, index

    def _pull(self, values: Sequence[Any], edges: Sequence[Edge | None], upstream: Sequence[Tensor]) -> list[Any]:
        """Return the gradients of the inputs, on the tape if they are to be differentiated again."""
        made = self._made = self._made or self._trace()
        upstream = [cast(g, out.dtype) for g, out in zip(upstream, self.outputs, strict=True)]
        if local.transform is not None:  # a batch of upstream gradients, say: operation by operation, as anything in it
            inputs = [connected(value, *(edge or (None, 0))) for value, edge in zip(values, edges, strict=True)]
            found = evaluate(made.graph, [*inputs, *upstream, *made.cells])
            return [None if place is None else found[place] for place in made.places]
        given = [*(Tensor(value) for value in values), *upstream, *made.cells]
        if local.interpreter is None:
            found = [Tensor(array) for array in made.run([tensor._value for tensor in given])]
        else:
            with no_grad():
                found = evaluate(made.graph, given)
        if local.grad and found:
            behind = [(t._node, t._index) if t._node is not None else None for t in (*upstream, *made.cells)]
            read = local.interpreter.read if local.interpreter is not None else lambda tensor: tensor._value
            made.next.connect([read(tensor) for tensor in given], [*edges, *behind], found)
        return [None if place is None else found[place] for place in made.places]

    def _trace(self) -> _Gradients:
        """Trace the walk from the outputs to the inputs."""
        tracer, known, first = self.tracer, set(self.tracer.captured), len(self.tracer.equations)
        with tracer:
            seeds = [Tensor(tracer.variable(TensorType(out.shape, out.dtype))) for out in self.outputs]
            for seed in seeds:
                seed._node = Leaf(seed)
            wanted = list(dict.fromkeys(end for end in self.ends if end is not None))
            arrived = dict(zip(wanted, pull_to(self.outputs, wanted, seeds), strict=True))
            found = [
                arrived.pop(end, None) for end in self.ends
            ]  # two inputs at one place: the first gets the gradient
            results = [tracer.read(g) for g in found if g is not None]
        captured = [pair for key, pair in tracer.captured.items() if key not in known]
        inputs = [*self.inputs, *(seed._value for seed in seeds), *(symbol for _, symbol in captured)]
        cells = [cell for cell, _ in captured]
        ends = [*self.ends, *((seed._node, 0) for seed in seeds)]
        ends += [(cell._node, cell._index) if cell._node is not None else None for cell in cells]
        graph = check(without_dead_code(tracer.graph(inputs, results), first))
        following = Pullback(tracer, inputs, ends, [g for g in found if g is not None])
        following.seeds = seeds
        return _Gradients(graph, found, cells, following)


class _Gradients:
    """The traced gradients of a graph's inputs.

    Attributes:
        graph: inputs, upstream gradients and further cells to gradients.
        places: per input of the first graph the output that is its gradient, or None.
        cells: tensors from outside that only the gradients read.
        next: how to differentiate the gradients.
    """

    def __init__(self, graph: Graph, found: Sequence[Tensor | None], cells: list[Tensor], following: Pullback):
        self.graph, self.cells, self.next = graph, cells, following
        self.run = ReferenceExecutor(graph)
        count = iter(range(len(found)))
        self.places = [None if g is None else next(count) for g in found]

"""A traced body: a graph that knows its derivatives.

A `Body` is the graph of a branch or of one step of a loop, and an attribute of the primitive that runs it. Its inputs
are the explicit ones first, then what it captured. It keeps the tape of its trace, so that detach, no_grad and
hard-coded derivatives inside mean what they mean eagerly: `pulled` walks down this tape and gives another body, from
inputs and upstream gradients to gradients, which has derivatives again. `call` runs a body operation by operation as
one block with that derivative, in any transform; `derived` traces what chainrule builds out of such calls: a step of a
reverse loop, of a loop with tangents, of a loop over batches.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.autodiff.backward import pull_to
from chainrule.autodiff.custom import custom_gradient
from chainrule.autodiff.jvp import jvp
from chainrule.autodiff.vmap import vmap
from chainrule.compiler.control.tracer import BodyTracer, edge_of
from chainrule.compiler.executor import ReferenceExecutor, evaluate
from chainrule.compiler.passes.dead_code import without_dead_code
from chainrule.core.context import local, no_grad
from chainrule.core.graph import Equation, Graph, Variable, check
from chainrule.core.primitive import Primitive, TensorType
from chainrule.core.tape import Edge, Leaf
from chainrule.core.tensor import Tensor, connected, unrecorded

__all__ = [
    *("Body", "Nested", "aligned", "alive", "as_recorded", "assemble", "batched", "call", "derived", "pushed"),
    *("run_graph", "snapshot"),
]


class Nested(Primitive):
    """A primitive with graphs among its attributes."""

    def kernel(self, dtypes: Sequence[np.dtype]) -> Callable[..., list[np.ndarray]]:
        """Return the reference as it is: the operations of its graphs widen bfloat16 by themselves."""
        return self._several


_executors: weakref.WeakKeyDictionary[Graph, ReferenceExecutor] = weakref.WeakKeyDictionary()


def run_graph(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a graph with the references of its primitives."""
    executor = _executors.get(graph)
    if executor is None:
        executor = _executors[graph] = ReferenceExecutor(graph)
    return executor(inputs)


@dataclass(frozen=True, eq=False, repr=False)
class Body(Graph):
    """A graph with the tape of its trace.

    Attributes:
        tracer: the trace that made it.
        edges: per input its place on the tape, or None where no derivative is wanted.
        results: the outputs as tensors on the tape.
        captured: the tensors from outside that stand for the last inputs.
        made: what was derived from it.
    """

    tracer: Any = None
    edges: tuple[Edge | None, ...] = ()
    results: tuple[Tensor, ...] = ()
    captured: tuple[Tensor, ...] = ()
    made: dict[Hashable, Any] = field(default_factory=dict)

    def with_equations(self, equations: Sequence[Equation]) -> Body:
        """Return the body with other equations that compute the same; its derivatives are made anew."""
        return replace(self, equations=tuple(equations), made={})

    @property
    def explicit(self) -> int:
        """Number of inputs that are not captured."""
        return len(self.inputs) - len(self.captured)

    def pulled(self) -> tuple[Body, tuple[int, ...]]:
        """Return the body that pulls gradients back, and the inputs for which it returns one.

        Its inputs are those of this body, then one upstream gradient per inexact output.
        """
        if "pulled" not in self.made:
            self.made["pulled"] = self._pull()
        return self.made["pulled"]

    def _pull(self) -> tuple[Body, tuple[int, ...]]:
        tracer, known, first = self.tracer, set(self.tracer.captured), len(self.tracer.equations)
        with tracer.running(derived=True):
            inexact = [out for out in self.results if out.dtype.is_inexact]
            seeds = [tracer.argument(TensorType(out.shape, out.dtype)) for out in inexact]
            live = [(out, seed) for out, seed in zip(inexact, seeds, strict=True) if alive(out)]
            wanted = list(dict.fromkeys(edge for edge in self.edges if edge is not None))
            arrived: dict[Edge, Any] = {}
            if live:
                found = pull_to([out for out, _ in live], wanted, [seed for _, seed in live])
                arrived = dict(zip(wanted, found, strict=True))
            gradients = {}
            for position, edge in enumerate(self.edges):
                g = arrived.pop(edge, None)  # two inputs at one place: the first gets the gradient
                if g is not None:
                    gradients[position] = snapshot(g)
        more = [key for key in tracer.captured if key not in known]
        inputs = [(v, edge) for v, edge in zip(self.inputs, self.edges, strict=True)]
        inputs += [(seed._value, edge_of(seed)) for seed in seeds]
        body = assemble(tracer, inputs, list(gradients.values()), more, first, f"gradient of {self.name}")
        return body, tuple(gradients)


def alive(result: Tensor) -> bool:
    """Return whether a result is on the tape, and the tape was not freed inside."""
    return result._node is not None and (result._node.kept is not None or isinstance(result._node, Leaf))


def as_recorded(outputs: Sequence[Tensor], *results: Sequence[Tensor]) -> list[Tensor]:
    """Return outputs of a primitive, those off the tape that no body has on its tape.

    Args:
        outputs: of the primitive; all are on the tape if an input is.
        results: of each body, one per output.
    """
    return [out if any(map(alive, made)) else unrecorded(out) for out, *made in zip(outputs, *results, strict=True)]


def snapshot(tensor: Tensor) -> Tensor:
    """Return a result of the running trace as it is now, for cells are put back after the trace."""
    return connected(local.interpreter.read(tensor), tensor._node, tensor._index)


def assemble(
    tracer: BodyTracer,
    inputs: Sequence[tuple[Variable, Edge | None]],
    results: Sequence[Tensor],
    captured: Sequence[int],
    first_effect: int = 0,
    name: str = "",
) -> Body:
    """Return the body of a trace.

    Args:
        tracer: the trace.
        inputs: the explicit inputs with their places on the tape.
        results: snapshots of the outputs.
        captured: keys of the captured tensors that are further inputs.
        first_effect: equations before this number stay only where they are needed, for they ran before.
        name: for printed graphs; default that of the trace.
    """
    outside = [tracer.captured[key] for key in captured]
    places = [*inputs, *((symbol, tracer.edges[key]) for (_, symbol), key in zip(outside, captured, strict=True))]
    variables = [variable for variable, _ in places]
    graph = tracer.graph(variables, [result._value for result in results])
    graph = check(without_dead_code(graph, first_effect))
    return Body(
        name or tracer.name,
        graph.inputs,
        graph.equations,
        graph.outputs,
        (),
        tracer,
        tuple(edge for _, edge in places),
        tuple(results),
        tuple(tensor for tensor, _ in outside),
    )


def derived(name: str, function: Callable[..., Sequence[Tensor]], types: Sequence[TensorType]) -> Body:
    """Trace chainrule's own code into a body, all of whose inexact inputs are differentiable.

    Args:
        name: for printed graphs.
        function: tensors to tensors; assigns nothing.
        types: of the explicit inputs.
    """
    tracer = BodyTracer(name)
    arguments = [tracer.argument(type) for type in types]
    inputs = [(x._value, edge_of(x)) for x in arguments]
    try:
        with tracer.running(derived=True):
            results = [snapshot(out) for out in function(*arguments)]
    finally:
        tracer.restore()
    return assemble(tracer, inputs, results, list(tracer.captured))


def call(body: Body, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Run a body through `bind`, as one block with the derivative of the body."""

    def block(*xs: Tensor) -> tuple[tuple[Tensor, ...], Callable[..., list]]:
        with no_grad():
            outputs = tuple(evaluate(body, xs))

        def pull(*upstream: Tensor) -> list[Tensor | None]:
            pulled, moving = body.pulled()
            seeds = [g for g, out in zip(upstream, outputs, strict=True) if out.dtype.is_inexact]
            found: list[Tensor | None] = [None] * len(xs)
            for position, g in zip(moving, call(pulled, *xs, *seeds, *pulled.captured), strict=True):
                found[position] = g
            return found

        return outputs, pull

    block.__name__ = body.name
    return custom_gradient(block)(*inputs) if body.outputs else tuple(evaluate(body, inputs))


def aligned(bodies: Sequence[Body]) -> list[Body]:
    """Return the bodies with the same inputs: the explicit ones, which they share, then all that any captured."""
    every = list({id(t): t for body in bodies for t in body.captured}.values())
    return [_widened(body, every) for body in bodies]


def _widened(body: Body, every: Sequence[Tensor]) -> Body:
    if [*map(id, body.captured)] == [*map(id, every)]:
        return body
    own = {id(t): i for i, t in enumerate(body.captured, start=body.explicit)}
    inputs, edges = list(body.inputs[: body.explicit]), list(body.edges[: body.explicit])
    for tensor in every:
        position = own.get(id(tensor))
        unused = Variable(TensorType(tensor.shape, tensor.dtype), owner=body.tracer)
        inputs.append(unused if position is None else body.inputs[position])
        edges.append(None if position is None else body.edges[position])
    return Body(
        *(body.name, tuple(inputs), body.equations, body.outputs, ()),
        *(body.tracer, tuple(edges), body.results, tuple(every)),
    )


# ---------------------------------------------------------------------------------------------------- derived bodies
def pushed(body: Body) -> Body:
    """Return the body with tangents: inputs, tangents of the inexact ones -> outputs, tangents of the inexact ones."""
    if "pushed" not in body.made:
        types = [v.type for v in body.inputs]
        moving = [i for i, type in enumerate(types) if type.dtype.is_inexact]

        def function(*tensors: Tensor) -> list[Tensor]:
            values, tangents = tensors[: len(types)], tensors[len(types) :]

            def of_moving(*xs: Tensor) -> tuple[Tensor, ...]:
                full = list(values)
                for i, x in zip(moving, xs, strict=True):
                    full[i] = x
                return call(body, *full)

            outputs, moved = jvp(of_moving, [values[i] for i in moving], tangents)
            return [*outputs, *(t for t, out in zip(moved, outputs, strict=True) if out.dtype.is_inexact)]

        name = f"tangent of {body.name}"
        body.made["pushed"] = derived(name, function, [*types, *(types[i] for i in moving)])
    return body.made["pushed"]


def batched(body: Body, flags: Sequence[bool], size: int) -> Body:
    """Return the body on a whole batch: inputs that `flags` names, and all outputs, have the batch axis in front."""
    key = ("batched", tuple(flags), size)
    if key not in body.made:
        axes = tuple(0 if flag else None for flag in flags)
        types = [
            TensorType((size, *v.shape), v.type.dtype) if flag else v.type
            for v, flag in zip(body.inputs, flags, strict=True)
        ]

        def function(*tensors: Tensor) -> tuple[Tensor, ...]:
            return vmap(lambda *xs: call(body, *xs), in_axes=axes, randomness="same")(*tensors)

        body.made[key] = derived(f"batch of {body.name}", function, types)
    return body.made[key]

"""What a body does to the world outside: the cells that it assigns and the gradients that it leaves.

A body is a graph without effects on cells, so what it assigned are further outputs, and where the next step reads it,
further parts of the carry. When the primitive has been applied, `leave` puts these outputs into the cells, as the body
would have done. `Observed` is one run of a user's function with symbols; nothing outside has changed after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from chainrule.compiler.control.body import Body, assemble, snapshot
from chainrule.compiler.control.tracer import BodyTracer, edge_of, type_of
from chainrule.core import tree
from chainrule.core.context import local, no_grad
from chainrule.core.errors import GradientError, user_location
from chainrule.core.graph import Variable
from chainrule.core.primitive import TensorType
from chainrule.core.tape import Edge, Leaf
from chainrule.core.tensor import CONSUMED, Tensor, connected
from chainrule.ops._inputs import as_tensor
from chainrule.ops.creation import zeros

__all__ = ["Observed", "State", "assigned", "branch_grads", "leave", "loop_grads", "put_grads"]


class Observed:
    """One run of a function with symbols for its arguments.

    Attributes:
        tracer: the trace.
        arguments: the tensors that stood for the arguments, as they were given.
        leaves: per leaf of the result a snapshot, or None.
        structure: containers of the result.
        cells: id of each assigned cell -> (cell, snapshot of what it was left with).
        grads: id of each owner -> (owner, None, CONSUMED or a snapshot of the gradient left there).
        first_read: ids of the owners whose gradient was read before it was written.
    """

    def __init__(
        self,
        name: str,
        function: Callable,
        types: Sequence[tuple[TensorType, bool]] = (),
        forced: frozenset[int] = frozenset(),
    ):
        self.tracer = tracer = BodyTracer(name, forced)
        self.arguments = [tracer.argument(type, connect) for type, connect in types]
        self.inputs = [(x._value, edge_of(x)) for x in self.arguments]
        self._symbols: dict[tuple[str, int], tuple[Variable, Edge | None]] = {}
        self.cells: dict[int, tuple[Tensor, Tensor]] = {}
        self.grads: dict[int, tuple[Tensor, Any]] = {}
        try:
            with tracer.running():
                leaves, self.structure = tree.flatten(function(*self.arguments))
                self.leaves = [None if leaf is None else snapshot(as_tensor(leaf)) for leaf in leaves]
                for cell, *_ in list(tracer.written.values()):
                    self.cells[id(cell)] = cell, snapshot(cell)
                for slot, final in list(tracer.final_grads()):
                    self.grads[id(slot.owner)] = slot.owner, snapshot(final) if isinstance(final, Tensor) else final
        finally:
            tracer.restore()
        self.first_read = {key for key, slot in tracer.grads.items() if slot.was_read}

    @property
    def tensors(self) -> list[Tensor]:
        """The leaves of the result that are tensors."""
        return [leaf for leaf in self.leaves if leaf is not None]

    def symbol(self, state: State) -> tuple[Variable, Edge | None]:
        """Return the input that stands for a piece of state, and its place on the tape; a new one if it is not read."""
        key, tracer = id(state.owner), self.tracer
        if (state.kind, key) not in self._symbols:
            slot = tracer.grads.get(key)
            found: tuple[Variable, Edge | None] = Variable(state.type, owner=tracer), None
            if state.kind == "cell" and key in tracer.captured:
                found = tracer.captured[key][1], tracer.edges[key]
            elif state.kind == "grad" and slot is not None and slot.read is not None:
                found = slot.read, edge_of(tracer.gradients[key])
            self._symbols[state.kind, key] = found
        return self._symbols[state.kind, key]

    def final(self, state: State) -> Tensor:
        """Return what the function left in a piece of state: what was there before, if it left it alone."""
        found = (self.cells if state.kind == "cell" else self.grads).get(id(state.owner))
        if found is not None and isinstance(found[1], Tensor):
            return found[1]
        variable, edge = self.symbol(state)
        return connected(variable, *(edge or (None, 0)))

    def body(self, inputs: Sequence[tuple[Variable, Edge | None]], results: Sequence[Tensor]) -> Body:
        """Return the body with these inputs, then what else it reads."""
        own = {variable for variable, _ in inputs}
        captured = [key for key, (_, symbol) in self.tracer.captured.items() if symbol not in own]
        for key, slot in self.tracer.grads.items():
            if slot.read is not None and slot.read not in own:  # a gradient that is only read
                outside = self.tracer.gradients[key]
                self.tracer.captured[id(outside)] = outside, slot.read
                self.tracer.edges[id(outside)] = edge_of(outside)
                captured.append(id(outside))
        return assemble(self.tracer, inputs, results, captured)


class State(NamedTuple):
    """A cell that a body assigns, or the gradient that it leaves at an owner.

    Attributes:
        kind: "cell" or "grad".
        owner: the cell, or the tensor whose `.grad` it is.
        type: shape and dtype.
        before: the tensor that the first step starts from.
    """

    kind: str
    owner: Tensor
    type: TensorType
    before: Tensor


def assigned(runs: Iterable[Observed]) -> list[State]:
    """Return the cells that any of the runs assigns."""
    cells = {key: cell for run in runs for key, (cell, _) in run.cells.items()}
    return [State("cell", cell, type_of(cell), cell) for cell in cells.values()]


def loop_grads(run: Observed) -> list[State]:
    """Return the gradients that a step of a loop hands to the next one.

    Raises:
        GradientError: a gradient is present before the first step and not before the second, or the other way round.
    """
    found = []
    for key, (owner, final) in run.grads.items():
        read = key in run.first_read
        present = key in run.tracer.gradients
        if read and present != isinstance(final, Tensor):
            raise GradientError(
                f"{run.tracer.name} starts with {'a' if present else 'no'} gradient in a tensor of shape {owner.shape} "
                f"and ends with {'none' if present else 'one'}, so its steps differ. "
                "Call zero_grad() at the beginning of the body, or fill the gradient with zeros before the loop.",
                location=user_location(),
            )
        if isinstance(final, Tensor):
            before = run.tracer.gradients.get(key)
            type = type_of(final)
            found.append(State("grad", owner, type, before if before is not None else _zeros(type)))
    return found


def branch_grads(runs: Sequence[Observed]) -> list[State]:
    """Return the gradients that one of two branches or both leave as tensors.

    Raises:
        GradientError: one branch leaves a gradient and the other leaves none.
    """
    found = []
    for key, owner in {k: o for run in runs for k, (o, _) in run.grads.items()}.items():
        finals = [run.grads[key][1] if key in run.grads else _outside(run, owner) for run in runs]
        if any(final is CONSUMED for final in finals):
            continue
        present = [isinstance(final, Tensor) for final in finals]
        if any(present) != all(present):
            raise GradientError(
                f"cr.cond: one branch leaves a gradient in a tensor of shape {owner.shape} and the other leaves none. "
                "Fill it with zeros instead: optimizer.zero_grad(set_to_none=False).",
                location=user_location(),
            )
        if all(present):
            tensor = _outside(runs[0], owner)
            type = type_of(next(final for final in finals if isinstance(final, Tensor)))
            found.append(State("grad", owner, type, tensor if tensor is not None else _zeros(type)))
    return found


def _outside(run: Observed, owner: Tensor) -> Tensor | None:
    """Return the gradient that a tensor has outside."""
    found = run.tracer.gradients.get(id(owner))
    return found if found is not None else (owner.grad if owner._grad is not CONSUMED else None)


def _zeros(type: TensorType) -> Tensor:
    return zeros(type.shape, dtype=type.dtype)


def leave(states: Sequence[State], outputs: Sequence[Tensor]) -> None:
    """Put outputs into the cells and gradients that a body assigned."""
    for state, out in zip(states, outputs, strict=True):
        if state.kind == "grad":
            state.owner.grad = out
            continue
        with no_grad():
            state.owner.assign_(out)
        if out._node is not None and not isinstance(state.owner._node, Leaf):
            state.owner._node, state.owner._index = out._node, out._index


def put_grads(runs: Sequence[Observed]) -> None:
    """Clear the gradients that the bodies cleared, and mark those that an optimizer inside used up."""
    interpreter = local.interpreter
    for run in runs:
        for key, (owner, final) in run.grads.items():
            others = [other.grads[key][1] for other in runs if key in other.grads]
            if any(other is CONSUMED for other in others):
                interpreter.mark_consumed(owner)
            elif final is None and not any(isinstance(other, Tensor) for other in others):
                owner.grad = None
            elif run.tracer.grads[key].consumed and interpreter is not None:
                interpreter.consume_grad(owner)

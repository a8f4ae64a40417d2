"""One traced graph of a step: which state it fits, where its inputs come from, and where its outputs go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.caller import ALONE, Caller, caller_for, owned
from chainrule.compiler.guards import Guards
from chainrule.compiler.native import executor_for
from chainrule.compiler.program import NativeExecutor
from chainrule.compiler.pullback import Pullback
from chainrule.compiler.results import Output
from chainrule.compiler.system import interrupts_wait
from chainrule.core import tree
from chainrule.core.config import shows
from chainrule.core.context import local
from chainrule.core.errors import TraceError
from chainrule.core.graph import Graph, Variable
from chainrule.core.tape import Edge, Leaf
from chainrule.core.tensor import CONSUMED, Tensor

if TYPE_CHECKING:
    from chainrule.compiler.explanation import Explanation

__all__ = ["Output", "Place", "Variant", "grad_kind", "grad_type"]

Place = tuple[
    str, Any
]  # ("cell", x): the buffer of x; ("grad", x): that of x.grad; x is a tensor, or an argument's index


def _key(place: Place) -> tuple[str, int, bool]:
    kind, owner = place
    return kind, owner if isinstance(owner, int) else id(owner), isinstance(owner, int)


def grad_kind(tensor: Tensor) -> str:
    """Return how a tensor stands to the tape: "" (no gradient), "leaf" or "result"."""
    if tensor._node is None:
        return ""
    return "leaf" if isinstance(tensor._node, Leaf) else "result"


def grad_type(owner: Tensor) -> Any:
    """Return shape and dtype of the gradient that a tensor holds, or None."""
    gradient = owner._grad
    return (gradient.shape, gradient._value.dtype) if isinstance(gradient, Tensor) else None


def _grad_references(owner: Any) -> int:
    """Return what `sys.getrefcount` says of the tensor that is the gradient of another."""
    gradient = owner._grad
    return sys.getrefcount(gradient)


def _held_once() -> int:
    owner = Tensor(np.empty(1))
    owner._grad = Tensor(np.empty(1))
    return _grad_references(owner)


ALONE_GRAD = _held_once()


class Variant:
    """One traced graph, where its inputs come from, and where its outputs go.

    Args:
        key: argument types and modes that select it.
        guards: the surroundings that it froze.
        graph: the traced graph.
        labels: names of the argument leaves.

    Attributes:
        sources: one place per graph input.
        cells: captured tensors with the type and kind that they had at the trace.
        slots: captured `.grad` owners with the type of the gradient that each held at the trace.
        results: per leaf of the result a graph output, or a Python value.
        structure: containers of the result.
        writes: places that graph outputs are put into.
        clears: owners whose gradient is removed (None) or was used up (CONSUMED).
        live: graph outputs that are differentiable from outside.
        pullback: how their gradients flow.
        objects: arguments that are no tensors; kept, so that no other object gets the identity that selects it.
        assigned: ids of captured tensors, and indices of arguments, that the step assigns.
    """

    def __init__(self, key: tuple, guards: Guards, graph: Graph, labels: Sequence[str]):
        self.key, self.guards, self.graph, self.labels = key, guards, graph, labels
        self.executor: Any = None
        self.caller: Caller | None = None
        self.sources: list[Place] = []
        self.cells: list[tuple[Tensor, tuple, str]] = []
        self.slots: list[tuple[Any, Any]] = []
        self.results: list[Output | Any] = []
        self.structure: Any = None
        self.writes: list[tuple[Place, int]] = []
        self.clears: list[tuple[Any, Any]] = []
        self.live: list[int] = []
        self.shared: set[int] = set()  # outputs in the memory of another: a cell gets a copy, to be its only owner
        self.pullback: Pullback | None = None
        self.objects: list[Any] = []

    def misfit(self) -> str | None:
        """Return which captured tensor or gradient is of another kind than at the trace, or None."""
        for cell, type, kind in self.cells:
            value = cell._value
            if (value.shape, value.dtype) != type or grad_kind(cell) != kind:
                return f"a captured tensor of shape {type[0]} changed its shape, dtype or requires_grad"
        for owner, type in self.slots:
            if isinstance(owner, Tensor) and (grad_type(owner) != type or owner._grad is CONSUMED):
                return "a gradient is present where there was none, or the other way round"
        return None

    def fits(self) -> bool:
        """Return whether captured state has the types it had at the trace."""
        return self.misfit() is None

    # ------------------------------------------------------------------------------------------------ running
    def run(self, leaves: list[Any]) -> Any:
        """Run the graph, then update the state; nothing is updated if the run raises."""
        if self.writes or self.clears:
            self._refuse_aliases(leaves)
        self.prepare()
        inputs = [self._input(place, leaves) for place in self.sources]
        outputs: dict[int, Tensor] = {}
        with interrupts_wait() if self.writes else nullcontext():
            arrays = self.executor(inputs, self._owned(inputs, leaves))
            if self.live and local.grad:
                outputs = {index: Tensor(arrays[index]) for index in self.live}
                edges = [self._edge(place, leaves) for place in self.sources]
                self.pullback.connect(inputs, edges, list(outputs.values()))
            self._update(leaves, arrays, outputs)
        items = [self._result(item, arrays, outputs) if isinstance(item, Output) else item for item in self.results]
        return tree.unflatten(self.structure, items)

    def prepare(self) -> None:
        """Make the graph callable, if it is not yet."""
        if self.executor is None:
            self.executor = executor_for(self.graph, self._takes(), self.fixed())
            self.caller = caller_for(self)
            if isinstance(self.executor, NativeExecutor):
                own = zip(self.executor.first, self.executor.aliases, strict=True)
                self.shared = {n for n, (first, alias) in enumerate(own) if first != n or alias >= 0}
            if shows("kernels") and isinstance(self.executor, NativeExecutor):
                sys.stderr.write(f"{self.explain(None, True)}\n")

    def explain(self, leaves: list[Any] | None, measure: bool) -> Explanation:
        """Return what the compiled graph consists of; without leaves the arguments are random numbers."""
        from chainrule.compiler.explaining import explain

        self.prepare()
        if not isinstance(self.executor, NativeExecutor):
            raise TraceError(f"{self.graph.name} runs the NumPy references here, so there are no kernels to explain.")
        given = [self._known(place, v, leaves) for place, v in zip(self.sources, self.graph.inputs, strict=True)]
        return explain(self.graph, self._takes(), self.fixed(), self.executor, given, measure)

    def _known(self, place: Place, v: Variable, leaves: list[Any] | None) -> np.ndarray | None:
        """Return what an input holds now, or None where there is nothing of its type."""
        kind, owner = place
        if isinstance(owner, int) and leaves is None:
            return None
        tensor = leaves[owner] if isinstance(owner, int) else owner  # type: ignore[index]
        tensor = tensor._grad if kind == "grad" else tensor
        value = getattr(tensor, "_value", None)
        fits = type(value) is np.ndarray and value.shape == v.shape and value.dtype == v.dtype
        return value if fits else None

    def fixed(self) -> list[int]:
        """Return the inputs that are captured state which the step does not assign."""
        assigned = {_key(place) for place, _ in self.writes}
        state = [(n, place) for n, place in enumerate(self.sources) if not isinstance(place[1], int)]
        return [n for n, place in state if place[0] == "cell" and _key(place) not in assigned]

    def _takes(self) -> dict[int, int]:
        """Return which outputs may be written over which inputs: state that the step reads and assigns."""
        if self.live:  # a walk back from outside needs the inputs as they were
            return {}
        places = {_key(place): number for number, place in enumerate(self.sources)}
        return {index: places[_key(place)] for place, index in self.writes if _key(place) in places}

    def _owned(self, inputs: list[np.ndarray], leaves: list[Any]) -> list[bool]:
        """Return which inputs nobody else holds, so that they may be written over."""
        found = [owned(array) and sys.getrefcount(array) <= ALONE for array in inputs]
        for number, (kind, owner) in enumerate(self.sources):
            if kind == "grad" and found[number]:  # a gradient is a new tensor after each step: who has the old keeps it
                found[number] = _grad_references(leaves[owner] if isinstance(owner, int) else owner) <= ALONE_GRAD
        return found

    def _input(self, place: Place, leaves: list[Any]) -> np.ndarray:
        kind, owner = place
        tensor = leaves[owner] if isinstance(owner, int) else owner
        return tensor._grad._value if kind == "grad" else tensor._value

    def _edge(self, place: Place, leaves: list[Any]) -> Edge | None:
        """Return where an input stands on the tape."""
        kind, owner = place
        tensor = leaves[owner] if isinstance(owner, int) else owner
        tensor = tensor._grad if kind == "grad" else tensor
        return None if tensor._node is None else (tensor._node, tensor._index)

    def _result(self, item: Output, arrays: list[np.ndarray], outputs: dict[int, Tensor]) -> Tensor:
        array = arrays[item.index]
        made = Tensor(array.copy() if item.index in self.shared else array)
        if item.index in outputs:
            made._node, made._index = outputs[item.index]._node, outputs[item.index]._index
        return made

    def _update(self, leaves: list[Any], arrays: list[np.ndarray], outputs: dict[int, Tensor]) -> None:
        """Put the outputs into the cells and gradients that the step assigned."""
        for (kind, owner), index in self.writes:
            target = leaves[owner] if isinstance(owner, int) else owner
            if kind == "grad":
                target._grad = outputs[index] if index in outputs else Tensor(arrays[index])
                continue
            array = arrays[index]
            target._value = array.copy() if index in self.shared and array is not target._value else array
            target._version += 1
            if not isinstance(target._node, Leaf):
                made = outputs.get(index)
                target._node, target._index = (None, 0) if made is None else (made._node, made._index)
        for owner, value in self.clears:
            (leaves[owner] if isinstance(owner, int) else owner)._grad = value

    # -------------------------------------------------------------------------------------------- one tensor, two ways
    def note_assignments(self) -> None:
        """Remember what the step assigns, to refuse calls in which one tensor comes in by two ways."""
        owners = [owner for (_, owner), _ in self.writes] + [owner for owner, _ in self.clears]
        self.assigned = {owner if isinstance(owner, int) else id(owner) for owner in owners}
        self._state = {id(owner) for _, owner in self.sources if not isinstance(owner, int)} | self.assigned
        self._arguments = [owner for kind, owner in self.sources if isinstance(owner, int) and kind == "cell"]

    def _refuse_aliases(self, leaves: list[Any]) -> None:
        """Raise if a tensor that the step assigns is also reached by another way: inside, these are two cells."""
        seen: dict[int, int] = {}
        for index in self._arguments:
            key = id(leaves[index])
            other = seen.setdefault(key, index)
            twice = other != index and (index in self.assigned or other in self.assigned)
            if twice or key in self.assigned or (index in self.assigned and key in self._state):
                raise TraceError(
                    f"argument {self.labels[index]} is a tensor that the step also reaches by another way and assigns; "
                    "inside cr.jit they would be two tensors. Make it an nn.Parameter, or reach it by one way only."
                )

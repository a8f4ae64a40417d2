"""Tracing a step into a variant: symbols stand for the arguments, cells from outside become captured state.

What the step assigned and what it returns become the graph's outputs. Every cell is put back as it was before the
trace, whether the step returns or raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.compiler.guards import SCALARS, Guards
from chainrule.compiler.passes.dead_code import without_dead_code
from chainrule.compiler.pullback import Pullback
from chainrule.compiler.static import given
from chainrule.compiler.variant import Output, Place, Variant, grad_kind
from chainrule.core import tree
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import GradientError
from chainrule.core.graph import check
from chainrule.core.primitive import TensorType
from chainrule.core.tape import Edge, Leaf
from chainrule.core.tensor import CONSUMED, Parameter, Tensor, connected
from chainrule.core.tracer import GradSlot, Tracer

__all__ = ["is_argument", "trace"]


def is_argument(leaf: Any) -> bool:
    """Return whether an argument is given anew with each call; a parameter is state, wherever it comes from."""
    return isinstance(leaf, Tensor) and not isinstance(leaf, Parameter)


def trace(
    function: Callable[..., Any], name: str, key: tuple, leaves: list[Any], structure: Any, keep: bool
) -> Variant:
    """Run a step once with symbols, and return the variant; every cell is as before, whatever happens.

    Args:
        function: the Python step.
        name: for printed graphs.
        key: what selects the variant.
        leaves: leaves of the arguments.
        structure: their containers.
        keep: whether gradients that the step used up stay readable.

    Returns:
        The variant, ready to run.
    """
    tracer = Tracer(name, keep)
    proxies = {i: _proxy(tracer, leaf) for i, leaf in enumerate(leaves) if is_argument(leaf)}
    symbols = [proxy._value for proxy in proxies.values()]
    starts = [_place(proxy) for proxy in proxies.values()]
    try:
        with tracer:
            args, kwargs = tree.unflatten(structure, [proxies.get(i, given(leaf)) for i, leaf in enumerate(leaves)])
            result, result_structure = tree.flatten(function(*args, **kwargs))
            ends = _Ends(tracer, proxies, leaves, keep)
            results = [ends.output(leaf) if isinstance(leaf, Tensor) else leaf for leaf in result]
    finally:
        tracer.restore()
    captured = list(tracer.captured.values())
    grads = [slot for slot in tracer.grads.values() if slot.read is not None]
    inputs = [*symbols, *(v for _, v in captured), *(slot.read for slot in grads)]
    labels = _labels(function, structure, len(leaves))
    state = [*(f"state{i}" for i in range(len(captured))), *(f"grad{i}" for i in range(len(grads)))]
    names = [*(labels[i] for i in proxies), *state]
    graph = check(without_dead_code(tracer.graph(inputs, [t._value for t in ends.outputs], names)))
    objects = [(labels[i], given(x)) for i, x in enumerate(leaves) if not isinstance(x, SCALARS) and not is_argument(x)]
    variant = Variant(key, Guards(function, objects), graph, labels)
    places: list[Place] = [("cell", i) for i in proxies]
    places += [*(("cell", cell) for cell, _ in captured), *(("grad", ends.owner(slot)) for slot in grads)]
    variant.sources = places
    variant.cells = [(cell, (cell._value.shape, cell._value.dtype), grad_kind(cell)) for cell, _ in captured]
    variant.slots = [(ends.owner(slot), _type_before(slot)) for slot in tracer.grads.values() if slot.was_read]
    variant.results, variant.structure = results, result_structure
    variant.writes, variant.clears = ends.writes, ends.clears
    variant.note_assignments()
    variant.live = ends.live
    if ends.live:
        starts += [*(_place(cell) for cell, _ in captured), *(_place(slot.before) for slot in grads)]
        variant.pullback = Pullback(tracer, inputs, starts, [ends.outputs[i] for i in ends.live])
    return variant


class _Ends:
    """What a step leaves behind: graph outputs, where they go, and which are on the tape.

    Args:
        tracer: the trace, not yet restored.
        proxies: argument index -> the tensor that stood for it.
        leaves: the arguments.
        keep: whether gradients that the step used up stay readable.
    """

    def __init__(self, tracer: Tracer, proxies: dict[int, Tensor], leaves: list[Any], keep: bool):
        self.tracer, self.leaves = tracer, leaves
        self.index = {id(proxy): i for i, proxy in proxies.items()}
        self.outputs: list[Tensor] = []
        self.live: list[int] = []
        self.writes: list[tuple[Place, int]] = []
        self.clears: list[tuple[Any, Any]] = []
        for cell, *_ in tracer.written.values():
            self.writes.append((("cell", cell), self._put(cell)))
        for i, proxy in proxies.items():
            if proxy._version:
                self.writes.append((("cell", i), self._put(proxy)))
        for slot in tracer.grads.values():
            if slot.written:
                self._gradient(slot, keep)

    def owner(self, slot: GradSlot) -> Any:
        """Return the owner of a gradient: a tensor from outside, or the index of an argument."""
        return self.index.get(id(slot.owner), slot.owner)

    def output(self, tensor: Tensor) -> Output:
        """Make a tensor that the step returns a graph output."""
        return Output(self._put(tensor, is_result=True))

    def _gradient(self, slot: GradSlot, keep: bool) -> None:
        owner, final = self.owner(slot), slot.owner._grad
        if isinstance(owner, int) and grad_kind(self.leaves[owner]) == "result":
            raise GradientError(
                "backward inside cr.jit reached an argument that is a result of operations recorded before the step. "
                "Give the step that tensor as h.detach(), or return the loss and call backward outside."
            )
        if final is None:
            self.clears.append((owner, None))
        elif slot.consumed and not keep:
            self.clears.append((owner, CONSUMED))
        else:
            self.writes.append((("grad", owner), self._put(final)))

    def _put(self, tensor: Tensor, is_result: bool = False) -> int:
        """Append a graph output and return its number; a snapshot is taken, for cells are put back after the trace."""
        node = tensor._node
        self.outputs.append(connected(self.tracer.read(tensor), node, tensor._index))
        if node is not None and node.kept is not None and (is_result or not isinstance(node, Leaf)):
            self.live.append(len(self.outputs) - 1)
        return len(self.outputs) - 1


def _proxy(tracer: Tracer, leaf: Tensor) -> Tensor:
    """Return the tensor that stands for an argument inside the trace."""
    value = leaf._value
    proxy = Tensor(tracer.variable(TensorType(value.shape, dtype_of(value.dtype))))
    if leaf._node is not None:
        proxy._node = Leaf(proxy)
        proxy._grad = leaf._grad
    return proxy


def _place(tensor: Tensor) -> Edge | None:
    return None if tensor._node is None else (tensor._node, tensor._index)


def _type_before(slot: GradSlot) -> Any:
    return (slot.before.shape, slot.before._value.dtype) if isinstance(slot.before, Tensor) else None


def _labels(function: Callable[..., Any], structure: Any, count: int) -> list[str]:
    """Return a name for each argument leaf: the parameter's, with a number where it holds several."""
    code = getattr(function, "__code__", None)
    names: Sequence[str] = code.co_varnames[: code.co_argcount] if code else ()
    if getattr(function, "__self__", None) is not None:
        names = names[1:]
    positional, keyword = structure[2]
    labels: list[str] = []
    parts = [(names[i] if i < len(names) else f"arg{i}", part) for i, part in enumerate(positional[2])]
    parts += list(zip(keyword[1], keyword[2], strict=True))
    for name, part in parts:
        leaves = _count(part)
        labels += [name] if leaves == 1 else [f"{name}.{i}" for i in range(leaves)]
    return labels[:count]


def _count(structure: Any) -> int:
    return 1 if structure == tree.LEAF else sum(map(_count, structure[2]))

"""`checkpoint`: forget what a block computed on the way, and compute it again when the backward pass needs it.

While the block runs, its operations are noted (never the Python code: control flow, random numbers and assignments are
facts by then). Afterwards the block's nodes on the tape stay, but what their rules keep is let go; the region holds
only the buffers that came in. The first rule that asks replays the operations, from the same buffers, so the gradients
have the bits they would have had; at the region's beginning the walk drops them again. While tracing, the replay emits
the operations a second time, behind barriers that no pass looks through.

Source: Griewank and Walther, Algorithm 799: revolve, 2000; Chen et al., Training deep nets with sublinear memory cost,
2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from chainrule.core import tree
from chainrule.core.bind import bind
from chainrule.core.context import local, no_grad
from chainrule.core.graph import Variable
from chainrule.core.levels import Level, Lifted
from chainrule.core.primitive import PRIMITIVES, Primitive
from chainrule.core.tape import Leaf, Node, _Kept, next_sequence
from chainrule.core.tensor import Tensor

__all__ = ["checkpoint"]


def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return `function` of the arguments, without keeping for the backward pass what it computes on the way.

    The operations run once more in the backward pass; gradients, random numbers and assigned state are those of the
    plain call, bit for bit. Of a network in k such blocks the tape holds the k inputs and, for a while, one block.

    Args:
        function: any function of tensors, a module for example; it may use tensors from outside.
        args: its positional arguments.
        kwargs: its keyword arguments.

    Returns:
        What the function returns. What the `pull` of a `custom_gradient` inside holds, stays.

    Example:
        >>> import chainrule as cr
        >>> block = lambda x: cr.tanh(cr.tanh(x))
        >>> x = cr.ones(()).requires_grad_()
        >>> cr.checkpoint(block, x).backward()
        >>> bool(x.grad == cr.grad(block)(1.0))
        True
    """
    if not local.grad:
        return function(*args, **kwargs)
    notes = _Notes()
    before, local.checks = local.checks, (*local.checks, notes.note)
    try:
        result = function(*args, **kwargs)
    finally:
        local.checks = before
    notes.forget([leaf for leaf in tree.flatten(result)[0] if isinstance(leaf, Tensor)])
    return result


class _Slot(NamedTuple):
    """Output `position` of step `step`."""

    step: int
    position: int


class _Step(NamedTuple):
    """One operation of a region; an input is a slot, or a buffer from outside."""

    level: Level | None
    primitive: Primitive
    inputs: list[Any]
    attributes: dict[str, Any]


class _Notes:
    """The operations of a block while it runs; all buffers are held, so that none is taken for another."""

    def __init__(self) -> None:
        self.first = next_sequence()
        self.calls: list[tuple[Level | None, Primitive, list, list, dict]] = []

    def note(self, primitive: Primitive, values: list, results: list, attributes: dict) -> None:
        """Note an operation; `bind` calls this."""
        self.calls.append((local.transform, primitive, values, results, attributes))

    def forget(self, results: list[Tensor]) -> None:
        """Let go of what the nodes behind the results keep of the block."""
        made: dict[int, _Slot] = {}
        given: set[int] = set()
        steps = []
        for number, (level, primitive, values, outputs, attributes) in enumerate(self.calls):
            given.update(id(value) for value in values if id(value) not in made)
            steps.append(_Step(level, primitive, [made.get(id(value), value) for value in values], attributes))
            for position, value in enumerate(outputs):
                if id(value) not in given:
                    made.setdefault(id(value), _Slot(number, position))
        region = _Region(self.first, steps)
        inner: set[_Region] = set()  # blocks within the block: what comes into them is forgotten here
        for node in _nodes_since(self.first, results):
            if isinstance(node.kept, _Forgotten):
                inner.update(node.kept.regions())
                node.kept.forget(region, made)
            elif node.kept:
                entries = {name: _split(entry, region, made) for name, entry in node.kept.items()}
                if any(source is not None for _, sources in entries.values() for source in sources):
                    node.kept = _Forgotten(entries)  # type: ignore[assignment]
        for step in (step for other in inner for step in other.steps):
            step.inputs[:] = [region.source(made[id(x)]) if id(x) in made else x for x in step.inputs]
        region.keep_what_is_needed()


class _Source(NamedTuple):
    """Where a forgotten buffer comes from."""

    region: _Region
    slot: _Slot


class _Region:
    """A block that has run: its operations, and the buffers that came in.

    Args:
        first: operations recorded before the block have smaller sequence numbers.
        steps: the operations.
    """

    def __init__(self, first: int, steps: list[_Step]):
        self.first, self.steps = first, steps
        self.wanted: set[_Slot] = set()

    def source(self, slot: _Slot) -> _Source:
        """Note that a slot will be asked for, and return it as a source."""
        self.wanted.add(slot)
        return _Source(self, slot)

    def keep_what_is_needed(self) -> None:
        """Let go of steps that nobody will ask for, with the buffers that came into them."""
        needed = set(self._leading_to(self.wanted))
        for number, step in enumerate(self.steps):
            if number not in needed:
                step.inputs.clear()

    def value(self, slot: _Slot) -> Any:
        """Return an output of a step, computed again at most once per walk down the tape."""
        level = self.steps[slot.step].level
        if local.recomputed is None:
            return self._replay(level)[slot]
        key = (self, level)
        if key not in local.recomputed:
            local.recomputed[key] = self._replay(level)
        return local.recomputed[key][slot]

    def _replay(self, level: Level | None) -> dict[_Slot, Any]:
        """Run the steps of one level that lead to what is wanted; return the wanted outputs."""
        wanted = {slot for slot in self.wanted if self.steps[slot.step].level is level}
        found: dict[_Slot, Any] = {}
        fenced: dict[int, Tensor] = {}
        before = local.transform, local.precision
        local.transform, local.precision = level, None  # what was cast then is an operation of its own
        try:
            with no_grad():
                numbers = self._leading_to(wanted)
                if local.interpreter is not None:
                    self._fence(numbers, fenced)
                for number in numbers:
                    step = self.steps[number]
                    inputs = [
                        Tensor(found[x]) if isinstance(x, _Slot) else _from_outside(x, fenced) for x in step.inputs
                    ]
                    result = bind(step.primitive, *inputs, **step.attributes)
                    for position, out in enumerate(result if step.primitive.multiple else (result,)):
                        found[_Slot(number, position)] = out._value
        finally:
            local.transform, local.precision = before
        return {slot: found[slot] for slot in wanted}

    def _fence(self, numbers: list[int], fenced: dict[int, Tensor]) -> None:
        """Put all barriers first: what is computed again begins behind the last of them."""
        for number in numbers:
            for x in self.steps[number].inputs:
                if not isinstance(x, _Slot):
                    _from_outside(x, fenced)

    def _leading_to(self, wanted: set[_Slot]) -> list[int]:
        """Return the numbers of the steps that some of the slots need, in order."""
        needed: set[int] = set()
        stack = [slot.step for slot in wanted]
        while stack:
            number = stack.pop()
            if number not in needed:
                needed.add(number)
                stack.extend(x.step for x in self.steps[number].inputs if isinstance(x, _Slot))
        return sorted(needed)


def _from_outside(value: Any, fenced: dict[int, Tensor]) -> Tensor:
    """Return a buffer from outside as an input of the replay; a traced one behind a barrier."""
    if isinstance(value, _Source):
        value = value.region.value(value.slot)
    if local.interpreter is None or (isinstance(value, Variable) and value.constant is not None):
        return Tensor(value)
    if id(value) not in fenced:
        fenced[id(value)] = bind(PRIMITIVES["barrier"], Tensor(value))
    return fenced[id(value)]


# ---------------------------------------------------------------------------------------------------- on the tape
Entry = tuple[Any, list[_Source | None]]  # what was kept, with None for a forgotten buffer, and the sources of these


class _Forgotten(Mapping):
    """Stands in a node for what its rules keep; a forgotten buffer is computed again when it is asked for."""

    def __init__(self, entries: dict[str, Entry]):
        self.entries = entries

    def regions(self) -> set[_Region]:
        """Return the blocks that its buffers come from."""
        return {source.region for _, sources in self.entries.values() for source in sources if source is not None}

    def forget(self, region: _Region, made: dict[int, _Slot]) -> None:
        """Let go of more buffers: those of a block around."""
        for name, (entry, sources) in self.entries.items():
            rest, more = _split(entry, region, made)
            self.entries[name] = rest, [b if a is None else a for a, b in zip(sources, more, strict=True)]

    def __getitem__(self, name: str) -> Any:
        entry, sources = self.entries[name]
        if isinstance(entry, list):
            return [_filled(part, source) for part, source in zip(entry, sources, strict=True)]
        return _filled(entry, sources[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def _filled(entry: Any, source: _Source | None) -> Any:
    if source is None:
        return entry
    value = source.region.value(source.slot)
    return entry._replace(value=value) if isinstance(entry, _Kept) else value


def _split(entry: Any, region: _Region, made: dict[int, _Slot]) -> Entry:
    """Return what a node keeps without the buffers of the region, and where these come from."""
    if isinstance(entry, list):
        parts = [_split(part, region, made) for part in entry]
        return [part for part, _ in parts], [sources[0] for _, sources in parts]
    value = entry.value if isinstance(entry, _Kept) else entry
    slot = made.get(id(value)) if isinstance(value, np.ndarray | Variable | Lifted) else None
    if slot is None:
        return entry, [None]
    return (entry._replace(value=None) if isinstance(entry, _Kept) else None), [region.source(slot)]


def _nodes_since(first: int, results: list[Tensor]) -> list[Node]:
    """Return the nodes behind some tensors, at all levels, that were recorded since `first`."""
    stack: list[Node] = []
    tensors = list(results)
    while tensors:
        tensor = tensors.pop()
        if tensor._node is not None:
            stack.append(tensor._node)
        if isinstance(tensor._value, Lifted):
            tensors.extend(tensor._value.parts())
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node not in seen and node.sequence > first and not isinstance(node, Leaf):
            seen.add(node)
            stack.extend(edge[0] for edge in node.edges if edge is not None)
    return list(seen)

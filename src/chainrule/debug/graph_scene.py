"""From a computation to boxes and links: which calls are one box, which are open, and what stands on each.

A closed call is one box with what goes in and out. An open one is a frame that holds a scene of its own, with an entry
for each value that comes in and an exit for each that leaves; so frames never overlap, and a scene of scenes is laid
out from the inside out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from chainrule.debug.graph_parts import Call, Computation, Input, Operation, Value
from chainrule.debug.graph_words import factors, gradient_text, is_folded, label, product_text, type_text, value_text

__all__ = ["Box", "Link", "Port", "Scene", "all_calls", "build_scene"]


@dataclass(eq=False)
class Port:
    """Where a value enters a box.

    Attributes:
        value: what enters.
        down: the gradient that goes back.
        text: that gradient as it is written; empty where a frame's inside says it.
        product: upstream gradient times local derivative, between single numbers.
        words: what the operation does to the upstream gradient.
    """

    value: Value
    down: np.ndarray | None = None
    text: str = ""
    product: str = ""
    words: str = ""


@dataclass(eq=False)
class Box:
    """A box of the picture.

    Attributes:
        kind: "argument", "parameter", "constant", "operation", "group", "entry", "exit" or "result".
        title: what stands on it.
        lines: smaller lines below.
        hint: what pointing at it shows.
        inputs, outputs: its ports.
        inner: of an open group, what is in it.
        call: of a group.
    """

    kind: str
    title: str = ""
    lines: list[str] = field(default_factory=list)
    hint: str = ""
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    inner: Scene | None = None
    call: Call | None = None


@dataclass(eq=False)
class Link:
    """A line from an output of a box to an input of another."""

    source: Box
    output: int
    target: Box
    input: int

    @property
    def value(self) -> Value:
        """What flows along it."""
        return self.source.outputs[self.output]

    @property
    def port(self) -> Port:
        """Where it arrives."""
        return self.target.inputs[self.input]


@dataclass(eq=False)
class Scene:
    """Boxes and links."""

    boxes: list[Box] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def all_calls(whole: Computation) -> list[Call]:
    """Return every call once, in the order in which they began; the outer before the inner."""
    return list(dict.fromkeys(call for operation in whole.operations for call in operation.calls))


def build_scene(whole: Computation, closed: Iterable[Call]) -> Scene:
    """Return the picture of a computation.

    Args:
        whole: the computation.
        closed: calls that are one box; all others are open.
    """
    operations = whole.operations
    depth = 0  # an open call around everything needs no frame
    while operations and len(operations[0].calls) > depth and operations[0].calls[depth] not in set(closed):
        if any(len(op.calls) <= depth or op.calls[depth] is not operations[0].calls[depth] for op in operations):
            break
        depth += 1
    return _Scenes(whole, set(closed)).scene(operations, depth, [], [], top=True)


def _inputs(operation: Operation) -> list[Input]:
    """Return the edges that are drawn: not the numbers that stand in the operation's label."""
    folded = [is_folded(operation, edge) for edge in operation.inputs]
    if all(folded):
        return list(operation.inputs)
    return [edge for edge, hidden in zip(operation.inputs, folded, strict=True) if not hidden]


class _Scenes:
    """Builds scenes, frame by frame."""

    def __init__(self, whole: Computation, closed: set[Call]):
        self.whole, self.closed = whole, closed
        self.readers: dict[Value, list[Operation]] = {}
        for operation in whole.operations:
            for edge in _inputs(operation):
                self.readers.setdefault(edge.value, []).append(operation)
        self.made = {value for operation in whole.operations for value in operation.outputs}
        self.results = {value for _, value in whole.results}

    def scene(
        self, operations: Sequence[Operation], depth: int, coming: list[Value], leaving: list[Value], *, top: bool
    ) -> Scene:
        """Return the scene of some operations, whose first `depth` calls are those they all share."""
        scene, source = Scene(), {}
        for value in coming:
            scene.boxes.append(Box("entry", outputs=[value]))
            source[value] = (scene.boxes[-1], 0)
        for value in self._leaves(operations):
            if value not in source and self._home(value, depth, operations, top):
                scene.boxes.append(self._leaf(value, operations[0].calls[:depth] if operations else ()))
                source[value] = (scene.boxes[-1], 0)
        for box in self._items(operations, depth):
            scene.boxes.append(box)
            source.update((value, (box, i)) for i, value in enumerate(box.outputs))
        for value in leaving:
            scene.boxes.append(Box("exit", inputs=[Port(value, value.gradient)]))
        if top:
            for name, value in self.whole.results:
                if value not in source:
                    scene.boxes.append(self._leaf(value, ()))
                    source[value] = (scene.boxes[-1], 0)
                port = Port(value, value.gradient, gradient_text(value.gradient), "", "the upstream gradient")
                scene.boxes.append(Box("result", name or self.whole.name or "result", [], _value_hint(value), [port]))
        for box in scene.boxes:
            for i, port in enumerate(box.inputs):
                scene.links.append(Link(*source[port.value], box, i))
        return scene

    def _leaves(self, operations: Sequence[Operation]) -> list[Value]:
        found = [edge.value for operation in operations for edge in _inputs(operation)]
        return [value for value in dict.fromkeys(found) if value not in self.made]

    def _home(self, value: Value, depth: int, operations: Sequence[Operation], top: bool) -> bool:
        """Return whether a leaf is drawn in this frame: the innermost that holds all its readers."""
        readers = self.readers[value]
        if value.kind == "argument" or value in self.results:
            return top
        inner = [op.calls[depth] if len(op.calls) > depth else None for op in readers]
        return inner[0] is None or any(call is not inner[0] for call in inner)

    def _items(self, operations: Sequence[Operation], depth: int) -> list[Box]:
        boxes = []
        for call, run in groupby(operations, key=lambda op: op.calls[depth] if len(op.calls) > depth else None):
            members = list(run)
            boxes += [_operation_box(op) for op in members] if call is None else [self._group(call, members, depth)]
        return boxes

    def _group(self, call: Call, members: list[Operation], depth: int) -> Box:
        made = [value for operation in members for value in operation.outputs]
        inside, edges = set(made), [edge for operation in members for edge in _inputs(operation)]
        owned = {v for v in self._leaves(members) if not self._outside(v, members)}
        coming = list(dict.fromkeys(e.value for e in edges if e.value not in inside and e.value not in owned))
        leaving = [v for v in made if v in self.results or self._outside(v, members)]
        ports = [_group_port(value, [e for e in edges if e.value is value], leaving) for value in coming]
        lines = [call.path] if call.path and call.text != "block" else []
        lines += [type_text(value) for value in leaving[:1] if value.type.size > 1]
        lines += [f"{call.parameters:,} parameters"] if call.parameters else []
        hint = "\n".join(filter(None, ["" if call.text == "block" else call.text, f"{len(members)} operations"]))
        box = Box("group", call.kind, lines, hint, ports, leaving, None, call)
        if call not in self.closed:
            box.inner = self.scene(members, depth + 1, coming, leaving, top=False)
            for port in ports:
                port.text = port.product = ""  # the lines inside the frame say it
        return box

    def _outside(self, value: Value, members: Sequence[Operation]) -> bool:
        """Return whether a value is used, or shown, outside some operations."""
        inside = set(members)
        shown = value.kind == "argument" or (value in self.results and value not in self.made)
        return shown or any(reader not in inside for reader in self.readers.get(value, ()))

    def _leaf(self, value: Value, calls: tuple[Call, ...]) -> Box:
        name, prefix = value.name, calls[-1].path if calls else ""
        if prefix and name.startswith(prefix + "."):
            name = name.removeprefix(prefix + ".")  # the frame around it says the rest
        small = value.type.size == 1
        title = name or ("" if value.kind == "argument" else value.kind) or ("" if small else "leaf")
        lines = [] if small else [type_text(value)]
        return Box(value.kind, title, lines, _value_hint(value), [], [value])


def _operation_box(operation: Operation) -> Box:
    ports = []
    for edge in _inputs(operation):
        upstream = operation.outputs[0].gradient if len(operation.outputs) == 1 else None
        words = edge.local.words if edge.local is not None else ""
        ports.append(Port(edge.value, edge.down, gradient_text(edge.down), product_text(edge, upstream), words))
    main = operation.outputs[0]
    lines = [] if main.type.size == 1 else [type_text(main)]
    settings = [f"{key}={getattr(value, 'name', value)}" for key, value in operation.attributes.items()]
    hint = "\n".join([f"{operation.name}({', '.join(settings)})", _value_hint(main), operation.source]).strip()
    return Box("operation", label(operation), lines, hint, ports, list(operation.outputs))


def _group_port(value: Value, edges: list[Input], leaving: list[Value]) -> Port:
    """Return the port of a group: the gradients of all operations inside that read the value, together."""
    flowing = [edge.down for edge in edges if edge.down is not None]
    if not flowing:
        return Port(value)
    down = np.asarray(sum(part for part in flowing[1:]) + flowing[0] if len(flowing) > 1 else flowing[0])
    upstream, product = leaving[0].gradient if len(leaving) == 1 else None, ""
    if upstream is not None and upstream.size == down.size == 1 and upstream.item():
        product = factors(upstream.item(), down.item() / upstream.item())
    return Port(value, down, gradient_text(down), product, "the derivative of the whole block")


def _value_hint(value: Value) -> str:
    known = value_text(value)
    parts = [f"{value.name} " if value.name else "", type_text(value), f", {known}" if known else ""]
    gradient = gradient_text(value.gradient)
    return "".join(parts) + (f"\ngradient {gradient}" if gradient else "")

"""The picture as text for a terminal.

One line per tensor in the order of the computation: its name, how it was made, type, value, gradient, and what goes
back to each input, upstream gradient times local derivative. What is inside an open call is indented.
"""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.debug.graph_dot import gradient
from chainrule.debug.graph_parts import Computation, Value
from chainrule.debug.graph_scene import Box, Scene
from chainrule.debug.graph_words import gradient_text, value_text

__all__ = ["text"]

_HEAD = ("name", "made by", "type", "value", "gradient", "goes back")


def text(scene: Scene, whole: Computation) -> str:
    """Return a scene as aligned lines.

    Args:
        scene: from `build_scene`.
        whole: the computation it shows.
    """
    names: dict[Value, str] = {}
    rows = [_HEAD, *_rows(scene, "", names)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    head = f"{whole.name}({', '.join(names[value] for value in whole.arguments if value in names)})"
    ends = [f"{name}: {names[value]}" if name else names[value] for name, value in whole.results]
    tail = [f"result: {', '.join(ends)}", *(f"({note})" for note in whole.notes)]
    return "\n".join([head, *(f"  {line}".rstrip() for line in (*lines, *tail))])


def _rows(scene: Scene, indent: str, names: dict[Value, str]) -> Iterator[tuple[str, ...]]:
    for box in scene.boxes:
        if box.kind in ("entry", "exit", "result"):
            continue
        if box.inner is not None:
            path = box.call.path if box.call is not None else ""
            yield (indent + (path or box.title), box.title if path else "", "", "", "", "")
            yield from _rows(box.inner, indent + "  ", names)
            continue
        for value in box.outputs:
            _name(box, value, names)
        read = ", ".join(names.get(port.value, "?") for port in box.inputs)
        made = f"{box.title}  ({read})" if box.inputs else "" if box.title == box.kind else box.kind
        down = "; ".join(f"{names.get(p.value, '?')}: {gradient(p)}" for p in box.inputs if p.text)
        for k, value in enumerate(box.outputs):
            facts = (str(value.type), value_text(value), gradient_text(value.gradient))
            yield (indent + names[value], "" if k else made, *facts, "" if k else down)


def _name(box: Box, value: Value, names: dict[Value, str]) -> None:
    """Name a value: by its own name, by the call that made it, else by a number."""
    path = box.call.path if box.call is not None and len(box.outputs) == 1 else ""
    taken = set(names.values())
    for name in (value.name, box.title if not box.inputs else "", path):
        if name and name not in taken:
            names[value] = name
            return
    names[value] = f"%{sum(name.startswith('%') for name in taken)}"

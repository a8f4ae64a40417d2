"""The picture in the DOT language, for Graphviz and other programs that draw graphs; open groups are clusters."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.debug.graph_scene import Box, Port, Scene
from chainrule.debug.graph_words import value_text

__all__ = ["dot", "gradient"]


def dot(scene: Scene, name: str) -> str:
    """Return a scene in the DOT language; open groups are clusters.

    Args:
        scene: from `build_scene`.
        name: of the graph.
    """
    lines = [f"digraph {_quoted(name)} {{", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    lines += ['  edge [fontname="monospace", fontsize=10];', *_Dot().scene(scene, "  "), "}"]
    return "\n".join(lines) + "\n"


class _Dot:
    """Writes scenes; entries and exits of open groups are points."""

    def __init__(self) -> None:
        self.numbers: dict[Box, str] = {}

    def scene(self, scene: Scene, indent: str) -> Iterator[str]:
        for box in scene.boxes:
            if box.inner is not None:
                yield f"{indent}subgraph cluster_{len(self.numbers)} {{"
                self.numbers[box] = ""
                yield f"{indent}  label={_quoted(box.title)};"
                yield from self.scene(box.inner, indent + "  ")
                yield f"{indent}}}"
                continue
            self.numbers[box] = f"n{len(self.numbers)}"
            shape = {"operation": "circle" if len(box.title) <= 2 and not box.lines else "box", "group": "box3d"}
            kind = "point" if box.kind in ("entry", "exit") else shape.get(box.kind, "ellipse")
            title = "\n".join([box.title, *box.lines])
            yield f"{indent}{self.numbers[box]} [shape={kind}, label={_quoted(title)}];"
        for link in scene.links:
            source, target = self.end(link.source, link.output, "exit"), self.end(link.target, link.input, "entry")
            drawn = link.target.kind != "exit" and link.target.inner is None
            over, under = (value_text(link.value), gradient(link.port)) if drawn else ("", "")
            texts = [f'<FONT COLOR="#1f62b4">{_escaped(over)}</FONT>'] if over else []
            texts += [f'<FONT COLOR="#c2570c">{_escaped(under)}</FONT>'] if under else []
            yield f"{indent}{source} -> {target}" + (f" [label=<{'<BR/>'.join(texts)}>];" if texts else ";")

    def end(self, box: Box, port: int, side: str) -> str:
        """Return the node a line ends at: of an open group, the point at its border."""
        if box.inner is None:
            return self.numbers[box]
        return self.numbers[[part for part in box.inner.boxes if part.kind == side][port]]


def gradient(port: Port) -> str:
    """Return what goes back at a port in one line: "1 × −4 = −4".

    Args:
        port: of a scene's box.
    """
    return f"{port.product} = {port.text}" if port.product else port.text


def _quoted(words: str) -> str:
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

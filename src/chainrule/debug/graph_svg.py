"""The picture as SVG, written without any external program: forward values in blue, gradients in orange.

Over each line stands the value that flows along it, under it the gradient that goes back: upstream gradient times
local derivative. The file carries its own colours for light and dark screens and its own ground, so it reads well
wherever it is shown. Words are measured by the widths of common fonts, a little on the wide side.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass

from chainrule.debug.graph_layout import Layout, Line, Node, layout
from chainrule.debug.graph_scene import Box, Link, Scene
from chainrule.debug.graph_words import value_text

__all__ = ["Frame", "frames", "positions", "svg"]

PITCH, TALL = 40.0, 52.0  # pixels between two ports: a value above, a gradient below; and a product below that
MARGIN = 18.0  # around the picture
HEAD, FOOT, SIDE = 30.0, 12.0, 14.0  # above, below and beside the inside of a frame
TITLE, SMALL, NUMBER = 8.8, 6.7, 7.3  # pixels per letter of titles, small lines and products, numbers on lines

STYLE = """
.cr-graph { --paper: #fbfaf7; --card: #ffffff; --ink: #1d2430; --faint: #667083; --line: #aab3c2; --frame: #d5d8df;
  --wash: rgb(127 140 160 / 0.08); --value: #1f62b4; --gradient: #c2570c; --leaf: #e7f0fa; --end: #fdeedd;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) { .cr-graph { --paper: #14171c; --card: #1f242c; --ink: #e8eaee; --faint: #9aa3b2;
  --line: #5c6675; --frame: #363c47; --wash: rgb(160 175 200 / 0.06); --value: #7db4f5; --gradient: #f5a05a;
  --leaf: #1b2b3f; --end: #3a2a1a; } }
.cr-graph .paper { fill: var(--paper); }
.cr-graph text { fill: var(--ink); font-size: 15px; font-weight: 600; text-anchor: middle; }
.cr-graph .small { fill: var(--faint); font-size: 11px; font-weight: 400; }
.cr-graph .small, .cr-graph .value, .cr-graph .gradient { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas,
  "DejaVu Sans Mono", monospace; }
.cr-graph .value { fill: var(--value); font-size: 12px; font-weight: 400; }
.cr-graph .gradient { fill: var(--gradient); font-size: 12px; font-weight: 400; }
.cr-graph .product { fill: var(--gradient); opacity: 0.8; }
.cr-graph .flow { fill: none; stroke: var(--line); stroke-width: 1.5; }
.cr-graph .still { stroke-dasharray: 3 3; }
.cr-graph.plain .still { stroke-dasharray: none; }
.cr-graph .tip { fill: var(--line); stroke: none; }
.cr-graph .box { fill: var(--card); stroke: var(--line); stroke-width: 1.5; }
.cr-graph .leaf { fill: var(--leaf); stroke: var(--value); stroke-opacity: 0.45; }
.cr-graph .constant { fill: var(--wash); stroke: var(--frame); }
.cr-graph .end { fill: var(--end); stroke: var(--gradient); stroke-opacity: 0.55; }
.cr-graph .group { fill: var(--card); stroke: var(--ink); stroke-opacity: 0.55; }
.cr-graph .frame { fill: var(--wash); stroke: var(--frame); stroke-width: 1.5; }
.cr-graph .name { font-size: 13px; text-anchor: start; }
.cr-graph .note { text-anchor: start; opacity: 0.85; }
"""
LEGEND = "over a line its value, under it the gradient: upstream × local"
_CLASSES = {"argument": "leaf", "parameter": "leaf", "constant": "constant", "result": "end", "group": "group"}


@dataclass
class Frame:
    """A scene with its layout, and of its open groups the frames inside.

    Attributes:
        scene: what is drawn.
        nodes: sizes of its boxes.
        places: where they stand.
        inner: per box the frame inside it, or None.
    """

    scene: Scene
    nodes: list[Node]
    places: Layout
    inner: list[Frame | None]


def frames(scene: Scene) -> Frame:
    """Return a scene laid out from the inside out.

    Args:
        scene: from `build_scene`.
    """
    inner = [frames(box.inner) if box.inner is not None else None for box in scene.boxes]
    nodes = [_measured(box, part) for box, part in zip(scene.boxes, inner, strict=True)]
    index = {box: i for i, box in enumerate(scene.boxes)}
    lines = [
        Line(index[link.source], link.output, index[link.target], link.input, _label_width(link))
        for link in scene.links
    ]
    return Frame(scene, nodes, layout(nodes, lines), inner)


def _texts(link: Link) -> tuple[str, str, str]:
    """Return what stands over a line, under it, and below that."""
    if link.target.kind == "exit" or link.target.inner is not None:
        return "", "", ""
    return value_text(link.value), link.port.text, link.port.product


def _label_width(link: Link) -> float:
    over, under, product = _texts(link)
    width = max(NUMBER * max(len(over), len(under)), SMALL * len(product))
    return width + 26.0 if width else 14.0


def _measured(box: Box, inner: Frame | None) -> Node:
    if box.kind in ("entry", "exit"):
        return Node(0.0, PITCH, (PITCH / 2,), (PITCH / 2,), "first" if box.kind == "entry" else "last")
    if inner is not None:
        return _frame_node(box, inner)
    words = [TITLE * len(box.title), *(SMALL * len(line) for line in box.lines)]
    text = 22.0 + 15.0 * len(box.lines) if box.title else 6.0 + 15.0 * len(box.lines)
    ports = max(len(box.inputs), len(box.outputs), 1)
    pitch = TALL if any(port.product for port in box.inputs) else PITCH
    height = max(36.0, text + 14.0, pitch * (ports - 1) + 36.0)
    width = max(max(words) + 24.0, 36.0 if box.title or box.lines else 12.0)
    place = {"argument": "argument", "result": "last"}.get(box.kind, "free")
    return Node(width, height, _ports(len(box.inputs), height), _ports(len(box.outputs), height), place)


def _ports(count: int, height: float) -> list[float]:
    """Return the heights of ports, 18 pixels from the ends of the box at least."""
    step = (height - 36.0) / max(count - 1, 1)
    return [height / 2] if count == 1 else [18.0 + step * i for i in range(count)]


def _frame_node(box: Box, inner: Frame) -> Node:
    """Return the size of an open group; its ports are at the heights of the entries and exits inside."""
    heights = {
        part: HEAD + inner.places.y[i] + PITCH / 2
        for i, part in enumerate(inner.scene.boxes)
        if part.kind in ("entry", "exit")
    }
    width = max(inner.places.width + 2 * SIDE, TITLE * len(_heading(box)) + 24.0)
    entries = [height for part, height in heights.items() if part.kind == "entry"]
    exits = [height for part, height in heights.items() if part.kind == "exit"]
    return Node(width, inner.places.height + HEAD + FOOT, entries, exits)


def _heading(box: Box) -> str:
    return "  ".join([box.title, *box.lines[: 1 if box.call is not None and box.call.path else 0]])


# ---------------------------------------------------------------------------------------------------- writing
def svg(frame: Frame, notes: list[str]) -> str:
    """Return the SVG of a laid-out scene.

    Args:
        frame: from `frames`.
        notes: lines below the picture.
    """
    flows = any(link.port.down is not None for link in frame.scene.links)
    lines = [LEGEND, *notes] if flows else notes
    width = max(frame.places.width + 2 * MARGIN, SMALL * max(map(len, lines), default=0) + 2 * MARGIN)
    height = frame.places.height + 2 * MARGIN + 18.0 * len(lines)
    body = "".join(_scene(frame, MARGIN, MARGIN))
    bottom = frame.places.height + MARGIN + 22.0
    below = "".join(
        f'<text class="small note" x="{MARGIN:g}" y="{bottom + 18 * k:g}">{_esc(line)}</text>'
        for k, line in enumerate(lines)
    )
    measures = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cr-graph{"" if flows else " plain"}" {measures} '
        f'role="img" aria-label="graph of the computation"><style>{STYLE}</style>'
        f'<rect class="paper" width="100%" height="100%" rx="10"/>{body}{below}</svg>\n'
    )


def _scene(frame: Frame, dx: float, dy: float, side: float = 0.0) -> Iterator[str]:
    """Yield the elements of a scene whose top left corner stands at (dx, dy), `side` from the frame around it."""
    for box, node, inner, x, y in zip(
        frame.scene.boxes, frame.nodes, frame.inner, frame.places.x, frame.places.y, strict=True
    ):
        if inner is not None:
            yield (
                f'<rect class="frame" x="{dx + x:.1f}" y="{dy + y:.1f}" width="{node.width:.1f}" '
                f'height="{node.height:.1f}" rx="9"/>'
                f'<text class="name" x="{dx + x + 11:.1f}" y="{dy + y + 20:.1f}">{_esc(box.title)}'
                f'<tspan class="small" dx="7">{_esc(_heading(box)[len(box.title) :].strip())}</tspan></text>'
            )
            aside = (node.width - inner.places.width) / 2
            yield from _scene(inner, dx + x + aside, dy + y + HEAD, aside)
    for link, route, run in zip(frame.scene.links, frame.places.routes, frame.places.runs, strict=True):
        yield _link(link, [(dx + x, dy + y) for x, y in route], dx + run, side)
    for box, node, x, y in zip(frame.scene.boxes, frame.nodes, frame.places.x, frame.places.y, strict=True):
        if box.inner is None and box.kind not in ("entry", "exit"):
            yield _box(box, node, dx + x, dy + y)


def _box(box: Box, node: Node, x: float, y: float) -> str:
    kind = _CLASSES.get(box.kind, "")
    round_ = min(node.width, node.height) / 2 if kind in ("leaf", "end", "constant") and not box.lines else 8.0
    if box.kind == "operation" and not box.lines and len(box.title) <= 2:
        round_ = node.width / 2
    middle = x + node.width / 2
    first = y + node.height / 2 - 7.5 * len(box.lines) + (5.0 if box.title else -8.0)
    texts = [f'<text x="{middle:.1f}" y="{first:.1f}">{_esc(box.title)}</text>'] if box.title else []
    for k, line in enumerate(box.lines):
        texts.append(f'<text class="small" x="{middle:.1f}" y="{first + 16 + 15 * k:.1f}">{_esc(line)}</text>')
    return (
        f'<g><title>{_esc(box.hint or box.title)}</title><rect class="box {kind}" x="{x:.1f}" y="{y:.1f}" '
        f'width="{node.width:.1f}" height="{node.height:.1f}" rx="{round_:.1f}"/>{"".join(texts)}</g>'
    )


def _link(link: Link, points: list[tuple[float, float]], run: float, side: float) -> str:
    """Return a line with its value over and its gradient under the last straight run."""
    (x, y), parts = points[0], [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    if link.source.kind == "entry":
        parts[0] = f"M{x - side:.1f} {y:.1f}"  # from the border of the frame
    for k, (nx, ny) in enumerate(points[1:]):
        if k % 2 == 0:
            parts.append(f"H{nx:.1f}")
        else:
            middle = (x + nx) / 2
            parts.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {ny:.1f} {nx:.1f} {ny:.1f}")
        x, y = nx, ny
    ends = link.target.kind != "exit" and link.target.inner is None
    parts[-1] = f"H{x - 6 if ends else x + side * (link.target.kind == 'exit'):.1f}"
    still = "" if link.port.down is not None else " still"
    text = [f'<path class="flow{still}" d="{"".join(parts)}"/>']
    if ends:
        text.append(f'<path class="tip" d="M{x:.1f} {y:.1f}l-8 -4v8z"/>')
    over, under, product = _texts(link)
    middle = (run + points[-1][0] - 4) / 2
    if over:
        text.append(f'<text class="value" x="{middle:.1f}" y="{y - 5:.1f}">{_esc(over)}</text>')
    if under:
        text.append(f'<text class="gradient" x="{middle:.1f}" y="{y + 15:.1f}">{_esc(under)}</text>')
    if product:
        text.append(f'<text class="small product" x="{middle:.1f}" y="{y + 28:.1f}">{_esc(product)}</text>')
    hint = "\n".join(filter(None, (str(link.value.type), over, under and f"gradient {under}", link.port.words)))
    return f"<g><title>{_esc(hint)}</title>{''.join(text)}</g>"


def _esc(text: str) -> str:
    return html.escape(text, quote=True)


def positions(frame: Frame, dx: float = MARGIN, dy: float = MARGIN) -> Iterator[tuple[Box, float, float, float, float]]:
    """Yield every group with its left, top, width and height in the picture; of an open one, those of its heading.

    Args:
        frame: from `frames`.
        dx: left of the frame, pixels.
        dy: its top, pixels.
    """
    for box, node, inner, x, y in zip(
        frame.scene.boxes, frame.nodes, frame.inner, frame.places.x, frame.places.y, strict=True
    ):
        if box.call is not None:
            yield box, dx + x, dy + y, node.width, HEAD if inner is not None else node.height
        if inner is not None:
            aside = (node.width - inner.places.width) / 2
            yield from positions(inner, dx + x + aside, dy + y + HEAD)

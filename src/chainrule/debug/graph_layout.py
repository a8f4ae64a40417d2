"""Where the boxes of a picture stand and how the lines between them run, from left to right.

The algorithm is that of Sugiyama, Tagawa and Toda (IEEE Trans. SMC 11, 1981), with ports:

1. the rank of a box is the longest path to it; boxes that could stand further right do, unless they are arguments;
2. a line over several ranks gets a waypoint in each rank between;
3. boxes and waypoints of a rank are ordered by the barycentre of their neighbours, to and fro, and the order with the
   fewest crossings counts;
4. each rank's heights minimise the squared distance to the neighbours' ports, in that order and without overlap: an
   isotonic regression, solved exactly by pooling adjacent violators (Ayer et al., Ann. Math. Stat. 26, 1955).

A line ends in a straight run before its box, wide enough for its label, so that labels never lie on boxes or on each
other. Nothing here knows what is drawn.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Layout", "Line", "Node", "layout"]

CURVE = 34.0  # pixels in which a line changes its height
GAP = 16.0  # pixels between two boxes of a rank
WAYPOINT = 12.0  # pixels of height that a passing line takes
SWEEPS = 12


@dataclass
class Node:
    """A box: its size, and the heights of its ports below its top.

    Attributes:
        width, height: pixels.
        inputs: offset of each input port.
        outputs: offset of each output port.
        place: "first" and "last" for the ends of the picture, "argument" for what stands left, else "free".
    """

    width: float
    height: float
    inputs: Sequence[float] = ()
    outputs: Sequence[float] = ()
    place: str = "free"


@dataclass
class Line:
    """A line from an output port to an input port, with the width of its label in pixels."""

    source: int
    output: int
    target: int
    input: int
    label: float = 0.0


@dataclass
class Layout:
    """What `layout` returns.

    Attributes:
        width, height: of the whole, pixels.
        x, y: left and top of each box.
        routes: per line its points: where it leaves, pairs of points around each bend, and where it arrives.
        runs: per line the left end of its last straight run, where its label begins.
    """

    width: float
    height: float
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    routes: list[list[tuple[float, float]]] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)


def layout(nodes: Sequence[Node], lines: Sequence[Line]) -> Layout:
    """Return the places of boxes and lines.

    Args:
        nodes: the boxes; lines between them form no cycle.
        lines: from output ports to input ports.

    Returns:
        The layout, with its top left corner at (0, 0).

    Example:
        >>> found = layout([Node(40, 20, (), (10,)), Node(40, 20, (10,))], [Line(0, 0, 1, 0, label=30)])
        >>> found.width, found.height
        (144.0, 20.0)
    """
    rank = _ranks(nodes, lines)
    spots, hops = _with_waypoints(nodes, lines, rank)
    y = _heights(spots, hops, _ordered(spots, hops))
    columns = _columns(nodes, lines, rank)
    found = Layout(max((right for _, _, right in columns), default=0.0), 0.0, y=y[: len(nodes)])
    found.height = max((y[i] + spot.height for i, spot in enumerate(spots)), default=0.0)
    for i, node in enumerate(nodes):
        _, left, right = columns[rank[i]]
        middle = (left + right - node.width) / 2
        found.x.append({"first": left, "last": right - node.width}.get(node.place, middle))  # ends lie on the border
    for line, path in zip(lines, hops.paths, strict=True):
        source, target = nodes[line.source], nodes[line.target]
        start = (found.x[line.source] + source.width, y[line.source] + source.outputs[line.output])
        end = (found.x[line.target], y[line.target] + target.inputs[line.input])
        points = [start, (columns[rank[line.source]][2], start[1])]
        for spot in path:
            run, _, right = columns[spots[spot].rank]
            middle = y[spot] + WAYPOINT / 2
            points += [(run, middle), (right, middle)]
        run = columns[rank[line.target]][0]
        found.routes.append([*points, (run, end[1]), end])
        found.runs.append(run)
    return found


# ---------------------------------------------------------------------------------------------------- 1. ranks
def _ranks(nodes: Sequence[Node], lines: Sequence[Line]) -> list[int]:
    after, before = defaultdict(list), defaultdict(list)
    for line in lines:
        after[line.source].append(line.target)
        before[line.target].append(line.source)
    order = _topological(len(nodes), after, before)
    rank = [0] * len(nodes)
    fixed = [node.place in ("first", "argument") for node in nodes]
    for i in order:
        rank[i] = max((rank[j] + 1 for j in before[i]), default=0)
        fixed[i] = fixed[i] or any(fixed[j] for j in before[i])
    last = max(rank, default=0)
    for i in reversed(order):
        if nodes[i].place == "last":
            rank[i] = last
        elif not fixed[i] and after[i]:
            rank[i] = min(rank[j] for j in after[i]) - 1
    return rank


def _topological(count: int, after: dict[int, list[int]], before: dict[int, list[int]]) -> list[int]:
    missing = [len(before[i]) for i in range(count)]
    ready, order = [i for i in range(count) if not missing[i]], []
    while ready:
        i = ready.pop()
        order.append(i)
        for j in after[i]:
            missing[j] -= 1
            if not missing[j]:
                ready.append(j)
    assert len(order) == count, "the lines of a picture form a cycle"
    return order


# ---------------------------------------------------------------------------------------------------- 2. waypoints
@dataclass
class _Spot:
    """A box or waypoint in its rank."""

    rank: int
    height: float
    weight: float


@dataclass
class _Hops:
    """Lines cut at the ranks: (spot, port height) to (spot, port height); and the spots that each line passes."""

    pairs: list[tuple[int, float, int, float]] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)


def _with_waypoints(nodes: Sequence[Node], lines: Sequence[Line], rank: list[int]) -> tuple[list[_Spot], _Hops]:
    spots = [_Spot(rank[i], node.height, 1.0) for i, node in enumerate(nodes)]
    hops = _Hops()
    shared: dict[tuple[int, int, int], int] = {}  # lines of one port pass through the same waypoints
    for line in lines:
        path, spot, port = [], line.source, nodes[line.source].outputs[line.output]
        for level in range(rank[line.source] + 1, rank[line.target]):
            key = (line.source, line.output, level)
            if key not in shared:
                shared[key] = len(spots)
                spots.append(_Spot(level, WAYPOINT, 4.0))
                hops.pairs.append((spot, port, shared[key], WAYPOINT / 2))
            spot, port = shared[key], WAYPOINT / 2
            path.append(spot)
        hops.pairs.append((spot, port, line.target, nodes[line.target].inputs[line.input]))
        hops.paths.append(path)
    return spots, hops


# ---------------------------------------------------------------------------------------------------- 3. order
def _ordered(spots: list[_Spot], hops: _Hops) -> list[list[int]]:
    ranks: list[list[int]] = [[] for _ in range(max((spot.rank for spot in spots), default=-1) + 1)]
    into, out = defaultdict(list), defaultdict(list)
    for a, port_a, b, port_b in hops.pairs:
        into[b].append((a, port_a / max(spots[a].height, 1), port_b))
        out[a].append((b, port_b / max(spots[b].height, 1), port_a))
    for i in _first_order(spots, into):
        ranks[spots[i].rank].append(i)
    best, fewest = [list(row) for row in ranks], _crossings(ranks, spots, hops)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for row in ranks[1:] if forward else ranks[-2::-1]:
            _sort_row(row, ranks, spots, into if forward else out)
        count = _crossings(ranks, spots, hops)
        if count < fewest:
            best, fewest = [list(row) for row in ranks], count
    return best


def _first_order(spots: list[_Spot], into: dict[int, list]) -> list[int]:
    """Return the spots depth first from the results, inputs in the order of their ports."""
    seen: dict[int, None] = {}
    stack = sorted(range(len(spots)), key=lambda i: (spots[i].rank, -i))
    while stack:
        i = stack.pop()
        if i in seen:
            continue
        seen[i] = None
        stack.extend(j for j, _, _ in sorted(into[i], key=lambda entry: -entry[2]))
    return list(seen)


def _sort_row(row: list[int], ranks: list[list[int]], spots: list[_Spot], neighbours: dict[int, list]) -> None:
    position = {i: k for level in ranks for k, i in enumerate(level)}

    def barycentre(i: int) -> float:
        places = [position[j] + share for j, share, _ in neighbours[i]]
        return sum(places) / len(places) if places else position[i]

    centres = {i: barycentre(i) for i in row}
    row.sort(key=lambda i: (centres[i], position[i]))


def _crossings(ranks: list[list[int]], spots: list[_Spot], hops: _Hops) -> int:
    """Return how often lines cross: inversions among the ends of the lines between two ranks."""
    position = {i: k for level in ranks for k, i in enumerate(level)}
    between = defaultdict(list)
    for a, port_a, b, port_b in hops.pairs:
        between[spots[a].rank].append(((position[a], port_a), (position[b], port_b)))
    count = 0
    for pairs in between.values():
        ends: list[tuple[int, float]] = []
        for _, end in sorted(pairs):
            count += len(ends) - bisect_right(ends, end)
            insort(ends, end)
    return count


# ---------------------------------------------------------------------------------------------------- 4. heights
def _heights(spots: list[_Spot], hops: _Hops, order: list[list[int]]) -> list[float]:
    y = [0.0] * len(spots)
    for row in order:
        top = 0.0
        for i in row:
            y[i], top = top, top + spots[i].height + GAP
    into, out = defaultdict(list), defaultdict(list)
    for a, port_a, b, port_b in hops.pairs:
        into[b].append((a, port_a - port_b))
        out[a].append((b, port_b - port_a))
    for sweep in range(2 * SWEEPS + 2):
        last = sweep >= 2 * SWEEPS  # at the end lines become straight: boxes follow their inputs, sources their readers
        for row in order if sweep % 2 == 0 else order[::-1]:
            wanted = []
            for i in row:
                near = into[i] if sweep % 2 == 0 else ([] if last and into[i] else out[i])
                near = into[i] + out[i] if sweep >= SWEEPS and not last else near
                wanted.append(sum(y[j] + offset for j, offset in near) / len(near) if near else y[i])
            for i, place in zip(row, _spaced(wanted, row, spots), strict=True):
                y[i] = place
    top = min(y, default=0.0)
    return [place - top for place in y]


def _spaced(wanted: list[float], row: list[int], spots: list[_Spot]) -> list[float]:
    """Return heights nearest to the wanted ones, in order and with gaps: pool adjacent violators."""
    offsets, total = [], 0.0
    for i in row:
        offsets.append(total)
        total += spots[i].height + GAP
    blocks: list[list[float]] = []  # [sum of weight x value, weight, count]
    for goal, offset, i in zip(wanted, offsets, row, strict=True):
        blocks.append([spots[i].weight * (goal - offset), spots[i].weight, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    values = [block[0] / block[1] for block in blocks for _ in range(int(block[2]))]
    return [value + offset for value, offset in zip(values, offsets, strict=True)]


# ---------------------------------------------------------------------------------------------------- columns
def _columns(nodes: Sequence[Node], lines: Sequence[Line], rank: list[int]) -> list[tuple[float, float, float]]:
    """Return per rank where the straight runs into it begin, and its left and right border."""
    count = max(rank, default=-1) + 1
    widths, labels = [0.0] * count, [0.0] * count
    for i, node in enumerate(nodes):
        widths[rank[i]] = max(widths[rank[i]], node.width)
    for line in lines:
        labels[rank[line.target]] = max(labels[rank[line.target]], line.label)
    columns, x = [], 0.0
    for level, (width, label) in enumerate(zip(widths, labels, strict=True)):
        run = x + CURVE if level else 0.0
        columns.append((run, run + label, run + label + width))
        x = run + label + width
    return columns

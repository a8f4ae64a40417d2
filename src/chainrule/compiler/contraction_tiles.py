"""Register tiles: which box of rows by vectors of columns a contraction computes at a time.

All places of a contraction are cut into equal boxes. The choice is by an estimate of cycles for a machine with two
fused multiply-adds of latency 4 and two loads per cycle, which are the machines of these years. It is a fixed function
of sizes, strides and registers: never of a measurement or of the number of threads, on which no bit may depend.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Grid", "dot_tile", "outer_tile", "separate"]


@dataclass(frozen=True)
class Grid:
    """Axes cut into boxes of `box`; at most the axis `edge` has a smaller last box, of `rest`.

    Columns are counted in vectors along the last axis.
    """

    extents: tuple[int, ...]
    box: tuple[int, ...]
    edge: int | None = None
    rest: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        """Boxes along each axis."""
        return tuple(-(-e // t) for e, t in zip(self.extents, self.box, strict=True))

    @property
    def boxes(self) -> int:
        """Number of boxes."""
        return math.prod(self.counts)

    @property
    def size(self) -> int:
        """Places in a whole box."""
        return math.prod(self.box)

    def shape(self, edge: bool) -> tuple[int, ...]:
        """Return the shape of a whole box, or of one at the edge."""
        return tuple(self.rest if edge and i == self.edge else t for i, t in enumerate(self.box))

    def where_edges(self) -> list[bool]:
        """Return of each box in order whether it is at the edge."""
        last = -1 if self.edge is None else self.counts[self.edge] - 1
        places = itertools.product(*map(range, self.counts))
        return [self.edge is not None and place[self.edge] == last for place in places]

    @property
    def edges(self) -> int:
        """Number of boxes at the edge."""
        return self.boxes // self.counts[self.edge] if self.edge is not None and self.boxes else 0


def outer_tile(
    rows: Sequence[int],
    strides: Sequence[int],
    vectors: Sequence[int],
    *,
    masked: bool,
    length: int,
    vector_bytes: int,
    registers: int,
    batch: int,
) -> tuple[Grid, Grid]:
    """Return the rows and columns of the tile of outer products that is estimated to take the fewest cycles.

    On one core of 2026, tiles of 16 to 24 sums ran at 0.92 of the peak and those of 26 to 28, which leave few registers
    over, at 0.82.

    Args:
        rows: extents.
        strides: of the rows in operand A, in bytes.
        vectors: extents of the columns, in vectors along the last axis.
        masked: whether the last vector is not whole.
        length: terms of a sum.
        vector_bytes: of a register.
        registers: that sums, vectors of B and one more can fill.
        batch: how often the tiles are there; 0 where threads won't share them.
    """
    sums = registers * 3 // 4
    row_grids = _grids(rows, sums)
    slower = [1.03 ** _scattered(g) * (1.5 if _collides(strides, g) else 1) for g in row_grids]
    best, choice = math.inf, (row_grids[0], row_grids[0])
    for columns in _grids(vectors, 6, masked):
        for grid, factor in zip(row_grids, slower, strict=True):
            if grid.size * columns.size > sums or (grid.size + 1) * columns.size + 1 > registers:
                continue
            kinds = {
                (r, c): _cycles(math.prod(grid.shape(r)), math.prod(columns.shape(c)), length, vector_bytes)
                for r in (False, True)
                for c in (False, True)
            }
            counts = itertools.product(_kinds(grid), _kinds(columns))
            cycles = factor * sum(n * m * kinds[r, c] for (r, n), (c, m) in counts)
            if 0 < batch * grid.boxes * columns.boxes <= 16:
                order = itertools.product(range(batch), grid.where_edges(), columns.where_edges())
                cycles *= _uneven([kinds[r, c] for _, r, c in order])
            if cycles < best:
                best, choice = cycles, (grid, columns)
    return choice


def _scattered(grid: Grid) -> bool:
    """Whether a box spans an axis without the whole of the axes inside it."""
    whole = True
    for extent, t in zip(reversed(grid.extents), reversed(grid.box), strict=True):
        if t > 1 and not whole:
            return True
        whole = whole and t == extent
    return False


def _uneven(costs: Sequence[float]) -> float:
    """Return what it costs that two or four threads share few tiles, weighed against the time of one thread."""
    total, factor = sum(costs), 1.0
    for threads, weight in ((2, 0.3), (4, 0.1)):
        cuts = [len(costs) * t // threads for t in range(threads + 1)]
        longest = max(sum(costs[begin:end]) for begin, end in itertools.pairwise(cuts))
        factor += weight * (longest * threads / total - 1)
    return factor


def _collides(strides: Sequence[int], grid: Grid) -> bool:
    """Whether more rows of a box than a cache has ways fall into one of its sets, of 64 lines of 64 bytes."""
    places = itertools.product(*map(range, grid.box))
    lines = {sum(i * s for i, s in zip(p, strides, strict=True)) // 64 for p in places}
    return max(collections.Counter(line % 64 for line in lines).values()) > 10


def _kinds(grid: Grid) -> list[tuple[bool, int]]:
    """Return how many whole boxes a grid has and how many at its edge."""
    return [(False, grid.boxes - grid.edges), (True, grid.edges)]


def _cycles(high: int, wide: int, length: int, vector_bytes: int) -> float:
    """Estimate the cycles of a tile on a machine with two FMA units of latency 4 and two loads per cycle."""
    step = max(high * wide / 2, (high + wide) / 2, 3.5) + 0.8 + wide * vector_bytes / 512
    return length * step + 2 * high * wide + 30


def _grids(extents: Sequence[int], most: int, masked: bool = False) -> list[Grid]:
    """Return for each size up to `most` the grid with the fewest boxes, and the best one that is not scattered.

    Where the very last place is `masked`, the boxes that hold it are the edge even if they are whole.
    """
    best: dict[tuple[int, bool], tuple[tuple[int, ...], Grid]] = {}
    for box in _boxes(extents, most):
        ragged = [i for i, (e, t) in enumerate(zip(extents, box, strict=True)) if e % t]
        if masked and box[-1] < extents[-1] and ragged[-1:] != [len(box) - 1]:
            ragged.append(len(box) - 1)
        if len(ragged) > 1:
            continue
        edge = ragged[0] if ragged else None
        grid = Grid(tuple(extents), box, edge, extents[edge] % box[edge] or box[edge] if edge is not None else 0)
        rank = (grid.boxes, len(ragged), *(-t for t in reversed(box)))
        key = grid.size, _scattered(grid)
        if key not in best or rank < best[key][0]:
            best[key] = rank, grid
    return [grid for _, grid in best.values()]


def _boxes(extents: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    if not extents:
        yield ()
        return
    for last in range(1, min(extents[-1], most) + 1):
        for box in _boxes(extents[:-1], most // last):
            yield (*box, last)


def dot_tile(rows: Sequence[int], vectors: Sequence[int], *, masked: bool, registers: int) -> tuple[Grid, Grid]:
    """Return the tile of dot products: rows by four columns at a time, a vector of columns in all."""
    columns = next(g for g in _grids(vectors, 1, masked))
    grids = _grids(rows, 6 if registers >= 32 else 3)
    return min(
        grids, key=lambda g: sum(n * max(4 * math.prod(g.shape(edge)) / 2, 4) + 4 * n for edge, n in _kinds(g))
    ), columns


def separate(strides: Sequence[int], grid: Grid, step: int) -> int:
    """Return up to how many successive terms, at most 8, no two rows of a box read the same element of A.

    LLVM would keep an element that is read again in a register, of which there is none left.
    """
    rows = {sum(i * s for i, s in zip(p, strides, strict=True)) for p in itertools.product(*map(range, grid.box))}
    seen = set(rows)
    for n in range(1, 8):
        moved = {row + n * step for row in rows}
        if step and not moved.isdisjoint(seen):
            return n
        seen |= moved
    return 8

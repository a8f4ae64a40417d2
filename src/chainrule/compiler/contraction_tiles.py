"""Register tiles: which box of rows by vectors of columns a contraction computes at a time.

All places of a contraction are cut into equal boxes. The choice is by an estimate of cycles for a machine with two
fused multiply-adds of latency 4 and two loads per cycle, which are the machines of these years; it must be a fixed
function of sizes and strides, as the shape of a tile decides nothing but speed.
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

    @property
    def edge_box(self) -> tuple[int, ...]:
        """The smaller box at the edge."""
        return tuple(self.rest if i == self.edge else t for i, t in enumerate(self.box))

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
    """
    sums = registers * 3 // 4
    row_grids = _grids(rows, sums)
    slower = [1.03 ** _scattered(g) * (1.5 if _collides(strides, g) else 1) for g in row_grids]
    best, choice = math.inf, (row_grids[0], row_grids[0])
    for columns in _grids(vectors, 6, masked):
        for grid, factor in zip(row_grids, slower, strict=True):
            if grid.size * columns.size > sums or (grid.size + 1) * columns.size + 1 > registers:
                continue
            kinds = itertools.product(_kinds(grid), _kinds(columns))
            cycles = factor * sum(
                n * m * _cycles(math.prod(r), math.prod(c), length, vector_bytes) for (n, r), (m, c) in kinds
            )
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


def _collides(strides: Sequence[int], grid: Grid) -> bool:
    """Whether more rows of a box than a cache has ways fall into one of its sets, of 64 lines of 64 bytes."""
    places = itertools.product(*map(range, grid.box))
    lines = {sum(i * s for i, s in zip(p, strides, strict=True)) // 64 for p in places}
    return max(collections.Counter(line % 64 for line in lines).values()) > 10


def _kinds(grid: Grid) -> list[tuple[int, tuple[int, ...]]]:
    """Return how many boxes of which shape a grid has."""
    edges = grid.edges
    return [(grid.boxes - edges, grid.box), *([(edges, grid.edge_box)] if edges else [])]


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
    return min(grids, key=lambda g: sum(n * max(4 * math.prod(r) / 2, 4) + 4 * n for n, r in _kinds(g))), columns


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

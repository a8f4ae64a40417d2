"""Contractions: sums of products of two strided operands, and the plan by which the micro-kernel computes them.

    C[batch, row, column] = sum_k A[batch, row, k] * B[batch, k, column]

Rows, columns, sums and batch are tuples of axes with constant strides, so that one kernel is matrix multiplication,
convolution over a padded image and both of its gradients. The plan is a pure function of the specification and the
vector registers, never of threads: a *tile* of rows x vectors stays in registers while the sums run (Goto and van de
Geijn, 2008), a *unit* of tiles is what a thread takes, long sums run in *blocks* whose operands stay in cache.
Nothing here knows LLVM; `chainrule.compiler.llvm.contraction` writes the code.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Axis", "Contraction", "ContractionPlan", "Grid", "plan_contraction"]

_BYTES = {"f32": 4, "f64": 8, "bf16": 2}
_LEVEL1, _LEVEL2 = 32 << 10, 512 << 10  # bytes of cache that a block may fill
_SCRATCH = 256 << 10  # bytes of sums that wait in scratch while the blocks of long sums pass
_BLOCK = 512  # terms of a sum per block, about
_WORTH = 32_000  # flops that a unit should have at least
_UNITS = 32  # units wanted where there is work for them


@dataclass(frozen=True)
class Axis:
    """An axis of a contraction: its extent, and its strides in A and B in elements (0: the operand lacks it)."""

    extent: int
    a: int = 0
    b: int = 0


@dataclass(frozen=True)
class Contraction:
    """What is computed: C[batch, row, column] = sum over sums of A * B.

    Args:
        batch: axes of A, B and C.
        rows: axes of A and C.
        columns: axes of B and C, at least one; the last is the one along which results come as vectors.
        sums: axes of A and B that are summed over, outermost first.
        kind: of the accumulators, f32 or f64.
        a_kind: of A's elements; default `kind`.
        b_kind: of B's elements; default `kind`.
    """

    batch: tuple[Axis, ...]
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    sums: tuple[Axis, ...]
    kind: str = "f32"
    a_kind: str | None = None
    b_kind: str | None = None

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * math.prod(x.extent for x in (*self.batch, *self.rows, *self.columns, *self.sums))


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


@dataclass(frozen=True)
class ContractionPlan:
    """How a contraction is computed; `emit_contraction` follows it, `explain` prints `strategy`.

    `sums` are the specification's after merging. The first `outer` of them, and axis `outer` in pieces of `piece`, are
    walked block by block; with more than one block sums wait in scratch. A unit is `unit_rows` tiles by `unit_panels`
    panels (boxes of columns); `group` units share the scratch.
    """

    spec: Contraction
    lanes: int
    registers: int
    fma: bool
    strategy: str
    rows: Grid
    columns: Grid
    sums: tuple[Axis, ...]
    outer: int
    piece: int
    unroll: int
    unit_rows: int
    unit_panels: int
    group: int
    units: int
    scratch_bytes: int

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return self.spec.flops

    @property
    def blocks(self) -> int:
        """Blocks of the sums."""
        if not self.piece:
            return 1
        return math.prod(x.extent for x in self.sums[: self.outer]) * -(-self.sums[self.outer].extent // self.piece)

    @property
    def row_groups(self) -> int:
        """Units along the rows."""
        return -(-self.rows.boxes // self.unit_rows)

    @property
    def panel_groups(self) -> int:
        """Units along the columns."""
        return -(-self.columns.boxes // self.unit_panels)

    @property
    def packs(self) -> bool:
        """Whether panels of B are copied into scratch."""
        return self.strategy == "packed outer product" and self.piece > 0

    @property
    def block_length(self) -> int:
        """Terms of the sums in a block."""
        return self.piece * math.prod(x.extent for x in self.sums[self.outer + 1 :])

    @property
    def panel_elements(self) -> int:
        """Elements of a packed panel."""
        return self.block_length * self.columns.size * self.lanes

    @property
    def sums_bytes(self) -> int:
        """Scratch of a group's sums."""
        return self.group * self.unit_rows * self.unit_panels * self.tile_bytes if self.blocks > 1 else 0

    @property
    def tile_bytes(self) -> int:
        """Scratch of one tile of sums."""
        return self.rows.size * self.columns.size * self.lanes * _BYTES[self.spec.kind]

    def __str__(self) -> str:
        tile = f"{self.rows.size}x{self.columns.size} vectors of {self.lanes}"
        return (
            f"{self.strategy} {tile}, {self.blocks} blocks, {self.units} units of {self.unit_rows}x{self.unit_panels}"
        )


def merged(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Return the axes without those of extent 1, neighbours that both operands walk evenly made one."""
    result: list[Axis] = []
    for axis in axes:
        if axis.extent == 1:
            continue
        if result and (result[-1].a, result[-1].b) == (axis.a * axis.extent, axis.b * axis.extent):
            result[-1] = Axis(result[-1].extent * axis.extent, axis.a, axis.b)
        else:
            result.append(axis)
    return tuple(result) or (Axis(1),)


def plan_contraction(spec: Contraction, lanes: int, *, registers: int = 32, fma: bool = True) -> ContractionPlan:
    """Return how to compute a contraction with vectors of `lanes` elements of its kind.

    Args:
        spec: the contraction.
        lanes: elements per vector register, 2 or more.
        registers: vector registers of the machine.
        fma: whether it has fused multiply-add; without, products are rounded.
    """
    if any(x.extent == 0 for x in (*spec.batch, *spec.rows, *spec.columns)):
        return _empty(spec, lanes, registers, fma)
    sums = merged(spec.sums)
    plans = [_plan(spec, lanes, registers, fma, sums, name) for name in _strategies(spec, sums)]
    return min(plans, key=_estimate)


def _strategies(spec: Contraction, sums: tuple[Axis, ...]) -> list[str]:
    """Return the strategies that can compute a contraction."""
    last = spec.columns[-1]
    if last.b == 1 or last.extent == 1 or not math.prod(x.extent for x in sums):
        return ["outer product"]
    if sums[-1].a == sums[-1].b == 1 and sums[-1].extent > 1:
        return ["dot product", "packed outer product"]
    return ["packed outer product"]


def _plan(
    spec: Contraction, lanes: int, registers: int, fma: bool, sums: tuple[Axis, ...], strategy: str
) -> ContractionPlan:
    """Return the plan of one strategy."""
    length = math.prod(x.extent for x in sums)
    dots, packs = strategy == "dot product", strategy == "packed outer product"
    if dots:
        rows, columns = _dot_tile(spec, lanes, registers)
    else:
        rows, columns = _tile(spec, lanes, registers - (0 if fma else 1), length)
    outer, piece = _blocks(sums, columns.size * lanes * _BYTES[spec.kind], lanes if dots else 1)
    inner = sums[-1].extent if outer < len(sums) - 1 else piece
    unroll = _unroll(inner // lanes, 4 * rows.size) if dots else _unroll(inner, rows.size * columns.size)
    batch = math.prod(x.extent for x in spec.batch)
    unit_rows, unit_panels = _unit(spec, rows, columns, batch, columns.size * lanes, packs)
    units = batch * -(-rows.boxes // unit_rows) * -(-columns.boxes // unit_panels)
    plan = ContractionPlan(
        spec, lanes, registers, fma, strategy, rows, columns, sums, outer, piece, unroll, unit_rows, unit_panels, 1,
        units, 0,
    )  # fmt: skip
    if plan.blocks > 1:
        plan = _with(plan, group=max(1, min(units, _SCRATCH // (unit_rows * unit_panels * plan.tile_bytes))))
    pack = unit_panels * plan.panel_elements * _BYTES[spec.b_kind or spec.kind] if packs else 0
    return _with(plan, scratch_bytes=plan.sums_bytes + pack)


def _estimate(plan: ContractionPlan) -> float:
    """Estimate the cycles of a plan beyond those of its products, to choose between strategies."""
    vectors = plan.rows.boxes * plan.rows.size * plan.columns.boxes * plan.columns.size
    length = math.prod(x.extent for x in plan.sums)
    if plan.strategy == "dot product":
        tail = plan.sums[-1].extent % plan.lanes and (plan.lanes - plan.sums[-1].extent % plan.lanes)
        wasted = vectors * length / plan.sums[-1].extent * tail / 2
        return 20 * vectors * plan.blocks + wasted
    return plan.row_groups * plan.columns.boxes * plan.columns.size * length * 4


def _with(plan: ContractionPlan, **changes: int) -> ContractionPlan:
    return ContractionPlan(**{**plan.__dict__, **changes})


def _empty(spec: Contraction, lanes: int, registers: int, fma: bool) -> ContractionPlan:
    rows = Grid(tuple(x.extent for x in spec.rows), (1,) * len(spec.rows))
    columns = Grid(tuple(x.extent for x in spec.columns), (1,) * len(spec.columns))
    return ContractionPlan(spec, lanes, registers, fma, "empty", rows, columns, (), 0, 0, 1, 1, 1, 1, 0, 0)


# ---------------------------------------------------------------------------------------------------- register tiles
def _tile(spec: Contraction, lanes: int, registers: int, length: int) -> tuple[Grid, Grid]:
    """Return the rows and columns of the tile that is estimated to take the fewest cycles."""
    vectors = tuple(x.extent for x in spec.columns[:-1]) + (-(-spec.columns[-1].extent // lanes),)
    row_grids = _grids(tuple(x.extent for x in spec.rows), registers - 2)
    best, choice = math.inf, None
    for columns in _grids(vectors, 6, spec.columns[-1].extent % lanes != 0):
        wide = columns.size
        high = (registers - 1 - wide) // wide
        for rows in row_grids:
            if rows.size > high:
                continue
            cycles = sum(
                n * m * _cycles(math.prod(r), math.prod(c), length, lanes * _BYTES[spec.kind])
                for n, r in _kinds(rows)
                for m, c in _kinds(columns)
            )
            if cycles < best:
                best, choice = cycles, (rows, columns)
    assert choice is not None
    return choice


def _kinds(grid: Grid) -> list[tuple[int, tuple[int, ...]]]:
    """Return how many boxes of which shape a grid has."""
    edges = grid.edges
    return [(grid.boxes - edges, grid.box), *([(edges, grid.edge_box)] if edges else [])]


def _cycles(high: int, wide: int, length: int, vector_bytes: int) -> float:
    """Estimate the cycles of a tile on a machine with two FMA units of latency 4 and two loads per cycle."""
    step = max(high * wide / 2, (high + wide) / 2, 4) + wide * vector_bytes / 256
    return length * step + 2 * high * wide + 30


def _grids(extents: tuple[int, ...], most: int, masked: bool = False) -> list[Grid]:
    """Return for each size up to `most` the grid with the fewest boxes, long along the last axis.

    Where the very last place is `masked`, the boxes that hold it are the edge even if they are whole.
    """
    best: dict[int, tuple[tuple[int, ...], Grid]] = {}
    for box in _boxes(extents, most):
        ragged = [i for i, (e, t) in enumerate(zip(extents, box, strict=True)) if e % t]
        if masked and box[-1] < extents[-1] and ragged[-1:] != [len(box) - 1]:
            ragged.append(len(box) - 1)
        if len(ragged) > 1:
            continue
        edge = ragged[0] if ragged else None
        grid = Grid(extents, box, edge, extents[edge] % box[edge] or box[edge] if edge is not None else 0)
        rank = (grid.boxes, len(ragged), *(-t for t in reversed(box)))
        if grid.size not in best or rank < best[grid.size][0]:
            best[grid.size] = rank, grid
    return [grid for _, grid in best.values()]


def _boxes(extents: tuple[int, ...], most: int) -> Iterator[tuple[int, ...]]:
    if not extents:
        yield ()
        return
    for last in range(1, min(extents[-1], most) + 1):
        for box in _boxes(extents[:-1], most // last):
            yield (*box, last)


def _dot_tile(spec: Contraction, lanes: int, registers: int) -> tuple[Grid, Grid]:
    """Return the tile of dot products: rows by four columns at a time, a vector of columns in all."""
    vectors = tuple(x.extent for x in spec.columns[:-1]) + (-(-spec.columns[-1].extent // lanes),)
    columns = next(g for g in _grids(vectors, 1, spec.columns[-1].extent % lanes != 0))
    grids = _grids(tuple(x.extent for x in spec.rows), 6 if registers >= 32 else 3)
    return min(grids, key=lambda g: sum(n * max(4 * math.prod(r) / 2, 4) + 4 * n for n, r in _kinds(g))), columns


# ---------------------------------------------------------------------------------------------------- sums
def _blocks(sums: tuple[Axis, ...], step_bytes: int, step: int) -> tuple[int, int]:
    """Return the axis at which the sums are cut into blocks, and how much of it a block has."""
    length = math.prod(x.extent for x in sums)
    if length == 0:
        return 0, 0
    if length * step_bytes <= _LEVEL2 // 2:
        return 0, sums[0].extent
    inner, outer = 1, len(sums)
    while outer and inner * sums[outer - 1].extent <= _BLOCK:
        outer -= 1
        inner *= sums[outer].extent
    if not outer:
        return 0, sums[0].extent
    cut = sums[outer - 1].extent
    piece = min(cut, max(1, _BLOCK // inner))
    piece = -(-cut // -(-cut // piece))
    return outer - 1, min(cut, -(-piece // step) * step) if outer == len(sums) else piece


def _unroll(extent: int, tile: int) -> int:
    """Return how many terms of the innermost sum a turn has: a divisor of it if possible, code of bounded size."""
    most = max(1, min(8, 128 // tile, extent or 1))
    return max((u for u in range(1, most + 1) if extent % u == 0 and 2 * u > most), default=most)


# ---------------------------------------------------------------------------------------------------- units
def _unit(spec: Contraction, rows: Grid, columns: Grid, batch: int, panel: int, packs: bool) -> tuple[int, int]:
    """Return a unit's tiles along the rows and panels along the columns."""
    wanted = max(1, min(_UNITS, spec.flops // _WORTH))
    best, choice = math.inf, (rows.boxes, columns.boxes)
    for high, wide in itertools.product(_shares(rows.boxes), _shares(columns.boxes)):
        units = batch * -(-rows.boxes // high) * -(-columns.boxes // wide)
        if units > max(4 * wanted, 2 * batch):
            continue
        even = sum(-(-units // t) * t / units for t in (2, 4, 8, 16) if t <= wanted)
        reload = 8 / (high * rows.size) + 8 / (wide * panel)
        few = max(0.0, wanted / units - 1)
        cost = even + 4 * reload + few / 4 + (16 / (high * rows.size) if packs else 0)
        if cost < best:
            best, choice = cost, (high, wide)
    return choice


@functools.lru_cache(maxsize=256)
def _shares(count: int) -> tuple[int, ...]:
    """Return sizes that cut `count` into parts, few per number of parts."""
    return tuple(sorted({-(-count // parts) for parts in range(1, min(count, 128) + 1)}))

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
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.compiler.contraction_tiles import Grid, dot_tile, outer_tile, separate

__all__ = ["Axis", "Contraction", "ContractionPlan", "plan_contraction"]

_BYTES = {"f32": 4, "f64": 8, "bf16": 2}
_LEVEL2 = 512 << 10  # bytes of cache that operands may fill
_FAR = 1024  # bytes between terms of a sum from where on their cache lines fall on one another
_SCRATCH = 256 << 10  # bytes of sums that wait in scratch while the blocks of long sums pass
_BLOCK = 256  # terms of a sum per block, about
_RUN = 256  # terms that are added one to the other; a longer sum is one of such sums, and rounds less
_WORTH = 32_000  # flops that a unit should have at least
_SHARED = 1_000_000  # flops from where on several threads are likely
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
class ContractionPlan:
    """How a contraction is computed; `emit_contraction` follows it, `explain` prints `strategy`.

    `sums` are the specification's after merging. The first `outer` of them, and axis `outer` in pieces of `piece`, are
    walked block by block; with more than one block sums wait in scratch. In a block the axes before `run_axis`, and
    that one in pieces of `run`, are walked run by run, each summed by itself (`run` 0: a block is one run). A unit is
    `unit_rows` tiles by `unit_panels` panels (boxes of columns); `group` units share the scratch.
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
    run_axis: int
    run: int
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
    def stretch(self) -> int:
        """Units along the rows that follow one another with the same panels, before the next panels follow.

        All of them, unless panels differ: threads would take panels of their own, and some of them little work.
        """
        if self.columns.edge is None and self.columns.boxes % self.unit_panels == 0:
            return self.row_groups
        return self.row_groups // next((n for n in (4, 2, 3, 5, 7) if self.row_groups % n == 0), 1)

    @property
    def packs(self) -> bool:
        """Whether panels of B are copied into scratch."""
        return self.strategy.startswith("packed") and self.piece > 0

    @property
    def pairs(self) -> bool:
        """Whether two terms at a time are multiplied, as pairs of bfloat16."""
        return self.strategy == "packed outer product of pairs"

    @property
    def prefetches(self) -> bool:
        """Whether tiles fetch the next panel: its lines lie too far apart for the machine to foresee them."""
        if self.packs or self.unit_rows > 16:
            return False
        size = _BYTES[self.spec.kind]
        length = math.prod(x.extent for x in (*self.sums, *self.spec.columns))
        return _far([x.b for x in self.sums], size) and length * size > 2 * _LEVEL2

    @property
    def block_length(self) -> int:
        """Terms of the sums in a block."""
        return self.piece * math.prod(x.extent for x in self.sums[self.outer + 1 :])

    @property
    def panel_bytes(self) -> int:
        """Bytes of a packed panel: elements of the sums' kind, or pairs of bfloat16, whose last may be half empty."""
        length = self.block_length
        if self.pairs:
            inner = self.sums[-1].extent if self.outer < len(self.sums) - 1 else self.piece
            length = length // inner * -(-inner // 2)
        return length * self.columns.size * self.lanes * _BYTES[self.spec.kind]

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


def plan_contraction(
    spec: Contraction,
    lanes: int,
    *,
    registers: int = 32,
    fma: bool = True,
    pairs: bool = False,
    streams: bool = False,
) -> ContractionPlan:
    """Return how to compute a contraction with vectors of `lanes` elements of its kind.

    Args:
        spec: the contraction.
        lanes: elements per vector register, 2 or more.
        registers: vector registers of the machine.
        fma: whether it has fused multiply-add; without, products are rounded.
        pairs: whether it multiplies and adds pairs of bfloat16 (AVX512-BF16, which flushes denormal numbers); others
            widen bfloat16 as they load it.
        streams: whether the epilogue reads or writes memory that no cache holds: then a unit is whole rows of results,
            which lie side by side, if a cache holds B.
    """
    if any(x.extent == 0 for x in (*spec.batch, *spec.rows, *spec.columns)):
        return _empty(spec, lanes, registers, fma)
    sums = merged(spec.sums)
    plans = [_plan(spec, lanes, registers, fma, sums, name) for name in _strategies(spec, sums, pairs)]
    whole = _BYTES[spec.kind] * math.prod(x.extent for x in (*spec.columns, *sums))
    if streams and whole <= _LEVEL2 and spec.columns[-1].b == 1 and spec.kind == spec.a_kind == spec.b_kind:
        plan = _plan(spec, lanes, registers, fma, sums, "outer product")
        if plan.blocks == 1 and plan.rows.boxes >= 8:
            units = math.prod(x.extent for x in spec.batch) * plan.rows.boxes
            return _with(plan, unit_rows=1, unit_panels=plan.columns.boxes, units=units)
    return min(plans, key=_estimate)


def _strategies(spec: Contraction, sums: tuple[Axis, ...], pairs: bool) -> list[str]:
    """Return the strategies that can compute a contraction."""
    last = spec.columns[-1]
    if not math.prod(x.extent for x in sums):
        return ["outer product"]
    if pairs and spec.a_kind == spec.b_kind == "bf16" and sums[-1].a and sums[-1].extent > 1:
        return ["packed outer product of pairs"]
    if last.b == 1 or last.extent == 1:
        size = _BYTES[spec.kind]
        both = _far([x.a for x in sums], size) and _far([x.b for x in sums], size)
        many = math.prod(x.extent for x in spec.rows) >= 256
        return ["packed outer product" if both and many else "outer product"]
    if sums[-1].a == sums[-1].b == 1 and sums[-1].extent > 1:
        return ["dot product", "packed outer product"]
    return ["packed outer product"]


def _plan(
    spec: Contraction, lanes: int, registers: int, fma: bool, sums: tuple[Axis, ...], strategy: str
) -> ContractionPlan:
    """Return the plan of one strategy."""
    length = math.prod(x.extent for x in sums)
    dots, pairs = strategy == "dot product", strategy == "packed outer product of pairs"
    extents, strides = [x.extent for x in spec.rows], [x.a for x in spec.rows]
    vectors, masked = [x.extent for x in spec.columns], spec.columns[-1].extent % lanes != 0
    vectors[-1] = -(-vectors[-1] // lanes)
    size, batch = _BYTES[spec.kind], math.prod(x.extent for x in spec.batch)
    if dots:
        rows, columns = dot_tile(extents, vectors, masked=masked, registers=registers)
    else:
        rows, columns = outer_tile(
            extents, [s * size for s in strides], vectors, masked=masked, length=length, vector_bytes=lanes * size,
            registers=registers - (0 if fma else 1), batch=batch if spec.flops > _SHARED else 0,
        )  # fmt: skip
    block = _BLOCK if rows.boxes > 4 else 2 * _BLOCK  # few rows read no panel often
    outer, piece = _blocks(sums, columns.size * lanes * size // (1 + pairs), lanes if dots else 1 + pairs, size, block)
    run_axis, run = _runs(sums, outer, piece, lanes if dots else 1 + pairs)
    inner = sums[-1].extent if outer < len(sums) - 1 else piece
    inner = run if run and run_axis == len(sums) - 1 else inner
    if dots:
        unroll = _unroll(inner // lanes, 4 * rows.size, 8)
    else:
        step = 1 + pairs
        unroll = _unroll(inner // step, rows.size * columns.size, separate(strides, rows, step * sums[-1].a))
    unit_rows, unit_panels = _unit(spec, rows, columns, batch, columns.size * lanes, strategy.startswith("packed"))
    units = batch * -(-rows.boxes // unit_rows) * -(-columns.boxes // unit_panels)
    plan = ContractionPlan(
        spec, lanes, registers, fma, strategy, rows, columns, sums, outer, piece, run_axis, run, unroll, unit_rows,
        unit_panels, 1, units, 0,
    )  # fmt: skip
    if plan.blocks > 1:
        plan = _with(plan, group=max(1, min(units, _SCRATCH // (unit_rows * unit_panels * plan.tile_bytes))))
    return _with(plan, scratch_bytes=plan.sums_bytes + (unit_panels * plan.panel_bytes if plan.packs else 0))


def _estimate(plan: ContractionPlan) -> float:
    """Estimate the cycles of a plan beyond those of its products, to choose between strategies."""
    vectors = plan.rows.boxes * plan.rows.size * plan.columns.boxes * plan.columns.size
    length = math.prod(x.extent for x in plan.sums)
    if plan.strategy == "dot product":
        tail = plan.sums[-1].extent % plan.lanes and (plan.lanes - plan.sums[-1].extent % plan.lanes)
        wasted = vectors * length / plan.sums[-1].extent * tail / 2
        slower = (
            0.03 if length < 1024 else 0.1
        )  # beside outer products: rows of A and B fall on one another in the cache
        return 20 * vectors * plan.blocks + wasted + slower * vectors * length / 2
    return plan.row_groups * plan.columns.boxes * plan.columns.size * length * 4


def _with(plan: ContractionPlan, **changes: int) -> ContractionPlan:
    return ContractionPlan(**{**plan.__dict__, **changes})


def _empty(spec: Contraction, lanes: int, registers: int, fma: bool) -> ContractionPlan:
    rows = Grid(tuple(x.extent for x in spec.rows), (1,) * len(spec.rows))
    columns = Grid(tuple(x.extent for x in spec.columns), (1,) * len(spec.columns))
    return ContractionPlan(spec, lanes, registers, fma, "empty", rows, columns, (), 0, 0, 0, 0, 1, 1, 1, 1, 0, 0)


# ---------------------------------------------------------------------------------------------------- sums
def _far(strides: Sequence[int], size: int) -> bool:
    """Whether even the nearest terms of a sum lie far apart in an operand."""
    return min(strides) * size >= _FAR


def _blocks(sums: tuple[Axis, ...], step_bytes: int, step: int, size: int, block: int) -> tuple[int, int]:
    """Return the axis at which the sums are cut into blocks, and how much of it a block has.

    A panel whose rows lie far apart fills few sets of the cache, so it must be shorter.
    """
    length = math.prod(x.extent for x in sums)
    if length == 0:
        return 0, 0
    far = step > 2 or _far([x.b for x in sums], size)
    most = {1: 3, 2: 9}.get(step, 4) * block  # of single terms, pairs, vectors
    if length * step_bytes <= _LEVEL2 // 2 and (length <= most or not far):
        return 0, sums[0].extent
    inner, outer = 1, len(sums)
    while outer and inner * sums[outer - 1].extent <= block:
        outer -= 1
        inner *= sums[outer].extent
    if not outer:
        return 0, sums[0].extent
    cut = sums[outer - 1].extent
    piece = min(cut, max(1, block // inner))
    piece = -(-cut // -(-cut // piece))
    return outer - 1, min(cut, -(-piece // step) * step) if outer == len(sums) else piece


def _runs(sums: tuple[Axis, ...], outer: int, piece: int, step: int) -> tuple[int, int]:
    """Return the axis at which a block is cut into runs, and how much of it a run has; 0 where a block is one run.

    Args:
        sums: the axes.
        outer: the axis at which they are cut into blocks.
        piece: how much of it a block has.
        step: how much of the innermost axis is one term.
    """
    extents = [piece, *(x.extent for x in sums[outer + 1 :])]
    counts = [*extents[:-1], -(-extents[-1] // step)]
    if math.prod(counts) <= _RUN * 3 // 2:
        return 0, 0
    inner, n = 1, len(counts)
    while inner * counts[n - 1] <= _RUN * 3 // 2:
        n -= 1
        inner *= counts[n]
    n -= 1
    if n == 0 and sums[outer].extent % piece:  # how much of it a block has is not known while writing
        return 0, 0
    parts = -(-counts[n] * inner // _RUN)
    even = (p for p in range(parts, 2 * parts) if extents[n] % (p * (1 if n < len(counts) - 1 else step)) == 0)
    parts = next(even, parts)
    run = -(-counts[n] // parts)
    return outer + n, run if n < len(counts) - 1 else run * step


def _unroll(extent: int, tile: int, most: int) -> int:
    """Return how many terms of the innermost sum a turn has: a divisor of it if possible, code of bounded size."""
    most = max(1, min(most, 128 // tile, extent or 1))
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

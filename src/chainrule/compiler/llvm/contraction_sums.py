"""Sums of one tile in registers, in one of two ways.

    outer product    a vector of B times each row's A in every lane: sums lie along the columns
    dot product      vectors of A and B along the innermost sum; the lanes of four columns at a time are added by a
                     tree of shuffles that puts the columns side by side

Strides are constants, so every operand of a turn is one address plus a number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.compiler.contraction import Axis, ContractionPlan
from chainrule.compiler.contraction_tiles import Grid
from chainrule.compiler.llvm.ir import I32, I64, PTR, VOID, Builder, Type, Value
from chainrule.compiler.llvm.lanes import summed_columns, summed_lanes

__all__ = ["Box", "Coordinates", "Sums", "move", "split"]

Coordinates = list[Value]
Turn = Callable[..., list[Value]]


class Box:
    """A box of a grid, whole or at its edge: its places."""

    def __init__(self, grid: Grid, edge: bool):
        self.grid, self.edge = grid, edge
        self.shape = grid.shape(edge)
        self.places = list(itertools.product(*map(range, self.shape)))


def split(b: Builder, index: Value, extents: Sequence[int]) -> Coordinates:
    """Return the index along each axis, the last fastest; the first takes what is left."""
    result: Coordinates = []
    for n, extent in reversed(list(enumerate(extents))):
        result.append(b.mod(index, extent) if n else (index if extent > 1 else b.const(I64, 0)))
        index = b.floordiv(index, extent)
    return result[::-1]


def move(b: Builder, pointer: Value, axes: Sequence[Axis], operand: str, index: Coordinates, kind: str) -> Value:
    """Return the pointer into operand "a" or "b" moved to an index."""
    offset = b.const(I64, 0)
    for axis, i in zip(axes, index, strict=True):
        offset = b.add(offset, b.mul(i, getattr(axis, operand)))
    return b.offset(pointer, offset, kind)


def dot(index: Sequence[int], strides: Sequence[int]) -> int:
    """Return the offset of an index."""
    return sum(i * s for i, s in zip(index, strides, strict=True))


class Sums:
    """Writes the sums of tiles of one plan."""

    def __init__(self, b: Builder, plan: ContractionPlan):
        self.b, self.plan, self.spec = b, plan, plan.spec
        self.a_kind, self.b_kind = plan.spec.a_kind or plan.spec.kind, plan.spec.b_kind or plan.spec.kind
        self.panel_kind = ("bf16" if plan.pairs else plan.spec.kind) if plan.packs else self.b_kind
        self.vector = Type(plan.spec.kind, plan.lanes)
        self.totals: tuple[Value, int] | None = None  # memory for the sums of runs, and how many it holds

    def mask(self, wide: Box, c: Sequence[int]) -> Value | None:
        """Return the mask of a vector of a box of columns: only the very last along the last axis has one."""
        inside = self.inside(wide, c)
        return None if inside == self.plan.lanes else self.b.lanes("i1", [i < inside for i in range(self.plan.lanes)])

    def inside(self, wide: Box, c: Sequence[int]) -> int:
        """Return how many lanes of a vector of a box of columns are inside."""
        last = len(c) - 1
        ends = wide.grid.counts[last] == 1 or (wide.edge and wide.grid.edge == last)
        rest = self.spec.columns[-1].extent % self.plan.lanes
        return rest if rest and ends and c[-1] == wide.shape[-1] - 1 else self.plan.lanes

    def block(self, a: Value, b_: Value, high: Box, wide: Box, block: Value) -> list[Value]:
        """Write one block of the sums of a tile; returns its vectors, row after row."""
        plan, spec = self.plan, self.spec
        if not plan.piece:
            return [self.b.zero(self.vector)] * (len(high.places) * len(wide.places))
        a_offsets = [dot(i, [x.a for x in spec.rows]) for i in high.places]
        where, axes = self.axes(block)
        a = move(self.b, a, plan.sums[: plan.outer + 1], "a", where, self.a_kind)
        if not plan.packs:
            b_ = move(self.b, b_, plan.sums[: plan.outer + 1], "b", where, self.b_kind)
        if plan.strategy == "dot product":
            return self._columns(a, b_, axes, a_offsets, wide)
        if plan.packs:
            axes = packed_axes(axes, plan)
            b_offsets: list[tuple[int, Value | None]] = [
                (i * plan.lanes * (1 + plan.pairs), None) for i in range(len(wide.places))
            ]
        else:
            strides = [x.b for x in spec.columns]
            strides[-1] *= plan.lanes
            b_offsets = [(dot(c, strides), self.mask(wide, c)) for c in wide.places]
        zeros = [self.b.zero(self.vector)] * (len(a_offsets) * len(b_offsets))

        write = self._pair if plan.pairs else self._term

        def turn(axis: Axis, terms: int) -> Turn:
            def body(a: Value, b_: Value, *sums: Value, **rest: Value) -> list[Value]:
                for u in range(terms):
                    sums = tuple(write(a, b_, u, axis, sums, a_offsets, b_offsets, **rest))
                return list(sums)

            return body

        return self._runs(a, b_, zeros, axes, turn, 1 + plan.pairs)

    def axes(self, block: Value) -> tuple[Coordinates, list[tuple[Value | int, Axis]]]:
        """Return where a block of the sums starts, and the axes inside it with their counts."""
        b, plan = self.b, self.plan
        cut = plan.sums[plan.outer]
        where = split(b, block, [*(x.extent for x in plan.sums[: plan.outer]), -(-cut.extent // plan.piece)])
        where[-1] = b.mul(where[-1], plan.piece)
        count: Value | int = plan.piece
        if cut.extent % plan.piece:
            count = b.minimum(plan.piece, b.sub(cut.extent, where[-1]))
        return where, [(count, cut), *((x.extent, x) for x in plan.sums[plan.outer + 1 :])]

    def _runs(self, a: Value, b_: Value, zeros: Sequence[Value], axes: Any, turn: Any, step: int) -> list[Value]:
        """Write the sums of a block run by run, from 0 each; between runs they wait in memory on the stack."""
        b, plan = self.b, self.plan
        if not plan.run:
            return self._nest(a, b_, zeros, axes, turn, step)
        outer, ((_, cut), *inner) = axes[: plan.run_axis - plan.outer], axes[plan.run_axis - plan.outer :]
        if self.totals is None or self.totals[1] < len(zeros):
            self.totals = b.alloca(self.vector, len(zeros)), len(zeros)
        places = [b.offset(self.totals[0], i * plan.lanes, self.spec.kind) for i in range(len(zeros))]
        for zero, place in zip(zeros, places, strict=True):
            b.store(zero, place)

        def run(a: Value, b_: Value, count: int) -> list[Value]:
            sums = self._nest(a, b_, zeros, [(count, cut), *inner], turn, step)
            for value, place in zip(sums, places, strict=True):
                b.store(b.binary("fadd", b.load(self.vector, place), value), place)
            return [b.offset(a, count * cut.a, self.a_kind), b.offset(b_, count * cut.b, self.panel_kind)]

        def walk(a: Value, b_: Value, axes: Any) -> None:
            if axes:
                (count, axis), *rest = axes

                def body(_: Value, a: Value, b_: Value) -> list[Value]:
                    walk(a, b_, rest)
                    return [b.offset(a, axis.a, self.a_kind), b.offset(b_, axis.b, self.panel_kind)]

                b.loop(count, body, [a, b_])
                return
            extent = plan.piece if plan.run_axis == plan.outer else cut.extent
            a, b_ = b.loop(extent // plan.run, lambda _, a, b_: run(a, b_, plan.run), [a, b_])
            if extent % plan.run:
                run(a, b_, extent % plan.run)

        walk(a, b_, outer)
        return [b.load(self.vector, place) for place in places]

    def _nest(
        self, a: Value, b_: Value, sums: Sequence[Value], axes: Any, turn: Callable[[Axis, int], Turn], step: int = 1
    ) -> list[Value]:
        """Write the loops over the axes of a block; returns the sums.

        Args:
            a: pointer into A.
            b_: pointer into B.
            sums: before.
            axes: pairs of a count and an axis.
            turn: returns what writes some terms of the innermost axis.
            step: how much of the innermost axis is one term.
        """
        b, (count, axis), inner = self.b, axes[0], axes[1:]

        def body(terms: int) -> Turn:
            def write(_: Value, a: Value, b_: Value, *sums: Value) -> list[Value]:
                if inner:
                    new = self._nest(a, b_, sums, inner, turn, step)
                else:
                    new = turn(axis, terms)(a, b_, *sums)
                moved = terms * (1 if inner else step)
                return [b.offset(a, moved * axis.a, self.a_kind), b.offset(b_, moved * axis.b, self.panel_kind), *new]

            return write

        if inner:
            return b.loop(count, body(1), [a, b_, *sums])[2:]
        counts = [count] if isinstance(count, int) else [self.plan.piece, axis.extent % self.plan.piece]
        start: Value | int = 0
        starts, carried = [0] * len(counts), [a, b_, *sums]
        for terms in dict.fromkeys((self.plan.unroll, 1)):
            moved = terms * step
            stop, stops = b.mul(b.floordiv(count, moved), moved), [n // moved * moved for n in counts]
            if starts != stops:
                carried = b.loop(stop, body(terms), carried, start=start, step=moved)
            start, starts = stop, stops
        if starts != counts and self.plan.pairs:
            return b.loop(count, lambda i, *c: [*c[:2], *turn(axis, 1)(*c, rest=i)], carried, start=start, step=step)[
                2:
            ]
        if starts != counts:
            return turn(axis, 1)(*carried, rest=b.sub(count, start))
        return carried[2:]

    # ------------------------------------------------------------------------------------------------ outer product
    def _term(
        self, a: Value, b_: Value, u: int, axis: Axis, sums: Sequence[Value], a_offsets: Any, b_offsets: Any
    ) -> list[Value]:
        """Write one term of the sums of an outer product."""
        b, lanes = self.b, self.plan.lanes
        right = [self.load(self.panel_kind, b.offset(b_, u * axis.b + o, self.panel_kind), m) for o, m in b_offsets]
        if self.plan.prefetches and self.spec.columns[-1].b == 1:
            for offset, _ in b_offsets:
                self._fetch(b.offset(b_, u * axis.b + offset + len(b_offsets) * lanes, self.panel_kind))
        result = []
        for i, o in enumerate(a_offsets):
            left = self._everywhere(b.offset(a, u * axis.a + o, self.a_kind))
            for j, value in enumerate(right):
                result.append(self._multiply_add(left, value, sums[i * len(right) + j]))
        return result

    def _fetch(self, pointer: Value) -> None:
        """Ask for a cache line, into the second level."""
        name = "llvm.prefetch.p0"
        self.b.module.declare(name, VOID, [PTR, I32, I32, I32])
        self.b.call(VOID, name, pointer, *(self.b.const(I32, n) for n in (0, 2, 1)))

    def _everywhere(self, pointer: Value) -> Value:
        """Return an element of A in every lane."""
        b, lanes = self.b, self.plan.lanes
        if self.a_kind == self.spec.kind:
            return b.splat(b.load(Type(self.a_kind), pointer), lanes)
        twice = bits_as(b, b.splat(b.load(Type("i16"), pointer), 2 * lanes), Type("i32", lanes))
        return b.cast("bitcast", b.binary("and", twice, b.const(twice.type, -65536)), "f32")

    def load(self, kind: str, pointer: Value, mask: Value | None = None) -> Value:
        """Return a vector in the sums' kind from elements of a kind that lie side by side."""
        b, lanes = self.b, self.plan.lanes
        stored = Type("i16" if kind == "bf16" else kind, lanes)
        value = b.load(stored, pointer) if mask is None else b.masked_load(stored, pointer, mask)
        return value if kind == self.spec.kind else widened(b, value)

    def _multiply_add(self, x: Value, y: Value, z: Value) -> Value:
        b = self.b
        return b.fma(x, y, z) if self.plan.fma else b.binary("fadd", b.binary("fmul", x, y), z)

    def _pair(
        self,
        a: Value,
        b_: Value,
        u: int,
        axis: Axis,
        sums: Sequence[Value],
        a_offsets: Any,
        b_offsets: Any,
        rest: Value | None = None,
    ) -> list[Value]:
        """Write two terms of the sums of an outer product of bfloat16; with `rest` only the first."""
        b, lanes = self.b, self.plan.lanes
        pair, name = Type("bf16", 2 * lanes), "llvm.x86.avx512bf16.dpbf16ps.512"
        b.module.declare(name, self.vector, [self.vector, pair, pair])
        right = [b.load(pair, b.offset(b_, 2 * u * axis.b + o, "bf16")) for o, _ in b_offsets]
        result = []
        for i, o in enumerate(a_offsets):
            pointer = b.offset(a, 2 * u * axis.a + o, "bf16")
            left = self._two(pointer, 0 if rest is not None else axis.a)
            result += [
                b.call(self.vector, name, sums[i * len(right) + j], left, value) for j, value in enumerate(right)
            ]
        return result

    def _two(self, pointer: Value, step: int) -> Value:
        """Return an element of A and the one `step` behind it in every pair of lanes; 0 means none."""
        b, lanes = self.b, self.plan.lanes
        pair = Type("bf16", 2 * lanes)
        if step == 1:
            return bits_as(b, b.splat(b.emit(I32, f"load i32, ptr {pointer.text}, align 2"), lanes), pair)
        one = b.splat(b.load(Type("i16"), pointer), 2 * lanes)
        two = b.zero(one.type)
        if step:
            two = b.splat(b.load(Type("i16"), b.offset(pointer, step, "bf16")), 2 * lanes)
        odd = b.lanes("i1", [i % 2 for i in range(2 * lanes)])
        return bits_as(b, b.select(odd, two, one), pair)

    # ------------------------------------------------------------------------------------------------ dot product
    def _columns(self, a: Value, b_: Value, axes: Any, a_offsets: list[int], wide: Box) -> list[Value]:
        """Write one vector of columns of a tile, a few columns at a time; returns a vector per row."""
        b, plan = self.b, self.plan
        inside = self.inside(wide, wide.places[-1])
        few = min(4, plan.lanes)
        together = few * self.vector.bytes // 16  # vectors that `summed_lanes` leaves of a few columns
        memory = b.alloca(self.vector, len(a_offsets) * plan.lanes // few * together)
        stride = self.spec.columns[-1].b

        def group(g: Value) -> None:
            columns = [b.add(b.mul(g, few), i) for i in range(few)]
            if inside % few:
                columns = [b.minimum(i, inside - 1) for i in columns]
                offsets = [b.mul(i, stride) for i in columns]
                start = b_
            else:
                start = b.offset(b_, b.mul(g, few * stride), self.b_kind)
                offsets = [b.mul(i, stride) for i in range(few)]
            zeros = [b.zero(self.vector)] * (len(a_offsets) * few)
            sums = self._runs(a, start, zeros, axes, self._dots(a_offsets, offsets), plan.lanes)
            for i in range(len(a_offsets)):
                parts = summed_lanes(b, sums[i * few : (i + 1) * few])
                for j, part in enumerate(parts):
                    slot = b.add(b.mul(g, together), i * (plan.lanes // few) * together + j)
                    b.store(part, b.offset(memory, b.mul(slot, plan.lanes), self.spec.kind))

        groups = -(-inside // few)
        b.loop(groups, group)
        result = []
        for i in range(len(a_offsets)):
            first = i * (plan.lanes // few) * together
            slots = [b.offset(memory, (first + j) * plan.lanes, self.spec.kind) for j in range(groups * together)]
            parts = [b.load(self.vector, p) for p in slots]
            missing = plan.lanes // few * together - len(parts)
            result.append(summed_columns(b, parts + [b.zero(self.vector)] * missing))
        return result

    def _dots(self, a_offsets: Sequence[int], b_offsets: Sequence[Value | int]) -> Callable[[Axis, int], Turn]:
        """Return what writes some terms, each a vector along the innermost sum."""
        b, lanes = self.b, self.plan.lanes

        def turn(axis: Axis, terms: int) -> Turn:
            def body(a: Value, b_: Value, *sums: Value, rest: Value | None = None) -> list[Value]:
                mask = None if rest is None else b.mask(rest, lanes)
                for u in range(terms):
                    starts = [b.offset(b.offset(b_, o, self.b_kind), u * lanes, self.b_kind) for o in b_offsets]
                    right = [self.load(self.b_kind, p, mask) for p in starts]
                    left = [self.load(self.a_kind, b.offset(a, u * lanes + o, self.a_kind), mask) for o in a_offsets]
                    pairs = itertools.product(left, right)
                    sums = tuple(self._multiply_add(x, y, z) for (x, y), z in zip(pairs, sums, strict=True))
                return list(sums)

            return body

        return turn


def packed_axes(axes: Sequence[tuple[Value | int, Axis]], plan: ContractionPlan) -> list[tuple[Value | int, Axis]]:
    """Return the axes of a block with B's strides in a packed panel."""
    result = []
    stride = plan.columns.size * plan.lanes
    for n, (count, axis) in reversed(list(enumerate(axes))):
        result.append((count, Axis(axis.extent, axis.a, stride)))
        extent = axis.extent if n else 1
        stride *= extent + extent % 2 if plan.pairs and n == len(axes) - 1 else extent
    return result[::-1]


def bits_as(b: Builder, value: Value, type: Type) -> Value:
    """Return the same bits as a vector of another type."""
    return b.emit(type, f"bitcast {value.type} {value.text} to {type}")


def widened(b: Builder, value: Value) -> Value:
    """Return float32 of the bits of bfloat16 (i16)."""
    wide = b.cast("zext", value, "i32")
    return b.cast("bitcast", b.binary("shl", wide, b.const(wide.type, 16)), "f32")

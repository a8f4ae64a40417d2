"""Sums of one tile in registers, in one of two ways.

    outer product    a vector of B times each row's A in every lane: sums lie along the columns
    dot product      vectors of A and B along the innermost sum; the lanes of four columns at a time are added by a
                     tree of shuffles that puts the columns side by side

Strides are constants, so every operand of a turn is one address plus a number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

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
        self.shape = grid.edge_box if edge else grid.box
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
        self.vector = Type(plan.spec.kind, plan.lanes)

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
            b_offsets = [(i * plan.lanes, None) for i in range(len(wide.places))]
        else:
            strides = [x.b for x in spec.columns]
            strides[-1] *= plan.lanes
            b_offsets = [(dot(c, strides), self.mask(wide, c)) for c in wide.places]
        zeros = [self.b.zero(self.vector)] * (len(a_offsets) * len(b_offsets))

        def turn(axis: Axis, terms: int) -> Turn:
            def body(a: Value, b_: Value, *sums: Value) -> list[Value]:
                for u in range(terms):
                    sums = tuple(self._term(a, b_, u, axis, sums, a_offsets, b_offsets))
                return list(sums)

            return body

        return self._nest(a, b_, zeros, axes, turn)

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

    def _nest(self, a: Value, b_: Value, sums: Sequence[Value], axes, turn: Callable[[Axis, int], Turn], step: int = 1):
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
                return [b.offset(a, moved * axis.a, self.a_kind), b.offset(b_, moved * axis.b, self.b_kind), *new]

            return write

        if inner:
            return b.loop(count, body(1), [a, b_, *sums])[2:]
        counts = [count] if isinstance(count, int) else [self.plan.piece, axis.extent % self.plan.piece]
        start, starts, carried = 0, [0] * len(counts), [a, b_, *sums]
        for terms in dict.fromkeys((self.plan.unroll, 1)):
            moved = terms * step
            stop, stops = b.mul(b.floordiv(count, moved), moved), [n // moved * moved for n in counts]
            if starts != stops:
                carried = b.loop(stop, body(terms), carried, start=start, step=moved)
            start, starts = stop, stops
        if starts != counts:
            return turn(axis, 1)(*carried, rest=b.sub(count, start))
        return carried[2:]

    # ------------------------------------------------------------------------------------------------ outer product
    def _term(self, a: Value, b_: Value, u: int, axis: Axis, sums, a_offsets, b_offsets) -> list[Value]:
        """Write one term of the sums of an outer product."""
        b, lanes = self.b, self.plan.lanes
        right = [self._vector(b.offset(b_, u * axis.b + o, self.b_kind), mask) for o, mask in b_offsets]
        if self.plan.prefetches and self.spec.columns[-1].b == 1:
            for offset, _ in b_offsets:
                self._fetch(b.offset(b_, u * axis.b + offset + len(b_offsets) * lanes, self.b_kind))
        result = []
        for i, o in enumerate(a_offsets):
            left = b.splat(b.load(Type(self.a_kind), b.offset(a, u * axis.a + o, self.a_kind)), lanes)
            for j, value in enumerate(right):
                result.append(self._multiply_add(left, value, sums[i * len(right) + j]))
        return result

    def _fetch(self, pointer: Value) -> None:
        """Ask for a cache line, into the second level."""
        name = "llvm.prefetch.p0"
        self.b.module.declare(name, VOID, [PTR, I32, I32, I32])
        self.b.call(VOID, name, pointer, *(self.b.const(I32, n) for n in (0, 2, 1)))

    def _vector(self, pointer: Value, mask: Value | None) -> Value:
        return self.b.load(self.vector, pointer) if mask is None else self.b.masked_load(self.vector, pointer, mask)

    def _multiply_add(self, x: Value, y: Value, z: Value) -> Value:
        b = self.b
        return b.fma(x, y, z) if self.plan.fma else b.binary("fadd", b.binary("fmul", x, y), z)

    # ------------------------------------------------------------------------------------------------ dot product
    def _columns(self, a: Value, b_: Value, axes, a_offsets: list[int], wide: Box) -> list[Value]:
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
                start, offsets = b.offset(b_, b.mul(g, few * stride), self.b_kind), [i * stride for i in range(few)]
            zeros = [b.zero(self.vector)] * (len(a_offsets) * few)
            sums = self._nest(a, start, zeros, axes, self._dots(a_offsets, offsets), plan.lanes)
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
                    right = [
                        self._vector(b.offset(b.offset(b_, o, self.b_kind), u * lanes, self.b_kind), mask)
                        for o in b_offsets
                    ]
                    left = [self._vector(b.offset(a, u * lanes + o, self.a_kind), mask) for o in a_offsets]
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
        stride *= axis.extent if n else 1
    return result[::-1]

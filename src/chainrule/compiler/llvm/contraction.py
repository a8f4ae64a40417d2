"""The micro-kernel: writes LLVM IR for a `ContractionPlan`.

    for each unit                         a rectangle of tiles; threads split the units
      for each panel of columns
        for each tile of rows             sums in registers
          for each k                      one load per vector of B, one broadcast per row of A
      epilogue of each row of vectors

With several blocks of sums, a group of units passes over the blocks together: every tile adds its block's sums to
scratch, and the epilogue follows after the last. Edge tiles are written as smaller variants of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from chainrule.compiler.contraction import Axis, ContractionPlan, Grid
from chainrule.compiler.llvm.ir import Builder, Place, Type, Value

__all__ = ["Epilogue", "emit_contraction"]

Epilogue = Callable[[list[Place], list[Place], list[Place], Value, Value | None], None]
Coordinates = list[Value]


def emit_contraction(
    b: Builder, plan: ContractionPlan, a: Value, b_: Value, scratch: Value, begin: Value, end: Value, epilogue: Epilogue
) -> None:
    """Write the units [begin, end) of a contraction.

    Args:
        b: where to write.
        plan: from `plan_contraction`.
        a: pointer to operand A.
        b_: pointer to operand B.
        scratch: pointer to `plan.scratch_bytes` bytes that no other thread uses.
        begin: first unit.
        end: last unit, exclusive, at most `plan.units`.
        epilogue: called while writing, for each vector of sums: `epilogue(batch, rows, columns, value, mask)`. The
            places say one index per axis; the vector runs along the last axis of columns from there; `mask`
            says which lanes are inside, None: all.
    """
    if plan.units:
        _Kernel(b, plan, a, b_, scratch, epilogue).units(begin, end)


class _Box:
    """A box of a grid, whole or at its edge: its places."""

    def __init__(self, grid: Grid, edge: bool):
        self.grid, self.edge = grid, edge
        self.shape = grid.edge_box if edge else grid.box
        self.places = list(itertools.product(*map(range, self.shape)))


class _Kernel:
    """The parts of one contraction while it is written."""

    def __init__(self, b: Builder, plan: ContractionPlan, a: Value, b_: Value, scratch: Value, epilogue: Epilogue):
        self.b, self.plan, self.a, self.b_, self.scratch, self.epilogue = b, plan, a, b_, scratch, epilogue
        self.spec = plan.spec
        self.vector = Type(plan.spec.kind, plan.lanes)

    # ------------------------------------------------------------------------------------------------ units
    def units(self, begin: Value, end: Value) -> None:
        """Write the loop over units, or over groups of units and blocks of sums."""
        b, plan = self.b, self.plan
        if plan.blocks == 1:
            b.loop(end, lambda u: self._unit(u, self._finish_tile), start=begin)
            return

        def group(first: Value) -> None:
            last = b.minimum(b.add(first, plan.group), end)
            self._clear(first, last)

            def block(k: Value) -> None:
                b.loop(last, lambda u: self._unit(u, self._add_tile(b.sub(u, first), k)), start=first)

            b.loop(plan.blocks, block)
            b.loop(last, lambda u: self._unit(u, self._leave_tile(b.sub(u, first))), start=first)

        b.loop(end, group, start=begin, step=plan.group)

    def _unit(self, unit: Value, tile: Callable[..., None]) -> None:
        """Write the tiles of one unit: panels outside, so that a panel of B stays in the nearest cache."""
        b, plan = self.b, self.plan
        panel_group = b.mod(unit, plan.panel_groups)
        rest = b.floordiv(unit, plan.panel_groups)
        row_group, rest = b.mod(rest, plan.row_groups), b.floordiv(rest, plan.row_groups)
        batch = _split(b, rest, [x.extent for x in self.spec.batch])
        a = self._move(self.a, "a", self.spec.batch, batch)
        b_ = self._move(self.b_, "b", self.spec.batch, batch)
        first_panel = b.mul(panel_group, plan.unit_panels)
        first_row = b.mul(row_group, plan.unit_rows)
        last_panel = b.minimum(b.add(first_panel, plan.unit_panels), plan.columns.boxes)
        last_row = b.minimum(b.add(first_row, plan.unit_rows), plan.rows.boxes)

        def panel(p: Value, column: Coordinates, wide: bool) -> None:
            start_b = self._move(b_, "b", self.spec.columns, self._scaled(column, plan.columns, plan.lanes))

            def row(r: Value, place: Coordinates, high: bool) -> None:
                start_a = self._move(a, "a", self.spec.rows, self._scaled(place, plan.rows))
                slot = b.add(b.mul(b.sub(p, first_panel), plan.unit_rows), b.sub(r, first_row))
                tile(start_a, start_b, _Box(plan.rows, high), _Box(plan.columns, wide), slot, batch, place, column)

            self._walk(first_row, last_row, plan.rows, row)

        self._walk(first_panel, last_panel, plan.columns, panel)

    def _walk(self, first: Value, last: Value, grid: Grid, body: Callable[..., None]) -> None:
        """Write `body(index, coordinates, edge)` for boxes first to last of a grid, in two variants where it has edges."""
        b = self.b

        def step(i: Value) -> None:
            where = _split(b, i, grid.counts)
            if grid.edge is None:
                body(i, where, False)
                return
            at_edge = b.compare("eq", where[grid.edge], b._index(grid.counts[grid.edge] - 1))
            b.choose(at_edge, lambda: body(i, where, True) or (), lambda: body(i, where, False) or ())

        b.loop(last, step, start=first)

    def _scaled(self, where: Coordinates, grid: Grid, lanes: int = 1) -> Coordinates:
        """Return the first index of a box along each axis."""
        last = len(where) - 1
        return [
            self.b.mul(w, t * (lanes if i == last else 1)) for i, (w, t) in enumerate(zip(where, grid.box, strict=True))
        ]

    def _move(self, pointer: Value, operand: str, axes: Sequence[Axis], index: Coordinates) -> Value:
        """Return the pointer moved to an index."""
        b, kind = self.b, getattr(self.spec, operand + "_kind") or self.spec.kind
        offset: Value | int = 0
        for axis, i in zip(axes, index, strict=True):
            offset = b.add(offset, b.mul(i, getattr(axis, operand)))
        return b.offset(pointer, offset, kind)

    # ------------------------------------------------------------------------------------------------ tiles
    def _finish_tile(self, a, b_, high, wide, slot, batch, row, column) -> None:  # noqa: ANN001 - see _unit
        """Write a tile whose sums are complete."""
        sums = self._sums(a, b_, high, wide, 0)
        rows, columns = self._scaled(row, self.plan.rows), self._scaled(column, self.plan.columns, self.plan.lanes)
        values = iter(sums)
        for r in high.places:
            at = [Place(v, plus) for v, plus in zip(rows, r, strict=True)]
            for c in wide.places:
                self._result(batch, at, columns, wide, c, next(values))

    def _result(self, batch: Coordinates, at: list[Place], columns: Coordinates, wide: _Box, c: Sequence[int], value: Value) -> None:  # fmt: skip
        plus = [*c[:-1], c[-1] * self.plan.lanes]
        self.epilogue(
            [Place(v) for v in batch],
            at,
            [Place(v, p) for v, p in zip(columns, plus, strict=True)],
            value,
            self._mask(wide, c),
        )

    def _mask(self, wide: _Box, c: Sequence[int]) -> Value | None:
        """Return the mask of a vector of a box of columns: only the very last along the last axis has one."""
        lanes = self.plan.lanes
        inside = self.spec.columns[-1].extent % lanes
        last = len(c) - 1
        ends = wide.grid.counts[last] == 1 or (wide.edge and wide.grid.edge == last)
        if not inside or not ends or c[-1] != wide.shape[-1] - 1:
            return None
        return self.b.lanes("i1", [i < inside for i in range(lanes)])

    def _slot(self, unit: Value, slot: Value) -> Value:
        tiles = self.plan.unit_rows * self.plan.unit_panels
        elements = self.plan.tile_bytes // self.vector.bytes
        return self.b.offset(
            self.scratch, self.b.mul(self.b.add(self.b.mul(unit, tiles), slot), elements), self.spec.kind
        )

    def _clear(self, first: Value, last: Value) -> None:
        """Write zeros to the scratch of a group."""
        b, plan = self.b, self.plan
        count = plan.unit_rows * plan.unit_panels * plan.tile_bytes // self.vector.bytes
        zero = b.zero(self.vector)
        b.loop(
            b.mul(b.sub(last, first), count),
            lambda i: b.store(zero, b.offset(self.scratch, i, self.spec.kind)),
            step=plan.lanes,
        )

    def _add_tile(self, unit: Value, block: Value) -> Callable[..., None]:
        """Return what adds one block's sums of a tile to its scratch."""

        def tile(a, b_, high, wide, slot, batch, row, column) -> None:  # noqa: ANN001 - see _unit
            place = self._slot(unit, slot)
            for i, value in enumerate(self._sums(a, b_, high, wide, block)):
                p = self.b.offset(place, i * self.plan.lanes, self.spec.kind)
                self.b.store(self.b.binary("fadd", self.b.load(self.vector, p), value), p)

        return tile

    def _leave_tile(self, unit: Value) -> Callable[..., None]:
        """Return what passes a tile from scratch to the epilogue, row by row."""
        b, plan = self.b, self.plan

        def tile(a, b_, high, wide, slot, batch, row, column) -> None:  # noqa: ANN001 - see _unit
            place = self._slot(unit, slot)
            rows, columns = self._scaled(row, plan.rows), self._scaled(column, plan.columns, plan.lanes)

            def nest(done: list[Value], index: Value | int) -> None:
                if len(done) < len(high.shape):
                    size = high.shape[len(done)]
                    b.loop(size, lambda i: nest([*done, i], b.add(b.mul(index, size), i)))
                    return
                at = [Place(b.add(v, i)) for v, i in zip(rows, done, strict=True)]
                start = b.offset(place, b.mul(index, len(wide.places) * plan.lanes), self.spec.kind)
                for j, c in enumerate(wide.places):
                    value = b.load(self.vector, b.offset(start, j * plan.lanes, self.spec.kind))
                    self._result(batch, at, columns, wide, c, value)

            nest([], 0)

        return tile

    # ------------------------------------------------------------------------------------------------ sums
    def _sums(self, a: Value, b_: Value, high: _Box, wide: _Box, block: Value | int) -> list[Value]:
        """Write one block of the sums of a tile; returns its vectors, row after row."""
        b, plan, spec = self.b, self.plan, self.spec
        a_offsets = [_dot(i, [x.a for x in spec.rows]) for i in high.places]
        strides = [x.b for x in spec.columns]
        strides[-1] *= plan.lanes
        b_offsets = [(_dot(c, strides), self._mask(wide, c)) for c in wide.places]
        zeros = [b.zero(self.vector)] * (len(a_offsets) * len(b_offsets))
        if not plan.piece:
            return zeros
        outer, cut = plan.sums[: plan.outer], plan.sums[plan.outer]
        where = _split(b, b._index(block), [*(x.extent for x in outer), -(-cut.extent // plan.piece)])
        where[-1] = b.mul(where[-1], plan.piece)
        a, b_ = (self._move(p, n, [*outer, cut], where) for p, n in ((a, "a"), (b_, "b")))
        count: Value | int = plan.piece
        if cut.extent % plan.piece:
            count = b.minimum(plan.piece, b.sub(cut.extent, where[-1]))
        inner = plan.sums[plan.outer + 1 :]
        return self._nest(a, b_, zeros, [(count, cut), *((x.extent, x) for x in inner)], a_offsets, b_offsets)

    def _nest(self, a, b_, sums, axes, a_offsets, b_offsets) -> list[Value]:  # noqa: ANN001 - see _sums
        """Write the loops over the remaining axes of a block."""
        b, spec = self.b, self.spec
        (count, axis), inner = axes[0], axes[1:]

        def turn(terms: int) -> Callable[..., list[Value]]:
            def body(_: Value, a: Value, b_: Value, *sums: Value) -> list[Value]:
                if inner:
                    sums = tuple(self._nest(a, b_, list(sums), inner, a_offsets, b_offsets))
                else:
                    for u in range(terms):
                        sums = tuple(self._term(a, b_, u, axis, sums, a_offsets, b_offsets))
                next_a = b.offset(a, terms * axis.a, spec.a_kind or spec.kind)
                return [next_a, b.offset(b_, terms * axis.b, spec.b_kind or spec.kind), *sums]

            return body

        terms = 1 if inner else self.plan.unroll
        whole = b.mul(b.floordiv(count, terms), terms)
        a, b_, *sums = b.loop(whole, turn(terms), [a, b_, *sums], step=terms)
        if terms > 1 and (isinstance(count, int) or axis.extent % terms or self.plan.piece % terms):
            a, b_, *sums = b.loop(count, turn(1), [a, b_, *sums], start=whole)
        return list(sums)

    def _term(self, a, b_, u, axis, sums, a_offsets, b_offsets) -> list[Value]:  # noqa: ANN001 - see _sums
        """Write one term of the sums: rank-one update of the tile."""
        b, spec = self.b, self.spec
        right = [self._vector(b.offset(b_, u * axis.b + o, spec.b_kind or spec.kind), mask) for o, mask in b_offsets]
        result = []
        for i, o in enumerate(a_offsets):
            left = b.splat(
                b.load(Type(spec.kind), b.offset(a, u * axis.a + o, spec.a_kind or spec.kind)), self.plan.lanes
            )
            for j, value in enumerate(right):
                result.append(self._multiply_add(left, value, sums[i * len(right) + j]))
        return result

    def _vector(self, pointer: Value, mask: Value | None) -> Value:
        """Return a vector of B along the last axis of columns."""
        b, last = self.b, self.spec.columns[-1]
        if last.b == 1 or last.extent == 1:
            return b.load(self.vector, pointer) if mask is None else b.masked_load(self.vector, pointer, mask)
        index = b.lanes("i64", [i * last.b for i in range(self.plan.lanes)])
        return b.gather(self.spec.kind, pointer, index, mask)

    def _multiply_add(self, x: Value, y: Value, z: Value) -> Value:
        b = self.b
        return b.fma(x, y, z) if self.plan.fma else b.binary("fadd", b.binary("fmul", x, y), z)


def _split(b: Builder, index: Value | int, extents: Sequence[int]) -> Coordinates:
    """Return the index along each axis, the last fastest; the first takes what is left."""
    result: Coordinates = []
    rest = b._index(index)
    for n, extent in reversed(list(enumerate(extents))):
        result.append(b.mod(rest, extent) if n else (rest if extent > 1 else b._index(0)))
        rest = b.floordiv(rest, extent)
    return result[::-1]


def _dot(index: Sequence[int], strides: Sequence[int]) -> int:
    return sum(i * s for i, s in zip(index, strides, strict=True))

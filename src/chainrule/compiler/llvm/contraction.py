"""The micro-kernel: writes LLVM IR for a `ContractionPlan`.

    for each unit                         a rectangle of tiles; threads split the units
      for each panel of columns           packed into scratch first where B lies badly
        for each tile of rows             sums in registers: `contraction_sums`
      epilogue of each row of vectors

With several blocks of sums, a group of units passes over the blocks together: every tile adds its block's sums to
scratch, and the epilogue follows after the last. Edge tiles are written as smaller variants of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.compiler.contraction import ContractionPlan
from chainrule.compiler.contraction_tiles import Grid
from chainrule.compiler.llvm.contraction_pack import pack_panel
from chainrule.compiler.llvm.contraction_sums import Box, Coordinates, Sums, move, split
from chainrule.compiler.llvm.ir import Builder, Place, Type, Value

__all__ = ["Epilogue", "emit_contraction"]

Epilogue = Callable[[list[Place], list[Place], list[Place], Value, Value | None], None]


def emit_contraction(
    b: Builder,
    plan: ContractionPlan,
    a: Value,
    b_: Value,
    scratch: Value,
    begin: Value,
    end: Value,
    epilogue: Epilogue,
    *,
    compact: bool = False,
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
        compact: whether a tile passes through memory to one copy of the epilogue per vector of a row, instead of one
            per vector of the tile. For long epilogues: less code, at about 2 stores and loads per 100 products.
    """
    if plan.units:
        _Kernel(b, plan, a, b_, scratch, epilogue, compact).units(begin, end)


@dataclass(frozen=True)
class _Tile:
    """A tile of a unit: where its operands start, its boxes, its number in the unit and its first indices."""

    a: Value
    b: Value
    high: Box
    wide: Box
    slot: Value
    batch: Coordinates
    rows: Coordinates
    columns: Coordinates


def _nothing(body: Callable[[Value, Coordinates, bool], None], i: Value, where: Coordinates, edge: bool) -> list[Value]:
    body(i, where, edge)
    return []


class _Kernel:
    """The parts of one contraction while it is written."""

    def __init__(
        self, b: Builder, plan: ContractionPlan, a: Value, b_: Value, scratch: Value, epilogue: Epilogue, compact: bool
    ):
        self.b, self.plan, self.a, self.b_, self.scratch, self.epilogue = b, plan, a, b_, scratch, epilogue
        self.waiting = b.alloca(Type("i8"), plan.tile_bytes) if compact and plan.blocks == 1 else None
        self.spec, self.kind = plan.spec, plan.spec.kind
        self.vector = Type(self.kind, plan.lanes)
        self.packed = b.offset(scratch, plan.sums_bytes, "i8") if plan.packs else None
        self.sums = Sums(b, plan)

    # ------------------------------------------------------------------------------------------------ units
    def units(self, begin: Value, end: Value) -> None:
        """Write the loop over units, or over groups of units and blocks of sums."""
        b, plan = self.b, self.plan
        if plan.blocks == 1:
            b.loop(end, lambda u: self._unit(u, self._finish, begin, b.const(begin.type, 0)), start=begin)
            return

        def group(first: Value) -> None:
            last = b.minimum(b.add(first, plan.group), end)
            self._clear(first, last)

            def block(k: Value) -> None:
                b.loop(last, lambda u: self._unit(u, self._adder(b.sub(u, first), k), first, k), start=first)

            b.loop(plan.blocks, block)
            b.loop(last, lambda u: self._unit(u, self._leaver(b.sub(u, first))), start=first)

        b.loop(end, group, start=begin, step=plan.group)

    def _place(self, unit: Value) -> tuple[Coordinates, Value, Value]:
        """Return the batch index, the group of rows and the group of panels of a unit.

        Units of a packed panel follow one another for a stretch of rows; else those of the same rows, whose results
        lie together.
        """
        b, plan = self.b, self.plan
        if plan.packs:
            rest, part, panel, row = split(
                b, unit, [2, plan.row_groups // plan.stretch, plan.panel_groups, plan.stretch]
            )
            row = b.add(b.mul(part, plan.stretch), row)
        else:
            rest, row, panel = split(b, unit, [2, plan.row_groups, plan.panel_groups])
        return split(b, rest, [x.extent for x in self.spec.batch]), row, panel

    def _unit(
        self, unit: Value, work: Callable[[_Tile], None], first: Value | None = None, block: Value | None = None
    ) -> None:
        """Write the tiles of one unit, panels outside, so that a panel of B stays in the nearest cache.

        Args:
            unit: its number.
            work: writes one tile.
            first: the first unit of the loop around, None where no operand is read.
            block: of the sums, None where no operand is read.
        """
        b, plan, spec = self.b, self.plan, self.spec
        batch, row_group, panel_group = self._place(unit)
        a = move(b, self.a, spec.batch, "a", batch, self.sums.a_kind)
        b_ = move(b, self.b_, spec.batch, "b", batch, self.sums.b_kind)
        panels = b.mul(panel_group, plan.unit_panels), plan.columns, plan.unit_panels
        tiles = b.mul(row_group, plan.unit_rows), plan.rows, plan.unit_rows
        if self.packed and block is not None and first is not None:
            self._pack(unit, first, row_group, panels, b_, block)

        def panel(p: Value, column: Coordinates, wide: bool) -> None:
            columns = self._scaled(column, plan.columns, plan.lanes)
            if self.packed:
                start_b = b.offset(self.packed, b.mul(b.sub(p, panels[0]), plan.panel_bytes), "i8")
            else:
                start_b = move(b, b_, spec.columns, "b", columns, self.sums.b_kind)

            def tile(r: Value, row: Coordinates, high: bool) -> None:
                rows = self._scaled(row, plan.rows)
                start_a = move(b, a, spec.rows, "a", rows, self.sums.a_kind)
                slot = b.add(b.mul(b.sub(p, panels[0]), plan.unit_rows), b.sub(r, tiles[0]))
                boxes = Box(plan.rows, high), Box(plan.columns, wide)
                work(_Tile(start_a, start_b, *boxes, slot, batch, rows, columns))

            self._walk(tiles[0], tiles[1], tiles[2], tile)

        self._walk(panels[0], panels[1], panels[2], panel)

    def _pack(
        self, unit: Value, first: Value, row_group: Value, panels: tuple[Value, Grid, int], b_: Value, block: Value
    ) -> None:
        """Write the packing of a unit's panels, once for units that share them."""
        b, plan = self.b, self.plan

        def panel(p: Value, column: Coordinates, edge: bool) -> None:
            columns = self._scaled(column, plan.columns, plan.lanes)
            source = move(b, b_, self.spec.columns, "b", columns, self.sums.b_kind)
            to = b.offset(self.packed, b.mul(b.sub(p, panels[0]), plan.panel_bytes), "i8")
            pack_panel(self.sums, source, to, Box(plan.columns, edge), block)

        if plan.row_groups == 1:
            self._walk(panels[0], panels[1], panels[2], panel)
            return
        start = b.compare("eq", b.mod(row_group, plan.stretch), b.const(unit.type, 0))
        fresh = b.binary("or", start, b.compare("eq", unit, first))
        b.when(fresh, lambda: self._walk(panels[0], panels[1], panels[2], panel))

    def _walk(self, first: Value, grid: Grid, most: int, body: Callable[[Value, Coordinates, bool], None]) -> None:
        """Write `body(number, coordinates, edge)` for up to `most` boxes of a grid, twice where it has edges."""
        b = self.b
        last = b.add(first, most) if grid.boxes % most == 0 else b.minimum(b.add(first, most), grid.boxes)

        def step(i: Value) -> None:
            where = split(b, i, grid.counts)
            if grid.edge is None:
                body(i, where, False)
                return
            at_edge = b.compare("eq", where[grid.edge], b.const(i.type, grid.counts[grid.edge] - 1))
            b.choose(at_edge, lambda: _nothing(body, i, where, True), lambda: _nothing(body, i, where, False))

        b.loop(last, step, start=first)

    def _scaled(self, where: Coordinates, grid: Grid, lanes: int = 1) -> Coordinates:
        """Return the first index of a box along each axis."""
        sizes = [*grid.box[:-1], *(t * lanes for t in grid.box[-1:])]
        return [self.b.mul(w, t) for w, t in zip(where, sizes, strict=True)]

    # ------------------------------------------------------------------------------------------------ tiles
    def _finish(self, tile: _Tile) -> None:
        """Write a tile whose sums are complete."""
        sums = self.sums.block(tile.a, tile.b, tile.high, tile.wide, self.b.const(tile.slot.type, 0))
        if self.waiting:
            for i, value in enumerate(sums):
                self.b.store(value, self.b.offset(self.waiting, i * self.plan.lanes, self.kind))
            self._leave(tile, self.waiting)
            return
        values = iter(sums)
        for r in tile.high.places:
            rows = [Place(v, plus) for v, plus in zip(tile.rows, r, strict=True)]
            for c in tile.wide.places:
                self._result(tile, rows, c, next(values))

    def _result(self, tile: _Tile, rows: list[Place], c: tuple[int, ...], value: Value) -> None:
        plus = [*c[:-1], c[-1] * self.plan.lanes]
        columns = [Place(v, p) for v, p in zip(tile.columns, plus, strict=True)]
        self.epilogue([Place(v) for v in tile.batch], rows, columns, value, self.sums.mask(tile.wide, c))

    def _slot(self, unit: Value, slot: Value) -> Value:
        tiles = self.plan.unit_rows * self.plan.unit_panels
        return self.b.offset(
            self.scratch, self.b.mul(self.b.add(self.b.mul(unit, tiles), slot), self.plan.tile_bytes), "i8"
        )

    def _clear(self, first: Value, last: Value) -> None:
        """Write zeros to the scratch of a group."""
        b, plan = self.b, self.plan
        count = plan.unit_rows * plan.unit_panels * plan.tile_bytes // self.vector.bytes
        zero = b.zero(self.vector)
        b.loop(
            b.mul(b.sub(last, first), count),
            lambda i: b.store(zero, b.offset(self.scratch, i, self.kind)),
            step=plan.lanes,
        )

    def _adder(self, unit: Value, block: Value) -> Callable[[_Tile], None]:
        """Return what adds one block's sums of a tile to its scratch."""

        def work(tile: _Tile) -> None:
            place = self._slot(unit, tile.slot)
            for i, value in enumerate(self.sums.block(tile.a, tile.b, tile.high, tile.wide, block)):
                p = self.b.offset(place, i * self.plan.lanes, self.kind)
                self.b.store(self.b.binary("fadd", self.b.load(self.vector, p), value), p)

        return work

    def _leaver(self, unit: Value) -> Callable[[_Tile], None]:
        """Return what passes a tile from scratch to the epilogue."""
        return lambda tile: self._leave(tile, self._slot(unit, tile.slot))

    def _leave(self, tile: _Tile, place: Value) -> None:
        """Write what passes a tile from memory to the epilogue, row by row."""
        b, lanes, wide = self.b, self.plan.lanes, len(tile.wide.places)

        def nest(done: list[Value], index: Value | int) -> None:
            if len(done) < len(tile.high.shape):
                size = tile.high.shape[len(done)]
                b.loop(size, lambda i: nest([*done, i], b.add(b.mul(index, size), i)))
                return
            rows = [Place(b.add(v, i)) for v, i in zip(tile.rows, done, strict=True)]
            start = b.offset(place, b.mul(index, wide * lanes), self.kind)
            for j, c in enumerate(tile.wide.places):
                self._result(tile, rows, c, b.load(self.vector, b.offset(start, j * lanes, self.kind)))

        nest([], 0)

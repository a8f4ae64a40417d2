"""Square tiles: plain nests that read some memory across the direction of their vectors.

An update of a weight [out, in] from a gradient stored [in, out], or an image that changes its layout, would gather
single numbers far apart. Instead a square of vectors is loaded along the memory's own direction, transposed in
registers, and used row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule.compiler import expr
from chainrule.compiler.expr import Expr
from chainrule.compiler.kernels import Store
from chainrule.compiler.llvm.code import Code, kind_type
from chainrule.compiler.llvm.ir import Place, Value
from chainrule.compiler.llvm.lanes import transposed

__all__ = ["Tiles", "emit_tiles", "tiles_for"]


class Tiles:
    """A plain nest in square tiles.

    Args:
        outer: the other axes.
        across: the axis along which the transposed elements lie side by side.
        along: the axis of the vectors.
        statements: stores with flat addresses.
        elements: the loads to transpose.
        lanes: side of a tile.
    """

    def __init__(
        self,
        outer: tuple[Expr, ...],
        across: Expr,
        along: Expr,
        statements: Sequence[Store],
        elements: Sequence[Expr],
        lanes: int,
    ):
        self.outer, self.across, self.along = outer, across, along
        self.statements, self.elements, self.lanes = statements, elements, lanes

    @property
    def units(self) -> int:
        """Rows of tiles."""
        return math.prod(v.data[1] for v in self.outer) * (self.across.data[1] // self.lanes)


def tiles_for(axes: tuple[Expr, ...], statements: Sequence[Store], lanes: int) -> Tiles | None:
    """Return a nest in tiles, where its extents are whole and it pays; axes come outermost first."""
    along = axes[-1]
    if along.data[1] % lanes or lanes < 4:
        return None
    written = {s.view.buffer for s in statements}
    elements = []
    across: Expr | None = None
    for part in expr.walk(s.value for s in statements):
        if part.kind not in ("f32", "i32", "u32", "bf16") and part.op not in ("affine", "axis", "const"):
            if part.op == "element" and along in part.free:
                return None
            continue
        if part.op != "element":
            continue
        factors = expr.terms(part.args[0])[1]
        if factors.get(along, 0) in (0, 1):
            continue
        beside = [v for v in axes[:-1] if factors.get(v, 0) == 1]
        others = any(v.op != "axis" for v in factors)
        if len(part.args) > 1 or others or len(beside) != 1 or part.data in written or across not in (None, beside[0]):
            return None
        across = beside[0]
        elements.append(part)
    if across is None or across.data[1] % lanes or not elements:
        return None
    if any(expr.terms(s.at[0])[1].get(along, 0) != 1 for s in statements):
        return None
    return Tiles(tuple(v for v in axes[:-1] if v is not across), across, along, statements, elements, lanes)


def emit_tiles(code: Code, tiles: Tiles, unit: Value) -> None:
    """Write one row of tiles; the places of the outer axes are decoded from the unit."""
    b, lanes = code.b, tiles.lanes
    code.push()
    blocks = tiles.across.data[1] // lanes
    number = unit
    for n, v in enumerate(reversed(tiles.outer)):
        if n == 0:
            row = b.mod(number, blocks)
            number = b.floordiv(number, blocks)
        code.places[v] = Place(number if n == len(tiles.outer) - 1 else b.mod(number, v.data[1]))
        number = b.floordiv(number, v.data[1])
    first = b.mul(row if tiles.outer else unit, lanes)

    def tile(start: Value) -> None:
        code.push()
        code.places[tiles.across], code.places[tiles.along] = Place(first), Place(start)
        found = {e: _columns(code, e, tiles) for e in tiles.elements}
        for i in range(lanes):
            code.push()
            code.places[tiles.across] = Place(first, i)
            code.lane, code.width, code.mask = tiles.along, lanes, None
            for e, columns in found.items():
                code.know(e, columns[i])
            for s in tiles.statements:
                code.store(s)
            code.pop()
        code.lane, code.width = None, 1
        code.pop()

    b.loop(tiles.along.data[1], tile, step=lanes)
    code.pop()


def _columns(code: Code, element: Expr, tiles: Tiles) -> list[Value]:
    """Load a square, each vector along the other axis, and return its vectors along theirs."""
    b = code.b
    factor = expr.terms(element.args[0])[1][tiles.along]
    base, _, _ = code.split(element.args[0])
    type = kind_type(element.data.kind, tiles.lanes)
    places = [code.pointer(element.data, (base[0], base[1] + factor * i)) for i in range(tiles.lanes)]
    rows = [b.load(type, p) for p in places]
    if type.bytes == 4:
        return transposed(b, rows)
    words = transposed(b, [b.cast("zext", row, "i32") for row in rows])
    return [b.cast("trunc", column, type.kind) for column in words]

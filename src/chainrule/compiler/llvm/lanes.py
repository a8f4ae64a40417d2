"""Networks of shuffles: matrices of vectors transposed, and sums of lanes that end side by side.

Two steps each: within parts of 128 bits, whose shuffles cost one instruction without an index on every instruction
set, then of whole parts.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.llvm.ir import Builder, Value

__all__ = ["summed_columns", "summed_lanes", "transposed"]


def _halves(b: Builder, x: Value, y: Value, size: int) -> tuple[Value, Value]:
    """Return lower and upper halves of each part of two vectors, interleaved in pieces of `size` lanes."""
    lanes, part = x.type.lanes, 16 // x.type.bytes
    low: list[int] = []
    high: list[int] = []
    for start in range(0, lanes, part):
        for half, out in ((0, low), (part // 2, high)):
            for i in range(start + half, start + half + part // 2, size):
                out += [*range(i, i + size), *range(lanes + i, lanes + i + size)]
    return b.shuffle(x, y, low), b.shuffle(x, y, high)


def _parts(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Return the even parts of x and y, and the odd ones."""
    lanes, part = x.type.lanes, 16 // x.type.bytes
    chosen = [
        [i for start in range(odd * part, 2 * lanes, 2 * part) for i in range(start, start + part)] for odd in (0, 1)
    ]
    return b.shuffle(x, y, chosen[0]), b.shuffle(x, y, chosen[1])


def transposed(b: Builder, rows: Sequence[Value]) -> list[Value]:
    """Return the columns of a square matrix of as many vectors as each has lanes."""
    lanes, part = len(rows), 16 // rows[0].type.bytes
    inside: list[list[Value]] = []  # [group of rows][column within a part]: one row of every part
    for start in range(0, lanes, part):
        group = list(rows[start : start + part])
        if part == 4:
            a, c = _halves(b, group[0], group[1], 1)
            d, e = _halves(b, group[2], group[3], 1)
            group = [*_halves(b, a, d, 2), *_halves(b, c, e, 2)]
        else:
            group = list(_halves(b, group[0], group[1], 1))
        inside.append(group)
    columns: list[Value] = [rows[0]] * lanes
    for i in range(part):
        for q, value in enumerate(_parts_transposed(b, [group[i] for group in inside])):
            columns[q * part + i] = value
    return columns


def _parts_transposed(b: Builder, rows: list[Value]) -> list[Value]:
    """Return part q of each of as many vectors as each has parts, for every q."""
    if len(rows) == 1:
        return rows
    half = len(rows) // 2
    pairs = [_parts(b, rows[2 * i], rows[2 * i + 1]) for i in range(half)]
    even = _parts_transposed_of(b, [p[0] for p in pairs])
    odd = _parts_transposed_of(b, [p[1] for p in pairs])
    return [v for pair in zip(even, odd, strict=True) for v in pair]


def _parts_transposed_of(b: Builder, rows: list[Value]) -> list[Value]:
    """Go on with vectors that hold the same parts of two rows each."""
    if len(rows) == 1:
        return rows
    first, second = _parts(b, rows[0], rows[1])
    return [first, second]


def summed_lanes(b: Builder, values: Sequence[Value]) -> list[Value]:
    """Return, for each 128 bits of values, one vector whose every part holds the sums of their lanes in that part."""
    part = 16 // values[0].type.bytes
    result = []
    for start in range(0, len(values), part):
        group, size = list(values[start : start + part]), 1
        while len(group) > 1:
            halves = [_halves(b, group[i], group[i + 1], size) for i in range(0, len(group), 2)]
            group = [b.binary("fadd", low, high) for low, high in halves]
            size *= 2
        result += group
    return result


def summed_columns(b: Builder, values: Sequence[Value]) -> Value:
    """Return one vector from as many as it has parts: part i is the sum of all parts of vector i."""
    values = list(values)
    while len(values) > 1:
        pairs = [_parts(b, values[i], values[i + 1]) for i in range(0, len(values), 2)]
        values = [b.binary("fadd", even, odd) for even, odd in pairs]
    return values[0]

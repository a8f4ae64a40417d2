"""Packs a panel of operand B into scratch: [terms of the block][columns of the panel].

Where the columns lie side by side they are copied. Where the innermost sum lies side by side (a weight stored
[out, in]), squares are transposed in registers. Else they are gathered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.compiler.contraction import Axis
from chainrule.compiler.llvm.contraction_sums import Box, Coordinates, Sums, move, packed_axes, split, widened
from chainrule.compiler.llvm.ir import Type, Value
from chainrule.compiler.llvm.lanes import transposed

__all__ = ["pack_panel"]


def pack_panel(sums: Sums, source: Value, to: Value, wide: Box, block: Value) -> None:
    """Write the packing of a panel's part in one block of the sums.

    Args:
        sums: of the kernel.
        source: pointer to the panel in B.
        to: pointer to where it goes.
        wide: the panel's columns.
        block: which block.
    """
    b, plan = sums.b, sums.plan
    where, axes = sums.axes(block)
    source = move(b, source, plan.sums[: plan.outer + 1], "b", where, sums.b_kind)
    inside = sums.inside(wide, wide.places[-1])
    whole, ragged = list(wide.shape), [*wide.shape[:-1], 1]
    if inside < plan.lanes:
        whole[-1] -= 1
    boxes: list[tuple[Sequence[int], int, int]] = [(whole, 0, plan.lanes)]
    if inside < plan.lanes:
        boxes.append((ragged, wide.shape[-1] - 1, inside))
    strides = [Axis(0, 0, x.b) for x in sums.spec.columns]
    strides[-1] = Axis(0, 0, strides[-1].b * plan.lanes)
    for shape, plus, lanes in boxes:

        def vector(index: Coordinates, plus: int = plus, lanes: int = lanes) -> None:
            index = [*index[:-1], b.add(index[-1], plus)]
            number = index[0]
            for i, extent in zip(index[1:], wide.shape[1:], strict=True):
                number = b.add(b.mul(number, extent), i)
            start = move(b, source, strides, "b", index, sums.b_kind)
            _pack_vector(
                sums, start, b.offset(to, b.mul(number, plan.lanes * (1 + plan.pairs)), sums.panel_kind), axes, lanes
            )

        _each(sums, shape, vector)


def _each(sums: Sums, shape: Sequence[int], body: Callable[[Coordinates], None]) -> None:
    """Write `body(index)` in a loop over the places of a box."""
    count = 1
    for extent in shape:
        count *= extent
    sums.b.loop(count, lambda i: body(split(sums.b, i, shape)))


def _pack_vector(sums: Sums, source: Value, to: Value, axes: Sequence[tuple[Value | int, Axis]], inside: int) -> None:
    """Write the packing of one vector of columns, of which `inside` lanes exist."""
    b = sums.b
    goals = packed_axes(axes, sums.plan)

    def nest(depth: int, source: Value, to: Value) -> None:
        count, stride, goal = axes[depth][0], axes[depth][1].b, goals[depth][1].b
        if depth == len(axes) - 1:
            (_pack_pairs if sums.plan.pairs else _pack_line)(sums, source, to, count, stride, goal, inside)
            return

        def turn(i: Value) -> None:
            nest(
                depth + 1,
                b.offset(source, b.mul(i, stride), sums.b_kind),
                b.offset(to, b.mul(i, goal), sums.panel_kind),
            )

        b.loop(count, turn)

    nest(0, source, to)


def _pack_line(sums: Sums, source: Value, to: Value, count: Value | int, stride: int, goal: int, inside: int) -> None:
    """Write the packing of one vector of columns along the innermost sum."""
    b, lanes, kind = sums.b, sums.plan.lanes, sums.b_kind
    step = sums.spec.columns[-1].b

    def square(k: Value) -> None:
        start = b.offset(source, k, kind)
        rows = [sums.load(kind, b.offset(start, i * step, kind)) for i in range(inside)]
        for i, value in enumerate(transposed(b, rows + [b.zero(sums.vector)] * (lanes - inside))):
            b.store(value, b.offset(to, b.mul(b.add(k, i), goal), sums.panel_kind))

    def line(k: Value) -> None:
        value = _columns(sums, b.offset(source, b.mul(k, stride), kind), inside)
        value = value if kind == sums.spec.kind else widened(b, value)
        b.store(value, b.offset(to, b.mul(k, goal), sums.panel_kind))

    squares: Value | int = 0
    if step != 1 and stride == 1:
        squares = b.mul(b.floordiv(count, lanes), lanes)
        b.loop(squares, square, step=lanes)
    b.loop(count, line, start=squares)


def _columns(sums: Sums, start: Value, inside: int) -> Value:
    """Return one vector of columns as it is stored, bfloat16 as i16; 0 in lanes beyond `inside`."""
    b, lanes, step = sums.b, sums.plan.lanes, sums.spec.columns[-1].b
    kind = "i16" if sums.b_kind == "bf16" else sums.b_kind
    mask = None if inside == lanes else b.lanes("i1", [i < inside for i in range(lanes)])
    if step != 1:
        return b.gather(kind, start, b.lanes("i64", [i * step for i in range(lanes)]), mask)
    return b.load(Type(kind, lanes), start) if mask is None else b.masked_load(Type(kind, lanes), start, mask)


def _pack_pairs(sums: Sums, source: Value, to: Value, count: Value | int, stride: int, goal: int, inside: int) -> None:
    """Write the same with two terms side by side for each column, 0 behind the last of an odd number."""
    b, lanes = sums.b, sums.plan.lanes
    step = sums.spec.columns[-1].b
    words = Type("i32", lanes)

    def square(k: Value) -> None:
        start = b.offset(source, k, "bf16")
        pointers = [b.offset(start, i * step, "bf16") for i in range(inside)]
        rows = [b.emit(sums.vector, f"load {sums.vector}, ptr {p.text}, align 2") for p in pointers]
        for i, value in enumerate(transposed(b, rows + [b.zero(sums.vector)] * (lanes - inside))):
            b.store(value, b.offset(to, b.mul(b.add(k, 2 * i), goal), "bf16"))

    def line(k: Value, both: bool) -> None:
        start = b.offset(source, b.mul(k, stride), "bf16")
        value = b.cast("zext", _columns(sums, start, inside), "i32")
        if both:
            second = b.cast("zext", _columns(sums, b.offset(start, stride, "bf16"), inside), "i32")
            value = b.binary("or", value, b.binary("shl", second, b.const(words, 16)))
        b.store(value, b.offset(to, b.mul(k, goal), "bf16"))

    squares: Value | int = 0
    if step != 1 and stride == 1:
        squares = b.mul(b.floordiv(count, 2 * lanes), 2 * lanes)
        b.loop(squares, square, step=2 * lanes)
    even = b.mul(b.floordiv(count, 2), 2)
    b.loop(even, lambda k: line(k, True), start=squares, step=2)
    b.loop(count, lambda k: line(k, False), start=even, step=2)

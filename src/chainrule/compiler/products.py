"""Contractions of a graph as strided sums of products: matmul, convolution and its two gradients.

Where their operands lie, or that they are copied first, `operands` says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from chainrule.compiler import expr
from chainrule.compiler.contraction import Axis, Contraction
from chainrule.compiler.expr import Expr, k
from chainrule.compiler.few_pixels import convolve_few
from chainrule.compiler.kernels import Product, Store, View
from chainrule.compiler.layouts import FEW, gradient_halo, placed
from chainrule.compiler.operands import (
    Geometry,
    Operand,
    backward_weights,
    bordered,
    fixed_axes,
    forward_weights,
    geometry,
    image,
    loop_axes,
    operand,
    packed,
    plain_weights,
    strided,
    tap_weights,
    window,
)
from chainrule.core.graph import Equation, Variable

if TYPE_CHECKING:
    from chainrule.compiler.schedule import Scheduler

__all__ = ["FORMS"]

TAPS = 9  # of a kernel of few channels whose gradients are summed together


def emit(
    s: Scheduler,
    e: Equation,
    left: Operand,
    right: Operand,
    batch: Sequence[Expr],
    rows: Sequence[Expr],
    columns: Sequence[Expr],
    sums: Sequence[Expr],
    view: View,
    at: Sequence[Expr],
    kind: str,
    joinable: bool = True,
) -> None:
    """Append the contraction that stores its sums at `at`."""

    def specified(variables: Sequence[Expr]) -> tuple[Axis, ...]:
        return tuple(Axis(v.data[1], left.stride(v), right.stride(v)) for v in variables)

    columns = columns or (expr.axis(1),)
    spec = Contraction(
        specified(batch),
        specified(rows),
        specified(columns),
        specified(sums),
        kind,
        left.buffer.kind,
        right.buffer.kind,
    )
    total = expr.symbol(kind)
    at = tuple(expr.index(0) if n == 1 else i for i, n in zip(at, view.shape, strict=True))
    store = Store(view, at, k.cast(total, view.buffer.kind))
    s.merger.product(
        Product(
            [e],
            spec=spec,
            left=(left.buffer, left.offset),
            right=(right.buffer, right.offset),
            batch=tuple(batch),
            rows=tuple(rows),
            columns=tuple(columns),
            total=total,
            epilogue=[store],
            joinable=joinable,
        )
    )


def accumulator(e: Equation) -> str:
    """Return the kind in which a contraction sums."""
    kinds = {"f64": "f64", "f32": "f32", "bf16": "f32"}
    return kinds[e.inputs[0].type.dtype.short]


# ---------------------------------------------------------------------------------------------------- matmul
def matmul(s: Scheduler, e: Equation) -> None:
    """y[..., i, j] = sum over p of x1[..., i, p] x2[..., p, j]."""
    x1, x2 = e.inputs
    (y,) = e.outputs
    m, n, depth = y.shape[-2], y.shape[-1], x1.shape[-1]
    i, j, p = expr.axis(m), expr.axis(n), expr.axis(depth)
    batch = tuple(expr.axis(b) for b in y.shape[:-2])
    first, second = at_of(x1, batch, i, p), at_of(x2, batch, p, j)
    left_batch = [b for b, a in zip(batch[len(batch) - len(x1.shape) + 2 :], x1.shape[:-2], strict=True) if a != 1]
    right_batch = [b for b, a in zip(batch[len(batch) - len(x2.shape) + 2 :], x2.shape[:-2], strict=True) if a != 1]
    a, b = s.element(x1, first), s.element(x2, second)
    left = operand(s, a) or packed(s, [*left_batch, i, p], a)
    right = operand(s, b) or packed(s, [*right_batch, p, j], b)
    view = s.allocate(y)
    emit(s, e, left, right, batch, (i,), (j,), (p,), view, (*batch, i, j), accumulator(e))


def at_of(x: Variable, batch: Sequence[Expr], row: Expr, column: Expr) -> tuple[Expr, ...]:
    """Return the indices of a stack of matrices whose stack axes broadcast."""
    front = batch[len(batch) - len(x.shape) + 2 :]
    found = [*front, row, column]
    return tuple(expr.index(0) if n == 1 else v for n, v in zip(x.shape, found, strict=True))


# ---------------------------------------------------------------------------------------------------- convolution
def convolution(s: Scheduler, e: Equation) -> None:
    """y[b, o, q] = sum over c, r of w[o, c, r] x[b, c, s q + d r - low]."""
    x, w = e.inputs
    (y,) = e.outputs
    g = geometry(e, x.shape[0], x.shape[1], w.shape[0], w.shape[2:])
    places = tuple(expr.axis(q) for q in y.shape[2:])
    if e.attributes["groups"] > 1 and g.inputs.data[1] * g.outputs.data[1] < 16:
        _depthwise(s, e, g, places)
        return
    if e in s.layouts.few:
        convolve_few(s, e, g, places)
        return
    by_pixel = _by_pixel(s, g.outputs.data[1], places[-1].data[1]) and g.stride[-1] == 1
    view_x = image(s, x, e.attributes["padding"], len(x.shape) - 1 if by_pixel else None)
    strides = view_x.strides
    parts = {g.n: strides[0], g.group: strides[1] * g.inputs.data[1], g.inputs: strides[1]}
    for q, r, st, d, stride in zip(places, g.kernel, g.stride, g.dilation, strides[2:], strict=True):
        parts[q], parts[r] = st * stride, d * stride
    offset = -sum(low * stride for low, stride in zip(g.low, strides[2:], strict=True))
    pixels = strided(view_x, parts, offset)
    channel = k.add(k.mul(g.group, expr.index(g.outputs.data[1])), g.outputs)
    at = (g.n, channel, *places)
    one, kind, batch = g.groups == 1, accumulator(e), (g.group,)
    if by_pixel:
        weights = plain_weights(s, w, g)
        view, sums = s.allocate(y), (g.inputs, *g.kernel)
        emit(s, e, weights, pixels, batch, (g.outputs,), (g.n, *places), sums, view, at, kind, one)
        return
    weights = forward_weights(s, w, g)
    view, sums = s.allocate(y), (*g.kernel, g.inputs)
    emit(s, e, pixels, weights, batch, (g.n, *places), (g.outputs,), sums, view, at, kind, one)


def _by_pixel(s: Scheduler, channels: int, width: int) -> bool:
    """Return whether the pixels of a row fill vectors clearly better than the channels of a pixel."""
    used = lambda n: n / max(-(-n // s.lanes) * s.lanes, 1)  # noqa: E731
    return channels < FEW and used(width) > 1.3 * used(channels)


def convolution_weight_gradient(s: Scheduler, e: Equation) -> None:
    """dw[o, c, r] = sum over b, q of dy[b, o, q] x[b, c, s q + d r - low]."""
    x, dy = e.inputs
    (dw,) = e.outputs
    g = geometry(e, x.shape[0], x.shape[1], dy.shape[1], dw.shape[2:])
    places = tuple(expr.axis(q) for q in dy.shape[2:])
    if e.attributes["groups"] > 1 and g.inputs.data[1] * g.outputs.data[1] < 16:
        _depthwise_weights(s, e, g, places)
        return
    joinable = g.groups == 1 and math.prod(dw.shape[2:]) == 1
    across = joinable and x.shape[1] >= FEW  # vectors along the weight's own order: its update joins the product
    bf16 = x.type.dtype.short == "bf16" and places[-1].data[1] > 1
    pixels = len(x.shape) - 1 if bf16 else None  # pairs of pixels are multiplied
    view_x = image(s, x, e.attributes["padding"], 1 if across else pixels)
    view_dy = image(s, dy, ((0, 0),) * len(places), pixels if across else 1)
    strides = view_x.strides
    parts = {g.n: strides[0], g.group: strides[1] * g.inputs.data[1], g.inputs: strides[1]}
    other = {g.n: view_dy.strides[0], g.group: view_dy.strides[1] * g.outputs.data[1], g.outputs: view_dy.strides[1]}
    for q, r, st, d, stride, out in zip(
        places, g.kernel, g.stride, g.dilation, strides[2:], view_dy.strides[2:], strict=True
    ):
        parts[q], parts[r], other[q] = st * stride, d * stride, out
    offset = -sum(low * stride for low, stride in zip(g.low, strides[2:], strict=True))
    left, right = strided(view_x, parts, offset), strided(view_dy, other, 0)
    channel = k.add(k.mul(g.group, expr.index(g.outputs.data[1])), g.outputs)
    at = (channel, g.inputs, *g.kernel)
    if joinable or dw in s.results:
        view = s.allocate(dw)
    else:  # vectors run along the output channels: an update in the weight's own order would be scattered
        gap = ((0, s.lanes), *((0, 0),) * (len(dw.shape) - 1))  # rows a power of 2 apart share few places in the cache
        view = s.views[dw] = placed(dw.shape, dw.type.dtype.short, (*range(1, len(dw.shape)), 0), gap)
    rows, columns = (*g.kernel, g.inputs), (g.outputs,)
    if across:
        left, right, rows, columns = right, left, columns, rows
    emit(s, e, left, right, (g.group,), rows, columns, (g.n, *places), view, at, accumulator(e), joinable)


def convolution_input_gradient(s: Scheduler, e: Equation) -> None:
    """dx[b, c, p] = sum over o, r and places q with s q + d r - low = p of w[o, c, r] dy[b, o, q].

    With stride s the places p of each remainder p mod s are a contraction of their own.
    """
    dy, w = e.inputs
    (dx,) = e.outputs
    g = geometry(e, dy.shape[0], dx.shape[1], dy.shape[1], w.shape[2:])
    if e.attributes["groups"] > 1 and g.inputs.data[1] * g.outputs.data[1] < 16:
        _depthwise_back(s, e, g)
        return
    by_pixel = _by_pixel(s, g.inputs.data[1], dx.shape[-1]) and all(x == 1 for x in g.stride)
    halo = gradient_halo(e.attributes["size"], dy.shape[2:], e, w.shape[2:])
    view_dy = image(s, dy, halo, len(dy.shape) - 1 if by_pixel else None)
    right = plain_weights(s, w, g) if by_pixel else backward_weights(s, w, g)
    view = s.allocate(dx)
    phases = [_phases(*rule) for rule in zip(dx.shape[2:], g.kernel, g.stride, g.low, g.dilation, strict=True)]
    one = all(len(p) == 1 for p in phases) and g.groups == 1
    covered = True
    for combination in itertools.product(*phases):
        if all(taps for _, _, taps in combination):
            _phase(s, e, g, view_dy, right, view, combination, one, by_pixel)
        else:
            covered = False
    if not covered:
        _fill_gaps(s, view, phases)


def _phases(n: int, r: Expr, stride: int, low: int, dilation: int) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """Return (first place, number of places, [(tap, place in dy of the first)]) for each remainder of the stride."""
    found = []
    for first in range(min(stride, n)):
        taps = []
        for tap in range(r.data[1]):
            shifted = first + low - dilation * tap
            if shifted % stride == 0:
                taps.append((tap, shifted // stride))
        found.append((first, len(range(first, n, stride)), taps))
    return found


def _phase(
    s: Scheduler,
    e: Equation,
    g: Geometry,
    dy: View,
    right: Operand,
    view: View,
    combination: Sequence[tuple[int, int, list[tuple[int, int]]]],
    joinable: bool,
    by_pixel: bool,
) -> None:
    places, taps, at = [], [], []
    channel = k.add(k.mul(g.group, expr.index(g.inputs.data[1])), g.inputs)
    parts = {g.n: dy.strides[0], g.group: dy.strides[1] * g.outputs.data[1], g.outputs: dy.strides[1]}
    other = {v: right.stride(v) for v in (g.group, g.outputs, g.inputs)}
    offset = other_offset = 0
    for (first, count, reached), r, stride, step in zip(combination, g.kernel, g.stride, dy.strides[2:], strict=True):
        place, tap = expr.axis(count), expr.axis(len(reached))
        places.append(place)
        taps.append(tap)
        at.append(k.add(k.mul(place, expr.index(stride)), expr.index(first)))
        offset += reached[0][1] * step
        other_offset += reached[0][0] * right.stride(r)
        parts[place] = step
        if len(reached) > 1:
            parts[tap] = (reached[1][1] - reached[0][1]) * step
            other[tap] = (reached[1][0] - reached[0][0]) * right.stride(r)
    left = strided(dy, parts, offset)
    packed_weights = Operand(right.buffer, right.offset + other_offset, {v: c for v, c in other.items() if c})
    rows, sums = (g.n, *places), (*taps, g.outputs)
    target = (g.n, channel, *at)
    if by_pixel:
        sums, kind = (g.outputs, *taps), accumulator(e)
        emit(s, e, packed_weights, left, (g.group,), (g.inputs,), rows, sums, view, target, kind, joinable)
        return
    emit(s, e, left, packed_weights, (g.group,), rows, (g.inputs,), sums, view, target, accumulator(e), joinable)


def _fill_gaps(s: Scheduler, view: View, phases: Sequence) -> None:
    """Write zeros where no window reaches (a stride above the kernel's size)."""
    for combination in itertools.product(*phases):
        if all(taps for _, _, taps in combination):
            continue
        fresh = [expr.axis(n) for n in view.shape[:2]]
        at: list[Expr] = list(fresh)
        for (first, count, _), stride_axis in zip(combination, range(len(combination)), strict=True):
            v = expr.axis(count)
            fresh.append(v)
            step = len(phases[stride_axis])
            at.append(k.add(k.mul(v, expr.index(step)), expr.index(first)))
        order = [fresh[a] for a in view.order if fresh[a].data[1] > 1]
        where = tuple(expr.index(0) if n == 1 else i for n, i in zip(view.shape, at, strict=True))
        zero = {v: expr.index(0) for v in fresh if v.data[1] == 1}
        where = tuple(expr.rebuild(i, zero.get) for i in where)
        s.merger.item(tuple(order), (), [Store(view, where, expr.constant(0, view.buffer.kind))], None)


# ---------------------------------------------------------------------------------------------------- few channels
def _reduce(
    s: Scheduler, value: Expr, outer: Sequence[Expr], summed: Sequence[Expr], view: View, at: Sequence[Expr]
) -> None:
    """Sum products by a loop kernel, channels side by side."""
    ones = fixed_axes([*outer, *summed])
    swap = lambda x: expr.rebuild(x, lambda p: ones.get(p))  # noqa: E731
    s.reduction("add", swap(value), loop_axes(outer), loop_axes(summed), view, tuple(swap(i) for i in at))


def _depthwise(s: Scheduler, e: Equation, g: Geometry, places: Sequence[Expr]) -> None:
    """Groups of few channels: each output is a short sum, neighbouring channels share a vector."""
    x, w = e.inputs
    (y,) = e.outputs
    out = expr.axis(y.shape[1])
    group, _ = k.divmod(out, g.outputs.data[1])
    view_x = image(s, x, e.attributes["padding"])
    source = k.add(k.mul(group, expr.index(g.inputs.data[1])), g.inputs)
    shifted = bordered(view_x, g.low, e.attributes["padding"])
    value = k.mul(
        k.cast(shifted.load((g.n, source, *window(g, places, g.kernel))), accumulator(e)),
        k.cast(tap_weights(s, w).load((out, g.inputs, *g.kernel)), accumulator(e)),
    )
    view = s.allocate(y)
    _reduce(s, value, (g.n, *places, out), (*g.kernel, g.inputs), view, (g.n, out, *places))


def _depthwise_weights(s: Scheduler, e: Equation, g: Geometry, places: Sequence[Expr]) -> None:
    """Sums over all places, those of a few taps together: the images are passed over once."""
    x, dy = e.inputs
    (dw,) = e.outputs
    out = expr.axis(dw.shape[0])
    group, _ = k.divmod(out, g.outputs.data[1])
    view_x, kind = image(s, x, e.attributes["padding"]), accumulator(e)
    shifted = bordered(view_x, g.low, e.attributes["padding"])
    one = k.cast(s.element(dy, (g.n, out, *places)), kind)
    taps, left = _together((*g.kernel, g.inputs))
    values: list[Expr] = []
    for tap in taps:
        source = k.add(k.mul(group, expr.index(g.inputs.data[1])), tap[-1])
        values.append(k.mul(k.cast(shifted.load((g.n, source, *window(g, places, tap[:-1]))), kind), one))
    view = s.allocate(dw)
    ones = fixed_axes([g.n, *places, *left, out])
    values = [expr.rebuild(v, ones.get) for v in values]
    targets = [tuple(expr.rebuild(i, ones.get) for i in (out, tap[-1], *tap[:-1])) for tap in taps]
    s.reductions("add", values, loop_axes((*left, out)), loop_axes((g.n, *places)), view, targets)


def _together(axes: Sequence[Expr]) -> tuple[list[tuple[Expr, ...]], tuple[Expr, ...]]:
    """Return the indices of taps whose sums registers hold, and the axes that are left to loops."""
    inside: list[Expr] = []
    left = list(axes)
    while left and math.prod(v.data[1] for v in (*inside, left[-1])) <= TAPS:
        inside.insert(0, left.pop())
    taps = itertools.product(*(range(v.data[1]) for v in inside))
    return [(*left, *map(expr.index, tap)) for tap in taps], tuple(left)


def _depthwise_back(s: Scheduler, e: Equation, g: Geometry) -> None:
    dy, w = e.inputs
    (dx,) = e.outputs
    channel = expr.axis(dx.shape[1])
    group, within = k.divmod(channel, g.inputs.data[1])
    halo = gradient_halo(e.attributes["size"], dy.shape[2:], e, w.shape[2:])
    view_dy, taps_w = image(s, dy, halo), tap_weights(s, w)
    view = s.allocate(dx)
    phases = [_phases(*rule) for rule in zip(dx.shape[2:], g.kernel, g.stride, g.low, g.dilation, strict=True)]
    shifted = bordered(view_dy, tuple(a for a, _ in halo), halo)
    out = k.add(k.mul(group, expr.index(g.outputs.data[1])), g.outputs)
    kind = accumulator(e)
    covered = True
    for combination in itertools.product(*phases):
        if not all(taps for _, _, taps in combination):
            covered = False
            continue
        fresh, taps, at, source, tap_at = [], [], [], [], []
        for (first, count, reached), stride, (low, _) in zip(combination, g.stride, halo, strict=True):
            place, tap = expr.axis(count), expr.axis(len(reached))
            step = (reached[1][0] - reached[0][0], reached[1][1] - reached[0][1]) if len(reached) > 1 else (0, 0)
            fresh.append(place)
            taps.append(tap)
            at.append(k.add(k.mul(place, expr.index(stride)), expr.index(first)))
            tap_at.append(k.add(k.mul(tap, expr.index(step[0])), expr.index(reached[0][0])))
            source.append(k.add(k.add(k.mul(tap, expr.index(step[1])), place), expr.index(reached[0][1] + low)))
        value = k.mul(
            k.cast(shifted.load((g.n, out, *source)), kind), k.cast(taps_w.load((out, within, *tap_at)), kind)
        )
        _reduce(s, value, (g.n, *fresh, channel), (*taps, g.outputs), view, (g.n, channel, *at))
    if not covered:
        _fill_gaps(s, view, phases)


FORMS: dict[str, Callable[[Scheduler, Equation], None]] = {
    "matmul": matmul,
    "convolution": convolution,
    "convolution_input_gradient": convolution_input_gradient,
    "convolution_weight_gradient": convolution_weight_gradient,
}

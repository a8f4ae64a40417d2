"""Where contractions find their operands: where values lie, or copied into the order that products read.

An operand is used where it lies if its strides are constant. Convolution weights are packed [group, kernel, in, out]
for the forward pass, and [group, kernel, out, in] for the gradient of the input, so that channels are the columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from chainrule.compiler import expr
from chainrule.compiler.expr import Expr, k
from chainrule.compiler.kernels import Buffer, Store, View, row_major
from chainrule.compiler.layouts import FEW, placed
from chainrule.core.graph import Equation, Variable

if TYPE_CHECKING:
    from chainrule.compiler.schedule import Scheduler

__all__ = [
    "Geometry",
    "Operand",
    "backward_weights",
    "bordered",
    "forward_weights",
    "geometry",
    "image",
    "fixed_axes",
    "operand",
    "packed",
    "loop_axes",
    "plain_weights",
    "strided",
    "tap_weights",
    "window",
]


class Operand(NamedTuple):
    """Where an operand's elements lie: a buffer, the place of the first, and a stride per axis variable."""

    buffer: Buffer
    offset: int
    strides: dict[Expr, int]

    def stride(self, v: Expr) -> int:
        """Return how far neighbours along an axis variable are apart."""
        return self.strides.get(v, 0)


def operand(s: Scheduler, element: Expr) -> Operand | None:
    """Return the strides of an element that is a plain load, or None."""
    if element.op != "load" or len(element.args) > len(element.data.shape):
        return None
    offset, factors = expr.terms(element.data.address(element.args))
    if any(v.op != "axis" for v in factors):
        return None
    return Operand(element.data.buffer, offset, factors)


def packed(s: Scheduler, axes: Sequence[Expr], element: Expr, walk: Sequence[Expr] | None = None) -> Operand:
    """Copy an operand into memory with its axes in the given order, and return it; `walk` is the order of the loops."""
    kind = element.kind
    extents = tuple(v.data[1] for v in axes)
    view = s.temporary(kind, extents)
    fresh = tuple(expr.index(0) if n == 1 else expr.axis(n) for n in extents)
    change = dict(zip(axes, fresh, strict=True))
    value = expr.rebuild(element, lambda e: change.get(e))
    loops = tuple(change[v] for v in walk or axes)
    s.copy(tuple(v for v in loops if v.op == "axis"), Store(view, fresh, value))
    return Operand(view.buffer, 0, dict(zip(axes, row_major(extents), strict=True)))


def loop_axes(variables: Sequence[Expr]) -> tuple[Expr, ...]:
    """Return the axes among some indices that are worth a loop."""
    return tuple(v for v in variables if v.op == "axis" and v.data[1] != 1)


def fixed_axes(variables: Sequence[Expr]) -> dict[Expr, Expr]:
    """Return the only index of each axis that has one place alone, to be put in its stead."""
    return {v: expr.index(0) for v in variables if v.data[1] == 1}


# ---------------------------------------------------------------------------------------------------- images
class Geometry(NamedTuple):
    """The axes of a convolution."""

    n: Expr
    groups: int
    group: Expr
    kernel: tuple[Expr, ...]
    inputs: Expr  # channels per group
    outputs: Expr  # channels per group
    stride: tuple[int, ...]
    low: tuple[int, ...]
    dilation: tuple[int, ...]


def geometry(e: Equation, batch: int, channels: int, out: int, kernel: Sequence[int]) -> Geometry:
    """Return fresh axis variables for a convolution."""
    groups = e.attributes["groups"]
    return Geometry(
        expr.axis(batch),
        groups,
        expr.axis(groups),
        tuple(expr.axis(x) for x in kernel),
        expr.axis(channels // groups),
        expr.axis(out // groups),
        e.attributes["stride"],
        tuple(low for low, _ in e.attributes["padding"]),
        e.attributes["dilation"],
    )


def image(s: Scheduler, v: Variable, halo: Sequence[tuple[int, int]], inner: int | None = None) -> View:
    """Return an image in memory with at least this border of zeros, and the axis `inner` side by side, if given."""
    n = len(v.shape)
    last = inner == 1 or (inner is None and v.shape[1] >= FEW)
    want = (0, *range(2, n), 1) if last else tuple(range(n))
    view = stored = s.views.get(v)
    have = ((0, 0),) * n if view is None else s.layouts.around(v, view)
    wide = all(a <= c and b <= d for (a, b), (c, d) in zip(halo, have[2:], strict=True))
    if view is not None and wide and (inner is None or view.strides[inner] == 1 or v.shape[inner] == 1):
        return view
    key = (v, last)
    known = s.layouts.copies.get(key)
    if known is not None:
        return known
    whole = ((0, 0), (0, 0), *s.layouts.halos.get(v, tuple(halo)))
    view = placed(v.shape, v.type.dtype.short, want, whole)
    border = s.layouts.zeros(view, whole)
    if border is not None:
        s.kernels.append(border)
    s.fill(view, lambda at: s.element(v, at), alone=stored is not None)  # a transposition in squares
    s.layouts.copies[key] = view
    return view


def strided(view: View, parts: dict[Expr, int], offset: int) -> Operand:
    """Return an operand from strides per axis variable; `offset` counts from the view's first element."""
    return Operand(view.buffer, view.offset + offset, {v: c for v, c in parts.items() if v.data[1] > 1})


def bordered(view: View, low: Sequence[int], padding: Sequence[tuple[int, int]]) -> View:
    """Return an image with its border as ordinary elements."""
    offset = view.offset - sum(a * st for a, st in zip(low, view.strides[2:], strict=True))
    shape = (*view.shape[:2], *(n + a + b for n, (a, b) in zip(view.shape[2:], padding, strict=True)))
    return View(view.buffer, shape, view.strides, offset)


def window(g: Geometry, places: Sequence[Expr], taps: Sequence[Expr]) -> list[Expr]:
    """Return where in a bordered image outputs read taps of the kernel, per spatial axis."""
    rules = zip(places, taps, g.stride, g.dilation, strict=True)
    return [k.add(k.mul(q, expr.index(st)), k.mul(r, expr.index(d))) for q, r, st, d in rules]


# ---------------------------------------------------------------------------------------------------- weights
def plain_weights(s: Scheduler, w: Variable, g: Geometry) -> Operand:
    """Return the weights where they lie, [out, in, kernel]."""
    element = _element(s, w, g)
    axes = loop_axes((g.group, g.outputs, g.inputs, *g.kernel))
    return operand(s, element) or packed(s, axes, element)


def forward_weights(s: Scheduler, w: Variable, g: Geometry) -> Operand:
    """Return the weights packed [group, kernel, in, out]."""
    view = _output_channels_last(s, w, g)
    return _operand(view, (g.group, *g.kernel, g.inputs, g.outputs))


def backward_weights(s: Scheduler, w: Variable, g: Geometry) -> Operand:
    """Return the weights for the gradient of the input, whose columns are the input channels.

    Those of 1x1 kernels lie so already; pairs of bfloat16 are packed by the product itself.
    """
    taps = math.prod(r.data[1] for r in g.kernel)
    if taps == 1:
        lying = operand(s, _element(s, w, g))
        if lying is not None and lying.stride(g.inputs) == 1:
            return lying
    if w.type.dtype.short == "bf16":
        return _operand(_output_channels_last(s, w, g), (g.group, *g.kernel, g.inputs, g.outputs))
    goal, walk = (g.group, *g.kernel, g.outputs, g.inputs), (g.group, g.outputs, *g.kernel, g.inputs)  # as weights lie
    return packed(s, loop_axes(goal), _element(s, w, g), loop_axes(walk))


def _operand(view: View, axes: Sequence[Expr]) -> Operand:
    strides = dict(zip(axes, row_major(view.shape), strict=True))
    return Operand(view.buffer, 0, {v: c for v, c in strides.items() if v.data[1] > 1})


def _element(s: Scheduler, w: Variable, g: Geometry) -> Expr:
    channel = k.add(k.mul(g.group, expr.index(g.outputs.data[1])), g.outputs)
    ones = fixed_axes((g.group, g.outputs, g.inputs, *g.kernel))
    return expr.rebuild(s.element(w, (channel, g.inputs, *g.kernel)), ones.get)


def _output_channels_last(s: Scheduler, w: Variable, g: Geometry) -> View:
    """Return a copy of the weights [group, kernel, in, out], made once.

    An output channel has its weights side by side, [in, kernel]: one axis to the copy, which so is a transposition.
    """
    key = (w, "output channels last")
    if key in s.layouts.copies:
        return s.layouts.copies[key]
    inputs, outputs, kernel = g.inputs.data[1], g.outputs.data[1], [r.data[1] for r in g.kernel]
    taps = math.prod(kernel)
    view = s.layouts.copies[key] = s.temporary(w.type.dtype.short, (g.groups, *kernel, inputs, outputs))
    flat = expr.axis(inputs * taps) if inputs * taps != 1 else expr.index(0)
    i, tap = k.divmod(flat, taps)
    inside = [tap]
    for n in reversed(kernel[1:]):
        inside[:1] = k.divmod(inside[0], n)
    element, side = _element(s, w, g), loop_axes((g.inputs, *g.kernel))
    value = expr.rebuild(element, lambda e: _along(e, side, flat))
    if value.free & set(side):
        value = expr.rebuild(element, dict(zip((g.inputs, *g.kernel), (i, *inside), strict=True)).get)
    ones = fixed_axes((g.group, g.outputs))
    group, out = ones.get(g.group, g.group), ones.get(g.outputs, g.outputs)
    goal = View(view.buffer, (g.groups, taps, inputs, outputs), row_major((g.groups, taps, inputs, outputs)))
    at = tuple(expr.index(0) if n == 1 else x for n, x in zip(goal.shape, (group, tap, i, out), strict=True))
    _copy(s, loop_axes((group, flat, out)), Store(goal, at, value))
    return view


def _along(e: Expr, side: Sequence[Expr], flat: Expr) -> Expr | None:
    """Return a load along one axis instead of axes that lie one in the other; None if they do not."""
    if e.op != "load" or len(e.args) > len(e.data.shape) or not side:
        return None
    offset, factors = expr.terms(e.data.address(e.args))
    if any(v.op != "axis" for v in factors):
        return None
    step = factors.get(side[-1], 0)
    counts = row_major([v.data[1] for v in side])
    if any(factors.get(v, 0) != step * n for v, n in zip(side, counts, strict=True)):
        return None
    others = [v for v in factors if v not in side]
    shape = (*(v.data[1] for v in others), flat.data[1])
    return View(e.data.buffer, shape, (*(factors[v] for v in others), step), offset).load((*others, flat))


def _copy(s: Scheduler, axes: tuple[Expr, ...], store: Store) -> None:
    """Write a copy: a transposition in square tiles where its extents are whole, by a kernel of its own."""
    if len(axes) > 1 and all(v.data[1] % s.lanes == 0 for v in axes[-2:]):
        s.merger.alone(axes, (), [store], None)
    else:
        s.copy(axes, store)


def tap_weights(s: Scheduler, w: Variable) -> View:
    """Return a copy of the weights of groups of few channels, the output channels side by side."""
    key = (w, "taps")
    if key not in s.layouts.copies:
        view = s.layouts.copies[key] = placed(w.shape, w.type.dtype.short, (*range(2, len(w.shape)), 1, 0))
        s.fill(view, lambda at: s.element(w, at))
    return s.layouts.copies[key]

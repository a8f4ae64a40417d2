"""Convolutions of few pixels with many weights: inference on one picture, the last layers of a network.

Vectors run along the output channels elsewhere, for which the weights are packed; in inference that copy is kept from
call to call, beside the user's own array. Where there are few pixels the copy is the larger operand by far. Then the
pixels are gathered instead, at each call: every tap of every channel becomes a row of all pixels,

    y[o, p] = sum over (c, r) of w[o, (c, r)] x[c, s p + d r - low]

which is a product of matrices whose left one is the weight as it lies, in its own order. For ResNet-18 on one picture
of 32 x 32 that is 33 of 45 MB less at the same speed: gathering costs what whole vectors gain.

Tried and left: 64 pixels (another 8 MB less) made ResNet-50 3 % and VGG-16 2 % slower; kernels of 1 x 1,
whose pixels are used once, made MobileNet 30 % slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.compiler import expr
from chainrule.compiler.expr import Expr, k
from chainrule.compiler.operands import (
    Geometry,
    Operand,
    bordered,
    fixed_axes,
    image,
    loop_axes,
    packed,
    plain_weights,
    window,
)
from chainrule.core.dtypes import float32
from chainrule.core.graph import Equation, Graph

if TYPE_CHECKING:
    from chainrule.compiler.schedule import Scheduler

__all__ = ["convolve_few", "few_pixels"]

MOST = 16  # pixels: one vector of AVX-512
MORE = 4  # output channels per pixel from which gathering pixels is small beside the sums
_GRADIENTS = frozenset(("convolution_input_gradient", "convolution_weight_gradient"))


def few_pixels(graph: Graph, lanes: int) -> set[Equation]:
    """Return the convolutions of a graph that gather their pixels.

    A graph that trains has none: gradients want the channels side by side, and its weights are packed at each step.

    Args:
        graph: after the passes.
        lanes: float32 lanes of the machine's vectors.
    """
    if any(e.primitive.name in _GRADIENTS for e in graph.equations):
        return set()
    return {e for e in graph.equations if e.primitive.name == "convolution" and _is_few(e, lanes)}


def _is_few(e: Equation, lanes: int) -> bool:
    """Return whether the pixels are few whole vectors, few beside the outputs, and each is used more than once."""
    x, w = e.inputs
    (y,) = e.outputs
    pixels = y.shape[0] * math.prod(y.shape[2:])
    one = e.attributes["groups"] == 1 and x.type.dtype == float32 == y.type.dtype
    whole = 0 < pixels <= MOST and pixels % lanes == 0
    return one and math.prod(w.shape[2:]) > 1 and whole and MORE * pixels <= y.shape[1]


def convolve_few(s: Scheduler, e: Equation, g: Geometry, places: Sequence[Expr]) -> None:
    """Append a convolution that gathers its pixels."""
    from chainrule.compiler.products import accumulator, emit

    x, w = e.inputs
    (y,) = e.outputs
    padding = e.attributes["padding"]
    axes = (g.inputs, *g.kernel, g.n, *places)
    tap = bordered(image(s, x, padding), g.low, padding).load((g.n, g.inputs, *window(g, places, g.kernel)))
    rows = packed(s, loop_axes(axes), expr.rebuild(tap, fixed_axes(axes).get))
    pixel = expr.axis(y.shape[0] * math.prod(y.shape[2:]))
    pixels = Operand(rows.buffer, 0, {**{v: rows.stride(v) for v in (g.inputs, *g.kernel)}, pixel: 1})
    weights, view = plain_weights(s, w, g), s.allocate(y)
    where: list[Expr] = []
    rest = pixel
    for size in reversed(y.shape[2:]):
        rest, last = k.divmod(rest, size)
        where.insert(0, last)
    target = (rest, g.outputs, *where)
    sums, kind = (g.inputs, *g.kernel), accumulator(e)
    emit(s, e, weights, pixels, (g.group,), (g.outputs,), (pixel,), sums, view, target, kind)

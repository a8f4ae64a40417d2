"""Layouts: in which order the axes of stored values lie in memory, and how wide a border of zeros they carry.

Convolutions run with the channels innermost (NHWC), whatever the user's NCHW says: values between convolutions, the
elementwise operations and windows beside them are stored so. Images of few channels keep their channels outside, and
their pixels lie side by side. What the user can see keeps the user's layout. An operand
that a convolution pads is stored with its zeros around it, so that kernels need no conditions at the edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from chainrule.compiler.kernels import Border, Buffer, View
from chainrule.core.graph import Equation, Graph, Variable
from chainrule.core.lowering import Contraction, Pointwise

__all__ = ["FEW", "Halo", "Layouts", "gradient_halo"]

FEW = 12  # channels below which an image keeps its channels outside: its pixels fill vectors better
Halo = tuple[tuple[int, int], ...]
_WINDOWED = frozenset(("window_sum", "window_spread", "window_pick", "window_place", "window_argmax"))


def gradient_halo(size: tuple[int, ...], out: tuple[int, ...], e: Equation, kernel: tuple[int, ...]) -> Halo:
    """Return the zeros around dy that the gradient of a convolution's input reads, per spatial axis."""
    found = []
    rules = zip(
        size, out, kernel, e.attributes["stride"], e.attributes["padding"], e.attributes["dilation"], strict=True
    )
    for n, o, kk, s, (low, _), d in rules:
        first = (low - d * (kk - 1)) // s
        last = (n - 1 + low) // s
        found.append((max(0, -first), max(0, last - (o - 1))))
    return tuple(found)


class Layouts:
    """Decides the layout of every stored value of a graph.

    Args:
        graph: the graph.
        is_native: whether an equation is compiled.
        few: convolutions that gather their pixels, whatever the layout.
    """

    def __init__(self, graph: Graph, is_native: Callable[[Equation], bool], few: Collection[Equation] = ()):
        self.few = few
        self.images: set[Variable] = set()
        self.halos: dict[Variable, Halo] = {}
        self.copies: dict[tuple, View] = {}  # images packed for convolutions
        self.places: dict[Variable, View] = {}  # values that lie where `place` said: with their border
        self.fixed = set(graph.inputs) | set(graph.outputs)
        native = [e for e in graph.equations if is_native(e)]
        for e in native:
            if isinstance(e.primitive.lower, Contraction) and e.primitive.name.startswith("convolution"):
                self._convolution(e)
            if e.primitive.name == "reshape":
                (x,), (y,) = e.inputs, e.outputs
                if [n for n in x.shape if n != 1] != [n for n in y.shape if n != 1]:
                    self.fixed.add(x)
        if self.images:
            self._spread(native)

    def _convolution(self, e: Equation) -> None:
        (y,) = e.outputs
        if e.primitive.name == "convolution":
            x, _w = e.inputs
            if e not in self.few:  # else the pixels of a channel are written side by side
                self.images |= {x, y}
            self._widen(x, e.attributes["padding"])
        elif e.primitive.name == "convolution_weight_gradient":
            x, dy = e.inputs
            self.images |= {x, dy}
            self._widen(x, e.attributes["padding"])
        else:
            dy, w = e.inputs
            self.images |= {dy, y}
            self._widen(dy, gradient_halo(e.attributes["size"], dy.shape[2:], e, w.shape[2:]))

    def _widen(self, v: Variable, halo: Halo) -> None:
        old = self.halos.get(v, ((0, 0),) * len(halo))
        self.halos[v] = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(old, halo, strict=True))

    def _spread(self, native: list[Equation]) -> None:
        """Let elementwise operations and windows keep the layout of their neighbours."""
        changed = True
        while changed:
            before = len(self.images)
            for e in native:
                windowed = e.primitive.name in _WINDOWED
                if windowed or isinstance(e.primitive.lower, Pointwise):
                    group = [v for v in (*e.inputs, *e.outputs) if len(v.shape) == len(e.outputs[0].shape)]
                    same = group if windowed else [v for v in group if v.shape == e.outputs[0].shape]
                    if len(e.outputs[0].shape) >= 3 and any(v in self.images for v in same):
                        self.images.update(same)
            changed = len(self.images) > before

    def order(self, v: Variable) -> tuple[int, ...]:
        """Return the axes of a value from the outermost to the innermost in memory."""
        n = len(v.shape)
        if v in self.images and v not in self.fixed and v.shape[1] >= FEW:
            return (0, *range(2, n), 1)
        return tuple(range(n))

    def halo(self, v: Variable) -> Halo | None:
        """Return the border of a stored value, per axis; None without one."""
        spatial = self.halos.get(v)
        if spatial is None or v in self.fixed or not any(a or b for a, b in spatial):
            return None
        return ((0, 0), (0, 0), *spatial)

    def place(self, v: Variable, kind: str) -> View:
        """Return a new place for a value."""
        self.places[v] = placed(v.shape, kind, self.order(v), self.halo(v))
        return self.places[v]

    def around(self, v: Variable, view: View) -> Halo:
        """Return the zeros that lie around a value in memory; a reshape of another value has none."""
        return (self.halo(v) if self.places.get(v) is view else None) or ((0, 0),) * len(v.shape)

    def border(self, v: Variable, view: View) -> Border | None:
        """Return the kernel that writes the zeros around a value, or None."""
        return self.zeros(view, self.halo(v))

    @staticmethod
    def zeros(view: View, halo: Halo | None) -> Border | None:
        """Return the kernel that writes zeros around a view, or None where it has no border."""
        return Border(view=view, halo=halo) if halo is not None and any(a or b for a, b in halo) else None


def placed(shape: tuple[int, ...], kind: str, order: tuple[int, ...], halo: Halo | None = None) -> View:
    """Return a view of a new buffer with the axes in an order and a border of zeros around them."""
    halo = halo or ((0, 0),) * len(shape)
    full = [n + a + b for n, (a, b) in zip(shape, halo, strict=True)]
    strides = [0] * len(shape)
    step = 1
    for a in reversed(order):
        strides[a] = step
        step *= full[a]
    offset = sum(low * s for (low, _), s in zip(halo, strides, strict=True))
    return View(Buffer(kind, math.prod(full)), shape, tuple(strides), offset)

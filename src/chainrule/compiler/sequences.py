"""Operations whose turns depend on one another: scatters, running sums, and the positions of extremes.

A scatter copies its tensor, then takes the updates one after the other for each slice of the result that no other
shares: the order of additions follows from shapes alone, whatever the number of threads. A running sum goes along its
axis and is spread over vectors along another. The position of the largest element is two reductions: the largest, then
the first place that holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chainrule.compiler import expr
from chainrule.compiler.expr import Expr, apply, k
from chainrule.compiler.kernels import Sequence, Store, View
from chainrule.core.graph import Equation, Variable

if TYPE_CHECKING:
    from chainrule.compiler.schedule import Scheduler

__all__ = ["FORMS"]

BLOCKS = (64, 32, 16)  # neighbours of a slice that one thread may take
Index = list[Expr]


def _axes(shape: tuple[int, ...]) -> Index:
    return [expr.index(0) if n == 1 else expr.axis(n) for n in shape]


def _loops(indices: Index) -> tuple[Expr, ...]:
    return tuple(i for i in indices if i.op == "axis")


def _emit(
    s: Scheduler, e: Equation, outer: tuple[Expr, ...], turns: tuple[Expr, ...], lane: Expr, store: Store
) -> None:
    """Append the kernel; without a lane that is an axis, its vectors have one element."""
    lane = lane if lane.op == "axis" else expr.axis(1)
    s.merger.apart(Sequence([e], outer=outer, turns=(*turns, lane), store=store), [store.view.buffer])


def _result(s: Scheduler, e: Equation) -> tuple[View, Callable[[], None]]:
    """Return where the result is computed, and what brings it to its place: bfloat16 is computed in float32."""
    view = s.allocate(e.outputs[0])
    if view.buffer.kind != "bf16":
        return view, lambda: None
    wide = s.temporary("f32", view.shape)
    return wide, lambda: s.fill(view, lambda at: k.cast(wide.load(at), "bf16"))


def _copied(s: Scheduler, view: View, x: Variable) -> None:
    s.fill(view, lambda at: k.cast(s.element(x, at), view.buffer.kind))


def _combined(how: str, old: Expr, new: Expr) -> Expr:
    new = k.cast(new, old.kind)
    return new if how == "set" else apply(how, old.kind, old, new)


# ---------------------------------------------------------------------------------------------------- scatters
def _scatter(how: str) -> Callable[[Scheduler, Equation], None]:
    """Return the form of scatter_add and scatter_set: y[i(b), r] combined with updates[b, r], b by b."""

    def form(s: Scheduler, e: Equation) -> None:
        x, indices, updates = e.inputs
        axes = e.attributes["axes"]
        rows = s.in_memory(indices)
        view, finish = _result(s, e)
        _copied(s, view, x)
        batch = _axes(indices.shape[1:])
        rest = [a for a in range(len(x.shape)) if a not in axes]
        own = _axes(tuple(x.shape[a] for a in rest))
        outer, lane = list(_loops(own)), expr.index(0)
        if rest and own[-1].op == "axis":
            n = x.shape[rest[-1]]
            lane = outer.pop()
            block = next((w for w in BLOCKS if n % w == 0 and n > w), None)
            if block is not None:
                part, lane = expr.axis(n // block), expr.axis(block)
                own[-1] = k.add(k.mul(part, expr.index(block)), lane)
                outer.append(part)
        picked = {a: k.position(rows.load((expr.index(j), *batch)), x.shape[a]) for j, a in enumerate(axes)}
        places = dict(zip(rest, own, strict=True)) | picked
        at = tuple(places[a] for a in range(len(x.shape)))
        value = _combined(how, view.load(at), s.element(updates, (*batch, *own)))
        _emit(s, e, tuple(outer), _loops(batch), lane, Store(view, at, value))
        finish()

    return form


def _along(how: str) -> Callable[[Scheduler, Equation], None]:
    """Return the form of add_along and its kin: y[r, i[r, j]] combined with updates[r, j], j by j."""

    def form(s: Scheduler, e: Equation) -> None:
        x, indices, updates = e.inputs
        axis = e.attributes["axis"]
        rows = s.in_memory(indices)
        view, finish = _result(s, e)
        _copied(s, view, x)
        here = _axes(indices.shape)
        outer, lane = _split(here, axis)
        index = rows.load(tuple(here))
        place = k.position(k.check(k.ge(index, 0), index), x.shape[axis])
        at = tuple(place if a == axis else i for a, i in enumerate(here))
        value = _combined(how, view.load(at), s.element(updates, tuple(here)))
        _emit(s, e, outer, _loops([here[axis]]), lane, Store(view, at, value))
        finish()

    return form


def _split(here: Index, axis: int) -> tuple[tuple[Expr, ...], Expr]:
    """Return the axes apart from one as those that threads split, and the last as the one along vectors."""
    others = [i for a, i in enumerate(here) if a != axis]
    if axis == len(here) - 1 or not others:
        return _loops(others), expr.index(0)
    return _loops(others[:-1]), others[-1]


# ---------------------------------------------------------------------------------------------------- running along
def _running(how: str) -> Callable[[Scheduler, Equation], None]:
    """Return the form of a running sum or product: y_i = y_(i-1) combined with x_i."""

    def form(s: Scheduler, e: Equation) -> None:
        (x,) = e.inputs
        axis = e.attributes["axis"]
        view, finish = _result(s, e)
        at = _axes(x.shape)
        outer, lane = _split(at, axis)
        new = k.cast(s.element(x, at), view.buffer.kind)
        old, first = _before(view, at, axis)
        value = k.select(first, new, _combined(how, old, new))
        _emit(s, e, outer, _loops([at[axis]]), lane, Store(view, tuple(at), value))
        finish()

    return form


def _before(view: View, at: Index, axis: int) -> tuple[Expr, Expr]:
    """Return the result one place earlier, and whether there is none."""
    first = k.eq(at[axis], 0)
    return view.load(tuple(k.sub(i, 1) if a == axis else i for a, i in enumerate(at)), k.invert(first)), first


def _running_position(compare: str) -> Callable[[Scheduler, Equation], None]:
    """Return the form of the position of the latest extreme element so far; a NaN counts as that."""

    def form(s: Scheduler, e: Equation) -> None:
        (x,) = e.inputs
        axis = e.attributes["axis"]
        values = s.in_memory(x)
        view = s.allocate(e.outputs[0])
        at = _axes(x.shape)
        outer, lane = _split(at, axis)
        old, first = _before(view, at, axis)
        held = k.position(old, x.shape[axis])
        best = values.load(tuple(held if a == axis else i for a, i in enumerate(at)))
        new, best = (k.cast(v, "f32") if v.kind == "bf16" else v for v in (values.load(tuple(at)), best))
        better = k.compare(compare, new, best)
        if new.is_float:
            better = k.either(better, k.ne(new, new))
        here = k.cast(at[axis], "i64")
        value = k.select(k.either(first, better), here, old)
        _emit(s, e, outer, _loops([at[axis]]), lane, Store(view, tuple(at), value))

    return form


# ---------------------------------------------------------------------------------------------------- extremes
def _extreme(combine: str) -> Callable[[Scheduler, Equation], None]:
    """Return the form of argmax and argmin: the first place that holds the extreme, or a NaN."""

    def form(s: Scheduler, e: Equation) -> None:
        (x,) = e.inputs
        axis = e.attributes["axis"]
        values = s.in_memory(x)
        at = _axes(x.shape)
        kept = tuple(i for a, i in enumerate(at) if a != axis)
        value = values.load(tuple(at))
        value = k.cast(value, "f32") if value.kind == "bf16" else value
        best = s.temporary(value.kind, e.outputs[0].shape)
        outer, summed = _loops(list(kept)), _loops([at[axis]])
        s.reduction(combine, value, outer, summed, best, kept)
        hit = k.eq(value, best.load(kept))
        if value.is_float:
            hit = k.either(hit, k.ne(value, value))
        place = k.select(hit, k.cast(at[axis], "i32"), k.const(x.shape[axis], "i32"))
        s.reduction("min", place, outer, summed, s.allocate(e.outputs[0]), kept)

    return form


FORMS: dict[str, Callable[[Scheduler, Equation], None]] = {
    "scatter_add": _scatter("add"),
    "scatter_set": _scatter("set"),
    "add_along": _along("add"),
    "max_along": _along("max"),
    "min_along": _along("min"),
    "cumulative_sum": _running("add"),
    "cumulative_prod": _running("mul"),
    "cumulative_argmax": _running_position("ge"),
    "cumulative_argmin": _running_position("le"),
    "argmax": _extreme("max"),
    "argmin": _extreme("min"),
}

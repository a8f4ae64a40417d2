"""Merging: where a stored value or a sum is computed.

An item is a loop nest over `axes` (independent points) and `summed`, with its statements. It joins an earlier kernel if
everything it reads from that kernel is at the same outer point, so that no thread waits for another inside a kernel;
values that are still in registers are used from there. Otherwise it becomes a kernel of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from chainrule.compiler import expr
from chainrule.compiler.expr import Expr
from chainrule.compiler.kernels import Buffer, Kernel, Loops, Product, Stage, Store, Sum, View

if TYPE_CHECKING:
    from chainrule.compiler.schedule import Scheduler

__all__ = ["Merger"]

TRIES = 12  # kernels that an item may look back on
SERIAL = 4096  # points that one thread may compute alone
Statements = list[Store | Sum]


class Merger:
    """Places items into the kernels of a scheduler."""

    def __init__(self, scheduler: Scheduler):
        self.scheduler = scheduler
        self.kernels = scheduler.kernels
        self.position: dict[Buffer, int] = {}
        self.known: dict[Kernel, dict[Expr, tuple[Expr, Stage | None]]] = {}  # loads whose value is still at hand
        self.stores: dict[Kernel, dict[Buffer, list[tuple[Store, Stage | None]]]] = {}
        self.made_in: dict[Expr, Stage] = {}  # the stage that finishes a sum

    # ------------------------------------------------------------------------------------------------ entry points
    def item(
        self, axes: tuple[Expr, ...], summed: tuple[Expr, ...], statements: Statements, lanes: Expr | None
    ) -> None:
        """Compute the statements over the axes; `lanes` is the axis of a sum's neighbours in a vector."""
        latest = max((self.position.get(b, -1) for b in _read(statements)), default=-1)
        number = len(self.kernels)
        recent = [latest, *range(number - 1, max(latest, number - TRIES), -1)]
        small = math.prod(a.data[1] for a in (*axes, *summed)) <= SERIAL
        for p in dict.fromkeys(recent):
            if p < self.scheduler.floor:
                continue
            kernel = self.kernels[p]
            if isinstance(kernel, Product):
                joined = not summed and p == latest and self._epilogue(kernel, statements)
            elif isinstance(kernel, Loops) and (p == latest or small or _shared(kernel, statements)):
                joined = self._join(kernel, axes, summed, statements, lanes)
            else:
                joined = False
            if joined:
                self._note(kernel, p, statements)
                return
        self.alone(axes, summed, statements, lanes)

    def product(self, kernel: Product) -> None:
        """Append a contraction whose epilogue stores its result."""
        self.kernels.append(kernel)
        self.known[kernel], self.stores[kernel] = {}, {}
        for s in kernel.epilogue:
            self._remember(kernel, s, None)
        self._note(kernel, len(self.kernels) - 1, list(kernel.epilogue))

    def apart(self, kernel: Kernel, writes: list[Buffer]) -> None:
        """Append a kernel that nothing joins."""
        self.kernels.append(kernel)
        self.position.update(dict.fromkeys(writes, len(self.kernels) - 1))

    def _note(self, kernel: Kernel, position: int, statements: Statements) -> None:
        equation = self.scheduler.equation
        if equation is not None and equation not in kernel.equations:
            kernel.equations.append(equation)
        for s in statements:
            if isinstance(s, Store):
                self.position[s.view.buffer] = max(position, self.position.get(s.view.buffer, -1))

    def _remember(self, kernel: Kernel, s: Store, stage: Stage | None) -> None:
        self.known[kernel][s.view.load(s.at)] = (s.value, stage)
        self.stores[kernel].setdefault(s.view.buffer, []).append((s, stage))

    # ------------------------------------------------------------------------------------------------ on its own
    def alone(
        self, axes: tuple[Expr, ...], summed: tuple[Expr, ...], statements: Statements, lanes: Expr | None
    ) -> None:
        """Compute the statements in a kernel of their own."""
        kernel = Loops()
        self.kernels.append(kernel)
        self.known[kernel], self.stores[kernel] = {}, {}
        if summed or any(isinstance(s, Sum) for s in statements):
            kernel.outer, kernel.lanes = axes, lanes
            self._put_sum(kernel, summed, statements, 0)
        else:
            kernel.outer = axes[:-1]
            stage = Stage(axes[-1:], statements)
            kernel.stages.append(stage)
            for s in statements:
                self._remember(kernel, s, stage)  # type: ignore[arg-type]
        self._note(kernel, len(self.kernels) - 1, statements)

    def _put_sum(self, kernel: Loops, summed: tuple[Expr, ...], statements: Statements, start: int) -> None:
        """Put sums into the first stage from `start` on with such axes, or a new one; their stores come after it."""
        sums = [s for s in statements if isinstance(s, Sum)]
        stage = self._stage(kernel, summed, start)
        for s in sums:
            stage.statements.append(s)
            self.made_in[s.symbol] = stage
        after = self._stage(kernel, (), kernel.stages.index(stage) + 1)
        for store in [s for s in statements if isinstance(s, Store)]:
            after.statements.append(store)
            self._remember(kernel, store, None)

    @staticmethod
    def _stage(kernel: Loops, axes: tuple[Expr, ...], start: int) -> Stage:
        for stage in kernel.stages[start:]:
            if len(stage.axes) == len(axes) and all(a is b for a, b in zip(stage.axes, axes, strict=True)):
                return stage
        kernel.stages.append(Stage(axes))
        return kernel.stages[-1]

    # ------------------------------------------------------------------------------------------------ an epilogue
    def _epilogue(self, kernel: Product, statements: Statements) -> bool:
        (store,) = statements
        assert isinstance(store, Store)
        first = kernel.epilogue[0]
        if not kernel.joinable or store.view.shape != first.view.shape:
            return False
        change = {i: j for i, j in zip(store.at, first.at, strict=True) if i.op == "axis"}
        known = self.known[kernel]
        value = expr.rebuild(store.value, lambda e: change.get(e))
        value = expr.rebuild(value, lambda e: known[e][0] if e in known else None)
        if any(b in self.stores[kernel] for b in _loaded([value])):
            return False
        if any(p.op == "check" for p in expr.walk([value])):
            return False
        store.at, store.value = first.at, value
        kernel.epilogue.append(store)
        self._remember(kernel, store, None)
        return True

    # ------------------------------------------------------------------------------------------------ a loop kernel
    def _join(
        self,
        kernel: Loops,
        axes: tuple[Expr, ...],
        summed: tuple[Expr, ...],
        statements: Statements,
        lanes: Expr | None,
    ) -> bool:
        sums = any(isinstance(s, Sum) for s in statements)
        if sums and (lanes is None) != (kernel.lanes is None):
            return False
        if kernel.lanes is not None and not sums and len(axes) != len(kernel.outer):
            return False
        plain = kernel.lanes is None and _is_plain(kernel)
        full = (*kernel.outer, *kernel.stages[0].axes) if plain else kernel.outer
        rank = len(axes) if sums or not plain else _common(full, axes)
        if not plain and not sums:
            rank = len(kernel.outer)
        if rank > len(axes) or rank > len(full) or (not plain and rank != len(kernel.outer)):
            return False
        if any(a.data[1] != b.data[1] for a, b in zip(full[:rank], axes[:rank], strict=True)):
            return False
        same_domain = plain and not sums and rank == len(full) == len(axes)
        size = math.prod(a.data[1] for a in (*axes, *summed))
        own = math.prod(a.data[1] for a in full) * max(math.prod(a.data[1] for a in s.axes) for s in kernel.stages)
        points = math.prod(a.data[1] for a in full[:rank])
        if not same_domain and points < 8 and max(size, own) > SERIAL:
            return False
        change = dict(zip(axes[:rank], full[:rank], strict=True))
        inner = (*axes[rank:], *summed)
        outer = full[:rank]
        return self._place(kernel, outer, inner, change, statements, plain, same_domain, sums)

    def _place(
        self,
        kernel: Loops,
        outer: tuple[Expr, ...],
        inner: tuple[Expr, ...],
        change: dict[Expr, Expr],
        statements: Statements,
        plain: bool,
        same_domain: bool,
        sums: bool,
    ) -> bool:
        known, stores = self.known[kernel], self.stores[kernel]
        if same_domain:
            inner = kernel.stages[0].axes
            outer = kernel.outer
        changed = [_changed(s, change) for s in statements]
        at_hand = {e: v for e, (v, stage) in known.items() if stage is None}
        changed = [_changed(s, at_hand) for s in changed]
        best = None
        for number, stage in enumerate(kernel.stages):  # a stage with such axes in which all that is read is at hand
            axes = stage.axes if not plain or same_domain else (*kernel.outer, *stage.axes)[len(outer) :]
            if not inner or [a.data[1] for a in axes] != [a.data[1] for a in inner]:
                continue
            inside = [_changed(s, dict(zip(inner, axes, strict=True))) for s in changed]
            here = {e: v for e, (v, s) in known.items() if s is stage}
            inside = [_changed(s, here) for s in inside]
            if self._allowed(kernel, inside, number, outer, stores):
                best = (number, stage, inside)
                break
        if best is None and not all(self._aligned(p, outer, stores) for p in _loads(changed)):
            return False
        if plain and not same_domain:
            kernel.stages = [Stage((*kernel.outer, *s.axes)[len(outer) :], s.statements) for s in kernel.stages]
            moved = dict(zip(_old_stages(known), kernel.stages, strict=False))
            self._moved(kernel, moved)
            kernel.outer = outer
            if best is not None:
                best = (best[0], kernel.stages[best[0]], best[2])
        if best is not None:
            _, stage, inside = best
            self._into(kernel, stage, statements, inside, sums)
            return True
        if sums:
            for s, c in zip(statements, changed, strict=True):
                _copy(s, c)
            self._put_sum(kernel, inner, statements, len(kernel.stages))
            return True
        start = 0 if not inner else len(kernel.stages)
        if not inner:
            start = 1 + max((self._stage_of(kernel, s) for s in changed), default=-1)
        stage = self._stage(kernel, inner, start)
        self._into(kernel, stage, statements, changed, False)
        return True

    def _into(self, kernel: Loops, stage: Stage, statements: Statements, inside: Statements, sums: bool) -> None:
        for s, c in zip(statements, inside, strict=True):
            _copy(s, c)
        if sums:
            self._put_sum(kernel, stage.axes, statements, kernel.stages.index(stage))
            return
        for s in statements:
            stage.statements.append(s)
            self._remember(kernel, s, stage if stage.axes else None)  # type: ignore[arg-type]

    def _moved(self, kernel: Loops, moved: dict[Stage, Stage]) -> None:
        self.known[kernel] = {e: (v, s if s is None else moved.get(s, s)) for e, (v, s) in self.known[kernel].items()}
        self.stores[kernel] = {
            b: [(x, s if s is None else moved.get(s, s)) for x, s in items] for b, items in self.stores[kernel].items()
        }

    def _allowed(
        self,
        kernel: Loops,
        inside: Statements,
        number: int,
        outer: tuple[Expr, ...],
        stores: dict[Buffer, list[tuple[Store, Stage | None]]],
    ) -> bool:
        """Return whether statements may stand in a stage: all that they read was finished in an earlier one."""
        if self._last_sum(kernel, inside) >= number:
            return False
        for part in _loads(inside):
            for _, stage in stores.get(part.data.buffer, ()):
                if stage is None or kernel.stages.index(stage) >= number:
                    return False
        return all(self._aligned(p, outer, stores) for p in _loads(inside))

    def _last_sum(self, kernel: Loops, statements: Statements) -> int:
        """Return the number of the last stage whose sums are used; -1 without any."""
        last = -1
        for s in statements:
            for symbol in s.value.free:
                stage = self.made_in.get(symbol)
                if stage is not None:
                    last = max(last, _index(kernel.stages, stage))
        return last

    def _stage_of(self, kernel: Loops, s: Store | Sum) -> int:
        """Return the number of the last stage that a statement needs."""
        last = self._last_sum(kernel, [s])
        for part in _loads([s]):
            for _, stage in self.stores[kernel].get(part.data.buffer, ()):
                last = max(last, len(kernel.stages) if stage is None else _index(kernel.stages, stage))
        return last

    def _aligned(
        self, part: Expr, outer: tuple[Expr, ...], stores: dict[Buffer, list[tuple[Store, Stage | None]]]
    ) -> bool:
        """Return whether a load reads what the same outer point stored."""
        for store, _ in stores.get(part.data.buffer, ()):
            mine, theirs = _squeezed(part.data), _squeezed(store.view)
            if mine != theirs:
                return False
            left = [a for a, n in zip(part.args, part.data.shape, strict=False) if n != 1]
            right = [a for a, n in zip(store.at, store.view.shape, strict=True) if n != 1]
            owned = [b for b in right if any(b is v for v in outer)]
            if len(owned) != len(outer):
                return False
            if any(a is not b for a, b in zip(left, right, strict=True) if any(b is v for v in outer)):
                return False
        return True


# ---------------------------------------------------------------------------------------------------- small parts
def _shared(kernel: Loops, statements: Statements) -> bool:
    """Return whether statements read large memory that a kernel touches too: then one pass serves both."""
    mine = {b for b in _read(statements) if b.size > SERIAL}
    if not mine:
        return False
    touched = {s.view.buffer for s in kernel.statements() if isinstance(s, Store)}
    return bool(mine & touched) or bool(mine & set(_read(list(kernel.statements()))))


def _is_plain(kernel: Loops) -> bool:
    """Return whether a kernel is one loop nest of stores."""
    return len(kernel.stages) == 1 and not any(isinstance(s, Sum) for s in kernel.stages[0].statements)


def _old_stages(known: dict[Expr, tuple[Expr, Stage | None]]) -> list[Stage]:
    return list(dict.fromkeys(s for _, s in known.values() if s is not None))


def _common(a: tuple[Expr, ...], b: tuple[Expr, ...]) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x.data[1] != y.data[1]:
            break
        count += 1
    return count


def _index(stages: list[Stage], stage: Stage) -> int:
    return next((i for i, s in enumerate(stages) if s is stage or s.statements is stage.statements), -1)


def _changed(s: Store | Sum, change: dict[Expr, Expr]) -> Store | Sum:
    if not change:
        return s
    done: dict[Expr, Expr] = {}
    swap = lambda e: expr.rebuild(e, lambda p: change.get(p), done)  # noqa: E731
    if isinstance(s, Sum):
        return Sum(s.symbol, s.combine, swap(s.value))
    return Store(s.view, tuple(swap(i) for i in s.at), swap(s.value))


def _copy(s: Store | Sum, made: Store | Sum) -> None:
    s.value = made.value
    if isinstance(s, Store) and isinstance(made, Store):
        s.at = made.at


def _loads(statements: Statements) -> list[Expr]:
    return [p for p in expr.walk(s.value for s in statements) if p.op == "load"]


def _loaded(values: list[Expr]) -> list[Buffer]:
    return [p.data.buffer for p in expr.walk(values) if p.op == "load"]


def _read(statements: Statements) -> list[Buffer]:
    return [p.data.buffer for p in _loads(statements)]


def _squeezed(view: View) -> tuple:
    kept = [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
    return tuple(kept), view.offset

"""The schedule: which values are stored, and which loops compute them.

Equations are taken in order. A pointwise value is written into its consumers unless it is needed in memory: a result of
the step, an operand of a contraction or of a call, or something dear with several consumers. What is stored becomes an
item, and an item joins an earlier kernel where it can: the epilogue of the product that it reads, or a loop kernel over
the same outer space. Reductions keep their outer space: rows stay in cache while they are summed and used again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.compiler import expr
from chainrule.compiler.costs import weight
from chainrule.compiler.expr import Expr, apply, identity, k
from chainrule.compiler.few_pixels import few_pixels
from chainrule.compiler.kernels import Buffer, Call, Kernel, Program, Store, Sum, View, row_major
from chainrule.compiler.layouts import Layouts
from chainrule.compiler.masks import narrow_masks
from chainrule.compiler.merging import Merger
from chainrule.compiler.recomputation import without_barriers
from chainrule.compiler.unread import without_unread
from chainrule.core.dtypes import dtype_of, float32
from chainrule.core.graph import Equation, Graph, Variable
from chainrule.core.lowering import Contraction, Fold, IndexMap, Loop, Pointwise, Reduction

__all__ = ["NATIVE", "Access", "Scheduler", "schedule"]

NATIVE = frozenset(("f32", "f64", "bf16", *expr.BITS))  # dtypes that kernels compute with; complex numbers call back
DEEP, DEAR, LARGE = 24, 6, 160  # operations in a row, worth storing once, too much to repeat
TERMS = 16  # of a fold that are written out
SPLIT = 8192  # elements that are summed in parts when few sums go on at once


def schedule(graph: Graph, lanes: int, takes: Mapping[int, int] | None = None) -> Program:
    """Return the kernels of a graph.

    Args:
        graph: after the passes.
        lanes: float32 lanes of the machine's vectors.
        takes: which output may take over the memory of which input.

    Returns:
        The program; its arena is not planned yet.
    """
    return Scheduler(graph, lanes, takes or {}).run()


class Access:
    """An input of an index map: called with indices it gives the element there."""

    def __init__(self, scheduler: Scheduler, variable: Variable, where: Expr | None, wide: bool):
        self.scheduler, self.variable, self.where, self.wide = scheduler, variable, where, wide
        self.shape, self.ndim, self.size = variable.shape, len(variable.shape), variable.size
        self.kind, self.dtype = ("f32", float32) if wide else (kind_of(variable), variable.type.dtype)

    def __call__(self, *at: Expr, where: Expr | None = None) -> Expr:
        if where is None or (where.op == "const" and where.data):
            where = self.where
        elif self.where is not None:
            where = k.both(where, self.where)
        value = self.scheduler.element(self.variable, at, where)
        return k.cast(value, "f32") if self.wide else value


def kind_of(v: Variable) -> str:
    """Return the kind of a variable's elements."""
    return dtype_of(v.dtype).short


class Scheduler:
    """Makes a program of a graph; see the module's docstring."""

    def __init__(self, graph: Graph, lanes: int, takes: Mapping[int, int]):
        self.again = without_barriers(narrow_masks(graph))
        graph = self.again.graph
        self.graph, self.lanes, self.takes = graph, lanes, takes
        self.floors: dict[Variable, int] = {}  # values that read through a barrier: the first kernel they may join
        self.floor = 0  # of the equation at hand
        self.made = {v: e for e in graph.equations for v in e.outputs}
        self.users: dict[Variable, int] = {}
        for e in graph.equations:
            for v in dict.fromkeys(e.inputs):
                self.users[v] = self.users.get(v, 0) + 1
        self.results = set(graph.outputs)
        self.kernels: list[Kernel] = []
        self.views: dict[Variable, View] = {}
        self.constants: list[tuple[Buffer, Variable]] = []
        self.cost: dict[Variable, tuple[int, int, int]] = {}  # operations, loads and depth of what is written inline
        self.memo: dict[tuple, tuple] = {}
        self.equation: Equation | None = None
        self.layouts = Layouts(graph, self.is_native, few_pixels(graph, lanes))
        self.needed = self._needed()
        self.merger = Merger(self)
        self.inputs = []
        for i, v in enumerate(graph.inputs):
            buffer = Buffer(kind_of(v), v.size, "input", i)
            self.inputs.append(buffer)
            self.views[v] = View(buffer, v.shape, row_major(v.shape))

    # ------------------------------------------------------------------------------------------------ what is stored
    def is_native(self, e: Equation) -> bool:
        """Return whether an equation is compiled; the others call their references."""
        if e.primitive.lower is None:
            return False
        if isinstance(e.primitive.lower, Contraction) and not e.inputs[0].type.dtype.is_float:
            return False
        return all(kind_of(v) in NATIVE for v in (*e.inputs, *e.outputs))

    def _needed(self) -> set[Variable]:
        """Return the values that must lie in memory whatever they cost."""
        needed: set[Variable] = set()
        for e in self.graph.equations:
            lower = e.primitive.lower
            if not self.is_native(e):
                needed.update(e.inputs)
            elif isinstance(lower, Contraction):
                needed.update(self._source(v) for v in _read_in_place(e))
            elif isinstance(lower, Loop):
                needed.update(e.inputs)
            elif e.primitive.name == "reshape" and not _same_but_ones(e.inputs[0].shape, e.outputs[0].shape):
                needed.add(self._source(e.inputs[0]))
            if e.primitive.effect:
                needed.update(e.outputs)
        return needed

    def _source(self, v: Variable) -> Variable:
        """Return the value that a chain of views shows."""
        while v in self.made:
            e = self.made[v]
            lower = e.primitive.lower
            view = isinstance(lower, IndexMap) and lower.view and len(e.inputs) == 1 and self.is_native(e)
            if not view or e.primitive.name == "broadcast_to":
                return v
            v = e.inputs[0]
        return v

    def _is_stored(self, e: Equation) -> bool:
        (v,) = e.outputs
        lower = e.primitive.lower
        operations, loads, depth = self._weigh(e)
        if v in self.results or e.primitive.effect:
            return True
        if isinstance(lower, IndexMap) and lower.view:
            return operations > LARGE or depth > DEEP
        if v in self.needed or operations > LARGE or depth > DEEP:
            return True
        grows = any(self._grows(v, user) for user in self._consumers(v))
        if operations >= DEAR and (self.users.get(v, 0) > 1 or grows):
            return True
        return self.users.get(v, 0) > 1 and (operations > 2 or loads > 1)

    def _consumers(self, v: Variable) -> list[Equation]:
        if not hasattr(self, "_users_of"):
            self._users_of: dict[Variable, list[Equation]] = {}
            for e in self.graph.equations:
                for x in dict.fromkeys(e.inputs):
                    self._users_of.setdefault(x, []).append(e)
        return self._users_of.get(v, [])

    def _grows(self, v: Variable, user: Equation) -> bool:
        """Return whether a consumer repeats each element, directly or behind views."""
        size = max((o.size for o in user.outputs), default=0)
        lower = user.primitive.lower
        if isinstance(lower, (Pointwise, IndexMap)) and size > v.size:
            return True
        if isinstance(lower, IndexMap) and lower.view:
            return any(self._grows(v, next_user) for o in user.outputs for next_user in self._consumers(o))
        return False

    def _weigh(self, e: Equation) -> tuple[int, int, int]:
        """Note and return what writing a value inline costs."""
        lower = e.primitive.lower
        own = 0 if isinstance(lower, IndexMap) and lower.view else weight(e)
        operations, loads, depth = own, 0, 0
        for v in dict.fromkeys(e.inputs):
            if v in self.cost and v not in self.views:
                a, b, c = self.cost[v]
                operations, loads, depth = operations + a, loads + b, max(depth, c)
            elif v.constant is None and v.size > 1:
                loads += 1
        for v in e.outputs:
            self.cost[v] = (operations, loads, depth + 1)
        return operations, loads, depth + 1

    # ------------------------------------------------------------------------------------------------ elements
    def element(self, v: Variable, at: Sequence[Expr], where: Expr | None = None) -> Expr:
        """Return one element of a value: a load, or what computes it."""
        if v.constant is not None:
            return self._constant(v, at, where)
        view = self.views.get(v)
        if view is not None:
            return view.load(at, where)
        return self.expand(v, at, where)

    def expand(self, v: Variable, at: Sequence[Expr], where: Expr | None = None) -> Expr:
        """Return what computes one element, even of a value that is stored."""
        if not v.size:
            return expr.constant(0, kind_of(v))
        at = tuple(expr.index(0) if n == 1 else i for i, n in zip(at, v.shape, strict=True))
        key = (v, tuple(map(id, at)), id(where))
        if key in self.memo:
            return self.memo[key][0]
        e = self.made[v]
        lower = e.primitive.lower
        narrow = any(kind_of(x) == "bf16" for x in e.inputs) and "dtype" not in e.primitive.attributes
        if isinstance(lower, Pointwise):
            parts = [self.element(x, _broadcast(at, x.shape), where) for x in e.inputs]
            parts = [k.cast(p, "f32") if narrow and p.kind == "bf16" else p for p in parts]
            made = lower.rule(k, *parts, **e.attributes)
        elif isinstance(lower, Fold):
            made = self._folded(e, lower, at, where)
        else:
            assert isinstance(lower, IndexMap)
            inputs = [Access(self, x, where, narrow and not lower.view and kind_of(x) == "bf16") for x in e.inputs]
            made = lower.rule(k, at, *inputs, **e.attributes)
        if narrow and made.kind == "f32" and kind_of(v) == "bf16":
            made = k.cast(made, "bf16")
        if where is not None:
            made = _checked_where(made, where)
        self.memo[key] = (made, at, where)
        return made

    def _constant(self, v: Variable, at: Sequence[Expr], where: Expr | None) -> Expr:
        array = v.constant
        if v.size == 0:
            return expr.constant(0, kind_of(v))
        first = array.flat[0]
        if v.size == 1 or (array.strides and not any(array.strides)) or (array == first).all():
            return expr.constant(first, kind_of(v))
        if v not in self.views:
            buffer = Buffer(kind_of(v), v.size, "constant", len(self.constants))
            self.constants.append((buffer, v))
            self.views[v] = View(buffer, v.shape, row_major(v.shape))
        return self.views[v].load(at, where)

    # ------------------------------------------------------------------------------------------------ memory
    def allocate(self, v: Variable) -> View:
        """Give a value its place in memory, in the layout that its consumers like."""
        if v in self.results:
            number = self.graph.outputs.index(v)
            buffer = Buffer(kind_of(v), v.size, "output", number)
            if number in self.takes:
                buffer.state = self.inputs[self.takes[number]]
            view = View(buffer, v.shape, row_major(v.shape))
        else:
            view = self.layouts.place(v, kind_of(v))
            border = self.layouts.border(v, view)
            if border is not None:
                self.kernels.append(border)
        self.views[v] = view
        return view

    def temporary(self, kind: str, shape: tuple[int, ...]) -> View:
        """Return memory for a value that no variable names."""
        return View(Buffer(kind, math.prod(shape)), shape, row_major(shape))

    # ------------------------------------------------------------------------------------------------ the walk
    def run(self) -> Program:
        """Take the equations in order, and return the program."""
        marks: list[int] = []
        for e in self.graph.equations:
            self.equation = e
            marks.append(len(self.kernels))
            self._set_floor(e, marks)
            lower = e.primitive.lower
            if not self.is_native(e):
                self._call(e)
            elif isinstance(lower, Reduction):
                self._reduce(e, lower)
            elif isinstance(lower, Fold) and math.prod(self._extents(e)) > TERMS:
                self._fold(e, lower)
            elif isinstance(lower, Contraction):
                self._contract(e, lower.form)
            elif isinstance(lower, Loop):
                self._sequence(e, lower.form)
            elif (e.primitive.name != "reshape" or not self._alias(e)) and self._is_stored(e):
                self.store(e.outputs[0])
        return self._finish()

    def _set_floor(self, e: Equation, marks: list[int]) -> None:
        """Note the first kernel that an equation may join: behind the barriers before its inputs."""
        since = self.again.since.get(e)
        floors = [self.floors[v] for v in e.inputs if v in self.floors]
        if since is not None:
            floors.append(marks[since])
        self.floor = max(floors, default=0)
        if self.floor:
            self.floors.update(dict.fromkeys(e.outputs, self.floor))

    def _alias(self, e: Equation) -> bool:
        """Let a reshape be another view of the same memory, where strides can say it."""
        x, (y,) = e.inputs[0], e.outputs
        if y in self.results:
            return False
        view = self.views.get(x)
        if view is None:
            if not _same_but_ones(x.shape, y.shape) and x.constant is None:
                self._weigh(e)
                source = self.made.get(x)
                if source is not None and source.primitive.name != "broadcast_to":
                    self.store(x)
                    view = self.views[x]
            if view is None:
                return False
        again = view.reshaped(y.shape)
        if again is None:
            view = self.temporary(kind_of(y), y.shape)
            whole = view.reshaped(x.shape)
            assert whole is not None
            self.fill(whole, lambda at: self.element(x, at))
            again = view
        self.views[y] = again
        return True

    def store(self, v: Variable) -> None:
        """Compute a pointwise value into memory."""
        e = self.made[v]
        if e.primitive.name == "reshape":  # in the order of the input, so that both sides are affine
            x = e.inputs[0]
            view = self.allocate(v)
            whole = view.reshaped(x.shape)
            if whole is not None:
                self.fill(whole, lambda at: self.element(x, at))
                return
        else:
            view = self.allocate(v)
        self.fill(view, lambda at: self.expand(v, at))

    def fill(self, view: View, element: Any, alone: bool = False) -> None:
        """Compute each element of a view; `alone`: in a kernel of its own."""
        at, axes = domain(view.shape, view.order)
        value = element(at)
        self.copy(axes, Store(view, at, value), alone)

    def copy(self, axes: tuple[Expr, ...], store: Store, alone: bool = False) -> None:
        """Write a store over axes that are given in the order of its memory."""
        if len(axes) > 1 and _run(axes, store) < self.lanes // 2:  # few neighbours: go along what is read instead
            inner = _innermost(store.value, axes)
            if inner is not None and _extent(inner) > _extent(axes[-1]):
                axes = (*[v for v in axes if v is not inner], inner)
        (self.merger.alone if alone else self.merger.item)(axes, (), [store], None)

    def _call(self, e: Equation) -> None:
        kernel = Call([self.again.original.get(e, e)])
        for v in e.inputs:
            kernel.inputs.append(self.in_memory(v))
        kernel.outputs = [self.allocate(v) for v in e.outputs]
        self.merger.apart(kernel, [view.buffer for view in kernel.outputs])

    def _sequence(self, e: Equation, form: str) -> None:
        from chainrule.compiler import sequences

        sequences.FORMS[form](self, e)

    def in_memory(self, v: Variable) -> View:
        """Return a value that lies in memory; if it does not yet, it is computed there."""
        if v not in self.views:
            if v.constant is not None:
                buffer = Buffer(kind_of(v), v.size, "constant", len(self.constants))
                self.constants.append((buffer, v))
                self.views[v] = View(buffer, v.shape, row_major(v.shape))
            else:
                self.store(v)
        return self.views[v]

    # ------------------------------------------------------------------------------------------------ reductions
    def _extents(self, e: Equation) -> tuple[int, ...]:
        lower = e.primitive.lower
        assert isinstance(lower, Fold)
        return lower.extents(*(v.shape for v in e.inputs), **e.attributes)

    def _folded(self, e: Equation, lower: Fold, at: Sequence[Expr], where: Expr | None) -> Expr:
        """Return a fold of few terms written out."""
        inputs = [Access(self, x, where, False) for x in e.inputs]
        wide = "f32" if kind_of(e.outputs[0]) == "bf16" else kind_of(e.outputs[0])
        total: Expr | None = None
        for place in itertools.product(*map(range, self._extents(e))):
            term = k.cast(lower.rule(k, at, tuple(map(expr.index, place)), *inputs, **e.attributes), wide)
            total = term if total is None else apply(lower.combine, wide, total, term)
        return expr.constant(identity(lower.combine), wide) if total is None else total

    def _fold(self, e: Equation, lower: Fold) -> None:
        """Combine many terms in a loop."""
        (y,) = e.outputs
        view = self.allocate(y)
        at, outer = domain(y.shape, view.order)
        over = tuple(expr.index(0) if n == 1 else expr.axis(n) for n in self._extents(e))
        value = lower.rule(k, at, over, *[Access(self, x, None, False) for x in e.inputs], **e.attributes)
        self.reduction(lower.combine, value, outer, tuple(v for v in over if v.op == "axis"), view, at)

    def _reduce(self, e: Equation, lower: Reduction) -> None:
        (x,), (y,) = e.inputs, e.outputs
        axes = e.attributes["axis"]
        axes = tuple(range(len(x.shape))) if axes is None else axes if isinstance(axes, tuple) else (axes,)
        axes = tuple(a % len(x.shape) for a in axes)
        view = self.allocate(y)
        kept = [a for a in range(len(x.shape)) if a not in axes]
        element = lambda at: lower.element(k, self.element(x, at)) if lower.element else self.element(x, at)  # noqa: E731
        order = self._order(x)
        at, variables = domain(x.shape, order)
        by_axis = {id(i): a for a, i in enumerate(at) if i.op == "axis"}
        summed = tuple(v for v in variables if by_axis[id(v)] in axes)
        outer = tuple(v for v in variables if by_axis[id(v)] not in axes)
        target = [expr.index(0) if a in axes else at[a] for a in range(len(x.shape))]
        if not e.attributes["keepdims"]:
            target = [at[a] for a in kept]
        self.reduction(lower.combine, element(at), outer, summed, view, tuple(target))

    def reduction(
        self,
        combine: str,
        value: Expr,
        outer: tuple[Expr, ...],
        summed: tuple[Expr, ...],
        view: View,
        target: tuple[Expr, ...],
    ) -> None:
        """Combine `value` over the axes `summed`, and store it at `target` for each point of `outer`."""
        self.reductions(combine, [value], outer, summed, view, [target])

    def reductions(
        self,
        combine: str,
        values: Sequence[Expr],
        outer: tuple[Expr, ...],
        summed: tuple[Expr, ...],
        view: View,
        targets: Sequence[tuple[Expr, ...]],
    ) -> None:
        """Combine each of some values over the same axes in one pass, and store it at its target."""
        if not summed:
            for value, target in zip(values, targets, strict=True):
                self.merger.item(outer, (), [Store(view, target, k.cast(value, view.buffer.kind))], None)
            return
        inner = _innermost(values[0], (*outer, *summed))
        columns = bool(outer) and inner is not None and any(inner is v for v in outer)
        if columns:  # neighbours in a vector are different sums: that axis comes last
            outer = (*[v for v in outer if v is not inner], inner)  # type: ignore[assignment]
        units = math.prod(_extent(v) for v in outer) // (4 * self.lanes if columns else 1)
        size = math.prod(_extent(v) for v in summed)
        parts = (
            self._parts(summed)
            if units < 8 and size * max(units, 1) * (self.lanes if columns else 1) >= SPLIT
            else None
        )
        wide = "f32" if values[0].kind == "bf16" else values[0].kind
        values = [k.cast(value, wide) for value in values]
        if parts is not None:
            first, rest, replace = parts
            values = [expr.rebuild(value, lambda e: replace.get(e)) for value in values]
            middle = self.temporary(wide, (_extent(first), len(values), *[_extent(v) for v in outer]))
            places = [(first, expr.index(i), *outer) for i in range(len(values))]
            self._sums(combine, values, (first, *outer), rest, middle, places, outer[-1] if columns else None)
            values = [middle.load(place) for place in places]
            summed = (first,)
            columns = bool(outer)
        self._sums(combine, values, outer, summed, view, targets, outer[-1] if columns else None)

    def _sums(
        self,
        combine: str,
        values: Sequence[Expr],
        outer: tuple[Expr, ...],
        summed: tuple[Expr, ...],
        view: View,
        targets: Sequence[tuple[Expr, ...]],
        lanes: Expr | None,
    ) -> None:
        totals = [expr.symbol(value.kind) for value in values]
        sums = [Sum(total, combine, value) for total, value in zip(totals, values, strict=True)]
        results = [k.cast(total, view.buffer.kind) for total in totals]
        stores = [Store(view, at, result) for at, result in zip(targets, results, strict=True)]
        self.merger.item(outer, summed, [*sums, *stores], lanes)

    def _parts(self, summed: tuple[Expr, ...]) -> tuple[Expr, tuple[Expr, ...], dict[Expr, Expr]] | None:
        """Return a part of the summed space whose pieces are summed on their own, the rest, and what changes."""
        if not summed:
            return None
        if len(summed) > 1 and 4 <= _extent(summed[0]) <= 1024:
            return summed[0], summed[1:], {}
        n = _extent(summed[0])
        pieces = next((p for p in range(min(64, n // 64), 3, -1) if n % p == 0), None)
        if pieces is None:
            return None
        piece, rest = expr.axis(pieces), expr.axis(n // pieces)
        whole = k.add(k.mul(piece, expr.index(n // pieces)), rest)
        return piece, (rest, *summed[1:]), {summed[0]: whole}

    def _order(self, v: Variable) -> tuple[int, ...]:
        """Return the axes of a value from the outermost to the innermost in memory, as far as that is known."""
        view = self.views.get(v)
        return view.order if view is not None else self.layouts.order(v)

    # ------------------------------------------------------------------------------------------------ contractions
    def _contract(self, e: Equation, form: str) -> None:
        from chainrule.compiler import products

        products.FORMS[form](self, e)

    # ------------------------------------------------------------------------------------------------ the end
    def _finish(self) -> Program:
        from chainrule.compiler.ordering import ordered

        outputs: list[Buffer] = []
        for number, v in enumerate(self.graph.outputs):
            if v not in self.views and v.constant is not None:
                self.in_memory(v)
            view = self.views[v]
            first = self.graph.outputs.index(v)
            whole = view.offset == 0 and view.strides == row_major(view.shape) and view.buffer.size == v.size
            if view.buffer.place in ("arena", "constant") or not whole:
                buffer = Buffer(kind_of(v), v.size, "output", number)
                again = View(buffer, v.shape, row_major(v.shape))
                self.fill(again, lambda at, view=view: view.load(at))
                outputs.append(buffer)
            else:
                outputs.append(view.buffer if first == number else outputs[first])
        for buffer in outputs:  # an input that leaves as it came stays as it is
            if buffer.state is not None and buffer.state in outputs:
                buffer.state = None
        kernels = ordered(without_unread(self.kernels))
        return Program(kernels, self.inputs, outputs, self.constants)


# ---------------------------------------------------------------------------------------------------- small parts
def domain(shape: Sequence[int], order: Sequence[int]) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """Return the indices of a tensor's element, and the axes that they run over in the given order."""
    at = [expr.index(0) if n == 1 else expr.axis(n) for n in shape]
    return tuple(at), tuple(at[a] for a in order if shape[a] != 1)


def _read_in_place(e: Equation) -> Sequence[Variable]:
    """Return the operands of a contraction that are not packed from what computes them; weights of convolutions are."""
    return e.inputs[:1] if e.primitive.name in ("convolution", "convolution_input_gradient") else e.inputs


def _checked_where(value: Expr, where: Expr) -> Expr:
    """Return a value whose checks do not count where nothing was read."""
    if not any(p.op == "check" for p in expr.walk([value])):
        return value
    elsewhere = k.invert(where)

    def change(e: Expr) -> Expr | None:
        if e.op != "check" or (e.args[0].op == "or" and e.args[0].args[0] is elsewhere):
            return None
        return apply("check", e.kind, k.either(elsewhere, e.args[0]), e.args[1])

    return expr.rebuild(value, change)


def _extent(v: Expr) -> int:
    return v.data[1]


def _broadcast(at: Sequence[Expr], shape: Sequence[int]) -> tuple[Expr, ...]:
    tail = at[len(at) - len(shape) :]
    return tuple(expr.index(0) if n == 1 else i for i, n in zip(tail, shape, strict=True))


def _same_but_ones(a: Sequence[int], b: Sequence[int]) -> bool:
    return [n for n in a if n != 1] == [n for n in b if n != 1]


def _run(axes: Sequence[Expr], store: Store) -> int:
    """Return how many points lie side by side in all memory, or equally far apart, along the last axes."""
    addresses = [store.view.address(store.at)]
    for part in expr.walk([store.value]):
        if part.op == "load":
            addresses.append(part.data.address(part.args[: len(part.data.shape)]))
    factors = [expr.terms(a)[1] for a in addresses]
    count = _extent(axes[-1])
    for v in reversed(axes[:-1]):
        if any(f.get(v, 0) != f.get(axes[-1], 0) * count for f in factors):
            break
        count *= _extent(v)
    return count


def _innermost(value: Expr, variables: Sequence[Expr]) -> Expr | None:
    """Return the variable along which most of the memory that is read lies side by side."""
    votes: dict[Expr, int] = {}
    for part in expr.walk([value]):
        if part.op == "load":
            view: View = part.data
            _, factors = expr.terms(view.address(part.args[: len(view.shape)]))
            for v, c in factors.items():
                if c == 1 and any(v is x for x in variables):
                    votes[v] = votes.get(v, 0) + 1 + math.prod(view.shape)
    if not votes:
        return variables[-1] if variables else None
    return max(votes, key=lambda v: votes[v])

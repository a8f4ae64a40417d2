"""Loop kernels: an outer space that threads share, and loop nests over vectors inside.

Three shapes. Rows: each outer point runs the stages, and the last axis of a stage is spread over vectors. Columns: the
last outer axis is spread over vectors, so that neighbouring sums are computed together, several vectors at a time.
Plain: one nest of stores; axes that lie one in the other become one, and a long one is cut into pieces for the threads.
The order inside a sum depends on shapes and vector width alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from chainrule.compiler import expr
from chainrule.compiler.expr import Expr
from chainrule.compiler.kernels import Border, Buffer, Loops, Stage, Store, Sum
from chainrule.compiler.llvm.code import Code, combine, flat, identity, kind_type
from chainrule.compiler.llvm.ir import I64, Builder, Place, Value
from chainrule.compiler.llvm.tiles import Tiles, emit_tiles, tiles_for

__all__ = ["Plan", "emit_border", "emit_loops", "plan_border", "plan_loops"]

PIECE = 4096  # elements of a long axis that a thread takes at once, at least
RUN = 32  # terms that are added one to the other; a longer sum is one of such sums, and rounds less
APART = 16  # terms that are worth a sum of their own
VECTORS = 4  # vectors of columns that are summed together; and partial sums of a row
SUMS = 24  # sums that registers hold
_BYTES = {"f64": 8, "i64": 8, "u64": 8}
Statements = list[Store | Sum]


@dataclass
class Plan:
    """How a loop kernel is cut: the statements with flat addresses, and the number of units for threads."""

    kernel: Loops
    outer: tuple[Expr, ...]
    stages: list[Stage]
    shape: str  # "rows", "columns", "plain" or "tiles"
    units: int
    piece: int  # elements of the last axis per unit (plain), vectors per unit (columns)
    lanes: int
    tiles: Tiles | None = None

    @property
    def cost(self) -> int:
        """A measure of the work: operations and loads."""
        points = math.prod(_extent(v) for v in self.outer)
        total = 0
        for stage in self.stages:
            inner = math.prod(_extent(v) for v in stage.axes)
            total += inner * sum(2 + len(expr.walk([s.value])) for s in stage.statements)
        return points * total


def _extent(v: Expr) -> int:
    return v.data[1]


# ---------------------------------------------------------------------------------------------------- planning
def plan_loops(kernel: Loops, lanes: int) -> Plan:
    """Return how a loop kernel is cut.

    Args:
        kernel: from the scheduler.
        lanes: float32 lanes of a vector register.
    """
    done: dict[Expr, Expr] = {}
    stages = [Stage(s.axes, [_flat(x, done) for x in s.statements]) for s in kernel.stages]
    outer = kernel.outer
    if kernel.lanes is not None:
        n = _extent(outer[-1])
        most = max(sum(isinstance(s, Sum) for s in stage.statements) for stage in stages)
        vectors = max(1, min(VECTORS, n // lanes, SUMS // max(most, 1)))
        units = math.prod(_extent(v) for v in outer[:-1]) * -(-n // (vectors * lanes))
        return Plan(kernel, outer, stages, "columns", units, vectors, lanes)
    if len(stages) == 1 and not any(isinstance(s, Sum) for s in stages[0].statements):
        return _plain(kernel, (*outer, *stages[0].axes), stages[0].statements, lanes)
    return Plan(kernel, outer, stages, "rows", math.prod(_extent(v) for v in outer), 0, lanes)


def _flat(s: Store | Sum, done: dict[Expr, Expr]) -> Store | Sum:
    if isinstance(s, Sum):
        return Sum(s.symbol, s.combine, flat(s.value, done))
    at = s.view.address([flat(i, done) for i in s.at])
    return Store(s.view, (at,), flat(s.value, done))


def _plain(kernel: Loops, axes: tuple[Expr, ...], statements: Statements, lanes: int) -> Plan:
    axes, statements = _merged(axes, statements)
    if not axes:
        return Plan(kernel, (), [Stage((), statements)], "rows", 1, 0, lanes)
    tiles = tiles_for(axes, [s for s in statements if isinstance(s, Store)], lanes)
    if tiles is not None:
        return Plan(kernel, axes[:-1], [Stage(axes[-1:], statements)], "tiles", tiles.units, 0, lanes, tiles)
    outer, last = axes[:-1], axes[-1]
    rows, n = math.prod(_extent(v) for v in outer), _extent(last)
    piece = max(n, 1)
    if rows < 16 and n > PIECE:
        piece = max(PIECE, -(-n // 64 // lanes) * lanes)
    return Plan(kernel, outer, [Stage((last,), statements)], "plain", rows * -(-n // piece), piece, lanes)


def _merged(axes: tuple[Expr, ...], statements: Statements) -> tuple[tuple[Expr, ...], Statements]:
    """Make one axis of neighbours that lie one in the other in all memory that is touched."""
    addresses: list[Expr] = []
    used: set[Expr] = set()
    for s in statements:
        if s.value.op in ("affine", "axis"):  # an index is itself what is stored
            used |= s.value.free
        for part in expr.walk([s.value]):
            if part.op == "element":
                addresses.append(part.args[0])
                for a in part.args[1:]:
                    used |= a.free
            elif part.op not in ("affine", "axis"):
                for a in part.args:
                    if a.op in ("affine", "axis"):
                        used |= a.free
        if isinstance(s, Store):
            addresses.append(s.at[0])
    for a in addresses:
        for v in expr.terms(a)[1]:
            if v.op != "axis":
                used |= v.free
    factors = [expr.terms(a)[1] for a in addresses]
    kept: list[Expr] = []
    change: dict[Expr, Expr] = {}
    for v in reversed(axes):
        if kept:
            inner = kept[-1]
            n = _extent(inner)
            fits = all(f.get(v, 0) == f.get(inner, 0) * n for f in factors)
            if fits and v not in used and inner not in used:
                whole = expr.axis(_extent(v) * n)
                change |= {v: expr.index(0), inner: whole}
                rest = [{x: c for x, c in f.items() if x is not v and x is not inner} for f in factors]
                factors = [{**r, whole: f.get(inner, 0)} for r, f in zip(rest, factors, strict=True)]
                change = {x: whole if y is inner else y for x, y in change.items()}
                kept[-1] = whole
                continue
        kept.append(v)
    if change:
        done: dict[Expr, Expr] = {}
        swap = lambda e: expr.rebuild(e, lambda p: change.get(p), done)  # noqa: E731
        statements = [Store(s.view, (swap(s.at[0]),), swap(s.value)) if isinstance(s, Store) else s for s in statements]
    return tuple(reversed(kept)), statements


def width_of(statements: Sequence[Store | Sum], lanes: int, extent: int) -> int:
    """Return the lanes to use for some statements over an axis."""
    kinds = {p.kind for p in expr.walk(s.value for s in statements) if p.op not in ("affine", "axis", "const")}
    wide = bool(kinds) and all(k in _BYTES for k in kinds if k != "bool") and any(k in _BYTES for k in kinds)
    width = max(1, lanes // 2) if wide else lanes
    while width > 1 and width // 2 >= extent:
        width //= 2
    return width


# ---------------------------------------------------------------------------------------------------- emission
def emit_loops(code: Code, plan: Plan, begin: Value, end: Value) -> None:
    """Write the units [begin, end) of a loop kernel."""
    b = code.b
    roots = [e for stage in plan.stages for s in stage.statements for e in _parts(s)]
    moving = [*plan.outer, *(v for stage in plan.stages for v in stage.axes)]
    code.hoist(
        roots, moving, {s.view.buffer for stage in plan.stages for s in stage.statements if isinstance(s, Store)}
    )
    if plan.shape == "columns":
        b.loop(end, lambda u: _columns(code, plan, u), start=begin)
        return
    if plan.tiles is not None:
        b.loop(end, lambda u: emit_tiles(code, plan.tiles, u), start=begin)
        return
    if plan.shape == "plain":
        b.loop(end, lambda u: _pieces(code, plan, u), start=begin)
        return
    if not plan.outer:
        b.when(b.compare("slt", begin, end), lambda: _row(code, plan))
        return

    def unit(u: Value) -> None:
        code.push()
        _decode(code, plan.outer, u)
        _row(code, plan)
        code.pop()

    b.loop(end, unit, start=begin)


def _parts(s: Store | Sum) -> tuple[Expr, ...]:
    return (s.value, s.at[0]) if isinstance(s, Store) else (s.value,)


def _written(stage: Stage) -> set[Buffer]:
    return {s.view.buffer for s in stage.statements if isinstance(s, Store)}


def _decode(code: Code, axes: Sequence[Expr], unit: Value) -> None:
    """Give each axis its index from the number of a point."""
    for n, v in enumerate(reversed(axes)):
        if n == len(axes) - 1:
            code.places[v] = Place(unit)
        else:
            code.places[v] = Place(code.b.mod(unit, _extent(v)))
            unit = code.b.floordiv(unit, _extent(v))


def _row(code: Code, plan: Plan) -> None:
    """Write the stages of one outer point."""
    for stage in plan.stages:
        code.hoist([e for s in stage.statements for e in _parts(s)], stage.axes, _written(stage))
        if not stage.axes:
            for s in stage.statements:
                assert isinstance(s, Store)
                code.store(s)
            continue
        _nest(code, plan, stage)


def _nest(code: Code, plan: Plan, stage: Stage) -> None:
    """Write one loop nest of a row; its sums are known afterwards."""
    sums = [s for s in stage.statements if isinstance(s, Sum)]
    last = stage.axes[-1]
    width = width_of(stage.statements, plan.lanes, _extent(last))
    start = [identity(code.b, s.combine, s.value.kind, width) for s in sums]

    joins = [combine(code, s.combine, s.value.kind) for s in sums]

    def enter(left: Sequence[Expr]) -> None:
        code.hoist([e for s in stage.statements for e in _parts(s)], (*left, last), _written(stage))

    def terms(carried: Sequence[Value]) -> list[Value]:
        return _vectors(code, stage.statements, last, width, 0, _extent(last), carried)

    totals = _in_runs(
        code, stage.axes[:-1], start, joins, terms, enter=enter, size=-(-_extent(last) // (width * VECTORS))
    )
    for s, total in zip(sums, totals, strict=True):
        code.know(s.symbol, code.b.fold(total, combine(code, s.combine, s.value.kind)))


def _vectors(
    code: Code,
    statements: Sequence[Store | Sum],
    axis: Expr,
    width: int,
    start: Value | int,
    stop: Value | int,
    carried: Sequence[Value],
) -> list[Value]:
    """Write a loop over vectors of one axis: whole ones, several partial sums at a time, then the rest under a mask."""
    b = code.b
    sums = [s for s in statements if isinstance(s, Sum)]
    first = start if isinstance(start, int) else None
    count = stop - first if first is not None and isinstance(stop, int) else None
    many = VECTORS if sums and (count is None or count >= VECTORS * width) and len(sums) * VECTORS <= 8 else 1
    if sums and many == 1 and count is not None and count >= 2 * width and len(sums) <= 4:
        many = 2

    def step(i: Value, inner: Sequence[Value], mask: Value | None, lanes: int) -> list[Value]:
        code.push()
        code.places[axis], code.lane, code.width, code.mask = Place(i), axis, lanes, mask
        new = _statements(code, statements, inner, mask)
        code.pop()
        code.lane, code.width, code.mask = None, 1, None
        return new

    def several(i: Value, *inner: Value) -> list[Value]:
        found: list[Value] = []
        for m in range(many):
            at = b.add(i, m * width)
            found += step(at, inner[m * len(sums) : (m + 1) * len(sums)], None, width)
        return found

    span = b.sub(stop, start) if count is None else Value(I64, str(count), count)
    block = many * width
    whole = b.add(start, b.mul(b.floordiv(span, block), block))
    joins = [combine(code, s.combine, s.value.kind) for _ in range(many) for s in sums]
    zeros = [identity(b, s.combine, s.value.kind, width) for _ in range(many) for s in sums]
    turns = 0 if count is None else count // block
    values = _run(b, start, whole, turns, several, [*carried, *zeros[len(sums) :]], zeros, joins, block)
    if many > 1:
        one = list(values[: len(sums)])
        for m in range(1, many):
            one = _joined(joins, one, values[m * len(sums) : (m + 1) * len(sums)])
        values = one
        ones = b.add(start, b.mul(b.floordiv(span, width), width))
        values = b.loop(ones, lambda i, *inner: step(i, inner, None, width), values, start=whole, step=width)
        whole = ones
    if width == 1:
        return values
    rest = b.sub(stop, whole)
    if rest.known is not None:
        return step(whole, values, b.mask(rest, width), width) if rest.known else values

    def masked() -> list[Value]:
        return step(whole, values, b.mask(rest, width), width)

    inside = b.compare("sgt", rest, b.const(I64, 0))
    if not values:
        b.when(inside, lambda: _drop(masked))
        return []
    return b.choose(inside, masked, lambda: values)


def _statements(
    code: Code, statements: Sequence[Store | Sum], carried: Sequence[Value], mask: Value | None
) -> list[Value]:
    """Write statements for one vector; return the carried sums."""
    new: list[Value] = []
    values = iter(carried)
    for s in statements:
        if isinstance(s, Store):
            code.store(s)
            continue
        total = next(values)
        if s.combine == "add" and s.value.op == "mul" and total.type.is_float:
            new.append(_multiplied(code, s.value, total, mask))
            continue
        value = code.value(s.value)
        if value.type.lanes < total.type.lanes:
            value = code.b.splat(value, total.type.lanes)
        if mask is not None:
            value = code.b.select(mask, value, identity(code.b, s.combine, s.value.kind, value.type.lanes))
        new.append(combine(code, s.combine, s.value.kind)(total, value))
    return new


def _multiplied(code: Code, product: Expr, total: Value, mask: Value | None) -> Value:
    """Return a sum with one more product, rounded once where the machine can."""
    b = code.b
    factors = [code.value(x) for x in product.args]
    x, y = (b.splat(v, total.type.lanes) if v.type.lanes < total.type.lanes else v for v in factors)
    new = b.fma(x, y, total)
    return new if mask is None else b.select(mask, new, total)


# ---------------------------------------------------------------------------------------------------- plain
def _pieces(code: Code, plan: Plan, unit: Value) -> None:
    """Write one unit of a plain nest: a row, or a piece of one."""
    b = code.b
    (stage,) = plan.stages
    (last,) = stage.axes
    n = _extent(last)
    code.push()
    pieces = -(-n // plan.piece)
    start: Value | int = 0
    stop: Value | int = n
    point = unit
    if pieces > 1:
        piece = b.mod(unit, pieces) if plan.outer else unit
        point = b.floordiv(unit, pieces)
        start = b.mul(piece, plan.piece)
        stop = b.minimum(b.add(start, plan.piece), n)
    if plan.outer:
        _decode(code, plan.outer, point)
    width = width_of(stage.statements, plan.lanes, n)
    code.hoist([e for s in stage.statements for e in _parts(s)], (last,))
    _vectors(code, stage.statements, last, width, start, stop, [])
    code.pop()


# ---------------------------------------------------------------------------------------------------- columns
def _columns(code: Code, plan: Plan, unit: Value) -> None:
    """Write one unit of a column kernel: some vectors of neighbouring sums."""
    b = code.b
    axis = plan.outer[-1]
    n, block = _extent(axis), plan.piece * plan.lanes
    blocks = -(-n // block)
    code.push()
    number = b.mod(unit, blocks) if len(plan.outer) > 1 else unit
    if len(plan.outer) > 1:
        _decode(code, plan.outer[:-1], b.floordiv(unit, blocks))
    first = b.mul(number, block)
    whole: Callable[[], None] = lambda: _column_block(code, plan, first, n, None)  # noqa: E731
    rest = n % block
    if not rest:
        whole()
    elif blocks == 1:
        _column_block(code, plan, first, n, rest)
    else:
        last = b.compare("eq", number, b.const(I64, blocks - 1))
        b.choose(last, lambda: _none(lambda: _column_block(code, plan, first, n, rest)), lambda: _none(whole))
    code.pop()


def _drop(body: Callable[[], list[Value]]) -> None:
    body()


def _none(body: Callable[[], None]) -> list[Value]:
    body()
    return []


def _extended(code: Code, stage: Stage, carried: Sequence[Value], count: int, new: list[Value], vector: int) -> None:
    """Write the statements of a stage for one vector, and note its sums."""
    new += _statements(code, stage.statements, carried[vector * count : (vector + 1) * count], None)


def _stores(code: Code, stage: Stage, vector: int) -> None:
    """Write the stores of a stage for one vector."""
    for s in stage.statements:
        assert isinstance(s, Store)
        code.store(s)


def _column_block(code: Code, plan: Plan, first: Value, n: int, rest: int | None) -> None:
    """Write the stages for neighbouring columns; `rest` columns if the block is not whole."""
    b, axis, lanes = code.b, plan.outer[-1], plan.lanes
    vectors = plan.piece if rest is None else -(-rest // lanes)
    masks: list[Value | None] = [None] * vectors
    if rest is not None and rest % lanes:
        masks[-1] = b.lanes("i1", [i < rest % lanes for i in range(lanes)])
    code.push()
    finished: list[dict[Expr, Value]] = [{} for _ in range(vectors)]

    def each(body: Callable[[int], None]) -> None:
        for v in range(vectors):
            code.push()
            code.places[axis] = Place(first, v * lanes)
            code.lane, code.width, code.mask = axis, lanes, masks[v]
            for symbol, value in finished[v].items():
                code.know(symbol, value)
            body(v)
            code.pop()
        code.lane, code.width, code.mask = None, 1, None

    for stage in plan.stages:
        if not stage.axes:
            each(partial(_stores, code, stage))
            continue
        sums = [s for s in stage.statements if isinstance(s, Sum)]
        start = [identity(b, s.combine, s.value.kind, lanes) for _ in range(vectors) for s in sums]

        joins = [combine(code, s.combine, s.value.kind) for _ in range(vectors) for s in sums]

        def terms(carried: Sequence[Value], stage: Stage = stage, n: int = len(sums)) -> list[Value]:
            new: list[Value] = []
            each(partial(_extended, code, stage, carried, n, new))
            return new

        totals = _in_runs(code, stage.axes, start, joins, terms)
        for v in range(vectors):
            for m, s in enumerate(sums):
                finished[v][s.symbol] = totals[v * len(sums) + m]
    code.pop()


def _in_runs(
    code: Code,
    axes: Sequence[Expr],
    start: Sequence[Value],
    joins: Sequence[Callable[[Value, Value], Value]],
    terms: Callable[[Sequence[Value]], list[Value]],
    *,
    enter: Callable[[Sequence[Expr]], None] = lambda left: None,
    size: int = 1,
) -> list[Value]:
    """Write loops along which sums run: long ones, and those around many terms, add up sums of their own.

    Args:
        code: where to write.
        axes: outermost first.
        start: the sums before.
        joins: what combines each with another.
        terms: given the sums, writes some terms of each and returns them.
        enter: called inside each loop with its axis and those inside it.
        size: how many terms `terms` adds up.
    """

    def walk(left: Sequence[Expr], carried: Sequence[Value]) -> list[Value]:
        if not left:
            return terms(carried)
        inside = size * math.prod(map(_extent, left[1:]))

        def turn(i: Value, *sums: Value) -> list[Value]:
            code.push()
            code.places[left[0]] = Place(i)
            enter(left)
            found = walk(left[1:], sums if inside < APART else start)
            code.pop()
            return found if inside < APART else _joined(joins, sums, found)

        return _run(code.b, 0, _extent(left[0]), _extent(left[0]), turn, carried, start, joins)

    return walk(axes, start)


def _run(
    b: Builder,
    begin: Value | int,
    end: Value | int,
    most: int,
    turn: Callable[..., list[Value]],
    carried: Sequence[Value],
    start: Sequence[Value],
    joins: Sequence[Callable[[Value, Value], Value]],
    step: int = 1,
) -> list[Value]:
    """Write a loop that adds up sums, `most` turns at most; a long one as a loop over shorter ones."""
    if not carried or most <= 2 * RUN:
        return b.loop(end, turn, carried, start=begin, step=step)
    part = RUN
    while part * 2 * RUN < most:
        part *= RUN

    def run(i: Value, *sums: Value) -> list[Value]:
        stop = b.minimum(b.add(i, part * step), end)
        return _joined(joins, sums, _run(b, i, stop, part, turn, start, start, joins, step))

    return b.loop(end, run, carried, start=begin, step=part * step)


def _joined(joins: Sequence[Callable[[Value, Value], Value]], x: Sequence[Value], y: Sequence[Value]) -> list[Value]:
    return [join(a, c) for join, a, c in zip(joins, x, y)]


# ---------------------------------------------------------------------------------------------------- borders
def plan_border(kernel: Border) -> int:
    """Return the number of units of a border kernel: the points of the axes outside the bordered ones."""
    view = kernel.view
    order = view.order
    bordered = [n for n, a in enumerate(order) if any(kernel.halo[a])]
    return math.prod(view.shape[a] for a in order[: bordered[0]])


def emit_border(b: Builder, kernel: Border, pointer: Value, begin: Value, end: Value, lanes: int) -> None:
    """Write zeros around the elements of a view, for the outer points [begin, end)."""
    view, halo = kernel.view, kernel.halo
    order = view.order
    full = {a: view.shape[a] + sum(halo[a]) for a in order}
    first = next(n for n, a in enumerate(order) if any(halo[a]))
    type = kind_type(view.buffer.kind)
    inner = order[first:]
    sizes = {a: math.prod(full[x] for x in order[n + 1 :]) for n, a in enumerate(order)}

    def fill(start: Value, count: int) -> None:
        zero = b.zero(type.wide(lanes))
        b.loop(count // lanes, lambda i: b.store(zero, b.offset(start, b.mul(i, lanes), type.kind)))
        for i in range(count // lanes * lanes, count):
            b.store(b.zero(type), b.offset(start, i, type.kind))

    def walk(level: int, base: Value) -> None:
        if level == len(inner):
            return
        a = inner[level]
        step = sizes[a]
        low, high = halo[a]
        if low:
            fill(base, low * step)
        if high:
            fill(b.offset(base, (low + view.shape[a]) * step, type.kind), high * step)
        if any(any(halo[x]) for x in inner[level + 1 :]):
            start = b.offset(base, low * step, type.kind)
            b.loop(view.shape[a], lambda i: walk(level + 1, b.offset(start, b.mul(i, step), type.kind)))

    outer_step = math.prod(full[a] for a in inner)
    b.loop(end, lambda u: walk(0, b.offset(pointer, b.mul(u, outer_step), type.kind)), start=begin)

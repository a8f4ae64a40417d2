"""Scalar expressions: what one element of a tensor is, as a function of its indices.

An `Expr` is interned: equal expressions are the same object, so common parts are computed once. Indices are affine
where they can be: a constant plus multiples of axis variables, from which strides are read off.

    variables      axis(extent): an index that runs over range(extent)
    data           load(buffer, address, where): one element of a buffer; addresses count elements
    arithmetic     apply(op, kind, *args): add, mul, exp, lt, select, cast, ...
    results        symbol(kind): a value that a kernel has at hand, such as a finished sum

`Vocabulary` (called k in lowerings) is what primitives are lowered with; it has no state.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chainrule.core.dtypes import DType, dtype_of, to_dtype

__all__ = [
    *("BITS", "Expr", "Vocabulary", "affine", "apply", "axis", "constant", "identity", "index", "k", "load", "symbol"),
]

_FLOATS = frozenset(("f16", "bf16", "f32", "f64"))
BITS = {"bool": 1, "i8": 8, "u8": 8, "i16": 16, "u16": 16, "i32": 32, "u32": 32, "i64": 64, "u64": 64}


class Expr:
    """One scalar; compare with `is`.

    Attributes:
        op: "axis", "affine", "load", "const", "symbol", or an arithmetic operation.
        kind: dtype: f32, f64, bf16, i64, bool, ...
        args: operands.
        data: what else it is made of: a constant, an extent, a buffer.
        free: the axis variables and symbols that it depends on.
        cost: a measure of its arithmetic, counting shared parts once per use.
        low, high: range of an index, where known.
        number: counts expressions as they are made, so that what depends on an order is the same in each process.
    """

    __slots__ = ("__weakref__", "args", "cost", "data", "free", "high", "kind", "low", "number", "op")

    op: str
    kind: str
    args: tuple[Expr, ...]
    data: Any
    free: frozenset[Expr]
    cost: int
    low: int | None
    high: int | None
    number: int

    @property
    def is_float(self) -> bool:
        """Whether the value is a floating-point number."""
        return self.kind in _FLOATS

    def __repr__(self) -> str:
        if self.op == "const":
            return repr(self.data)
        if self.op in ("axis", "symbol"):
            return f"{self.op[0]}{id(self) % 9973}"
        if self.op == "affine":
            terms = [str(self.data)] if self.data else []
            pairs = zip(self.args[::2], self.args[1::2], strict=True)
            return "(" + " + ".join([*terms, *(f"{c.data}*{v}" for v, c in pairs)]) + ")"
        name = f"{self.op}[{self.data}]" if self.data is not None else self.op
        return f"{name}({', '.join(map(repr, self.args))})"


_interned: weakref.WeakValueDictionary[tuple, Expr] = weakref.WeakValueDictionary()


def _make(
    op: str, kind: str, args: tuple[Expr, ...], data: Any, low: int | None = None, high: int | None = None
) -> Expr:
    key = (op, kind, tuple(map(id, args)), data if not isinstance(data, float) else ("f", data.hex()))
    found = _interned.get(key)
    if found is None:
        found = Expr()
        found.op, found.kind, found.args, found.data, found.low, found.high = op, kind, args, data, low, high
        found.free = frozenset().union(*(a.free for a in args)) if args else frozenset()
        found.cost = sum(a.cost for a in args) + _COSTS.get(op, 1)
        found.number = next(_count)
        _interned[key] = found
    return found


_COSTS = {
    **dict.fromkeys(("const", "axis", "affine", "symbol", "load", "cast"), 0),
    **dict.fromkeys(("div", "sqrt", "floordiv", "mod", "idiv", "imod"), 6),
    **dict.fromkeys(
        ("exp", "log", "tanh", "sigmoid", "sin", "cos", "erf", "pow", "log1p", "expm1", "softplus", "atan2"), 20
    ),
}
_fresh = iter(range(1 << 62))
_count = iter(range(1 << 62))


def axis(extent: int) -> Expr:
    """Return a new index variable that runs over range(extent)."""
    e = _make("axis", "i64", (), (next(_fresh), extent), 0, max(extent - 1, 0))
    e.free = frozenset((e,))
    return e


def symbol(kind: str) -> Expr:
    """Return a new name for a value that a kernel has at hand."""
    e = _make("symbol", kind, (), next(_fresh))
    e.free = frozenset((e,))
    return e


def constant(value: Any, kind: str) -> Expr:
    """Return a number of a kind."""
    if kind == "bool":
        return _make("const", kind, (), bool(value))
    if kind in _FLOATS:
        return _make("const", kind, (), float(value))
    number = int(value)
    if kind == "i64":
        return _make("const", kind, (), number, number, number)
    return _make("const", kind, (), number)


def index(value: int) -> Expr:
    """Return a constant index."""
    return constant(value, "i64")


# ------------------------------------------------------------------------------------------------ indices
def terms(e: Expr) -> tuple[int, dict[Expr, int]]:
    """Return an index as a constant and a factor for each variable or other part."""
    if e.op == "const":
        return e.data, {}
    if e.op == "affine":
        return e.data, {v: c.data for v, c in zip(e.args[::2], e.args[1::2], strict=True)}
    return 0, {e: 1}


def affine(offset: int, parts: dict[Expr, int]) -> Expr:
    """Return offset + sum of factor * part."""
    parts = {v: c for v, c in parts.items() if c}
    if not parts:
        return index(offset)
    if offset == 0 and len(parts) == 1 and next(iter(parts.values())) == 1:
        return next(iter(parts))
    low = high = offset
    known = True
    for v, c in parts.items():
        if v.low is None or v.high is None:
            known = False
            break
        low += min(c * v.low, c * v.high)
        high += max(c * v.low, c * v.high)
    args: list[Expr] = []
    for v, c in sorted(parts.items(), key=lambda item: item[0].number):
        args += [v, index(c)]
    return _make("affine", "i64", tuple(args), offset, low if known else None, high if known else None)


def _sum(a: Expr, b: Expr, factor: int = 1) -> Expr:
    offset, parts = terms(a)
    more, others = terms(b)
    total = dict(parts)
    for v, c in others.items():
        total[v] = total.get(v, 0) + factor * c
    return affine(offset + factor * more, total)


def _scaled(a: Expr, factor: int) -> Expr:
    offset, parts = terms(a)
    return affine(offset * factor, {v: c * factor for v, c in parts.items()})


def _quotient(a: Expr, by: int) -> tuple[Expr, Expr]:
    """Return a // by and a % by of an index >= 0."""
    if by == 1:
        return a, index(0)
    offset, parts = terms(a)
    whole = {v: c // by for v, c in parts.items() if c % by == 0}
    rest = affine(offset % by, {v: c for v, c in parts.items() if c % by})
    if rest.low is not None and rest.low >= 0 and rest.high is not None and rest.high < by:
        return affine(offset // by, whole), rest
    if a.low is not None and a.high is not None and a.low >= 0 and a.high < by:
        return index(0), a
    high = None if a.high is None else a.high // by
    quotient = _make("floordiv", "i64", (a,), by, 0, high)
    return quotient, _make("mod", "i64", (a,), by, 0, by - 1)


# ------------------------------------------------------------------------------------------------ data and arithmetic
def load(buffer: Any, address: Expr, kind: str, where: Expr | None = None) -> Expr:
    """Return one element of a buffer; where `where` does not hold nothing is read and the value is 0."""
    args = (address,) if where is None else (address, where)
    return _make("load", kind, args, buffer)


def identity(combine: str) -> float:
    """Return what changes nothing when numbers are combined by add, mul or or, which an empty fold gives."""
    return {"add": 0, "or": 0, "mul": 1, "and": 1}[combine]


def apply(op: str, kind: str, *args: Expr, data: Any = None) -> Expr:
    """Return an operation on scalars."""
    return _make(op, kind, args, data)


def rebuild(e: Expr, change: Callable[[Expr], Expr | None], done: dict[Expr, Expr] | None = None) -> Expr:
    """Return the expression with parts replaced: where `change` gives an expression, it stands in for the part."""
    done = {} if done is None else done
    stack = [e]
    while stack:
        top = stack[-1]
        if top in done:
            stack.pop()
            continue
        new = change(top)
        if new is not None:
            done[top] = new
            stack.pop()
            continue
        waiting = [a for a in top.args if a not in done]
        if waiting:
            stack += waiting
            continue
        stack.pop()
        args = tuple(done[a] for a in top.args)
        done[top] = top if all(a is b for a, b in zip(args, top.args, strict=True)) else _with_args(top, args)
    return done[e]


def _with_args(e: Expr, args: tuple[Expr, ...]) -> Expr:
    if e.op == "affine":
        total = index(e.data)
        for v, c in zip(args[::2], args[1::2], strict=True):
            total = _sum(total, v, c.data)
        return total
    if e.op in ("floordiv", "mod"):
        return _quotient(args[0], e.data)[e.op == "mod"]
    return _make(e.op, e.kind, args, e.data, e.low, e.high)


def walk(roots: Iterable[Expr]) -> list[Expr]:
    """Return every part of some expressions once, operands first."""
    seen: set[Expr] = set()
    order: list[Expr] = []
    for root in roots:
        stack = [(root, False)]
        while stack:
            e, ready = stack.pop()
            if ready:
                order.append(e)
            elif e not in seen:
                seen.add(e)
                stack.append((e, True))
                stack += [(a, False) for a in e.args if a not in seen]
    return order


# ------------------------------------------------------------------------------------------------ the vocabulary
class Vocabulary:
    """What primitives are lowered with: scalar operations, and indices.

    Operands are expressions of equal kind unless stated; Python numbers are taken where one operand is an expression.
    """

    # -------------------------------------------------------------------------------------------- values
    def const(self, value: float, like: Expr | str | DType) -> Expr:
        """Return a number of the kind of another expression, or of a named kind."""
        return constant(value, like.kind if isinstance(like, Expr) else _kind(like))

    def cast(self, x: Expr, to: str | DType) -> Expr:
        """Return x in another dtype, as NumPy's astype does (floats to integers truncate)."""
        to = _kind(to)
        if x.kind == to:
            return x
        if x.op == "const" and (to in _FLOATS or x.kind not in _FLOATS) and x.kind != "f64":
            if to in BITS and to != "bool":
                return constant(_wrap(int(x.data), to), to)
            if to != "bf16":
                return constant(x.data, to)
        return apply("cast", to, x)

    def _pair(self, a: Expr | float, b: Expr | float) -> tuple[Expr, Expr]:
        if not isinstance(a, Expr):
            return self.const(a, b), b  # type: ignore[arg-type, return-value]
        return a, b if isinstance(b, Expr) else self.const(b, a)

    def _same(self, op: str, a: Expr | float, b: Expr | float) -> Expr:
        x, y = self._pair(a, b)
        return apply(op, x.kind, x, y)

    def add(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a + b; integers wrap around."""
        x, y = self._pair(a, b)
        if x.kind == "i64" and _is_index(x) and _is_index(y):
            return _sum(x, y)
        return apply("add", x.kind, x, y)

    def sub(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a - b."""
        x, y = self._pair(a, b)
        if x.kind == "i64" and _is_index(x) and _is_index(y):
            return _sum(x, y, -1)
        return apply("sub", x.kind, x, y)

    def mul(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a * b."""
        x, y = self._pair(a, b)
        if x.kind == "i64" and _is_index(x) and _is_index(y):
            if x.op == "const":
                return _scaled(y, x.data)
            if y.op == "const":
                return _scaled(x, y.data)
        return apply("mul", x.kind, x, y)

    def fma(self, a: Expr, b: Expr | float, c: Expr | float) -> Expr:
        """Return a * b + c, rounded once where the machine can; floats only."""
        b, c = self._pair(a, b)[1], self._pair(a, c)[1]
        return apply("fma", a.kind, a, b, c)

    def div(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return the quotient of two floats."""
        return self._same("div", a, b)

    def floor_divide(self, a: Expr, b: Expr | float) -> Expr:
        """Return the quotient of two integers, rounded down; 0 where b is 0, as NumPy has it."""
        return self._same("idiv", a, b)

    def remainder(self, a: Expr, b: Expr | float) -> Expr:
        """Return the remainder of two integers with the sign of b; 0 where b is 0."""
        return self._same("imod", a, b)

    def neg(self, x: Expr) -> Expr:
        """Return -x."""
        return apply("neg", x.kind, x)

    def abs(self, x: Expr) -> Expr:
        """Return the absolute value."""
        return x if x.kind[0] in "ub" and x.kind != "bf16" else apply("abs", x.kind, x)

    def maximum(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return the larger; NaN if one is NaN."""
        return self._same("max", a, b)

    def minimum(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return the smaller; NaN if one is NaN."""
        return self._same("min", a, b)

    def call(self, name: str, *args: Expr) -> Expr:
        """Return an elementary function of floats: exp, log, tanh, sqrt, floor, pow, ... (llvm/math.py lists them)."""
        return apply(name, args[0].kind, *args)

    def exp(self, x: Expr) -> Expr:
        """Return e**x."""
        return self.call("exp", x)

    def log(self, x: Expr) -> Expr:
        """Return the natural logarithm."""
        return self.call("log", x)

    def sqrt(self, x: Expr) -> Expr:
        """Return the square root."""
        return self.call("sqrt", x)

    # -------------------------------------------------------------------------------------------- comparisons, bits
    def compare(self, op: str, a: Expr | float, b: Expr | float) -> Expr:
        """Return a bool; op is eq, ne, lt, le, gt or ge. Only ne holds where one is NaN."""
        x, y = self._pair(a, b)
        return apply(op, "bool", x, y)

    def eq(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a == b."""
        return self.compare("eq", a, b)

    def ne(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a != b."""
        return self.compare("ne", a, b)

    def lt(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a < b."""
        return self.compare("lt", a, b)

    def le(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a <= b."""
        return self.compare("le", a, b)

    def gt(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a > b."""
        return self.compare("gt", a, b)

    def ge(self, a: Expr | float, b: Expr | float) -> Expr:
        """Return a >= b."""
        return self.compare("ge", a, b)

    def both(self, a: Expr, b: Expr) -> Expr:
        """Return the bitwise and; of bools the logical one."""
        return self._same("and", a, b)

    def either(self, a: Expr, b: Expr) -> Expr:
        """Return the bitwise or."""
        return self._same("or", a, b)

    def xor(self, a: Expr, b: Expr) -> Expr:
        """Return the bitwise exclusive or."""
        return self._same("xor", a, b)

    def invert(self, x: Expr) -> Expr:
        """Return all bits flipped; of a bool its negation."""
        return apply("not", x.kind, x)

    def shift_left(self, a: Expr, b: Expr | float) -> Expr:
        """Return a << b; 0 from the width on."""
        return self._same("shl", a, b)

    def shift_right(self, a: Expr, b: Expr | float) -> Expr:
        """Return a >> b; the sign is kept, and repeated from the width on."""
        return self._same("shr", a, b)

    def multiply_high(self, a: Expr, b: Expr | float) -> Expr:
        """Return the upper half of the product of two u32."""
        return self._same("mulhi", a, b)

    def bits(self, x: Expr, to: str) -> Expr:
        """Return the same bits as another kind of equal width."""
        return apply("bitcast", to, x)

    def select(self, condition: Expr, a: Expr | float, b: Expr | float) -> Expr:
        """Return a where the condition holds, else b."""
        x, y = self._pair(a, b)
        if condition.op == "const":
            return x if condition.data else y
        return x if x is y else apply("select", x.kind, condition, x, y)

    def check(self, condition: Expr, value: Expr) -> Expr:
        """Return `value`; where the condition does not hold the step stops with the reference's error."""
        return value if condition.op == "const" and condition.data else apply("check", value.kind, condition, value)

    # -------------------------------------------------------------------------------------------- indices
    def index(self, value: int) -> Expr:
        """Return a constant index."""
        return index(value)

    def divmod(self, a: Expr, by: int) -> tuple[Expr, Expr]:
        """Return a // by and a % by of an index >= 0."""
        return _quotient(a, by)

    def position(self, value: Expr, size: int) -> Expr:
        """Return a computed i64 as an index of an axis; the step stops with the reference's error where it is outside.

        Negative ones count from the end.
        """
        wrapped = self.select(self.lt(value, 0), apply("add", "i64", value, index(size)), value)
        inside = self.both(self.ge(wrapped, 0), self.lt(wrapped, size))
        checked = self.check(inside, wrapped)
        last = index(max(size - 1, 0))
        return _make("clip", "i64", (checked, last), None, 0, max(size - 1, 0))

    def within(self, a: Expr, low: int, high: int) -> Expr:
        """Return whether low <= a < high, for an index."""
        if a.low is not None and a.high is not None:
            if a.low >= low and a.high < high:
                return constant(True, "bool")
            if a.high < low or a.low >= high:
                return constant(False, "bool")
        return self.both(self.ge(a, low), self.lt(a, high))

    def all_of(self, conditions: Sequence[Expr]) -> Expr:
        """Return whether all conditions hold."""
        total = constant(True, "bool")
        for c in conditions:
            if c.op == "const":
                if not c.data:
                    return c
            elif total.op == "const":
                total = c
            else:
                total = self.both(total, c)
        return total

    def flat(self, at: Sequence[Expr], shape: Sequence[int]) -> Expr:
        """Return the row-major position of an element."""
        total = index(0)
        for i, n in zip(at, shape, strict=True):
            total = _sum(_scaled(total, n), i)
        return total

    def unflat(self, position: Expr, shape: Sequence[int]) -> tuple[Expr, ...]:
        """Return the indices of a row-major position."""
        found: list[Expr] = []
        for n in reversed(shape[1:]):
            position, rest = _quotient(position, n) if n else (index(0), index(0))
            found.append(rest)
        return (position, *reversed(found)) if shape else ()


def _is_index(e: Expr) -> bool:
    return e.low is not None or e.op in ("affine", "axis")


def _kind(like: str | DType | Any) -> str:
    if isinstance(like, str):
        return like
    return like.short if isinstance(like, DType) else to_dtype(dtype_of(like)).short


def _wrap(value: int, kind: str) -> int:
    bits = BITS[kind]
    value &= (1 << bits) - 1
    return value - (1 << bits) if kind[0] == "i" and value >> (bits - 1) else value


k = Vocabulary()

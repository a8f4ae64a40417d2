"""Scalar expressions as LLVM values: one axis is spread over the lanes of a vector, the others are run-time numbers.

`Code.value` writes an expression once per scope and remembers its value. `hoist` writes before a loop what does not
depend on its axis. Loads along the vector axis are whole vectors where neighbours lie side by side, one number where
they are the same, gathers otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from chainrule.compiler import expr
from chainrule.compiler.expr import BITS, Expr
from chainrule.compiler.kernels import Buffer, Store
from chainrule.compiler.llvm.ir import I64, Builder, Place, Type, Value

__all__ = ["Code", "combine", "flat", "identity", "kind_type"]

_SAME = {"bool": "i1", "u8": "i8", "u16": "i16", "u32": "i32", "u64": "i64", "bf16": "i16"}
_FLOAT = frozenset(("f32", "f64"))


def kind_type(kind: str, lanes: int = 1) -> Type:
    """Return the LLVM type of a kind; bfloat16 is handled as its bits."""
    return Type(_SAME.get(kind, kind), lanes)


def flat(value: Expr, done: dict[Expr, Expr] | None = None) -> Expr:
    """Return an expression whose loads name a buffer and an address: element[buffer](address, where)."""

    def change(e: Expr) -> Expr | None:
        if e.op != "load":
            return None
        view = e.data
        n = len(view.shape)
        address = view.address([flat(a, done) for a in e.args[:n]])
        rest = tuple(flat(a, done) for a in e.args[n:])
        return expr.apply("element", e.kind, address, *rest, data=view.buffer)

    return expr.rebuild(value, change, done)


class Code:
    """Writes expressions into a builder.

    Args:
        b: the builder.
        pointers: where each buffer begins.
        flag: pointer to an i64 that a failed check sets to 1.
    """

    def __init__(self, b: Builder, pointers: dict[Buffer, Value], flag: Value):
        self.b, self.pointers, self.flag = b, pointers, flag
        self.places: dict[Expr, Place] = {}
        self.scopes: list[dict[Any, Value]] = [{}]
        self.lane: Expr | None = None
        self.width = 1
        self.mask: Value | None = None

    # ------------------------------------------------------------------------------------------------ scopes
    def push(self) -> None:
        """Begin a scope: what is written from here on is forgotten by `pop`."""
        self.scopes.append({})

    def pop(self) -> None:
        """End the scope."""
        self.scopes.pop()

    def know(self, symbol: Expr, value: Value) -> None:
        """Give a symbol its value in the current scope."""
        self.scopes[-1][symbol] = value

    def _find(self, key: Any) -> Value | None:
        for scope in reversed(self.scopes):
            if key in scope:
                return scope[key]
        return None

    def hoist(self, roots: Sequence[Expr], moving: Iterable[Expr], written: Collection[Buffer] = ()) -> None:
        """Write the parts that do not depend on `moving` here, before a loop changes them.

        Args:
            roots: expressions of the loop.
            moving: axes and symbols that change in it.
            written: buffers that change in it.
        """
        changing = frozenset(moving)
        late: set[Expr] = set()
        for part in expr.walk(roots) if written else ():
            if (part.op == "element" and part.data in written) or any(a in late for a in part.args):
                late.add(part)
        available = self._symbols()
        stack = list(roots)
        seen: set[Expr] = set()
        while stack:
            e = stack.pop()
            if e in seen or e.op in ("const", "axis", "symbol"):
                continue
            seen.add(e)
            symbols = [s for s in e.free if s.op == "symbol" and s not in available]
            unplaced = [s for s in e.free if s.op == "axis" and s not in self.places]
            if e.free & changing or symbols or unplaced or e.op == "check" or e in late:
                stack += e.args
            elif e.op == "affine":
                continue
            else:
                self.value(e)

    def _symbols(self) -> set[Expr]:
        return {k for scope in self.scopes for k in scope if isinstance(k, Expr) and k.op == "symbol"}

    # ------------------------------------------------------------------------------------------------ values
    def value(self, e: Expr) -> Value:
        """Return the value of an expression, scalar or vector."""
        found = self._find(e)
        if found is not None:
            return found
        stack = [(e, False)]
        while stack:  # operands first, without deep recursion
            part, ready = stack.pop()
            if part.op in ("axis", "const") or self._find(part) is not None:
                continue
            if not ready:
                stack.append((part, True))
                stack += [(a, False) for a in part.args]
            elif part.op != "affine":
                self.scopes[-1][part] = self._write(part)
        return self._operand(e)

    def _operand(self, e: Expr) -> Value:
        found = self._find(e)
        if found is not None:
            return found
        if e.op == "const":
            value = self.b.const(kind_type(e.kind), e.data) if e.kind != "bf16" else _bf16(self.b, e.data)
        elif e.op == "axis":
            value = self._axis(e)
        else:
            value = self._affine(e)
        self.scopes[-1][e] = value
        return value

    def _axis(self, e: Expr) -> Value:
        place = self.places[e]
        scalar = self.b.add(place.value, place.plus)
        if e is not self.lane or self.width == 1:
            return scalar
        return self.b.binary("add", self.b.splat(scalar, self.width), self.b.iota(self.width))

    def _affine(self, e: Expr) -> Value:
        base, step, rest = self.split(e)
        total = self.b.const(I64, base[1]) if base[0] is None else self.b.add(base[0], base[1])
        if step == 0 and rest is None:
            return total
        wide = self.b.splat(total, self.width)
        if step:
            lanes = self.b.lanes("i64", [step * i for i in range(self.width)])
            wide = self.b.binary("add", wide, lanes)
        return wide if rest is None else self.b.binary("add", wide, rest)

    def split(self, e: Expr) -> tuple[tuple[Value | None, int], int, Value | None]:
        """Return an index as (scalar, constant), its step from lane to lane, and the part that differs freely."""
        offset, factors = expr.terms(e)
        terms: list[tuple[str, int, Value]] = []
        step, rest = 0, None
        for v, c in factors.items():
            if v.op == "axis":
                place = self.places[v]
                offset += c * place.plus
                if v is self.lane and self.width > 1:
                    step = c
                if place.value.known is not None:
                    offset += c * place.value.known
                else:
                    terms.append((place.value.text, c, place.value))
                continue
            value = self.value(v)
            if value.type.lanes == 1:
                terms.append((value.text, c, value))
            else:
                part = self.b.binary("mul", value, self.b.const(value.type, c)) if c != 1 else value
                rest = part if rest is None else self.b.binary("add", rest, part)
        if not terms:
            return (None, offset), step, rest
        key = ("sum", tuple(sorted((text, c) for text, c, _ in terms)))
        total = self._find(key)
        if total is None:
            for _, c, value in terms:
                part = self.b.mul(value, c)
                total = part if total is None else self.b.add(total, part)
            self.scopes[-1][key] = total
        return (total, offset), step, rest

    def pointer(self, buffer: Buffer, base: tuple[Value | None, int]) -> Value:
        """Return the address of an element whose index is a scalar and a constant."""
        kind = kind_type(buffer.kind).kind
        start = self.pointers[buffer]
        if base[0] is not None:
            key = ("pointer", buffer, base[0].text)
            found = self._find(key)
            if found is None:
                found = self.scopes[-1][key] = self.b.offset(start, base[0], kind)
            start = found
        return self.b.offset(start, base[1], kind)

    # ------------------------------------------------------------------------------------------------ memory
    def _element(self, e: Expr) -> Value:
        buffer: Buffer = e.data
        where = self.value(e.args[1]) if len(e.args) > 1 else None
        base, step, rest = self.split(e.args[0])
        type = kind_type(buffer.kind)
        if rest is None and step == 0:
            if where is not None and where.type.lanes > 1:
                step = 0
                rest = self.b.zero(Type("i64", self.width))
            else:
                return self._one(buffer, type, base, where)
        if rest is None and step == 1:
            mask = self._masked(where)
            pointer = self.pointer(buffer, base)
            wide = type.wide(self.width)
            if mask is None:
                return self.b.load(wide, pointer)
            return self.b.masked_load(wide, pointer, mask, zeros=where is not None)
        index = self.b.lanes("i64", [step * i for i in range(self.width)]) if step else None
        if rest is not None:
            index = rest if index is None else self.b.binary("add", index, rest)
        assert index is not None
        return self.b.gather(type.kind, self.pointer(buffer, base), index, self._masked(where))

    def _one(self, buffer: Buffer, type: Type, base: tuple[Value | None, int], where: Value | None) -> Value:
        """Load one number; where the condition does not hold, 0 and nothing is read."""
        if where is None:
            return self.b.load(type, self.pointer(buffer, base))
        index = self.b.const(I64, base[1]) if base[0] is None else self.b.add(base[0], base[1])
        safe = self.b.select(where, index, self.b.const(I64, 0))
        value = self.b.load(type, self.b.offset(self.pointers[buffer], safe, type.kind))
        return self.b.select(where, value, self.b.zero(type))

    def _masked(self, where: Value | None) -> Value | None:
        if where is None:
            return self.mask
        if where.type.lanes == 1:
            where = self.b.splat(where, self.width)
        return where if self.mask is None else self.b.binary("and", where, self.mask)

    def store(self, s: Store) -> None:
        """Write a store; the address is an `affine` expression."""
        value = self.value(s.value)
        buffer = s.view.buffer
        base, step, rest = self.split(s.at[0])
        if rest is None and step == 0:
            if value.type.lanes > 1:
                value = self.b.lane(value, 0)
            self.b.store(value, self.pointer(buffer, base))
            return
        value = self.b.splat(value, self.width) if value.type.lanes == 1 else value
        if rest is None and step == 1:
            pointer = self.pointer(buffer, base)
            if self.mask is None:
                self.b.store(value, pointer)
            else:
                self.b.masked_store(value, pointer, self.mask)
            return
        index = self.b.lanes("i64", [step * i for i in range(self.width)]) if step else rest
        if step and rest is not None:
            index = self.b.binary("add", index, rest)  # type: ignore[arg-type]
        self.b.scatter(value, self.pointer(buffer, base), index, self.mask)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------------------ operations
    def _write(self, e: Expr) -> Value:
        if e.op == "element":
            return self._element(e)
        if e.op == "symbol":
            raise KeyError(f"a kernel uses {e} before it is known")
        args = [self._operand(a) if self._find(a) is None else self._find(a) for a in e.args]
        wide = max((a.type.lanes for a in args), default=1)  # type: ignore[union-attr]
        args = [self.b.splat(a, wide) if a.type.lanes < wide else a for a in args]  # type: ignore[union-attr, arg-type]
        from chainrule.compiler.llvm.operations import write

        return write(self, e, args)  # type: ignore[arg-type]

    def fail_unless(self, condition: Value) -> None:
        """Set the flag where a condition does not hold in some lane that counts."""
        bad = self.b.binary("xor", condition, self.b.const(condition.type, 1))
        if bad.type.lanes > 1:
            if self.mask is not None:
                bad = self.b.binary("and", bad, self.mask)
            word = Type(f"i{bad.type.lanes}")
            bits = self.b.emit(word, f"bitcast {bad.type} {bad.text} to {word}")
            bad = self.b.compare("ne", bits, Value(word, "0"))
        self.b.when(bad, lambda: self.b.store(self.b.const(I64, 1), self.flag))


# ---------------------------------------------------------------------------------------------------- combinations
def identity(b: Builder, op: str, kind: str, lanes: int) -> Value:
    """Return what changes nothing when combined."""
    type = kind_type(kind, lanes)
    if op in ("add", "or"):
        return b.zero(type)
    if op == "mul":
        return b.const(type, 1)
    if op == "and":
        return b.const(type, 1 if kind == "bool" else -1)
    sign = -1 if op == "max" else 1
    if kind in _FLOAT:
        return b.const(type, sign * float("inf"))
    if kind == "bool":
        return b.const(type, 0 if op == "max" else 1)
    bits = BITS[kind]
    if kind[0] == "u":
        return b.const(type, 0 if op == "max" else -1)
    return b.const(type, -(1 << (bits - 1)) if op == "max" else (1 << (bits - 1)) - 1)


def combine(code: Code, op: str, kind: str) -> Callable[[Value, Value], Value]:
    """Return the function that combines two values of a kind."""
    from chainrule.compiler.llvm.operations import binary

    return lambda a, c: binary(code, op, kind, a, c)


def _bf16(b: Builder, value: float) -> Value:
    import struct

    bits = struct.unpack("I", struct.pack("f", value))[0]
    if value == value:
        bits += 0x7FFF + (bits >> 16 & 1)
    return b.const(Type("i16"), _signed(bits >> 16 & 0xFFFF))


def _signed(bits: int) -> int:
    return bits - 0x10000 if bits & 0x8000 else bits

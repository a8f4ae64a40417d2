"""LLVM IR as text: `Module` holds functions, `Builder` writes one of them.

A `Value` is a type and a name. Integers known while writing are folded on the spot, so that addresses with constant
strides cost nothing. Every load and store states the alignment of one element: memory comes from NumPy.

    types      f32 f64 bf16 i1 i8 i16 i32 i64 ptr, and vectors of them: Type("f32", 16)
    control    loop, when, branch-free select
    memory     offset, load, store, masked_load, masked_store, gather
    lanes      splat, lane, shuffle, total (a sum in the same order on every machine of that width)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["BOOL", "F32", "F64", "I32", "I64", "PTR", "VOID", "Builder", "Module", "Place", "Type", "Value"]

_NAMES = {"f32": "float", "f64": "double", "bf16": "bfloat", "f16": "half"}
_BYTES = {"f32": 4, "f64": 8, "bf16": 2, "f16": 2, "i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "ptr": 8}
_LETTER = {"f32": "f32", "f64": "f64", "bf16": "bf16", "f16": "f16"}


class Type(NamedTuple):
    """An LLVM type: an element kind, and 1 for a scalar or the number of lanes of a vector."""

    kind: str
    lanes: int = 1

    def __str__(self) -> str:
        name = _NAMES.get(self.kind, self.kind)
        return name if self.lanes == 1 else f"<{self.lanes} x {name}>"

    @property
    def suffix(self) -> str:
        """How intrinsics spell the type: v16f32."""
        return self.kind if self.lanes == 1 else f"v{self.lanes}{self.kind}"

    @property
    def bytes(self) -> int:
        """Size of one element in memory."""
        return _BYTES[self.kind]

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point numbers."""
        return self.kind in _LETTER

    def of(self, kind: str) -> Type:
        """Return a type of as many lanes with other elements."""
        return Type(kind, self.lanes)

    def wide(self, lanes: int) -> Type:
        """Return the type with this many lanes."""
        return Type(self.kind, lanes)


F32, F64, I32, I64, BOOL, PTR, VOID = (Type(k) for k in ("f32", "f64", "i32", "i64", "i1", "ptr", "void"))


class Value(NamedTuple):
    """A typed operand; `known` is its number where that is known while writing."""

    type: Type
    text: str
    known: int | None = None


class Place(NamedTuple):
    """An index as a run-time i64 and a number added to it, so that neighbours share one address."""

    value: Value
    plus: int = 0


class Module:
    """Functions and the declarations that they need.

    Args:
        has_fma: whether the machine fuses multiply and add; without it the elementary functions round in between.
        has_round: whether one instruction rounds to an integer; without it they compute floor, trunc, ...
    """

    def __init__(self, has_fma: bool = True, has_round: bool = True) -> None:
        self.has_fma, self.has_round = has_fma, has_round
        self.declarations: dict[str, str] = {}
        self.functions: list[str] = []

    def declare(self, name: str, result: Type, parameters: Sequence[Type]) -> None:
        """Declare an outside function or intrinsic once."""
        if name not in self.declarations:
            self.declarations[name] = f"declare {result} @{name}({', '.join(map(str, parameters))})"

    def text(self) -> str:
        """Return the IR of the module."""
        return "\n".join([*self.declarations.values(), *self.functions]) + "\n"


Index = Value | int


def _only_lane(mask: Value) -> int | None:
    """Return the lane of a constant mask in which alone it holds, or None."""
    lanes = mask.text[1:-1].split(", ") if mask.text.startswith("<") else []
    held = [i for i, lane in enumerate(lanes) if lane == "i1 true"]
    return held[0] if len(held) == 1 else None


class Builder:
    """Writes one function; values are in single-assignment form.

    Args:
        module: where the function goes when `finish` is called.
        name: of the function.
        result: its type.
        parameters: types; `arguments` are their values.
        internal: whether only this module calls it.
    """

    def __init__(self, module: Module, name: str, result: Type, parameters: Sequence[Type], internal: bool = True):
        self.module, self.name = module, name
        self.arguments = [Value(t, f"%a{i}") for i, t in enumerate(parameters)]
        scope = "internal " if internal else ""
        heads = ", ".join(f"{v.type} {v.text}" for v in self.arguments)
        self.lines = [f"define {scope}{result} @{name}({heads}) nounwind {{"]
        self.count = 0
        self.allocas: list[str] = []
        self.place(self.block())
        self._entry = len(self.lines)

    # ------------------------------------------------------------------------------------------------ structure
    def finish(self, value: Value | None = None) -> None:
        """End the function by returning `value`, and put it into the module."""
        self.lines.append("ret void" if value is None else f"ret {value.type} {value.text}")
        self.lines[self._entry : self._entry] = self.allocas
        self.module.functions.append("\n".join([*self.lines, "}"]))

    def block(self) -> str:
        """Return the name of a new block."""
        self.count += 1
        return f"b{self.count}"

    def place(self, block: str) -> None:
        """Write from here on in `block`."""
        self.here = block
        self.lines.append(f"{block}:")

    def emit(self, type: Type, text: str) -> Value:
        """Append an instruction and return its value."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"{name} = {text}")
        return Value(type, name)

    def jump(self, block: str) -> None:
        """Go on in `block`."""
        self.lines.append(f"br label %{block}")

    def branch(self, condition: Value, yes: str, no: str) -> None:
        """Go on in one of two blocks."""
        self.lines.append(f"br i1 {condition.text}, label %{yes}, label %{no}")

    def loop(
        self,
        stop: Index,
        body: Callable[..., Sequence[Value] | None],
        init: Sequence[Value] = (),
        *,
        start: Index = 0,
        step: int = 1,
    ) -> list[Value]:
        """Write `for i in range(start, stop, step)`.

        Args:
            stop: end, exclusive.
            body: called once with i and the carried values; returns the next carried values, or None without any.
            init: the carried values before the first turn.
            start: first i.
            step: positive step.

        Returns:
            The carried values after the last turn; `init` when there was none.
        """
        first, end = self._index(start), self._index(stop)
        known = first.known is not None and end.known is not None
        if known and first.known >= end.known:  # type: ignore[operator]
            return list(init)
        if known and first.known + step >= end.known:  # type: ignore[operator]
            return list(body(first, *init) or ())
        before, head, after = self.here, self.block(), self.block()
        if known:
            self.jump(head)
        else:
            self.branch(self.compare("slt", first, end), head, after)
        self.place(head)
        i = self._phi(I64)
        carried = [self._phi(v.type) for v in init]
        new = list(body(i[1], *[c[1] for c in carried]) or ())
        following = self.add(i[1], step)
        for (line, phi), begin, value in zip([i, *carried], [first, *init], [following, *new], strict=True):
            self.lines[line] = (
                f"{phi.text} = phi {phi.type} [ {begin.text}, %{before} ], [ {value.text}, %{self.here} ]"
            )
        end_block = self.here
        self.branch(self.compare("slt", following, end), head, after)
        self.place(after)
        if known:
            return new
        return [
            self.emit(v.type, f"phi {v.type} [ {v.text}, %{before} ], [ {w.text}, %{end_block} ]")
            for v, w in zip(init, new, strict=True)
        ]

    def _phi(self, type: Type) -> tuple[int, Value]:
        value = self.emit(type, "")
        return len(self.lines) - 1, value

    def when(self, condition: Value, body: Callable[[], None]) -> None:
        """Write `if condition: body()`; nothing is carried out of it."""
        inside, after = self.block(), self.block()
        self.branch(condition, inside, after)
        self.place(inside)
        body()
        self.jump(after)
        self.place(after)

    def choose(
        self, condition: Value, yes: Callable[[], Sequence[Value]], no: Callable[[], Sequence[Value]]
    ) -> list[Value]:
        """Write `yes() if condition else no()` with a real branch; both return values of the same types."""
        a, b, after = self.block(), self.block(), self.block()
        self.branch(condition, a, b)
        self.place(a)
        left, left_end = list(yes()), self.here
        self.jump(after)
        self.place(b)
        right, right_end = list(no()), self.here
        self.jump(after)
        self.place(after)
        return [
            self.emit(v.type, f"phi {v.type} [ {v.text}, %{left_end} ], [ {w.text}, %{right_end} ]")
            for v, w in zip(left, right, strict=True)
        ]

    def alloca(self, type: Type, count: int = 1, align: int = 64) -> Value:
        """Return memory on the stack, reserved once per call."""
        self.count += 1
        name = f"%v{self.count}"
        self.allocas.append(f"{name} = alloca {type}, i64 {count}, align {align}")
        return Value(PTR, name)

    # ------------------------------------------------------------------------------------------------ constants
    def const(self, type: Type, value: float) -> Value:
        """Return a number of a type; a vector holds it in every lane. Floats are rounded to the type."""
        if type.is_float:
            text = self._float(type.kind, float(value))
        else:
            number = int(value)
            text = ("true" if number else "false") if type.kind == "i1" else str(number)
        if type.lanes > 1:
            return Value(type, f"splat ({type.wide(1)} {text})")
        return Value(type, text, None if type.is_float or type.kind == "ptr" else int(value))

    @staticmethod
    def _float(kind: str, value: float) -> str:
        if kind == "f64":
            return "0x" + struct.pack(">d", value).hex()
        if kind == "f32":
            if math.isnan(value) or math.isinf(value):
                return "0x" + struct.pack(">d", value).hex()
            try:
                single = struct.unpack("f", struct.pack("f", value))[0]
            except OverflowError:
                single = math.copysign(math.inf, value)
            return "0x" + struct.pack(">d", single).hex()
        if kind == "bf16":
            bits = struct.unpack("I", struct.pack("f", value))[0]
            if not math.isnan(value):
                bits += 0x7FFF + (bits >> 16 & 1)
            return f"0xR{bits >> 16 & 0xFFFF:04X}"
        return f"0xH{struct.unpack('H', struct.pack('e', value))[0]:04X}"

    def lanes(self, kind: str, values: Sequence[float]) -> Value:
        """Return a constant vector."""
        one = [self.const(Type(kind), v) for v in values]
        return Value(Type(kind, len(one)), "<" + ", ".join(f"{v.type} {v.text}" for v in one) + ">")

    def zero(self, type: Type) -> Value:
        """Return the zero of a type."""
        return Value(type, "zeroinitializer") if type.lanes > 1 else self.const(type, 0)

    def _index(self, value: Index) -> Value:
        return Value(I64, str(value), value) if isinstance(value, int) else value

    # ------------------------------------------------------------------------------------------------ i64 arithmetic
    def add(self, a: Index, b: Index) -> Value:
        """Return a + b of two i64."""
        a, b = self._index(a), self._index(b)
        if a.known is not None and b.known is not None:
            return self._index(a.known + b.known)
        if a.known == 0:
            return b
        return a if b.known == 0 else self.emit(I64, f"add nsw i64 {a.text}, {b.text}")

    def sub(self, a: Index, b: Index) -> Value:
        """Return a - b of two i64."""
        a, b = self._index(a), self._index(b)
        if a.known is not None and b.known is not None:
            return self._index(a.known - b.known)
        return a if b.known == 0 else self.emit(I64, f"sub nsw i64 {a.text}, {b.text}")

    def mul(self, a: Index, b: Index) -> Value:
        """Return a * b of two i64."""
        a, b = self._index(a), self._index(b)
        if a.known is not None and b.known is not None:
            return self._index(a.known * b.known)
        if a.known == 0 or b.known == 0:
            return self._index(0)
        if a.known == 1:
            return b
        return a if b.known == 1 else self.emit(I64, f"mul nsw i64 {a.text}, {b.text}")

    def floordiv(self, a: Index, b: int) -> Value:
        """Return a // b of an i64 >= 0 and a positive number."""
        a = self._index(a)
        if a.known is not None:
            return self._index(a.known // b)
        return a if b == 1 else self.emit(I64, f"udiv i64 {a.text}, {b}")

    def mod(self, a: Index, b: int) -> Value:
        """Return a % b of an i64 >= 0 and a positive number."""
        a = self._index(a)
        if a.known is not None:
            return self._index(a.known % b)
        return self._index(0) if b == 1 else self.emit(I64, f"urem i64 {a.text}, {b}")

    def minimum(self, a: Index, b: Index) -> Value:
        """Return the smaller of two i64."""
        a, b = self._index(a), self._index(b)
        if a.known is not None and b.known is not None:
            return self._index(min(a.known, b.known))
        return self.select(self.compare("slt", a, b), a, b)

    # ------------------------------------------------------------------------------------------------ values
    def binary(self, op: str, a: Value, b: Value) -> Value:
        """Return the result of an LLVM instruction of two operands: fadd, fmul, xor, shl, ..."""
        return self.emit(a.type, f"{op} {a.type} {a.text}, {b.text}")

    def unary(self, op: str, a: Value) -> Value:
        """Return the result of an LLVM instruction of one operand: fneg."""
        return self.emit(a.type, f"{op} {a.type} {a.text}")

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a * b + c, rounded once where the machine can."""
        if not self.module.has_fma:
            return self.binary("fadd", self.binary("fmul", a, b), c)
        return self.intrinsic("fma", a.type, a, b, c)

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        """Return a comparison: olt, ogt, une, ... of floats; eq, slt, ult, ... of integers."""
        op = "fcmp" if a.type.is_float else "icmp"
        return self.emit(a.type.of("i1"), f"{op} {predicate} {a.type} {a.text}, {b.text}")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """Return a where the condition holds, else b, lane by lane."""
        return self.emit(a.type, f"select {condition.type} {condition.text}, {a.type} {a.text}, {b.type} {b.text}")

    def cast(self, op: str, a: Value, kind: str) -> Value:
        """Return a conversion: sitofp, fptosi, zext, trunc, fpext, fptrunc, bitcast (to elements as wide)."""
        to = a.type.of(kind)
        return self.emit(to, f"{op} {a.type} {a.text} to {to}")

    def call(self, result: Type, name: str, *args: Value) -> Value:
        """Call a function of this module or one that `Module.declare` knows."""
        text = f"call {result} @{name}({', '.join(f'{a.type} {a.text}' for a in args)})"
        if result == VOID:
            self.lines.append(text)
            return Value(VOID, "")
        return self.emit(result, text)

    def intrinsic(self, name: str, type: Type, *args: Value) -> Value:
        """Call llvm.<name>.<type> whose result and operands have that type."""
        full = f"llvm.{name}.{type.suffix}"
        self.module.declare(full, type, [a.type for a in args])
        return self.call(type, full, *args)

    # ------------------------------------------------------------------------------------------------ memory
    def offset(self, pointer: Value, index: Index, kind: str) -> Value:
        """Return pointer + index elements of a kind."""
        index = self._index(index)
        if index.known == 0:
            return pointer
        element = Type("i8" if kind == "i1" else kind)
        return self.emit(PTR, f"getelementptr {element}, ptr {pointer.text}, i64 {index.text}")

    def load(self, type: Type, pointer: Value) -> Value:
        """Return elements that lie side by side; i1 is stored as one byte."""
        if type.kind == "i1":
            return self.cast("trunc", self.load(type.of("i8"), pointer), "i1")
        return self.emit(type, f"load {type}, ptr {pointer.text}, align {type.bytes}")

    def store(self, value: Value, pointer: Value) -> None:
        """Store elements side by side; i1 is stored as one byte."""
        if value.type.kind == "i1":
            value = self.cast("zext", value, "i8")
        self.lines.append(f"store {value.type} {value.text}, ptr {pointer.text}, align {value.type.bytes}")

    def masked_load(self, type: Type, pointer: Value, mask: Value, *, zeros: bool = True) -> Value:
        """Return elements where the mask holds, 0 elsewhere; nothing else is touched.

        Args:
            type: of the vector.
            pointer: of the first element.
            mask: one bit per lane.
            zeros: whether it matters what stands elsewhere. Without, a single element may stand in all lanes: LLVM 22
                takes a product for 0 in lanes where one factor is known to be 0, though the other may be 0 / 0, and
                drops the selection after it.
        """
        if type.kind == "i1":
            return self.cast("trunc", self.masked_load(type.of("i8"), pointer, mask, zeros=zeros), "i1")
        only = _only_lane(mask)
        if only is not None:
            value = self.load(type.wide(1), self.offset(pointer, only, type.kind))
            return self.insert(self.zero(type), value, only) if zeros else self.splat(value, type.lanes)
        name = f"llvm.masked.load.{type.suffix}.p0"
        self.module.declare(name, type, [PTR, I32, mask.type, type])
        return self.emit(
            type,
            f"call {type} @{name}(ptr {pointer.text}, i32 {type.bytes}, {mask.type} {mask.text}, "
            f"{type} zeroinitializer)",
        )

    def masked_store(self, value: Value, pointer: Value, mask: Value) -> None:
        """Store the elements where the mask holds."""
        if value.type.kind == "i1":
            value = self.cast("zext", value, "i8")
        only = _only_lane(mask)
        if only is not None:  # LLVM 22 stores 32 bits of one lane of 16 that was narrowed from 32
            self.store(self.lane(value, only), self.offset(pointer, only, value.type.kind))
            return
        name = f"llvm.masked.store.{value.type.suffix}.p0"
        self.module.declare(name, VOID, [value.type, PTR, I32, mask.type])
        self.lines.append(
            f"call void @{name}({value.type} {value.text}, ptr {pointer.text}, i32 {value.type.bytes}, "
            f"{mask.type} {mask.text})"
        )

    def gather(self, kind: str, base: Value, index: Value, mask: Value | None = None) -> Value:
        """Return base[index] for a vector of i64 indices in elements; 0 where the mask does not hold."""
        lanes = index.type.lanes
        stored = "i8" if kind == "i1" else kind
        type = Type(stored, lanes)
        pointers = self.emit(
            Type("ptr", lanes), f"getelementptr {Type(stored)}, ptr {base.text}, {index.type} {index.text}"
        )
        mask = mask or self.const(Type("i1", lanes), 1)
        name = f"llvm.masked.gather.{type.suffix}.v{lanes}p0"
        self.module.declare(name, type, [pointers.type, I32, mask.type, type])
        value = self.emit(
            type,
            f"call {type} @{name}({pointers.type} {pointers.text}, i32 {type.bytes}, {mask.type} {mask.text}, "
            f"{type} zeroinitializer)",
        )
        return self.cast("trunc", value, "i1") if kind == "i1" else value

    def scatter(self, value: Value, base: Value, index: Value, mask: Value | None = None) -> None:
        """Store value[l] at base[index[l]] for a vector of i64 indices in elements, in the order of the lanes."""
        if value.type.kind == "i1":
            value = self.cast("zext", value, "i8")
        lanes = index.type.lanes
        pointers = self.emit(
            Type("ptr", lanes), f"getelementptr {value.type.wide(1)}, ptr {base.text}, {index.type} {index.text}"
        )
        mask = mask or self.const(Type("i1", lanes), 1)
        name = f"llvm.masked.scatter.{value.type.suffix}.v{lanes}p0"
        self.module.declare(name, VOID, [value.type, pointers.type, I32, mask.type])
        self.lines.append(
            f"call void @{name}({value.type} {value.text}, {pointers.type} {pointers.text}, i32 {value.type.bytes}, "
            f"{mask.type} {mask.text})"
        )

    # ------------------------------------------------------------------------------------------------ lanes
    def splat(self, value: Value, lanes: int) -> Value:
        """Return a vector with the scalar in every lane."""
        if lanes == 1:
            return value
        if value.known is not None:
            return self.const(value.type.wide(lanes), value.known)
        wide = value.type.wide(lanes)
        one = self.emit(wide, f"insertelement {wide} poison, {value.type} {value.text}, i32 0")
        return self.emit(wide, f"shufflevector {wide} {one.text}, {wide} poison, <{lanes} x i32> zeroinitializer")

    def lane(self, value: Value, index: int) -> Value:
        """Return one lane of a vector."""
        return self.emit(value.type.wide(1), f"extractelement {value.type} {value.text}, i32 {index}")

    def insert(self, value: Value, scalar: Value, index: int) -> Value:
        """Return the vector with one lane replaced."""
        return self.emit(
            value.type, f"insertelement {value.type} {value.text}, {scalar.type} {scalar.text}, i32 {index}"
        )

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Return the lanes of a followed by b that are listed."""
        index = ", ".join(f"i32 {i}" for i in lanes)
        type = a.type.wide(len(lanes))
        return self.emit(type, f"shufflevector {a.type} {a.text}, {b.type} {b.text}, <{len(lanes)} x i32> <{index}>")

    def iota(self, lanes: int, kind: str = "i64") -> Value:
        """Return 0, 1, 2, ... in the lanes."""
        return self.lanes(kind, range(lanes)) if lanes > 1 else self.const(Type(kind), 0)

    def mask(self, count: Value, lanes: int) -> Value:
        """Return a mask of the first `count` lanes (an i64)."""
        if count.known is not None:
            return self.lanes("i1", [i < count.known for i in range(lanes)])
        return self.compare(
            "slt", self.iota(lanes, "i32"), self.splat(self.emit(I32, f"trunc i64 {count.text} to i32"), lanes)
        )

    def fold(self, value: Value, combine: Callable[[Value, Value], Value]) -> Value:
        """Combine the lanes of a vector into one number, always in the same order: halves, quarters, ..."""
        lanes = value.type.lanes
        while lanes > 1:
            half = lanes // 2
            low = self.shuffle(value, value, range(half)) if half > 1 else self.lane(value, 0)
            high = self.shuffle(value, value, range(half, lanes)) if half > 1 else self.lane(value, 1)
            value, lanes = combine(low, high), half
        return value

"""The operations of expressions, written for one value or a vector of them.

They mean what NumPy's references mean: NaN passes through max and min, integers wrap around, an integer division by
zero gives 0, a shift past the width gives what is left, floats out of an integer's range give its nearest end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chainrule.compiler.expr import BITS, Expr
from chainrule.compiler.llvm.ir import I32, Type, Value

if TYPE_CHECKING:
    from chainrule.compiler.llvm.code import Code

__all__ = ["binary", "write"]

_FLOAT = frozenset(("f32", "f64"))
_ARITHMETIC = {"add": ("fadd", "add"), "sub": ("fsub", "sub"), "mul": ("fmul", "mul"), "div": ("fdiv", "")}
_BITWISE = frozenset(("and", "or", "xor"))
_ORDER = {"eq": ("oeq", "eq", "eq"), "ne": ("une", "ne", "ne")}
_ORDER |= {op: (f"o{op}", f"s{op}", f"u{op}") for op in ("lt", "le", "gt", "ge")}


def binary(code: Code, op: str, kind: str, x: Value, y: Value) -> Value:
    """Return an arithmetic or bitwise operation of two values of a kind."""
    b = code.b
    if op in _ARITHMETIC:
        if kind == "bool":
            return b.binary("or" if op == "add" else "and", x, y)
        return b.binary(_ARITHMETIC[op][kind not in _FLOAT], x, y)
    if op in _BITWISE:
        return b.binary(op, x, y)
    return _extreme(code, op, kind, x, y)


def _extreme(code: Code, op: str, kind: str, x: Value, y: Value) -> Value:
    b = code.b
    if kind in _FLOAT:  # the unordered comparison keeps a NaN in x, the second choice one in y
        best = b.select(b.compare("ugt" if op == "max" else "ult", x, y), x, y)
        if _is_number(y):
            return best
        return b.select(b.compare("uno", y, y), y, best)
    sign = "u" if kind[0] in "ub" else "s"
    return b.select(b.compare(f"{sign}{'gt' if op == 'max' else 'lt'}", x, y), x, y)


def _is_number(v: Value) -> bool:
    return v.text.startswith(("splat (float 0x", "splat (double 0x", "0x")) and "0x7FF8" not in v.text.upper()


def write(code: Code, e: Expr, args: list[Value]) -> Value:
    """Return the value of an operation from those of its operands, all scalar or all vectors."""
    b, op, kind = code.b, e.op, e.kind
    if op in _ARITHMETIC or op in _BITWISE or op in ("max", "min"):
        return binary(code, op, kind, *args)
    if op in _ORDER:
        source = e.args[0].kind
        column = 0 if source in _FLOAT else 2 if source[0] in "ub" else 1
        return b.compare(_ORDER[op][column], *args)
    if op == "select":
        return b.select(*args)
    if op == "cast":
        return cast(code, args[0], e.args[0].kind, kind)
    if op in _SPECIAL:
        return _SPECIAL[op](code, e, args)
    from chainrule.compiler.llvm.math import FUNCTIONS

    return FUNCTIONS[op](b, *args)


# ---------------------------------------------------------------------------------------------------- one by one
def _negate(code: Code, e: Expr, args: list[Value]) -> Value:
    if e.kind in _FLOAT:
        return code.b.unary("fneg", args[0])
    return code.b.binary("sub", code.b.zero(args[0].type), args[0])


def _absolute(code: Code, e: Expr, args: list[Value]) -> Value:
    b, (x,) = code.b, args
    if e.kind in _FLOAT:
        return b.intrinsic("fabs", x.type, x)
    minus = b.binary("sub", b.zero(x.type), x)
    return b.select(b.compare("slt", x, b.zero(x.type)), minus, x)


def _fma(code: Code, e: Expr, args: list[Value]) -> Value:
    return code.b.fma(*args)


def _invert(code: Code, e: Expr, args: list[Value]) -> Value:
    return code.b.binary("xor", args[0], code.b.const(args[0].type, 1 if e.kind == "bool" else -1))


def _divisor(code: Code, kind: str, x: Value, y: Value) -> tuple[Value, Value]:
    """Return a divisor that can't trap, and where the real one is 0."""
    b = code.b
    zero = b.compare("eq", y, b.zero(y.type))
    safe = b.select(zero, b.const(y.type, 1), y)
    if kind[0] != "u":  # the smallest number over -1
        minus = b.compare("eq", y, b.const(y.type, -1))
        least = b.compare("eq", x, b.const(x.type, -(1 << (BITS[kind] - 1))))
        safe = b.select(b.binary("and", minus, least), b.const(y.type, 1), safe)
    return safe, zero


def _floor_division(code: Code, e: Expr, args: list[Value]) -> Value:
    b, (x, y), kind = code.b, args, e.kind
    safe, zero = _divisor(code, kind, x, y)
    if kind[0] == "u":
        return b.select(zero, b.zero(x.type), b.binary("udiv", x, safe))
    quotient = b.binary("sdiv", x, safe)
    rest = b.binary("sub", x, b.binary("mul", quotient, safe))
    other_sign = b.compare("slt", b.binary("xor", rest, safe), b.zero(x.type))
    uneven = b.binary("and", b.compare("ne", rest, b.zero(x.type)), other_sign)
    floored = b.binary("add", quotient, b.select(uneven, b.const(x.type, -1), b.zero(x.type)))
    return b.select(zero, b.zero(x.type), floored)


def _remainder(code: Code, e: Expr, args: list[Value]) -> Value:
    b, (x, y), kind = code.b, args, e.kind
    safe, zero = _divisor(code, kind, x, y)
    if kind[0] == "u":
        return b.select(zero, b.zero(x.type), b.binary("urem", x, safe))
    rest = b.binary("srem", x, safe)
    other_sign = b.compare("slt", b.binary("xor", rest, safe), b.zero(x.type))
    uneven = b.binary("and", b.compare("ne", rest, b.zero(x.type)), other_sign)
    wrapped = b.binary("add", rest, b.select(uneven, safe, b.zero(x.type)))
    return b.select(zero, b.zero(x.type), wrapped)


def _shift(code: Code, e: Expr, args: list[Value]) -> Value:
    b, (x, y), kind = code.b, args, e.kind
    bits = BITS[kind]
    inside = b.compare("ult", y, b.const(y.type, bits))
    amount = b.select(inside, y, b.zero(y.type))
    if e.op == "shl":
        return b.select(inside, b.binary("shl", x, amount), b.zero(x.type))
    if kind[0] == "u":
        return b.select(inside, b.binary("lshr", x, amount), b.zero(x.type))
    return b.binary("ashr", x, b.select(inside, y, b.const(y.type, bits - 1)))


def _multiply_high(code: Code, e: Expr, args: list[Value]) -> Value:
    b = code.b
    x, y = (b.cast("zext", a, "i64") for a in args)
    product = b.binary("mul", x, y)
    return b.cast("trunc", b.binary("lshr", product, b.const(product.type, 32)), "i32")


def _bits(code: Code, e: Expr, args: list[Value]) -> Value:
    from chainrule.compiler.llvm.code import kind_type

    kind = kind_type(e.kind).kind
    return args[0] if args[0].type.kind == kind else code.b.cast("bitcast", args[0], kind)


def _check(code: Code, e: Expr, args: list[Value]) -> Value:
    code.fail_unless(args[0])
    return args[1]


def _clip(code: Code, e: Expr, args: list[Value]) -> Value:
    b, (x, last) = code.b, args
    low = b.select(b.compare("slt", x, b.zero(x.type)), b.zero(x.type), x)
    return b.select(b.compare("sgt", low, last), last, low)


def _by_constant(code: Code, e: Expr, args: list[Value]) -> Value:
    b, (x,) = code.b, args
    by = e.data
    if by & (by - 1) == 0:
        amount = b.const(x.type, by.bit_length() - 1)
        return b.binary("lshr", x, amount) if e.op == "floordiv" else b.binary("and", x, b.const(x.type, by - 1))
    high = e.args[0].high
    if x.type.lanes > 1 and high is not None and high < 1 << 31:  # 32 bits are enough, and divide by multiplication
        small = b.cast("trunc", x, "i32")
        found = b.binary("udiv" if e.op == "floordiv" else "urem", small, b.const(small.type, by))
        return b.cast("zext", found, "i64")
    return b.binary("udiv" if e.op == "floordiv" else "urem", x, b.const(x.type, by))


def _square_root(code: Code, e: Expr, args: list[Value]) -> Value:
    return code.b.intrinsic("sqrt", args[0].type, args[0])


_SPECIAL: dict[str, Callable[[Code, Expr, list[Value]], Value]] = {
    "neg": _negate,
    "abs": _absolute,
    "fma": _fma,
    "not": _invert,
    "idiv": _floor_division,
    "imod": _remainder,
    "shl": _shift,
    "shr": _shift,
    "mulhi": _multiply_high,
    "bitcast": _bits,
    "check": _check,
    "clip": _clip,
    "floordiv": _by_constant,
    "mod": _by_constant,
    "sqrt": _square_root,
}


# ---------------------------------------------------------------------------------------------------- conversions
def cast(code: Code, x: Value, source: str, to: str) -> Value:
    """Return x in another dtype, as NumPy's astype does."""
    b = code.b
    if source == to:
        return x
    if source == "bf16":
        bits = b.binary("shl", b.cast("zext", x, "i32"), b.const(I32.wide(x.type.lanes), 16))
        return cast(code, b.cast("bitcast", bits, "f32"), "f32", to)
    if to == "bf16":
        return _narrow(code, cast(code, x, source, "f32"))
    if source == "bool":
        if to in _FLOAT:
            return b.cast("uitofp", x, to)
        return b.cast("zext", x, Type(_width(to)).kind)
    if to == "bool":
        return b.compare("une" if source in _FLOAT else "ne", x, b.zero(x.type))
    if source in _FLOAT and to in _FLOAT:
        return b.cast("fpext" if to == "f64" else "fptrunc", x, to)
    if to in _FLOAT:
        return b.cast("uitofp" if source[0] == "u" else "sitofp", x, to)
    if source in _FLOAT:
        return _to_integer(code, x, to)
    have, wanted = BITS[source], BITS[to]
    if have == wanted:
        return x
    if have > wanted:
        return b.cast("trunc", x, _width(to))
    return b.cast("zext" if source[0] == "u" else "sext", x, _width(to))


def _width(kind: str) -> str:
    return "i1" if kind == "bool" else f"i{BITS[kind]}"


def _narrow(code: Code, x: Value) -> Value:
    """Round a float32 to bfloat16, to the nearest and to even; a NaN stays one."""
    b = code.b
    bits = b.cast("bitcast", x, "i32")
    last = b.binary("and", b.binary("lshr", bits, b.const(bits.type, 16)), b.const(bits.type, 1))
    rounded = b.binary("add", bits, b.binary("add", last, b.const(bits.type, 0x7FFF)))
    quiet = b.binary("or", bits, b.const(bits.type, 0x400000))
    chosen = b.select(b.compare("uno", x, x), quiet, rounded)
    return b.cast("trunc", b.binary("lshr", chosen, b.const(bits.type, 16)), "i16")


def _to_integer(code: Code, x: Value, to: str) -> Value:
    """Truncate; what is outside the integer's range becomes its end, and NaN 0, as `astype` has it."""
    b = code.b
    wide = "i64" if BITS[to] == 64 else "i32"
    signed = to[0] == "i" or BITS[to] < 32
    type = x.type.of(wide)
    name = f"llvm.fpto{'s' if signed else 'u'}i.sat.{type.suffix}.{x.type.suffix}"
    b.module.declare(name, type, [x.type])
    value = b.call(type, name, x)
    if _width(to) == wide:
        return value
    low, high = (0, (1 << BITS[to]) - 1) if to[0] == "u" else (-(1 << (BITS[to] - 1)), (1 << (BITS[to] - 1)) - 1)
    value = b.select(b.compare("slt", value, b.const(type, low)), b.const(type, low), value)
    value = b.select(b.compare("sgt", value, b.const(type, high)), b.const(type, high), value)
    return b.cast("trunc", value, _width(to))

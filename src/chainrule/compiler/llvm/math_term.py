"""`Term`: a value in the lanes with Python's operators, in which the elementary functions are written.

A term knows its builder, and whether its result is wanted in float32 only: `term.pick(table)` then takes the shorter
polynomial. `emitter` turns a function of terms into a function of a builder and values; `through_double` runs a
function on float32 in float64, where a few more bits replace every trick.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from chainrule.compiler.llvm.ir import Builder, Value

__all__ = ["Emitter", "Term", "emitter", "through_double"]

Emitter = Callable[..., Value]
# kind -> bits of the mantissa, the kind of integer as wide, the smallest normal number
_FORMATS = {"f32": (23, "i32", 2.0**-126), "f64": (52, "i64", 2.0**-1022)}
_FLOAT_OPS = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
_INTEGER_OPS = {"+": "add", "-": "sub", "*": "mul"}


class Term:
    """A value of float32, float64, an integer kind or bool in any number of lanes.

    Args:
        b: the builder.
        value: the value.
        short: whether 24 correct bits are enough though the value may be a double.
    """

    __slots__ = ("b", "short", "value")

    def __init__(self, b: Builder, value: Value, short: bool = False):
        self.b, self.value, self.short = b, value, short

    # ------------------------------------------------------------------------------------------------ about the type
    @property
    def kind(self) -> str:
        """Kind of the elements: "f32", "i64", "i1", ..."""
        return self.value.type.kind

    @property
    def mantissa(self) -> int:
        """Bits of the mantissa that are stored."""
        return _FORMATS[self.kind][0]

    @property
    def integer(self) -> str:
        """Kind of the integers that are as wide."""
        return _FORMATS[self.kind][1]

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return _FORMATS[self.kind][2]

    @property
    def magic(self) -> float:
        """1.5 * 2^mantissa: added to a small number it leaves the nearest integer in the low bits."""
        return 1.5 * 2.0**self.mantissa

    def pick(self, table: Sequence) -> Sequence[float]:
        """Return the first entry of a table for a result in float32, else the second."""
        return table[0 if self.short or self.kind == "f32" else 1]

    # ------------------------------------------------------------------------------------------------ making terms
    def _term(self, value: Value) -> Term:
        return Term(self.b, value, self.short)

    def _same(self, other: Term | float) -> Value:
        return other.value if isinstance(other, Term) else self.number(other).value

    def number(self, value: float) -> Term:
        """Return a constant of the same type."""
        if not self.value.type.is_float and value >= 1 << 63:
            value = int(value) - (1 << 64)
        return self._term(self.b.const(self.value.type, value))

    def _apply(self, op: str, left: Value, right: Value) -> Term:
        name = (_FLOAT_OPS if left.type.is_float else _INTEGER_OPS)[op]
        return self._term(self.b.binary(name, left, right))

    # ------------------------------------------------------------------------------------------------ arithmetic
    def __add__(self, other: Term | float) -> Term:
        return self._apply("+", self.value, self._same(other))

    def __sub__(self, other: Term | float) -> Term:
        return self._apply("-", self.value, self._same(other))

    def __mul__(self, other: Term | float) -> Term:
        return self._apply("*", self.value, self._same(other))

    def __truediv__(self, other: Term | float) -> Term:
        return self._apply("/", self.value, self._same(other))

    def __radd__(self, other: float) -> Term:
        return self._apply("+", self._same(other), self.value)

    def __rsub__(self, other: float) -> Term:
        return self._apply("-", self._same(other), self.value)

    def __rmul__(self, other: float) -> Term:
        return self._apply("*", self._same(other), self.value)

    def __rtruediv__(self, other: float) -> Term:
        return self._apply("/", self._same(other), self.value)

    def __neg__(self) -> Term:
        return self._term(self.b.unary("fneg", self.value))

    def madd(self, factor: Term | float, addend: Term | float) -> Term:
        """Return self * factor + addend: rounded once where the machine has a fused multiply-add."""
        return self._term(self.b.fma(self.value, self._same(factor), self._same(addend)))

    def poly(self, coefficients: Sequence[float]) -> Term:
        """Return the polynomial with these coefficients, constant term first (Horner's scheme)."""
        result: Term = self.number(coefficients[-1])
        for c in coefficients[-2::-1]:
            result = result.madd(self, c)
        return result

    def two_product(self, other: Term) -> tuple[Term, Term]:
        """Return the rounded product and what rounding took off it (Dekker, Numer. Math. 18, 1971)."""
        product = self * other
        if self.b.module.has_fma:
            return product, self.madd(other, -product)
        (a, low_a), (b, low_b) = self.halves(), other.halves()
        return product, ((a * b - product) + a * low_b + low_a * b) + low_a * low_b

    def halves(self) -> tuple[Term, Term]:
        """Return the upper bits and the rest; both have so few bits that their products are exact."""
        drop = (self.mantissa + 1) // 2 + 1
        high = (self.bits() & -(1 << drop)).as_float()
        return high, self - high

    # ------------------------------------------------------------------------------------------------ comparisons
    def _compare(self, ordered: str, other: Term | float) -> Term:
        return self._term(self.b.compare(ordered, self.value, self._same(other)))

    def __lt__(self, other: Term | float) -> Term:
        return self._compare("olt", other)

    def __le__(self, other: Term | float) -> Term:
        return self._compare("ole", other)

    def __gt__(self, other: Term | float) -> Term:
        return self._compare("ogt", other)

    def __ge__(self, other: Term | float) -> Term:
        return self._compare("oge", other)

    def equals(self, other: Term | float) -> Term:
        """Return where both are equal; never for NaN."""
        return self._compare("oeq" if self.value.type.is_float else "eq", other)

    def differs(self, other: Term | float) -> Term:
        """Return where both differ; always for NaN."""
        return self._compare("une" if self.value.type.is_float else "ne", other)

    def where(self, yes: Term | float, no: Term) -> Term:
        """Return `yes` where this condition holds, else `no`."""
        return no._term(self.b.select(self.value, no._same(yes), no.value))

    def at_most(self, limit: float) -> Term:
        """Return the smaller of both; NaN stays."""
        return (self > limit).where(limit, self)

    def at_least(self, limit: float) -> Term:
        """Return the larger of both; NaN stays."""
        return (self < limit).where(limit, self)

    # ------------------------------------------------------------------------------------------------ bits
    def __and__(self, other: Term | int) -> Term:
        return self._term(self.b.binary("and", self.value, self._same(other)))

    def __or__(self, other: Term | int) -> Term:
        return self._term(self.b.binary("or", self.value, self._same(other)))

    def __xor__(self, other: Term | int) -> Term:
        return self._term(self.b.binary("xor", self.value, self._same(other)))

    def __lshift__(self, count: int) -> Term:
        return self._term(self.b.binary("shl", self.value, self._same(count)))

    def __rshift__(self, count: int) -> Term:
        """Return the bits moved down; zeros come in from above."""
        return self._term(self.b.binary("lshr", self.value, self._same(count)))

    def bits(self) -> Term:
        """Return the bits of a float as an integer."""
        return self._term(self.b.cast("bitcast", self.value, self.integer))

    def as_float(self) -> Term:
        """Return the float that has these bits."""
        return self._term(self.b.cast("bitcast", self.value, {"i32": "f32", "i64": "f64"}[self.kind]))

    def flip_sign(self, bits: Term) -> Term:
        """Return the float with its bits xored."""
        return (self.bits() ^ bits).as_float()

    def __abs__(self) -> Term:
        return self._term(self.b.intrinsic("fabs", self.value.type, self.value))

    def signed_like(self, other: Term) -> Term:
        """Return the magnitude of self with the sign of other."""
        return self._term(self.b.intrinsic("copysign", self.value.type, self.value, other.value))

    def sqrt(self) -> Term:
        """Return the square root, correctly rounded."""
        return self._term(self.b.intrinsic("sqrt", self.value.type, self.value))

    def floored(self, name: str = "floor") -> Term:
        """Return floor, ceil, trunc or roundeven.

        Without an instruction that does it: |x| + 2^mantissa - 2^mantissa is the nearest integer, the even one of two.
        """
        if self.b.module.has_round:
            return self._term(self.b.intrinsic(name, self.value.type, self.value))
        size, unit = abs(self), 2.0**self.mantissa
        nearest = (size < unit).where((size + unit) - unit, size)
        if name == "trunc":
            nearest = (nearest > size).where(nearest - 1.0, nearest)
        nearest = nearest.signed_like(self)
        if name == "floor":
            nearest = (nearest > self).where(nearest - 1.0, nearest)
        elif name == "ceil":
            nearest = (nearest < self).where(nearest + 1.0, nearest)
        return nearest.signed_like(self)

    # ------------------------------------------------------------------------------------------------ conversions
    def double(self) -> Term:
        """Return the float32 as float64 of which 24 bits are wanted."""
        return Term(self.b, self.b.cast("fpext", self.value, "f64"), short=True)

    def single(self) -> Term:
        """Return the float64 rounded to float32."""
        return Term(self.b, self.b.cast("fptrunc", self.value, "f32"))


def emitter(function: Callable[..., Term]) -> Emitter:
    """Return `function(x: Term, ...) -> Term` as `emit(b: Builder, x: Value, ...) -> Value`.

    Args:
        function: what computes with terms.
    """

    @functools.wraps(function)
    def emit(b: Builder, *values: Value) -> Value:
        return function(*(Term(b, value) for value in values)).value

    return emit


def through_double(function: Callable[..., Term]) -> Callable[..., Term]:
    """Return the function that computes in float64 where its arguments are float32.

    Args:
        function: of terms in float64; it finds `short` set where 24 bits are wanted.
    """

    @functools.wraps(function)
    def wide(*terms: Term) -> Term:
        if terms[0].kind == "f32":
            return function(*(term.double() for term in terms)).single()
        return function(*terms)

    return wide

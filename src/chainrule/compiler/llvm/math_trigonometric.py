"""sin, cos, tan and their inverses.

    sin, cos   x = k pi / 2 + r with |r| <= pi / 2 and k even for sin, odd for cos: one polynomial of r, and a sign
    tan        x = k pi / 2 + r with |r| <= pi / 4: sin r / cos r, or for odd k its negative inverse
    reduction  below the limit pi / 2 in three parts whose multiples are exact (Cody and Waite); above it, which vectors
               almost never meet, one lane after the other in a function of its own, in integers: the digits of 2 / pi
               that matter times the mantissa (Payne and Hanek, SIGNUM Newsletter 18, 1983)
    atan2      min / max of |x|, |y|, turned by pi / 4 where that is above tan(pi / 8): one division, one polynomial
    asin       a polynomial of x^2 below 1/2; above, asin x = pi / 2 - 2 asin sqrt((1 - x) / 2)

float32 is computed in float64 throughout. Source: Muller, Elementary Functions, 3rd edition, 2016, chapter 11.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from chainrule.compiler.llvm import math_coefficients as table
from chainrule.compiler.llvm.ir import F64, I64, PTR, VOID, Builder, Module, Type, Value
from chainrule.compiler.llvm.math_term import Term, emitter, through_double

__all__ = ["acos", "asin", "atan", "atan2", "cos", "sin", "tan"]

_LIMIT = 1e6  # up to here k has 20 bits, and the parts of pi / 2 leave room for them
_PI, _HALF_PI_LOW = math.pi, 6.123233995736766e-17  # pi / 2 is _PI / 2 + _HALF_PI_LOW


# ---------------------------------------------------------------------------------------------------- reduction
def _less_turns(x: Term, k: Term) -> Term:
    """Return x - k pi / 2 of doubles for a whole |k| < 2^21; the first two products are exact."""
    first, second, third = table.HALF_PI[1]
    x = k.madd(-first, x)
    r = k.madd(-second, x)
    if x.short:
        return r
    return r - k.madd(third, k.madd(second, r - x))  # what rounding took off r; so written, -0 stays


def _reduce_lanes(module: Module) -> str:
    """Define the reduction of doubles in memory: (x, r, quadrants, count); x = quadrant pi / 2 + r, |r| <= pi / 4."""
    name = "cr_reduce_angles"
    if name not in module.declarations:
        module.declarations[name] = ""  # claimed; the definition follows
        b = Builder(module, name, VOID, [PTR, PTR, PTR, I64])
        b.loop(b.arguments[3], lambda i: _reduce_lane(b, i))
        b.finish()
    return name


def _reduce_lane(b: Builder, i: Value) -> None:
    source, r, quadrants, _ = b.arguments
    x = b.load(F64, b.offset(source, i, "f64"))
    bits = b.cast("bitcast", x, "i64")

    def binary(op: str, a: Value, number: int) -> Value:
        return b.binary(op, a, Value(a.type, str(number)))

    exponent = binary("and", binary("lshr", bits, 52), 0x7FF)
    mantissa = binary("or", binary("and", bits, (1 << 52) - 1), 1 << 52)
    # |x| = mantissa 2^(exponent - 1075). The product below has 2 bits before its point and 254 after it: what lies
    # above are whole turns, what lies below is cut off. Its upper half is enough.
    shift = b.cast("zext", b.binary("sub", Value(I64, str(1280 - 254 + 1075)), exponent), "i1280")
    digits = b.cast("trunc", b.binary("lshr", Value(Type("i1280"), str(table.TWO_OVER_PI)), shift), "i256")
    product = b.binary("mul", digits, b.cast("zext", mantissa, "i256"))
    turn = b.cast("trunc", binary("lshr", product, 128), "i128")
    quadrant = b.cast("trunc", binary("lshr", binary("add", turn, 1 << 125), 126), "i64")
    rest = b.binary("sub", turn, binary("shl", b.cast("zext", quadrant, "i128"), 126))
    # In two doubles, of which the first is exact, times pi / 2 in two numbers.
    cut = binary("shl", binary("ashr", rest, 75), 75)
    upper = Term(b, b.cast("sitofp", b.cast("trunc", binary("ashr", cut, 64), "i64"), "f64"))
    rest = b.cast("trunc", binary("lshr", b.binary("sub", rest, cut), 12), "i64")
    lower = Term(b, b.cast("sitofp", rest, "f64")) * 2.0**-52
    factor = upper.number(_PI / 2)
    whole, lost = upper.two_product(factor)
    angle = ((whole + (lower.madd(factor, lost) + upper * _HALF_PI_LOW)) * 2.0**-62).value
    # A negative x turns the other way. x - x is NaN for an infinity.
    negative = b.compare("slt", bits, b.const(I64, 0))
    angle = b.select(negative, b.unary("fneg", angle), angle)
    quadrant = b.select(negative, b.binary("sub", b.const(I64, 0), quadrant), quadrant)
    b.store(b.binary("fadd", angle, b.binary("fsub", x, x)), b.offset(r, i, "f64"))
    b.store(quadrant, b.offset(quadrants, i, "i64"))


def _slow(x: Term) -> tuple[Term, Term]:
    """Return r and the quadrant, as integers, of any doubles."""
    b, type, lanes = x.b, x.value.type, x.value.type.lanes
    memory = [b.alloca(type) for _ in range(3)]
    b.store(x.value, memory[0])
    b.call(VOID, _reduce_lanes(b.module), *memory, b.const(I64, lanes))
    r, quadrant = b.load(type, memory[1]), b.load(type.of("i64"), memory[2])
    return Term(b, r, x.short), Term(b, quadrant, x.short)


def _reduced(x: Term, quick: tuple[Term, Term], slow: Callable[[], tuple[Term, Term]]) -> tuple[Term, Term]:
    """Return `quick`, and for the lanes beyond the limit what `slow` computes; most often there is none."""
    b, far = x.b, (abs(x) <= _LIMIT) ^ 1
    lanes, any_far = far.value.type.lanes, far.value
    if lanes > 1:
        packed = b.emit(Type(f"i{lanes}"), f"bitcast {any_far.type} {any_far.text} to i{lanes}")
        any_far = b.compare("ne", packed, Value(packed.type, "0"))

    def mixed() -> list[Value]:
        return [far.where(new, old).value for new, old in zip(slow(), quick, strict=True)]

    r, quadrant = b.choose(any_far, mixed, lambda: [t.value for t in quick])
    return Term(b, r, x.short), Term(b, quadrant, x.short)


# ---------------------------------------------------------------------------------------------------- sin, cos, tan
def _sine(x: Term, phase: int) -> Term:
    """Return sin(x + phase pi / 2) for phase 0 or 1."""
    magic = x.magic + phase  # an odd one makes the lowest bit say whether the sign turns
    shifted = x.madd(1.0 / _PI, -0.5 * phase) + magic
    k = (shifted - magic) * 2.0
    r = _less_turns(x, k + 1.0 if phase else k)

    def slow() -> tuple[Term, Term]:
        angle, quadrant = _slow(x)
        quadrant = quadrant + phase
        odd = (quadrant & 1).differs(0)
        return odd.where(_PI / 2 - abs(angle), angle), quadrant >> 1

    r, turned = _reduced(x, (r, shifted.bits()), slow)
    size, z = abs(r), r * r
    y = (size * z).madd(z.poly(x.pick(table.SIN)), size)
    y = y if x.short else y.at_most(1.0)  # rounding to float32 does it, too
    return y.signed_like(r).flip_sign(turned << 63)


def _sin(x: Term) -> Term:
    return _sine(x, 0)


def _cos(x: Term) -> Term:
    return _sine(x, 1)


def _tan(x: Term) -> Term:
    shifted = x.madd(2.0 / _PI, x.magic)
    quick = _less_turns(x, shifted - x.magic), shifted.bits()
    r, quadrant = _reduced(x, quick, lambda: _slow(x))
    z = r * r
    sine = (r * z).madd(z.poly(x.pick(table.SIN_SHORT)), r).signed_like(r)
    cosine = (z * z).madd(z.poly(x.pick(table.COS_SHORT)), z.madd(-0.5, 1.0))
    odd = (quadrant & 1).differs(0)
    return odd.where(-cosine, sine) / odd.where(sine, cosine)


# ---------------------------------------------------------------------------------------------------- inverses
def _angle(low: Term, high: Term) -> Term:
    """Return atan(low / high) of 0 <= low <= high, 0 for 0 / 0."""
    turned = low > high * math.tan(_PI / 8)
    top, bottom = turned.where(low - high, low), turned.where(low + high, high)
    t = top / bottom.equals(0.0).where(1.0, bottom)
    z = t * t
    y = (t * z).madd(z.poly(t.pick(table.ATAN)), t)
    return turned.where(_PI / 4, low.number(0.0)) + y


def _atan(x: Term) -> Term:
    size, one = abs(x), x.number(1.0)
    above = size > 1.0
    # Both may be infinite only here: 1 / infinity is what 1 / 1e300 is.
    size = size.at_most(1e300)
    y = _angle(above.where(one, size), above.where(size, one))
    return above.where(_PI / 2 - y, y).signed_like(x)


def _atan2(y: Term, x: Term) -> Term:
    up, right = abs(y), abs(x)
    steep = up > right
    low, high = steep.where(right, up), steep.where(up, right)
    # Both infinite is 1 / 1; huge numbers are made smaller, so that their sum is finite.
    scale = (high > 2.0**1000).where(0.25, x.number(1.0))
    low, high = low.equals(math.inf).where(1.0, low * scale), (low.equals(math.inf)).where(1.0, high * scale)
    a = _angle(low, high)
    a = steep.where(_PI / 2 - a, a)
    a = (x.bits() >> 63).differs(0).where(_PI - a, a)
    return up.equals(up).where(right.equals(right).where(a, x), y).signed_like(y)


def _asin_parts(size: Term) -> tuple[Term, Term, Term]:
    """Return whether |x| > 1/2, and s and asin(s) - s with s = |x|, or there s = sqrt((1 - |x|) / 2)."""
    large = size > 0.5
    z = large.where((1.0 - size) * 0.5, size * size)
    s = large.where(z.sqrt(), size)
    return large, s, s * z * z.poly(s.pick(table.ASIN))


def _asin(x: Term) -> Term:
    large, s, rest = _asin_parts(abs(x))
    y = s + rest
    return large.where(_PI / 2 - (y + y), y).signed_like(x)


def _acos(x: Term) -> Term:
    large, s, rest = _asin_parts(abs(x))
    y = s + rest
    near = _PI / 2 - y.signed_like(x)
    far = y + y
    return large.where((x < 0.0).where(_PI - far, far), near)


sin = emitter(through_double(_sin))
cos = emitter(through_double(_cos))
tan = emitter(through_double(_tan))
asin = emitter(through_double(_asin))
acos = emitter(through_double(_acos))
atan = emitter(through_double(_atan))
atan2 = emitter(through_double(_atan2))

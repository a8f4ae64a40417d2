"""Rounding to integers, and division with a remainder.

    floor, ceil, trunc, round   one instruction, or additions that push the fraction out (`Term.floored`)
    fmod                        exact: while the quotient is large, a multiple of the divisor with 24 bits is taken off,
                                whose product is exact; nearly always that is one turn of a loop
    remainder, floor_divide     fmod with the sign rules of NumPy (npy_divmod): the remainder has the divisor's sign

float32 is divided in float64; only the quotient of floor_divide is rounded to float32, as NumPy does.
"""

from __future__ import annotations

import math

from chainrule.compiler.llvm.ir import I64, Value
from chainrule.compiler.llvm.math_term import Term, emitter, through_double

__all__ = ["ceil", "copysign", "floor", "floor_divide", "fmod", "remainder", "round", "trunc"]

_BITS = 24  # of a partial quotient


def _largest(x: Term) -> Value:
    """Return the largest of the lanes of integers."""
    b, type = x.b, x.value.type
    if type.lanes == 1:
        return x.value
    name = f"llvm.vector.reduce.smax.{type.suffix}"
    b.module.declare(name, I64, [type])
    return b.call(I64, name, x.value)


def _less(rest: Term, quotient: Term, divisor: Term) -> Term:
    """Return rest - quotient * divisor, exactly."""
    if rest.b.module.has_fma:
        return quotient.madd(-divisor, rest)
    scale = (divisor < 2.0**-900).where(2.0**100, divisor.number(1.0))  # half of a tiny divisor would count as 0
    high, low = (divisor * scale).halves()
    return ((rest * scale - quotient * high) - quotient * low) / scale


def _remainder_of_sizes(x: Term, y: Term) -> Term:
    """Return x modulo y for x >= 0, y > 0, both doubles."""
    b = x.b
    # Where x / y would overflow, first modulo a multiple of y.
    huge = y * 2.0**1022
    excess, none = _largest((x.bits() >> 52) - (y.bits() >> 52)), b.const(I64, 0)
    steps = b.add(b.floordiv(b.select(b.compare("sgt", excess, none), excess, none), _BITS - 1), 2)

    def step(_: Value, carried: Value) -> list[Value]:
        rest = Term(b, carried, x.short)
        divisor = (rest > huge).where(huge, y)
        # A little too small, and cut to 24 bits: the product is exact, and the rest never negative.
        quotient = (rest / divisor) * (1.0 - 2.0**-50)
        quotient = ((quotient.bits() & -(1 << (53 - _BITS))).as_float()).floored()
        return [_less(rest, quotient, divisor).value]

    rest = Term(b, b.loop(steps, step, [x.value])[0], x.short)
    return (rest >= y).where(rest - y, rest)


def _fmod_term(x: Term, y: Term) -> Term:
    size, divisor = abs(x), abs(y)
    usual = (size < math.inf) & (divisor < math.inf) & (divisor >= y.tiny)
    one = y.number(1.0)
    rest = _remainder_of_sizes(usual.where(size, one), usual.where(divisor, one))
    # Infinity or NaN modulo anything, anything modulo 0 or NaN: NaN. A finite number modulo infinity: itself.
    other = ((size < math.inf) & divisor.equals(math.inf)).where(size, x.number(math.nan))
    return usual.where(rest, other).signed_like(x)


def _signs_differ(x: Term, y: Term) -> Term:
    return (x < 0.0) ^ (y < 0.0)


def _remainder(x: Term, y: Term) -> Term:
    rest = _fmod_term(x, y)
    turned = (rest.differs(0.0) & _signs_differ(rest, y)).where(rest + y, rest)
    return rest.equals(0.0).where(rest.signed_like(y), turned)


def _floor_divide(x: Term, y: Term) -> Term:
    ratio, single = x / y, x.kind == "f32"
    wide = (x.double(), y.double()) if single else (x, y)
    rest = _fmod_term(*wide)
    multiple = wide[0] - rest
    quotient = (multiple.single() if single else multiple) / y
    quotient = (rest.differs(0.0) & _signs_differ(rest, wide[1])).where(quotient - 1.0, quotient)
    whole = quotient.floored()
    whole = (quotient - whole > 0.5).where(whole + 1.0, whole)
    whole = quotient.equals(0.0).where(ratio.number(0.0).signed_like(ratio), whole)
    return y.equals(0.0).where(ratio, whole)


floor = emitter(lambda x: x.floored("floor"))
ceil = emitter(lambda x: x.floored("ceil"))
trunc = emitter(lambda x: x.floored("trunc"))
round = emitter(lambda x: x.floored("roundeven"))
copysign = emitter(lambda x, y: x.signed_like(y))
fmod = emitter(through_double(_fmod_term))
remainder = emitter(through_double(_remainder))
floor_divide = emitter(_floor_divide)

"""log and what is made of it: log2, log10, log1p, asinh, acosh, atanh.

    x = 2^e (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); log x = e log 2 + log(1 + f)
    float32   log(1 + f) = f + f^2 p(f): no division
    float64   s = f / (2 + f), log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + tail(s^2)))
    log1p     1 + x is rounded; what it lost, divided by 1 + x, joins the small terms

A number below the smallest normal one counts as 0. Source: the identities of K. C. Ng's e_log.c in fdlibm; Muller,
Elementary Functions, 3rd edition, 2016, section 11.5.
"""

from __future__ import annotations

import math

from chainrule.compiler.llvm import math_coefficients as table
from chainrule.compiler.llvm.math_term import Term, emitter, through_double

__all__ = ["acosh", "asinh", "atanh", "log", "log10", "log1p", "log2", "log_term", "log1p_term", "mantissa_exponent"]

_ROOT_HALF = {"f32": 0x3F3504F3, "f64": 0x3FE6A09E667F3BCD}  # bits of sqrt(1/2)
_BIG = 2.0**60  # beyond it x + 1 is x


def mantissa_exponent(x: Term) -> tuple[Term, Term]:
    """Return 1 + f and e of a positive normal number, both as floats."""
    bias = 127 if x.kind == "f32" else 1023
    root = _ROOT_HALF[x.kind]
    # The exponent is kept above 0, so that it can be read without a conversion of integers that few machines have.
    bits = x.bits() - (root - (bias << x.mantissa))
    unit = x.number(2.0**x.mantissa)
    e = ((bits >> x.mantissa) | unit.bits()).as_float() - (2.0**x.mantissa + bias)
    return ((bits & ((1 << x.mantissa) - 1)) + root).as_float(), e


def _limits(x: Term, y: Term) -> Term:
    """Return y = log x with the values at 0, below it, at infinity and NaN."""
    y = (x < math.inf).where(y, x)
    low = (x < 0.0).where(math.nan, x.number(-math.inf))
    return (x < x.tiny).where(low, y)


def _pieces(f: Term) -> tuple[Term, Term]:
    """Return half = f^2 / 2 and s (half + tail), with which log(1 + f) = f - (half - that)."""
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    return half, s * z.madd(z.poly(f.pick(table.LOG_TAIL)), half)


def _log_double(x: Term, lost: Term | None = None) -> Term:
    """Return log(x + lost x) for a normal x > 0."""
    m, e = mantissa_exponent(x)
    f = m - 1.0
    half, tail = _pieces(f)
    high, low = table.LOG_2[1]
    small = e.madd(low, tail if lost is None else tail + lost)
    return e.madd(high, f - (half - small))


def log_term(x: Term) -> Term:
    """Return log x."""
    if x.kind == "f64":
        return _limits(x, _log_double(x))
    m, e = mantissa_exponent(x)
    f = m - 1.0
    y = (f * f).madd(f.poly(x.pick(table.LOG)), f)
    return _limits(x, e.madd(math.log(2.0), y))


def _log2(x: Term) -> Term:
    m, e = mantissa_exponent(x)
    f = m - 1.0
    half, tail = _pieces(f)
    return _limits(x, (f - (half - tail)).madd(1.0 / math.log(2.0), e))


def _log10(x: Term) -> Term:
    m, e = mantissa_exponent(x)
    f = m - 1.0
    half, tail = _pieces(f)
    high, low = table.LOG10_2[1]
    return _limits(x, e.madd(high, (f - (half - tail)).madd(1.0 / math.log(10.0), e * low)))


def log1p_term(x: Term) -> Term:
    """Return log(1 + x) of doubles."""
    u = x + 1.0
    taken = u - 1.0
    lost = (1.0 - (u - taken)) + (x - taken)  # 1 + x - u, exactly (Knuth's two-sum)
    return _limits(u, _log_double(u, lost / u)).signed_like(x)


def _asinh(x: Term) -> Term:
    # |x| + x^2 / (1 + sqrt(1 + x^2)) = e^asinh|x| - 1; for a big x it is 2 |x|.
    size = abs(x)
    square, big = size * size, size > _BIG
    grown = size + square / ((square + 1.0).sqrt() + 1.0)
    y = log1p_term(big.where(size, grown)) + big.where(math.log(2.0), x.number(0.0))
    return y.signed_like(x)


def _acosh(x: Term) -> Term:
    # With t = x - 1: t + sqrt(2 t + t^2) = e^acosh(x) - 1.
    t, big = x - 1.0, x > _BIG
    grown = t + t.madd(t, t + t).sqrt()
    y = log1p_term(big.where(x, grown)) + big.where(math.log(2.0), x.number(0.0))
    return (x < 1.0).where(math.nan, y)


def _atanh(x: Term) -> Term:
    size = abs(x)
    return (log1p_term((size + size) / (1.0 - size)) * 0.5).signed_like(x)


log = emitter(log_term)
log2 = emitter(through_double(_log2))
log10 = emitter(through_double(_log10))
log1p = emitter(through_double(log1p_term))
asinh = emitter(through_double(_asinh))
acosh = emitter(through_double(_acosh))
atanh = emitter(through_double(_atanh))

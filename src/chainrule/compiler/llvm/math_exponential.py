"""exp and what is made of it: exp2, expm1, sinh, cosh, tanh, sigmoid, softplus.

    exp     x = n log 2 + r with n whole and |r| <= log(2) / 2; e^x = 2^n (1 + (r + r^2 p(r))), the factor 2^n being
            added to the exponent's bits; 0 and infinity are put in where those bits would run over
    expm1   2^n (r + r^2 p(r)) + (2^n - 1): near 0, where n = 0, it keeps every digit
    the others follow from these two; odd functions compute with |x| and put the sign back

n comes out of one addition: x log2(e) + 1.5 * 2^mantissa has it in its low bits, from where a shift moves it into the
exponent. Results below the smallest normal number are 0. Source: Cody and Waite, Software Manual for the Elementary
Functions, 1980; Muller, Elementary Functions, 3rd edition, 2016, chapter 11.
"""

from __future__ import annotations

import math

from chainrule.compiler.llvm import math_coefficients as table
from chainrule.compiler.llvm.math_term import Term, emitter, through_double

__all__ = ["cosh", "exp", "exp2", "exp_term", "expm1", "sigmoid", "sinh", "softplus", "tanh"]

_LOG2_E = 1.0 / math.log(2.0)


def _exponents(x: Term) -> tuple[int, int]:
    """Return the exponent of the smallest normal number, and one more than the largest exponent."""
    return (-126, 128) if x.kind == "f32" else (-1022, 1024)


def _reduced(x: Term, n: Term) -> Term:
    """Return x - n log 2, nearly exact."""
    high, low = table.LOG_2[0 if x.kind == "f32" else 1]
    return n.madd(-low, n.madd(-high, x))


def _expm1_small(r: Term) -> Term:
    """Return e^r - 1 for |r| <= log(2) / 2."""
    return (r * r).madd(r.poly(r.pick(table.EXP)), r)


def _scaled(p: Term, shifted: Term) -> Term:
    """Return 2^n p, with n in the low bits of `shifted`; p is near 1."""
    return (p.bits() + (shifted.bits() << p.mantissa)).as_float()


def _within(x: Term, y: Term, unit: float) -> Term:
    """Return y with 0 and infinity where x / unit is no exponent, and NaN where x is NaN."""
    low, high = _exponents(x)
    return (x < low * unit).where(0.0, (x < high * unit).where(y, x * 2.0 ** (high - 1)))


def exp_term(x: Term, extra: Term | None = None) -> Term:
    """Return e^x, or e^(x + extra) for a tiny extra."""
    shifted = x.madd(_LOG2_E, x.magic)
    r = _reduced(x, shifted - x.magic)
    p = _expm1_small(r if extra is None else r + extra) + 1.0
    return _within(x, _scaled(p, shifted), math.log(2.0))


def _exp2(x: Term) -> Term:
    shifted = x + x.magic
    r = (x - (shifted - x.magic)) * math.log(2.0)
    return _within(x, _scaled(_expm1_small(r) + 1.0, shifted), 1.0)


def _parts(x: Term, scale: int = 0) -> tuple[Term, Term]:
    """Return q and 2^(n + scale), where e^x = 2^n (1 + q); the power must be a normal number."""
    magic = x.magic + (scale - _exponents(x)[0] + 1)
    shifted = x.madd(_LOG2_E, magic)
    return _expm1_small(_reduced(x, shifted - magic)), (shifted.bits() << x.mantissa).as_float()


def _expm1_scaled(x: Term, scale: int) -> Term:
    """Return 2^scale (e^x - 1)."""
    q, power = _parts(x, scale)
    return q.madd(power, power - 2.0**scale)


def _ceiling(x: Term, above: float) -> float:
    """Return where e^x is 2^above times too large, though the exponent of half or a quarter of it is not."""
    return (_exponents(x)[1] + above) * math.log(2.0)


def _small(x: Term) -> float:
    """Return below what size e^x - 1 and sinh x are x; there their halves would be flushed to 0."""
    return 2.0 ** -(x.mantissa + 2)


def _expm1(x: Term) -> Term:
    y = _expm1_scaled(x.at_most(_ceiling(x, 0.4)).at_least(-(x.mantissa + 5.0)), -1)
    return (abs(x) < _small(x)).where(x, y + y)


def _sinh(x: Term) -> Term:
    # With v = (e^|x| - 1) / 4 : sinh |x| = 2 (v + v / (4 v + 1)), which overflows no sooner than the result.
    size = abs(x)
    v = _expm1_scaled(size.at_most(_ceiling(x, 1.4)), -2)
    half = v + v / (v * 4.0 + 1.0)
    return (size < _small(x)).where(x, (half + half).signed_like(x))


def _cosh(x: Term) -> Term:
    # With w = e^|x| / 4 : cosh x = 2 w + 1 / (8 w).
    w = _expm1_scaled(abs(x).at_most(_ceiling(x, 1.4)), -2) + 0.25
    return w * 2.0 + 0.125 / w


def _tanh(x: Term) -> Term:
    # 1 - 2 / (1 + e^(2 |x|)) loses digits near 0, where a polynomial has them; beyond the limit it rounds to 1.
    size = abs(x)
    q, power = _parts(size.at_most(9.1 if x.kind == "f32" else 19.1) * 2.0)
    y = 1.0 - 2.0 / q.madd(power, power + 1.0)
    z = x * x
    near = (size * z).madd(z.poly(x.pick(table.TANH)), size)
    return (size < 0.55).where(near, y).signed_like(x)


def _sigmoid(x: Term) -> Term:
    # 1 + e^-x = 2^n q + (2^n + 1), which is rounded once: 2^n + 1 loses its 1 for one n only, where q takes it along.
    q, power = _parts(-x.at_most(20.0 if x.kind == "f32" else 40.0))
    edge = 2.0 ** (x.mantissa + 1)
    q = power.equals(edge).where(q + 1.0 / edge, q)
    y = 1.0 / q.madd(power, power + 1.0)
    return (x < _exponents(x)[0] * math.log(2.0)).where(0.0, y)


def _softplus(x: Term) -> Term:
    # max(x, 0) + log(1 + u) with u = e^-|x|, and log(1 + u) = 2 atanh(t / 2) with t = u / (1 + u / 2) <= 2/3.
    u = exp_term(-abs(x))
    t = u / u.madd(0.5, 1.0)
    z = t * t
    return x.at_least(0.0) + (t * z).madd(z.poly(x.pick(table.LOG_WIDE)), t)


exp = emitter(exp_term)
exp2 = emitter(_exp2)
expm1 = emitter(_expm1)
sinh = emitter(through_double(_sinh))
cosh = emitter(through_double(_cosh))
tanh = emitter(_tanh)
sigmoid = emitter(_sigmoid)
softplus = emitter(_softplus)

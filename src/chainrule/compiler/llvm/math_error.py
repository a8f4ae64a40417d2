"""The error function erf and its complement erfc.

    float32   |x| < 0.9: x + x p(x^2); beyond: 1 - 2^P(|x|), where P is a polynomial for the logarithm of erfc
    float64   erfc(x) = e^(-x^2) p(t) / (1 + 2 x) for x >= 0 with t = (x - 4) / (x + 4): one polynomial from 0 to
              infinity, in which x^2 takes part with the bits that rounding loses; |x| < 1: erf = x + x p(x^2)

Source: Shepherd and Laframboise, Chebyshev approximation of (1 + 2 x) exp(x^2) erfc x, Math. Comp. 36 (1981).
"""

from __future__ import annotations

from chainrule.compiler.llvm import math_coefficients as table
from chainrule.compiler.llvm.math_exponential import exp_term
from chainrule.compiler.llvm.math_term import Term, emitter, through_double

__all__ = ["erf", "erfc"]


def _upper(x: Term) -> Term:
    """Return erfc of doubles x >= 0."""
    x = x.at_most(28.0)
    square, rest = x.two_product(x)
    t = (x - 4.0) / (x + 4.0)
    return exp_term(-square, -rest) * (t.poly(x.pick(table.ERFCX)) / (x * 2.0 + 1.0))


def _near(x: Term) -> Term:
    """Return erf for |x| <= 1."""
    y = x.madd((x * x).poly(x.pick(table.ERF)), x)
    if x.b.module.has_fma:
        return y
    # Here 0.128 x has been rounded on its own, and for a tiny x it is 0.
    return (abs(x) < 2.0**-60).where(x * (1.0 + table.ERF[1][0]), y)


def _erf(x: Term) -> Term:
    size = abs(x)
    if x.kind == "f64":
        return (size < 1.0).where(_near(size), 1.0 - _upper(size)).signed_like(x)
    power = size.at_most(4.0).poly(table.ERF_FAR[0])
    magic = x.magic + 127  # with it 2^n is what the low bits become by a shift
    shifted = power + magic
    part = (power - (shifted - magic)).poly(table.EXP2[0])
    far = part.madd(-(shifted.bits() << x.mantissa).as_float(), 1.0)
    return (size < 0.9).where(_near(size), far).signed_like(x)


def _erfc(x: Term) -> Term:
    size = abs(x)
    far = _upper(size)
    far = (x < 0.0).where(2.0 - far, far)
    return (size < 0.5).where(1.0 - _near(x), far)


erf = emitter(_erf)
erfc = emitter(through_double(_erfc))

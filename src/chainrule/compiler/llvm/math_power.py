"""Powers and roots: pow, cbrt, hypot, sqrt, rsqrt.

    pow     e^(y log |x|). For doubles the logarithm is carried in two numbers, to about 2^-63, because its error is
            multiplied by up to 745; then come the special cases of C99 and NumPy
    cbrt    an exponent divided by 3 gives 5 digits in a hundred, and each of Halley's steps triples the digits
    hypot   in float64 as m sqrt(1 + (n / m)^2), so that no square overflows

Source: ISO C99, annex F.9.4; Dekker, Numer. Math. 18 (1971), for arithmetic in two numbers; W. Kahan, Computing a real
cube root, 1991, for the first guess.
"""

from __future__ import annotations

import math

from chainrule.compiler.llvm import math_coefficients as table
from chainrule.compiler.llvm.math_exponential import exp_term
from chainrule.compiler.llvm.math_logarithm import mantissa_exponent
from chainrule.compiler.llvm.math_term import Term, emitter, through_double

__all__ = ["cbrt", "hypot", "pow", "rsqrt", "sqrt"]

_THIRD = (0.66666666666666663, 3.7007434154171886e-17)  # 2/3 in two numbers


def _fast_sum(a: Term | float, b: Term) -> tuple[Term, Term]:
    """Return a + b rounded and the rest, for |a| >= |b|."""
    total = a + b
    return total, b - (total - a)


def _times(a: tuple[Term, Term], b: tuple[Term, Term]) -> tuple[Term, Term]:
    """Return the product of two numbers that are given in two parts."""
    high, low = a[0].two_product(b[0])
    return high, low + (a[0] * b[1] + a[1] * b[0])


def _log_parts(x: Term) -> tuple[Term, Term]:
    """Return log x in two numbers for a normal x > 0: 2 s + s^3 (2/3 + ...) with s = f / (2 + f)."""
    m, e = mantissa_exponent(x)
    f = m - 1.0
    base, base_low = _fast_sum(2.0, f)
    high = f / base
    product, product_low = high.two_product(base)
    s = high, ((f - product) - product_low - high * base_low) / base
    z = _times(s, s)
    tail = table.LOG_TAIL[1]
    first, first_low = _fast_sum(_THIRD[0], z[0] * z[0].poly(tail[1:]))
    series = _times(z, (first, first_low + _THIRD[1]))
    whole, whole_low = _fast_sum(2.0, series[0])
    y, y_low = _times(s, (whole, whole_low + series[1]))
    log2, log2_low = table.LOG_2[1]
    total, rest = _fast_sum(e * log2, y)
    # For e = 0 the first of both is the smaller one, and the sum is exact.
    return total, rest + e.madd(log2_low, y_low)


def _power_of_size(size: Term, y: Term) -> Term:
    """Return size^y for size >= 0."""
    if size.short:
        m, e = mantissa_exponent(size)
        f = m - 1.0
        s = f / (f + 2.0)
        z = s * s
        log, low = e.madd(math.log(2.0), s.madd(z * z.poly(table.LOG_TAIL[1][:5]), s + s)), None
    else:
        log, low = _log_parts(size)
    # The logarithms of 0, infinity and NaN.
    log = (size < math.inf).where(log, size)
    log = (size < size.tiny).where(-math.inf, log)
    if low is None:
        return exp_term(y * log)
    product, rest = y.two_product(log)
    rest = (abs(product) < 1e3).where(y.madd(low, rest), product.number(0.0))
    return exp_term(product, rest)


def _pow(x: Term, y: Term) -> Term:
    size = abs(x)
    result = size.equals(1.0).where(1.0, _power_of_size(size, y))
    result = y.equals(y).where(result, y)
    half = y * 0.5
    whole, even = y.floored("trunc").equals(y), half.floored("trunc").equals(half)
    negative = (x.bits() >> (63 if x.kind == "f64" else 31)).differs(0)
    result = (negative & whole & (even ^ 1)).where(-result, result)
    result = ((x < 0.0) & (x > -math.inf) & (whole ^ 1)).where(math.nan, result)
    return (x.equals(1.0)).where(1.0, y.equals(0.0).where(1.0, result))


def _cbrt(x: Term) -> Term:
    size = abs(x)
    # Away from both ends of the range, so that no cube below overflows or vanishes.
    large = size > 1.0
    near = size * large.where(2.0**-60, x.number(2.0**60))
    # The upper 32 bits as a number, divided by 3: the exponent of the root and the start of its mantissa.
    unit = x.number(2.0**52)
    upper = ((near.bits() >> 32) | unit.bits()).as_float() - 2.0**52
    root = ((upper * (1.0 / 3.0) + (715094163.0 + 2.0**52)).bits() << 32).as_float()
    for _ in range(2 if x.short else 3):
        cube = root * root * root
        root = root - root * ((cube - near) / (cube + cube + near))
    root = (size < x.tiny).where(0.0, root * large.where(2.0**20, x.number(2.0**-20)))
    return (size < math.inf).where(root, size).signed_like(x)


def _hypot(x: Term, y: Term) -> Term:
    a, b = abs(x), abs(y)
    if x.short:
        result = (a * a + b * b).sqrt()
    else:
        above = a > b
        large, small = above.where(a, b), above.where(b, a)
        ratio = small / large.equals(0.0).where(1.0, large)
        result = large * ratio.madd(ratio, 1.0).sqrt()
        # Either may be NaN, and the comparison has sorted it anywhere.
        result = a.equals(a).where(b.equals(b).where(result, b), a)
    return a.equals(math.inf).where(math.inf, b.equals(math.inf).where(math.inf, result))


def _rsqrt(x: Term) -> Term:
    return 1.0 / x.sqrt()


pow = emitter(through_double(_pow))
cbrt = emitter(through_double(_cbrt))
hypot = emitter(through_double(_hypot))
rsqrt = emitter(_rsqrt)
sqrt = emitter(Term.sqrt)

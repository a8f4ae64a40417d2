"""The inverse of the normal distribution function, from + - * / and sqrt only.

    y = quantile(u)   with   u = 1/2 (1 + erf(y / sqrt 2))

Rational approximations in three ranges; relative error about 1e-16. The tails need a logarithm, and it is written out
too, because a library's `log` differs from machine to machine: compiled code uses this expression and gets these bits.

Source: Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988). Logarithm: fdlibm's e_log.c, Sun Microsystems
1993, with `frexp` for the exponent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.lowering import Term
from chainrule.core.primitive import Edge, Sample
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import elementwise
from chainrule.ops._inputs import as_tensor
from chainrule.ops.exponential import exp

__all__ = ["normal_quantile"]

# Numerator and denominator of each range, highest power first.
CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG = (6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
       1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01)  # fmt: skip
SQRT_HALF, SQRT_TAU = 0.7071067811865476, 2.5066282746310002


def log64(x: np.ndarray) -> np.ndarray:
    """Return log(x) of positive float64 numbers, the same bits everywhere.

    x = 2^k (1 + f),   s = f / (2 + f),   log x = k log 2 + f - f^2 / 2 + s (f^2 / 2 + R(s^2))
    """
    mantissa, k = np.frexp(x)
    small = mantissa < SQRT_HALF
    f = np.where(small, mantissa + mantissa, mantissa) - 1.0
    return _series(f, np.where(small, k - 1, k).astype(np.float64))


def log64_element(k: Any, x: Any) -> Any:
    """Return log(x) of a positive number in the compiler: the same, with the exponent taken from the bits."""
    bits = k.bits(x, "i64")  # of a normal number: native code counts smaller ones as 0
    exponent = k.sub(k.shift_right(bits, 52), 1022)
    mantissa = k.bits(k.either(k.both(bits, (1 << 52) - 1), 0x3FE << 52), "f64")  # in [1/2, 1)
    small = k.lt(mantissa, SQRT_HALF)
    f = k.sub(k.select(small, k.add(mantissa, mantissa), mantissa), 1.0)
    exponent = k.cast(k.sub(exponent, k.cast(small, "i64")), "f64")
    return _series(Term(k, f), Term(k, exponent)).e


def _series(f: Any, k: Any) -> Any:
    half = 0.5 * f * f
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (LOG[1] + w * (LOG[3] + w * LOG[5]))
    odd = z * (LOG[0] + w * (LOG[2] + w * (LOG[4] + w * LOG[6])))
    return k * LN2_HIGH - ((half - (s * (half + (odd + even)) + k * LN2_LOW)) - f)


def ratio(coefficients: tuple, r: Any) -> Any:
    """Return numerator(r) / denominator(r), each by Horner's rule."""
    above, below = (row[0] * r + row[1] for row in coefficients)
    for a, b in zip(coefficients[0][2:], coefficients[1][2:]):
        above, below = above * r + a, below * r + b
    return above / below


def _quantile(u: np.ndarray) -> np.ndarray:
    p = np.asarray(u, np.float64)
    q = p - 0.5
    inner = np.abs(q) <= 0.425
    centre = q * ratio(CENTRE, 0.180625 - np.where(inner, q, 0.0) ** 2)
    side = np.minimum(p, 1.0 - p)  # the distance to the nearer end
    r = np.sqrt(-log64(np.where(side > 0.0, side, 0.5)))
    tail = np.where(r <= 5.0, ratio(MIDDLE, np.minimum(r, 5.0) - 1.6), ratio(TAIL, np.maximum(r, 5.0) - 5.0))
    tail = np.where(side > 0.0, tail, np.where(side == 0.0, np.inf, np.nan))
    return np.where(inner, centre, np.where(q < 0.0, -tail, tail)).astype(u.dtype)


def tail_element(k: Any, side: Any) -> Any:
    """Return the quantile's size at a distance from the nearer end, in the compiler; infinite at 0, NaN beyond."""
    inside = k.gt(side, 0.0)
    r = k.sqrt(k.neg(log64_element(k, k.select(inside, side, 0.5))))
    near = ratio(MIDDLE, Term(k, k.sub(k.minimum(r, 5.0), 1.6))).e
    tail = k.select(k.le(r, 5.0), near, ratio(TAIL, Term(k, k.sub(k.maximum(r, 5.0), 5.0))).e)
    return k.select(inside, tail, k.select(k.eq(side, 0.0), np.inf, k.const(np.nan, tail)))


def centre_element(k: Any, q: Any, inner: Any) -> Any:
    """Return the quantile at a distance from the middle, where it is near, in the compiler."""
    near = k.select(inner, q, 0.0)
    return k.mul(q, ratio(CENTRE, Term(k, k.sub(0.180625, k.mul(near, near)))).e)


def _quantile_element(k: Any, u: Any) -> Any:
    p = k.cast(u, "f64")
    q = k.sub(p, 0.5)
    inner = k.le(k.abs(q), 0.425)
    tail = tail_element(k, k.minimum(p, k.sub(1.0, p)))
    outer = k.select(k.lt(q, 0.0), k.neg(tail), tail)
    return k.cast(k.select(inner, centre_element(k, q, inner), outer), u.kind)


normal_quantile_p = elementwise(
    "normal_quantile",
    lambda u: _quantile(u),
    (0.1, 0.9),
    flops=60,
    source="Wichura, Applied Statistics 37 (1988), AS 241",
    derivative=lambda y: exp(y * y * 0.5) * SQRT_TAU,
    lower=_quantile_element,
    samples=[Sample((np.array([1e-3, 0.074, 0.926, 0.999]),))],
    edges=[
        Edge((0.0,), (np.inf,), why="minus infinity, with an infinite slope"),
        Edge((1.0,), (np.inf,), why="infinity, with an infinite slope"),
    ],
)


def normal_quantile(u: Tensor, /) -> Tensor:
    """Return the number below which a standard normal variable falls with probability u, elementwise.

        u = 1/2 (1 + erf(y / sqrt 2))

    Args:
        u: float tensor of probabilities in [0, 1].

    Returns:
        Tensor of the same shape and dtype; computed in float64 and rounded once; NaN outside [0, 1].

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.normal_quantile(cr.asarray([0.5, 0.975]))
        tensor([0.       , 1.9599644], shape=(2,), dtype=float32)

    Source: Wichura, Algorithm AS 241, Applied Statistics 37 (1988).
    """
    return bind(normal_quantile_p, as_tensor(u))

"""The gamma function's logarithm, its derivatives and the Hurwitz zeta function in NumPy, in double precision.

    lgamma    near 1 and 2 a power series, so that it is relatively exact at its zeros there; in between by
              gamma(x + 1) = x gamma(x); from 10 on Stirling's series; below 0 by reflection
    digamma   the same without the series; near its zero 1.4616 the error is absolute
    zeta      sum of 1 / (q + k)^s: ten or more terms, then the Euler-Maclaurin series

Errors are a few units in the last place (absolute ones, of the size of 1, near zeros other than 1 and 2). Sources:
Abramowitz and Stegun, Handbook of Mathematical Functions, 6.1.33, 6.1.41, 6.3.18, 23.2.23; Moshier, Cephes, zeta.c.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["digamma64", "lgamma64", "zeta64"]

# zeta(k) - 1 for k = 2, 3, ...
_ZETA_LESS_1 = (
    0.6449340668482264, 0.2020569031595943, 0.08232323371113819, 0.03692775514336993, 0.01734306198444914,
    0.008349277381922827, 0.00407735619794434, 0.0020083928260822143, 0.0009945751278180853, 0.0004941886041194645,
    0.0002460865533080483, 0.00012271334757848915, 6.124813505870483e-05, 3.058823630702049e-05,
    1.528225940865187e-05, 7.637197637899763e-06, 3.81729326499984e-06, 1.908212716553939e-06, 9.539620338727962e-07,
    4.769329867878064e-07, 2.38450502727733e-07, 1.1921992596531106e-07, 5.960818905125948e-08, 2.980350351465228e-08,
    1.4901554828365043e-08, 7.45071178983543e-09, 3.725334024788457e-09, 1.862659723513049e-09, 9.313274324196682e-10,
    4.656629065033784e-10,
)  # fmt: skip
# B_2k / (2k (2k - 1)), B_2k / 2k and B_2k / (2k)! for k = 1, 2, ... with the Bernoulli numbers B
_STIRLING = (
    0.08333333333333333, -0.002777777777777778, 0.0007936507936507937, -0.0005952380952380953, 0.0008417508417508417,
    -0.0019175269175269176, 0.00641025641025641, -0.029550653594771242, 0.17964437236883057, -1.3924322169059011,
)  # fmt: skip
_DIGAMMA = (
    0.08333333333333333, -0.008333333333333333, 0.003968253968253968, -0.004166666666666667, 0.007575757575757576,
    -0.021092796092796094, 0.08333333333333333, -0.4432598039215686, 3.0539543302701198, -26.456212121212122,
)  # fmt: skip
_EULER = (
    0.08333333333333333, -0.001388888888888889, 3.306878306878307e-05, -8.267195767195768e-07, 2.08767569878681e-08,
    -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13, 8.586062056277845e-15,
    -2.174868698558062e-16, 5.5090028283602295e-18, -1.3954464685812522e-19,
)  # fmt: skip
_GAMMA = 0.5772156649015329  # Euler's constant
_HALF_LOG_TAU = 0.9189385332046728  # log(2 pi) / 2
_LARGE = 10.0  # from here on the asymptotic series are exact
_STEPS = 10_000  # zeta of q below -10,000 is not summed: NaN


def _horner(x: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Return the polynomial at x, constant term first."""
    y = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        y = y * x + coefficient
    return y


_NEAR_TWO = (1.0 - _GAMMA, *((-1.0) ** k * c / k for k, c in enumerate(_ZETA_LESS_1, 2)))


def _lgamma_near(x: np.ndarray) -> np.ndarray:
    """Return lgamma for 0.5 <= x <= 2.5: z (1 - gamma) + sum of (-z)^k (zeta(k) - 1) / k with z = x - 2 or x - 1."""
    low = x < 1.5
    z = np.where(low, x - 1.0, x - 2.0)
    return z * _horner(z, _NEAR_TWO) - np.where(low, np.log1p(z), 0.0)


def _lgamma_positive(x: np.ndarray) -> np.ndarray:
    small, large = x < 0.5, x >= _LARGE
    product, shifted = np.ones_like(x), np.where(large, 2.0, np.where(small, x + 1.0, x))
    for _ in range(8):
        down = shifted > 2.5
        shifted = np.where(down, shifted - 1.0, shifted)
        product = np.where(down, product * shifted, product)
    middle = np.log(product) + _lgamma_near(shifted) - np.where(small, np.log(np.where(small, x, 1.0)), 0.0)
    wide = np.where(large, x, _LARGE)
    inverse = 1.0 / wide
    series = (wide - 0.5) * (np.log(wide) - 1.0) - 0.5 + _HALF_LOG_TAU + inverse * _horner(inverse * inverse, _STIRLING)
    return np.where(large, series, middle)


def lgamma64(x: np.ndarray) -> np.ndarray:
    """Return log |gamma(x)| of a float64 array; infinite at 0, -1, -2, ..."""
    negative = x <= 0.0
    y = _lgamma_positive(np.abs(np.where(negative & (x == 0.0), 1.0, x)))
    turn = np.abs(np.sin(np.pi * (x - np.round(x))))  # |sin(pi x)|, exactly 0 at the poles
    reflected = math.log(math.pi) - np.log(turn * np.abs(x)) - y
    y = np.where(negative, np.where(turn == 0.0, np.inf, reflected), y)
    return np.where(np.isinf(x), np.inf, y)


def digamma64(x: np.ndarray) -> np.ndarray:
    """Return the derivative of log gamma(x) of a float64 array; NaN at -1, -2, ..., and -1/x at 0."""
    negative = x < 0.0
    shifted = np.where(negative, 1.0 - x, x)
    total = np.zeros_like(x)
    for _ in range(10):
        up = shifted < _LARGE
        total = np.where(up, total - 1.0 / shifted, total)
        shifted = np.where(up, shifted + 1.0, shifted)
    inverse = 1.0 / shifted
    squared = inverse * inverse
    y = total + np.log(shifted) - 0.5 * inverse - squared * _horner(squared, _DIGAMMA)
    turn = x - np.round(x)
    reflected = np.where(turn == 0.0, np.nan, y - np.pi / np.tan(np.pi * turn))
    return np.where(negative, reflected, y)


def zeta64(s: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the sum over k >= 0 of (q + k)^-s of float64 arrays; infinite for s = 1 and at q = 0, -1, -2, ..."""
    s, q = np.broadcast_arrays(s, q)
    whole = q == np.floor(q)
    bad = ~(s >= 1.0) | ((q < 0.0) & ~whole & (s != np.floor(s))) | (q < -_STEPS) | np.isnan(q)
    pole = (s == 1.0) | ((q <= 0.0) & whole)
    a = np.where(bad | pole, 1.0, q)
    s = np.where(bad | pole, 2.0, s)
    steps = np.where(a < _LARGE, np.ceil(_LARGE - a), 0.0)
    total = np.zeros_like(a)
    for k in range(int(steps.max(initial=0.0))):
        total = np.where(k < steps, total + (a + k) ** -s, total)
    a = a + steps
    power = a**-s
    tail = power * (a / (s - 1.0) + 0.5)
    factor = s / a
    for k, coefficient in enumerate(_EULER, 1):
        tail = tail + coefficient * factor * power
        factor = factor * (s + (2 * k - 1)) * (s + 2 * k) / (a * a)
    tail = np.where(np.isinf(q), 0.0, np.where(power == 0.0, 0.0, tail))
    return np.where(bad, np.nan, np.where(pole, np.inf, total + tail))

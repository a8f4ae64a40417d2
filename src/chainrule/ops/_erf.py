"""The error function in NumPy, in double precision, from + - * / and exp alone.

The algorithm and the coefficients are those of FreeBSD's and Sun's s_erf.c (fdlibm): one rational function for each of
five intervals of |x|. With NumPy's exp, erf is within 1 unit in the last place and erfc within 4:

    |x| < 0.84375          erf = x + x R(x^2)
    0.84375 <= |x| < 1.25  erf = 0.84506291151 + P(|x| - 1) / Q(|x| - 1)
    1.25 <= |x| < 1/0.35   erfc = exp(-x^2 - 0.5625 + R(1/x^2) / S(1/x^2)) / x
    1/0.35 <= |x| < 28     the same with other coefficients
    otherwise              0, 1 or 2

    Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
    Developed at SunPro, a Sun Microsystems, Inc. business.
    Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice is
    preserved.
"""

from __future__ import annotations

import numpy as np

__all__ = ["erf64", "erfc64", "erfcx64"]

# Coefficients from the constant term upwards.
_ERX = 8.45062911510467529297e-01
_PP = (
    1.28379167095512558561e-01,
    -3.25042107247001499370e-01,
    -2.84817495755985104766e-02,
    -5.77027029648944159157e-03,
    -2.37630166566501626084e-05,
)
_QQ = (
    1.0,
    3.97917223959155352819e-01,
    6.50222499887672944485e-02,
    5.08130628187576562776e-03,
    1.32494738004321644526e-04,
    -3.96022827877536812320e-06,
)
_PA = (
    -2.36211856075265944077e-03,
    4.14856118683748331666e-01,
    -3.72207876035701323847e-01,
    3.18346619901161753674e-01,
    -1.10894694282396677476e-01,
    3.54783043256182359371e-02,
    -2.16637559486879084300e-03,
)
_QA = (
    1.0,
    1.06420880400844228286e-01,
    5.40397917702171048937e-01,
    7.18286544141962662868e-02,
    1.26171219808761642112e-01,
    1.36370839120290507362e-02,
    1.19844998467991074170e-02,
)
_RA = (
    -9.86494403484714822705e-03,
    -6.93858572707181764372e-01,
    -1.05586262253232909814e01,
    -6.23753324503260060396e01,
    -1.62396669462573470355e02,
    -1.84605092906711035994e02,
    -8.12874355063065934246e01,
    -9.81432934416914548592e00,
)
_SA = (
    1.0,
    1.96512716674392571292e01,
    1.37657754143519042600e02,
    4.34565877475229228821e02,
    6.45387271733267880336e02,
    4.29008140027567833386e02,
    1.08635005541779435134e02,
    6.57024977031928170135e00,
    -6.04244152148580987438e-02,
)
_RB = (
    -9.86494292470009928597e-03,
    -7.99283237680523006574e-01,
    -1.77579549177547519889e01,
    -1.60636384855821916062e02,
    -6.37566443368389627722e02,
    -1.02509513161107724954e03,
    -4.83519191608651397019e02,
)
_SB = (
    1.0,
    3.03380607434824582924e01,
    3.25792512996573918826e02,
    1.53672958608443695994e03,
    3.19985821950859553908e03,
    2.55305040643316442583e03,
    4.74528541206955367215e02,
    -2.24409524465858183362e01,
)
_NEAR, _MIDDLE, _FAR, _END = 0.84375, 1.25, 1 / 0.35, 28.0  # erfc(28) is below the smallest double


def _polynomial(x: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Return the polynomial at `x` by Horner's rule."""
    y = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        y = y * x + coefficient
    return y


def _near(x: np.ndarray) -> np.ndarray:
    """Return (erf(x) - x) / x for |x| < 0.84375."""
    z = x * x
    return _polynomial(z, _PP) / _polynomial(z, _QQ)


def _middle(x: np.ndarray) -> np.ndarray:
    """Return erf(x) - 0.84506291151 for 0.84375 <= x < 1.25."""
    s = x - 1.0
    return _polynomial(s, _PA) / _polynomial(s, _QA)


def _ratio(x: np.ndarray) -> np.ndarray:
    """Return log(x e^(x^2) erfc(x)) + 0.5625 for 1.25 <= x < 28."""
    s = 1.0 / (x * x)
    return np.where(x < _FAR, _polynomial(s, _RA) / _polynomial(s, _SA), _polynomial(s, _RB) / _polynomial(s, _SB))


def _tail(x: np.ndarray) -> np.ndarray:
    """Return erfc(x) for 1.25 <= x < 28."""
    ratio = _ratio(x)
    head = (x.view(np.uint64) & np.uint64(0xFFFFFFFF00000000)).view(np.float64)  # head * head is exact
    return np.exp(-head * head - 0.5625) * np.exp((head - x) * (head + x) + ratio) / x


def _parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return |x| as a vector, and the masks of the intervals near, middle and tail."""
    a = np.abs(x).ravel()
    return a, a < _NEAR, (a >= _NEAR) & (a < _MIDDLE), (a >= _MIDDLE) & (a < _END)


def erf64(x: np.ndarray) -> np.ndarray:
    """Return erf of a float64 array."""
    a, near, middle, tail = _parts(x)
    y = np.where(np.isnan(a), a, 1.0)
    y[near] = a[near] + a[near] * _near(a[near])
    y[middle] = _ERX + _middle(a[middle])
    y[tail] = 1.0 - _tail(a[tail])
    return np.copysign(y.reshape(x.shape), x)


def erfc64(x: np.ndarray) -> np.ndarray:
    """Return 1 - erf of a float64 array, accurate where erf is close to 1."""
    a, near, middle, tail = _parts(x)
    v = x.ravel()
    y = np.where(np.isnan(a), a, np.where(v < 0, 2.0, 0.0))
    n = v[near]
    y[near] = np.where(n < 0.25, 1.0 - (n + n * _near(n)), 0.5 - ((n - 0.5) + n * _near(n)))
    y[middle] = np.where(v[middle] < 0, 1.0 + (_ERX + _middle(a[middle])), (1.0 - _ERX) - _middle(a[middle]))
    far = _tail(a[tail])
    y[tail] = np.where(v[tail] < 0, 2.0 - far, far)
    return y.reshape(x.shape)


def erfcx64(x: np.ndarray) -> np.ndarray:
    """Return e^(x^2) erfc(x) of a float64 array; it overflows below -26.6."""
    with np.errstate(all="ignore"):
        middle = np.clip(x, _MIDDLE, _END)
        z = 1.0 / np.square(np.maximum(x, _END))
        far = (1.0 - z * (0.5 - z * (0.75 - z * 1.875))) / (np.maximum(x, _END) * 1.772453850905516)  # sqrt(pi)
        head = (x.view(np.uint64) & np.uint64(0xFFFFFFFF00000000)).view(np.float64)  # head * head is exact
        low = np.where(np.isnan(x) | (x < _MIDDLE), x, 0.0)
        near = np.exp(head * head) * np.exp((low - head) * (low + head)) * erfc64(low)
        tail = np.exp(_ratio(middle) - 0.5625) / middle
    near = np.where(x < -_END, np.inf, near)  # erfc is 2 there
    return np.where(x >= _END, far, np.where(x >= _MIDDLE, tail, near))

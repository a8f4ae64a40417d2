"""Logarithm and exponential that give the same bits on every machine: from + - * /, `frexp` and `ldexp` only.

A library's `log` and `exp` differ from machine to machine in the last bit, which the elementwise functions may and
random numbers may not. Source: fdlibm's e_log.c and e_exp.c, Sun Microsystems 1993; errors up to 1 unit in the last
place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.lowering import Term
from chainrule.core.primitive import Edge, Sample
from chainrule.ops._elementwise import POSITIVE, elementwise
from chainrule.ops.quantile import LN2_HIGH, LN2_LOW, log64, log64_element

__all__ = ["exp64", "fixed_exp_p", "fixed_log_p"]

_EXP = (
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)


def exp64(x: np.ndarray) -> np.ndarray:
    """Return exp(x) of a float64 array, the same bits everywhere.

    x = k log 2 + r,   exp(r) = 1 + r + r c / (2 - c),   c = r - r^2 P(r^2)
    """
    bounded = np.clip(x, -750.0, 710.0)  # beyond, it is 0 or infinite
    k = np.rint(bounded * 1.4426950408889634)  # 1 / log 2
    y = _series(bounded, k)
    half = np.floor(np.nan_to_num(k) * 0.5)  # in two steps: 2^k alone can be below the smallest number
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(np.ldexp(y, half.astype(np.int32)), (np.nan_to_num(k) - half).astype(np.int32))


def _series(x: Any, k: Any) -> Any:
    """Return exp(x - k log 2)."""
    high, low = x - k * LN2_HIGH, k * LN2_LOW
    r = high - low
    t = r * r
    c = r - t * (_EXP[0] + t * (_EXP[1] + t * (_EXP[2] + t * (_EXP[3] + t * _EXP[4]))))
    return 1.0 - ((low - (r * c) / (2.0 - c)) - high)


def _exp_element(k: Any, x: Any) -> Any:
    bounded = k.minimum(k.maximum(k.cast(x, "f64"), -750.0), 710.0)
    turns = k.call("round", k.mul(bounded, 1.4426950408889634))
    y = _series(Term(k, bounded), Term(k, turns)).e
    half = k.cast(k.call("floor", k.mul(turns, 0.5)), "i64")
    for n in (half, k.sub(k.cast(turns, "i64"), half)):
        y = k.mul(y, k.bits(k.shift_left(k.add(n, 1023), 52), "f64"))
    return k.cast(y, x.kind)


def _log_element(k: Any, x: Any) -> Any:
    wide = k.cast(x, "f64")
    good = k.both(k.gt(wide, 0.0), k.lt(wide, np.inf))
    odd = k.select(k.eq(wide, 0.0), -np.inf, k.select(k.gt(wide, 0.0), wide, np.nan))
    return k.cast(k.select(good, log64_element(k, k.select(good, wide, 1.0)), odd), x.kind)


def _log(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    good = (wide > 0.0) & (wide < np.inf)
    odd = np.where(wide == 0.0, -np.inf, np.where(wide > 0.0, wide, np.nan))
    return np.where(good, log64(np.where(good, wide, 1.0)), odd).astype(x.dtype)


fixed_log_p = elementwise(
    "fixed_log",
    _log,
    POSITIVE,
    flops=20,
    derivative=lambda x: 1.0 / x,
    lower=_log_element,
    samples=[Sample((np.array([0.0, -1.0, np.inf, 1e-310, 1e30]),), smooth=False)],
    edges=[Edge((0.0,), (np.inf,), why="a pole")],
    source="fdlibm e_log.c, Sun Microsystems 1993",
)

fixed_exp_p = elementwise(
    "fixed_exp",
    lambda x: exp64(x.astype(np.float64)).astype(x.dtype),
    (-3.0, 3.0),
    flops=20,
    derivative=lambda y: y,
    lower=_exp_element,
    samples=[Sample((np.array([-np.inf, -740.0, 709.0, np.inf]),), smooth=False)],
    edges=[Edge((-1000.0,), (0.0,), why="underflows to 0"), Edge((1000.0,), (np.inf,), why="overflows")],
    source="fdlibm e_exp.c, Sun Microsystems 1993",
)

"""Elementwise entries of the database: arithmetic, powers, exponentials, comparison, logic, rounding."""

from __future__ import annotations

import math
from typing import Any

from tests.oracle.harness import Operator

import chainrule as cr

SAME_NAME = """
    abs acos acosh asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
    ceil copysign cos cosh erf erfc exp expm1 floor floor_divide isfinite isinf isnan log log10 log1p log2 logaddexp
    maximum minimum nextafter positive pow reciprocal remainder rsqrt
    sigmoid sign signbit sin sinh sqrt square tan tanh trunc
"""


def _kink(x, y, **_: Any) -> bool:
    return bool(((x == 0) & (y == 0)).any())


def add(x, y, alpha=1):
    return x + alpha * y


def subtract(x, y, alpha=1):
    return x - alpha * y


def divide(x, y, rounding_mode=None):
    if rounding_mode == "floor":
        return cr.floor_divide(x, y)
    return cr.trunc(x / y) if rounding_mode == "trunc" else cr.divide(x, y)


def fmod(x, y):
    """The remainder with the sign of x."""
    return x - cr.trunc(x / y) * y


def clamp(x, low=None, high=None):
    return cr.clip(x, low, high)


def round_to(x, decimals=0):
    if decimals == 0:
        return cr.round(x)
    scale = 10.0 ** abs(decimals)
    return cr.round(x * scale) / scale if decimals > 0 else cr.round(x / scale) * scale


def heaviside(x, at_zero):
    return cr.where(x == 0.0, at_zero, cr.astype(x > 0.0, x.dtype))


def lerp(start, end, weight):
    return start + weight * (end - start)


OPERATORS = {name: Operator(getattr(cr, name)) for name in SAME_NAME.split()} | {
    "add": Operator(add),
    "sub": Operator(subtract),
    "rsub": Operator(lambda x, y, alpha=1: y - alpha * x),
    "mul": Operator(cr.multiply),
    "neg": Operator(cr.negative),
    "true_divide": Operator(cr.divide),
    "div/no_rounding_mode": Operator(divide),
    "div/trunc_rounding": Operator(divide),
    "div/floor_rounding": Operator(divide),
    "fmod": Operator(fmod),
    "frac": Operator(lambda x: x - cr.trunc(x)),
    "float_power": Operator(cr.pow),
    "__radd__": Operator(lambda x, y: y + x),
    "__rsub__": Operator(lambda x, y: y - x),
    "__rmul__": Operator(lambda x, y: y * x),
    "__rdiv__": Operator(lambda x, y: y / x),
    "__rpow__": Operator(
        lambda x, y: y**x,
        plain=lambda x, y: not y.is_complex() and bool((y < 0).any()),
        why="by the exponent of a negative base the gradient is 0; PyTorch gives NaN",
    ),
    "__rmod__": Operator(lambda x, y: y % x),
    "__rand__": Operator(lambda x, y: y & x),
    "__ror__": Operator(lambda x, y: y | x),
    "__rxor__": Operator(lambda x, y: y ^ x),
    "bitwise_not": Operator(cr.bitwise_invert),
    "eq": Operator(lambda x, y: x == y),
    "ne": Operator(lambda x, y: x != y),
    "lt": Operator(lambda x, y: x < y),
    "le": Operator(lambda x, y: x <= y),
    "gt": Operator(lambda x, y: x > y),
    "ge": Operator(lambda x, y: x >= y),
    "equal": Operator(lambda x, y: x.shape == y.shape and cr.all(x == y).item()),
    "isclose": Operator(cr.isclose),
    "allclose": Operator(lambda x, y, **how: cr.allclose(x, y, **how).item()),
    "logical_and": Operator(lambda x, y: cr.logical_and(x != 0, y != 0)),
    "logical_or": Operator(lambda x, y: cr.logical_or(x != 0, y != 0)),
    "logical_xor": Operator(lambda x, y: cr.logical_xor(x != 0, y != 0)),
    "logical_not": Operator(lambda x: cr.logical_not(x != 0)),
    "isposinf": Operator(lambda x: x == math.inf),
    "isneginf": Operator(lambda x: x == -math.inf),
    "isreal": Operator(lambda x: cr.imag(x) == 0 if x.dtype.is_complex else cr.ones_like(x, dtype=cr.bool)),
    "fmax": Operator(lambda x, y: cr.where(cr.isnan(x), y, cr.where(cr.isnan(y), x, cr.maximum(x, y)))),
    "fmin": Operator(lambda x, y: cr.where(cr.isnan(x), y, cr.where(cr.isnan(y), x, cr.minimum(x, y)))),
    "max/binary": Operator(cr.maximum),
    "min/binary": Operator(cr.minimum),
    "clamp": Operator(clamp),
    "clamp_min": Operator(clamp),
    "clamp_max": Operator(lambda x, high: cr.clip(x, None, high)),
    "hypot": Operator(cr.hypot, plain=_kink, why="a norm has gradient 0 at 0; PyTorch gives NaN"),
    "logaddexp2": Operator(lambda x, y: cr.logaddexp(x * math.log(2.0), y * math.log(2.0)) / math.log(2.0)),
    "exp2": Operator(lambda x: cr.exp(x * math.log(2.0))),
    "ldexp": Operator(lambda x, y: x * cr.pow(2.0, y)),
    "deg2rad": Operator(lambda x: x * (math.pi / 180.0)),
    "rad2deg": Operator(lambda x: x * (180.0 / math.pi)),
    "round": Operator(round_to),
    "round/decimals_0": Operator(round_to),
    "round/decimals_3": Operator(round_to),
    "round/decimals_neg_3": Operator(round_to),
    "sgn": Operator(cr.sign),
    "heaviside": Operator(heaviside),
    "nan_to_num": Operator(cr.nan_to_num),
    "lerp": Operator(lerp),
    "addcmul": Operator(lambda x, a, b, value=1: x + value * a * b),
    "addcdiv": Operator(lambda x, a, b, value=1: x + value * a / b),
    "where": Operator(lambda x, condition, y: cr.where(condition, x, y)),
    "masked_fill": Operator(lambda x, mask, value: cr.where(mask, value, x)),
    "clone": Operator(lambda x: x),
    "contiguous": Operator(lambda x: x),
    "zero_": Operator(cr.zeros_like),
    "fill": Operator(lambda x, value: cr.full_like(x, value)),
}

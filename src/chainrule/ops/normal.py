"""The normal distribution's functions and their kin around erf, elementwise; computed in float64 and rounded once.

    ndtr(x) = erfc(-x / sqrt 2) / 2,   erfcx(x) = e^(x^2) erfc(x),   erf(erfinv(x)) = x

`normal_quantile` (the inverse of ndtr) stands in `quantile.py`, erf and erfc in `special.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import Edge, Primitive, Sample
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, elementwise
from chainrule.ops._erf import erfc64, erfcx64
from chainrule.ops._inputs import as_tensor
from chainrule.ops.exponential import exp
from chainrule.ops.quantile import CENTRE, MIDDLE, TAIL, centre_element, log64, ratio, tail_element

__all__ = ["erfcx", "erfinv", "log_ndtr", "ndtr"]

_SQRT1_2, _2_SQRTPI, _SQRT_2_PI = 0.7071067811865476, 1.1283791670955126, 0.7978845608028654


# ---------------------------------------------------------------------------------------------------- primitives
def _erfinv(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    q = wide * 0.5
    inner = np.abs(q) <= 0.425
    centre = q * ratio(CENTRE, 0.180625 - np.where(inner, q, 0.0) ** 2)
    side = 0.5 - np.abs(q)
    r = np.sqrt(-log64(np.where(side > 0.0, side, 0.5)))
    tail = np.where(r <= 5.0, ratio(MIDDLE, np.minimum(r, 5.0) - 1.6), ratio(TAIL, np.maximum(r, 5.0) - 5.0))
    tail = np.where(side > 0.0, tail, np.where(side == 0.0, np.inf, np.nan))
    return (np.where(inner, centre, np.copysign(tail, q)) * _SQRT1_2).astype(x.dtype)


def _erfinv_element(k: Any, x: Any) -> Any:
    q = k.mul(k.cast(x, "f64"), 0.5)
    inner = k.le(k.abs(q), 0.425)
    outer = k.call("copysign", tail_element(k, k.sub(0.5, k.abs(q))), q)
    return k.cast(k.mul(k.select(inner, centre_element(k, q, inner), outer), _SQRT1_2), x.kind)


erfinv_p = elementwise(
    "erfinv",
    _erfinv,
    (-0.8, 0.8),
    flops=60,
    derivative=lambda y: exp(y * y) / _2_SQRTPI,
    lower=_erfinv_element,
    samples=[Sample((np.array([-0.99, -0.86, 0.84, 0.95]),))],
    edges=[
        Edge((0.0,), (1 / _2_SQRTPI,), why="the flattest point"),
        Edge((1.0,), (np.inf,), why="infinity, with an infinite slope"),
        Edge((-1.0,), (np.inf,), why="minus infinity, with an infinite slope"),
    ],
    source="Wichura, Applied Statistics 37 (1988), AS 241",
)

erfcx_p: Primitive = elementwise(
    "erfcx",
    lambda x: erfcx64(x.astype(np.float64)).astype(x.dtype),
    ANY,
    flops=40,
    derivative=lambda x, y: 2.0 * x * y - _2_SQRTPI,
    samples=[Sample((((9,), -5.0, 35.0),))],
    edges=[Edge((0.0,), (-_2_SQRTPI,), why="1 at 0"), Edge((-30.0,), (-np.inf,), why="overflows")],
    source="fdlibm s_erf.c, Sun Microsystems 1993",
)

ndtr_p = elementwise(
    "ndtr",
    lambda x: (0.5 * erfc64(x.astype(np.float64) * -_SQRT1_2)).astype(x.dtype),
    ANY,
    flops=40,
    derivative=lambda x: exp(-0.5 * x * x) * (0.5 * _SQRT_2_PI),
    lower=lambda k, x: k.cast(k.mul(k.call("erfc", k.mul(k.cast(x, "f64"), -_SQRT1_2)), 0.5), x.kind),
    samples=[Sample((((9,), -8.0, 8.0),))],
    edges=[Edge((0.0,), (0.5 * _SQRT_2_PI,), why="the steepest point"), Edge((np.inf,), (0.0,), why="1")],
    source="fdlibm s_erf.c, Sun Microsystems 1993",
)


def _log_ndtr(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    t = wide * _SQRT1_2
    low = np.minimum(t, -0.7)
    below = np.log(0.5 * erfcx64(-low)) - low * low  # erfcx falls slowly: no underflow
    return np.where(t < -0.7, below, np.log1p(-0.5 * erfc64(t))).astype(x.dtype)


log_ndtr_p = elementwise(
    "log_ndtr",
    _log_ndtr,
    ANY,
    flops=50,
    derivative=lambda x: _SQRT_2_PI / erfcx(x * -_SQRT1_2),
    samples=[Sample((((9,), -50.0, 8.0),))],
    edges=[
        Edge((0.0,), (_SQRT_2_PI,), why="log 1/2"),
        Edge((-1e8,), (1e8,), why="far below: about -x^2 / 2"),
        Edge((50.0,), (0.0,), why="log 1"),
    ],
    source="fdlibm s_erf.c, Sun Microsystems 1993",
)


# ---------------------------------------------------------------------------------------------------- functions
def erfinv(x: Tensor, /) -> Tensor:
    """Return the number whose error function is x, elementwise.

        x = erf(y),   dy/dx = sqrt(pi) / 2 e^(y^2)

    Args:
        x: float tensor of any shape, in [-1, 1].

    Returns:
        Tensor of the same shape and dtype; infinite at -1 and 1, NaN outside.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.erfinv(cr.asarray([0.0, 0.5204999, 1.0]))
        tensor([0. , 0.5, inf], shape=(3,), dtype=float32)

    Source: Wichura, Algorithm AS 241, Applied Statistics 37 (1988).
    """
    return bind(erfinv_p, as_tensor(x))


def erfcx(x: Tensor, /) -> Tensor:
    """Return e^(x^2) erfc(x) elementwise: 1 - erf(x) without its underflow.

        dy/dx = 2 x y - 2 / sqrt(pi)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; about 1 / (x sqrt(pi)) for large x, and infinite below -26.6.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.erfcx(cr.asarray([0.0, 100.0]))
        tensor([1.        , 0.00564161], shape=(2,), dtype=float32)

    Source: fdlibm s_erf.c, Sun Microsystems 1993.
    """
    return bind(erfcx_p, as_tensor(x))


def ndtr(x: Tensor, /) -> Tensor:
    """Return the probability that a standard normal variable is below x, elementwise.

        y = erfc(-x / sqrt(2)) / 2,   dy/dx = e^(-x^2 / 2) / sqrt(2 pi)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype, in [0, 1].

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.ndtr(cr.asarray([0.0, 1.96]))
        tensor([0.5      , 0.9750021], shape=(2,), dtype=float32)

    Source: fdlibm s_erf.c, Sun Microsystems 1993; the inverse is `normal_quantile`.
    """
    return bind(ndtr_p, as_tensor(x))


def log_ndtr(x: Tensor, /) -> Tensor:
    """Return the logarithm of the probability that a standard normal variable is below x, without underflow.

        y = log(ndtr(x))

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; about -x^2 / 2 for x far below 0.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.log_ndtr(cr.asarray([0.0, -100.0]))
        tensor([-6.9314718e-01, -5.0055244e+03], shape=(2,), dtype=float32)

    Source: fdlibm s_erf.c, Sun Microsystems 1993.
    """
    return bind(log_ndtr_p, as_tensor(x))

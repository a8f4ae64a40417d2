"""Sigmoid, softplus, relu and the error function, elementwise: exact far out on both sides."""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import Edge, Sample
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, elementwise, indicator
from chainrule.ops._erf import erf64, erfc64
from chainrule.ops._inputs import as_tensor
from chainrule.ops.exponential import exp
from chainrule.ops.logical import logical_not

__all__ = ["erf", "erfc", "relu", "sigmoid", "softplus"]


# ---------------------------------------------------------------------------------------------------- primitives
def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))  # at most 1: never overflows
    return np.where(x >= 0, 1, e) / (1 + e)


sigmoid_p = elementwise(
    "sigmoid",
    _sigmoid,
    (-4.0, 4.0),
    flops=4,
    derivative=lambda y: y * (1.0 - y),
    edges=[
        Edge((0.0,), (0.25,), why="the middle"),
        Edge((1000.0,), (0.0,), why="saturated"),
        Edge((-1000.0,), (0.0,), why="saturated; exp(1000) must not be computed"),
    ],
    lower=lambda k, x: k.call("sigmoid", x),
)

softplus_p = elementwise(
    "softplus",
    lambda x: np.logaddexp(x.dtype.type(0), x),
    (-4.0, 4.0),
    flops=5,
    derivative=lambda x: sigmoid(x),
    edges=[
        Edge((0.0,), (0.5,), why="the middle"),
        Edge((1e4,), (1.0,), why="a line"),
        Edge((-1e4,), (0.0,), why="underflows to 0"),
    ],
    source="Dugas et al., NIPS 2000",
    lower=lambda k, x: k.call("softplus", x),
)

relu_p = elementwise(
    "relu",
    lambda x: np.maximum(x, 0),
    (0.1, 2.0),
    derivative=lambda y: indicator(logical_not(y <= 0.0), y),
    edges=[
        Edge((0.0,), (0.0,), why="the slope to the left"),
        Edge((-1.0,), (0.0,), why="off"),
        Edge((np.inf,), (1.0,), why="on"),
        Edge((np.nan,), (1.0,), why="NaN stays NaN and passes the gradient on"),
    ],
    source="Nair and Hinton, ICML 2010",
    lower=lambda k, x: k.select(k.lt(x, 0), 0, x),
)

_2_SQRTPI = 1.1283791670955126  # 2 / sqrt(pi)

erf_p = elementwise(
    "erf",
    lambda x: erf64(x.astype(np.float64)).astype(x.dtype),
    ANY,
    derivative=lambda x: _2_SQRTPI * exp(-x * x),
    samples=[Sample((((9,), -6.0, 6.0),))],
    edges=[
        Edge((0.0,), (_2_SQRTPI,), why="the steepest point"),
        Edge((30.0,), (0.0,), why="saturated"),
        Edge((-np.inf,), (0.0,), why="saturated"),
    ],
    source="fdlibm s_erf.c, Sun Microsystems 1993",
    lower=lambda k, x: k.call("erf", x),
)

erfc_p = elementwise(
    "erfc",
    lambda x: erfc64(x.astype(np.float64)).astype(x.dtype),
    ANY,
    derivative=lambda x: -_2_SQRTPI * exp(-x * x),
    samples=[Sample((((9,), -6.0, 6.0),))],
    edges=[
        Edge((0.0,), (-_2_SQRTPI,), why="the steepest point"),
        Edge((30.0,), (0.0,), why="underflows to 0"),
        Edge((-np.inf,), (0.0,), why="saturated"),
    ],
    source="fdlibm s_erf.c, Sun Microsystems 1993",
    lower=lambda k, x: k.call("erfc", x),
)


def sigmoid(x: Tensor, /) -> Tensor:
    """Return the logistic function elementwise, without overflow on either side.

        y = 1 / (1 + e^-x),   dy/dx = y (1 - y)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.sigmoid(cr.asarray([-1000.0, 0.0]))
        tensor([0. , 0.5], shape=(2,), dtype=float32)
    """
    return bind(sigmoid_p, as_tensor(x))


def softplus(x: Tensor, /) -> Tensor:
    """Return a smooth relu elementwise, without overflow.

        y = log(1 + e^x),   dy/dx = sigmoid(x)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.softplus(cr.asarray([-1000.0, 1000.0]))
        tensor([   0., 1000.], shape=(2,), dtype=float32)

    Source: Dugas et al., NIPS 2000
    """
    return bind(softplus_p, as_tensor(x))


def relu(x: Tensor, /) -> Tensor:
    """Return the positive part elementwise; its gradient at 0 is 0, and NaN stays NaN.

        y = max(x, 0)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.relu(cr.asarray([-1.0, 0.0, 2.0]))
        tensor([0., 0., 2.], shape=(3,), dtype=float32)

    Source: Nair and Hinton, ICML 2010
    """
    return bind(relu_p, as_tensor(x))


def erf(x: Tensor, /) -> Tensor:
    """Return the error function elementwise.

        y = 2 / sqrt(pi) * integral of e^(-t^2) from 0 to x

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.erf(cr.asarray([0.0, 0.5]))
        tensor([0.       , 0.5204999], shape=(2,), dtype=float32)

    Source: fdlibm s_erf.c, Sun Microsystems 1993; computed in float64
    """
    return bind(erf_p, as_tensor(x))


def erfc(x: Tensor, /) -> Tensor:
    """Return 1 - erf(x) elementwise, accurate also where it is tiny.

        y = 2 / sqrt(pi) * integral of e^(-t^2) from x to infinity

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.erfc(cr.asarray([0.0, 5.0]))
        tensor([1.0000000e+00, 1.5374598e-12], shape=(2,), dtype=float32)

    Source: fdlibm s_erf.c, Sun Microsystems 1993; computed in float64
    """
    return bind(erfc_p, as_tensor(x))

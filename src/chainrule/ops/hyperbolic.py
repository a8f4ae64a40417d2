"""Hyperbolic functions and their inverses, elementwise."""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import Edge
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, elementwise
from chainrule.ops._inputs import as_tensor
from chainrule.ops.powers import rsqrt

__all__ = ["acosh", "asinh", "atanh", "cosh", "sinh", "tanh"]

# ---------------------------------------------------------------------------------------------------- primitives
sinh_p = elementwise(
    "sinh",
    lambda x: np.sinh(x),
    ANY,
    kind="float or complex",
    derivative=lambda x: cosh(x),
    lower=lambda k, x: k.call("sinh", x),
)
cosh_p = elementwise(
    "cosh",
    lambda x: np.cosh(x),
    ANY,
    kind="float or complex",
    derivative=lambda x: sinh(x),
    edges=[Edge((0.0,), (0.0,), why="the lowest point")],
    lower=lambda k, x: k.call("cosh", x),
)


def _tanh(x: np.ndarray) -> np.ndarray:
    y = np.tanh(x)
    if x.dtype.kind == "c":  # at an infinity NumPy's zero has the sign of sin(2 imag(x)), not that of imag(x)
        far = np.isinf(x.real) & np.isfinite(x.imag)
        y = np.array(y)
        y[far] = np.copysign(1, x.real[far]) + 1j * np.copysign(0, x.imag[far])
    return y


tanh_p = elementwise(
    "tanh",
    _tanh,
    ANY,
    kind="float or complex",
    derivative=lambda y: 1.0 - y * y,
    edges=[
        Edge((0.0,), (1.0,), why="the steepest point"),
        Edge((1000.0,), (0.0,), why="saturated"),
        Edge((-np.inf,), (0.0,), why="saturated"),
    ],
    lower=lambda k, x: k.call("tanh", x),
)
asinh_p = elementwise(
    "asinh",
    lambda x: np.arcsinh(x),
    ANY,
    kind="float or complex",
    derivative=lambda x: rsqrt(x * x + 1.0),
    edges=[Edge((0.0,), (1.0,), why="the steepest point"), Edge((np.inf,), (0.0,), why="flat")],
    lower=lambda k, x: k.call("asinh", x),
)
acosh_p = elementwise(
    "acosh",
    lambda x: np.arccosh(x),
    (1.3, 3.0),
    kind="float or complex",
    derivative=lambda x: rsqrt(x - 1.0) * rsqrt(x + 1.0),
    edges=[Edge((1.0,), (np.inf,), why="a vertical tangent"), Edge((0.5,), (np.nan,), why="below 1")],
    lower=lambda k, x: k.call("acosh", x),
)
atanh_p = elementwise(
    "atanh",
    lambda x: np.arctanh(x),
    (-0.8, 0.8),
    kind="float or complex",
    derivative=lambda x: 1.0 / (1.0 - x * x),
    edges=[Edge((1.0,), (np.inf,), why="a pole"), Edge((-1.0,), (np.inf,), why="a pole")],
    lower=lambda k, x: k.call("atanh", x),
)


def sinh(x: Tensor, /) -> Tensor:
    """Return the hyperbolic sine elementwise.

        y = (e^x - e^-x) / 2

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.sinh(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(sinh_p, as_tensor(x))


def cosh(x: Tensor, /) -> Tensor:
    """Return the hyperbolic cosine elementwise.

        y = (e^x + e^-x) / 2

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.cosh(cr.zeros(2))
        tensor([1., 1.], shape=(2,), dtype=float32)
    """
    return bind(cosh_p, as_tensor(x))


def tanh(x: Tensor, /) -> Tensor:
    """Return the hyperbolic tangent elementwise.

        y = (e^x - e^-x) / (e^x + e^-x),   dy/dx = 1 - y^2

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.tanh(cr.asarray([0.0, 1000.0]))
        tensor([0., 1.], shape=(2,), dtype=float32)
    """
    return bind(tanh_p, as_tensor(x))


def asinh(x: Tensor, /) -> Tensor:
    """Return the inverse of the hyperbolic sine elementwise.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.asinh(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(asinh_p, as_tensor(x))


def acosh(x: Tensor, /) -> Tensor:
    """Return the inverse of the hyperbolic cosine elementwise.

    Args:
        x: float tensor of any shape, at least 1; below it NaN.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.acosh(cr.ones(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(acosh_p, as_tensor(x))


def atanh(x: Tensor, /) -> Tensor:
    """Return the inverse of the hyperbolic tangent elementwise.

    Args:
        x: float tensor of any shape, in (-1, 1); infinite at -1 and 1, NaN beyond.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.atanh(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(atanh_p, as_tensor(x))

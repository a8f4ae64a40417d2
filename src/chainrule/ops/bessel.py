"""Bessel functions of the orders 0 and 1, elementwise; computed in float64 and rounded once.

i0' = i1,   i1' = i0 - i1 / x;     j0' = -j1,   j1' = j0 - j1 / x
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import Edge, Primitive, Sample
from chainrule.core.tensor import Tensor
from chainrule.ops._bessel import i0e64, i1e64, j0_64, j1_64
from chainrule.ops._elementwise import ANY, elementwise
from chainrule.ops._inputs import as_tensor
from chainrule.ops.arithmetic import sign
from chainrule.ops.selection import where

__all__ = ["bessel_j0", "bessel_j1", "i0", "i0e", "i1", "i1e"]


def _grown(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return y e^|x|, infinite where that overflows."""
    growth = np.exp(np.abs(x))
    return np.where(np.isinf(growth), np.copysign(np.inf, y), y * growth)


def _divided(y: Tensor, x: Tensor) -> Tensor:
    """Return y / x, and 1/2 where x is 0: y is a function of order 1."""
    zero = x == 0.0
    return where(zero, 0.5, y / where(zero, 1.0, x))


def _wide(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a reference that computes `function` in float64 and rounds once."""
    return lambda x: function(x.astype(np.float64)).astype(x.dtype)


_far = [Sample((((9,), 6.0, 40.0),)), Sample((((5,), -12.0, -4.0),))]

i0_p = elementwise(
    "i0",
    _wide(lambda x: _grown(i0e64(x), x)),
    ANY,
    flops=70,
    derivative=lambda x: i1(x),
    samples=[Sample((((9,), -12.0, 12.0),))],
    edges=[Edge((0.0,), (0.0,), why="the lowest point"), Edge((1000.0,), (np.inf,), why="overflows")],
    source="Clenshaw 1962",
)
i1_p: Primitive = elementwise(
    "i1",
    _wide(lambda x: _grown(i1e64(x), x)),
    ANY,
    flops=70,
    derivative=lambda x, y: i0(x) - _divided(y, x),
    samples=[Sample((((9,), -12.0, 12.0),))],
    edges=[Edge((0.0,), (0.5,), why="x / 2 near 0")],
    source="Clenshaw 1962",
)
i0e_p = elementwise(
    "i0e",
    _wide(i0e64),
    (0.1, 2.0),
    flops=70,
    derivative=lambda x, y: i1e(x) - sign(x) * y,
    samples=_far,
    edges=[Edge((0.0,), (0.0,), why="the middle of the slopes -1 and 1")],
    source="Clenshaw 1962",
)
i1e_p: Primitive = elementwise(
    "i1e",
    _wide(i1e64),
    (0.1, 2.0),
    flops=70,
    derivative=lambda x, y: i0e(x) - sign(x) * y - _divided(y, x),
    samples=_far,
    edges=[Edge((0.0,), (0.5,), why="x / 2 near 0")],
    source="Clenshaw 1962",
)
bessel_j0_p = elementwise(
    "bessel_j0",
    _wide(j0_64),
    ANY,
    flops=80,
    derivative=lambda x: -bessel_j1(x),
    samples=_far,
    edges=[Edge((0.0,), (0.0,), why="the highest point")],
    source="Clenshaw 1962",
)
bessel_j1_p: Primitive = elementwise(
    "bessel_j1",
    _wide(j1_64),
    ANY,
    flops=80,
    derivative=lambda x, y: bessel_j0(x) - _divided(y, x),
    samples=_far,
    edges=[Edge((0.0,), (0.5,), why="x / 2 near 0")],
    source="Clenshaw 1962",
)


def i0(x: Tensor, /) -> Tensor:
    """Return the modified Bessel function of the first kind and order 0 elementwise.

        y = sum over k >= 0 of (x / 2)^(2k) / k!^2,   dy/dx = i1(x)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.i0(cr.asarray([0.0, 1.0]))
        tensor([1.       , 1.2660658], shape=(2,), dtype=float32)

    Source: Chebyshev series after Clenshaw, Chebyshev series for mathematical functions, 1962.
    """
    return bind(i0_p, as_tensor(x))


def i0e(x: Tensor, /) -> Tensor:
    """Return e^-|x| i0(x) elementwise, without overflow.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; its gradient at 0 is 0.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.i0e(cr.asarray([0.0, 1000.0]))
        tensor([1.        , 0.01261724], shape=(2,), dtype=float32)

    Source: Chebyshev series after Clenshaw, Chebyshev series for mathematical functions, 1962.
    """
    return bind(i0e_p, as_tensor(x))


def i1(x: Tensor, /) -> Tensor:
    """Return the modified Bessel function of the first kind and order 1 elementwise.

        y = i0'(x),   dy/dx = i0(x) - y / x

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.i1(cr.asarray([0.0, 1.0]))
        tensor([0.       , 0.5651591], shape=(2,), dtype=float32)

    Source: Chebyshev series after Clenshaw, Chebyshev series for mathematical functions, 1962.
    """
    return bind(i1_p, as_tensor(x))


def i1e(x: Tensor, /) -> Tensor:
    """Return e^-|x| i1(x) elementwise, without overflow.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.i1e(cr.asarray([0.0, 1000.0]))
        tensor([0.        , 0.01261093], shape=(2,), dtype=float32)

    Source: Chebyshev series after Clenshaw, Chebyshev series for mathematical functions, 1962.
    """
    return bind(i1e_p, as_tensor(x))


def bessel_j0(x: Tensor, /) -> Tensor:
    """Return the Bessel function of the first kind and order 0 elementwise.

        y = sum over k >= 0 of (-1)^k (x / 2)^(2k) / k!^2,   dy/dx = -bessel_j1(x)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.bessel_j0(cr.asarray([0.0, 1.0]))
        tensor([1.       , 0.7651977], shape=(2,), dtype=float32)

    Source: Chebyshev series after Clenshaw, Chebyshev series for mathematical functions, 1962.
    """
    return bind(bessel_j0_p, as_tensor(x))


def bessel_j1(x: Tensor, /) -> Tensor:
    """Return the Bessel function of the first kind and order 1 elementwise.

        y = -bessel_j0'(x),   dy/dx = bessel_j0(x) - y / x

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.bessel_j1(cr.asarray([0.0, 1.0]))
        tensor([0.        , 0.44005057], shape=(2,), dtype=float32)

    Source: Chebyshev series after Clenshaw, Chebyshev series for mathematical functions, 1962.
    """
    return bind(bessel_j1_p, as_tensor(x))

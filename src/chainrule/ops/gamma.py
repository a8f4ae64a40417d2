"""The gamma function's logarithm and what follows from it, elementwise; computed in float64 and rounded once.

lgamma'(x) = digamma(x) = polygamma(0, x),   polygamma(n, x)' = polygamma(n + 1, x)
polygamma(n, x) = (-1)^(n + 1) n! zeta(n + 1, x)
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError
from chainrule.core.primitive import Edge, Invalid, Primitive, Sample, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import POSITIVE, elementwise
from chainrule.ops._gamma import digamma64, lgamma64, zeta64
from chainrule.ops._inputs import as_tensor, pair
from chainrule.ops._rules import elementwise_flops, elementwise_shape, grid
from chainrule.ops.creation import arange
from chainrule.ops.reduce import sum
from chainrule.ops.shape import expand_dims

__all__ = ["digamma", "lgamma", "multigammaln", "polygamma", "zeta"]


# ---------------------------------------------------------------------------------------------------- primitives
lgamma_p = elementwise(
    "lgamma",
    lambda x: lgamma64(x.astype(np.float64)).astype(x.dtype),
    POSITIVE,
    flops=40,
    derivative=lambda x: digamma(x),
    samples=[Sample((((7,), -3.9, -3.1),)), Sample((((7,), 1.0, 60.0),))],
    edges=[
        Edge((1.0,), (-0.5772156649015329,), why="0 with the slope -gamma"),
        Edge((0.0,), (-np.inf,), why="a pole"),
        Edge((-1.0,), (np.nan,), why="a pole, falling on one side and rising on the other"),
    ],
    source="Abramowitz and Stegun 6.1",
)

digamma_p = elementwise(
    "digamma",
    lambda x: digamma64(x.astype(np.float64)).astype(x.dtype),
    POSITIVE,
    flops=40,
    derivative=lambda x: polygamma(1, x),
    samples=[Sample((((7,), -3.8, -3.2),)), Sample((((7,), 1.0, 60.0),))],
    edges=[Edge((1.0,), (math.pi**2 / 6,), why="zeta(2)"), Edge((0.0,), (np.inf,), why="a pole")],
    source="Abramowitz and Stegun 6.3",
)


def _polygamma(x: np.ndarray, *, n: int) -> np.ndarray:
    wide = x.astype(np.float64)
    if n == 0:
        return digamma64(wide).astype(x.dtype)
    return ((-1.0) ** (n + 1) * math.factorial(n) * zeta64(np.asarray(n + 1.0), wide)).astype(x.dtype)


polygamma_p: Primitive = primitive(
    "polygamma",
    reference=_polygamma,
    shape=elementwise_shape("polygamma", "float"),
    elementwise=True,
    derivative=lambda x, *, n: bind(polygamma_p, x, n=n + 1),
    flops=elementwise_flops(80),
    samples=[
        *grid(POSITIVE, n=1),
        Sample((((7,), 0.5, 30.0),), {"n": 3}),
        Sample((((5,), -2.8, -2.2),), {"n": 2}),
        Sample((((3,), 1.0, 3.0),), {"n": 0}),
    ],
    edges=[
        Edge((1.0,), (-2.4041138063191885,), {"n": 1}, why="-2 zeta(3)"),
        Edge((0.0,), (-np.inf,), {"n": 1}, why="a pole"),
    ],
    invalid=[
        Invalid(
            (np.ones(2, np.int64),), "polygamma needs a float tensor; got int64: use .astype(cr.float32).", {"n": 1}
        )
    ],
    source="Abramowitz and Stegun 6.4",
)

zeta_p: Primitive = elementwise(
    "zeta",
    lambda s, q: zeta64(s.astype(np.float64), q.astype(np.float64)).astype(s.dtype),
    (1.5, 4.0),
    POSITIVE,
    flops=80,
    derivative=(None, lambda s, q: -s * bind(zeta_p, s + 1.0, q)),
    edges=[Edge((2.0, 0.0), (None, -np.inf), why="a pole")],
    source="Abramowitz and Stegun 23.2",
)


# ---------------------------------------------------------------------------------------------------- functions
def lgamma(x: Tensor, /) -> Tensor:
    """Return log |gamma(x)| elementwise.

        gamma(n) = (n - 1)!,   dy/dx = digamma(x)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; infinite at 0, -1, -2, ...

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.exp(cr.lgamma(cr.asarray([5.0, 0.5])))
        tensor([24.       ,  1.7724538], shape=(2,), dtype=float32)

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 6.1.33 and 6.1.41.
    """
    return bind(lgamma_p, as_tensor(x))


def digamma(x: Tensor, /) -> Tensor:
    """Return the derivative of log gamma(x) elementwise.

        dy/dx = polygamma(1, x)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; infinite at 0, NaN at -1, -2, ...

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.digamma(cr.asarray(1.0))
        tensor(-0.5772157, shape=(), dtype=float32)

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 6.3.18.
    """
    return bind(digamma_p, as_tensor(x))


def polygamma(n: int, x: Tensor, /) -> Tensor:
    """Return the n-th derivative of digamma(x) elementwise.

        y = (-1)^(n + 1) n! sum over k >= 0 of 1 / (x + k)^(n + 1),   dy/dx = polygamma(n + 1, x)

    Args:
        n: integer >= 0.
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype; infinite at 0, -1, -2, ... for n > 0, NaN below -10,000.

    Raises:
        ValueError: n is negative.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.polygamma(1, cr.asarray(1.0))                                          # pi^2 / 6
        tensor(1.644934, shape=(), dtype=float32)

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 6.4.10.
    """
    if n < 0:
        raise ValueError(f"polygamma.n must be an int >= 0; got {n}.")
    return bind(polygamma_p, as_tensor(x), n=int(n))


def zeta(s: Tensor | float, q: Tensor | float, /) -> Tensor:
    """Return the Hurwitz zeta function elementwise; zeta(s, 1) is Riemann's.

        y = sum over k >= 0 of 1 / (q + k)^s,   dy/dq = -s zeta(s + 1, q)

    Args:
        s: float tensor or number, > 1; no gradient flows to it.
        q: float tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape; infinite for s = 1 and at q = 0, -1, -2, ..., NaN for s < 1.

    Raises:
        DTypeError: no float tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.zeta(2.0, cr.asarray([1.0, 2.0]))
        tensor([1.644934  , 0.64493406], shape=(2,), dtype=float32)

    Source: Moshier, Cephes, zeta.c.
    """
    return bind(zeta_p, *pair(s, q))


def multigammaln(x: Tensor, p: int, /) -> Tensor:
    """Return the logarithm of the multivariate gamma function elementwise.

        y = p (p - 1) / 4 log(pi) + sum over j < p of lgamma(x - j / 2)

    Args:
        x: float tensor of any shape, > (p - 1) / 2.
        p: dimension, >= 1.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ValueError: p is below 1.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.multigammaln(cr.asarray(2.0), 1)
        tensor(0., shape=(), dtype=float32)
    """
    if p < 1:
        raise ValueError(f"multigammaln.p must be an int >= 1; got {p}.")
    x = as_tensor(x)
    if not x.dtype.is_float:
        raise DTypeError(f"multigammaln needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    shifted = expand_dims(x, -1) - arange(p, dtype=x.dtype) * 0.5  # [..., p]
    return sum(lgamma(shifted), -1) + p * (p - 1) / 4 * math.log(math.pi)

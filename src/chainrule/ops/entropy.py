"""Terms of entropies and likelihoods, elementwise: products with a logarithm that are 0 at 0, log-odds; and sinc."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError
from chainrule.core.primitive import Edge, Sample
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, POSITIVE, elementwise
from chainrule.ops._inputs import as_tensor, pair
from chainrule.ops.arithmetic import abs as magnitude
from chainrule.ops.exponential import log, log1p
from chainrule.ops.logical import logical_and
from chainrule.ops.selection import clip, where
from chainrule.ops.trigonometric import sin

__all__ = ["entr", "logit", "sinc", "xlog1py", "xlogy"]


# ---------------------------------------------------------------------------------------------------- primitives
def _times_log(x: np.ndarray, y: np.ndarray, logarithm: np.ufunc) -> np.ndarray:
    zero = (x == 0) & ~np.isnan(y)
    return np.where(zero, 0, x * logarithm(np.where(zero, 1, y))).astype(x.dtype)


def _times_log_element(k: Any, x: Any, y: Any, logarithm: str) -> Any:
    zero = k.both(k.eq(x, 0), k.eq(y, y))
    return k.select(zero, 0, k.mul(x, k.call(logarithm, k.select(zero, 1, y))))


def _slope(x1: Tensor, x2: Tensor, pole: float) -> Tensor:
    """Return x2, and a number whose logarithm is 0 where x1 is 0 and x2 at or beyond the pole."""
    return where(logical_and(x1 == 0.0, x2 <= pole), pole + 1.0, x2)


xlogy_p = elementwise(
    "xlogy",
    lambda x1, x2: _times_log(x1, x2, np.log),
    ANY,
    POSITIVE,
    flops=2,
    derivative=(lambda x1, x2: log(_slope(x1, x2, 0.0)), lambda x1, x2: x1 / x2),
    lower=lambda k, x1, x2: _times_log_element(k, x1, x2, "log"),
    samples=[Sample((np.array([0.0, 0.0, 2.0]), np.array([0.0, np.inf, 1.0])), smooth=False)],
    edges=[
        Edge((0.0, 2.0), (0.6931471805599453, 0.0), why="0, and log 2 as the slope"),
        Edge((0.0, 0.0), (0.0, np.nan), why="0 log 0 is 0: constant in x1; 0 / 0 in x2, as PyTorch"),
        Edge((1.0, 0.0), (-np.inf, np.inf), why="a pole"),
    ],
)

xlog1py_p = elementwise(
    "xlog1py",
    lambda x1, x2: _times_log(x1, x2, np.log1p),
    ANY,
    (-0.7, 3.0),
    flops=2,
    derivative=(lambda x1, x2: log1p(_slope(x1, x2, -1.0)), lambda x1, x2: x1 / (x2 + 1.0)),
    lower=lambda k, x1, x2: _times_log_element(k, x1, x2, "log1p"),
    samples=[Sample((np.array([0.0, 0.0, 2.0]), np.array([-1.0, np.inf, 1.0])), smooth=False)],
    edges=[
        Edge((0.0, 1.0), (0.6931471805599453, 0.0), why="0, and log 2 as the slope"),
        Edge((0.0, -1.0), (0.0, np.nan), why="0 log 0 is 0: constant in x1; 0 / 0 in x2, as PyTorch"),
        Edge((1.0, -1.0), (-np.inf, np.inf), why="a pole"),
    ],
)

entr_p = elementwise(
    "entr",
    lambda x: np.where(x < 0, x.dtype.type(-np.inf), -_times_log(x, x, np.log)),
    POSITIVE,
    flops=3,
    derivative=lambda x: -(log(x) + 1.0),
    lower=lambda k, x: k.select(k.lt(x, 0), -np.inf, k.neg(_times_log_element(k, x, x, "log"))),
    samples=[Sample((np.array([0.0, -1.0, np.inf]),), smooth=False)],
    edges=[Edge((0.0,), (np.inf,), why="0 with a vertical tangent"), Edge((1.0,), (-1.0,), why="falls")],
)

logit_p = elementwise(
    "logit",
    lambda x: np.log(x / (1 - x)),
    (0.1, 0.9),
    flops=3,
    derivative=lambda x: 1.0 / (x * (1.0 - x)),
    lower=lambda k, x: k.log(k.div(x, k.sub(1.0, x))),
    edges=[
        Edge((0.5,), (4.0,), why="the flattest point"),
        Edge((0.0,), (np.inf,), why="minus infinity, with an infinite slope"),
        Edge((1.0,), (np.inf,), why="infinity, with an infinite slope"),
    ],
)


# ---------------------------------------------------------------------------------------------------- functions
def xlogy(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 log(x2) elementwise, and 0 where x1 is 0.

    Args:
        x1: float tensor or number.
        x2: float tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype; NaN where x2 is.

    Raises:
        DTypeError: no float tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.xlogy(cr.asarray([0.0, 2.0]), cr.asarray([0.0, 1.0]))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(xlogy_p, *pair(x1, x2))


def xlog1py(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 log(1 + x2) elementwise, accurate near x2 = 0, and 0 where x1 is 0.

    Args:
        x1: float tensor or number.
        x2: float tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype; NaN where x2 is.

    Raises:
        DTypeError: no float tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.xlog1py(cr.asarray([0.0, 2.0]), cr.asarray([-1.0, 0.0]))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(xlog1py_p, *pair(x1, x2))


def entr(x: Tensor, /) -> Tensor:
    """Return the entropy term of a probability elementwise.

        y = -x log(x)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype: 0 at 0, -infinity below.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.entr(cr.asarray([0.0, 0.5, 1.0])).sum()                                # the entropy of a coin is log 2
        tensor(0.3465736, shape=(), dtype=float32)
    """
    return bind(entr_p, as_tensor(x))


def logit(x: Tensor, /, eps: float | None = None) -> Tensor:
    """Return the log-odds of a probability elementwise: the inverse of sigmoid.

        y = log(x / (1 - x))

    Args:
        x: float tensor of any shape, in [0, 1].
        eps: in [0, 0.5): x is first limited to [eps, 1 - eps]; default None, not at all.

    Returns:
        Tensor of the same shape and dtype; infinite at 0 and 1, NaN outside.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.logit(cr.sigmoid(cr.asarray([-1.0, 2.0])))
        tensor([-1.       ,  1.9999995], shape=(2,), dtype=float32)
    """
    x = as_tensor(x)
    return bind(logit_p, x if eps is None else clip(x, eps, 1.0 - eps))


def sinc(x: Tensor, /) -> Tensor:
    """Return the ideal low-pass filter elementwise.

        y = sin(pi x) / (pi x),   1 at x = 0

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype. Derivatives of every order are exact at 0 too.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.sinc(cr.asarray([0.0, 0.5]))
        tensor([1.        , 0.63661975], shape=(2,), dtype=float32)
    """
    x = as_tensor(x)
    if not x.dtype.is_float:
        raise DTypeError(f"sinc needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    t = x * math.pi
    small = magnitude(t) < 0.7  # there the power series, whose derivatives have no 0 / 0
    squared = where(small, t * t, 0.0)
    series = squared * 0.0 + _SINC[-1]
    for coefficient in _SINC[-2::-1]:
        series = series * squared + coefficient
    apart = where(small, 1.0, t)
    return where(small, series, sin(apart) / apart)


_SINC = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(10))

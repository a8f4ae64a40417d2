"""Exponentials and logarithms, elementwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import PRIMITIVES, Edge
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, POSITIVE, elementwise
from chainrule.ops._inputs import as_tensor, pair
from chainrule.ops.compare import isinf
from chainrule.ops.logical import logical_and
from chainrule.ops.selection import where

__all__ = ["exp", "expm1", "log", "log10", "log1p", "log2", "logaddexp"]

# ---------------------------------------------------------------------------------------------------- primitives
_LN2, _LN10 = 0.6931471805599453, 2.302585092994046
_pole = [Edge((0.0,), (np.inf,), why="a pole")]

exp_p = elementwise(
    "exp",
    lambda x: np.exp(x),
    (-3.0, 3.0),
    kind="float or complex",
    derivative=lambda y: y,
    edges=[Edge((-1000.0,), (0.0,), why="underflows to 0"), Edge((1000.0,), (np.inf,), why="overflows")],
    lower=lambda k, x: k.exp(x),
)

def _expm1(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind != "c":
        return np.expm1(x)
    return np.where(np.isfinite(x), np.expm1(x), np.exp(x) - 1)  # NumPy's of a complex infinity is NaN


expm1_p = elementwise(
    "expm1",
    _expm1,
    (-3.0, 3.0),
    kind="float or complex",
    derivative=lambda y: y + 1.0,
    edges=[Edge((-1000.0,), (0.0,), why="flat at -1"), Edge((0.0,), (1.0,), why="x itself near 0")],
    lower=lambda k, x: k.call("expm1", x),
)

log_p = elementwise(
    "log",
    lambda x: np.log(x),
    POSITIVE,
    kind="float or complex",
    derivative=lambda x: 1.0 / x,
    edges=_pole,
    lower=lambda k, x: k.log(x),
)
log2_p = elementwise(
    "log2",
    lambda x: np.log2(x),
    POSITIVE,
    kind="float or complex",
    derivative=lambda x: 1.0 / (x * _LN2),
    edges=_pole,
    lower=lambda k, x: k.call("log2", x),
)
log10_p = elementwise(
    "log10",
    lambda x: np.log10(x),
    POSITIVE,
    kind="float or complex",
    derivative=lambda x: 1.0 / (x * _LN10),
    edges=_pole,
    lower=lambda k, x: k.call("log10", x),
)
log1p_p = elementwise(
    "log1p",
    lambda x: np.log1p(x),
    (-0.7, 3.0),
    kind="float or complex",
    derivative=lambda x: 1.0 / (1.0 + x),
    edges=[Edge((-1.0,), (np.inf,), why="a pole"), Edge((0.0,), (1.0,), why="x itself near 0")],
    lower=lambda k, x: k.call("log1p", x),
)


def _share(x1: Tensor, x2: Tensor) -> Tensor:
    """Return the part of x1 in e^x1 + e^x2; half where both are the same infinity."""
    same = logical_and(isinf(x1), x1 == x2)
    return bind(PRIMITIVES["sigmoid"], where(same, 0.0, x1 - x2))  # its own slope neither overflows nor is NaN


def _logaddexp_element(k: Any, x1: Any, x2: Any) -> Any:
    larger = k.add(k.maximum(x1, x2), k.call("log1p", k.exp(k.neg(k.abs(k.sub(x1, x2))))))
    return k.select(k.eq(x1, x2), k.add(x1, _LN2), larger)  # of two infinities the difference is NaN


logaddexp_p = elementwise(
    "logaddexp",
    lambda x1, x2: np.logaddexp(x1, x2),
    ANY,
    ANY,
    flops=5,
    derivative=(lambda x1, x2: _share(x1, x2), lambda x1, x2: _share(x2, x1)),
    lower=_logaddexp_element,
    edges=[
        Edge((1.0, 1.0), (0.5, 0.5), why="equal parts"),
        Edge((1000.0, -1000.0), (1.0, 0.0), why="one dominates"),
        Edge((-np.inf, 1.0), (0.0, 1.0), why="log(0 + e)"),
        Edge((-np.inf, -np.inf), (0.5, 0.5), why="log(0 + 0): shared, where PyTorch gives NaN"),
    ],
)


def exp(x: Tensor, /) -> Tensor:
    """Return e^x elementwise.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.exp(cr.zeros(2))
        tensor([1., 1.], shape=(2,), dtype=float32)
    """
    return bind(exp_p, as_tensor(x))


def expm1(x: Tensor, /) -> Tensor:
    """Return e^x - 1 elementwise, accurate near x = 0.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.expm1(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(expm1_p, as_tensor(x))


def log(x: Tensor, /) -> Tensor:
    """Return the natural logarithm elementwise; -infinity at 0, NaN below.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.log(cr.asarray([0.0, 1.0]))
        tensor([-inf,   0.], shape=(2,), dtype=float32)
    """
    return bind(log_p, as_tensor(x))


def log1p(x: Tensor, /) -> Tensor:
    """Return log(1 + x) elementwise, accurate near x = 0; -infinity at -1, NaN below.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.log1p(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(log1p_p, as_tensor(x))


def log2(x: Tensor, /) -> Tensor:
    """Return the logarithm to base 2 elementwise; -infinity at 0, NaN below.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.log2(cr.asarray([1.0, 8.0]))
        tensor([0., 3.], shape=(2,), dtype=float32)
    """
    return bind(log2_p, as_tensor(x))


def log10(x: Tensor, /) -> Tensor:
    """Return the logarithm to base 10 elementwise; -infinity at 0, NaN below.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.log10(cr.ones(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(log10_p, as_tensor(x))


def logaddexp(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return log(e^x1 + e^x2) elementwise, without overflow.

    Args:
        x1: float tensor or number.
        x2: float tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        DTypeError: not float tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.logaddexp(cr.asarray([1000.0]), 0)
        tensor([1000.], shape=(1,), dtype=float32)
    """
    return bind(logaddexp_p, *pair(x1, x2))

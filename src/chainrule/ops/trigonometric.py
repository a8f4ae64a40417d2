"""Trigonometric functions and their inverses, elementwise; angles in radians."""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import Edge
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, POSITIVE, elementwise
from chainrule.ops._inputs import as_tensor, pair
from chainrule.ops.powers import hypot, rsqrt
from chainrule.ops.selection import where

__all__ = ["acos", "asin", "atan", "atan2", "cos", "sin", "tan"]

# ---------------------------------------------------------------------------------------------------- primitives
sin_p = elementwise(
    "sin",
    lambda x: np.sin(x),
    ANY,
    kind="float or complex",
    derivative=lambda x: cos(x),
    edges=[Edge((0.0,), (1.0,), why="rising")],
    lower=lambda k, x: k.call("sin", x),
)
cos_p = elementwise(
    "cos",
    lambda x: np.cos(x),
    ANY,
    kind="float or complex",
    derivative=lambda x: -sin(x),
    edges=[Edge((0.0,), (0.0,), why="the top")],
    lower=lambda k, x: k.call("cos", x),
)
tan_p = elementwise(
    "tan",
    lambda x: np.tan(x),
    (-1.2, 1.2),
    kind="float or complex",
    derivative=lambda y: 1.0 + y * y,
    edges=[Edge((0.0,), (1.0,), why="rising")],
    lower=lambda k, x: k.call("tan", x),
)
asin_p = elementwise(
    "asin",
    lambda x: np.arcsin(x),
    (-0.9, 0.9),
    kind="float or complex",
    derivative=lambda x: rsqrt(1.0 - x * x),
    edges=[Edge((1.0,), (np.inf,), why="a vertical tangent"), Edge((2.0,), (np.nan,), why="outside [-1, 1]")],
    lower=lambda k, x: k.call("asin", x),
)
acos_p = elementwise(
    "acos",
    lambda x: np.arccos(x),
    (-0.9, 0.9),
    kind="float or complex",
    derivative=lambda x: -rsqrt(1.0 - x * x),
    edges=[Edge((-1.0,), (-np.inf,), why="a vertical tangent"), Edge((2.0,), (np.nan,), why="outside [-1, 1]")],
    lower=lambda k, x: k.call("acos", x),
)
atan_p = elementwise(
    "atan",
    lambda x: np.arctan(x),
    ANY,
    kind="float or complex",
    derivative=lambda x: 1.0 / (1.0 + x * x),
    edges=[Edge((np.inf,), (0.0,), why="flat"), Edge((1e200,), (0.0,), why="x * x overflows to the right answer")],
    lower=lambda k, x: k.call("atan", x),
)


def _length(x1: Tensor, x2: Tensor) -> Tensor:
    """Return the length of (x1, x2), 1 at the origin, so that quotients by it are 0 there."""
    length = hypot(x1, x2)
    return where(length == 0.0, 1.0, length)


def _atan2_y(x1: Tensor, x2: Tensor) -> Tensor:
    """Return d/dx1 = x2 / (x1^2 + x2^2), without squares that overflow."""
    length = _length(x1, x2)
    return x2 / length / length


def _atan2_x(x1: Tensor, x2: Tensor) -> Tensor:
    """Return d/dx2 = -x1 / (x1^2 + x2^2), without squares that overflow."""
    length = _length(x1, x2)
    return -x1 / length / length


atan2_p = elementwise(
    "atan2",
    lambda x1, x2: np.arctan2(x1, x2),
    ANY,
    POSITIVE,
    derivative=(_atan2_y, _atan2_x),
    edges=[
        Edge((0.0, 0.0), (0.0, 0.0), why="the origin has no angle"),
        Edge((3e200, 4e200), (1.6e-201, -1.2e-201), why="the squares would overflow"),
        Edge((0.0, -1.0), (-1.0, 0.0), why="on the branch cut"),
    ],
    lower=lambda k, x1, x2: k.call("atan2", x1, x2),
)


def sin(x: Tensor, /) -> Tensor:
    """Return the sine elementwise.

    Args:
        x: float tensor of any shape, in radians.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.sin(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(sin_p, as_tensor(x))


def cos(x: Tensor, /) -> Tensor:
    """Return the cosine elementwise.

    Args:
        x: float tensor of any shape, in radians.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.cos(cr.zeros(2))
        tensor([1., 1.], shape=(2,), dtype=float32)
    """
    return bind(cos_p, as_tensor(x))


def tan(x: Tensor, /) -> Tensor:
    """Return the tangent elementwise.

    Args:
        x: float tensor of any shape, in radians.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.tan(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(tan_p, as_tensor(x))


def asin(x: Tensor, /) -> Tensor:
    """Return the inverse of the sine elementwise.

    Args:
        x: float tensor of any shape, in [-1, 1]; outside it NaN.

    Returns:
        Tensor of the same shape and dtype, in radians, in [-pi/2, pi/2].

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.asin(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(asin_p, as_tensor(x))


def acos(x: Tensor, /) -> Tensor:
    """Return the inverse of the cosine elementwise.

    Args:
        x: float tensor of any shape, in [-1, 1]; outside it NaN.

    Returns:
        Tensor of the same shape and dtype, in radians, in [0, pi].

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.acos(cr.ones(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(acos_p, as_tensor(x))


def atan(x: Tensor, /) -> Tensor:
    """Return the inverse of the tangent elementwise.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype, in radians, in [-pi/2, pi/2].

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.atan(cr.zeros(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return bind(atan_p, as_tensor(x))


def atan2(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the angle of the point (x2, x1) elementwise: x1 is its height, x2 its distance to the right.

        y = atan(x1 / x2), in the right quadrant

    Args:
        x1: float tensor or number: the vertical coordinate.
        x2: float tensor or number: the horizontal coordinate; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype, in radians, in [-pi, pi].

    Raises:
        DTypeError: not float tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.atan2(cr.ones(1), -1)
        tensor([2.3561945], shape=(1,), dtype=float32)
    """
    return bind(atan2_p, *pair(x1, x2))

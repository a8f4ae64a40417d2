"""Elementwise arithmetic and functions: one value in, one value out, at every position.

Each block states the reference, the local derivative (from which vjp and jvp follow), where it is smooth, and the values
chosen at kinks and singular points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import Edge, Primitive, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, pair
from chainrule.ops._rules import elementwise_flops, elementwise_shape, grid, integers, refuses_integers

__all__ = ["add", "exp", "multiply", "negative"]


def _float(name: str, reference: Any, derivative: Any, domain: tuple[float, float], **options: Any) -> Primitive:
    """Declare a unary primitive on floats."""
    return primitive(
        name,
        reference=reference,
        shape=elementwise_shape(name, "float"),
        derivative=derivative,
        elementwise=True,
        flops=elementwise_flops(options.pop("cost", 1)),
        samples=grid(domain),
        invalid=refuses_integers(name),
        **options,
    )


exp_p = _float("exp", lambda x: np.exp(x), lambda y: y, (-3.0, 3.0), edges=[Edge((-1000.0,), (0.0,), why="underflows to 0")])

negative_p = primitive(
    "negative",
    reference=lambda x: np.negative(x),
    shape=elementwise_shape("negative", "numeric"),
    linear=(0,),
    transpose=lambda g: -g,
    elementwise=True,
    flops=elementwise_flops(1),
    samples=[*grid((-2.0, 2.0)), *integers(1)],
)

add_p = primitive(
    "add",
    reference=lambda x1, x2: np.add(x1, x2),
    shape=elementwise_shape("add", "numeric"),
    linear=(0, 1),
    transpose=(lambda g: g, lambda g: g),
    elementwise=True,
    flops=elementwise_flops(1),
    samples=[*grid((-2.0, 2.0), (-2.0, 2.0)), *integers(2)],
)

multiply_p = primitive(
    "multiply",
    reference=lambda x1, x2: np.multiply(x1, x2),
    shape=elementwise_shape("multiply", "numeric"),
    derivative=(lambda x2: x2, lambda x1: x1),
    elementwise=True,
    flops=elementwise_flops(1),
    samples=[*grid((-2.0, 2.0), (-2.0, 2.0)), *integers(2)],
)


def exp(x: Tensor) -> Tensor:
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


def negative(x: Tensor) -> Tensor:
    """Return -x elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.negative(cr.arange(3))
        tensor([ 0, -1, -2], shape=(3,), dtype=int64)
    """
    return bind(negative_p, as_tensor(x))


def add(x1: Tensor | float, x2: Tensor | float) -> Tensor:
    """Return x1 + x2 elementwise, with broadcasting.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.add(cr.ones(2), 1)
        tensor([2., 2.], shape=(2,), dtype=float32)
    """
    return bind(add_p, *pair(x1, x2))


def multiply(x1: Tensor | float, x2: Tensor | float) -> Tensor:
    """Return x1 * x2 elementwise, with broadcasting.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.multiply(cr.ones(2), 3)
        tensor([3., 3.], shape=(2,), dtype=float32)
    """
    return bind(multiply_p, *pair(x1, x2))

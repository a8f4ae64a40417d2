"""Activations that work along an axis: gated linear units, softmin, and samples that can be differentiated."""

from __future__ import annotations

from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import axis_of, flag, number, refuse, tensor_input
from chainrule.nn._more_activations import float_input
from chainrule.ops import argmax, log, moveaxis, one_hot, random, reshape, sigmoid, softmax, split

__all__ = ["glu", "gumbel_softmax", "softmin"]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return the first half of an axis, gated by the second.

        y = a sigmoid(b),   x = [a, b]

    Args:
        input: float tensor [..., 2 n, ...].
        dim: the axis that is cut in half; default -1.

    Returns:
        Tensor [..., n, ...].

    Raises:
        DTypeError: not a float tensor.
        ShapeError: an axis of odd size.
        IndexRangeError: no such axis.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.glu(cr.asarray([2.0, 0.0]))
        tensor([1.], shape=(1,), dtype=float32)

    Source: Dauphin et al., ICML 2017.
    """
    x = float_input("glu", input)
    axis = axis_of("glu", dim, x.ndim)
    if x.shape[axis] % 2:
        raise refuse(ShapeError, f"glu: axis {axis} of {x.shape} has the size {x.shape[axis]}, which is odd.")
    a, b = split(x, 2, axis=axis)
    return a * sigmoid(b)


def softmin(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return the softmax of -x along one axis.

        y = e^-x / sum(e^-x)

    Args:
        input: float tensor [..., n, ...].
        dim: the axis whose n probabilities add up to 1; a tensor without axes has one probability.
        dtype: dtype that the input is converted to first; default its own.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.
        IndexRangeError: no such axis.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.softmin(cr.asarray([0.0, 1000.0]), dim=0)
        tensor([1., 0.], shape=(2,), dtype=float32)
    """
    x = tensor_input("softmin", input)
    x = float_input("softmin", x if dtype is None else x.astype(dtype))
    if not x.ndim:
        return reshape(softmin(reshape(x, (1,)), dim), ())
    return softmax(-x, axis=axis_of("softmin", dim, x.ndim))


def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, dim: int = -1, generator: Any = None
) -> Tensor:
    """Return a sample from a categorical distribution that is differentiable by its logits.

        y = softmax((x + g) / tau),   g = -log(-log u),   u ~ U(0, 1)

    Args:
        logits: float tensor [..., n, ...].
        tau: temperature, > 0; the smaller, the closer to one-hot; default 1.
        hard: whether the result is one-hot; its gradient is still that of the soft one; default False.
        dim: the axis of the classes; default -1.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.
        IndexRangeError: no such axis.
        ValueError: tau is not positive.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.gumbel_softmax(cr.zeros((2, 3)), hard=True).sum()
        tensor(2., shape=(), dtype=float32)

    Source: Jang et al., ICLR 2017; Maddison et al., ICLR 2017.
    """
    x = float_input("gumbel_softmax", logits)
    axis = axis_of("gumbel_softmax", dim, x.ndim)
    tau = number("gumbel_softmax", "tau", tau, 0.0, ends="(]")
    noise = -log(-log(random.uniform(x.shape, dtype=x.dtype, generator=generator)))
    soft = softmax((x + noise) / tau, axis=axis)
    if not flag("gumbel_softmax", "hard", hard):
        return soft
    chosen = moveaxis(one_hot(argmax(soft, axis=axis), x.shape[axis], dtype=x.dtype), -1, axis)
    return chosen - soft.detach() + soft  # one-hot in value, soft in gradient

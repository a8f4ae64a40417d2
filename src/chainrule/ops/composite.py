"""Functions made of primitives: softmax and its kin, and the activations that need no rule of their own.

Each is plain Python over differentiable operations, so its gradients of every order follow. Where a formula overflows,
the form that does not is chosen here; the maximum that softmax subtracts is detached, as the result does not depend on
it.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.errors import DTypeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple, axis_index
from chainrule.ops.compare import isfinite
from chainrule.ops.exponential import exp, expm1, log
from chainrule.ops.hyperbolic import tanh
from chainrule.ops.reduce import max as amax
from chainrule.ops.reduce import sum as total
from chainrule.ops.selection import where
from chainrule.ops.shape import squeeze
from chainrule.ops.special import erfc, sigmoid, softplus

__all__ = [
    "elu",
    "gelu",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "selu",
    "silu",
    "softmax",
]

_SQRT1_2 = 0.7071067811865476  # 1 / sqrt(2)
_SQRT2_PI = 0.7978845608028654  # sqrt(2 / pi)
# The fixed point of Klambauer et al.: activations keep mean 0 and variance 1.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _float(x: Tensor, name: str) -> Tensor:
    """Return `x` as a tensor; refuse all but floats in the name of the function that the user called."""
    x = as_tensor(x)
    if not x.dtype.is_float:
        raise DTypeError(f"{name} needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    return x


# ---------------------------------------------------------------------------------------------------- along an axis
def logsumexp(x: Tensor, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Return log(sum(e^x)) along axes, without overflow.

        y = m + log(sum(e^(x - m))),   m = max(x),   dy/dx = softmax(x)

    Args:
        x: float tensor [..., n, ...].
        axis: axis or axes to sum over; default None, all.
        keepdims: whether the axes stay, with size 1; default False.

    Returns:
        Tensor without those axes. A row of only -infinity gives -infinity, with gradient 0.

    Raises:
        DTypeError: not a float tensor.
        IndexRangeError: no such axis.
        ShapeError: a row has no elements.

    Example:
        >>> import chainrule as cr
        >>> cr.logsumexp(cr.asarray([1000.0, 0.0]))
        tensor(1000., shape=(), dtype=float32)
    """
    x = _float(x, "logsumexp")
    axes = axes_tuple(axis, x.ndim, "logsumexp")
    largest = amax(x.detach(), axis=axes, keepdims=True)
    largest = where(isfinite(largest), largest, 0.0)  # an infinite row is summed as it is: inf - inf would be NaN
    summed = total(exp(x - largest), axis=axes, keepdims=True)
    empty = summed == 0.0  # only -infinity; the log is taken of 1 there, so that its slope is finite
    y = where(empty, -float("inf"), log(where(empty, 1.0, summed)) + largest)
    return y if keepdims or not axes else squeeze(y, axes)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return the probabilities that belong to logits, along one axis.

        y = e^x / sum(e^x)

    Args:
        x: float tensor [..., n, ...] of logits.
        axis: axis whose n probabilities add up to 1; default -1, the last.

    Returns:
        Tensor of the same shape and dtype, in [0, 1]. A row of only -infinity gives NaN.

    Raises:
        DTypeError: not a float tensor.
        IndexRangeError: no such axis.
        ShapeError: a row has no elements.

    Example:
        >>> import chainrule as cr
        >>> cr.softmax(cr.asarray([0.0, 0.0, 1000.0]))
        tensor([0., 0., 1.], shape=(3,), dtype=float32)
    """
    x = _float(x, "softmax")
    axis = axis_index(axis, x.ndim, "softmax")
    e = exp(x - amax(x.detach(), axis=axis, keepdims=True))
    return e / total(e, axis=axis, keepdims=True)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return the logarithm of softmax along one axis, exact where softmax itself rounds to 0.

        y = x - log(sum(e^x))

    Args:
        x: float tensor [..., n, ...] of logits.
        axis: axis of the n classes; default -1, the last.

    Returns:
        Tensor of the same shape and dtype, at most 0. A row of only -infinity gives NaN.

    Raises:
        DTypeError: not a float tensor.
        IndexRangeError: no such axis.
        ShapeError: a row has no elements.

    Example:
        >>> import chainrule as cr
        >>> cr.log_softmax(cr.asarray([0.0, 1000.0]))
        tensor([-1000.,     0.], shape=(2,), dtype=float32)
    """
    x = _float(x, "log_softmax")
    axis = axis_index(axis, x.ndim, "log_softmax")
    shifted = x - amax(x.detach(), axis=axis, keepdims=True)
    return shifted - log(total(exp(shifted), axis=axis, keepdims=True))


# ---------------------------------------------------------------------------------------------------- activations
def log_sigmoid(x: Tensor) -> Tensor:
    """Return the logarithm of sigmoid elementwise, exact where sigmoid itself rounds to 0.

        y = -log(1 + e^-x)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype, at most 0.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.log_sigmoid(cr.asarray([-1000.0, 1000.0]))
        tensor([-1000.,    -0.], shape=(2,), dtype=float32)
    """
    return -softplus(-_float(x, "log_sigmoid"))


def silu(x: Tensor) -> Tensor:
    """Return x times its sigmoid elementwise, also called Swish.

        y = x / (1 + e^-x)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype, at least -0.2785.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.silu(cr.asarray([-1000.0, 0.0, 1000.0]))
        tensor([  -0.,    0., 1000.], shape=(3,), dtype=float32)

    Source: Elfwing et al., Neural Networks 107 (2018); Ramachandran et al., arXiv 1710.05941.
    """
    x = _float(x, "silu")
    return x * sigmoid(x)


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """Return x times the normal distribution function of x, elementwise.

        y = x P(N <= x) = x erfc(-x / sqrt(2)) / 2,   or x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2

    Args:
        x: float tensor of any shape.
        approximate: "none" for the first formula, "tanh" for the second; default "none".

    Returns:
        Tensor of the same shape and dtype, at least -0.17.

    Raises:
        DTypeError: not a float tensor.
        ValueError: another word for `approximate`.

    Example:
        >>> import chainrule as cr
        >>> cr.gelu(cr.asarray([-1000.0, 0.0, 1000.0]))
        tensor([  -0.,    0., 1000.], shape=(3,), dtype=float32)

    Source: Hendrycks and Gimpel, arXiv 1606.08415.
    """
    x = _float(x, "gelu")
    if approximate == "none":
        return 0.5 * x * erfc(-_SQRT1_2 * x)  # erfc keeps the far left exact, where 1 + erf would cancel
    if approximate == "tanh":
        return 0.5 * x * (1.0 + tanh(_SQRT2_PI * x * (1.0 + 0.044715 * x * x)))
    raise ValueError(f'gelu.approximate must be "none" or "tanh"; got {approximate!r}.')


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Return x, multiplied by a small slope where it is negative, elementwise; the slope holds at 0.

    Args:
        x: float tensor of any shape.
        negative_slope: slope for x <= 0; default 0.01.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.leaky_relu(cr.asarray([-1.0, 2.0]), 0.1)
        tensor([-0.1,  2. ], shape=(2,), dtype=float32)

    Source: Maas, Hannun and Ng, ICML 2013.
    """
    x = _float(x, "leaky_relu")
    return where(x > 0.0, x, negative_slope * x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Return x where it is positive and an exponential towards -alpha elsewhere.

        y = x for x > 0,   alpha (e^x - 1) otherwise

    Args:
        x: float tensor of any shape.
        alpha: the limit to the left is -alpha; default 1.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.elu(cr.asarray([-1000.0, 2.0]))
        tensor([-1.,  2.], shape=(2,), dtype=float32)

    Source: Clevert, Unterthiner and Hochreiter, ICLR 2016.
    """
    return _elu(_float(x, "elu"), 1.0, alpha)


def selu(x: Tensor) -> Tensor:
    """Return the scaled elu, whose constants keep mean 0 and variance 1 from layer to layer.

        y = 1.0507 elu(x, alpha=1.6733)

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.selu(cr.asarray([-1000.0, 0.0]))
        tensor([-1.7580993,  0.       ], shape=(2,), dtype=float32)

    Source: Klambauer et al., NIPS 2017.
    """
    return _elu(_float(x, "selu"), _SELU_SCALE, _SELU_SCALE * _SELU_ALPHA)


def _elu(x: Tensor, slope: float, depth: float) -> Tensor:
    """Return slope x to the right of 0 and depth (e^x - 1) to the left; e^x is never taken of a positive number."""
    positive = x > 0.0
    return where(positive, slope * x, depth * expm1(where(positive, 0.0, x)))

"""More activations, with PyTorch's names and arguments: the piecewise linear ones, the shrinkages, the smooth.

At a kink the slope is that of PyTorch: 0 at both ends of hardtanh, relu6 and hardsigmoid, and at the thresholds of the
shrinkages.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.errors import DTypeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import flag, number, refuse, tensor_input
from chainrule.ops import abs as magnitude
from chainrule.ops import clip, expm1, random, softplus, tanh, where

__all__ = [
    "celu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "mish",
    "relu6",
    "rrelu",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
]


def float_input(name: str, input: Any) -> Tensor:
    """Return the input, if it is a float tensor.

    Raises:
        DTypeError: it is not.
    """
    x = tensor_input(name, input)
    if not x.dtype.is_float:
        raise refuse(DTypeError, f"{name} needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    return x


def _between(x: Tensor, low: float, high: float) -> Tensor:
    """Return x clipped, with slope 0 at both ends."""
    return where((x > low) & (x < high), x, clip(x.detach(), low, high))


# ---------------------------------------------------------------------------------------------------- piecewise linear
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Return x clipped to an interval, elementwise; the slope at its ends is 0.

        y = min(max(x, min_val), max_val)

    Args:
        input: float tensor of any shape.
        min_val: lower end; default -1.
        max_val: upper end, >= min_val; default 1.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.
        ValueError: min_val is larger than max_val.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.hardtanh(cr.asarray([-4.0, 1.0, 8.0]))
        tensor([-1.,  1.,  1.], shape=(3,), dtype=float32)
    """
    low, high = number("hardtanh", "min_val", min_val), number("hardtanh", "max_val", max_val)
    if low > high:
        raise ValueError(f"hardtanh.min_val must be at most max_val; got {min_val!r} and {max_val!r}.")
    return _between(float_input("hardtanh", input), low, high)


def relu6(input: Tensor) -> Tensor:
    """Return x clipped to [0, 6], elementwise; the slope at both ends is 0.

        y = min(max(x, 0), 6)

    Args:
        input: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.relu6(cr.asarray([-4.0, 1.0, 8.0]))
        tensor([0., 1., 6.], shape=(3,), dtype=float32)

    Source: Howard et al., arXiv 1704.04861.
    """
    return _between(float_input("relu6", input), 0.0, 6.0)


def hardsigmoid(input: Tensor) -> Tensor:
    """Return a piecewise linear sigmoid, elementwise.

        y = min(max(x + 3, 0), 6) / 6

    Args:
        input: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.hardsigmoid(cr.asarray([-4.0, 0.0, 8.0]))
        tensor([0. , 0.5, 1. ], shape=(3,), dtype=float32)
    """
    return _between(float_input("hardsigmoid", input) + 3.0, 0.0, 6.0) / 6.0


def hardswish(input: Tensor) -> Tensor:
    """Return x times a piecewise linear sigmoid, elementwise.

        y = x min(max(x + 3, 0), 6) / 6

    Args:
        input: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.hardswish(cr.asarray([-4.0, 0.0, 8.0]))
        tensor([0., 0., 8.], shape=(3,), dtype=float32)

    Source: Howard et al., ICCV 2019 (MobileNetV3).
    """
    x = float_input("hardswish", input)
    return where(x <= -3.0, 0.0, where(x >= 3.0, x, x * (x + 3.0) / 6.0))


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """Return x where it is above a threshold, and a value elsewhere.

        y = x for x > threshold, value otherwise

    Args:
        input: numeric tensor of any shape.
        threshold: what is not above it is replaced.
        value: what replaces it.

    Returns:
        Tensor of the same shape and dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.threshold(cr.asarray([-4.0, 1.0, 8.0]), 2.0, 0.0)
        tensor([0., 0., 8.], shape=(3,), dtype=float32)
    """
    x = tensor_input("threshold", input)
    return where(x > threshold, x, value)


def rrelu(
    input: Tensor,
    lower: float = 0.125,
    upper: float = 0.3333333333333333,
    training: bool = False,
    generator: Any = None,
) -> Tensor:
    """Return x, multiplied by a random slope where it is not positive.

        y = x for x > 0, a x otherwise,   a ~ U(lower, upper)

    Args:
        input: float tensor of any shape.
        lower: least slope, in [0, upper]; default 1/8.
        upper: largest slope; default 1/3.
        training: whether the slopes are drawn, one per element; without, it is their mean; default False.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.
        ValueError: slopes that are negative or do not ascend.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.rrelu(cr.asarray([-1.0, 2.0]), 0.25, 0.75)
        tensor([-0.5,  2. ], shape=(2,), dtype=float32)

    Source: Xu et al., arXiv 1505.00853.
    """
    x, low, high = (
        float_input("rrelu", input),
        number("rrelu", "lower", lower, 0.0),
        number("rrelu", "upper", upper, 0.0),
    )
    if low > high:
        raise ValueError(f"rrelu.lower must be at most upper; got {lower!r} and {upper!r}.")
    if not flag("rrelu", "training", training):
        return where(x > 0.0, x, x * ((low + high) / 2.0))
    return where(x > 0.0, x, x * random.uniform(x.shape, low, high, dtype=x.dtype, generator=generator))


# ---------------------------------------------------------------------------------------------------- shrinkages
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return x without its small elements.

        y = x for |x| > lambd, 0 otherwise

    Args:
        input: float tensor of any shape.
        lambd: elements not larger than it in magnitude become 0; default 0.5.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.hardshrink(cr.asarray([-2.0, 0.5, 1.0]))
        tensor([-2.,  0.,  1.], shape=(3,), dtype=float32)
    """
    x = float_input("hardshrink", input)
    return where(magnitude(x) > number("hardshrink", "lambd", lambd), x, 0.0)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return x moved towards 0, elementwise: the proximal operator of the L1 norm.

        y = x - lambd for x > lambd, x + lambd for x < -lambd, 0 otherwise

    Args:
        input: float tensor of any shape.
        lambd: by how much every element moves towards 0, >= 0; default 0.5.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.
        ValueError: lambd < 0.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.softshrink(cr.asarray([-2.0, 0.5, 1.0]))
        tensor([-1.5,  0. ,  0.5], shape=(3,), dtype=float32)

    Source: Beck and Teboulle, SIAM J. Imaging Sciences 2 (2009).
    """
    x, size = float_input("softshrink", input), number("softshrink", "lambd", lambd, 0.0)
    return where(x > size, x - size, where(x < -size, x + size, x.detach() * 0.0))


def tanhshrink(input: Tensor) -> Tensor:
    """Return x minus its hyperbolic tangent, elementwise.

        y = x - tanh x

    Args:
        input: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.tanhshrink(cr.asarray([0.0, 20.0]))
        tensor([ 0., 19.], shape=(2,), dtype=float32)
    """
    x = float_input("tanhshrink", input)
    return x - tanh(x)


# ---------------------------------------------------------------------------------------------------- smooth ones
def softsign(input: Tensor) -> Tensor:
    """Return x divided by 1 + |x|, elementwise.

        y = x / (1 + |x|)

    Args:
        input: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.softsign(cr.asarray([-1.0, 3.0]))
        tensor([-0.5 ,  0.75], shape=(2,), dtype=float32)

    Source: Turian et al., EMNLP 2009.
    """
    x = float_input("softsign", input)
    return x / (1.0 + magnitude(x))


def mish(input: Tensor) -> Tensor:
    """Return x times the hyperbolic tangent of its softplus, elementwise.

        y = x tanh(log(1 + e^x))

    Args:
        input: float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.mish(cr.asarray([0.0, 100.0]))
        tensor([  0., 100.], shape=(2,), dtype=float32)

    Source: Misra, BMVC 2020.
    """
    x = float_input("mish", input)
    return x * tanh(softplus(x))


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Return an exponential linear unit with slope 1 at 0 whatever alpha, elementwise.

        y = x for x > 0, alpha (e^(x / alpha) - 1) otherwise

    Args:
        input: float tensor of any shape.
        alpha: minus the limit for x to -infinity, not 0; default 1.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.
        ValueError: alpha is 0.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.celu(cr.asarray([-1000.0, 2.0]))
        tensor([-1.,  2.], shape=(2,), dtype=float32)

    Source: Barron, arXiv 1704.07483.
    """
    x, size = float_input("celu", input), number("celu", "alpha", alpha)
    if size == 0.0:
        raise ValueError("celu.alpha must not be 0; got 0.")
    return where(x > 0.0, x, size * expm1(where(x > 0.0, 0.0, x) / size))

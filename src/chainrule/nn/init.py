"""Initial values of parameters: each function fills a tensor in place and returns it, with PyTorch's names.

The scale of a weight follows from its fans: with shape [out, in, *kernel], fan_in = in * prod(kernel) and
fan_out = out * prod(kernel). All draws come from one counter-based generator: the same seed gives the same values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.context import no_grad
from chainrule.core.dtypes import float64
from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import choice, number
from chainrule.ops import asarray, eye, full, random

__all__ = [
    "calculate_fans",
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "leaky_relu": math.sqrt(2.0),
    "selu": 0.75,
}


def _fill(tensor: Tensor, values: Tensor) -> Tensor:
    with no_grad():
        return tensor.assign_(values.astype(tensor.dtype))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which initial weights are scaled to make up for a nonlinearity.

    Args:
        nonlinearity: "linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: negative slope of "leaky_relu"; default 0.01.

    Returns:
        1 for linear, convolutions and sigmoid; 5/3 tanh; sqrt(2) relu; sqrt(2 / (1 + slope^2)) leaky_relu; 3/4 selu.

    Raises:
        ValueError: an unknown nonlinearity.

    Example:
        >>> round(calculate_gain("relu"), 4)
        1.4142
    """
    choice("calculate_gain", "nonlinearity", nonlinearity, tuple(_GAINS))
    if nonlinearity != "leaky_relu":
        return _GAINS[nonlinearity]
    slope = 0.01 if param is None else number("calculate_gain", "param", param)
    return math.sqrt(2.0 / (1.0 + slope**2))


def calculate_fans(tensor: Tensor) -> tuple[int, int]:
    """Return (fan_in, fan_out): how many inputs feed an output of a weight, and the other way round.

    Args:
        tensor: weight [out, in, *kernel].

    Returns:
        (in * prod(kernel), out * prod(kernel)).

    Raises:
        ShapeError: fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> calculate_fans(cr.zeros((16, 3, 5, 5)))
        (75, 400)
    """
    if tensor.ndim < 2:
        raise ShapeError(
            f"fans need a weight [out, in, ...]; got the shape {tensor.shape}: for a bias use zeros_ or uniform_."
        )
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


# -------------------------------------------------------------------------------------------------- given distributions
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Return the tensor, filled with draws from U(a, b).

    Args:
        tensor: float tensor to fill.
        a: lower end; default 0.
        b: upper end; default 1.
        generator: source of random numbers; default `cr.default_generator`.

    Example:
        >>> import chainrule as cr
        >>> float(cr.nn.init.uniform_(cr.zeros(100), 2.0, 3.0).min()) >= 2.0
        True
    """
    return _fill(tensor, random.uniform(tensor.shape, a, b, dtype=tensor.dtype, generator=generator))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Return the tensor, filled with draws from N(mean, std^2).

    Args:
        tensor: float tensor to fill.
        mean: default 0.
        std: standard deviation, >= 0; default 1.
        generator: source of random numbers; default `cr.default_generator`.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.init.normal_(cr.zeros((2, 3)), std=0.1).shape
        (2, 3)
    """
    number("normal_", "std", std, 0.0)
    return _fill(tensor, random.normal(tensor.shape, mean, std, dtype=tensor.dtype, generator=generator))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Tensor:
    """Return the tensor, filled with draws from N(mean, std^2), those outside [a, b] drawn again.

    Args:
        tensor: float tensor to fill.
        mean: of the whole normal distribution; default 0.
        std: of the whole normal distribution, > 0; default 1.
        a: lower end (a value, not a number of deviations); default -2.
        b: upper end, > a; default 2.
        generator: source of random numbers; default `cr.default_generator`.

    Raises:
        ValueError: std is not positive, or b is not above a.

    Example:
        >>> import chainrule as cr
        >>> float(cr.abs(cr.nn.init.trunc_normal_(cr.zeros(1000))).max()) <= 2.0
        True
    """
    number("trunc_normal_", "std", std, 0.0, ends="(]")
    number("trunc_normal_", "b", b, number("trunc_normal_", "a", a), ends="(]")
    return _fill(
        tensor, random.truncated_normal(tensor.shape, mean, std, a, b, dtype=tensor.dtype, generator=generator)
    )


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Return the tensor, filled with one number.

    Args:
        tensor: tensor to fill.
        val: the number.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.init.constant_(cr.zeros(2), 3.0)
        tensor([3., 3.], shape=(2,), dtype=float32)
    """
    return _fill(tensor, full(tensor.shape, val, dtype=tensor.dtype))


def zeros_(tensor: Tensor) -> Tensor:
    """Return the tensor, filled with zeros.

    Args:
        tensor: tensor to fill.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.init.zeros_(cr.ones(2))
        tensor([0., 0.], shape=(2,), dtype=float32)
    """
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Return the tensor, filled with ones.

    Args:
        tensor: tensor to fill.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.init.ones_(cr.zeros(2))
        tensor([1., 1.], shape=(2,), dtype=float32)
    """
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Return the tensor, filled with the identity matrix: inputs go to outputs unchanged.

    Args:
        tensor: matrix to fill, [rows, columns].

    Raises:
        ShapeError: not a matrix.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.init.eye_(cr.zeros((2, 2)))
        tensor([[1., 0.],
                [0., 1.]], shape=(2, 2), dtype=float32)
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_ needs a matrix; got the shape {tensor.shape}.")
    return _fill(tensor, eye(*tensor.shape, dtype=tensor.dtype))


# ---------------------------------------------------------------------------------------------------- scaled by fans
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Return the tensor, filled with U(-l, l), l = gain sqrt(6 / (fan_in + fan_out)): for signals and gradients.

    Args:
        tensor: weight [out, in, *kernel].
        gain: from `calculate_gain`; default 1.
        generator: source of random numbers; default `cr.default_generator`.

    Raises:
        ShapeError: fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> float(cr.abs(cr.nn.init.xavier_uniform_(cr.zeros((3, 3)))).max()) <= 1.0
        True

    Source: Glorot and Bengio, AISTATS 2010.
    """
    bound = number("xavier_uniform_", "gain", gain) * math.sqrt(6.0 / sum(calculate_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Return the tensor, filled with N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)).

    Args:
        tensor: weight [out, in, *kernel].
        gain: from `calculate_gain`; default 1.
        generator: source of random numbers; default `cr.default_generator`.

    Raises:
        ShapeError: fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.init.xavier_normal_(cr.zeros((3, 3))).shape
        (3, 3)

    Source: Glorot and Bengio, AISTATS 2010.
    """
    std = number("xavier_normal_", "gain", gain) * math.sqrt(2.0 / sum(calculate_fans(tensor)))
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    choice(name, "mode", mode, ("fan_in", "fan_out"))
    fan = calculate_fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Return the tensor, filled with U(-l, l), l = gain sqrt(3 / fan): rectified signals keep their variance.

    Args:
        tensor: weight [out, in, *kernel].
        a: negative slope of the leaky_relu behind the layer; default 0, a relu.
        mode: "fan_in" keeps the variance of signals, "fan_out" that of gradients; default "fan_in".
        nonlinearity: a name that `calculate_gain` knows; default "leaky_relu".
        generator: source of random numbers; default `cr.default_generator`.

    Raises:
        ShapeError: fewer than two axes.
        ValueError: an unknown mode or nonlinearity.

    Example:
        >>> import chainrule as cr
        >>> float(cr.abs(cr.nn.init.kaiming_uniform_(cr.zeros((4, 6)))).max()) <= 1.0
        True

    Source: He et al., ICCV 2015.
    """
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Return the tensor, filled with N(0, s^2), s = gain / sqrt(fan).

    Args:
        tensor: weight [out, in, *kernel].
        a: negative slope of the leaky_relu behind the layer; default 0, a relu.
        mode: "fan_in" keeps the variance of signals, "fan_out" that of gradients; default "fan_in".
        nonlinearity: a name that `calculate_gain` knows; default "leaky_relu".
        generator: source of random numbers; default `cr.default_generator`.

    Raises:
        ShapeError: fewer than two axes.
        ValueError: an unknown mode or nonlinearity.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.init.kaiming_normal_(cr.zeros((4, 6)), mode="fan_out", nonlinearity="relu").shape
        (4, 6)

    Source: He et al., ICCV 2015.
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def lecun_uniform_(tensor: Tensor, generator: Any = None) -> Tensor:
    """Return the tensor, filled with U(-l, l), l = sqrt(3 / fan_in): linear signals keep their variance.

    Args:
        tensor: weight [out, in, *kernel].
        generator: source of random numbers; default `cr.default_generator`.

    Raises:
        ShapeError: fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> float(cr.abs(cr.nn.init.lecun_uniform_(cr.zeros((4, 3)))).max()) <= 1.0
        True

    Source: LeCun et al., Efficient BackProp, 1998.
    """
    bound = math.sqrt(3.0 / calculate_fans(tensor)[0])
    return uniform_(tensor, -bound, bound, generator)


def lecun_normal_(tensor: Tensor, generator: Any = None) -> Tensor:
    """Return the tensor, filled with N(0, s^2), s = sqrt(1 / fan_in); the values that SELU networks need.

    Args:
        tensor: weight [out, in, *kernel].
        generator: source of random numbers; default `cr.default_generator`.

    Raises:
        ShapeError: fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.init.lecun_normal_(cr.zeros((4, 3))).shape
        (4, 3)

    Source: LeCun et al., Efficient BackProp, 1998.
    """
    return normal_(tensor, 0.0, math.sqrt(1.0 / calculate_fans(tensor)[0]), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Return the tensor, filled with a random matrix of orthonormal rows or columns, whichever are fewer.

    Args:
        tensor: weight [out, in, *kernel]; the axes after the first are taken as one.
        gain: length of the rows or columns; default 1.
        generator: source of random numbers; default `cr.default_generator`.

    Raises:
        ShapeError: fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> w = cr.nn.init.orthogonal_(cr.zeros((2, 5), dtype=cr.float64))
        >>> bool(cr.all(cr.abs(w @ w.T - cr.eye(2, dtype=cr.float64)) < 1e-12))
        True

    Source: Saxe, McClelland and Ganguli, ICLR 2014; uniform over all such matrices by Mezzadri, Notices AMS 54 (2007).
    """
    calculate_fans(tensor)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    draws = random.normal((max(rows, columns), min(rows, columns)), dtype=float64, generator=generator).numpy()
    q, r = np.linalg.qr(draws)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # makes the decomposition unique, and the draw uniform
    q = q.T if rows < columns else q
    return _fill(tensor, asarray(np.ascontiguousarray(number("orthogonal_", "gain", gain) * q).reshape(tensor.shape)))

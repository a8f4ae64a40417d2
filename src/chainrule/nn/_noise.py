"""Noise for training beyond plain dropout: whole channels, and dropout that keeps mean and variance of SELU networks.

    dropout1d, 2d, 3d       one Bernoulli draw per channel of each sample
    alpha_dropout           y = a (x m + alpha' (1 - m)) + b, with mean and variance kept
    feature_alpha_dropout   the same with one draw per channel

Source: Tompson et al., CVPR 2015; Klambauer et al., NeurIPS 2017.
"""

from __future__ import annotations

import math
from typing import Any

from chainrule.core.dtypes import float32
from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import flag, number, refuse
from chainrule.nn._more_activations import float_input
from chainrule.ops import random, where
from chainrule.ops._inputs import as_tensor, cast

__all__ = ["alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]

_NEGATIVE = -1.7580993408473766  # -scale alpha of SELU: where it saturates


def _kept(x: Tensor, axes: int, p: float | Tensor, generator: Any) -> Tensor:
    """Return which elements stay, one draw per element of the first axes."""
    shape = x.shape[:axes] + (1,) * (x.ndim - axes)
    return random.uniform(shape, dtype="float32", generator=generator) >= p


def _channel_dropout(n: int, input: Tensor, p: float | Tensor, training: bool, generator: Any) -> Tensor:
    name = f"dropout{n}d"
    x = float_input(name, input)
    if not isinstance(p, Tensor):
        p = number(name, "p", p, 0.0, 1.0)
    if x.ndim not in (n + 1, n + 2):
        raise refuse(
            ShapeError, f"{name} needs an input [batch, channels, ...] with {n} more axes; got the shape {x.shape}."
        )
    if not flag(name, "training", training) or (not isinstance(p, Tensor) and p == 0.0):
        return x
    if not isinstance(p, Tensor) and p == 1.0:
        return x * 0.0
    rate = cast(as_tensor(p), float32)
    kept = _kept(x, x.ndim - n, rate, generator)
    return x * cast(where(kept, 1.0 / (1.0 - rate), 0.0), x.dtype)


def dropout1d(input: Tensor, p: float | Tensor = 0.5, training: bool = True, generator: Any = None) -> Tensor:
    """Return the input with whole channels zeroed with probability p, the rest scaled so that the mean is kept.

        y = x m / (1 - p),   m ~ Bernoulli(1 - p), one per channel of each sample

    Args:
        input: float tensor [batch, channels, length], or without the batch axis.
        p: probability of zeroing, in [0, 1]: a number, or a 0-d tensor in [0, 1) that may change between compiled
            calls; default 0.5.
        training: whether anything is zeroed; without, the input itself is returned; default True.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: another number of axes.
        DTypeError: not a float tensor.
        ValueError: p outside [0, 1].

    Example:
        >>> import chainrule as cr
        >>> y = cr.nn.functional.dropout1d(cr.ones((1, 64, 4)))
        >>> sorted(set(y.flatten().tolist()))
        [0.0, 2.0]

    Source: Tompson et al., CVPR 2015.
    """
    return _channel_dropout(1, input, p, training, generator)


def dropout2d(input: Tensor, p: float | Tensor = 0.5, training: bool = True, generator: Any = None) -> Tensor:
    """Return the input with whole channels zeroed with probability p, the rest scaled so that the mean is kept.

        y = x m / (1 - p),   m ~ Bernoulli(1 - p), one per channel of each sample

    Args:
        input: float tensor [batch, channels, height, width], or without the batch axis.
        p: probability of zeroing, in [0, 1]: a number, or a 0-d tensor in [0, 1) that may change between compiled
            calls; default 0.5.
        training: whether anything is zeroed; without, the input itself is returned; default True.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: another number of axes.
        DTypeError: not a float tensor.
        ValueError: p outside [0, 1].

    Example:
        >>> import chainrule as cr
        >>> y = cr.nn.functional.dropout2d(cr.ones((1, 64, 4, 4)))
        >>> sorted(set(y.flatten().tolist()))
        [0.0, 2.0]

    Source: Tompson et al., CVPR 2015.
    """
    return _channel_dropout(2, input, p, training, generator)


def dropout3d(input: Tensor, p: float | Tensor = 0.5, training: bool = True, generator: Any = None) -> Tensor:
    """Return the input with whole channels zeroed with probability p, the rest scaled so that the mean is kept.

        y = x m / (1 - p),   m ~ Bernoulli(1 - p), one per channel of each sample

    Args:
        input: float tensor [batch, channels, depth, height, width], or without the batch axis.
        p: probability of zeroing, in [0, 1]: a number, or a 0-d tensor in [0, 1) that may change between compiled
            calls; default 0.5.
        training: whether anything is zeroed; without, the input itself is returned; default True.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: another number of axes.
        DTypeError: not a float tensor.
        ValueError: p outside [0, 1].

    Example:
        >>> import chainrule as cr
        >>> y = cr.nn.functional.dropout3d(cr.ones((1, 64, 4, 4, 4)))
        >>> sorted(set(y.flatten().tolist()))
        [0.0, 2.0]

    Source: Tompson et al., CVPR 2015.
    """
    return _channel_dropout(3, input, p, training, generator)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, generator: Any = None) -> Tensor:
    """Return the input with elements set to SELU's saturation, and mean 0 and variance 1 kept.

        y = a (x m + alpha' (1 - m)) + b,   a = ((1 - p)(1 + p alpha'^2))^-1/2,   b = -a p alpha'

    Args:
        input: float tensor of any shape.
        p: probability of dropping, in [0, 1]; default 0.5.
        training: whether anything is dropped; without, the input itself is returned; default False.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.
        ValueError: p outside [0, 1].

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.alpha_dropout(cr.ones((2, 3)), 0.5).shape
        (2, 3)

    Source: Klambauer et al., NeurIPS 2017.
    """
    x, p = float_input("alpha_dropout", input), number("alpha_dropout", "p", p, 0.0, 1.0)
    if not flag("alpha_dropout", "training", training) or p == 0.0:
        return x
    if p == 1.0:
        return x * 0.0
    a = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * _NEGATIVE**2))
    return where(_kept(x, x.ndim, p, generator), x, _NEGATIVE) * a - a * p * _NEGATIVE


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, generator: Any = None) -> Tensor:
    """Return the input with whole channels set to SELU's saturation, and mean 0 and variance 1 kept.

        y = a (x m + alpha' (1 - m)) + b,   a = ((1 - p)(1 + p alpha'^2))^-1/2,   b = -a p alpha'

    Args:
        input: float tensor [batch, channels, ...].
        p: probability of dropping, in [0, 1]; default 0.5.
        training: whether anything is dropped; without, the input itself is returned; default False.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: fewer than two axes in training.
        DTypeError: not a float tensor.
        ValueError: p outside [0, 1].

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.feature_alpha_dropout(cr.ones((2, 3)), 0.5).shape
        (2, 3)

    Source: Klambauer et al., NeurIPS 2017.
    """
    x, p = float_input("feature_alpha_dropout", input), number("feature_alpha_dropout", "p", p, 0.0, 1.0)
    if not flag("feature_alpha_dropout", "training", training):
        return x
    if x.ndim < 2:
        raise refuse(
            ShapeError, f"feature_alpha_dropout needs an input [batch, channels, ...]; got the shape {x.shape}."
        )
    if p == 0.0:
        return x
    if p == 1.0:
        return x * 0.0
    a = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * _NEGATIVE**2))
    return where(_kept(x, 2, p, generator), x, _NEGATIVE) * a - a * p * _NEGATIVE

"""Normalisation as functions, with PyTorch's names: over the batch, a layer, groups, an instance.

    y = (x - mean) / sqrt(var + eps) w + b

What differs is over which axes mean and variance are taken. The variance is that of a population (divided by n); the
running variance of a batch norm is that of a sample (divided by n - 1), as in PyTorch. Both passes over x are taken as
they stand, so large means do not cancel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.core.context import no_grad
from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import flag, integer, number, refuse, tensor_input
from chainrule.nn._more_activations import float_input
from chainrule.ops import mean, reshape, rsqrt, square
from chainrule.ops._inputs import cast

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]


# ---------------------------------------------------------------------------------------------------- shared parts
def _moments(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return x - k, mean - k, mean and variance over some axes, which are kept; the constant k is the mean's value.

        var = mean((x - k)^2) - (mean - k)^2      for every k

    Two passes over x, so large means do not cancel. As k does not move with x, the gradient of the variance is
    2 (x - k) / n and nothing more: plain differentiation through mean((x - mean)^2) would sum that once more over all
    elements, only to get 0. Derivatives of every order are exact, since the identity holds for every k.
    """
    centre = mean(x, axes, keepdims=True)
    fixed = centre.detach()
    away, moved = x - fixed, centre - fixed
    return away, moved, centre, mean(square(away), axes, keepdims=True) - square(moved)


def _standard(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    """Return x with mean 0 and variance 1 over some axes."""
    away, moved, _, variance = _moments(x, axes)
    scale = rsqrt(variance + eps)
    return away * scale + -moved * scale


def _scaled(name: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int]) -> Tensor:
    """Return x times the weight plus the bias; both have as many elements as `shape`, which broadcasts with x."""
    for word, tensor in (("weight", weight), ("bias", bias)):
        if tensor is None:
            continue
        tensor = _per_channel(name, word, tensor, shape)
        x = x * tensor if word == "weight" else x + tensor
    return x


def _per_channel(name: str, word: str, tensor: Tensor, shape: Sequence[int]) -> Tensor:
    if tensor_input(name, tensor, word).size != math.prod(shape):
        wanted = tuple(n for n in shape if n != 1) or (1,)
        raise refuse(ShapeError, f"{name}: the {word} has the shape {tensor.shape}; it must be {wanted}.")
    return reshape(tensor, tuple(shape))


def _affine(name: str, x: Tensor, centre: Tensor, scale: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return (x - centre) scale w + b as one product and one sum per element: the rest is one number per channel."""
    shape = _channels(x)
    if weight is not None:
        scale = scale * _per_channel(name, "weight", weight, shape)
    shift = -centre * scale
    if bias is not None:
        shift = _per_channel(name, "bias", bias, shape) + shift
    return x * scale + shift


def _channels(x: Tensor) -> tuple[int, ...]:
    """Return the shape in which one number per channel broadcasts with x."""
    return (1, x.shape[1]) + (1,) * (x.ndim - 2)


def _remember(running: Tensor | None, batch: Tensor, momentum: float | Tensor) -> None:
    """Move a running statistic towards that of the batch; the cell is assigned."""
    if running is not None:
        with no_grad():
            new = (1.0 - momentum) * running + momentum * reshape(batch.detach(), running.shape)
            running.assign_(cast(new, running.dtype))


def _running(name: str, running: Tensor | None, word: str, channels: int) -> None:
    if running is not None and tensor_input(name, running, word).shape != (channels,):
        raise refuse(ShapeError, f"{name}: the {word} has the shape {running.shape}; it must be ({channels},).")


# ---------------------------------------------------------------------------------------------------- statistics kept
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return the input with mean 0 and variance 1 per channel, over the batch or by running statistics.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        input: float tensor [batch, channels, ...].
        running_mean: [channels]; used without `training`, moved towards the batch's mean with it. None: always the
            batch's.
        running_var: [channels], likewise, of the variance n / (n - 1).
        weight: [channels]; default none.
        bias: [channels]; default none.
        training: whether the statistics are those of the batch; default False.
        momentum: by which part the running statistics move, mostly in [0, 1]: a number, or a 0-d tensor that may change
            between compiled calls; default 0.1.
        eps: added to the variance, mostly > 0; default 1e-5.

    Returns:
        Tensor of the same shape and dtype; an empty vector as it is.

    Raises:
        ShapeError: fewer than two axes, one value per channel in training, or statistics of another size.
        DTypeError: not a float tensor.
        ValueError: no running statistics without training.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.batch_norm(cr.asarray([[0.0], [2.0]]), None, None, training=True, eps=0.0)
        tensor([[-1.],
                [ 1.]], shape=(2, 1), dtype=float32)

    Source: Ioffe and Szegedy, ICML 2015.
    """
    x = float_input("batch_norm", input)
    if not x.size and x.ndim == 1:
        return x
    if x.ndim < 2:
        raise refuse(ShapeError, f"batch_norm needs an input [batch, channels, ...]; got the shape {x.shape}.")
    _running("batch_norm", running_mean, "running_mean", x.shape[1])
    _running("batch_norm", running_var, "running_var", x.shape[1])
    eps = number("batch_norm", "eps", eps)
    if not isinstance(momentum, Tensor):
        momentum = number("batch_norm", "momentum", momentum)
    if not flag("batch_norm", "training", training):
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm needs running_mean and running_var when training=False.")
        centre, variance = reshape(running_mean, _channels(x)), reshape(running_var, _channels(x))
        return _affine("batch_norm", x, centre, rsqrt(variance + eps), weight, bias)
    count = x.size // x.shape[1] if x.shape[1] else 0
    if count < 2 and x.size:
        raise refuse(
            ShapeError, f"batch_norm: the input {x.shape} has one value per channel, which has no variance to train on."
        )
    away, moved, centre, variance = _moments(x, (0, *range(2, x.ndim)))
    _remember(running_mean, centre, momentum)
    _remember(running_var, variance * (count / max(count - 1, 1)), momentum)
    return _affine("batch_norm", away, moved, rsqrt(variance + eps), weight, bias)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return the input with mean 0 and variance 1 per channel of each sample.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        input: float tensor [batch, channels, ...] with at least one spatial axis.
        running_mean: [channels]; moved towards the mean over the batch of the samples' means; used without
            `use_input_stats`; default none.
        running_var: [channels], likewise.
        weight: [channels]; default none.
        bias: [channels]; default none.
        use_input_stats: whether the statistics are those of each sample; default True.
        momentum: by which part the running statistics move, mostly in [0, 1]; default 0.1.
        eps: added to the variance, mostly > 0; default 1e-5.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: fewer than three axes, one value per channel and sample, or statistics of another size.
        DTypeError: not a float tensor.
        ValueError: no running statistics without `use_input_stats`.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.instance_norm(cr.asarray([[[0.0, 2.0]]]), eps=0.0)
        tensor([[[-1.,  1.]]], shape=(1, 1, 2), dtype=float32)

    Source: Ulyanov et al., arXiv 1607.08022.
    """
    x = float_input("instance_norm", input)
    if x.ndim < 3:
        raise refuse(ShapeError, f"instance_norm needs an input [batch, channels, ...]; got the shape {x.shape}.")
    if not flag("instance_norm", "use_input_stats", use_input_stats):
        if running_mean is None or running_var is None:
            raise ValueError("instance_norm needs running_mean and running_var when use_input_stats=False.")
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    _running("instance_norm", running_mean, "running_mean", x.shape[1])
    _running("instance_norm", running_var, "running_var", x.shape[1])
    momentum, eps = number("instance_norm", "momentum", momentum), number("instance_norm", "eps", eps)
    count = math.prod(x.shape[2:])
    if count < 2 and x.size:
        raise refuse(ShapeError, f"instance_norm: the input {x.shape} has one value per channel and sample.")
    away, moved, centre, variance = _moments(x, tuple(range(2, x.ndim)))
    _remember(running_mean, mean(centre, 0), momentum)
    _remember(running_var, mean(variance, 0) * (count / max(count - 1, 1)), momentum)
    return _affine("instance_norm", away, moved, rsqrt(variance + eps), weight, bias)


# ---------------------------------------------------------------------------------------------------- per sample
def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return the input with mean 0 and variance 1 over its last axes.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        input: float tensor [..., *normalized_shape].
        normalized_shape: sizes of the last axes.
        weight: tensor of that shape; default none.
        bias: tensor of that shape; default none.
        eps: added to the variance, mostly > 0; default 1e-5.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: the input ends in other sizes, or weight or bias are of another shape.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.layer_norm(cr.asarray([0.0, 2.0]), (2,), eps=0.0)
        tensor([-1.,  1.], shape=(2,), dtype=float32)

    Source: Ba et al., arXiv 1607.06450.
    """
    x, shape = _last_axes("layer_norm", input, normalized_shape)
    y = _standard(x, tuple(range(x.ndim - len(shape), x.ndim)), number("layer_norm", "eps", eps))
    return _scaled("layer_norm", y, weight, bias, shape)


def _last_axes(name: str, input: Any, normalized_shape: int | Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    x = float_input(name, input)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise refuse(ShapeError, f"{name}: the input is {x.shape}; it must end in normalized_shape {shape}.")
    return x, shape


def rms_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Return the input divided by its root mean square over the last axes.

        y = x / sqrt(mean(x^2) + eps) w

    Args:
        input: float tensor [..., *normalized_shape].
        normalized_shape: sizes of the last axes.
        weight: tensor of that shape; default none.
        eps: added to the mean square; default the gap between 1 and the next number of the dtype.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: the input ends in other sizes, or the weight is of another shape.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.rms_norm(cr.asarray([3.0, 3.0]), (2,))
        tensor([1., 1.], shape=(2,), dtype=float32)

    Source: Zhang and Sennrich, NeurIPS 2019.
    """
    x, shape = _last_axes("rms_norm", input, normalized_shape)
    added = _EPSILON[x.dtype.name] if eps is None else number("rms_norm", "eps", eps)
    y = x * rsqrt(mean(square(x), tuple(range(x.ndim - len(shape), x.ndim)), keepdims=True) + added)
    return _scaled("rms_norm", y, weight, None, shape)


_EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7}  # the gap between 1 and the next number


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return the input with mean 0 and variance 1 over each group of channels of each sample.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        input: float tensor [batch, channels, ...].
        num_groups: number of groups, >= 1; it divides the channels.
        weight: [channels]; default none.
        bias: [channels]; default none.
        eps: added to the variance, mostly > 0; default 1e-5.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: fewer than two axes, channels that the groups do not divide, or weight or bias of another size.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.group_norm(cr.asarray([[0.0, 2.0, 5.0, 5.0]]), 2, eps=1e-9)
        tensor([[-1.,  1.,  0.,  0.]], shape=(1, 4), dtype=float32)

    Source: Wu and He, ECCV 2018.
    """
    x = float_input("group_norm", input)
    groups = integer("group_norm", "num_groups", num_groups)
    if x.ndim < 2 or x.shape[1] % groups:
        raise refuse(
            ShapeError, f"group_norm: {groups} groups must divide the channels, axis 1 of the input {x.shape}."
        )
    parts = reshape(x, (x.shape[0], groups, math.prod(x.shape[1:]) // groups))
    y = _standard(parts, (2,), number("group_norm", "eps", eps))
    return _scaled("group_norm", reshape(y, x.shape), weight, bias, _channels(x))

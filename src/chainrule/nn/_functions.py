"""Layers as functions: linear, dropout, embedding, the activations with PyTorch's argument names, cosine similarity."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import float32
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import axis_of, integer, number, refuse, tensor_input
from chainrule.ops import broadcast_arrays, maximum, permute_dims, random, reshape, sqrt, take, where
from chainrule.ops import log_softmax as _log_softmax
from chainrule.ops import softmax as _softmax
from chainrule.ops import softplus as _softplus
from chainrule.ops import sum as total
from chainrule.ops._inputs import as_tensor, cast
from chainrule.ops.guard import check_indices

__all__ = [
    "cosine_similarity",
    "dropout",
    "embedding",
    "identity",
    "linear",
    "log_softmax",
    "prelu",
    "softmax",
    "softplus",
]


def identity(input: Tensor) -> Tensor:
    """Return the input itself.

    Args:
        input: tensor of any shape.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.identity(cr.ones(2))
        tensor([1., 1.], shape=(2,), dtype=float32)
    """
    return input


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return an affine map of the last axis.

        y = x W^T + b

    Args:
        input: float tensor [..., in_features].
        weight: [out_features, in_features], or a vector [in_features].
        bias: [out_features]; default none.

    Returns:
        Tensor [..., out_features]; without that axis for a vector weight.

    Raises:
        ShapeError: the last axis of the input differs from that of the weight.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.linear(cr.ones((2, 3)), cr.ones((4, 3))).shape
        (2, 4)
    """
    x = tensor_input("linear", input)
    if not x.ndim or x.shape[-1] != weight.shape[-1]:
        raise refuse(
            ShapeError,
            f"linear: the input has the shape {x.shape} and the weight {weight.shape} (out, in); "
            f"the input's last axis must be {weight.shape[-1]}.",
        )
    y = x @ (permute_dims(weight, (1, 0)) if weight.ndim == 2 else weight)
    return y if bias is None else y + bias


def dropout(input: Tensor, p: float | Tensor = 0.5, training: bool = True, generator: Any = None) -> Tensor:
    """Return the input with each element zeroed with probability p, the rest scaled so that the mean is kept.

        y = x m / (1 - p),   m ~ Bernoulli(1 - p)

    Args:
        input: float tensor of any shape.
        p: probability of zeroing, in [0, 1): a number, or a 0-d tensor that may change between compiled calls; default
            0.5.
        training: whether anything is zeroed; without, the input itself is returned; default True.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ValueError: p outside [0, 1).

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.dropout(cr.ones((2, 3)), 0.5, training=False)
        tensor([[1., 1., 1.],
                [1., 1., 1.]], shape=(2, 3), dtype=float32)

    Source: Srivastava et al., JMLR 15 (2014); their p is the probability of keeping a unit.
    """
    x = tensor_input("dropout", input)
    if not x.dtype.is_float:
        raise refuse(DTypeError, f"dropout needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    if not isinstance(p, Tensor):
        p = number("dropout", "p", p, 0.0, 1.0, "[)")
    if not training or (not isinstance(p, Tensor) and p == 0.0):
        return x
    rate = cast(as_tensor(p), float32)
    kept = random.uniform(x.shape, dtype=float32, generator=generator) >= rate
    return x * cast(where(kept, 1.0 / (1.0 - rate), 0.0), x.dtype)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Return the rows of a table at the given indices.

    Args:
        input: integer tensor [...] of row numbers, each in [0, rows).
        weight: the table, [rows, features].
        padding_idx: a row to which no gradient flows; negative counts from the end; default none.

    Returns:
        Tensor [..., features].

    Raises:
        IndexRangeError: an index outside the table.
        DTypeError: indices that are no integers.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.embedding(cr.asarray([1, 0]), cr.eye(2))
        tensor([[0., 1.],
                [1., 0.]], shape=(2, 2), dtype=float32)
    """
    indices = embedding_indices("embedding", input, weight.shape[0])
    y = take(weight, indices, axis=0)  # [..., features]
    if padding_idx is None:
        return y
    integer("embedding", "padding_idx", padding_idx, low=-weight.shape[0])
    padded = reshape(indices == padding_idx % weight.shape[0], (*indices.shape, 1))
    return where(padded, y.detach(), y)


def embedding_indices(owner: Any, input: Tensor, rows: int) -> Tensor:
    """Return the indices after a check of their dtype, and of each value once the data is there."""
    indices = tensor_input(owner, input)
    if not indices.dtype.is_integer:
        raise refuse(
            DTypeError, f"{owner}: the indices must be integers; got {indices.dtype.name}: use .astype(cr.int64)."
        )
    return check_indices(indices, rows, str(owner))


# ---------------------------------------------------------------------------------------------------- activations
def softmax(input: Tensor, dim: int) -> Tensor:
    """Return the probabilities that belong to logits, along one axis.

        y = e^x / sum(e^x)

    Args:
        input: float tensor [..., n, ...] of logits.
        dim: the axis whose n probabilities add up to 1; for [batch, classes] it is 1, or -1.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        IndexRangeError: no such axis.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.softmax(cr.zeros((1, 2)), dim=1)
        tensor([[0.5, 0.5]], shape=(1, 2), dtype=float32)
    """
    return _softmax(input, axis=axis_of("softmax", dim, tensor_input("softmax", input).ndim))


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Return the logarithms of softmax along one axis, exact where softmax itself rounds to 0.

        y = x - log(sum(e^x))

    Args:
        input: float tensor [..., n, ...] of logits.
        dim: the axis of the n classes.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        IndexRangeError: no such axis.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.log_softmax(cr.asarray([0.0, 1000.0]), dim=0)
        tensor([-1000.,     0.], shape=(2,), dtype=float32)
    """
    return _log_softmax(input, axis=axis_of("log_softmax", dim, tensor_input("log_softmax", input).ndim))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return a smooth relu, elementwise.

        y = log(1 + e^(beta x)) / beta,   x itself where beta x > threshold

    Args:
        input: float tensor of any shape.
        beta: sharpness of the bend, > 0; default 1.
        threshold: where the function goes over into x; default 20.

    Returns:
        Tensor of the same shape and dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.softplus(cr.asarray([-1000.0, 1000.0]))
        tensor([   0., 1000.], shape=(2,), dtype=float32)

    Source: Dugas et al., NIPS 2000.
    """
    x = tensor_input("softplus", input)
    scaled = x if beta == 1.0 else x * beta
    y = _softplus(scaled)
    return where(scaled > threshold, x, y if beta == 1.0 else y / beta)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return x, multiplied by a learned slope where it is not positive.

    Args:
        input: float tensor [batch, channels, ...].
        weight: the slopes, [1] for all or [channels] for each.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: the number of slopes is neither 1 nor that of the channels.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.prelu(cr.asarray([-1.0, 2.0]), cr.asarray([0.25]))
        tensor([-0.25,  2.  ], shape=(2,), dtype=float32)

    Source: He et al., ICCV 2015.
    """
    x = tensor_input("prelu", input)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.shape not in ((), (1,), (channels,)):
        raise refuse(
            ShapeError,
            f"prelu: the input {x.shape} has {channels} channels and the weight the shape {weight.shape}; "
            f"it must be (1,) or ({channels},).",
        )
    if weight.size > 1:
        weight = reshape(weight, (channels,) + (1,) * (x.ndim - 2))  # over the channels, axis 1
    elif weight.ndim:
        weight = reshape(weight, ())
    return where(x > 0.0, x, weight * x)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along one axis.

        y = x1 . x2 / (max(|x1|, eps) max(|x2|, eps))

    Args:
        x1: float tensor [..., n, ...].
        x2: float tensor whose shape broadcasts with that of x1.
        dim: the axis of the vectors; default 1.
        eps: smallest length, > 0; default 1e-8. A zero vector gives 0, with gradient 0.

    Returns:
        Tensor without that axis, in [-1, 1].

    Raises:
        IndexRangeError: no such axis.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.cosine_similarity(cr.asarray([[1.0, 0.0]]), cr.asarray([[1.0, 1.0]]))
        tensor([0.70710677], shape=(1,), dtype=float32)
    """
    axis = axis_of(
        "cosine_similarity",
        dim,
        max(tensor_input("cosine_similarity", x1).ndim, tensor_input("cosine_similarity", x2).ndim),
    )
    x1, x2 = broadcast_arrays(x1, x2)  # first, as a length is that of the whole vector

    def length(x: Tensor) -> Tensor:
        return sqrt(maximum(total(x * x, axis=axis), np.float64(eps).item() ** 2))

    return total(x1 * x2, axis=axis) / (length(x1) * length(x2))

"""Distances between vectors, and the bilinear form, with PyTorch's names and arguments.

    pairwise_distance   |x1 - x2 + eps|_p of rows that belong together
    pdist               |x_i - x_j|_p of all pairs i < j of rows of one matrix
    cdist               |a_i - b_j|_p of all pairs of rows of two matrices

The gradient of a distance of 0 is 0.
"""

from __future__ import annotations

import numpy as np

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import number, refuse, tensor_input
from chainrule.nn._more_activations import float_input
from chainrule.ops import einsum, expand_dims, take
from chainrule.ops._inputs import constant
from chainrule.ops.linalg.norms import vector_norm

__all__ = ["bilinear", "cdist", "pairwise_distance", "pdist"]


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Return the distance of vectors along the last axis.

        y = |x1 - x2 + eps|_p

    Args:
        x1: float tensor [..., features].
        x2: float tensor whose shape broadcasts with that of x1.
        p: exponent of the norm; default 2.
        eps: added to every difference; default 1e-6.
        keepdim: whether the axis stays, with size 1; default False.

    Returns:
        Tensor [...].

    Raises:
        ShapeError: the shapes do not broadcast, or have no axes.
        DTypeError: not float tensors.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.pairwise_distance(cr.asarray([3.0, 4.0]), cr.zeros(2), eps=0.0)
        tensor(5., shape=(), dtype=float32)
    """
    a, b = float_input("pairwise_distance", x1), float_input("pairwise_distance", x2)
    away = a - b + eps
    if not away.ndim:
        raise refuse(ShapeError, "pairwise_distance needs vectors along the last axis; got the shape ().")
    return vector_norm(away, axis=-1, keepdims=keepdim, ord=p)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Return the distances of all pairs of rows.

        y = |x_i - x_j|_p  for i < j, row by row

    Args:
        input: float tensor [n, features].
        p: exponent of the norm, >= 0; default 2.

    Returns:
        Vector of n (n - 1) / 2 distances.

    Raises:
        ShapeError: not a matrix.
        DTypeError: not a float tensor.
        ValueError: p < 0.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.pdist(cr.asarray([[0.0], [1.0], [3.0]]))
        tensor([1., 3., 2.], shape=(3,), dtype=float32)
    """
    x = float_input("pdist", input)
    if x.ndim != 2:
        raise refuse(ShapeError, f"pdist needs a matrix [n, features]; got the shape {x.shape}.")
    first, second = np.triu_indices(x.shape[0], 1)
    away = take(x, constant(first), axis=0) - take(x, constant(second), axis=0)
    return vector_norm(away, axis=-1, ord=number("pdist", "p", p, 0.0))


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """Return the distances of all rows of one matrix from all rows of another.

        y[i, j] = |x1_i - x2_j|_p

    Args:
        x1: float tensor [..., n, features].
        x2: float tensor [..., m, features]; the axes in front broadcast.
        p: exponent of the norm, >= 0; default 2.

    Returns:
        Tensor [..., n, m].

    Raises:
        ShapeError: fewer than two axes, or other features.
        DTypeError: not float tensors.
        ValueError: p < 0.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.cdist(cr.asarray([[0.0], [1.0]]), cr.asarray([[3.0]]))
        tensor([[3.],
                [2.]], shape=(2, 1), dtype=float32)
    """
    a, b = float_input("cdist", x1), float_input("cdist", x2)
    if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-1]:
        raise refuse(
            ShapeError,
            f"cdist: the inputs are {a.shape} and {b.shape}; they must be [..., n, features] and [..., m, features].",
        )
    away = expand_dims(a, axis=-2) - expand_dims(b, axis=-3)  # [..., n, m, features]
    return vector_norm(away, axis=-1, ord=number("cdist", "p", p, 0.0))


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a bilinear form of two inputs per output feature.

        y_o = x1^T W_o x2 + b_o

    Args:
        input1: float tensor [..., in1_features].
        input2: float tensor [..., in2_features]; the other axes are equal.
        weight: [out_features, in1_features, in2_features].
        bias: [out_features]; default none.

    Returns:
        Tensor [..., out_features].

    Raises:
        ShapeError: shapes that do not fit.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.bilinear(cr.ones((5, 2)), cr.ones((5, 3)), cr.ones((4, 2, 3))).shape
        (5, 4)
    """
    a, b = tensor_input("bilinear", input1), tensor_input("bilinear", input2)
    if (
        weight.ndim != 3
        or a.shape[:-1] != b.shape[:-1]
        or (a.shape[-1:], b.shape[-1:]) != (weight.shape[1:2], weight.shape[2:])
    ):
        raise refuse(
            ShapeError,
            f"bilinear: the inputs are {a.shape} and {b.shape} and the weight {weight.shape}; they must be "
            "[..., in1], [..., in2] and [out, in1, in2].",
        )
    y = einsum("...i,oij,...j->...o", a, weight, b)
    return y if bias is None else y + bias

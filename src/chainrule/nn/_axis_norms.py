"""Norms along one axis as functions, with PyTorch's names: of neighbouring channels, and vectors of length 1.

local_response_norm   y_c = x_c / (k + alpha / size sum of neighbours x_c'^2)^beta
normalize             y = x / max(|x|_p, eps)
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import axis_of, integer, refuse
from chainrule.nn._more_activations import float_input
from chainrule.ops import maximum, pad, pow, reshape, square
from chainrule.ops.linalg.norms import vector_norm
from chainrule.ops.slices import narrow

__all__ = ["local_response_norm", "normalize"]


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Return the input divided by the strength of neighbouring channels.

        y_c = x_c / (k + alpha / size sum over |c' - c| <= size / 2 of x_c'^2)^beta

    Args:
        input: float tensor [batch, channels, ...].
        size: number of neighbouring channels, >= 1.
        alpha: factor of the squares; default 1e-4.
        beta: exponent; default 0.75.
        k: added to the squares; default 1.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: fewer than three axes.
        DTypeError: not a float tensor.
        ValueError: size < 1.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.local_response_norm(cr.ones((1, 4, 1)), 2, alpha=2.0, beta=1.0).flatten()
        tensor([0.5       , 0.33333334, 0.33333334, 0.33333334], shape=(4,), dtype=float32)

    Source: Krizhevsky et al., NIPS 2012.
    """
    x, reach = float_input("local_response_norm", input), integer("local_response_norm", "size", size)
    if x.ndim < 3:
        raise refuse(ShapeError, f"local_response_norm needs an input [batch, channels, ...]; got the shape {x.shape}.")
    widths = [(0, 0), (reach // 2, (reach - 1) // 2)] + [(0, 0)] * (x.ndim - 2)
    squares = pad(square(x), widths)
    summed = narrow(squares, 1, 0, x.shape[1])
    for shift in range(1, reach):
        summed = summed + narrow(squares, 1, shift, shift + x.shape[1])
    return x / pow(summed * (alpha / reach) + k, beta)


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """Return vectors divided by their length.

        y = x / max(|x|_p, eps)

    Args:
        input: float tensor [..., n, ...].
        p: exponent of the norm; default 2.
        dim: the axis of the vectors, or several; default 1. A tensor without axes is a vector of one element.
        eps: smallest length, > 0; default 1e-12. A zero vector stays 0.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        IndexRangeError: no such axis.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.normalize(cr.asarray([[3.0, 4.0]]))
        tensor([[0.6, 0.8]], shape=(1, 2), dtype=float32)
    """
    x = float_input("normalize", input)
    if not x.ndim:
        return reshape(normalize(reshape(x, (1,)), p, dim, eps), ())
    axes = tuple(axis_of("normalize", d, x.ndim) for d in (dim if isinstance(dim, tuple | list) else (dim,)))
    return x / maximum(vector_norm(x, axis=axes, keepdims=True, ord=p), eps)

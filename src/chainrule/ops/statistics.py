"""Mean, variance and standard deviation: composites over `sum`.

    mean = sum x / n,     var = sum (x - mean)^2 / (n - correction),     std = sqrt(var)

The variance is computed in two passes, so it does not cancel where the mean is large.
"""

from __future__ import annotations

import math

from chainrule.core.dtypes import float32, int64
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple, cast
from chainrule.ops._reductions import Axis
from chainrule.ops.powers import sqrt
from chainrule.ops.reduce import sum
from chainrule.ops.selection import where

__all__ = ["mean", "std", "var"]


def mean(x: Tensor, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return the mean along axes.

        y = sum x / n

    Args:
        x: tensor of any shape; bools and ints are summed in int64 and give float32.
        axis: the axes that vanish; default all.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Float tensor of the remaining shape; NaN where there is no element.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.mean(cr.asarray([[1.0, 2.0], [3.0, 5.0]]), axis=1)
        tensor([1.5, 4. ], shape=(2,), dtype=float32)
    """
    x = as_tensor(x)
    axes = axes_tuple(axis, x.ndim, "mean")
    total = sum(x, axes, dtype=None if x.dtype.is_inexact else int64, keepdims=keepdims)
    return total / math.prod(x.shape[a] for a in axes)


def var(x: Tensor, /, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Return the variance along axes.

        y = sum (x - mean)^2 / (n - correction)

    Args:
        x: tensor of any shape; bools and ints are converted to float32.
        axis: the axes that vanish; default all.
        correction: taken from the number of elements: 0 for a population, 1 for a sample (as PyTorch); default 0.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Float tensor of the remaining shape; NaN or infinity where n <= correction.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.var(cr.asarray([1.0, 2.0, 3.0]), correction=1)
        tensor(1., shape=(), dtype=float32)
    """
    x = as_tensor(x)
    x = x if x.dtype.is_float else cast(x, float32)
    axes = axes_tuple(axis, x.ndim, "var")
    away = x - mean(x, axes, keepdims=True)
    return sum(away * away, axes, keepdims=keepdims) / max(math.prod(x.shape[a] for a in axes) - correction, 0)


def std(x: Tensor, /, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Return the standard deviation along axes; its gradient is 0 where all elements are equal.

        y = sqrt(var(x))

    Args:
        x: tensor of any shape; bools and ints are converted to float32.
        axis: the axes that vanish; default all.
        correction: taken from the number of elements: 0 for a population, 1 for a sample (as PyTorch); default 0.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Float tensor of the remaining shape; NaN or infinity where n <= correction.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.std(cr.asarray([1.0, 2.0, 3.0]), correction=1)
        tensor(1., shape=(), dtype=float32)
    """
    v = var(x, axis, correction=correction, keepdims=keepdims)
    flat = v == 0
    return where(flat, 0.0, sqrt(where(flat, 1.0, v)))  # the root of 0 has an infinite slope; it is not taken

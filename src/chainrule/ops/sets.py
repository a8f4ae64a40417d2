"""The distinct elements of a tensor, and where they are.

How many there are depends on the values, so these functions need values: they can't be traced. Every NaN counts as
distinct, -0 and 0 count as equal. The values are differentiable: each is the element of its first place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule.core.context import local
from chainrule.core.dtypes import bfloat16
from chainrule.core.errors import TraceError, user_location
from chainrule.core.tensor import Tensor, concrete_value
from chainrule.ops._inputs import as_tensor, constant
from chainrule.ops.gather import take
from chainrule.ops.shape import flatten, reshape

__all__ = ["unique_all", "unique_counts", "unique_inverse", "unique_values"]


class UniqueAllResult(NamedTuple):
    """The distinct values [n], their first places [n], per element its value's place, their counts [n]."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCountsResult(NamedTuple):
    """The distinct values [n] and their counts [n]."""

    values: Tensor
    counts: Tensor


class UniqueInverseResult(NamedTuple):
    """The distinct values [n], and per element its value's place."""

    values: Tensor
    inverse_indices: Tensor


def _unique(x: Tensor, name: str) -> UniqueAllResult:
    x = as_tensor(x)
    if local.interpreter is not None:
        raise TraceError(
            f"the shape of {name}(x) depends on the values of x, and there are none yet while cr.jit traces. "
            "Move this line outside the step.",
            location=user_location(),
        )
    data = concrete_value(x, name)
    data = data.astype(np.float32) if data.dtype == bfloat16.numpy else data
    _, first, back, times = np.unique(
        data, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    indices, inverse, counts = (constant(np.asarray(a, np.int64)) for a in (first, back, times))
    vector = flatten(x) if x.ndim else reshape(x, (1,))
    return UniqueAllResult(take(vector, indices), indices, reshape(inverse, x.shape), counts)


def unique_all(x: Tensor, /) -> UniqueAllResult:
    """Return the distinct elements, their first places, the way back, and how often each occurs.

        values[inverse_indices] = x,   flatten(x)[indices] = values

    Args:
        x: tensor of any shape and dtype.

    Returns:
        Named tuple: values [n], ascending; indices, int64 [n], in the flattened tensor; inverse_indices, int64 of the
        shape of x; counts, int64 [n].

    Raises:
        TraceError: while tracing, as the shape of the result depends on values.

    Example:
        >>> import chainrule as cr
        >>> cr.unique_all(cr.asarray([5, 3, 5])).counts
        tensor([1, 2], shape=(2,), dtype=int64)
    """
    return _unique(x, "unique_all")


def unique_counts(x: Tensor, /) -> UniqueCountsResult:
    """Return the distinct elements and how often each occurs.

    Args:
        x: tensor of any shape and dtype.

    Returns:
        Named tuple: values [n], ascending; counts, int64 [n].

    Raises:
        TraceError: while tracing, as the shape of the result depends on values.

    Example:
        >>> import chainrule as cr
        >>> cr.unique_counts(cr.asarray([5, 3, 5])).values
        tensor([3, 5], shape=(2,), dtype=int64)
    """
    found = _unique(x, "unique_counts")
    return UniqueCountsResult(found.values, found.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverseResult:
    """Return the distinct elements, and per element the place of its value among them.

        values[inverse_indices] = x

    Args:
        x: tensor of any shape and dtype.

    Returns:
        Named tuple: values [n], ascending; inverse_indices, int64 of the shape of x.

    Raises:
        TraceError: while tracing, as the shape of the result depends on values.

    Example:
        >>> import chainrule as cr
        >>> cr.unique_inverse(cr.asarray([5, 3, 5])).inverse_indices
        tensor([1, 0, 1], shape=(3,), dtype=int64)
    """
    found = _unique(x, "unique_inverse")
    return UniqueInverseResult(found.values, found.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    """Return the distinct elements in ascending order.

    Args:
        x: tensor of any shape and dtype.

    Returns:
        Tensor [n].

    Raises:
        TraceError: while tracing, as the shape of the result depends on values.

    Example:
        >>> import chainrule as cr
        >>> cr.unique_values(cr.asarray([5, 3, 5]))
        tensor([3, 5], shape=(2,), dtype=int64)
    """
    return _unique(x, "unique_values").values

"""Median and quantiles: composites over `sort`.

position = q (n - 1) among the n sorted elements; between two of them the chosen method decides
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.core.dtypes import float64, int64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple, cast, constant
from chainrule.ops._reductions import Axis, reduced
from chainrule.ops.compare import isnan
from chainrule.ops.creation import zeros
from chainrule.ops.gather import take
from chainrule.ops.guard import check_probabilities
from chainrule.ops.reduce import any as some
from chainrule.ops.rounding import ceil, floor
from chainrule.ops.rounding import round as nearest
from chainrule.ops.selection import where
from chainrule.ops.shape import moveaxis, permute_dims, reshape
from chainrule.ops.sort import sort

__all__ = ["median", "quantile"]

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def median(x: Tensor, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return the median along axes: the middle element, or the mean of the middle two.

    Args:
        x: float tensor of any shape.
        axis: the axes that vanish; default all.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Tensor of the remaining shape and the dtype of x; NaN where there is one among the elements.

    Raises:
        DTypeError: not a float tensor.
        IndexRangeError: an axis does not exist.
        ShapeError: there are no elements along the axes.

    Example:
        >>> import chainrule as cr
        >>> cr.median(cr.asarray([[3.0, 1.0, 2.0, 9.0], [0.0, 0.0, 1.0, 5.0]]), axis=1)
        tensor([2.5, 0.5], shape=(2,), dtype=float32)
    """
    return _quantile("median", x, _exact(0.5), axis, keepdims, "midpoint")


def quantile(
    x: Tensor, q: float | Tensor, /, axis: Axis = None, *, keepdims: bool = False, method: str = "linear"
) -> Tensor:
    """Return quantiles along axes: below the q-th one lies the share q of the elements.

        y = s[i] + (p - i) (s[i + 1] - s[i]),   p = q (n - 1),   i = floor(p),   s the n sorted elements

    Args:
        x: float tensor of any shape.
        q: number or vector [k] of numbers in [0, 1].
        axis: the axes that vanish; default all.
        keepdims: keep the vanished axes with size 1; default False.
        method: what counts at a position between two elements: "linear" by the formula, "lower" or "higher" one of
            them, "midpoint" their mean, "nearest" the one nearer (of equally near ones that with an even index);
            default "linear".

    Returns:
        Tensor of the remaining shape, behind a first axis of k for a vector q, of the dtype of x; NaN where there
        is one among the elements.

    Raises:
        DTypeError: not a float tensor.
        IndexRangeError: an axis does not exist.
        ShapeError: there are no elements along the axes.
        ValueError: another word for `method`, or a number q outside [0, 1].
        DataError: an element of q outside [0, 1].

    Example:
        >>> import chainrule as cr
        >>> cr.quantile(cr.asarray([1.0, 2.0, 3.0, 5.0]), cr.asarray([0.5, 0.75]))
        tensor([2.5, 3.5], shape=(2,), dtype=float32)

    Source: Hyndman and Fan, The American Statistician 50 (1996), definition 7.
    """
    if method not in METHODS:
        listed = ", ".join(f'"{name}"' for name in METHODS)
        raise ValueError(f"quantile.method must be one of {listed}; got {method!r}.")
    if not isinstance(q, Tensor) and not 0.0 <= q <= 1.0:
        raise ValueError(f"quantile.q must be in [0, 1]; got {q!r}.")
    return _quantile("quantile", x, check_probabilities(_exact(q)), axis, keepdims, method)


def _exact(q: float | Tensor) -> Tensor:
    """Return a number in float64: float32 would move a position among many elements."""
    return as_tensor(q) if isinstance(q, Tensor) else constant(np.asarray(q, np.float64))


def _quantile(name: str, x: Tensor, q: Tensor, axis: Axis, keepdims: bool, method: str) -> Tensor:
    x = as_tensor(x)
    if not x.dtype.is_float:
        raise DTypeError(f"{name} needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    axes = axes_tuple(axis, x.ndim, name)
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    n = math.prod(x.shape[a] for a in axes)
    if not n and 0 not in [x.shape[a] for a in kept]:
        raise ShapeError(f"{name}: the axes {axes} of {x.shape} have no elements, so there is no {name}.")
    if not x.size:
        return zeros((*q.shape, *reduced(x.shape, axes, keepdims)), dtype=x.dtype)
    rows = sort(reshape(permute_dims(x, (*kept, *axes)), (*(x.shape[a] for a in kept), n)), axis=-1)
    y = _between(rows, cast(q, float64) * (n - 1), method)  # [..., *q]
    there = reshape(~some(isnan(rows), axis=-1), rows.shape[:-1] + (1,) * q.ndim)
    y = where(there, y, math.nan)
    y = moveaxis(y, -1, 0) if q.ndim else y
    return reshape(y, (*q.shape, *reduced(x.shape, axes, True))) if keepdims else y


def _between(rows: Tensor, position: Tensor, method: str) -> Tensor:
    """Return what stands at positions of sorted rows [..., n]."""
    if method in ("lower", "higher", "nearest"):
        choose = {"lower": floor, "higher": ceil, "nearest": nearest}[method]
        return take(rows, cast(choose(position), int64), axis=-1)
    low, high = (take(rows, cast(end(position), int64), axis=-1) for end in (floor, ceil))
    share = 0.5 if method == "midpoint" else cast(position - floor(position), rows.dtype)
    return low + share * (high - low)

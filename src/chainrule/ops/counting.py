"""How often values occur: bincount and histogram. Counts have no gradient; weights do.

Both are a scatter-add of ones, or of weights, to the bin of each value. Bins are found as NumPy finds them: by position
for equal widths, corrected against the edges, and by binary search otherwise; the last bin includes its right edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.context import local
from chainrule.core.dtypes import float32, int64
from chainrule.core.errors import DTypeError, ShapeError, TraceError, user_location
from chainrule.core.tensor import Tensor, concrete_value
from chainrule.ops._along import add_along_p
from chainrule.ops._inputs import as_tensor, cast, constant
from chainrule.ops._windows import fail
from chainrule.ops.creation import linspace, ones, zeros
from chainrule.ops.reduce import max as amax
from chainrule.ops.reduce import min as amin
from chainrule.ops.selection import clip, where
from chainrule.ops.shape import reshape
from chainrule.ops.sort import searchsorted

__all__ = ["bincount", "histogram"]


def bincount(x: Tensor, /, weights: Tensor | None = None, *, minlength: int = 0, length: int | None = None) -> Tensor:
    """Return how often each integer occurs, or the sum of its weights.

        y[k] = sum of weights[i] over all i with x[i] = k

    Args:
        x: integer vector of values >= 0.
        weights: tensor of the shape of x; default 1 each.
        minlength: least number of counts, >= 0; default 0.
        length: the exact number of counts, >= 0, so that the shape does not depend on values (needed under `cr.jit`);
            values beyond it are refused; default max(x) + 1.

    Returns:
        Vector: int64 counts, or sums in the dtype of the weights.

    Raises:
        IndexRangeError: a value is negative, or not below `length`.
        ShapeError: x is no vector, or the weights have another shape.
        DTypeError: x holds no integers.
        TraceError: while tracing without `length`.
        ValueError: a negative length.

    Example:
        >>> import chainrule as cr
        >>> cr.bincount(cr.asarray([1, 3, 1]))
        tensor([0, 2, 0, 1], shape=(4,), dtype=int64)
    """
    x = as_tensor(x)
    if x.ndim != 1:
        raise fail(ShapeError, f"bincount: x must be a vector; got the shape {x.shape}.")
    if not x.dtype.is_integer:
        raise fail(DTypeError, f"bincount needs an integer tensor; got {x.dtype.name}: use .astype(cr.int64).")
    for name, value in (("minlength", minlength), ("length", length)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ValueError(f"bincount.{name} must be an int >= 0; got {value!r}.")
    if length is None:
        if local.interpreter is not None:
            raise TraceError(
                "the shape of bincount(x) depends on the values of x, and there are none yet while cr.jit traces. "
                "Give length=, the number of counts.",
                location=user_location(),
            )
        values = concrete_value(x, "bincount")
        length = max(minlength, int(values.max()) + 1 if values.size else 0)
    weights = ones(x.shape, dtype=int64) if weights is None else as_tensor(weights)
    if weights.shape != x.shape:
        raise fail(ShapeError, f"bincount: x is {x.shape} and the weights {weights.shape}; they must be equal.")
    return bind(add_along_p, zeros((length,), dtype=weights.dtype), cast(x, int64), weights, axis=0)


def histogram(
    x: Tensor,
    /,
    bins: int | Tensor = 10,
    *,
    range: tuple[float, float] | None = None,
    weights: Tensor | None = None,
    density: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return how many elements fall between each two neighbouring edges, and the edges.

        y[k] = sum of weights[i] over all i with edge[k] <= x[i] < edge[k + 1]

    Args:
        x: tensor of any shape; bools and ints are converted to float32.
        bins: number of bins of equal width, >= 1, or their ascending edges [bins + 1]; default 10.
        range: the outermost edges (low, high) for a number of bins; default the least and largest element. What lies
            outside is not counted.
        weights: tensor of the shape of x; default 1 each.
        density: whether the result is divided by its sum and the widths, so that it integrates to 1; default False.

    Returns:
        Tensor [bins] of int64 counts (of the dtype of the weights, or of x, where there are weights or a density), and
        the edges [bins + 1]. NaN is not counted.

    Raises:
        ShapeError: the weights have another shape than x, or the edges are no vector of at least two.
        ValueError: no bins, or a range that does not ascend.

    Example:
        >>> import chainrule as cr
        >>> cr.histogram(cr.asarray([0.0, 0.1, 0.9, 1.0]), 2)[0]
        tensor([2, 2], shape=(2,), dtype=int64)
    """
    x = as_tensor(x)
    x = x if x.dtype.is_float else cast(x, float32)
    flat = reshape(x, (x.size,)).detach()
    edges = _edges(flat, bins, range)
    count = edges.shape[0] - 1
    given = ones((x.size,), dtype=int64) if weights is None else as_tensor(weights)
    if weights is not None and given.shape != x.shape:
        raise fail(ShapeError, f"histogram: x is {x.shape} and the weights {given.shape}; they must be equal.")
    place = searchsorted(edges, flat, side="right") - 1
    place = where(flat == edges[count], count - 1, place)  # the last bin includes its right edge
    inside = (flat >= edges[0]) & (flat <= edges[count])  # False for NaN
    kept = where(inside, reshape(given, (x.size,)), 0)
    y = bind(add_along_p, zeros((count,), dtype=kept.dtype), clip(place, 0, count - 1), kept, axis=0)
    if density:
        y = y if y.dtype.is_float else cast(y, x.dtype)
        y = y / (y.sum() * (edges[1:] - edges[:-1]))
    return y, edges


def _edges(flat: Tensor, bins: Any, range: tuple[float, float] | None) -> Tensor:
    """Return the edges of the bins in the dtype of x."""
    if isinstance(bins, int) and not isinstance(bins, bool):
        if bins < 1:
            raise ValueError(f"histogram.bins must be an int >= 1, or edges; got {bins!r}.")
        if range is None:
            low, high = (
                (amin(flat), amax(flat)) if flat.size else (constant(np.asarray(0.0)), constant(np.asarray(1.0)))
            )
            low, high = cast(low, flat.dtype), cast(high, flat.dtype)
            same = low == high
            low, high = where(same, low - 0.5, low), where(same, high + 0.5, high)
        else:
            if len(range) != 2 or not range[0] < range[1]:
                raise ValueError(f"histogram.range must be (low, high) with low < high; got {range!r}.")
            return linspace(float(range[0]), float(range[1]), bins + 1, dtype=flat.dtype)
        steps = linspace(0.0, 1.0, bins + 1, dtype=flat.dtype)
        return where(steps == 1.0, high, low + (high - low) * steps)
    edges = cast(as_tensor(np.asarray(bins) if isinstance(bins, Sequence) else bins), flat.dtype)
    if edges.ndim != 1 or edges.shape[0] < 2:
        raise fail(ShapeError, f"histogram: the edges must be a vector of at least 2; got the shape {edges.shape}.")
    return edges

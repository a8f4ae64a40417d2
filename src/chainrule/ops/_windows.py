"""Windows that slide over the last axes of a tensor: their arguments, how many fit, and strided views of them.

    count = floor((low + n + high - reach) / stride) + 1,     reach = dilation (size - 1) + 1

Convolution, pooling and unfolding share this arithmetic. `low` and `high` are what is added before and after an axis.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import ChainruleError, DTypeError, ShapeError, user_location
from chainrule.core.primitive import TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor
from chainrule.ops.shape import reshape

__all__ = [
    "REAL",
    "SPATIAL",
    "Pads",
    "Sizes",
    "batched",
    "biased",
    "fail",
    "half_at_most",
    "per_axis",
    "pooled",
    "same_dtypes",
    "symmetric",
    "weight_tensor",
    "without_batch",
    "blocks",
    "counts",
    "fitting",
    "padded",
    "positions",
    "view",
    "window_bytes",
]

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]  # (low, high) per axis

SPATIAL = {1: "channels, length", 2: "channels, height, width", 3: "channels, depth, height, width"}
REAL = ("float", "int", "uint")
BLOCK = 1 << 24  # bytes of copied windows at a time: they stay in the last-level cache, and memory stays small


def fail(kind: type[ChainruleError], message: str) -> ChainruleError:
    """Return an error that names the user's line."""
    return kind(message, location=user_location())


def per_axis(name: str, argument: str, value: Any, n: int, low: int = 1) -> Sizes:
    """Return a setting of a function as one integer per spatial axis.

    Raises:
        ValueError: not an integer >= low, nor n of them.
    """
    try:
        sizes = tuple(map(operator.index, value)) if isinstance(value, tuple | list) else (operator.index(value),) * n
    except TypeError:
        sizes = ()
    if len(sizes) == 1:
        sizes *= n
    if len(sizes) != n or any(size < low for size in sizes):
        many = f", or {n} of them" if n > 1 else ""
        raise ValueError(f"{name}.{argument} must be an int >= {low}{many}; got {value!r}.")
    return sizes


def symmetric(padding: Sizes) -> Pads:
    """Return the same width before and after each axis."""
    return tuple((p, p) for p in padding)


def counts(shape: Sizes, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Sizes:
    """Return per axis how many windows fit; 0 or less where none does."""
    return tuple(
        (low + n + high - d * (k - 1) - 1) // s + 1
        for n, k, s, (low, high), d in zip(shape, size, stride, padding, dilation)
    )


def padded(x: np.ndarray, padding: Pads, fill: Any = 0) -> np.ndarray:
    """Return x with a border of `fill` around its last axes; x itself where there is none."""
    if not any(map(any, padding)):
        return x
    lead = x.ndim - len(padding)
    shape = (*x.shape[:lead], *(low + n + high for n, (low, high) in zip(x.shape[lead:], padding)))
    out = np.full(shape, fill, x.dtype) if fill else np.zeros(shape, x.dtype)
    inside: tuple[Any, ...] = tuple(slice(low, low + n) for n, (low, _) in zip(x.shape[lead:], padding))
    out[(..., *inside)] = x
    return out


def view(x: np.ndarray, size: Sizes, count: Sizes, stride: Sizes, dilation: Sizes) -> np.ndarray:
    """Return all windows of an array that has its border already, [*lead, *size, *count], without copying."""
    lead = x.ndim - len(size)
    inner = tuple(step * d for step, d in zip(x.strides[lead:], dilation))
    outer = tuple(step * s for step, s in zip(x.strides[lead:], stride))
    shape = (*x.shape[:lead], *size, *count)
    return np.lib.stride_tricks.as_strided(x, shape, (*x.strides[:lead], *inner, *outer), writeable=False)


def positions(size: Sizes, count: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[tuple[tuple[Any, ...], tuple]]:
    """Yield each place in the window, and the slices of a bordered array that hold it in every window."""
    for place in itertools.product(*map(range, size)):
        starts = [k * d for k, d in zip(place, dilation)]
        yield place, (..., *(slice(a, a + (c - 1) * s + 1, s) for a, c, s in zip(starts, count, stride)))


def blocks(batch: int, bytes_each: int) -> Iterator[slice]:
    """Yield parts of the batch whose windows take about `BLOCK` bytes; they follow from shapes alone."""
    step = max(1, BLOCK // max(1, bytes_each))
    for start in range(0, batch, step):
        yield slice(start, min(start + step, batch))


def batched(name: str, x: Any, n: int, axes: str) -> tuple[Tensor, bool]:
    """Return an input [batch, channels, *spatial] and whether its batch axis was added here.

    Raises:
        DTypeError: bool or complex.
        ShapeError: another number of axes.
    """
    x = as_tensor(x)
    if x.dtype.kind not in REAL:
        raise fail(DTypeError, f"{name} needs a real numeric tensor; got {x.dtype.name}: use .astype(cr.float32).")
    if x.ndim not in (n + 1, n + 2):
        raise fail(ShapeError, f"{name} needs an input [batch, {axes}] or [{axes}]; got the shape {x.shape}.")
    return (x, False) if x.ndim == n + 2 else (reshape(x, (1, *x.shape)), True)


def weight_tensor(name: str, n: int, weight: Tensor, order: str) -> Tensor:
    weight = as_tensor(weight)
    if weight.ndim != n + 2:
        kernel = SPATIAL[n].removeprefix("channels, ")
        raise fail(ShapeError, f"{name} needs a weight [{order}, {kernel}]; got the shape {weight.shape}.")
    return weight


def biased(name: str, y: Tensor, bias: Tensor | None) -> Tensor:
    """Return y plus one number per channel."""
    if bias is None:
        return y
    bias = as_tensor(bias)
    if bias.shape != (y.shape[1],):
        raise fail(ShapeError, f"{name}: the bias is {bias.shape}; it must be ({y.shape[1]},), one per output channel.")
    if bias.dtype is not y.dtype:
        raise fail(
            DTypeError,
            f"{name}: the dtypes {y.dtype.name} and {bias.dtype.name} differ; convert one with .astype.",
        )
    return y + reshape(bias, (1, -1) + (1,) * (y.ndim - 2))


def without_batch(y: Tensor, added: bool) -> Tensor:
    """Return y without the batch axis that `batched` added."""
    return reshape(y, y.shape[1:]) if added else y


def same_dtypes(name: str, *types: TensorType) -> None:
    """Refuse bools, complex numbers and two dtypes in a shape rule.

    Raises:
        DTypeError: names the dtypes.
    """
    first = types[0].dtype
    for other in types:
        if other.dtype.kind not in REAL:
            raise DTypeError(f"{name} needs a real numeric tensor; got {other.dtype.name}: use .astype(cr.float32).")
        if other.dtype is not first:
            raise DTypeError(
                f"{name}: the dtypes {first.name} and {other.dtype.name} differ; convert one with .astype."
            )


def too_small(name: str, shape: Sequence[int], size: Sizes, padding: Pads, dilation: Sizes, axis: int) -> ShapeError:
    """Return the error for a window that reaches further than a spatial axis with its border."""
    n = shape[len(shape) - len(size) + axis]
    reach = dilation[axis] * (size[axis] - 1) + 1
    return ShapeError(
        f"{name}: a window of {reach} does not fit axis {len(shape) - len(size) + axis} of {tuple(shape)}, which has "
        f"{n} + {sum(padding[axis])} of padding; use a smaller window or more padding."
    )


def fitting(name: str, shape: Sizes, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Sizes:
    """Return the number of windows per axis of an input of `shape`.

    Raises:
        ShapeError: a window does not fit.
    """
    found = counts(shape[len(shape) - len(size) :], size, stride, padding, dilation)
    for axis, count in enumerate(found):
        if count < 1:
            raise too_small(name, shape, size, padding, dilation, axis)
    return found


def window_bytes(channels: int, size: Sizes, count: Sizes, itemsize: int) -> int:
    """Return the bytes of all windows of one element of the batch."""
    return channels * math.prod(size) * math.prod(count) * itemsize


def half_at_most(name: str, padding: Sizes, size: Sizes, dilation: Sizes) -> None:
    """Refuse a border of pooling that is wider than half the window, so that each window holds an element.

    Raises:
        ValueError: names both.
    """
    reach = tuple(d * (k - 1) + 1 for k, d in zip(size, dilation))
    if any(p > r // 2 for p, r in zip(padding, reach)):
        raise ValueError(f"{name}.padding must be at most half the window {reach}; got {padding}.")


def pooled(
    name: str, shape: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> tuple[Sizes, Pads]:
    """Return how many windows pooling takes per axis, and the border (low, high) that they need.

    With `ceil_mode` a last window may reach beyond the border, if it starts inside the input or the border before it.

    Raises:
        ShapeError: a window does not fit.
    """
    found = fitting(name, shape, size, stride, symmetric(padding), dilation)
    borders, total = [], []
    for n, c, k, s, p, d in zip(shape[len(shape) - len(size) :], found, size, stride, padding, dilation):
        reach = d * (k - 1) + 1
        if ceil_mode and (n + 2 * p - reach) % s and c * s < n + p:
            c += 1
        total.append(c)
        borders.append((p, max(0, (c - 1) * s + reach - n - p)))
    return tuple(total), tuple(borders)

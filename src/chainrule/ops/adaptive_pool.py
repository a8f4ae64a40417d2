"""Adaptive pooling over 1 to 3 axes: the windows are chosen so that the output has a given size.

Window i of an axis of n elements that becomes m reaches from floor(i n / m) to ceil((i + 1) n / m): the windows cover
the axis, differ in size by at most one, and overlap where m does not divide n. Where it does, this is plain pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import constant
from chainrule.ops._windows import SPATIAL, Sizes, batched, fail, without_batch
from chainrule.ops.gather import take
from chainrule.ops.pool import pick_in_plane
from chainrule.ops.reduce import sum as total
from chainrule.ops.selection import where
from chainrule.ops.shape import permute_dims, reshape
from chainrule.ops.sort import argmax

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
]

Setting = int | None | Sequence[int | None]


# ---------------------------------------------------------------------------------------------------- shared parts
def _sizes(name: str, output_size: Setting, shape: Sizes) -> Sizes:
    """Return the output's size per axis; None keeps the input's."""
    n = len(shape)
    given: tuple[Any, ...] = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * n
    if len(given) != n or any(not (m is None or (isinstance(m, int) and m >= 0)) for m in given):
        many = f", or {n} of them" if n > 1 else ""
        raise ValueError(f"{name}.output_size must be an int >= 0 or None{many}; got {output_size!r}.")
    return tuple(size if m is None else m for m, size in zip(given, shape))


def _reach(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the elements of each window, [m, width], and which of them belong to it."""
    start = np.arange(m) * n // m if m else np.zeros(0, np.int64)
    limit = -((-(np.arange(m) + 1) * n) // m) if m else start
    width = int((limit - start).max(initial=1))
    index = start[:, None] + np.arange(width)
    return np.minimum(index, n - 1).astype(np.int64), index < limit[:, None]


def _input(name: str, n: int, input: Tensor, *, floats: bool) -> tuple[Tensor, bool]:
    x, added = batched(name, input, n, SPATIAL[n])
    if floats and not x.dtype.is_float:
        raise fail(DTypeError, f"{name} needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    if 0 in x.shape[2:]:
        raise fail(
            ShapeError, f"{name}: the input {x.shape} has an axis without elements, so there is nothing to pool."
        )
    return x, added


def _adaptive_avg_pool(n: int, input: Tensor, output_size: Setting) -> Tensor:
    name = f"adaptive_avg_pool{n}d"
    x, added = _input(name, n, input, floats=True)
    for axis, m in enumerate(_sizes(name, output_size, x.shape[2:]), 2):
        size = x.shape[axis]
        if m and size % m == 0:  # windows of one size side by side
            parts = reshape(x, (*x.shape[:axis], m, size // m, *x.shape[axis + 1 :]))
            x = total(parts, axis + 1) / float(size // m)
            continue
        index, inside = _reach(size, m)
        parts = take(x, constant(index), axis=axis)  # [..., m, width, ...]
        behind = (1,) * (x.ndim - axis - 1)
        kept = where(constant(inside.reshape(*inside.shape, *behind)), parts, 0.0)
        counts = inside.sum(1).astype(x.dtype.numpy).reshape(m, *behind)
        x = total(kept, axis + 1) / constant(counts)
    return without_batch(x, added)


def _adaptive_max_pool(
    n: int, input: Tensor, output_size: Setting, return_indices: bool
) -> Tensor | tuple[Tensor, Tensor]:
    name = f"adaptive_max_pool{n}d"
    x, added = _input(name, n, input, floats=False)
    plane = x.shape[2:]
    sizes = _sizes(name, output_size, plane)
    lowest = -math.inf if x.dtype.is_float else int(np.iinfo(x.dtype.numpy).min)
    parts, flat = x.detach(), np.zeros((1,) * (2 * n), np.int64)
    for i, (size, m) in enumerate(zip(plane, sizes)):
        index, inside = _reach(size, m)
        place = (1,) * (2 * i) + index.shape + (1,) * (2 * (n - i - 1))  # [m, width] among [m, width, m, width, ...]
        flat = flat * size + index.reshape(place)
        parts = take(parts, constant(index), axis=2 + 2 * i)
        parts = where(constant(inside.reshape(inside.shape + (1,) * (n - i - 1))), parts, lowest)
    outer, inner = tuple(range(0, 2 * n, 2)), tuple(range(1, 2 * n, 2))
    widths = math.prod(flat.shape[i] for i in inner)
    lead = x.shape[:2]
    parts = reshape(permute_dims(parts, (0, 1, *(2 + i for i in outer + inner))), (*lead, math.prod(sizes), widths))
    table = constant(
        np.ascontiguousarray(flat.transpose(outer + inner)).reshape(-1)
    )  # flat positions, [windows * width]
    first = argmax(parts, axis=3) if parts.size else None
    if first is None:
        places = constant(np.zeros((*lead, *sizes), np.int64))
    else:
        row = constant(np.arange(math.prod(sizes)) * widths)
        places = reshape(take(table, first + row), (*lead, *sizes))
    y, positions = pick_in_plane(x, places, n)
    y = without_batch(y, added)
    return (y, without_batch(positions, added)) if return_indices else y


# ---------------------------------------------------------------------------------------------------- functions
def adaptive_avg_pool1d(input: Tensor, output_size: Setting) -> Tensor:
    """Return means of windows that cover length, so that the output has a given size.

    Args:
        input: float tensor [batch, channels, length], or without the batch axis.
        output_size: size of the output, >= 0; None keeps that of the input.

    Returns:
        Tensor [batch, channels, *output_size].

    Raises:
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: not a float tensor.
        ValueError: a size that is no int >= 0.

    Example:
        >>> import chainrule as cr
        >>> cr.adaptive_avg_pool1d(cr.ones((2, 3, 7)), 3).shape
        (2, 3, 3)
    """
    return _adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Setting) -> Tensor:
    """Return means of windows that cover height, width, so that the output has a given size.

    Args:
        input: float tensor [batch, channels, height, width], or without the batch axis.
        output_size: size of each axis of the output, >= 0, or 2 of them; None keeps that of the input.

    Returns:
        Tensor [batch, channels, *output_size].

    Raises:
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: not a float tensor.
        ValueError: a size that is no int >= 0.

    Example:
        >>> import chainrule as cr
        >>> cr.adaptive_avg_pool2d(cr.ones((2, 3, 7, 7)), 3).shape
        (2, 3, 3, 3)
    """
    return _adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Setting) -> Tensor:
    """Return means of windows that cover depth, height, width, so that the output has a given size.

    Args:
        input: float tensor [batch, channels, depth, height, width], or without the batch axis.
        output_size: size of each axis of the output, >= 0, or 3 of them; None keeps that of the input.

    Returns:
        Tensor [batch, channels, *output_size].

    Raises:
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: not a float tensor.
        ValueError: a size that is no int >= 0.

    Example:
        >>> import chainrule as cr
        >>> cr.adaptive_avg_pool3d(cr.ones((2, 3, 7, 7, 7)), 3).shape
        (2, 3, 3, 3, 3)
    """
    return _adaptive_avg_pool(3, input, output_size)


def adaptive_max_pool1d(
    input: Tensor, output_size: Setting, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the largest elements of windows that cover length, so that the output has a given size.

    Args:
        input: numeric tensor [batch, channels, length], or without the batch axis.
        output_size: size of the output, >= 0; None keeps that of the input.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, *output_size]; with `return_indices` also the flat position of each element in its
        plane, int64.

    Raises:
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: bool.
        ValueError: a size that is no int >= 0.

    Example:
        >>> import chainrule as cr
        >>> cr.adaptive_max_pool1d(cr.ones((2, 3, 7)), 3).shape
        (2, 3, 3)
    """
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(
    input: Tensor, output_size: Setting, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the largest elements of windows that cover height, width, so that the output has a given size.

    Args:
        input: numeric tensor [batch, channels, height, width], or without the batch axis.
        output_size: size of each axis of the output, >= 0, or 2 of them; None keeps that of the input.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, *output_size]; with `return_indices` also the flat position of each element in its
        plane, int64.

    Raises:
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: bool.
        ValueError: a size that is no int >= 0.

    Example:
        >>> import chainrule as cr
        >>> cr.adaptive_max_pool2d(cr.ones((2, 3, 7, 7)), 3).shape
        (2, 3, 3, 3)
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(
    input: Tensor, output_size: Setting, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the largest elements of windows that cover depth, height, width, so that the output has a given size.

    Args:
        input: numeric tensor [batch, channels, depth, height, width], or without the batch axis.
        output_size: size of each axis of the output, >= 0, or 3 of them; None keeps that of the input.
        return_indices: whether the positions are returned too; default False.

    Returns:
        Tensor [batch, channels, *output_size]; with `return_indices` also the flat position of each element in its
        plane, int64.

    Raises:
        ShapeError: another number of axes, or an axis without elements.
        DTypeError: bool.
        ValueError: a size that is no int >= 0.

    Example:
        >>> import chainrule as cr
        >>> cr.adaptive_max_pool3d(cr.ones((2, 3, 7, 7, 7)), 3).shape
        (2, 3, 3, 3, 3)
    """
    return _adaptive_max_pool(3, input, output_size, return_indices)

"""Images sampled at points given by another tensor: `grid_sample`, and `affine_grid` for such points.

A grid holds for each output the point (x, y) or (x, y, z) in the input, from -1 to 1 along each axis. Corners are the
outer edges of the corner pixels, or with align_corners their centres. The gradient flows to the image and, through the
weights, to the grid; it is 0 along an axis where a point is moved to the border. Source: Jaderberg et al., NIPS 2015.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import DTypeError, ShapeError, nearest
from chainrule.core.precision import precision
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast, constant
from chainrule.ops._windows import fail
from chainrule.ops.arithmetic import abs as magnitude
from chainrule.ops.arithmetic import floor_divide, remainder
from chainrule.ops.creation import arange
from chainrule.ops.gather import gather
from chainrule.ops.matmul import matmul
from chainrule.ops.rounding import floor
from chainrule.ops.rounding import round as nearest_even
from chainrule.ops.selection import clip, where
from chainrule.ops.shape import broadcast_to, matrix_transpose, permute_dims, reshape

__all__ = ["affine_grid", "grid_sample"]

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
CUBIC = -0.75  # a of Keys' kernel, as in `interpolate`


# ---------------------------------------------------------------------------------------------------- positions
def _unnormalized(coordinate: Tensor, n: int, align_corners: bool) -> Tensor:
    """Return a position in pixels for a coordinate from -1 to 1."""
    if align_corners:
        return (coordinate + 1.0) * ((n - 1) / 2)
    return ((coordinate + 1.0) * float(n) - 1.0) * 0.5


def _reflected(position: Tensor, low: float, high: float) -> Tensor:
    """Return positions mirrored at both ends until they lie between them."""
    span = high - low
    if span <= 0:
        return position * 0.0
    away = magnitude(position - low)
    turns = floor_divide(away.detach(), span)
    extra = away - turns * span
    return where(remainder(turns, 2.0) == 0.0, extra + low, span - extra + low)


def _inside(position: Tensor, n: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Return positions moved into the image as the padding mode says."""
    if padding_mode == "border":
        return _clipped(position, n)
    if padding_mode == "reflection":
        low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
        return _clipped(_reflected(position, low, high), n)
    return position


def _clipped(position: Tensor, n: int) -> Tensor:
    """Return positions clipped to [0, n - 1]; the slope at the ends is 0."""
    within = (position > 0.0) & (position < n - 1.0)
    return where(within, position, clip(position.detach(), 0.0, n - 1.0))


# ---------------------------------------------------------------------------------------------------- sampling
def _pixels(x: Tensor, places: Sequence[Tensor], align_corners: bool, padding_mode: str) -> Tensor:
    """Return the pixels [batch, points, channels] at whole positions [batch, points] (floats); 0 outside."""
    sizes = x.shape[2:]
    valid: Any = None
    flat: Any = None
    for place, n in zip(places, sizes):
        place = _inside(place, n, padding_mode, align_corners)
        within = (place >= 0.0) & (place <= n - 1.0)  # False for NaN
        row = cast(where(within, place, 0.0), arange(1).dtype)
        valid = within if valid is None else valid & within
        flat = row if flat is None else flat * n + row
    plane = reshape(x, (*x.shape[:2], math.prod(sizes)))
    batch = broadcast_to(reshape(arange(x.shape[0]), (x.shape[0], 1)), flat.shape)
    found = gather(plane, [batch, flat], (0, 2))  # [batch, points, channels]
    return where(reshape(valid, (*valid.shape, 1)), found, 0.0)


def _linear_taps(position: Tensor) -> list[tuple[Tensor, Tensor]]:
    low = floor(position.detach())
    t = position - low
    return [(low, 1.0 - t), (low + 1.0, t)]


def _cubic_taps(position: Tensor) -> list[tuple[Tensor, Tensor]]:
    low = floor(position.detach())
    t = position - low
    return [(low + float(k), _keys(t - float(k), outer=k in (-1, 2))) for k in (-1, 0, 1, 2)]


def _keys(t: Tensor, outer: bool) -> Tensor:
    """Return Keys' cubic kernel at a distance between 1 and 2 (outer) or below 1."""
    t = magnitude(t)
    if outer:
        return ((CUBIC * t - 5 * CUBIC) * t + 8 * CUBIC) * t - 4 * CUBIC
    return ((CUBIC + 2) * t - (CUBIC + 3)) * t * t + 1.0


_TAPS: dict[str, Callable[[Tensor], list[tuple[Tensor, Tensor]]]] = {"bilinear": _linear_taps, "bicubic": _cubic_taps}


def _choice(argument: str, value: str, options: Sequence[str]) -> None:
    if value not in options:
        listed = ", ".join(f'"{option}"' for option in options)
        close = nearest(value, options) if isinstance(value, str) else ""
        raise ValueError(f"grid_sample.{argument} must be one of {listed}; got {value!r}{close or '.'}")


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Return an image sampled at the points of a grid.

        y[b, c, p] = sum over the pixels q near grid[b, p] of w(grid[b, p] - q) x[b, c, q]

    Args:
        input: float tensor [batch, channels, height, width] or [batch, channels, depth, height, width].
        grid: float tensor [batch, *out, 2 or 3] of points (x, y) or (x, y, z), from -1 to 1 inside the image.
        mode: "bilinear", "nearest", or "bicubic" (images only); default "bilinear".
        padding_mode: what lies outside: "zeros", "border" (the nearest pixel) or "reflection"; default "zeros".
        align_corners: whether -1 and 1 are the centres of the corner pixels instead of their edges; default False.

    Returns:
        Tensor [batch, channels, *out].

    Raises:
        ShapeError: shapes that do not fit each other, or an empty image.
        DTypeError: not two float tensors of one dtype.
        ValueError: an unknown mode.

    Example:
        >>> import chainrule as cr
        >>> cr.grid_sample(cr.asarray([[[[1.0, 2.0], [3.0, 4.0]]]]), cr.zeros((1, 1, 1, 2)))
        tensor([[[[2.5]]]], shape=(1, 1, 1, 1), dtype=float32)

    Source: Jaderberg et al., NIPS 2015.
    """
    x, points = as_tensor(input), as_tensor(grid)
    _choice("mode", mode, MODES)
    _choice("padding_mode", padding_mode, PADDINGS)
    n = _check(x, points, mode)
    align = bool(align_corners)
    out = points.shape[1:-1]
    batch, channels, sizes = x.shape[0], x.shape[1], x.shape[2:]
    flat = reshape(points, (batch, math.prod(out), n))
    positions = [_unnormalized(flat[:, :, n - 1 - i], size, align) for i, size in enumerate(sizes)]  # the last is first
    if mode != "bicubic":
        positions = [_inside(p, size, padding_mode, align) for p, size in zip(positions, sizes)]
    if mode == "nearest":
        y = _pixels(x, [nearest_even(p.detach()) for p in positions], align, "zeros")
    else:
        moved = padding_mode if mode == "bicubic" else "zeros"  # cubic taps are moved inside one by one
        parts = []
        for taps in itertools.product(*map(_TAPS[mode], positions)):
            weight = math.prod((w for _, w in taps[1:]), start=taps[0][1])
            parts.append(_pixels(x, [place for place, _ in taps], align, moved) * reshape(weight, (*weight.shape, 1)))
        y = functools.reduce(operator.add, parts)
    return reshape(permute_dims(y, (0, 2, 1)), (batch, channels, *out))


def _check(x: Tensor, grid: Tensor, mode: str) -> int:
    """Return the number of spatial axes."""
    n = x.ndim - 2
    if n not in (2, 3) or grid.ndim != x.ndim or grid.shape[0] != x.shape[0] or grid.shape[-1] != n:
        raise fail(
            ShapeError,
            f"grid_sample: the input is {x.shape} and the grid {grid.shape}; they must be "
            "[batch, channels, height, width] and [batch, *out, 2], or with a depth before the height and 3.",
        )
    for tensor in (x, grid):
        if not tensor.dtype.is_float or tensor.dtype is not x.dtype:
            raise fail(
                DTypeError,
                f"grid_sample needs two float tensors of one dtype; got {x.dtype.name} and {grid.dtype.name}.",
            )
    if 0 in x.shape[2:]:
        raise fail(ShapeError, f"grid_sample: the input {x.shape} has no pixels.")
    if mode == "bicubic" and n != 2:
        raise ValueError('grid_sample.mode "bicubic" is for images with two spatial axes; use "bilinear".')
    return n


@precision("float32")
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Return the points at which grid_sample reads an affinely transformed image.

        grid[b, p] = theta[b] (x, y, 1)

    Args:
        theta: float tensor [batch, 2, 3], or [batch, 3, 4] for volumes.
        size: shape of the output image, (batch, channels, height, width) or with a depth before the height.
        align_corners: whether -1 and 1 are the centres of the corner pixels instead of their edges; default False.

    Returns:
        Tensor [batch, height, width, 2] or [batch, depth, height, width, 3].

    Raises:
        ShapeError: theta and size do not fit each other.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.affine_grid(cr.asarray([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 2, 2))[0, 0]
        tensor([[-0.5, -0.5],
                [ 0.5, -0.5]], shape=(2, 2), dtype=float32)

    Source: Jaderberg et al., NIPS 2015.
    """
    theta = as_tensor(theta)
    sizes = tuple(size)[2:]
    n = len(sizes)
    if n not in (2, 3) or theta.shape != (size[0], n, n + 1):
        raise fail(
            ShapeError,
            f"affine_grid: theta is {theta.shape} and size {tuple(size)}; they must be (batch, 2, 3) and "
            "(batch, channels, height, width), or (batch, 3, 4) with a depth before the height.",
        )
    if not theta.dtype.is_float:
        raise fail(DTypeError, f"affine_grid needs a float tensor; got {theta.dtype.name}: use .astype(cr.float32).")
    rows = []
    for m in sizes:
        row = np.linspace(-1.0, 1.0, m) if m > 1 else np.zeros(m)
        rows.append(row if align_corners else row * ((m - 1) / m if m else 1.0))
    mesh = np.meshgrid(*rows, indexing="ij")  # per axis [*sizes]
    base = np.stack([*reversed(mesh), np.ones(sizes)], axis=-1).reshape(-1, n + 1)  # [points, n + 1]
    points = matmul(constant(base.astype(theta.dtype.numpy)), matrix_transpose(theta))
    return reshape(points, (size[0], *sizes, n))

"""Images and signals resampled to another size: nearest, linear, cubic, area; 1 to 3 spatial axes.

Every mode is separable: along one axis after the other, output p is a sum over a few taps of x[i(p, tap)] w(p, tap),
with indices and weights that depend on sizes alone. With s the distance of two outputs in inputs,

    align_corners=False   src = s (p + 1/2) - 1/2,     s = n / m, or 1 / scale_factor
    align_corners=True    src = s p,                   s = (n - 1) / (m - 1)
    nearest               i = floor(s p);  nearest-exact: i = floor(s (p + 1/2))
    linear                taps floor(src) and the next one, weights 1 - t and t
    cubic                 four taps, the convolution kernel with a = -3/4 (Keys, IEEE Trans. ASSP 29, 1981)
    area                  adaptive average pooling

Taps beyond an end are those at the end. Positions are computed in whole numbers or float64, whatever the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import DTypeError, ShapeError, nearest
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, constant
from chainrule.ops._windows import fail, per_axis
from chainrule.ops.adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from chainrule.ops.gather import take

__all__ = ["interpolate"]

AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")
CUBIC = -0.75  # a of Keys' kernel, as in PyTorch and OpenCV; Keys himself takes -1/2


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Return an input resampled to another size.

        y[b, c, p] = sum over taps of w(p, tap) x[b, c, i(p, tap)]       along each spatial axis

    Args:
        input: float tensor [batch, channels, *spatial] with 1 to 3 spatial axes.
        size: size of the output per spatial axis, >= 1, or one for all.
        scale_factor: output size / input size, > 0, per axis or one for all; the output is rounded down. Either this or
            `size` is given.
        mode: "nearest", "nearest-exact", "linear" (1 axis), "bilinear" or "bicubic" (2 axes), "trilinear" (3 axes), or
            "area"; default "nearest".
        align_corners: whether the centres of the corner elements coincide, instead of the corners; for the linear and
            cubic modes; default False.
        recompute_scale_factor: whether positions follow from the rounded sizes instead of from `scale_factor`; default
            False.

    Returns:
        Tensor [batch, channels, *size] of the same dtype.

    Raises:
        ShapeError: another number of axes, or an empty input or output.
        DTypeError: not a float tensor.
        ValueError: an unknown mode, a mode for another number of axes, not one of `size` and `scale_factor`, or
            `align_corners` with a mode that has none.

    Example:
        >>> import chainrule as cr
        >>> cr.interpolate(cr.asarray([[[0.0, 4.0]]]), 4, mode="linear")
        tensor([[[0., 1., 3., 4.]]], shape=(1, 1, 4), dtype=float32)

    Source: Keys, IEEE Trans. ASSP 29 (1981) for the cubic kernel.
    """
    x = _input(as_tensor(input))
    n = x.ndim - 2
    _check_mode(mode, n, align_corners)
    sizes, steps = _sizes(x.shape[2:], size, scale_factor, bool(recompute_scale_factor))
    if min(sizes) < 1 or min(x.shape[2:]) < 1:
        raise fail(ShapeError, f"interpolate: the input {x.shape} cannot become {sizes}; both need elements.")
    if mode == "area":
        return AREA[n](x, sizes)
    for axis, (m, step) in enumerate(zip(sizes, steps), 2):
        size_in = x.shape[axis]
        if align_corners:
            step = (size_in - 1) / (m - 1) if m > 1 else 0.0
        taps = _taps(mode, size_in, m, step, bool(align_corners))
        x = _resampled(x, axis, taps)
    return x


# ---------------------------------------------------------------------------------------------------- arguments
def _input(x: Tensor) -> Tensor:
    if not x.dtype.is_float:
        raise fail(DTypeError, f"interpolate needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    if not 3 <= x.ndim <= 5:
        raise fail(
            ShapeError,
            f"interpolate needs an input [batch, channels, *spatial] with 1 to 3 spatial axes; "
            f"got the shape {x.shape}.",
        )
    return x


def _check_mode(mode: str, n: int, align_corners: bool | None) -> None:
    if mode not in MODES:
        listed = ", ".join(f'"{name}"' for name in MODES)
        close = nearest(mode, MODES) if isinstance(mode, str) else ""
        raise ValueError(f"interpolate.mode must be one of {listed}; got {mode!r}{close or '.'}")
    linear = mode in LINEAR.values()
    if (linear and mode != LINEAR[n]) or (mode == "bicubic" and n != 2):
        fits = f'"{LINEAR[n]}"' + (' or "bicubic"' if n == 2 else "")
        raise ValueError(f"interpolate.mode {mode!r} does not fit an input with {n} spatial axes; use {fits}.")
    if align_corners is not None and not (linear or mode == "bicubic"):
        raise ValueError(f"interpolate.align_corners has no meaning in the mode {mode!r}; leave it out.")


def _sizes(
    shape: Sequence[int], size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return per axis the size of the output, and the distance of two outputs in inputs."""
    n = len(shape)
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate needs either size or scale_factor.")
    if size is not None:
        sizes = per_axis("interpolate", "size", size, n, 0)
        return sizes, tuple(a / m if m else 0.0 for a, m in zip(shape, sizes))
    factors = tuple(scale_factor) if isinstance(scale_factor, tuple | list) else (scale_factor,) * n
    if len(factors) != n or any(isinstance(f, bool) or not isinstance(f, int | float) or f <= 0 for f in factors):
        many = f", or {n} of them" if n > 1 else ""
        raise ValueError(f"interpolate.scale_factor must be a number > 0{many}; got {scale_factor!r}.")
    sizes = tuple(math.floor(a * f) for a, f in zip(shape, factors))
    if recompute:
        return sizes, tuple(a / m if m else 0.0 for a, m in zip(shape, sizes))
    return sizes, tuple(1.0 / f for f in factors)


# ---------------------------------------------------------------------------------------------------- taps
def _taps(mode: str, n: int, m: int, step: float, align_corners: bool) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Return per tap the indices [m] of the inputs and their weights [m]; no weights for a single tap."""
    out = np.arange(m, dtype=np.float64)
    if mode.startswith("nearest"):
        halves = 2 * np.arange(m) + (mode == "nearest-exact")
        position = halves * n // (2 * m) if step == n / m else np.floor(halves * (step / 2))  # whole numbers are exact
        return [(np.minimum(position, n - 1).astype(np.int64), None)]
    source = out * step if align_corners else (out + 0.5) * step - 0.5
    if mode == "bicubic":
        first = np.floor(source)
        return [
            (np.clip(first + k, 0, n - 1).astype(np.int64), _keys(source - first - k)) for k in (-1.0, 0.0, 1.0, 2.0)
        ]
    source = np.maximum(source, 0.0)
    low = np.minimum(np.floor(source), n - 1)
    t = np.minimum(source - low, 1.0)
    return [(low.astype(np.int64), 1.0 - t), (np.minimum(low + 1, n - 1).astype(np.int64), t)]


def _keys(t: np.ndarray) -> np.ndarray:
    """Return Keys' cubic convolution kernel at distances t in [-2, 2]."""
    t = np.abs(t)
    near = ((CUBIC + 2) * t - (CUBIC + 3)) * t * t + 1
    far = ((CUBIC * t - 5 * CUBIC) * t + 8 * CUBIC) * t - 4 * CUBIC
    return np.where(t <= 1, near, far)


def _resampled(x: Tensor, axis: int, taps: list[tuple[np.ndarray, np.ndarray | None]]) -> Tensor:
    """Return the weighted sum of the taps along one axis."""
    behind = (1,) * (x.ndim - axis - 1)
    total: Any = None
    for index, weight in taps:
        part = take(x, constant(index), axis=axis)
        if weight is not None:
            part = part * constant(weight.astype(x.dtype.numpy).reshape(-1, *behind))
        total = part if total is None else total + part
    return total

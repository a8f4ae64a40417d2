"""Numbers on a good scale before training: standardisation, and pixels to [0, 1].

    standardised = (x - mean) / std,   mean and std of the training set only, computed in float64

`standardization` computes the two numbers (or one pair per channel or feature), `Standardize` applies them, `to_float`
scales pixels. All three take NumPy arrays and fit `DataLoader(transform=...)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.errors import DataError, DTypeError

__all__ = ["Standardize", "standardization", "to_float"]

_CHUNK = 1 << 21  # elements converted to float64 at a time: 16 MB, whatever the size of the data set


class Standardize:
    """Subtract the mean and divide by the standard deviation; the result is float32.

        y = (x - mean) / std

    Args:
        mean: number, or array that broadcasts with the data, such as [channels, 1, 1].
        std: number or array like mean, > 0.

    Call:
        x: array [batch, ...] of any numeric dtype  ->  float32 array of the broadcast shape.

    Raises:
        DataError: a std that is 0, negative or not finite.

    Example:
        >>> Standardize(mean=2.0, std=4.0)(np.array([2, 6, 10], dtype=np.uint8))
        array([0., 1., 2.], dtype=float32)
    """

    def __init__(self, mean: Any, std: Any):
        self.mean = np.asarray(mean, dtype=np.float64)
        self.std = np.asarray(std, dtype=np.float64)
        if not np.isfinite(self.mean).all():
            raise DataError(f"Standardize.mean must be finite; got {mean}.")
        if not (np.isfinite(self.std) & (self.std > 0)).all():
            bad = self.std[~(np.isfinite(self.std) & (self.std > 0))].flat[0]
            raise DataError(
                f"Standardize.std must be finite and > 0; got {bad}. "
                "A feature that never changes has the deviation 0: drop it, or give it std 1."
            )
        self._mean, self._std = self.mean.astype(np.float32), self.std.astype(np.float32)

    def __call__(self, x: Any) -> np.ndarray:
        y = np.subtract(x, self._mean, dtype=np.float32, casting="unsafe")
        return np.divide(y, self._std, out=y)

    def __repr__(self) -> str:
        return f"Standardize(mean={self.mean.tolist()}, std={self.std.tolist()})"


def standardization(data: Any, axis: int | tuple[int, ...] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of a training set, in float64 and in two passes.

        mean = sum(x) / n,   std = sqrt(sum((x - mean)^2) / n)

    Args:
        data: array [samples, ...], numeric.
        axis: axes to average over, with axis 0 among them: None (default) for one pair of numbers, 0 for one pair
            per feature, (0, 2, 3) for one per channel of [samples, channels, height, width].

    Returns:
        (mean, std), float64; the averaged axes keep size 1 except the first, so that both broadcast with a sample.

    Raises:
        DataError: no data, values that are not finite, or an axis that leaves out axis 0.

    Example:
        >>> mean, std = standardization(np.array([[1, 10], [3, 30]]), axis=0)
        >>> mean.tolist(), std.tolist()
        ([2.0, 20.0], [1.0, 10.0])
    """
    values = np.asarray(data)
    if values.ndim == 0 or values.size == 0:
        raise DataError(f"standardization needs at least one sample; got an array of shape {values.shape}.")
    chosen = tuple(range(values.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(sorted(a % values.ndim for a in chosen))
    if 0 not in axes:
        raise DataError(f"standardization averages over the samples, so axis must contain 0; got {axis}.")
    count = np.prod([values.shape[a] for a in axes])
    rows = max(1, _CHUNK * len(values) // values.size)
    pieces = [values[start : start + rows] for start in range(0, len(values), rows)]
    mean = sum(piece.sum(axis=axes, dtype=np.float64, keepdims=True) for piece in pieces) / count
    if not np.isfinite(mean).all():
        raise DataError("standardization needs finite values; the data holds NaN or infinity.")
    squares = sum(np.square(piece - mean).sum(axis=axes, keepdims=True) for piece in pieces)
    std = np.sqrt(squares / count)
    if axis is None:
        return mean.reshape(()), std.reshape(())
    return mean[0], std[0]


def to_float(x: Any) -> np.ndarray:
    """Return pixels as float32 in [0, 1].

        y = x / 255 for uint8;   floats and bool are converted as they are

    Args:
        x: array of uint8, bool or a float dtype, any shape.

    Returns:
        float32 array of the same shape.

    Raises:
        DTypeError: another dtype, whose largest value is not known.

    Example:
        >>> to_float(np.array([0, 51, 255], dtype=np.uint8))
        array([0. , 0.2, 1. ], dtype=float32)
    """
    values = np.asarray(x)
    if values.dtype == np.uint8:
        return np.divide(values, np.float32(255), dtype=np.float32)
    if values.dtype.kind in "fb" or values.dtype.name == "bfloat16":
        return values.astype(np.float32)
    raise DTypeError(f"to_float takes uint8, bool or floats; got {values.dtype}: divide by its largest value yourself.")

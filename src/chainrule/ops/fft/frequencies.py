"""The frequencies that belong to the places of a transform, and the order in which they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.dtypes import float32, to_dtype
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple, cast, check_device
from chainrule.ops.creation import arange
from chainrule.ops.fft._primitives import positive
from chainrule.ops.join import roll
from chainrule.ops.selection import where

__all__ = ["fftfreq", "rfftfreq", "fftshift", "ifftshift"]


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return the frequencies that belong to the places of `fft`, in cycles per unit of the sample spacing.

        y = (0, 1, ..., (n - 1) // 2, -(n // 2), ..., -1) / (n d)

    Args:
        n: how many, >= 1.
        d: distance of two samples; default 1.
        dtype: float type; default float32.
        device: None or "cpu".

    Returns:
        Tensor [n].

    Raises:
        ValueError: n below 1, or an unknown device.

    Example:
        >>> import chainrule as cr
        >>> cr.fft.fftfreq(4)
        tensor([ 0.  ,  0.25, -0.5 , -0.25], shape=(4,), dtype=float32)
    """
    check_device("fft.fftfreq", device)
    k = arange(positive("fft.fftfreq", n))
    k = where(k > (n - 1) // 2, k - n, k)
    return cast(k, float32 if dtype is None else to_dtype(dtype)) / (n * d)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return the frequencies that belong to the places of `rfft`, in cycles per unit of the sample spacing.

        y = (0, 1, ..., n // 2) / (n d)

    Args:
        n: how many real numbers are transformed, >= 1.
        d: distance of two samples; default 1.
        dtype: float type; default float32.
        device: None or "cpu".

    Returns:
        Tensor [n // 2 + 1].

    Raises:
        ValueError: n below 1, or an unknown device.

    Example:
        >>> import chainrule as cr
        >>> cr.fft.rfftfreq(4)
        tensor([0.  , 0.25, 0.5 ], shape=(3,), dtype=float32)
    """
    check_device("fft.rfftfreq", device)
    k = arange(positive("fft.rfftfreq", n) // 2 + 1)
    return cast(k, float32 if dtype is None else to_dtype(dtype)) / (n * d)


def fftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """Return x with the frequency 0 in the middle of the axes.

    Args:
        x: tensor, in the order of `fftfreq`.
        axes: the axes; default all.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.fft.fftshift(cr.fft.fftfreq(4))
        tensor([-0.5 , -0.25,  0.  ,  0.25], shape=(4,), dtype=float32)
    """
    x = as_tensor(x)
    chosen = axes_tuple(axes, x.ndim, "fft.fftshift")
    return roll(x, tuple(x.shape[a] // 2 for a in chosen), axis=chosen)


def ifftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """Return x with the frequency 0 from the middle of the axes back at their beginning: the inverse of `fftshift`.

    Args:
        x: tensor.
        axes: the axes; default all.

    Returns:
        Tensor of the same shape and dtype, in the order of `fftfreq`.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.fft.ifftshift(cr.asarray([-0.5, -0.25, 0.0, 0.25]))
        tensor([ 0.  ,  0.25, -0.5 , -0.25], shape=(4,), dtype=float32)
    """
    x = as_tensor(x)
    chosen = axes_tuple(axes, x.ndim, "fft.ifftshift")
    return roll(x, tuple(-(x.shape[a] // 2) for a in chosen), axis=chosen)

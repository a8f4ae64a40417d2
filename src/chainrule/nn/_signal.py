"""Convolution and cross-correlation of signals and pictures, each under its own name.

    cross_correlate     y[p] = sum over k of u[k] x[p + k]
    convolve            y[p] = sum over k of u[k] x[p - k]        the kernel is flipped: it commutes, x * u = u * x

What deep learning calls a convolution (`conv2d`, `Conv2d`) is the first; SciPy's `convolve2d` is the second.
"""

from __future__ import annotations

import math

from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import choice, refuse, tensor_input
from chainrule.ops import conv1d, conv2d, conv3d, flip, reshape
from chainrule.ops import pad as border

__all__ = ["convolve", "cross_correlate"]

_SLIDE = {1: conv1d, 2: conv2d, 3: conv3d}


def _slid(name: str, input: Tensor, kernel: Tensor, mode: str) -> Tensor:
    """Return the cross-correlation over the last axes, as many as the kernel has."""
    x, u = tensor_input(name, input), tensor_input(name, kernel, "kernel")
    choice(name, "mode", mode, ("valid", "same", "full"))
    n = u.ndim
    if n not in _SLIDE or x.ndim < n:
        raise refuse(
            ShapeError,
            f"{name}: the input is {x.shape} and the kernel {u.shape}; the kernel needs 1 to 3 axes, and the input at "
            "least as many.",
        )
    if x.dtype is not u.dtype:
        raise refuse(
            DTypeError,
            f"{name}: the input is {x.dtype.name} and the kernel {u.dtype.name}; convert one with .astype.",
        )
    widths = [(0, 0), (0, 0), *(_widths(mode, size) for size in u.shape)]
    lead = x.shape[: x.ndim - n]
    planes = border(reshape(x, (math.prod(lead), 1, *x.shape[x.ndim - n :])), widths)
    if any(size < k or not k for size, k in zip(planes.shape[2:], u.shape, strict=True)):
        raise refuse(
            ShapeError,
            f"{name}: the kernel {u.shape} does not fit into the input {x.shape}; use a smaller kernel, or "
            'mode="full".',
        )
    y = _SLIDE[n](planes, reshape(u, (1, 1, *u.shape)))
    return reshape(y, (*lead, *y.shape[2:]))


def _widths(mode: str, size: int) -> tuple[int, int]:
    """Return the zeros before and after an axis; "same" takes the middle of "full", as SciPy."""
    return {"valid": (0, 0), "same": (size // 2, (size - 1) // 2), "full": (size - 1, size - 1)}[mode]


def cross_correlate(input: Tensor, kernel: Tensor, mode: str = "valid") -> Tensor:
    """Return the cross-correlation of an input with a kernel: the kernel slides over it as it is.

        y[p] = sum over k of u[k] x[p + k]

    Args:
        input: real numeric tensor [..., *spatial]; each of the planes before the kernel's axes for itself.
        kernel: u, [*kernel] with 1 to 3 axes, of the same dtype.
        mode: "valid", windows inside the input alone; "same", zeros around it so that the output is as large (SciPy's
            choice of the middle for even kernels); "full", wherever kernel and input overlap; default "valid".

    Returns:
        Tensor [..., *sizes], n - k + 1, n or n + k - 1 per axis.

    Raises:
        ShapeError: a kernel with another number of axes, or larger than the input.
        DTypeError: two dtypes, or bool.
        ValueError: another mode.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]])
        >>> cr.nn.functional.cross_correlate(x, cr.asarray([[1, 4, 1], [1, 4, 3], [3, 3, 1]]))
        tensor([[122, 148],
                [126, 134]], shape=(2, 2), dtype=int64)
    """
    return _slid("cross_correlate", input, kernel, mode)


def convolve(input: Tensor, kernel: Tensor, mode: str = "valid") -> Tensor:
    """Return the convolution of an input with a kernel, as mathematics means it: the kernel is flipped.

        y[p] = sum over k of u[k] x[p - k]

    Args:
        input: real numeric tensor [..., *spatial]; each of the planes before the kernel's axes for itself.
        kernel: u, [*kernel] with 1 to 3 axes, of the same dtype.
        mode: "valid", windows inside the input alone; "same", zeros around it so that the output is as large (SciPy's
            choice of the middle for even kernels); "full", wherever kernel and input overlap; default "valid".

    Returns:
        Tensor [..., *sizes], n - k + 1, n or n + k - 1 per axis.

    Raises:
        ShapeError: a kernel with another number of axes, or larger than the input.
        DTypeError: two dtypes, or bool.
        ValueError: another mode.

    Example:
        >>> import chainrule as cr
        >>> convolve, cross_correlate = cr.nn.functional.convolve, cr.nn.functional.cross_correlate
        >>> x, u = cr.asarray([1.0, 2.0, 3.0]), cr.asarray([1.0, 0.0, -1.0])
        >>> convolve(x, u, mode="full").tolist(), cross_correlate(x, u, mode="full").tolist()
        ([1.0, 2.0, 2.0, -2.0, -3.0], [-1.0, -2.0, -2.0, 2.0, 3.0])
    """
    u = tensor_input("convolve", kernel, "kernel")
    return _slid("convolve", input, flip(u) if u.ndim else u, mode)

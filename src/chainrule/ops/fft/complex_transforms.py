"""Transforms of complex numbers, along one axis or several.

fft      y[k] = sum over j of x[j] e^(-2 pi i j k / n)
ifft     the same with + in the exponent, divided by n
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.tensor import Tensor
from chainrule.ops.fft._primitives import one, transform

__all__ = ["fft", "ifft", "fftn", "ifftn"]


def fft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Return the discrete Fourier transform along an axis.

        y[k] = sum over j of x[j] e^(-2 pi i j k / n)

    Args:
        x: float or complex tensor.
        n: size to which the axis is cut, or filled with zeros; default its own.
        axis: the axis; default -1.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Complex tensor with n elements on the axis.

    Raises:
        ValueError: n below 1, or an unknown norm.
        IndexRangeError: the axis does not exist.
        DTypeError: not a float or complex tensor.
        ShapeError: the axis has no elements.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.fft(cr.asarray([1.0, 0.0, -1.0, 0.0]))
        tensor([0.+0.j, 2.+0.j, 0.+0.j, 2.+0.j], shape=(4,), dtype=complex64)
    """
    return transform("fft.fft", x, one(n), [axis], norm, inverse=False)


def ifft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Return the inverse discrete Fourier transform along an axis.

        y[j] = 1 / n sum over k of x[k] e^(2 pi i j k / n)

    Args:
        x: float or complex tensor.
        n: size to which the axis is cut, or filled with zeros; default its own.
        axis: the axis; default -1.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Complex tensor with n elements on the axis.

    Raises:
        ValueError: n below 1, or an unknown norm.
        IndexRangeError: the axis does not exist.
        DTypeError: not a float or complex tensor.
        ShapeError: the axis has no elements.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.ifft(cr.asarray([0.0, 2.0, 0.0, 2.0]))
        tensor([ 1.+0.j,  0.+0.j, -1.+0.j,  0.+0.j], shape=(4,), dtype=complex64)
    """
    return transform("fft.ifft", x, one(n), [axis], norm, inverse=True)


def fftn(
    x: Tensor,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Tensor:
    """Return the discrete Fourier transform along several axes.

    Args:
        x: float or complex tensor.
        s: sizes to which the axes are cut, or filled with zeros; -1 for their own; default their own.
        axes: the axes; default all, or as many as s has sizes, the last ones.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Complex tensor.

    Raises:
        ValueError: a size below 1, or an unknown norm.
        IndexRangeError: an axis does not exist.
        DTypeError: not a float or complex tensor.
        ShapeError: an axis has no elements or stands twice, or s and axes differ in length.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.fftn(cr.ones((2, 2)))
        tensor([[4.+0.j, 0.+0.j],
                [0.+0.j, 0.+0.j]], shape=(2, 2), dtype=complex64)
    """
    return transform("fft.fftn", x, s, axes, norm, inverse=False)


def ifftn(
    x: Tensor,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Tensor:
    """Return the inverse discrete Fourier transform along several axes.

    Args:
        x: float or complex tensor.
        s: sizes to which the axes are cut, or filled with zeros; -1 for their own; default their own.
        axes: the axes; default all, or as many as s has sizes, the last ones.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Complex tensor.

    Raises:
        ValueError: a size below 1, or an unknown norm.
        IndexRangeError: an axis does not exist.
        DTypeError: not a float or complex tensor.
        ShapeError: an axis has no elements or stands twice, or s and axes differ in length.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.ifftn(cr.ones((2, 2)))
        tensor([[1.+0.j, 0.+0.j],
                [0.+0.j, 0.+0.j]], shape=(2, 2), dtype=complex64)
    """
    return transform("fft.ifftn", x, s, axes, norm, inverse=True)

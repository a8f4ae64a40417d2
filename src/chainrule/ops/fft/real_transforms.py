"""Transforms of real numbers, which leave out the half that is the conjugate of the other, and the ways back.

rfft, ihfft      real to complex: the first half of fft, of ifft
irfft, hfft      complex to real: the inverses of these
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor
from chainrule.ops.complex_parts import conj
from chainrule.ops.fft._primitives import one, other, to_real, transform_real

__all__ = ["rfft", "irfft", "rfftn", "irfftn", "hfft", "ihfft", "hfftn", "ihfftn"]


def rfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Return the discrete Fourier transform of real numbers along an axis: its first half.

        y[k] = fft(x)[k] for k <= n / 2;   the rest would be their conjugates

    Args:
        x: float tensor.
        n: size to which the axis is cut, or filled with zeros; default its own.
        axis: the axis; default -1.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Complex tensor with n // 2 + 1 elements on the axis.

    Raises:
        ValueError: n below 1, or an unknown norm.
        IndexRangeError: the axis does not exist.
        DTypeError: not a float tensor.
        ShapeError: the axis has no elements.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.rfft(cr.asarray([1.0, 0.0, -1.0, 0.0]))
        tensor([0.+0.j, 2.+0.j, 0.+0.j], shape=(3,), dtype=complex64)
    """
    return transform_real("fft.rfft", x, one(n), [axis], norm)


def irfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Return the real numbers whose transform begins with x, along an axis: the inverse of `rfft`.

    Args:
        x: complex or float tensor with n // 2 + 1 elements on the axis; others are cut, or filled with zeros.
        n: how many real numbers; default 2 (m - 1) for m elements on the axis.
        axis: the axis; default -1.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Float tensor with n elements on the axis.

    Raises:
        ValueError: n below 1, or an unknown norm.
        IndexRangeError: the axis does not exist.
        DTypeError: not a float or complex tensor.
        ShapeError: the axis has no elements.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.irfft(cr.asarray([0.0, 2.0, 0.0]))
        tensor([ 1.,  0., -1.,  0.], shape=(4,), dtype=float32)
    """
    return to_real("fft.irfft", x, one(n), [axis], norm)


def rfftn(
    x: Tensor,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Tensor:
    """Return the discrete Fourier transform of real numbers along several axes: its first half along the last of them.

    Args:
        x: float tensor.
        s: sizes to which the axes are cut, or filled with zeros; -1 for their own; default their own.
        axes: the axes; default all, or as many as s has sizes, the last ones.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Complex tensor; the last of the axes has n // 2 + 1 elements.

    Raises:
        ValueError: a size below 1, or an unknown norm.
        IndexRangeError: an axis does not exist.
        DTypeError: not a float tensor.
        ShapeError: an axis has no elements or stands twice, or s and axes differ in length.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.rfftn(cr.ones((2, 4))).shape
        (2, 3)
    """
    return transform_real("fft.rfftn", x, s, axes, norm)


def irfftn(
    x: Tensor,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Tensor:
    """Return the real numbers whose transform along several axes begins with x: the inverse of `rfftn`.

    Args:
        x: complex or float tensor.
        s: sizes of the result on the axes; -1 for their own; default those of x, and 2 (m - 1) on the last of the axes.
        axes: the axes; default all, or as many as s has sizes, the last ones.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Float tensor.

    Raises:
        ValueError: a size below 1, or an unknown norm.
        IndexRangeError: an axis does not exist.
        DTypeError: not a float or complex tensor.
        ShapeError: an axis has no elements or stands twice, or s and axes differ in length.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.irfftn(cr.fft.rfftn(cr.ones((2, 4)))).shape
        (2, 4)
    """
    return to_real("fft.irfftn", x, s, axes, norm)


def hfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Return the discrete Fourier transform, which is real, of numbers whose second half is the conjugate of the first.

    Args:
        x: complex or float tensor: the first half, n // 2 + 1 elements on the axis; others are cut, or filled with
            zeros.
        n: how many real numbers; default 2 (m - 1) for m elements on the axis.
        axis: the axis; default -1.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Float tensor with n elements on the axis.

    Raises:
        ValueError: n below 1, or an unknown norm.
        IndexRangeError: the axis does not exist.
        DTypeError: not a float or complex tensor.
        ShapeError: the axis has no elements.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.hfft(cr.asarray([0.0, 2.0, 0.0]))
        tensor([ 4.,  0., -4.,  0.], shape=(4,), dtype=float32)
    """
    return to_real("fft.hfft", conj(as_tensor(x)), one(n), [axis], other("fft.hfft", norm))


def ihfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Return the inverse discrete Fourier transform of real numbers along an axis: its first half.

    Args:
        x: float tensor.
        n: size to which the axis is cut, or filled with zeros; default its own.
        axis: the axis; default -1.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Complex tensor with n // 2 + 1 elements on the axis.

    Raises:
        ValueError: n below 1, or an unknown norm.
        IndexRangeError: the axis does not exist.
        DTypeError: not a float tensor.
        ShapeError: the axis has no elements.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.ihfft(cr.asarray([1.0, 0.0, -1.0, 0.0]))
        tensor([0. -0.j, 0.5-0.j, 0. -0.j], shape=(3,), dtype=complex64)
    """
    return conj(transform_real("fft.ihfft", x, one(n), [axis], other("fft.ihfft", norm)))


def hfftn(
    x: Tensor,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Tensor:
    """Return `hfft` along the last of several axes and `fft` along the others.

    Args:
        x: complex or float tensor.
        s: sizes of the result on the axes; -1 for their own; default those of x, and 2 (m - 1) on the last of the axes.
        axes: the axes; default all, or as many as s has sizes, the last ones.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Float tensor.

    Raises:
        ValueError: a size below 1, or an unknown norm.
        IndexRangeError: an axis does not exist.
        DTypeError: not a float or complex tensor.
        ShapeError: an axis has no elements or stands twice, or s and axes differ in length.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.hfftn(cr.ones((2, 3))).shape
        (2, 4)
    """
    return to_real("fft.hfftn", conj(as_tensor(x)), s, axes, other("fft.hfftn", norm))


def ihfftn(
    x: Tensor,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Tensor:
    """Return `ihfft` along the last of several axes and `ifft` along the others.

    Args:
        x: float tensor.
        s: sizes to which the axes are cut, or filled with zeros; -1 for their own; default their own.
        axes: the axes; default all, or as many as s has sizes, the last ones.
        norm: "backward" scales the inverse by 1 / n, "forward" the transform, "ortho" both by 1 / sqrt(n); default
            "backward".


    Returns:
        Complex tensor; the last of the axes has n // 2 + 1 elements.

    Raises:
        ValueError: a size below 1, or an unknown norm.
        IndexRangeError: an axis does not exist.
        DTypeError: not a float tensor.
        ShapeError: an axis has no elements or stands twice, or s and axes differ in length.


    Example:
        >>> import chainrule as cr
        >>> cr.fft.ihfftn(cr.ones((2, 4))).shape
        (2, 3)
    """
    return conj(transform_real("fft.ihfftn", x, s, axes, other("fft.ihfftn", norm)))

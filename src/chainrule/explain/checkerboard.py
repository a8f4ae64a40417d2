"""The checkerboard of transposed convolutions, counted and measured, beside resizing and then convolving.

A transposed convolution of stride s writes a window of k x k for every input pixel, s apart. Where s does not divide k
the windows overlap unevenly, and the output has a pattern of period s whatever the weights and the input are. Where s
divides k the overlap is even, but the s^2 places of the pattern still have weights of their own, so random or learned
weights can draw it. Resizing (nearest, bilinear) and then convolving gives every place the same weights.

    overlap_counts        how many windows cover each output pixel, by counting; measured_overlaps, by convolving ones
    stride_energy         the share of a picture's energy at the frequencies of the period s
    compare_upsampling    four ways to enlarge a picture, with that share for equal and for random weights

Source: Odena, Dumoulin, Olah, Deconvolution and Checkerboard Artifacts, Distill (2016), doi:10.23915/distill.00003.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn import functional
from chainrule.nn._checks import choice, integer
from chainrule.ops import asarray, ones

__all__ = [
    "Upsampling",
    "compare_upsampling",
    "measured_overlaps",
    "overlap_counts",
    "stride_energy",
    "upsample",
]

METHODS = ("transposed", "nearest", "bilinear")


def overlap_counts(size: int | tuple[int, int], kernel_size: int, stride: int, padding: int = 0) -> NDArray[np.int64]:
    """Return how many windows of a transposed convolution cover each pixel of its output.

        counts[i, j] = n[i] n[j],   n[i] = number of p in 0..size-1 with 0 <= i + padding - stride p < kernel_size

    Args:
        size: of the input: (height, width), or one number for both, >= 1.
        kernel_size: of the square kernel, >= 1.
        stride: step between the windows, >= 1.
        padding: rows and columns cut off at each side of the output, >= 0; default 0.

    Returns:
        int64 [stride (height - 1) + kernel_size - 2 padding, the same of the width].

    Raises:
        ValueError: a setting outside its range.
        ShapeError: the padding cuts off the whole output.

    Example:
        >>> overlap_counts((1, 3), 3, 2)[0]
        array([1, 1, 2, 1, 2, 1, 1])
        >>> overlap_counts((1, 3), 4, 2)[0]
        array([1, 1, 2, 2, 2, 2, 1, 1])
    """
    height, width = _size("overlap_counts", size)
    kernel_size, stride, padding = _settings("overlap_counts", kernel_size, stride, padding)
    rows, columns = (_counts(length, kernel_size, stride, padding) for length in (height, width))
    return np.outer(rows, columns)


def measured_overlaps(
    size: int | tuple[int, int], kernel_size: int, stride: int, padding: int = 0
) -> NDArray[np.int64]:
    """Return the same counts as `overlap_counts`, measured: a transposed convolution of ones with a kernel of ones.

    Args:
        size: of the input: (height, width), or one number for both, >= 1.
        kernel_size: of the square kernel, >= 1.
        stride: step between the windows, >= 1.
        padding: rows and columns cut off at each side of the output, >= 0; default 0.

    Returns:
        int64 [stride (height - 1) + kernel_size - 2 padding, the same of the width].

    Raises:
        ValueError: a setting outside its range.
        ShapeError: the padding cuts off the whole output.

    Example:
        >>> measured_overlaps((1, 3), 3, 2)[0]
        array([1, 1, 2, 1, 2, 1, 1])
    """
    height, width = _size("measured_overlaps", size)
    kernel_size, stride, padding = _settings("measured_overlaps", kernel_size, stride, padding)
    for length in (height, width):
        _output_length(length, kernel_size, stride, padding)
    x, w = ones((1, 1, height, width)), ones((1, 1, kernel_size, kernel_size))
    y = functional.conv_transpose2d(x, w, stride=stride, padding=padding)
    return np.rint(y.numpy()[0, 0]).astype(np.int64)


def stride_energy(picture: ArrayLike, stride: int) -> float:
    """Return the share of a picture's energy that lies at the frequencies of a pattern of a given period.

        share = sum |F[a n / stride, b m / stride]|^2 / sum |F|^2,   both without F[0, 0];  a, b in 0..stride-1

    F is the Fourier transform of the picture, cut to a multiple of the stride. By Parseval's theorem the numerator is
    the variance of the stride^2 means over the pixels of equal row and column modulo the stride.

    Args:
        picture: numbers [..., height, width], at least one period large; the energies of several planes are added.
        stride: period of the pattern in pixels, >= 2.

    Returns:
        From 0, no such pattern, to 1, nothing else. 0 for a constant picture.

    Raises:
        ValueError: stride below 2.
        ShapeError: the picture is smaller than one period.

    Example:
        >>> stride_energy(np.indices((8, 8)).sum(0) % 2, 2)
        1.0
        >>> stride_energy(np.arange(64.0).reshape(8, 8) // 16, 2)
        0.0
    """
    stride = integer("stride_energy", "stride", stride, 2)
    values = np.asarray(picture, np.float64)
    if values.ndim < 2 or min(values.shape[-2:]) < stride:
        raise ShapeError(
            f"stride_energy takes a picture [..., height, width] of at least {stride} x {stride} pixels; got "
            f"{values.shape}."
        )
    n, m = (length // stride for length in values.shape[-2:])
    values = values[..., : n * stride, : m * stride]
    scale = np.abs(values).max()
    values = values - values.mean(axis=(-2, -1), keepdims=True)
    energy = float(np.square(values).sum())
    if energy <= values.size * (1e-12 * scale) ** 2:  # a constant picture, up to rounding
        return 0.0
    spectrum = np.abs(np.fft.fft2(values)) ** 2  # [..., n stride, m stride]
    at_stride = float(spectrum[..., ::n, ::m].sum())  # without a mean, F[0, 0] is 0
    return at_stride / (energy * n * m * stride**2)


# --------------------------------------------------------------------------------------------- ways to enlarge
@dataclass(frozen=True)
class Upsampling:
    """One way to enlarge a picture, and what it did.

    Args:
        method: "transposed"; or "nearest" or "bilinear", which resize and then convolve.
        kernel_size: of the square kernel.
        stride: by how much the picture was enlarged.
        output: with random weights, float64 [channels, stride * height, stride * width].
        equal: share of energy at the stride with equal weights, from 0 to 1.
        random: the same with random weights, over all channels.

    Example:
        >>> compare_upsampling(np.eye(6))[0].title
        'transposed 3x3'
    """

    method: str
    kernel_size: int
    stride: int
    output: NDArray[np.float64] = field(repr=False)
    equal: float = 0.0
    random: float = 0.0

    @property
    def title(self) -> str:
        """Method and kernel in words."""
        size = f"{self.kernel_size}x{self.kernel_size}"
        return f"transposed {size}" if self.method == "transposed" else f"{self.method} + {size}"


def upsample(picture: ArrayLike, weights: ArrayLike, stride: int, method: str = "transposed") -> NDArray[np.float64]:
    """Return a picture enlarged by a convolution, the picture continued periodically.

        transposed            windows of weights, one per input pixel, `stride` apart, added up
        nearest, bilinear     the picture resized, then convolved (cross-correlated) with the weights

    The picture is continued at its borders by itself, so that no border adds a pattern of its own.

    Args:
        picture: numbers [channels, height, width], or [height, width].
        weights: numbers [out_channels, channels, k, k].
        stride: enlargement, >= 2.
        method: "transposed", "nearest" or "bilinear"; default "transposed".

    Returns:
        float64 [out_channels, stride * height, stride * width].

    Raises:
        ValueError: another method, or stride below 2.
        ShapeError: picture and weights do not fit together.

    Example:
        >>> upsample(np.ones((2, 2)), np.ones((1, 1, 3, 3)), 2)[0]
        array([[4., 2., 4., 2.],
               [2., 1., 2., 1.],
               [4., 2., 4., 2.],
               [2., 1., 2., 1.]])
        >>> upsample(np.ones((2, 2)), np.ones((1, 1, 3, 3)), 2, "nearest")[0, 0]
        array([9., 9., 9., 9.])
    """
    choice("upsample", "method", method, METHODS)
    stride = integer("upsample", "stride", stride, 2)
    x, w = np.asarray(picture, np.float64), np.asarray(weights, np.float64)
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or w.ndim != 4 or w.shape[1] != len(x) or w.shape[2] != w.shape[3] or 0 in x.shape + w.shape:
        raise ShapeError(
            f"upsample takes a picture [channels, height, width] and weights [out_channels, channels, k, k]; got "
            f"{x.shape} and {w.shape}."
        )
    height, width, k = *x.shape[1:], w.shape[2]
    border = -(-k // stride) + 1  # input pixels that the output's first and last windows reach beyond the picture
    wide = _periodic(x, border)  # [1, channels, height + 2 border, width + 2 border]
    if method == "transposed":
        y = functional.conv_transpose2d(wide, asarray(w.swapaxes(0, 1).copy()), stride=stride)
        start = border * stride + (k - stride) // 2 if k >= stride else border * stride
        return y.numpy()[0][:, start : start + stride * height, start : start + stride * width].copy()
    settings = {} if method == "nearest" else {"align_corners": False}
    large = functional.interpolate(wide, scale_factor=stride, mode=method, **settings)
    first, more = border * stride - (k - 1) // 2, k - 1
    large = large[:, :, first : first + stride * height + more, first : first + stride * width + more]
    return functional.conv2d(large, asarray(w)).numpy()[0].copy()


def compare_upsampling(
    picture: ArrayLike, stride: int = 2, kernel_size: int = 3, channels: int = 16, seed: int = 0
) -> list[Upsampling]:
    """Return four ways to enlarge a picture, with the share of energy each puts at the stride's frequencies.

        transposed, kernel_size    transposed, 2 stride: even overlap    nearest, and bilinear, + kernel_size

    Args:
        picture: numbers >= 0, as the features behind a relu are: [channels, height, width] or [height, width].
        stride: enlargement, >= 2; default 2.
        kernel_size: of the square kernels, but for the second way, >= 1; default 3. One that the stride divides
            overlaps evenly.
        channels: random kernels to average over, >= 1; default 16.
        seed: of the random kernels, normal with mean 0; default 0.

    Returns:
        Four `Upsampling`, in this order.

    Raises:
        ValueError: a setting outside its range.
        ShapeError: the picture has another number of axes.

    Example:
        >>> ways = compare_upsampling(np.eye(8), channels=4)
        >>> [way.title for way in ways]
        ['transposed 3x3', 'transposed 4x4', 'nearest + 3x3', 'bilinear + 3x3']
        >>> [way.equal > 1e-9 for way in ways]
        [True, False, False, False]

    Source: Odena, Dumoulin, Olah, Distill (2016).
    """
    stride = integer("compare_upsampling", "stride", stride, 2)
    kernel_size = integer("compare_upsampling", "kernel_size", kernel_size)
    channels = integer("compare_upsampling", "channels", channels)
    x = np.asarray(picture, np.float64)
    depth = len(x) if x.ndim == 3 else 1
    ways = []
    for method, k in (
        ("transposed", kernel_size),
        ("transposed", 2 * stride),
        ("nearest", kernel_size),
        ("bilinear", kernel_size),
    ):
        drawn = np.random.default_rng(seed).normal(size=(channels, depth, k, k)) / np.sqrt(depth * k**2)
        output = upsample(x, drawn, stride, method)
        level = upsample(x, np.ones((1, depth, k, k)), stride, method)
        shares = stride_energy(level, stride), stride_energy(output, stride)
        ways.append(Upsampling(method, k, stride, output, *shares))
    return ways


# ---------------------------------------------------------------------------------------------------- helpers
def _counts(length: int, kernel_size: int, stride: int, padding: int) -> NDArray[np.int64]:
    """Return how many of `length` windows cover each output pixel of one axis."""
    i = np.arange(_output_length(length, kernel_size, stride, padding)) + padding
    last = np.minimum(i // stride, length - 1)  # the last window that begins at or before i
    first = np.maximum(-((kernel_size - 1 - i) // stride), 0)  # the first that ends at or after i
    return np.maximum(last - first + 1, 0)


def _output_length(length: int, kernel_size: int, stride: int, padding: int) -> int:
    size = stride * (length - 1) + kernel_size - 2 * padding
    if size < 1:
        raise ShapeError(
            f"a transposed convolution of {length} pixels with kernel_size={kernel_size}, stride={stride} and "
            f"padding={padding} has no output: {stride} * {length - 1} + {kernel_size} - 2 * {padding} = {size}; use "
            "less padding."
        )
    return size


def _size(owner: str, size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return integer(owner, "size", height), integer(owner, "size", width)


def _settings(owner: str, kernel_size: int, stride: int, padding: int) -> tuple[int, int, int]:
    return (
        integer(owner, "kernel_size", kernel_size),
        integer(owner, "stride", stride),
        integer(owner, "padding", padding, 0),
    )


def _periodic(x: NDArray[np.float64], border: int) -> Tensor:
    """Return [1, channels, ...] with a border that continues the picture, also where it is smaller than the border."""
    height, width = x.shape[1:]
    rows, columns = (np.arange(-border, length + border) % length for length in (height, width))
    return asarray(np.ascontiguousarray(x[:, rows[:, None], columns][None]))

"""Small kernels that people designed, and what they make of a picture: blur, gradients, edges, lines.

    gaussian                   the local mean: blur
    sobel, prewitt             the first derivative along x or y: edges
    laplacian, line            the second derivative: spots and thin lines
    sharpen                    the picture plus what a blur takes away
    apply_kernel               a picture and a kernel -> a picture, by cross-correlation or true convolution
    picture_gradient           both derivatives, the edge's magnitude and its direction
    gaussian_blur              a blur by rows, then by columns
    gray                       luminance of a colour picture

x grows to the right and y downwards, as in a picture's array [height, width]. Kernels are float64 arrays, written as
`apply_kernel` and `Conv2d` apply them, by cross-correlation: `sobel("x")` is positive where it gets brighter to the
right. True convolution turns a kernel by half a turn, which changes the sign of the odd ones (sobel, prewitt) and
nothing in the others.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn import functional
from chainrule.nn._checks import choice, integer, number
from chainrule.ops import asarray
from chainrule.ops import pad as border_of

__all__ = [
    "PictureGradient",
    "apply_kernel",
    "gaussian",
    "gaussian_1d",
    "gaussian_blur",
    "gray",
    "laplacian",
    "line",
    "picture_gradient",
    "prewitt",
    "sharpen",
    "sobel",
]

Floats = NDArray[np.float64]
Picture = TypeVar("Picture", Tensor, NDArray)

BORDERS = ("reflect", "replicate", "circular", "constant", "valid")
LUMINANCE = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601, as Pillow's mode L and JPEG
LINES = {
    "horizontal": [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]],
    "vertical": [[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]],
    "rising": [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]],  # from the lower left to the upper right: /
    "falling": [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]],  # \
}


# ---------------------------------------------------------------------------------------------------- the kernels
def gaussian_1d(sigma: float, size: int | None = None) -> Floats:
    """Return a sampled Gaussian whose elements sum to 1.

        g[i] = exp(-(i - c)^2 / (2 sigma^2)) / sum,   c = (size - 1) / 2

    Args:
        sigma: standard deviation in pixels, > 0.
        size: number of elements, odd; default 2 ceil(3 sigma) + 1, which leaves out less than 0.3 % of the area.

    Returns:
        float64 [size].

    Raises:
        ValueError: sigma or size outside its range.

    Example:
        >>> gaussian_1d(1.0, 3).round(3)
        array([0.274, 0.452, 0.274])
    """
    sigma = number("gaussian", "sigma", sigma, 0, ends="(]")
    size = 2 * math.ceil(3 * sigma) + 1 if size is None else _odd("gaussian", size)
    offsets = np.arange(size) - (size - 1) / 2
    values = np.exp(-(offsets**2) / (2 * sigma**2))
    return values / values.sum()


def gaussian(sigma: float, size: int | None = None) -> Floats:
    """Return the kernel of a Gaussian blur; it is separable: a blur of the rows, then of the columns, is the same.

        g2[i, j] = g[i] g[j]

    Args:
        sigma: standard deviation in pixels, > 0.
        size: height and width, odd; default 2 ceil(3 sigma) + 1.

    Returns:
        float64 [size, size] with sum 1.

    Raises:
        ValueError: sigma or size outside its range.

    Example:
        >>> gaussian(1.0).shape
        (7, 7)
    """
    row = gaussian_1d(sigma, size)
    return np.outer(row, row)


def sobel(axis: str) -> Floats:
    """Return Sobel's derivative: a difference along one axis, smoothed along the other with 1 2 1.

        -1 0 1          -1 -2 -1
        -2 0 2           0  0  0
        -1 0 1  "x"      1  2  1  "y";   a ramp of slope 1 gives 8

    Args:
        axis: "x", positive where it gets brighter to the right; or "y", downwards.

    Returns:
        float64 [3, 3].

    Raises:
        ValueError: another axis.

    Example:
        >>> sobel("x")[1]
        array([-2.,  0.,  2.])

    Source: Sobel and Feldman, A 3x3 isotropic gradient operator for image processing, Stanford (1968).
    """
    return _derivative("sobel", axis, [1.0, 2.0, 1.0])


def prewitt(axis: str) -> Floats:
    """Return Prewitt's derivative, like Sobel's but smoothed with 1 1 1; a ramp of slope 1 gives 6.

    Args:
        axis: "x", positive where it gets brighter to the right; or "y", downwards.

    Returns:
        float64 [3, 3].

    Raises:
        ValueError: another axis.

    Example:
        >>> prewitt("y")[2]
        array([1., 1., 1.])

    Source: Prewitt, Object enhancement and extraction, in Picture Processing and Psychopictorics (1970).
    """
    return _derivative("prewitt", axis, [1.0, 1.0, 1.0])


def laplacian(neighbours: int = 4) -> Floats:
    """Return the discrete Laplacian: the sum of the neighbours minus as many times the pixel.

        0  1 0          1  1 1
        1 -4 1          1 -8 1
        0  1 0  4       1  1 1  8

    Args:
        neighbours: 4, those along the axes, or 8, the diagonal ones too; default 4.

    Returns:
        float64 [3, 3] with sum 0.

    Raises:
        ValueError: another number.

    Example:
        >>> laplacian()[1]
        array([ 1., -4.,  1.])

    Source: Gonzalez and Woods, Digital Image Processing, 4th ed. (2018), section 3.6.
    """
    if neighbours not in (4, 8):
        raise ValueError(f"laplacian.neighbours must be 4 or 8; got {neighbours!r}.")
    kernel = np.ones((3, 3)) if neighbours == 8 else np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])
    kernel[1, 1] = -neighbours
    return kernel


def line(direction: str) -> Floats:
    """Return the detector of bright lines, one pixel wide, that run in a direction.

        -1 -1 -1        -1 2 -1        -1 -1  2         2 -1 -1
         2  2  2        -1 2 -1        -1  2 -1        -1  2 -1
        -1 -1 -1        -1 2 -1         2 -1 -1        -1 -1  2
        horizontal      vertical       rising          falling

    Args:
        direction: "horizontal", "vertical", "rising" (/) or "falling" (\\).

    Returns:
        float64 [3, 3] with sum 0.

    Raises:
        ValueError: another direction.

    Example:
        >>> line("vertical")[0]
        array([-1.,  2., -1.])

    Source: Gonzalez and Woods, Digital Image Processing, 4th ed. (2018), section 10.2.
    """
    return np.array(LINES[choice("line", "direction", direction, tuple(LINES))], float)


def sharpen(amount: float = 1.0) -> Floats:
    """Return a kernel that adds to each pixel what sets it apart from its four neighbours.

        picture - amount * laplacian(picture)

    Args:
        amount: strength, >= 0; 0 changes nothing; default 1.

    Returns:
        float64 [3, 3] with sum 1.

    Raises:
        ValueError: amount is negative.

    Example:
        >>> sharpen()[1]
        array([-1.,  5., -1.])

    Source: Gonzalez and Woods, Digital Image Processing, 4th ed. (2018), section 3.6.
    """
    kernel = -number("sharpen", "amount", amount, 0) * laplacian()
    kernel[1, 1] += 1
    return kernel + 0.0  # no negative zeros


# -------------------------------------------------------------------------------------------- applying a kernel
def apply_kernel(picture: Picture, kernel: ArrayLike, *, border: str = "reflect", flip: bool = False) -> Picture:
    """Return the picture that a kernel makes of a picture, of the same size.

        y[p] = sum over k of kernel[k] x[p + k - centre]        flip=True: x[p - k + centre], true convolution

    Args:
        picture: [..., height, width], array or tensor; each plane (colour) for itself. Integers become float64.
        kernel: [height, width], odd sizes; any sizes with border="valid".
        border: what lies outside of the picture: "reflect", "replicate", "circular", "constant" (zeros), or "valid",
            which gives only the places where the kernel fits inside; default "reflect".
        flip: turn the kernel by half a turn, as convolution means it in mathematics; default False.

    Returns:
        Array or tensor, as the picture; a tensor records its gradient.

    Raises:
        ShapeError: a kernel that has no middle or is too large, or fewer than two axes.
        DTypeError: complex numbers.
        ValueError: another border.

    Example:
        >>> apply_kernel(np.array([[0, 0, 9, 9]]), [[-1, 0, 1]])
        array([[0., 9., 9., 0.]])
    """
    choice("apply_kernel", "border", border, BORDERS)
    weights, given = np.asarray(kernel, np.float64), picture if isinstance(picture, Tensor) else np.asarray(picture)
    if weights.ndim != 2 or given.ndim < 2:
        raise ShapeError(
            f"apply_kernel takes a picture [..., height, width] and a kernel [height, width]; got {given.shape} and "
            f"{weights.shape}."
        )
    if border != "valid" and not all(size % 2 for size in weights.shape):
        raise ShapeError(
            f"apply_kernel: the kernel {weights.shape} has no middle; give one of odd sizes, or border='valid'."
        )
    x = _as_float(given)
    if border != "valid":
        reach = [(0, 0)] * (x.ndim - 2) + [(size // 2, size // 2) for size in weights.shape]
        x = border_of(x, reach, mode=border)
    slide = functional.convolve if flip else functional.cross_correlate
    y = slide(x, asarray(weights, dtype=x.dtype), mode="valid")
    return y if isinstance(picture, Tensor) else y.numpy().copy()


def gaussian_blur(picture: Picture, sigma: float, *, border: str = "reflect") -> Picture:
    """Return the picture blurred by a Gaussian: by rows, then by columns, which is less work than in the plane.

    Args:
        picture: [..., height, width], array or tensor; each plane (colour) for itself.
        sigma: standard deviation in pixels, > 0.
        border: as in `apply_kernel`; default "reflect".

    Returns:
        Array or tensor, as the picture.

    Example:
        >>> gaussian_blur([[0, 0, 1, 0, 0]], 0.5, border="constant").round(3)
        array([[0.   , 0.084, 0.619, 0.084, 0.   ]])
    """
    row = gaussian_1d(sigma)
    return apply_kernel(apply_kernel(picture, row[None, :], border=border), row[:, None], border=border)


class PictureGradient(NamedTuple):
    """What the derivatives of a picture say about its edges.

    Attributes:
        x: derivative to the right, float [height, width].
        y: derivative downwards, float [height, width].
        magnitude: sqrt(x^2 + y^2), how strong the edge is.
        direction: atan2(y, x) in radians, from -pi to pi: where it gets brighter; 0 to the right, pi / 2 downwards.

    Example:
        >>> picture_gradient(np.eye(3)).direction.shape
        (3, 3)
    """

    x: NDArray
    y: NDArray
    magnitude: NDArray
    direction: NDArray


def picture_gradient(picture: ArrayLike, *, kind: str = "sobel", border: str = "reflect") -> PictureGradient:
    """Return the derivatives of a grey picture, with magnitude and direction of its edges.

        magnitude = sqrt(gx^2 + gy^2),   direction = atan2(gy, gx)

    Args:
        picture: numbers [height, width].
        kind: "sobel" or "prewitt"; default "sobel".
        border: as in `apply_kernel`; default "reflect".

    Returns:
        `PictureGradient`: x, y, magnitude, direction.

    Raises:
        ShapeError: the picture has more or fewer than two axes.
        ValueError: another kind or border.

    Example:
        >>> edges = picture_gradient([[0, 0, 9], [0, 0, 9], [0, 0, 9]], border="valid")
        >>> edges.magnitude, edges.direction
        (array([[36.]]), array([[0.]]))
    """
    derivative = {"sobel": sobel, "prewitt": prewitt}[choice("picture_gradient", "kind", kind, ("sobel", "prewitt"))]
    values = np.asarray(picture)
    if values.ndim != 2:
        raise ShapeError(
            f"picture_gradient takes a grey picture [height, width]; got {values.shape}: use gray() for colours."
        )
    x, y = (apply_kernel(values, derivative(axis), border=border) for axis in "xy")
    return PictureGradient(x, y, np.hypot(x, y), np.arctan2(y, x))


def gray(picture: ArrayLike) -> Floats:
    """Return the luminance of a colour picture.

        0.299 red + 0.587 green + 0.114 blue

    Args:
        picture: numbers [3, height, width] in the order red, green, blue; or [1, height, width] or [height, width],
            which are grey already.

    Returns:
        float64 [height, width] in the unit of the picture.

    Raises:
        ShapeError: another shape.

    Example:
        >>> gray([[[255]], [[0]], [[0]]])
        array([[76.245]])

    Source: ITU-R BT.601-7 (2011).
    """
    values = np.asarray(picture, np.float64)
    if values.ndim == 2:
        return values
    if values.ndim != 3 or len(values) not in (1, 3):
        raise ShapeError(f"gray takes a picture [3, height, width] or [1, height, width]; got {values.shape}.")
    return values[0] if len(values) == 1 else np.tensordot(LUMINANCE, values, axes=1)


def _derivative(name: str, axis: str, smooth: list[float]) -> Floats:
    choice(name, "axis", axis, ("x", "y"))
    kernel = np.outer(smooth, [-1.0, 0.0, 1.0])
    return (kernel if axis == "x" else kernel.T) + 0.0


def _odd(name: str, size: int) -> int:
    if integer(name, "size", size) % 2 == 0:
        raise ValueError(f"{name}.size must be odd, so that the kernel has a middle; got {size}.")
    return size


def _as_float(picture: Tensor | NDArray) -> Tensor:
    """Return the picture as a float tensor; floats keep their dtype."""
    x = picture if isinstance(picture, Tensor) else asarray(picture)
    if x.dtype.is_complex:
        raise DTypeError(f"apply_kernel takes real numbers; got {x.dtype.name}: filter real and imaginary part.")
    return x if x.dtype.is_float else x.astype("float64")

"""Arrays as pictures: shades for values, red and blue for signs, and PNG bytes that a page can hold.

A picture here is a uint8 array [height, width] (shades), [height, width, 3] (red, green, blue) or
[height, width, 4] (and opacity). `gray_picture` and `signed_picture` make one from numbers, `grid` puts many
into one, `to_png` and `data_uri` turn it into bytes and into text. Pillow is imported when the first PNG is made.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from chainrule.core.errors import DataError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["NEGATIVE", "POSITIVE", "data_uri", "gray_picture", "grid", "signed_picture", "symmetric_scale", "to_png"]

POSITIVE = (214, 45, 32)  # red, in all pictures and drawings of weights and gradients
NEGATIVE = (38, 105, 201)  # blue


def gray_picture(values: ArrayLike, *, low: float | None = None, high: float | None = None) -> NDArray[np.uint8]:
    """Turn an array of values into shades, the lowest black and the highest white.

        shade = round(255 * (value - low) / (high - low)), kept in 0..255

    Args:
        values: finite numbers [height, width].
        low: the value that becomes black; default the smallest.
        high: the value that becomes white; default the largest. Where all values are equal the picture is black.

    Returns:
        uint8 [height, width].

    Raises:
        ShapeError: values is not two-dimensional or is empty.
        DataError: a value is NaN or infinite.

    Example:
        >>> gray_picture([[0.0, 0.5, 1.0]])
        array([[  0, 128, 255]], dtype=uint8)
    """
    values = _matrix("gray_picture", values)
    low = float(values.min()) if low is None else float(low)
    high = float(values.max()) if high is None else float(high)
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    return np.rint(255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)


def symmetric_scale(values: ArrayLike) -> float:
    """Return the number that gets the full colour when positive and negative values share one scale.

        scale = max |value|, or 1 where all values are 0

    Args:
        values: finite numbers, any shape, not empty.

    Returns:
        A float > 0.

    Raises:
        ShapeError: there are no values.
        DataError: a value is NaN or infinite.

    Example:
        >>> symmetric_scale([-0.5, 0.25])
        0.5
    """
    values = _finite("symmetric_scale", np.asarray(values, np.float64))
    return float(np.abs(values).max()) or 1.0


def signed_picture(weights: ArrayLike, *, scale: float | None = None, transparent: bool = False) -> NDArray[np.uint8]:
    """Turn signed numbers into colours: positive red, negative blue, zero the paper.

        strength = min(1, |weight| / scale);  the colour is mixed with the paper in this share

    Args:
        weights: finite numbers [height, width].
        scale: the absolute value that gets the full colour, > 0; default the largest in `weights`. Pictures that are
            to be compared must be given one common scale.
        transparent: write the strength as opacity, so that any page shows through; default False, white paper.

    Returns:
        uint8 [height, width, 3], or [height, width, 4] with `transparent=True`.

    Raises:
        ShapeError: weights is not two-dimensional or is empty.
        DataError: a weight is NaN or infinite, or scale is not a number above 0.

    Example:
        >>> signed_picture([[-1.0, 0.0, 1.0]])[0].tolist()
        [[38, 105, 201], [255, 255, 255], [214, 45, 32]]
    """
    weights = _matrix("signed_picture", weights)
    scale = symmetric_scale(weights) if scale is None else float(scale)
    if not (math.isfinite(scale) and scale > 0):
        raise DataError(f"signed_picture.scale must be a finite number above 0; got {scale:g}.")
    strength = np.clip(np.abs(weights) / scale, 0, 1)[..., None]  # [height, width, 1]
    colour = np.where(weights[..., None] > 0, np.array(POSITIVE, float), np.array(NEGATIVE, float))
    if transparent:
        return np.concatenate([colour, np.rint(255 * strength)], axis=-1).astype(np.uint8)
    return np.rint(255 + strength * (colour - 255)).astype(np.uint8)


def grid(
    pictures: Sequence[ArrayLike], *, columns: int | None = None, gap: int = 1, background: int = 255
) -> NDArray[np.uint8]:
    """Put pictures of one size into one, row by row.

    Args:
        pictures: uint8 pictures of one shape, at least one.
        columns: pictures per row, >= 1; default as square as it goes.
        gap: pixels between neighbours, >= 0; default 1.
        background: value of the gap and of empty places, 0..255; default 255, white.

    Returns:
        uint8 [rows * (height + gap) - gap, columns * (width + gap) - gap], with the colours of the pictures.

    Raises:
        ShapeError: there is no picture, or two differ in shape.
        DataError: a picture is not uint8, or columns, gap or background is out of range.

    Example:
        >>> grid([[[0]], [[7]], [[9]]], columns=2, gap=0).tolist()
        [[0, 7], [9, 255]]
    """
    stack = [_small_integers(picture) for picture in pictures]
    if not stack:
        raise ShapeError("grid needs at least one picture; got an empty list.")
    for index, picture in enumerate(stack):
        _check_picture("grid", picture)
        if picture.shape != stack[0].shape:
            raise ShapeError(
                f"grid: picture 0 is {stack[0].shape} and picture {index} is {picture.shape}; "
                "all pictures must have one shape: resize or pad them first."
            )
    columns = math.ceil(math.sqrt(len(stack))) if columns is None else columns
    _check_setting("columns", columns, 1, None)
    _check_setting("gap", gap, 0, None)
    _check_setting("background", background, 0, 255)
    height, width = stack[0].shape[:2]
    rows = math.ceil(len(stack) / columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, *stack[0].shape[2:])
    whole = np.full(size, background, np.uint8)
    for index, picture in enumerate(stack):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        whole[top : top + height, left : left + width] = picture
    return whole


def to_png(picture: ArrayLike) -> bytes:
    """Write a picture as PNG, the same bytes for the same picture.

    Args:
        picture: uint8 [height, width] (shades), [height, width, 3] (RGB) or [height, width, 4] (RGB and opacity).

    Returns:
        The bytes of a PNG file.

    Raises:
        ShapeError: the shape is none of the three, or the picture is empty.
        DataError: the picture is not uint8.

    Example:
        >>> to_png(np.zeros((2, 3), np.uint8))[1:4]
        b'PNG'
    """
    from PIL import Image

    picture = np.asarray(picture)
    _check_picture("to_png", picture)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def data_uri(png: bytes) -> str:
    """Return PNG bytes as an address that holds the picture itself, for `<img src=...>`.

    Args:
        png: the bytes of a PNG file.

    Returns:
        "data:image/png;base64,..." in ASCII.

    Raises:
        DataError: the bytes do not begin as a PNG file does.

    Example:
        >>> data_uri(to_png(np.zeros((1, 1), np.uint8)))[:22]
        'data:image/png;base64,'
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        raise DataError(f"data_uri takes the bytes of a PNG file; got bytes that begin {png[:8]!r}: use to_png first.")
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _check_setting(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        bounds = f">= {low}" if high is None else f"from {low} to {high}"
        raise DataError(f"grid.{name} must be an integer {bounds}; got {value}.")


def _small_integers(picture: ArrayLike) -> NDArray:
    """Return the picture as an array; nested lists of integers 0..255 become uint8, arrays keep their dtype."""
    array = np.asarray(picture)
    if hasattr(picture, "dtype") or array.dtype.kind != "i" or not array.size:
        return array
    return array.astype(np.uint8) if 0 <= array.min() <= array.max() < 256 else array


def _check_picture(name: str, picture: NDArray) -> None:
    if picture.dtype != np.uint8:
        raise DataError(
            f"{name} takes pictures of dtype uint8; got {picture.dtype}: "
            "use gray_picture for values, signed_picture for weights."
        )
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] not in (3, 4)) or not picture.size:
        raise ShapeError(
            f"{name} takes pictures [height, width], [height, width, 3] or [height, width, 4]; got {picture.shape}."
        )


def _matrix(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or not array.size:
        raise ShapeError(f"{name} takes one picture [height, width] of at least one pixel; got shape {array.shape}.")
    return _finite(name, array)


def _finite(name: str, array: NDArray[np.float64]) -> NDArray[np.float64]:
    if not array.size:
        raise ShapeError(f"{name} needs at least one value; got shape {array.shape}.")
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(f"{name} takes finite numbers; the value at {first} is {array[first]}: find its cause first.")
    return array

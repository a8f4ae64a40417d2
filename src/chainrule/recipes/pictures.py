"""A picture of one handwritten digit, as a user has it, made into what MNIST's networks know.

    any size and colour -> grey -> light ink on dark paper -> crop to the ink -> 20 x 20 box -> its centre of mass in
    the centre of 28 x 28

That is how MNIST itself was made from NIST's forms; a picture that is already like that stays as it is.

Source: LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86 (1998), section III A, and the description of the data set.
"""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass

import numpy as np

from chainrule.core.errors import DataError
from chainrule.data.folder import as_array, open_picture

__all__ = ["Digit", "prepare_digit", "read_digit", "read_small"]

SIDE, BOX, SMALL = 28, 20, 32  # pixels
MOST_PIXELS = 50_000_000
LEAST_CONTRAST = 24  # of 255; below it there is paper and noise, and no ink
INK = 0.25  # share of the greatest ink above which a pixel belongs to the digit


@dataclass(frozen=True)
class Digit:
    """A digit ready for a network of MNIST.

    Args:
        pixels: uint8 [28, 28], 0 paper, 255 ink; for CIFAR-10 [3, 32, 32].
        note: what was done to the picture, in words.
    """

    pixels: np.ndarray
    note: str


def read_digit(path: str | os.PathLike[str]) -> Digit:
    """Read a picture file of one handwritten digit.

    Args:
        path: PNG, JPEG or another file that Pillow reads.

    Returns:
        The digit as MNIST has it.

    Raises:
        DataError: no such file, no picture, a truncated one, or one without a digit.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> page = np.full((100, 80), 250, np.uint8)
        >>> page[20:80, 38:46] = 10
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "one.png"
        >>> Image.fromarray(page).save(path)
        >>> read_digit(path).note
        '80 x 100, dark on light: inverted, cropped and centred'
    """
    from PIL import Image, UnidentifiedImageError

    path = pathlib.Path(path)
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(
                    f"{path} is too large: {picture.width} x {picture.height} pixels; "
                    f"at most {MOST_PIXELS // 10**6} million. Scale it down."
                )
            grey = _grey(picture)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {path}; check the name and the folder.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; give the picture itself.") from None
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise DataError(f"{path} is no picture that can be read; give a PNG or JPEG of one digit.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is a damaged picture: {error}.") from None
    try:
        return prepare_digit(grey)
    except DataError as error:
        raise DataError(f"{path}: {error.message}") from None


def read_small(path: str | os.PathLike[str]) -> Digit:
    """Read a picture file for a network of CIFAR-10: its middle square, scaled to 32 x 32, in colour.

    Args:
        path: PNG, JPEG or another file that Pillow reads.

    Returns:
        Pixels uint8 [3, 32, 32], and what was done to the picture.

    Raises:
        DataError: no such file, no picture, or a truncated one.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "sky.png"
        >>> Image.new("RGB", (80, 60), "skyblue").save(path)
        >>> read_small(path).note
        '80 x 60: cropped and scaled to 32 x 32'
    """
    from PIL import Image, ImageOps

    picture = open_picture(path).convert("RGB")
    if picture.size == (SMALL, SMALL):
        return Digit(as_array(picture), f"{SMALL} x {SMALL}: taken as it is")
    fitted = ImageOps.fit(picture, (SMALL, SMALL), Image.Resampling.BILINEAR)
    return Digit(as_array(fitted), f"{picture.width} x {picture.height}: cropped and scaled to {SMALL} x {SMALL}")


def prepare_digit(grey: np.ndarray) -> Digit:
    """Make a grey picture of one digit into what MNIST has: light ink in a 20 x 20 box, centred in 28 x 28.

    Args:
        grey: brightness [height, width], 0 to 255, dark ink on light paper or the other way round.

    Returns:
        The digit, and what was done to the picture.

    Raises:
        DataError: there is no ink: all pixels are nearly equally bright.

    Example:
        >>> page = np.zeros((28, 28), np.uint8)
        >>> page[4:24, 12:16] = 255
        >>> digit = prepare_digit(page)
        >>> digit.note, bool((digit.pixels == page).all())
        ('28 x 28, light on dark: taken as it is', True)
    """
    height, width = grey.shape
    size = f"{width} x {height}"
    values = grey.astype(np.float64)
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    paper = float(np.median(edge))
    dark = paper - values.min() > values.max() - paper  # most of the contrast lies below the paper: dark ink
    ink = np.clip(paper - values if dark else values - paper, 0, None)
    if ink.max() < LEAST_CONTRAST:
        raise DataError(
            f"there is no digit in the picture: its pixels differ from the paper by at most {ink.max():.0f} of 255. "
            "Write with a thick dark pen on light paper, one digit per picture."
        )
    upright = np.rint(ink).astype(np.uint8)
    if paper in (0, 255) and _is_like_mnist(upright):
        return Digit(upright, f"{size}, {'dark on light: inverted' if dark else 'light on dark: taken as it is'}")
    ink[ink < INK * ink.max()] = 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cropped = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    pixels = _centred(_resized(cropped * (255 / ink.max())))
    return Digit(pixels, f"{size}, {'dark on light: inverted, ' if dark else 'light on dark: '}cropped and centred")


def _grey(picture: object) -> np.ndarray:
    """Return the brightness of a Pillow picture; what is transparent shows white paper, or black under white ink."""
    from PIL import Image, ImageOps

    assert isinstance(picture, Image.Image)
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I", "I;16", "I;16B", "F"):
        values = np.asarray(upright, np.float64)
        span = float(values.max() - values.min()) or 1.0
        top = 65535.0 if upright.mode != "F" and values.min() >= 0 and values.max() > 255 else 255.0
        inside = values.min() >= 0 and values.max() <= top
        return values * (255.0 / top) if inside else (values - values.min()) * (255.0 / span)
    if upright.has_transparency_data:
        coloured = np.asarray(upright.convert("RGBA"), np.float64)
        share = coloured[..., 3] / 255
        light = np.asarray(upright.convert("RGBA").convert("RGB").convert("L"), np.float64)
        opaque = light[share > 0.5]
        backing = 0.0 if opaque.size and opaque.mean() > 127 and share.min() < 0.5 else 255.0
        return light * share + backing * (1 - share)
    return np.asarray(upright.convert("L"), np.float64)


def _is_like_mnist(grey: np.ndarray) -> bool:
    """Return whether the picture is 28 x 28 with its ink in a 20 x 20 box around the centre."""
    if grey.shape != (SIDE, SIDE):
        return False
    rows, columns = np.nonzero(grey > 0)
    tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    total = grey.sum()
    middle = (SIDE - 1) / 2
    down = abs((grey.sum(axis=1) * np.arange(SIDE)).sum() / total - middle)
    across = abs((grey.sum(axis=0) * np.arange(SIDE)).sum() / total - middle)
    return bool(max(tall, wide) <= BOX and max(down, across) <= 1.5)


def _resized(ink: np.ndarray) -> np.ndarray:
    """Return the ink scaled to fit the box, keeping its proportions, smoothed as a scanner would."""
    from PIL import Image

    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.LANCZOS)
    return np.clip(np.asarray(small), 0, 255)


def _centred(ink: np.ndarray) -> np.ndarray:
    """Return uint8 [28, 28] with the centre of mass of the ink in the middle, as far as it fits."""
    height, width = ink.shape
    total = ink.sum()
    middle = (SIDE - 1) / 2
    top = round(middle - (ink.sum(axis=1) * np.arange(height)).sum() / total)
    left = round(middle - (ink.sum(axis=0) * np.arange(width)).sum() / total)
    top, left = min(max(top, 0), SIDE - height), min(max(left, 0), SIDE - width)
    result = np.zeros((SIDE, SIDE))
    result[top : top + height, left : left + width] = ink
    return np.rint(result).astype(np.uint8)

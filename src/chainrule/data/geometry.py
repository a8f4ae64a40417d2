"""Transforms that move pixels: flips, shifts, padded random crops, rotation, zoom.

    flips, shifts, crops    y[i, j] = x[row[i], column[j]]         whole positions: pixels are moved, never mixed
    rotation, zoom          y[p] = bilinear(x, c + A (p - c))      c the centre of the picture, A per sample

What comes from outside of the picture is `fill`, or with padding_mode "reflect" and "replicate" the picture itself.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from chainrule.core.errors import ShapeError, nearest
from chainrule.data.augment import Transform, number, per_picture, whole
from chainrule.data.keyed import Draws

__all__ = [
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomShift",
    "RandomVerticalFlip",
    "RandomZoom",
]

PADDINGS = ("constant", "reflect", "replicate")
Padding = Literal["constant", "reflect", "replicate"]
# Taylor's series of cosine and sine up to x^18 and x^17, highest power first: below 3e-8 wrong for |x| <= pi. Written
# out, because the cosine of a library differs from machine to machine in the last bit.
_COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(9, -1, -1))
_SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(8, -1, -1))


# ---------------------------------------------------------------------------------------------------- flips
class _Flip(Transform):
    axis = -1

    def __init__(self, p: float = 0.5):
        self.p = number(self, "p", p, 0.0, 1.0)

    def apply(self, x: Any, draws: Draws) -> Any:
        (u,) = draws.units(1)
        return draws.xp.where(per_picture(draws.xp, u < self.p), draws.xp.flip(x, axis=self.axis), x)


class RandomHorizontalFlip(_Flip):
    """Mirror left and right with probability p.

        y[i, j] = x[i, width - 1 - j]

    Args:
        p: probability, in [0, 1]; default 0.5.

    Raises:
        ValueError: p outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.array([[[[0.0, 1.0]]]], np.float32)
        >>> Augment([RandomHorizontalFlip(1.0)])(x, np.zeros(1), np.arange(1))[0].tolist()
        [[[[1.0, 0.0]]]]
    """


class RandomVerticalFlip(_Flip):
    """Mirror top and bottom with probability p.

        y[i, j] = x[height - 1 - i, j]

    Args:
        p: probability, in [0, 1]; default 0.5.

    Raises:
        ValueError: p outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.array([[[[0.0], [1.0]]]], np.float32)
        >>> Augment([RandomVerticalFlip(1.0)])(x, np.zeros(1), np.arange(1))[0].tolist()
        [[[[1.0], [0.0]]]]
    """

    axis = -2


# ---------------------------------------------------------------------------------------------------- whole pixels
class RandomShift(Transform):
    """Move the picture by a whole number of pixels, evenly drawn in each direction.

        y[i, j] = x[i + a, j + b],   a, b in [-pixels, pixels]

    Args:
        pixels: greatest shift, >= 0; default 4.
        padding_mode: what comes in: "constant" (`fill`), "reflect" or "replicate"; default "constant".
        fill: value of what comes in; default 0.0, black.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.ones((1, 1, 4, 4), np.float32)
        >>> Augment([RandomShift(1)])(x, np.zeros(1), np.arange(1))[0].shape
        (1, 1, 4, 4)
    """

    def __init__(self, pixels: int = 4, padding_mode: Padding = "constant", fill: float = 0.0):
        self.pixels = whole(self, "pixels", pixels, 0)
        self.padding_mode, self.fill = _padding(self, padding_mode), float(fill)

    def apply(self, x: Any, draws: Draws) -> Any:
        return _cropped(self, x, draws, self.pixels, x.shape[2], x.shape[3])


class RandomCrop(Transform):
    """Cut a window at a random place out of the padded picture.

        y[i, j] = padded[i + a, j + b],   a in [0, height + 2 padding - size],  b likewise

    Args:
        size: height and width of the window in pixels; 0, the default, keeps those of the picture.
        padding: pixels added on each side before, >= 0; default 4.
        padding_mode: with what: "constant" (`fill`), "reflect" or "replicate"; default "constant".
        fill: value of constant padding; default 0.0, black.

    Raises:
        ValueError: a setting outside its range.
        ShapeError: a window larger than the padded picture, when called.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.ones((1, 3, 32, 32), np.float32)
        >>> Augment([RandomCrop(28, padding=0)])(x, np.zeros(1), np.arange(1))[0].shape
        (1, 3, 28, 28)

    Source: He et al., CVPR 2016, section 4.2: 4 pixels on each side of CIFAR's pictures, then a window of 32.
    """

    def __init__(self, size: int = 0, padding: int = 4, padding_mode: Padding = "constant", fill: float = 0.0):
        self.size, self.padding = whole(self, "size", size, 0), whole(self, "padding", padding, 0)
        self.padding_mode, self.fill = _padding(self, padding_mode), float(fill)

    def apply(self, x: Any, draws: Draws) -> Any:
        return _cropped(self, x, draws, self.padding, self.size or x.shape[2], self.size or x.shape[3])


def _padding(owner: Transform, mode: str) -> str:
    if mode not in PADDINGS:
        hint = nearest(mode, PADDINGS) if isinstance(mode, str) else ""
        listed = ", ".join(map(repr, PADDINGS))
        raise ValueError(f"{type(owner).__name__}.padding_mode must be one of {listed}; got {mode!r}{hint or '.'}")
    return mode


def _cropped(owner: Any, x: Any, draws: Draws, padding: int, height: int, width: int) -> Any:
    """Return windows [batch, channels, height, width] at random places of the padded pictures."""
    xp, sides = draws.xp, []
    if height > x.shape[2] + 2 * padding or width > x.shape[3] + 2 * padding:
        raise ShapeError(
            f"{owner!r} got pictures of {x.shape[2]} x {x.shape[3]} pixels; with the padding they are smaller than "
            f"the window of {height} x {width}."
        )
    for u, out, inside in zip(draws.units(2), (height, width), x.shape[2:], strict=True):
        start = xp.floor(u * float(inside + 2 * padding - out + 1)).astype(xp.int64) - padding  # [batch]
        sides.append(xp.reshape(start, (-1, 1)) + xp.asarray(np.arange(out)))  # [batch, out]
    return picked(xp, x, sides[0], sides[1], owner.padding_mode, owner.fill)


def picked(xp: Any, x: Any, rows: Any, columns: Any, padding_mode: str, fill: float) -> Any:
    """Return pixels at whole positions, which may lie outside of the picture.

    Args:
        xp: namespace of the arrays.
        x: pictures [batch, channels, height, width].
        rows: int64 [batch, out height].
        columns: int64 [batch, out width].
        padding_mode: "constant", "reflect" or "replicate".
        fill: value outside, for "constant".
    """
    batch, channels, height, width = x.shape
    r, c = _within(xp, rows, height, padding_mode), _within(xp, columns, width, padding_mode)
    out = (rows.shape[1], columns.shape[1])
    place = xp.reshape(r, (batch, -1, 1)) * width + xp.reshape(c, (batch, 1, -1))  # [batch, *out]
    y = xp.take_along_axis(
        xp.reshape(x, (batch, channels, height * width)), xp.reshape(place, (batch, 1, -1)), axis=2
    )  # [batch, channels, pixels]
    y = xp.reshape(y, (batch, channels, *out))
    if padding_mode != "constant":
        return y
    inside = xp.reshape(r == rows, (batch, 1, -1, 1)) & xp.reshape(c == columns, (batch, 1, 1, -1))
    return xp.where(inside, y, xp.asarray(np.float32(fill)))


def _within(xp: Any, position: Any, size: int, padding_mode: str) -> Any:
    """Return positions moved into [0, size - 1]: mirrored at the outermost pixels, or to the nearest one."""
    if padding_mode == "reflect" and size > 1:
        turn = position % (2 * size - 2)
        return xp.where(turn < size, turn, (2 * size - 2) - turn)
    return xp.clip(position, 0, size - 1)


# ---------------------------------------------------------------------------------------------------- between pixels
class RandomRotation(Transform):
    """Turn the picture about its centre by an angle evenly drawn from [-degrees, degrees].

        y[p] = x[c + R(-angle) (p - c)], bilinear

    Args:
        degrees: greatest angle, in [0, 180]; default 15.
        fill: value of what comes from outside; default 0.0, black.

    Raises:
        ValueError: degrees outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.ones((1, 1, 5, 5), np.float32)
        >>> float(Augment([RandomRotation(90)])(x, np.zeros(1), np.arange(1))[0][0, 0, 2, 2])
        1.0
    """

    def __init__(self, degrees: float = 15.0, fill: float = 0.0):
        self.degrees, self.fill = number(self, "degrees", degrees, 0.0, 180.0), float(fill)

    def apply(self, x: Any, draws: Draws) -> Any:
        xp = draws.xp
        (u,) = draws.units(1)
        angle = (u.astype(xp.float64) * 2.0 - 1.0) * (self.degrees * math.pi / 180.0)
        square = angle * angle
        cosine = _horner(_COSINE, square).astype(xp.float32)
        sine = (_horner(_SINE, square) * angle).astype(xp.float32)
        return _resampled(xp, x, ((cosine, -sine), (sine, cosine)), self.fill)


class RandomZoom(Transform):
    """Enlarge or shrink the picture about its centre by a factor evenly drawn from [low, high].

        y[p] = x[c + (p - c) / factor], bilinear

    Args:
        low: least factor, > 0; below 1 the picture shrinks; default 0.9.
        high: greatest factor, >= low; default 1.1.
        fill: value of what comes from outside; default 0.0, black.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.ones((1, 1, 5, 5), np.float32)
        >>> bool(Augment([RandomZoom(2.0, 2.0)])(x, np.zeros(1), np.arange(1))[0].min() == 1.0)
        True
    """

    def __init__(self, low: float = 0.9, high: float = 1.1, fill: float = 0.0):
        self.low = number(self, "low", low, 0.01)
        self.high, self.fill = number(self, "high", high, self.low), float(fill)

    def apply(self, x: Any, draws: Draws) -> Any:
        (u,) = draws.units(1)
        step = 1.0 / (u * (self.high - self.low) + self.low)
        return _resampled(draws.xp, x, ((step, None), (None, step)), self.fill)


def _horner(coefficients: tuple[float, ...], x: Any) -> Any:
    y = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        y = y * x + coefficient
    return y


def _resampled(xp: Any, x: Any, matrix: Any, fill: float) -> Any:
    """Return pictures read at c + A (p - c), bilinear; `matrix` has rows (down, across) of [batch], None for 0."""
    batch, channels, height, width = x.shape
    down = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    across = np.arange(width, dtype=np.float32)[None] - np.float32((width - 1) / 2)
    offsets = [xp.asarray(np.ascontiguousarray(np.broadcast_to(o, (height, width)))) for o in (down, across)]
    flat = xp.reshape(x, (batch, channels, height * width))
    taps = []
    for row, size in zip(matrix, (height, width), strict=True):
        parts = [xp.reshape(f, (-1, 1, 1)) * o for f, o in zip(row, offsets, strict=True) if f is not None]
        position = (parts[0] if len(parts) == 1 else parts[0] + parts[1]) + (size - 1) / 2  # [batch, height, width]
        low = xp.floor(position)
        taps.append([(low, 1.0 - (position - low)), (low + 1.0, position - low)])
    y = None
    for r, weight_r in taps[0]:
        for c, weight_c in taps[1]:
            inside = (r >= 0.0) & (r <= height - 1.0) & (c >= 0.0) & (c <= width - 1.0)
            place = xp.clip(r, 0.0, height - 1.0) * float(width) + xp.clip(c, 0.0, width - 1.0)
            found = xp.take_along_axis(flat, xp.reshape(place.astype(xp.int64), (batch, 1, -1)), axis=2)
            value = xp.where(xp.reshape(inside, (batch, 1, -1)), found, xp.asarray(np.float32(fill))) * xp.reshape(
                weight_r * weight_c, (batch, 1, -1)
            )  # [batch, channels, pixels]
            y = value if y is None else y + value
    return xp.reshape(y, x.shape)

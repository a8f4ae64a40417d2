"""Transforms that change values where they are: contrast, brightness, noise, cutout, and normalisation.

brightness   y = clip(f x, 0, 1)                       f, drawn per picture, around 1
contrast     y = clip(m + f (x - m), 0, 1)             m the mean grey of the picture
noise        y = clip(x + std z, 0, 1)                 z normal, per value
cutout       y = fill in a square, x elsewhere
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import ShapeError
from chainrule.data.augment import Transform, number, per_picture, whole
from chainrule.data.keyed import Draws

__all__ = ["Cutout", "GaussianNoise", "Normalize", "RandomBrightness", "RandomContrast"]

GREY = (0.299, 0.587, 0.114)  # brightness of red, green and blue (ITU-R BT.601)


class RandomBrightness(Transform):
    """Multiply a picture by a factor evenly drawn from [1 - strength, 1 + strength].

        y = clip(f x, 0, 1)

    Args:
        strength: in [0, 1]; default 0.2.

    Raises:
        ValueError: strength outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.full((1, 1, 1, 1), 0.5, np.float32)
        >>> 0.25 <= float(Augment([RandomBrightness(0.5)])(x, np.zeros(1), np.arange(1))[0][0, 0, 0, 0]) <= 0.75
        True
    """

    def __init__(self, strength: float = 0.2):
        self.strength = number(self, "strength", strength, 0.0, 1.0)

    def apply(self, x: Any, draws: Draws) -> Any:
        return draws.xp.clip(x * _factor(draws, self.strength), 0.0, 1.0)


class RandomContrast(Transform):
    """Scale the distances from the picture's mean grey by a factor evenly drawn from [1 - strength, 1 + strength].

        y = clip(m + f (x - m), 0, 1)

    Args:
        strength: in [0, 1]; default 0.2.

    Raises:
        ValueError: strength outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.full((1, 1, 2, 2), 0.5, np.float32)
        >>> float(Augment([RandomContrast(1.0)])(x, np.zeros(1), np.arange(1))[0].max())
        0.5
    """

    def __init__(self, strength: float = 0.2):
        self.strength = number(self, "strength", strength, 0.0, 1.0)

    def apply(self, x: Any, draws: Draws) -> Any:
        xp = draws.xp
        grey = x
        if x.shape[1] == len(GREY):
            weights = xp.asarray(np.asarray(GREY, np.float32).reshape(1, -1, 1, 1))
            grey = xp.sum(x * weights, axis=1, keepdims=True)
        middle = xp.mean(grey, axis=(1, 2, 3), keepdims=True)
        return xp.clip(middle + _factor(draws, self.strength) * (x - middle), 0.0, 1.0)


def _factor(draws: Draws, strength: float) -> Any:
    (u,) = draws.units(1)
    return per_picture(draws.xp, (u * 2.0 - 1.0) * strength + 1.0)


class GaussianNoise(Transform):
    """Add normal noise to each value.

        y = clip(x + std z, 0, 1)

    Args:
        std: standard deviation of the noise, of values from 0 to 1, >= 0; default 0.05.

    Raises:
        ValueError: std outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.full((1, 1, 20, 20), 0.5, np.float32)
        >>> 0.04 < float(Augment([GaussianNoise(0.05)])(x, np.zeros(1), np.arange(1))[0].std()) < 0.06
        True
    """

    def __init__(self, std: float = 0.05):
        self.std = number(self, "std", std, 0.0)

    def apply(self, x: Any, draws: Draws) -> Any:
        z = draws.xp.reshape(draws.normal(int(np.prod(x.shape[1:]))), x.shape)
        return draws.xp.clip(x + z * self.std, 0.0, 1.0)


class Cutout(Transform):
    """Fill a square around a random pixel; what would lie outside of the picture is cut off.

    Args:
        size: side of the square in pixels, >= 1; default 8.
        fill: value in the square; default 0.0, black. After `Normalize`, 0 is the mean colour.
        p: probability that a picture gets one, in [0, 1]; default 1.0.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.ones((1, 1, 8, 8), np.float32)
        >>> 4 <= int((Augment([Cutout(4)])(x, np.zeros(1), np.arange(1))[0] == 0).sum()) <= 16
        True

    Source: DeVries, Taylor, arXiv 1708.04552 (2017).
    """

    def __init__(self, size: int = 8, fill: float = 0.0, p: float = 1.0):
        self.size, self.fill, self.p = whole(self, "size", size, 1), float(fill), number(self, "p", p, 0.0, 1.0)

    def apply(self, x: Any, draws: Draws) -> Any:
        xp = draws.xp
        *places, u = draws.units(3)
        inside = per_picture(xp, u < self.p)
        for place, side, shape in zip(places, x.shape[2:], ((1, 1, -1, 1), (1, 1, 1, -1)), strict=True):
            start = per_picture(xp, xp.floor(place * float(side)).astype(xp.int64) - self.size // 2)
            pixels = xp.asarray(np.arange(side).reshape(shape))
            inside = inside & (pixels >= start) & (pixels < start + self.size)
        return xp.where(inside, xp.asarray(np.float32(self.fill)), x)


class Normalize(Transform):
    """Subtract a mean and divide by a standard deviation, per channel; nothing is random.

        y[c] = (x[c] - mean[c]) / std[c]

    Args:
        mean: one number per channel, of values from 0 to 1.
        std: one number per channel, > 0.

    Raises:
        ValueError: numbers that are not finite, a std that is not positive, or unequal counts.
        ShapeError: pictures with another number of channels, when called.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.full((1, 1, 1, 1), 0.75, np.float32)
        >>> float(Augment([Normalize([0.5], [0.125])])(x, np.zeros(1), np.arange(1))[0][0, 0, 0, 0])
        2.0
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        values = np.asarray(self.mean + self.std)
        if len(self.mean) != len(self.std) or not np.isfinite(values).all() or min(self.std, default=0.0) <= 0.0:
            raise ValueError(
                "Normalize.mean and Normalize.std must be as many finite numbers, one per channel, and each std > 0; "
                f"got {self.mean} and {self.std}."
            )

    def apply(self, x: Any, draws: Draws) -> Any:
        if x.shape[1] != len(self.mean):
            raise ShapeError(
                f"Normalize has {len(self.mean)} means and the pictures have {x.shape[1]} channels; "
                "it needs one mean and one std per channel."
            )
        shape = (1, -1, 1, 1)
        mean, std = (draws.xp.asarray(np.asarray(v, np.float32).reshape(shape)) for v in (self.mean, self.std))
        return (x - mean) / std

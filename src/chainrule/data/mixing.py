"""Transforms that mix two samples of a batch, pictures and labels: mixup and cutmix.

    mixup     x' = l x + (1 - l) x_partner,               y' = l y + (1 - l) y_partner,    l ~ Beta(alpha, alpha)
    cutmix    x' = x_partner in a rectangle, else x,      l the share of the picture outside of the rectangle

The weight, the place of the rectangle and the number that decides who is whose partner belong to the sample. Partners
are those next to each other when the batch is sorted by that number, in a ring: so they depend on which samples share a
batch, and not on their order in it. Labels become distributions [batch, classes], as `CrossEntropyLoss` takes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.data.augment import Transform, number, per_picture
from chainrule.data.keyed import Draws

__all__ = ["CutMix", "MixUp"]

STEPS = 4096  # intervals of the table from evenly drawn numbers to those of the beta distribution


class _Mixer(Transform):
    mixes = True

    def __init__(self, alpha: float, p: float):
        self.alpha, self.p = number(self, "alpha", alpha, 0.01), number(self, "p", p, 0.0, 1.0)
        self._table = beta_quantiles(self.alpha)

    def _weight(self, xp: Any, u: Any) -> Any:
        """Return numbers of the beta distribution for evenly drawn ones [batch], along straight lines of the table."""
        scaled = u * float(STEPS)
        low = xp.floor(scaled)
        place, table = low.astype(xp.int64), xp.asarray(self._table)
        left, right = xp.take(table, place, axis=0), xp.take(table, place + 1, axis=0)
        return left + (scaled - low) * (right - left)


class MixUp(_Mixer):
    """Blend each picture, and its label, with those of another sample of the batch.

        x' = l x + (1 - l) x_partner,   y' = l y + (1 - l) y_partner,   l ~ Beta(alpha, alpha)

    Args:
        alpha: of the beta distribution, >= 0.01; small values blend little; default 0.2.
        p: probability that a sample is blended, in [0, 1]; default 1.0.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.zeros((2, 1, 1, 1), np.float32)
        >>> _, y = Augment([MixUp()], classes=3)(x, np.array([0, 2]), np.arange(2))
        >>> y.shape, bool(np.allclose(y.sum(axis=1), 1))
        ((2, 3), True)

    Source: Zhang et al., ICLR 2018; there one weight per batch.
    """

    def __init__(self, alpha: float = 0.2, p: float = 1.0):
        super().__init__(alpha, p)

    def mix(self, x: Any, y: Any, draws: Draws) -> tuple[Any, Any]:
        xp, (u, chance) = draws.xp, draws.units(2)
        other = partners(xp, draws.order())
        share = xp.where(chance < self.p, self._weight(xp, u), xp.asarray(np.float32(1)))
        w, v = per_picture(xp, share), xp.reshape(share, (-1, 1))
        x = x * w + xp.take(x, other, axis=0) * (1.0 - w)
        return x, y * v + xp.take(y, other, axis=0) * (1.0 - v)


class CutMix(_Mixer):
    """Put a rectangle of another sample of the batch into each picture; labels are weighted by area.

        sides = sqrt(1 - l) of the picture's,   l ~ Beta(alpha, alpha);   y' = s y + (1 - s) y_partner,  s the rest

    Args:
        alpha: of the beta distribution, >= 0.01; default 1.0, evenly drawn.
        p: probability that a sample is mixed, in [0, 1]; default 1.0.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> from chainrule.data import Augment
        >>> x = np.stack([np.zeros((1, 4, 4)), np.ones((1, 4, 4))]).astype(np.float32)
        >>> x, y = Augment([CutMix()], classes=2)(x, np.array([0, 1]), np.arange(2))
        >>> bool(np.allclose(x.mean(axis=(1, 2, 3)), y[:, 1]))
        True

    Source: Yun et al., ICCV 2019; there one rectangle per batch.
    """

    def __init__(self, alpha: float = 1.0, p: float = 1.0):
        super().__init__(alpha, p)

    def mix(self, x: Any, y: Any, draws: Draws) -> tuple[Any, Any]:
        xp, (u, chance, *places) = draws.xp, draws.units(4)
        other = partners(xp, draws.order())
        ratio = xp.sqrt(1.0 - self._weight(xp, u))  # [batch]
        inside, area = per_picture(xp, chance < self.p), None
        for place, side, shape in zip(places, x.shape[2:], ((1, 1, -1, 1), (1, 1, 1, -1)), strict=True):
            half = xp.floor(ratio * float(side)) * 0.5
            centre = xp.floor(place * float(side))
            start, end = (xp.clip(xp.floor(e), 0.0, float(side)) for e in (centre - half, centre + half))
            pixels = xp.asarray(np.arange(side, dtype=np.float32).reshape(shape))
            inside = inside & (pixels >= per_picture(xp, start)) & (pixels < per_picture(xp, end))
            area = (end - start) if area is None else area * (end - start)
        assert area is not None
        share = xp.where(chance < self.p, 1.0 - area / float(x.shape[2] * x.shape[3]), xp.asarray(np.float32(1)))
        v = xp.reshape(share, (-1, 1))
        return xp.where(inside, xp.take(x, other, axis=0), x), y * v + xp.take(y, other, axis=0) * (1.0 - v)


def partners(xp: Any, numbers: Any) -> Any:
    """Return for each sample the position of its partner: the next one in the ring sorted by `numbers`.

    Args:
        xp: namespace of the arrays.
        numbers: uint64 [batch].

    Returns:
        int64 [batch].

    Example:
        >>> partners(np, np.array([30, 10, 20], np.uint64)).tolist()
        [1, 2, 0]
    """
    order = xp.argsort(numbers, axis=-1, stable=True)
    rank = xp.argsort(order, axis=-1, stable=True)  # the inverse permutation
    return xp.take(order, (rank + 1) % numbers.shape[0], axis=0)


def beta_quantiles(alpha: float) -> np.ndarray:
    """Return the quantiles of Beta(alpha, alpha) at k / 4096 for k = 0 .. 4096, and the last once more.

    The lower half comes from the integral over s = x^alpha, in which the density (1 - x)^(alpha - 1) has no pole; the
    upper half is its mirror image.

    Args:
        alpha: of the distribution, > 0.

    Returns:
        float32 [4098].

    Example:
        >>> bool(np.allclose(beta_quantiles(1.0)[:-1], np.arange(4097) / 4096, atol=1e-6))
        True
    """
    x = np.linspace(0.0, 0.5, 1 << 15) ** max(1.0, 1.0 / alpha) * 0.5 ** (1.0 - max(1.0, 1.0 / alpha))
    s = x**alpha
    density = (1.0 - x) ** (alpha - 1.0)
    integral = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) * 0.5 * np.diff(s))])
    lower = np.interp(np.arange(STEPS // 2 + 1) / STEPS, integral / (2.0 * integral[-1]), x)
    both = np.concatenate([lower, 1.0 - lower[-2::-1]])
    return np.append(both, both[-1:]).astype(np.float32)

"""How raw pixels become a network's input: scaled, perhaps given an axis of channels, in training perhaps augmented.

The same `Scale` serves arrays and tensors, inside of a compiled step too; a run keeps its numbers in run.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.core.dtypes import float32
from chainrule.core.tensor import Tensor
from chainrule.data import Augment, Normalize, Standardize, Transform, standardization
from chainrule.ops import asarray, astype, expand_dims

__all__ = ["Scale", "augmented", "measured"]

Numbers = float | tuple[float, ...]


@dataclass(frozen=True)
class Scale:
    """How raw pixels become the network's input: (x - mean) / std, in float32; of a tensor, inside a compiled step too.

    Args:
        mean: subtracted from each pixel, 0 to 255; one number, or one per channel.
        std: divides each pixel, > 0; as many.
        channel: pictures [batch, height, width] become [batch, 1, height, width]; default False.
    """

    mean: Numbers
    std: Numbers
    channel: bool = False

    def __call__(self, pixels: Any) -> Any:
        mean, std = (self._shaped(numbers) for numbers in (self.mean, self.std))
        if isinstance(pixels, Tensor):
            if self.channel and pixels.ndim == 3:
                pixels = expand_dims(pixels, axis=1)
            tensors = (asarray(v) if isinstance(v, np.ndarray) else v for v in (mean, std))
            return (astype(pixels, float32) - next(tensors)) / next(tensors)
        if self.channel and pixels.ndim == 3:
            pixels = pixels[:, None]
        return Standardize(mean, std)(pixels)

    def facts(self) -> dict[str, Any]:
        """Return mean and std as JSON holds them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (("mean", self.mean), ("std", self.std))
        }

    @classmethod
    def of(cls, facts: dict[str, Any], channel: bool) -> Scale:
        """Return the scale of what `facts` gave.

        Args:
            facts: mean and std.
            channel: as in the constructor.

        Raises:
            KeyError, TypeError, ValueError: they are not there, or no numbers.
        """
        mean, std = (
            tuple(map(float, value)) if isinstance(value, list) else float(value)
            for value in (facts["mean"], facts["std"])
        )
        return cls(mean, std, channel)

    @staticmethod
    def _shaped(numbers: Numbers) -> Any:
        return np.asarray(numbers, np.float32).reshape(-1, 1, 1) if isinstance(numbers, tuple) else numbers


def measured(images: np.ndarray, channel: bool) -> Scale:
    """Return the scale that gives pictures mean 0 and deviation 1, per channel where they have channels.

    Args:
        images: raw [n, height, width] or [n, channels, height, width].
        channel: as in `Scale`.
    """
    if images.ndim == 3:
        mean, std = standardization(images)
        return Scale(float(mean), float(std), channel)
    means, stds = standardization(images, axis=(0, 2, 3))
    return Scale(tuple(map(float, means.ravel())), tuple(map(float, stds.ravel())), channel)


def augmented(
    transforms: Sequence[Transform], scale: Scale, channels: int, seed: int, classes: int, *, scaled: bool
) -> Augment:
    """Return a pipeline that ends with the network's input, or with raw pixels where somebody else scales them.

    Args:
        transforms: what changes pictures.
        scale: from pixels to inputs.
        channels: of a picture.
        seed: of the changes.
        classes: number of classes.
        scaled: whether to end with the input; else with pixels from 0 to 255.
    """
    mean, std = (np.broadcast_to(np.asarray(v, np.float64) / 255.0, (channels,)) for v in (scale.mean, scale.std))
    if not scaled:
        mean, std = np.zeros(channels), np.full(channels, 1.0 / 255.0)
    return Augment([*transforms, Normalize(mean.tolist(), std.tolist())], seed, classes)

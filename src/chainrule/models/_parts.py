"""What the architectures share: initial values of large weights, the two stems, a Sequential of fixed layers.

Weights of some hundred million elements are drawn block by block, so that a block stays in the cache. Normal numbers
come from a table of 65,536 quantiles, picked by 16 random bits each: the same bits on every machine, variance 1, at
most 4.3 standard deviations; `nn.init.normal_` draws finer ones, at a hundred times the price.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.core.context import no_grad
from chainrule.core.philox import philox_bits
from chainrule.core.random import Generator, default_generator
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import choice
from chainrule.ops import asarray, reshape
from chainrule.ops.quantile import normal_quantile

__all__ = ["FixedSequential", "flat", "he_normal", "imagenet_stem", "normal_", "one_of", "uniform_"]

BLOCK = 1 << 16  # words drawn at a time


# ---------------------------------------------------------------------------------------------------- initial values
def _fill(tensor: Tensor, generator: Generator | None, values: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Fill a tensor with a function of one 32-bit random word per element."""
    key, offset = (int(cell.item()) for cell in (generator or default_generator).take(tensor.size))
    filled = np.empty(tensor.size, tensor.dtype.numpy)
    for start in range(0, tensor.size, BLOCK):
        stop = min(start + BLOCK, tensor.size)
        filled[start:stop] = values(philox_bits(key, offset + start, stop - start))
    with no_grad():
        return tensor.assign_(asarray(filled.reshape(tensor.shape)))


@functools.cache
def _quantiles() -> np.ndarray:
    """Return the quantiles of the standard normal distribution in the middle of 65,536 equal parts, with variance 1."""
    middle = (np.arange(1 << 15) * 2 + 1) / (1 << 17)
    lower = normal_quantile(asarray(middle)).numpy()
    table = np.concatenate([lower, -lower[::-1]])
    return (table / math.sqrt(math.fsum(table**2) / table.size)).astype(np.float32)


def normal_(tensor: Tensor, std: float, generator: Generator | None = None) -> Tensor:
    """Return the tensor, filled with draws from N(0, std^2), each one of 65,536 values."""
    table = _quantiles() * np.float32(std)
    return _fill(tensor, generator, lambda words: table[words >> 16])


def uniform_(tensor: Tensor, bound: float, generator: Generator | None = None) -> Tensor:
    """Return the tensor, filled with draws from U(-bound, bound), multiples of bound / 2^23."""
    return _fill(tensor, generator, lambda words: (words >> 8).astype(np.float32) * (2 * bound / (1 << 24)) - bound)


def he_normal(model: nn.Module) -> None:
    """Give every 2-d convolution of a model weights from N(0, 2 / fan_out), and biases of zero, as torchvision does.

    Source: He et al., ICCV 2015, with the fan of the output.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            normal_(layer.weight, math.sqrt(2.0 / nn.init.calculate_fans(layer.weight)[1]))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


# ---------------------------------------------------------------------------------------------------- settings
def imagenet_stem(owner: str, stem: str) -> bool:
    """Return whether the stem is that for 224x224 pictures; the other one is for 32x32.

    Raises:
        ValueError: neither "imagenet" nor "cifar".
    """
    return choice(owner, "stem", stem, ("imagenet", "cifar")) == "imagenet"


def one_of(owner: str, name: str, value: Any, options: tuple[Any, ...]) -> Any:
    """Return `value`, if it is one of `options`, which are numbers.

    Raises:
        ValueError: it is not; the message lists the options.
    """
    if isinstance(value, bool) or value not in options:
        raise ValueError(f"{owner}.{name} must be one of {', '.join(map(str, options))}; got {value!r}.")
    return value


class FixedSequential(nn.Sequential):
    """A Sequential whose layers follow from its settings: part of it is a plain Sequential."""

    def __getitem__(self, index: int | slice) -> nn.Module:  # type: ignore[override]
        """Return a layer, or a Sequential of several."""
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)


def flat(x: Tensor) -> Tensor:
    """Return [batch, features] of [batch, ...]."""
    return reshape(x, (x.shape[0], -1))

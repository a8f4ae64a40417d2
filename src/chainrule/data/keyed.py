"""Random numbers that belong to a sample: the same in each batch, thread and process, eager, compiled or in NumPy.

    words of sample i at place p of a pipeline, in epoch e = Philox4x32-10(counter = (i, block, TAG + p), key)
    key = fold_in(seed, e)                                                             (chainrule.core.philox)

Nothing is drawn from a stream, so nothing depends on what was drawn before: neither the order of the batches nor where
a run was resumed. The arithmetic is written once, for any namespace of the Array API: `xp` is NumPy where a loader
prepares batches, and chainrule where the numbers are drawn inside a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.philox import MULTIPLIERS, ROUNDS, WEYL, WORD
from chainrule.core.tensor import Tensor
from chainrule.ops.quantile import normal_quantile, normal_quantile_p

__all__ = ["Draws", "keyed_words", "namespace"]

TAG = 0x61756700  # "aug": no counter of a stream or of `fold_in` has this last word


def namespace(x: Any) -> Any:
    """Return the namespace of array functions that x belongs to: NumPy or chainrule.

    Args:
        x: a NumPy array or a tensor.
    """
    return x.__array_namespace__()


def keyed_words(xp: Any, key: Any, index: Any, place: int, first: int, blocks: int) -> list[Any]:
    """Return random words of some samples; equal arguments give equal words.

    Args:
        xp: namespace of the arrays.
        key: uint64 array without axes.
        index: uint64 array [batch], numbers of the samples.
        place: of the transform in its pipeline, in [0, 255].
        first: number of the first block of four words, >= 0.
        blocks: how many blocks.

    Returns:
        Four uint64 arrays [batch, blocks] of numbers below 2^32; word 4 b + j is in array j.

    Example:
        >>> words = keyed_words(np, np.asarray(7, np.uint64), np.arange(3, dtype=np.uint64), 0, 0, 1)
        >>> alone = keyed_words(np, np.asarray(7, np.uint64), np.asarray([2], np.uint64), 0, 0, 1)
        >>> bool(words[0][2, 0] == alone[0][0, 0])
        True

    Source: Salmon et al., SC 2011; the order of operations is that of `chainrule.core.philox.philox_block`.
    """
    rows = xp.reshape(index, (-1, 1))
    columns = xp.asarray(np.arange(first, first + blocks, dtype=np.uint64)[None])
    x0, x1 = rows & WORD, rows >> 32
    x2, x3 = columns, xp.asarray(np.full((1, 1), TAG + place, np.uint64))
    k0, k1 = key & WORD, key >> 32
    for _ in range(ROUNDS):
        p0, p1 = x0 * MULTIPLIERS[0], x2 * MULTIPLIERS[1]
        x0, x1, x2, x3 = (p1 >> 32) ^ x1 ^ k0, p1 & WORD, (p0 >> 32) ^ x3 ^ k1, p0 & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return [x0, x1, x2, x3]


class Draws:
    """The random numbers of one transform for the samples of a batch; each call gives new ones.

    Args:
        xp: namespace of the arrays.
        key: uint64 array without axes, from the seed and the epoch.
        index: uint64 array [batch], numbers of the samples in their data set.
        place: of the transform in its pipeline.

    Example:
        >>> draws = Draws(np, np.asarray(7, np.uint64), np.arange(3, dtype=np.uint64), 0)
        >>> (u,) = draws.units(1)
        >>> u.shape, bool((0 <= u).all() and (u < 1).all())
        ((3,), True)
    """

    def __init__(self, xp: Any, key: Any, index: Any, place: int):
        self.xp, self.key, self.index, self.place = xp, key, index, place
        self._next = 0

    def words(self, count: int) -> Any:
        """Return uint64 [batch, count] of evenly drawn numbers below 2^32.

        Args:
            count: per sample, >= 1.
        """
        blocks = -(-count // 4)
        found = keyed_words(self.xp, self.key, self.index, self.place, self._next, blocks)
        self._next += blocks
        together = self.xp.reshape(self.xp.stack(found, axis=-1), (-1, 4 * blocks))
        return together[:, :count]

    def units(self, count: int) -> tuple[Any, ...]:
        """Return `count` arrays float32 [batch] of multiples of 2^-24 in [0, 1).

        Args:
            count: how many, >= 1.
        """
        u = (self.words(count) >> 8).astype(self.xp.float32) * 2.0**-24
        return tuple(u[:, i] for i in range(count))

    def normal(self, count: int) -> Any:
        """Return float32 [batch, count] from the standard normal distribution.

        Args:
            count: per sample, >= 1.
        """
        u = (self.words(count).astype(self.xp.float64) + 0.5) * 2.0**-32
        z = normal_quantile(u) if isinstance(u, Tensor) else normal_quantile_p.reference(u)
        return z.astype(self.xp.float32)

    def order(self) -> Any:
        """Return uint64 [batch], a number per sample to sort by."""
        words = self.words(2)
        return words[:, 0] * 2**32 + words[:, 1]

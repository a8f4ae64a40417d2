"""The batches of an epoch as row numbers, for who gathers the rows itself: a compiled step, many batches in one call.

`DataLoader.rows()` makes one where the data lie in arrays. It hands out the same batches in the same order as a loop
over the loader, and moves the loader's position along, so that a checkpoint in between resumes exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import DTypeError
from chainrule.data.collate import to_tensors

if TYPE_CHECKING:
    from chainrule.data.loader import DataLoader

__all__ = ["EpochRows", "converted"]

MOST = 1 << 30  # bytes of an array that is converted as a whole, once, rather than batch by batch


class EpochRows:
    """What is left of an epoch, as numbers of rows; made by `DataLoader.rows`.

    Args:
        loader: whose epoch it is.
        loop: the loader's count of loops, to tell an abandoned one.
        arrays: the data, in dtypes that tensors have.
        order: int64 [samples]: rows of the arrays in the order of the epoch.
        start: the first batch.

    Attributes:
        arrays: the data; row i of each belongs to sample i.

    Example:
        >>> from chainrule.data import ArrayDataset, DataLoader
        >>> rows = DataLoader(ArrayDataset(np.eye(5, dtype=np.float32), [0, 1, 2, 3, 4]), batch_size=2).rows()
        >>> rows.ahead(9).tolist()
        [[0, 1], [2, 3]]
        >>> rows.used(2)
        >>> rows.ahead(9).tolist(), rows.left
        ([[4]], 1)
    """

    def __init__(self, loader: DataLoader, loop: int, arrays: tuple[np.ndarray, ...], order: np.ndarray, start: int):
        self._loader, self._loop, self._epoch = loader, loop, loader.epoch
        self._order, self._position, self._batches = order, start, len(loader)
        self.arrays = arrays

    @property
    def left(self) -> int:
        """Number of batches that are left."""
        return self._batches - self._position

    def ahead(self, most: int) -> np.ndarray:
        """Return the rows of the next batches of equal size, at most `most` of them, without going on.

        Args:
            most: batches, >= 1.

        Returns:
            int64 [batches, batch]; the short last batch of an epoch comes alone.
        """
        size = self._loader.batch_size
        begin = self._position * size
        whole = min(most, self.left, (len(self._order) - begin) // size)
        if not whole:
            return self._order[None, begin:]
        return self._order[begin : begin + whole * size].reshape(whole, size)

    def used(self, batches: int) -> None:
        """Go on by so many batches, which the loader now counts as handed out."""
        self._position += batches
        self._move(self._epoch, self._position)

    def finish(self) -> None:
        """Let the loader move on to the next epoch, as at the end of a loop."""
        self._move(self._epoch + 1, 0)

    def _move(self, epoch: int, position: int) -> None:
        if self._loop == self._loader._loops:
            self._loader.epoch, self._loader._position = epoch, position


def converted(array: np.ndarray) -> np.ndarray | None:
    """Return an array in a dtype that tensors have, converted where a loader would; None where it is too large.

    Args:
        array: the data [n, ...].
    """
    wide = array.dtype == np.float64 or array.dtype == np.float16
    try:
        if not wide:
            dtype_of(array.dtype)
    except DTypeError:
        return None  # text and the like: the loader's batches say what is wrong
    if not wide and array.dtype.isnative:
        return array
    if array.size * 8 > MOST:
        return None
    return to_tensors(array).numpy()

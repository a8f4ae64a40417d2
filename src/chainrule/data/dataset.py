"""Data sets: a length and a way to get sample i; everything else is built on these two.

`Dataset` is the base for your own; `ArrayDataset` holds arrays in memory and is what `DataLoader` reads without any
Python per sample; `Subset` is a choice of samples (a split, a class), `MapDataset` a function applied to each sample.
`arrays_behind` finds the arrays under a chain of subsets; `check_labels` names the first label out of range.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import DataError, DTypeError, IndexRangeError

__all__ = ["ArrayDataset", "Dataset", "MapDataset", "Subset", "arrays_behind", "check_labels"]


class Dataset:
    """Base class of data sets: define `__len__` and `__getitem__`, and the rest follows.

    Example:
        >>> class Squares(Dataset):
        ...     def __len__(self):
        ...         return 4
        ...     def __getitem__(self, index):
        ...         return index, index ** 2
        >>> list(Squares().map(lambda sample: sample[1]))
        [0, 1, 4, 9]
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__: the number of its samples.")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__: sample number `index`.")

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self)):
            yield self[index]

    def map(self, function: Callable[[Any], Any]) -> MapDataset:
        """Return the data set of function(sample), computed when a sample is asked for.

        Args:
            function: takes one sample, returns one sample.

        Returns:
            MapDataset of the same length.
        """
        return MapDataset(self, function)


class ArrayDataset(Dataset):
    """Samples that lie in arrays: sample i is row i of each.

    Args:
        *arrays: one or more arrays, lists or tensors [n, ...], all with the same n >= 1; NumPy arrays are not copied.
        names: one name per array, usable as an attribute; default none.
        classes: names of the classes, in the order of the labels; default none.

    Raises:
        DataError: no array, an empty one, unequal lengths, a scalar, or rows of unequal shape.
        ValueError: names that do not fit the arrays.

    Example:
        >>> data = ArrayDataset([[0.0, 1.0], [2.0, 3.0]], [0, 1], names=("points", "labels"))
        >>> len(data), data.labels
        (2, array([0, 1]))
        >>> data[1]
        (array([2., 3.]), np.int64(1))
    """

    def __init__(self, *arrays: Any, names: Sequence[str] | None = None, classes: Sequence[str] | None = None):
        if not arrays:
            raise DataError("ArrayDataset needs at least one array; got none.")
        self.arrays = tuple(_as_rows(array, position) for position, array in enumerate(arrays))
        lengths = [len(array) for array in self.arrays]
        if len(set(lengths)) > 1:
            raise DataError(
                f"ArrayDataset needs arrays of equal length; got {', '.join(map(str, lengths))}. "
                "Row i of each array must belong to sample i."
            )
        if lengths[0] == 0:
            shapes = ", ".join(str(array.shape) for array in self.arrays)
            raise DataError(f"ArrayDataset needs at least one sample; got arrays of shape {shapes}.")
        self.names = tuple(names) if names is not None else None
        self.classes = tuple(classes) if classes is not None else None
        if self.names is not None:
            _check_names(self.names, len(self.arrays))

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        if isinstance(index, (int, np.integer)):
            index = _position(index, len(self))
        return tuple(array[index] for array in self.arrays)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the rows `indices` of each array, in that order, as new arrays.

        Args:
            indices: integer array [batch], each in [0, n).

        Returns:
            One array [batch, ...] per array of the data set.
        """
        return tuple(array.take(indices, axis=0) for array in self.arrays)

    def __getattr__(self, name: str) -> np.ndarray:
        names = self.__dict__.get("names") or ()
        if name in names:
            return self.arrays[names.index(name)]
        raise AttributeError(
            f"{type(self).__name__} has no attribute {name!r}; its arrays are named {names or 'nothing'}."
        )

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(self.names or ())]

    def __repr__(self) -> str:
        names = self.names or [str(position) for position in range(len(self.arrays))]
        parts = (f"{name}: {array.dtype} {array.shape[1:]}" for name, array in zip(names, self.arrays))
        return f"{type(self).__name__}({len(self)} samples; {', '.join(parts)})"


class Subset(Dataset):
    """Some samples of a data set, in a given order.

    Args:
        dataset: the data set to choose from.
        indices: integers [n], n >= 1, each in [0, len(dataset)); they may repeat.

    Raises:
        DataError: no indices, or not a list of integers.
        IndexRangeError: an index out of range.

    Example:
        >>> evens = Subset(ArrayDataset([10, 11, 12, 13]), [0, 2])
        >>> [int(value) for (value,) in evens]
        [10, 12]
    """

    def __init__(self, dataset: Any, indices: Any):
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or chosen.size == 0 or not np.issubdtype(chosen.dtype, np.integer):
            raise DataError(
                f"Subset.indices must be a list of at least one integer; got {chosen.dtype} of shape {chosen.shape}. "
                "For a mask, pass np.flatnonzero(mask)."
            )
        size = len(dataset)
        outside = np.flatnonzero((chosen < 0) | (chosen >= size))
        if outside.size:
            first = outside[0]
            raise IndexRangeError(
                f"Subset.indices must be in [0, {size - 1}] for {size} samples; "
                f"index {chosen[first]} at position {first} is out of range."
            )
        self.dataset = dataset
        self.indices = chosen.astype(np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[_position(index, len(self))])]

    def __repr__(self) -> str:
        return f"Subset({len(self)} samples of {self.dataset!r})"


class MapDataset(Dataset):
    """A function applied to each sample when it is asked for.

    Args:
        dataset: the data set whose samples go in.
        function: takes one sample (a tuple, for an ArrayDataset), returns one sample.

    Example:
        >>> data = MapDataset(ArrayDataset([1, 2, 3]), lambda sample: 10 * sample[0])
        >>> int(data[2])
        30
    """

    def __init__(self, dataset: Any, function: Callable[[Any], Any]):
        if not callable(function):
            raise TypeError(f"MapDataset.function must be a function of one sample; got {function!r}.")
        self.dataset = dataset
        self.function = function

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.function(self.dataset[index])

    def __repr__(self) -> str:
        return f"MapDataset({self.dataset!r}, {getattr(self.function, '__name__', self.function)})"


def arrays_behind(dataset: Any) -> tuple[ArrayDataset, np.ndarray | None] | None:
    """Return the arrays under a data set and the rows it uses, or None where samples have to be asked for one by one.

    Args:
        dataset: any data set.

    Returns:
        (arrays, rows): rows is int64 [n], or None for all in order; None where the data set is not a
        chain of subsets over an ArrayDataset, or a class of its own overrides `__getitem__`.
    """
    rows: np.ndarray | None = None
    while type(dataset) is Subset:
        rows = dataset.indices if rows is None else dataset.indices[rows]
        dataset = dataset.dataset
    if isinstance(dataset, ArrayDataset) and type(dataset).__getitem__ is ArrayDataset.__getitem__:
        return dataset, rows
    return None


def check_labels(labels: Any, classes: int, *, ignore_index: int | None = None) -> None:
    """Raise where a label is no class number.

    Args:
        labels: integers of any shape.
        classes: the number of classes, >= 1; labels must be in [0, classes).
        ignore_index: a label that is allowed besides; default none.

    Raises:
        DTypeError: labels that are no integers.
        IndexRangeError: a label out of range; the message names the first and its index.

    Example:
        >>> check_labels([0, 9, 3], 10)
    """
    values = np.asarray(labels)
    if not np.issubdtype(values.dtype, np.integer):
        raise DTypeError(
            f"labels must be integers; got {values.dtype}: convert with .astype(np.int64) if they are whole."
        )
    bad = (values < 0) | (values >= classes)
    if ignore_index is not None:
        bad &= values != ignore_index
    if bad.any():
        first = np.unravel_index(int(bad.argmax()), values.shape)
        place = int(first[0]) if values.ndim == 1 else tuple(map(int, first))
        raise IndexRangeError(
            f"labels must be in [0, {classes - 1}] for {classes} classes; "
            f"label {values[first]} at index {place} is out of range."
        )


def _as_rows(array: Any, position: int) -> np.ndarray:
    try:
        rows = np.asarray(array)
    except ValueError:
        raise DataError(
            f"ArrayDataset needs rows of equal shape; array {position} is ragged. "
            "Pad it, or write a Dataset of your own."
        ) from None
    if rows.ndim == 0:
        raise DataError(
            f"ArrayDataset needs arrays with at least one axis; array {position} is the single value {array!r}."
        )
    return rows


def _check_names(names: tuple[str, ...], count: int) -> None:
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"ArrayDataset.names must be {count} different names, one per array; got {names}.")
    for name in names:
        if not name.isidentifier() or hasattr(ArrayDataset, name) or name in ("arrays", "names", "classes"):
            raise ValueError(f"ArrayDataset.names must be identifiers that are not taken; got {name!r}.")


def _position(index: Any, size: int) -> int:
    """Return index as a position in [0, size); negative ones count from the end; IndexError ends a for loop."""
    position = operator.index(index)
    if position < -size or position >= size:
        raise IndexRangeError(f"sample {position} of a data set with {size} samples does not exist.")
    return position + size if position < 0 else position

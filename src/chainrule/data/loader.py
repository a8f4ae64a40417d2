"""The DataLoader: batches of tensors from a data set, in an order that a seed and an epoch fix for ever.

    order of epoch e = permutation(fold_in(seed, e), n)          (chainrule.core.philox), or 0 .. n - 1 unshuffled
    batch k          = samples order[k * batch_size : (k + 1) * batch_size]

So the only state is (epoch, batches handed out): `state_dict` is a handful of integers, and a resumed run goes on with
exactly the next batch without replaying anything. Data in arrays is indexed, a batch at a time; other data sets are
asked sample by sample. With `prefetch=k` one thread works up to k batches ahead, on NumPy arrays only: tensors are made
in the thread that consumes them. `augment` changes each picture by (seed, epoch, sample number) alone, so that order,
thread and resuming make no difference. Slow by nature: a data set whose `__getitem__` computes in Python; keep it in
arrays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np

from chainrule.core.errors import CheckpointError, DataError
from chainrule.core.philox import fold_in, permutation
from chainrule.data.augment import Augment
from chainrule.data.collate import default_collate, to_tensors
from chainrule.data.dataset import arrays_behind
from chainrule.data.prefetch import ahead
from chainrule.data.rows import EpochRows, converted

__all__ = ["DataLoader"]

_SETTINGS = ("samples", "batch_size", "shuffle", "seed", "drop_last")


class DataLoader:
    """Iterate over a data set in batches; each full pass is one epoch.

    A loop that runs to its end moves on to the next epoch; one left early (break, an error) does not: the next loop
    begins the same epoch again, in the same order.

    Args:
        dataset: anything with `__len__` and `__getitem__`; an ArrayDataset or a Subset of one is read fastest.
        batch_size: samples per batch, >= 1; default 1.
        shuffle: a new order each epoch; default False.
        seed: with the epoch it fixes the order, in [0, 2**64); default 0.
        drop_last: leave out a last batch that is smaller; default False.
        collate: function from a list of samples to a batch of NumPy arrays; default `default_collate`.
        prefetch: batches that one background thread prepares ahead, >= 0; default 0, no thread.
        transform: function of the first array of each batch [batch, ...], before it becomes a tensor, such as
            `Standardize`; of the whole batch where that is no tuple or list; default none.
        augment: an `Augment`, for batches (pictures, labels): it changes both by the epoch and the samples' numbers in
            `dataset`, before `transform`; default none.

    Raises:
        ValueError, TypeError: a setting outside its range.
        DataError: an empty data set, or fewer samples than one batch with drop_last=True.

    Example:
        >>> from chainrule.data import ArrayDataset
        >>> loader = DataLoader(ArrayDataset(np.eye(5, dtype=np.float32), [0, 1, 2, 3, 4]), batch_size=2)
        >>> len(loader), [labels.tolist() for _, labels in loader]
        (3, [[0, 1], [2, 3], [4]])

    Source: names and defaults of torch.utils.data.DataLoader where both have the setting.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int = 0,
        drop_last: bool = False,
        collate: Callable[[list[Any]], Any] | None = None,
        prefetch: int = 0,
        transform: Callable[[Any], Any] | None = None,
        augment: Augment | None = None,
    ):
        self.dataset = dataset
        self.batch_size = _count("batch_size", batch_size, 1)
        self.shuffle = bool(shuffle)
        self.seed = _count("seed", seed, 0, (1 << 64) - 1)
        self.drop_last = bool(drop_last)
        self.collate = _function("collate", collate)
        self.prefetch = _count("prefetch", prefetch, 0)
        self.transform = _function("transform", transform)
        self.augment = _function("augment", augment)
        self.epoch = 0
        self._position = 0  # batches of this epoch that were handed out
        self._resumed = False  # the next loop begins at _position instead of 0
        self._arrays: tuple[Any, tuple[np.ndarray, ...]] | None = None  # a data set's arrays, and what tensors take
        self._loops = 0  # counts the loops begun, so that an abandoned one can't move the position of its successor
        samples = _samples(dataset)
        if self.drop_last and samples < self.batch_size:
            raise DataError(
                f"drop_last=True leaves no batch: the data set has {samples} samples and batch_size is "
                f"{self.batch_size}. Make batch_size smaller, or leave drop_last out."
            )

    def __len__(self) -> int:
        samples = len(self.dataset)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if not self._resumed:
            self._position = 0
        self._resumed = False
        self._loops += 1
        return self._loop(self._loops, self.epoch, self._position)

    def rows(self) -> EpochRows | None:
        """Return the epoch's batches as row numbers; the position moves along as in a loop.

        Returns:
            What a loop would hand out next, or None where batches have to be made in Python: samples are asked for one
            by one, or `collate`, `augment` or `transform` is given.
        """
        plain = self.collate is None and self.augment is None and self.transform is None
        behind = arrays_behind(self.dataset) if plain else None
        if behind is None:
            return None
        data, chosen = behind
        if self._arrays is None or self._arrays[0] is not data:
            found = [converted(array) for array in data.arrays]
            if any(array is None for array in found):
                return None
            self._arrays = data, tuple(array for array in found if array is not None)
        start = self._position if self._resumed else 0
        self._position, self._resumed = start, False
        self._loops += 1
        order = self.order(self.epoch)
        return EpochRows(self, self._loops, self._arrays[1], order if chosen is None else chosen[order], start)

    def order(self, epoch: int | None = None) -> np.ndarray:
        """Return the order of the samples in an epoch.

        Args:
            epoch: its number, >= 0; default the current one.

        Returns:
            int64 array [samples]: sample numbers of the data set, in the order of the batches.

        Example:
            >>> DataLoader([10, 11, 12, 13], shuffle=True, seed=1).order(0).tolist()
            [0, 3, 1, 2]
        """
        samples = len(self.dataset)
        if not self.shuffle:
            return np.arange(samples, dtype=np.int64)
        return permutation(fold_in(self.seed, self.epoch if epoch is None else epoch), samples)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; a loop that is running keeps its own.

        Args:
            epoch: its number, >= 0.

        Raises:
            ValueError, TypeError: no such number.
        """
        self.epoch = _count("set_epoch.epoch", epoch, 0, (1 << 64) - 1)
        self._position = 0
        self._resumed = False
        self._loops += 1

    def state_dict(self) -> dict[str, int | bool]:
        """Return where the loader stands: the epoch, the batches of it that were handed out, and the settings.

        After the last batch of an epoch, inside the loop body, the position is the number of batches: resuming there
        gives an empty loop, and what the training does at the end of an epoch is not lost.

        Returns:
            A dict of integers and booleans, which JSON can hold.
        """
        return {"epoch": self.epoch, "position": self._position, **self._settings()}

    def load_state_dict(self, state: dict[str, int | bool]) -> None:
        """Continue where another loader of the same settings stood; the next loop begins with exactly its next batch.

        Args:
            state: from `state_dict`.

        Raises:
            CheckpointError: settings that differ, each named; or entries that are missing or out of range.
        """
        missing = [name for name in ("epoch", "position", *_SETTINGS) if name not in state]
        if missing:
            raise CheckpointError(
                f"the loader's state lacks {', '.join(missing)}; it is not from DataLoader.state_dict()."
            )
        settings = self._settings()
        changed = [f"{name} was {state[name]}, now {now}" for name, now in settings.items() if state[name] != now]
        if changed:
            raise CheckpointError(
                f"the loader can't continue: {'; '.join(changed)}. Use the settings of the run that is resumed."
            )
        epoch, position = state["epoch"], state["position"]
        if epoch < 0 or not 0 <= position <= len(self):
            raise CheckpointError(
                f"the loader's state is out of range: epoch {epoch}, position {position} of {len(self)} batches."
            )
        self.set_epoch(int(epoch))
        self._position = int(position)
        self._resumed = True

    def __repr__(self) -> str:
        settings = f"batch_size={self.batch_size}, shuffle={self.shuffle}, seed={self.seed}, drop_last={self.drop_last}"
        return f"DataLoader({self.dataset!r}, {settings}, prefetch={self.prefetch})"

    # --------------------------------------------------------------------------------------------------- one loop
    def _settings(self) -> dict[str, int | bool]:
        values = (len(self.dataset), self.batch_size, self.shuffle, self.seed, self.drop_last)
        return dict(zip(_SETTINGS, values))

    def _loop(self, loop: int, epoch: int, start: int) -> Iterator[Any]:
        batches = self._batches(epoch, start)
        if self.prefetch:
            batches = ahead(batches, self.prefetch)
        try:
            for position, batch in enumerate(batches, start + 1):
                if loop == self._loops:
                    self._position = position
                yield to_tensors(batch)
                del batch
        finally:
            batches.close()
        if loop == self._loops:
            self.epoch, self._position = epoch + 1, 0

    def _batches(self, epoch: int, start: int) -> Generator[Any, None, None]:
        """Yield the batches of an epoch as NumPy arrays, from batch number `start` on."""
        order = self.order(epoch)
        fetch = self._fetcher()
        for number in range(start, len(self)):
            indices = order[number * self.batch_size : (number + 1) * self.batch_size]
            batch = fetch(indices)
            if self.augment is not None:
                batch = self._augmented(batch, indices, number, epoch)
            if self.transform is not None:
                batch = self._transformed(batch, number, epoch)
            yield batch

    def _fetcher(self) -> Callable[[np.ndarray], Any]:
        """Return the function from sample numbers to a batch: indexing where the data lies in arrays."""
        behind = arrays_behind(self.dataset) if self.collate is None else None
        if behind is None:
            return self._ask
        arrays, rows = behind
        if rows is None:
            return arrays.take
        return lambda indices: arrays.take(rows[indices])

    def _ask(self, indices: np.ndarray) -> Any:
        numbers = indices.tolist()
        samples = []
        for index in numbers:
            try:
                samples.append(self.dataset[index])
            except Exception as error:
                error.add_note(f"while loading sample {index} of {type(self.dataset).__name__}")
                raise
        if self.collate is None:
            with contextlib.suppress(DataError):
                return default_collate(samples, numbers)
            return default_collate(samples, [_called(self.dataset, i) for i in numbers])  # the error, with names
        try:
            return self.collate(samples)
        except Exception as error:
            error.add_note(f"in the loader's collate function, for the samples {_shortened(numbers)}")
            raise

    def _augmented(self, batch: Any, indices: np.ndarray, number: int, epoch: int) -> Any:
        assert self.augment is not None
        if not isinstance(batch, tuple | list) or len(batch) != 2 or hasattr(batch, "_fields"):
            raise DataError(
                "DataLoader.augment needs batches (pictures, labels); this data set gives "
                f"{type(batch).__name__} of {len(batch)}."
            )
        x, y = batch
        try:
            drawn = self.augment(np.asarray(x), np.asarray(y), indices, self.augment.key(epoch))
            return list(drawn) if isinstance(batch, list) else tuple(drawn)
        except Exception as error:
            error.add_note(f"in the loader's augment, for batch {number} of epoch {epoch}")
            raise

    def _transformed(self, batch: Any, number: int, epoch: int) -> Any:
        assert self.transform is not None
        try:
            if isinstance(batch, tuple | list) and not hasattr(batch, "_fields"):
                return type(batch)([self.transform(batch[0]), *batch[1:]])
            return self.transform(batch)
        except Exception as error:
            error.add_note(f"in the loader's transform, for batch {number} of epoch {epoch}")
            raise


def _called(dataset: Any, index: int) -> Any:
    """Return what messages call a sample: its number, and its file where the data set has `paths`."""
    inner, place = dataset, index
    while hasattr(inner, "dataset"):
        place = int(inner.indices[place]) if hasattr(inner, "indices") else place
        inner = inner.dataset
    paths = getattr(inner, "paths", None)
    return index if paths is None else f"{index} ({paths[place]})"


def _samples(dataset: Any) -> int:
    for method in ("__len__", "__getitem__"):
        if not hasattr(dataset, method):
            raise TypeError(
                f"DataLoader.dataset must have __len__ and __getitem__; {type(dataset).__name__} has no {method}. "
                "For arrays, write ArrayDataset(x, y)."
            )
    samples = len(dataset)
    if samples == 0:
        raise DataError(f"DataLoader got an empty data set: {type(dataset).__name__} has 0 samples.")
    return samples


def _count(name: str, value: Any, low: int, high: int | None = None) -> int:
    allowed = f"an int >= {low}" if high is None else f"an int in [{low}, {high}]"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"DataLoader.{name} must be {allowed}; got {value!r}.")
    if value < low or (high is not None and value > high):
        raise ValueError(f"DataLoader.{name} must be {allowed}; got {value}.")
    return int(value)


def _function(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"DataLoader.{name} must be a function or None; got {value!r}.")
    return value


def _shortened(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")

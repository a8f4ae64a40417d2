"""Training, validation and test sets from one data set: disjoint, complete, reproducible, stratified if asked.

Sizes follow the largest remainder. With `stratify=` the table classes x splits is rounded so that every row sum
(samples of a class) and every column sum (size of a split) is exact and every cell is its proportional share rounded
down or up; such a rounding always exists, and a flow with unit capacities finds it.

Source: Cox, "A constructive procedure for unbiased controlled rounding", JASA 82 (1987), for the existence; augmenting
paths as in Ford and Fulkerson (1956).
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import DataError
from chainrule.core.philox import fold_in, permutation
from chainrule.data.dataset import Subset

__all__ = ["split"]

_STREAM = 0x73706C6974  # "split": its own stream of the seed, apart from the loader's epochs


def split(
    dataset: Any,
    sizes: Sequence[float] | Sequence[int] = (0.8, 0.1, 0.1),
    *,
    seed: int = 0,
    stratify: Any = None,
) -> tuple[Subset, ...]:
    """Divide a data set at random into disjoint parts that cover it.

    Args:
        dataset: anything with a length.
        sizes: one per part: fractions in (0, 1) with the sum 1, or counts >= 1 with the sum len(dataset);
            default 80 % training, 10 % validation, 10 % test.
        seed: in [0, 2**64); default 0. The same seed gives the same parts.
        stratify: class of each sample [n], to give each part the same mix of classes; default none.

    Returns:
        One Subset per size, each in the order of the data set.

    Raises:
        DataError: sizes that are not fractions or counts of this data set, a part that gets no sample, labels of the
            wrong length, or a class with fewer samples than there are parts.

    Example:
        >>> from chainrule.data import ArrayDataset
        >>> data = ArrayDataset(np.arange(10), [0] * 5 + [1] * 5, names=("x", "labels"))
        >>> [len(part) for part in split(data)]
        [8, 1, 1]
        >>> [np.bincount(data.labels[part.indices]).tolist() for part in split(data, (6, 4), stratify=data.labels)]
        [[3, 3], [2, 2]]
    """
    samples = len(dataset)
    totals = _totals(sizes, samples)
    key = fold_in(seed, _STREAM)
    if stratify is None:
        groups = [np.arange(samples)]
    else:
        groups = _classes(stratify, samples, len(totals))
    table = _round_table([len(group) for group in groups], totals)
    parts: list[list[np.ndarray]] = [[] for _ in totals]
    for number, (group, row) in enumerate(zip(groups, table)):
        shuffled = group[permutation(fold_in(key, number), len(group))]
        for part, piece in zip(parts, np.split(shuffled, np.cumsum(row)[:-1])):
            part.append(piece)
    return tuple(Subset(dataset, np.sort(np.concatenate(part))) for part in parts)


def _totals(sizes: Sequence[Any], samples: int) -> list[int]:
    """Return the number of samples of each part."""
    given = list(sizes)
    shown = f"({', '.join(map(str, given))})"
    if not given or any(isinstance(size, bool) or not isinstance(size, numbers.Real) for size in given):
        raise DataError(
            f"split.sizes must be fractions or counts, like (0.8, 0.1, 0.1) or (50000, 10000); got {shown}."
        )
    if all(isinstance(size, numbers.Integral) for size in given):
        if min(given) < 1 or sum(given) != samples:
            raise DataError(
                f"split.sizes as counts must each be >= 1 and add up to the {samples} samples; "
                f"got {shown}, which add up to {sum(given)}."
            )
        return [int(size) for size in given]
    if not (min(given) > 0 and abs(sum(given) - 1) <= 1e-9):  # this way round, NaN is refused too
        raise DataError(
            f"split.sizes as fractions must each be > 0 and add up to 1; got {shown}, which add up to {sum(given):.6g}."
        )
    shares = [samples * float(size) for size in given]
    totals = [int(share + 1e-9) for share in shares]  # 0.29 * 100 is 28.999999999999996
    order = sorted(range(len(given)), key=lambda i: (totals[i] - shares[i], i))
    for i in order[: samples - sum(totals)]:
        totals[i] += 1
    if 0 in totals:
        part = totals.index(0)
        raise DataError(f"split: part {part} of {shown} gets no sample out of {samples}. Give it a larger fraction.")
    return totals


def _classes(stratify: Any, samples: int, parts: int) -> list[np.ndarray]:
    """Return the sample numbers of each class, in the order of the class values."""
    labels = np.asarray(stratify)
    if labels.shape != (samples,):
        raise DataError(f"split.stratify must hold one class per sample, shape ({samples},); got shape {labels.shape}.")
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < parts:
        rarest = int(counts.argmin())
        raise DataError(
            f"split can't stratify: class {values[rarest]} has {counts[rarest]} samples for {parts} parts. "
            "Merge or drop the class, or split without stratify."
        )
    return np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])


def _round_table(rows: list[int], columns: list[int]) -> list[list[int]]:
    """Round the table rows[i] * columns[j] / n to integers with exactly these row and column sums.

    Begins with every cell rounded down, then hands out what is missing along augmenting paths: row i may add one in
    column j where the share is not whole and it has not done so yet.
    """
    total = sum(rows)
    table = [[row * column // total for column in columns] for row in rows]
    remainder = [[row * column % total for column in columns] for row in rows]
    raised: list[set[int]] = [set() for _ in rows]  # per row: the columns rounded up
    missing = [column - sum(cells[j] for cells in table) for j, column in enumerate(columns)]

    def raise_one(i: int, seen: set[int]) -> bool:
        for j in sorted(range(len(columns)), key=lambda j: -remainder[i][j]):
            if remainder[i][j] == 0 or j in raised[i] or j in seen:
                continue
            seen.add(j)
            if missing[j] > 0:
                missing[j] -= 1
                raised[i].add(j)
                return True
            for k in range(len(rows)):  # another row gives up column j if it finds a place elsewhere
                if j in raised[k] and raise_one(k, seen):
                    raised[k].remove(j)
                    raised[i].add(j)
                    return True
        return False

    for i, row in enumerate(rows):
        for _ in range(row - sum(table[i])):
            found = raise_one(i, set())
            assert found, f"no rounding of rows {rows} and columns {columns}"
    return [[cell + (j in raised[i]) for j, cell in enumerate(cells)] for i, cells in enumerate(table)]

"""Splits: exact counts, disjoint, complete, reproducible, stratified within one sample of each share."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.core.errors import DataError
from chainrule.data import ArrayDataset, split
from chainrule.data.split import _round_table


def raises(message):
    return pytest.raises(DataError, match=f"^{re.escape(message)}$")


def numbered(samples: int) -> ArrayDataset:
    return ArrayDataset(np.arange(samples))


@pytest.mark.parametrize(
    "samples, sizes, lengths",
    [
        (10, (0.8, 0.1, 0.1), (8, 1, 1)),
        (60_000, (0.8, 0.1, 0.1), (48_000, 6_000, 6_000)),
        (100, (0.29, 0.71), (29, 71)),
        (11, (0.5, 0.5), (6, 5)),
        (7, (1 / 3, 1 / 3, 1 / 3), (3, 2, 2)),
        (5, (1.0,), (5,)),
        (6, (1, 2, 3), (1, 2, 3)),
    ],
)
def test_parts_have_their_sizes_and_cover_everything_once(samples, sizes, lengths):
    parts = split(numbered(samples), sizes)
    assert tuple(map(len, parts)) == lengths
    assert np.array_equal(np.sort(np.concatenate([part.indices for part in parts])), np.arange(samples))
    for part in parts:
        assert np.array_equal(part.indices, np.sort(part.indices))


def test_the_seed_decides():
    first, again, other = (split(numbered(1000), seed=seed)[2].indices for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_parts_are_random_not_blocks():
    train, held_out = split(numbered(10_000), (0.5, 0.5))
    assert abs(train.indices.mean() - held_out.indices.mean()) < 5 * 10_000 / np.sqrt(12 * 2500)


def test_stratified_digits_keep_the_mix_of_classes(digits):
    sizes = (8000, 1500, 500)
    parts = split(digits, sizes, stratify=digits.labels)
    assert tuple(map(len, parts)) == sizes
    assert np.array_equal(np.sort(np.concatenate([part.indices for part in parts])), np.arange(10_000))
    whole = np.bincount(digits.labels)
    for part, size in zip(parts, sizes):
        counts = np.bincount(digits.labels[part.indices])
        assert (np.abs(counts - whole * size / 10_000) < 1).all()


def test_stratifying_by_text():
    species = np.array(["setosa", "virginica"] * 10)
    for part in split(numbered(20), (0.5, 0.5), stratify=species):
        assert np.unique(species[part.indices], return_counts=True)[1].tolist() == [5, 5]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5),
)
def test_tables_are_rounded_up_or_down_with_exact_sums(rows, weights):
    total = sum(rows)
    cuts = np.round(np.cumsum(weights) / np.sum(weights) * total).astype(int).tolist()
    columns = [after - before for before, after in zip([0, *cuts], cuts)]
    table = np.array(_round_table(rows, columns))
    assert table.sum(axis=1).tolist() == rows
    assert table.sum(axis=0).tolist() == columns
    shares = np.outer(rows, columns) / total
    assert (np.abs(table - shares) < 1).all()
    assert (table >= 0).all()


@pytest.mark.parametrize(
    "sizes, message",
    [
        (
            (0.5, 0.4),
            "split.sizes as fractions must each be > 0 and add up to 1; got (0.5, 0.4), which add up to 0.9.",
        ),
        (
            (1.5, -0.5),
            "split.sizes as fractions must each be > 0 and add up to 1; got (1.5, -0.5), which add up to 1.",
        ),
        (
            (5, 6),
            "split.sizes as counts must each be >= 1 and add up to the 10 samples; got (5, 6), which add up to 11.",
        ),
        (
            (10, 0),
            "split.sizes as counts must each be >= 1 and add up to the 10 samples; got (10, 0), which add up to 10.",
        ),
        ((), "split.sizes must be fractions or counts, like (0.8, 0.1, 0.1) or (50000, 10000); got ()."),
        (
            ("a", "b"),
            "split.sizes must be fractions or counts, like (0.8, 0.1, 0.1) or (50000, 10000); got (a, b).",
        ),
        (
            (0.98, 0.02),
            "split: part 1 of (0.98, 0.02) gets no sample out of 10. Give it a larger fraction.",
        ),
        (
            (float("nan"), 1.0),
            "split.sizes as fractions must each be > 0 and add up to 1; got (nan, 1.0), which add up to nan.",
        ),
    ],
)
def test_impossible_sizes(sizes, message):
    with raises(message):
        split(numbered(10), sizes)


def test_a_class_too_small_to_divide():
    with raises(
        "split can't stratify: class 7 has 2 samples for 3 parts. Merge or drop the class, or split without stratify."
    ):
        split(numbered(10), stratify=[0] * 8 + [7] * 2)


def test_labels_of_the_wrong_length():
    with raises("split.stratify must hold one class per sample, shape (10,); got shape (9,)."):
        split(numbered(10), stratify=[0] * 9)

"""ArrayDataset, Subset, MapDataset, check_labels: what they hold and what they refuse."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

from chainrule.core.errors import DataError, DTypeError, IndexRangeError
from chainrule.data import ArrayDataset, Dataset, MapDataset, Subset, check_labels
from chainrule.data.dataset import arrays_behind


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def points(samples: int = 6) -> ArrayDataset:
    return ArrayDataset(np.arange(2.0 * samples).reshape(samples, 2), range(samples), names=("points", "labels"))


class Countdown(Dataset):
    """A data set of the user's own."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return 3 - index


def test_rows_names_and_length():
    data = points()
    assert len(data) == 6
    assert data.points is data.arrays[0]
    x, label = data[2]
    assert x.tolist() == [4.0, 5.0]
    assert label == 2
    assert data[-1][1] == 5
    assert data[1:3][1].tolist() == [1, 2]
    assert data[np.array([4, 0])][0].tolist() == [[8.0, 9.0], [0.0, 1.0]]
    assert "points" in dir(data)
    assert repr(data) == "ArrayDataset(6 samples; points: float64 (2,), labels: int64 ())"


def test_arrays_are_not_copied_and_take_copies():
    rows = np.zeros((3, 2))
    data = ArrayDataset(rows)
    assert data.arrays[0] is rows
    (taken,) = data.take(np.array([0, 2]))
    taken[:] = 1
    assert not rows.any()


def test_iteration_ends():
    assert [int(label) for _, label in points(3)] == [0, 1, 2]
    assert list(Countdown()) == [3, 2, 1]


def test_copies_and_pickles():
    for again in (copy.deepcopy(points()), pickle.loads(pickle.dumps(points()))):
        assert again.names == ("points", "labels")
        assert np.array_equal(again.labels, points().labels)


@pytest.mark.parametrize(
    "arrays, options, error, message",
    [
        ((), {}, DataError, "ArrayDataset needs at least one array; got none."),
        (
            (np.zeros((3, 2)), [1, 2]),
            {},
            DataError,
            "ArrayDataset needs arrays of equal length; got 3, 2. Row i of each array must belong to sample i.",
        ),
        (
            (np.zeros((0, 2)), []),
            {},
            DataError,
            "ArrayDataset needs at least one sample; got arrays of shape (0, 2), (0,).",
        ),
        (
            ([1, 2], 5),
            {},
            DataError,
            "ArrayDataset needs arrays with at least one axis; array 1 is the single value 5.",
        ),
        (
            ([[1, 2], [3]],),
            {},
            DataError,
            "ArrayDataset needs rows of equal shape; array 0 is ragged. Pad it, or write a Dataset of your own.",
        ),
        (
            ([1], [2]),
            {"names": ("x",)},
            ValueError,
            "ArrayDataset.names must be 2 different names, one per array; got ('x',).",
        ),
        (
            ([1], [2]),
            {"names": ("x", "x")},
            ValueError,
            "ArrayDataset.names must be 2 different names, one per array; got ('x', 'x').",
        ),
        (
            ([1],),
            {"names": ("take",)},
            ValueError,
            "ArrayDataset.names must be identifiers that are not taken; got 'take'.",
        ),
        (
            ([1],),
            {"names": ("two words",)},
            ValueError,
            "ArrayDataset.names must be identifiers that are not taken; got 'two words'.",
        ),
    ],
)
def test_arrays_that_make_no_data_set(arrays, options, error, message):
    with raises(error, message):
        ArrayDataset(*arrays, **options)


def test_unknown_attribute():
    with raises(AttributeError, "ArrayDataset has no attribute 'images'; its arrays are named ('points', 'labels')."):
        _ = points().images
    with raises(AttributeError, "ArrayDataset has no attribute 'images'; its arrays are named nothing."):
        _ = ArrayDataset([1]).images


@pytest.mark.parametrize("index", [6, -7])
def test_samples_that_do_not_exist(index):
    for data in (points(), Subset(points(), range(6))):
        with raises(IndexRangeError, f"sample {index} of a data set with 6 samples does not exist."):
            _ = data[index]


def test_subset():
    data = Subset(points(), [5, 0, 0])
    assert len(data) == 3
    assert [int(label) for _, label in data] == [5, 0, 0]
    assert repr(data) == f"Subset(3 samples of {points()!r})"


@pytest.mark.parametrize(
    "indices, error, message",
    [
        (
            [],
            DataError,
            "Subset.indices must be a list of at least one integer; got float64 of shape (0,). "
            "For a mask, pass np.flatnonzero(mask).",
        ),
        (
            np.array([True, False]),
            DataError,
            "Subset.indices must be a list of at least one integer; got bool of shape (2,). "
            "For a mask, pass np.flatnonzero(mask).",
        ),
        (
            [0, 6],
            IndexRangeError,
            "Subset.indices must be in [0, 5] for 6 samples; index 6 at position 1 is out of range.",
        ),
        (
            [-1],
            IndexRangeError,
            "Subset.indices must be in [0, 5] for 6 samples; index -1 at position 0 is out of range.",
        ),
    ],
)
def test_indices_that_make_no_subset(indices, error, message):
    with raises(error, message):
        Subset(points(), indices)


def test_map():
    data = points().map(lambda sample: (sample[0] * 2, sample[1]))
    assert isinstance(data, MapDataset)
    assert len(data) == 6
    assert data[1][0].tolist() == [4.0, 6.0]
    assert Countdown().map(str)[0] == "3"
    assert repr(Countdown().map(str)).endswith(", str)")
    with raises(TypeError, "MapDataset.function must be a function of one sample; got 3."):
        points().map(3)


def test_a_data_set_without_its_two_methods():
    with raises(NotImplementedError, "Dataset must define __len__: the number of its samples."):
        len(Dataset())
    with raises(NotImplementedError, "Dataset must define __getitem__: sample number `index`."):
        _ = Dataset()[0]


def test_arrays_behind_follows_subsets_of_subsets():
    data = points()
    assert arrays_behind(data) == (data, None)
    arrays, rows = arrays_behind(Subset(Subset(data, [5, 4, 3, 2]), [3, 0]))
    assert arrays is data
    assert rows.tolist() == [2, 5]
    assert arrays_behind(Countdown()) is None
    assert arrays_behind(data.map(str)) is None

    class Flipped(ArrayDataset):
        def __getitem__(self, index):
            return tuple(-part for part in super().__getitem__(index))

    assert arrays_behind(Flipped([1, 2])) is None


def test_check_labels_names_the_first_bad_one():
    labels = np.zeros(60_000, dtype=np.uint8)
    check_labels(labels, 10)
    labels[4711] = 12
    labels[5000] = 99
    with raises(IndexRangeError, "labels must be in [0, 9] for 10 classes; label 12 at index 4711 is out of range."):
        check_labels(labels, 10)
    with raises(IndexRangeError, "labels must be in [0, 2] for 3 classes; label -1 at index (1, 0) is out of range."):
        check_labels([[0, 1], [-1, 2]], 3)
    check_labels([0, -100, 1], 2, ignore_index=-100)
    check_labels(np.array([], dtype=np.int64), 2)
    with raises(DTypeError, "labels must be integers; got float32: convert with .astype(np.int64) if they are whole."):
        check_labels(np.zeros(3, dtype=np.float32), 10)

"""Collating: every structure of a sample, and every way in which two samples can fail to fit."""

from __future__ import annotations

import re
from collections import namedtuple

import numpy as np
import pytest

from chainrule.core.errors import DataError, DTypeError
from chainrule.core.tensor import Tensor
from chainrule.data import default_collate
from chainrule.data.collate import to_tensors

Pair = namedtuple("Pair", "x y")


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def test_numbers_take_the_default_dtypes():
    assert default_collate([1, 2]).dtype == np.int64
    assert default_collate([1.5, 2]).dtype == np.float32
    assert default_collate([True, False]).dtype == np.bool_
    assert default_collate([np.float64(1.5), np.float64(2)]).dtype == np.float64
    assert default_collate([np.uint8(1), np.uint8(2)]).dtype == np.uint8


def test_structures_are_kept():
    sample = {"image": np.zeros((2, 2), np.uint8), "box": (1, 2.5), "caption": "a cat", "pair": Pair(1, [2, 3])}
    batch = default_collate([sample, sample, sample])
    assert batch["image"].shape == (3, 2, 2)
    assert batch["box"][0].tolist() == [1, 1, 1]
    assert batch["box"][1].dtype == np.float32
    assert batch["caption"] == ["a cat"] * 3
    assert isinstance(batch["pair"], Pair)
    assert batch["pair"].y[1].tolist() == [3, 3, 3]
    tensors = to_tensors(batch)
    assert isinstance(tensors["pair"], Pair)
    assert isinstance(tensors["pair"].y, list)
    assert isinstance(tensors["pair"].y[1], Tensor)
    assert tensors["caption"] == ["a cat"] * 3


def test_tensors_are_stacked():
    batch = default_collate([(Tensor(np.ones(2, np.float32)), 1), (Tensor(np.zeros(2, np.float32)), 2)])
    assert batch[0].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert batch[0].dtype == np.float32


def test_tensors_share_the_memory_of_the_batch():
    array = np.zeros((2, 3), np.float32)
    assert np.shares_memory(to_tensors([array])[0].numpy(), array)
    tensor = Tensor(array)
    assert to_tensors((tensor,))[0] is tensor


def test_dtypes_that_no_tensor_has():
    with raises(
        DTypeError,
        f"no tensor has the dtype {np.dtype(np.clongdouble)}; the dtypes are float64, float32, bfloat16, complex64, "
        "complex128, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool.",
    ):
        to_tensors(np.zeros(2, dtype=np.clongdouble))


@pytest.mark.parametrize(
    "samples, message",
    [
        ([], "a batch needs at least one sample; got none."),
        (
            [np.zeros(2), np.zeros(3)],
            "the samples of one batch must have equal shapes; sample 1 has (3,) and sample 0 has (2,). "
            "Bring them to one shape (crop, resize or pad), or pass collate= to the loader.",
        ),
        (
            [{"box": (1, np.zeros(2))}, {"box": (1, np.zeros(()))}],
            "the samples of one batch must have equal shapes at ['box'][1]; sample 1 has () and sample 0 has (2,). "
            "Bring them to one shape (crop, resize or pad), or pass collate= to the loader.",
        ),
        (
            [(1, 2), (1, 2, 3)],
            "the samples of one batch must have equal parts; sample 1 has 3 and sample 0 has 2.",
        ),
        (
            [(1, 2), 5],
            "the samples of one batch must have equal parts; sample 1 has none (it is int) and sample 0 has 2.",
        ),
        (
            [{"a": 1}, {"b": 1}],
            "the samples of one batch must have equal keys; sample 1 has ['b'] and sample 0 has ['a'].",
        ),
        (
            [{"a": 1}, 2],
            "the samples of one batch must have equal keys; sample 1 has none (it is int) and sample 0 has ['a'].",
        ),
        (
            [(None, 1), (None, 2)],
            "sample 0 at [0] is NoneType, which can't be stacked into a tensor. "
            "Return arrays or numbers from the data set, or pass collate= to the loader.",
        ),
        (
            [1, "two"],
            "sample 1 is str, which can't be stacked into a tensor. "
            "Return arrays or numbers from the data set, or pass collate= to the loader.",
        ),
    ],
)
def test_samples_that_do_not_fit(samples, message):
    with raises(DataError, message):
        default_collate(samples)


def test_messages_use_the_numbers_of_the_data_set():
    with raises(DataError, "the samples of one batch must have equal parts; sample 4711 has 1 and sample 12 has 2."):
        default_collate([(1, 2), (1,)], indices=[12, 4711])

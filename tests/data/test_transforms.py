"""Standardisation and pixel scaling against plain float64 NumPy."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest

from chainrule.core.errors import DataError, DTypeError
from chainrule.data import Standardize, standardization, to_float


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize("axis", [None, 0, (0, 2, 3), (0, -1), (3, 0)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_against_numpy(axis, dtype):
    data = (np.random.default_rng(0).random((50, 3, 4, 5)) * 200 + 40).astype(dtype)
    mean, std = standardization(data, axis)
    wide = data.astype(np.float64)
    assert mean.dtype == std.dtype == np.float64
    assert np.allclose(mean.ravel(), wide.mean(axis=axis).ravel(), rtol=1e-13)
    assert np.allclose(std.ravel(), wide.std(axis=axis).ravel(), rtol=1e-12)
    scaled = Standardize(mean, std)(data).astype(np.float64)
    assert scaled.shape == data.shape
    assert np.abs(scaled.mean(axis=axis)).max() < 1e-5
    assert np.abs(scaled.std(axis=axis) - 1).max() < 1e-5


def test_the_pieces_add_up(monkeypatch):
    module = importlib.import_module("chainrule.data.transforms")
    data = np.arange(1000, dtype=np.float32).reshape(100, 10)
    whole = standardization(data, axis=0)
    monkeypatch.setattr(module, "_CHUNK", 64)
    assert np.allclose(standardization(data, axis=0), whole, rtol=1e-14)


def test_large_offsets_keep_the_deviation():
    data = np.array([1e9, 1e9 + 1, 1e9 + 2])  # the one-pass formula gives 0 here
    assert standardization(data)[1] == pytest.approx(np.sqrt(2 / 3), rel=1e-12)


def test_digits_come_out_standardised(digits):
    mean, std = standardization(digits.images)
    scaled = Standardize(mean, std)(digits.images[:64])
    assert scaled.dtype == np.float32
    assert scaled.shape == (64, 28, 28)
    expected = (digits.images[:64] - float(mean)) / float(std)
    assert np.abs(scaled - expected).max() < 1e-6
    assert digits.images.dtype == np.uint8


def test_inputs_stay_untouched():
    data = np.array([1.0, 2.0], dtype=np.float32)
    Standardize(1.0, 2.0)(data)
    assert data.tolist() == [1.0, 2.0]


def test_repr_is_the_call():
    assert repr(Standardize(0.5, 2)) == "Standardize(mean=0.5, std=2.0)"
    assert repr(Standardize([1, 2], [3, 4])) == "Standardize(mean=[1.0, 2.0], std=[3.0, 4.0])"


@pytest.mark.parametrize("std, shown", [(0.0, "0.0"), ([1.0, -2.0], "-2.0"), (float("nan"), "nan")])
def test_useless_deviations(std, shown):
    with raises(
        DataError,
        f"Standardize.std must be finite and > 0; got {shown}. "
        "A feature that never changes has the deviation 0: drop it, or give it std 1.",
    ):
        Standardize(0.0, std)


def test_useless_means_and_data():
    with raises(DataError, "Standardize.mean must be finite; got inf."):
        Standardize(float("inf"), 1.0)
    with raises(DataError, "standardization needs at least one sample; got an array of shape (0, 3)."):
        standardization(np.zeros((0, 3)))
    with raises(DataError, "standardization needs finite values; the data holds NaN or infinity."):
        standardization(np.array([1.0, np.nan]))
    with raises(DataError, "standardization averages over the samples, so axis must contain 0; got 1."):
        standardization(np.zeros((2, 3)), axis=1)


def test_to_float():
    pixels = np.arange(256, dtype=np.uint8)
    assert to_float(pixels).dtype == np.float32
    assert np.array_equal(to_float(pixels), pixels.astype(np.float32) / np.float32(255))
    assert to_float(np.array([True, False])).tolist() == [1.0, 0.0]
    assert to_float(np.array([2.5])).tolist() == [2.5]
    with raises(DTypeError, "to_float takes uint8, bool or floats; got int64: divide by its largest value yourself."):
        to_float(np.array([1, 2]))

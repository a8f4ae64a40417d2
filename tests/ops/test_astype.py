"""Conversion: what does not fit has one result on every machine, and gradients come back in the old dtype."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError

INTEGERS = [cr.int8, cr.int16, cr.int32, cr.int64, cr.uint8, cr.uint16, cr.uint32, cr.uint64]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("source", [cr.float64, cr.float32, cr.bfloat16])
def test_floats_outside_the_range_saturate_and_nan_becomes_zero(dtype: cr.DType, source: cr.DType) -> None:
    limits = np.iinfo(dtype.numpy)
    x = cr.asarray([-np.inf, -1e30, np.nan, 1e30, np.inf], dtype=source)
    assert cr.astype(x, dtype).tolist() == [limits.min, limits.min, 0, limits.max, limits.max]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_floats_at_the_ends_of_the_range(dtype: cr.DType) -> None:
    limits = np.iinfo(dtype.numpy)
    top = np.nextafter(float(limits.max) + 1, 0)  # the largest double that still fits
    x = cr.asarray([float(limits.min), float(limits.max) + 1, top], dtype=cr.float64)
    assert cr.astype(x, dtype).tolist() == [limits.min, limits.max, int(top)]


def test_floats_lose_their_fraction() -> None:
    assert cr.astype(cr.asarray([-1.9, -0.5, 0.5, 1.9]), cr.int32).tolist() == [-1, 0, 0, 1]
    assert cr.astype(cr.asarray([-0.5]), cr.uint8).tolist() == [0]


def test_integers_wrap_around() -> None:
    assert cr.astype(cr.asarray([-1, 256, 257]), cr.uint8).tolist() == [255, 0, 1]
    assert cr.astype(cr.asarray([128, -129]), cr.int8).tolist() == [-128, 127]


def test_a_bool_is_whether_the_element_is_not_zero() -> None:
    assert cr.astype(cr.asarray([0.0, -0.0, 0.5, np.nan]), bool).tolist() == [False, False, True, True]
    assert cr.astype(cr.asarray([True, False]), float).tolist() == [1.0, 0.0]


def test_dtypes_by_name_and_by_type() -> None:
    x = cr.arange(2)
    assert cr.astype(x, "float64").dtype is cr.float64
    assert cr.astype(x, np.float32).dtype is cr.float32
    assert cr.astype(x, int).dtype is cr.int64


def test_a_copy_is_a_new_cell_and_copy_false_is_the_tensor_itself() -> None:
    x = cr.ones(2)
    y = cr.astype(x, cr.float32)
    y.assign_(cr.zeros(2))
    assert x.tolist() == [1.0, 1.0]
    assert cr.astype(x, cr.float32, copy=False) is x
    assert cr.astype(x, cr.float64, copy=False).dtype is cr.float64


def test_gradients_return_in_the_dtype_of_the_input_and_stop_at_integers() -> None:
    x = cr.asarray([1.0, 2.0]).requires_grad_()
    cr.sum(cr.astype(x, cr.float64) * 3).backward()
    assert x.grad.dtype is cr.float32
    assert x.grad.tolist() == [3.0, 3.0]
    assert not cr.astype(x, cr.int64).requires_grad


def test_an_unknown_dtype_is_refused_with_the_nearest() -> None:
    with pytest.raises(DTypeError) as error:
        cr.astype(cr.ones(2), "float23")
    assert error.value.message.startswith("no dtype is named 'float23'; did you mean 'float32'?")

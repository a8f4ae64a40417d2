"""Comparisons, tests of floats, logic and bits: values, dtypes, NaN, shifts past the width, whole error messages."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError

COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
X1 = np.array([1.0, 2.0, 3.0, -0.0, np.nan, np.nan, np.inf])
X2 = np.array([1.0, 3.0, 2.0, 0.0, np.nan, 1.0, np.inf])


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_comparisons_agree_with_numpy(name: str, dtype: str) -> None:
    got = getattr(cr, name)(cr.asarray(X1.astype(dtype)), cr.asarray(X2.astype(dtype)))
    assert got.dtype is cr.bool
    np.testing.assert_array_equal(got.numpy(), getattr(np, name)(X1, X2))


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_mix_dtypes_and_numbers_and_never_require_a_gradient(name: str) -> None:
    x = cr.asarray([0.5, 1.0]).requires_grad_()
    got = getattr(cr, name)(x, cr.asarray([1, 1]))
    assert got.tolist() == getattr(np, name)([0.5, 1.0], [1, 1]).tolist()
    assert not got.requires_grad
    assert getattr(cr, name)(1, x).tolist() == getattr(np, name)(1, [0.5, 1.0]).tolist()


def test_bools_can_be_equal_but_not_ordered() -> None:
    flags = cr.asarray([True, False])
    assert cr.equal(flags, True).tolist() == [True, False]
    with pytest.raises(DTypeError) as error:
        cr.less(flags, True)
    assert error.value.message == "less needs a numeric tensor; got bool: use .astype(cr.int64)."


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
def test_tests_of_floats_take_integers_too(name: str) -> None:
    x = np.array([0.0, -1.0, np.nan, np.inf, -np.inf])
    assert getattr(cr, name)(cr.asarray(x)).tolist() == getattr(np, name)(x).tolist()
    assert getattr(cr, name)(cr.asarray(x, dtype=cr.bfloat16)).tolist() == getattr(np, name)(x).tolist()
    assert getattr(cr, name)(cr.arange(2)).tolist() == [name == "isfinite"] * 2


@pytest.mark.parametrize("name", ["and", "or", "xor"])
def test_logic_has_the_truth_tables(name: str) -> None:
    x1, x2 = np.array([False, False, True, True]), np.array([False, True, False, True])
    want = getattr(np, f"logical_{name}")(x1, x2).tolist()
    assert getattr(cr, f"logical_{name}")(cr.asarray(x1), cr.asarray(x2)).tolist() == want
    assert getattr(cr, f"bitwise_{name}")(cr.asarray(x1), cr.asarray(x2)).tolist() == want
    assert cr.logical_not(cr.asarray(x1)).tolist() == cr.bitwise_invert(cr.asarray(x1)).tolist() == (~x1).tolist()


def test_logic_refuses_numbers_and_names_the_way_out() -> None:
    with pytest.raises(DTypeError) as error:
        cr.logical_and(cr.arange(3), True)
    assert error.value.message == (
        "logical_and needs a bool tensor; got int64: compare it with something, or use .astype(bool)."
    )
    with pytest.raises(ShapeError) as error:
        cr.logical_or(cr.asarray([True, False]), cr.asarray([True, False, True]))
    assert error.value.message == (
        "logical_or: the shapes (2,) and (3,) do not broadcast; at axis -1 the sizes 2 and 3 differ and neither is 1. "
        "Reshape one of them, or add an axis with x[:, None]."
    )


@pytest.mark.parametrize("dtype", [cr.int8, cr.uint8, cr.int32, cr.int64, cr.uint64])
def test_bits(dtype: cr.DType) -> None:
    x1, x2 = cr.asarray([12, 10, 0, 127], dtype=dtype), cr.asarray([10, 3, 5, 1], dtype=dtype)
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        got = getattr(cr, name)(x1, x2)
        assert got.dtype is dtype
        assert got.tolist() == getattr(np, name)(x1.numpy(), x2.numpy()).tolist()
    assert cr.bitwise_invert(x1).tolist() == np.invert(x1.numpy()).tolist()


def test_shifts_by_the_width_or_a_negative_count_move_every_bit_out() -> None:
    for dtype in (cr.int8, cr.int32, cr.int64):
        width = 8 * dtype.itemsize
        ones, counts = cr.asarray([1, -1, 5], dtype=dtype), cr.asarray([width, width + 5, -1], dtype=dtype)
        assert cr.bitwise_left_shift(ones, counts).tolist() == [0, 0, 0]
        assert cr.bitwise_right_shift(ones, counts).tolist() == [0, -1, 0]
    assert cr.bitwise_left_shift(cr.asarray([1, 3]), 2).tolist() == [4, 12]
    assert cr.bitwise_right_shift(cr.asarray([-9, 9]), 1).tolist() == [-5, 4]


def test_bits_of_floats_are_refused() -> None:
    with pytest.raises(DTypeError) as error:
        cr.bitwise_and(cr.ones(2), 1)
    assert error.value.message == "bitwise_and needs an integer or bool tensor; got float32: use .astype(cr.int64)."
    with pytest.raises(DTypeError) as error:
        cr.bitwise_left_shift(cr.asarray([True]), cr.asarray([True]))
    assert error.value.message == "bitwise_left_shift needs an integer tensor; got bool: use .astype(cr.int64)."

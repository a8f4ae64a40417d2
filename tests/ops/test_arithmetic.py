"""Arithmetic: values, dtypes, signs of quotients and remainders, division by zero, and whole error messages."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError

BINARY = ["add", "subtract", "multiply", "divide", "floor_divide", "remainder"]
UNARY = ["negative", "positive", "abs", "sign"]


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_agree_with_numpy_and_broadcast(name: str) -> None:
    rng = np.random.default_rng(0)
    left, right = rng.uniform(-3, 3, (2, 1)), rng.uniform(0.5, 2, (3,)) * rng.choice([-1, 1], 3)
    got = getattr(cr, name)(cr.asarray(left), cr.asarray(right))
    np.testing.assert_array_equal(got.numpy(), getattr(np, name)(left, right))
    assert got.shape == (2, 3)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8"])
def test_unary_functions_agree_with_numpy_in_the_same_dtype(name: str, dtype: str) -> None:
    x = np.array([-3, -1, 0, 2, 5], dtype)
    got = getattr(cr, name)(cr.asarray(x))
    np.testing.assert_array_equal(got.numpy(), getattr(np, name)(x))
    assert got.dtype.name == dtype


@pytest.mark.parametrize("name", [name for name in BINARY if name != "divide"])
@pytest.mark.parametrize("dtype", [cr.float64, cr.float32, cr.bfloat16, cr.int32, cr.uint8])
def test_a_python_number_takes_the_dtype_of_the_tensor(name: str, dtype: cr.DType) -> None:
    x = cr.asarray([6, 4], dtype=dtype)
    assert getattr(cr, name)(x, 2).dtype is dtype
    assert getattr(cr, name)(9, x).dtype is dtype


def test_a_float_beside_an_integer_tensor_gives_float32() -> None:
    assert cr.add(cr.arange(3), 0.5).dtype is cr.float32


def test_a_float64_scalar_of_numpy_is_weak_and_an_array_is_not() -> None:
    x = cr.ones(2)
    assert cr.multiply(x, np.sqrt(2.0)).dtype is cr.float32
    assert cr.multiply(x, np.ones(2)).dtype is cr.float64
    assert cr.multiply(x.astype(cr.float64), np.float32(2)).dtype is cr.float64


def test_an_array_of_the_other_byte_order_is_understood() -> None:
    got = cr.add(cr.zeros(2), np.array([1.0, 2.0], ">f4"))
    assert got.tolist() == [1.0, 2.0]
    assert got.numpy().dtype == np.dtype("=f4")


def test_division_of_integers_gives_float32() -> None:
    got = cr.divide(cr.asarray([1, 2]), cr.asarray([2, 0]))
    assert got.dtype is cr.float32
    assert got.tolist() == [0.5, float("inf")]


def test_quotient_and_remainder_follow_the_sign_of_the_divisor_like_python() -> None:
    for a in (-7, 7):
        for b in (-3, 3):
            assert cr.floor_divide(cr.asarray(a), b).item() == a // b
            assert cr.remainder(cr.asarray(a), b).item() == a % b
            assert cr.floor_divide(cr.asarray(float(a)), b).item() == a // b
            assert cr.remainder(cr.asarray(float(a)), b).item() == a % b


def test_division_by_zero_is_0_in_integers_and_not_finite_in_floats() -> None:
    assert cr.floor_divide(cr.asarray([3, -3]), 0).tolist() == [0, 0]
    assert cr.remainder(cr.asarray([3, -3]), 0).tolist() == [0, 0]
    assert cr.floor_divide(cr.asarray([3.0, -3.0]), 0).tolist() == [float("inf"), float("-inf")]
    assert np.isnan(cr.remainder(cr.asarray([3.0]), 0).item())
    assert cr.floor_divide(cr.asarray(-(2**63)), -1).item() == -(2**63)  # wraps, no signal


def test_gradients_through_floor_divide_and_sign_are_zero_not_missing() -> None:
    x = cr.asarray([2.5, -1.5]).requires_grad_()
    cr.sum(cr.sign(x) + cr.floor_divide(x, 2)).backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_positive_returns_a_new_cell() -> None:
    x = cr.ones(2)
    y = cr.positive(x)
    y.assign_(cr.zeros(2))
    assert x.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", [*BINARY, *UNARY, "reciprocal"])
def test_arguments_are_positional_only_as_in_the_standard(name: str) -> None:
    parameters = inspect.signature(getattr(cr, name)).parameters.values()
    assert all(p.kind is p.POSITIONAL_ONLY for p in parameters)


def test_bool_tensors_are_refused() -> None:
    flags = cr.asarray([True, False])
    with pytest.raises(DTypeError) as error:
        cr.add(flags, True)
    assert error.value.message == "add needs a numeric tensor; got bool: use .astype(cr.int64)."
    with pytest.raises(DTypeError) as error:
        cr.reciprocal(cr.arange(3))
    assert error.value.message == "reciprocal needs a float tensor; got int64: use .astype(cr.float32)."


def test_shapes_that_do_not_broadcast_are_named() -> None:
    with pytest.raises(ShapeError) as error:
        cr.subtract(cr.zeros((2, 3)), cr.zeros((2, 4)))
    assert error.value.message == (
        "subtract: the shapes (2, 3) and (2, 4) do not broadcast; at axis -1 the sizes 3 and 4 differ and neither is "
        "1. Reshape one of them, or add an axis with x[:, None]."
    )


def test_numbers_that_do_not_fit_and_other_types_are_refused() -> None:
    with pytest.raises(DTypeError) as error:
        cr.add(cr.asarray([1], dtype=cr.uint8), 300)
    assert error.value.message == "the number 300 does not fit uint8; convert the tensor with .astype first."
    with pytest.raises(DTypeError) as error:
        cr.add(cr.ones(2), "1")
    assert error.value.message == "expected a tensor or a number; got str: convert it with cr.asarray."
    with pytest.raises(DTypeError) as error:
        cr.add(cr.asarray([1], dtype=cr.uint64), cr.asarray([1]))
    assert error.value.message == (
        "uint64 and int64 have no common integer type; convert one with .astype, say .astype(cr.int64)."
    )

"""Rounding, signs and neighbours: halves, integers, minus zero, bfloat16."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError


@pytest.mark.parametrize(
    "name, want",
    [
        ("floor", [-3.0, -2.0, -1.0, 0.0, 0.0, 1.0, 2.0, 2.0]),
        ("ceil", [-2.0, -1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 3.0]),
        ("trunc", [-2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0]),
        ("round", [-2.0, -2.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0]),
    ],
)
@pytest.mark.parametrize("dtype", [cr.float64, cr.float32, cr.bfloat16])
def test_rounding(name: str, want: list[float], dtype: cr.DType) -> None:
    x = cr.asarray([-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.0, 2.5], dtype=dtype)
    assert getattr(cr, name)(x).astype(cr.float64).tolist() == want


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
def test_integers_stay_as_they_are_and_bools_are_refused(name: str) -> None:
    x = cr.asarray([-(2**62) - 1, 5])  # would not survive a trip through float64
    got = getattr(cr, name)(x)
    assert got.dtype is cr.int64
    assert got.tolist() == x.tolist()
    with pytest.raises(DTypeError) as error:
        getattr(cr, name)(cr.asarray([True]))
    assert error.value.message == f"{name} needs a numeric tensor; got bool: use .astype(cr.int64)."


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
def test_the_gradient_of_rounding_is_zero_not_missing(name: str) -> None:
    x = cr.asarray([0.5, 2.0, -1.7]).requires_grad_()
    cr.sum(getattr(cr, name)(x) + x).backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_signs() -> None:
    assert cr.copysign(cr.asarray([1.0, -2.0]), cr.asarray([-0.0, 0.0])).tolist() == [-1.0, 2.0]
    assert cr.signbit(cr.asarray([-0.0, 0.0, -3.0, 3.0])).tolist() == [True, False, True, False]


@pytest.mark.parametrize("dtype, gap", [(cr.float64, 2.0**-52), (cr.float32, 2.0**-23), (cr.bfloat16, 2.0**-7)])
def test_the_neighbour_of_one_is_found_in_the_tensors_own_dtype(dtype: cr.DType, gap: float) -> None:
    x = cr.ones(2, dtype=dtype)
    up, down = cr.nextafter(x, 2), cr.nextafter(x, cr.asarray([0.0, 1.0], dtype=dtype))
    assert up.dtype is dtype
    assert up.astype(cr.float64).tolist() == [1 + gap, 1 + gap]
    assert down.astype(cr.float64).tolist() == [1 - gap / 2, 1.0]


def test_nextafter_refuses_integers() -> None:
    with pytest.raises(DTypeError) as error:
        cr.nextafter(cr.arange(2), 1)
    assert error.value.message == "nextafter needs a float tensor; got int64: use .astype(cr.float32)."


def test_rounding_agrees_with_numpy_on_random_values() -> None:
    x = np.random.default_rng(2).uniform(-1e6, 1e6, 1000)
    for name in ("floor", "ceil", "trunc", "round"):
        np.testing.assert_array_equal(getattr(cr, name)(cr.asarray(x)).numpy(), getattr(np, name)(x))

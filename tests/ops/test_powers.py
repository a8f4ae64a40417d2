"""Powers and roots: integer powers, weak exponents, and gradients at the points where the plain rule gives NaN."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError


def gradient(function, *values: float) -> list[float]:
    tensors = [cr.asarray(value, dtype=cr.float64).requires_grad_() for value in values]
    function(*tensors).backward()
    return [tensor.grad.item() for tensor in tensors]


def test_powers_agree_with_numpy() -> None:
    rng = np.random.default_rng(1)
    base, exponent = rng.uniform(0.2, 3, (2, 3)), rng.uniform(-2, 2, 3)
    np.testing.assert_array_equal(cr.pow(cr.asarray(base), cr.asarray(exponent)).numpy(), base**exponent)
    assert cr.pow(2, cr.asarray([1.0, 3.0])).tolist() == [2.0, 8.0]


@pytest.mark.parametrize("exponent", [2, 2.0, 3, 0.5, -1, 0])
@pytest.mark.parametrize("dtype", [cr.float64, cr.float32])
def test_a_number_as_exponent_is_weak(exponent: float, dtype: cr.DType) -> None:
    x = np.array([0.5, 1.5, 3.0], dtype.numpy)
    got = cr.pow(cr.asarray(x), exponent)
    assert got.dtype is dtype
    np.testing.assert_array_equal(got.numpy(), np.power(x, dtype.numpy.type(exponent)))


def test_squares_of_integers_stay_integers_and_a_float_exponent_makes_floats() -> None:
    assert cr.pow(cr.arange(4), 2).dtype is cr.int64
    assert cr.pow(cr.arange(4), 2).tolist() == [0, 1, 4, 9]
    assert cr.pow(cr.arange(4), 2.0).dtype is cr.float32


def test_integers_to_negative_powers_in_a_tensor_lose_their_fraction() -> None:
    bases, exponents = cr.asarray([-2, -1, -1, 0, 1, 2]), cr.asarray([-1, -2, -3, -1, -9, -2])
    assert cr.pow(bases, exponents).tolist() == [0, 1, -1, 0, 1, 0]
    assert cr.pow(bases.astype(cr.int8), exponents.astype(cr.int8)).dtype is cr.int8


def test_an_integer_tensor_to_a_negative_number_is_refused() -> None:
    with pytest.raises(DTypeError) as error:
        cr.pow(cr.arange(3), -1)
    assert (
        error.value.message
        == "pow: an integer tensor to the power -1 is not an integer; use .astype(cr.float32) first."
    )


@pytest.mark.parametrize(
    "base, exponent, slopes",
    [
        (0.0, 0.0, (0.0, 0.0)),
        (0.0, 1.0, (1.0, 0.0)),
        (0.0, 2.0, (0.0, 0.0)),
        (0.0, 3.0, (0.0, 0.0)),
        (0.0, -1.0, (-np.inf, -np.inf)),
        (-2.0, 2.0, (-4.0, 0.0)),
        (1e-320, 0.0, (0.0, 1.0 * np.log(1e-320))),  # 1 / 1e-320 overflows
        (2.0, 3.0, (12.0, 8.0 * np.log(2.0))),
    ],
)
def test_gradients_of_powers(base: float, exponent: float, slopes: tuple[float, float]) -> None:
    np.testing.assert_allclose(gradient(cr.pow, base, exponent), slopes, rtol=1e-14)


@pytest.mark.parametrize("base, exponent", [(0.0, 1.0), (0.0, 2.0), (0.0, 3.0), (-1.5, 3.0), (2.0, 0.0), (2.0, 1.0)])
def test_second_gradients_of_powers(base: float, exponent: float) -> None:
    x, p = (cr.asarray(v, dtype=cr.float64).requires_grad_() for v in (base, exponent))
    cr.pow(x, p).backward(create_graph=True)
    slope = x.grad
    x.grad = p.grad = None
    slope.backward()
    assert x.grad.item() == (0.0 if exponent < 2 else exponent * (exponent - 1) * base ** (exponent - 2))
    if base > 0:  # d/dp of p x^(p - 1)
        mixed = base ** (exponent - 1) * (1 + exponent * np.log(base))
        np.testing.assert_allclose(p.grad.item(), mixed, rtol=1e-14)


def test_a_square_by_the_operator_has_the_gradient_of_the_parabola() -> None:
    assert gradient(lambda x: x**2, -3.0) == [-6.0]
    assert gradient(lambda x: x**2.0, 0.0) == [0.0]


def test_roots_and_lengths() -> None:
    assert cr.sqrt(cr.asarray([4.0, 0.0])).tolist() == [2.0, 0.0]
    assert cr.isnan(cr.sqrt(cr.asarray([-1.0]))).item()
    assert cr.rsqrt(cr.asarray([4.0, 0.0])).tolist() == [0.5, float("inf")]
    assert cr.hypot(cr.asarray(3e38), 4e37).item() < float("inf")  # the squares would overflow in float32
    assert gradient(cr.hypot, 0.0, 0.0) == [0.0, 0.0]


def test_floats_are_needed_for_roots() -> None:
    with pytest.raises(DTypeError) as error:
        cr.sqrt(cr.arange(3))
    assert error.value.message == "sqrt needs a float tensor; got int64: use .astype(cr.float32)."

"""Exponentials, trigonometric, hyperbolic and special functions: values in every float dtype, and far out."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError
from chainrule.ops._erf import erf64, erfc64

NUMPY = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
}
UNARY = ["exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "sinh", "cosh", "tanh", *NUMPY]
ALL = [*UNARY, "sigmoid", "softplus", "relu", "erf", "erfc"]


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_are_numpys(name: str, dtype: str) -> None:
    low, high = (1.1, 3.0) if name == "acosh" else (0.1, 0.9)
    x = np.linspace(low, high, 12, dtype=dtype).reshape(3, 4)
    got = getattr(cr, name)(cr.asarray(x))
    np.testing.assert_array_equal(got.numpy(), getattr(np, NUMPY.get(name, name))(x))
    assert got.dtype.name == dtype


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_is_computed_in_float32_and_rounded_once(name: str) -> None:
    x = cr.asarray([1.25], dtype=cr.bfloat16) if name == "acosh" else cr.asarray([0.25, 0.75], dtype=cr.bfloat16)
    got = getattr(cr, name)(x)
    want = getattr(cr, name)(x.astype(cr.float32)).astype(cr.bfloat16)
    assert got.dtype is cr.bfloat16
    assert got.astype(cr.float32).tolist() == want.astype(cr.float32).tolist()


@pytest.mark.parametrize("name", ALL)
def test_integers_are_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(DTypeError) as error:
        getattr(cr, name)(cr.arange(3))
    assert error.value.message == f"{name} needs a float tensor; got int64: use .astype(cr.float32)."


@pytest.mark.parametrize("name", [*ALL, "logaddexp", "atan2"])
def test_arguments_are_positional_only(name: str) -> None:
    assert all(p.kind is p.POSITIONAL_ONLY for p in inspect.signature(getattr(cr, name)).parameters.values())


def test_functions_are_exact_far_out_without_a_warning() -> None:
    far = cr.asarray([-1e4, -1e3, 1e3, 1e4])
    assert cr.sigmoid(far).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert cr.softplus(far).tolist() == [0.0, 0.0, 1e3, 1e4]
    assert cr.tanh(far).tolist() == [-1.0, -1.0, 1.0, 1.0]
    assert cr.relu(far).tolist() == [0.0, 0.0, 1e3, 1e4]
    assert cr.logaddexp(far, -1e4).tolist()[1:] == [-1e3, 1e3, 1e4]


def test_sigmoid_keeps_its_precision_on_the_left() -> None:
    x = cr.asarray([-30.0, -80.0], dtype=cr.float64)
    np.testing.assert_allclose(cr.sigmoid(x).numpy(), np.exp(x.numpy()), rtol=1e-12)


def test_relu_keeps_nan_and_passes_no_gradient_at_zero() -> None:
    x = cr.asarray([float("nan"), 0.0, -1.0, 2.0]).requires_grad_()
    y = cr.relu(x)
    cr.sum(y).backward()
    assert cr.isnan(y).tolist() == [True, False, False, False]
    assert x.grad.tolist() == [1.0, 0.0, 0.0, 1.0]


def test_logaddexp_of_two_minus_infinities_has_a_finite_gradient() -> None:
    x1, x2 = (cr.asarray([-float("inf"), 0.0]).requires_grad_() for _ in range(2))
    y = cr.logaddexp(x1, x2)
    cr.sum(y).backward()
    assert y.tolist()[0] == -float("inf")
    assert x1.grad.tolist() == x2.grad.tolist() == [0.5, 0.5]


def test_angles_lie_in_the_right_quadrant() -> None:
    y, x = cr.asarray([1.0, 1.0, -1.0, -1.0, 0.0]), cr.asarray([1.0, -1.0, -1.0, 1.0, -1.0])
    want = np.array([0.25, 0.75, -0.75, -0.25, 1.0]) * np.pi
    np.testing.assert_allclose(cr.atan2(y, x).numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("ours, exact, ulps", [(erf64, math.erf, 1.5), (erfc64, math.erfc, 5)])
def test_error_functions_agree_with_libm(ours, exact, ulps: float) -> None:
    rng = np.random.default_rng(3)
    ends = [0.0, -0.0, 0.84375, 1.25, 1 / 0.35, 6.0, 26.5, 28.0, 1e-300, np.inf, -np.inf]
    x = np.concatenate([rng.uniform(-7, 7, 4000), rng.uniform(-1.5, 1.5, 4000), rng.uniform(5, 26, 2000), ends])
    with np.errstate(all="ignore"):
        got = ours(x)
    want = np.array([exact(v) for v in x])
    off = np.abs(got - want) / np.spacing(np.abs(want))
    assert off.max() <= ulps, (x[off.argmax()], got[off.argmax()], want[off.argmax()])


def test_error_functions_keep_nan_sign_and_shape() -> None:
    assert np.isnan(cr.erf(cr.asarray([float("nan")])).item())
    assert np.isnan(cr.erfc(cr.asarray([float("nan")])).item())
    assert np.signbit(cr.erf(cr.asarray(-0.0)).item())
    assert cr.erf(cr.zeros((0, 3))).shape == (0, 3)
    assert cr.erfc(cr.asarray([-40.0, 40.0])).tolist() == [2.0, 0.0]

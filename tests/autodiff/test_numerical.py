"""numerical_gradient and check_gradients: right gradients pass, a wrong one fails at its order with both numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, GradientError
from chainrule.testing import assert_close


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


def test_numerical_gradient():
    x = f64([[0.3, -1.0], [2.0, 0.1]])
    assert_close(cr.numerical_gradient(lambda z: cr.sin(z).sum(), x), np.cos(x.numpy()), rtol=1e-8)
    w = f64(3.0)
    got = cr.numerical_gradient(lambda a, b: a * b * b, f64(2.0), w, argnum=1)
    assert got.item() == pytest.approx(12.0, rel=1e-8)
    assert w.item() == 3.0


def test_numerical_gradient_needs_float64():
    with pytest.raises(DTypeError) as error:
        cr.numerical_gradient(lambda x: x.sum(), cr.ones(2))
    assert error.value.message == "numerical_gradient needs float64, for useful digits; argument 0 is float32."


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)])
def test_right_gradients_pass(shape):
    rng = np.random.default_rng(1)
    x, y = (cr.asarray(np.asarray(rng.uniform(0.5, 2.0, shape))) for _ in range(2))
    cr.check_gradients(lambda a, b: cr.exp(a) * cr.log(b) / (a + b), x, y)
    cr.check_gradients(lambda a: (cr.sin(a), a * a), x, order=3)


def test_numbers_are_taken():
    cr.check_gradients(lambda a, b: a * b * b, 2.0, 3.0)


def _wrong_at(order):
    """Return a function that is right but for 0.1 % in its derivative of that order."""

    @cr.custom_gradient
    def cube(x):
        return x**3, lambda g: g * slope(x)

    @cr.custom_gradient
    def slope(x):
        return 3 * x**2 * (1.001 if order == 1 else 1.0), lambda g: g * 6 * x * (1.001 if order == 2 else 1.0)

    return cube


@pytest.mark.parametrize("order", [1, 2])
def test_a_derivative_wrong_by_a_tenth_of_a_percent_fails(order):
    with pytest.raises(GradientError) as error:
        cr.check_gradients(_wrong_at(order), f64([1.0, 2.0]))
    number = r"-?[\d.e-]+"
    assert re.fullmatch(
        rf"gradient of order {order} differs from central differences: got {number}, expected {number} "
        rf"\(difference {number}, allowed {number}\); "
        r"a kink near the point gives this too: move the point or lower eps\.",
        error.value.message,
    )


def test_order_1_does_not_look_at_the_second_derivative():
    cr.check_gradients(_wrong_at(2), f64([1.0, 2.0]), order=1)
    cr.check_gradients(_wrong_at(None), f64([1.0, 2.0]))


def test_a_wrong_constant_gradient_fails():
    """A result that nothing was recorded for, though it depends on the argument."""
    with pytest.raises(GradientError, match=r"^gradient of order 1 differs"):
        cr.check_gradients(lambda x: x.detach() * 2, f64([1.0, 2.0]))


def test_float64_is_needed():
    with pytest.raises(DTypeError) as error:
        cr.check_gradients(cr.exp, cr.ones(2))
    assert error.value.message == "check_gradients needs float64, for useful digits; argument 0 is float32."


def test_leaves_are_left_alone():
    x = f64([1.0, 2.0]).requires_grad_()
    cr.check_gradients(cr.exp, x)
    assert x.grad is None
    assert x.tolist() == [1.0, 2.0]

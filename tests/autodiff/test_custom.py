"""custom_gradient: the block's own derivative is used, eagerly, in higher orders and traced."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule.core.errors import GradientError


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


@cr.custom_gradient
def straight_through(x):
    """Round; the gradient passes as if nothing had happened."""
    return cr.round(x), lambda g: g


@cr.custom_gradient
def scaled(x, y):
    """A product whose gradients are ten and a hundred times too large."""
    return x * y, lambda g: (10 * g * y, 100 * g * x)


def test_the_hard_coded_derivative_is_used():
    assert cr.grad(lambda x: straight_through(x) * 3)(f64(0.4)).item() == 3.0
    assert straight_through(f64(0.6)).item() == 1.0


def test_several_arguments():
    dx, dy = cr.grad(scaled, argnums=(0, 1))(f64(2.0), f64(3.0))
    assert (dx.item(), dy.item()) == (30.0, 200.0)


def test_the_derivative_can_be_differentiated():
    """d/dx (10 y) and then by y."""
    second = cr.grad(lambda y: cr.grad(lambda x: scaled(x, y))(f64(2.0)))
    assert second(f64(3.0)).item() == 10.0


def test_a_right_block_passes_the_check():
    @cr.custom_gradient
    def softplus(x):
        e = cr.exp(x)
        return cr.log1p(e), lambda g: g * cr.sigmoid(x)

    cr.check_gradients(softplus, f64([-1.0, 0.5]))


def test_several_results():
    @cr.custom_gradient
    def both(x):
        return (x * 2, x * 3), lambda g1, g2: g1 * 20 + g2 * 30

    a, b = both(x := f64(1.0).requires_grad_())
    (a + b * 2).backward()
    assert x.grad.item() == 80.0


def test_a_result_that_is_not_used_counts_as_zero():
    @cr.custom_gradient
    def both(x):
        return (x * 2, x * 3), lambda g1, g2: g1 * 20 + g2 * 30

    a, _ = both(x := f64(1.0).requires_grad_())
    a.backward()
    assert x.grad.item() == 20.0


def test_none_for_an_argument_without_gradient():
    @cr.custom_gradient
    def pick(x, index):
        return x * index, lambda g: (g * 7, None)

    assert cr.grad(pick)(f64(2.0), f64(3.0)).item() == 7.0
    assert cr.grad(pick, argnums=1)(f64(2.0), f64(3.0)).item() == 0.0


def test_numbers_beside_tensors():
    @cr.custom_gradient
    def power(x, n):
        return x**n, lambda g: (g * 1000, None)

    assert cr.grad(power)(f64(2.0), 3).item() == 1000.0


def test_nothing_is_recorded_where_nothing_is_wanted():
    assert straight_through(f64(0.4)).requires_grad is False
    with cr.no_grad():
        assert straight_through(f64(0.4).requires_grad_()).requires_grad is False


def test_inside_a_jitted_step_and_from_outside():
    inside = cr.jit(cr.grad(lambda x: straight_through(x * 2) * 3))
    outside = cr.grad(cr.jit(lambda x: straight_through(x * 2) * 3))
    assert inside(f64(0.4)).item() == 6.0
    assert outside(f64(0.4)).item() == 6.0


def test_the_name_and_docstring_stay():
    assert (straight_through.__name__, straight_through.__doc__[:6]) == ("straight_through", "Round;")


def test_the_wrong_return_value():
    @cr.custom_gradient
    def wrong(x):
        return x

    with pytest.raises(GradientError) as error:
        wrong(f64(1.0))
    assert error.value.message == "custom_gradient: wrong must return (result, pull); it returned Tensor."


def test_the_wrong_number_of_gradients():
    @cr.custom_gradient
    def wrong(x, y):
        return x * y, lambda g: g

    with pytest.raises(GradientError) as error:
        cr.grad(wrong)(f64(1.0), f64(1.0))
    assert error.value.message == "custom_gradient: wrong takes 2 arguments, and its pull returned 1 gradients."


def test_a_block_that_returns_its_argument():
    """Gradient reversal: the argument stays a leaf with its own gradient, the result is another tensor."""

    @cr.custom_gradient
    def reverse(x):
        return x, lambda g: -g

    x = f64(2.0).requires_grad_()
    y = reverse(x)
    (y * 3 + x).backward()
    assert (x.grad.item(), x.is_leaf, y.item()) == (-2.0, True, 2.0)


def test_a_pull_that_uses_the_result_can_be_differentiated_again():
    @cr.custom_gradient
    def sigmoid(x):
        y = 1 / (1 + cr.exp(-x))
        return y, lambda g: g * y * (1 - y)

    cr.check_gradients(sigmoid, f64([-1.0, 0.5]), order=3)

"""custom_gradient: the block's own derivative is used, eagerly, in higher orders and traced."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import GradientError
from chainrule.testing import assert_close


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


# ---------------------------------------------------------------------------------------------------- other transforms
def rows(*shape):
    return f64(np.random.default_rng(0).standard_normal(shape))


@cr.custom_gradient
def logistic(x):
    e = cr.exp(-x)
    y = 1 / (1 + e)
    return y, lambda g: g * y * y * e


def tripled_forward(args, tangents):
    return (tangents[0] * args[1] + args[0] * tangents[1]) * 3


@cr.custom_gradient(forward=tripled_forward)
def tripled(x, y):
    """A product with derivatives three times too large, in both modes."""
    return x * y, lambda g: (3 * g * y, 3 * g * x)


def test_a_pull_that_uses_intermediate_results_can_be_differentiated_again():
    cr.check_gradients(logistic, f64([-1.0, 0.5]), order=3)


def test_forward_mode_follows_from_the_pull():
    x, t = f64([0.4, 1.6]), f64([2.0, 3.0])
    y, moved = cr.jvp(straight_through, (x,), (t,))
    assert (y.tolist(), moved.tolist()) == ([0.0, 2.0], [2.0, 3.0])
    assert_close(cr.jvp(logistic, (x,), (t,))[1], cr.jvp(cr.sigmoid, (x,), (t,))[1])
    assert_close(cr.jvp(scaled, (x, x), (t, x * 0))[1], 10 * x * t)


def test_forward_mode_uses_the_forward_rule():
    x, y = f64(2.0), f64(5.0)
    assert cr.jvp(tripled, (x, y), (f64(1.0), f64(10.0)))[1].item() == 75.0
    assert cr.jvp(lambda x: tripled(x, y), (x,), (f64(1.0),))[1].item() == 15.0
    assert cr.grad(tripled)(x, y).item() == 15.0


FORWARD = lambda f: lambda x: cr.jvp(f, (x,), (cr.ones_like(x),))[1]  # noqa: E731


@pytest.mark.parametrize("modes", list(itertools.product([cr.grad, FORWARD], repeat=3)))
def test_third_derivatives_agree_in_all_orders_of_modes(modes):
    blocks = [logistic, lambda x: tripled(x, x) / 3]
    plain = [cr.sigmoid, lambda x: x * x]
    for mode in modes:
        blocks, plain = [mode(f) for f in blocks], [mode(f) for f in plain]
        for block, f in zip(blocks, plain, strict=True):
            assert block(f64(0.7)).item() == pytest.approx(f(f64(0.7)).item(), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("transform", ["vmap", "jit vmap", "vmap jit"])
def test_in_a_batch(transform):
    x = rows(4, 3)
    batch = cr.vmap(straight_through if transform != "vmap jit" else cr.jit(straight_through))
    batch = cr.jit(batch) if transform == "jit vmap" else batch
    assert batch(x).tolist() == cr.round(x).tolist()
    got = cr.grad(lambda x: (batch(x) * x).sum())(x)
    assert_close(got, cr.round(x) + x)


def test_per_sample_gradients_and_what_all_samples_share():
    x, w = rows(4, 3), rows(3)
    got = cr.vmap(cr.grad(lambda x, w: scaled(x, w).sum(), argnums=(0, 1)), in_axes=(0, None))(x, w)
    assert_close(got[0], cr.stack([w * 10] * 4))
    assert_close(got[1], x * 100)
    shared = cr.grad(lambda w: cr.vmap(lambda x: scaled(x, w).sum())(x).sum())(w)
    assert_close(shared, x.sum(axis=0) * 100)


@pytest.mark.parametrize("inner", [cr.grad, FORWARD])
@pytest.mark.parametrize("outer", [cr.grad, FORWARD])
def test_derivatives_inside_and_outside_of_a_batch(inner, outer):
    """d/dx of the batch of derivatives: the block's results, intermediate results and arguments all count."""
    x = rows(4)
    second = lambda f: outer(lambda x: (cr.vmap(inner(f))(x) ** 2).sum())(x)  # noqa: E731
    assert_close(second(logistic), second(cr.sigmoid))
    twice = lambda f: cr.vmap(outer(lambda x: inner(f)(x) ** 2))(x)  # noqa: E731
    assert_close(twice(logistic), twice(cr.sigmoid))


def test_the_forward_rule_in_a_batch():
    x, y = rows(4, 3), rows(3)
    push = lambda x: cr.jvp(lambda x: tripled(x, y), (x,), (cr.ones(3, dtype=cr.float64),))[1]  # noqa: E731
    want = cr.stack([y * 3] * 4)
    assert_close(cr.vmap(push)(x), want)
    assert_close(cr.jvp(cr.vmap(lambda x: tripled(x, y)), (x,), (cr.ones_like(x),))[1], want)


def test_forward_mode_is_differentiable_by_what_the_block_is_given():
    w = f64([2.0, 3.0]).requires_grad_()
    _, moved = cr.jvp(lambda x: scaled(x, w).sum(), (f64([1.0, 2.0]),), (f64([1.0, 5.0]),))
    moved.backward()
    assert w.grad.tolist() == [10.0, 50.0]


def test_values_below_a_block_stay_its_own():
    """Where nothing of the block is recorded, its results carry no tape."""
    result = straight_through(f64(0.4).requires_grad_())
    assert result.requires_grad
    with cr.no_grad():
        assert not straight_through(f64(0.4).requires_grad_()).requires_grad


def test_a_forward_rule_with_the_wrong_number_of_tangents():
    @cr.custom_gradient(forward=lambda args, tangents: (tangents[0], tangents[0]))
    def wrong(x):
        return x * 2, lambda g: g

    with pytest.raises(GradientError) as error:
        cr.jvp(wrong, (f64(1.0),), (f64(1.0),))
    assert error.value.message == "custom_gradient: wrong has 1 results, and its forward rule returned 2 tangents."

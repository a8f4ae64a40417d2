"""Composites: stable far out, exact to second order, refusals in the name of the function that was called."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError
from chainrule.testing import assert_close

INF = float("inf")
FUNCTIONS = {
    "softmax": lambda x: cr.softmax(x),
    "softmax along axis 0": lambda x: cr.softmax(x, axis=0),
    "log_softmax": lambda x: cr.log_softmax(x),
    "logsumexp": lambda x: cr.logsumexp(x, axis=1),
    "logsumexp of all": lambda x: cr.logsumexp(x),
    "logsumexp kept": lambda x: cr.logsumexp(x, axis=(0, 1), keepdims=True),
    "log_sigmoid": lambda x: cr.log_sigmoid(x),
    "silu": lambda x: cr.silu(x),
    "gelu": lambda x: cr.gelu(x),
    "gelu by tanh": lambda x: cr.gelu(x, "tanh"),
    "leaky_relu": lambda x: cr.square(cr.leaky_relu(x, 0.2)),
    "elu": lambda x: cr.square(cr.elu(x, 0.7)),
    "selu": lambda x: cr.square(cr.selu(x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_to_second_order(name: str) -> None:
    x = cr.asarray(np.random.default_rng(0).normal(size=(3, 4)) * 2)
    cr.check_gradients(FUNCTIONS[name], x, order=2)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_traced_equals_eager_with_its_gradient(name: str) -> None:
    x = cr.asarray(np.random.default_rng(1).normal(size=(3, 4)) * 2)

    def step(x: cr.Tensor) -> tuple[cr.Tensor, cr.Tensor]:
        value, slope = cr.value_and_grad(lambda x: cr.sum(FUNCTIONS[name](x)))(x)
        return value, slope

    for eager, traced in zip(step(x), cr.jit(step)(x), strict=True):
        assert_close(traced, eager)


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    x = cr.asarray([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0], [-INF, 0.0, 0.0]])
    y = cr.softmax(x)
    np.testing.assert_allclose(y.numpy(), [[1, 0, 0], [1 / 3] * 3, [0, 0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(cr.log_softmax(x).numpy()[0], [0, -1e4, -2e4])


def test_masked_elements_have_gradient_zero() -> None:
    for function in (cr.softmax, cr.logsumexp):
        x = cr.asarray([-INF, 1.0, 2.0]).requires_grad_()
        cr.sum(cr.square(function(x))).backward()
        assert x.grad.tolist()[0] == 0.0
        assert np.isfinite(x.grad.numpy()).all()


def test_logsumexp_of_a_row_of_minus_infinity_is_minus_infinity_with_gradient_zero() -> None:
    x = cr.asarray([[-INF, -INF], [0.0, 0.0]]).requires_grad_()
    y = cr.logsumexp(x, axis=1)
    cr.sum(cr.where(cr.isfinite(y), y, 0.0)).backward()
    np.testing.assert_allclose(y.numpy(), [-INF, np.log(2)], rtol=1e-6)
    assert x.grad.tolist() == [[0.0, 0.0], [0.5, 0.5]]
    z = cr.asarray([-INF, -INF]).requires_grad_()
    cr.logsumexp(z).backward()
    assert z.grad.tolist() == [0.0, 0.0]


def test_logsumexp_keeps_infinity_and_nan() -> None:
    assert cr.logsumexp(cr.asarray([INF, 0.0])).item() == INF
    assert np.isnan(cr.logsumexp(cr.asarray([float("nan"), 0.0])).item())
    assert cr.logsumexp(cr.asarray(2.5)).item() == 2.5


def test_logsumexp_shapes() -> None:
    x = cr.zeros((2, 3, 4))
    assert cr.logsumexp(x).shape == ()
    assert cr.logsumexp(x, axis=-1).shape == (2, 3)
    assert cr.logsumexp(x, axis=(0, 2)).shape == (3,)
    assert cr.logsumexp(x, axis=(0, 2), keepdims=True).shape == (1, 3, 1)


def test_activations_far_out() -> None:
    far = cr.asarray([-1e4, 1e4])
    assert cr.silu(far).tolist() == [0.0, 1e4]
    assert cr.gelu(far).tolist() == [0.0, 1e4]
    assert cr.gelu(far, "tanh").tolist() == [0.0, 1e4]
    assert cr.log_sigmoid(far).tolist() == [-1e4, 0.0]
    assert cr.elu(far, 0.5).tolist() == [-0.5, 1e4]
    np.testing.assert_allclose(cr.selu(far).tolist(), [-1.7580993, 10507.01], rtol=1e-6)


def test_gelu_keeps_its_precision_where_1_plus_erf_would_cancel() -> None:
    x = -8.0  # P(N <= -8) = 6.220960574271786e-16
    assert cr.gelu(cr.asarray(x, dtype=cr.float64)).item() == pytest.approx(x * 6.220960574271786e-16, rel=1e-13)


def test_slopes_at_the_kink_are_those_to_the_left() -> None:
    for function, slope in ((cr.elu, 1.0), (cr.leaky_relu, 0.01), (cr.selu, 1.0507009873554805 * 1.6732632423543772)):
        x = cr.asarray(0.0, dtype=cr.float64).requires_grad_()
        function(x).backward()
        assert x.grad.item() == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize(
    "name", ["softmax", "log_softmax", "logsumexp", "log_sigmoid", "silu", "gelu", "leaky_relu", "elu", "selu"]
)
def test_integers_are_refused_in_the_functions_own_name(name: str) -> None:
    with pytest.raises(DTypeError) as error:
        getattr(cr, name)(cr.arange(3))
    assert error.value.message == f"{name} needs a float tensor; got int64: use .astype(cr.float32)."


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_an_axis_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(IndexRangeError) as error:
        getattr(cr, name)(cr.zeros((2, 3)), axis=2)
    assert error.value.message == (f"{name}: axis 2 does not exist in a tensor with 2 axes; allowed: [-2, 1].")


def test_gelu_refuses_another_word() -> None:
    with pytest.raises(ValueError, match=r'^gelu\.approximate must be "none" or "tanh"; got \'erf\'\.$'):
        cr.gelu(cr.ones(2), "erf")

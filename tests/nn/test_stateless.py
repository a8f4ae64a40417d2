"""functional_call: a module as a function of its parameters, under every transform; its own state is left alone."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import StateDictError
from chainrule.testing import assert_close, assert_equal


class Counting(nn.Module):
    """A layer with a buffer that each call assigns."""

    def __init__(self):
        self.linear = nn.Linear(3, 2)
        self.register_buffer("mean", cr.zeros(2))

    def forward(self, x):
        y = self.linear(x)
        self.mean = self.mean * 0.5 + y.detach().mean(axis=0) * 0.5
        return cr.tanh(y)


def network():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def parameters(model):
    return {name: p.detach() for name, p in model.named_parameters()}


def squared(model):
    return lambda params, x: (nn.functional_call(model, params, x) ** 2).sum()


X = cr.asarray(np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32))


def test_given_parameters_are_used_and_the_own_ones_stay():
    model, other = network(), network()
    before = {name: p.numpy().copy() for name, p in model.named_parameters()}
    versions = {name: p.version for name, p in model.named_parameters()}
    assert_equal(nn.functional_call(model, parameters(other), X), other(X))
    partly = nn.functional_call(model, {"2.bias": cr.ones(2)}, (X,))
    assert_close(partly, model(X) - model[2].bias + 1)
    for name, p in model.named_parameters():
        assert_equal(p, before[name])
        assert p.requires_grad
        assert p.is_leaf
        assert p.version == versions[name]


def test_gradients_per_sample_are_those_of_a_loop():
    model = network()
    params = parameters(model)
    got = cr.vmap(cr.grad(squared(model)), in_axes=(None, 0))(params, X)
    for name, parameter in model.named_parameters():
        for i, x in enumerate(X):
            model.zero_grad()
            (model(x) ** 2).sum().backward()
            assert_close(got[name][i], parameter.grad, atol=1e-5)


def test_the_gradient_by_the_modules_own_parameters():
    model = network()
    value = cr.grad(squared(model))(dict(model.named_parameters()), X)
    (model(X) ** 2).sum().backward()
    for name, parameter in model.named_parameters():
        assert_close(value[name], parameter.grad)


def test_an_ensemble_of_networks():
    models = [network() for _ in range(3)]
    stacked = {name: cr.stack([parameters(m)[name] for m in models]) for name in parameters(models[0])}
    got = cr.vmap(lambda params: nn.functional_call(models[0], params, X))(stacked)
    assert_close(got, cr.stack([m(X) for m in models]), atol=1e-5)


def test_under_jit_the_given_parameters_are_inputs():
    model = network()
    step = cr.jit(cr.grad(squared(model)))
    for factor in (1, 2):
        params = {name: p * factor for name, p in parameters(model).items()}
        got, want = step(params, X), cr.grad(squared(model))(params, X)
        for name in params:
            assert_close(got[name], want[name])
    assert len(step.variants) == 1


def test_a_compiled_module_inside():
    model = network()
    compiled = cr.jit(model.forward)
    wrapper = nn.Module.__new__(nn.Module)
    wrapper.add_module("model", model)
    wrapper.forward = compiled
    given = {f"model.{name}": p * 2 for name, p in parameters(model).items()}
    compiled(X)
    got = cr.grad(lambda params: (nn.functional_call(wrapper, params, X) ** 2).sum())(given)
    want = cr.grad(squared(model))(dict(zip(parameters(model), given.values(), strict=True)), X)
    for name, g in want.items():
        assert_close(got[f"model.{name}"], g)


def test_a_second_derivative_by_one_step_of_training():
    """The loss after a step, differentiated by the parameters before it."""
    model = network()
    params = parameters(model)

    def after_a_step(params):
        gradient = cr.grad(squared(model))(params, X)
        return squared(model)({name: p - 0.01 * gradient[name] for name, p in params.items()}, X)

    got = cr.grad(after_a_step)(params)
    direction = {name: cr.ones_like(p) for name, p in params.items()}
    moved = cr.jvp(after_a_step, (params,), (direction,))[1]
    assert_close(sum(g.sum() for g in got.values()), moved, rtol=1e-4)


def test_a_buffer_that_is_assigned():
    model = Counting()
    mean = cr.zeros(2)
    x = X[:, :3]
    nn.functional_call(model, {"mean": mean}, x)
    assert_close(mean, model.linear(x).mean(axis=0) * 0.5)
    assert model.mean.tolist() == [0.0, 0.0]
    nn.functional_call(model, {}, x)
    assert_close(model.mean, mean)


def test_keywords_and_an_error_inside():
    class Scaled(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter(cr.ones(()))

        def forward(self, x, *, times):
            if times < 0:
                raise ValueError("negative")
            return x * self.scale * times

    model = Scaled()
    assert nn.functional_call(model, {"scale": cr.asarray(3.0)}, cr.ones(2), {"times": 2}).tolist() == [6.0, 6.0]
    with pytest.raises(ValueError, match="^negative$"):
        nn.functional_call(model, {"scale": cr.asarray(3.0)}, cr.ones(2), {"times": -1})
    assert model.scale.item() == 1.0


def test_errors():
    with pytest.raises(StateDictError) as error:
        nn.functional_call(network(), {"0.wieght": cr.ones((5, 4))}, X)
    assert error.value.message == (
        "functional_call: Sequential has no parameter or buffer '0.wieght'; did you mean '0.weight'?"
    )
    with pytest.raises(StateDictError) as error:
        nn.functional_call(network(), {"0.bias": cr.ones(4)}, X)
    assert error.value.message == (
        "functional_call: 0.bias of Sequential is float32 of shape (5,); got float32 of shape (4,)."
    )

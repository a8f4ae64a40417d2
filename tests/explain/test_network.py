"""Layer states and layer rows: values and gradients against the chain rule written out in NumPy, and no traces left."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.explain.runs import run

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import IndexRangeError, ShapeError
from chainrule.explain import first_layer_pictures, layer_rows, layer_states, report


def classifier() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 4))


def sample(seed: int = 0, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, 1, 6, 6)).astype(np.float32)


def by_hand(model: nn.Sequential, x: np.ndarray, label: int) -> dict[str, np.ndarray]:
    """Return values and gradients of the classifier in float64, written out as a course does."""
    w0, b0, w1, b1 = (p.numpy().astype(np.float64) for p in model.parameters())
    pixels = x.astype(np.float64).ravel()
    z0 = w0 @ pixels + b0
    a0 = np.maximum(z0, 0)
    z1 = w1 @ a0 + b1
    p = np.exp(z1 - z1.max())
    p /= p.sum()
    d1 = p - np.eye(4)[label]
    da = w1.T @ d1
    d0 = da * (z0 > 0)
    return {"z0": z0, "a0": a0, "z1": z1, "p": p, "d1": d1, "da": da, "d0": d0, "dx": w0.T @ d0}


def test_values_and_gradients_are_those_of_the_chain_rule():
    model, x = classifier(), sample()
    states, hand = layer_states(model, x, 2), by_hand(model, x, 2)
    assert [(layer.name, layer.kind) for layer in states.layers] == [
        ("0", "Flatten"),
        ("1", "Linear"),
        ("2", "ReLU"),
        ("3", "Linear"),
    ]
    flat, first, rectified, last = states.layers
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(flat.values, x.ravel(), **close)
    np.testing.assert_allclose(flat.gradients, hand["dx"], **close)
    np.testing.assert_allclose(first.values, hand["z0"], **close)
    np.testing.assert_allclose(first.gradients, hand["d0"], **close)
    np.testing.assert_allclose(rectified.values, hand["a0"], **close)
    np.testing.assert_allclose(rectified.gradients, hand["da"], **close)
    np.testing.assert_allclose(last.values, hand["z1"], **close)
    np.testing.assert_allclose(last.gradients, hand["d1"], **close)
    np.testing.assert_allclose(states.gradient, hand["dx"].reshape(6, 6), **close)
    np.testing.assert_allclose(states.probabilities, hand["p"], **close)
    np.testing.assert_array_equal(states.picture, x[0, 0].astype(np.float64))
    np.testing.assert_array_equal(first.weights, model[1].weight.numpy())
    assert flat.weights is None
    assert rectified.weights is None
    assert states.loss == pytest.approx(-np.log(hand["p"][2]), rel=1e-5)
    assert states.predicted == int(hand["p"].argmax())


def test_the_model_and_the_sample_are_left_as_they_were():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, 4))
    model.train()
    model[1].eval()  # a mode of its own
    x = cr.asarray(sample())
    before = x.numpy().copy()
    states = layer_states(model, x, 0)
    layer_rows(model, x, [0])
    assert [module.training for _, module in model.named_modules()] == [True, True, False, True]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert x.grad is None
    assert not x.requires_grad
    np.testing.assert_array_equal(x.numpy(), before)
    np.testing.assert_array_equal(states.layers[1].values, before.ravel())  # dropout was off
    calls = []
    model[2].register_forward_hook(lambda module, args, output: calls.append(module))
    model(x)
    assert calls == [model[2]]  # and no hook of ours stands beside it


def test_hooks_are_removed_when_the_model_fails():
    model = nn.Sequential(nn.Linear(36, 8), nn.Linear(9, 4))
    model.train()
    with pytest.raises(ShapeError):
        layer_states(model, np.ones((1, 36), np.float32), 0)
    assert model.training
    good = nn.Sequential(model[0], nn.Linear(8, 4))
    assert len(layer_states(good, np.ones((1, 36), np.float32), 0).layers) == 2


def test_frozen_models_and_no_grad_blocks_are_looked_into_too():
    model, x = classifier(), sample()
    want = layer_states(model, x, 1)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with cr.no_grad():
        found = layer_states(model, x, 1)
    for one, other in zip(want.layers, found.layers, strict=True):
        np.testing.assert_array_equal(one.gradients, other.gradients)


def test_a_module_called_twice_is_seen_twice():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.Linear(4, 4)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.same(cr.tanh(self.same(x)))

    states = layer_states(Twice(), np.ones((1, 4), np.float32), 0)
    assert [layer.name for layer in states.layers] == ["same", "same"]
    assert not np.array_equal(states.layers[0].values, states.layers[1].values)


def test_a_branch_that_does_not_reach_the_loss_has_gradient_zero():
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 3), nn.Linear(4, 2)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            self.unused(x)
            return self.used(x)

    states = layer_states(Aside(), np.ones((1, 4), np.float32), 0)
    aside = next(layer for layer in states.layers if layer.name == "unused")
    np.testing.assert_array_equal(aside.gradients, np.zeros(2))
    assert aside.values.any()


def test_rows_count_and_measure():
    model = classifier()
    x, labels = sample(batch=5), np.array([0, 1, 2, 3, 0])
    rows = layer_rows(model, x, labels)
    assert [(row.name, row.kind, row.shape, row.parameters) for row in rows] == [
        ("0", repr(model[0]), (36,), 0),
        ("1", repr(model[1]), (8,), 296),
        ("2", repr(model[2]), (8,), 0),
        ("3", repr(model[3]), (4,), 36),
    ]
    deltas = [by_hand(model, one, label) for one, label in zip(x, labels, strict=True)]
    weight = np.mean([np.outer(hand["d1"], hand["a0"]) for hand in deltas], axis=0)
    bias = np.mean([hand["d1"] for hand in deltas], axis=0)
    assert rows[3].gradient_norm == pytest.approx(np.hypot(np.linalg.norm(weight), np.linalg.norm(bias)), rel=1e-4)
    own = np.concatenate([p.numpy().ravel() for p in model[1].parameters()])
    assert rows[1].weight_norm == pytest.approx(np.linalg.norm(own), rel=1e-6)
    assert [row.weight_norm for row in (rows[0], rows[2])] == [None, None]
    dead = np.mean([all(hand["a0"][unit] == 0 for hand in deltas) for unit in range(8)])
    assert [row.dead for row in rows] == [None, None, pytest.approx(dead), None]


def test_dead_units_are_counted():
    model = classifier()
    with cr.no_grad():
        bias = np.zeros(8, np.float32)
        bias[:3] = -1e6  # three units that no sample can switch on
        bias[3:] = 1e6
        model[1].bias.assign_(cr.asarray(bias))
    assert layer_rows(model, sample(batch=4), np.zeros(4, np.int64))[2].dead == 3 / 8


def test_first_layer_weights_become_pictures():
    model = classifier()
    found = first_layer_pictures(model, (6, 6))
    np.testing.assert_array_equal(found, model[1].weight.numpy().reshape(8, 6, 6))
    assert first_layer_pictures(model, (5, 6)) is None
    assert first_layer_pictures(nn.Sequential(nn.ReLU()), (6, 6)) is None


def test_features_become_a_square_or_a_row():
    four, five = nn.Linear(4, 2), nn.Linear(5, 2)
    assert layer_states(four, np.ones((1, 4), np.float32), 0).picture.shape == (2, 2)
    assert layer_states(five, np.ones((1, 5), np.float32), 0).picture.shape == (1, 5)


def test_the_report_takes_what_this_gives():
    model = classifier()
    states = [layer_states(model, sample(label), label) for label in range(4)]
    rows = layer_rows(model, sample(batch=4), np.arange(4))
    weights = first_layer_pictures(model, (6, 6))
    text = report.render(run(states=states, layers=rows, first_layer_weights=weights))
    assert text.count('role="tabpanel"') == 4
    assert "Linear → ReLU" in text
    assert 'data-a="0.' in text  # lines from the pixels
    assert 'data-a="1.' in text


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: layer_states(classifier(), sample(batch=2), 0),
            ShapeError,
            "layer_states takes a batch of one, [1, ...]; got x of shape (2, 1, 6, 6): write x[:1].",
        ),
        (
            lambda: layer_states(nn.ReLU(), sample(), 0),
            ShapeError,
            "layer_states takes a model whose output is [1, classes]; this one gave (1, 1, 6, 6).",
        ),
        (
            lambda: layer_states(classifier(), sample(), 4),
            IndexRangeError,
            "layer_states: label must be a class from 0 to 3; got 4.",
        ),
        (
            lambda: layer_rows(classifier(), sample(batch=0), []),
            ShapeError,
            "layer_rows takes samples [batch, ...], at least one; got x of shape (0, 1, 6, 6).",
        ),
    ],
)
def test_each_mistake_has_its_message(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()

"""Designed kernels as features: numbers against NumPy, nothing that trains, three networks that differ in one thing."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import data
from chainrule.core.errors import ShapeError
from chainrule.explain import figures, fixed_features, kernels
from chainrule.explain.figures import Subject
from chainrule.explain.figures import fixed_features as drawing


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture(scope="module")
def few():
    """Return 1,000 digits to learn from and 500 to measure on."""
    parts = []
    for split, count in (("train", 1000), ("test", 500)):
        digits = data.mnist(split)
        parts.append(data.ArrayDataset(digits.images[:count], digits.labels[:count]))
    return parts


@pytest.fixture(scope="module")
def results(few):
    return fixed_features.compare_features(*few, epochs=2, compiled=False)


def test_features_are_filters_of_length_one_cut_off_at_zero_and_pooled():
    digit = data.mnist("test").images[0] / 255
    features = fixed_features.FixedFeatures()(cr.asarray(digit[None, None].astype(np.float32))).numpy()[0]
    assert features.shape == (9, 7, 7)
    for found, kernel in zip(features, fixed_features.BANK.values(), strict=True):
        filtered = kernels.apply_kernel(digit, kernel / np.linalg.norm(kernel), border="constant")
        pooled = np.maximum(filtered, 0).reshape(7, 4, 7, 4).max(axis=(1, 3))
        np.testing.assert_allclose(found, pooled, atol=1e-6)


def test_the_bank_holds_both_sides_of_every_edge():
    bank = fixed_features.BANK
    np.testing.assert_array_equal(bank["sobel left"], -bank["sobel right"])
    np.testing.assert_array_equal(bank["sobel up"], -bank["sobel down"])
    assert len({kernel.tobytes() for kernel in bank.values()}) == len(bank) == 9


def test_the_networks_differ_in_their_features_alone():
    networks = fixed_features.feature_networks(seed=3)
    counts = {name: sum(p.size for p in network.parameters()) for name, network in networks.items()}
    head = 441 * 64 + 64 + 64 * 10 + 10
    assert counts == {"pixels": 784 * 64 + 64 + 64 * 10 + 10, "fixed": head, "learned": head + 9 * 9 + 9}
    x = cr.asarray(np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32))
    assert all(network(x).shape == (2, 10) for network in networks.values())
    again = fixed_features.feature_networks(seed=3)["learned"].state_dict()
    for name, value in networks["learned"].state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again[name].numpy())


def test_the_kernels_are_saved_and_not_trained(results):
    trained = next(result for result in results if result.name == "fixed").model
    assert "0.weight" in trained.state_dict()
    assert "0.weight" not in dict(trained.named_parameters())
    first = fixed_features.FixedFeatures().weight.numpy()
    np.testing.assert_array_equal(trained[0].weight.numpy(), first)


def test_all_three_learn(results):
    assert [result.name for result in results] == ["pixels", "fixed", "learned"]
    for result in results:
        assert len(result.accuracies) == 2
        assert result.accuracy > 0.3  # chance is 0.1; two epochs of 16 steps
        assert result.accuracies[1] > result.accuracies[0]


def test_the_table_has_a_line_per_network(results):
    lines = fixed_features.result_table(results).splitlines()
    assert lines[0].split() == ["features", "parameters", "accuracy", "seconds"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["pixels", "50,890"],
        ["fixed", "28,938"],
        ["learned", "29,028"],
    ]


def test_the_figure_holds_the_numbers(results, monkeypatch):
    monkeypatch.setattr(fixed_features, "compare_features", lambda seed: results)
    picture = figures.draw("fixed-features", Subject(seed=0))[""]
    assert picture.width < 1100
    table = drawing._table(results)
    assert table[0] == ["features", "parameters", "epoch 1", "epoch 2", "seconds"]
    assert table[2][:3] == ["designed kernels", "28,938", f"{100 * results[1].accuracies[0]:.2f} %"]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: fixed_features.FixedFeatures([np.ones((2, 2))]),
            ShapeError,
            "FixedFeatures takes kernels [height, width] of one odd size; got [(2, 2)]: pad with zeros.",
        ),
        (
            lambda: fixed_features.FixedFeatures([np.ones((3, 3)), np.ones((5, 5))]),
            ShapeError,
            "FixedFeatures takes kernels [height, width] of one odd size; got [(3, 3), (5, 5)]: pad with zeros.",
        ),
        (lambda: fixed_features.FixedFeatures(pool=0), ValueError, "FixedFeatures.pool must be an int >= 1; got 0."),
        (
            lambda: fixed_features.compare_features(epochs=0),
            ValueError,
            "compare_features.epochs must be an int >= 1; got 0.",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=exactly(message)):
        call()

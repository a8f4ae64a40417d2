"""Saliency against analytic gradients, occlusion of linear models against sums of weights; every error whole."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import IndexRangeError, SettingError, ShapeError
from chainrule.explain import occlusion, saliency


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def linear(weight: np.ndarray, bias: np.ndarray | None = None) -> nn.Module:
    """Return a linear classifier of pictures: weight [classes, channels, height, width]."""
    classes = len(weight)
    model = nn.Sequential(nn.Flatten(), nn.Linear(weight[0].size, classes, dtype="float64"))
    bias = np.zeros(classes) if bias is None else bias
    model.load_state_dict({"1.weight": weight.reshape(classes, -1), "1.bias": bias})
    return model


@pytest.fixture
def weight():
    return np.random.default_rng(0).normal(size=(3, 2, 5, 4))


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(4, 2, 5, 4))


# ---------------------------------------------------------------------------------------------------- saliency
def test_the_gradient_of_a_linear_model_is_its_weights(weight, x):
    found = saliency(linear(weight), x, 1)
    np.testing.assert_allclose(found.values, np.repeat(weight[1:2], 4, axis=0), rtol=1e-12)
    assert found.targets.tolist() == [1] * 4
    products = saliency(linear(weight), x, [0, 1, 2, 1], method="gradient_x_input")
    np.testing.assert_allclose(products.values, weight[[0, 1, 2, 1]] * x, rtol=1e-12)


def test_gradient_x_input_sums_to_the_score_where_there_is_no_bias(weight, x):
    logits = linear(weight)(cr.asarray(x)).numpy()
    found = saliency(linear(weight), x, method="gradient_x_input")
    assert found.predicted.tolist() == logits.argmax(axis=1).tolist() == found.targets.tolist()
    np.testing.assert_allclose(found.values.sum(axis=(1, 2, 3)), logits.max(axis=1), rtol=1e-12)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found.probabilities, powers / powers.sum(axis=1, keepdims=True), rtol=1e-12)


def test_the_gradient_of_a_network_is_that_of_differences():
    cr.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, dtype="float64"), nn.Tanh(), nn.Flatten(),
                          nn.Linear(2 * 9, 3, dtype="float64"))  # fmt: skip
    x = np.random.default_rng(2).normal(size=(2, 1, 5, 5))
    found = saliency(model, x, 2).values
    for place in ((0, 0, 0, 0), (1, 0, 2, 3)):
        step = np.zeros_like(x)
        step[place] = 1e-6
        high, low = (model(cr.asarray(x + sign * step)).numpy()[place[0], 2] for sign in (1, -1))
        np.testing.assert_allclose(found[place], (high - low) / 2e-6, rtol=1e-7)


def test_smooth_grad_of_a_linear_model_is_its_gradient_and_without_noise_of_any(weight, x):
    found = saliency(linear(weight), x, 0, method="smooth_grad", count=3)
    np.testing.assert_allclose(found.values, np.repeat(weight[:1], 4, axis=0), rtol=1e-12)
    model = nn.Sequential(nn.Flatten(), nn.Linear(40, 8), nn.ReLU(), nn.Linear(8, 3))
    plain = saliency(model, x).values
    np.testing.assert_allclose(saliency(model, x, method="smooth_grad", count=2, noise=0.0).values, plain, rtol=1e-6)
    noisy = [saliency(model, x, method="smooth_grad", count=2, noise=2.0, seed=seed).values for seed in (0, 0, 1)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert not np.allclose(noisy[0], noisy[2])
    assert not np.allclose(noisy[0], plain)


def test_the_samples_of_a_batch_do_not_see_each_other():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    whole = saliency(model, x, 0).values
    one = saliency(model, x[3:4], 0).values
    np.testing.assert_array_equal(whole[3:4], one)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_saliency_refuses_what_it_cannot_explain(weight, x):
    model = linear(weight)
    with pytest.raises(IndexRangeError, match=exactly("the target must be a class from 0 to 2; got 3.")):
        saliency(model, x, 3)
    message = (
        'saliency.method must be one of "gradient", "gradient_x_input", "smooth_grad"; got \'gradients\'; '
        "did you mean 'gradient'?"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        saliency(model, x, method="gradients")
    with pytest.raises(ValueError, match=exactly("saliency.count must be an int >= 1; got 0.")):
        saliency(model, x, count=0)
    with pytest.raises(ValueError, match=exactly("saliency.noise must be a float >= 0; got -1.")):
        saliency(model, x, noise=-1)
    message = "saliency takes a model whose output is [batch, classes]; this one gave (4, 2, 5, 4)."
    with pytest.raises(ShapeError, match=exactly(message)):
        saliency(nn.ReLU(), x)


# ---------------------------------------------------------------------------------------------------- occlusion
def test_covering_a_linear_model_costs_the_sum_of_what_is_covered(weight, x):
    found = occlusion(linear(weight), x[:1], 1, patch=2, stride=1, output="score")
    assert found.drops.shape == (4, 3)
    assert [corner.tolist() for corner in found.corners] == [[0, 1, 2, 3], [0, 1, 2]]
    parts = (weight[1] * x[0]).sum(axis=0)
    for i in range(4):
        for j in range(3):
            np.testing.assert_allclose(found.drops[i, j], parts[i : i + 2, j : j + 2].sum(), rtol=1e-9)
    np.testing.assert_allclose(found.before, parts.sum(), rtol=1e-12)


def test_what_covers_can_be_a_colour(weight, x):
    fill = np.array([0.5, -2.0])
    found = occlusion(linear(weight), x[:1], 0, patch=4, stride=1, fill=fill, output="score")
    want = (weight[0] * (x[0] - fill[:, None, None]))[:, 1:5].sum()
    np.testing.assert_allclose(found.drops[1, 0], want, rtol=1e-9)


def test_by_default_the_drop_is_one_of_probability(weight, x):
    model = linear(weight)
    found = occlusion(model, x[:1], patch=4, stride=1)
    covered = x[:1].copy()
    covered[..., 0:4, 0:4] = 0.0
    chances = [cr.nn.functional.softmax(model(cr.asarray(v)), 1).numpy()[0] for v in (x[:1], covered)]
    assert found.target == int(chances[0].argmax())
    np.testing.assert_allclose(found.drops[0, 0], chances[0][found.target] - chances[1][found.target], rtol=1e-9)
    assert (found.output, found.before) == ("probability", pytest.approx(chances[0].max()))


def test_the_last_places_end_with_the_picture_and_the_map_shows_the_nearest(weight, x):
    found = occlusion(linear(weight), x[:1], 0, patch=2, stride=2, output="score")
    assert [corner.tolist() for corner in found.corners] == [[0, 2, 3], [0, 2]]
    assert found.heat.shape == (5, 4)
    rows, columns = [0, 0, 1, 1, 2], [0, 0, 1, 1]  # middles 0.5, 2.5, 3.5 and 0.5, 2.5
    np.testing.assert_array_equal(found.heat, found.drops[np.ix_(rows, columns)])


def test_a_grey_picture_without_an_axis_of_channels_works_too():
    weight = np.arange(9.0).reshape(1, 3, 3)
    found = occlusion(linear(weight), np.ones((1, 3, 3)), 0, patch=1, stride=1, output="score")
    np.testing.assert_allclose(found.drops, weight[0], atol=1e-12)


def test_occlusion_refuses_what_it_cannot_cover(weight, x):
    model = linear(weight)
    message = "occlusion takes one picture, [1, channels, height, width] or [1, height, width]; got (4, 2, 5, 4)."
    with pytest.raises(ShapeError, match=exactly(message)):
        occlusion(model, x)
    with pytest.raises(
        SettingError, match=exactly("occlusion.patch must be at most the picture's shorter side 4; got 8.")
    ):
        occlusion(model, x[:1])
    with pytest.raises(ValueError, match=exactly("occlusion.stride must be an int >= 1; got 0.")):
        occlusion(model, x[:1], patch=2, stride=0)
    message = 'occlusion.output must be one of "probability", "score"; got \'logit\'.'
    with pytest.raises(ValueError, match=exactly(message)):
        occlusion(model, x[:1], patch=2, output="logit")

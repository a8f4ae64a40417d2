"""Gradient ascent on the input: it finds what a known filter wants, repeats itself, and refuses what it can't do."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import IndexRangeError, ShapeError
from chainrule.explain import maximise_activation
from chainrule.explain.activation_maximisation import _blur, _shift

PLAIN = {"jitter": 0, "blur": 0.0, "decay": 0.0}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture
def network():
    cr.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 5)
    )


def test_a_linear_unit_gets_the_sign_of_its_weights():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    weight = np.random.default_rng(0).choice([-1.0, 1.0], (3, 12)).astype(np.float32)
    model.load_state_dict({"1.weight": weight, "1.bias": np.zeros(3, np.float32)})
    found = maximise_activation(model, "1", (1, 3, 4), steps=60, **PLAIN)
    np.testing.assert_array_equal(found.inputs.reshape(3, 12), weight)  # at the ends of the range
    np.testing.assert_allclose(found.after, 12.0, rtol=1e-6)


def test_each_channel_of_a_batch_climbs_for_itself(network):
    whole = maximise_activation(network, "0", (3, 8, 8), steps=20)
    assert whole.inputs.shape == (4, 3, 8, 8)
    assert (whole.after > whole.before + 0.1).all()
    assert (whole.after > 0).all()
    classes = maximise_activation(network, "5", (3, 8, 8), channels=[4, 0], steps=20)
    assert classes.channels == (4, 0)
    logits = network.eval()(cr.asarray(classes.inputs)).numpy()
    np.testing.assert_allclose(classes.after, [logits[0, 4], logits[1, 0]], rtol=1e-5)
    assert (classes.after > classes.before).all()


def test_the_response_of_a_map_is_the_mean_of_what_a_relu_lets_through(network):
    found = maximise_activation(network, "0", (3, 8, 8), channels=[2], steps=3)
    maps = network._modules["0"](cr.asarray(found.inputs)).numpy()[0, 2]
    np.testing.assert_allclose(found.after, np.where(maps > 0, maps, 0.1 * maps).mean(), rtol=1e-5)


def test_the_same_seed_gives_the_same_pictures_bit_for_bit(network):
    settings = {"channels": [1], "steps": 5}
    first, again, other = (maximise_activation(network, "0", (3, 8, 8), seed=seed, **settings) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    assert not np.array_equal(first.inputs, other.inputs)


def test_the_pictures_stay_within_the_range_of_each_colour(network):
    low, high = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 3.0])
    found = maximise_activation(network, "0", (3, 8, 8), low=low, high=high, steps=30)
    assert (found.inputs >= low.reshape(-1, 1, 1)).all()
    assert (found.inputs <= high.reshape(-1, 1, 1)).all()
    touched = (found.inputs == high.reshape(-1, 1, 1).astype(np.float32)).any(axis=(0, 2, 3))
    assert touched.tolist() == [True, True, True]


def test_the_network_is_as_it_was(network):
    network.train()
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    maximise_activation(network, "0", (3, 8, 8), channels=[0], steps=2)
    assert network.training
    assert all(not module._forward_hooks for module in network.modules())
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_float64_network_is_climbed_in_float64():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, dtype="float64"))
    assert maximise_activation(model, "0", (1, 5, 5), steps=2).inputs.dtype == np.float64


def test_blur_keeps_the_mean_and_a_shift_moves_rows():
    blur = _blur(9, 1.5)
    np.testing.assert_allclose(blur.sum(axis=1), 1.0, rtol=1e-12)
    peak = blur[:, 4]
    assert peak.argmax() == 4
    np.testing.assert_allclose(peak[3] / peak[4], np.exp(-0.5 / 1.5**2), rtol=1e-9)
    np.testing.assert_array_equal(_blur(4, 0.0), np.eye(4))
    np.testing.assert_array_equal(_shift(4, 1) @ np.arange(4), [3, 0, 1, 2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "maximise_activation.steps must be an int >= 1; got 0."),
        ({"rate": 0.0}, "maximise_activation.rate must be a float > 0; got 0.0."),
        ({"jitter": -1}, "maximise_activation.jitter must be an int >= 0; got -1."),
        ({"blur": -0.5}, "maximise_activation.blur must be a float >= 0; got -0.5."),
        ({"decay": 1.0}, "maximise_activation.decay must be a float in [0, 1); got 1.0."),
    ],
)
def test_a_setting_out_of_range_is_refused(network, settings, message):
    with pytest.raises(ValueError, match=exactly(message)):
        maximise_activation(network, "0", (3, 8, 8), **settings)


def test_channels_and_shapes_that_do_not_exist_are_refused(network):
    with pytest.raises(IndexRangeError, match=exactly("layer '0' has channels 0 to 3; got 4.")):
        maximise_activation(network, "0", (3, 8, 8), channels=[4])
    message = "maximise_activation.shape must be [channels, height, width] or [height, width]; got (8,)."
    with pytest.raises(ShapeError, match=exactly(message)):
        maximise_activation(network, "0", (8,))

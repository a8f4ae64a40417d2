"""Figures of what a convolution is: they are drawn for what they can be drawn for, and say why where they can't."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule import nn
from chainrule.core.errors import SettingError
from chainrule.explain.figures import Subject, draw, names


def subject(model, size=16, **settings):
    pictures = np.random.default_rng(0).integers(0, 255, (3, size, size, 3), dtype=np.uint8)
    inputs = (np.moveaxis(pictures, -1, 1) / 255).astype(np.float32)
    return Subject(model=model.eval(), pictures=pictures, inputs=inputs, name="a network", **settings)


@pytest.fixture
def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BasicBlock(4, 6), nn.Flatten(), nn.Linear(384, 5)
    )


def test_the_figures_are_registered():
    assert {"convolution-matrix", "receptive-field", "shift"} <= set(names())


def test_the_matrix_needs_nothing():
    (picture,) = draw("convolution-matrix", Subject()).values()
    colours = np.asarray(picture).reshape(-1, 3)
    assert picture.width > 500
    assert picture.height > 1000
    red = (colours[:, 0] > 200) & (colours[:, 2] < 120)
    blue = (colours[:, 2] > 200) & (colours[:, 0] < 120)
    assert red.sum() > 1000
    assert blue.sum() > 100


def test_one_panel_per_new_field(network):
    whole = draw("receptive-field", subject(network))[""]
    one = draw("receptive-field", subject(network, layer="3.conv1"))[""]
    assert whole.width > one.width  # four panels beside each other
    assert (np.asarray(one) == (214, 45, 32)).all(-1).sum() > 200  # a frame on the picture and one on the gradient


def test_shifts_of_each_stride(network):
    whole = draw("shift", subject(network))[""]
    first = draw("shift", subject(network, layer="0", channel=2))[""]
    assert whole.height > 2 * first.height


@pytest.mark.parametrize("size", [16, 17])
def test_a_shift_inside_the_picture_makes_no_difference_in_a_padded_convolution(size):
    # Of the four panels the last shows the difference: all white but for the border, where the padding is.
    net = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1))
    from chainrule.explain.figures import theory

    given = subject(net, size)
    row = theory._shift_row(given, theory._spatial(given)[0], given.inputs[:1], 1)
    difference = row.panels[-1].picture
    assert (difference[:, 2:-1] == 255).all()
    assert (difference[:, -1] != 255).any()


@pytest.mark.parametrize(
    "name, settings, message",
    [
        (
            "receptive-field",
            {"layer": "9"},
            "--layer must be one that sees a new window of the picture: 0, 2, 3.conv1, 3.conv2.",
        ),
        ("shift", {"channel": 9}, "--channel must be from 0 to 3 in 0; got 9."),
        (
            "shift",
            {"model": nn.Sequential(nn.Conv2d(3, 2, 3, stride=8))},
            "the layer's maps are too small to be compared with shifted ones: choose an earlier one.",
        ),
        (
            "receptive-field",
            {"model": nn.Sequential(nn.Flatten(), nn.Linear(768, 2))},
            "a network has no layer that sees a window of the picture: every output of a fully connected layer sees "
            "all of it. Choose a network with convolutions.",
        ),
    ],
)
def test_what_cannot_be_drawn(network, name, settings, message):
    settings = dict(settings)
    given = subject(settings.pop("model", network), **settings)
    with pytest.raises(SettingError, match=f"^{re.escape(message)}$"):
        draw(name, given)

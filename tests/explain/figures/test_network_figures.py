"""Figures of a network: what they show, in pixels where that can be told, and why some can't be made."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import explain, nn
from chainrule.core.errors import IndexRangeError, SettingError
from chainrule.explain import figures, pictures
from chainrule.explain.figures import Subject, _subject, responses, weights

NAMES = ("filters", "feature-maps", "activation-maximisation", "nearest", "saliency", "occlusion")


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture(scope="module")
def subject() -> Subject:
    """Return a small convolutional network with a dozen pictures of noise in three colours."""
    cr.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(150, 3)
    ).eval()
    shown = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    inputs = (shown.transpose(0, 3, 1, 2).astype(np.float32) - 100) / 50
    labels = np.arange(12) % 3
    return Subject(
        model, inputs, shown, labels, ("ape", "bee", "cow"), name="noise", scale=(np.float32(100), np.float32(50))
    )


@pytest.fixture(scope="module")
def flat() -> Subject:
    """Return a multilayer perceptron that takes grey pictures [height, width]."""
    cr.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    shown = np.random.default_rng(0).integers(0, 256, (4, 6, 6), dtype=np.uint8)
    return Subject(model, shown.astype(np.float32) / 255, shown, np.arange(4) % 2, ("odd", "even"), name="flat")


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    """Let gradient ascent stop early."""
    plain = responses.maximise_activation
    monkeypatch.setattr(responses, "maximise_activation", lambda *a, **k: plain(*a, **k, steps=3))


def colours(image) -> set[tuple[int, ...]]:
    return {tuple(map(int, colour)) for colour in np.asarray(image.convert("RGB")).reshape(-1, 3)}


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_a_convolutional_network_is_drawn_and_is_the_same_again(subject, name):
    [image] = figures.draw(name, subject).values()
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert 200 < image.width < 1300
    assert len(colours(image)) > 10
    [again] = figures.draw(name, subject).values()
    np.testing.assert_array_equal(np.asarray(image), np.asarray(again))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "feature-maps"])
def test_a_multilayer_perceptron_is_shown_where_that_means_something(flat, name):
    [image] = figures.draw(name, flat).values()
    assert len(colours(image)) > 10


def test_a_network_without_convolutions_has_no_feature_maps(flat):
    message = (
        "flat has no convolution, so it has no feature maps: its layers give out one number per unit. "
        "Try filters or activation-maximisation."
    )
    with pytest.raises(SettingError, match=exactly(message)):
        figures.draw("feature-maps", flat)


def test_filters_of_three_channels_are_shown_in_colour(subject):
    """A filter's pixel is red where it wants red: middle grey is 0."""
    weight = np.zeros((4, 3, 3, 3), np.float32)
    weight[0, 0, 1, 1], weight[1, 2, 0, 0] = 1.0, -1.0
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    model.load_state_dict({"0.weight": weight, "0.bias": np.zeros(4, np.float32)})
    [image] = figures.draw("filters", dataclasses.replace(subject, model=model)).values()
    found = colours(image)
    assert {(128, 128, 128), (255, 128, 128), (128, 128, 0)} <= found


def test_filters_of_one_or_many_channels_are_shown_by_sign(subject):
    [image] = figures.draw("filters", dataclasses.replace(subject, layer="3")).values()
    assert {pictures.POSITIVE, pictures.NEGATIVE} <= colours(image)
    [one] = figures.draw("filters", dataclasses.replace(subject, layer="3", channel=5)).values()
    assert one.height < image.height  # a row of planes in the place of six


def test_a_block_is_named_by_its_class_in_one_line(subject):
    """A heading of many lines would make the figure as wide as the longest."""
    block = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU())
    chosen = dataclasses.replace(subject, model=nn.Sequential(block, nn.Flatten(), nn.Linear(288, 2)), layer="0")
    for name in ("nearest", "activation-maximisation", "feature-maps"):
        [image] = figures.draw(name, chosen).values()
        assert image.width < 1100, name
    assert explain.layer_maps(chosen.model, subject.inputs[:1], ["0"])[0].kind == "Sequential"


def test_a_channel_that_is_not_there_is_refused(subject):
    for name in ("filters", "feature-maps", "activation-maximisation", "nearest"):
        with pytest.raises(IndexRangeError, match=exactly("layer '3' has channels 0 to 5; got 6.")):
            figures.draw(name, dataclasses.replace(subject, layer="3", channel=6))


def test_a_layer_that_is_not_there_is_refused(subject):
    for name in ("filters", "feature-maps", "activation-maximisation", "nearest"):
        with pytest.raises(SettingError, match=exactly("there is no layer '7'. Layers with weights: 0, 3, 6.")):
            figures.draw(name, dataclasses.replace(subject, layer="7"))


def test_the_class_to_explain_must_be_one(subject):
    for name in ("saliency", "occlusion"):
        with pytest.raises(IndexRangeError, match=exactly("--target must be a class from 0 to 2; got 3.")):
            figures.draw(name, dataclasses.replace(subject, target=3))


def test_another_class_another_sample_and_another_seed_change_the_figure(subject):
    for name, change in (
        ("saliency", {"target": 1}), ("saliency", {"target": 2}), ("occlusion", {"sample": 3}),
        ("feature-maps", {"sample": 3}), ("activation-maximisation", {"seed": 1}), ("nearest", {"channel": 1}),
    ):  # fmt: skip
        [image] = figures.draw(name, dataclasses.replace(subject, target=0)).values()
        [other] = figures.draw(name, dataclasses.replace(subject, **{"target": 0, **change})).values()
        assert image.tobytes() != other.tobytes(), (name, change)


def test_only_some_layers_of_a_deep_network_are_shown(subject, monkeypatch):
    monkeypatch.setattr(weights, "LAYERS", 1)
    [image] = figures.draw("feature-maps", subject).values()
    monkeypatch.undo()
    [whole] = figures.draw("feature-maps", subject).values()
    assert image.height < whole.height
    assert _subject.every(list("abcdefg"), 3) == ["a", "d", "g"]
    assert _subject.every(list("abcdefg"), 1) == ["g"]
    assert _subject.every(list("ab"), 3) == ["a", "b"]


def test_inputs_become_pixels_again(subject):
    np.testing.assert_array_equal(_subject.pixels(subject, subject.inputs), subject.pictures)
    low, high = _subject.input_range(subject)
    assert (float(low), float(high)) == (-2.0, 3.1)
    assert _subject.pixels(subject, np.full((1, 1, 1, 1), 9.0)).tolist() == [[[255]]]


def test_numbers_and_names_in_captions(subject):
    assert [_subject.short(value) for value in (0.12345, -12.345, 1234.5)] == ["0.123", "-12.3", "1,234"]
    assert [_subject.class_name(subject, label) for label in (-1, 1, 7)] == ["unknown", "bee", "class 7"]
    assert _subject.answer(subject, np.array([0.25, 0.5, 0.25]), most=2) == "bee 50.0%, ape 25.0%"


def test_large_pictures_are_made_smaller_where_the_network_takes_any_size(subject):
    anysize = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    fixed = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 198 * 198, 2))
    inputs = np.zeros((1, 3, 200, 200), np.float32)
    for model, want in ((anysize, (3, 128, 128)), (fixed, (3, 200, 200))):
        assert responses._shape(dataclasses.replace(subject, model=model, inputs=inputs)) == want

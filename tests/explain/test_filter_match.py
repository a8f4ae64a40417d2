"""Templates found again in filters made of them, in any colour, sign and noise; the ImageNet filters of SqueezeNet."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.core.errors import DataError, SettingError, ShapeError
from chainrule.explain import figures, filter_match, kernels
from chainrule.explain.figures import Subject
from chainrule.explain.filter_match import count_families, match_filters, template

GREY, RED_GREEN = np.ones(3), np.array([1.0, -1.0, 0.0])


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("kernel, family, angle", [("x", "edge", 0.0), ("y", "edge", np.pi / 2)])
def test_sobels_kernels_are_the_edge_template_of_their_size(kernel, family, angle):
    sobel = kernels.sobel(kernel)
    cosine = (-template(family, 3, angle=angle, width=0.85) * sobel).sum() / np.linalg.norm(sobel)
    assert cosine > 0.999


def test_the_gaussian_kernel_is_the_blob_template():
    blur = kernels.gaussian(1.4, 7)
    np.testing.assert_allclose(template("blob", 7, width=1.4), blur / np.linalg.norm(blur))


@pytest.mark.parametrize("sign", [3.0, -0.2])
@pytest.mark.parametrize(
    "family, colour, settings",
    [
        ("blob", GREY, {"width": 1.4}),
        ("colour", RED_GREEN, {"width": 2.0}),
        ("edge", GREY, {"width": 2.0, "angle": np.pi / 3, "x": 0.75}),
        ("edge", RED_GREEN, {"width": 1.4, "angle": 5 * np.pi / 6}),
        ("line", GREY, {"width": 1.4, "angle": np.pi / 4, "y": -1.5}),
        ("spot", RED_GREEN, {"width": 2.0}),
        ("grating", GREY, {"width": 2.0, "angle": np.pi / 6, "wave": 3.5}),
    ],
)
def test_each_template_is_found_again_with_its_angle_width_and_colour(family, colour, settings, sign):
    drawn = sign * np.multiply.outer(colour, template(family, 7, **settings))
    noise = np.random.default_rng(0).normal(size=drawn.shape)
    noisy = drawn + 0.05 * np.linalg.norm(drawn) / np.linalg.norm(noise) * noise
    for weights, least in ((drawn, 1 - 1e-12), (noisy, 0.99)):
        match = match_filters(weights[None])[0]
        assert match.family == family
        assert match.cosine >= least
        assert match.coloured == (colour is RED_GREEN)
        assert match.angle == pytest.approx(settings.get("angle", 0.0))
        assert match.width == pytest.approx(settings["width"])
        assert (match.template * weights).sum() / np.linalg.norm(weights) == pytest.approx(match.cosine)


def test_the_cosine_is_the_best_of_all_templates_tried_one_by_one():
    weights = np.random.default_rng(1).normal(size=(1, 3, 5, 5))
    w = weights[0] / np.linalg.norm(weights)
    best = 0.0
    for family, (angle, width, x, y, wave) in filter_match._grid(5 / 7):
        shape = template(family, 5, angle=angle, width=width, x=x, y=y, wave=wave)
        found = np.tensordot(w, shape, 2)
        grey, colour = abs(found.sum()) / np.sqrt(3), np.linalg.norm(found - found.mean())
        best = max(best, 0 if family == "colour" else grey, 0 if family == "blob" else colour)
    assert match_filters(weights)[0].cosine == pytest.approx(best)


def test_filters_of_noise_look_like_nothing():
    noise = np.random.default_rng(2).normal(size=(32, 3, 7, 7))
    assert max(match.cosine for match in match_filters(noise)) < 0.5
    assert sum(number for number, _ in count_families(match_filters(noise)).values()) == 32


def test_the_first_filters_of_imagenet_are_edges_lines_gratings_and_blobs(data_folder):
    with np.load(data_folder / "pretrained" / "squeezenet_v1.0.npz") as file:
        weights = file["conv1.weight"]
    matches = match_filters(weights)
    counts = count_families(matches)
    assert {family: number for family, (number, _) in counts.items()} == {
        "blob": 1, "edge": 28, "line": 29, "spot": 6, "grating": 28, "colour": 4,
    }  # fmt: skip
    assert np.mean([match.cosine for match in matches]) == pytest.approx(0.79, abs=0.005)
    angles = {round(np.degrees(match.angle)) for match in matches if match.family in ("edge", "line", "grating")}
    assert len(angles) >= 10  # nearly every one of the twelve directions


def test_the_figure_shows_filters_and_refuses_networks_without_them():
    from chainrule import nn

    drawn = figures.draw("filter-match", Subject(model=nn.Sequential(nn.Conv2d(3, 8, 5)), name="first weights"))
    assert drawn[""].mode == "RGB"
    message = (
        "filter-match compares square filters of colours, 3 x 3 or larger, in the first convolution; digits has {}."
    )
    for model, words in (
        (nn.Linear(4, 4), "no convolution"),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), "weights (4, 1, 3, 3)"),
    ):
        with pytest.raises(SettingError, match=exactly(message.format(words))):
            figures.draw("filter-match", Subject(model=model, name="digits"))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: match_filters(np.ones((4, 1, 7, 7))),
            ShapeError,
            "match_filters takes weights [filters, 3, k, k] with k >= 3; got (4, 1, 7, 7).",
        ),
        (
            lambda: match_filters(np.stack([np.ones((3, 7, 7)), np.zeros((3, 7, 7))])),
            DataError,
            "match_filters: filter 1 is zero or not finite; leave it out.",
        ),
        (
            lambda: template("ring", 7),
            ValueError,
            "template.family must be one of 'blob', 'colour', 'edge', 'line', 'spot', 'grating', 'grating-sine'; "
            "got 'ring'.",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=exactly(message)):
        call()

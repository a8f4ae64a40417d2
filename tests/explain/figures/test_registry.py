"""The registry of figures: names, what a figure needs, what it refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from chainrule import nn
from chainrule.core.errors import RecipeError, SettingError
from chainrule.explain import figures
from chainrule.explain.figures import Subject, registry


@pytest.fixture
def registered(monkeypatch):
    """Keep the figures that a test registers out of the list of all."""
    registry._import_all()
    monkeypatch.setattr(registry, "_FIGURES", dict(registry._FIGURES))


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def square(subject: Subject) -> Image.Image:
    return Image.new("L", (8, 8))


def test_every_figure_says_what_it_shows_in_one_sentence():
    for name in figures.names():
        chosen = figures.get(name)
        assert chosen.name == name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), name
        assert re.fullmatch(r"[A-Z].{10,150}\.", chosen.description), name
        assert set(chosen.needs) <= {"model", "pictures"}


def test_a_figure_may_give_several_pictures(registered):
    figures.figure("two", "Two squares, a black one each.", needs=())(lambda s: {"a": square(s), "b": square(s)})
    figures.figure("one", "One square, a black one.", needs=())(square)
    assert list(figures.draw("two", Subject())) == ["a", "b"]
    assert list(figures.draw("one", Subject())) == [""]


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (Subject(), "square looks at a network: name a run folder, or a network with --weights."),
        (Subject(model=nn.ReLU()), "square looks at pictures, and there are none: give one with --picture."),
        (
            Subject(model=nn.ReLU(), pictures=np.zeros((3, 4, 4), np.uint8), sample=3),
            "--sample must be from 0 to 2; got 3.",
        ),
    ],
)
def test_what_a_figure_lacks_is_said(registered, subject, message):
    figures.figure("square", "A square, a black one.")(square)
    with pytest.raises(SettingError, match=exactly(message)):
        figures.draw("square", subject)


def test_an_unknown_figure_is_an_error_with_the_nearest(registered):
    figures.figure("square", "A square, a black one.")(square)
    with pytest.raises(RecipeError, match=exactly("there is no figure 'squares'; did you mean 'square'?")):
        figures.get("squares")
    listed = ", ".join(figures.names())
    with pytest.raises(RecipeError, match=exactly(f"there is no figure 'q'; there are {listed}.")):
        figures.get("q")


def test_two_figures_cannot_have_one_name(registered):
    figures.figure("square", "A square, a black one.")(square)
    message = "there is a figure 'square' already, drawn by square: choose a name."
    with pytest.raises(ValueError, match=exactly(message)):
        figures.figure("square", "Another square.")
    message = "figure.needs must be a list of words from model, pictures; got 'model'."
    with pytest.raises(ValueError, match=exactly(message)):
        figures.figure("other", "Another square.", needs="model")

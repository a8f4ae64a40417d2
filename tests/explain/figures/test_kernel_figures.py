"""Sheets of panels keep their pixels and fit their words; the figures of kernels show what the functions compute."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.explain import figures, kernels, pictures
from chainrule.explain.figures import Subject, _panels

SHADES = np.random.default_rng(2).integers(0, 256, (2, 20, 20), dtype=np.uint8)
COLOURS = np.random.default_rng(3).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8)


def find(whole: np.ndarray, part: np.ndarray) -> bool:
    """Return whether a picture holds another, pixel by pixel, but for the frame of one pixel around it."""
    part = part[1:-1, 1:-1]
    rows, columns = part.shape[:2]
    if rows > whole.shape[0] or columns > whole.shape[1]:
        return False
    near = whole[: whole.shape[0] - rows + 1, : whole.shape[1] - columns + 1]
    places = np.argwhere((near == part[0, 0]).all(-1))
    for i, j in np.random.default_rng(0).integers(0, (rows, columns), (60, 2)):  # then few places are left
        places = places[(whole[places[:, 0] + i, places[:, 1] + j] == part[i, j]).all(-1)]
    return any((whole[i : i + rows, j : j + columns] == part).all() for i, j in places)


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    colours = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1)
    return colours.repeat(factor, 0).repeat(factor, 1)


def test_a_small_picture_is_enlarged_by_a_whole_number():
    sheet = np.asarray(_panels.sheet([_panels.Row([_panels.Panel(SHADES[0, :6, :6], "title", "note")], tile=32)]))
    assert find(sheet, enlarged(SHADES[0, :6, :6], 5))
    assert (sheet[:, 0] == 255).all()
    assert (sheet[-1] == 255).all()


def test_words_are_wrapped_at_the_width_of_their_panel_and_keep_their_breaks():
    font = _panels._font(12)
    lines = _panels._wrapped("one two three four five six\nseven", 12, 60)
    assert " ".join(lines) == "one two three four five six seven"
    assert lines[-1] == "seven"
    assert len(lines) > 2
    assert all(font.getlength(line) <= 60 for line in lines)
    assert _panels._wrapped("", 12, 60) == []


def test_a_table_stands_below_its_rows_and_widens_the_sheet():
    plain = _panels.sheet([_panels.Row([_panels.Panel(SHADES[0])])])
    table = [("kind", "number"), ("a kind with a very long name", "1,234")]
    below = _panels.sheet([_panels.Row([_panels.Panel(SHADES[0])])], table=table)
    assert below.width > plain.width
    assert below.height > plain.height
    corner = np.asarray(below)[plain.height :, plain.width :]
    assert (corner != 255).any()  # words
    assert (np.asarray(below)[:, -_panels.MARGIN :] == 255).all()  # all of them inside


@pytest.mark.parametrize("subject", [Subject(pictures=SHADES, sample=1), Subject(pictures=COLOURS, name="noise")])
def test_edges_shows_the_filtered_picture(subject):
    shown = np.asarray(figures.draw("edges", subject)[""])
    picture = subject.pictures[subject.sample]
    shades = kernels.gray(picture.transpose(2, 0, 1) if picture.ndim == 3 else picture)
    factor = 160 // max(shades.shape)
    assert find(shown, enlarged(picture, factor))
    edges = kernels.picture_gradient(shades)
    assert find(shown, enlarged(pictures.signed_picture(edges.x), factor))
    assert find(shown, enlarged(pictures.gray_picture(edges.magnitude), factor))


def test_a_wide_photograph_is_reduced():
    wide = np.zeros((1, 300, 900, 3), np.uint8)
    assert figures.draw("edges", Subject(pictures=wide))[""].width < 1200


def test_the_checkerboard_needs_no_picture_and_follows_the_seed():
    first, again = (np.asarray(figures.draw("checkerboard", Subject())[""]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = np.asarray(figures.draw("checkerboard", Subject(seed=1))[""])
    assert other.shape != first.shape or (other != first).any()
    assert figures.draw("checkerboard", Subject(pictures=COLOURS, name="noise"))[""].mode == "RGB"


def test_convolution_flip_shows_the_kernel_both_ways():
    shown = np.asarray(figures.draw("convolution-flip", Subject())[""])
    ell = np.zeros((5, 5), np.uint8)
    ell[[1, 2, 3, 3, 3], [1, 1, 1, 2, 3]] = 255
    assert find(shown, enlarged(ell, 10))
    assert find(shown, enlarged(ell[::-1, ::-1], 10))

"""Pictures: colours and shades against hand-computed values, PNG bytes read back with Pillow, every error whole."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from chainrule.core.errors import DataError, ShapeError
from chainrule.explain import pictures

FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def read(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_gray_goes_from_black_to_white():
    assert pictures.gray_picture([[-1.0, 0.0, 1.0]]).tolist() == [[0, 128, 255]]
    assert pictures.gray_picture([[-1.0, 0.0, 9.0]], low=0, high=3).tolist() == [[0, 0, 255]]
    assert pictures.gray_picture([[7.0, 7.0]]).tolist() == [[0, 0]]  # no range, no shade


def test_a_gray_picture_of_bytes_is_the_bytes():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(pictures.gray_picture(values), values)


def test_signs_are_red_and_blue_and_zero_is_paper():
    picture = pictures.signed_picture([[2.0, 1.0, 0.0, -1.0, -2.0]])
    assert picture.dtype == np.uint8
    assert picture.shape == (1, 5, 3)
    assert picture[0].tolist() == [[214, 45, 32], [234, 150, 144], [255, 255, 255], [146, 180, 228], [38, 105, 201]]


def test_a_common_scale_makes_pictures_comparable_and_clips_beyond():
    weak, strong = pictures.signed_picture([[0.5]], scale=1.0), pictures.signed_picture([[5.0]], scale=1.0)
    assert weak[0, 0].tolist() == [234, 150, 144]
    assert strong[0, 0].tolist() == list(pictures.POSITIVE)


def test_transparent_writes_the_strength_as_opacity():
    picture = pictures.signed_picture([[1.0, 0.0, -0.5]], transparent=True)
    assert picture[0].tolist() == [[214, 45, 32, 255], [38, 105, 201, 0], [38, 105, 201, 128]]


def test_all_zero_weights_are_blank_paper():
    assert pictures.symmetric_scale(np.zeros((2, 2))) == 1.0
    assert (pictures.signed_picture(np.zeros((2, 2))) == 255).all()


@given(arrays.arrays(np.float32, (3, 4), elements=FINITE))
def test_turning_the_sign_swaps_the_colours(weights):
    there = pictures.signed_picture(weights, scale=1.0, transparent=True)
    back = pictures.signed_picture(-weights, scale=1.0, transparent=True)
    np.testing.assert_array_equal(there[..., 3], back[..., 3])
    nonzero = weights != 0
    assert ((there[..., :3] == pictures.POSITIVE).all(-1) != (back[..., :3] == pictures.POSITIVE).all(-1))[
        nonzero
    ].all()


def test_grid_places_row_by_row_with_gaps():
    whole = pictures.grid([np.full((2, 3), k, np.uint8) for k in (1, 2, 3)], columns=2, gap=1, background=9)
    assert whole.tolist() == [
        [1, 1, 1, 9, 2, 2, 2],
        [1, 1, 1, 9, 2, 2, 2],
        [9, 9, 9, 9, 9, 9, 9],
        [3, 3, 3, 9, 9, 9, 9],
        [3, 3, 3, 9, 9, 9, 9],
    ]


def test_grid_is_as_square_as_it_goes_and_keeps_colours():
    assert pictures.grid([np.zeros((28, 28), np.uint8)] * 64).shape == (8 * 29 - 1, 8 * 29 - 1)
    assert pictures.grid([np.zeros((2, 2, 3), np.uint8)] * 3).shape == (5, 5, 3)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_png_gives_the_same_pixels_back(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(read(pictures.to_png(picture)), picture)
    assert pictures.to_png(picture) == pictures.to_png(picture.copy())


def test_png_takes_pictures_that_are_views():
    picture = np.random.default_rng(0).integers(0, 256, (8, 6), np.uint8)
    np.testing.assert_array_equal(read(pictures.to_png(picture.T[::2])), picture.T[::2])


def test_the_address_holds_the_bytes():
    png = pictures.to_png(np.zeros((2, 2), np.uint8))
    head, text = pictures.data_uri(png).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(text) == png


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: pictures.gray_picture(np.zeros(3)),
            ShapeError,
            "gray_picture takes one picture [height, width] of at least one pixel; got shape (3,).",
        ),
        (
            lambda: pictures.signed_picture(np.zeros((2, 0))),
            ShapeError,
            "signed_picture takes one picture [height, width] of at least one pixel; got shape (2, 0).",
        ),
        (
            lambda: pictures.signed_picture([[0.0, np.nan]]),
            DataError,
            "signed_picture takes finite numbers; the value at (0, 1) is nan: find its cause first.",
        ),
        (
            lambda: pictures.signed_picture([[1.0]], scale=0.0),
            DataError,
            "signed_picture.scale must be a finite number above 0; got 0.",
        ),
        (
            lambda: pictures.symmetric_scale([]),
            ShapeError,
            "symmetric_scale needs at least one value; got shape (0,).",
        ),
        (lambda: pictures.grid([]), ShapeError, "grid needs at least one picture; got an empty list."),
        (
            lambda: pictures.grid([np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)]),
            ShapeError,
            "grid: picture 0 is (2, 2) and picture 1 is (2, 3); all pictures must have one shape: resize or pad them "
            "first.",
        ),
        (
            lambda: pictures.grid([np.zeros((2, 2), np.uint8)], columns=0),
            DataError,
            "grid.columns must be an integer >= 1; got 0.",
        ),
        (
            lambda: pictures.grid([np.zeros((2, 2), np.uint8)], background=256),
            DataError,
            "grid.background must be an integer from 0 to 255; got 256.",
        ),
        (
            lambda: pictures.to_png(np.zeros((2, 2))),
            DataError,
            "to_png takes pictures of dtype uint8; got float64: use gray_picture for values, signed_picture for "
            "weights.",
        ),
        (
            lambda: pictures.to_png(np.zeros((2, 2, 2), np.uint8)),
            ShapeError,
            "to_png takes pictures [height, width], [height, width, 3] or [height, width, 4]; got (2, 2, 2).",
        ),
        (
            lambda: pictures.data_uri(b"GIF89a.."),
            DataError,
            "data_uri takes the bytes of a PNG file; got bytes that begin b'GIF89a..': use to_png first.",
        ),
    ],
)
def test_each_mistake_has_its_message(call, error, message):
    with pytest.raises(error, match=exactly(message)):
        call()

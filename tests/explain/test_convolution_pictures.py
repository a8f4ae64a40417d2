"""Drawings of sparse matrices and of fields of view: every square and frame where it belongs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.core.errors import DataError, ShapeError
from chainrule.explain.convolution import cross_correlation_matrix
from chainrule.explain.convolution_pictures import BLOCK, COLOURS, EMPTY, PADDING, field_picture, matrix_picture
from chainrule.explain.sparse import SparseMatrix


def test_every_place_has_its_square():
    a = cross_correlation_matrix([[1, -2], [0, 4]], (3, 3))
    drawn = matrix_picture(a, cell=8)
    assert drawn.shape == (4 * 8 + 1, 9 * 8 + 1, 3)
    for row in range(4):
        for column in range(9):
            colour = drawn[row * 8 + 4, column * 8 + 4].astype(int)
            value = a.todense()[row, column]
            if not ((a.rows == row) & (a.columns == column)).any():
                assert tuple(colour) == EMPTY
            elif value == 0:
                assert tuple(colour) == (255, 255, 255)
            else:  # red where positive, blue where negative, the stronger the darker
                assert (colour[0] > colour[2]) == (value > 0)
    weak, strong = (drawn[4, column * 8 + 4].astype(int).sum() for column in (0, 1))
    assert weak > strong + 50  # 1 is paler than -2


def test_lines_between_blocks_and_numbers():
    a = cross_correlation_matrix([[1, 2], [3, 4]], (3, 3))
    drawn = matrix_picture(a, cell=20)
    assert all((drawn[:, 60 * k] == BLOCK).all() for k in range(4))
    assert all((drawn[40 * k] == BLOCK).all() for k in range(3))
    square = drawn[2:19, 2:19].reshape(-1, 3)
    assert len(np.unique(square, axis=0)) > 2  # a number is written on the colour
    assert len(np.unique(drawn[22:39, 2:19].reshape(-1, 3), axis=0)) == 1  # nothing in an empty place
    wide = SparseMatrix((1, 1), [0], [0], [123456])
    assert len(np.unique(matrix_picture(wide, cell=20)[2:19, 2:19].reshape(-1, 3), axis=0)) == 1  # no room


def test_the_size_fits_the_matrix():
    assert matrix_picture(cross_correlation_matrix(np.ones((3, 3)), (28, 28))).shape == (677, 785, 3)
    assert matrix_picture(cross_correlation_matrix([1.0], (2,))).shape == (53, 53, 3)


def test_frames_stand_around_what_outputs_see():
    picture = np.full((8, 10), 100, np.uint8)
    drawn = field_picture(picture, [((1, 3), (2, 5)), ((6, 9), (-1, 0))], tile=120)
    factor, border = 120 // 14, 2
    assert drawn.shape == ((8 + 4) * factor, (10 + 4) * factor, 3)
    assert tuple(drawn[0, 0]) == PADDING
    assert tuple(drawn[border * factor, border * factor]) == (100, 100, 100)
    first = (drawn == COLOURS[0]).all(-1)
    rows, columns = np.nonzero(first)
    assert (rows.min(), rows.max() + 1) == ((1 + border) * factor, (4 + border) * factor)
    assert (columns.min(), columns.max() + 1) == ((2 + border) * factor, (6 + border) * factor)
    assert not first[(2 + border) * factor, (4 + border) * factor]  # only a frame
    rows, columns = np.nonzero((drawn == COLOURS[1]).all(-1))
    assert (rows.min(), rows.max() + 1) == ((6 + border) * factor, drawn.shape[0])  # as far as the padding is drawn
    assert (columns.min(), columns.max() + 1) == ((-1 + border) * factor, (1 + border) * factor)


def test_a_window_beyond_the_picture_draws_no_side_that_is_not_there():
    drawn = field_picture(np.zeros((6, 6), np.uint8), [((-40, 2), (-40, 60))], tile=60)
    rows, _ = np.nonzero((drawn == COLOURS[0]).all(-1))
    factor = 60 // 12
    assert set(rows.tolist()) <= set(range((2 + 3 + 1) * factor - 3, (2 + 3 + 1) * factor))


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda: matrix_picture(SparseMatrix((0, 3), [], [], [])),
            ShapeError,
            "matrix_picture: the matrix is 0 x 3; it needs a row and a column at least.",
        ),
        (
            lambda: matrix_picture(cross_correlation_matrix([1.0], (500,)), cell=10),
            DataError,
            "matrix_picture: 500 x 500 places of 10 pixels make more than 4096 pixels, or none; take cell from 1 to 8, "
            "or a smaller input.",
        ),
        (
            lambda: field_picture(np.zeros((3, 3)), []),
            DataError,
            "field_picture takes pictures of dtype uint8; got float64: use gray_picture for values.",
        ),
        (
            lambda: field_picture(np.zeros((3, 3, 4), np.uint8), []),
            ShapeError,
            "field_picture takes pictures [height, width] or [height, width, 3]; got (3, 3, 4).",
        ),
        (
            lambda: field_picture(np.zeros((3, 3), np.uint8), [((0, 1),)]),
            ShapeError,
            "field_picture: a window is ((top, bottom), (left, right)); got [((0, 1),)].",
        ),
    ],
)
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()

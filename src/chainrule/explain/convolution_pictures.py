"""Pictures of what convolution is: its sparse matrix, and the field of view of an output on a picture.

matrix_picture    a sparse matrix, one square per place: red and blue for entries, paper for empty places
field_picture     a picture with the windows that outputs see, and the padding where they reach beyond it
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.core.errors import DataError, ShapeError
from chainrule.explain.pictures import signed_picture, symmetric_scale
from chainrule.explain.sparse import SparseMatrix

__all__ = ["COLOURS", "field_picture", "matrix_picture"]

EMPTY, LINE, BLOCK, INK, PADDING = (244, 244, 244), (222, 222, 222), (120, 120, 120), (25, 25, 25), (222, 222, 222)
COLOURS = ((214, 45, 32), (38, 105, 201), (24, 140, 80), (200, 130, 0), (130, 60, 170))  # of windows, in turn
LARGEST = 4096  # pixels of a side


def matrix_picture(matrix: SparseMatrix, *, cell: int | None = None) -> NDArray[np.uint8]:
    """Draw a sparse matrix: one square per place, its number in it where there is room.

    Positive entries are red and negative ones blue, the stronger the larger; empty places have the colour of the
    paper. Darker lines stand between the blocks of the matrix, one per row of the picture.

    Args:
        matrix: the matrix, such as `cross_correlation_matrix` gives.
        cell: side of a square in pixels, >= 1; default what makes the longer side about 640, from 1 to 26.

    Returns:
        uint8 [height, width, 3].

    Raises:
        ShapeError: the matrix is empty.
        DataError: the picture would have a side of more than 4096 pixels.

    Example:
        >>> from chainrule.explain.convolution import cross_correlation_matrix
        >>> matrix_picture(cross_correlation_matrix([1, -1], (3,)), cell=8).shape
        (17, 25, 3)
    """
    rows, columns = matrix.shape
    if not (rows and columns):
        raise ShapeError(f"matrix_picture: the matrix is {rows} x {columns}; it needs a row and a column at least.")
    side = max(1, min(26, 640 // max(rows, columns))) if cell is None else cell
    if side < 1 or max(rows, columns) * side > LARGEST:
        raise DataError(
            f"matrix_picture: {rows} x {columns} places of {side} pixels make more than {LARGEST} pixels, or none; "
            f"take cell from 1 to {LARGEST // max(rows, columns)}, or a smaller input."
        )
    values = np.zeros((rows, columns))
    held = np.zeros((rows, columns), bool)
    values[matrix.rows, matrix.columns] = matrix.values
    held[matrix.rows, matrix.columns] = True
    colours = signed_picture(values, scale=1.25 * symmetric_scale(values))
    colours[~held] = EMPTY
    drawn = colours.repeat(side, 0).repeat(side, 1)
    whole = np.full((drawn.shape[0] + 1, drawn.shape[1] + 1, 3), 255, np.uint8)
    whole[:-1, :-1] = drawn
    if side >= 5:
        whole[::side] = LINE
        whole[:, ::side] = LINE
    _between_blocks(whole, matrix, side)
    return _numbered(whole, matrix, side) if side >= 14 else whole


def _between_blocks(whole: NDArray[np.uint8], matrix: SparseMatrix, side: int) -> None:
    """Draw the lines between blocks; squares of one pixel have no room for them."""
    if side < 2:
        return
    if matrix.row_block:
        whole[:: matrix.row_block * side] = BLOCK
    if matrix.column_block:
        whole[:, :: matrix.column_block * side] = BLOCK
    for edge in (whole[0], whole[-1], whole[:, 0], whole[:, -1]):
        edge[:] = BLOCK


def _numbered(whole: NDArray[np.uint8], matrix: SparseMatrix, side: int) -> NDArray[np.uint8]:
    """Write the numbers into the squares, if they fit."""
    from PIL import Image, ImageDraw, ImageFont

    words = [f"{value:.2g}" if isinstance(value, float) else str(value) for value in matrix.values.tolist()]
    font = ImageFont.load_default(size=max(8, round(0.55 * side)))
    if any(font.getlength(word) > side - 2 for word in words):
        return whole
    picture = Image.fromarray(whole)
    draw = ImageDraw.Draw(picture)
    for row, column, word in zip(matrix.rows.tolist(), matrix.columns.tolist(), words, strict=True):
        draw.text((column * side + side / 2 + 0.5, row * side + side / 2 + 0.5), word, fill=INK, font=font, anchor="mm")
    return np.asarray(picture)


def field_picture(
    picture: ArrayLike, windows: Sequence[Sequence[tuple[int, int]]], *, tile: int = 256, border: int | None = None
) -> NDArray[np.uint8]:
    """Draw the windows that outputs see onto a picture, with as much padding around it as they reach into.

    Args:
        picture: uint8 [height, width] or [height, width, 3].
        windows: per window ((top, bottom), (left, right)), first and last pixel, as `FieldRow.window` gives them; they
            are drawn in the colours of `COLOURS` in turn.
        tile: pixels that the longer side is enlarged to, by a whole number, >= 1; default 256.
        border: pixels of padding around the picture, >= 0; default what the windows need, at most half the picture.
            Windows are cut off where it ends.

    Returns:
        uint8 [height, width, 3].

    Raises:
        ShapeError: a picture of another shape, or a window that is not two pairs.
        DataError: the picture is not uint8.

    Example:
        >>> field_picture(np.zeros((8, 8), np.uint8), [((-1, 1), (3, 5))], tile=40).shape
        (40, 40, 3)
    """
    given = np.asarray(picture)
    if given.dtype != np.uint8:
        raise DataError(f"field_picture takes pictures of dtype uint8; got {given.dtype}: use gray_picture for values.")
    if given.ndim not in (2, 3) or (given.ndim == 3 and given.shape[2] != 3) or not given.size:
        raise ShapeError(f"field_picture takes pictures [height, width] or [height, width, 3]; got {given.shape}.")
    height, width = given.shape[:2]
    boxes = [tuple(tuple(ends) for ends in window) for window in windows]
    if any(len(box) != 2 or any(len(ends) != 2 for ends in box) for box in boxes):
        raise ShapeError(f"field_picture: a window is ((top, bottom), (left, right)); got {windows!r}.")
    if border is None:
        over = [max(-t, -a, b - height + 1, r - width + 1, 0) for (t, b), (a, r) in boxes]
        border = min(max(over, default=0), max(height, width) // 2)
    whole = np.full((height + 2 * border, width + 2 * border, 3), PADDING, np.uint8)
    whole[border : border + height, border : border + width] = given if given.ndim == 3 else given[..., None]
    factor = max(1, tile // max(whole.shape))
    large = whole.repeat(factor, 0).repeat(factor, 1)
    thick = max(1, min(3, factor // 2))
    for number, ((top, bottom), (left, right)) in enumerate(boxes):
        ends = ((top + border) * factor, (left + border) * factor, (bottom + border + 1) * factor)
        _frame(large, (*ends, (right + border + 1) * factor), COLOURS[number % len(COLOURS)], thick)
    return large


def _frame(picture: NDArray[np.uint8], box: tuple[int, int, int, int], colour: Sequence[int], thick: int) -> None:
    """Draw a frame inside the box; sides that lie outside the picture are left out."""
    top, left, bottom, right = box
    y, x = slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))
    for start in (top, bottom - thick):
        if start + thick > 0:
            picture[max(start, 0) : start + thick, x] = colour
    for start in (left, right - thick):
        if start + thick > 0:
            picture[y, max(start, 0) : start + thick] = colour

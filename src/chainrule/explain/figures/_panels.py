"""A sheet of panels: rows of pictures of one height, each with a title above and a note below, on white paper.

    row heading
    title        title        title
    [picture]    [picture]    [picture]
    note         note         note

Small pictures are enlarged by whole numbers, so that pixels stay visible; large ones are reduced. Text is wrapped at
the panel's width. The font is the one that Pillow brings, so a figure looks the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.explain import pictures

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FAINT", "INK", "PAPER", "Panel", "Row", "kernel_panel", "sheet"]

INK, FAINT, PAPER, FRAME = (25, 25, 25), (105, 105, 105), (255, 255, 255), (205, 205, 205)
TITLE, NOTE, HEADING = 13, 12, 15  # sizes of the fonts in pixels
GAP, MARGIN = 14, 18


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet: uint8 [height, width] or [height, width, 3], its title and its note."""

    picture: NDArray[np.uint8]
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Panels side by side under a heading; `tile` is the largest side of their pictures in pixels."""

    panels: Sequence[Panel]
    heading: str = ""
    tile: int = 128


def sheet(
    rows: Sequence[Row], *, heading: str = "", text: Sequence[str] = (), table: Sequence[Sequence[str]] = ()
) -> Image:
    """Return rows of panels below each other, as a picture of Pillow's.

    Args:
        rows: the rows; all panels of a row get the same width.
        heading: line above all; default none.
        text: lines below all, as they are; default none.
        table: rows of cells below that, the head first; the first column to the left, the others right; default none.
    """
    from PIL import Image

    blocks = [_row(row) for row in rows]
    if heading:
        blocks.insert(0, _text([heading], HEADING, INK))
    if text:
        blocks.append(_text(list(text), NOTE, INK))
    if table:
        blocks.append(_table(table))
    width = max(block.width for block in blocks) + 2 * MARGIN
    height = sum(block.height for block in blocks) + GAP * (len(blocks) - 1) + 2 * MARGIN
    whole, top = Image.new("RGB", (width, height), PAPER), MARGIN
    for block in blocks:
        whole.paste(block, (MARGIN, top))
        top += block.height + GAP
    return whole


def kernel_panel(values: ArrayLike, title: str = "", note: str = "", *, digits: int = 0, tile: int = 128) -> Panel:
    """Return a panel that shows a kernel: colours for signs and sizes, numbers in kernels of up to 5 x 5.

    Args:
        values: the kernel, [height, width].
        title: above the picture.
        note: below the picture.
        digits: decimals of the numbers; default 0.
        tile: side of the picture in pixels; default 128.
    """
    from PIL import Image, ImageDraw

    kernel = np.asarray(values, float)
    cell = max(1, tile // max(kernel.shape))
    coloured = pictures.signed_picture(kernel, scale=1.25 * pictures.symmetric_scale(kernel))
    picture = Image.fromarray(coloured.repeat(cell, 0).repeat(cell, 1))
    if max(kernel.shape) <= 5:
        draw, font = ImageDraw.Draw(picture), _font(max(9, cell // 3))
        for (i, j), value in np.ndenumerate(kernel):
            middle = (j * cell + cell / 2, i * cell + cell / 2)
            text = f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no negative zeros
            text = text.replace("0.", ".") if digits else text
            draw.text(middle, text, fill=INK, font=font, anchor="mm")
    return Panel(np.asarray(picture), title, note)


# ---------------------------------------------------------------------------------------------------- drawing
def _row(row: Row) -> Image:
    """Return the panels of a row with their heading."""
    from PIL import Image, ImageDraw

    shown = [_scaled(panel.picture, row.tile) for panel in row.panels]
    width = max(84, *(picture.width for picture in shown))
    titles = [_wrapped(panel.title, TITLE, width) for panel in row.panels]
    notes = [_wrapped(panel.note, NOTE, width) for panel in row.panels]
    above = max(map(len, titles)) * (TITLE + 4)
    below = max(map(len, notes)) * (NOTE + 4)
    head = HEADING + 8 if row.heading else 0
    tall = max(picture.height for picture in shown)
    least = int(_font(HEADING).getlength(row.heading)) + 1
    whole = (max(least, len(shown) * (width + GAP) - GAP), head + above + 4 + tall + 4 + below)
    block = Image.new("RGB", whole, PAPER)
    draw = ImageDraw.Draw(block)
    draw.text((0, 0), row.heading, fill=INK, font=_font(HEADING))
    for place, picture in enumerate(shown):
        left, top = place * (width + GAP), head + above + 4
        _lines(draw, left, top - 4 - len(titles[place]) * (TITLE + 4), titles[place], TITLE, INK)
        block.paste(picture, (left, top))
        draw.rectangle((left, top, left + picture.width - 1, top + picture.height - 1), outline=FRAME)
        _lines(draw, left, top + tall + 4, notes[place], NOTE, FAINT)
    return block


def _scaled(picture: NDArray[np.uint8], tile: int) -> Image:
    """Return the picture with its longer side near `tile`: enlarged by a whole number, or reduced."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
    factor = tile // max(image.size)
    if factor >= 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    share = tile / max(image.size)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _text(lines: list[str], size: int, colour: tuple[int, int, int]) -> Image:
    from PIL import Image, ImageDraw

    width = max(int(_font(size).getlength(line)) + 1 for line in lines)
    block = Image.new("RGB", (width, len(lines) * (size + 5)), PAPER)
    draw = ImageDraw.Draw(block)
    for number, line in enumerate(lines):
        draw.text((0, number * (size + 5)), line, fill=colour, font=_font(size))
    return block


def _table(rows: Sequence[Sequence[str]]) -> Image:
    """Return cells in columns as wide as their widest cell."""
    from PIL import Image, ImageDraw

    font, line = _font(TITLE), TITLE + 8
    widths = [int(max(font.getlength(row[k]) for row in rows)) + 1 for k in range(len(rows[0]))]
    block = Image.new("RGB", (sum(widths) + 2 * GAP * (len(widths) - 1), line * len(rows) + 4), PAPER)
    draw = ImageDraw.Draw(block)
    for number, row in enumerate(rows):
        left, top = 0, number * line + (4 if number else 0)
        for k, cell in enumerate(row):
            end = left + widths[k]
            draw.text(
                (left if k == 0 else end, top), cell, INK if number else FAINT, font, anchor="la" if k == 0 else "ra"
            )
            left = end + 2 * GAP
    draw.line((0, line - 1, block.width, line - 1), fill=FRAME)
    return block


def _lines(draw: Any, left: int, top: int, lines: list[str], size: int, colour: tuple[int, int, int]) -> None:
    for number, line in enumerate(lines):
        draw.text((left, top + number * (size + 4)), line, fill=colour, font=_font(size))


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Return the text in lines of at most `width` pixels; given line breaks stay."""
    font, lines = _font(size), []
    for paragraph in text.split("\n") if text else []:
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)

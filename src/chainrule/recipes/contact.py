"""The contact sheet of `chainrule data show`: training pictures as they are, and as augmentation changes them.

    a row per sample:   original   epoch 1   epoch 2   ...          under each the class, or the shares of mixed classes

The changes are those that training makes: of the recipe's seed, the sample's number and the epoch; where a transform
mixes samples, the partners are those of the sheet, not of the training's batches.
"""

from __future__ import annotations

import os
import pathlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.errors import RecipeError
from chainrule.core.files import atomic_write
from chainrule.recipes import build
from chainrule.recipes.scaling import Scale, augmented

if TYPE_CHECKING:
    from chainrule.recipes.recipe import Recipe

__all__ = ["contact_sheet", "write_contact_sheet"]

TILE = 96  # least pixels of a tile's longer side; small pictures are enlarged by whole numbers, so pixels stay visible
GAP, LINE, HEAD = 8, 13, 22  # pixels between tiles, per line of text, above the first row
Column = tuple[str, np.ndarray, list[tuple[str, ...]]]  # title, pictures, lines under each
INK, FAINT, PAPER = (30, 30, 30), (110, 110, 110), (255, 255, 255)


def contact_sheet(recipe: Recipe, samples: int = 8, epochs: int = 7) -> Any:
    """Return the sheet as a picture of Pillow's.

    Args:
        recipe: the recipe.
        samples: rows, >= 1: the first training samples; default 8.
        epochs: columns beside the originals, >= 0; without augmentation there is only the original; default 7.

    Raises:
        RecipeError: a number that is not allowed.
        DataError: the data set is not there, or damaged.
    """
    for name, value, low in (("samples", samples, 1), ("epochs", epochs, 0)):
        if value < low:
            raise RecipeError(f"--{name} must be an integer >= {low}; got {value}.")
    images, labels, classes = build.load_split(recipe, "train")
    images, labels = images[:samples], labels[:samples]
    images = images if images.ndim == 4 else images[:, None]
    columns: list[Column] = [("original", images, [(classes[label],) for label in labels])]
    transforms = build.make_transforms(recipe)
    if transforms:
        augment = augmented(
            transforms, Scale(0.0, 255.0), images.shape[1], recipe["train.seed"], len(classes), scaled=False
        )
        for epoch in range(epochs):
            x, y = augment(images, labels, np.arange(len(images)), augment.key(epoch))
            columns.append((f"epoch {epoch + 1}", x.round().clip(0, 255).astype(np.uint8), _texts(y, classes)))
    return _drawn(columns)


def write_contact_sheet(
    recipe: Recipe, path: str | os.PathLike[str], samples: int = 8, epochs: int = 7
) -> pathlib.Path:
    """Write the sheet as a PNG file.

    Args:
        recipe: the recipe.
        path: the file; it must end in .png.
        samples: rows; default 8.
        epochs: columns beside the originals; default 7.

    Returns:
        The file.

    Raises:
        RecipeError: another ending, or a number that is not allowed.
        DataError: the data set is not there, or damaged.
        OSError: the file can't be written.
    """
    target = pathlib.Path(path)
    if target.suffix.lower() != ".png":
        raise RecipeError(f"a contact sheet is a PNG file: --out must end in .png; got {str(path)!r}.")
    buffer = BytesIO()
    contact_sheet(recipe, samples, epochs).save(buffer, "PNG")
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(target, buffer.getvalue())
    return target


def _texts(labels: np.ndarray, classes: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the lines under each picture: the class, or the classes of a mixture with their shares."""
    if labels.ndim == 1:
        return [(classes[label],) for label in labels]
    found = []
    for row in labels:
        likeliest = [int(c) for c in np.argsort(-row, kind="stable")[:2] if row[c] > 0.005]
        found.append(tuple(f"{classes[c]} {100 * row[c]:.0f} %" for c in likeliest))
    return found


def _drawn(columns: list[Column]) -> Any:
    """Return the tiles with their texts on white paper."""
    from PIL import Image, ImageDraw, ImageFont

    rows = len(columns[0][1])
    factor = max(1, -(-TILE // max(columns[0][1].shape[2:])))
    sides = [max(column[1].shape[axis] for column in columns) * factor for axis in (2, 3)]
    lines = max(len(texts) for column in columns for texts in column[2])
    height, width = sides[0] + lines * LINE + GAP, sides[1] + GAP
    sheet = Image.new("RGB", (GAP + len(columns) * width, HEAD + rows * height + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, (title, pictures, texts) in enumerate(columns):
        left = GAP + place * width
        draw.text((left, 5), title, fill=FAINT, font=font)
        for row, (pixels, words) in enumerate(zip(pictures, texts, strict=True)):
            top = HEAD + row * height
            flat = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
            tile = Image.fromarray(np.ascontiguousarray(flat)).convert("RGB")
            tile = tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)
            sheet.paste(tile, (left, top))
            for line, text in enumerate(words):
                draw.text((left, top + tile.height + line * LINE), text, fill=INK, font=font)
    return sheet

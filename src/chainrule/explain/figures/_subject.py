"""What the figures of a network share: pixels from inputs, captions for classes and answers, colour bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import nn
from chainrule.core.errors import IndexRangeError, SettingError
from chainrule.explain import pictures
from chainrule.explain._probe import called
from chainrule.explain.figures._panels import INK, MARGIN, NOTE, PAPER, Panel, _font
from chainrule.explain.figures.registry import Subject

if TYPE_CHECKING:
    from PIL.Image import Image

    from chainrule.nn import Module

__all__ = [
    "answer", "bar", "class_name", "enlarged", "every", "input_range", "model_of", "pixels", "sample_panel", "short",
    "strength", "target_of", "unit_layers", "with_bar",
]  # fmt: skip


def model_of(subject: Subject) -> Module:
    """Return the subject's network; `draw` has checked that there is one."""
    assert subject.model is not None
    return subject.model


def pixels(subject: Subject, inputs: NDArray) -> NDArray[np.uint8]:
    """Return inputs of the network as they are shown: uint8 [samples, height, width] or [samples, height, width, 3]."""
    mean, std = subject.scale
    raw = np.rint(np.clip(np.asarray(inputs, np.float64) * std + mean, 0, 255)).astype(np.uint8)
    if raw.ndim == 3:
        return raw
    if raw.shape[1] == 1:
        return raw[:, 0]
    return raw.transpose(0, 2, 3, 1)


def input_range(subject: Subject) -> tuple[NDArray, NDArray]:
    """Return what black and white are as inputs of the network."""
    mean, std = (np.asarray(value, np.float64) for value in subject.scale)
    return (0.0 - mean) / std, (255.0 - mean) / std


def class_name(subject: Subject, label: int) -> str:
    """Return a class in words."""
    if label < 0:
        return "unknown"
    return subject.classes[label] if label < len(subject.classes) else f"class {label}"


def target_of(subject: Subject, classes: int) -> int | None:
    """Return the class that the user wants to be explained, or None for the predicted one."""
    if subject.target is not None and not 0 <= subject.target < classes:
        raise IndexRangeError(f"--target must be a class from 0 to {classes - 1}; got {subject.target}.")
    return subject.target


def answer(subject: Subject, probabilities: NDArray, *, most: int = 1) -> str:
    """Return the likeliest classes with their probabilities, in words."""
    order = np.argsort(-probabilities, kind="stable")[:most]
    return ", ".join(f"{class_name(subject, int(k))} {100 * probabilities[k]:.1f}%" for k in order)


def sample_panel(subject: Subject, probabilities: NDArray) -> Panel:
    """Return the sample with its true class and what the network says."""
    label = int(subject.labels[subject.sample]) if len(subject.labels) > subject.sample else -1
    truth = f"shows: {class_name(subject, label)}\n" if label >= 0 else ""
    note = f"{truth}network: {answer(subject, probabilities, most=3)}"
    return Panel(subject.pictures[subject.sample], f"sample {subject.sample}", note)


def unit_layers(subject: Subject, kinds: tuple[type, ...] = (nn.Conv2d, nn.Linear)) -> list[str]:
    """Return the paths of the layers of these kinds that run: convolutions and linear layers, in the order of calls."""
    found = called(model_of(subject), subject.inputs[:1], kinds)
    if not found:
        raise SettingError(f"{subject.name or 'the network'} has neither a convolution nor a linear layer to look at.")
    return found


def short(value: float) -> str:
    """Return a number in few digits, without an exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def every(items: list[str], most: int) -> list[str]:
    """Return at most so many of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)] if most > 1 else items[-1:]


# ---------------------------------------------------------------------------------------------------- drawing
def strength(values: ArrayLike, top: float) -> NDArray[np.uint8]:
    """Return values from 0 (white) to `top` (nearly black) as shades."""
    return 255 - pictures.gray_picture(np.asarray(values, np.float64), low=0.0, high=1.08 * top)


def enlarged(picture: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    """Return a picture brought near `tile` pixels: enlarged by a whole number, or reduced."""
    from PIL import Image

    factor = tile // max(picture.shape[:2])
    if factor >= 1:
        return picture.repeat(factor, 0).repeat(factor, 1)
    share = tile / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * share)), max(1, round(picture.shape[0] * share)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BOX))


def bar(low: float, high: float, words: str, *, signed: bool = True) -> Image:
    """Return a colour bar from `low` to `high`, and what it measures."""
    from PIL import Image, ImageDraw

    ramp = np.linspace(low, high, 240)[None]
    colours = pictures.signed_picture(ramp, scale=high) if signed else np.stack([strength(ramp, high)] * 3, axis=-1)
    font = _font(NOTE)
    block = Image.new("RGB", (int(max(240, font.getlength(words))) + 24, 3 * NOTE + 22), PAPER)
    draw = ImageDraw.Draw(block)
    draw.text((0, 0), words, fill=INK, font=font)
    block.paste(Image.fromarray(colours.repeat(NOTE, axis=0)), (0, NOTE + 6))
    draw.rectangle((0, NOTE + 6, 239, 2 * NOTE + 5), outline=(150, 150, 150))
    middle = (low + high) / 2
    for place, value, anchor in ((0, low, "la"), (120, middle, "ma"), (240, high, "ra")):
        draw.text((place, 2 * NOTE + 9), short(value), INK, font, anchor=anchor)
    return block


def with_bar(whole: Image, *bars: Image) -> Image:
    """Return a sheet with colour bars below, side by side."""
    from PIL import Image

    width = sum(b.width for b in bars) + 2 * MARGIN
    height = max(b.height for b in bars)
    result = Image.new("RGB", (max(whole.width, width), whole.height + height + MARGIN // 2), PAPER)
    result.paste(whole, (0, 0))
    left = MARGIN
    for block in bars:
        result.paste(block, (left, whole.height))
        left += block.width
    return result

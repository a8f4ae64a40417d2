"""Figures of what channels respond to: pictures made by gradient ascent, and the nearest pictures of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule import nn
from chainrule.core.context import no_grad
from chainrule.core.errors import ShapeError
from chainrule.explain._probe import called, channel_at, described, layer_at, probed
from chainrule.explain.activation_maximisation import maximise_activation
from chainrule.explain.figures._panels import Panel, Row, sheet
from chainrule.explain.figures._subject import class_name, every, input_range, model_of, pixels, short, unit_layers
from chainrule.explain.figures.registry import Subject, figure
from chainrule.explain.nearest import Box, NearestPicture, nearest_pictures
from chainrule.ops.convert import asarray

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_activation_maximisation", "draw_nearest"]

LAYERS, CHANNELS, CHOSEN = 4, 8, 40  # layers; channels of each; channels of a layer that was chosen
ROW = 10  # channels side by side, and so many are all shown
SIDE = 128  # pixels at most, where the network takes pictures of any size
FRAME = (225, 30, 30)
COUNT = 9  # nearest pictures of a channel


# ---------------------------------------------------------------------------------------------------- made pictures
@figure("activation-maximisation", "Pictures that channels respond to most, by gradient ascent from noise (--seed).")
def draw_activation_maximisation(subject: Subject) -> Image:
    """Draw for channels of a few layers, or of the chosen one, pictures that they respond to most.

    Args:
        subject: the network; `layer` and `channel` choose, `seed` makes the noise.
    """
    model = model_of(subject)
    low, high = input_range(subject)
    paths = every(unit_layers(subject), LAYERS) if subject.layer is None else [subject.layer]
    most = CHANNELS if subject.layer is None else CHOSEN
    rows = []
    for path in paths:
        shape = _shape(subject)
        total = _channels(subject, path)
        wanted = list(range(total if total <= ROW else min(total, most)))
        if subject.channel is not None:
            wanted = channel_at(path, total, [subject.channel])
        found = maximise_activation(model, path, shape, channels=wanted, low=low, high=high, seed=subject.seed)
        shown = pixels(subject, found.inputs)
        panels = [
            Panel(picture, _unit(subject, path, total, channel), f"{_one_digit(before)} to {_one_digit(after)}")
            for channel, picture, before, after in zip(wanted, shown, found.before, found.after, strict=True)
        ]
        which = f"{len(wanted)} of {total} channels" if len(wanted) < total else f"all {total} channels"
        tile = 320 if len(panels) == 1 else max(96, min(max(shape[-2:]), SIDE))
        rows += [
            Row(panels[k : k + ROW], f"{path}   {described(layer_at(model, path))}   {which}" if k == 0 else "", tile)
            for k in range(0, len(panels), ROW)
        ]
    text = [f"Gradient ascent on the pixels from noise (seed {subject.seed}), with shifts, blur and decay to grey."]
    text += [
        "Below each: its response to the noise, and to the picture: the mean of what a ReLU lets through, or its value."
    ]
    return sheet(rows, heading=f"{subject.name}   activation maximisation", text=text)


def _one_digit(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:z.1f}"


def _unit(subject: Subject, path: str, total: int, channel: int) -> str:
    """Return the name of a unit: a class, where the layer gives out one value per class."""
    final = unit_layers(subject)[-1] == path and len(subject.classes) == total
    return class_name(subject, channel) if final else f"channel {channel}"


def _channels(subject: Subject, path: str) -> int:
    """Return how many channels or units a layer gives out."""
    with no_grad(), probed(model_of(subject), [path]) as run:
        [output] = run(asarray(subject.inputs[:1]))
    return int(output.shape[1])


def _shape(subject: Subject) -> tuple[int, ...]:
    """Return the shape of the pictures to be made: the network's, or smaller ones where it takes any size."""
    shape = subject.inputs.shape[1:]
    if max(shape[-2:]) <= SIDE:
        return shape
    smaller = (*shape[:-2], SIDE, SIDE)
    try:
        model_of(subject).summary((1, *smaller))
    except ShapeError:
        return shape
    return smaller


# ---------------------------------------------------------------------------------------------------- nearest pictures
@figure("nearest", "The pictures of the test set that channels of a layer (--layer, --channel) respond to most.")
def draw_nearest(subject: Subject) -> Image:
    """Draw the pictures that channels respond to most, framed where the strongest position looks.

    Args:
        subject: the network and its pictures; `layer` and `channel` choose, default the last convolution, or the first
            linear layer.
    """
    model = model_of(subject)
    path = subject.layer
    if path is None:
        found_layers = called(model, subject.inputs[:1], (nn.Conv2d,))
        path = found_layers[-1] if found_layers else unit_layers(subject, (nn.Linear,))[0]
    total = _channels(subject, path)
    wanted = (
        list(range(min(total, CHANNELS))) if subject.channel is None else channel_at(path, total, [subject.channel])
    )
    found = nearest_pictures(model, path, subject.inputs, channels=wanted, count=COUNT)
    rows = []
    for channel, nearest in zip(wanted, found, strict=True):
        rows.append(Row([_framed(subject, one) for one in nearest], _unit(subject, path, total, channel), tile=96))
        if subject.channel is not None:
            parts = [Panel(_cut(subject.pictures[one.sample], one.box), "", _place(one.box)) for one in nearest]
            rows.append(Row(parts, "what that position sees", tile=96))
    which = f"{len(wanted)} of {total} channels" if len(wanted) < total else f"all {total} channels"
    text = [f"{len(subject.inputs):,} pictures. Under each: the largest value of the channel's map, and the class."]
    text += ["The frame is the receptive field of that position, as far as it lies in the picture."]
    heading = f"{subject.name}   nearest pictures   layer {path}   {described(layer_at(model, path))}   {which}"
    return sheet(rows, heading=heading, text=text)


def _framed(subject: Subject, one: NearestPicture) -> Panel:
    """Return a picture with a frame around what the strongest position sees."""
    picture = subject.pictures[one.sample]
    label = int(subject.labels[one.sample]) if len(subject.labels) else -1
    factor = max(1, 96 // max(picture.shape[:2]))
    large = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    large = large.repeat(factor, 0).repeat(factor, 1)
    thick = max(1, max(large.shape[:2]) // 48)
    top, left, bottom, right = (edge * factor for edge in one.box)
    if one.position is not None:
        inside = large[top + thick : bottom - thick, left + thick : right - thick].copy()
        large[top:bottom, left:right] = FRAME
        large[top + thick : bottom - thick, left + thick : right - thick] = inside
    note = class_name(subject, label) if label >= 0 else ""
    return Panel(large, "", f"{short(one.response)}  {note}\nsample {one.sample}")


def _cut(picture: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    top, left, bottom, right = box
    return picture[top:bottom, left:right]


def _place(box: Box) -> str:
    top, left, bottom, right = box
    return f"rows {top} to {bottom - 1}\ncolumns {left} to {right - 1}"

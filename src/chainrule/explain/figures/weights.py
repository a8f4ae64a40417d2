"""Figures of what a network's layers hold and give out: filters, and the feature maps of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule import nn
from chainrule.core.context import no_grad
from chainrule.core.errors import SettingError
from chainrule.explain import pictures
from chainrule.explain._probe import called, channel_at, floats, layer_at
from chainrule.explain.feature_maps import LayerMaps, layer_maps
from chainrule.explain.figures._panels import Panel, Row, sheet
from chainrule.explain.figures._subject import bar, enlarged, every, model_of, sample_panel, short, with_bar
from chainrule.explain.figures.registry import Subject, figure
from chainrule.explain.filters import LayerFilters, layer_filters
from chainrule.nn._modes import evaluation
from chainrule.ops.convert import asarray

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_feature_maps", "draw_filters"]

FILTERS, UNITS, PLANES = (
    256,
    64,
    16,
)  # shown at most: filters of 1 or 3 channels, linear units, filters of more channels
LAYERS, MAPS = 10, 16  # shown at most, unless a layer is chosen
COLUMNS, CELL = 16, 64  # filters per row, pixels of one
ACROSS = 8  # feature maps in a row


# ---------------------------------------------------------------------------------------------------- filters
@figure("filters", "The filters of a layer (--layer): the weights of a convolution as pictures.", needs=["model"])
def draw_filters(subject: Subject) -> Image:
    """Draw the filters of a layer: in colours where they read a picture, else one plane per channel that they read.

    Args:
        subject: the network; `layer` chooses the layer, `channel` one filter of it.
    """
    shape = subject.inputs.shape[1:] if len(subject.inputs) else None
    found = layer_filters(model_of(subject), subject.layer, shape)
    chosen = channel_at(found.layer, len(found.weights), [] if subject.channel is None else [subject.channel])
    weights = found.weights[chosen] if chosen else found.weights
    top = float(np.quantile(np.abs(weights), 0.995)) or pictures.symmetric_scale(weights)
    heading = f"{subject.name}   layer {found.layer}   {found.kind}"
    if weights.shape[1] == 3:
        picture, note = _colours(weights, top, found)
        return sheet([Row([Panel(picture, "", note)], tile=max(picture.shape))], heading=heading)
    picture, note = _planes(weights, top, found, chosen)
    whole = sheet([Row([Panel(picture, "", note)], tile=max(picture.shape))], heading=heading)
    return with_bar(whole, bar(-top, top, "weight (99.5 % of them lie within this range)"))


def _colours(weights: NDArray, top: float, found: LayerFilters) -> tuple[NDArray[np.uint8], str]:
    """Return filters of three channels as colour pictures, 0 the middle grey."""
    most = FILTERS if max(weights.shape[2:]) <= 16 else UNITS
    shown = weights[:most].transpose(0, 2, 3, 1)
    tiles = np.rint(255 * np.clip(0.5 + shown / (2 * top), 0, 1)).astype(np.uint8)
    note = (
        f"{_how_many(len(shown), len(found.weights), 'filters').capitalize()}, row by row. Red, green and blue are the "
        f"weights of the three colours: middle grey is 0, full colour {short(top)}, none -{short(top)}."
    )
    return _grid(list(tiles)), note


def _planes(weights: NDArray, top: float, found: LayerFilters, chosen: list[int]) -> tuple[NDArray[np.uint8], str]:
    """Return filters plane by plane, positive weights red and negative ones blue."""
    total, channels = len(found.weights), weights.shape[1]
    if channels == 1:
        most = FILTERS if max(weights.shape[2:]) <= 16 else UNITS
        tiles = [pictures.signed_picture(plane[0], scale=top) for plane in weights[:most]]
        return _grid(tiles), f"{_how_many(len(tiles), total, 'filters').capitalize()}, row by row."
    if chosen:
        tiles = [pictures.signed_picture(plane, scale=top) for plane in weights[0, :FILTERS]]
        return _grid(
            tiles
        ), f"Filter {chosen[0]}: {_how_many(len(tiles), channels, 'planes')}, one per channel it reads."
    few = weights[:PLANES, :PLANES]
    tiles = [pictures.signed_picture(plane, scale=top) for planes in few for plane in planes]
    rows, columns = _how_many(len(few), total, "filters"), _how_many(few.shape[1], channels, "channels")
    return _grid(tiles, few.shape[1]), f"A row per filter ({rows}), a column per channel that it reads ({columns})."


def _grid(tiles: list[NDArray[np.uint8]], columns: int | None = None) -> NDArray[np.uint8]:
    """Return enlarged tiles in rows."""
    side = max(tiles[0].shape[:2])
    wanted = CELL if side > 1 else 24
    columns = min(COLUMNS, len(tiles)) if columns is None else columns
    return pictures.grid([enlarged(tile, max(wanted, 3 * side if side < 32 else side)) for tile in tiles],
                         columns=columns, gap=4)  # fmt: skip


def _how_many(shown: int, total: int, what: str) -> str:
    return f"all {total} {what}" if shown == total else f"the first {shown} of {total} {what}"


# ---------------------------------------------------------------------------------------------------- feature maps
@figure("feature-maps", "What every convolution (or --layer) makes of a sample (--sample).")
def draw_feature_maps(subject: Subject) -> Image:
    """Draw the feature maps of the chosen sample at every convolution, or all maps of the chosen layer.

    Args:
        subject: the network and its pictures; `layer` and `channel` choose.
    """
    model = model_of(subject)
    x = subject.inputs[subject.sample : subject.sample + 1]
    every_layer = called(model, x, (nn.Conv2d,))
    if subject.layer is None and not every_layer:
        raise SettingError(
            f"{subject.name or 'the network'} has no convolution, so it has no feature maps: "
            "its layers give out one number per unit. Try filters or activation-maximisation."
        )
    paths = every(every_layer, LAYERS) if subject.layer is None else [subject.layer]
    found = layer_maps(model, x, paths)
    with no_grad(), evaluation(model):
        scores = floats(model(asarray(x)))[0]
    chances = np.exp(scores - scores.max())
    rows = [Row([sample_panel(subject, chances / chances.sum())], tile=160)]
    rows += [_maps_row(entry, subject, layer_at(model, entry.layer)) for entry in found]
    text = ["Red is positive: what the ReLU behind would let through; blue is negative; white is 0."]
    text += [
        "Each layer has a scale of its own: full colour at the value in its heading, which 1 % of its values exceed."
    ]
    if len(paths) < len(every_layer) and subject.layer is None:
        text.append(f"{len(paths)} of {len(every_layer)} convolutions; choose others with --layer.")
    return sheet(rows, heading=f"{subject.name}   feature maps, before the activations", text=text)


def _maps_row(entry: LayerMaps, subject: Subject, layer: object) -> Row:
    """Return the maps of one layer side by side, in one scale."""
    channels = len(entry.maps)
    if subject.channel is not None:
        shown = channel_at(entry.layer, channels, [subject.channel])
    else:
        shown = list(range(min(channels, MAPS if subject.layer is None else FILTERS)))
    top = float(np.quantile(np.abs(entry.maps), 0.99)) or pictures.symmetric_scale(entry.maps)
    cell = 120 if len(shown) > 1 else 320
    tiles = [enlarged(pictures.signed_picture(entry.maps[c], scale=top), cell) for c in shown]
    columns = min(len(tiles), ACROSS)
    picture = pictures.grid(tiles, columns=columns, gap=4)
    which = f"channel {shown[0]}" if subject.channel is not None else _how_many(len(shown), channels, "channels")
    size = " x ".join(map(str, entry.maps.shape[1:]))
    heading = f"{entry.layer}   {entry.kind}   {size}, {which}, full colour at \N{PLUS-MINUS SIGN}{short(top)}"
    return Row([Panel(picture)], heading, tile=max(picture.shape))

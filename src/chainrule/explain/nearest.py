"""Which pictures of a data set a channel responds to most, and to which part of them.

    response of channel c to picture n    max over the positions of the map; of a linear layer's unit, its value

The part of a picture that the strongest position sees is its receptive field, followed exactly through the layers.
The pictures are told by their responses alone, so they are real ones: what the channel finds, not what it might find
(Zeiler and Fergus, ECCV 2014, figure 2, without their deconvolution).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from chainrule.core.errors import SettingError
from chainrule.core.tensor import Tensor
from chainrule.explain._probe import batches, channel_at, probed, samples
from chainrule.nn._modes import evaluation
from chainrule.ops import argmax, reshape
from chainrule.ops import max as largest

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = ["NearestPicture", "nearest_pictures"]

BATCH = 250  # samples per call of the compiled function
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class NearestPicture:
    """A picture that a channel responds to.

    Args:
        sample: its number in the data.
        response: the largest value of the channel's map, or the unit's value.
        position: (row, column) of that value in the map; None for a layer without maps.
        box: (top, left, bottom, right) of what this position sees in the picture, bottom and right excluded; the whole
            picture for a layer without maps.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Flatten(), cr.nn.Linear(4, 1))
        >>> [[found]] = nearest_pictures(model, "1", np.zeros((1, 1, 2, 2)))
        >>> found.sample, found.position, found.box
        (0, None, (0, 0, 2, 2))
    """

    sample: int
    response: float
    position: tuple[int, int] | None
    box: Box


def nearest_pictures(
    model: Module,
    layer: str,
    x: Tensor | ArrayLike,
    *,
    channels: Sequence[int] | None = None,
    count: int = 9,
) -> list[list[NearestPicture]]:
    """Return the samples that each channel of a layer responds to most.

    Args:
        model: the network; it runs in eval mode, compiled.
        layer: path of the layer: one that gives out maps [batch, channels, height, width] or units [batch, units].
        x: the samples as the model takes them, [samples, channels, height, width] or [samples, height, width].
        channels: the channels; default all.
        count: how many samples per channel, >= 1; default 9.

    Returns:
        A list per channel, the strongest response first; of equal responses the earlier sample.

    Raises:
        SettingError: no such layer, or count below 1.
        IndexRangeError: the layer has no such channel.
        ShapeError: no samples.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Conv2d(1, 1, 3, bias=False))
        >>> _ = model.load_state_dict({"0.weight": np.eye(3, dtype=np.float32)[None, None]})
        >>> x = np.zeros((5, 1, 8, 8), np.float32)
        >>> x[3, 0, 4:7, 2:5] = np.eye(3)
        >>> nearest_pictures(model, "0", x, count=1)
        [[NearestPicture(sample=3, response=3.0, position=(4, 2), box=(4, 2, 7, 5))]]
    """
    if count < 1:
        raise SettingError(f"nearest_pictures.count must be an integer >= 1; got {count}.")
    array = samples("nearest_pictures", model, x)
    shape: list[tuple[int, ...]] = []
    with probed(model, [layer]) as run:

        def strongest(batch: Tensor) -> list[Tensor]:
            [output] = run(batch)
            shape.append(tuple(output.shape))
            flat = reshape(output, (*output.shape[:2], -1))  # [batch, channels, positions]
            return [largest(flat, axis=2), argmax(flat, axis=2)]

        values, places = batches(strongest, array, BATCH)
    wanted = channel_at(layer, values.shape[1], range(values.shape[1]) if channels is None else channels)
    grid, boxes = shape[0][2:], _Boxes(model, layer, array.shape[1:], shape[0][2:])

    def record(sample: int, channel: int) -> NearestPicture:
        place = np.unravel_index(places[sample, channel], grid) if grid else ()
        return boxes.record(sample, float(values[sample, channel]), place)

    orders = [np.argsort(-values[:, channel], kind="stable")[:count] for channel in wanted]
    return [[record(int(n), channel) for n in order] for channel, order in zip(wanted, orders, strict=True)]


class _Boxes:
    """The parts of a picture that the positions of a layer's map see."""

    def __init__(self, model: Module, layer: str, shape: tuple[int, ...], grid: tuple[int, ...]):
        self.height, self.width = shape[-2:] if len(shape) > 1 else (1, shape[0])
        with evaluation(model):
            rows = model.summary((1, *shape)).rows
        own = [row for row in rows if row.path == layer][:1]  # the first call
        inside = [row for row in rows if row.path.startswith(f"{layer}." if layer else "")][-1:]  # the last of a block
        fits = [row.fields for row in own or inside if row.outputs and tuple(row.outputs[0][2:]) == grid]
        self.fields = fits[0][-2:] if fits and len(fits[0]) > 1 else ("all", "all")

    def record(self, sample: int, response: float, place: Sequence) -> NearestPicture:
        if len(place) != 2:
            return NearestPicture(sample, response, None, (0, 0, self.height, self.width))
        row, column = int(place[0]), int(place[1])
        top, bottom = self._span(0, row, self.height)
        left, right = self._span(1, column, self.width)
        return NearestPicture(sample, response, (row, column), (top, left, bottom, right))

    def _span(self, axis: int, position: int, size: int) -> tuple[int, int]:
        """Return the first pixel that a position sees, and the one behind the last."""
        field = self.fields[axis]
        span = None if isinstance(field, str) else field.interval(position)
        if span is None:
            return 0, size
        first = min(max(span[0], 0), size - 1)  # what lies in the padding alone is shown as the nearest pixel
        return first, max(min(span[1] + 1, size), first + 1)

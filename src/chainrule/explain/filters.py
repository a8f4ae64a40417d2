"""The filters of a layer as pictures: the weights of a convolution, or of a linear layer that reads the pixels.

convolution   weights[filter, channel, row, column], as it applies them (by cross-correlation)
linear        weights[unit, pixel], in the shape of the picture that the layer reads
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule import nn
from chainrule.core.errors import SettingError
from chainrule.explain._probe import convolutions, described, floats, layer_at

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = ["LayerFilters", "layer_filters"]


@dataclass(frozen=True)
class LayerFilters:
    """The filters of one layer.

    Args:
        layer: path of the layer.
        kind: the layer as it is written, such as "Conv2d(3, 6, kernel_size=5)".
        weights: float64 [filters, channels, height, width]; channels are those that one filter reads.
        bias: float64 [filters]; zeros where the layer has none.

    Example:
        >>> import chainrule as cr
        >>> found = layer_filters(cr.nn.Sequential(cr.nn.Conv2d(3, 6, 5, bias=False)))
        >>> found.layer, found.kind, found.bias.tolist()
        ('0', 'Conv2d(3, 6, kernel_size=5, bias=False)', [0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    """

    layer: str
    kind: str
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


def layer_filters(model: Module, layer: str | None = None, shape: Sequence[int] | None = None) -> LayerFilters:
    """Return the filters of a layer.

    Args:
        model: the network.
        layer: path of a convolution, or of a linear layer that reads the pixels; default the first convolution, or
            where there is none, the first linear layer.
        shape: of one picture, [height, width] or [channels, height, width]; needed for a linear layer.

    Returns:
        The layer's weights as pictures.

    Raises:
        SettingError: no such layer, or one without filters; names those that have some.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Conv2d(3, 6, 5), cr.nn.Flatten(), cr.nn.Linear(6, 4))
        >>> layer_filters(model).weights.shape
        (6, 3, 5, 5)
        >>> layer_filters(cr.nn.Sequential(cr.nn.Flatten(), cr.nn.Linear(12, 4)), shape=(3, 4)).weights.shape
        (4, 1, 3, 4)
    """
    path = _first(model) if layer is None else layer
    module = layer_at(model, path)
    if isinstance(module, nn.Conv2d):
        weights = floats(module.weight)
    elif isinstance(module, nn.Linear) and shape is not None and module.weight.shape[1] == math.prod(shape):
        height, width = shape[-2:]
        weights = floats(module.weight).reshape(module.weight.shape[0], -1, height, width)
    else:
        raise SettingError(
            f"layer {path!r} is {described(module)}, which has no filters to look at: "
            f"only a convolution has, or a linear layer that reads the pixels. {_available(model)}"
        )
    bias = np.zeros(len(weights)) if module.bias is None else floats(module.bias)
    return LayerFilters(path, repr(module), weights, bias)


def _first(model: Module) -> str:
    """Return the path of the layer that is shown unless another is wanted."""
    for path in convolutions(model):
        return path
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear):
            return path
    raise SettingError("the network has no filters: it has neither a convolution nor a linear layer.")


def _available(model: Module) -> str:
    found = convolutions(model)
    return f"Convolutions: {', '.join(found)}." if found else "The network has no convolution."

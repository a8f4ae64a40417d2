"""What every convolution makes of one sample: its feature maps, before the activation that follows.

Positive values are those that a ReLU would let through, so a map shows where its filter found what it looks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import nn
from chainrule.core.context import no_grad
from chainrule.core.errors import SettingError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.explain._probe import called, convolutions, described, floats, layer_at, probed, samples
from chainrule.ops.convert import asarray

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = ["LayerMaps", "layer_maps"]


@dataclass(frozen=True)
class LayerMaps:
    """The feature maps of one layer for one sample.

    Args:
        layer: path of the layer.
        kind: the layer as it is written, such as "Conv2d(3, 6, kernel_size=5)".
        maps: float64 [channels, height, width].

    Example:
        >>> import chainrule as cr
        >>> [found] = layer_maps(cr.nn.Sequential(cr.nn.Conv2d(1, 4, 3)), cr.ones((1, 1, 8, 8)))
        >>> found.layer, found.kind, found.maps.shape
        ('0', 'Conv2d(1, 4, kernel_size=3)', (4, 6, 6))
    """

    layer: str
    kind: str
    maps: NDArray[np.float64]


def layer_maps(model: Module, x: Tensor | ArrayLike, layers: Sequence[str] | None = None) -> list[LayerMaps]:
    """Return the feature maps of one sample at every convolution, or at chosen layers.

    Args:
        model: the network; it runs in eval mode, eagerly.
        x: the sample as the model takes it, a batch of one: [1, channels, height, width].
        layers: paths of layers that give out maps, of any kind; default all two-dimensional convolutions that run.

    Returns:
        One entry per layer, in the order wanted; by default in the order of the calls.

    Raises:
        ShapeError: x is not a batch of one.
        SettingError: no such layer, one that gives out no maps, or a network without convolutions.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Conv2d(1, 4, 3), cr.nn.ReLU(), cr.nn.Conv2d(4, 2, 3))
        >>> [(entry.layer, entry.maps.shape) for entry in layer_maps(model, cr.ones((1, 1, 8, 8)))]
        [('0', (4, 6, 6)), ('2', (2, 4, 4))]
    """
    array = samples("layer_maps", model, x)
    if len(array) != 1:
        raise ShapeError(f"layer_maps takes a batch of one, [1, ...]; got x of shape {array.shape}: write x[:1].")
    paths = called(model, array, (nn.Conv2d,)) if layers is None else list(layers)
    if not paths:
        raise SettingError("the network has no convolution, so it has no feature maps; a layer with maps can be named.")
    with no_grad(), probed(model, paths) as run:
        outputs = run(asarray(array))
    for path, output in zip(paths, outputs, strict=True):
        if output.ndim != 4:
            raise SettingError(
                f"layer {path!r} gives out {tuple(output.shape[1:])} per sample; maps are [channels, height, width]. "
                f"Convolutions: {', '.join(convolutions(model)) or 'none'}."
            )
    kinds = [described(layer_at(model, path)) for path in paths]
    return [LayerMaps(path, kind, floats(y)[0]) for path, kind, y in zip(paths, kinds, outputs, strict=True)]

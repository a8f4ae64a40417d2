"""Networks with the weights that others trained on ImageNet: where the files lie, their names, what the pixels need.

    squeezenet1_0     squeezenet_v1.0.npz       1,248,424 numbers   pixels - (123, 117, 104)   227x227
    mobilenet_0.25    mobilenet_v1_0.25_224/      475,544 numbers   pixels / 127.5 - 1         224x224

Both get red, green and blue in this order, 0 to 255. The SqueezeNet was trained with blue first; its first kernels are
turned round when they are loaded, so that the network itself takes red first.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chainrule.core.config import data_folder
from chainrule.core.dtypes import float32
from chainrule.core.errors import MissingDataError, nearest
from chainrule.core.tensor import Tensor
from chainrule.models.catalogue import create
from chainrule.models.weights import WeightsReport, load_weights
from chainrule.nn.files import load
from chainrule.nn.functional import interpolate
from chainrule.nn.module import Module
from chainrule.ops import asarray, astype, flip

__all__ = ["PRETRAINED", "Pretrained", "load_pretrained", "pretrained"]


@dataclass(frozen=True)
class Pretrained:
    """Weights that others trained, and what the network needs with them.

    Attributes:
        name: of the architecture, as `models.create` takes it.
        file: file or folder, within the folder pretrained/ of the data folder.
        settings: of the architecture.
        rename: from the file's names to the network's; None leaves a tensor out.
        mean: subtracted from pixels of 0 to 255, red, green, blue.
        std: divides them then.
        size: side of the pictures that it was trained on.
        layout: order of a kernel's axes in the file, see `load_weights`.
        blue_first: name of the kernels that expect blue, green, red; "" where none do.
        source: where the weights come from, and their licence.
        classes: outputs of the trained network.

    Example:
        >>> PRETRAINED["mobilenet_0.25"].inputs(cr.zeros((1, 3, 2, 2)))[0, 0, 0, 0].item()
        -1.0
    """

    name: str
    file: str
    settings: Mapping[str, Any]
    rename: Callable[[str], str | None]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    layout: str = "torch"
    blue_first: str = ""
    source: str = ""
    classes: int = 1000

    def inputs(self, pixels: Any, size: int | None = None) -> Tensor:
        """Return what the network takes: scaled as in its training, and resized where that is asked for.

            x = (pixels - mean) / std

        Args:
            pixels: [batch, 3, height, width], red, green, blue, 0 to 255, of any dtype.
            size: side to which they are resized, bilinearly; default none: as they are.

        Returns:
            Float32 tensor [batch, 3, height or size, width or size].

        Example:
            >>> PRETRAINED["squeezenet1_0"].inputs(cr.zeros((1, 3, 32, 32)), size=64).shape
            (1, 3, 64, 64)
        """
        x = astype(asarray(pixels), float32)
        mean, std = (asarray([[[[v]] for v in numbers]], dtype=float32) for numbers in (self.mean, self.std))
        x = (x - mean) / std
        return x if size is None else interpolate(x, size=size, mode="bilinear")


# ------------------------------------------------------------------------------------------------ names
_FIRE = {"conv1x1_1": "squeeze", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}
_FIRES = dict(zip("23456789", (3, 4, 5, 7, 8, 9, 10, 12), strict=True))  # fire module -> place among the features
_NORMS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def _squeezenet(name: str) -> str:
    """Return fire2/conv1x1_1.weight as features.3.squeeze.weight."""
    layer, _, kind = name.rpartition(".")
    fire = re.fullmatch(r"fire([2-9])/(\w+)", layer)
    if fire and fire[2] in _FIRE:
        layer = f"features.{_FIRES[fire[1]]}.{_FIRE[fire[2]]}"
    return f"{ {'conv1': 'features.0', 'conv_final': 'classifier.1'}.get(layer, layer) }.{kind}"


def _mobilenet(name: str) -> str:
    """Return conv_dw_3_bn/gamma as blocks.2.depthwise.bn.weight."""
    layer, _, kind = name.partition("/")
    if layer == "conv_preds":
        return f"fc.{'bias' if kind == 'bias' else 'weight'}"
    block = re.fullmatch(r"conv_(dw|pw)_(\d+)(_bn)?", layer)
    path = "conv1"
    if block:
        path = f"blocks.{int(block[2]) - 1}.{ {'dw': 'depthwise', 'pw': 'pointwise'}[block[1]] }"
    return f"{path}.bn.{_NORMS[kind]}" if kind in _NORMS else f"{path}.conv.weight"


PRETRAINED = {
    row.name: row
    for row in (
        Pretrained(
            "squeezenet1_0",
            "squeezenet_v1.0.npz",
            {"variant": "caffe"},
            _squeezenet,
            mean=(123.0, 117.0, 104.0),
            std=(1.0, 1.0, 1.0),
            size=227,
            blue_first="conv1.weight",
            source="github.com/songhan/SqueezeNet-Deep-Compression (BSD), decoded into an .npz file",
        ),
        Pretrained(
            "mobilenet_0.25",
            "mobilenet_v1_0.25_224",
            {"variant": "tensorflow"},
            _mobilenet,
            mean=(127.5, 127.5, 127.5),
            std=(127.5, 127.5, 127.5),
            size=224,
            layout="tensorflow",
            source="github.com/giangndonaclover/ILearnMachineLearning.js, models/mobilenet (MIT)",
        ),
    )
}


def pretrained(name: str, path: str | os.PathLike[str] | None = None, **settings: Any) -> Module:
    """Return a network with the weights that its authors trained on ImageNet's 1000 classes, in eval mode.

    Args:
        name: "squeezenet1_0" or "mobilenet_0.25".
        path: the file or folder of the weights; default pretrained/ in the folder that CHAINRULE_DATA names.
        **settings: of the architecture, such as dropout; not the number of classes: see `replace_head`.

    Returns:
        The network; `PRETRAINED[name].inputs` makes its input of pixels.

    Raises:
        ValueError: no such network.
        MissingDataError: the weights are nowhere; the message says where they come from.
        CheckpointError, StateDictError: a damaged file, or one of another network.

    Example:
        >>> model = pretrained("mobilenet_0.25")                                                    # doctest: +SKIP
        >>> model(PRETRAINED["mobilenet_0.25"].inputs(pixels)).shape                                # doctest: +SKIP
        (1, 1000)
    """
    row = _row(name)
    model = create(name, **{**row.settings, **settings})
    load_pretrained(model, name, path)
    return model.eval()


def load_pretrained(model: Module, name: str, path: str | os.PathLike[str] | None = None) -> WeightsReport:
    """Put the weights that others trained on ImageNet into a network that you made.

    Args:
        model: of the architecture and the settings of `PRETRAINED[name]`, with 1000 classes.
        name: "squeezenet1_0" or "mobilenet_0.25".
        path: as for `pretrained`.

    Returns:
        What became of each tensor; print it.

    Raises:
        ValueError, MissingDataError, CheckpointError, StateDictError: as for `pretrained`.

    Example:
        >>> model = create("mobilenet_0.25", variant="tensorflow")                                  # doctest: +SKIP
        >>> len(load_pretrained(model, "mobilenet_0.25").loaded)                                    # doctest: +SKIP
        137
    """
    row = _row(name)
    tensors = load(_place(row, path))
    if row.blue_first in tensors:
        tensors[row.blue_first] = flip(tensors[row.blue_first], axis=1)
    return load_weights(model, tensors, rename=row.rename, layout=row.layout)


def _row(name: str) -> Pretrained:
    if name not in PRETRAINED:
        hint = nearest(name, PRETRAINED) if isinstance(name, str) else ""
        hint = hint or f"; there are those of {', '.join(PRETRAINED)}."
        raise ValueError(f"models.pretrained has no weights of {name!r}{hint}")
    return PRETRAINED[name]


def _place(row: Pretrained, path: str | os.PathLike[str] | None) -> pathlib.Path:
    """Return where the weights are."""
    if path is not None:
        return pathlib.Path(path)
    folder = data_folder()
    place = folder / "pretrained" / row.file if folder is not None else None
    if place is None or not place.exists():
        looked = f"looked for {place}" if place is not None else "CHAINRULE_DATA names no folder"
        raise MissingDataError(
            f"the weights of {row.name} are not on this machine ({looked}). They come from {row.source}. Put "
            f"{row.file} into pretrained/ in a folder that CHAINRULE_DATA names, or pass its path."
        )
    return place

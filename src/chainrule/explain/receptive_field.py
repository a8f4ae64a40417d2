"""Which inputs each output of a layer or model sees: its receptive field, calculated and measured.

    ReceptiveField            what each output sees along one axis: size, jump and start of the field, layer by layer
    receptive_fields          the same for every layer of a model, branches and all
    field_gradient            how strongly each input acts on one output: the effective field
    measured_field            the field by experiment: where the gradient of one output is not zero

The rules by which the fields follow the data stand in `nn/_reach.py`; `Module.summary` shows them beside sizes and
parameters. The field is an upper bound: holes of dilated kernels lie inside it, and a trained network may look at less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.autodiff import vjp
from chainrule.core.errors import DataError, ShapeError
from chainrule.nn._reach import Fields, ReceptiveField
from chainrule.nn.summary import summarize
from chainrule.ops import asarray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chainrule.nn import Module

__all__ = [
    "FieldRow",
    "ReceptiveField",
    "ReceptiveFields",
    "field_gradient",
    "measured_field",
    "receptive_fields",
]


@dataclass(frozen=True)
class FieldRow:
    """What the outputs of one layer see.

    Attributes:
        path: where the layer is, like "layer1.0.conv1".
        kind: its class.
        output: shape of its output.
        fields: per spatial axis a `ReceptiveField`, or "all".

    Example:
        >>> from chainrule import nn
        >>> row = receptive_fields(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)), (1, 1, 8, 8)).rows[0]
        >>> row.kind, row.window((0, 7))
        ('Conv2d', ((-1, 1), (6, 8)))
    """

    path: str
    kind: str
    output: tuple[int, ...]
    fields: Fields

    def window(self, position: Sequence[int]) -> tuple[tuple[int, int], ...] | None:
        """Return the first and the last input that an output sees, per spatial axis; None if it is everything.

        Args:
            position: of the output, one int per spatial axis.

        Raises:
            ShapeError: another number of axes.
        """
        if any(isinstance(field, str) for field in self.fields):
            return None
        fields = self.fields * len(position) if len(self.fields) == 1 else self.fields
        if len(fields) != len(position):
            raise ShapeError(f"{self.path or self.kind} has {len(fields)} spatial axes; got the position {position}.")
        each = zip(fields, position, strict=True)
        found = [field.interval(place) for field, place in each]  # type: ignore[union-attr]
        return tuple(ends or (0, -1) for ends in found)


@dataclass(frozen=True)
class ReceptiveFields:
    """What every layer of a model sees of its input; printed, it is a table.

    Attributes:
        rows: one `FieldRow` per call of a layer, in order.
        inputs: shape of the input.

    Example:
        >>> from chainrule import nn
        >>> receptive_fields(nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2)), (1, 1, 28, 28))
        layer        output          field  jump  start   centre
        0 Conv2d     (1, 4, 24, 24)    5x5   1x1    0x0      2x2
        1 MaxPool2d  (1, 4, 12, 12)    6x6   2x2    0x0  2.5x2.5
    """

    rows: tuple[FieldRow, ...]
    inputs: tuple[int, ...]

    def __getitem__(self, path: str) -> FieldRow:
        """Return the last row of a layer."""
        for row in reversed(self.rows):
            if row.path == path:
                return row
        raise KeyError(f"there is no layer {path!r}; there are {', '.join(dict.fromkeys(r.path for r in self.rows))}.")

    def __str__(self) -> str:
        lines = [("layer", "output", "field", "jump", "start", "centre"), *map(_cells, self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(6)]
        texts = []
        for line in lines:
            left = [text.ljust(width) for text, width in zip(line[:2], widths, strict=False)]
            right = [text.rjust(width) for text, width in zip(line[2:], widths[2:], strict=True)]
            texts.append("  ".join([*left, *right]))
        return "\n".join(texts)

    __repr__ = __str__


def _cells(row: FieldRow) -> tuple[str, ...]:
    known = [field for field in row.fields if isinstance(field, ReceptiveField)]
    each = [lambda f: f.size, lambda f: f.jump, lambda f: f.start, lambda f: _plain(f.start + (f.size - 1) / 2)]
    if len(known) == len(row.fields):
        shown = ["x".join(str(value(field)) for field in known) for value in each]
    else:
        shown = ["x".join(str(f.size) if isinstance(f, ReceptiveField) else f for f in row.fields), "-", "-", "-"]
    if set(row.fields) == {"all"}:
        shown[0] = "all"
    return (f"{row.path} {row.kind}".strip(), str(row.output), *shown)


def _plain(value: float) -> str:
    return f"{value:g}"


def receptive_fields(model: Module, *inputs: Any, dtype: Any = None) -> ReceptiveFields:
    """Return what each layer of a model sees of its input; nothing is computed.

        size += (kernel - 1) jump,   start -= padding jump,   jump *= stride

    Where branches meet, what they see together counts: of branches around one centre the largest field. What looks at
    everything (a fully connected layer, global pooling) is "all"; statistics of normalisation layers are left out.

    Args:
        model: the network.
        *inputs: a shape with the batch, like (1, 3, 32, 32), or a sample tensor, for each argument of forward.
        dtype: of inputs given as shapes; default that of the first parameter.

    Returns:
        The table, as a record.

    Raises:
        ShapeError, DTypeError: the layers do not fit together; names the layer.

    Example:
        >>> from chainrule import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, padding=1))
        >>> receptive_fields(net, (1, 3, 32, 32))["1"].fields[0].size
        7

    Source: Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
    """
    table = summarize(model, *inputs, dtype=dtype)
    rows = [FieldRow(r.path, r.kind, r.outputs[0], r.fields) for r in table.rows if r.outputs and r.fields]
    shape = inputs[0].shape if hasattr(inputs[0], "shape") else inputs[0]
    return ReceptiveFields(tuple(rows), tuple(shape))


def field_gradient(
    model: Module, x: Any, position: Sequence[int] | None = None, *, layer: str | None = None, seed: int = 0
) -> NDArray[np.float64]:
    """Return how strongly each input position acts on one output of a model or of a layer in it: the effective field.

        g[i] = sum over samples and channels of |d (r . y[position]) / d x[i]|,   r random in [0.5, 1.5) per channel

    Args:
        model: the network; put it into eval mode, else batch norm looks at everything.
        x: inputs [batch, channels, *spatial], of the dtype of its parameters.
        position: of the output, one int per spatial axis; default the middle.
        layer: path of the layer whose output is looked at (its last call); default the whole model.
        seed: of r; default 0.

    Returns:
        float64 [*spatial], 0 where nothing acts.

    Raises:
        ShapeError: the output has no spatial axes, or the position is outside.
        AttributeError: there is no such layer.

    Example:
        >>> from chainrule import nn
        >>> net, x = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten()), np.ones((1, 1, 5, 5), np.float32)
        >>> (field_gradient(net, x, (0, 2), layer="0") > 0).astype(int)[0]
        array([0, 0, 1, 1, 1])

    Source: Luo, Li, Urtasun and Zemel, Understanding the Effective Receptive Field, NeurIPS 2016.
    """
    given = np.asarray(x)
    y, pull = vjp(_until(model, layer), asarray(given))
    spatial = y.shape[2:]
    chosen = tuple(n // 2 for n in spatial) if position is None else tuple(position)
    if not spatial or len(chosen) != len(spatial) or any(not 0 <= p < n for p, n in zip(chosen, spatial)):
        raise ShapeError(
            f"field_gradient: the output is {y.shape} and the position {chosen}; it needs one position inside each "
            "axis after [batch, channels]."
        )
    one = np.zeros(y.shape, given.dtype)
    one[(slice(None), slice(None), *chosen)] = np.random.default_rng(seed).uniform(0.5, 1.5, y.shape[:2])
    (g,) = pull(asarray(one))
    return np.abs(np.asarray(g.numpy(), np.float64)).sum(axis=(0, 1))


def _until(model: Module, layer: str | None) -> Any:
    """Return the function that a layer's output is of the model's input."""
    if layer is None:
        return model
    part = model.get_submodule(layer)

    def until(x: Any) -> Any:
        caught: list[Any] = []
        with part.register_forward_hook(lambda *call: caught.append(call[2])):
            model(x)
        return caught[-1]

    return until


def measured_field(
    model: Module,
    shape: Sequence[int],
    position: Sequence[int] | None = None,
    *,
    layer: str | None = None,
    samples: int = 4,
    seed: int = 0,
) -> tuple[tuple[int, int], ...] | None:
    """Return the first and the last input position, per axis, that change one output of a model, by experiment.

        some x:  d y[position] / d x[i] != 0

    Max-pooling and relu let only some gradients through, so several random inputs are tried; what is found is a lower
    bound of the field.

    Args:
        model: the network; put it into eval mode, else batch norm looks at everything.
        shape: of the input, [batch, channels, *spatial].
        position: of the output, one int per spatial axis; default the middle.
        layer: path of the layer whose output is looked at; default the whole model.
        samples: random inputs to try, >= 1; default 4.
        seed: of the random inputs; default 0.

    Returns:
        (first, last) per spatial axis, inside the input; None if no gradient arrives.

    Raises:
        ShapeError: the output has no spatial axes, or the position is outside.
        DataError: samples is below 1.

    Example:
        >>> from chainrule import nn
        >>> net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)).eval()
        >>> measured_field(net, (1, 1, 9, 9), (4, 4))
        ((2, 6), (2, 6))
    """
    if samples < 1:
        raise DataError(f"measured_field.samples must be an integer >= 1; got {samples}.")
    generator, hit = np.random.default_rng(seed), np.zeros(tuple(shape[2:]), bool)
    kind = next((p.dtype.numpy for p in model.parameters()), np.float32)
    for number in range(samples):
        x = generator.normal(size=tuple(shape)).astype(kind)
        hit |= field_gradient(model, x, position, layer=layer, seed=seed + number) > 0
    if not hit.any():
        return None
    return tuple((int(axis.min()), int(axis.max())) for axis in np.nonzero(hit))

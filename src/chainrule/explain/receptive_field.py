"""How large the outputs of windows are, how many numbers they learn, and which inputs each output sees.

    output_size               sizes after a convolution or pooling
    transposed_output_size    sizes after a transposed convolution
    convolution_parameters    weights and biases of a convolution
    linear_parameters         weights and biases of a fully connected layer
    ReceptiveField            what each output sees along one axis: size, jump and start of the field, layer by layer
    receptive_fields          the same for every layer of a model, branches and all
    measured_field            the same by experiment: where the gradient of one output is not zero

The rules by which the fields follow the data stand in `nn/_reach.py`; `Module.summary` shows them beside sizes and
parameters. The field is an upper bound: holes of dilated kernels lie inside it, and a trained network may look at less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.autodiff import vjp
from chainrule.core.errors import DataError, ShapeError
from chainrule.nn._checks import integer
from chainrule.nn._reach import Fields, ReceptiveField
from chainrule.nn.summary import summarize
from chainrule.ops import asarray

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = [
    "FieldRow",
    "ReceptiveField",
    "ReceptiveFields",
    "convolution_parameters",
    "linear_parameters",
    "measured_field",
    "output_size",
    "receptive_fields",
    "transposed_output_size",
]

Sizes = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- sizes, parameters
def _sizes(owner: str, name: str, value: Any, axes: int, low: int) -> tuple[int, ...]:
    found = tuple(value) if isinstance(value, list | tuple) else (value,) * axes
    if len(found) != axes or any(type(size) is not int or size < low for size in found):
        many = f", or {axes} of them" if axes > 1 else ""
        raise ValueError(f"{owner}.{name} must be an int >= {low}{many}; got {value!r}.")
    return found


def _axes(*values: Any) -> int:
    return max((len(value) for value in values if isinstance(value, list | tuple)), default=1)


def output_size(
    size: Sizes,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> int | tuple[int, ...]:
    """Return the size of the output of a convolution or pooling.

        floor((n + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1

    Args:
        size: n, positions of the input, >= 1, or one int per axis.
        kernel_size: of the window, >= 1.
        stride: step between windows, >= 1; default 1. Pooling layers default to `kernel_size`.
        padding: border on both sides, >= 0; "same" for stride 1, "valid" for none; default 0.
        dilation: step between the positions of a window, >= 1; default 1.
        ceil_mode: whether a last window that leaves the input counts, as poolings may; it must start inside the input
            or its left border; default False.

    Returns:
        An int, or one per axis where a setting has one per axis.

    Raises:
        ValueError: a setting outside its range, or "same" with a stride.
        ShapeError: the window is larger than the padded input.

    Example:
        >>> output_size(224, 7, stride=2, padding=3), output_size((28, 32), 5)
        (112, (24, 28))

    Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016).
    """
    name, n = "output_size", _axes(size, kernel_size, stride, padding, dilation)
    given = _sizes(name, "size", size, n, 1)
    kernel, steps = _sizes(name, "kernel_size", kernel_size, n, 1), _sizes(name, "stride", stride, n, 1)
    spread = _sizes(name, "dilation", dilation, n, 1)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, spread, strict=True)]
    if padding == "same":
        if any(step != 1 for step in steps):
            raise ValueError(f'{name}.padding "same" needs stride 1; got {stride!r}.')
        return given if n > 1 else given[0]
    border = _sizes(name, "padding", 0 if padding == "valid" else padding, n, 0)
    found = []
    for m, r, s, p in zip(given, reach, steps, border, strict=True):
        if m + 2 * p < r:
            raise ShapeError(
                f"{name}: the window reaches over {r} positions and the input has {m} + {2 * p} of padding; use a "
                "smaller window or more padding."
            )
        count = (m + 2 * p - r) // s + 1
        if ceil_mode and (m + 2 * p - r) % s and count * s < m + p:
            count += 1
        found.append(count)
    return tuple(found) if n > 1 else found[0]


def transposed_output_size(
    size: Sizes,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
) -> int | tuple[int, ...]:
    """Return the size of the output of a transposed convolution.

        stride (n - 1) - 2 padding + dilation (kernel_size - 1) + output_padding + 1

    Args:
        size: n, positions of the input, >= 1, or one int per axis.
        kernel_size: of the kernel, >= 1.
        stride: step between the places that two inputs write to, >= 1; default 1.
        padding: how much is cut off on both sides, >= 0; default 0.
        output_padding: added at the end, >= 0; default 0.
        dilation: step between the elements of the kernel, >= 1; default 1.

    Returns:
        An int, or one per axis where a setting has one per axis.

    Raises:
        ValueError: a setting outside its range.
        ShapeError: the padding leaves nothing.

    Example:
        >>> transposed_output_size(7, 4, stride=2, padding=1), output_size(14, 4, stride=2, padding=1)
        (14, 7)

    Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016).
    """
    name, n = "transposed_output_size", _axes(size, kernel_size, stride, padding, output_padding, dilation)
    names = ("size", "kernel_size", "stride", "padding", "output_padding", "dilation")
    values, low = (size, kernel_size, stride, padding, output_padding, dilation), (1, 1, 1, 0, 0, 1)
    columns = [_sizes(name, what, value, n, least) for what, value, least in zip(names, values, low, strict=True)]
    found = tuple(s * (m - 1) - 2 * p + d * (k - 1) + extra + 1 for m, k, s, p, extra, d in zip(*columns, strict=True))
    if min(found) < 1:
        raise ShapeError(f"{name}: padding {padding!r} leaves an output of {found}; use less padding.")
    return found if n > 1 else found[0]


def convolution_parameters(
    in_channels: int, out_channels: int, kernel_size: Sizes, groups: int = 1, bias: bool = True
) -> int:
    """Return how many numbers a convolution learns; the size of the picture does not matter.

        out_channels (in_channels / groups) kernel_size + out_channels if bias

    Args:
        in_channels: channels of the input, >= 1.
        out_channels: channels of the output, >= 1.
        kernel_size: an int for a square kernel of two axes, or one int per axis.
        groups: parts into which the channels are cut; it divides both; default 1.
        bias: whether each output channel has one; default True.

    Returns:
        The number of parameters.

    Raises:
        ValueError: a setting outside its range, or groups that do not divide the channels.

    Example:
        >>> convolution_parameters(3, 256, 3), linear_parameters(3 * 224 * 224, 256)
        (7168, 38535424)
    """
    name = "convolution_parameters"
    channels = [integer(name, "in_channels", in_channels), integer(name, "out_channels", out_channels)]
    if any(count % integer(name, "groups", groups) for count in channels):
        raise ValueError(f"{name}.groups must divide in_channels and out_channels; got {groups} for {channels}.")
    axes = len(kernel_size) if isinstance(kernel_size, list | tuple) else 2
    kernel = math.prod(_sizes(name, "kernel_size", kernel_size, axes, 1))
    return out_channels * (in_channels // groups) * kernel + out_channels * bool(bias)


def linear_parameters(in_features: int, out_features: int, bias: bool = True) -> int:
    """Return how many numbers a fully connected layer learns.

        in_features out_features + out_features if bias

    Args:
        in_features: numbers that go in, >= 1; of a picture channels times height times width.
        out_features: numbers that come out, >= 1.
        bias: whether each output has one; default True.

    Returns:
        The number of parameters.

    Raises:
        ValueError: a size below 1.

    Example:
        >>> linear_parameters(150528, 256)
        38535424
    """
    sizes = [integer("linear_parameters", name, value) for name, value in (("in_features", in_features),
                                                                           ("out_features", out_features))]  # fmt: skip
    return math.prod(sizes) + out_features * bool(bias)


# ---------------------------------------------------------------------------------------------------- through a model
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


def measured_field(
    model: Module, shape: Sequence[int], position: Sequence[int] | None = None, *, samples: int = 4, seed: int = 0
) -> tuple[tuple[int, int], ...] | None:
    """Return the first and the last input position, per axis, that change one output of a model, by experiment.

        some x:  d y[position] / d x[i] != 0

    Max-pooling and relu let only some gradients through, so several random inputs are tried; what is found is a lower
    bound of the field.

    Args:
        model: the network, with one tensor as output; put it into eval mode, else batch norm looks at everything.
        shape: of the input, [batch, channels, *spatial].
        position: of the output, one int per spatial axis; default the middle.
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

    Source: the gradient view of Luo et al., NeurIPS 2016.
    """
    if samples < 1:
        raise DataError(f"measured_field.samples must be an integer >= 1; got {samples}.")
    generator, hit = np.random.default_rng(seed), np.zeros(tuple(shape[2:]), bool)
    kind = next((p.dtype.numpy for p in model.parameters()), np.float32)
    for _ in range(samples):
        y, pull = vjp(model, asarray(generator.normal(size=tuple(shape)).astype(kind)))
        spatial = y.shape[2:]
        chosen = tuple(n // 2 for n in spatial) if position is None else tuple(position)
        if not spatial or len(chosen) != len(spatial) or any(not 0 <= p < n for p, n in zip(chosen, spatial)):
            raise ShapeError(
                f"measured_field: the output is {y.shape} and the position {chosen}; it needs one position inside each "
                "axis after [batch, channels]."
            )
        one = np.zeros(y.shape, kind)
        one[(slice(None), slice(None), *chosen)] = generator.uniform(0.5, 1.5, y.shape[:2])
        hit |= (np.asarray(pull(asarray(one))[0].numpy()) != 0).any(axis=(0, 1))
    if not hit.any():
        return None
    where = np.nonzero(hit)
    return tuple((int(axis.min()), int(axis.max())) for axis in where)

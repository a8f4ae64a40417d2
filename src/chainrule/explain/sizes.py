"""How large the outputs of windows are, and how many numbers layers learn, from their settings alone.

    output_size               sizes after a convolution or pooling
    transposed_output_size    sizes after a transposed convolution
    convolution_parameters    weights and biases of a convolution
    linear_parameters         weights and biases of a fully connected layer

A layer and `Module.summary` find the same numbers; these need neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.nn._checks import integer

__all__ = ["convolution_parameters", "linear_parameters", "output_size", "transposed_output_size"]

Sizes = int | Sequence[int]


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
    name = "linear_parameters"
    inputs, outputs = integer(name, "in_features", in_features), integer(name, "out_features", out_features)
    return inputs * outputs + outputs * bool(bias)

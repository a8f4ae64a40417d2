"""Convolution layers over 1 to 3 spatial axes, with PyTorch's names, arguments, initial values and layouts.

    y[b, o, p] = bias[o] + sum over c, k of w[o, c, k] x[b, c, stride p + dilation k - padding]

As everywhere in deep learning this is a cross-correlation: the kernel is not flipped. `functional.convolve` flips it.
Inputs are [batch, channels, *spatial], weights [out, in / groups, *kernel].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from chainrule import ops
from chainrule.core.tensor import Parameter, Tensor
from chainrule.nn import init
from chainrule.nn._checks import choice, flag, float_dtype, integer, same_dtype
from chainrule.nn._layout import pad
from chainrule.nn._spatial import SpatialLayer, plain_sizes
from chainrule.ops import empty

__all__ = ["Conv1d", "Conv2d", "Conv3d"]

Sizes = int | Sequence[int]
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


# ---------------------------------------------------------------------------------------------------- shared parts
class ConvolutionLayer(SpatialLayer):
    """What convolutions and transposed convolutions share: channels, groups, parameters and their initial values."""

    def _channels(self, in_channels: int, out_channels: int, groups: int) -> None:
        owner = type(self).__name__
        self.in_channels = integer(owner, "in_channels", in_channels)
        self.out_channels = integer(owner, "out_channels", out_channels)
        self.groups = integer(owner, "groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{owner}.groups must divide in_channels and out_channels; got {groups} groups for {in_channels} and "
                f"{out_channels} channels."
            )

    def _make(self, first: int, second: int, bias: bool, dtype: Any) -> None:
        owner = type(self).__name__
        chosen = float_dtype(owner, dtype)
        self.weight = Parameter(empty((first, second, *self.kernel_size), dtype=chosen))
        if flag(owner, "bias", bias):
            self.bias = Parameter(empty((self.out_channels,), dtype=chosen))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self, generator: Any = None) -> None:
        """Draw new initial values."""
        bound = 1.0 / math.sqrt(init.calculate_fans(self.weight)[0])
        init.uniform_(self.weight, -bound, bound, generator=generator)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def _arguments(self) -> dict[str, Any]:
        name = self.weight.dtype.name
        sizes = ("kernel_size", "stride", "padding", "output_padding", "dilation")
        found = {key: plain_sizes(getattr(self, key)) for key in sizes if hasattr(self, key)}
        return {**found, "bias": self.bias is not None, "dtype": None if name == "float32" else name}


class _Conv(ConvolutionLayer):
    function: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: Any = None,
    ):
        super().__init__()
        owner = type(self).__name__
        self._channels(in_channels, out_channels, groups)
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.stride, self.dilation = self._sizes("stride", stride), self._sizes("dilation", dilation)
        if isinstance(padding, str):
            self.padding: tuple[int, ...] | str = choice(owner, "padding", padding, ("same", "valid"))
            if padding == "same" and any(step != 1 for step in self.stride):
                raise ValueError(
                    f'{owner}.padding "same" needs stride 1, so that the output is as large as the input; '
                    f"got stride={plain_sizes(self.stride)}."
                )
        else:
            self.padding = self._sizes("padding", padding, 0)
        self.padding_mode = choice(owner, "padding_mode", padding_mode, tuple(MODES))
        self._make(out_channels, in_channels // groups, bias, dtype)

    @property
    def receptive_field(self) -> tuple[tuple[int, int], ...]:  # type: ignore[override]
        """The (reach, stride) of each spatial axis."""
        reach = (step * (size - 1) + 1 for size, step in zip(self.kernel_size, self.dilation, strict=True))
        return tuple(zip(reach, self.stride, strict=True))

    def _border(self) -> tuple[int, ...]:
        """Return what is added around the input, (before, after) from the last axis backwards."""
        if self.padding == "same":
            total = [step * (size - 1) for size, step in zip(self.kernel_size, self.dilation, strict=True)]
            pairs = [(t // 2, t - t // 2) for t in total]
        elif self.padding == "valid":
            pairs = [(0, 0)] * self.axes
        else:
            pairs = [(p, p) for p in self.padding]  # type: ignore[misc]
        return tuple(width for pair in reversed(pairs) for width in pair)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x."""
        x = self._input(x, self.in_channels)
        same_dtype(self, x, self.weight.dtype)
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            x, padding = pad(x, self._border(), MODES[self.padding_mode]), 0
        convolved = type(self).function
        return convolved(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


# ---------------------------------------------------------------------------------------------------- layers
class Conv1d(_Conv):
    """A convolution over one axis: a small kernel slides over the input, the same weights everywhere.

        y[b, o, p] = bias[o] + sum over c, k of w[o, c, k] x[b, c, stride p + dilation k - padding]

    Args:
        in_channels: channels of the input, >= 1.
        out_channels: channels of the output, which is the number of kernels, >= 1.
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default 1.
        padding: width of the border on both sides, >= 0; "valid" for none, "same" for an output as
            large as the input (stride 1 alone); default 0.
        dilation: step between the elements of a window, >= 1; default 1.
        groups: parts into which the channels are cut, each convolved on its own; it divides both numbers of channels;
            `groups=in_channels` is a depthwise convolution; default 1.
        bias: whether one number per output channel is added; default True.
        padding_mode: what the border holds: "zeros"; "reflect", the input mirrored at its edge; "replicate", the edge
            repeated; "circular", the other end; default "zeros".
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [batch, in_channels, length], or without the batch axis  ->  tensor
            [batch, out_channels, length] of the sizes
            floor((n + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1.
    Attributes:
        weight: [out_channels, in_channels / groups, length].
        bias: [out_channels], or None.
    Raises:
        ValueError: a setting outside its range, or groups that do not divide the channels.
        ShapeError: another number of axes or channels, or a kernel larger than the padded input.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Conv1d(8, 16, 3, padding=1)
        >>> layer, layer(cr.zeros((32, 8, 100))).shape
        (Conv1d(8, 16, kernel_size=3, padding=1), (32, 16, 100))

    Source: LeCun et al., Proc. IEEE 86 (1998); the initial values are PyTorch's, He's formula with a = sqrt(5).
    """

    axes = 1
    function = staticmethod(ops.conv1d)


class Conv2d(_Conv):
    """A convolution over two axes: a small kernel slides over the input, the same weights everywhere.

        y[b, o, p] = bias[o] + sum over c, k of w[o, c, k] x[b, c, stride p + dilation k - padding]

    Args:
        in_channels: channels of the input, >= 1.
        out_channels: channels of the output, which is the number of kernels, >= 1.
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between windows, >= 1, or 2 ints; default 1.
        padding: width of the border on both sides, >= 0, or 2 ints; "valid" for none, "same" for an output as
            large as the input (stride 1 alone); default 0.
        dilation: step between the elements of a window, >= 1, or 2 ints; default 1.
        groups: parts into which the channels are cut, each convolved on its own; it divides both numbers of channels;
            `groups=in_channels` is a depthwise convolution; default 1.
        bias: whether one number per output channel is added; default True.
        padding_mode: what the border holds: "zeros"; "reflect", the input mirrored at its edge; "replicate", the edge
            repeated; "circular", the other end; default "zeros".
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [batch, in_channels, height, width], or without the batch axis  ->  tensor
            [batch, out_channels, height, width] of the sizes
            floor((n + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1.
    Attributes:
        weight: [out_channels, in_channels / groups, height, width].
        bias: [out_channels], or None.
    Raises:
        ValueError: a setting outside its range, or groups that do not divide the channels.
        ShapeError: another number of axes or channels, or a kernel larger than the padded input.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Conv2d(3, 16, 5, stride=2)
        >>> layer, layer(cr.zeros((32, 3, 32, 32))).shape
        (Conv2d(3, 16, kernel_size=5, stride=2), (32, 16, 14, 14))

    Source: LeCun et al., Proc. IEEE 86 (1998); the initial values are PyTorch's, He's formula with a = sqrt(5).
    """

    axes = 2
    function = staticmethod(ops.conv2d)


class Conv3d(_Conv):
    """A convolution over three axes: a small kernel slides over the input, the same weights everywhere.

        y[b, o, p] = bias[o] + sum over c, k of w[o, c, k] x[b, c, stride p + dilation k - padding]

    Args:
        in_channels: channels of the input, >= 1.
        out_channels: channels of the output, which is the number of kernels, >= 1.
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between windows, >= 1, or 3 ints; default 1.
        padding: width of the border on both sides, >= 0, or 3 ints; "valid" for none, "same" for an output as
            large as the input (stride 1 alone); default 0.
        dilation: step between the elements of a window, >= 1, or 3 ints; default 1.
        groups: parts into which the channels are cut, each convolved on its own; it divides both numbers of channels;
            `groups=in_channels` is a depthwise convolution; default 1.
        bias: whether one number per output channel is added; default True.
        padding_mode: what the border holds: "zeros"; "reflect", the input mirrored at its edge; "replicate", the edge
            repeated; "circular", the other end; default "zeros".
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [batch, in_channels, depth, height, width], or without the batch axis  ->  tensor
            [batch, out_channels, depth, height, width] of the sizes
            floor((n + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1.
    Attributes:
        weight: [out_channels, in_channels / groups, depth, height, width].
        bias: [out_channels], or None.
    Raises:
        ValueError: a setting outside its range, or groups that do not divide the channels.
        ShapeError: another number of axes or channels, or a kernel larger than the padded input.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Conv3d(1, 4, 3)
        >>> layer, layer(cr.zeros((2, 1, 8, 16, 16))).shape
        (Conv3d(1, 4, kernel_size=3), (2, 4, 6, 14, 14))

    Source: LeCun et al., Proc. IEEE 86 (1998); the initial values are PyTorch's, He's formula with a = sqrt(5).
    """

    axes = 3
    function = staticmethod(ops.conv3d)

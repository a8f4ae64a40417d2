"""Transposed convolution layers over 1 to 3 spatial axes, with PyTorch's names, arguments, initial values and layouts.

    y[b, o, stride p + dilation k - padding] += w[c, o, k] x[b, c, p]

The transpose of the linear map of a convolution with the same settings: it makes planes larger. Windows that overlap
unevenly show as a checkerboard; `Upsample` before a convolution avoids it (Odena et al., Distill 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from chainrule import ops
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import choice, same_dtype
from chainrule.nn._spatial import plain_sizes
from chainrule.nn.conv import ConvolutionLayer

__all__ = ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

Sizes = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- shared parts
class _ConvTranspose(ConvolutionLayer):
    function: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        dtype: Any = None,
    ):
        super().__init__()
        owner = type(self).__name__
        self._channels(in_channels, out_channels, groups)
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.stride, self.dilation = self._sizes("stride", stride), self._sizes("dilation", dilation)
        self.padding = self._sizes("padding", padding, 0)
        self.output_padding = self._sizes("output_padding", output_padding, 0)
        steps = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(extra >= max(step, spread) for extra, step, spread in steps):
            raise ValueError(
                f"{owner}.output_padding must be smaller than stride or dilation; got "
                f"{plain_sizes(self.output_padding)} with stride {plain_sizes(self.stride)} and dilation "
                f"{plain_sizes(self.dilation)}."
            )
        self.padding_mode = choice(owner, "padding_mode", padding_mode, ("zeros",))
        self._make(in_channels, out_channels // groups, bias, dtype)

    @property
    def receptive_field(self) -> tuple[tuple[int, Fraction], ...]:
        """The (reach, stride) of each spatial axis: between the outputs of one input the stride is a fraction."""
        sizes = zip(self.kernel_size, self.stride, self.dilation, strict=True)
        return tuple((-(-(spread * (size - 1) + 1) // step), Fraction(1, step)) for size, step, spread in sizes)

    def _extra(self, shape: Sequence[int], output_size: Sequence[int] | None) -> tuple[int, ...]:
        """Return the output padding that leads to the sizes asked for."""
        if output_size is None:
            return self.output_padding
        n = self.axes
        wanted = tuple(output_size)[-n:]
        sizes = zip(shape[-n:], self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        least = [(m - 1) * step - 2 * p + spread * (size - 1) + 1 for m, size, step, p, spread in sizes]
        most = [low + step - 1 for low, step in zip(least, self.stride, strict=True)]
        if len(output_size) not in (n, len(shape)) or not all(
            low <= size <= high for low, size, high in zip(least, wanted, most, strict=True)
        ):
            raise ValueError(
                f"{self}.forward.output_size must be between {tuple(least)} and {tuple(most)} for the input "
                f"{tuple(shape)}; got {tuple(output_size)}."
            )
        return tuple(size - low for size, low in zip(wanted, least, strict=True))

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return the transposed convolution of x."""
        x = self._input(x, self.in_channels)
        same_dtype(self, x, self.weight.dtype)
        extra = self._extra(x.shape, output_size)
        settings = (self.stride, self.padding, extra, self.groups, self.dilation)
        return type(self).function(x, self.weight, self.bias, *settings)


# ---------------------------------------------------------------------------------------------------- layers
class ConvTranspose1d(_ConvTranspose):
    """A transposed convolution over one axis: each input writes a scaled copy of the kernel into the output.

        y[b, o, stride p + dilation k - padding] += w[c, o, k] x[b, c, p]

    Args:
        in_channels: channels of the input, >= 1.
        out_channels: channels of the output, >= 1.
        kernel_size: size of the window, >= 1.
        stride: step between the places that two inputs write to, >= 1; default 1.
        padding: how much is cut off on both sides, >= 0; default 0.
        output_padding: added to the sizes of the output, in [0, max(stride, dilation)); default 0.
        groups: parts into which the channels are cut; it divides both numbers of channels; default 1.
        bias: whether one number per output channel is added; default True.
        dilation: step between the elements of a window, >= 1; default 1.
        padding_mode: "zeros", the only one.
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [batch, in_channels, length], or without the batch axis; output_size: sizes of
            the output, instead of `output_padding`; default none  ->  tensor
            [batch, out_channels, length] of the sizes
            stride (n - 1) - 2 padding + dilation (kernel_size - 1) + output_padding + 1.
    Attributes:
        weight: [in_channels, out_channels / groups, length].
        bias: [out_channels], or None.
    Raises:
        ValueError: a setting outside its range, or an output size that is not possible.
        ShapeError: another number of axes or channels, or no output left by the padding.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ConvTranspose1d(8, 4, 2, stride=2)
        >>> layer, layer(cr.zeros((2, 8, 5))).shape
        (ConvTranspose1d(8, 4, kernel_size=2, stride=2), (2, 4, 10))

    Source: Zeiler et al., CVPR 2010; the initial values are PyTorch's.
    """

    axes = 1
    function = staticmethod(ops.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """A transposed convolution over two axes: each input writes a scaled copy of the kernel into the output.

        y[b, o, stride p + dilation k - padding] += w[c, o, k] x[b, c, p]

    Args:
        in_channels: channels of the input, >= 1.
        out_channels: channels of the output, >= 1.
        kernel_size: size of the window, >= 1, or 2 ints.
        stride: step between the places that two inputs write to, >= 1, or 2 ints; default 1.
        padding: how much is cut off on both sides, >= 0, or 2 ints; default 0.
        output_padding: added to the sizes of the output, in [0, max(stride, dilation)), or 2 ints; default 0.
        groups: parts into which the channels are cut; it divides both numbers of channels; default 1.
        bias: whether one number per output channel is added; default True.
        dilation: step between the elements of a window, >= 1, or 2 ints; default 1.
        padding_mode: "zeros", the only one.
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [batch, in_channels, height, width], or without the batch axis; output_size: sizes of
            the output, instead of `output_padding`; default none  ->  tensor
            [batch, out_channels, height, width] of the sizes
            stride (n - 1) - 2 padding + dilation (kernel_size - 1) + output_padding + 1.
    Attributes:
        weight: [in_channels, out_channels / groups, height, width].
        bias: [out_channels], or None.
    Raises:
        ValueError: a setting outside its range, or an output size that is not possible.
        ShapeError: another number of axes or channels, or no output left by the padding.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ConvTranspose2d(8, 4, 2, stride=2)
        >>> layer, layer(cr.zeros((2, 8, 5, 5))).shape
        (ConvTranspose2d(8, 4, kernel_size=2, stride=2), (2, 4, 10, 10))

    Source: Zeiler et al., CVPR 2010; the initial values are PyTorch's.
    """

    axes = 2
    function = staticmethod(ops.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """A transposed convolution over three axes: each input writes a scaled copy of the kernel into the output.

        y[b, o, stride p + dilation k - padding] += w[c, o, k] x[b, c, p]

    Args:
        in_channels: channels of the input, >= 1.
        out_channels: channels of the output, >= 1.
        kernel_size: size of the window, >= 1, or 3 ints.
        stride: step between the places that two inputs write to, >= 1, or 3 ints; default 1.
        padding: how much is cut off on both sides, >= 0, or 3 ints; default 0.
        output_padding: added to the sizes of the output, in [0, max(stride, dilation)), or 3 ints; default 0.
        groups: parts into which the channels are cut; it divides both numbers of channels; default 1.
        bias: whether one number per output channel is added; default True.
        dilation: step between the elements of a window, >= 1, or 3 ints; default 1.
        padding_mode: "zeros", the only one.
        dtype: float dtype of the parameters; default float32.
    Call:
        x: float tensor [batch, in_channels, depth, height, width], or without the batch axis; output_size: sizes of
            the output, instead of `output_padding`; default none  ->  tensor
            [batch, out_channels, depth, height, width] of the sizes
            stride (n - 1) - 2 padding + dilation (kernel_size - 1) + output_padding + 1.
    Attributes:
        weight: [in_channels, out_channels / groups, depth, height, width].
        bias: [out_channels], or None.
    Raises:
        ValueError: a setting outside its range, or an output size that is not possible.
        ShapeError: another number of axes or channels, or no output left by the padding.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ConvTranspose3d(8, 4, 2, stride=2)
        >>> layer, layer(cr.zeros((2, 8, 5, 5, 5))).shape
        (ConvTranspose3d(8, 4, kernel_size=2, stride=2), (2, 4, 10, 10, 10))

    Source: Zeiler et al., CVPR 2010; the initial values are PyTorch's.
    """

    axes = 3
    function = staticmethod(ops.conv_transpose3d)

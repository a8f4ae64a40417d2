"""Layers that make planes larger or smaller without parameters: resampling, and pixels turned into channels and back.

    Upsample                          y = sum over taps of w x       nearest, linear, bilinear, bicubic, ...
    PixelShuffle, PixelUnshuffle      channels become blocks of r by r pixels, and back
    InvertiblePool2d                  the second with its exact inverse: halves the sides and loses nothing

An `Upsample` before a convolution is a resize-convolution, which has no checkerboard (Odena et al., Distill 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from chainrule import ops
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import choice, integer, tensor_input
from chainrule.nn.module import Module
from chainrule.ops.interpolate import MODES

__all__ = ["ChannelShuffle", "InvertiblePool2d", "PixelShuffle", "PixelUnshuffle", "Upsample"]

_TAPS = {"nearest": 1, "nearest-exact": 1, "bicubic": 4}  # the other modes have two per axis


class Upsample(Module):
    """Resampling to another size: the nearest element, or a mean of neighbours weighted by distance.

        y[b, c, p] = sum over taps of w(p, tap) x[b, c, i(p, tap)]       along each spatial axis

    Args:
        size: size of the output per spatial axis, >= 1, or one for all; default none.
        scale_factor: output size / input size, > 0, per axis or one for all; the output is rounded down. Either this or
            `size` is given.
        mode: "nearest", "nearest-exact", "linear" (1 axis), "bilinear" or "bicubic" (2 axes), "trilinear" (3 axes), or
            "area"; default "nearest".
        align_corners: whether the centres of the corner elements coincide, instead of the corners; for the linear and
            cubic modes; default False.
        recompute_scale_factor: whether positions follow from the rounded sizes instead of from `scale_factor`; default
            False.
    Call:
        x: float tensor [batch, channels, *spatial] with 1 to 3 spatial axes  ->  tensor [batch, channels, *size].
    Raises:
        ValueError: an unknown mode, a mode for another number of axes, not one of `size` and `scale_factor`, or
            `align_corners` with a mode that has none.
        ShapeError: another number of axes, or an empty input or output.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Upsample(scale_factor=2, mode="bilinear")
        >>> layer, layer(cr.ones((1, 3, 4, 4))).shape
        (Upsample(scale_factor=2, mode="bilinear"), (1, 3, 8, 8))

    Source: Keys, IEEE Trans. ASSP 29 (1981) for the cubic kernel.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ValueError(
                f"Upsample needs either size or scale_factor; got size={size!r} and scale_factor={scale_factor!r}."
            )
        self.size = tuple(size) if isinstance(size, list) else size
        self.scale_factor = tuple(scale_factor) if isinstance(scale_factor, list) else scale_factor
        self.mode = choice("Upsample", "mode", mode, MODES)
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def receptive_field(self, shape: Sequence[int]) -> Any:
        """Return the (reach, stride) of each spatial axis for an input of a shape."""
        spatial = shape[2:]
        given = self.size if self.size is not None else self.scale_factor
        each = given if isinstance(given, tuple) else (given,) * len(spatial)
        wanted = each if self.size is not None else [int(n * factor) for n, factor in zip(spatial, each, strict=True)]
        steps = [Fraction(n, m) for n, m in zip(spatial, wanted, strict=True)]
        if self.mode == "area":
            return tuple((-(-step.numerator // step.denominator), step) for step in steps)
        return tuple((_TAPS.get(self.mode, 2), step) for step in steps)

    def forward(self, x: Tensor) -> Tensor:
        """Return x resampled."""
        settings = (self.mode, self.align_corners, self.recompute_scale_factor)
        return ops.interpolate(tensor_input(self, x), self.size, self.scale_factor, *settings)


class PixelShuffle(Module):
    """Channels turned into pixels: r^2 groups of channels become blocks of r by r pixels.

        y[..., c, r h + i, r w + j] = x[..., c r^2 + r i + j, h, w]

    Args:
        upscale_factor: r, >= 1.
    Call:
        x: tensor [..., channels r^2, height, width]  ->  tensor [..., channels, height r, width r].
    Raises:
        ValueError: r < 1.
        ShapeError: fewer than three axes, or channels that r^2 does not divide.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.PixelShuffle(2)(cr.ones((1, 12, 4, 4))).shape
        (1, 3, 8, 8)

    Source: Shi et al., CVPR 2016.
    """

    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = integer("PixelShuffle", "upscale_factor", upscale_factor)
        self.receptive_field = ((1, Fraction(1, upscale_factor)),) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Return x with channels turned into pixels."""
        return ops.pixel_shuffle(tensor_input(self, x), self.upscale_factor)


class PixelUnshuffle(Module):
    """Pixels turned into channels (space-to-depth): blocks of r by r pixels become r^2 channels.

        y[..., c r^2 + r i + j, h, w] = x[..., c, r h + i, r w + j]

    Args:
        downscale_factor: r, >= 1.
    Call:
        x: tensor [..., channels, height r, width r]  ->  tensor [..., channels r^2, height, width].
    Raises:
        ValueError: r < 1.
        ShapeError: fewer than three axes, or a height or width that r does not divide.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.PixelUnshuffle(2)(cr.ones((1, 3, 8, 8))).shape
        (1, 12, 4, 4)

    Source: Shi et al., CVPR 2016.
    """

    def __init__(self, downscale_factor: int):
        super().__init__()
        self.downscale_factor = integer("PixelUnshuffle", "downscale_factor", downscale_factor)
        self.receptive_field = ((downscale_factor, downscale_factor),) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Return x with pixels turned into channels."""
        return ops.pixel_unshuffle(tensor_input(self, x), self.downscale_factor)


class ChannelShuffle(Module):
    """Channels dealt out anew, so that the next grouped convolution sees every group.

        y[b, k groups + g] = x[b, g (channels / groups) + k]

    Args:
        groups: number of groups, >= 1; it divides the channels.
    Call:
        x: tensor [batch, channels, ...]  ->  tensor of the same shape.
    Raises:
        ValueError: groups < 1.
        ShapeError: fewer than three axes, or channels that the groups do not divide.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.ChannelShuffle(2)(cr.ones((1, 6, 4, 4))).shape
        (1, 6, 4, 4)

    Source: Zhang et al., CVPR 2018 (ShuffleNet).
    """

    def __init__(self, groups: int):
        super().__init__()
        self.groups = integer("ChannelShuffle", "groups", groups)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its channels in another order."""
        return ops.channel_shuffle(tensor_input(self, x), self.groups)


class InvertiblePool2d(Module):
    """Pooling that loses nothing: each block of pixels becomes channels, and `inverse` gives the picture back exactly.

        y[b, c r^2 + r i + j, h, w] = x[b, c, r h + i, r w + j]

    Args:
        factor: r, by which height and width shrink, >= 1; default 2.
    Call:
        x: tensor [batch, channels, height r, width r]  ->  tensor [batch, channels r^2, height, width].
    Raises:
        ValueError: r < 1.
        ShapeError: a height or width that r does not divide.

    Example:
        >>> import chainrule as cr
        >>> pool, x = cr.nn.InvertiblePool2d(), cr.random.normal((1, 3, 4, 4))
        >>> pool(x).shape, bool(cr.all(pool.inverse(pool(x)) == x))
        ((1, 12, 2, 2), True)

    Source: the squeeze of Dinh, Sohl-Dickstein and Bengio, ICLR 2017 (Real NVP).
    """

    def __init__(self, factor: int = 2):
        super().__init__()
        self.factor = integer("InvertiblePool2d", "factor", factor)
        self.receptive_field = ((factor, factor),) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Return x with blocks of pixels turned into channels."""
        return ops.pixel_unshuffle(tensor_input(self, x), self.factor)

    def inverse(self, y: Tensor) -> Tensor:
        """Return the picture that `forward` made y of."""
        return ops.pixel_shuffle(tensor_input(self, y), self.factor)

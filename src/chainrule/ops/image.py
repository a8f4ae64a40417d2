"""Channels turned into pixels and back: pixel shuffle and its inverse, channel shuffle.

    pixel_shuffle     y[b, c, r h + i, r w + j] = x[b, c r^2 + r i + j, h, w]
    channel_shuffle   y[b, k groups + g] = x[b, g (channels / groups) + k]

They are reshapes and permutations. A convolution before a pixel shuffle is a transposed convolution whose windows do
not overlap (Shi et al., CVPR 2016).
"""

from __future__ import annotations

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor
from chainrule.ops._windows import fail, per_axis
from chainrule.ops.shape import permute_dims, reshape

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _image(name: str, x: Tensor, low: int = 3) -> Tensor:
    x = as_tensor(x)
    if x.ndim < low:
        shape = "[..., channels, height, width]" if low == 3 and name != "channel_shuffle" else "[batch, channels, ...]"
        raise fail(ShapeError, f"{name} needs an input {shape}; got the shape {x.shape}.")
    return x


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Return an image whose r^2 groups of channels have become blocks of r by r pixels.

        y[..., c, r h + i, r w + j] = x[..., c r^2 + r i + j, h, w]

    Args:
        input: tensor [..., channels r^2, height, width].
        upscale_factor: r, >= 1.

    Returns:
        Tensor [..., channels, height r, width r].

    Raises:
        ShapeError: fewer than three axes, or channels that r^2 does not divide.
        ValueError: r < 1.

    Example:
        >>> import chainrule as cr
        >>> cr.pixel_shuffle(cr.reshape(cr.arange(4), (1, 4, 1, 1)), 2)[0, 0]
        tensor([[0, 1],
                [2, 3]], shape=(2, 2), dtype=int64)

    Source: Shi et al., CVPR 2016.
    """
    x = _image("pixel_shuffle", input)
    (r,) = per_axis("pixel_shuffle", "upscale_factor", upscale_factor, 1)
    *lead, channels, height, width = x.shape
    if channels % (r * r):
        raise fail(ShapeError, f"pixel_shuffle: {r} x {r} must divide the {channels} channels of the input {x.shape}.")
    k = len(lead)
    parts = reshape(x, (*lead, channels // (r * r), r, r, height, width))
    moved = permute_dims(parts, (*range(k + 1), k + 3, k + 1, k + 4, k + 2))  # [..., channels, height, r, width, r]
    return reshape(moved, (*lead, channels // (r * r), height * r, width * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Return an image whose blocks of r by r pixels have become r^2 channels: the inverse of pixel_shuffle.

        y[..., c r^2 + r i + j, h, w] = x[..., c, r h + i, r w + j]

    Args:
        input: tensor [..., channels, height r, width r].
        downscale_factor: r, >= 1.

    Returns:
        Tensor [..., channels r^2, height, width].

    Raises:
        ShapeError: fewer than three axes, or a height or width that r does not divide.
        ValueError: r < 1.

    Example:
        >>> import chainrule as cr
        >>> cr.pixel_unshuffle(cr.ones((2, 3, 8, 6)), 2).shape
        (2, 12, 4, 3)

    Source: Shi et al., CVPR 2016.
    """
    x = _image("pixel_unshuffle", input)
    (r,) = per_axis("pixel_unshuffle", "downscale_factor", downscale_factor, 1)
    *lead, channels, height, width = x.shape
    if height % r or width % r:
        raise fail(ShapeError, f"pixel_unshuffle: {r} must divide the height and width of the input {x.shape}.")
    k = len(lead)
    parts = reshape(x, (*lead, channels, height // r, r, width // r, r))
    moved = permute_dims(parts, (*range(k + 1), k + 2, k + 4, k + 1, k + 3))  # [..., channels, r, r, height, width]
    return reshape(moved, (*lead, channels * r * r, height // r, width // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Return x with its channels dealt out anew, so that the next grouped convolution sees every group.

        y[b, k groups + g] = x[b, g (channels / groups) + k]

    Args:
        input: tensor [batch, channels, ...].
        groups: number of groups, >= 1; it divides the channels.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: fewer than three axes, or channels that the groups do not divide.
        ValueError: groups < 1.

    Example:
        >>> import chainrule as cr
        >>> cr.channel_shuffle(cr.reshape(cr.arange(6), (1, 6, 1)), 2).flatten()
        tensor([0, 3, 1, 4, 2, 5], shape=(6,), dtype=int64)

    Source: Zhang et al., CVPR 2018 (ShuffleNet).
    """
    x = _image("channel_shuffle", input)
    (parts,) = per_axis("channel_shuffle", "groups", groups, 1)
    batch, channels, *rest = x.shape
    if channels % parts:
        raise fail(ShapeError, f"channel_shuffle: {parts} groups must divide the {channels} channels of {x.shape}.")
    apart = reshape(x, (batch, parts, channels // parts, *rest))
    return reshape(permute_dims(apart, (0, 2, 1, *range(3, apart.ndim))), x.shape)

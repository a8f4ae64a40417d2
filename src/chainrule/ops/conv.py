"""Convolution of 1 to 3 spatial axes, with PyTorch's names and arguments.

Inputs are [batch, channels, *spatial], weights [out, in / groups, *kernel]. The primitive and its gradients stand in
`_convolution.py`; here its arguments are read and the bias is added.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.bind import bind
from chainrule.core.tensor import Tensor
from chainrule.ops._convolution import convolution_p
from chainrule.ops._windows import SPATIAL, batched, biased, per_axis, symmetric, weight_tensor, without_batch

__all__ = ["conv1d", "conv2d", "conv3d"]

Setting = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- shared parts
def _paddings(
    name: str, n: int, padding: Setting | str, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple:
    """Return (low, high) per axis; "same" puts the odd one after the axis, as PyTorch does."""
    if not isinstance(padding, str):
        return symmetric(per_axis(name, "padding", padding, n, 0))
    if padding not in ("same", "valid"):
        raise ValueError(f'{name}.padding must be "same", "valid", or ints >= 0; got {padding!r}.')
    if padding == "valid":
        return ((0, 0),) * n
    if any(s != 1 for s in stride):
        raise ValueError(
            f'{name}.padding "same" needs stride 1, so that the output is as large as the input; got {tuple(stride)}.'
        )
    extra = [d * (k - 1) for k, d in zip(size, dilation)]
    return tuple((e // 2, e - e // 2) for e in extra)


def _conv(
    n: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Setting,
    padding: Setting | str,
    dilation: Setting,
    groups: int,
) -> Tensor:
    name = f"conv{n}d"
    x, added = batched(name, input, n, SPATIAL[n])
    w = weight_tensor(name, n, weight, "out, in / groups")
    steps, spread = per_axis(name, "stride", stride, n), per_axis(name, "dilation", dilation, n)
    (parts,) = per_axis(name, "groups", groups, 1)
    pads = _paddings(name, n, padding, w.shape[2:], steps, spread)
    y = bind(convolution_p, x, w, stride=steps, padding=pads, dilation=spread, groups=parts)
    return without_batch(biased(name, y, bias), added)


# ---------------------------------------------------------------------------------------------------- functions
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Setting = 1,
    padding: Setting | str = 0,
    dilation: Setting = 1,
    groups: int = 1,
) -> Tensor:
    """Return the cross-correlation of an input with a kernel that slides over one axis.

        y[b, o, p] = bias[o] + sum over c, k of w[o, c, k] x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, in, length], or without the batch axis.
        weight: [out, in / groups, length] of the same dtype.
        bias: [out]; default none.
        stride: step between windows, >= 1; default 1.
        padding: zeros on both sides, >= 0; "valid" for none, "same" for an output as
            large as the input; default 0.
        dilation: step between the elements of the kernel, >= 1; default 1.
        groups: parts into which the channels are cut, each convolved on its own; default 1.

    Returns:
        Tensor [batch, out, length], of the sizes
        floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1.

    Raises:
        ShapeError: channels that do not fit the weight, or a kernel larger than the padded input.
        DTypeError: two dtypes, or bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.conv1d(cr.ones((2, 3, 8)), cr.ones((4, 3, 3))).shape
        (2, 4, 6)

    Source: LeCun et al., Proc. IEEE 86 (1998).
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Setting = 1,
    padding: Setting | str = 0,
    dilation: Setting = 1,
    groups: int = 1,
) -> Tensor:
    """Return the cross-correlation of an input with a kernel that slides over two axes.

        y[b, o, p] = bias[o] + sum over c, k of w[o, c, k] x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, in, height, width], or without the batch axis.
        weight: [out, in / groups, height, width] of the same dtype.
        bias: [out]; default none.
        stride: step between windows, >= 1, or 2 ints; default 1.
        padding: zeros on both sides, >= 0, or 2 ints; "valid" for none, "same" for an output as
            large as the input; default 0.
        dilation: step between the elements of the kernel, >= 1, or 2 ints; default 1.
        groups: parts into which the channels are cut, each convolved on its own; default 1.

    Returns:
        Tensor [batch, out, height, width], of the sizes
        floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1.

    Raises:
        ShapeError: channels that do not fit the weight, or a kernel larger than the padded input.
        DTypeError: two dtypes, or bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.conv2d(cr.ones((2, 3, 8, 8)), cr.ones((4, 3, 3, 3))).shape
        (2, 4, 6, 6)

    Source: LeCun et al., Proc. IEEE 86 (1998).
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Setting = 1,
    padding: Setting | str = 0,
    dilation: Setting = 1,
    groups: int = 1,
) -> Tensor:
    """Return the cross-correlation of an input with a kernel that slides over three axes.

        y[b, o, p] = bias[o] + sum over c, k of w[o, c, k] x[b, c, stride p + dilation k - padding]

    Args:
        input: numeric tensor [batch, in, depth, height, width], or without the batch axis.
        weight: [out, in / groups, depth, height, width] of the same dtype.
        bias: [out]; default none.
        stride: step between windows, >= 1, or 3 ints; default 1.
        padding: zeros on both sides, >= 0, or 3 ints; "valid" for none, "same" for an output as
            large as the input; default 0.
        dilation: step between the elements of the kernel, >= 1, or 3 ints; default 1.
        groups: parts into which the channels are cut, each convolved on its own; default 1.

    Returns:
        Tensor [batch, out, depth, height, width], of the sizes
        floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1.

    Raises:
        ShapeError: channels that do not fit the weight, or a kernel larger than the padded input.
        DTypeError: two dtypes, or bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.conv3d(cr.ones((2, 3, 8, 8, 8)), cr.ones((4, 3, 3, 3, 3))).shape
        (2, 4, 6, 6, 6)

    Source: LeCun et al., Proc. IEEE 86 (1998).
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)

"""Transposed convolution of 1 to 3 spatial axes, with PyTorch's names and arguments.

It is the gradient of a convolution in its input, so it is that primitive. Weights are [in, out / groups, *kernel]. Its
last rows that no window reaches (`output_padding` beyond the padding) are zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.bind import bind
from chainrule.core.errors import ShapeError
from chainrule.core.primitive import TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops._convolution import convolution_input_gradient_p
from chainrule.ops._windows import SPATIAL, batched, biased, fail, per_axis, same_dtypes, weight_tensor, without_batch
from chainrule.ops.slices import pad_p

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

Setting = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- shared parts
def _conv_transpose(
    n: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Setting,
    padding: Setting,
    output_padding: Setting,
    groups: int,
    dilation: Setting,
) -> Tensor:
    name = f"conv_transpose{n}d"
    x, added = batched(name, input, n, SPATIAL[n])
    w = weight_tensor(name, n, weight, "in, out / groups")
    if x.shape[1] != w.shape[0]:
        raise fail(
            ShapeError,
            f"{name}: the input {x.shape} has {x.shape[1]} channels and the weight {w.shape} takes {w.shape[0]}; "
            "the weight is [in, out / groups, *kernel].",
        )
    steps, spread = per_axis(name, "stride", stride, n), per_axis(name, "dilation", dilation, n)
    pads, extra = per_axis(name, "padding", padding, n, 0), per_axis(name, "output_padding", output_padding, n, 0)
    (parts,) = per_axis(name, "groups", groups, 1)
    if x.shape[1] % parts:
        raise fail(ShapeError, f"{name}: {parts} groups must divide the {x.shape[1]} input channels.")
    same_dtypes(name, TensorType(x.shape, x.dtype), TensorType(w.shape, w.dtype))
    size = _transposed_size(name, x.shape[2:], w.shape[2:], steps, pads, extra, spread)
    high = tuple(max(p - e, 0) for p, e in zip(pads, extra))
    beyond = tuple(max(e - p, 0) for p, e in zip(pads, extra))  # rows that no window reaches
    reached = tuple(m - b for m, b in zip(size, beyond))
    y = bind(
        convolution_input_gradient_p,
        x,
        w,
        size=reached,
        stride=steps,
        padding=tuple(zip(pads, high)),
        dilation=spread,
        groups=parts,
    )
    if any(beyond):
        y = bind(pad_p, y, low=(0,) * y.ndim, high=(0, 0, *beyond), interior=(0,) * y.ndim)
    return without_batch(biased(name, y, bias), added)


def _transposed_size(
    name: str,
    shape: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    extra: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, ...]:
    """Return the spatial sizes of a transposed convolution."""
    for e, s, d in zip(extra, stride, dilation):
        if e >= max(s, d):
            raise ValueError(
                f"{name}.output_padding must be smaller than stride or dilation; got {tuple(extra)} "
                f"with stride {tuple(stride)} and dilation {tuple(dilation)}."
            )
    found = tuple(
        (m - 1) * s - 2 * p + d * (k - 1) + e + 1
        for m, k, s, p, e, d in zip(shape, size, stride, padding, extra, dilation)
    )
    if any(m < 1 for m in found):
        raise fail(
            ShapeError, f"{name}: the padding {tuple(padding)} leaves an output of the size {found}; use less padding."
        )
    return found


# ---------------------------------------------------------------------------------------------------- functions
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Setting = 1,
    padding: Setting = 0,
    output_padding: Setting = 0,
    groups: int = 1,
    dilation: Setting = 1,
) -> Tensor:
    """Return the transposed convolution over one axis: the transpose of the linear map conv1d, not its inverse.

        y[b, o, stride p + dilation k - padding] += w[c, o, k] x[b, c, p]

    Args:
        input: numeric tensor [batch, in, length], or without the batch axis.
        weight: [in, out / groups, length] of the same dtype.
        bias: [out]; default none.
        stride: step between the places that two inputs write to, >= 1; default 1.
        padding: how much is cut off on both sides, >= 0; default 0.
        output_padding: added to the sizes of the output, in [0, max(stride, dilation)); default 0.
        groups: parts into which the channels are cut; default 1.
        dilation: step between the elements of the kernel, >= 1; default 1.

    Returns:
        Tensor [batch, out, length], of the sizes
        stride (n - 1) - 2 padding + dilation (k - 1) + output_padding + 1.

    Raises:
        ShapeError: channels that do not fit the weight, or no output left by the padding.
        DTypeError: two dtypes, or bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.conv_transpose1d(cr.ones((2, 4, 4)), cr.ones((4, 3, 3)), stride=2).shape
        (2, 3, 9)

    Source: Zeiler et al., CVPR 2010.
    """
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Setting = 1,
    padding: Setting = 0,
    output_padding: Setting = 0,
    groups: int = 1,
    dilation: Setting = 1,
) -> Tensor:
    """Return the transposed convolution over two axes: the transpose of the linear map conv2d, not its inverse.

        y[b, o, stride p + dilation k - padding] += w[c, o, k] x[b, c, p]

    Args:
        input: numeric tensor [batch, in, height, width], or without the batch axis.
        weight: [in, out / groups, height, width] of the same dtype.
        bias: [out]; default none.
        stride: step between the places that two inputs write to, >= 1, or 2 ints; default 1.
        padding: how much is cut off on both sides, >= 0, or 2 ints; default 0.
        output_padding: added to the sizes of the output, in [0, max(stride, dilation)), or 2 ints; default 0.
        groups: parts into which the channels are cut; default 1.
        dilation: step between the elements of the kernel, >= 1, or 2 ints; default 1.

    Returns:
        Tensor [batch, out, height, width], of the sizes
        stride (n - 1) - 2 padding + dilation (k - 1) + output_padding + 1.

    Raises:
        ShapeError: channels that do not fit the weight, or no output left by the padding.
        DTypeError: two dtypes, or bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.conv_transpose2d(cr.ones((2, 4, 4, 4)), cr.ones((4, 3, 3, 3)), stride=2).shape
        (2, 3, 9, 9)

    Source: Zeiler et al., CVPR 2010.
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Setting = 1,
    padding: Setting = 0,
    output_padding: Setting = 0,
    groups: int = 1,
    dilation: Setting = 1,
) -> Tensor:
    """Return the transposed convolution over three axes: the transpose of the linear map conv3d, not its inverse.

        y[b, o, stride p + dilation k - padding] += w[c, o, k] x[b, c, p]

    Args:
        input: numeric tensor [batch, in, depth, height, width], or without the batch axis.
        weight: [in, out / groups, depth, height, width] of the same dtype.
        bias: [out]; default none.
        stride: step between the places that two inputs write to, >= 1, or 3 ints; default 1.
        padding: how much is cut off on both sides, >= 0, or 3 ints; default 0.
        output_padding: added to the sizes of the output, in [0, max(stride, dilation)), or 3 ints; default 0.
        groups: parts into which the channels are cut; default 1.
        dilation: step between the elements of the kernel, >= 1, or 3 ints; default 1.

    Returns:
        Tensor [batch, out, depth, height, width], of the sizes
        stride (n - 1) - 2 padding + dilation (k - 1) + output_padding + 1.

    Raises:
        ShapeError: channels that do not fit the weight, or no output left by the padding.
        DTypeError: two dtypes, or bool.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.conv_transpose3d(cr.ones((2, 4, 4, 4, 4)), cr.ones((4, 3, 3, 3, 3)), stride=2).shape
        (2, 3, 9, 9, 9)

    Source: Zeiler et al., CVPR 2010.
    """
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)

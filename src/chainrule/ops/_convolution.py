"""Convolution over 1 to 3 spatial axes and its two gradients: three primitives, each other's transposes.

    convolution(x, w)                      y[b, o, p] = sum over c, k of w[o, c, k] x[b, c, s p + d k - low]
    convolution_input_gradient(dy, w)      the transpose in x: a transposed convolution
    convolution_weight_gradient(x, dy)     the transpose in w

x is [batch, channels, *spatial], w is [out, channels / groups, *kernel]: a cross-correlation, as in every deep-learning
library. Each is linear in each input and its gradients are the other two, so derivatives of any order exist. The
references copy the windows of a block of the batch ("im2col": Chellapilla, Puri, Simard, 2006) and take one matmul.
With the attribute `dtype` bfloat16 operands give a float32 result: exact products, summed in float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import DType, bfloat16, float32, float64
from chainrule.core.errors import ShapeError
from chainrule.core.lowering import Contraction
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast
from chainrule.ops._rules import contraction_dtype, widened
from chainrule.ops._windows import (
    Pads,
    Sizes,
    blocks,
    counts,
    fitting,
    padded,
    positions,
    same_dtypes,
    view,
    window_bytes,
)

__all__ = ["convolution_input_gradient_p", "convolution_p", "convolution_weight_gradient_p"]


# ---------------------------------------------------------------------------------------------------- references
def _columns(x: np.ndarray, size: Sizes, count: Sizes, stride: Sizes, dilation: Sizes, groups: int) -> np.ndarray:
    """Return a copy of the windows of a bordered block, [groups, channels / groups * kernel, batch * places]."""
    windows = view(x, size, count, stride, dilation)  # [batch, channels, *kernel, *count]
    moved = np.moveaxis(windows, 0, len(size) + 1)  # [channels, *kernel, batch, *count]
    return moved.reshape(groups, x.shape[1] // groups * math.prod(size), x.shape[0] * math.prod(count))


def _grouped(dy: np.ndarray, groups: int) -> np.ndarray:
    """Return a block of outputs as [groups, out / groups, batch * places]."""
    return np.moveaxis(dy, 0, 1).reshape(groups, dy.shape[1] // groups, dy.shape[0] * math.prod(dy.shape[2:]))


def _convolution(
    x: np.ndarray,
    w: np.ndarray,
    *,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
    groups: int,
    dtype: DType | None = None,
) -> np.ndarray:
    x, w = widened(dtype, x, w)
    size, out = w.shape[2:], w.shape[0]
    count = counts(x.shape[2:], size, stride, padding, dilation)
    y = np.empty((x.shape[0], out, *count), x.dtype)
    rows = w.reshape(groups, out // groups, math.prod(w.shape[1:]))
    for part in blocks(x.shape[0], window_bytes(x.shape[1], size, count, x.itemsize)):
        columns = _columns(padded(x[part], padding), size, count, stride, dilation, groups)
        product = np.matmul(rows, columns).reshape(out, part.stop - part.start, *count)
        y[part] = np.moveaxis(product, 0, 1)
    return y


def _input_gradient(
    dy: np.ndarray,
    w: np.ndarray,
    *,
    size: Sizes,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
    groups: int,
    dtype: DType | None = None,
) -> np.ndarray:
    dy, w = widened(dtype, dy, w)
    kernel, out, channels = w.shape[2:], w.shape[0], w.shape[1] * groups
    count = dy.shape[2:]
    dx = np.zeros((dy.shape[0], channels, *size), dy.dtype)
    rows = np.swapaxes(w.reshape(groups, out // groups, math.prod(w.shape[1:])), 1, 2)  # [groups, c / g * k, o / g]
    inside: tuple[Any, ...] = tuple(slice(low, low + n) for n, (low, _) in zip(size, padding))
    bordered = tuple(low + n + high for n, (low, high) in zip(size, padding))
    for part in blocks(dy.shape[0], window_bytes(channels, kernel, count, dy.itemsize)):
        product = np.matmul(rows, _grouped(dy[part], groups))
        product = product.reshape(channels, *kernel, part.stop - part.start, *count)
        total = np.zeros((part.stop - part.start, channels, *bordered), dy.dtype)
        for place, where in positions(kernel, count, stride, dilation):
            total[where] += np.swapaxes(product[(slice(None), *place)], 0, 1)
        dx[part] = total[(..., *inside)]
    return dx


def _weight_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    *,
    size: Sizes,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
    groups: int,
    dtype: DType | None = None,
) -> np.ndarray:
    x, dy = widened(dtype, x, dy)
    channels, out = x.shape[1] // groups, dy.shape[1]
    dw = np.zeros((groups, out // groups, channels * math.prod(size)), x.dtype)
    for part in blocks(x.shape[0], window_bytes(x.shape[1], size, dy.shape[2:], x.itemsize)):
        columns = _columns(padded(x[part], padding), size, dy.shape[2:], stride, dilation, groups)
        dw += np.matmul(_grouped(dy[part], groups), np.swapaxes(columns, 1, 2))
    return dw.reshape(out, channels, *size)


# ---------------------------------------------------------------------------------------------------- shape rules
def _groups(name: str, channels: int, out: int, groups: int) -> None:
    if channels % groups or out % groups:
        raise ShapeError(f"{name}: {groups} groups must divide the {channels} input and the {out} output channels.")


def _convolution_shape(
    x: TensorType,
    w: TensorType,
    *,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
    groups: int,
    dtype: DType | None = None,
) -> TensorType:
    n = len(stride)
    name = f"conv{n}d"
    if x.ndim != n + 2 or w.ndim != n + 2:
        raise ShapeError(f"{name}: the input is {x.shape} and the weight {w.shape}; both need {n + 2} axes.")
    same_dtypes(name, x, w)
    channels, out = x.shape[1], w.shape[0]
    _groups(name, channels, out, groups)
    if w.shape[1] * groups != channels:
        raise ShapeError(
            f"{name}: the input {x.shape} has {channels} channels and the weight {w.shape} takes "
            f"{w.shape[1]} x {groups} groups = {w.shape[1] * groups}; the weight is [out, in / groups, *kernel]."
        )
    count = fitting(name, x.shape, w.shape[2:], stride, padding, dilation)
    return TensorType((x.shape[0], out, *count), contraction_dtype(name, x.dtype, dtype))


def _input_gradient_shape(
    dy: TensorType, w: TensorType, *, size: Sizes, groups: int, dtype: DType | None = None, **how: Any
) -> TensorType:
    name = f"conv{len(size)}d, gradient of the input"
    x = TensorType((dy.shape[0], w.shape[1] * groups, *size), w.dtype)
    same_dtypes(name, dy, w)
    _expect(name, dy, _convolution_shape(x, w, groups=groups, **how))
    return x._replace(dtype=contraction_dtype(name, x.dtype, dtype))


def _weight_gradient_shape(
    x: TensorType, dy: TensorType, *, size: Sizes, groups: int, dtype: DType | None = None, **how: Any
) -> TensorType:
    name = f"conv{len(size)}d, gradient of the weight"
    same_dtypes(name, x, dy)
    _groups(name, x.shape[1], dy.shape[1], groups)
    w = TensorType((dy.shape[1], x.shape[1] // groups, *size), x.dtype)
    _expect(name, dy, _convolution_shape(x, w, groups=groups, **how))
    return w._replace(dtype=contraction_dtype(name, w.dtype, dtype))


def _expect(name: str, dy: TensorType, wanted: TensorType) -> None:
    if dy.shape != wanted.shape:
        raise ShapeError(f"{name}: the output's gradient is {dy.shape}; it must be {wanted.shape}.")


# ---------------------------------------------------------------------------------------------------- samples
def _how(n: int, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> dict[str, Any]:
    """Return attributes; integers serve all axes."""
    each = lambda value: value if isinstance(value, tuple) else (value,) * n  # noqa: E731
    pads = tuple(p if isinstance(p, tuple) else (p, p) for p in each(padding))
    return {"stride": each(stride), "padding": pads, "dilation": each(dilation), "groups": groups}


_CASES: list[tuple[Sizes, Sizes, dict[str, Any]]] = [  # shape of x, shape of w, attributes
    ((2, 3, 7), (4, 3, 3), _how(1)),
    ((2, 4, 9), (4, 2, 3), _how(1, stride=2, padding=2, dilation=2, groups=2)),
    ((1, 1, 1), (1, 1, 1), _how(1)),
    ((2, 2, 5, 6), (3, 2, 3, 2), _how(2)),
    ((2, 2, 5, 6), (3, 2, 2, 3), _how(2, stride=(2, 1), padding=((1, 0), (2, 1)))),
    ((1, 4, 5, 5), (8, 1, 3, 3), _how(2, stride=2, padding=1, groups=4)),
    ((2, 2, 6, 5), (2, 2, 2, 2), _how(2, dilation=(3, 2))),
    ((0, 2, 4, 4), (3, 2, 3, 3), _how(2)),
    ((2, 0, 4, 4), (3, 0, 3, 3), _how(2)),
    ((1, 2, 3, 4, 3), (2, 2, 2, 2, 3), _how(3, stride=(1, 2, 1), padding=(0, 1, 1))),
]


def _output(x: Sizes, w: Sizes, how: dict[str, Any]) -> Sizes:
    rest = {name: how[name] for name in ("stride", "padding", "dilation")}
    return (x[0], w[0], *counts(x[2:], w[2:], **rest))


def _whole(*shapes: Sizes) -> tuple[np.ndarray, ...]:
    """Return integer arrays."""
    return tuple(np.arange(math.prod(shape)).reshape(shape) % 7 - 3 for shape in shapes)


def _narrow(*shapes: Sizes) -> tuple[np.ndarray, ...]:
    """Return bfloat16 arrays whose products need more bits than they have."""
    return tuple((np.arange(math.prod(s)).reshape(s) % 29 / 8 - 1.625).astype(bfloat16.numpy) for s in shapes)


_WIDENING = [_CASES[i] for i in (1, 3, 4, 5, 7, 9)]


def _flops(x: Sizes, w: Sizes, how: dict[str, Any]) -> int:
    return 2 * math.prod(_output(x, w, how)) * math.prod(w[1:])


# ---------------------------------------------------------------------------------------------------- primitives
def _bind(p: Primitive, x1: Tensor, x2: Tensor, operands: DType, dtype: DType | None, **how: Any) -> Tensor:
    """Apply a primitive that a gradient consists of, with operands as narrow as those of the forward pass."""
    if dtype is None:
        return bind(p, x1, x2, **how)
    return bind(p, cast(x1, operands), cast(x2, operands), **how, dtype=dtype)


def _forward(x: Tensor, w: Tensor, operands: DType, dtype: DType | None, **how: Any) -> Tensor:
    return _bind(convolution_p, x, w, operands, dtype, **how)


def _to_input(dy: Tensor, w: Tensor, size: Sizes, operands: DType, dtype: DType | None, **how: Any) -> Tensor:
    return _bind(convolution_input_gradient_p, dy, w, operands, dtype, size=size, **how)


def _to_weight(x: Tensor, dy: Tensor, size: Sizes, operands: DType, dtype: DType | None, **how: Any) -> Tensor:
    return _bind(convolution_weight_gradient_p, x, dy, operands, dtype, size=size, **how)


convolution_p = primitive(
    "convolution",
    reference=_convolution,
    shape=_convolution_shape,
    contraction=True,
    linear="each",
    transpose=(
        lambda g, x_shape, w, *, stride, padding, dilation, groups, dtype=None: _to_input(
            g, w, x_shape[2:], w.dtype, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda g, x, w_shape, *, stride, padding, dilation, groups, dtype=None: _to_weight(
            x, g, w_shape[2:], x.dtype, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
    ),
    flops=lambda x, w, **how: _flops(x.shape, w.shape, how),
    samples=[
        *(Sample((x, w), how) for x, w, how in _CASES),
        Sample(_whole((1, 2, 5), (2, 2, 3)), _how(1), smooth=False),
        Sample(((2, 2, 5), (3, 2, 3)), {**_how(1), "dtype": float64}),
        *(Sample(_narrow(x, w), {**how, "dtype": float32}, smooth=False) for x, w, how in _WIDENING),
    ],
    invalid=[
        Invalid(
            (np.zeros((8, 3, 9, 9)), np.zeros((16, 4, 3, 3))),
            "conv2d: the input (8, 3, 9, 9) has 3 channels and the weight (16, 4, 3, 3) takes 4 x 1 groups = 4; "
            "the weight is [out, in / groups, *kernel].",
            _how(2),
        ),
        Invalid(
            (np.zeros((1, 3, 9)), np.zeros((4, 1, 3))),
            "conv1d: 2 groups must divide the 3 input and the 4 output channels.",
            _how(1, groups=2),
        ),
        Invalid(
            (np.zeros((1, 2, 4, 4)), np.zeros((3, 2, 3, 7))),
            "conv2d: a window of 7 does not fit axis 3 of (1, 2, 4, 4), which has 4 + 2 of padding; "
            "use a smaller window or more padding.",
            _how(2, padding=1),
        ),
        Invalid(
            (np.zeros((1, 2, 4)), np.zeros((3, 2, 2, 2))),
            "conv2d: the input is (1, 2, 4) and the weight (3, 2, 2, 2); both need 4 axes.",
            _how(2),
        ),
        Invalid(
            (np.zeros((1, 2, 4)), np.zeros((3, 2, 2), np.int64)),
            "conv1d: the dtypes float64 and int64 differ; convert one with .astype.",
            _how(1),
        ),
        Invalid(
            (np.zeros((1, 2, 4)), np.zeros((3, 2, 2))),
            "conv1d: the result of float64 operands is float64, not float32.",
            {**_how(1), "dtype": float32},
        ),
        Invalid(
            (np.zeros((1, 2, 4), bool), np.zeros((3, 2, 2), bool)),
            "conv1d needs a real numeric tensor; got bool: use .astype(cr.float32).",
            _how(1),
        ),
    ],
    source="LeCun et al., Proc. IEEE 86 (1998); Dumoulin and Visin, arXiv 1603.07285, for the arithmetic.",
    lower=Contraction("convolution"),
)

convolution_input_gradient_p = primitive(
    "convolution_input_gradient",
    reference=_input_gradient,
    shape=_input_gradient_shape,
    contraction=True,
    linear="each",
    transpose=(
        lambda g, w, *, stride, padding, dilation, groups, dtype=None: _forward(
            g, w, w.dtype, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda g, dy, w_shape, *, stride, padding, dilation, groups, dtype=None: _to_weight(
            g, dy, w_shape[2:], dy.dtype, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
    ),
    flops=lambda dy, w, **how: 2 * dy.size * math.prod(w.shape[1:]),
    samples=[
        *(Sample((_output(x, w, how), w), {"size": x[2:], **how}) for x, w, how in _CASES),
        Sample(_whole((1, 2, 3), (2, 2, 3)), {"size": (5,), **_how(1)}, smooth=False),
        Sample(((2, 3, 3), (3, 2, 3)), {"size": (5,), **_how(1), "dtype": float64}),
        *(
            Sample(_narrow(_output(x, w, how), w), {"size": x[2:], **how, "dtype": float32}, smooth=False)
            for x, w, how in _WIDENING
        ),
    ],
    invalid=[
        Invalid(
            (np.zeros((1, 2, 4)), np.zeros((2, 3, 3))),
            "conv1d, gradient of the input: the output's gradient is (1, 2, 4); it must be (1, 2, 3).",
            {"size": (5,), **_how(1)},
        ),
        Invalid(
            (np.zeros((1, 2, 3)), np.zeros((2, 3, 3), np.int64)),
            "conv1d, gradient of the input: the dtypes float64 and int64 differ; convert one with .astype.",
            {"size": (5,), **_how(1)},
        ),
        Invalid(
            (np.zeros((1, 2, 3)), np.zeros((2, 3, 3))),
            "conv1d, gradient of the input: the result of float64 operands is float64, not float32.",
            {"size": (5,), **_how(1), "dtype": float32},
        ),
    ],
    lower=Contraction("convolution_input_gradient"),
)

convolution_weight_gradient_p = primitive(
    "convolution_weight_gradient",
    reference=_weight_gradient,
    shape=_weight_gradient_shape,
    contraction=True,
    linear="each",
    transpose=(
        lambda g, x_shape, dy, *, stride, padding, dilation, groups, dtype=None: _to_input(
            dy, g, x_shape[2:], dy.dtype, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda g, x, *, stride, padding, dilation, groups, dtype=None: _forward(
            x, g, x.dtype, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
    ),
    flops=lambda x, dy, *, size, groups, **how: 2 * dy.size * math.prod(size) * (x.shape[1] // groups),
    samples=[
        *(Sample((x, _output(x, w, how)), {"size": w[2:], **how}) for x, w, how in _CASES),
        Sample(_whole((1, 2, 5), (1, 2, 3)), {"size": (3,), **_how(1)}, smooth=False),
        Sample(((2, 2, 5), (2, 3, 3)), {"size": (3,), **_how(1), "dtype": float64}),
        *(
            Sample(_narrow(x, _output(x, w, how)), {"size": w[2:], **how, "dtype": float32}, smooth=False)
            for x, w, how in _WIDENING
        ),
    ],
    invalid=[
        Invalid(
            (np.zeros((1, 2, 5)), np.zeros((1, 2, 4))),
            "conv1d, gradient of the weight: the output's gradient is (1, 2, 4); it must be (1, 2, 3).",
            {"size": (3,), **_how(1)},
        ),
        Invalid(
            (np.zeros((1, 2, 5)), np.zeros((1, 3, 3))),
            "conv1d, gradient of the weight: 2 groups must divide the 2 input and the 3 output channels.",
            {"size": (3,), **_how(1, groups=2)},
        ),
        Invalid(
            (np.zeros((1, 2, 5)), np.zeros((1, 2, 3))),
            "conv1d, gradient of the weight: the result of float64 operands is float64, not float32.",
            {"size": (3,), **_how(1), "dtype": float32},
        ),
    ],
    lower=Contraction("convolution_weight_gradient"),
)

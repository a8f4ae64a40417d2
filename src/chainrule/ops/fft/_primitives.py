"""Discrete Fourier transforms: the primitives, and what all functions of `cr.fft` do with their arguments.

    fft      y[k] = sum over j of x[j] e^(-2 pi i j k / n),   inverse with + in the exponent
    rfft     of real numbers: the first half, as the second is its conjugate
    irfft    the inverse of real numbers' transform, from its first half

None of the three scales; each is linear, and its transpose is the way back. The references are NumPy's (pocketfft).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import complex_dtype, float32, float64, real_dtype
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple, axis_index, cast
from chainrule.ops.creation import zeros
from chainrule.ops.join import concat
from chainrule.ops.shape import reshape
from chainrule.ops.slices import narrow

__all__ = ["fft_p", "irfft_p", "one", "other", "positive", "rfft_p", "to_real", "transform", "transform_real"]

Axes = tuple[int, ...]
NORMS = ("backward", "ortho", "forward")
_rng = np.random.default_rng(3)


def _drawn(*shape: int) -> np.ndarray:
    return _rng.uniform(-1, 1, shape) + 1j * _rng.uniform(-1, 1, shape)


# ---------------------------------------------------------------------------------------------------- primitives
def _check_axes(name: str, x: TensorType, axes: Axes) -> None:
    for axis in axes:
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"{name}: axis {axis} does not exist in {x.shape}.")
        if not x.shape[axis]:
            raise ShapeError(f"{name}: axis {axis} of {x.shape} has no elements to transform.")


def _fft_shape(x: TensorType, *, axis: Axes, inverse: bool) -> TensorType:
    if not x.dtype.is_complex:
        raise DTypeError(f"fft needs a complex tensor; got {x.dtype.name}: use .astype(cr.complex64).")
    _check_axes("fft", x, axis)
    return x


def _fft(x: np.ndarray, *, axis: Axes, inverse: bool) -> np.ndarray:
    if not axis or not x.size:
        return x.copy()
    return np.fft.ifftn(x, axes=axis, norm="forward") if inverse else np.fft.fftn(x, axes=axis)


def _work(shape: Axes, axes: Axes) -> int:
    size = math.prod(shape)
    return sum(5 * size * max(1, math.ceil(math.log2(max(shape[a], 1)))) for a in axes)


fft_p: Primitive = primitive(
    "fft",
    reference=_fft,
    shape=_fft_shape,
    linear=(0,),
    transpose=lambda g, *, axis, inverse: bind(fft_p, g, axis=axis, inverse=not inverse),
    flops=lambda x, *, axis, inverse: _work(x.shape, axis),
    samples=[
        Sample((_drawn(4),), {"axis": (0,), "inverse": False}),
        Sample((_drawn(5, 3),), {"axis": (0,), "inverse": True}),
        Sample((_drawn(2, 3, 4),), {"axis": (1, 2), "inverse": False}),
        Sample((_drawn(1),), {"axis": (0,), "inverse": True}),
        Sample((_drawn(0, 3),), {"axis": (1,), "inverse": False}),
        Sample((_drawn(3),), {"axis": (), "inverse": False}),
    ],
    invalid=[
        Invalid(
            (np.ones(2),),
            "fft needs a complex tensor; got float64: use .astype(cr.complex64).",
            {"axis": (0,), "inverse": False},
        ),
        Invalid((_drawn(2),), "fft: axis 1 does not exist in (2,).", {"axis": (1,), "inverse": False}),
        Invalid(
            (_drawn(0, 2),), "fft: axis 0 of (0, 2) has no elements to transform.", {"axis": (0,), "inverse": False}
        ),
    ],
)


def _half(n: int) -> int:
    """Return how many values the transform of n real numbers has."""
    return n // 2 + 1


def _along(weights: np.ndarray, like: Tensor, axis: int) -> Tensor:
    """Return numbers for the places along one axis, in the shape that broadcasts there."""
    vector = as_tensor(weights.astype(real_dtype(like.dtype).numpy))
    return reshape(vector, (-1,) + (1,) * (like.ndim - axis - 1))


def _counts(m: int, n: int) -> np.ndarray:
    """Return how often each of m values stands in the whole transform of n real numbers: itself and its conjugate."""
    counts = np.where((np.arange(m) == 0) | (2 * np.arange(m) == n), 1.0, 2.0)
    return np.where(np.arange(m) < _half(n), counts, 0.0)


def _rfft_shape(x: TensorType, *, axis: int) -> TensorType:
    if x.dtype not in (float32, float64):
        raise DTypeError(f"rfft needs a float32 or float64 tensor; got {x.dtype.name}: use .astype(cr.float32).")
    _check_axes("rfft", x, (axis,))
    shape = (*x.shape[:axis], _half(x.shape[axis]), *x.shape[axis + 1 :])
    return TensorType(shape, complex_dtype(x.dtype))


rfft_p: Primitive = primitive(
    "rfft",
    reference=lambda x, *, axis: np.fft.rfft(x, axis=axis).astype(np.result_type(x.dtype, np.complex64)),
    shape=_rfft_shape,
    linear=(0,),
    transpose=lambda g, x_shape, *, axis: bind(
        irfft_p, g / _along(_counts(g.shape[axis], x_shape[axis]), g, axis), axis=axis, n=x_shape[axis]
    ),
    flops=lambda x, *, axis: _work(x.shape, (axis,)) // 2,
    samples=[
        Sample(((4,),), {"axis": 0}),
        Sample(((5, 3),), {"axis": 0}),
        Sample(((2, 3, 6),), {"axis": 2}),
        Sample(((1,),), {"axis": 0}),
        Sample(((0, 3),), {"axis": 1}),
    ],
    invalid=[
        Invalid(
            (np.ones(2, np.int64),),
            "rfft needs a float32 or float64 tensor; got int64: use .astype(cr.float32).",
            {"axis": 0},
        ),
        Invalid((np.ones(2),), "rfft: axis 1 does not exist in (2,).", {"axis": 1}),
        Invalid((np.ones((0, 2)),), "rfft: axis 0 of (0, 2) has no elements to transform.", {"axis": 0}),
    ],
)


def _irfft_shape(x: TensorType, *, axis: int, n: int) -> TensorType:
    if not x.dtype.is_complex:
        raise DTypeError(f"irfft needs a complex tensor; got {x.dtype.name}: use .astype(cr.complex64).")
    _check_axes("irfft", x, (axis,))
    if n < 1 or x.shape[axis] != _half(n):
        raise ShapeError(f"irfft: {n} real numbers come from {_half(n)} complex ones; axis {axis} is of {x.shape}.")
    return TensorType((*x.shape[:axis], n, *x.shape[axis + 1 :]), real_dtype(x.dtype))


irfft_p: Primitive = primitive(
    "irfft",
    reference=lambda x, *, axis, n: np.fft.irfft(x, n, axis=axis, norm="forward"),
    shape=_irfft_shape,
    linear=(0,),
    transpose=lambda g, x_shape, *, axis, n: bind(rfft_p, g, axis=axis) * _along(_counts(x_shape[axis], n), g, axis),
    flops=lambda x, *, axis, n: _work(x.shape, (axis,)),
    samples=[
        Sample((_drawn(3),), {"axis": 0, "n": 4}),
        Sample((_drawn(3, 2),), {"axis": 0, "n": 5}),
        Sample((_drawn(2, 3, 4),), {"axis": 2, "n": 6}),
        Sample((_drawn(1),), {"axis": 0, "n": 1}),
        Sample((_drawn(0, 3),), {"axis": 1, "n": 4}),
    ],
    invalid=[
        Invalid(
            (np.ones(2),), "irfft needs a complex tensor; got float64: use .astype(cr.complex64).", {"axis": 0, "n": 2}
        ),
        Invalid((_drawn(2),), "irfft: axis 1 does not exist in (2,).", {"axis": 1, "n": 2}),
        Invalid((_drawn(0, 2),), "irfft: axis 0 of (0, 2) has no elements to transform.", {"axis": 0, "n": 2}),
        Invalid(
            (_drawn(2),), "irfft: 5 real numbers come from 3 complex ones; axis 0 is of (2,).", {"axis": 0, "n": 5}
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- arguments
def _norm(name: str, norm: str) -> str:
    if norm not in NORMS:
        raise ValueError(f"{name}.norm must be one of {', '.join(map(repr, NORMS))}; got {norm!r}.")
    return norm


def _scaled(y: Tensor, n: int, norm: str, *, inverse: bool) -> Tensor:
    """Return y divided as the norm says: backward scales the inverse, forward the transform, ortho both by a root."""
    if norm == "ortho":
        return y * (1.0 / math.sqrt(n)) if n != 1 else y
    return y * (1.0 / n) if (norm == "backward") == inverse and n != 1 else y


def _fitted(x: Tensor, axis: int, n: int) -> Tensor:
    """Return x cut to n elements along an axis, or with zeros up to n."""
    have = x.shape[axis]
    if n <= have:
        return x if n == have else narrow(x, axis, 0, n)
    rest = zeros((*x.shape[:axis], n - have, *x.shape[axis + 1 :]), dtype=x.dtype)
    return concat([x, rest], axis=axis)


def _sizes(name: str, x: Tensor, s: Sequence[int] | None, axes: Sequence[int] | None) -> tuple[list[int], list[int]]:
    """Return axes and their sizes, in the order given; -1 is the size that an axis has."""
    if axes is None:
        chosen = list(range(x.ndim if s is None else len(s)))
        chosen = [x.ndim - len(chosen) + i for i in chosen]
    else:
        chosen = [axis_index(a, x.ndim, name) for a in axes]
        axes_tuple(tuple(axes), x.ndim, name)  # none stands twice
    if s is not None and len(s) != len(chosen):
        raise ShapeError(f"{name}: s has {len(s)} sizes and there are {len(chosen)} axes; they must be as many.")
    sizes = [x.shape[a] if s is None or n == -1 else n for a, n in zip(chosen, s or chosen)]
    for n in sizes:
        positive(name, n)
    return chosen, sizes


def positive(name: str, n: int) -> int:
    """Return n, a number of elements."""
    if n < 1:
        raise ValueError(f"{name}.n must be an int >= 1; got {n}.")
    return n


def _to_complex(x: Any, name: str) -> Tensor:
    x = as_tensor(x)
    if not x.dtype.is_inexact:
        raise DTypeError(f"{name} needs a float or complex tensor; got {x.dtype.name}: use .astype(cr.float32).")
    return cast(x, complex_dtype(x.dtype))


def _floats(x: Any, name: str) -> Tensor:
    x = as_tensor(x)
    if not x.dtype.is_float:
        fix = "use the transforms of complex numbers" if x.dtype.is_complex else "use .astype(cr.float32)"
        raise DTypeError(f"{name} needs a float tensor; got {x.dtype.name}: {fix}.")
    return x if x.dtype is float64 else cast(x, float32)


def transform(name: str, x: Any, s: Any, axes: Any, norm: str, *, inverse: bool) -> Tensor:
    """Return the transform of complex numbers along some axes, or its inverse."""
    x = _to_complex(x, name)
    chosen, sizes = _sizes(name, x, s, axes)
    for axis, n in zip(chosen, sizes):
        x = _fitted(x, axis, n)
    y = bind(fft_p, x, axis=tuple(sorted(chosen)), inverse=inverse)
    return _scaled(y, math.prod(sizes), _norm(name, norm), inverse=inverse)


def transform_real(name: str, x: Any, s: Any, axes: Any, norm: str) -> Tensor:
    """Return the first half of the transform of real numbers; the last of the axes is halved."""
    x = _floats(x, name)
    chosen, sizes = _sizes(name, x, s, axes)
    if not chosen:
        raise ShapeError(f"{name} needs at least one axis; got none.")
    for axis, n in zip(chosen, sizes):
        x = _fitted(x, axis, n)
    y = bind(rfft_p, x, axis=chosen[-1])
    if len(chosen) > 1:
        y = bind(fft_p, y, axis=tuple(sorted(chosen[:-1])), inverse=False)
    return _scaled(y, math.prod(sizes), _norm(name, norm), inverse=False)


def to_real(name: str, x: Any, s: Any, axes: Any, norm: str) -> Tensor:
    """Return the real numbers whose transform has x as its first half."""
    x = _to_complex(x, name)
    given = None if s is None else [*s[:-1], -1]
    chosen, sizes = _sizes(name, x, given, axes)
    if not chosen:
        raise ShapeError(f"{name} needs at least one axis; got none.")
    n = positive(name, 2 * (x.shape[chosen[-1]] - 1) if s is None or s[-1] == -1 else s[-1])
    sizes[-1] = _half(n)
    for axis, size in zip(chosen, sizes):
        x = _fitted(x, axis, size)
    if len(chosen) > 1:
        x = bind(fft_p, x, axis=tuple(sorted(chosen[:-1])), inverse=True)
    y = bind(irfft_p, x, axis=chosen[-1], n=n)
    return _scaled(y, math.prod(sizes[:-1]) * n, _norm(name, norm), inverse=True)


def other(name: str, norm: str) -> str:
    """Return the norm of the transform in the other direction."""
    return {"backward": "forward", "forward": "backward"}.get(_norm(name, norm), norm)


def one(n: int | None) -> list[int] | None:
    """Return n as the sizes of one axis."""
    return None if n is None else [n]

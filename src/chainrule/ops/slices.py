"""Static slices: a regular part of a tensor taken out, put back, or surrounded with zeros.

Three linear primitives that are each other's transposes:

    slice          y[i] = x[start + i step]
    pad            y[low + i (interior + 1)] = x[i], zero elsewhere                    transpose of slice
    update_slice   y = x, but y[start + i step] = update[i]                            slice and update_slice of zeros

Bounds and steps are attributes, so they are constants of a traced graph. `chainrule.ops.index` makes these from keys
such as `x[1:, ::-1]`. An eager slice is a view of the immutable buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import IndexMap
from chainrule.core.primitive import Invalid, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import axis_index
from chainrule.ops.creation import zeros

__all__: list[str] = []  # for the other files of this floor

Sizes = tuple[int, ...]


def _windows(starts: Sizes, counts: Sizes, steps: Sizes) -> tuple[slice, ...]:
    """Return NumPy slices of `counts` elements each."""
    return tuple(slice(a, a + (n - 1) * s + 1 if n else a, s) for a, n, s in zip(starts, counts, steps))


def _counts(starts: Sizes, limits: Sizes, steps: Sizes) -> Sizes:
    return tuple(max(0, -((a - b) // s)) for a, b, s in zip(starts, limits, steps))


# ---------------------------------------------------------------------------------------------------- slice
def _slice_shape(x: TensorType, *, starts: Sizes, limits: Sizes, steps: Sizes) -> TensorType:
    if not len(starts) == len(limits) == len(steps) == x.ndim:
        raise ShapeError(
            f"slice: {x.shape} needs {x.ndim} starts, limits and steps; "
            f"got {len(starts)}, {len(limits)} and {len(steps)}."
        )
    for axis, (a, b, s, n) in enumerate(zip(starts, limits, steps, x.shape)):
        if not (0 <= a <= b <= n and s > 0):
            raise ShapeError(
                f"slice: [{a}:{b}:{s}] on axis {axis} must satisfy 0 <= start <= limit <= {n} and step > 0."
            )
    return TensorType(_counts(starts, limits, steps), x.dtype)


def _slice_transpose(g: Tensor, x_shape: Sizes, *, starts: Sizes, steps: Sizes) -> Tensor:
    ends = tuple(a + (n - 1) * s + 1 if n else a for a, n, s in zip(starts, g.shape, steps))
    high = tuple(size - end for size, end in zip(x_shape, ends))
    return bind(pad_p, g, low=starts, high=high, interior=tuple(s - 1 for s in steps))


def _slice_element(k: Any, at: Sequence[Any], x: Any, *, starts: Sizes, limits: Sizes, steps: Sizes) -> Any:
    return x(*(k.add(k.mul(i, k.index(s)), k.index(a)) for i, a, s in zip(at, starts, steps)))


slice_p = primitive(
    "slice",
    lower=IndexMap(_slice_element, view=True),
    reference=lambda x, *, starts, limits, steps: x[tuple(map(slice, starts, limits, steps))],
    shape=_slice_shape,
    linear=(0,),
    transpose=_slice_transpose,
    samples=[
        Sample(((5,),), {"starts": (1,), "limits": (4,), "steps": (1,)}),
        Sample(((7,),), {"starts": (1,), "limits": (7,), "steps": (3,)}),
        Sample(((3, 4),), {"starts": (0, 1), "limits": (3, 4), "steps": (2, 2)}),
        Sample(((3,),), {"starts": (3,), "limits": (3,), "steps": (1,)}),
        Sample(((),), {"starts": (), "limits": (), "steps": ()}),
        Sample(((0, 3),), {"starts": (0, 0), "limits": (0, 2), "steps": (1, 1)}),
        Sample((np.arange(12).reshape(3, 4),), {"starts": (1, 0), "limits": (3, 4), "steps": (1, 2)}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros(3),),
            "slice: [1:4:1] on axis 0 must satisfy 0 <= start <= limit <= 3 and step > 0.",
            {"starts": (1,), "limits": (4,), "steps": (1,)},
        ),
        Invalid(
            (np.zeros((3, 2)),),
            "slice: (3, 2) needs 2 starts, limits and steps; got 1, 1 and 1.",
            {"starts": (1,), "limits": (3,), "steps": (1,)},
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- pad
def _from(k: Any, at: Sequence[Any], starts: Sizes, counts: Sizes, steps: Sizes) -> tuple[list[Any], Any]:
    """Return the places n with start + n step = i, and whether they exist."""
    places, inside = [], []
    for i, start, count, step in zip(at, starts, counts, steps):
        before = -(-start // step)
        whole, rest = k.divmod(k.add(i, before * step - start), step)  # nowhere negative
        place = k.sub(whole, before)
        places.append(place)
        inside.append(k.within(place, 0, count))
        if step > 1:
            inside.append(k.eq(rest, 0))
    return places, k.all_of(inside)


def _pad_element(k: Any, at: Sequence[Any], x: Any, *, low: Sizes, high: Sizes, interior: Sizes) -> Any:
    places, inside = _from(k, at, low, x.shape, tuple(i + 1 for i in interior))
    value = x(*places, where=inside)
    return k.select(inside, value, k.const(0, value))


def _pad_reference(x: np.ndarray, *, low: Sizes, high: Sizes, interior: Sizes) -> np.ndarray:
    out = np.zeros(_padded(x.shape, low, high, interior), x.dtype)
    out[_windows(low, x.shape, tuple(i + 1 for i in interior))] = x
    return out


def _padded(shape: Sizes, low: Sizes, high: Sizes, interior: Sizes) -> Sizes:
    return tuple(a + n + max(n - 1, 0) * i + b for n, a, b, i in zip(shape, low, high, interior))


def _pad_shape(x: TensorType, *, low: Sizes, high: Sizes, interior: Sizes) -> TensorType:
    if not len(low) == len(high) == len(interior) == x.ndim:
        raise ShapeError(
            f"pad: {x.shape} needs {x.ndim} widths; got {len(low)} low, {len(high)} high, {len(interior)} interior."
        )
    if any(n < 0 for n in (*low, *high, *interior)):
        raise ShapeError(f"pad: widths must be >= 0; got low {low}, high {high}, interior {interior}.")
    return TensorType(_padded(x.shape, low, high, interior), x.dtype)


def _pad_transpose(g: Tensor, x_shape: Sizes, *, low: Sizes, interior: Sizes) -> Tensor:
    steps = tuple(i + 1 for i in interior)
    limits = tuple(w.stop for w in _windows(low, x_shape, steps))
    return bind(slice_p, g, starts=low, limits=limits, steps=steps)


pad_p = primitive(
    "pad",
    reference=_pad_reference,
    lower=IndexMap(_pad_element),
    shape=_pad_shape,
    linear=(0,),
    transpose=_pad_transpose,
    samples=[
        Sample(((3,),), {"low": (1,), "high": (2,), "interior": (0,)}),
        Sample(((3,),), {"low": (0,), "high": (1,), "interior": (2,)}),
        Sample(((2, 3),), {"low": (1, 0), "high": (0, 2), "interior": (1, 0)}),
        Sample(((0, 3),), {"low": (2, 0), "high": (1, 0), "interior": (3, 0)}),
        Sample(((),), {"low": (), "high": (), "interior": ()}),
        Sample((np.arange(6).reshape(2, 3),), {"low": (1, 1), "high": (0, 0), "interior": (0, 1)}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros(3),),
            "pad: widths must be >= 0; got low (-1,), high (0,), interior (0,).",
            {"low": (-1,), "high": (0,), "interior": (0,)},
        ),
        Invalid(
            (np.zeros((3, 2)),),
            "pad: (3, 2) needs 2 widths; got 1 low, 1 high, 1 interior.",
            {"low": (1,), "high": (0,), "interior": (0,)},
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- update_slice
def _update_reference(x: np.ndarray, update: np.ndarray, *, starts: Sizes, steps: Sizes) -> np.ndarray:
    out = x.copy()
    out[_windows(starts, update.shape, steps)] = update
    return out


def _update_shape(x: TensorType, update: TensorType, *, starts: Sizes, steps: Sizes) -> TensorType:
    if update.dtype is not x.dtype:
        raise DTypeError(
            f"update_slice: the dtypes {x.dtype.name} and {update.dtype.name} differ; convert one with .astype."
        )
    if not len(starts) == len(steps) == update.ndim == x.ndim:
        raise ShapeError(
            f"update_slice: {x.shape} needs an update, starts and steps of {x.ndim} axes; "
            f"got {update.shape}, {starts} and {steps}."
        )
    for axis, window in enumerate(_windows(starts, update.shape, steps)):
        if not (0 <= window.start <= window.stop <= x.shape[axis] and window.step > 0):
            raise ShapeError(
                f"update_slice: {update.shape[axis]} elements from {window.start} in steps of {window.step} "
                f"do not fit axis {axis} of {x.shape}."
            )
    return x


def _hole(g: Tensor, update_shape: Sizes, *, starts: Sizes, steps: Sizes) -> Tensor:
    return bind(update_slice_p, g, zeros(update_shape, dtype=g.dtype), starts=starts, steps=steps)


def _window_of(g: Tensor, update_shape: Sizes, *, starts: Sizes, steps: Sizes) -> Tensor:
    limits = tuple(w.stop for w in _windows(starts, update_shape, steps))
    return bind(slice_p, g, starts=starts, limits=limits, steps=steps)


def _update_element(k: Any, at: Sequence[Any], x: Any, update: Any, *, starts: Sizes, steps: Sizes) -> Any:
    places, inside = _from(k, at, starts, update.shape, steps)
    return k.select(inside, update(*places, where=inside), x(*at))


update_slice_p = primitive(
    "update_slice",
    lower=IndexMap(_update_element),
    reference=_update_reference,
    shape=_update_shape,
    linear=(0, 1),
    transpose=(
        lambda g, update_shape, *, starts, steps: _hole(g, update_shape, starts=starts, steps=steps),
        _window_of,
    ),
    samples=[
        Sample(((5,), (2,)), {"starts": (1,), "steps": (1,)}),
        Sample(((5,), (2,)), {"starts": (0,), "steps": (3,)}),
        Sample(((3, 4), (2, 2)), {"starts": (1, 0), "steps": (1, 2)}),
        Sample(((3, 4), (0, 2)), {"starts": (3, 0), "steps": (1, 2)}),
        Sample(((), ()), {"starts": (), "steps": ()}),
        Sample((np.arange(5), np.array([7, 8])), {"starts": (2,), "steps": (1,)}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros(3), np.zeros(2)),
            "update_slice: 2 elements from 2 in steps of 1 do not fit axis 0 of (3,).",
            {"starts": (2,), "steps": (1,)},
        ),
        Invalid(
            (np.zeros(3), np.zeros((1, 2))),
            "update_slice: (3,) needs an update, starts and steps of 1 axes; got (1, 2), (0,) and (1,).",
            {"starts": (0,), "steps": (1,)},
        ),
        Invalid(
            (np.zeros(3), np.arange(2)),
            "update_slice: the dtypes float64 and int64 differ; convert one with .astype.",
            {"starts": (0,), "steps": (1,)},
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- functions
def narrow(x: Tensor, axis: int, start: int, limit: int, step: int = 1) -> Tensor:
    """Return x[start:limit:step] along one axis, for 0 <= start <= limit <= size and step > 0."""
    axis = axis_index(axis, x.ndim, "narrow")
    starts, limits, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], limits[axis], steps[axis] = start, limit, step
    return bind(slice_p, x, starts=tuple(starts), limits=tuple(limits), steps=tuple(steps))

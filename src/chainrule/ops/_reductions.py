"""What all reductions share: shape rule, the way back to the input's shape, the accumulator's dtype, samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.dtypes import DType, int64, to_dtype, uint64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.primitive import Invalid, Sample, TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast
from chainrule.ops._rules import KINDS
from chainrule.ops.shape import reshape

__all__ = ["Axes", "Axis", "accumulator", "reduced", "reduced_shape", "reductions", "refuses_axes", "spread"]

Axes = tuple[int, ...]
Axis = int | Sequence[int] | None


def reduced(shape: Axes, axis: Axes, keepdims: bool) -> Axes:
    """Return `shape` without the axes `axis`, or with size 1 there."""
    if keepdims:
        return tuple(1 if i in axis else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axis)


def reduced_shape(
    name: str, kind: str, result: DType | None = None, *, needs_elements: bool = False
) -> Callable[..., TensorType]:
    """Return the shape rule of a reduction over the axes `axis`."""
    kinds, words = KINDS[kind]

    def rule(x: TensorType, *, axis: Axes, keepdims: bool) -> TensorType:
        if x.dtype.kind not in kinds:
            fix = ": use cr.real, cr.imag or cr.abs" if x.dtype.is_complex else ""
            raise DTypeError(f"{name} needs {words}; got {x.dtype.name}{fix}.")
        if any(not 0 <= a < x.ndim for a in axis):
            raise ShapeError(f"{name}: axis {axis} does not exist in {x.shape}.")
        out = reduced(x.shape, axis, keepdims)
        if needs_elements and 0 in [x.shape[a] for a in axis] and 0 not in out:
            empty = next(a for a in axis if x.shape[a] == 0)
            raise ShapeError(f"{name}: axis {empty} of {x.shape} has no elements, so there is no {name}.")
        return TensorType(out, result or x.dtype)

    return rule


def spread(y: Tensor, x_shape: Axes, axis: Axes, keepdims: bool) -> Tensor:
    """Return a reduced tensor with its lost axes back as size 1, so that it broadcasts against the input."""
    return y if keepdims else reshape(y, reduced(x_shape, axis, True))


def reductions(*, smooth: bool = True, integers: bool = True, empty: bool = True) -> list[Sample]:
    """Return samples over shapes and axes for a reduction with `axis` and `keepdims`."""
    rows: list[tuple[tuple, dict[str, Any]]] = [
        (((2, 3),), {"axis": (0, 1), "keepdims": False}),
        (((2, 3),), {"axis": (1,), "keepdims": True}),
        (((2, 3, 2),), {"axis": (0, 2), "keepdims": False}),
        (((3,),), {"axis": (), "keepdims": False}),
        (((),), {"axis": (), "keepdims": False}),
        (((0, 3),), {"axis": (1,), "keepdims": False}),
    ]
    samples = [Sample(shapes, attributes, smooth) for shapes, attributes in rows]
    if empty:
        samples.append(Sample(((0, 3),), {"axis": (0,), "keepdims": False}, smooth))
    if integers:
        samples.append(Sample((np.arange(-3, 3).reshape(2, 3),), {"axis": (0,), "keepdims": False}, smooth=False))
    return samples


def refuses_axes(name: str, kind: str) -> list[Invalid]:
    """Return the invalid samples that all reductions share."""
    found = [Invalid((np.zeros(2),), f"{name}: axis (1,) does not exist in (2,).", {"axis": (1,), "keepdims": False})]
    if kind in ("numeric", "numeric or complex"):
        message = f"{name} needs a numeric tensor; got bool."
        found.append(Invalid((np.zeros(2, bool),), message, {"axis": (0,), "keepdims": False}))
    return found


def accumulator(x: Tensor, dtype: Any) -> Tensor:
    """Return x in the dtype in which a sum or product of it is computed: ints in int64, floats in their own."""
    if dtype is not None:
        return cast(x, to_dtype(dtype))
    kind = x.dtype.kind
    return x if x.dtype.is_inexact else cast(x, uint64 if kind == "uint" else int64)

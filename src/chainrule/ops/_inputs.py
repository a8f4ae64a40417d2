"""What users may pass to an operation, made into tensors: promotion, weak Python scalars, axes.

Primitives take tensors of equal dtype; the functions here bring mixed arguments there with casts, so that gradients of
casts follow by themselves.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.context import local
from chainrule.core.dtypes import DType, dtype_of, promote, scalar_dtype, to_dtype
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError
from chainrule.core.primitive import PRIMITIVES
from chainrule.core.tensor import Tensor

__all__ = [
    "as_tensor",
    "axes_tuple",
    "axis_index",
    "cast",
    "check_device",
    "constant",
    "numbers",
    "pair",
    "shape_tuple",
    "sizes_tuple",
]

numbers = (bool, int, float, complex)


def constant(array: np.ndarray) -> Tensor:
    """Return a tensor that owns `array`; while tracing, a constant of the graph."""
    interpreter = local.interpreter
    return Tensor(array if interpreter is None else interpreter.constant(array))


def scalar(value: complex, dtype: DType) -> Tensor:
    """Return a 0-d constant tensor.

    Raises:
        DTypeError: the number does not fit the dtype.
    """
    try:
        return constant(np.asarray(value, dtype=dtype.numpy))
    except (OverflowError, TypeError):
        raise DTypeError(
            f"the number {value} does not fit {dtype.name}; convert the tensor with .astype first."
        ) from None


def as_tensor(value: Any, like: Tensor | None = None) -> Tensor:
    """Return `value` as a tensor; a Python number takes the dtype it has beside `like`.

    np.float64 is a Python float, so `x * np.sqrt(2.0)` keeps the dtype of `x`; all other NumPy values keep their own.

    Raises:
        DTypeError: the value is neither a tensor, an array, a number nor a nested list of numbers.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, numbers) and (like is not None or not isinstance(value, np.generic)):
        return scalar(value, scalar_dtype(value, like.dtype) if like is not None else to_dtype(type(value)))
    if isinstance(value, np.ndarray | np.generic):
        return constant(np.array(value, dtype=dtype_of(value.dtype).numpy))
    raise DTypeError(f"expected a tensor or a number; got {type(value).__name__}: convert it with cr.asarray.")


def cast(x: Tensor, dtype: DType) -> Tensor:
    """Return `x` as `dtype`; the same tensor if it has it already."""
    return x if x.dtype is dtype else bind(PRIMITIVES["astype"], x, dtype=dtype)


def pair(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Return both operands as tensors of their common dtype."""
    if isinstance(x1, Tensor):
        if isinstance(x2, Tensor):
            if x1._value.dtype == x2._value.dtype:
                return x1, x2
        else:
            x2 = as_tensor(x2, x1)
    elif isinstance(x2, Tensor):
        x1 = as_tensor(x1, x2)
    else:
        x1, x2 = as_tensor(x1), as_tensor(x2)
    dtype = promote(x1.dtype, x2.dtype)
    return cast(x1, dtype), cast(x2, dtype)


def axis_index(axis: int, ndim: int, name: str) -> int:
    """Return a non-negative axis.

    Raises:
        IndexRangeError: the tensor has no such axis.
    """
    index = operator.index(axis)
    if not -ndim <= index < ndim:
        allowed = f"[{-ndim}, {ndim - 1}]" if ndim else "none: it has no axes"
        raise IndexRangeError(f"{name}: axis {axis} does not exist in a tensor with {ndim} axes; allowed: {allowed}.")
    return index % ndim


def axes_tuple(axis: int | Sequence[int] | None, ndim: int, name: str) -> tuple[int, ...]:
    """Return sorted non-negative axes; None means all.

    Raises:
        IndexRangeError: an axis does not exist.
        ShapeError: an axis is given twice.
    """
    if axis is None:
        return tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(sorted(axis_index(a, ndim, name) for a in given))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: an axis is given twice in {given}.")
    return axes


def shape_tuple(shape: int | Sequence[int], name: str) -> tuple[int, ...]:
    """Return a shape as a tuple of sizes; -1 is left to the caller.

    Raises:
        ShapeError: a size is not an integer.
    """
    try:
        sizes = shape if isinstance(shape, tuple | list) else (shape,)
        return tuple(operator.index(n) for n in sizes)
    except TypeError:
        raise ShapeError(f"{name}: a shape is an integer or a tuple of integers; got {shape!r}.") from None


def check_device(name: str, device: str | None) -> None:
    """Refuse every device but the CPU.

    Raises:
        ValueError: `device` is neither None nor "cpu".
    """
    if device is not None and device != "cpu":
        raise ValueError(f'{name}.device must be None or "cpu"; got {device!r}.')


def sizes_tuple(shape: int | Sequence[int], name: str) -> tuple[int, ...]:
    """Return the shape of a new tensor.

    Raises:
        ShapeError: a size is not an integer, or is negative.
    """
    sizes = shape_tuple(shape, name)
    if any(n < 0 for n in sizes):
        raise ShapeError(f"{name}: sizes must be >= 0; got the shape {sizes}.")
    return sizes

"""Tensors made from a rule: filled with one value, or counted.

The default dtype of filled tensors is float32. While tracing, ranges and filled tensors are emitted as operations, not
as constants, so they take no room in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.context import local
from chainrule.core.dtypes import DType, bool_, complex64, float32, int64, to_dtype
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import IndexMap
from chainrule.core.primitive import Invalid, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast, check_device, constant, scalar, sizes_tuple
from chainrule.ops.shape import broadcast_to, reshape

__all__ = [
    "arange",
    "empty",
    "empty_like",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]

Shape = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- primitives
def _arange_reference(*, start: float, step: float, size: int, dtype: DType) -> np.ndarray:
    if isinstance(start, int) and isinstance(step, int):
        return (start + step * np.arange(size, dtype=np.int64)).astype(dtype.numpy)
    return (start + step * np.arange(size, dtype=np.float64)).astype(dtype.numpy)  # rounded once


def _arange_shape(*, start: float, step: float, size: int, dtype: DType) -> TensorType:
    if dtype is bool_:
        raise DTypeError("arange needs a numeric dtype; got bool.")
    return TensorType((size,), dtype)


def _arange_element(k: Any, i: Any, start: float, step: float, dtype: DType) -> Any:
    if dtype.is_integer:
        return k.cast(k.add(k.mul(i, k.index(int(step))), k.index(int(start))), dtype)
    wide = k.add(k.mul(k.cast(i, "f64"), float(step)), float(start))
    return k.cast(wide, dtype)


arange_p = primitive(
    "arange",
    reference=_arange_reference,
    shape=_arange_shape,
    samples=[
        Sample((), {"start": 0, "step": 1, "size": 5, "dtype": int64}),
        Sample((), {"start": 7, "step": -2, "size": 3, "dtype": int64}),
        Sample((), {"start": 0.5, "step": 0.1, "size": 4, "dtype": float32}),
        Sample((), {"start": 0, "step": 1, "size": 0, "dtype": int64}),
    ],
    invalid=[
        Invalid((), "arange needs a numeric dtype; got bool.", {"start": 0, "step": 1, "size": 2, "dtype": bool_})
    ],
    lower=IndexMap(lambda k, at, *, start, step, size, dtype: _arange_element(k, at[0], start, step, dtype)),
)


# ---------------------------------------------------------------------------------------------------- filled
def full(shape: Shape, fill_value: float | Tensor, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return a tensor filled with one value.

    Args:
        shape: sizes of the axes.
        fill_value: number, or tensor without axes.
        dtype: element type; default that of the value (float32, int64 or bool for a Python number).
        device: None or "cpu".

    Returns:
        Tensor of the given shape.

    Raises:
        ShapeError: a size that is no integer or is negative.
        DTypeError: the value does not fit the dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.full((2,), 7)
        tensor([7, 7], shape=(2,), dtype=int64)
    """
    return _filled("full", shape, fill_value, None if dtype is None else to_dtype(dtype), device)


def zeros(shape: Shape, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return a tensor of zeros.

    Args:
        shape: sizes of the axes.
        dtype: element type; default float32.
        device: None or "cpu".

    Returns:
        Tensor of the given shape.

    Raises:
        ShapeError: a size that is no integer or is negative.

    Example:
        >>> import chainrule as cr
        >>> cr.zeros(3)
        tensor([0., 0., 0.], shape=(3,), dtype=float32)
    """
    return _filled("zeros", shape, 0, float32 if dtype is None else to_dtype(dtype), device)


def ones(shape: Shape, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return a tensor of ones.

    Args:
        shape: sizes of the axes.
        dtype: element type; default float32.
        device: None or "cpu".

    Returns:
        Tensor of the given shape.

    Raises:
        ShapeError: a size that is no integer or is negative.

    Example:
        >>> import chainrule as cr
        >>> cr.ones((1, 2))
        tensor([[1., 1.]], shape=(1, 2), dtype=float32)
    """
    return _filled("ones", shape, 1, float32 if dtype is None else to_dtype(dtype), device)


def empty(shape: Shape, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return a tensor to be assigned later; it holds zeros, so that no run depends on what memory held before.

    Args:
        shape: sizes of the axes.
        dtype: element type; default float32.
        device: None or "cpu".

    Returns:
        Tensor of the given shape.

    Raises:
        ShapeError: a size that is no integer or is negative.

    Example:
        >>> import chainrule as cr
        >>> cr.empty(2).shape
        (2,)
    """
    return _filled("empty", shape, 0, float32 if dtype is None else to_dtype(dtype), device)


def full_like(x: Tensor, /, fill_value: float | Tensor, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return a tensor of the shape of x, filled with one value.

    Args:
        x: tensor whose shape and dtype count.
        fill_value: number, or tensor without axes.
        dtype: element type; default that of x.
        device: None or "cpu".

    Returns:
        Tensor of the shape of x.

    Raises:
        DTypeError: the value does not fit the dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.full_like(cr.arange(2), 5)
        tensor([5, 5], shape=(2,), dtype=int64)
    """
    return full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype, device=device)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return zeros in the shape of x.

    Args:
        x: tensor whose shape and dtype count.
        dtype: element type; default that of x.
        device: None or "cpu".

    Returns:
        Tensor of the shape of x.

    Example:
        >>> import chainrule as cr
        >>> cr.zeros_like(cr.arange(2))
        tensor([0, 0], shape=(2,), dtype=int64)
    """
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return ones in the shape of x.

    Args:
        x: tensor whose shape and dtype count.
        dtype: element type; default that of x.
        device: None or "cpu".

    Returns:
        Tensor of the shape of x.

    Example:
        >>> import chainrule as cr
        >>> cr.ones_like(cr.zeros(2))
        tensor([1., 1.], shape=(2,), dtype=float32)
    """
    return full_like(x, 1, dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return a tensor of the shape of x to be assigned later; it holds zeros.

    Args:
        x: tensor whose shape and dtype count.
        dtype: element type; default that of x.
        device: None or "cpu".

    Returns:
        Tensor of the shape of x.

    Example:
        >>> import chainrule as cr
        >>> cr.empty_like(cr.zeros((2, 3))).shape
        (2, 3)
    """
    return zeros_like(x, dtype=dtype, device=device)


def _filled(name: str, shape: Shape, fill_value: float | Tensor, dtype: DType | None, device: str | None) -> Tensor:
    check_device(name, device)
    sizes = sizes_tuple(shape, name)
    if isinstance(fill_value, Tensor):
        return broadcast_to(fill_value if dtype is None else cast(fill_value, dtype), sizes)
    target = as_tensor(fill_value).dtype if dtype is None else dtype
    if local.interpreter is not None:
        return broadcast_to(scalar(fill_value, target), sizes)
    try:
        return Tensor(np.full(sizes, np.asarray(fill_value, target.numpy)))
    except (OverflowError, TypeError):
        raise DTypeError(f"{name}: the number {fill_value} does not fit {target.name}.") from None


# ---------------------------------------------------------------------------------------------------- counted
def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: str | None = None,
) -> Tensor:
    """Return evenly spaced numbers: start, start + step, ... up to stop, without it.

        y[i] = start + i step,   i < (stop - start) / step

    Args:
        start: first number; the stop if it is the only one given, and then the first is 0.
        stop: the end, not included.
        step: distance, not 0; default 1.
        dtype: element type; default int64, or float32 if one of the numbers is a float.
        device: None or "cpu".

    Returns:
        Tensor [n].

    Raises:
        ValueError: a step of 0, or an unknown device.
        DTypeError: the dtype is bool.

    Example:
        >>> import chainrule as cr
        >>> cr.arange(3)
        tensor([0, 1, 2], shape=(3,), dtype=int64)
    """
    check_device("arange", device)
    start, stop = (0, start) if stop is None else (start, stop)
    start, stop, step = (_number("arange", n) for n in (start, stop, step))
    if step == 0:
        raise ValueError("arange.step must be a number other than 0; got 0.")
    whole = all(isinstance(n, int) for n in (start, stop, step))
    size = max(0, -((start - stop) // step) if whole else math.ceil((stop - start) / step))
    target = (int64 if whole else float32) if dtype is None else to_dtype(dtype)
    return bind(arange_p, start=start, step=step, size=size, dtype=target)


def linspace(
    start: complex,
    stop: complex,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Tensor:
    """Return `num` evenly spaced numbers from start to stop.

    Args:
        start: first number.
        stop: last number, or the one after the last.
        num: how many, >= 0.
        dtype: float type; default float32, or complex64 if an end is a complex number.
        device: None or "cpu".
        endpoint: whether stop is the last number; default True.

    Returns:
        Tensor [num].

    Raises:
        ValueError: a negative `num`, or an unknown device.

    Example:
        >>> import chainrule as cr
        >>> cr.linspace(0, 1, 5)
        tensor([0.  , 0.25, 0.5 , 0.75, 1.  ], shape=(5,), dtype=float32)
    """
    check_device("linspace", device)
    if num < 0:
        raise ValueError(f"linspace.num must be an int >= 0; got {num}.")
    ends = [n if isinstance(n, complex) else _number("linspace", n) for n in (start, stop)]
    natural = complex64 if any(isinstance(n, complex) for n in ends) else float32
    target = natural if dtype is None else to_dtype(dtype)
    values = np.linspace(ends[0], ends[1], num, endpoint=endpoint)
    return constant(values.astype(target.numpy))


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Return coordinate tensors: each vector repeated along the axes of all the others.

    Args:
        *arrays: vectors of one dtype.
        indexing: "xy" puts the second vector on axis 0 (pictures), "ij" the first (matrices); default "xy".

    Returns:
        List of tensors, one per vector, all of one shape.

    Raises:
        ShapeError: an argument that is no vector.
        ValueError: an unknown `indexing`.

    Example:
        >>> import chainrule as cr
        >>> [t.shape for t in cr.meshgrid(cr.arange(3), cr.arange(2))]
        [(2, 3), (2, 3)]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid.indexing must be "xy" or "ij"; got {indexing!r}.')
    vectors = [as_tensor(x) for x in arrays]
    for x in vectors:
        if x.ndim != 1:
            raise ShapeError(f"meshgrid takes vectors; got the shape {x.shape}.")
    order = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        order[:2] = 1, 0
    shape = tuple(vectors[i].shape[0] for i in order)
    places = [order.index(i) for i in range(len(vectors))]  # the axis of each vector
    return [
        broadcast_to(reshape(x, tuple(-1 if axis == place else 1 for axis in range(len(shape)))), shape)
        for x, place in zip(vectors, places)
    ]


def _number(name: str, value: Any) -> int | float:
    """Return a Python number; a tensor gives its value."""
    if not isinstance(value, int | float):
        try:
            value = value.item()  # a tensor or NumPy number
        except AttributeError:
            raise TypeError(f"{name} takes numbers; got {value!r} of type {type(value).__name__}.") from None
    return int(value) if isinstance(value, int) else float(value)

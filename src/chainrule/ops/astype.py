"""Conversion between dtypes: the one place that says what happens to values that do not fit.

The result never depends on the machine: NumPy leaves a float outside an integer's range to the processor, here it
saturates, as LLVM's fptosi.sat does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import (
    DType,
    bfloat16,
    bool_,
    complex64,
    complex128,
    dtype_of,
    float32,
    float64,
    int8,
    int32,
    int64,
    to_dtype,
    uint8,
    uint64,
)
from chainrule.core.errors import DTypeError
from chainrule.core.primitive import Invalid, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast, check_device
from chainrule.ops._rules import elementwise_flops
from chainrule.ops.complex_parts import real

__all__ = ["astype"]


def _astype(x: np.ndarray, *, dtype: DType) -> np.ndarray:
    """Convert; floats outside an integer type saturate, NaN becomes 0."""
    if not (dtype.is_integer and dtype_of(x.dtype).is_float):
        return x.astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    wide = x.astype(np.float64)
    low, high = wide < limits.min, wide >= 2.0 ** (dtype.itemsize * 8 - (dtype.kind == "int"))
    inside = np.where(low | high | np.isnan(wide), 0.0, wide).astype(dtype.numpy)
    return np.where(low, dtype.numpy.type(limits.min), np.where(high, dtype.numpy.type(limits.max), inside))


def _astype_shape(x: TensorType, *, dtype: DType) -> TensorType:
    if x.dtype.is_complex and not dtype.is_complex and dtype is not bool_:
        raise DTypeError(
            f"astype: {x.dtype.name} does not become {dtype.name} by itself; use cr.real, cr.imag or cr.abs first."
        )
    return TensorType(x.shape, dtype)


_floats = np.array([-np.inf, -1e30, -300.0, -1.5, -0.0, 0.5, 1.5, 255.9, 2.0**31, 2.0**63, 1e30, np.inf, np.nan])
_ints = np.array([-(2**63), -(2**31), -129, -1, 0, 1, 255, 2**31, 2**63 - 1])

astype_p = primitive(
    "astype",
    reference=_astype,
    shape=_astype_shape,
    linear=(0,),
    transpose=lambda g, x_dtype: cast(g if x_dtype.is_complex else real(g), x_dtype),
    elementwise=True,
    lower=lambda k, x, *, dtype: k.cast(x, dtype),
    flops=elementwise_flops(1),
    samples=[
        *[Sample((shape,), {"dtype": float64}) for shape in ((), (3,), (2, 3), (1,), (0, 3))],
        *[Sample(((2, 3),), {"dtype": dtype}, smooth=False) for dtype in (float32, bfloat16, int64, uint8, bool_)],
        *[Sample((_floats,), {"dtype": dtype}, smooth=False) for dtype in (int8, int32, int64, uint8, uint64, bool_)],
        *[
            Sample((_ints,), {"dtype": dtype}, smooth=False)
            for dtype in (int8, int64, uint64, float32, bfloat16, bool_)
        ],
        Sample((np.array([True, False]),), {"dtype": float32}, smooth=False),
        Sample((np.array([True, False]),), {"dtype": int32}, smooth=False),
        Sample(((2, 3),), {"dtype": complex128}),
        Sample((np.array([1 + 2j, 0j]),), {"dtype": complex64}, smooth=False),
        Sample((np.array([1 + 2j, 0j, 1j]),), {"dtype": bool_}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.ones(2, complex),),
            "astype: complex128 does not become float32 by itself; use cr.real, cr.imag or cr.abs first.",
            {"dtype": float32},
        )
    ],
)


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: str | None = None) -> Tensor:
    """Return x with its elements converted to another dtype.

    Floats lose their fraction on the way to an integer; beyond its range they give its smallest or largest value, and
    NaN gives 0. Integers wrap around into narrower ones. A bool is whether the element is not 0. The gradient is
    converted back (a real x gets the real part); it is cut where an integer lies between.

    Args:
        x: tensor of any shape and dtype.
        dtype: a dtype like cr.float32, its name, a NumPy dtype, or Python's float, int or bool.
        copy: False returns x itself where it has the dtype already; default True, always a new tensor.
        device: None or "cpu".

    Returns:
        Tensor of the same shape and the given dtype.

    Raises:
        DTypeError: no dtype of that name, or a complex tensor to a real dtype.
        ValueError: an unknown device.

    Example:
        >>> import chainrule as cr
        >>> cr.astype(cr.asarray([-1.5, 2.5, 1e20]), cr.int32)
        tensor([        -1,          2, 2147483647], shape=(3,), dtype=int32)
    """
    check_device("astype", device)
    x, dtype = as_tensor(x), to_dtype(dtype)
    return bind(astype_p, x, dtype=dtype) if copy else cast(x, dtype)

"""The dtypes of tensors, how two of them mix, and what a Python number becomes.

Promotion follows the Array API standard within a kind and from real to complex; beyond it, bool gives way to any number
and an integer with a float gives the float's dtype. Python scalars are weak: they take the tensor's dtype, a complex
one the complex dtype of its precision. Defaults are float32, int64 and complex64.
"""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np

from chainrule.core.errors import DTypeError, nearest

__all__ = [
    "DType",
    "bfloat16",
    "bool_",
    "complex128",
    "complex64",
    "complex_dtype",
    "dtype_of",
    "float32",
    "float64",
    "int16",
    "int32",
    "int64",
    "int8",
    "promote",
    "real_dtype",
    "result_dtype",
    "scalar_dtype",
    "to_dtype",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
]


class DType:
    """The type of a tensor's elements; there is one object per type, so `is` and `==` agree.

    Args:
        name: the name users write, like "float32".
        short: the name in printed graphs and messages of the compiler, like "f32".
        kind: "float", "complex", "int", "uint" or "bool".
        scalar: the NumPy scalar type.

    Example:
        >>> import chainrule as cr
        >>> cr.float32.itemsize, cr.float32.kind
        (4, 'float')
    """

    __slots__ = ("itemsize", "kind", "name", "numpy", "short")

    def __init__(self, name: str, short: str, kind: str, scalar: Any):
        self.name, self.short, self.kind = name, short, kind
        self.numpy = np.dtype(scalar)
        self.itemsize = self.numpy.itemsize

    def __repr__(self) -> str:
        return f"chainrule.{self.name}"

    def __reduce__(self) -> tuple:
        return to_dtype, (self.name,)

    @property
    def is_float(self) -> bool:
        """Whether this is a real floating-point type."""
        return self.kind == "float"

    @property
    def is_complex(self) -> bool:
        """Whether this is a complex floating-point type."""
        return self.kind == "complex"

    @property
    def is_inexact(self) -> bool:
        """Whether this is a real or complex floating-point type: whether gradients exist for it."""
        return self.kind in ("float", "complex")

    @property
    def is_integer(self) -> bool:
        """Whether this is a signed or unsigned integer type (bool is not)."""
        return self.kind in ("int", "uint")


float64 = DType("float64", "f64", "float", np.float64)
float32 = DType("float32", "f32", "float", np.float32)
bfloat16 = DType("bfloat16", "bf16", "float", ml_dtypes.bfloat16)
complex64 = DType("complex64", "c64", "complex", np.complex64)
complex128 = DType("complex128", "c128", "complex", np.complex128)
int8 = DType("int8", "i8", "int", np.int8)
int16 = DType("int16", "i16", "int", np.int16)
int32 = DType("int32", "i32", "int", np.int32)
int64 = DType("int64", "i64", "int", np.int64)
uint8 = DType("uint8", "u8", "uint", np.uint8)
uint16 = DType("uint16", "u16", "uint", np.uint16)
uint32 = DType("uint32", "u32", "uint", np.uint32)
uint64 = DType("uint64", "u64", "uint", np.uint64)
bool_ = DType("bool", "bool", "bool", np.bool_)

ALL = (
    *(float64, float32, bfloat16, complex64, complex128),
    *(int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool_),
)
_BY_NAME = {dtype.name: dtype for dtype in ALL}
_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL}
_PYTHON = {float: float32, int: int64, bool: bool_, complex: complex64}


def dtype_of(numpy_dtype: np.dtype) -> DType:
    """Return the DType of a NumPy dtype.

    Raises:
        DTypeError: no tensor has this dtype (objects, strings, dates, float16).
    """
    try:
        return _BY_NUMPY[numpy_dtype]
    except KeyError:
        native = _BY_NUMPY.get(numpy_dtype.newbyteorder("=")) if numpy_dtype.kind in "fciub" else None
        if native is not None:
            return native
        raise DTypeError(f"no tensor has the dtype {numpy_dtype}; the dtypes are {', '.join(_BY_NAME)}.") from None


def to_dtype(dtype: Any) -> DType:
    """Return the DType for a DType, its name, a NumPy dtype, or Python's float, complex, int or bool.

    Raises:
        DTypeError: unknown name or type; the message lists the dtypes.

    Example:
        >>> to_dtype("float32"), to_dtype(int)
        (chainrule.float32, chainrule.int64)
    """
    if isinstance(dtype, DType):
        return dtype
    if isinstance(dtype, str):
        if dtype not in _BY_NAME:
            close = nearest(dtype, _BY_NAME)
            listed = f" The dtypes are {', '.join(_BY_NAME)}." if close else f"; the dtypes are {', '.join(_BY_NAME)}."
            raise DTypeError(f"no dtype is named {dtype!r}{close}{listed}")
        return _BY_NAME[dtype]
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _PYTHON[dtype]
    try:
        numpy_dtype = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"{dtype!r} is not a dtype; the dtypes are {', '.join(_BY_NAME)}.") from None
    return dtype_of(numpy_dtype)


_RANK = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}


def complex_dtype(dtype: DType) -> DType:
    """Return the complex dtype with the precision of a float; complex64 for all else below float64.

    Example:
        >>> complex_dtype(float64), complex_dtype(int8)
        (chainrule.complex128, chainrule.complex64)
    """
    return complex128 if dtype in (float64, complex128) else complex64


def real_dtype(dtype: DType) -> DType:
    """Return the dtype of the real and imaginary parts; a real dtype itself.

    Example:
        >>> real_dtype(complex64), real_dtype(int8)
        (chainrule.float32, chainrule.int8)
    """
    return (float64 if dtype is complex128 else float32) if dtype.is_complex else dtype


@functools.cache
def promote(left: DType, right: DType) -> DType:
    """Return the dtype of an operation on `left` and `right`.

    Args:
        left: a dtype.
        right: a dtype.

    Returns:
        The dtype that both are converted to.

    Raises:
        DTypeError: uint64 with a signed integer: no integer type holds both.

    Example:
        >>> promote(int32, float32), promote(uint8, int8)
        (chainrule.float32, chainrule.int16)
    """
    if left is right:
        return left
    if left.is_complex or right.is_complex:
        return complex128 if complex128 in (complex_dtype(left), complex_dtype(right)) else complex64
    if _RANK[left.kind] != _RANK[right.kind]:
        return left if _RANK[left.kind] > _RANK[right.kind] else right
    if left.kind == right.kind:
        return left if left.itemsize > right.itemsize else right
    signed, unsigned = (left, right) if left.kind == "int" else (right, left)
    if signed.itemsize > unsigned.itemsize:
        return signed
    if unsigned.itemsize == 8:
        raise DTypeError(
            f"{left.name} and {right.name} have no common integer type; "
            "convert one with .astype, say .astype(cr.int64)."
        )
    return _BY_NAME[f"int{16 * unsigned.itemsize}"]


def scalar_dtype(value: complex, other: DType) -> DType:
    """Return the dtype that the weak Python scalar `value` takes beside a tensor of dtype `other`."""
    if isinstance(value, bool):
        return other if other.kind != "bool" else bool_
    if isinstance(value, int):
        return int64 if other.kind == "bool" else other
    if isinstance(value, complex):
        return complex_dtype(other)
    return other if other.is_inexact else float32


def result_dtype(*items: Any) -> DType:
    """Return the common dtype of tensors, dtypes and weak Python scalars.

    Raises:
        DTypeError: no argument has a dtype, or two do not mix.
    """
    strong = [
        item if isinstance(item, DType) else item.dtype
        for item in items
        if not isinstance(item, bool | int | float | complex)
    ]
    weak = [item for item in items if isinstance(item, bool | int | float | complex)]
    if not strong:
        kinds = [_PYTHON[type(item)] for item in weak]
        return functools.reduce(promote, kinds)
    dtype = functools.reduce(promote, strong)
    for item in weak:
        dtype = scalar_dtype(item, dtype)
    return dtype

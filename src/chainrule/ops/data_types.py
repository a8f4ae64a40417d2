"""Questions about dtypes: limits, kinds, casts, and the common dtype of several arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from chainrule.core.dtypes import DType, promote, real_dtype, result_dtype, to_dtype
from chainrule.core.errors import DTypeError
from chainrule.core.tensor import Tensor

__all__ = ["can_cast", "finfo", "iinfo", "isdtype", "result_type"]

KINDS: dict[str, tuple[str, ...]] = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": ("complex",),
    "numeric": ("int", "uint", "float", "complex"),
}


@dataclass(frozen=True)
class FloatInfo:
    """Limits of a float dtype: bits, eps (1 to the next number), max, min, smallest_normal, dtype."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IntegerInfo:
    """Limits of an integer dtype: bits, max, min, dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def _dtype(x: Any) -> DType:
    return x.dtype if isinstance(x, Tensor) else to_dtype(x)


def finfo(type: Any, /) -> FloatInfo:
    """Return the limits of a float dtype, or of the parts of a complex one.

    Args:
        type: float or complex dtype, or a tensor of one.

    Returns:
        Object with bits, eps, max, min, smallest_normal and dtype.

    Raises:
        DTypeError: the dtype is no float.

    Example:
        >>> import chainrule as cr
        >>> cr.finfo(cr.float32).eps
        1.1920928955078125e-07
    """
    dtype = real_dtype(_dtype(type))
    if not dtype.is_float:
        raise DTypeError(f"finfo needs a float dtype; got {dtype.name}: use iinfo for integers.")
    found = ml_dtypes.finfo(dtype.numpy)
    eps, high, low, tiny = (float(n) for n in (found.eps, found.max, found.min, found.smallest_normal))
    return FloatInfo(found.bits, eps, high, low, tiny, dtype)


def iinfo(type: Any, /) -> IntegerInfo:
    """Return the limits of an integer dtype.

    Args:
        type: integer dtype, or a tensor of one.

    Returns:
        Object with bits, max, min and dtype.

    Raises:
        DTypeError: the dtype is no integer.

    Example:
        >>> import chainrule as cr
        >>> cr.iinfo(cr.int8).max
        127
    """
    dtype = _dtype(type)
    if not dtype.is_integer:
        raise DTypeError(f"iinfo needs an integer dtype; got {dtype.name}: use finfo for floats.")
    found = np.iinfo(dtype.numpy)
    return IntegerInfo(found.bits, int(found.max), int(found.min), dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Return whether a dtype is of a kind.

    Args:
        dtype: a dtype.
        kind: a dtype; or "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating",
            "numeric"; or a tuple of these, of which one must fit.

    Returns:
        True or False.

    Raises:
        ValueError: an unknown kind.

    Example:
        >>> import chainrule as cr
        >>> cr.isdtype(cr.int8, "integral"), cr.isdtype(cr.float32, (cr.float64, "bool"))
        (True, False)
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    if isinstance(kind, str) and kind not in KINDS:
        raise ValueError(f"isdtype.kind must be a dtype or one of {', '.join(map(repr, KINDS))}; got {kind!r}.")
    given = to_dtype(dtype)
    return given.kind in KINDS[kind] if isinstance(kind, str) else given is to_dtype(kind)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Return whether promotion with a dtype gives that dtype: whether a value goes there by itself.

    Args:
        from_: dtype, or a tensor of it.
        to: dtype.

    Returns:
        True or False.

    Example:
        >>> import chainrule as cr
        >>> cr.can_cast(cr.int8, cr.int32), cr.can_cast(cr.float64, cr.float32)
        (True, False)
    """
    target = to_dtype(to)
    try:
        return promote(_dtype(from_), target) is target
    except DTypeError:
        return False


def result_type(*arrays_and_dtypes: Any) -> DType:
    """Return the dtype of an operation on several arguments; Python numbers are weak.

    Args:
        *arrays_and_dtypes: tensors, dtypes and numbers.

    Returns:
        The common dtype; of numbers alone the default dtype.

    Raises:
        DTypeError: uint64 with a signed integer, or an argument that has no dtype.
        ValueError: no argument.

    Example:
        >>> import chainrule as cr
        >>> cr.result_type(cr.int8, cr.ones(2), 3.5)
        chainrule.float32
    """
    if not arrays_and_dtypes:
        raise ValueError("result_type needs at least one tensor, dtype or number.")
    numbers = (bool, int, float, complex)
    return result_dtype(
        *(x if isinstance(x, numbers) and not isinstance(x, np.generic) else _dtype(x) for x in arrays_and_dtypes)
    )

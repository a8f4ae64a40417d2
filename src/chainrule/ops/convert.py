"""Data from outside made into tensors: numbers, nested lists, NumPy arrays, DLPack and the buffer protocol.

What Python numbers become is decided here: a float float32, an int int64, a bool bool, alone or in nested lists. Arrays
keep their dtype. `asarray` copies unless `copy=False`, so a tensor never changes behind its owner's back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import DType, bool_, complex64, dtype_of, float32, int64, promote, to_dtype
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.primitive import PRIMITIVES
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast, check_device, constant, numbers
from chainrule.ops.join import stack

__all__ = ["asarray", "from_dlpack"]


def asarray(obj: Any, /, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Tensor:
    """Return a tensor with the data of `obj`.

    Args:
        obj: number, nested lists of numbers or tensors, tensor, NumPy array, or an object with DLPack or a buffer.
        dtype: element type; default that of an array, else float32 for floats, complex64 for complex numbers, int64
            for ints, bool for bools.
        device: None or "cpu".
        copy: False shares the array's memory and fails where that is impossible; default: NumPy data is copied.

    Returns:
        Tensor of the shape of `obj`; one made of tensors is differentiable in them.

    Raises:
        ShapeError: nested lists of unequal lengths.
        DTypeError: elements that are no numbers, or an int that does not fit.
        ValueError: `copy=False` where a copy is needed, or an unknown device.

    Example:
        >>> import chainrule as cr
        >>> cr.asarray([[1.0, 2.0], [3.0, 4.0]])
        tensor([[1., 2.],
                [3., 4.]], shape=(2, 2), dtype=float32)
    """
    check_device("asarray", device)
    wanted = None if dtype is None else to_dtype(dtype)
    if isinstance(obj, Tensor):
        if copy is False:
            if wanted not in (None, obj.dtype):
                raise ValueError(_no_copy(f"{obj.dtype.name} to {wanted.name}"))
            return obj
        return bind(PRIMITIVES["astype"], obj, dtype=wanted or obj.dtype)  # a new cell
    if isinstance(obj, list | tuple) and _holds_tensor(obj):
        parts = [asarray(item, dtype=dtype) for item in obj]
        return stack([cast(part, wanted or _common(parts)) for part in parts])
    array, exact = _to_numpy(obj)
    if not exact and wanted is not None and wanted.is_integer and array.dtype.kind in "ufO" and _all_ints(obj):
        array = _large_ints(obj, wanted)
    target = (wanted or (dtype_of(array.dtype) if exact else _default_dtype(array, obj))).numpy
    if copy is False and (not exact or array.dtype != target):
        raise ValueError(_no_copy(f"{type(obj).__name__} data" if not exact else f"{array.dtype} to {target}"))
    return constant(_convert(array, target, copy=copy is not False))


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """Return a tensor over the memory of another library's array.

    Args:
        x: object with `__dlpack__` and `__dlpack_device__`, on the CPU.
        device: None or "cpu".
        copy: True copies; default and False share the memory, which must then not be written to.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: an element type that no tensor has.
        ValueError: an unknown device.

    Example:
        >>> import chainrule as cr
        >>> import numpy as np
        >>> cr.from_dlpack(np.arange(3))
        tensor([0, 1, 2], shape=(3,), dtype=int64)
    """
    check_device("from_dlpack", device)
    if isinstance(x, Tensor):
        return asarray(x, copy=copy)
    array = np.from_dlpack(x)
    dtype_of(array.dtype)
    return constant(array.copy() if copy else array)


def _to_numpy(obj: Any) -> tuple[np.ndarray, bool]:
    """Return the data as an array, and whether its dtype was stated (an array's) or is Python's."""
    if isinstance(obj, np.ndarray | np.generic):
        return np.asarray(obj), True
    if isinstance(obj, numbers):
        return np.asarray(obj), False
    if isinstance(obj, range):
        return np.asarray(obj, np.int64), False
    if isinstance(obj, list | tuple):
        return _nested(obj), any(isinstance(leaf, np.ndarray | np.generic) for leaf in _leaves(obj))
    for protocol, convert in (("__array__", np.asarray), ("__dlpack__", np.from_dlpack)):
        if hasattr(obj, protocol):
            return convert(obj), True
    try:
        return np.asarray(memoryview(obj)), True
    except TypeError:
        raise DTypeError(
            f"asarray: expected numbers, nested lists of numbers, or an array; got {type(obj).__name__}."
        ) from None


def _nested(obj: list | tuple) -> np.ndarray:
    try:
        return np.array(obj)
    except ValueError:
        lengths = _ragged(obj)
        if lengths is None:
            raise
        raise ShapeError(
            f"asarray: the nested lists are ragged: at depth {lengths[0]} some have {lengths[1]} elements "
            f"and some {lengths[2]}; pad them to one length."
        ) from None


def _ragged(obj: Sequence, depth: int = 1) -> tuple[int, Any, Any] | None:
    """Return the first depth at which lengths differ, and two different lengths ("no" for a number)."""
    level: list[Any] = list(obj)
    while level:
        sizes = [np.shape(item)[0] if isinstance(item, np.ndarray) and item.ndim else
                 len(item) if isinstance(item, list | tuple) else "no" for item in level]  # fmt: skip
        other = next((n for n in sizes if n != sizes[0]), None)
        if other is not None:
            return depth, sizes[0], other
        if sizes[0] == "no":
            return None
        level, depth = [part for item in level for part in item], depth + 1
    return None


def _leaves(obj: Sequence) -> Iterator[Any]:
    """Yield what nested lists hold; of a long list of Python numbers that is all of them."""
    for item in obj:
        if isinstance(item, list | tuple):
            yield from _leaves(item)
        else:
            yield item


def _holds_tensor(obj: Sequence) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in _leaves(obj))


def _common(parts: Sequence[Tensor]) -> DType:
    dtype = parts[0].dtype
    for part in parts[1:]:
        dtype = promote(dtype, part.dtype)
    return dtype


def _all_ints(obj: Any) -> bool:
    """Return whether nested lists hold only ints; NumPy makes floats of them where they need more than 64 bits."""
    return all(isinstance(leaf, int) for leaf in _leaves(obj if isinstance(obj, list | tuple) else (obj,)))


def _large_ints(obj: Any, dtype: DType) -> np.ndarray:
    try:
        return np.array(obj, dtype=dtype.numpy)
    except OverflowError:
        raise DTypeError(f"asarray: an int does not fit {dtype.name}; give a wider dtype, or use floats.") from None


def _default_dtype(array: np.ndarray, obj: Any) -> DType:
    """Return the dtype that Python numbers take."""
    if array.size and array.dtype.kind in "ufO" and _all_ints(obj):
        raise DTypeError("asarray: an int outside [-2**63, 2**63 - 1] does not fit int64; give dtype= or use floats.")
    if array.dtype.kind == "u" or array.dtype.kind == "O":
        odd = next(item for item in array.ravel().tolist() if not isinstance(item, numbers))
        raise DTypeError(f"asarray: expected numbers; got {odd!r} of type {type(odd).__name__}.")
    if array.dtype.kind not in "bifc":
        odd = array.ravel()[0].item()
        raise DTypeError(f"asarray: expected numbers; got {odd!r} of type {type(odd).__name__}.")
    return {"b": bool_, "i": int64, "f": float32, "c": complex64}[array.dtype.kind]


def _convert(array: np.ndarray, target: np.dtype, *, copy: bool) -> np.ndarray:
    if array.dtype == target:
        return array.copy() if copy else array
    with np.errstate(all="ignore"):
        return array.astype(target)


def _no_copy(what: str) -> str:
    return f"asarray: copy=False can't convert {what}; leave copy out."

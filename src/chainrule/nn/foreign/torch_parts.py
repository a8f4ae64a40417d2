"""What a PyTorch file may ask for: functions of ours under PyTorch's names, which check their arguments first.

They make no tensor yet, but say where its numbers lie: `Placed` is a window (offset, shape, strides) onto a `Storage`.
So what is not wanted is never read, and a window that reaches out of its storage is refused before anything is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from chainrule.nn.foreign.limits import MOST_AXES, Allowance, Refused, possible
from chainrule.nn.foreign.pickles import Known, shown

__all__ = ["GLOBALS", "Placed", "Storage", "storage_behind", "values"]

_DTYPES: dict[str, Any] = {  # PyTorch's name -> NumPy's; float16 becomes float32 when it is read
    "float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
    "int64": np.int64, "int32": np.int32, "int16": np.int16, "int8": np.int8, "uint8": np.uint8, "bool": np.bool_,
    "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64, "complex64": np.complex64,
    "complex128": np.complex128,
}  # fmt: skip
_UNKNOWN_DTYPES = (
    *("complex32", "quint8", "qint8", "qint32", "quint4x2", "quint2x4", "float8_e5m2", "float8_e4m3fn"),
    *("float8_e5m2fnuz", "float8_e4m3fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2"),
)
_STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}  # fmt: skip
_OTHER_TENSORS = {
    "_rebuild_sparse_tensor": ("a sparse tensor", "x.to_dense()"),
    "_rebuild_sparse_csr_tensor": ("a sparse tensor", "x.to_dense()"),
    "_rebuild_nested_tensor": ("a nested tensor", "x.to_padded_tensor(0.0)"),
    "_rebuild_qtensor": ("a quantised tensor", "x.dequantize()"),
    "_rebuild_meta_tensor_no_storage": ("a tensor without values (device meta)", "the model on a real device"),
}


@dataclass(frozen=True)
class Storage:
    """A row of numbers in the file.

    Args:
        key: its name in the file.
        dtype: PyTorch's name of the numbers' type; None: bytes.
        count: how many numbers (or bytes).
    """

    key: str
    dtype: str | None
    count: int

    @property
    def nbytes(self) -> int:
        """Its length in bytes."""
        return self.count * (np.dtype(_DTYPES[self.dtype]).itemsize if self.dtype else 1)


@dataclass(frozen=True)
class Placed:
    """A tensor that is still in the file.

    Args:
        storage: where its numbers lie.
        dtype: PyTorch's name of their type.
        offset: of the first element, in elements.
        shape: of the tensor.
        strides: elements from one index to the next, per axis.
        flags: "conj" and "neg", where the values have still to be conjugated or negated.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    flags: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ arguments
def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _wholes(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) <= MOST_AXES and all(map(_whole, value))


def storage_behind(name: Any) -> Storage:
    """Return the storage of a persistent id: ("storage", type, key, device, count), in the old format with a view.

    Args:
        name: the persistent id.

    Raises:
        Refused: anything else.
    """
    parts = name if isinstance(name, tuple) and len(name) in (5, 6) else (None,) * 5
    kind, type_, key, _, count = parts[:5]
    right = kind == "storage" and isinstance(type_, Known) and isinstance(type_.value, tuple) and isinstance(key, str)
    if not (right and _whole(count)):
        raise Refused("is damaged: it refers to something that is no storage")
    if parts[5:] not in ((), (None,)):
        raise Refused("has a storage that is a part of another: save it again with PyTorch 0.4 or later")
    return Storage(key, _readable(type_.value[1]) if type_.value[1] else None, count)


def _readable(dtype: str) -> str:
    if dtype not in _DTYPES:
        raise Refused(f"holds numbers of type torch.{dtype}, which no tensor here has: convert them with PyTorch")
    return dtype


def _tensor(arguments: tuple) -> Placed:
    """_rebuild_tensor_v2(storage, offset, size, strides, requires_grad, hooks[, metadata])."""
    if len(arguments) not in (6, 7) or not isinstance(arguments[0], Storage) or arguments[0].dtype is None:
        raise Refused("is damaged: _rebuild_tensor_v2 is asked for with arguments that describe no tensor")
    metadata = arguments[6] if len(arguments) == 7 else {}
    return _placed(arguments[0], arguments[0].count, arguments[0].dtype, arguments[1:4], metadata)


def _old_tensor(arguments: tuple) -> Placed:
    """_rebuild_tensor(storage, offset, size, strides)."""
    return _tensor((*arguments, False, None))


def _typed_tensor(arguments: tuple) -> Placed:
    """_rebuild_tensor_v3(bytes, offset, size, strides, requires_grad, hooks, dtype[, metadata])."""
    right = len(arguments) in (7, 8) and isinstance(arguments[0], Storage) and isinstance(arguments[6], Known)
    if not right or not isinstance(arguments[6].value, str):
        raise Refused("is damaged: _rebuild_tensor_v3 is asked for with arguments that describe no tensor")
    dtype = _readable(arguments[6].value)
    count = arguments[0].nbytes // np.dtype(_DTYPES[dtype]).itemsize
    metadata = arguments[7] if len(arguments) == 8 else {}
    return _placed(arguments[0], count, dtype, arguments[1:4], metadata)


def _placed(storage: Storage, count: int, dtype: str, window: tuple, metadata: Any) -> Placed:
    offset, shape, strides = window
    if not (_whole(offset) and _wholes(shape) and _wholes(strides) and len(shape) == len(strides)):
        raise Refused("is damaged: it has a tensor whose offset, shape or strides are no whole numbers >= 0")
    reach = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1
    if 0 not in shape and reach > count:
        raise Refused(
            f"is damaged: a tensor of shape {tuple(shape)} with strides {tuple(strides)} at offset {offset} reaches "
            f"element {reach} of a storage of {count}"
        )
    if metadata is not None and not (isinstance(metadata, dict) and set(metadata) <= {"conj", "neg"}):
        raise Refused("has a tensor with attributes that are not known here")
    if 0 in shape and not possible(tuple(shape)):  # others are refused by their size
        raise Refused(f"is damaged: it has a tensor of shape {tuple(shape)}")
    flags = tuple(name for name, on in sorted((metadata or {}).items()) if on)
    return Placed(storage, dtype, offset, tuple(shape), tuple(strides), flags)


def _parameter(arguments: tuple) -> Placed:
    """_rebuild_parameter(data, requires_grad, hooks[, state])."""
    if len(arguments) not in (3, 4) or not isinstance(arguments[0], Placed):
        raise Refused("is damaged: _rebuild_parameter is asked for with arguments that describe no tensor")
    return arguments[0]


def _with_attributes(arguments: tuple) -> Any:
    """_rebuild_from_type_v2(function, type, arguments, attributes): the attributes are left out."""
    right = len(arguments) == 4 and isinstance(arguments[0], Known) and isinstance(arguments[2], tuple)
    if not right or arguments[0].make is None or arguments[0].make is _with_attributes:
        raise Refused("is damaged: _rebuild_from_type_v2 is asked for with arguments that describe no tensor")
    return arguments[0].make(arguments[2])


def _dict(arguments: tuple) -> dict:
    """OrderedDict() or OrderedDict([[key, value], ...])."""
    if not arguments:
        return {}
    pairs = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list | tuple) else None
    keys = [pair[0] for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2] if pairs is not None else []
    if pairs is None or len(keys) != len(pairs) or not all(isinstance(key, str | int) for key in keys):
        raise Refused("is damaged: it has an ordered dict that is none")
    return {key: pair[1] for key, pair in zip(keys, pairs, strict=True)}


def _size(arguments: tuple) -> tuple[int, ...]:
    """torch.Size((2, 3))."""
    if len(arguments) != 1 or not _wholes(arguments[0]):
        raise Refused("is damaged: it has a torch.Size that is none")
    return tuple(arguments[0])


def _device(arguments: tuple) -> str:
    """torch.device("cuda", 0): its name; devices do not matter here."""
    return ":".join(shown(part).strip("'") for part in arguments)


def _refusing(what: str, way: str) -> Any:
    def make(_arguments: tuple) -> Any:
        raise Refused(f"holds {what}, which can't be read; with PyTorch, save {way} in its place")

    return make


def _table() -> dict[str, Known]:
    functions = {
        "collections.OrderedDict": _dict,
        "torch.Size": _size,
        "torch.device": _device,
        "torch.serialization._get_layout": _device,  # part of a sparse tensor
        "torch._utils._rebuild_tensor": _old_tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _typed_tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _with_attributes,
        **{f"torch._utils.{name}": _refusing(*words) for name, words in _OTHER_TENSORS.items()},
    }
    constants: dict[str, Any] = {
        "torch.Tensor": None,
        "torch.nn.parameter.Parameter": None,
        "torch.nn.parameter.Buffer": None,
        "torch.storage.UntypedStorage": ("storage", None),
        **{f"torch.{name}Storage": ("storage", dtype) for name, dtype in _STORAGES.items()},
        **{f"torch.{name}Storage": ("storage", name.lower()) for name in ("QUInt8", "QInt8", "QInt32")},
        **{f"torch.{name}": name for name in (*_DTYPES, *_UNKNOWN_DTYPES)},
    }
    table = {name: Known(name, make) for name, make in functions.items()}
    return table | {name: Known(name, value=value) for name, value in constants.items()}


GLOBALS: dict[str, Known] = _table()


# ------------------------------------------------------------------------------------------------ values
def values(placed: Placed, raw: bytes | memoryview, little: bool, allowance: Allowance) -> np.ndarray:
    """Return a tensor's numbers as an array of its own; float16 as float32, which holds them exactly.

    Args:
        placed: the tensor.
        raw: its storage, whole.
        little: whether the file's numbers have their lowest byte first.
        allowance: what the file may still ask for.

    Raises:
        Refused: more memory than the file may ask for.
    """
    dtype = np.dtype(_DTYPES[placed.dtype])
    made = np.dtype(np.float32) if dtype == np.float16 else dtype
    allowance.take(math.prod(placed.shape) * made.itemsize, f"a tensor of shape {placed.shape}")
    if 0 in placed.shape:
        return np.zeros(placed.shape, made)
    row = np.frombuffer(raw, np.uint8, placed.storage.nbytes // dtype.itemsize * dtype.itemsize)
    if not little and dtype.itemsize > 1:
        part = dtype.itemsize // (2 if dtype.kind == "c" else 1)
        row = np.ascontiguousarray(row.reshape(-1, part)[:, ::-1]).reshape(-1)
    numbers = (row != 0) if dtype == np.bool_ else row.view(dtype)
    steps = [stride * dtype.itemsize if n > 1 else 0 for n, stride in zip(placed.shape, placed.strides, strict=True)]
    window = np.lib.stride_tricks.as_strided(numbers[placed.offset :], placed.shape, steps)
    result = window.astype(made, order="C")
    result = np.conj(result) if "conj" in placed.flags else result
    return -result if "neg" in placed.flags else result

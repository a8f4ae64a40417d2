"""Weights on disk: safetensors files, written whole or not at all, and checked when read.

A file holds tensors by name, in the public safetensors format, and in its metadata the SHA-256 of names, types and
data, so that damage is noticed wherever it is. Files of other programs, which have no such sum, are read as they are;
`load` also reads NumPy's, PyTorch's and TensorFlow.js's formats, see `chainrule.nn.foreign`. Nothing is pickled, and
nothing unpickled by Python: a file can't run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.core.dtypes import ALL, DType, bfloat16
from chainrule.core.errors import CheckpointError
from chainrule.core.files import PathLike, atomic_write
from chainrule.core.tensor import Tensor
from chainrule.nn.module import Module

__all__ = ["load", "save"]

_FORMAT_NAMES: dict[str, DType] = {dtype.short.upper(): dtype for dtype in ALL}  # F32, I64, BF16, BOOL, ...
_SUM = "sha256"
_PAIRS = "complex128"


def save(path: PathLike, obj: Module | Mapping[str, Any]) -> None:
    """Write a module's state or a dict of tensors to a safetensors file, or leave the old file as it was.

    Args:
        path: the file; its folder must exist.
        obj: a module, a state dict, or any mapping from names to tensors or NumPy arrays.

    Raises:
        TypeError: a name is no string, or a value no tensor or array.
        FileNotFoundError: the folder does not exist.
        OSError: the disk is full or the folder not writable; the old file is untouched.

    Example:
        >>> import tempfile, pathlib
        >>> import chainrule as cr
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> cr.save(path, cr.nn.Linear(3, 2))
        >>> list(cr.load(path))
        ['weight', 'bias']
    """
    if isinstance(path, Module | Mapping):
        raise TypeError(f"save: the path comes first, then what to save; got {type(path).__name__} as the path.")
    state = obj.state_dict() if isinstance(obj, Module) else obj
    if not isinstance(state, Mapping):
        raise TypeError(f"save takes a module or a mapping of names to tensors; got {type(obj).__name__}.")
    content, folder = encode(state), pathlib.Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"save: there is no folder {folder}; make it first.")
    atomic_write(path, content)


def encode(state: Mapping[str, Any]) -> bytes:
    """Return a safetensors file with these tensors; equal tensors give equal bytes.

    Args:
        state: names -> tensors or NumPy arrays.

    Returns:
        The content of the file, to be read by `decode`.

    Raises:
        TypeError: a name is no string, or a value no tensor or array.

    Example:
        >>> import chainrule as cr
        >>> decode(encode({"a": cr.ones(2)}), "weights")
        {'a': tensor([1., 1.], shape=(2,), dtype=float32)}
    """
    from safetensors.numpy import save as write

    arrays = {name: _array(name, value) for name, value in state.items()}
    metadata = {"framework": "chainrule", "order": json.dumps(list(arrays)), _SUM: _digest(arrays)}
    pairs = [name for name, array in arrays.items() if array.dtype == np.complex128]
    if pairs:  # the format has no complex128: they are written as float64 [..., 2]
        metadata[_PAIRS] = json.dumps(pairs)
        arrays = {name: _as_pairs(array) if name in pairs else array for name, array in arrays.items()}
    return _in_order(write(arrays, metadata=metadata))


def _as_pairs(array: np.ndarray) -> np.ndarray:
    return np.stack([array.real, array.imag], axis=-1)


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with its metadata in alphabetical order; the encoder alone varies from run to run."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data at 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


def _array(name: Any, value: Any) -> np.ndarray:
    if not isinstance(name, str):
        raise TypeError(f"save: names must be strings; got {name!r}.")
    if not isinstance(value, Tensor | np.ndarray):
        nested = isinstance(value, Mapping | list | tuple)  # an optimizer's state, for one
        way = " Nested state is saved by cr.train.Checkpoints." if nested else ""
        raise TypeError(f"save: {name} must be a tensor or a NumPy array; got {type(value).__name__}.{way}")
    array = value.numpy() if isinstance(value, Tensor) else value
    if array.dtype not in [dtype.numpy for dtype in ALL]:
        raise TypeError(f"save: {name} has the dtype {array.dtype}, which no tensor has; convert it with .astype.")
    return np.ascontiguousarray(array).reshape(array.shape)  # 0-d arrays stay 0-d


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name, array in arrays.items():
        total.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        total.update(np.ascontiguousarray(array).view(np.uint8).data if array.size and array.ndim else array.tobytes())
    return total.hexdigest()


def load(path: PathLike, key: str | None = None) -> dict[str, Tensor]:
    """Read weights: safetensors, a NumPy archive, a PyTorch checkpoint, or weights of TensorFlow.js.

    The format is told by the file's first bytes. No code in a file is ever run: a PyTorch file is read by a machine of
    our own that makes tensors and nothing else. float16 becomes float32.

    Args:
        path: a .safetensors, .npz, .pt or .pth file, or a model.json or its folder.
        key: of a PyTorch checkpoint that holds several dicts of tensors, the one that is wanted, like "state_dict" or
            "model.ema"; default none: the only one, or the one with a usual name.

    Returns:
        Name -> tensor; pass it to `Module.load_state_dict`, or the path to `models.load_weights`.

    Raises:
        CheckpointError: the file is missing, truncated or damaged, asks for anything but tensors (the message names the
            global), or holds a dtype that no tensor has; names the file.

    Example:
        >>> import tempfile, pathlib
        >>> import chainrule as cr
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.safetensors"
        >>> cr.save(path, {"a": cr.ones(2)})
        >>> cr.load(path)
        {'a': tensor([1., 1.], shape=(2,), dtype=float32)}
    """
    from chainrule.nn.foreign.formats import read

    return read(pathlib.Path(path), key)


def decode(data: bytes, path: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Args:
        data: the content of the file.
        path: its name, for messages.

    Returns:
        Name -> tensor, in the order in which they were saved.

    Raises:
        CheckpointError: truncated or damaged content, or a dtype that no tensor has.

    Example:
        >>> decode(b"no such file", "weights")
        Traceback (most recent call last):
        chainrule.core.errors.CheckpointError: weights is no safetensors file, or is truncated or damaged: ...
    """
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(data)
        metadata = _metadata(data)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is no safetensors file, or is truncated or damaged: {error}.") from None
    arrays = {name: _decode(path, name, entry) for name, entry in entries}
    arrays = _without_pairs(path, arrays, metadata)
    if _SUM in metadata:
        arrays = _checked(path, arrays, metadata)
    return {name: Tensor(array) for name, array in arrays.items()}


def _without_pairs(path: str, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> dict[str, np.ndarray]:
    """Return the arrays, those that were complex128 as such again."""
    try:
        pairs = {name: arrays[name] for name in json.loads(metadata.get(_PAIRS, "[]"))}
        wide = {name: pair.view(np.complex128)[..., 0] for name, pair in pairs.items()}
    except (ValueError, KeyError, TypeError, IndexError):
        raise CheckpointError(f"{path} is damaged: its complex numbers can't be put together.") from None
    return {**arrays, **wide}


def _checked(path: str, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> dict[str, np.ndarray]:
    """Return the arrays in the order in which they were saved, if everything is as it was saved."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        ordered = {name: arrays[name] for name in json.loads(metadata["order"])}
        if len(ordered) == len(arrays) and metadata[_SUM] == _digest(ordered):
            return ordered
    raise CheckpointError(f"{path} is damaged: its content does not match its checksum.")


def _metadata(data: bytes) -> dict[str, str]:
    """Return the file's metadata: the header is 8 bytes of length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__") or {}


def _decode(path: str, name: str, entry: dict[str, Any]) -> np.ndarray:
    dtype = _FORMAT_NAMES.get(entry["dtype"])
    if entry["dtype"] == "F16":  # only other programs write it; float32 holds it exactly
        return np.frombuffer(entry["data"], "<f2").astype(np.float32).reshape(entry["shape"])
    if dtype is None:
        raise CheckpointError(f"{path}: {name} has the dtype {entry['dtype']}, which no tensor has.")
    raw = np.frombuffer(bytearray(entry["data"]), dtype=np.uint16 if dtype is bfloat16 else dtype.numpy)
    return raw.view(dtype.numpy).reshape(entry["shape"])

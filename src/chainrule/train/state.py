"""Nested state (dicts and lists of numbers, strings, tensors) as bytes, and back: safetensors for arrays, JSON besides.

state.json carries checksums of both files' content, so that a damaged one is noticed, never loaded. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from chainrule.core.errors import CheckpointError
from chainrule.core.tensor import Tensor
from chainrule.nn.files import decode, encode

__all__ = ["pack", "unpack"]

FORMAT = 1
_TENSOR = "$tensor"
_FLOAT = "$float"


def pack(state: dict[str, Any]) -> dict[str, bytes]:
    """Return the files "state.safetensors" and "state.json" that hold `state`.

    Args:
        state: nested dicts, lists and tuples of tensors, arrays, numbers, strings, booleans and None.

    Returns:
        File name -> content.

    Raises:
        TypeError: something in the state is of another type; names where.

    Example:
        >>> import chainrule as cr
        >>> files = pack({"step": 3, "w": cr.ones(2)})
        >>> unpack(files)["step"]
        3
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _to_json(state, "", arrays)
    tensors = encode(arrays)
    payload = json.dumps(tree, sort_keys=True)
    head = {
        "format": FORMAT,
        "tensors_sha256": hashlib.sha256(tensors).hexdigest(),
        "state_sha256": hashlib.sha256(payload.encode()).hexdigest(),
    }
    return {
        "state.safetensors": tensors,
        "state.json": json.dumps({**head, "state": tree}, indent=1, sort_keys=True).encode(),
    }


def _to_json(item: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(item, Tensor | np.ndarray):
        value = item._value if isinstance(item, Tensor) else item
        arrays[path] = np.ascontiguousarray(value).reshape(value.shape)
        return {_TENSOR: path}
    if isinstance(item, dict):
        return {
            _key(key, path): _to_json(value, f"{path}/{key}" if path else str(key), arrays)
            for key, value in item.items()
        }
    if isinstance(item, list | tuple):
        return [_to_json(value, f"{path}/{index}", arrays) for index, value in enumerate(item)]
    if isinstance(item, float) and not np.isfinite(item):
        return {_FLOAT: repr(float(item))}
    if item is None or isinstance(item, bool | int | float | str):
        return item
    if isinstance(item, np.generic):
        return _to_json(item.item(), path, arrays)
    raise TypeError(
        f"a checkpoint can't hold {path}: it is a {type(item).__name__}; "
        "use tensors, numbers, strings, lists and dicts."
    )


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str | int) or isinstance(key, bool):
        raise TypeError(f"a checkpoint's keys are strings or integers; {path} has the key {key!r}.")
    return f"#{key}" if isinstance(key, int) else key


def unpack(files: dict[str, bytes]) -> dict[str, Any]:
    """Return the state that `pack` put into files; arrays come back as tensors.

    Args:
        files: the content of "state.safetensors" and "state.json".

    Returns:
        The nested state; tuples are lists now.

    Raises:
        CheckpointError: a file is truncated or damaged, or of a newer format.
    """
    try:
        whole = json.loads(files["state.json"])
        tree, tensors, format = whole["state"], files["state.safetensors"], whole["format"]
        intact = (
            hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest() == whole["state_sha256"]
            and hashlib.sha256(tensors).hexdigest() == whole["tensors_sha256"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the checkpoint's state.json is damaged: {error}") from None
    if not intact:
        raise CheckpointError("the checkpoint is damaged: its content does not match its checksums.")
    if format != FORMAT:
        raise CheckpointError(f"the checkpoint has format {format}; this version of chainrule reads {FORMAT}.")
    return _from_json(tree, decode(tensors, "the checkpoint's state.safetensors"))


def _from_json(item: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(item, dict):
        if _TENSOR in item:
            return tensors[item[_TENSOR]]
        if _FLOAT in item:
            return float(item[_FLOAT])
        return {_plain(key): _from_json(value, tensors) for key, value in item.items()}
    if isinstance(item, list):
        return [_from_json(value, tensors) for value in item]
    return item


def _plain(key: str) -> str | int:
    return int(key[1:]) if key.startswith("#") else key

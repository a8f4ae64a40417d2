"""TensorFlow.js weights: model.json lists names, shapes and types; the numbers lie in files beside it, end to end.

    model.json: {"weightsManifest": [{"paths": ["group1-shard1of1"], "weights": [{"name", "shape", "dtype"}, ...]}]}

Quantised numbers (uint8, uint16 with scale and min; float16) become float32. Kernels have TensorFlow's order of axes,
[height, width, in, out]; `models.load_weights` turns them.
"""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import numpy as np

from chainrule.nn.foreign.archives import readable_array
from chainrule.nn.foreign.limits import Refused, possible

__all__ = ["is_manifest", "read_manifest"]

_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1", "bool": "u1"}


def is_manifest(path: pathlib.Path) -> bool:
    """Return whether this is a model.json, or a folder with one.

    Args:
        path: a file or a folder.
    """
    return (path / "model.json").is_file() if path.is_dir() else path.suffix == ".json"


def read_manifest(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the weights by name.

    Args:
        path: model.json, or its folder.

    Raises:
        Refused: a damaged list, files that are missing, too short or too long, or that lie elsewhere.
        OSError: a file can't be read.
    """
    path = path / "model.json" if path.is_dir() else path
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))["weightsManifest"]
        parts = [(group["paths"], [_entry(weight) for weight in group["weights"]]) for group in groups]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused(
            "is no list of TensorFlow.js weights: it has no weightsManifest of names, shapes and files"
        ) from None
    arrays: dict[str, np.ndarray] = {}
    for files, entries in parts:
        data = b"".join(_shard(path.parent, name) for name in files)
        start = 0
        for name, shape, stored, quantization in entries:
            size = math.prod(shape) * np.dtype(stored).itemsize
            if start + size > len(data):
                raise Refused(f"has too few numbers for {name}: {', '.join(files)} is truncated")
            array = np.frombuffer(data, stored, math.prod(shape), start).reshape(shape)
            arrays[name] = _restored(name, array, quantization)
            start += size
        if start != len(data):
            raise Refused(f"has {len(data) - start} bytes in {', '.join(files)} that belong to no weight")
    return arrays


def _entry(weight: dict[str, Any]) -> tuple[str, tuple[int, ...], str, Any]:
    shape = tuple(weight["shape"])
    if not possible(shape) or not isinstance(weight["name"], str):
        raise ValueError("no shape")
    quantization = weight.get("quantization")
    if quantization is None and weight["dtype"] == "bool":
        quantization = {"dtype": "bool"}
    return weight["name"], shape, _DTYPES[(quantization or weight)["dtype"]], quantization


def _restored(name: str, array: np.ndarray, quantization: Any) -> np.ndarray:
    if quantization is None or quantization["dtype"] == "float16":
        return readable_array(name, array)
    if quantization["dtype"] == "bool":
        return array != 0
    try:
        scale, least = float(quantization["scale"]), float(quantization["min"])
    except (KeyError, TypeError, ValueError):
        raise Refused(f"has a damaged quantisation of {name}") from None
    return (array * scale + least).astype(np.float32)


def _shard(folder: pathlib.Path, name: Any) -> bytes:
    if not isinstance(name, str) or pathlib.PurePosixPath(name).name != name or name in ("", ".", ".."):
        raise Refused(f"names the file {str(name)[:80]!r}, which does not lie beside it")
    path = folder / name
    if not path.is_file():
        raise Refused(f"needs the file {name} beside it, which is missing")
    return path.read_bytes()

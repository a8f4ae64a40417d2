"""Which program wrote a file of weights, told by its first bytes, not by its name; then its tensors."""

from __future__ import annotations

import pathlib

import numpy as np

from chainrule.core.errors import CheckpointError
from chainrule.core.tensor import Tensor
from chainrule.nn.foreign.limits import Refused

__all__ = ["order_of_axes", "read"]


def read(path: pathlib.Path, key: str | None) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Args:
        path: safetensors, .npz, .pt, .pth, or TensorFlow.js's model.json or its folder.
        key: which dict of a nested .pt; None: where there is no doubt.

    Raises:
        CheckpointError: names the file and what is wrong with it.
    """
    try:
        if not path.is_dir():
            with path.open("rb") as file:
                head = file.read(32)
        else:
            head = b""
        arrays = _arrays(path, head, key)
    except Refused as error:
        raise CheckpointError(f"{path} {error}.") from None
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror or error}.") from None
    if isinstance(next(iter(arrays.values()), None), Tensor):
        return arrays  # type: ignore[return-value]
    kept: dict[int, Tensor] = {}  # an array that has two names becomes one tensor
    return {name: kept.setdefault(id(array), Tensor(array)) for name, array in arrays.items()}


def _arrays(path: pathlib.Path, head: bytes, key: str | None) -> dict[str, np.ndarray] | dict[str, Tensor]:
    from chainrule.nn.foreign.archives import opened, read_npz
    from chainrule.nn.foreign.tensorflow import is_manifest, read_manifest
    from chainrule.nn.foreign.torch_file import MAGIC, read_old, read_zip

    if head.startswith(b"PK"):
        with opened(path) as archive:
            names = archive.namelist()
        if not any(name.endswith(".npy") for name in names):
            return read_zip(path, key)
    elif head.startswith(b"\x80") and MAGIC[:12] in head:
        return read_old(path, key)
    if key is not None:
        raise Refused("is no PyTorch checkpoint, so it has no dicts to choose from: leave out key=")
    if head.startswith(b"PK"):
        return read_npz(path)
    if is_manifest(path):
        return read_manifest(path)
    if path.is_dir():
        raise Refused("is a folder without a model.json; give the file of the weights")
    return _rest(path, head)


def _rest(path: pathlib.Path, head: bytes) -> dict[str, Tensor]:
    from chainrule.nn.files import decode

    if head.startswith(b"\x80") and len(head) > 1 and head[1] <= 5:
        raise Refused("is a pickle, which could run code, and not in PyTorch's format: it was not opened")
    if head.startswith(b"\x93NUMPY"):
        raise Refused("is one array without a name; put it into an archive: numpy.savez(path, name=array)")
    if head.startswith(b"\x89HDF"):
        raise Refused("is HDF5, which is not read; in Keras, numpy.savez the arrays of model.weights by their paths")
    return decode(path.read_bytes(), str(path))


def order_of_axes(path: pathlib.Path) -> str:
    """Return "tensorflow" for files whose kernels are [height, width, in, out], else "torch".

    Args:
        path: the file or folder.
    """
    from chainrule.nn.foreign.tensorflow import is_manifest

    return "tensorflow" if is_manifest(path) else "torch"

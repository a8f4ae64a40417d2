"""PyTorch's .pt and .pth files, read without PyTorch and without running anything in them.

    zip format, since PyTorch 1.6              the format before it
    NAME/data.pkl      what there is           pickle: a magic number
    NAME/data/0 ...    the storages            pickle: the format's version, 1001
    NAME/byteorder     "little" or "big"       pickle: sizes of C's types, byte order
                                               pickle: what there is
                                               pickle: the storages' names
                                               per storage its length (8 bytes) and its numbers

Source: torch/serialization.py of PyTorch 2, `_save` and `_legacy_save`.
"""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.nn.foreign.archives import member, opened
from chainrule.nn.foreign.limits import Allowance, Refused
from chainrule.nn.foreign.pickles import Machine
from chainrule.nn.foreign.state import chosen
from chainrule.nn.foreign.torch_parts import GLOBALS, Placed, Storage, storage_behind, values

__all__ = ["MAGIC", "read_old", "read_zip"]

MAGIC = b"\x8a\n" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."  # within the first 24 bytes
VERSION = 1001


def read_zip(path: pathlib.Path, key: str | None) -> dict[str, np.ndarray]:
    """Return the tensors of a file in the zip format.

    Args:
        path: the file.
        key: where in a nested checkpoint the weights are; None: where there is no doubt.

    Raises:
        Refused: a damaged file, one that asks for more than tensors, or one with several sets of weights.
        OSError: it can't be read.
    """
    allowance = Allowance(path.stat().st_size)
    with opened(path) as archive:
        names = archive.namelist()
        roots = [name.removesuffix("data.pkl") for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(roots) != 1:
            raise Refused("is a zip archive, but not one that torch.save wrote: it has no single data.pkl")
        (root,) = roots
        if f"{root}constants.pkl" in names:
            raise Refused(
                "is a TorchScript program, not weights alone; with PyTorch: "
                "torch.save(torch.jit.load(path).state_dict(), new_path)"
            )
        order = member(archive, f"{root}byteorder", allowance) if f"{root}byteorder" in names else b"little"
        content = Machine(GLOBALS, storage_behind).run(io.BytesIO(member(archive, f"{root}data.pkl", allowance)))

        def storage(wanted: Storage) -> bytes:
            data = member(archive, f"{root}data/{wanted.key}", allowance)
            if len(data) < wanted.nbytes:
                raise Refused(
                    f"is damaged: storage {wanted.key} has {len(data)} bytes, its numbers need {wanted.nbytes}"
                )
            return data

        return _read(chosen(content, key), storage, order == b"little", allowance)


def read_old(path: pathlib.Path, key: str | None) -> dict[str, np.ndarray]:
    """Return the tensors of a file in the format before the zip format.

    Args:
        path: the file.
        key: as for `read_zip`.

    Raises:
        Refused: as for `read_zip`.
        OSError: it can't be read.
    """
    data = path.read_bytes()
    stream, allowance = io.BytesIO(data), Allowance(len(data))
    storages: dict[str, Storage] = {}

    def remember(name: Any) -> Storage:
        storage = storage_behind(name)
        return storages.setdefault(storage.key, storage)

    _, version, system, content, keys = (Machine(GLOBALS, remember).run(stream) for _ in range(5))
    if version != VERSION or not isinstance(system, dict):
        raise Refused("is damaged, or of a format older than PyTorch 0.1.10")
    if not isinstance(keys, list) or not all(isinstance(name, str) for name in keys):
        raise Refused("is damaged: it has no list of storages")
    little = system.get("little_endian") is not False
    starts = _starts(storages, keys, data, stream.tell(), little)

    def storage(wanted: Storage) -> memoryview:
        if wanted.key not in starts:
            raise Refused(f"is damaged: storage {wanted.key[:40]} is missing")
        start = starts[wanted.key]
        return memoryview(data)[start : start + wanted.nbytes]

    return _read(chosen(content, key), storage, little, allowance)


def _starts(storages: dict[str, Storage], keys: list[str], data: bytes, position: int, little: bool) -> dict[str, int]:
    """Return where each storage's numbers begin."""
    starts = {}
    for name in keys:
        count = int.from_bytes(data[position : position + 8], "little" if little else "big")
        if name not in storages:
            raise Refused(f"is damaged: nothing says how long storage {name[:40]} is")
        end = position + 8 + storages[name].nbytes
        if count != storages[name].count or end > len(data):
            raise Refused(f"is truncated or damaged: storage {name[:40]} is not whole")
        starts[name], position = position + 8, end
    return starts


def _read(
    wanted: dict[str, Placed], storage: Callable[[Storage], bytes | memoryview], little: bool, allowance: Allowance
) -> dict[str, np.ndarray]:
    """Return the numbers of the tensors; each storage is read once, and tensors that are one stay one array."""
    by_storage: dict[str, list[str]] = {}
    for name, placed in wanted.items():
        by_storage.setdefault(placed.storage.key, []).append(name)
    arrays: dict[str, np.ndarray] = {}
    for names in by_storage.values():
        largest = max((wanted[name].storage for name in names), key=lambda one: one.nbytes)
        raw, made = storage(largest), {}
        for name in names:
            placed = wanted[name]
            if placed not in made:
                made[placed] = values(placed, raw, little, allowance)
            arrays[name] = made[placed]
    return {name: arrays[name] for name in wanted}

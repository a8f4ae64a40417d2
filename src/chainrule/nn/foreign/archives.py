"""Zip archives, opened with care, and NumPy's .npz, which is one.

Nothing is unpacked that the directory does not announce, nothing larger than it announces, and nothing beyond the
file's allowance. Arrays of Python objects are pickles: they are refused.
"""

from __future__ import annotations

import contextlib
import io
import math
import pathlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.core.dtypes import ALL
from chainrule.nn.foreign.limits import Allowance, Refused

__all__ = ["member", "opened", "read_npz", "readable_array"]


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive.

    Args:
        path: the file.

    Raises:
        Refused: it is no archive, or a truncated one.
        OSError: it can't be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise Refused(f"is truncated or damaged: {str(error)[:200].rstrip('.')}") from None
    with archive:
        yield archive


def member(archive: zipfile.ZipFile, name: str, allowance: Allowance) -> bytes:
    """Return one file of an archive.

    Args:
        archive: the archive.
        name: of the file.
        allowance: what the archive may still ask for.

    Raises:
        Refused: it is missing, damaged, encrypted, or larger than the archive may ask for.
    """
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise Refused(f"is damaged: its part {name} is missing") from None
    allowance.take(entry.file_size, f"its part {name}")
    try:
        data = archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise Refused(f"is damaged: its part {name} can't be read: {str(error)[:200].rstrip('.')}") from None
    if len(data) != entry.file_size:
        raise Refused(f"is damaged: its part {name} has {len(data)} bytes, {entry.file_size} are announced")
    return data


def read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the arrays of a NumPy archive by name.

    Args:
        path: an .npz file.

    Raises:
        Refused: it is damaged, holds Python objects, or a dtype that no tensor has.
        OSError: it can't be read.
    """
    allowance = Allowance(path.stat().st_size)
    arrays = {}
    with opened(path) as archive:
        for entry in archive.namelist():
            if entry.endswith(".npy"):
                name = entry.removesuffix(".npy")
                arrays[name] = _npy(name, member(archive, entry, allowance))
    return arrays


def _npy(name: str, data: bytes) -> np.ndarray:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, columns_first, dtype = header.get(version, np.lib.format.read_array_header_2_0)(stream)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise Refused(f"is damaged: {name} is no array: {str(error)[:200].rstrip('.')}") from None
    if dtype.hasobject:
        raise Refused(f"holds Python objects in {name}, and such a pickle could run code: it was not opened")
    expected = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or len(data) - stream.tell() != expected:
        raise Refused(f"is damaged: {name} has {len(data) - stream.tell()} bytes for the shape {shape} of {dtype}")
    flat = np.frombuffer(data, dtype, math.prod(shape), stream.tell())
    return readable_array(name, flat.reshape(shape, order="F" if columns_first else "C"))


def readable_array(name: str, array: Any) -> np.ndarray:
    """Return an array of its own in a dtype that tensors have; float16 as float32, which holds it exactly.

    Args:
        name: for messages.
        array: any array.

    Raises:
        Refused: a dtype that no tensor has.
    """
    dtype = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype.newbyteorder("=")
    if dtype not in [known.numpy for known in ALL]:
        raise Refused(f"holds {name} with the dtype {array.dtype}, which no tensor has")
    return np.array(array, dtype, order="C")

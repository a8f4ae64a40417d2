"""Zip archives, opened with care, and NumPy's .npz, which is one.

Nothing is unpacked that the directory does not announce, nothing larger than it announces, and nothing beyond the
file's allowance. Arrays of Python objects are pickles: they are refused.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.core.dtypes import ALL
from chainrule.nn.foreign.limits import Allowance, Refused, possible

__all__ = ["member", "opened", "read_npz", "readable_array"]

_HEADER = (  # searched in a header like {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
    r"""['"]descr['"]\s*:\s*['"]([<>|=][a-zA-Z]\d{0,9})['"]""",
    r"""['"]fortran_order['"]\s*:\s*(True|False)""",
    r"""['"]shape['"]\s*:\s*\(([\d,\sL]*)\)""",
)
_NUMBERS = ("f2", "f4", "f8", "c8", "c16", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


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
    """Return the array of a .npy file; its header, Python's text of a dict, is searched and not evaluated."""
    wide = data[6:7] > b"\x01"  # of format 2 and 3 the header's length has four bytes
    start = 12 if wide else 10
    end = start + int.from_bytes(data[8:start], "little")
    if not data.startswith(b"\x93NUMPY") or end > len(data):
        raise Refused(f"is damaged: {name} is no array")
    header = data[start:end].decode("latin-1")
    kind, order, sizes = (re.search(pattern, header) for pattern in _HEADER)
    if kind is None or order is None or sizes is None:
        raise Refused(f"holds {name} with a header that is damaged, or of a dtype that no tensor has")
    if kind[1].endswith("O"):
        raise Refused(f"holds Python objects in {name}, and such a pickle could run code: it was not opened")
    shape = tuple(int(size[:20]) for size in re.findall(r"\d+", sizes[1]))  # more digits are as impossible as 20
    if kind[1][1:] not in _NUMBERS:
        raise Refused(f"holds {name} with the dtype {kind[1]}, which no tensor has")
    dtype = np.dtype(kind[1])
    if not possible(shape) or len(data) - end != math.prod(shape) * dtype.itemsize:
        raise Refused(f"is damaged: {name} has {len(data) - end} bytes for the shape {shape} of {dtype}")
    flat = np.frombuffer(data, dtype, math.prod(shape), end)
    return readable_array(name, flat.reshape(shape, order="F" if order[1] == "True" else "C"))


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

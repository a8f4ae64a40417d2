"""IDX, the file format of MNIST: a magic number, the sizes, the values; plain, gzip or xz.

    bytes 0-1   zero
    byte  2     the type of the values (TYPES below)
    byte  3     the number of axes
    then        one size per axis, 32 bits each; then the values, last axis fastest; all of it big-endian

`read_bytes` undoes the compression, `parse_idx` checks every field against the length, `read_idx` does both and checks
the MD5 sum of the uncompressed content, `write_idx` is the inverse.

Source: the description at the end of LeCun, Cortes and Burges' MNIST page.
"""

from __future__ import annotations

import hashlib
import math
import os
import pathlib
import struct
import zlib

import numpy as np

from chainrule.core.errors import ChecksumError, DataError, MissingDataError
from chainrule.core.files import atomic_write

__all__ = ["parse_idx", "read_bytes", "read_idx", "write_idx"]

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(text).newbyteorder("="): code for code, text in TYPES.items()}
_CODE_LIST = ", ".join(f"{code:02x} {dtype}" for dtype, code in _CODES.items())
_TYPE_NAMES = ", ".join(str(dtype) for dtype in _CODES)


def read_idx(path: str | os.PathLike[str], *, md5: str | None = None) -> np.ndarray:
    """Read one IDX file, plain or with the suffix .gz or .xz.

    Args:
        path: the file.
        md5: the sum of the uncompressed content, 32 hexadecimal digits; default not checked.

    Returns:
        A new array of the file's shape and type, in the machine's byte order.

    Raises:
        MissingDataError: there is no such file.
        DataError: a broken compression, a wrong magic number, a truncated file, bytes behind the last value.
        ChecksumError: the content is not the one that `md5` names.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.idx.gz"
        >>> write_idx(path, np.array([5, 0, 4], dtype=np.uint8))
        >>> read_idx(path)
        array([5, 0, 4], dtype=uint8)

    Source: LeCun, Cortes, Burges, the MNIST database.
    """
    content = read_bytes(path)
    values = parse_idx(content, str(path))
    if md5 is not None:
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != md5:
            raise ChecksumError(
                f"{path} is not the published file: the MD5 sum of its content is {found}, expected {md5}. "
                "Download it again."
            )
    return values


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file, uncompressed where its suffix is .gz or .xz.

    Args:
        path: the file.

    Returns:
        All bytes.

    Raises:
        MissingDataError: there is no such file.
        DataError: the compressed stream is damaged or ends early.
    """
    import gzip
    import lzma

    path = pathlib.Path(path)
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        raise MissingDataError(f"there is no file {path}; check the name and the folder.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; give the file itself.") from None
    try:
        if path.suffix == ".gz":
            return gzip.decompress(stored)
        if path.suffix == ".xz":
            decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
            content = decoder.decompress(stored)
            if not decoder.eof:
                raise EOFError
            if decoder.unused_data:
                raise DataError(f"{path} has {len(decoder.unused_data)} bytes behind the end of its xz stream.")
            return content
        return stored
    except EOFError:
        raise DataError(
            f"{path} is truncated: its compressed stream ends early, after {len(stored)} bytes. "
            "Download or copy it again."
        ) from None
    except (OSError, zlib.error, lzma.LZMAError) as error:
        kind = {".gz": "gzip", ".xz": "xz"}[path.suffix]
        raise DataError(f"{path} is no readable {kind} file: {error}. Download or copy it again.") from None


def parse_idx(content: bytes, name: str = "IDX data") -> np.ndarray:
    """Return the array that the bytes of an IDX file describe.

    Args:
        content: the whole uncompressed file.
        name: what error messages call it; default "IDX data".

    Returns:
        A new array of the described shape and type, in the machine's byte order.

    Raises:
        DataError: a wrong magic number, an unknown type, fewer or more bytes than the sizes promise.

    Example:
        >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
        array([7, 9], dtype=uint8)
    """
    if len(content) < 4:
        raise DataError(f"{name} is truncated: it has {len(content)} bytes, an IDX file begins with 4 of magic number.")
    zero, code, axes = struct.unpack(">HBB", content[:4])
    if zero != 0 or code not in TYPES:
        raise DataError(
            f"{name} is no IDX file: its magic number is 0x{content[:4].hex()}; expected two zero bytes, "
            f"a type ({_CODE_LIST}) and the number of axes."
        )
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(f"{name} is truncated: it has {len(content)} bytes, its header of {axes} sizes needs {start}.")
    shape = struct.unpack(f">{axes}I", content[4:start])
    dtype = np.dtype(TYPES[code])
    expected = math.prod(shape) * dtype.itemsize
    found = len(content) - start
    if found != expected:
        sizes = " x ".join(map(str, shape)) or "1"
        promise = (
            f"its header promises {sizes} values of {dtype.newbyteorder('=')}, {expected} bytes; {found} are there"
        )
        if found < expected:
            raise DataError(f"{name} is truncated: {promise}. Download or copy it again.")
        raise DataError(f"{name} has {found - expected} bytes too many: {promise}.")
    values = np.frombuffer(content, dtype=dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def write_idx(path: str | os.PathLike[str], values: np.ndarray) -> None:
    """Write an array as an IDX file, whole or not at all; compressed where the suffix is .gz or .xz.

    Args:
        path: the file; replaced where it exists.
        values: array of uint8, int8, int16, int32, float32 or float64, at most 255 axes.

    Raises:
        DataError: a dtype or a size that IDX can't hold.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.idx"
        >>> write_idx(path, np.zeros((2, 3), dtype=np.float32))
        >>> path.stat().st_size
        36

    Source: LeCun, Cortes, Burges, the MNIST database.
    """
    import gzip
    import lzma

    values = np.asarray(values)
    code = _CODES.get(values.dtype.newbyteorder("="))
    if code is None:
        raise DataError(f"IDX files hold {_TYPE_NAMES}; got {values.dtype}: convert with .astype first.")
    if values.shape and max(values.shape) >= 1 << 32:
        raise DataError(f"IDX files hold sizes below 2**32; got the shape {values.shape}.")
    header = struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape)
    content = header + values.astype(TYPES[code]).tobytes()
    path = pathlib.Path(path)
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)  # no time stamp: equal arrays make equal files
    elif path.suffix == ".xz":
        content = lzma.compress(content)
    atomic_write(path, content)

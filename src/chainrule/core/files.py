"""Writing files so that nothing saved is ever lost: write beside, flush to the disk, rename.

Whatever fails, the target is either the old content or the new one, whole. The three calls that can fail go through
`write`, `fsync` and `rename` below, so that tests can make the n-th of them fail.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping

__all__ = ["atomic_write", "atomic_write_folder", "sync_folder"]

PathLike = str | os.PathLike[str]


def write(handle: int, data: bytes) -> None:
    """Write all of `data` to an open file."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view[: 1 << 24]) :]


def fsync(handle: int) -> None:
    """Flush an open file or folder to the disk."""
    os.fsync(handle)


def rename(source: PathLike, target: PathLike) -> None:
    """Give a file or folder its final name, replacing an old file."""
    os.replace(source, target)


def atomic_write(path: PathLike, data: bytes | str) -> None:
    """Replace the file at `path` by `data`, or leave it as it was.

    Args:
        path: the file to write; its folder must exist.
        data: the whole content; a string is written as UTF-8.

    Raises:
        OSError: the disk is full, the folder is missing or not writable; the old file is untouched and no partial
            file remains.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
        >>> atomic_write(path, "hello"); path.read_text()
        'hello'
    """
    path = pathlib.Path(path)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        try:
            _fill(handle, data)
            os.chmod(beside, path.stat().st_mode & 0o777 if path.exists() else _default_mode())
        finally:
            os.close(handle)
        rename(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(path.parent)


def atomic_write_folder(path: PathLike, files: Mapping[str, bytes | str]) -> None:
    """Make the new folder `path` with these files in it, or nothing.

    Args:
        path: the folder to make; it must not exist, and its parent must.
        files: name -> content.

    Raises:
        FileExistsError: the folder exists.
        OSError: the disk is full or the parent not writable; nothing remains.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "run"
        >>> atomic_write_folder(path, {"a.txt": "hello"}); [p.name for p in path.iterdir()]
        ['a.txt']
    """
    path = pathlib.Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    beside = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        os.chmod(beside, _default_mode() | 0o111 & ~_umask())
        for name, data in files.items():
            handle = os.open(os.path.join(beside, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                _fill(handle, data)
            finally:
                os.close(handle)
        sync_folder(beside)
        rename(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(path.parent)


def _fill(handle: int, data: bytes | str) -> None:
    write(handle, data.encode() if isinstance(data, str) else data)
    fsync(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _default_mode() -> int:
    return 0o666 & ~_umask()


def sync_folder(folder: PathLike) -> None:
    """Flush a folder's entries to the disk, where the system can; a rename is lasting only after this."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fsync(handle)
    finally:
        os.close(handle)

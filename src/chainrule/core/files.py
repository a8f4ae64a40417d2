"""Writing files so that nothing saved is ever lost: write beside, flush to the disk, rename.

Whatever fails, the target is either the old file or the new one, whole.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile

__all__ = ["atomic_write", "sync_folder"]


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> None:
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
    content = data.encode() if isinstance(data, str) else data
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, _mode_of(path))
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(path.parent)


def _mode_of(path: pathlib.Path) -> int:
    """Return the permissions that the new file gets: those of the old one, else what the umask leaves of 0o666."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Flush a folder's entries to the disk, where the system can; a rename is lasting only after this."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

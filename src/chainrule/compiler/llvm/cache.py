"""Compiled code on the disk: the second start of a program compiles nothing.

    payload = cached(specification, make)          # specification: bytes that say what the code is to do

The name of an entry is the SHA-256 of the specification and of all that makes code from it: chainrule's own sources,
llvmlite, LLVM, NumPy, the instruction set. An entry holds a checksum over its name and content, so that a damaged one
is made again and replaced. Entries are written beside and renamed: processes may write at once, a reader sees a whole
entry or none. Beyond 1 GB the ones used longest ago go.

Machine code from a folder that others can write to would be theirs, not ours: the folder is made with mode 0700, and
one that is not this user's own is refused, with one warning. CHAINRULE_CACHE names the folder; `off` turns it off.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import pathlib
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from chainrule.compiler import system
from chainrule.compiler.llvm.machine import Target, host_target, llvm_version
from chainrule.core import files
from chainrule.core.config import cache_folder, started
from chainrule.core.errors import PACKAGE, notice

__all__ = ["cached", "key", "lookup", "pack", "store", "unpack"]

LIMIT = 1 << 30  # bytes
TRIM_EVERY = 64 << 20  # bytes that this process writes between two looks at the whole folder
STALE = 3600  # seconds after which what a killed process left half-written is removed

_MAGIC = b"chainrule code 1\n"
_SUFFIX = ".code"
_SOURCES = ("core", "ops", "autodiff", "compiler")  # what a graph and its code are made by
_written: int | None = None  # bytes since the last look at the folder; None before the first


def cached(material: bytes, make: Callable[[], bytes], target: Target | None = None) -> bytes:
    """Return what `make` made for this specification, now or on an earlier day.

    Args:
        material: the specification; equal bytes must mean equal code.
        make: makes the payload; called when there is none.
        target: the instruction set; default the host's.
    """
    name = key(material, target)
    payload = lookup(name)
    if payload is None:
        payload = make()
        store(name, payload)
    return payload


def key(material: bytes, target: Target | None = None) -> str:
    """Return the name of the entry for a specification: 64 hexadecimal digits."""
    around = f"{surroundings()}\n{target or host_target()!r}\n"
    return hashlib.sha256(around.encode() + material).hexdigest()


@functools.cache
def surroundings() -> str:
    """Return all that code depends on besides its specification and target.

    While someone edits chainrule, what this process has imported is no longer what lies on the disk: then nothing of
    it is shared with others.
    """
    import numpy

    digest = hashlib.sha256()
    newest = 0.0
    for folder in _SOURCES:
        for path in sorted(pathlib.Path(PACKAGE, folder).rglob("*.py")):
            content = path.read_bytes()
            newest = max(newest, path.stat().st_mtime)
            digest.update(f"{path.relative_to(PACKAGE)} {len(content)}\n".encode())
            digest.update(content)
    if newest > started:
        digest.update(os.urandom(16))
    return f"{digest.hexdigest()} {llvm_version()} numpy {numpy.__version__} {sys.platform} {system.architecture()}"


def lookup(name: str) -> bytes | None:
    """Return the payload stored under `name`, or None where there is none, or a damaged one."""
    folder = _folder()
    if folder is None:
        return None
    path = folder / (name + _SUFFIX)
    try:
        content = _read(path)
    except OSError:
        return None
    digest, payload = content[len(_MAGIC) : len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
    if not content.startswith(_MAGIC) or digest != _checksum(name, payload):
        return None
    with contextlib.suppress(OSError):  # a read-only folder
        os.utime(path)
    return payload


def store(name: str, payload: bytes) -> None:
    """Keep `payload` under `name`; where the folder can't be written to, nothing is kept and nothing fails."""
    folder = _folder()
    if folder is None:
        return
    content = _MAGIC + _checksum(name, payload) + payload
    with contextlib.suppress(OSError):
        _write(folder, name + _SUFFIX, content)
        _trim(folder, len(content))


def pack(header: dict[str, Any], code: bytes) -> bytes:
    """Return one payload of a header that JSON can hold and object code."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + code


def unpack(payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the object code of a payload from `pack`."""
    size = int.from_bytes(payload[:8], "little")
    return json.loads(payload[8 : 8 + size]), payload[8 + size :]


def _checksum(name: str, payload: bytes) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(payload)
    return digest.digest()


def _folder() -> pathlib.Path | None:
    """Return the folder of entries, made where it is missing, or None where there is none to be trusted."""
    try:
        return _trusted(cache_folder() / "code")
    except (OSError, RuntimeError):  # turned off; no home folder
        return None


@functools.cache
def _trusted(folder: pathlib.Path) -> pathlib.Path | None:
    try:
        with contextlib.suppress(FileExistsError):
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        reason = system.distrust(folder)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            reason = error.strerror
        else:
            return None  # a read-only place without a folder of ours: nothing to read, nowhere to write
    if reason is None:
        return folder
    notice(
        f"compiled code is not kept: {folder} can't be trusted with it, since {reason}. "
        "Remove the folder, or name another with CHAINRULE_CACHE."
    )
    return None


def _read(path: pathlib.Path) -> bytes:
    """Return a regular file's content; a link is not followed."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return file.read()


def _write(folder: pathlib.Path, name: str, content: bytes) -> None:
    """Write an entry beside and rename it; not flushed to the disk, since the checksum tells a torn one."""
    handle, beside = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
    try:
        try:
            files.write(handle, content)
        finally:
            os.close(handle)
        files.rename(beside, folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _trim(folder: pathlib.Path, size: int) -> None:
    """Remove the entries used longest ago while all are more than `LIMIT`; look only now and then."""
    global _written
    if _written is not None and _written + size < TRIM_EVERY:
        _written += size
        return
    _written = 0
    entries = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):  # another process removed it
            found = entry.stat(follow_symlinks=False)
            if entry.name.endswith(_SUFFIX):
                entries.append((found.st_mtime_ns, found.st_size, entry.path))
            elif entry.name.endswith(".tmp") and found.st_mtime < time.time() - STALE:
                os.unlink(entry.path)
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= LIMIT:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size

"""Making the n-th write, fsync or rename fail, to see that nothing saved is lost.

All files of chainrule that must survive go through three functions of `core.files`; the injector stands in front of
them. A test runs something with n = 1, 2, 3, ... until nothing fails any more: then every place where the disk can fail
has been tried.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

from chainrule.core import files

__all__ = ["KINDS", "Fault", "fail_at"]

KINDS = ("write", "fsync", "rename")


class Fault:
    """Counts the calls of one kind, and knows whether the chosen one came.

    Args:
        kind: "write", "fsync" or "rename".
        n: which call fails, from 1.
        partial: a failing write has written half of its data.
        lasting: every later call of any kind fails too, as on a full or vanished disk.

    Attributes:
        calls: calls of this kind so far.
        fired: whether a call was made to fail.

    Raises:
        ValueError: an unknown kind, or n below 1.

    Example:
        >>> Fault("write", 3).fired
        False
    """

    def __init__(self, kind: str, n: int, partial: bool = True, lasting: bool = False):
        if kind not in KINDS:
            raise ValueError(f"Fault.kind must be one of {', '.join(KINDS)}; got {kind!r}.")
        if n < 1:
            raise ValueError(f"Fault.n must be an integer >= 1; got {n}.")
        self.kind, self.n, self.partial, self.lasting = kind, n, partial, lasting
        self.calls = 0
        self.fired = False

    def _hits(self, kind: str) -> bool:
        """Count a call and return whether it fails."""
        if self.fired and self.lasting:
            return True
        self.calls += kind == self.kind
        now = kind == self.kind and self.calls == self.n
        self.fired |= now
        return now

    def _error(self, kind: str) -> OSError:
        code = errno.ENOSPC if kind == "write" else errno.EIO
        return OSError(code, os.strerror(code), f"<{kind} number {self.calls}>")


@contextlib.contextmanager
def fail_at(kind: str, n: int, *, partial: bool = True, lasting: bool = False) -> Iterator[Fault]:
    """Make the n-th write, fsync or rename inside the block fail with an OSError.

    Args:
        kind: "write", "fsync" or "rename".
        n: which call fails, from 1.
        partial: a failing write has written half of its data; default True.
        lasting: every later call of any kind fails too, as on a full or vanished disk; default False.

    Yields:
        The `Fault`, which counts and says whether it fired.

    Raises:
        ValueError: an unknown kind, or n below 1.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
        >>> files.atomic_write(path, "old")
        >>> with fail_at("write", 1) as fault:
        ...     try:
        ...         files.atomic_write(path, "new")
        ...     except OSError as error:
        ...         print(error.strerror)
        No space left on device
        >>> fault.fired, path.read_text()
        (True, 'old')
    """
    fault = Fault(kind, n, partial, lasting)
    real = {name: getattr(files, name) for name in KINDS}

    def write(handle: int, data: bytes) -> None:
        if fault._hits("write"):
            if fault.partial:
                real["write"](handle, data[: len(data) // 2])
            raise fault._error("write")
        real["write"](handle, data)

    def fsync(handle: int) -> None:
        if fault._hits("fsync"):
            raise fault._error("fsync")
        real["fsync"](handle)

    def rename(source: Any, target: Any) -> None:
        if fault._hits("rename"):
            raise fault._error("rename")
        real["rename"](source, target)

    try:
        for name, replacement in (("write", write), ("fsync", fsync), ("rename", rename)):
            setattr(files, name, replacement)
        yield fault
    finally:
        for name, function in real.items():
            setattr(files, name, function)

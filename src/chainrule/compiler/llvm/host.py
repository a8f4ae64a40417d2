"""What LLVM says of this machine, remembered on the disk: a start that finds all its code there needs no LLVM.

Loading LLVM takes 40 MB and 20 ms. Its answers depend on the CPU, as Linux describes it, and on the library itself;
both name the entry in the cache, so another CPU or another llvmlite is asked anew.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import pathlib
from typing import NamedTuple

from chainrule.compiler import system

__all__ = ["Host", "host"]


class Host(NamedTuple):
    """The feature flags of the CPU by LLVM's names, and the version of LLVM."""

    flags: frozenset[str]
    llvm: str


@functools.cache
def host() -> Host:
    """Return what LLVM says of this machine, now or on an earlier day."""
    from chainrule.compiler.llvm import cache

    name = _name()
    payload = None if name is None else cache.lookup(name)
    if payload is not None:
        flags, version = json.loads(payload)
        return Host(frozenset(flags), version)
    found = _asked()
    if name is not None:
        cache.store(name, json.dumps([sorted(found.flags), found.llvm]).encode())
    return found


def _asked() -> Host:
    """Return what LLVM says now."""
    import llvmlite.binding as llvm

    flags = llvm.get_host_cpu_features()
    version = ".".join(map(str, llvm.llvm_version_info))
    return Host(frozenset(name for name, present in flags.items() if present), version)


def _name() -> str | None:
    """Return the name of the entry for this CPU and this library, or None where the system does not describe it."""
    cpu, found = system.describe_cpu(), importlib.util.find_spec("llvmlite")
    if cpu is None or found is None or found.origin is None:
        return None
    files = sorted(pathlib.Path(found.origin).parent.glob("binding/*llvmlite*"))
    library = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(f"host 1\n{cpu}\n{library}".encode()).hexdigest()

"""Every call of the compiler to the operating system: cores, threads, executable memory, tiles, folders, memory in use.

Linux is what these calls are written for and tested on. Elsewhere each answers "I can't" in its own way: no futex, so
one thread; no tiles; a folder's rights unknown, so trusted. The results are the same bits everywhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import math
import mmap
import os
import pathlib
import stat
import sys
import threading
from collections.abc import Iterator

__all__ = [
    "allow_tiles",
    "architecture",
    "can_execute",
    "can_reserve",
    "describe_cpu",
    "distrust",
    "function_address",
    "futex_number",
    "has_function",
    "interrupts_wait",
    "make_executable",
    "new_pages",
    "peak_memory",
    "permanent_memory",
    "release",
    "reserve",
    "signals_blocked",
    "usable_cores",
]

LINUX = sys.platform == "linux"
LINE = 128  # bytes: two cache lines, since cores fetch them in pairs
_FUTEX = {"x86-64": 202, "aarch64": 98}
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18
_PAGE = 4096
_OF_CPU = frozenset(("vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "flags"))
_kept: list[object] = []


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def architecture() -> str:
    """Return "x86-64", "aarch64", or the machine's own name for anything else."""
    import platform

    name = platform.machine()
    known = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "aarch64", "arm64": "aarch64"}
    return known.get(name.lower(), name)


def describe_cpu() -> str | None:
    """Return all that Linux says of the first core but its clock; None elsewhere, and where cores may differ."""
    if not LINUX or architecture() != "x86-64":
        return None
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = list(itertools.takewhile(str.strip, file))
    except OSError:
        return None
    return "".join(line for line in lines if line.split(":")[0].strip() in _OF_CPU) or None


def futex_number() -> int | None:
    """Return the number of Linux' futex call, or None where there is none: then there are no worker threads."""
    return _FUTEX.get(architecture()) if LINUX else None


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, and on Linux no more than its share of time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota()))


def _quota() -> int:
    """Return the cores that the control group's quota pays for, rounded up; a large number without a quota."""
    try:
        quota, period = pathlib.Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or "max 100000"
        return 1 << 30


@functools.cache
def allow_tiles() -> bool:
    """Ask Linux for the tile registers of AMX, once per process, and return whether it may use them."""
    if not LINUX or architecture() != "x86-64":
        return False
    return _libc().syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0


def has_function(name: str) -> bool:
    """Return whether a library of this process has a function of this name; True where that can't be asked."""
    return os.name != "posix" or hasattr(_libc(), name)


def function_address(name: str) -> int | None:
    """Return where a function of a library of this process lies, or None."""
    function = getattr(_libc(), name, None)
    return None if function is None else ctypes.cast(function, ctypes.c_void_p).value


def can_execute() -> bool:
    """Return whether memory that was written may be made executable, which some hardened systems refuse.

    LLVM does not ask: where it is refused, the first call of compiled code would end the process.
    """
    if os.name != "posix":
        return True
    try:
        page = reserve(_PAGE)
    except MemoryError:
        return False
    allowed = make_executable(page, b"")
    release(page, _PAGE)
    return allowed


@functools.cache
def _maps() -> ctypes.CDLL:
    """Return the C library with the types of what asks for memory: addresses are 64-bit numbers."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


def reserve(size: int) -> int:
    """Return the address of `size` bytes of new memory, to be written to and then made executable.

    Raises:
        MemoryError: the system gives none.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = _maps().mmap(None, max(size, 1), mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise MemoryError(f"the system refuses {size} bytes of memory.")
    return address


def make_executable(address: int, content: bytes | bytearray) -> bool:
    """Write code into memory from `reserve`, for good; return whether the system lets it run."""
    ctypes.memmove(address, (ctypes.c_char * len(content)).from_buffer_copy(content), len(content))
    return _maps().mprotect(address, max(len(content), 1), mmap.PROT_READ | mmap.PROT_EXEC) == 0


def release(address: int, size: int) -> None:
    """Give memory from `reserve` back."""
    _maps().munmap(address, max(size, 1))


def can_reserve(size: int) -> bool:
    """Return whether `size` bytes of address space can be had now; LLVM ends the process where it gets none."""
    try:
        mmap.mmap(-1, size).close()
    except (OSError, MemoryError, ValueError):
        return False
    return True


def new_pages(size: int, large: bool) -> mmap.mmap:
    """Return zero bytes of this process alone, which the system gives page by page as they are touched.

    `large` asks for large pages, which are found faster and may hold much that nobody touches. malloc may hand out what
    was used before.

    Raises:
        MemoryError: the system gives none.
    """
    try:
        private = (mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,) if os.name == "posix" else ()
        pages = mmap.mmap(-1, size, *private)
    except (OSError, OverflowError, ValueError):
        raise MemoryError(f"the system refuses {size} bytes of memory.") from None
    if large and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def permanent_memory(size: int) -> int:
    """Return the address of `size` zero bytes, aligned to `LINE`, that stay until the process ends.

    Threads that no Python object knows read this memory, also while the interpreter takes itself apart.
    """
    buffer = ctypes.create_string_buffer(size + LINE)
    address = ctypes.addressof(buffer)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(buffer))
    _kept.append(buffer)
    return -(-address // LINE) * LINE


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Give the threads that start inside the block no signals; the caller's own stay as they were."""
    import signal

    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done: what the block changes is changed whole."""
    import signal

    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # Python handles signals in the main thread
        return
    came: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *what: came.append(what))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[-1])


def distrust(folder: pathlib.Path) -> str | None:
    """Return why machine code from this folder can't be trusted, or None.

    A folder is trusted where it is a real folder, belongs to this user, and nobody else can write to it or put another
    in its place.
    """
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no folder"
    if not hasattr(os, "geteuid"):
        return None
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}"
    if found.st_mode & 0o022:
        return f"others can write to it (mode {stat.S_IMODE(found.st_mode):04o})"
    above = folder.parent.stat().st_mode
    if above & 0o002 and not above & stat.S_ISVTX:
        return f"everybody can write to {folder.parent} (mode {stat.S_IMODE(above):04o})"
    return None


def peak_memory() -> int | None:
    """Return the largest resident size of this process so far in bytes, or None where it can't be asked."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak

"""The thread pool: workers that wait in native code and run one function together with the caller.

    step = prepare(function_address, context_address, cost=50.0)
    result = step()                                     # 0.3 us from Python to native code and back

Each thread of the team calls `i32 function(ptr context, i64 tid, i64 threads, ptr pool)`. Workers know nothing of
Python: they start at the first parallel call, sleep when there is nothing to do, and end with the process, which never
waits for them. After a fork the child starts its own. How a job finds its team stands in `runtime`.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

from chainrule.compiler import system
from chainrule.compiler.llvm.cache import cached
from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target
from chainrule.compiler.llvm.runtime import BLOCK_BYTES, MAX_THREADS, STALE, runtime_text
from chainrule.core.threads import chosen_threads, on_change

__all__ = ["SHORT", "Pool", "prepare", "thread_pool"]

SHORT = 200.0  # microseconds: a job below this does not wait for sleepers, whose waking takes 50 to 220
SPIN = 50.0  # microseconds that an idle worker polls before it offers its core to others
PATIENCE = 400.0  # microseconds until it sleeps; covers the Python code between two steps

_WORD = 8
_GATE, _ALIVE, _BUSY, _LIMITS = (system.LINE // _WORD * line for line in (1, 4, 5, 6))
_CLOSED = -(1 << 63)
_lock = threading.Lock()
_pool: Pool | None = None
_current = ctypes.c_int64()  # the address of the pool's block, for prepared calls


class Pool:
    """Threads that run native functions together.

    Args:
        size: threads of a job at most, the caller's included; 1 to 64. Where the system gives fewer, so does `size`.

    Raises:
        MachineError: this system runs no compiled code.
    """

    def __init__(self, size: int):
        self._code = _runtime()
        self.block = system.permanent_memory(BLOCK_BYTES)
        self._words = (ctypes.c_int64 * (BLOCK_BYTES // _WORD)).from_address(self.block)
        self._words[_GATE] = _CLOSED
        self._words[_BUSY + 1], self._words[_BUSY + 3] = MAX_THREADS, 1  # cap, backoff
        for place, limit in enumerate((SPIN, PATIENCE, SHORT)):
            self._words[_LIMITS + place] = int(1000 * limit)
        self._call = self._function("chainrule_run", 5)
        self.wanted = size
        self.size = 1 + self._start(min(size, MAX_THREADS) - 1)
        self._words[_LIMITS + 3] = self.size

    def _function(self, name: str, parameters: int) -> Callable[..., int]:
        """Return a native function of the first three parameters as addresses and the others as numbers."""
        pointers = min(parameters, 3)
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int32, *[ctypes.c_void_p] * pointers, *[ctypes.c_int64] * (parameters - pointers)
        )
        return kind(self._code.address(name))

    def _start(self, workers: int) -> int:
        """Start workers and return how many the system gave."""
        if workers < 1 or system.futex_number() is None:
            return 0
        start = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64)(self._code.address("chainrule_start"))
        with system.signals_blocked():  # Ctrl-C is for Python's threads
            for number in range(1, workers + 1):
                if start(self.block, number):
                    return number - 1
        return workers

    def run(self, function: int, context: int, threads: int | None = None, cost: float = 1000.0) -> int:
        """Call a native function on several threads and return what thread 0 returned.

        Args:
            function: the address of `i32 f(ptr context, i64 tid, i64 threads, ptr pool)`.
            context: the address that each thread is given.
            threads: at most so many, default `size`. While another Python thread uses the pool it is one.
            cost: microseconds of the job on one thread; default 1000. Below `SHORT` the job starts with the workers
                that are awake; below 0 it waits for all of them, however long.
        """
        size = self.size
        if threads is None or threads > size:
            threads = size
        return self._call(self.block, function, context, threads, int(1000 * cost))

    @property
    def last_team(self) -> int:
        """Return how many threads the last job had."""
        return self._words[_BUSY + 5]

    @property
    def alive(self) -> int:
        """Return how many workers there are."""
        return self._words[_ALIVE + 1]

    def close(self) -> None:
        """Tell the workers to end; jobs of this pool then run on their callers alone."""
        if self.size > 1:
            self.size = 1
            self._function("chainrule_quit", 1)(self.block)

    def _outdate(self) -> None:
        """Have prepared calls ask for a new pool."""
        self._words[_LIMITS + 3] = 0


def prepare(function: int, context: int, *, threads: int | None = None, cost: float = 1000.0) -> Callable[[], int]:
    """Return what runs a native function on the process's pool, for a function that is called often.

    The call follows `set_num_threads` and forks. Two Python threads that call it at once share the context.

    Args:
        function: as for `Pool.run`; the code must stay loaded as long as the call is used.
        context: as for `Pool.run`.
        threads: at most so many, default all.
        cost: microseconds of the job on one thread; default 1000.

    Raises:
        MachineError: this system runs no compiled code.
    """
    thread_pool()
    wanted = MAX_THREADS if threads is None else threads
    record = (ctypes.c_int64 * 5)(ctypes.addressof(_current), function, context, wanted, int(1000 * cost))
    go = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(_runtime().address("chainrule_go"))
    reference = ctypes.byref(record)  # it also keeps the record

    def call() -> int:
        result = go(reference)
        if result == STALE:
            thread_pool()
            result = go(reference)
        return result

    return call


def thread_pool() -> Pool:
    """Return the pool of this process, with as many threads as `cr.set_num_threads` or CHAINRULE_THREADS say.

    Without them it is the number of cores that this process may use. The pool is made anew when the number has
    changed, and in the child of a fork.

    Raises:
        MachineError: this system runs no compiled code.
        ChainruleError: CHAINRULE_THREADS holds no number of threads.
    """
    global _pool
    wanted = chosen_threads() or _cores()
    if _pool is not None and _pool.wanted == wanted and _pool._words[_LIMITS + 3]:
        return _pool
    with _lock:
        if _pool is None or _pool.wanted != wanted:
            old, _pool = _pool, Pool(wanted)
            _current.value = _pool.block
            if old is not None:
                old.close()
        else:
            _pool._words[_LIMITS + 3] = _pool.size  # told that the number of threads may have changed, which it has not
        return _pool


_cached_cores = 0
_cached_runtime: Loaded | None = None


def _cores() -> int:
    global _cached_cores
    _cached_cores = _cached_cores or system.usable_cores()
    return _cached_cores


def _runtime() -> Loaded:
    """Return the pool's native half, which stays in memory until the process ends: workers wait in it."""
    global _cached_runtime
    if _cached_runtime is None:
        text, target = runtime_text(), host_target()
        _cached_runtime = Loaded(cached(text.encode(), lambda: compile_text([text], target), target))
    return _cached_runtime


def _threads_changed() -> None:
    if _pool is not None:
        _pool._outdate()


def _after_fork() -> None:
    """Leave the parent's pool, whose threads are not here: prepared calls ask for a new one."""
    global _pool, _lock
    _threads_changed()
    _pool, _lock = None, threading.Lock()


on_change.append(_threads_changed)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""Medians, times and memory: what is read from the clock and from /proc, and on which CPUs."""

from __future__ import annotations

import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence

__all__ = ["median", "peak_bytes", "pin", "reset_peak", "thread_counts", "timed"]


def median(values: Sequence[float]) -> float | None:
    """Return the median, None of nothing."""
    return statistics.median(values) if values else None


def thread_counts(count: int) -> dict[str, str]:
    """Return the variables that give every library so many threads, where they are set before it is imported."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CHAINRULE_THREADS")
    return dict.fromkeys(names, str(count))


def timed(call: Callable[[], object], count: int) -> list[float]:
    """Return the seconds of each of `count` calls."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return found


def peak_bytes() -> int:
    """Return the largest resident size of this process since it started, or since `reset_peak`."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's pages: they are this process's until it calls exec
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Let the peak start again from what is resident now, where the system offers it."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the growth is then that beyond the peak of the imports


def pin(count: int) -> None:
    """Confine this process to its first `count` CPUs; libraries that count them start as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])

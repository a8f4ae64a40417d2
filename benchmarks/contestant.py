"""The process of one contestant: it builds a workload in one library, and runs steps when it is told to.

Usage, by the driver: python -m benchmarks.contestant JOB      JOB: JSON of workload, mode, threads, batch, dropout

A line of JSON comes in (`{"do": "steps", "count": 100}`), a line goes out; what a library prints goes to standard
error. While nobody asks, the process sleeps in `readline`, and the driver keeps it stopped besides.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from benchmarks.measure import peak_bytes, pin, reset_peak, timed

__all__ = ["main", "serve"]


def _end_with_parent() -> None:
    """Ask Linux to end this process when the driver dies: a stopped process would stay for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _build(request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import numpy as np

    from benchmarks import peers
    from benchmarks.workload import draw
    from benchmarks.workloads import WORKLOADS

    workload = WORKLOADS[request["workload"]]
    mode = next(mode for mode in peers.modes(workload, [request["mode"]]) if mode.title == request["mode"])
    if not peers.installed(mode.peer):
        raise peers.Skip(f"{mode.peer} is not installed: pip install 'chainrule[bench]'")
    threads = mode.threads or request["threads"]
    pin(threads)
    with np.load(request["batch"]) as file:
        batch = dict(file)
    job = peers.Job(workload, mode.options, threads, draw(workload), batch, request["dropout"])
    library = peers.peer(mode.peer)
    steps = library.build(job)
    if steps.parameters != workload.parameters:
        raise AssertionError(f"{mode.title} has {steps.parameters} parameters, {workload.name} {workload.parameters}")
    return steps, {"version": library.version(), "parameters": steps.parameters}


def _first(steps: Any, count: int, limit: float) -> dict[str, Any]:
    """Run the first steps; return their seconds and losses, and by how many bytes the peak of the memory grew.

    Args:
        steps: the workload.
        count: how many.
        limit: seconds after the first step, at whose end there are fewer; three at least.
    """
    gc.collect()
    reset_peak()
    before = peak_bytes()
    times, losses = [], []
    while len(times) < count and (len(times) < 3 or sum(times[1:]) < limit):
        start = time.perf_counter()
        result = steps.step()
        times.append(time.perf_counter() - start)
        losses.append(steps.value(result))
    return {"seconds": times, "losses": losses, "growth": peak_bytes() - before}


def serve(lines: Any, out: TextIO, build: Callable[[], tuple[Any, dict[str, Any]]]) -> None:
    """Answer each request until "end", the end of the input or an error."""
    steps = None
    for line in lines:
        request = json.loads(line)
        if request["do"] == "end":
            return
        try:
            if request["do"] == "build":
                steps, reply = build()
            elif request["do"] == "first":
                reply = _first(steps, request["count"], request["limit"])
            else:
                reply = {"seconds": timed(steps.step, request["count"])}
        except Exception as error:
            word = "skip" if type(error).__name__ == "Skip" else "error"
            if word == "error":
                traceback.print_exc()
            reply = {word: str(error) if word == "skip" else f"{type(error).__name__}: {error}"}
        out.write(json.dumps(reply) + "\n")
        out.flush()


def main() -> int:
    """Serve the driver on the pipes that were standard input and output."""
    _end_with_parent()
    request = json.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, out, lambda: _build(request))
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a library's threads may take seconds to end

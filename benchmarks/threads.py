"""What the thread pool costs: an empty job, a barrier, waking sleepers, and a step of 50 us beside a busy neighbour.

Usage: python benchmarks/threads.py [THREADS]
Times are microseconds, best and median; run it on an idle machine. THREADS defaults to the cores of this process.
"""

from __future__ import annotations

import ctypes
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target
from chainrule.compiler.llvm.pool import Pool
from chainrule.compiler.llvm.runtime import barrier_text
from chainrule.compiler.system import usable_cores

BARRIERS, PHASES = 1000, 4
TEXT = f"""
declare void @chainrule_barrier(ptr, i64, i64)
define i32 @nothing(ptr %context, i64 %tid, i64 %threads, ptr %pool) nounwind {{
  ret i32 0
}}
define i32 @barriers(ptr %context, i64 %tid, i64 %threads, ptr %pool) nounwind {{
start: br label %again
again: %i = phi i64 [0, %start], [%next, %again]
  call void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, {BARRIERS}
  br i1 %more, label %again, label %leave
leave: ret i32 0
}}
; {PHASES} phases of a sum whose terms, read from the context, are shared out among the threads; a barrier after each
define i32 @step(ptr %context, i64 %tid, i64 %threads, ptr %pool) nounwind {{
start:
  %all = load i64, ptr %context, align 8
  %part = udiv i64 %all, %threads
  br label %phase
phase: %j = phi i64 [0, %start], [%j1, %meet]
  br label %work
work: %i = phi i64 [0, %phase], [%i1, %work]
  %x = phi double [1.0, %phase], [%y, %work]
  %y = fmul double %x, 1.0000001
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %part
  br i1 %more, label %work, label %meet
meet:
  call void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads)
  %j1 = add i64 %j, 1
  %again = icmp slt i64 %j1, {PHASES}
  br i1 %again, label %phase, label %leave
leave:
  %r = fptosi double %y to i32
  ret i32 %r
}}
"""


def measure(call: Callable[[], object], rounds: int, pause: float = 0.0) -> str:
    """Return the best and the median of the calls' microseconds, after a pause before each."""
    call()
    times = []
    for _ in range(rounds):
        if pause:
            time.sleep(pause)
        start = time.perf_counter()
        call()
        times.append(1e6 * (time.perf_counter() - start))
    return f"{min(times):8.2f} {statistics.median(times):8.2f} {sorted(times)[int(0.99 * rounds)]:8.2f}"


def iterations(pool: Pool, step: int, microseconds: float) -> int:
    """Return how many terms a phase needs for a step of this length on one thread."""
    count, took = ctypes.c_int64(10_000), 0.0
    for _ in range(20):
        start = time.perf_counter()
        pool.run(step, ctypes.addressof(count), 1)
        took = 1e6 * (time.perf_counter() - start)
    return int(count.value * microseconds / took)


def main() -> int:
    """Print the table."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else usable_cores()
    pool, code = Pool(threads), Loaded(compile_text([TEXT, barrier_text()], host_target()))
    nothing, barriers, step = map(code.address, ("nothing", "barriers", "step"))
    print(f"{platform.machine()}, {usable_cores()} cores, {pool.size} threads; microseconds: best, median, 99 in 100")
    print(f"an empty job, 1 thread           {measure(lambda: pool.run(nothing, 0, 1), 5000)}")
    print(f"an empty job, all threads        {measure(lambda: pool.run(nothing, 0, cost=-1), 5000)}")
    print(f"{BARRIERS} barriers                    {measure(lambda: pool.run(barriers, 0, cost=-1), 100)}")
    print(f"an empty job, sleepers woken     {measure(lambda: pool.run(nothing, 0, cost=-1), 200, 3e-3)}")
    print(f"a short job finds sleepers       {measure(lambda: pool.run(nothing, 0, cost=10), 200, 3e-3)}")
    count = ctypes.c_int64(iterations(pool, step, 50))
    for neighbours in (0, 1, threads):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
        time.sleep(0.3)
        for used in (1, threads):
            row = measure(lambda used=used: pool.run(step, ctypes.addressof(count), used, 50), 20_000)
            print(f"a step of 50 us, {used} threads, {neighbours} neighbours  {row}")
        for process in busy:
            process.kill()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

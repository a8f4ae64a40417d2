"""Native jobs that the tests of the thread pool run, and how they are checked."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from chainrule.compiler import system
from chainrule.compiler.llvm import runtime
from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target
from chainrule.compiler.llvm.pool import Pool

THREADS = pytest.mark.skipif(system.futex_number() is None, reason="this system has one thread")

# The context is 64-bit words. present: word tid gets the team's size. rounds: word 0 is counted up by every thread in
# each of `word 1` rounds and compared with what it must be between two barriers; word 2 counts the errors. Thread
# `word 3` comes late to every barrier. wait: until word 0 is set. tiny: word tid gets 1 where denormals are flushed.
TEXT = """
declare void @chainrule_barrier(ptr, i64, i64)
declare i32 @sched_yield()
define i32 @present(ptr %c, i64 %tid, i64 %threads, ptr %pool) nounwind {
  %p = getelementptr i64, ptr %c, i64 %tid
  %old = atomicrmw add ptr %p, i64 %threads seq_cst
  %number = trunc i64 %threads to i32
  %r = sub i32 0, %number
  ret i32 %r
}
define i32 @rounds(ptr %c, i64 %tid, i64 %threads, ptr %pool) nounwind {
start:
  %np = getelementptr i64, ptr %c, i64 1
  %n = load i64, ptr %np, align 8
  %ep = getelementptr i64, ptr %c, i64 2
  %lp = getelementptr i64, ptr %c, i64 3
  %late = load i64, ptr %lp, align 8
  %dawdle = icmp eq i64 %late, %tid
  br label %look
look:
  %i = phi i64 [0, %start], [%i1, %meet]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %round, label %leave
round:
  %i1 = add i64 %i, 1
  br i1 %dawdle, label %yield, label %count
yield:
  %y = call i32 @sched_yield()
  br label %count
count:
  %a = atomicrmw add ptr %c, i64 1 monotonic
  call void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads)
  %v = load atomic i64, ptr %c monotonic, align 8
  %want = mul i64 %i1, %threads
  %right = icmp eq i64 %v, %want
  br i1 %right, label %meet, label %wrong
wrong:
  %e = atomicrmw add ptr %ep, i64 1 monotonic
  br label %meet
meet:
  call void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads)
  br label %look
leave:
  %r = trunc i64 %threads to i32
  ret i32 %r
}
define i32 @wait(ptr %c, i64 %tid, i64 %threads, ptr %pool) nounwind {
start:
  %sp = getelementptr i64, ptr %c, i64 1
  store atomic i64 1, ptr %sp seq_cst, align 8
  br label %look
look:
  %v = load atomic i64, ptr %c acquire, align 8
  %go = icmp ne i64 %v, 0
  br i1 %go, label %leave, label %again
again:
  %y = call i32 @sched_yield()
  br label %look
leave:
  %r = trunc i64 %threads to i32
  ret i32 %r
}
define i32 @tiny(ptr %c, i64 %tid, i64 %threads, ptr %pool) nounwind {
  %own = alloca float, align 4
  store volatile float 0x3810000000000000, ptr %own, align 4
  %x = load volatile float, ptr %own, align 4
  %half = fmul float %x, 0.5
  %out = fcmp oeq float %half, 0.0
  store volatile i32 65536, ptr %own, align 4
  %d = load volatile float, ptr %own, align 4
  %scaled = fmul float %d, 0x4630000000000000
  %in = fcmp oeq float %scaled, 0.0
  %both = and i1 %out, %in
  %r = zext i1 %both to i64
  %p = getelementptr i64, ptr %c, i64 %tid
  store i64 %r, ptr %p, align 8
  call void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads)
  ret i32 1
}
"""


def compiled() -> Loaded:
    """Return the jobs of TEXT, ready to run."""
    return Loaded(compile_text([TEXT, runtime.barrier_text()], host_target()))


@contextlib.contextmanager
def pool_of(size: int) -> Iterator[Pool]:
    pool = Pool(size)
    try:
        yield pool
    finally:
        pool.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come; a minute is forever."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


def rounds(pool: Pool, native: Callable[[str], int], threads: int, count: int, cost: float = -1) -> None:
    """Assert that a job with `count` rounds of two barriers runs without an error."""
    context = np.zeros(4, np.int64)
    context[1], context[3] = count, random.randrange(threads)
    team = pool.run(native("rounds"), context.ctypes.data, threads, cost)
    assert 1 <= team <= threads
    assert context[:3].tolist() == [team * count, count, 0]

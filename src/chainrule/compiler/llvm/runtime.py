"""The thread pool's native half, as LLVM's text: one block of memory, and the functions that work on it.

Everything stands in the pool's block, in lines of 128 bytes so that threads don't pull at each other's data:

    line 0  generation          bumped when a job is published; workers watch it and sleep on it
    line 1  gate, team, threads, function, context      the job; `gate` has bit w - 1 for each worker w that has joined
    line 2  done                how many workers have finished the job
    line 3  arrivals            the barrier's counter, from 0 in each job
    line 4  sleepers, alive, late, quit
    line 5  busy, and the callers' notes: cap, mark, backoff, countdown, threads of the last job
    line 6  how long to spin, to yield, what is a short job, and how many threads there are (0: ask for a new pool)
    line 8 + w                  thread w: its barrier's next goal, its number, the block

How a job is run: the caller publishes it, then waits a moment for workers to *join*. Whoever joined in time is the
team; the others are refused and wait for the next job. So nobody ever waits for a thread that sleeps or that the system
has put aside: with none joined the caller works alone. Since the number of threads does not change the bits, it
may differ from call to call. Workers finish by counting up `done`; only the caller waits for that.

A short job does not wait for sleepers. It wakes them for the calls to come, less and less often while that proves
useless. Workers that miss a job are not waited for again until they have shown, by being refused, that they run.

The worker stands in `runtime_worker`, the caller in `runtime_caller`, what both need and the barrier here.

Denormals are flushed on every thread while a job runs, and the caller's old control word comes back at its end.
"""

from __future__ import annotations

from chainrule.compiler import system
from chainrule.compiler.llvm.runtime_caller import CALLER
from chainrule.compiler.llvm.runtime_worker import WORKER

__all__ = ["BLOCK_BYTES", "MAX_THREADS", "STALE", "barrier_text", "runtime_text"]

MAX_THREADS = 64
STALE = -(1 << 31)  # what chainrule_go returns where the pool is out of date and nothing was run
BLOCK_BYTES = system.LINE * (8 + MAX_THREADS)

_X86 = """
declare void @llvm.x86.sse2.pause()
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define hidden i64 @chainrule_flush() noinline nounwind {            ; FTZ and DAZ; returns the old control word
  %p = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %p)
  %old = load i32, ptr %p, align 4
  %new = or i32 %old, 32832
  store i32 %new, ptr %p, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %p)
  %wide = zext i32 %old to i64
  ret i64 %wide
}
define hidden void @chainrule_restore(i64 %wide) noinline nounwind {
  %p = alloca i32, align 4
  %old = trunc i64 %wide to i32
  store i32 %old, ptr %p, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %p)
  ret void
}
"""

_ARM = """
declare void @llvm.aarch64.hint(i32)
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define hidden i64 @chainrule_flush() noinline nounwind {            ; FZ; returns the old control word
  %old = call i64 @llvm.aarch64.get.fpcr()
  %new = or i64 %old, 16777216
  call void @llvm.aarch64.set.fpcr(i64 %new)
  ret i64 %old
}
define hidden void @chainrule_restore(i64 %old) noinline nounwind {
  call void @llvm.aarch64.set.fpcr(i64 %old)
  ret void
}
"""

_ALONE = """
define i32 @chainrule_run_alone(ptr %pool, ptr %function, ptr %context) nounwind {
  %notes = getelementptr [128 x i8], ptr %pool, i64 5
  %lastp = getelementptr i64, ptr %notes, i64 5
  store atomic i64 1, ptr %lastp monotonic, align 8
  %word = call i64 @chainrule_flush()
  %r = call i32 %function(ptr %context, i64 0, i64 1, ptr %pool)
  call void @chainrule_restore(i64 %word)
  ret i32 %r
}
"""

# Arrivals are counted up and never down within a job, so a round needs one atomic addition and no reset. Who waits
# polls, then pauses, then gives the core away: the thread it waits for may be next in line on this very core.
_BARRIER = """
declare i32 @sched_yield()
define void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads) noinline nounwind {
start:
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %leave, label %arrive
arrive:
  %line = add i64 %tid, 8
  %own = getelementptr [128 x i8], ptr %pool, i64 %line
  %before = load i64, ptr %own, align 8
  %goal = add i64 %before, %threads
  store i64 %goal, ptr %own, align 8
  %counter = getelementptr [128 x i8], ptr %pool, i64 3
  %old = atomicrmw add ptr %counter, i64 1 seq_cst
  br label %look
look:
  %n = phi i64 [0, %arrive], [%n1, %again]
  %now = load atomic i64, ptr %counter acquire, align 8
  %all = icmp sge i64 %now, %goal
  br i1 %all, label %leave, label %wait
wait:
  %n1 = add i64 %n, 1
  %early = icmp slt i64 %n1, 64
  br i1 %early, label %again, label %slow
slow:
  PAUSE
  %tired = icmp sgt i64 %n1, 600
  br i1 %tired, label %yield, label %again
yield:
  %r = call i32 @sched_yield()
  br label %again
again:
  br label %look
leave:
  ret void
}
"""

_NO_BARRIER = """
define void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads) noinline nounwind {
  ret void
}
"""

# One argument, since each costs ctypes 0.1 us: a record of where the address of the process's block stands, function,
# context, threads and cost.
_GO = """
define i32 @chainrule_go(ptr %record) nounwind {
  %word = load ptr, ptr %record, align 8
  %pool = load atomic ptr, ptr %word acquire, align 8
  %limits = getelementptr [128 x i8], ptr %pool, i64 6
  %sizep = getelementptr i64, ptr %limits, i64 3
  %size = load atomic i64, ptr %sizep acquire, align 8
  %stale = icmp eq i64 %size, 0
  br i1 %stale, label %refuse, label %run
refuse:
  ret i32 -2147483648
run:
  %functionp = getelementptr i64, ptr %record, i64 1
  %function = load ptr, ptr %functionp, align 8
  %contextp = getelementptr i64, ptr %record, i64 2
  %context = load ptr, ptr %contextp, align 8
  %wantedp = getelementptr i64, ptr %record, i64 3
  %wanted = load i64, ptr %wantedp, align 8
  %fewer = icmp slt i64 %wanted, %size
  %threads = select i1 %fewer, i64 %wanted, i64 %size
  %costp = getelementptr i64, ptr %record, i64 4
  %cost = load i64, ptr %costp, align 8
  %r = call i32 @chainrule_run(ptr %pool, ptr %function, ptr %context, i64 %threads, i64 %cost)
  ret i32 %r
}
"""

_RUN_ALONE = """
define i32 @chainrule_run(ptr %pool, ptr %function, ptr %context, i64 %threads, i64 %cost) nounwind {
  %r = call i32 @chainrule_run_alone(ptr %pool, ptr %function, ptr %context)
  ret i32 %r
}
"""


def barrier_text() -> str:
    """Return the module that a program with barriers is linked with.

    The program declares `declare void @chainrule_barrier(ptr, i64, i64)` and calls it on all its threads with the
    pool's block, its own number and the number of threads.
    """
    return _fill(_NO_BARRIER if system.futex_number() is None else _BARRIER + _pause())


def runtime_text() -> str:
    """Return the module of the pool: `chainrule_run` and `_go`, and where there are threads `_start` and `_quit`."""
    words = _ARM if system.architecture() == "aarch64" else _X86
    if system.futex_number() is None:
        return _fill(words + _ALONE + _RUN_ALONE + _GO)
    return _fill(words + _ALONE + WORKER + CALLER + _GO)


def _pause() -> str:
    if system.architecture() == "aarch64":
        return "declare void @llvm.aarch64.hint(i32)\n"
    return "declare void @llvm.x86.sse2.pause()\n"


def _fill(text: str) -> str:
    arm = system.architecture() == "aarch64"
    pause = "call void @llvm.aarch64.hint(i32 1)" if arm else "call void @llvm.x86.sse2.pause()"
    return text.replace("PAUSE", pause).replace("FUTEX", str(system.futex_number()))

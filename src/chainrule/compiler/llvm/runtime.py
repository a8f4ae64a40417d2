"""The thread pool's native half, as LLVM's text: one block of memory, and four functions that work on it.

Everything stands in the pool's block, in lines of 128 bytes so that threads don't pull at each other's data:

    line 0  generation          bumped when a job is published; workers watch it and sleep on it
    line 1  gate, team, threads, function, context      the job; `gate` has bit w - 1 for each worker w that has joined
    line 2  done                how many workers have finished the job
    line 3  arrivals            the barrier's counter, from 0 in each job
    line 4  sleepers, alive, late, quit
    line 5  busy, and the callers' notes: cap, mark, backoff, countdown, threads of the last job
    line 6  how long to spin, to yield, and what is a short job
    line 8 + w                  thread w: its barrier's next goal, its number, the block

How a job is run: the caller publishes it, then waits a moment for workers to *join*. Whoever joined in time is the
team; the others are refused and wait for the next job. So nobody ever waits for a thread that sleeps or that the system
has put aside: with none joined the caller works alone. Since the number of threads does not change the bits, it
may differ from call to call. Workers finish by counting up `done`; only the caller waits for that.

A short job does not wait for sleepers. It wakes them for the calls to come, less and less often while that proves
useless. Workers that miss a job are not waited for again until they have shown, by being refused, that they run.

Denormals are flushed on every thread while a job runs, and the caller's old control word comes back at its end.
"""

from __future__ import annotations

from chainrule.compiler import system

__all__ = ["BLOCK_BYTES", "MAX_THREADS", "barrier_text", "runtime_text"]

MAX_THREADS = 64
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
define hidden void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads) noinline nounwind {
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
  %tired = icmp sgt i64 %n1, 3000
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
define hidden void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads) noinline nounwind {
  ret void
}
"""

_POOL = """
declare i32 @sched_yield()
declare i64 @syscall(i64, ...)
declare i32 @clock_gettime(i32, ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i64 @llvm.ctpop.i64(i64)

define internal i64 @now() noinline nounwind {                      ; nanoseconds
  %p = alloca [2 x i64], align 8
  %r = call i32 @clock_gettime(i32 1, ptr %p)
  %s = load i64, ptr %p, align 8
  %q = getelementptr i64, ptr %p, i64 1
  %ns = load i64, ptr %q, align 8
  %sn = mul i64 %s, 1000000000
  %t = add i64 %sn, %ns
  ret i64 %t
}

; The mask of the team once it is known, else 0. `full` is the mask of everybody who may join.
define internal i64 @team(ptr %job, i64 %full) alwaysinline nounwind {
  %gate = load atomic i64, ptr %job acquire, align 8
  %closed = icmp slt i64 %gate, 0
  br i1 %closed, label %told, label %open
told:
  %teamp = getelementptr i64, ptr %job, i64 1
  %mask = load atomic i64, ptr %teamp acquire, align 8
  ret i64 %mask
open:
  %here = and i64 %gate, %full
  %all = icmp eq i64 %here, %full
  %r = select i1 %all, i64 %full, i64 0
  ret i64 %r
}

; As thread `number` of the pool: wait, join, work, count; until told to quit.
define ptr @chainrule_worker(ptr %line) nounwind {
start:
  %np = getelementptr i64, ptr %line, i64 1
  %number = load i64, ptr %np, align 8
  %pp = getelementptr i64, ptr %line, i64 2
  %pool = load ptr, ptr %pp, align 8
  %job = getelementptr [128 x i8], ptr %pool, i64 1
  %threadsp = getelementptr i64, ptr %job, i64 2
  %functionp = getelementptr i64, ptr %job, i64 3
  %contextp = getelementptr i64, ptr %job, i64 4
  %donep = getelementptr [128 x i8], ptr %pool, i64 2
  %sleepersp = getelementptr [128 x i8], ptr %pool, i64 4
  %alivep = getelementptr i64, ptr %sleepersp, i64 1
  %latep = getelementptr i64, ptr %sleepersp, i64 2
  %quitp = getelementptr i64, ptr %sleepersp, i64 3
  %spinp = getelementptr [128 x i8], ptr %pool, i64 6
  %yieldp = getelementptr i64, ptr %spinp, i64 1
  %bitno = sub i64 %number, 1
  %bit = shl i64 1, %bitno
  %below = sub i64 %bit, 1
  %word = call i64 @chainrule_flush()
  br label %idle
idle:
  %seen = phi i64 [0, %start], [%g, %refused], [%g, %finish]
  %spin = load i64, ptr %spinp, align 8
  %yield = load i64, ptr %yieldp, align 8
  %since = call i64 @now()
  br label %look
look:
  %n = phi i64 [0, %idle], [%n1, %pause], [%n1, %check], [%n1, %yielding], [0, %sleep]
  %from = phi i64 [%since, %idle], [%from, %pause], [%from, %check], [%from, %yielding], [%woken, %sleep]
  %g = load atomic i64, ptr %pool acquire, align 8
  %new = icmp ne i64 %g, %seen
  br i1 %new, label %called, label %wait
wait:
  %n1 = add i64 %n, 1
  %low = and i64 %n1, 31
  %due = icmp eq i64 %low, 0
  br i1 %due, label %check, label %pause
pause:
  PAUSE
  br label %look
check:
  %t = call i64 @now()
  %spent = sub i64 %t, %from
  %fresh = icmp slt i64 %spent, %spin
  br i1 %fresh, label %look, label %tired
tired:
  %patient = icmp slt i64 %spent, %yield
  br i1 %patient, label %yielding, label %sleep
yielding:
  %y = call i32 @sched_yield()
  br label %look
sleep:
  %s1 = atomicrmw add ptr %sleepersp, i64 1 seq_cst
  %f = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %pool, i64 128, i64 %seen, i64 0, i64 0, i64 0)
  %s2 = atomicrmw sub ptr %sleepersp, i64 1 seq_cst
  %woken = call i64 @now()
  br label %look
called:
  %quit = load atomic i64, ptr %quitp acquire, align 8
  %over = icmp ne i64 %quit, 0
  br i1 %over, label %leave, label %join
join:
  %old = atomicrmw or ptr %job, i64 %bit seq_cst
  %closed = icmp slt i64 %old, 0
  br i1 %closed, label %refused, label %open
open:
  %threads = load i64, ptr %threadsp, align 8
  %others = sub i64 %threads, 1
  %above = shl i64 1, %others
  %full = sub i64 %above, 1
  %mine = and i64 %bit, %full
  %unwanted = icmp eq i64 %mine, 0
  %had = and i64 %old, %bit
  %again = icmp ne i64 %had, 0
  %no = or i1 %unwanted, %again
  br i1 %no, label %refused, label %joined
refused:
  %l = atomicrmw add ptr %latep, i64 1 monotonic
  br label %idle
joined:
  %k = phi i64 [0, %open], [%k1, %waiting], [%k1, %giving]
  %mask = call i64 @team(ptr %job, i64 %full)
  %known = icmp ne i64 %mask, 0
  br i1 %known, label %work, label %waiting
waiting:
  %k1 = add i64 %k, 1
  PAUSE
  %long = icmp sgt i64 %k1, 3000
  br i1 %long, label %giving, label %joined
giving:
  %y2 = call i32 @sched_yield()
  br label %joined
work:
  %lower = and i64 %mask, %below
  %before = call i64 @llvm.ctpop.i64(i64 %lower)
  %tid = add i64 %before, 1
  %members = call i64 @llvm.ctpop.i64(i64 %mask)
  %team = add i64 %members, 1
  %tline = add i64 %tid, 8
  %goalp = getelementptr [128 x i8], ptr %pool, i64 %tline
  store i64 0, ptr %goalp, align 8
  %function = load ptr, ptr %functionp, align 8
  %context = load ptr, ptr %contextp, align 8
  %r = call i32 %function(ptr %context, i64 %tid, i64 %team, ptr %pool)
  br label %finish
finish:
  %d = atomicrmw add ptr %donep, i64 1 seq_cst
  br label %idle
leave:
  %a = atomicrmw sub ptr %alivep, i64 1 seq_cst
  ret ptr null
}

; Start worker `number`; 0, or the system's reason why not. Its stack is the system's usual one.
define i32 @chainrule_start(ptr %pool, i64 %number) nounwind {
  %lineno = add i64 %number, 8
  %line = getelementptr [128 x i8], ptr %pool, i64 %lineno
  %np = getelementptr i64, ptr %line, i64 1
  store i64 %number, ptr %np, align 8
  %pp = getelementptr i64, ptr %line, i64 2
  store ptr %pool, ptr %pp, align 8
  %sleepersp = getelementptr [128 x i8], ptr %pool, i64 4
  %alivep = getelementptr i64, ptr %sleepersp, i64 1
  %a = atomicrmw add ptr %alivep, i64 1 seq_cst
  %handle = alloca i64, align 8
  %r = call i32 @pthread_create(ptr %handle, ptr null, ptr @chainrule_worker, ptr %line)
  %failed = icmp ne i32 %r, 0
  br i1 %failed, label %undo, label %detach
undo:
  %b = atomicrmw sub ptr %alivep, i64 1 seq_cst
  ret i32 %r
detach:
  %h = load i64, ptr %handle, align 8
  %d = call i32 @pthread_detach(i64 %h)
  ret i32 0
}

; Wake everybody who sleeps, after a bump of the generation.
define internal void @wake(ptr %pool) noinline nounwind {
  %f = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %pool, i64 129, i64 1024, i64 0, i64 0, i64 0)
  ret void
}

; Tell the workers to end. Only when no job runs.
define void @chainrule_quit(ptr %pool) nounwind {
  %sleepersp = getelementptr [128 x i8], ptr %pool, i64 4
  %quitp = getelementptr i64, ptr %sleepersp, i64 3
  store atomic i64 1, ptr %quitp seq_cst, align 8
  %g = atomicrmw add ptr %pool, i64 1 seq_cst
  call void @wake(ptr %pool)
  ret void
}
"""

_RUN = """
; Run function(context, tid, threads, pool) on at most `threads` threads, `cost` nanoseconds of work on one; a negative
; cost waits for all of them, unless they are told to quit. The result is thread 0's.
define i32 @chainrule_run(ptr %pool, ptr %function, ptr %context, i64 %threads, i64 %cost) nounwind {
start:
  %many = icmp sgt i64 %threads, 1
  br i1 %many, label %claim, label %alone
alone:
  %ra = call i32 @chainrule_run_alone(ptr %pool, ptr %function, ptr %context)
  ret i32 %ra
claim:
  %busyp = getelementptr [128 x i8], ptr %pool, i64 5
  %pair = cmpxchg ptr %busyp, i64 0, i64 1 seq_cst seq_cst
  %mine = extractvalue {i64, i1} %pair, 1
  br i1 %mine, label %plan, label %alone
plan:
  %capp = getelementptr i64, ptr %busyp, i64 1
  %markp = getelementptr i64, ptr %busyp, i64 2
  %backoffp = getelementptr i64, ptr %busyp, i64 3
  %countdownp = getelementptr i64, ptr %busyp, i64 4
  %job = getelementptr [128 x i8], ptr %pool, i64 1
  %teamp = getelementptr i64, ptr %job, i64 1
  %threadsp = getelementptr i64, ptr %job, i64 2
  %functionp = getelementptr i64, ptr %job, i64 3
  %contextp = getelementptr i64, ptr %job, i64 4
  %donep = getelementptr [128 x i8], ptr %pool, i64 2
  %counterp = getelementptr [128 x i8], ptr %pool, i64 3
  %sleepersp = getelementptr [128 x i8], ptr %pool, i64 4
  %latep = getelementptr i64, ptr %sleepersp, i64 2
  %limits = getelementptr [128 x i8], ptr %pool, i64 6
  %shortp = getelementptr i64, ptr %limits, i64 2
  %others = sub i64 %threads, 1
  %above = shl i64 1, %others
  %full = sub i64 %above, 1
  %short.limit = load i64, ptr %shortp, align 8
  %all = icmp slt i64 %cost, 0
  %cheap = icmp slt i64 %cost, %short.limit
  %not.all = xor i1 %all, true
  %short = and i1 %cheap, %not.all
  %sleepers = load atomic i64, ptr %sleepersp seq_cst, align 8
  br i1 %short, label %frugal, label %publish

frugal:                                                             ; how many can we hope for, and do we wake anybody
  %late0 = load atomic i64, ptr %latep monotonic, align 8
  %mark = load i64, ptr %markp, align 8
  %same = icmp eq i64 %late0, %mark
  %cap0 = load i64, ptr %capp, align 8
  %cap = select i1 %same, i64 %cap0, i64 64
  store i64 %cap, ptr %capp, align 8
  %awake0 = sub i64 %others, %sleepers
  %none = icmp slt i64 %awake0, 0
  %awake = select i1 %none, i64 0, i64 %awake0
  %capped = icmp slt i64 %cap, %awake
  %hope = select i1 %capped, i64 %cap, i64 %awake
  %rested = icmp eq i64 %sleepers, 0
  br i1 %rested, label %lively, label %drowsy
lively:
  store i64 1, ptr %backoffp, align 8
  store i64 0, ptr %countdownp, align 8
  br label %decided
drowsy:
  %countdown = load i64, ptr %countdownp, align 8
  %due = icmp sle i64 %countdown, 0
  br i1 %due, label %nudge, label %later
later:
  %cd1 = sub i64 %countdown, 1
  store i64 %cd1, ptr %countdownp, align 8
  br label %decided
nudge:
  %backoff = load i64, ptr %backoffp, align 8
  store i64 %backoff, ptr %countdownp, align 8
  %twice = mul i64 %backoff, 2
  %much = icmp sgt i64 %twice, 1024
  %next = select i1 %much, i64 1024, i64 %twice
  store i64 %next, ptr %backoffp, align 8
  br label %decided
decided:
  %rouse = phi i1 [false, %lively], [false, %later], [true, %nudge]
  %hopeless = icmp eq i64 %hope, 0
  br i1 %hopeless, label %maybe, label %publish
maybe:
  br i1 %rouse, label %rousing, label %unclaim
rousing:                                                            ; the gate is closed: refused, and then awake
  %gr = atomicrmw add ptr %pool, i64 1 seq_cst
  call void @wake(ptr %pool)
  br label %unclaim
unclaim:
  store atomic i64 0, ptr %busyp release, align 8
  br label %alone

publish:
  %wanted = phi i64 [%others, %plan], [%hope, %decided]
  %do.wake = phi i1 [true, %plan], [%rouse, %decided]
  %word = call i64 @chainrule_flush()
  store i64 %threads, ptr %threadsp, align 8
  store ptr %function, ptr %functionp, align 8
  store ptr %context, ptr %contextp, align 8
  store atomic i64 0, ptr %donep monotonic, align 8
  store atomic i64 0, ptr %counterp monotonic, align 8
  store atomic i64 0, ptr %teamp monotonic, align 8
  %own = getelementptr [128 x i8], ptr %pool, i64 8
  store i64 0, ptr %own, align 8
  store atomic i64 0, ptr %job release, align 8                     ; the gate opens
  %g = atomicrmw add ptr %pool, i64 1 seq_cst
  %asleep = load atomic i64, ptr %sleepersp seq_cst, align 8
  %any = icmp ne i64 %asleep, 0
  %both = and i1 %any, %do.wake
  br i1 %both, label %waking, label %gather
waking:
  call void @wake(ptr %pool)
  br label %gather
gather:                                                             ; a moment to join: 4 us and an eighth of the
  %woke = phi i64 [0, %publish], [1, %waking]                       ; work, half where they were woken; at most 1 ms
  %part = sub i64 3, %woke
  %part2 = sub i64 %part, %woke
  %share = lshr i64 %cost, %part2
  %share.big = icmp sgt i64 %share, 1000000
  %share.cut = select i1 %share.big, i64 1000000, i64 %share
  %grace = add i64 %share.cut, 4000
  br label %look
look:
  %n = phi i64 [0, %gather], [%n1, %pause], [%n1, %look.again], [%n1, %give]
  %from = phi i64 [0, %gather], [%from, %pause], [%from2, %look.again], [%from2, %give]
  %gate = load atomic i64, ptr %job acquire, align 8
  %in = and i64 %gate, %full
  %count = call i64 @llvm.ctpop.i64(i64 %in)
  %enough = icmp sge i64 %count, %wanted
  br i1 %enough, label %ready, label %wait
wait:
  %n1 = add i64 %n, 1
  %low = and i64 %n1, 31
  %now.due = icmp eq i64 %low, 0
  br i1 %now.due, label %check, label %pause
pause:
  PAUSE
  br label %look
check:
  %t = call i64 @now()
  %first = icmp eq i64 %from, 0
  %from2 = select i1 %first, i64 %t, i64 %from
  %spent = sub i64 %t, %from2
  %expired = icmp sge i64 %spent, %grace
  %enough.time = and i1 %expired, %not.all
  %quitp = getelementptr i64, ptr %sleepersp, i64 3
  %quit = load atomic i64, ptr %quitp acquire, align 8
  %ending = icmp ne i64 %quit, 0
  %stop = or i1 %enough.time, %ending
  br i1 %stop, label %ready, label %patience
patience:
  %tired = icmp sgt i64 %spent, 30000
  br i1 %tired, label %give, label %look.again
look.again:
  br label %look
give:
  %y = call i32 @sched_yield()
  br label %look

ready:                                                              ; everybody, or as many as joined
  %everybody = icmp eq i64 %in, %full
  br i1 %everybody, label %work, label %close
close:
  %late1 = load atomic i64, ptr %latep monotonic, align 8
  %old = atomicrmw or ptr %job, i64 -9223372036854775808 seq_cst
  %members = and i64 %old, %full
  store atomic i64 %members, ptr %teamp release, align 8
  %got = call i64 @llvm.ctpop.i64(i64 %members)
  %missing = icmp slt i64 %got, %wanted
  br i1 %missing, label %remember, label %work
remember:
  store i64 %got, ptr %capp, align 8
  store i64 %late1, ptr %markp, align 8
  br label %work
work:
  %k = phi i64 [%others, %ready], [%got, %close], [%got, %remember]
  %team = add i64 %k, 1
  %lastp = getelementptr i64, ptr %busyp, i64 5
  store atomic i64 %team, ptr %lastp monotonic, align 8
  %r = call i32 %function(ptr %context, i64 0, i64 %team, ptr %pool)
  br label %done
done:
  %m = phi i64 [0, %work], [%m1, %hurry], [%m1, %resting], [%m1, %give2]
  %d = load atomic i64, ptr %donep acquire, align 8
  %finished = icmp sge i64 %d, %k
  br i1 %finished, label %leave, label %wait2
wait2:
  %m1 = add i64 %m, 1
  %early = icmp slt i64 %m1, 64
  br i1 %early, label %hurry, label %slow
hurry:
  br label %done
slow:
  PAUSE
  %tired2 = icmp sgt i64 %m1, 3000
  br i1 %tired2, label %give2, label %resting
resting:
  br label %done
give2:
  %y2 = call i32 @sched_yield()
  br label %done
leave:
  store atomic i64 -9223372036854775808, ptr %job release, align 8  ; the gate is closed between jobs
  store atomic i64 0, ptr %busyp release, align 8
  call void @chainrule_restore(i64 %word)
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
    """Return the module of the pool: `chainrule_run`, and with threads `chainrule_start` and `chainrule_quit`."""
    words = _ARM if system.architecture() == "aarch64" else _X86
    if system.futex_number() is None:
        return _fill(words + _ALONE + _RUN_ALONE)
    return _fill(words + _ALONE + _POOL + _RUN)


def _pause() -> str:
    if system.architecture() == "aarch64":
        return "declare void @llvm.aarch64.hint(i32)\n"
    return "declare void @llvm.x86.sse2.pause()\n"


def _fill(text: str) -> str:
    arm = system.architecture() == "aarch64"
    pause = "call void @llvm.aarch64.hint(i32 1)" if arm else "call void @llvm.x86.sse2.pause()"
    return text.replace("PAUSE", pause).replace("FUTEX", str(system.futex_number()))

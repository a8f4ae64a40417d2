"""A worker of the thread pool in LLVM's text: wait, join, work, count; how it is started and told to end.

The block that all this works on is described in `runtime`. PAUSE and FUTEX are filled in there.
"""

from __future__ import annotations

__all__ = ["WORKER", "now_text"]


def now_text(clock: int) -> str:
    """Return `i64 now()`, in nanoseconds of a clock of `clock_gettime`, which the module has to declare."""
    return _NOW.replace("CLOCK", str(clock))


_NOW = """define internal i64 @now() noinline nounwind {                      ; nanoseconds
  %p = alloca [2 x i64], align 8
  %r = call i32 @clock_gettime(i32 CLOCK, ptr %p)
  %s = load i64, ptr %p, align 8
  %q = getelementptr i64, ptr %p, i64 1
  %ns = load i64, ptr %q, align 8
  %sn = mul i64 %s, 1000000000
  %t = add i64 %sn, %ns
  ret i64 %t
}
"""

_DECLARED = """
declare i32 @sched_yield()
declare i64 @syscall(i64, ...)
declare i32 @clock_gettime(i32, ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i64 @llvm.ctpop.i64(i64)

"""

_WORK = """
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
  %long = icmp sgt i64 %k1, 600
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

WORKER = _DECLARED + now_text(1) + _WORK

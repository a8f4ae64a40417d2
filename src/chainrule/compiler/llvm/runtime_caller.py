"""The caller's side of the thread pool in LLVM's text: publish a job, take who joins, work, wait for the others.

The block that all this works on is described in `runtime`. PAUSE is filled in there; `now` and `wake` are the worker's.
"""

from __future__ import annotations

__all__ = ["CALLER"]

CALLER = """
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
  %tired2 = icmp sgt i64 %m1, 600
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

"""Many steps in one native call: gather a batch, run the step, keep its results, and again.

    i32 chainrule_many(ptr job, i64 thread, i64 threads, ptr pool)

It runs like a step on every thread of a team, and calls the step's own function by its address: the machine code of
a step is the same whether one or a thousand run per call. The job is a record of 64-bit words:

    step, its context, its flag, steps to do, steps done, inputs, results, indices, rows of a batch
    per input   data, bytes from row to row, bytes of a row, batch (0: none), place in the step's context, bytes ahead
    per result  where the step leaves it, bytes, where it goes, bytes from one step's place to the next's

An input with a batch is gathered: its rows `indices[k]` are copied there, shared between the threads, and the rows of
the following step are fetched into the cache meanwhile. One without is a slice: the step reads it where it lies.
Results are copied after each step; with 0 bytes between places they are small state that the step could not update
where it lies. A step that sets its flag is the last one: it is not counted as done, and has changed nothing.
"""

from __future__ import annotations

from chainrule.compiler.llvm.cache import cached
from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target
from chainrule.compiler.llvm.runtime import barrier_text

__all__ = ["DONE", "HEAD", "INPUT_WORDS", "RESULT_WORDS", "many_steps"]

HEAD, INPUT_WORDS, RESULT_WORDS = 9, 6, 4  # words of the record, in that order
DONE = 4  # the word that says how many steps were done

_TEXT = """
declare void @chainrule_barrier(ptr, i64, i64)
declare ptr @memcpy(ptr, ptr, i64)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)

define i32 @chainrule_many(ptr %job, i64 %thread, i64 %threads, ptr %pool) nounwind {
start:
  %step = load ptr, ptr %job, align 8
  %p1 = getelementptr i64, ptr %job, i64 1
  %context = load ptr, ptr %p1, align 8
  %p2 = getelementptr i64, ptr %job, i64 2
  %flag = load ptr, ptr %p2, align 8
  %p3 = getelementptr i64, ptr %job, i64 3
  %steps = load i64, ptr %p3, align 8
  %donep = getelementptr i64, ptr %job, i64 4
  %p5 = getelementptr i64, ptr %job, i64 5
  %inputs = load i64, ptr %p5, align 8
  %p6 = getelementptr i64, ptr %job, i64 6
  %results = load i64, ptr %p6, align 8
  %p7 = getelementptr i64, ptr %job, i64 7
  %indices = load ptr, ptr %p7, align 8
  %p8 = getelementptr i64, ptr %job, i64 8
  %batch = load i64, ptr %p8, align 8
  %input.table = getelementptr i64, ptr %job, i64 9
  %input.words = mul i64 %inputs, 6
  %result.table = getelementptr i64, ptr %input.table, i64 %input.words
  %first = icmp eq i64 %thread, 0
  %begin.wide = mul i64 %thread, %batch
  %begin = udiv i64 %begin.wide, %threads
  %thread1 = add i64 %thread, 1
  %end.wide = mul i64 %thread1, %batch
  %end = udiv i64 %end.wide, %threads
  %rows = mul i64 %steps, %batch
  br label %step.head

step.head:
  %k = phi i64 [0, %start], [%k1, %following]
  %now = mul i64 %k, %batch
  br label %input.head

input.head:
  %i = phi i64 [0, %step.head], [%i1, %input.end]
  %more.inputs = icmp slt i64 %i, %inputs
  br i1 %more.inputs, label %input, label %ready
input:
  %record = getelementptr [6 x i64], ptr %input.table, i64 %i
  %data = load ptr, ptr %record, align 8
  %q1 = getelementptr i64, ptr %record, i64 1
  %stride = load i64, ptr %q1, align 8
  %q2 = getelementptr i64, ptr %record, i64 2
  %bytes = load i64, ptr %q2, align 8
  %q3 = getelementptr i64, ptr %record, i64 3
  %place.batch = load ptr, ptr %q3, align 8
  %q4 = getelementptr i64, ptr %record, i64 4
  %place = load ptr, ptr %q4, align 8
  %q5 = getelementptr i64, ptr %record, i64 5
  %ahead = load i64, ptr %q5, align 8
  %sliced = icmp eq ptr %place.batch, null
  br i1 %sliced, label %slice, label %row.head
slice:
  br i1 %first, label %point, label %input.end
point:
  %slice.offset = mul i64 %k, %stride
  %slice.start = getelementptr i8, ptr %data, i64 %slice.offset
  store ptr %slice.start, ptr %place, align 8
  br label %input.end

row.head:
  %r = phi i64 [%begin, %input], [%r1, %row.end]
  %more.rows = icmp slt i64 %r, %end
  br i1 %more.rows, label %copy, label %input.end
copy:
  %at = add i64 %now, %r
  %index.place = getelementptr i64, ptr %indices, i64 %at
  %index = load i64, ptr %index.place, align 8
  %offset = mul i64 %index, %stride
  %source = getelementptr i8, ptr %data, i64 %offset
  %target.offset = mul i64 %r, %bytes
  %target = getelementptr i8, ptr %place.batch, i64 %target.offset
  %copied = call ptr @memcpy(ptr %target, ptr %source, i64 %bytes)
  %later = add i64 %at, %batch
  %exists = icmp slt i64 %later, %rows
  %useful = icmp sgt i64 %ahead, 0
  %fetches = and i1 %exists, %useful
  br i1 %fetches, label %fetch, label %row.end
fetch:
  %later.place = getelementptr i64, ptr %indices, i64 %later
  %later.index = load i64, ptr %later.place, align 8
  %later.offset = mul i64 %later.index, %stride
  %later.source = getelementptr i8, ptr %data, i64 %later.offset
  br label %line
line:
  %o = phi i64 [0, %fetch], [%o1, %line]
  %address = getelementptr i8, ptr %later.source, i64 %o
  call void @llvm.prefetch.p0(ptr %address, i32 0, i32 2, i32 1)
  %o1 = add i64 %o, 64
  %more.lines = icmp slt i64 %o1, %ahead
  br i1 %more.lines, label %line, label %row.end
row.end:
  %r1 = add i64 %r, 1
  br label %row.head
input.end:
  %i1 = add i64 %i, 1
  br label %input.head

ready:
  call void @chainrule_barrier(ptr %pool, i64 %thread, i64 %threads)
  %status = call i32 %step(ptr %context, i64 %thread, i64 %threads, ptr %pool)
  call void @chainrule_barrier(ptr %pool, i64 %thread, i64 %threads)
  %failed = load i64, ptr %flag, align 8
  %good = icmp eq i64 %failed, 0
  br i1 %good, label %kept, label %refused
refused:
  ret i32 1
kept:
  %k1 = add i64 %k, 1
  br i1 %first, label %result.head, label %following
result.head:
  %n = phi i64 [0, %kept], [%n1, %result]
  %more.results = icmp slt i64 %n, %results
  br i1 %more.results, label %result, label %counted
result:
  %found = getelementptr [4 x i64], ptr %result.table, i64 %n
  %left = load ptr, ptr %found, align 8
  %f1 = getelementptr i64, ptr %found, i64 1
  %size = load i64, ptr %f1, align 8
  %f2 = getelementptr i64, ptr %found, i64 2
  %all = load ptr, ptr %f2, align 8
  %f3 = getelementptr i64, ptr %found, i64 3
  %between = load i64, ptr %f3, align 8
  %all.offset = mul i64 %k, %between
  %mine = getelementptr i8, ptr %all, i64 %all.offset
  %kept.copy = call ptr @memcpy(ptr %mine, ptr %left, i64 %size)
  %n1 = add i64 %n, 1
  br label %result.head
counted:
  store i64 %k1, ptr %donep, align 8
  br label %following
following:
  %again = icmp slt i64 %k1, %steps
  br i1 %again, label %step.head, label %leave
leave:
  ret i32 0
}
"""

_loaded: Loaded | None = None


def many_steps() -> int:
    """Return the address of `chainrule_many`, compiled at the first call and kept until the process ends.

    Raises:
        MachineError: this system runs no compiled code.
    """
    global _loaded
    if _loaded is None:
        texts, target = [_TEXT, barrier_text()], host_target()
        _loaded = Loaded(cached("\n".join(texts).encode(), lambda: compile_text(texts, target), target))
    return _loaded.address("chainrule_many")

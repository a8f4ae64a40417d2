"""What this machine can do at most, measured: float32 multiply-adds on registers alone, and traffic with memory.

Both are small native functions on the thread pool. They run once per process at most; the results are kept with the
compiled code, under the machine's name, since a measurement on a busy machine says too little: `peak` keeps the best.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass

import numpy as np

from chainrule.compiler.llvm import cache
from chainrule.compiler.llvm.machine import Loaded, Target, compile_text, host_target
from chainrule.compiler.llvm.pool import thread_pool

__all__ = ["Peak", "peak", "raise_peak"]

CHAINS = 10  # independent sums: latency of 4 or 5 cycles, two units
ROUNDS = 200_000
ELEMENTS = 12 << 20  # of each of two arrays, beyond what caches hold
TRIES = 7

_known: dict[tuple[str, int], Peak] = {}


@dataclass(frozen=True)
class Peak:
    """The most of a machine on a number of threads.

    Attributes:
        gflops: GFLOP/s of float32 multiply-adds.
        bandwidth: GB/s of reading one array and writing another.
    """

    gflops: float
    bandwidth: float


def peak(threads: int | None = None) -> Peak:
    """Return the peak of this machine, measured now or on an earlier day.

    Args:
        threads: how many; default those of the thread pool.

    Raises:
        MachineError: this system runs no compiled code.
    """
    target = host_target()
    threads = min(threads or thread_pool().size, thread_pool().size)
    found = _known.get((target.name, threads))
    if found is None:
        payload = cache.lookup(_name(target, threads))
        found = Peak(**json.loads(payload)) if payload else _measured(target, threads)
        raise_peak(found, target, threads)
    return _known[target.name, threads]


def raise_peak(found: Peak, target: Target, threads: int) -> Peak:
    """Keep a peak, where it is better than what was known; return what is known now."""
    old = _known.get((target.name, threads), Peak(0.0, 0.0))
    best = Peak(max(old.gflops, found.gflops), max(old.bandwidth, found.bandwidth))
    if best != old:
        _known[target.name, threads] = best
        cache.store(_name(target, threads), json.dumps({"gflops": best.gflops, "bandwidth": best.bandwidth}).encode())
    return best


def _name(target: Target, threads: int) -> str:
    return cache.key(f"peak of {platform.node()} on {threads} threads".encode(), target)


def _measured(target: Target, threads: int) -> Peak:
    text = peak_text(target)
    loaded = Loaded(cache.cached(text.encode(), lambda: compile_text([text], target), target))
    size = ELEMENTS * 4
    source, goal = np.zeros(ELEMENTS, np.float32), np.ones(ELEMENTS, np.float32)
    per_thread = size // threads // 256 * 256
    context = np.array([ROUNDS, source.ctypes.data, goal.ctypes.data, per_thread], np.int64)

    def best(function: str) -> float:
        address, found = loaded.address(function), float("inf")
        for _ in range(TRIES):
            start = time.perf_counter()
            thread_pool().run(address, context.ctypes.data, threads, -1.0)
            found = min(found, time.perf_counter() - start)
        return found

    flops = 2.0 * CHAINS * target.lanes(32) * ROUNDS * threads
    return Peak(flops / best("multiply_adds") / 1e9, 2.0 * per_thread * threads / best("copy") / 1e9)


def peak_text(target: Target) -> str:
    """Return the text of both functions, `i32 f(ptr context, i64 thread, i64 threads, ptr pool)`."""
    vector = f"<{target.lanes(32)} x float>"
    step = target.vector_bits // 8
    chains, heads = range(CHAINS), "(ptr %context, i64 %thread, i64 %threads, ptr %pool) nounwind"
    phis = "\n".join(f"  %s{k} = phi {vector} [ %a, %entry ], [ %t{k}, %loop ]" for k in chains)
    if target.has_fma:
        call = f"call {vector} @llvm.fma.v{target.lanes(32)}f32({vector} %a, {vector} %b, {vector} %s{{0}})"
        sums = "\n".join(f"  %t{k} = {call.format(k)}" for k in chains)
        declared = f"declare {vector} @llvm.fma.v{target.lanes(32)}f32({vector}, {vector}, {vector})"
    else:
        sums = "\n".join(f"  %m{k} = fmul {vector} %s{k}, %b\n  %t{k} = fadd {vector} %m{k}, %a" for k in chains)
        declared = ""
    stores = "\n".join(f"  store volatile {vector} %t{k}, ptr %place, align 64" for k in chains)
    moves = "\n".join(
        f"  %f{k} = getelementptr i8, ptr %from, i64 {k * step}\n  %v{k} = load {vector}, ptr %f{k}, align 4\n"
        f"  %g{k} = getelementptr i8, ptr %to, i64 {k * step}\n  store {vector} %v{k}, ptr %g{k}, align 4"
        for k in range(256 // step)
    )
    return f"""{declared}
define i32 @multiply_adds{heads} {{
entry:
  %place = alloca {vector}, align 64
  store volatile {vector} zeroinitializer, ptr %place, align 64
  %a = load volatile {vector}, ptr %place, align 64
  %b = load volatile {vector}, ptr %place, align 64
  %rounds = load i64, ptr %context, align 8
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{sums}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %rounds
  br i1 %more, label %loop, label %done
done:
{stores}
  ret i32 0
}}
define i32 @copy{heads} {{
entry:
  %source.at = getelementptr i64, ptr %context, i64 1
  %goal.at = getelementptr i64, ptr %context, i64 2
  %size.at = getelementptr i64, ptr %context, i64 3
  %source = load ptr, ptr %source.at, align 8
  %goal = load ptr, ptr %goal.at, align 8
  %size = load i64, ptr %size.at, align 8
  %first = mul i64 %size, %thread
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %at = add i64 %first, %i
  %from = getelementptr i8, ptr %source, i64 %at
  %to = getelementptr i8, ptr %goal, i64 %at
{moves}
  %next = add i64 %i, 256
  %more = icmp ult i64 %next, %size
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}}
"""

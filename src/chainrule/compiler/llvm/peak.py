"""What this machine can do at most, measured: multiply-adds on registers alone, and traffic with memory.

    float32     fused multiply-adds of vectors
    bfloat16    AVX512-BF16's sums of two products, where the CPU has them; elsewhere bfloat16 is widened: as float32

All are small native functions on the thread pool. They run once per process at most; the results are kept with the
compiled code, under the machine's name, since a measurement on a busy machine says too little: `peak` keeps the best.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, astuple, dataclass

import numpy as np

from chainrule.compiler.llvm import cache
from chainrule.compiler.llvm.machine import Loaded, Target, compile_text, host_target
from chainrule.compiler.llvm.pool import thread_pool

__all__ = ["Peak", "peak", "raise_peak"]

CHAINS = 16, 12  # independent sums, for a latency of up to 6 cycles of two units; of 32 registers, and of 16
ROUNDS = 200_000
ELEMENTS = 12 << 20  # of each of two arrays, beyond what caches hold
TRIES = 15

_known: dict[tuple[str, int], Peak] = {}


@dataclass(frozen=True)
class Peak:
    """The most of a machine on a number of threads.

    Attributes:
        gflops: GFLOP/s of float32 multiply-adds.
        bf16_gflops: GFLOP/s of products of bfloat16, added in float32.
        bandwidth: GB/s of reading one array and writing another.
    """

    gflops: float = 0.0
    bf16_gflops: float = 0.0
    bandwidth: float = 0.0


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
    old = _known.get((target.name, threads), Peak())
    best = Peak(*map(max, astuple(old), astuple(found)))
    if best != old:
        _known[target.name, threads] = best
        cache.store(_name(target, threads), json.dumps(asdict(best)).encode())
    return best


def _name(target: Target, threads: int) -> str:
    return cache.key(f"measured peaks of {platform.node()} on {threads} threads".encode(), target)


def _measured(target: Target, threads: int) -> Peak:
    text = peak_text(target)
    loaded = Loaded(cache.cached(text.encode(), lambda: compile_text([text], target), target))
    size = ELEMENTS * 4
    source, goal = np.ones(ELEMENTS, np.float32), np.ones(ELEMENTS, np.float32)  # memory of their own, unlike zeros
    per_thread = size // threads // 256 * 256
    context = np.array([ROUNDS, source.ctypes.data, goal.ctypes.data, per_thread], np.int64)

    def best(function: str) -> float:
        address, found = loaded.address(function), float("inf")
        for _ in range(TRIES):
            start = time.perf_counter()
            thread_pool().run(address, context.ctypes.data, threads, -1.0)
            found = min(found, time.perf_counter() - start)
        return found

    flops = 2.0 * _chains(target) * target.lanes(32) * ROUNDS * threads
    single = flops / best("multiply_adds") / 1e9
    pairs = 2 * flops / best("multiply_pairs") / 1e9 if target.has_avx512_bf16 else single
    return Peak(single, pairs, 2.0 * per_thread * threads / best("copy") / 1e9)


_HEAD = "(ptr %context, i64 %thread, i64 %threads, ptr %pool) nounwind"


def peak_text(target: Target) -> str:
    """Return the text of the functions, `i32 f(ptr context, i64 thread, i64 threads, ptr pool)`."""
    lanes = target.lanes(32)
    vector, pairs = f"<{lanes} x float>", f"<{2 * lanes} x bfloat>"
    parts = [_copy_text(vector, target.vector_bits // 8)]
    if target.has_fma:
        name = f"@llvm.fma.v{lanes}f32"
        turn = f"  %t{{0}} = call {vector} {name}({vector} %a, {vector} %b, {vector} %s{{0}})"
        parts.append(f"declare {vector} {name}({vector}, {vector}, {vector})")
    else:
        turn = f"  %m{{0}} = fmul {vector} %s{{0}}, %b\n  %t{{0}} = fadd {vector} %m{{0}}, %a"
    parts.append(_sums_text("multiply_adds", vector, vector, turn, _chains(target)))
    if target.has_avx512_bf16:
        name = "@llvm.x86.avx512bf16.dpbf16ps.512"
        turn = f"  %t{{0}} = call {vector} {name}({vector} %s{{0}}, {pairs} %a, {pairs} %b)"
        parts += [f"declare {vector} {name}({vector}, {pairs}, {pairs})"]
        parts.append(_sums_text("multiply_pairs", vector, pairs, turn, _chains(target)))
    return "\n".join(parts)


def _chains(target: Target) -> int:
    return CHAINS[0] if target.name in ("avx512", "neon") else CHAINS[1]


def _sums_text(name: str, sums: str, factors: str, turn: str, count: int) -> str:
    """Return a function of `count` sums that wait for none but themselves.

    Args:
        name: of the function.
        sums, factors: types of as many bytes.
        turn: makes %tK of %sK and the factors %a and %b; {0} stands for K.
        count: how many.
    """
    chains = range(count)
    phis = "\n".join(f"  %s{k} = phi {sums} [ zeroinitializer, %entry ], [ %t{k}, %loop ]" for k in chains)
    stores = "\n".join(f"  store volatile {sums} %t{k}, ptr %place, align 64" for k in chains)
    turns = "\n".join(turn.format(k) for k in chains)
    return f"""
define i32 @{name}{_HEAD} {{
entry:
  %place = alloca {sums}, align 64
  store volatile {sums} zeroinitializer, ptr %place, align 64
  %a = load volatile {factors}, ptr %place, align 64
  %b = load volatile {factors}, ptr %place, align 64
  %rounds = load i64, ptr %context, align 8
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{turns}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %rounds
  br i1 %more, label %loop, label %done
done:
{stores}
  ret i32 0
}}"""


def _copy_text(vector: str, step: int) -> str:
    """Return a function that copies an array, each thread its part; `step` is a vector's bytes."""
    moves = "\n".join(
        f"  %f{k} = getelementptr i8, ptr %from, i64 {k * step}\n  %v{k} = load {vector}, ptr %f{k}, align 4\n"
        f"  %g{k} = getelementptr i8, ptr %to, i64 {k * step}\n  store {vector} %v{k}, ptr %g{k}, align 4"
        for k in range(256 // step)
    )
    return f"""
define i32 @copy{_HEAD} {{
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
}}"""

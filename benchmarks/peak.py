"""The machine's peak: multiply-adds on registers alone, in float32 and bfloat16, on a number of threads.

Usage: python -m benchmarks.peak [THREADS]      prints JSON: operations per second by precision, or null

The kernel is LLVM IR: sixteen independent chains of vector FMAs, so that neither latency nor memory counts. bfloat16
uses AMX tiles (four accumulators; Linux must be asked for the tile state first) or AVX512-BF16, where the CPU has them.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import pin

__all__ = ["measured", "peaks"]

CHAINS = 16
REPEATS = 12
SECONDS = 0.03  # per repeat
TILE_STATE = (158, 0x1023, 18)  # arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA)


def _vector_ir(accumulator: str, factor: str, intrinsic: str, order: str) -> str:
    """Return IR of `kernel(memory, count)`: `count` rounds of one operation per chain.

    Args:
        accumulator, factor: LLVM types of the sum and of both factors.
        intrinsic: the operation.
        order: "fma" (a, b, sum) or "dot" (sum, a, b).
    """
    chains = range(CHAINS)
    arguments = f"{factor} %a, {factor} %b, {accumulator} %s{{0}}" if order == "fma" else \
        f"{accumulator} %s{{0}}, {factor} %a, {factor} %b"  # fmt: skip
    types = f"{factor}, {factor}, {accumulator}" if order == "fma" else f"{accumulator}, {factor}, {factor}"
    phis = "\n".join(f"  %s{k} = phi {accumulator} [ zeroinitializer, %entry ], [ %t{k}, %loop ]" for k in chains)
    steps = "\n".join(f"  %t{k} = call {accumulator} @{intrinsic}({arguments.format(k)})" for k in chains)
    sums = "\n".join(f"  %u{k + 1} = fadd {accumulator} %u{k}, %t{k}" for k in chains)
    return f"""
declare {accumulator} @{intrinsic}({types})
define void @kernel(ptr %memory, i64 %count) "min-legal-vector-width"="512" "prefer-vector-width"="512" {{
entry:
  %a = load {factor}, ptr %memory, align 4
  %second = getelementptr i8, ptr %memory, i64 64
  %b = load {factor}, ptr %second, align 4
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{steps}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  %u0 = fadd {accumulator} %t0, %t1
{sums}
  store {accumulator} %u{CHAINS}, ptr %memory, align 4
  ret void
}}"""


def _tile_ir() -> str:
    """Return IR of `kernel(memory, count)` on AMX tiles; the first 64 bytes of the memory configure them."""
    names = ("tilezero(i8 immarg)", "tdpbf16ps(i8 immarg, i8 immarg, i8 immarg)", "ldtilecfg(ptr)", "tilerelease()",
             "tileloadd64(i8 immarg, ptr, i64)")  # fmt: skip
    declared = "\n".join(f"declare void @llvm.x86.{name}" for name in names)
    zeros = "\n".join(f"  call void @llvm.x86.tilezero(i8 {k})" for k in range(4))
    loads = "\n".join(f"  call void @llvm.x86.tileloadd64(i8 {k}, ptr %data, i64 64)" for k in range(4, 8))
    products = "\n".join(
        f"  call void @llvm.x86.tdpbf16ps(i8 {k}, i8 {4 + k // 2}, i8 {6 + k % 2})" for k in range(4)
    )
    return f"""
{declared}
define void @kernel(ptr %memory, i64 %count) {{
entry:
  call void @llvm.x86.ldtilecfg(ptr %memory)
  %data = getelementptr i8, ptr %memory, i64 64
{zeros}
{loads}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{products}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  call void @llvm.x86.tilerelease()
  ret void
}}"""


def _compile(ir: str, extra: str = "") -> tuple[Any, Callable]:
    """Return the engine, which has to stay alive, and the kernel."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(ir)
    module.verify()
    features = llvm.get_host_cpu_features().flatten() + extra
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine, ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(engine.get_function_address("kernel"))


def _memory(head: bytes = b"") -> Any:
    return ctypes.create_string_buffer(head + bytes(4096 - len(head)))


def _tile_head() -> bytes:
    """Return the tile configuration: palette 1, eight tiles of 16 rows of 64 bytes."""
    head = bytearray(64)
    head[0] = 1
    for tile in range(8):
        head[16 + 2 * tile], head[48 + tile] = 64, 16
    return bytes(head)


def _rate(kernel: Callable, operations: int, threads: int, head: bytes = b"") -> float:
    """Return operations per second, the best of some repeats; a round of the kernel has `operations`."""
    memories = [_memory(head) for _ in range(threads)]
    count, seconds = 1000, 0.0
    while seconds < SECONDS:  # how many rounds last long enough
        count *= 2
        start = time.perf_counter()
        kernel(memories[0], count)
        seconds = time.perf_counter() - start
    best = 0.0
    for _ in range(REPEATS):
        others = [threading.Thread(target=kernel, args=(memory, count)) for memory in memories[1:]]
        start = time.perf_counter()
        for thread in others:
            thread.start()
        kernel(memories[0], count)
        for thread in others:
            thread.join()
        best = max(best, threads * count * operations / (time.perf_counter() - start))
    return best


def peaks(threads: int) -> dict[str, float | None]:
    """Return the operations per second of this machine by precision.

    Args:
        threads: how many at once, >= 1.
    """
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    lanes = 16 if features.get("avx512f") else 8
    vector = f"<{lanes} x float>"
    engine, kernel = _compile(_vector_ir(vector, vector, f"llvm.fma.v{lanes}f32", "fma"))
    found: dict[str, float | None] = {"float32": _rate(kernel, 2 * lanes * CHAINS, threads), "bf16": None}
    if features.get("amx-bf16") and ctypes.CDLL(None).syscall(*TILE_STATE) == 0:
        engine, kernel = _compile(_tile_ir(), ",+amx-tile,+amx-bf16")
        found["bf16"] = _rate(kernel, 4 * 2 * 16 * 16 * 32, threads, _tile_head())
    elif features.get("avx512bf16"):
        ir = _vector_ir("<16 x float>", "<32 x bfloat>", "llvm.x86.avx512bf16.dpbf16ps.512", "dot")
        engine, kernel = _compile(ir)
        found["bf16"] = _rate(kernel, 2 * 32 * CHAINS, threads)
    del engine
    return found


def measured(threads: int) -> dict[str, float | None]:
    """Return the peaks, measured in a process of its own; None where that fails, without llvmlite for instance."""
    command = [sys.executable, "-m", "benchmarks.peak", str(threads)]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    result = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True)
    return json.loads(result.stdout) if result.returncode == 0 else {"float32": None, "bf16": None}


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else os.cpu_count() or 1
    pin(wanted)
    print(json.dumps(peaks(wanted)))

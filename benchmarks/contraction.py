"""The contraction micro-kernel beside oneDNN: GFLOP/s of the products and convolutions of common networks.

Usage: python benchmarks/contraction.py [products] [convolutions] [SECONDS]     (needs the extra `bench`; one thread)

Convolutions: forward, weight gradient and input gradient, ours in NHWC with weights [height, width, in, out] and a
padded image; oneDNN through PyTorch in the best of its layouts. Products: y = x w, y = x w' and dw = x' g, beside
PyTorch's. Candidates take turns for SECONDS (default 0.5) each; the best time counts, in CPU time of the thread, so
that a neighbour on the machine disturbs little.
"""

# ruff: noqa: E402 - the environment is set before NumPy is imported
from __future__ import annotations

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import ctypes
import math
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from chainrule.compiler.contraction import Axis, Contraction, ContractionPlan, plan_contraction
from chainrule.compiler.llvm.contraction import emit_contraction
from chainrule.compiler.llvm.ir import I64, PTR, VOID, Builder, Module, Place, Value
from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target

Call = Callable[[], object]
PRODUCTS = [(64, 784, 64), (64, 64, 32), (64, 32, 10), (128, 1024, 1024), (64, 3072, 1024), (512, 512, 512)]
# images, size of the input, channels in and out, size of the kernel, stride
CONVOLUTIONS = [
    *((64, 32, 3, 32, 3, 1), (64, 32, 32, 64, 3, 1), (64, 16, 64, 128, 3, 1), (64, 16, 128, 128, 3, 1)),
    *((64, 8, 128, 256, 3, 1), (64, 8, 256, 256, 3, 1), (64, 32, 3, 6, 5, 1), (64, 14, 6, 16, 5, 1)),
    *((32, 32, 3, 64, 3, 1), (32, 32, 64, 64, 3, 1), (32, 32, 64, 128, 3, 2), (32, 16, 128, 128, 3, 1)),
    *((32, 16, 128, 256, 3, 2), (32, 8, 256, 256, 3, 1), (32, 8, 256, 512, 3, 2), (32, 4, 512, 512, 3, 1)),
    *((32, 32, 64, 128, 1, 2), (32, 16, 128, 256, 1, 2), (32, 8, 256, 512, 1, 2)),
]


def kernel(spec: Contraction) -> tuple[ContractionPlan, Call]:
    """Return the plan of a contraction, and a call that computes it into memory of its own."""
    target = host_target()
    registers = 32 if target.name in ("avx512", "neon") else 16
    plan = plan_contraction(spec, target.lanes(32), registers=registers, fma=target.has_fma)
    axes = [*spec.batch, *spec.rows, *spec.columns, *spec.sums]
    shape = [x.extent for x in axes[: len(axes) - len(spec.sums)]]
    module = Module()
    b = Builder(module, "k", VOID, [PTR, PTR, PTR, PTR, I64, I64], internal=False)
    left, right, c, scratch, begin, end = b.arguments

    def epilogue(batch: list[Place], rows: list[Place], columns: list[Place], value: Value, mask: Value | None) -> None:
        start, plus = b.const(I64, 0), 0
        for n, place in enumerate([*batch, *rows, *columns]):
            stride = math.prod(shape[n + 1 :])
            start, plus = b.add(start, b.mul(place.value, stride)), plus + place.plus * stride
        pointer = b.offset(b.offset(c, start, "f32"), plus, "f32")
        if mask is None:
            b.store(value, pointer)
        else:
            b.masked_store(value, pointer, mask)

    emit_contraction(b, plan, left, right, scratch, begin, end, epilogue)
    b.finish()
    code = Loaded(compile_text([module.text()], target))
    kinds = *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2
    function = ctypes.CFUNCTYPE(None, *kinds)(code.address("k"))
    counts = [1 + sum((x.extent - 1) * stride(x) for x in axes) for stride in (lambda x: x.a, lambda x: x.b)]
    memory = [aligned(n) for n in (*counts, math.prod(shape), plan.scratch_bytes // 4 + 1)]
    pointers = [m.ctypes.data for m in memory]

    def call(code: Loaded = code, memory: list[np.ndarray] = memory) -> None:
        function(*pointers, 0, plan.units)

    return plan, call


def aligned(count: int) -> np.ndarray:
    """Return random numbers that start on a cache line."""
    raw = np.empty(count + 16, np.float32)
    start = -raw.ctypes.data % 64 // 4
    raw[:] = np.random.default_rng(0).standard_normal(raw.size)
    return raw[start : start + count]


def best(calls: Sequence[Call], seconds: float) -> list[float]:
    """Return the best CPU seconds of each call, taking turns."""
    times = [math.inf] * len(calls)
    stop, turns = time.perf_counter() + seconds * len(calls), 0
    while turns < 3 or time.perf_counter() < stop:
        for i, call in enumerate(calls):
            start = time.thread_time()
            call()
            times[i] = min(times[i], time.thread_time() - start)
        turns += 1
    return times


# ---------------------------------------------------------------------------------------------------- products
def products(m: int, k: int, n: int) -> dict[str, tuple[Contraction, Call]]:
    """Return the three products of a layer of m rows, k inputs and n outputs."""
    x, g, w, t = torch.randn(m, k), torch.randn(m, n), torch.randn(k, n), torch.randn(n, k)
    return {
        "y = x w": (Contraction((), (Axis(m, k),), (Axis(n, 0, 1),), (Axis(k, 1, n),)), lambda: x @ w),
        "y = x w'": (Contraction((), (Axis(m, k),), (Axis(n, 0, k),), (Axis(k, 1, 1),)), lambda: x @ t.T),
        "dw = x' g": (Contraction((), (Axis(k, 1),), (Axis(n, 0, 1),), (Axis(m, k, n),)), lambda: x.T @ g),
    }


# ---------------------------------------------------------------------------------------------------- convolutions
def forward(n: int, size: int, ci: int, co: int, k: int, s: int) -> Contraction:
    """Return a convolution over a padded NHWC image as a contraction."""
    wide, out = size + 2 * (k // 2), size // s
    rows = Axis(n, wide * wide * ci), Axis(out, s * wide * ci), Axis(out, s * ci)
    return Contraction(
        (), rows, (Axis(co, 0, 1),), (Axis(k, wide * ci, k * ci * co), Axis(k, ci, ci * co), Axis(ci, 1, co))
    )


def weight_gradient(n: int, size: int, ci: int, co: int, k: int, s: int) -> Contraction:
    """Return the gradient of a convolution's weights as a contraction."""
    wide, out = size + 2 * (k // 2), size // s
    sums = Axis(n, wide * wide * ci, out * out * co), Axis(out, s * wide * ci, out * co), Axis(out, s * ci, co)
    return Contraction((), (Axis(k, wide * ci), Axis(k, ci), Axis(ci, 1)), (Axis(co, 0, 1),), sums)


def peers(n: int, size: int, ci: int, co: int, k: int, s: int) -> dict[str, list[Call]]:
    """Return oneDNN's candidates: NHWC, NCHW, and for the forward pass its own blocked layout."""
    from torch.utils import mkldnn

    result: dict[str, list[Call]] = {"forward": [], "weights": [], "input": []}
    pads = [k // 2, k // 2]
    for layout in (torch.channels_last, torch.contiguous_format):
        x, w, g = (
            torch.randn(shape).contiguous(memory_format=layout)
            for shape in ((n, ci, size, size), (co, ci, k, k), (n, co, size // s, size // s))
        )

        def backward(mask: list[bool], g=g, x=x, w=w) -> object:
            aten = torch.ops.aten.convolution_backward
            return aten(g, x, w, None, [s, s], pads, [1, 1], False, [0, 0], 1, mask)

        result["forward"].append(lambda x=x, w=w: torch.conv2d(x, w, stride=s, padding=k // 2))
        result["weights"].append(lambda f=backward: f([False, True, False]))
        result["input"].append(lambda f=backward: f([True, False, False]))
    layer = mkldnn.to_mkldnn(torch.nn.Conv2d(ci, co, k, stride=s, padding=k // 2, bias=False))
    image = torch.randn(n, ci, size, size).to_mkldnn()
    result["forward"].append(lambda: layer(image))
    return result


def convolutions(n: int, size: int, ci: int, co: int, k: int, s: int) -> dict[str, tuple[Contraction, list[Call]]]:
    """Return forward, weight gradient, and where it is one contraction the input gradient, with oneDNN's candidates."""
    others = peers(n, size, ci, co, k, s)
    result = {
        "forward": (forward(n, size, ci, co, k, s), others["forward"]),
        "weights": (weight_gradient(n, size, ci, co, k, s), others["weights"]),
    }
    if s == 1 and ci > 3:  # the image itself needs no gradient; a stride makes several contractions
        result["input"] = forward(n, size, co, ci, k, 1), others["input"]
    return result


def report(name: str, spec: Contraction, others: Sequence[Call], seconds: float) -> None:
    """Print a line of GFLOP/s: ours, the best of the others, and ours in percent of theirs."""
    plan, ours = kernel(spec)
    mine, *theirs = (spec.flops / t / 1e9 for t in best([ours, *others], seconds))
    print(f"{name:34} {mine:6.0f} {max(theirs):6.0f} {100 * mine / max(theirs):5.0f} %   {plan}", flush=True)


def main(words: Sequence[str]) -> None:
    """Print the tables that are asked for."""
    torch.set_num_threads(1)
    seconds = next((float(w) for w in words if w[0].isdigit()), 0.5)
    wanted = [w for w in words if not w[0].isdigit()] or ["products", "convolutions"]
    print(f"{'GFLOP/s, one thread':34} {'ours':>6} {'torch':>6}")
    with torch.no_grad():
        for shape in PRODUCTS if "products" in wanted else []:
            for name, (spec, other) in products(*shape).items():
                report(f"{name}  {shape[0]}x{shape[1]}x{shape[2]}", spec, [other], seconds)
        for sizes in CONVOLUTIONS if "convolutions" in wanted else []:
            n, size, ci, co, k, s = sizes
            for name, (spec, others) in convolutions(*sizes).items():
                report(f"{k}x{k} /{s} {n}x{size}x{size} {ci}->{co} {name}", spec, others, seconds)


if __name__ == "__main__":
    main(sys.argv[1:])

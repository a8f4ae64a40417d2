"""Contractions of bfloat16 summed in float32: widened everywhere, as pairs where the CPU has AVX512-BF16."""

from __future__ import annotations

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest
from tests.compiler.llvm.contractions import Kernel, expected, operands, random_parts, random_spec

from chainrule.compiler import system
from chainrule.compiler.contraction import Axis, Contraction, plan_contraction
from chainrule.compiler.llvm import machine
from chainrule.compiler.llvm.machine import describe_target
from chainrule.core.errors import MachineError

SETS = ("avx512", "avx2", "sse2") if system.architecture() == "x86-64" else ("native",)
SMALL = {"_LEVEL2": 2000, "_BLOCK": 24, "_WORTH": 2000, "_SCRATCH": 20_000}


def target_of(word: str, pairs: bool = False) -> machine.Target:
    try:
        target = describe_target(word, system.architecture(), machine._host_flags())
    except MachineError:
        pytest.skip(f"this CPU lacks {word}")
    if pairs and not target.has_avx512_bf16:
        pytest.skip("this CPU lacks AVX512-BF16")
    return target


def check(kernel: Kernel, seed: int) -> None:
    spec = kernel.plan.spec
    a, b = operands(spec, seed)
    got = kernel(a, b)
    length = math.prod(x.extent for x in spec.sums)
    want = expected(spec, a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * (length + 10))
    split = kernel(a, b, random_parts(kernel.plan.units, seed))
    assert split.tobytes() == got.tobytes(), f"the split of the units changed bits: {kernel.plan}"


def half(spec: Contraction, a_kind: str = "bf16", b_kind: str = "bf16") -> Contraction:
    return dataclasses.replace(spec, kind="f32", a_kind=a_kind, b_kind=b_kind)


@pytest.mark.parametrize("word", SETS)
@pytest.mark.parametrize("kinds", [("bf16", "bf16"), ("bf16", "f32"), ("f32", "bf16")], ids="-".join)
def test_widened(word, kinds):
    target = target_of(word)
    for seed in range(200, 212):
        check(Kernel(half(random_spec(seed), *kinds), target, **(SMALL if seed % 2 else {})), seed)


def test_pairs():
    target = target_of("avx512", pairs=True)
    strategies = set()
    for seed in range(300, 350):
        kernel = Kernel(half(random_spec(seed)), target, pairs=True, **(SMALL if seed % 2 else {}))
        strategies.add(kernel.plan.strategy)
        check(kernel, seed)
    assert "packed outer product of pairs" in strategies


@pytest.mark.parametrize("k", [2, 31, 33, 64, 129])
@pytest.mark.parametrize("stored", ["[k, n]", "[n, k]"])
def test_pairs_of_odd_sums(stored, k):
    """Nothing behind the last term is multiplied, not even by 0: all of it is NaN."""
    target = target_of("avx512", pairs=True)
    m, n = 5, 37
    columns, sums = (Axis(n, b=1), Axis(k, 1, n)) if stored == "[k, n]" else (Axis(n, b=k), Axis(k, 1, 1))
    spec = half(Contraction((), (Axis(m, a=k),), (columns,), (sums,)))
    kernel = Kernel(spec, target, pairs=True)
    a, b = (np.concatenate([x, np.full(64, np.nan, ml_dtypes.bfloat16)]) for x in operands(spec, k))
    want = a[: m * k].reshape(m, k).astype(np.float64) @ (
        b[: n * k].reshape(k, n) if stored == "[k, n]" else b[: n * k].reshape(n, k).T
    ).astype(np.float64)
    np.testing.assert_allclose(kernel(a, b), want, rtol=0, atol=1e-6 * (k + 10))


def test_a_machine_without_pairs_widens():
    spec = half(Contraction((), (Axis(8, a=64),), (Axis(32, b=1),), (Axis(64, 1, 32),)))
    assert plan_contraction(spec, 16).strategy == "outer product"
    assert plan_contraction(spec, 16, pairs=True).strategy == "packed outer product of pairs"

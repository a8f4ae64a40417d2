"""Contractions on every instruction set against NumPy in double precision; equal bits for every split of the units."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from tests.compiler.llvm.contractions import Kernel, expected, kernel_text, operands, random_parts, random_spec

from chainrule.compiler import contraction, system
from chainrule.compiler.contraction import Axis, Contraction, plan_contraction
from chainrule.compiler.llvm import machine
from chainrule.compiler.llvm.machine import describe_target
from chainrule.core.errors import MachineError

FLAGS = machine._host_flags()
SETS = ("avx512", "avx2", "sse2") if system.architecture() == "x86-64" else ("native",)
SMALL = {"_LEVEL2": 2000, "_BLOCK": 24, "_WORTH": 2000, "_SCRATCH": 20_000, "_RUN": 7}
RUNS = {"_RUN": 6}  # long blocks, in many runs
ROUNDING = {"f32": 1e-6, "f64": 2e-15}


def target_of(word: str) -> machine.Target:
    try:
        return describe_target(word, system.architecture(), FLAGS)
    except MachineError:
        pytest.skip(f"this CPU lacks {word}")


def check(kernel: Kernel, seed: int) -> None:
    spec = kernel.plan.spec
    a, b = operands(spec, seed)
    got = kernel(a, b)
    length = math.prod(x.extent for x in spec.sums)
    np.testing.assert_allclose(got, expected(spec, a, b), rtol=0, atol=ROUNDING[spec.kind] * (length + 10))
    split = kernel(a, b, random_parts(kernel.plan.units, seed))
    assert split.tobytes() == got.tobytes(), f"the split of the units changed bits: {kernel.plan}"


@pytest.mark.parametrize("word", SETS)
@pytest.mark.parametrize("seed", range(0, 60, 10))
def test_random_specifications(word, seed):
    target = target_of(word)
    for number in range(seed, seed + 10):
        spec = random_spec(number)
        check(Kernel(spec, target, **(SMALL, {}, RUNS)[number % 3]), number)


@pytest.mark.parametrize("word", SETS)
@pytest.mark.parametrize("seed", range(3))
def test_every_strategy(word, seed, monkeypatch):
    """Both ways to read a weight stored [out, in], and B copied where nothing asks for it, with ragged sizes."""
    target = target_of(word)
    m, n, k = ((7, 45, 70), (33, 16, 129), (1, 3, 64))[seed]
    for strategy in ("outer product", "dot product", "packed outer product"):
        columns, sums = (Axis(n, b=k), Axis(k, 1, 1)) if strategy == "dot product" else (Axis(n, b=1), Axis(k, 1, n))
        monkeypatch.setattr(contraction, "_strategies", lambda *_, name=strategy: [name])
        for kind in ("f32", "f64"):
            for limits in ({}, SMALL, RUNS):
                spec = Contraction((), (Axis(m, a=k),), (columns,), (sums,), kind)
                kernel = Kernel(spec, target, **limits)
                assert kernel.plan.strategy == strategy
                check(kernel, seed)
    weight = Contraction((), (Axis(m, a=k),), (Axis(n, b=k),), (Axis(k, 1, 1),))
    monkeypatch.setattr(contraction, "_strategies", lambda *_: ["packed outer product"])
    check(Kernel(weight, target), seed)


CONVOLUTION = Contraction(
    (),
    (Axis(2, a=7 * 7 * 3), Axis(5, a=7 * 3), Axis(5, a=3)),
    (Axis(20, b=1),),
    (Axis(3, 7 * 3, 3 * 3 * 20), Axis(3, 3, 3 * 20), Axis(3, 1, 20)),
)


def test_a_convolution_is_a_contraction():
    rng = np.random.default_rng(0)
    image, weight = rng.standard_normal((2, 7, 7, 3)), rng.standard_normal((3, 3, 3, 20))
    a, b = (x.astype(np.float32).ravel() for x in (image, weight))
    windows = sum(image[:, i : i + 5, j : j + 5] @ weight[i, j] for i in range(3) for j in range(3))
    np.testing.assert_allclose(Kernel(CONVOLUTION, target_of("native"))(a, b), windows, rtol=0, atol=2e-5)


def test_a_sum_of_no_terms_is_zero():
    kernel = Kernel(Contraction((), (Axis(3, a=1),), (Axis(20, b=1),), (Axis(0, 3, 20),)), target_of("native"))
    assert (kernel(np.empty(0, np.float32), np.empty(0, np.float32)) == 0).all()


@pytest.mark.parametrize("seed", range(100, 106))
def test_a_compact_epilogue_changes_no_bits(seed):
    spec, target = random_spec(seed), target_of("native")
    a, b = operands(spec, seed)
    assert Kernel(spec, target, compact=True)(a, b).tobytes() == Kernel(spec, target)(a, b).tobytes()


def test_a_compact_epilogue_is_written_once_for_the_rows():
    spec = Contraction((), (Axis(24, a=40),), (Axis(32, b=1),), (Axis(40, 1, 32),))
    plan = plan_contraction(spec, 16)
    assert plan.rows.size * plan.columns.size == 24
    whole, compact = (kernel_text(plan, c).count("getelementptr float, ptr %a2") for c in (False, True))
    assert (whole, compact) == (24, 2)


@pytest.mark.parametrize("strategy", ["outer product", "dot product", "packed outer product"])
def test_nan_stays_in_its_row_and_column(strategy, monkeypatch):
    """Lanes beyond the end are never multiplied: a NaN behind an operand's end, or in another row, changes nothing."""
    monkeypatch.setattr(contraction, "_strategies", lambda *_: [strategy])
    m, n, k = 5, 21, 19
    columns, sums = (Axis(n, b=k), Axis(k, 1, 1)) if strategy == "dot product" else (Axis(n, b=1), Axis(k, 1, n))
    spec = Contraction((), (Axis(m, a=k),), (columns,), (sums,))
    a, b = np.full(m * k + 64, np.nan, np.float32), np.full(n * k + 64, np.nan, np.float32)
    a[: m * k], b[: n * k] = operands(spec, 0)
    a[2 * k + 3] = np.nan
    got = Kernel(spec, target_of("native"))(a, b)
    assert np.isnan(got[2]).all()
    assert np.isfinite(np.delete(got, 2, axis=0)).all()


@pytest.mark.parametrize("extents", [(384,), (385,), (1031,), (3000,), (9, 64), (3, 3, 512), (401, 3), (8, 16, 16)])
@pytest.mark.parametrize("strategy", ["outer product", "dot product", "packed outer product"])
def test_a_sum_of_runs_misses_no_term(strategy, extents, monkeypatch):
    """Whole numbers, so that the sums are exact; around the lengths at which runs begin, with and without a rest."""
    monkeypatch.setattr(contraction, "_strategies", lambda *_: [strategy])
    m, n, k = 5, 18, math.prod(extents)
    near = strategy == "dot product"
    steps = [math.prod(extents[i + 1 :]) for i in range(len(extents))]
    gaps = [step + 3 * (i == 0) for i, step in enumerate(steps)] if len(extents) > 1 else steps  # no axis merges
    size = gaps[0] * extents[0] + 8
    sums = tuple(Axis(e, g, s if near else s * n) for e, g, s in zip(extents, gaps, steps, strict=True))
    spec = Contraction((), (Axis(m, a=size),), (Axis(n, b=k if near else 1),), sums)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-3, 4, count).astype(np.float32) for count in (m * size, n * k))
    for limits in ({}, {"_RUN": 100}, {"_RUN": 20}):
        kernel = Kernel(spec, target_of("native"), **limits)
        np.testing.assert_array_equal(kernel(a, b), expected(spec, a, b))
    assert kernel.plan.run or near


@pytest.mark.parametrize("terms", [576, 3072, 8192, 65_536])
def test_a_long_sum_rounds_little_more_than_a_short_one(terms):
    """Terms added one to the other would be off by 2.5e-8 sqrt(terms / 2); runs of them by at most 2.5e-8 sqrt(300)."""
    spec = Contraction((), (Axis(8, a=terms),), (Axis(16, b=1),), (Axis(terms, 1, 16),))
    a, b = (np.random.default_rng(i).standard_normal(n * terms).astype(np.float32) for i, n in ((0, 8), (1, 16)))
    got, want = Kernel(spec, target_of("native"))(a, b), expected(spec, a, b)
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 4.5e-7


def test_long_sums_stay_accurate():
    """100,000 equal terms: added one by one they would be wrong by 1e-3 of the sum, in blocks they are by 1e-5."""
    spec = Contraction((), (Axis(2, a=1),), (Axis(16, b=1),), (Axis(100_000, 2, 16),))
    kernel = Kernel(spec, target_of("native"))
    assert kernel.plan.blocks > 50
    a, b = np.full(200_000, 0.1, np.float32), np.full(1_600_000, 0.1, np.float32)
    np.testing.assert_allclose(kernel(a, b), 100_000 * float(a[0]) * float(b[0]), rtol=1e-5)


@pytest.mark.parametrize("word", SETS)
def test_sums_stay_in_registers(word):
    """The innermost loop of a convolution stores nothing: its tile fits the registers."""
    target = target_of(word)
    spec = dataclasses.replace(CONVOLUTION, sums=(Axis(3, 21, 3 * 3 * 20), Axis(3, 3, 3 * 20), Axis(30, 1, 20)))
    registers = 16 if word in ("avx2", "sse2") else 32
    plan = plan_contraction(spec, target.lanes(32), registers=registers, fma=target.has_fma)
    text = machine.assembly([kernel_text(plan)], target)
    assert not [line for line in text.splitlines() if "Folded Spill" in line and "mm" in line]

"""The machine's peak: measured once, kept, and never lowered."""

from __future__ import annotations

import pytest

from chainrule.compiler.llvm import cache
from chainrule.compiler.llvm import peak as peaks
from chainrule.compiler.llvm.machine import assembly, describe_target, host_target
from chainrule.compiler.llvm.peak import Peak


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Measure little, and keep it in a place of the test's."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "surroundings", lambda: "of this test")  # whatever is edited meanwhile
    cache._trusted.cache_clear()
    monkeypatch.setattr(peaks, "_known", {})
    monkeypatch.setattr(peaks, "ROUNDS", 5000)
    monkeypatch.setattr(peaks, "ELEMENTS", 1 << 18)
    yield monkeypatch
    cache._trusted.cache_clear()


def test_the_peak_is_measured_once_and_kept(alone):
    first = peaks.peak(1)
    assert first.gflops > 0.5
    assert first.bf16_gflops > 0.5
    assert first.bandwidth > 0.1
    alone.setattr(peaks, "_measured", lambda target, threads: pytest.fail("measured again"))
    assert peaks.peak(1) is first
    alone.setattr(peaks, "_known", {})
    assert peaks.peak(1) == first


def test_a_better_one_raises_it_and_a_worse_one_does_not(alone):
    first = peaks.peak(1)
    better = peaks.raise_peak(Peak(2 * first.gflops, first.bf16_gflops / 2), host_target(), 1)
    assert better == Peak(2 * first.gflops, first.bf16_gflops, first.bandwidth)
    alone.setattr(peaks, "_known", {})
    assert peaks.peak(1) == better


def test_without_products_of_bfloat16_their_peak_is_float32s(alone):
    alone.setenv("CHAINRULE_TARGET", "sse2")
    found = peaks.peak(1)
    assert found.bf16_gflops == found.gflops


FLAGS = frozenset(("avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe", "avx512f", "avx512bw", "avx512dq"))
FLAGS |= {"avx512vl", "avx512cd", "avx512bf16"}


@pytest.mark.parametrize(
    ("word", "instruction", "count"),
    [("native", "vfmadd", 16), ("native", "vdpbf16ps", 16), ("avx2", "vfmadd", 12), ("sse2", "mulps", 12)],
)
def test_the_sums_stay_in_registers(word, instruction, count):
    """As many multiply-adds as sums, and between them nothing that loads or stores."""
    target = describe_target(word, "x86-64", FLAGS)
    text = assembly([peaks.peak_text(target)], target)
    name = "multiply_pairs" if instruction == "vdpbf16ps" else "multiply_adds"
    body = text.split(f"\n{name}:")[1].split("ret")[0]
    lines = [line.split("#")[0] for line in body.splitlines()]
    first = next(n for n, line in enumerate(lines) if instruction in line)
    last = max(n for n, line in enumerate(lines) if instruction in line)
    assert sum(instruction in line for line in lines) == count
    assert not [line for line in lines[first:last] if "(%rsp)" in line or "(%rbp)" in line]

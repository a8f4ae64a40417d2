"""Memory and peak: the growth of the resident size is seen, the native kernels run, and their lack is no error."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks import measure, peak


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no peak that starts again")
def test_the_peak_grows_by_what_is_touched_and_stays():
    measure.reset_peak()
    before = measure.peak_bytes()
    np.ones(4_000_000).sum()
    assert 30e6 < measure.peak_bytes() - before < 60e6


def test_times_and_medians():
    calls = []
    assert len(measure.timed(lambda: calls.append(1), 3)) == len(calls) == 3
    assert (measure.median([3.0, 1.0, 2.0]), measure.median([])) == (2.0, None)


def test_the_kernel_reaches_a_rate():
    pytest.importorskip("llvmlite")
    found = peak.measured(1)
    assert 1e9 < found["float32"] < 1e13
    assert found["bf16"] is None or found["bf16"] > 1e9


def test_without_llvmlite_the_peak_is_unknown(monkeypatch, tmp_path):
    (tmp_path / "llvmlite.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert peak.measured(1) == {"float32": None, "bf16": None}


def test_each_tile_has_sixteen_rows_of_64_bytes():
    head = peak._tile_head()
    assert (head[0], head[16:18], head[30:32], head[48:56], len(head)) == (1, b"\x40\0", b"\x40\0", b"\x10" * 8, 64)

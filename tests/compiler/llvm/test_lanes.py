"""Networks of shuffles, run on this machine: transposed squares and sums of lanes side by side."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from chainrule.compiler.llvm.ir import PTR, VOID, Builder, Module, Type
from chainrule.compiler.llvm.lanes import summed_columns, summed_lanes, transposed
from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target

SIZES = [("f32", 4), ("f32", 8), ("f32", 16), ("f64", 2), ("f64", 4), ("f64", 8)]


def run(kind: str, lanes: int, count: int, network) -> np.ndarray:
    """Return what a network makes of `count` vectors of 0, 1, 2, ..."""
    module = Module()
    b = Builder(module, "k", VOID, [PTR, PTR], internal=False)
    source, to = b.arguments
    type = Type(kind, lanes)
    result = network(b, [b.load(type, b.offset(source, i * lanes, kind)) for i in range(count)])
    for i, value in enumerate(result):
        b.store(value, b.offset(to, i * lanes, kind))
    b.finish()
    code = Loaded(compile_text([module.text()], host_target()))
    values = np.arange(count * lanes, dtype={"f32": np.float32, "f64": np.float64}[kind])
    out = np.full((len(result), lanes), np.nan, values.dtype)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code.address("k"))(values.ctypes.data, out.ctypes.data)
    return out


@pytest.mark.parametrize("kind, lanes", SIZES)
def test_transposed(kind, lanes):
    expected = np.arange(lanes * lanes).reshape(lanes, lanes).T
    np.testing.assert_array_equal(run(kind, lanes, lanes, transposed), expected)


@pytest.mark.parametrize("kind, lanes", SIZES)
def test_sums_of_lanes_side_by_side(kind, lanes):
    got = run(kind, lanes, lanes, lambda b, values: [summed_columns(b, summed_lanes(b, values))])
    np.testing.assert_array_equal(got[0], np.arange(lanes * lanes).reshape(lanes, lanes).sum(1))

"""The compiler's elementary functions, run on this machine: errors, NumPy's special values, lanes, no library."""

from __future__ import annotations

import importlib.util
import pathlib
import re

import numpy as np
import pytest

from chainrule.compiler import system
from chainrule.compiler.llvm.machine import assembly, describe_target, host_target
from chainrule.compiler.llvm.math import FUNCTIONS, ULPS
from chainrule.compiler.llvm.runtime import runtime_text

ROOT = pathlib.Path(__file__).resolve().parents[3]
_path = ROOT / "tools" / "measure_math.py"
_spec = importlib.util.spec_from_file_location("measure_math", _path)
measure_math = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(measure_math)
KINDS = ["f32", "f64"]
TINY = {"f32": 2.0**-126, "f64": 2.0**-1022}
TARGETS = {"native": host_target()}
if system.architecture() == "x86-64":
    TARGETS["sse2"] = describe_target("sse2", "x86-64", frozenset({"sse", "sse2"}))
LONG = np.finfo(np.longdouble).nmant >= 63  # elsewhere float64 has nothing exact to be compared with

both = pytest.mark.parametrize("kind", KINDS)
everywhere = pytest.mark.parametrize("word", TARGETS)
each = pytest.mark.parametrize("name", FUNCTIONS)


def evaluate(name, kind, *arrays, **options):
    dtype = measure_math.DTYPES[kind]
    return measure_math.compiled(name, kind, **options)(*(np.asarray(a, dtype) for a in arrays))


# ------------------------------------------------------------------------------------------------- accuracy
@each
@both
@everywhere
def test_no_error_is_beyond_its_bound(name, kind, word):
    if kind == "f64" and not LONG and ULPS[name][1]:
        pytest.skip("NumPy's long double has no more bits than float64 here")
    size = 10_000 if name in ("erf", "erfc") else 40_000  # their truth is a series of hundreds of terms
    error, line = measure_math.worst(name, kind, size, TARGETS[word], flush=True)
    assert error <= ULPS[name][KINDS.index(kind)], line


@each
@both
def test_no_error_is_beyond_its_bound_with_gradual_underflow(name, kind):
    if kind == "f64" and not LONG and ULPS[name][1]:
        pytest.skip("NumPy's long double has no more bits than float64 here")
    error, line = measure_math.worst(name, kind, 10_000, flush=False)
    assert error <= ULPS[name][KINDS.index(kind)], line


def test_the_measurement_sees_an_error():
    want = np.array([1.0, 1.0, 0.0, np.nan, np.inf, 1e-320])
    got = np.array([1.0 + 2.0**-23, 1.0, -0.0, 1.0, 3.0, 0.0], np.float32)
    assert measure_math.ulps(got, want).tolist() == [1.0, 0.0, np.inf, np.inf, np.inf, 0.0]


def test_every_function_has_a_bound_and_the_fast_ones_keep_two_ulp():
    assert list(ULPS) == list(FUNCTIONS)
    for name in ("exp", "log", "tanh", "sigmoid", "erf", "sin", "cos"):
        assert ULPS[name][0] <= 2.0
    assert max(max(pair) for pair in ULPS.values()) <= 4.0


# ------------------------------------------------------------------------------------------------- special values
@each
@both
@everywhere
def test_special_values_are_those_of_numpy(name, kind, word):
    arrays = measure_math.special(kind, 2 if name in measure_math.TWO else 1)
    with np.errstate(over="ignore"):
        want = measure_math.truth(name, kind, arrays).astype(measure_math.DTYPES[kind])
    got = evaluate(name, kind, *arrays, target=TARGETS[word])
    marked = ~np.isfinite(want) | (want == 0)
    np.testing.assert_array_equal(got[marked], want[marked])
    zeros = want == 0
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]))
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))


@both
@pytest.mark.parametrize(
    "name, arguments, value",
    [
        ("exp", (0.0,), 1.0), ("exp2", (-3.0,), 0.125), ("log", (1.0,), 0.0), ("log2", (1024.0,), 10.0),
        ("cos", (0.0,), 1.0), ("erfc", (0.0,), 1.0), ("tanh", (40.0,), 1.0), ("sigmoid", (0.0,), 0.5),
        ("sigmoid", (-np.inf,), 0.0), ("erf", (30.0,), 1.0), ("pow", (3.0, 4.0), 81.0), ("pow", (-2.0, 3.0), -8.0),
        ("cbrt", (-27.0,), -3.0), ("hypot", (3.0, 4.0), 5.0), ("round", (2.5,), 2.0), ("round", (-3.5,), -4.0),
        ("remainder", (-7.0, 3.0), 2.0), ("fmod", (-7.0, 3.0), -1.0), ("floor_divide", (-7.0, 3.0), -3.0),
        ("rsqrt", (4.0,), 0.5), ("log10", (1.0,), 0.0), ("softplus", (100.0,), 100.0), ("sqrt", (-0.0,), -0.0),
    ],
)  # fmt: skip
def test_values_that_are_exact(name, kind, arguments, value):
    got = evaluate(name, kind, *([a] for a in arguments))
    assert got.tolist() == [value]
    assert np.signbit(got[0]) == np.signbit(value)


@both
@pytest.mark.parametrize(
    "name", ["sinh", "tanh", "expm1", "erf", "sin", "tan", "asin", "atan", "asinh", "atanh", "cbrt"]
)
def test_tiny_numbers_keep_sign_and_size(name, kind):
    x = np.array([1.5, -1.0, 3.0, -700.0]) * TINY[kind]
    slope = {"erf": 2 / np.sqrt(np.pi)}.get(name, 1.0)
    want = np.cbrt(x) if name == "cbrt" else slope * x
    np.testing.assert_allclose(evaluate(name, kind, x, flush=True), want, rtol=1e-6, atol=0)


@both
@each
def test_numbers_below_the_smallest_normal_one_count_as_such_or_as_zero(name, kind):
    if name in measure_math.TWO:
        pytest.skip("of one argument")
    x = (np.array([0.5, -0.5, 2.0**-20, -(2.0**-20)]) * TINY[kind]).astype(measure_math.DTYPES[kind])
    for flush in (False, True):
        got = evaluate(name, kind, x, flush=flush)
        for value, argument in zip(got, x, strict=True):
            allowed = measure_math.truth(name, kind, [np.array([argument, np.copysign(x.dtype.type(0), argument)])])
            with np.errstate(invalid="ignore"):
                near = np.abs(allowed - value) <= np.maximum(1e-6 * np.abs(allowed), TINY[kind])
            assert (near | (allowed == value) | (np.isnan(allowed) & np.isnan(value))).any(), (argument, value, allowed)


# ------------------------------------------------------------------------------------------------- large arguments
@both
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_of_any_size(name, kind):
    largest = np.finfo(measure_math.DTYPES[kind]).max
    x = np.array([1e5, 3e6, -1e8, 1e22, 2.0**100, -largest, largest / 3, 0.5], measure_math.DTYPES[kind])
    got = evaluate(name, kind, x)
    errors = measure_math.ulps(got, measure_math.truth(name, kind, [x]))
    assert errors.max() <= (4.0 if LONG or kind == "f32" else 1e3), (x, got)
    alone = evaluate(name, kind, x[-1:])
    assert got[-1] == alone[0]  # a lane beyond the limit leaves its neighbours as they are


# ------------------------------------------------------------------------------------------------- lanes, text
@each
@both
def test_the_bits_do_not_depend_on_the_lanes(name, kind):
    arrays = measure_math.samples(name, kind, 800)
    results = [evaluate(name, kind, *arrays, lanes=lanes) for lanes in (1, 3, 4, 16)]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@each
@everywhere
def test_no_library_is_called(name, word):
    target = TARGETS[word]
    for kind in KINDS:
        text = assembly([measure_math.function_text(name, kind, target, 4)], target)
        called = set(re.findall(r"^\s+(?:call|jmp|bl|b)q?\s+\*?([A-Za-z_]\w*)", text, re.M))
        assert called <= {"cr_reduce_angles"}, called


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
def test_rounding_without_an_instruction_for_it(name):
    text = measure_math.function_text(name, "f64", TARGETS.get("sse2", host_target()), 2)
    assert ("llvm." + {"round": "roundeven"}.get(name, name) in text) == ("sse2" not in TARGETS)
    x = np.array([0.5, -0.5, 1.5, 2.5, -2.5, 0.49999999999999994, 2.0**52 + 1, -(2.0**51) - 0.5, 1e300, -0.0])
    want = getattr(np, name)(x)
    got = evaluate(name, "f64", x, target=TARGETS.get("sse2"))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


def test_the_flushing_run_does_flush():
    assert "chainrule_flush" in runtime_text()
    x = np.array([2.0**-130, 1.0], np.float32)
    assert evaluate("sqrt", "f32", x, flush=True).tolist() == [0.0, 1.0]
    assert evaluate("sqrt", "f32", x, flush=False).tolist() == [2.0**-65, 1.0]


# ------------------------------------------------------------------------------------------------- written files
def test_the_page_is_what_the_bounds_say():
    page = (ROOT / "docs" / "numerics.md").read_text(encoding="utf-8")
    assert page == measure_math.page(), "run: python tools/measure_math.py"


def test_the_coefficients_are_what_the_tool_computes(monkeypatch):
    pytest.importorskip("mpmath")
    monkeypatch.syspath_prepend(ROOT / "tools")
    import make_math_coefficients

    written = make_math_coefficients.FILE.read_text(encoding="utf-8")
    assert written == make_math_coefficients.page(), "run: python tools/make_math_coefficients.py"

"""Measure the errors of the compiler's elementary functions, and write docs/numerics.md from the bounds that they keep.

Usage: python tools/measure_math.py           writes the page from `chainrule.compiler.llvm.math.ULPS`
       python tools/measure_math.py --all     prints the largest error of each function and where it is

float32 is compared with NumPy's float64, float64 with NumPy's long double where that has 64 bits. A test uses the same
measurement: no error may exceed its bound.
"""

from __future__ import annotations

import ctypes
import math
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler.llvm.ir import I64, PTR, VOID, Builder, Module, Type
from chainrule.compiler.llvm.machine import Loaded, Target, compile_text, host_target
from chainrule.compiler.llvm.math import FUNCTIONS, ULPS
from chainrule.compiler.llvm.runtime import runtime_text

DTYPES = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}
WIDE = {"f32": np.dtype(np.float64), "f64": np.dtype(np.longdouble)}
TWO = ("atan2", "pow", "hypot", "fmod", "remainder", "floor_divide", "copysign")
EXACT = [name for name, bounds in ULPS.items() if bounds == (0.0, 0.0)]
PI = np.longdouble(math.pi) + np.longdouble(1.2246467991473532e-16)
PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "numerics.md"
HEAD = """# Accuracy of compiled functions

<!-- written by tools/measure_math.py from chainrule/compiler/llvm/math.py -->

Eager mode computes with NumPy. Compiled code writes its own elementary functions, as vector instructions without a
library behind them. This is how far they may be from the exact result, in units in the last place (ulp: the distance of
the result from its neighbour); NumPy's own functions are up to 4 ulp off. A test measures every row on a few hundred
thousand arguments from all over the range, with and without a fused multiply-add, and fails beyond the bound.

- NaN, infinities and signed zeros come out as from NumPy. No fast-math flag is set anywhere.
- Numbers below the smallest normal one (1.2e-38 in float32, 2.2e-308 in float64) may count as 0, as arguments and as
  results.
- sin, cos and tan are this exact for arguments of any size, up to the largest number.
- The number of threads never changes a bit. Another instruction set may: without a fused multiply-add the last bit
  differs here and there.

| function | float32 | float64 |
| --- | --- | --- |
"""


def page() -> str:
    """Return the whole page."""
    rows = [f"| `{name}` | {single or 'exact'} | {double or 'exact'} |\n" for name, (single, double) in ULPS.items()]
    return HEAD + "".join(rows)


# -------------------------------------------------------------------------------------------------------- running
def compiled(
    name: str, kind: str, target: Target | None = None, lanes: int = 0, flush: bool = False
) -> Callable[..., np.ndarray]:
    """Return a function of the table as a function of arrays.

    Args:
        name: its name.
        kind: "f32" or "f64".
        target: instruction set; default the host's.
        lanes: of the vectors; default one register.
        flush: whether numbers below the smallest normal one count as 0, as in the compiler's code.
    """
    target = target or host_target()
    lanes = lanes or target.lanes(8 * DTYPES[kind].itemsize)
    text = function_text(name, kind, target, lanes, flush)
    code = Loaded(compile_text([text, runtime_text()] if flush else [text], target))
    count = 2 if name in TWO else 1
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (count + 1), ctypes.c_int64)(code.address("f"))

    def run(*arrays: Any) -> np.ndarray:
        assert code is not None  # the code lives as long as this function
        size = len(arrays[0])
        padded = -(-size // lanes) * lanes
        inputs = [np.concatenate([np.asarray(a, DTYPES[kind]), np.ones(padded - size, DTYPES[kind])]) for a in arrays]
        out = np.empty(padded, DTYPES[kind])
        call(*(a.ctypes.data for a in inputs), out.ctypes.data, padded)
        return out[:size]

    return run


def function_text(name: str, kind: str, target: Target, lanes: int, flush: bool = False) -> str:
    """Return a loop over arrays that applies a function, as LLVM's text.

    Args:
        name: of the function.
        kind: "f32" or "f64".
        target: instruction set.
        lanes: of the vectors.
        flush: as in `compiled`.
    """
    module = Module(target.has_fma, target.name != "sse2")
    count = 2 if name in TWO else 1
    b = Builder(module, "f", VOID, [PTR] * (count + 1) + [I64], internal=False)
    *sources, to, size = b.arguments
    type = Type(kind, lanes)

    def body(i: Any) -> None:
        x = [b.load(type, b.offset(source, i, kind)) for source in sources]
        b.store(FUNCTIONS[name](b, *x), b.offset(to, i, kind))

    if flush:
        module.declare("chainrule_flush", I64, [])
        module.declare("chainrule_restore", VOID, [I64])
        word = b.call(I64, "chainrule_flush")
    b.loop(size, body, step=lanes)
    if flush:
        b.call(VOID, "chainrule_restore", word)
    b.finish()
    return module.text()


# -------------------------------------------------------------------------------------------------------- the truth
def _erf(x: np.ndarray) -> np.ndarray:
    """erf x = 2 / sqrt(pi) e^(-x^2) sum of 2^k x^(2 k + 1) / (1 3 5 ... (2 k + 1)), all terms positive."""
    size = np.minimum(np.abs(x), 7).astype(np.longdouble)
    term = total = 2 * size / np.sqrt(PI)
    for k in range(1, 200):
        term = term * (2 * size * size / (2 * k + 1))
        total = total + term
    return np.copysign(np.exp(-size * size) * total, x)


def _erfc(x: np.ndarray) -> np.ndarray:
    """1 - erf x below 2, and a continued fraction above."""
    size = np.abs(x).astype(np.longdouble)
    large = np.maximum(size, 2)
    fraction = large
    for k in range(300, 0, -1):
        fraction = large + np.longdouble(k) / 2 / fraction
    y = np.where(size < 2, 1 - _erf(size), np.exp(-large * large) / (fraction * np.sqrt(PI)))
    return np.where(x < 0, 2 - y, y)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


TRUTH: dict[str, Callable] = {
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.logaddexp(x, 0),
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "erf": _erf,
    "erfc": _erfc,
    "pow": np.power,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "round": np.round,
}


def truth(name: str, kind: str, arrays: list[np.ndarray]) -> np.ndarray:
    """Return what NumPy computes: in a wider type, or for the exact functions in the same one.

    Args:
        name: of the function.
        kind: "f32" or "f64".
        arrays: its arguments.
    """
    function = TRUTH.get(name) or getattr(np, name)
    with np.errstate(all="ignore"):
        return function(*(a if name in EXACT else a.astype(WIDE[kind]) for a in arrays))


# -------------------------------------------------------------------------------------------------------- errors
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    7.5,
    -7.5,
    1e10,
    -1e10,
    1e-10,
]
SPECIAL += [0.25, 1.5, 2.5, 1e30, 1e-30, 2.0**23 + 1, 2.0**24 + 2, 2.0**52 + 1, -(2.0**52) - 1, 2.0**53 + 2, 1e5, 3e38]


def special(kind: str, count: int) -> list[np.ndarray]:
    """Return zeros, infinities, NaN and other marked numbers, and all pairs of them for two arguments.

    Args:
        kind: "f32" or "f64".
        count: of arguments.
    """
    numbers = np.array(SPECIAL, DTYPES[kind])
    return [numbers] if count == 1 else [grid.ravel() for grid in np.meshgrid(numbers, numbers)]


def samples(name: str, kind: str, size: int, seed: int = 0) -> list[np.ndarray]:
    """Return arguments from all over the range: all bit patterns, small and large intervals, places that are hard.

    Args:
        name: of the function.
        kind: "f32" or "f64".
        size: about how many.
        seed: of the generator.
    """
    rng, dtype, part = np.random.default_rng(seed), DTYPES[kind], size // 8
    columns = []
    for column in range(2 if name in TWO else 1):
        # Never a signalling NaN: NumPy would warn about it.
        bits = rng.integers(0, 2 ** (8 * dtype.itemsize), part, np.uint64).astype(f"u{dtype.itemsize}").view(dtype)
        bits = np.where(np.isnan(bits), dtype.type(np.nan), bits)
        spans = [(-1, 1), (-5, 5), (-30, 30), (-110, 110), (-800, 800), (-1e6, 1e6)]
        uniform = [rng.uniform(low, high, part) for low, high in spans]
        near_one = 1 + rng.uniform(-0.1, 0.5, part) * 2.0 ** -rng.integers(0, 10, part)
        multiples = np.arange(-part // 2, part // 2) * (math.pi / 2)
        if name == "pow" and column == 0:
            uniform = [np.abs(u) for u in uniform]
            near_one = np.exp(rng.uniform(-9, 9, part))
        columns.append(np.concatenate([*uniform, near_one, multiples, bits]).astype(dtype))
    normal = np.all([~(np.abs(c) < np.finfo(dtype).tiny) | (c == 0) for c in columns], axis=0)
    if name in ("fmod", "remainder", "floor_divide"):  # the remainder of a smaller divisor may count as 0
        normal &= ~(np.abs(columns[1]) < np.finfo(dtype).tiny * 2.0 ** (np.finfo(dtype).nmant + 1))
    extra = special(kind, len(columns))
    return [np.concatenate([c[normal], e]) for c, e in zip(columns, extra, strict=True)]


def ulps(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Return the errors in units in the last place; infinite for a wrong infinity, NaN or sign of a zero.

    Args:
        got: results.
        want: the same in a wider type.
    """
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        exponent = np.maximum(np.frexp(want)[1] - 1, info.minexp)
        error = np.abs((got.astype(want.dtype) - want) / np.ldexp(np.ones_like(want), exponent - info.nmant))
    flushed = (np.abs(rounded) < info.tiny) & (np.abs(got) <= info.tiny)
    same = (got == rounded) & (np.signbit(got) == np.signbit(rounded)) | (np.isnan(got) & np.isnan(rounded))
    special = ~np.isfinite(rounded) | ~np.isfinite(got) | ((want == 0) & (np.abs(got) <= info.tiny))
    error = np.where(special, np.where(same, 0.0, np.inf), np.where(flushed, 0.0, error))
    return error.astype(np.float64)


def worst(name: str, kind: str, size: int, target: Target | None = None, flush: bool = False) -> tuple[float, str]:
    """Return the largest error of a function, and a line that says where it is.

    Args:
        name: of the function.
        kind: "f32" or "f64".
        size: how many samples.
        target: instruction set; default the host's.
        flush: as in `compiled`.
    """
    arrays = samples(name, kind, size)
    want = truth(name, kind, arrays)
    got = compiled(name, kind, target, flush=flush)(*arrays)
    errors = ulps(got, want)
    i = int(np.argmax(errors))
    at = ", ".join(repr(float(a[i])) for a in arrays)
    return float(errors[i]), f"{name}({at}) in {kind} is {got[i]}, not {want[i]}: {errors[i]:.3f} ulp"


def main() -> None:
    """Print the errors, or write the page."""
    if "--all" in sys.argv:
        for name in FUNCTIONS:
            print(*(worst(name, kind, 1_000_000)[1] for kind in DTYPES), sep="\n")
        return
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

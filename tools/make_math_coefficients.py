"""Write src/chainrule/compiler/llvm/math_coefficients.py: the polynomials of the compiler's elementary functions.

Usage: python tools/make_math_coefficients.py [--errors]      A test compares the file with what this would write.

Each polynomial passes through its function at the Chebyshev points of the interval, which is within a factor of about
two of the best one possible (Muller, Elementary Functions, 3rd edition, 2016, chapter 3).
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp

FILE = pathlib.Path(__file__).resolve().parent.parent / "src/chainrule/compiler/llvm/math_coefficients.py"
HEAD = '''"""Coefficients of the elementary functions, constant term first; written by tools/make_math_coefficients.py.

Each table holds the polynomial for results in float32 and the one for results in float64.
"""

'''
mp.mp.dps = 60
LN2, PI = mp.log(2), mp.pi


class Fit(NamedTuple):
    """A function, the interval of its argument, the degrees for float32 and float64, what it is, a weight of errors."""

    function: Callable[[Any], Any]
    low: Any
    high: Any
    degrees: tuple[int, ...]
    meaning: str
    weight: Callable[[Any], Any] | None = None


def _log_tail(s2: Any) -> Any:
    s = mp.sqrt(s2)
    return (2 * mp.atanh(s) - 2 * s) / s**3


def _erfcx(t: Any) -> Any:
    x = 4 * (1 + t) / (1 - t)
    return (1 + 2 * x) * (mp.exp(x * x) * mp.erfc(x) if x < 1e3 else 1 / (x * mp.sqrt(PI)) * (1 - 1 / (2 * x * x)))


def _odd(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return g with function(x) = x + x^3 g(x^2)."""

    def tail(z: Any) -> Any:
        x = mp.sqrt(z)
        return (function(x) / x - 1) / z

    return tail


_EIGHTH, _LOW, _HIGH = mp.tan(PI / 8) ** 2, mp.sqrt(0.5) - 1, mp.sqrt(2) - 1
FITS = {
    "EXP": Fit(
        lambda r: (mp.expm1(r) / r - 1) / r,
        -LN2 / 2 * mp.mpf("1.0001"),
        LN2 / 2,
        (4, 10),
        "((e^r - 1) / r - 1) / r, |r| <= log(2) / 2",
    ),
    "TANH": Fit(_odd(mp.tanh), mp.mpf(0), mp.mpf("0.3025"), (4, 10), "(tanh(x) / x - 1) / x^2 of x^2, |x| <= 0.55"),
    "LOG": Fit(
        lambda r: (mp.log1p(r) - r) / r**2, _LOW, _HIGH, (9,), "(log(1 + r) - r) / r^2, sqrt(1/2) <= 1 + r <= sqrt(2)"
    ),
    "LOG_TAIL": Fit(
        _log_tail, mp.mpf(0), (_HIGH / (_HIGH + 2)) ** 2, (2, 7), "(2 atanh(s) - 2 s) / s^3 of s^2, |s| <= 0.1716"
    ),
    "LOG_WIDE": Fit(
        lambda t2: _log_tail(t2 / 4) / 8,
        mp.mpf(0),
        mp.mpf(4) / 9,
        (4, 10),
        "(2 atanh(t / 2) - t) / t^3 of t^2, |t| <= 2/3",
    ),
    "SIN": Fit(_odd(mp.sin), mp.mpf(0), (PI / 2) ** 2, (4, 8), "(sin(r) / r - 1) / r^2 of r^2, |r| <= pi / 2"),
    "SIN_SHORT": Fit(_odd(mp.sin), mp.mpf(0), (PI / 4) ** 2, (3, 6), "the same, |r| <= pi / 4"),
    "COS_SHORT": Fit(
        lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
        mp.mpf(0),
        (PI / 4) ** 2,
        (2, 5),
        "(cos(r) - 1 + r^2 / 2) / r^4 of r^2, |r| <= pi / 4",
    ),
    "ASIN": Fit(_odd(mp.asin), mp.mpf(0), mp.mpf(1) / 4, (5, 12), "(asin(s) / s - 1) / s^2 of s^2, |s| <= 1/2"),
    "ATAN": Fit(_odd(mp.atan), mp.mpf(0), _EIGHTH, (4, 11), "(atan(t) / t - 1) / t^2 of t^2, |t| <= tan(pi / 8)"),
    "ERF": Fit(
        lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, mp.mpf(0), mp.mpf(1), (6, 12), "erf(x) / x - 1 of x^2, |x| <= 1"
    ),
    "ERF_FAR": Fit(
        lambda x: mp.log(mp.erfc(x), 2), mp.mpf("0.9"), mp.mpf(4), (6,), "log2 erfc(x), 0.9 <= x <= 4", mp.erfc
    ),
    "EXP2": Fit(lambda r: 2**r, mp.mpf(-1) / 2, mp.mpf(1) / 2, (5,), "2^r, |r| <= 1/2"),
    "ERFCX": Fit(
        _erfcx,
        mp.mpf(-1),
        mp.mpf(23.2) / 31.2,
        (12, 23),
        "(1 + 2 x) e^(x^2) erfc(x) of (x - 4) / (x + 4), 0 <= x <= 27.3",
    ),
}
# name, value, bits of the parts for float32 and float64, how many parts
CONSTANTS = [
    ("LOG_2", LN2, (16, 42), 2),
    ("LOG10_2", mp.log10(2), (16, 42), 2),
    ("HALF_PI", PI / 2, (32, 32), 3),
]


def points(low: Any, high: Any, count: int) -> list[Any]:
    """Return the Chebyshev points of an interval.

    Args:
        low: its left end.
        high: its right end.
        count: how many.
    """
    return [(low + high) / 2 + (high - low) / 2 * mp.cos(PI * (2 * k + 1) / (2 * count)) for k in range(count)]


def polynomial(fit: Fit, degree: int) -> list[Any]:
    """Return the coefficients of the polynomial through the function at the Chebyshev points.

    With a weight it does not go through them: of eight times as many points the weighted squares are least.

    Args:
        fit: the function and its interval.
        degree: of the polynomial.
    """
    weight = fit.weight or (lambda x: mp.mpf(1))
    xs = points(fit.low, fit.high, (degree + 1) * (8 if fit.weight else 1))
    rows = mp.matrix([[weight(x) * x**k for k in range(degree + 1)] for x in xs])
    return list(mp.lu_solve(rows, mp.matrix([weight(x) * fit.function(x) for x in xs])))


def error(fit: Fit, coefficients: list[Any]) -> Any:
    """Return the largest relative error on the interval.

    Args:
        fit: the function and its interval.
        coefficients: constant term first.
    """
    xs = points(fit.low, fit.high, 60)
    return max(abs(mp.polyval(coefficients[::-1], x) / fit.function(x) - 1) for x in xs)


def parts(value: Any, bits: int, count: int) -> list[Any]:
    """Return numbers that add up to a constant; all but the last have few bits, so that whole multiples are exact.

    Args:
        value: the constant.
        bits: of each part but the last.
        count: of parts.
    """
    found = []
    for _ in range(count - 1):
        unit = mp.mpf(2) ** (mp.floor(mp.log(value, 2)) + 1 - bits)
        found.append(mp.floor(value / unit) * unit)
        value -= found[-1]
    return [*found, value]


def _numbers(values: list[Any]) -> str:
    return "(\n" + "".join(f"        {float(v)!r},\n" for v in values) + "    )"


def page(show: bool = False) -> str:
    """Return the whole file.

    Args:
        show: print the errors of the fits.
    """
    text = HEAD
    for name, fit in FITS.items():
        both = [polynomial(fit, degree) for degree in fit.degrees]
        if show:
            print(name, *(mp.nstr(mp.log(error(fit, c), 2), 4) for c in both))
        text += f"# {fit.meaning}\n{name} = (\n" + "".join(f"    {_numbers(c)},\n" for c in both) + ")\n"
    for name, value, bits, count in CONSTANTS:
        text += f"{name} = (\n" + "".join(f"    {_numbers(parts(value, b, count))},\n" for b in bits) + ")\n"
    mp.mp.dps = 420
    bits = int(mp.floor(2 / mp.pi * mp.mpf(2) ** 1280))
    mp.mp.dps = 60
    return text + f"# 2 / pi times 2^1280\nTWO_OVER_PI = int(\n    {_wrapped(f'{bits:x}')},\n    16,\n)\n"


def _wrapped(digits: str) -> str:
    return "\n    ".join(f'"{digits[i : i + 80]}"' for i in range(0, len(digits), 80))


def main() -> None:
    """Write the file."""
    FILE.write_text(page("--errors" in sys.argv), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The elementary functions of the compiler by name, and how far each may be from the exact result.

`FUNCTIONS[name](b, x, ...)` writes the instructions for values of float32 or float64 in any number of lanes and returns
the result. No library is called and no flag loosens the arithmetic: NaN, infinities and signed zeros come out as from
NumPy. Numbers below the smallest normal one may count as 0, as they do in the compiler's code. Without a fused
multiply-add (`Module.has_fma`) the last bits differ, within the same bounds.

    math_exponential     exp exp2 expm1 sinh cosh tanh sigmoid softplus
    math_logarithm       log log2 log10 log1p asinh acosh atanh
    math_trigonometric   sin cos tan asin acos atan atan2
    math_error           erf erfc
    math_power           pow cbrt hypot sqrt rsqrt
    math_rounding        floor ceil trunc round fmod remainder floor_divide copysign
    math_term            the language that they are written in

`ULPS` holds the largest error in units in the last place of the result, for float32 and float64; 0 means the correctly
rounded result, bit for bit NumPy's. tools/measure_math.py measures them and a test asserts them.
"""

from __future__ import annotations

from chainrule.compiler.llvm import (
    math_error,
    math_exponential,
    math_logarithm,
    math_power,
    math_rounding,
    math_trigonometric,
)
from chainrule.compiler.llvm.math_term import Emitter

__all__ = ["FUNCTIONS", "ULPS"]

FUNCTIONS: dict[str, Emitter] = {
    "exp": math_exponential.exp,
    "exp2": math_exponential.exp2,
    "expm1": math_exponential.expm1,
    "sinh": math_exponential.sinh,
    "cosh": math_exponential.cosh,
    "tanh": math_exponential.tanh,
    "sigmoid": math_exponential.sigmoid,
    "softplus": math_exponential.softplus,
    "log": math_logarithm.log,
    "log2": math_logarithm.log2,
    "log10": math_logarithm.log10,
    "log1p": math_logarithm.log1p,
    "asinh": math_logarithm.asinh,
    "acosh": math_logarithm.acosh,
    "atanh": math_logarithm.atanh,
    "sin": math_trigonometric.sin,
    "cos": math_trigonometric.cos,
    "tan": math_trigonometric.tan,
    "asin": math_trigonometric.asin,
    "acos": math_trigonometric.acos,
    "atan": math_trigonometric.atan,
    "atan2": math_trigonometric.atan2,
    "erf": math_error.erf,
    "erfc": math_error.erfc,
    "pow": math_power.pow,
    "cbrt": math_power.cbrt,
    "hypot": math_power.hypot,
    "sqrt": math_power.sqrt,
    "rsqrt": math_power.rsqrt,
    "floor": math_rounding.floor,
    "ceil": math_rounding.ceil,
    "trunc": math_rounding.trunc,
    "round": math_rounding.round,
    "fmod": math_rounding.fmod,
    "remainder": math_rounding.remainder,
    "floor_divide": math_rounding.floor_divide,
    "copysign": math_rounding.copysign,
}

ULPS: dict[str, tuple[float, float]] = {
    "exp": (1.1, 1.1),
    "exp2": (1.1, 1.1),
    "expm1": (1.8, 2.0),
    "sinh": (0.9, 2.5),
    "cosh": (0.7, 1.6),
    "tanh": (1.5, 1.4),
    "sigmoid": (2.0, 1.9),
    "softplus": (2.8, 2.8),
    "log": (1.2, 0.9),
    "log2": (0.6, 1.7),
    "log10": (0.6, 2.9),
    "log1p": (0.6, 0.9),
    "asinh": (0.6, 1.8),
    "acosh": (0.6, 2.1),
    "atanh": (0.6, 1.7),
    "sin": (0.6, 2.2),
    "cos": (0.6, 2.2),
    "tan": (0.6, 3.6),
    "asin": (0.6, 2.3),
    "acos": (0.6, 1.3),
    "atan": (0.6, 2.2),
    "atan2": (0.6, 2.4),
    "erf": (2.0, 1.4),
    "erfc": (0.7, 3.3),
    "pow": (0.7, 1.3),
    "cbrt": (0.6, 1.1),
    "hypot": (0.6, 2.1),
    "sqrt": (0.0, 0.0),
    "rsqrt": (1.6, 1.6),
    "floor": (0.0, 0.0),
    "ceil": (0.0, 0.0),
    "trunc": (0.0, 0.0),
    "round": (0.0, 0.0),
    "fmod": (0.0, 0.0),
    "remainder": (0.0, 0.0),
    "floor_divide": (0.0, 0.0),
    "copysign": (0.0, 0.0),
}

"""What rules ask about a value: is it one number everywhere, which integers may it hold, can it be -0.0.

Everything here is safe: where nothing is known the answer is None or False.
"""

from __future__ import annotations

import numpy as np

from chainrule.compiler.passes.rewriting import Rewriting
from chainrule.core.dtypes import DType
from chainrule.core.graph import Variable

__all__ = ["is_lossless", "is_number", "never_minus_zero", "uniform"]

LOOKED_AT = 4096  # elements of a constant array


def uniform(rw: Rewriting, v: Variable) -> np.ndarray | None:
    """Return the number, as a 0-d array, that a value holds everywhere; None if that is not known or there is none."""
    while v.constant is None:
        equation = rw.maker(v, "broadcast_to", "reshape", "permute_dims")
        if equation is None:
            return None
        v = equation.inputs[0]
    array = v.constant
    if array.size == 1:
        return array.reshape(())
    if not 0 < array.size <= LOOKED_AT or array.dtype.kind not in "fiub":
        return None
    first = array.flat[0]
    if (array != first).any() or (array.dtype.kind == "f" and (np.signbit(array) != np.signbit(first)).any()):
        return None
    return np.asarray(first, array.dtype)


def is_number(rw: Rewriting, v: Variable, number: float) -> bool:
    """Return whether a value holds `number` everywhere; 0.0 and -0.0 differ."""
    found = uniform(rw, v)
    if found is None or found.dtype.kind == "c" or not bool(found == number):
        return False
    return v.type.dtype.kind != "float" or bool(np.signbit(found.astype(np.float64)) == np.signbit(float(number)))


def never_minus_zero(rw: Rewriting, v: Variable, depth: int = 8) -> bool:
    """Return whether a float value is certainly never -0.0, from at most `depth` equations before it."""
    if v.constant is not None:
        return not (np.signbit(v.constant) & (v.constant == 0)).any()
    equation = rw.maker(v)
    if equation is None or not depth:
        return False
    name = equation.primitive.name
    if name in ("abs", "exp", "square", "sigmoid", "sum"):
        return True
    if name == "astype":
        return equation.inputs[0].type.dtype.kind in ("int", "uint", "bool")
    if name in ("reshape", "broadcast_to", "permute_dims", "slice", "flip"):
        return never_minus_zero(rw, equation.inputs[0], depth - 1)
    return name == "add" and any(is_number(rw, x, 0.0) for x in equation.inputs)


_MANTISSA = {"bfloat16": 8, "float32": 24, "float64": 53}
_EXPONENT = {"bfloat16": 8, "float32": 8, "float64": 11}


def is_lossless(a: DType, b: DType) -> bool:
    """Return whether every value of dtype a has its own value in dtype b, equal to it as a number."""
    if a is b or a.kind == "bool":
        return True
    if "complex" in (a.kind, b.kind) or b.kind == "bool":
        return False
    if a.kind == "float":
        return b.kind == "float" and _MANTISSA[a.name] <= _MANTISSA[b.name] and _EXPONENT[a.name] <= _EXPONENT[b.name]
    bits = a.itemsize * 8 - (a.kind == "int")
    if b.kind == "float":
        return bits <= _MANTISSA[b.name]
    if a.kind == "int" and b.kind == "uint":
        return False
    return bits <= b.itemsize * 8 - (b.kind == "int")

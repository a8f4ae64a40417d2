"""The words and numbers of a picture: values, gradients, products on edges, and the labels of operations.

Up to four numbers are written out; of more, the range and, of a gradient, the norm is.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.core.html import size_text
from chainrule.debug.graph_parts import Input, Operation, Value

__all__ = [
    "constant_text",
    "factors",
    "gradient_text",
    "is_folded",
    "label",
    "number",
    "product_text",
    "type_text",
    "value_text",
]

SHOWN = 4  # numbers that are written out
_SYMBOLS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "pow": "xʸ", "matmul": "@", "negative": "−x"}
_SYMBOLS |= {"square": "x²", "sqrt": "√x", "reciprocal": "1/x", "abs": "|x|", "sum": "Σ", "prod": "Π"}
_FORMULAS = {"add": "{} + {}", "subtract": "{} − {}", "multiply": "{} × {}", "divide": "{} / {}", "pow": "{}^{}"}
_FORMULAS |= {"maximum": "max({}, {})", "minimum": "min({}, {})"}


def number(value: complex, digits: int = 4) -> str:
    """Return a number with four significant digits, or as many as are asked for, and a true minus.

    Example:
        >>> number(-0.19661193), number(3.0)
        ('−0.1966', '3')
    """
    if isinstance(value, complex):
        return f"{value:.{digits}g}".replace("-", "−")
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value or 0:.{digits}g}".replace("-", "−")  # 0 for -0


def _written(array: np.ndarray) -> str:
    if array.ndim == 0:
        return number(array.item())
    if array.ndim == 2 and array.shape[1] == 1 < len(array):
        return _written(array[:, 0]) + "ᵀ"  # a column, written as a row
    parts = [number(part.item(), 3) if array.ndim == 1 else _written(np.asarray(part)) for part in array]
    return f"[{', '.join(parts)}]"


def value_text(value: Value) -> str:
    """Return a small value written out, of a large one its range; nothing where it is not known."""
    array = value.array
    if array is None or not array.size:
        return ""
    if array.size <= SHOWN:
        return _written(array)
    if array.dtype.kind in "bc":
        return ""
    wide = array.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    return f"{number(finite.min(), 3)} … {number(finite.max(), 3)}" if finite.size else "not finite"


def type_text(value: Value) -> str:
    """Return "f32[32,10] · 1.3 KiB"."""
    return f"{value.type} · {size_text(value.type.nbytes)}"


def gradient_text(gradient: np.ndarray | None) -> str:
    """Return a small gradient written out, of a large one its norm."""
    if gradient is None:
        return ""
    if 0 < gradient.size <= SHOWN:
        return _written(gradient)
    return f"‖g‖ {number(float(np.linalg.norm(np.abs(gradient).astype(np.float64))), 3)}" if gradient.size else ""


def product_text(edge: Input, upstream: np.ndarray | None) -> str:
    """Return where a gradient comes from, "1 × −4", between single numbers; else nothing.

    Args:
        edge: an edge with its gradient and local derivative.
        upstream: the gradient of the operation's output.
    """
    array = edge.local.array if edge.local is not None else None
    if edge.down is None or upstream is None or array is None:
        return ""
    return factors(upstream.item(), array.item()) if upstream.size == array.size == edge.down.size == 1 else ""


def factors(upstream: complex, derivative: complex) -> str:
    """Return a product as it is written under an edge.

    Example:
        >>> factors(1.0, -4.0)
        '1 × −4'
    """
    return f"{number(upstream)} × {number(derivative)}"


def is_folded(operation: Operation, edge: Input) -> bool:
    """Return whether an input is a known number that is written into the operation's label instead of drawn."""
    value = edge.value
    known = value.kind == "constant" and not value.name and value.array is not None and value.array.size == 1
    return known and operation.elementwise and len(operation.inputs) > 1


def constant_text(value: Value) -> str:
    """Return the number of a folded constant."""
    return number(value.array.item()) if value.array is not None else "?"


def label(operation: Operation) -> str:
    """Return what stands on an operation: a symbol, a formula with the constants in it, or its name."""
    folded = [is_folded(operation, edge) for edge in operation.inputs]
    if any(folded) and not all(folded):
        other = "x" if len(folded) == 2 else "·"
        parts = [constant_text(e.value) if known else other for e, known in zip(operation.inputs, folded, strict=True)]
        if operation.name == "pow" and parts[1] == "2":
            return "x²"
        formula = _FORMULAS.get(operation.name, "")
        if formula and "(" not in formula:
            parts = [f"({part})" if part.startswith("−") else part for part in parts]
        return formula.format(*parts) if formula else f"{operation.name}({', '.join(parts)})"
    if operation.name == "permute_dims":
        axes = operation.attributes.get("axes", ())
        return "xᵀ" if len(axes) == 2 and tuple(axes) == (1, 0) else "permute"
    return _SYMBOLS.get(operation.name, operation.name)

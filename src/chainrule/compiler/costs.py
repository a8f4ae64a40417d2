"""What elementwise operations cost, so that the scheduler can tell what to store and what to compute again."""

from __future__ import annotations

from chainrule.core.graph import Equation

__all__ = ["weight"]

_FREE = frozenset(("identity", "positive", "astype", "negative", "real", "logical_not"))
_HEAVY = {
    **dict.fromkeys(("divide", "reciprocal", "sqrt", "rsqrt", "floor_divide", "remainder", "square_root"), 6),
    **dict.fromkeys(("random_bits",), 60),
}
_LIGHT = frozenset(
    [
        "add",
        "subtract",
        "multiply",
        "maximum",
        "minimum",
        "abs",
        "sign",
        "relu",
        "where",
        "clip",
        "square",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "bitwise_invert",
        "isnan",
        "isinf",
        "isfinite",
        "floor",
        "ceil",
        "round",
        "trunc",
        "bitwise_left_shift",
        "bitwise_right_shift",
        "check_finite",
        "check_labels",
        "check_indices",
        "check_probabilities",
        "arange",
        "gather",
        "concat",
        "pad",
        "slice",
        "one_hot",
        "flip",
    ]
)


def weight(e: Equation) -> int:
    """Return what an equation costs per element, about: in operations as cheap as an addition."""
    name = e.primitive.name
    if name in _FREE:
        return 0
    return 1 if name in _LIGHT else _HEAVY.get(name, 20)

"""Which integers a value may hold: from guards, ranges, choices and a little arithmetic, never from data.

`interval` answers with the smallest and largest integer, or None where nothing is known. Guards count: after
`check_labels` the labels are in range, or the step has raised.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.core.graph import Equation, Variable

__all__ = ["Interval", "interval"]

Interval = tuple[int, int]
Maker = Callable[[Variable], "Equation | None"]
DEEPEST = 32  # equations looked back

_MOVES = ("reshape", "broadcast_to", "permute_dims", "slice", "flip", "gather", "take_along", "identity", "positive")
_SAME = ("barrier", "check_indices")


def interval(maker: Maker, v: Variable, depth: int = DEEPEST) -> Interval | None:
    """Return the smallest and the largest integer that a value may hold, or None.

    Args:
        maker: returns the equation that makes a variable, or None.
        v: a bool or integer variable.
        depth: how many equations to look back.
    """
    kind = v.type.dtype.kind
    if kind == "bool":
        return 0, 1
    if kind not in ("int", "uint"):
        return None
    if v.constant is not None:
        return (int(v.constant.min()), int(v.constant.max())) if v.constant.size else None
    equation = maker(v)
    if equation is None or depth <= 0:
        return _all(v)
    found = _of_equation(maker, equation, v, depth - 1)
    if found is None:
        return _all(v)
    limits = _all(v)
    return found if limits[0] <= found[0] and found[1] <= limits[1] else limits  # arithmetic may wrap around


def _all(v: Variable) -> Interval:
    limits = np.iinfo(v.dtype)
    return int(limits.min), int(limits.max)


def _of_equation(maker: Maker, equation: Equation, v: Variable, depth: int) -> Interval | None:
    name, a, inputs = equation.primitive.name, equation.attributes, equation.inputs
    if name in _MOVES or name in _SAME:
        found = interval(maker, inputs[0], depth)
        if name == "check_indices" and found is not None:
            found = _both(found, (0, a["size"] - 1))
        return found
    if name == "check_labels":
        return _labels(maker, equation, depth)
    if name == "arange":
        return _arange(equation)
    if name == "where":
        return _choice(maker, equation, depth)
    if name == "concat":
        return _join([interval(maker, x, depth) for x in inputs])
    if name == "astype":
        return interval(maker, inputs[0], depth) if inputs[0].type.dtype.kind in ("bool", "int", "uint") else None
    if name == "argmax" or name == "argmin":
        axis = a["axis"]
        size = inputs[0].size if axis is None else inputs[0].shape[axis]
        return (0, size - 1) if size else None
    if name == "one_hot":
        return 0, 1
    if name in _ARITHMETIC:
        parts = [interval(maker, x, depth) for x in inputs]
        return None if None in parts else _ARITHMETIC[name](*parts)
    return None


def _labels(maker: Maker, equation: Equation, depth: int) -> Interval | None:
    """Return the range of checked labels, the one that is allowed besides included."""
    classes, ignore = equation.attributes["classes"], equation.attributes["ignore"]
    before = interval(maker, equation.inputs[0], depth)
    checked = (0, classes - 1) if ignore is None else (min(0, ignore), max(classes - 1, ignore))
    return checked if before is None else _both(before, checked)


def _arange(equation: Equation) -> Interval | None:
    start, step, size = (equation.attributes[name] for name in ("start", "step", "size"))
    if not size or not isinstance(start, int) or not isinstance(step, int):
        return None
    last = start + step * (size - 1)
    return min(start, last), max(start, last)


def _choice(maker: Maker, equation: Equation, depth: int) -> Interval | None:
    """Return the range of a choice; `where(labels != ignore, labels, 0)` leaves the ignored label out."""
    condition, x1, x2 = equation.inputs
    made, guard = maker(condition), maker(x1)
    if made is not None and guard is not None and guard.primitive.name == "check_labels":
        ignore = guard.attributes["ignore"]
        if ignore is not None and made.primitive.name == "not_equal" and _compares(made, x1, ignore):
            return _join([(0, guard.attributes["classes"] - 1), interval(maker, x2, depth)])
    return _join([interval(maker, x1, depth), interval(maker, x2, depth)])


def _compares(equation: Equation, x: Variable, number: int) -> bool:
    """Return whether an equation compares x with a number."""
    a, b = equation.inputs
    other = b if a is x else a if b is x else None
    return other is not None and other.constant is not None and bool((other.constant == number).all())


def _both(a: Interval, b: Interval) -> Interval | None:
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else None


def _join(parts: list[Interval | None]) -> Interval | None:
    known = [part for part in parts if part is not None]
    return (min(a for a, _ in known), max(b for _, b in known)) if len(known) == len(parts) else None


def _product(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


def _remainder(a: Interval, b: Interval) -> Interval | None:
    return (0, b[1] - 1) if b[0] > 0 else None


_ARITHMETIC: dict[str, Callable[..., Interval | None]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "subtract": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "multiply": _product,
    "negative": lambda a: (-a[1], -a[0]),
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "clip": lambda x, low, high: (max(low[0], min(x[0], high[0])), min(high[1], max(x[1], low[1]))),
    "remainder": _remainder,
}

"""Which integers a value may hold: from guards, ranges, choices and a little arithmetic, never from data.

`interval` answers with the smallest and largest integer, or None where nothing is known. Guards count: after
`check_labels` the labels are in range, or the step has raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chainrule.core.graph import Equation, Variable

__all__ = ["Interval", "interval"]

Interval = tuple[int, int]
Maker = Callable[[Variable], "Equation | None"]
DEEPEST = 32  # equations looked back

_MOVES = ("reshape", "broadcast_to", "permute_dims", "slice", "flip", "gather", "take_along", "identity", "positive")


def interval(maker: Maker, v: Variable) -> Interval | None:
    """Return the smallest and the largest integer that a value may hold, or None.

    Args:
        maker: returns the equation that makes a variable, or None.
        v: a bool or integer variable; all others give None.
    """
    return _Look(maker).at(v, DEEPEST)


class _Look:
    """One look back from a value; each value on the way is looked at once.

    Args:
        maker: returns the equation that makes a variable, or None.
    """

    def __init__(self, maker: Maker):
        self.maker = maker
        self.known: dict[Variable, Interval | None] = {}

    def at(self, v: Variable, depth: int) -> Interval | None:
        """Return the range of a value, looking back at most `depth` equations."""
        if v not in self.known:
            self.known[v] = self._found(v, depth)
        return self.known[v]

    def _found(self, v: Variable, depth: int) -> Interval | None:
        kind = v.type.dtype.kind
        if kind == "bool":
            return 0, 1
        if kind not in ("int", "uint"):
            return None
        if v.constant is not None:
            return (int(v.constant.min()), int(v.constant.max())) if v.constant.size else None
        equation = self.maker(v)
        limits = np.iinfo(v.dtype)
        everything = int(limits.min), int(limits.max)
        if equation is None or not depth:
            return everything
        found = self._of(equation, depth - 1)
        inside = found is not None and everything[0] <= found[0] and found[1] <= everything[1]
        return found if inside else everything  # arithmetic may wrap around

    def _of(self, equation: Equation, depth: int) -> Interval | None:
        name, a, inputs = equation.primitive.name, equation.attributes, equation.inputs
        if name in _MOVES or name == "barrier":
            return self.at(inputs[0], depth)
        if name == "astype":
            return self.at(inputs[0], depth)
        if name == "check_indices":
            return _both(self.at(inputs[0], depth), (0, a["size"] - 1))
        if name == "check_labels":
            return self._labels(equation, depth)
        if name == "arange":
            return _arange(equation)
        if name == "where":
            return self._choice(equation, depth)
        if name == "concat":
            return _join([self.at(x, depth) for x in inputs])
        if name in ("argmax", "argmin"):
            size = inputs[0].size if a["axis"] is None else inputs[0].shape[a["axis"]]
            return (0, size - 1) if size else None
        if name == "one_hot":
            return 0, 1
        if name in _ARITHMETIC:
            parts = [self.at(x, depth) for x in inputs]
            return None if None in parts else _ARITHMETIC[name](*parts)
        return None

    def _labels(self, equation: Equation, depth: int) -> Interval | None:
        """Return the range of checked labels, the one that is allowed besides included."""
        classes, ignore = equation.attributes["classes"], equation.attributes["ignore"]
        allowed = (0, classes - 1) if ignore is None else (min(0, ignore), max(classes - 1, ignore))
        return _both(self.at(equation.inputs[0], depth), allowed)

    def _choice(self, equation: Equation, depth: int) -> Interval | None:
        """Return the range of a choice; `where(labels != ignore, labels, 0)` leaves the ignored label out."""
        condition, x1, x2 = equation.inputs
        parts = [self.at(x1, depth), self.at(x2, depth)]
        compared, guard = self.maker(condition), self.maker(x1)
        if compared is not None and guard is not None and guard.primitive.name == "check_labels":
            ignore = guard.attributes["ignore"]
            if ignore is not None and compared.primitive.name == "not_equal" and _compares(compared, x1, ignore):
                parts[0] = (0, guard.attributes["classes"] - 1)
        return _join(parts)


def _arange(equation: Equation) -> Interval | None:
    start, step, size = (equation.attributes[name] for name in ("start", "step", "size"))
    if not size or not isinstance(start, int) or not isinstance(step, int):
        return None
    last = start + step * (size - 1)
    return min(start, last), max(start, last)


def _compares(equation: Equation, x: Variable, number: int) -> bool:
    """Return whether an equation compares x with a number."""
    a, b = equation.inputs
    other = b if a is x else a if b is x else None
    return other is not None and other.constant is not None and bool((other.constant == number).all())


def _both(a: Interval | None, b: Interval) -> Interval:
    """Return what lies in both ranges; where that is nothing, the guard raises for sure and any answer is right."""
    if a is None:
        return b
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else b


def _join(parts: Sequence[Interval | None]) -> Interval | None:
    """Return the range around all ranges."""
    known = [part for part in parts if part is not None]
    return (min(a for a, _ in known), max(b for _, b in known)) if len(known) == len(parts) else None


def _product(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


_ARITHMETIC: dict[str, Callable[..., Interval | None]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "subtract": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "multiply": _product,
    "negative": lambda a: (-a[1], -a[0]),
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "clip": lambda x, low, high: (min(max(x[0], low[0]), high[0]), min(max(x[1], low[1]), high[1])),
    "remainder": lambda a, b: (0, b[1] - 1) if b[0] > 0 else None,
}

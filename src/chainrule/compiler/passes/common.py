"""Common subexpressions: equations that compute the same value become one.

Equal are: the primitive, the inputs (for a commutative primitive in any order), the attributes by value and type.
Effects are never merged, nor are barriers: what stands behind a barrier is a recomputation that `checkpoint` wanted,
and as no two barriers are equal, nothing behind one is equal to what stands before it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["merge_common", "same_value"]

# x1 op x2 has the bits of x2 op x1. Not maximum and minimum: of -0.0 and 0.0 the first or the second is taken.
COMMUTATIVE = frozenset(
    ["add", "multiply", "equal", "not_equal", "logical_and", "logical_or", "logical_xor"]
    + ["bitwise_and", "bitwise_or", "bitwise_xor"]
)
SMALL = 4096  # elements of a constant that is compared by value; larger ones are compared by identity


def merge_common(graph: Graph) -> Graph:
    """Return the graph with each value computed once.

    %0 = exp(x)               %0 = exp(x)
    %1 = exp(x)         ->    %1 = add(%0, %0)
    %2 = add(%0, %1)
    """
    merged = _Merging()
    equations = [found for equation in graph.equations if (found := merged.kept(equation)) is not None]
    if not merged.replaced:
        return graph
    outputs = tuple([merged.replaced.get(v, v) for v in graph.outputs])
    return Graph(graph.name, graph.inputs, tuple(equations), outputs, graph.labels)


class _Merging:
    """What was met so far."""

    def __init__(self) -> None:
        self.replaced: dict[Variable, Variable] = {}
        self.met: dict[Hashable, tuple[Variable, ...]] = {}
        self.constants: dict[Hashable, Variable] = {}
        self.seen: set[Variable] = set()

    def kept(self, equation: Equation) -> Equation | None:
        """Return the equation with merged inputs, or None if it repeats an earlier one."""
        inputs, replaced = equation.inputs, self.replaced
        for v in inputs:
            if v.constant is not None and v not in self.seen:
                self._constant(v)
        if replaced and not replaced.keys().isdisjoint(inputs):
            inputs = tuple([replaced.get(v, v) for v in inputs])
            equation = Equation(
                equation.primitive, inputs, equation.attributes, equation.outputs, equation.source, equation.module
            )
        primitive = equation.primitive
        if primitive.effect or primitive.name == "barrier":
            return equation
        if primitive.name in COMMUTATIVE:
            key: Hashable = (primitive.name, frozenset(inputs))
        elif equation.attributes:
            attributes = _attributes(equation.attributes)
            if attributes is None:
                return equation
            key = (primitive.name, inputs, attributes)
        else:
            key = (primitive.name, inputs)
        first = self.met.setdefault(key, equation.outputs)
        if first is equation.outputs or equation.effect:
            return equation
        replaced.update(zip(equation.outputs, first, strict=True))
        return None

    def _constant(self, v: Variable) -> None:
        """Merge equal constants, without which equal equations would not look equal."""
        self.seen.add(v)
        first = self.constants.setdefault(same_value(v.constant), v)
        if first is not v:
            self.replaced[v] = first


def same_value(array: np.ndarray) -> Hashable:
    """Return a key that two arrays share if they have the same type and bits."""
    if array.size > SMALL:
        return id(array)
    return array.dtype.str, array.dtype.name, array.shape, array.tobytes()


def _attributes(attributes: Mapping[str, Any]) -> Hashable:
    """Return a key of the attributes, or None if they can't be compared."""
    key = tuple([(name, _value(value)) for name, value in attributes.items()])
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _value(value: Any) -> Hashable:
    """Return a key by value and type: 1, 1.0 and True are three values, and so are 0.0 and -0.0."""
    kind = type(value)
    if kind is tuple:
        return tuple([_value(part) for part in value])
    if kind is float:
        return value.hex()
    return kind, value

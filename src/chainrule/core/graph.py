"""The graph: the small, typed, printable program that tracing makes of a Python step.

A `Graph` is a list of equations in single-assignment form. `check` re-derives every type from the primitives' shape
rules; `str(graph)` prints it with the user's line and the module on every equation.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.core.errors import ChainruleError
from chainrule.core.primitive import Primitive, TensorType

__all__ = ["Equation", "Graph", "GraphError", "Variable", "check"]


class GraphError(ChainruleError, AssertionError):
    """A graph that breaks its own rules: a fault in chainrule, not in the user's step."""


class Variable:
    """One value of a graph; `constant` holds its data where it is known while tracing.

    Args:
        type: shape and dtype.
        source: the user's line that made it.
        owner: the trace it belongs to.
        constant: its data, or None.
    """

    __slots__ = ("constant", "dtype", "owner", "shape", "size", "source", "type")

    def __init__(self, type: TensorType, source: str = "", owner: Any = None, constant: np.ndarray | None = None):
        self.type, self.source, self.owner, self.constant = type, source, owner, constant
        self.shape, self.dtype, self.size = type.shape, type.dtype.numpy, type.size

    def __repr__(self) -> str:
        return f"<variable {self.type}>"


@dataclass(frozen=True, eq=False)
class Equation:
    """One application of a primitive: outputs = primitive(inputs, attributes).

    `source` is the user's line ("mlp.py:14"), `module` the path of the module being called.
    """

    primitive: Primitive
    inputs: tuple[Variable, ...]
    attributes: Mapping[str, Any]
    outputs: tuple[Variable, ...]
    source: str = ""
    module: str = ""

    @property
    def flops(self) -> int:
        """Floating-point operations of this equation."""
        return int(self.primitive.flops(*(v.type for v in self.inputs), **self.attributes))

    @property
    def graphs(self) -> dict[str, Graph]:
        """The graphs among the attributes: the branches of a condition, the body of a loop."""
        return {name: value for name, value in self.attributes.items() if isinstance(value, Graph)}

    @property
    def effect(self) -> bool:
        """Whether it must run although nobody reads its output: it, or an equation of a graph inside it."""
        return self.primitive.effect or any(inner.effect for graph in self.graphs.values() for inner in graph)


@dataclass(frozen=True, eq=False)
class Graph:
    """A traced step: inputs (arguments first, then captured state), equations in order, outputs.

    `labels` names the inputs for the printer.
    """

    name: str
    inputs: tuple[Variable, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Variable, ...]
    labels: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Equation]:
        return iter(self.equations)

    def with_equations(self, equations: Sequence[Equation]) -> Graph:
        """Return the graph with other equations between the same inputs and outputs."""
        return replace(self, equations=tuple(equations))

    @property
    def flops(self) -> int:
        """Floating-point operations of one run."""
        return sum(equation.flops for equation in self.equations)

    def __str__(self) -> str:
        names = _names(self)
        head = ", ".join(f"{names[v]}: {v.type}" for v in self.inputs)
        tail = ", ".join(f"{_operand(names, v)}: {v.type}" for v in self.outputs)
        lines = []
        for equation in self.equations:
            left = ", ".join(f"{names[v]}: {v.type}" for v in equation.outputs)
            arguments = [_operand(names, v) for v in equation.inputs]
            arguments += [f"{key}={_attribute(value)}" for key, value in equation.attributes.items()]
            text = f"  {left} = {equation.primitive.name}({', '.join(arguments)})"
            place = "  ".join(filter(None, (equation.source, equation.module)))
            lines.append(f"{text:<72}  # {place}" if place else text)
            for key, inner in equation.graphs.items():
                lines += [f"    {line}" for line in f"{key}: {inner}".splitlines()]
        return "\n".join([f"{self.name}({head}) -> ({tail})", *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from chainrule.core.html import graph_html

        return graph_html(self)


def _names(graph: Graph) -> dict[Variable, str]:
    names = dict(zip(graph.inputs, graph.labels, strict=False))
    for index, v in enumerate(graph.inputs):
        names.setdefault(v, f"in{index}")
    count = 0
    for equation in graph.equations:
        for v in equation.outputs:
            names[v] = f"%{count}"
            count += 1
    return names


def _operand(names: dict[Variable, str], v: Variable) -> str:
    if v.constant is None:
        return names.get(v, "?")
    return str(v.constant.item()) if v.size == 1 else f"constant {v.type}"


def _attribute(value: Any) -> str:
    return getattr(value, "name", None) or str(value)


def check(graph: Graph) -> Graph:
    """Return the graph, after re-deriving each type and checking that each value is made once, before it is used.

    Raises:
        GraphError: the first rule that is broken, with the equation.
    """
    known = set(graph.inputs)
    if len(known) != len(graph.inputs):
        raise GraphError(f"graph {graph.name}: an input is listed twice")
    for number, equation in enumerate(graph.equations):
        place = f"graph {graph.name}, equation {number} ({equation.primitive.name})"
        for v in equation.inputs:
            if v not in known and v.constant is None:
                raise GraphError(f"{place}: an input {v.type} is used before it is made")
        derived = equation.primitive.infer([v.type for v in equation.inputs], dict(equation.attributes))
        stated = tuple(v.type for v in equation.outputs)
        if derived != stated:
            raise GraphError(
                f"{place}: the shape rule gives {[*map(str, derived)]} and the graph states {[*map(str, stated)]}"
            )
        for v in equation.outputs:
            if v in known:
                raise GraphError(f"{place}: the output {v.type} was made before")
            known.add(v)
    for v in graph.outputs:
        if v not in known and v.constant is None:
            raise GraphError(f"graph {graph.name}: an output {v.type} is never made")
    return graph


def frozen(attributes: dict[str, Any]) -> Mapping[str, Any]:
    """Return a read-only view of an equation's attributes."""
    return types.MappingProxyType(attributes)

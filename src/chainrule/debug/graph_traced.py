"""Collecting a picture's parts from a traced step: its graph has types and lines, and no values but constants."""

from __future__ import annotations

from itertools import groupby

from chainrule.core.graph import Equation, Graph, Variable
from chainrule.debug.graph_parts import Call, Computation, Input, Operation, Value

__all__ = ["collect_traced"]


def collect_traced(graph: Graph) -> Computation:
    """Return the operations of a graph, grouped by the module they were traced in.

    Args:
        graph: of a `cr.jit` function: `step.graph()`.

    Example:
        >>> import chainrule as cr
        >>> f = cr.jit(lambda x: cr.exp(x) * 2)
        >>> _ = f(cr.ones(3))
        >>> [str(operation.outputs[0].type) for operation in collect_traced(f.graph()).operations]
        ['f32[3]', 'f32[3]']
    """
    labels = [*graph.labels, *(f"in{i}" for i in range(len(graph.labels), len(graph.inputs)))]
    values: dict[Variable, Value] = {}
    for variable, label in zip(graph.inputs, labels, strict=True):
        state = label.startswith(("state", "grad"))
        values[variable] = Value(variable.type, name=label, kind="parameter" if state else "argument")
    operations = []
    for module, equations in groupby(graph.equations, key=lambda equation: equation.module):
        calls = (_call(module),) if module else ()
        operations += [_operation(equation, values, calls) for equation in equations]
    results = [("" if len(graph.outputs) == 1 else str(i), _value(v, values)) for i, v in enumerate(graph.outputs)]
    arguments = [value for value in values.values() if value.kind == "argument"]
    whole = Computation(graph.name, operations, results, arguments)
    whole.notes.append("traced: types only, no values")
    return whole.without_dead_ends()


def _call(module: str) -> Call:
    """Return the group of a run of equations, from text like "encoder.0 (Linear)"."""
    path, _, kind = module.rpartition(" (")
    return Call(path, kind.rstrip(")"))


def _operation(equation: Equation, values: dict[Variable, Value], calls: tuple[Call, ...]) -> Operation:
    inputs = [Input(_value(variable, values)) for variable in equation.inputs]
    outputs = [Value(variable.type) for variable in equation.outputs]
    values.update(zip(equation.outputs, outputs, strict=True))
    kind = equation.primitive
    return Operation(kind.name, inputs, outputs, equation.attributes, kind.elementwise, equation.source, calls)


def _value(variable: Variable, values: dict[Variable, Value]) -> Value:
    if variable not in values:
        values[variable] = Value(variable.type, variable.constant, kind="constant")
    return values[variable]

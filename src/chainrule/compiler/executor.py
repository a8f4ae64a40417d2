"""Running a graph with the NumPy references of its primitives.

The plan is made once per graph: which slot each value lives in, and after which equation a buffer is not needed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import ChainruleError
from chainrule.core.graph import Graph, Variable
from chainrule.core.precision import Operands
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import constant

__all__ = ["ReferenceExecutor", "evaluate"]


class ReferenceExecutor:
    """A graph made callable on NumPy arrays.

    Args:
        graph: a checked graph.
    """

    def __init__(self, graph: Graph):
        slots: dict[Variable, int] = {v: i for i, v in enumerate(graph.inputs)}
        self.constants: list[tuple[int, np.ndarray]] = []

        def slot(v: Variable) -> int:
            if v not in slots:
                slots[v] = len(slots)
                if v.constant is not None:
                    self.constants.append((slots[v], v.constant))
            return slots[v]

        last_use: dict[int, int] = {}
        plan = []
        for number, equation in enumerate(graph.equations):
            inputs = [slot(v) for v in equation.inputs]
            outputs = [slot(v) for v in equation.outputs]
            for index in (*inputs, *outputs):
                last_use[index] = number
            kernel = equation.primitive.kernel([v.dtype for v in equation.inputs])
            plan.append((equation, functools.partial(kernel, **equation.attributes), inputs, outputs))
        self.outputs = [slot(v) for v in graph.outputs]
        kept = {*self.outputs, *(index for index, _ in self.constants)}
        dying: dict[int, list[int]] = {}
        for index, number in last_use.items():
            if index not in kept:
                dying.setdefault(number, []).append(index)
        self.plan = [(*step, dying.get(number, [])) for number, step in enumerate(plan)]
        self.size = len(slots)

    def __call__(self, inputs: Sequence[np.ndarray], owned: Sequence[bool] = ()) -> list[np.ndarray]:
        """Run the graph.

        Args:
            inputs: one array per graph input, of its type.
            owned: not used: a reference writes over nothing.

        Returns:
            One array per graph output.

        Raises:
            ChainruleError: an operation refuses its data (an index out of range, a non-finite loss).
        """
        values: list = [*inputs, *[None] * (self.size - len(inputs))]
        for index, array in self.constants:
            values[index] = array
        try:
            with np.errstate(all="ignore"):
                for step in self.plan:
                    _, kernel, sources, targets, dead = step
                    for target, array in zip(targets, kernel(*[values[i] for i in sources])):
                        values[target] = array
                    for index in dead:
                        values[index] = None
        except ChainruleError as error:
            error.location = error.location or step[0].source or None
            error.module_path = error.module_path or step[0].module or None
            raise
        return [values[i] for i in self.outputs]


def evaluate(graph: Graph, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Run the graph operation by operation through `bind`, so that it is recorded like eager code."""
    values: dict[Variable, Tensor] = dict(zip(graph.inputs, inputs, strict=True))

    def value(v: Variable) -> Tensor:
        return values[v] if v.constant is None else constant(v.constant)

    with Operands(None):  # the graph's own casts are equations of it
        for equation in graph.equations:
            results = bind(equation.primitive, *(value(v) for v in equation.inputs), **equation.attributes)
            results = results if equation.primitive.multiple else (results,)
            values.update(zip(equation.outputs, results, strict=True))
    return [value(v) for v in graph.outputs]

"""Graphs written by hand for the tests of passes, and running them on values that show every slip.

build = Building()
x = build.input("float32", 2, 3)
graph = build.graph(build("exp", x))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from chainrule.compiler.executor import ReferenceExecutor
from chainrule.compiler.trace import trace
from chainrule.core import tree
from chainrule.core.dtypes import to_dtype
from chainrule.core.graph import Equation, Graph, Variable, check, frozen
from chainrule.core.primitive import PRIMITIVES, TensorType

FLOATS = [0.0, -0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-30, np.inf, -np.inf, np.nan, 3.0, -7.25, 1e30]


class Building:
    """A graph in the making; what is called appends an equation."""

    def __init__(self) -> None:
        self.inputs: list[Variable] = []
        self.equations: list[Equation] = []

    def input(self, dtype: str, *shape: int) -> Variable:
        """Return a new input of the graph."""
        self.inputs.append(Variable(TensorType(shape, to_dtype(dtype)), "step.py:1"))
        return self.inputs[-1]

    def constant(self, value: Any, dtype: str = "float32") -> Variable:
        """Return a constant."""
        array = np.asarray(value).astype(to_dtype(dtype).numpy)
        return Variable(TensorType(array.shape, to_dtype(dtype)), "step.py:2", constant=array)

    def __call__(self, name: str, *inputs: Any, **attributes: Any) -> Any:
        """Append an equation; numbers become constants of the last variable's dtype."""
        dtype = next((v.type.dtype.name for v in reversed(inputs) if isinstance(v, Variable)), "float32")
        known = tuple(v if isinstance(v, Variable) else self.constant(v, dtype) for v in inputs)
        primitive = PRIMITIVES[name]
        line = f"step.py:{len(self.equations) + 3}"
        outputs = tuple(Variable(t, line) for t in primitive.infer([v.type for v in known], attributes))
        self.equations.append(Equation(primitive, known, frozen(attributes), outputs, line, "model.layer"))
        return outputs if primitive.multiple else outputs[0]

    def graph(self, *outputs: Variable) -> Graph:
        """Return the graph."""
        return check(Graph("step", tuple(self.inputs), tuple(self.equations), outputs))


def names(graph: Graph) -> list[str]:
    """Return the names of the primitives in order."""
    return [equation.primitive.name for equation in graph.equations]


def values(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Return inputs for a graph: among them zeros of both signs, infinities, NaN and the limits of integers."""
    rng = np.random.default_rng(seed)
    found = []
    for v in graph.inputs:
        kind = v.type.dtype.kind
        if kind == "float":
            array = np.where(rng.random(v.shape) < 0.5, rng.choice(FLOATS, v.shape), rng.standard_normal(v.shape))
        elif kind == "complex":
            array = rng.choice(FLOATS, v.shape) + 1j * rng.standard_normal(v.shape)
        elif kind == "bool":
            array = rng.random(v.shape) < 0.5
        else:
            limits = np.iinfo(v.dtype)
            array = rng.choice(np.array([limits.min, limits.max, 0, 1, 2, 5], dtype=v.dtype), v.shape)
        with np.errstate(all="ignore"):
            found.append(np.asarray(array).astype(v.dtype))
    return found


def traced(function: Callable[..., Any], *args: Any) -> tuple[Graph, list[np.ndarray]]:
    """Return the graph of a step, as `cr.jit` traces it, and the buffers that its inputs have now."""
    leaves, structure = tree.flatten((args, {}))
    variant = trace(function, "step", (), leaves, structure, False)
    return variant.graph, [variant._input(place, leaves) for place in variant.sources]


def run(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Run the references of a graph."""
    return ReferenceExecutor(graph)(arrays)


def assert_same_bits(got: list[np.ndarray], want: list[np.ndarray], what: str = "") -> None:
    """Compare types, and values bit for bit; every NaN is one NaN."""
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), what
        if a.dtype == ml_dtypes.bfloat16:
            a, b = a.astype(np.float32), b.astype(np.float32)
        np.testing.assert_array_equal(a, b, err_msg=what)
        if a.dtype.kind == "f":
            zero = a == 0
            np.testing.assert_array_equal(np.signbit(a[zero]), np.signbit(b[zero]), err_msg=f"{what}: sign of a zero")


def same_meaning(before: Graph, after: Graph, arrays: list[np.ndarray] | None = None) -> Graph:
    """Return the new graph, after checking it and running both."""
    check(after)
    assert [v.type for v in after.outputs] == [v.type for v in before.outputs]
    assert after.inputs == before.inputs
    for seed in range(3):
        given = values(before, seed) if arrays is None else arrays
        assert_same_bits(run(after, given), run(before, given))
    return after

"""The canonical form: equal for graphs that mean the same, another for everything that code depends on."""

from __future__ import annotations

import functools
import re
import time
from typing import Any

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building
from tests.compiler.passes.test_random_graphs import random_graph

import chainrule as cr
from chainrule.compiler.canonical import canonical
from chainrule.core.graph import Graph
from chainrule.core.lowering import Pointwise
from chainrule.core.primitive import PRIMITIVES, Primitive
from chainrule.ops.printing import quiet


def form(graph: Graph, takes: dict[int, int] | None = None) -> bytes:
    found = canonical(graph, takes or {})
    assert found is not None
    return found.material


def one(name: str = "exp", dtype: str = "float32", shape: tuple[int, ...] = (2, 3), **attributes: Any) -> Graph:
    build = Building()
    return build.graph(build(name, build.input(dtype, *shape), **attributes))


def with_constant(value: Any, dtype: str = "float32") -> Graph:
    build = Building()
    x = build.input("float32", 1)
    return build.graph(build("add", x, build("astype", build.constant(value, dtype), dtype=cr.float32)))


def printed(graph: Graph) -> str:
    """Return the printed graph without lines, with the content of each constant."""
    text = "\n".join(line.partition("  # ")[0].rstrip() for line in str(graph).splitlines())
    constants = [v.constant for e in graph for v in (*e.inputs, *e.outputs) if v.constant is not None]
    constants += [v.constant for v in graph.outputs if v.constant is not None]
    kinds = [str(v.type) for e in graph for v in e.inputs if v.constant is not None]
    return f"{text} {kinds} {[(x.shape, x.dtype.str, x.tobytes()) for x in constants]}"


# ------------------------------------------------------------------------------------------------ equal


def test_graphs_made_twice_have_one_form():
    for seed in range(30):
        assert form(random_graph(seed)) == form(random_graph(seed)), seed


def test_forms_are_equal_where_the_printed_graphs_are():
    """Small graphs, so that many pairs are equal."""
    graphs = [random_graph(seed, length) for length in (1, 2, 3) for seed in range(150)]
    forms: dict[bytes, str] = {}
    texts: dict[str, bytes] = {}
    for graph in graphs:
        key, text = form(graph), printed(graph)
        assert forms.setdefault(key, text) == text
        assert texts.setdefault(text, key) == key
    assert 20 < len(forms) < len(graphs)


def test_where_a_graph_comes_from_is_not_in_its_form():
    def traced(name: str, lines: int) -> Graph:
        source = f"def {name}(value):\n{chr(10) * lines}    return (value * 2).sum()"
        names: dict[str, Any] = {}
        exec(source, names)
        step = cr.jit(names[name])
        step(cr.ones(5))
        return step.graph()

    first, second = traced("f", 0), traced("another", 7)
    assert str(first) != str(second)
    assert form(first) == form(second)


def test_how_a_constant_lies_in_memory_is_not_in_the_form():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    build = Building()
    x = build.input("float32", 2, 3)
    graphs = []
    for array in (values, np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2]):
        other = Building()
        other.inputs.append(x)
        constant = build.constant(0.0)
        constant = type(constant)(type(x.type)((2, 3), cr.float32), constant=array)
        graphs.append(other.graph(other("add", x, constant)))
    assert len({form(graph) for graph in graphs}) == 1


# ------------------------------------------------------------------------------------------------ different


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (one("exp"), one("log")),
        (one(dtype="float32"), one(dtype="float64")),
        (one(shape=(2, 3)), one(shape=(3, 2))),
        (one("sum", axis=(0,), keepdims=True), one("sum", axis=(1,), keepdims=True)),
        (one("sum", axis=(0,), keepdims=True), one("sum", axis=(0,), keepdims=False)),
        (one("flip", axis=(0,)), one("flip", axis=(1,))),
        (with_constant(1.0), with_constant(2.0)),
        (with_constant(0.0), with_constant(-0.0)),
        (with_constant(1, "int32"), with_constant(1, "int64")),
        (with_constant([1.0, 2.0, 3.0, 4.0]), with_constant([1.0, 2.0, 3.0, 5.0])),
        (with_constant([[1.0]]), with_constant([1.0])),
        (with_constant(np.arange(99)), with_constant(np.arange(99)[::-1])),
    ],
)
def test_what_changes_the_code_changes_the_form(a, b):
    assert form(a) != form(b)


def test_numbers_of_another_type_are_other_attributes():
    def step(start: Any) -> Graph:
        build = Building()
        x = build.input("float32", 3)
        return build.graph(build("add", x, build("arange", start=start, step=1, size=3, dtype=cr.float32)))

    assert len({form(step(start)) for start in (1, 1.0, True, 0.0, -0.0)}) == 5


def test_which_output_takes_which_input_is_in_the_form():
    build = Building()
    x, y = build.input("float32", 3), build.input("float32", 3)
    graph = build.graph(build("exp", x), build("exp", y))
    assert len({form(graph, takes) for takes in ({}, {0: 0}, {0: 1}, {0: 0, 1: 1}, {0: 1, 1: 0})}) == 5
    assert form(graph, {0: 0, 1: 1}) == form(graph, {1: 1, 0: 0})


def test_operands_and_outputs_are_in_the_form():
    graphs = []
    for order in ((0, 1), (1, 0), (0, 0)):
        build = Building()
        inputs = [build.input("float32", 3), build.input("float32", 3)]
        graphs.append(build.graph(build("subtract", *(inputs[i] for i in order))))
        made = [build("exp", inputs[0]), build("log", inputs[0])]
        graphs.append(build.graph(*(made[i] for i in order)))
    assert len(set(map(form, graphs))) == 6


def test_bodies_of_branches_and_loops_are_in_the_form():
    def graph(factor: float, branch: float) -> Graph:
        def step(x):
            x = cr.cond(x.sum() > 0, lambda x: x * branch, lambda x: -x, x)
            return cr.scan(lambda c, _: (c * factor, c), x, None, length=3)[0]

        jitted = cr.jit(step)
        jitted(cr.ones(2))
        return jitted.graph()

    assert form(graph(2.0, 3.0)) == form(graph(2.0, 3.0))
    assert len({form(graph(2.0, 3.0)), form(graph(2.5, 3.0)), form(graph(2.0, 3.5))}) == 3


def test_a_large_repeated_constant_is_another_along_another_axis():
    rows = np.broadcast_to(np.float32([[1], [2]]), (2, 2)), np.broadcast_to(np.float32([1, 2]), (2, 2))
    rows = tuple(np.broadcast_to(x[..., None], (2, 2, 1 << 16)) for x in rows)
    assert len({form(with_constant_array(x)) for x in rows}) == 2


def with_constant_array(array: np.ndarray) -> Graph:
    build = Building()
    x = build.input("float32", *array.shape)
    constant = type(x)(type(x.type)(array.shape, cr.float32), constant=array)
    return build.graph(build("add", x, constant))


# ------------------------------------------------------------------------------------------------ none


def test_a_primitive_of_the_users_own_has_no_form():
    """Nobody looks at its sources, so nobody would see that they changed."""
    mine = Primitive("mine", lambda x: np.exp(x), lambda x: x, elementwise=True)
    build = Building()
    x = build.input("float32", 3)
    graph = build.graph(build("exp", x))
    (equation,) = graph.equations
    swapped = type(equation)(mine, equation.inputs, {}, equation.outputs)
    assert canonical(graph.with_equations([swapped]), {}) is None
    assert canonical(graph, {}) is not None


def test_a_lowering_from_elsewhere_has_no_form(monkeypatch):
    assert canonical(one("exp"), {}) is not None
    monkeypatch.setattr(PRIMITIVES["exp"], "lower", Pointwise(functools.partial(lambda k, x: k.add(x, x))))
    assert canonical(one("exp"), {}) is None


def test_an_object_among_the_attributes_has_no_form():
    graph = one("exp")
    (equation,) = graph.equations
    strange = type(equation)(equation.primitive, equation.inputs, {"thing": object()}, equation.outputs)
    assert canonical(graph.with_equations([strange]), {}) is None


def test_what_only_a_printing_reference_sees_does_not_matter():
    """The code is the same; the reference that prints is the traced graph's own."""
    def graph(text: str) -> Graph:
        @cr.jit
        def step(x):
            cr.debug_print(text, x)
            return x + 1

        with quiet():
            step(cr.ones(2))
        return step.graph()

    assert form(graph("a {}")) == form(graph("b {}"))


# ------------------------------------------------------------------------------------------------ fast


def test_the_form_of_5000_equations_takes_milliseconds():
    build = Building()
    x = build.input("float32", 8, 8)
    y = x
    for number in range(1250):
        y = build("sum", build("multiply", build("exp", y), float(number % 7)), axis=(1,), keepdims=True)
        y = build("broadcast_to", y, shape=(8, 8))
    graph = build.graph(y)
    assert len(graph.equations) == 5000
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        text = form(graph)
        best = min(best, time.perf_counter() - start)
    assert best < 0.05
    assert len(re.findall(rb"\n", text)) == 5000 + 2 + 7

"""Equal equations become one; a recomputation, an effect and a number of another type do not."""

from __future__ import annotations

import numpy as np
from tests.compiler.passes.graphs import Building, names, same_meaning, traced

import chainrule as cr
from chainrule.compiler.passes import simplify, without_dead_code
from chainrule.compiler.passes.common import merge_common
from chainrule.core.dtypes import float32, int64


def test_equal_equations_become_one_and_so_do_those_that_read_them():
    build = Building()
    x = build.input("float32", 3)
    graph = build.graph(build("add", build("exp", build("sin", x)), build("exp", build("sin", x))))
    merged = same_meaning(graph, merge_common(graph))
    assert names(merged) == ["sin", "exp", "add"]
    assert merged.equations[2].inputs[0] is merged.equations[2].inputs[1]


def test_a_commutative_operation_has_no_order_and_others_have():
    build = Building()
    x, y = build.input("float32", 3), build.input("float32", 3)
    for name in ("add", "maximum", "subtract"):
        graph = build.graph(build("divide", build(name, x, y), build(name, y, x)))
        build.equations.clear()
        assert len(same_meaning(graph, merge_common(graph)).equations) == (2 if name == "add" else 3)


def test_constants_are_equal_by_value_and_type():
    build = Building()
    x = build.input("float32", 3)
    outputs = [build("add", x, number) for number in (1.0, 1.0, 0.0, -0.0)]
    graph = build.graph(*outputs)
    merged = same_meaning(graph, merge_common(graph))
    assert names(merged) == ["add"] * 3
    assert merged.outputs[0] is merged.outputs[1]


def test_attributes_are_equal_by_value_and_type():
    build = Building()
    outputs = [
        build("arange", start=0, step=1, size=3, dtype=int64),
        build("arange", start=0, step=1, size=3, dtype=int64),
        build("arange", start=0.0, step=1, size=3, dtype=int64),
        build("arange", start=-0.0, step=1.0, size=3, dtype=float32),
        build("arange", start=0.0, step=1.0, size=3, dtype=float32),
        build("arange", start=False, step=1, size=3, dtype=int64),
    ]
    graph = build.graph(*outputs)
    assert len(same_meaning(graph, merge_common(graph)).equations) == 5


def test_an_effect_is_never_merged_and_effects_keep_their_order():
    build = Building()
    x = build.input("float32", 3)
    for what in ("a", "b", "a"):
        build("check_finite", x, what=what)
    graph = build.graph(x)
    assert merge_common(graph) is graph
    assert [e.attributes["what"] for e in simplify(graph)] == ["a", "b", "a"]


def test_random_bits_of_other_offsets_stay_apart():
    build = Building()
    key, offset = build.input("uint64"), build.input("uint64")
    more = build("add", offset, 1)
    outputs = [build("random_bits", key, place, shape=(4,)) for place in (offset, more, offset)]
    graph = build.graph(*outputs)
    merged = merge_common(graph)
    assert names(merged) == ["add", "random_bits", "random_bits"]
    assert merged.outputs[0] is merged.outputs[2]


def test_behind_a_barrier_everything_is_computed_again():
    build = Building()
    x = build.input("float32", 3)
    y = build("tanh", x)
    again = build("tanh", build("barrier", x))
    once_more = build("tanh", build("barrier", x))
    graph = build.graph(y, again, once_more)
    assert simplify(graph) is graph


def test_a_checkpoint_keeps_its_recomputation():
    def block(x):
        return cr.tanh(cr.tanh(x) * 2)

    def tanhs(function):
        graph, _ = traced(cr.value_and_grad(lambda x: function(x).sum()), cr.ones(3))
        return names(simplify(graph)).count("tanh")

    assert tanhs(block) == 2
    assert tanhs(lambda x: cr.checkpoint(block, x)) == 4


def test_large_constants_are_compared_by_identity_only():
    build = Building()
    x = build.input("float32", 70, 70)
    ones = build.constant(np.ones((70, 70)))
    outputs = [build("add", x, other) for other in (ones, ones, build.constant(np.ones((70, 70))))]
    graph = build.graph(*outputs)
    assert len(same_meaning(graph, merge_common(graph)).equations) == 2


def test_dead_code_goes_and_effects_stay():
    build = Building()
    x = build.input("float32", 3)
    y = build("exp", x)
    build("sin", y)
    build("check_finite", build("cos", x), what="the cosine")
    build("qr", build.input("float32", 3, 3))
    graph = build.graph(y)
    assert names(without_dead_code(graph)) == ["exp", "cos", "check_finite"]
    assert without_dead_code(without_dead_code(graph)).equations == without_dead_code(graph).equations

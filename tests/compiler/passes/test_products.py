"""Transposes move to where they cancel, split axes to where they are joined, reductions take views in."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building, names, run, same_meaning, values

from chainrule.compiler.passes import simplify
from chainrule.compiler.passes.flattening import sink_splits
from chainrule.compiler.passes.reductions import tidy_reductions
from chainrule.compiler.passes.transposes import move_transposes
from chainrule.core.graph import check
from chainrule.testing import assert_close


def t(build, x):
    """Return the transpose of a matrix, or of a stack of matrices."""
    n = x.type.ndim
    return build("permute_dims", x, axes=(*range(n - 2), n - 1, n - 2))


def close_meaning(before, after):
    """Return the new graph, after checking it and running both on integers, which no order of a sum rounds."""
    check(after)
    given = [np.rint(8 * np.random.default_rng(3).standard_normal(v.shape)).astype(v.dtype) for v in before.inputs]
    for got, want in zip(run(after, given), run(before, given), strict=True):
        np.testing.assert_array_equal(got, want)
    return after


# ---------------------------------------------------------------------------------------------------- transposes
def test_the_gradient_of_a_weight_comes_out_in_the_shape_of_the_weight():
    build = Building()
    x, g, w = build.input("float32", 8, 5), build.input("float32", 8, 3), build.input("float32", 3, 5)
    gradient = t(build, build("matmul", t(build, x), g))
    graph = build.graph(build("subtract", w, build("multiply", gradient, 0.5)))
    after = close_meaning(graph, simplify(graph))
    assert names(after) == ["permute_dims", "matmul", "multiply", "subtract"]
    assert [v.shape for v in after.equations[1].inputs] == [(3, 8), (8, 5)]


def test_stacks_of_matrices_too():
    build = Building()
    x, g = build.input("float64", 4, 8, 5), build.input("float64", 8, 3)
    graph = build.graph(t(build, build("matmul", t(build, x), g)))
    after = close_meaning(graph, simplify(graph))
    assert names(after) == ["permute_dims", "matmul"]


def test_a_product_that_others_read_stays():
    build = Building()
    product = build("matmul", build.input("float32", 2, 3), build.input("float32", 3, 4))
    graph = build.graph(t(build, product), build("exp", product))
    assert move_transposes(graph) is graph


def test_a_permutation_of_the_stack_stays():
    build = Building()
    product = build("matmul", build.input("float32", 5, 2, 3), build.input("float32", 5, 3, 4))
    graph = build.graph(build("permute_dims", product, axes=(1, 0, 2)))
    assert move_transposes(graph) is graph


def test_a_transpose_moves_through_what_lies_between_it_and_a_product():
    build = Building()
    x, g = build.input("float32", 8, 5), build.input("float32", 8, 3)
    first = build("matmul", t(build, x), g)
    second = build("matmul", t(build, build("exp", x)), g)
    graph = build.graph(t(build, build("multiply", build("add", first, second), 2.0)))
    after = simplify(graph)
    assert names(after).count("permute_dims") == 1  # of g
    given = values(graph)
    given = [np.nan_to_num(a, nan=1.0, posinf=2.0, neginf=-2.0).clip(-2, 2) for a in given]
    assert_close(run(after, given)[0], run(graph, given)[0])


def test_a_transpose_that_would_vanish_nowhere_stays():
    build = Building()
    x, y = build.input("float32", 3, 4), build.input("float32", 3, 4)
    graph = build.graph(t(build, build("add", build("exp", x), y)))
    assert move_transposes(graph) is graph


def test_a_transpose_cancels_through_elementwise_operations():
    build = Building()
    x, row = build.input("float32", 3, 4), build.input("float32", 1, 3)
    graph = build.graph(t(build, build("relu", build("add", t(build, x), row))))
    after = same_meaning(graph, simplify(graph))
    assert names(after) == ["reshape", "add", "relu"]


def test_nothing_moves_through_a_barrier():
    build = Building()
    graph = build.graph(t(build, build("barrier", t(build, build.input("float32", 3, 4)))))
    assert simplify(graph) is graph


# ---------------------------------------------------------------------------------------------------- reductions
def reduced(build, x, *axis, name="sum", keepdims=False):
    return build(name, x, axis=axis, keepdims=keepdims)


def test_reduced_axes_are_kept_or_dropped_by_the_reduction():
    build = Building()
    x = build.input("float32", 2, 4, 3, 3)
    kept = build("reshape", reduced(build, x, 0, 2, 3), shape=(1, 4, 1, 1))
    dropped = build("reshape", reduced(build, x, 0, 2, keepdims=True), shape=(4, 3))
    graph = build.graph(kept, dropped)
    after = same_meaning(graph, tidy_reductions(graph))
    assert [(e.primitive.name, e.attributes["keepdims"]) for e in after] == [("sum", True), ("sum", False)]


def test_a_reduction_that_others_read_is_not_made_twice():
    build = Building()
    y = reduced(build, build.input("float32", 2, 4), 0)
    graph = build.graph(y, build("reshape", y, shape=(1, 4)))
    assert tidy_reductions(graph) is graph


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_a_reduction_of_axes_of_one_is_a_reshape(name):
    build = Building()
    x = build.input("float32", 2, 1, 3)
    graph = build.graph(reduced(build, x, 1, name=name), reduced(build, x, name=name))
    after = same_meaning(graph, tidy_reductions(graph))
    assert names(after) == (["reshape", "add", "add"] if name == "sum" else ["reshape"])  # of -0.0 the sum is 0.0


def test_any_of_numbers_is_no_reshape():
    build = Building()
    graph = build.graph(reduced(build, build.input("float32", 2, 1), 1, name="any"))
    assert tidy_reductions(graph) is graph


@pytest.mark.parametrize("name", ["max", "any"])
def test_a_permutation_before_a_reduction_vanishes(name):
    build = Building()
    x = build.input("float32", 2, 3, 4)
    turned = build("permute_dims", x, axes=(0, 2, 1))
    graph = build.graph(*(reduced(build, turned, a, name=name, keepdims=k) for a in (1, 2) for k in (False, True)))
    assert set(names(same_meaning(graph, tidy_reductions(graph)))) <= {name, "reshape"}
    build = Building()
    turned = build("permute_dims", build.input("float32", 2, 3, 4), axes=(2, 1, 0))
    graph = build.graph(reduced(build, turned, 1, name=name))
    assert tidy_reductions(graph) is graph


def test_reductions_in_a_row_become_one_where_nothing_is_rounded():
    build = Building()
    x = build.input("float32", 2, 3, 4)
    outputs = [
        reduced(build, reduced(build, x, 1, name=name, keepdims=keep), *axis, name=name, keepdims=keep)
        for name in ("max", "all")
        for keep, axis in ((False, (1,)), (True, (0, 2)))
    ]
    graph = build.graph(*outputs)
    after = same_meaning(graph, simplify(graph))
    assert [n for n in names(after) if n != "reshape"] == ["max", "max", "all", "all"]
    build = Building()
    graph = build.graph(reduced(build, reduced(build, build.input("float32", 2, 3), 1), 0))
    assert tidy_reductions(graph) is graph


# ---------------------------------------------------------------------------------------------------- stacks
def test_a_stack_of_matrices_stays_one_matrix_between_two_products():
    build = Building()
    x, w, v = build.input("float32", 2, 3, 4), build.input("float32", 4, 6), build.input("float32", 6, 5)
    bias, mask = build.input("float32", 6), build.input("float32", 2, 3, 1)

    def times(a, b):
        rows = build("reshape", a, shape=(6, a.shape[-1]))
        return build("reshape", build("matmul", rows, b), shape=(2, 3, b.shape[-1]))

    h = build("relu", build("multiply", build("add", times(x, w), bias), mask))
    graph = build.graph(times(h, v), build("sum", h, axis=(0, 1), keepdims=False))
    after = close_meaning(graph, simplify(graph))
    assert names(after) == ["reshape", "matmul", "add", "reshape", "multiply", "relu", "matmul", "reshape", "sum"]


def test_a_split_stays_above_an_operand_that_does_not_join():
    for shape in ((3, 4), (2, 1, 4)):
        build = Building()
        split = build("reshape", build.input("float32", 6, 4), shape=(2, 3, 4))
        graph = build.graph(build("add", split, build.input("float32", *shape)))
        assert sink_splits(graph) is graph


def test_a_split_stays_where_joining_would_cost_a_copy():
    build = Building()
    split = build("reshape", build.input("float32", 6, 4), shape=(2, 3, 4))
    other = build("exp", build.input("float32", 2, 3, 4))
    graph = build.graph(build("add", split, other))
    assert sink_splits(graph) is graph


def test_an_axis_of_one_for_broadcasting_is_no_split():
    build = Building()
    x, y = build.input("float32", 6), build.input("float32", 6, 4)
    graph = build.graph(build("add", build("reshape", x, shape=(6, 1)), y))
    assert sink_splits(graph) is graph


def test_reductions_of_whole_groups_take_a_split_in_and_others_do_not():
    build = Building()
    x = build.input("float32", 6, 4)
    split = build("reshape", x, shape=(2, 3, 4))
    graph = build.graph(*(reduced(build, split, *axis, name="max") for axis in ((0, 1), (2,), (0, 1, 2))))
    after = same_meaning(graph, sink_splits(graph))
    assert [e.inputs[0] is x for e in after if e.primitive.name == "max"] == [True, True, True]
    build = Building()
    split = build("reshape", build.input("float32", 6, 4), shape=(2, 3, 4))
    graph = build.graph(reduced(build, split, 0, name="max"))
    assert sink_splits(graph) is graph

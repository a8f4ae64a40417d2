"""A scatter of one update per row becomes a comparison, if its indices are certainly in range; ranges of integers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building, names, run, same_meaning, traced, values

import chainrule as cr
from chainrule.compiler.passes import simplify
from chainrule.compiler.passes.ranges import interval
from chainrule.compiler.passes.scatters import compare_instead_of_scatter
from chainrule.core.dtypes import float32, int64
from chainrule.core.errors import IndexRangeError
from chainrule.core.graph import Graph
from chainrule.core.primitive import PRIMITIVES, sample_arrays


def count(build, size, start=0):
    return build("arange", start=start, step=1, size=size, dtype=int64)


def rows(build, *parts):
    """Return the rows of an index tensor: each part reshaped to [1, n]."""
    return build("concat", *(build("reshape", p, shape=(1, *p.shape)) for p in parts), axis=0)


def guarded(build, labels, classes):
    return build("check_labels", labels, classes=classes, ignore=None)


def one_per_row(x=(4, 3), size=4, start=0, guard=True, name="scatter_add", classes=3):
    """Return a graph that scatters one update to each row, and valid inputs."""
    build = Building()
    table, labels, updates = build.input("float32", *x), build.input("int64", size), build.input("float32", size)
    known = guarded(build, labels, classes) if guard else labels
    indices = rows(build, count(build, size, start), known)
    graph = build.graph(build(name, table, indices, updates, axes=(0, 1)))
    first, _, last = values(graph)
    return graph, [first, np.arange(size)[::-1] % 3, last]


@pytest.mark.parametrize("name", ["scatter_add", "scatter_set"])
def test_one_update_per_row_becomes_a_comparison(name):
    graph, given = one_per_row(name=name)
    after = same_meaning(graph, compare_instead_of_scatter(graph), given)
    assert name not in names(after)
    assert names(after)[-1] == "where"


def test_minus_zero_added_to_zero_is_zero():
    graph, given = one_per_row()
    given[0], given[2] = np.zeros((4, 3), np.float32), np.full(4, -0.0, np.float32)
    same_meaning(graph, compare_instead_of_scatter(graph), given)


STAYS = {
    "an index that may be out of range": {"guard": False},
    "an index that may be out of range of a smaller axis": {"classes": 4},
    "fewer rows than the tensor has": {"x": (5, 3)},
    "rows that start later": {"x": (4, 3), "size": 3, "start": 1},
}


@pytest.mark.parametrize("case", STAYS)
def test_other_scatters_stay(case):
    graph, _ = one_per_row(**STAYS[case])
    assert compare_instead_of_scatter(graph) is graph


def test_rows_that_may_repeat_stay():
    build = Building()
    x, labels, updates = build.input("float32", 4, 3), build.input("int64", 4), build.input("float32", 4)
    known = guarded(build, labels, 3)
    graph = build.graph(build("scatter_add", x, rows(build, known, known), updates, axes=(0, 1)))
    assert compare_instead_of_scatter(graph) is graph
    build = Building()
    x, labels, updates = build.input("float32", 3, 2), build.input("int64", 4), build.input("float32", 4, 2)
    graph = build.graph(build("scatter_add", x, rows(build, guarded(build, labels, 3)), updates, axes=(0,)))
    assert compare_instead_of_scatter(graph) is graph


def test_the_axis_of_the_index_may_stand_anywhere_and_others_may_be_left():
    build = Building()
    x, labels = build.input("float32", 5, 2, 3, 4), build.input("int64", 3, 4)
    updates = build.input("float32", 3, 4, 2)
    numbers = [
        build("broadcast_to", build("reshape", count(build, 3), shape=(1, 3, 1)), shape=(1, 3, 4)),
        build("broadcast_to", build("reshape", count(build, 4), shape=(1, 1, 4)), shape=(1, 3, 4)),
        build("reshape", guarded(build, labels, 5), shape=(1, 3, 4)),
    ]
    indices = build("concat", numbers[1], numbers[2], numbers[0], axis=0)
    graph = build.graph(build("scatter_add", x, indices, updates, axes=(3, 0, 2)))
    first, _, last = values(graph)
    given = [first, np.arange(12).reshape(3, 4) % 5, last]
    after = same_meaning(graph, compare_instead_of_scatter(graph), given)
    assert "scatter_add" not in names(after)


def test_one_update_along_an_axis_becomes_a_comparison():
    build = Building()
    x, labels = build.input("float32", 3, 5, 2), build.input("int64", 3, 1, 2)
    updates = build.input("float32", 3, 1, 2)
    graph = build.graph(build("add_along", x, guarded(build, labels, 5), updates, axis=1))
    first, _, last = values(graph)
    after = same_meaning(graph, compare_instead_of_scatter(graph), [first, np.arange(6).reshape(3, 1, 2) % 5, last])
    assert "add_along" not in names(after)


def test_one_hot_of_checked_labels_becomes_a_comparison():
    build = Building()
    labels = build.input("int32", 2, 3)
    known = guarded(build, labels, 4)
    graph = build.graph(build("one_hot", known, num_classes=4, dtype=float32))
    after = same_meaning(graph, compare_instead_of_scatter(graph), [np.arange(6, dtype=np.int32).reshape(2, 3) % 4])
    assert "one_hot" not in names(after)
    build = Building()
    graph = build.graph(build("one_hot", build.input("int32", 3), num_classes=4, dtype=float32))
    assert compare_instead_of_scatter(graph) is graph


def test_one_hot_stays_where_its_classes_do_not_fit_the_dtype_of_the_labels():
    build = Building()
    known = guarded(build, build.input("uint8", 3), 300)
    graph = build.graph(build("one_hot", known, num_classes=300, dtype=float32))
    assert compare_instead_of_scatter(graph) is graph


def one_hit(axis=1, keepdims=True, classes=3, nothing=0.0, name="negative", start=0, inside=True):
    """Return a graph with a sum of one chosen value per row, and valid inputs."""
    build = Building()
    labels, v = build.input("int64", 4, 1), build.input("float32", 4, 1)
    known = guarded(build, labels, classes) if inside else labels
    hit = build("equal", build("reshape", count(build, 3, start), shape=(1, 3)), known)
    chosen = build(name, build("where", hit, v, nothing))
    graph = build.graph(build("sum", chosen, axis=(axis,), keepdims=keepdims))
    return graph, [np.arange(4).reshape(4, 1) % 3, values(graph, 1)[1]]


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("nothing", [0.0, -0.0])
@pytest.mark.parametrize("number", [None, 0.0, -0.0])
def test_the_sum_of_one_chosen_value_is_that_value(keepdims, nothing, number):
    graph, given = one_hit(keepdims=keepdims, nothing=nothing)
    if number is not None:
        given[1] = np.full((4, 1), number, np.float32)
    after = same_meaning(graph, compare_instead_of_scatter(graph), given)
    assert "sum" not in names(after)


def test_the_sum_of_one_chosen_value_broadcasts_with_the_axes_that_stay():
    build = Building()
    labels, v = build.input("int64", 4, 2), build.input("float32")
    index = build("reshape", guarded(build, labels, 3), shape=(4, 1, 2))
    hit = build("equal", index, build("reshape", count(build, 3), shape=(3, 1)))
    graph = build.graph(build("sum", build("where", hit, v, 0.0), axis=(1,), keepdims=False))
    given = [np.arange(8).reshape(4, 2) % 3, np.float32(2.5)]
    after = same_meaning(graph, compare_instead_of_scatter(graph), given)
    assert "sum" not in names(after)


OTHER_SUMS = {
    "of another axis": {"axis": 0},
    "of what may have no hit": {"inside": False},
    "of what may have no hit in a smaller axis": {"classes": 4},
    "of what has more than one value": {"nothing": 1.0},
    "of positions that start later": {"start": 1},
    "of a function of the choice": {"name": "exp"},
}


@pytest.mark.parametrize("case", OTHER_SUMS)
def test_other_sums_stay(case):
    graph, _ = one_hit(**OTHER_SUMS[case])
    assert compare_instead_of_scatter(graph) is graph


def test_cross_entropy_has_no_scatter_left_and_still_refuses_labels():
    for shape, labels in (((4, 3), (4,)), ((1, 3), (1,)), ((2, 3, 5), (2, 5))):
        x = cr.ones(shape)
        graph, _ = traced(cr.grad(cr.nn.functional.cross_entropy), x, cr.zeros(labels, dtype=cr.int64))
        graph = simplify(graph)
        assert not {"scatter_add", "add_along"} & set(names(graph))
        bad = np.full(labels, 3)
        message = r"label 3 at position .* is out of range for 3 classes; labels must be in \[0, 2\]\."
        with pytest.raises(IndexRangeError, match=message):
            run(graph, [x.numpy(), bad])


# ---------------------------------------------------------------------------------------------------- ranges
def found(graph: Graph, number: int = 0):
    makers = {v: equation for equation in graph for v in equation.outputs}
    return interval(makers.get, graph.outputs[number])


def test_ranges_follow_arithmetic():
    build = Building()
    labels = guarded(build, build.input("int64", 4), 10)
    cases = {
        (0, 9): labels,
        (-9, 0): build("negative", labels),
        (5, 14): build("add", labels, 5),
        (-5, 4): build("subtract", labels, 5),
        (-18, 0): build("multiply", labels, -2),
        (3, 9): build("maximum", labels, 3),
        (0, 4): build("minimum", labels, 4),
        (2, 6): build("clip", labels, 2, 6),
        (-4, -4): build("clip", labels, 0, -4),
        (0, 6): build("remainder", build.input("int64", 3), 7),
        (7, 11): build("arange", start=11, step=-2, size=3, dtype=int64),
        (0, 2): build("argmax", build.input("float32", 4, 3), axis=1),
        (0, 1): build("astype", build("equal", labels, 3), dtype=int64),
        (0, 20): build("concat", labels, build("arange", start=12, step=4, size=3, dtype=int64), axis=0),
        (-(2**63), 2**63 - 1): build("multiply", labels, 2**62),
        (-1, 9): build("where", build.input("bool", 4), labels, -1),
    }
    graph = build.graph(*cases.values())
    assert [found(graph, i) for i in range(len(cases))] == list(cases)


def test_the_ignored_label_is_left_out_only_by_the_choice_that_leaves_it_out():
    build = Building()
    labels = build("check_labels", build.input("int64", 4), classes=10, ignore=-100)
    counted = build("not_equal", labels, -100)
    graph = build.graph(
        labels,
        build("where", counted, labels, 0),
        build("where", build("not_equal", labels, -99), labels, 0),
        build("where", build("equal", labels, -100), labels, 0),
        build("where", counted, labels, 30),
    )
    assert [found(graph, i) for i in range(5)] == [(-100, 9), (0, 9), (-100, 9), (-100, 9), (0, 30)]


def test_a_range_is_found_in_time_that_does_not_double_with_each_equation():
    build = Building()
    x = guarded(build, build.input("int64", 4), 2)
    for _ in range(30):
        x = build("add", x, x)
    assert found(build.graph(x)) == (0, 2**30)


@pytest.mark.parametrize("name", sorted(n for n, p in PRIMITIVES.items() if not p.multiple))
def test_no_result_lies_outside_its_range(name):
    primitive = PRIMITIVES[name]
    for sample in primitive.samples:
        arrays = list(sample_arrays(sample, np.random.default_rng(0)))
        build = Building()
        known = [build.constant(a, cr.core.dtypes.dtype_of(a.dtype).name) for a in arrays]
        output = build(name, *known, **sample.attributes)
        limits = found(build.graph(output))
        if limits is None or not output.size:
            continue
        result = np.asarray(run(build.graph(output), [])[0])
        assert limits[0] <= int(result.min()) <= int(result.max()) <= limits[1]

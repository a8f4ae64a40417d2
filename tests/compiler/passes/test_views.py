"""Chains of views become short, and broadcasts move below what is computed from them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building, names, same_meaning

from chainrule.compiler.passes.broadcasts import sink_broadcasts
from chainrule.compiler.passes.views import merge_views
from chainrule.core.dtypes import to_dtype


def after(make, *shape, dtype="float32", rule=merge_views):
    """Return the graph of `make(build, input)` after a pass, checked against the graph before it."""
    build = Building()
    graph = build.graph(make(build, build.input(dtype, *shape)))
    return same_meaning(graph, rule(graph))


def reshape(b, x, *shape):
    return b("reshape", x, shape=shape)


def permute(b, x, *axes):
    return b("permute_dims", x, axes=axes)


def spread(b, x, *shape):
    return b("broadcast_to", x, shape=shape)


def cut(b, x, *slices):
    starts, limits, steps = zip(*slices, strict=True)
    return b("slice", x, starts=starts, limits=limits, steps=steps)


def pad(b, x, low, high, interior):
    return b("pad", x, low=low, high=high, interior=interior)


NOTHING = {
    "a reshape to the same shape": ((2, 3), lambda b, x: reshape(b, x, 2, 3)),
    "a reshape there and back": ((2, 3), lambda b, x: reshape(b, reshape(b, x, 6), 2, 3)),
    "a permutation there and back": ((2, 3, 4), lambda b, x: permute(b, permute(b, x, 1, 2, 0), 2, 0, 1)),
    "axes in their order": ((2, 3), lambda b, x: permute(b, x, 0, 1)),
    "a broadcast to the same shape": ((2, 3), lambda b, x: spread(b, x, 2, 3)),
    "a slice of everything": ((5, 3), lambda b, x: cut(b, x, (0, 5, 1), (0, 3, 1))),
    "no padding": ((5, 1), lambda b, x: pad(b, x, (0, 0), (0, 0), (0, 2))),
    "everything updated": ((3,), lambda b, x: b("update_slice", b("exp", x), x, starts=(0,), steps=(1,))),
    "one part": ((3,), lambda b, x: b("concat", x, axis=0)),
    "empty parts": ((2, 3), lambda b, x: b("concat", b.constant(np.zeros((2, 0))), x, axis=1)),
    "two flips": ((2, 3), lambda b, x: b("flip", b("flip", x, axis=(1,)), axis=(1,))),
    "a flip of one": ((2, 1), lambda b, x: b("flip", x, axis=(1,))),
}


@pytest.mark.parametrize("case", NOTHING)
def test_views_that_change_nothing_go(case):
    shape, make = NOTHING[case]
    graph = after(make, *shape)
    assert graph.outputs == graph.inputs


SHORT = {
    "reshapes": ((2, 3, 4), lambda b, x: reshape(b, reshape(b, x, 6, 4), 4, 3, 2), ["reshape"]),
    "permutations": ((2, 3, 4), lambda b, x: permute(b, permute(b, x, 1, 2, 0), 1, 2, 0), ["permute_dims"]),
    "broadcasts": ((1, 3), lambda b, x: spread(b, spread(b, x, 2, 3), 4, 2, 3), ["broadcast_to"]),
    "only axes of 1 move": ((1, 3, 1), lambda b, x: permute(b, x, 2, 0, 1), ["reshape"]),
    "a number through a vector": ((), lambda b, x: spread(b, reshape(b, x, 1), 8), ["broadcast_to"]),
    "axes in front": ((3,), lambda b, x: spread(b, reshape(b, x, 1, 3), 2, 3), ["broadcast_to"]),
    "axes in front that are too many": (
        (1, 3),
        lambda b, x: spread(b, reshape(b, x, 3), 3),
        ["reshape"],
    ),
    "all broadcasts of a number": ((1, 1), lambda b, x: spread(b, x, 2, 3), ["reshape", "broadcast_to"]),
    "a reshape of one number many times": (
        (1,),
        lambda b, x: reshape(b, spread(b, x, 6), 2, 3),
        ["reshape", "broadcast_to"],
    ),
    "a new axis in a broadcast": (
        (4, 1, 1),
        lambda b, x: reshape(b, spread(b, x, 4, 2, 3), 4, 2, 1, 3),
        ["reshape", "broadcast_to"],
    ),
    "an axis less in a broadcast": (
        (4, 1, 1),
        lambda b, x: reshape(b, spread(b, x, 1, 4, 1, 3), 4, 3),
        ["reshape", "broadcast_to"],
    ),
    "a permuted broadcast": (
        (2, 3),
        lambda b, x: permute(b, spread(b, x, 4, 2, 3), 2, 0, 1),
        ["reshape", "permute_dims", "broadcast_to"],
    ),
    "slices": (
        (20, 7),
        lambda b, x: cut(b, cut(b, x, (1, 19, 2), (0, 7, 1)), (1, 8, 3), (2, 5, 1)),
        ["slice"],
    ),
    "a slice of one number": ((), lambda b, x: cut(b, spread(b, x, 9), (2, 8, 2)), ["broadcast_to"]),
    "fewer parts": (
        (2, 3),
        lambda b, x: b("concat", x, b.constant(np.zeros((0, 3))), x, axis=0),
        ["concat"],
    ),
    "a flip of one number": ((), lambda b, x: b("flip", spread(b, x, 4), axis=(0,)), ["broadcast_to"]),
}


@pytest.mark.parametrize("case", SHORT)
def test_chains_of_views_become_short(case):
    shape, make, expected = SHORT[case]
    graph = after(make, *shape)
    assert names(graph) == expected
    assert merge_views(graph) is graph


STAYS = {
    "padding between": ((3,), lambda b, x: pad(b, x, (0,), (0,), (1,))),
    "a step": ((5,), lambda b, x: cut(b, x, (0, 5, 2))),
    "a reshape that mixes repeated axes": ((3, 1), lambda b, x: reshape(b, spread(b, x, 3, 2), 6)),
    "flips of two axes": ((2, 3), lambda b, x: b("flip", b("flip", x, axis=(1,)), axis=(0,))),
}


@pytest.mark.parametrize("case", STAYS)
def test_other_views_stay(case):
    shape, make = STAYS[case]
    build = Building()
    graph = build.graph(make(build, build.input("float32", *shape)))
    assert merge_views(graph) is graph


def test_empty_tensors_come_through():
    graph = after(lambda b, x: cut(b, cut(b, x, (1, 5, 2), (0, 0, 1)), (2, 2, 1), (0, 0, 3)), 5, 0)
    assert graph.outputs[0].shape == (0, 0)
    graph = after(lambda b, x: permute(b, reshape(b, x, 0, 2, 3), 2, 0, 1), 3, 0)
    assert graph.outputs[0].shape == (3, 0, 2)


# ---------------------------------------------------------------------------------------------------- broadcasts
def sunk(make, *shape, dtype="float32"):
    return after(make, *shape, dtype=dtype, rule=sink_broadcasts)


def test_an_operand_is_not_repeated_for_an_operation_that_broadcasts():
    build = Building()
    x, y = build.input("float32", 4, 3), build.input("float32", 3)
    graph = build.graph(build("add", x, spread(build, y, 4, 3)))
    assert names(same_meaning(graph, sink_broadcasts(graph))) == ["add"]


def test_computing_comes_before_repeating():
    graph = sunk(lambda b, x: b("exp", b("negative", spread(b, x, 8, 3))), 3)
    assert names(graph) == ["negative", "exp", "broadcast_to"]
    assert [e.outputs[0].shape for e in graph] == [(3,), (3,), (8, 3)]


def test_two_repeated_operands_are_repeated_together():
    build = Building()
    x, y = build.input("float32", 1, 3), build.input("float32", 2, 1)
    graph = build.graph(build("multiply", spread(build, x, 5, 2, 3), spread(build, y, 5, 2, 3)))
    graph = same_meaning(graph, sink_broadcasts(graph))
    assert [e.outputs[0].shape for e in graph] == [(2, 3), (5, 2, 3)]


def test_a_conversion_is_made_before_repeating():
    graph = sunk(lambda b, x: b("astype", spread(b, x, 9), dtype=to_dtype("float64")))
    assert [e.outputs[0].shape for e in graph] == [(), (9,)]


def test_nothing_is_moved_through_a_barrier():
    build = Building()
    graph = build.graph(build("barrier", spread(build, build.input("float32"), 3)))
    assert sink_broadcasts(graph) is graph


def test_the_extreme_of_repeated_values_is_the_value():
    graph = sunk(lambda b, x: b("max", spread(b, x, 5, 3), axis=(0,), keepdims=False), 3)
    assert graph.outputs == graph.inputs
    graph = sunk(lambda b, x: b("min", spread(b, x, 2, 5, 3), axis=(1,), keepdims=True), 1, 3)
    assert names(graph) == ["reshape", "broadcast_to"]


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "bfloat16"])
def test_the_sum_of_repeated_values_is_a_product(dtype):
    graph = sunk(lambda b, x: b("sum", spread(b, x, 4, 3), axis=(0,), keepdims=False), 3, dtype=dtype)
    assert names(graph) == ["multiply", "add"][: 2 if dtype in ("float32", "bfloat16") else 1]


def test_a_sum_stays_where_the_count_is_no_number_of_the_dtype_and_for_complex_numbers():
    for dtype, count in (("bfloat16", 257), ("int8", 200), ("complex64", 4)):
        build = Building()
        repeated = spread(build, build.input(dtype, 3), count, 3)
        graph = build.graph(build("sum", repeated, axis=(0,), keepdims=False))
        assert sink_broadcasts(graph) is graph


def test_a_reduction_of_other_axes_stays():
    build = Building()
    repeated = spread(build, build.input("float32", 3), 4, 3)
    graph = build.graph(build("sum", repeated, axis=(0, 1), keepdims=False))
    assert sink_broadcasts(graph) is graph

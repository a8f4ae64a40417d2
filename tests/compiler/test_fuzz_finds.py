"""What the fuzzer of the compiler found, each as the small graph that was left of it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building

from chainrule.core.dtypes import float32
from chainrule.testing._fuzz_checks import check_native


def arrays(graph, seed=0):
    """Return normal numbers for the inputs of a graph, and numbers below 4 for integers."""
    rng = np.random.default_rng(seed)
    found = []
    for v in graph.inputs:
        kind, high = v.type.dtype.kind, 2 if v.type.dtype.kind == "bool" else 4
        values = rng.standard_normal(v.shape) if kind == "float" else rng.integers(0, high, v.shape)
        found.append(np.asarray(values).astype(v.dtype))
    return found


def check(graph, takes=None, seed=0):
    """Compare native code with the references."""
    check_native(graph, arrays(graph, seed), takes or {})


def convolved(build, x, w, padding, **options):
    """Append a convolution of one stride."""
    rank = len(x.shape) - 2
    settings = {"stride": (1,) * rank, "padding": ((padding, padding),) * rank, "dilation": (1,) * rank, "groups": 1}
    return build("convolution", x, w, **(settings | options))


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_an_image_that_is_a_reshape_of_a_product_has_no_border_of_its_own(padding):
    build = Building()
    a, b, w = build.input("float32", 1, 5), build.input("float32", 5, 36), build.input("float32", 2, 1, 3, 3)
    image = build("reshape", build("matmul", a, b), shape=(4, 1, 3, 3))
    check(build.graph(convolved(build, image, w, padding)))


def test_an_image_that_is_a_reshape_of_another_image_has_no_border_of_its_own():
    build = Building()
    x = build.input("float32", 1, 2, 6, 6)
    w1, w2 = build.input("float32", 4, 2, 3, 3), build.input("float32", 3, 1, 3, 3)
    first = convolved(build, x, w1, 1)
    check(build.graph(convolved(build, build("reshape", first, shape=(4, 1, 6, 6)), w2, 2)))


def test_a_join_of_nothing_has_no_elements():
    build = Building()
    x, y, c = build.input("float32", 0), build.input("float32", 0), build.input("bool", 0)
    check(build.graph(build("where", c, y, build("multiply", build("concat", x, x, axis=0), 2.0))))


def test_the_gradient_of_a_bfloat16_weight_is_rounded_to_bfloat16_before_it_is_used():
    build = Building()
    x, dy = build.input("bfloat16", 5, 3, 1, 3), build.input("bfloat16", 5, 5, 1, 3)
    settings = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1, "size": (3, 3)}
    dw = build("convolution_weight_gradient", x, dy, **settings)
    flat = build("reshape", dw, shape=(135,))
    wide = build("astype", build("add", flat, flat), dtype=float32)
    check(build.graph(build("pad", wide, low=(0,), high=(18,), interior=(0,))))


@pytest.mark.parametrize("columns", [17, 33, 18, 31])
def test_lanes_beyond_the_end_of_a_row_do_not_reach_its_sum(columns):
    """0 / 0 in lanes that hold nothing: LLVM takes its product with 0 for 0 and drops the selection after it."""
    build = Building()
    x, y, z = build.input("float32", 3, columns), build.input("float32", 1, columns), build.input("float32", 3, columns)
    check(build.graph(build("sum", build("multiply", build("divide", x, y), z), axis=(0, 1), keepdims=False)))


@pytest.mark.parametrize("depth", [17, 33, 97])
def test_one_more_term_than_vectors_hold_is_summed_once(depth):
    build = Building()
    x, y = build.input("float32", 2, 4, depth), build.input("float32", 2, 4, depth)
    turned = build("permute_dims", y, axes=(0, 2, 1))
    check(build.graph(build("matmul", x, turned)))


def test_a_pooling_window_reads_nothing_outside_its_image():
    """Inputs end at a page that may not be touched, and element 3 of rows of 3 was read and not used."""
    build = Building()
    x, places = build.input("float64", 9, 3, 3), build.input("int64", 9, 3, 3)
    how = {"size": (3,), "stride": (1,), "padding": ((1, 1),), "dilation": (1,)}
    picked = build("window_pick", x, places, **how)
    check(build.graph(build("window_sum", picked, size=(3,), stride=(2,), dilation=(1,))))


def test_indices_that_are_stored_are_those_of_their_own_axes():
    """Windows of one element: positions 0, 2, 4, 10, ... in a row of memory were written as 0, 2, 4, 6, ... ."""
    build = Building()
    x = build.input("float32", 3, 2, 9, 5)
    how = {"size": (1, 1), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    check(build.graph(build("window_argmax", x, **how)))

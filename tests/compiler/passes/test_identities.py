"""Operations that change nothing go, and those that only seem to change nothing stay."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building, names, same_meaning

from chainrule.compiler.passes.identities import remove_identities
from chainrule.core.dtypes import to_dtype


def after(make, dtype="float32", shape=(3, 5), count=1):
    """Return the graph of `make(build, *inputs)` after the pass, checked against the graph before it."""
    build = Building()
    graph = build.graph(make(build, *(build.input(dtype, *shape) for _ in range(count))))
    return same_meaning(graph, remove_identities(graph))


GOES = {
    "x * 1": ("float32", lambda b, x: b("multiply", x, 1.0)),
    "1 * x": ("bfloat16", lambda b, x: b("multiply", 1.0, b("identity", x))),
    "x / 1": ("float64", lambda b, x: b("divide", x, 1.0)),
    "x - 0.0": ("float32", lambda b, x: b("subtract", x, 0.0)),
    "x + -0.0": ("float32", lambda b, x: b("add", x, -0.0)),
    "integer x + 0": ("int8", lambda b, x: b("add", x, 0)),
    "integer x // 1": ("int8", lambda b, x: b("floor_divide", x, 1)),
    "--x": ("float32", lambda b, x: b("negative", b("negative", x))),
    "integer --x": ("int8", lambda b, x: b("negative", b("negative", x))),
    "not not x": ("bool", lambda b, x: b("logical_not", b("logical_not", x))),
    "~~x": ("uint8", lambda b, x: b("bitwise_invert", b("bitwise_invert", x))),
    "positive": ("float32", lambda b, x: b("positive", x)),
    "identity": ("complex64", lambda b, x: b("identity", x)),
    "conj conj x": ("complex64", lambda b, x: b("conj", b("conj", x))),
    "to its own dtype": ("float32", lambda b, x: b("astype", x, dtype=to_dtype("float32"))),
    "wider and back": (
        "float32",
        lambda b, x: b("astype", b("astype", x, dtype=to_dtype("float64")), dtype=to_dtype("float32")),
    ),
    "integer to float64 and back": (
        "int32",
        lambda b, x: b("astype", b("astype", x, dtype=to_dtype("float64")), dtype=to_dtype("int32")),
    ),
    "bool to float and back": (
        "bool",
        lambda b, x: b("astype", b("astype", x, dtype=to_dtype("bfloat16")), dtype=to_dtype("bool")),
    ),
    "x and True": ("bool", lambda b, x: b("logical_and", x, True)),
    "x or False": ("bool", lambda b, x: b("logical_or", False, x)),
    "x and x": ("bool", lambda b, x: b("logical_and", x, x)),
    "x & x": ("int32", lambda b, x: b("bitwise_and", x, x)),
    "a choice made already": ("float32", lambda b, x: b("where", b.constant(True, "bool"), x, 0.0)),
}


@pytest.mark.parametrize("case", GOES)
def test_what_changes_nothing_goes(case):
    dtype, make = GOES[case]
    graph = after(make, dtype)
    assert names(graph) == []
    assert graph.outputs == graph.inputs


STAYS = {
    "x + 0.0 makes 0.0 of -0.0": ("float32", lambda b, x: b("add", x, 0.0)),
    "x - -0.0 likewise": ("float32", lambda b, x: b("subtract", x, -0.0)),
    "0.0 - x is not -x for 0.0": ("float32", lambda b, x: b("subtract", 0.0, x)),
    "x * 0 is not 0 for infinity": ("float32", lambda b, x: b("multiply", x, 0.0)),
    "x - x is not 0 for infinity": ("float32", lambda b, x: b("subtract", x, x)),
    "x / x is not 1 for 0": ("float32", lambda b, x: b("divide", x, x)),
    "complex x * 1 is NaN for infinity": ("complex64", lambda b, x: b("multiply", x, 1.0)),
    "x // 1 rounds": ("float32", lambda b, x: b("floor_divide", x, 1.0)),
    "not x <= 0 holds for NaN": ("float32", lambda b, x: b("logical_not", b("less_equal", x, 0.0))),
    "narrower and back rounds": (
        "float32",
        lambda b, x: b("astype", b("astype", x, dtype=to_dtype("bfloat16")), dtype=to_dtype("float32")),
    ),
    "an integer saturates on its way through float": (
        "int8",
        lambda b, x: b("astype", b("astype", x, dtype=to_dtype("float32")), dtype=to_dtype("uint8")),
    ),
    "the opposite of an unsigned integer is another number": ("uint8", lambda b, x: b("abs", b("negative", x))),
    "int64 to float64 rounds": (
        "int64",
        lambda b, x: b("astype", b("astype", x, dtype=to_dtype("float64")), dtype=to_dtype("int64")),
    ),
    "the largest of x and 0 has the sign of a zero": ("float32", lambda b, x: b("maximum", x, 0.0)),
}


@pytest.mark.parametrize("case", STAYS)
def test_what_only_seems_to_change_nothing_stays(case):
    dtype, make = STAYS[case]
    build = Building()
    graph = build.graph(make(build, build.input(dtype, 4, 6)))
    assert remove_identities(graph) is graph


def test_a_product_with_a_mask_stays_a_product():
    build = Building()
    x, mask = build.input("float32", 4), build.input("bool", 4)
    graph = build.graph(build("multiply", x, build("astype", mask, dtype=to_dtype("float32"))))
    assert remove_identities(graph) is graph


BECOMES = {
    "a + -b": (lambda b, x, y: b("add", x, b("negative", y)), ["subtract"]),
    "-a + b": (lambda b, x, y: b("add", b("negative", x), y), ["subtract"]),
    "a - -b": (lambda b, x, y: b("subtract", x, b("negative", y)), ["add"]),
    "-a * -b": (lambda b, x, y: b("multiply", b("negative", x), b("negative", y)), ["multiply"]),
    "-a / -b": (lambda b, x, y: b("divide", b("negative", x), b("negative", y)), ["divide"]),
    "|-a|": (lambda b, x, y: b("abs", b("negative", x)), ["abs"]),
    "a / 32": (lambda b, x, y: b("divide", x, 32.0), ["multiply"]),
    "a / -0.5": (lambda b, x, y: b("divide", x, -0.5), ["multiply"]),
    "a / 3": (lambda b, x, y: b("divide", x, 3.0), ["divide"]),
    "a / 2^-120": (lambda b, x, y: b("divide", x, 2.0**-120), ["divide"]),
    "1 / a": (lambda b, x, y: b("divide", 1.0, x), ["reciprocal"]),
    "relu relu a": (lambda b, x, y: b("relu", b("relu", x)), ["relu"]),
    "exp(a) + 0.0": (lambda b, x, y: b("add", b("exp", x), 0.0), ["exp"]),
    "not a == b": (lambda b, x, y: b("logical_not", b("equal", x, y)), ["not_equal"]),
    "where(not c, a, b)": (
        lambda b, x, y: b("where", b("logical_not", b("less", x, y)), x, y),
        ["less", "where"],
    ),
    "the same choice twice": (lambda b, x, y: _nested(b, x, y), ["less", "where"]),
}


def _nested(b, x, y):
    c = b("less", x, y)
    return b("where", c, b("where", c, x, 1.0), b("where", c, 2.0, y))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("case", BECOMES)
def test_what_becomes_something_shorter(case, dtype):
    make, expected = BECOMES[case]
    assert names(after(make, dtype, count=2)) == expected


def test_a_wider_dtype_between_two_goes():
    wide, narrow = to_dtype("float64"), to_dtype("bfloat16")
    graph = after(lambda b, x: b("astype", b("astype", x, dtype=wide), dtype=narrow))
    assert names(graph) == ["astype"]


def test_an_order_of_integers_turns_round():
    graph = after(lambda b, x, y: b("logical_not", b("less_equal", x, y)), "int32", count=2)
    assert names(graph) == ["greater"]


def test_a_broadcast_stays_where_the_other_operand_was_wider():
    build = Building()
    x = build.input("float32", 3)
    graph = build.graph(build("multiply", x, build.constant(np.ones((2, 3)))))
    simpler = same_meaning(graph, remove_identities(graph))
    assert names(simpler) == ["broadcast_to"]


def test_a_new_equation_has_the_line_and_the_module_of_the_old_one():
    graph = after(lambda b, x, y: b("add", x, b("negative", y)), count=2)
    (equation,) = graph.equations
    assert (equation.source, equation.module, equation.outputs[0].source) == ("step.py:4", "model.layer", "step.py:4")

"""The graph: the exact print of a small network with the user's lines, and a checker that refuses what is broken."""

from __future__ import annotations

import re

import pytest

import chainrule as cr
from chainrule.core.errors import ShapeError
from chainrule.core.graph import Equation, Graph, GraphError, Variable, check
from chainrule.core.primitive import PRIMITIVES, TensorType


def f32(*shape):
    return TensorType(shape, cr.float32)


# ---------------------------------------------------------------------------------------------------- printing
def test_the_print_of_a_small_network():
    weights = [cr.zeros((4, 3)), cr.zeros((3, 2))]

    def mlp(x, target):
        hidden = cr.relu(x @ weights[0])
        scores = hidden @ weights[1]
        error = scores - target
        return (error * error).sum() * 0.5

    step = cr.jit(mlp)
    step(cr.zeros((5, 4)), cr.zeros((5, 2)))
    first = mlp.__code__.co_firstlineno
    lines = [
        "mlp(x: f32[5,4], target: f32[5,2], state0: f32[4,3], state1: f32[3,2]) -> (%6: f32[])",
        ("  %0: f32[5,3] = matmul(x, state0)", 1),
        ("  %1: f32[5,3] = relu(%0)", 1),
        ("  %2: f32[5,2] = matmul(%1, state1)", 2),
        ("  %3: f32[5,2] = subtract(%2, target)", 3),
        ("  %4: f32[5,2] = multiply(%3, %3)", 4),
        ("  %5: f32[] = sum(%4, axis=(0, 1), keepdims=False)", 4),
        ("  %6: f32[] = multiply(%5, 0.5)", 4),
    ]
    wanted = [lines[0]] + [f"{text:<72}  # test_graph.py:{first + offset}" for text, offset in lines[1:]]
    assert str(step.graph()) == "\n".join(wanted)


def test_equations_name_the_module():
    model = cr.nn.Sequential(cr.nn.Linear(3, 2), cr.nn.ReLU())
    step = cr.jit(lambda x: model(x))
    step(cr.zeros((1, 3)))
    assert {equation.module for equation in step.graph()} == {"0 (Linear)", "1 (ReLU)"}
    for line in str(step.graph()).splitlines()[1:]:
        assert re.search(r"  # test_graph\.py:\d+  [01] \((Linear|ReLU)\)$", line)


def test_constants_and_dtypes_are_printed():
    step = cr.jit(lambda x: cr.astype(x, cr.float64) + cr.asarray([1.0, 2.0], dtype=cr.float64))
    step(cr.zeros(2))
    text = re.sub(r" +#.*", "", str(step.graph()))
    assert text == (
        "<lambda>(x: f32[2]) -> (%1: f64[2])\n"
        "  %0: f64[2] = astype(x, dtype=float64)\n"
        "  %1: f64[2] = add(%0, constant f64[2])"
    )


def test_iteration_and_flops():
    step = cr.jit(lambda x: (x @ x).sum())
    step(cr.zeros((8, 8)))
    assert [equation.primitive.name for equation in step.graph()] == ["matmul", "sum"]
    matmul, total = step.graph()
    assert matmul.flops == 2 * 8**3 - 8**2 or matmul.flops == 2 * 8**3
    assert step.graph().flops == matmul.flops + total.flops


# ---------------------------------------------------------------------------------------------------- the checker
def _equation(name, inputs, outputs, **attributes):
    return Equation(PRIMITIVES[name], tuple(inputs), attributes, tuple(outputs))


def _refused(graph):
    with pytest.raises(GraphError) as error:
        check(graph)
    return error.value.message


X, Y, H = Variable(f32(2, 3)), Variable(f32(3, 4)), Variable(f32(2, 4))


def test_a_good_graph_passes():
    graph = Graph("g", (X, Y), (_equation("matmul", (X, Y), (H,)),), (H, X))
    assert check(graph) is graph


def test_a_wrong_type():
    wrong = Variable(f32(2, 5))
    assert _refused(Graph("g", (X, Y), (_equation("matmul", (X, Y), (wrong,)),), (wrong,))) == (
        "graph g, equation 0 (matmul): the shape rule gives ['f32[2,4]'] and the graph states ['f32[2,5]']"
    )
    other = Variable(TensorType((2, 4), cr.float64))
    assert _refused(Graph("g", (X, Y), (_equation("matmul", (X, Y), (other,)),), (other,))) == (
        "graph g, equation 0 (matmul): the shape rule gives ['f32[2,4]'] and the graph states ['f64[2,4]']"
    )


def test_use_before_definition():
    z = Variable(f32(2, 4))
    equations = (_equation("exp", (H,), (z,)), _equation("matmul", (X, Y), (H,)))
    assert _refused(Graph("g", (X, Y), equations, (z,))) == (
        "graph g, equation 0 (exp): an input f32[2,4] is used before it is made"
    )


def test_double_definition():
    equations = (_equation("matmul", (X, Y), (H,)), _equation("matmul", (X, Y), (H,)))
    assert _refused(Graph("g", (X, Y), equations, (H,))) == (
        "graph g, equation 1 (matmul): the output f32[2,4] was made before"
    )
    z = Variable(f32(2, 3))
    assert _refused(Graph("g", (X,), (_equation("exp", (X,), (X,)),), (X,))) == (
        "graph g, equation 0 (exp): the output f32[2,3] was made before"
    )
    assert check(Graph("g", (X,), (_equation("exp", (X,), (z,)),), (z,)))


def test_an_output_that_is_never_made():
    assert _refused(Graph("g", (X,), (), (H,))) == "graph g: an output f32[2,4] is never made"


def test_an_input_listed_twice():
    assert _refused(Graph("g", (X, X), (), (X,))) == "graph g: an input is listed twice"


def test_inputs_that_the_shape_rule_refuses():
    z = Variable(f32(2, 3))
    with pytest.raises(ShapeError, match=r"^matmul: left is \(2, 3\) and right is \(2, 3\)"):
        check(Graph("g", (X,), (_equation("matmul", (X, X), (z,)),), (z,)))


def test_attributes_are_read_only():
    step = cr.jit(lambda x: x.sum())
    step(cr.zeros(3))
    (equation,) = step.graph()
    with pytest.raises(TypeError):
        equation.attributes["axis"] = (1,)

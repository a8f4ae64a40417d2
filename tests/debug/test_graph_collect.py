"""What a picture knows: from a run, from a finished result, from a traced step; and what it leaves as it was."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.debug.drawings import boxes, lines, product

import chainrule as cr
from chainrule import nn
from chainrule.core.context import local
from chainrule.core.errors import GradientError, TraceError


def named(picture):
    """Return name -> value of everything that has a name."""
    return {value.name: value for value in picture.computation.values() if value.name}


def operations(picture):
    return [operation.name for operation in picture.computation.operations]


@pytest.fixture
def network():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


# ---------------------------------------------------------------------------------------------------- a run
def test_tensors_arrays_and_numbers_are_leaves_and_integers_have_no_gradient():
    picture = cr.graph(lambda x, y, n, k: (x * y + n) * k, cr.ones(2), np.ones(2, np.float32), cr.asarray(3), 2)
    kinds = {name: (str(value.type), value.kind) for name, value in named(picture).items()}
    assert kinds == {
        "x": ("f32[2]", "argument"), "y": ("f32[2]", "argument"), "n": ("i64[]", "argument"),
        "k": ("f32[]", "argument"),
    }  # fmt: skip
    assert picture.computation.notes == ["no gradients: the result is not one number; pass gradient=, or reduce it"]


def test_the_upstream_gradient_of_a_tensor_can_be_given():
    picture = cr.graph(lambda x: x * x, cr.asarray([1.0, 2.0]), gradient=cr.asarray([10.0, 100.0]))
    assert named(picture)["x"].gradient.tolist() == [20.0, 400.0]
    assert lines(picture.svg()) == [("[1, 2]", "[10, 200]"), ("[1, 2]", "[10, 200]"), ("[1, 4]", "[10, 100]")]


def test_one_tensor_passed_twice_is_two_leaves():
    x = cr.asarray(3.0)
    assert {name: v.gradient.item() for name, v in named(cr.graph(lambda a, b: a * b * b, x, x)).items()} == {
        "a": 9.0, "b": 18.0,
    }  # fmt: skip


def test_a_leaf_that_a_comparison_reads_too_is_one_leaf():
    picture = cr.graph(lambda x: cr.where(x > 0, x, 0.1 * x).sum(), cr.asarray([1.0, -1.0]))
    assert [value.name for value in picture.computation.arguments] == ["x"]
    assert named(picture)["x"].gradient.tolist() == pytest.approx([1.0, 0.1])
    assert boxes(picture.svg()) == ["x", "greater(x, 0)", "0.1 × x", "where", "Σ", "f"]


def test_a_recomputed_block_has_its_gradients():
    def block(x):
        return cr.exp(cr.sin(x))

    picture = cr.graph(lambda x: cr.checkpoint(block, x) * 2, 0.5)
    assert operations(picture)[-1] == "multiply"
    assert named(picture)["x"].gradient.item() == pytest.approx(cr.grad(lambda x: block(x) * 2)(0.5).item())


def test_complex_numbers_are_drawn():
    picture = cr.graph(lambda z: cr.sum(cr.real(z * cr.conj(z))), cr.asarray([1 + 2j] * 5))
    assert operations(picture) == ["conj", "multiply", "real", "sum"]
    assert ("25", "1") in lines(picture.svg())


def test_nothing_of_the_run_stays(network):
    x = cr.ones((2, 4)).requires_grad_()
    stack, checks = local.modules, local.checks
    with cr.no_grad():
        picture = cr.graph(lambda x: network(x).sum(), x)
    assert named(picture)["x"].gradient is not None  # recorded although gradients are off outside
    assert x.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())
    assert local.modules is stack
    assert local.checks is checks


def test_an_error_in_the_function_leaves_nothing_behind(network):
    stack, checks = local.modules, local.checks
    with pytest.raises(cr.core.errors.ShapeError):
        cr.graph(network, cr.ones((2, 5)))
    assert (local.modules, local.checks) == (stack, checks)


def test_modules_name_their_parameters_and_are_groups(network):
    picture = cr.graph(lambda x: network(x).sum(), cr.ones((2, 4)))
    assert set(named(picture)) == {"x", "0.weight", "0.bias", "2.weight", "2.bias"}
    assert {(call.path, call.kind) for call in picture.closed} == {("0", "Linear"), ("1", "ReLU"), ("2", "Linear")}
    assert [name for name in boxes(picture.svg()) if name in ("Linear", "ReLU", "weight")] == [
        "Linear",
        "ReLU",
        "Linear",
    ]
    opened = cr.graph(lambda x: network(x).sum(), cr.ones((2, 4)), collapse=False).svg()
    assert boxes(opened).count("weight") == 2
    whole = cr.graph(lambda x: network(x).sum(), cr.ones((2, 4)), collapse="Sequential").svg()
    assert boxes(whole) == ["x", "Sequential", "Σ", "f"]
    assert "23 parameters" in whole


def test_two_calls_of_one_layer_are_two_boxes():
    layer = nn.Linear(2, 2)
    drawn = boxes(cr.graph(lambda x: layer(layer(x)).sum(), cr.ones((1, 2))).svg())
    assert sorted(drawn) == ["Linear", "Linear", "bias", "f", "weight", "x", "Σ"]  # both read the same parameters


def test_tensors_from_outside_have_the_names_that_are_given():
    w, c = cr.asarray(2.0).requires_grad_(), cr.asarray([5.0, 6.0, 7.0, 8.0, 9.0])
    picture = cr.graph(lambda x: (w * x * c).sum(), 3.0, names=[{"w": w}, {"c": c}])
    assert {name: value.gradient is not None for name, value in named(picture).items()} == {
        "x": True, "w": True, "c": False,
    }  # fmt: skip


def test_what_was_recorded_before_is_a_leaf():
    before = cr.exp(cr.asarray(0.0).requires_grad_())
    picture = cr.graph(lambda x: x * before, 3.0, names={"before": before})
    assert operations(picture) == ["multiply"]
    assert lines(picture.svg())[:2] == [("3", "1", "1 × 1"), ("1", "3", "1 × 3")]


def test_the_bookkeeping_of_labels_is_left_out_unless_asked_for():
    def loss(x, y):
        return nn.functional.cross_entropy(x, y)

    x, y = cr.zeros((2, 3)), cr.asarray([0, 2])
    short = cr.graph(loss, x, y)
    assert operations(short) == [
        "max", "subtract", "exp", "sum", "log", "subtract", "gather", "where", "negative", "sum", "divide",
    ]  # fmt: skip
    assert boxes(short.svg())[-2] == "x / 2"  # the number of labels
    full = operations(cr.graph(loss, x, y, details=True))
    assert "check_labels" in full
    assert set(operations(short)) < set(full)


def test_operations_that_reach_no_result_are_left_out():
    def wasteful(x):
        cr.exp(x)
        return x * 2

    assert operations(cr.graph(wasteful, 1.0)) == ["multiply"]


def test_gradients_that_the_function_used_up_are_not_there():
    def step(x):
        loss = x * x
        loss.backward()
        return loss

    picture = cr.graph(step, 3.0)
    assert picture.computation.notes == [
        "no gradients: the tape of this result was freed by an earlier backward (at operation multiply)"
    ]
    assert lines(picture.svg()) == [("3",), ("3",), ("9",)]


def test_a_compiled_step_runs_as_its_python_function():
    assert lines(cr.graph(cr.jit(product), -2.0, 5.0, -4.0).svg()) == lines(cr.graph(product, -2.0, 5.0, -4.0).svg())


def test_forward_mode_inside_is_drawn_by_what_it_does():
    picture = cr.graph(lambda x: cr.jvp(cr.exp, (x,), (cr.ones(()),))[1], 0.0)
    assert named(picture)["x"].gradient.item() == 1.0


# ---------------------------------------------------------------------------------------------------- a finished result
def test_a_finished_result_shows_what_its_tape_keeps():
    x, y, z = (cr.asarray(v).requires_grad_() for v in (-2.0, 5.0, -4.0))
    f = product(x, y, z)
    picture = cr.graph(f, names={"x": x, "y": y, "z": z})
    assert sorted(lines(picture.svg())) == sorted(lines(cr.graph(product, -2.0, 5.0, -4.0).svg()))
    assert x.grad is None
    f.backward()  # the tape was not freed
    assert x.grad.item() == -4.0


def test_a_leaf_that_was_assigned_since_shows_no_value():
    x = cr.asarray(2.0).requires_grad_()
    y = x + 1
    with cr.no_grad():
        x.assign_(cr.asarray(100.0))
    assert [value.array for value in cr.graph(y).computation.arguments] == [None]


def test_a_freed_tape_shows_the_structure():
    x = cr.asarray(2.0).requires_grad_()
    y = cr.exp(x) * 3
    y.backward()
    picture = cr.graph(y)
    assert operations(picture) == ["exp", "multiply"]
    assert picture.computation.notes == [
        "no gradients: the tape of this result was freed by an earlier backward (at operation multiply)"
    ]


# ---------------------------------------------------------------------------------------------------- a traced step
def test_a_traced_step_shows_types():
    step = cr.jit(lambda x, y: cr.exp(x @ y).sum())
    step(cr.ones((2, 3)), cr.ones((3, 4)))
    for picture in (cr.graph(step), cr.graph(step.graph())):
        assert operations(picture) == ["matmul", "exp", "sum"]
        assert "f32[2,4] · 32 B" in picture.svg()
        assert picture.computation.notes == ["traced: types only, no values"]


def test_a_whole_training_step_can_be_drawn(network):
    optimizer = cr.optim.SGD(network.parameters(), lr=0.1)

    @cr.jit
    def step(x):
        loss = network(x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step(cr.ones((2, 4)))
    drawn = cr.graph(step)
    assert len(drawn.computation.results) == 5  # the loss and four parameters
    assert "Linear" in boxes(drawn.svg())


# ---------------------------------------------------------------------------------------------------- refusals
def test_what_cannot_be_drawn_is_refused(network):
    with pytest.raises(TypeError, match="^graph draws a function, a recorded tensor or a traced step; got int.$"):
        cr.graph(3)
    with pytest.raises(
        GradientError,
        match=re.escape(
            "graph: nothing was recorded for this tensor; call requires_grad_() on an input before computing, "
            "or give the function itself: cr.graph(function, x)."
        ),
    ):
        cr.graph(cr.ones(2))
    with pytest.raises(TypeError, match="^graph: a Tensor takes no arguments; they belong to a function.$"):
        cr.graph(cr.ones(2), 3)
    with pytest.raises(TypeError, match="^the function returned NoneType; a picture needs a tensor as its result.$"):
        cr.graph(lambda x: None, 1.0)
    with pytest.raises(TypeError, match=re.escape("names['x'] must be a tensor; got float.")):
        cr.graph(lambda x: x, 1.0, names={"x": 1.0})
    with pytest.raises(
        TypeError, match=re.escape('names must be a dictionary like {"x": x}, a module, or a list of those; got int.')
    ):
        cr.graph(lambda x: x, 1.0, names=3)
    with pytest.raises(
        ValueError,
        match=re.escape(
            "collapse: no call of 'Liner'; did you mean 'Linear'?; the calls are '', '0', '1', '2', 'Sequential', "
            "'Linear', 'ReLU'."
        ),
    ):
        cr.graph(network, cr.ones((1, 4)), collapse="Liner")
    with pytest.raises(TraceError, match="^a picture shows values; draw it outside cr.jit.$"):
        cr.jit(lambda x: cr.graph(cr.exp, x) and x)(cr.ones(2))

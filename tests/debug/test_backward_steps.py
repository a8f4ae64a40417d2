"""Reverse mode step by step: what is shown, that it adds up to backward, and what it leaves as it was."""

from __future__ import annotations

import re

import pytest
from tests.debug.drawings import NEURON, neuron, product, sigmoid

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import GradientError, TraceError


def leaf(value):
    return cr.asarray(value).requires_grad_()


def test_the_product_of_a_sum_step_by_step():
    x, y, z = leaf(-2.0), leaf(5.0), leaf(-4.0)
    steps = list(cr.trace_backward(product(x, y, z), names={"x": x, "y": y, "z": z}))
    assert [(step.operation, step.name) for step in steps] == [
        ("multiply", ""), ("add", ""), ("leaf", "z"), ("leaf", "y"), ("leaf", "x"),
    ]  # fmt: skip
    multiply, add = steps[:2]
    assert [(p.source, p.local.item(), p.down.item()) for p in multiply.parts] == [("add", -4.0, -4.0), ("z", 3.0, 3.0)]
    assert [(p.source, p.local.item(), p.down.item()) for p in add.parts] == [("x", 1.0, -4.0), ("y", 1.0, -4.0)]
    assert [step.upstream[0].item() for step in steps] == [1.0, -4.0, 3.0, -4.0, -4.0]


def test_a_step_as_text_and_in_a_notebook():
    x, w = leaf([[1.0, 2.0]]), leaf([[3.0], [4.0]])
    steps = [*cr.trace_backward((x @ w * 2).sum(), names={"x": x, "<w>": w})]
    assert [str(step) for step in steps] == [
        "sum  f32[]\n  upstream  1\n  multiply  1 × 1 = 1",
        "multiply  f32[1,1]\n  upstream  1\n  matmul    1 × 2 = 2\n  f32[]     no gradient flows",
        "matmul  f32[1,1]\n  upstream  2\n"
        "  x         g × f32[1,2]  [[3., 4.]] = f32[1,2]  [[6., 8.]]\n"
        "  <w>       g × f32[2,1]  [[1.], [2.]] = f32[2,1]  [[2.], [4.]]",
        "leaf  <w>  f32[2,1]\n  gradient  f32[2,1]  [[2.], [4.]]",
        "leaf  x  f32[1,2]\n  gradient  f32[1,2]  [[6., 8.]]",
    ]  # fmt: skip
    page = steps[3]._repr_html_()
    assert "&lt;w&gt;" in page
    assert "<w>" not in page


def test_operations_on_whole_tensors_are_said_in_words():
    x, w, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[1.0, 0.0], [0.0, 1.0]]), leaf([1.0, 2.0])
    _, multiply, add, matmul, *_ = cr.trace_backward(((x @ w + b) * x).sum(), names={"x": x, "w": w, "b": b})
    assert [part.words for part in matmul.parts] == ["g @ x2ᵀ", "x1ᵀ @ g"]
    assert [part.local for part in matmul.parts] == [None, None]
    assert str(matmul).splitlines()[2].startswith("  x         g @ x2ᵀ = f32[2,2]")
    assert [part.local.shape for part in multiply.parts] == [(2, 2), (2, 2)]
    assert str(add).splitlines()[3].endswith(", summed to its shape = f32[2]  [4., 6.]")


def test_the_steps_add_up_to_backward():
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    x, y = leaf([[0.1, -0.2, 0.3, 0.4], [1.0, 0.5, -0.5, 0.2]]), cr.asarray([2, 0])
    loss = nn.functional.cross_entropy(model(x), y)
    found = {step.name: step.upstream[0] for step in cr.trace_backward(loss, names=[model, {"x": x}]) if step.name}
    loss.backward()
    expected = {"x": x.grad, **{name: parameter.grad for name, parameter in model.named_parameters()}}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert found[name].tolist() == gradient.tolist()


def test_upstream_times_local_is_what_goes_down():
    leaves = [leaf(value) for value in NEURON]
    for step in cr.trace_backward(neuron(*leaves)):
        for part in step.parts:
            if part.down is not None:
                assert part.down.item() == pytest.approx((step.upstream[0] * part.local).item())


def test_a_block_with_a_hard_coded_derivative_is_one_step():
    steps = [*cr.trace_backward(sigmoid(leaf(0.0)))]
    assert [step.operation for step in steps] == ["sigmoid", "leaf"]
    assert (steps[0].parts[0].local.item(), steps[0].parts[0].words) == (0.25, "the derivative of the block sigmoid")


def test_outputs_that_nothing_depends_on_are_said():
    values, _ = cr.linalg.eigh(leaf([[2.0, 0.0], [0.0, 1.0]]))
    steps = [*cr.trace_backward(values.sum())]
    assert steps[1].upstream[1] is None
    assert "  upstream 1  0: nothing depends on it" in str(steps[1])


def test_nothing_changes_unless_asked():
    x = leaf(3.0)
    y = cr.exp(x) * x
    first = [str(step) for step in cr.trace_backward(y)]
    assert [str(step) for step in cr.trace_backward(y)] == first
    assert x.grad is None
    list(cr.trace_backward(y, store=True))
    stored = x.grad.item()
    x.grad = None
    y.backward()
    assert x.grad.item() == stored


def test_the_user_records_as_before_between_two_steps():
    x = leaf(3.0)
    for _ in cr.trace_backward(cr.exp(x) * x):
        assert cr.is_grad_enabled()
        assert (x * 2).requires_grad


def test_an_upstream_gradient_can_be_given():
    x = leaf([1.0, 2.0])
    *_, last = cr.trace_backward(x * x, cr.asarray([1.0, 10.0]))
    assert last.upstream[0].tolist() == [2.0, 40.0]


def test_a_long_chain_is_walked_without_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(3000):
        y = y + 1
    assert sum(1 for _ in cr.trace_backward(y)) == 3001


def test_refusals_come_at_the_call():
    x = leaf([1.0, 2.0])
    with pytest.raises(GradientError, match=re.escape("backward needs a scalar; this tensor has the shape (2,). ")):
        cr.trace_backward(x * 2)
    y = (x * 2).sum()
    y.backward()
    with pytest.raises(
        GradientError,
        match=re.escape(
            "the tape of this result was freed by an earlier backward (at operation sum); "
            "write backward(retain_graph=True) on the first call to keep it."
        ),
    ):
        cr.trace_backward(y)
    with pytest.raises(TraceError, match="^trace_backward shows values; call it outside cr.jit.$"):
        cr.jit(lambda x: cr.trace_backward(x) and x)(cr.ones(()))

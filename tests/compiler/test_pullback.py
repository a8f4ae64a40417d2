"""Gradients through a compiled call from outside: the eager ones, of any order, whatever the step does inside."""

from __future__ import annotations

import gc
import itertools
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import GradientError
from chainrule.testing import assert_close, assert_equal


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


@cr.custom_gradient
def tenfold(x):
    return x * 1, lambda g: g * 10


def with_no_grad(x):
    with cr.no_grad():
        scale = x * x
    return x * scale


STEPS = {
    "composite": lambda x: cr.exp(x) * cr.sin(x) + x**3,
    "detach": lambda x: x * x.detach() * x,
    "no_grad": with_no_grad,
    "custom": lambda x: tenfold(x * x),
    "grad inside": lambda x: cr.grad(lambda z: (z**4).sum())(x),
    "indexing": lambda x: x[::-1] * x[cr.asarray([0, 0, 1])],
    "several uses": lambda x: (x * x + x) / (x + 3),
}


@pytest.mark.parametrize("name", STEPS)
def test_first_second_and_third_derivatives_are_the_eager_ones(name):
    function = lambda wrapped: lambda x: (wrapped(x) * f64([1.0, 2.0, 3.0])).sum()  # noqa: E731
    eager, jitted, x = function(STEPS[name]), function(cr.jit(STEPS[name])), f64([0.3, 0.7, 1.1])
    for _ in range(3):
        assert_close(jitted(x), eager(x), rtol=1e-14)
        eager, jitted = (
            (lambda f: lambda x: (cr.grad(f)(x) * f64([0.5, 1.5, 1.0])).sum())(eager),
            (lambda f: lambda x: (cr.grad(f)(x) * f64([0.5, 1.5, 1.0])).sum())(jitted),
        )
        assert_close(jitted(x), eager(x), rtol=1e-13)


def test_differences_confirm_two_orders():
    cr.check_gradients(cr.jit(lambda x, y: cr.tanh(x @ y)), f64(np.eye(2) * 0.3), f64([[1.0, 0.5], [0.2, 0.1]]))


def test_backward_reaches_captured_parameters_and_what_was_recorded_outside():
    w, v = f64(3.0).requires_grad_(), f64(2.0).requires_grad_()
    step = cr.jit(lambda h: h * w * h)
    for _ in range(2):
        step(v * v).backward()  # w v^4
    assert (w.grad.item(), v.grad.item()) == (32.0, 192.0)
    assert len(step.variants) == 1


def test_a_captured_result_and_its_source_are_counted_once_each():
    """h = 2 w is captured beside w itself: d/dw (h w) = 4 w."""
    w = f64(3.0).requires_grad_()
    h = w * 2
    cr.jit(lambda: h * w)().backward()
    assert w.grad.item() == 12.0


def test_several_results():
    x = f64(2.0).requires_grad_()
    step = cr.jit(lambda x: {"square": x * x, "cube": x**3, "constant": x.detach() * 5, "number": 7})
    out = step(x)
    assert (out["constant"].requires_grad, out["number"]) == (False, 7)
    (out["square"] * out["cube"]).backward()
    assert x.grad.item() == 80.0
    x.grad = None
    step(x)["cube"].backward()
    assert x.grad.item() == 12.0


def test_the_values_are_those_of_the_call():
    """State assigned after the call does not change its gradient."""
    w, x = f64(3.0), f64(2.0).requires_grad_()
    y = cr.jit(lambda x: x * x * w)(x)
    w.assign_(f64(1000.0))
    y.backward()
    assert x.grad.item() == 12.0


def test_random_numbers_are_those_of_the_call():
    layer, x = cr.nn.Dropout(0.5), cr.ones(100).requires_grad_()
    y = cr.jit(lambda x: layer(x))(x)
    y.sum().backward()
    assert_equal(x.grad, y)


def test_a_call_inside_another_differentiated_function():
    inner = cr.jit(lambda x: x**3)
    assert cr.jit(cr.grad(lambda x: inner(x) * x))(f64(2.0)).item() == 32.0
    assert cr.grad(cr.grad(lambda x: inner(x) * x))(f64(2.0)).item() == 48.0


def test_an_upstream_gradient_of_another_dtype():
    x = cr.ones(2).requires_grad_()
    cr.jit(lambda x: x * 3)(x).backward(f64([1.0, 2.0]))
    assert (x.grad.dtype, x.grad.tolist()) == (cr.float32, [3.0, 6.0])


def test_a_pull_that_reads_a_cell_reads_it_when_it_runs():
    """As eagerly: the cell is read by the derivative, not by the function."""
    scale = f64(2.0)

    @cr.custom_gradient
    def block(x):
        return x * 1, lambda g: g * scale

    for wrapped in (block, cr.jit(lambda x: block(x))):
        x = f64(1.0).requires_grad_()
        y = wrapped(x)
        scale.assign_(f64(5.0))
        y.backward()
        scale.assign_(f64(2.0))
        assert x.grad.item() == 5.0


def test_a_tape_that_was_freed_inside_gives_no_gradient_outside():
    x = f64(2.0).requires_grad_()

    @cr.jit
    def step(x):
        loss = x * x
        loss.backward()
        return loss

    loss = step(x)
    assert (loss.item(), x.grad.item(), loss.requires_grad) == (4.0, 4.0, False)


def test_a_second_backward_names_the_compiled_call():
    x = f64(2.0).requires_grad_()
    y = cr.jit(lambda x: x * x)(x)
    y.backward()
    with pytest.raises(GradientError) as error:
        y.backward()
    assert error.value.message == (
        "the tape of this result was freed by an earlier backward (at operation jit <lambda>); "
        "write backward(retain_graph=True) on the first call to keep it."
    )


def test_retain_graph():
    x = f64(2.0).requires_grad_()
    y = cr.jit(lambda x: x * x)(x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0


def test_nothing_is_recorded_under_no_grad():
    step = cr.jit(lambda x: x * x)
    with cr.no_grad():
        assert step(f64(2.0).requires_grad_()).requires_grad is False


def test_the_backward_graph_is_traced_once():
    calls = itertools.count()

    @cr.custom_gradient
    def block(x):
        def pull(g):
            next(calls)
            return g * 2

        return x * 2, pull

    step = cr.jit(lambda x: block(x))
    for value in (1.0, 2.0, 3.0):
        x = f64(value).requires_grad_()
        step(x).backward()
        assert x.grad.item() == 2.0
    assert next(calls) == 1


def test_backward_frees_the_inputs_of_the_call():
    x = f64(np.ones(4)).requires_grad_()
    h = x * 2
    buffer = weakref.ref(h._value)
    y = cr.jit(lambda h: (h * h).sum())(h)
    gc.disable()
    try:
        del h
        assert buffer() is not None
        y.backward()
        assert buffer() is None
    finally:
        gc.enable()

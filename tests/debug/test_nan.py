"""Tracing a NaN or an infinity: to the operation that made it, forward or backward, with module, line and ranges."""

from __future__ import annotations

import re

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.context import local
from chainrule.core.errors import NonFiniteError, TraceError


def test_the_operation_that_made_it_is_found_not_those_that_passed_it_on():
    found = cr.find_nan(lambda x: (cr.sqrt(x) * 2 + 1).sum(), cr.asarray([4.0, -1.0, -9.0]))
    assert (found.operation, found.backward, found.output) == ("sqrt", False, "f32[3]")
    assert (found.count, found.size, found.index, found.value) == (2, 3, (1,), "nan")
    assert found.ranges == ("f32[3] in [-9.0, 4.0]",)
    assert re.fullmatch(r"test_nan\.py:\d+", found.location)
    assert re.fullmatch(
        r"operation sqrt at test_nan\.py:\d+: 2 of 3 values of its output f32\[3\] are not finite, first nan at \[1\]; "
        r"its inputs: f32\[3\] in \[-9\.0, 4\.0\]",
        str(found),
    )


def test_a_nan_from_an_infinity_is_traced_to_the_infinity():
    found = cr.find_nan(lambda x: cr.exp(x) - cr.exp(x), cr.asarray([1.0, 1000.0]))
    assert (found.operation, found.value, found.index) == ("exp", "inf", (1,))


def test_an_infinity_alone_is_found():
    found = cr.find_nan(lambda x: 1 / x, cr.asarray([-0.0]))
    assert (found.operation, found.value) == ("divide", "-inf")


def test_a_finite_step_finds_nothing_and_integers_do_not_count():
    assert cr.find_nan(lambda x: (x * 2).sum(), cr.arange(3)) is None


def test_it_is_found_in_a_gradient_with_the_module():
    class Root(nn.Module):
        def forward(self, x):
            return cr.sqrt(x)

    model = nn.Sequential(nn.ReLU(), Root())
    x = cr.asarray([0.0, 1.0]).requires_grad_()

    def step(x):
        (model(x) * 0).sum().backward()  # 0 times the infinite slope of the square root

    found = cr.find_nan(step, x)
    assert (found.operation, found.module, found.backward) == ("sqrt", "1 (Root)", True)
    assert str(found).startswith("the gradient of 1 (Root), operation sqrt at test_nan.py:")


def test_a_compiled_step_is_run_as_its_python_function():
    step = cr.jit(lambda x: cr.log(x).sum())
    assert cr.find_nan(step, cr.asarray([-1.0])).operation == "log"


def test_inside_the_block_the_first_operation_raises():
    with (
        pytest.raises(NonFiniteError, match=r"^a non-finite value began in operation log at test_nan\.py:\d+: 1 of 1 "),
        cr.debug_nans(),
    ):
        cr.exp(cr.log(cr.asarray(-1.0)))
    assert local.checks == ()
    assert cr.log(cr.asarray(-1.0)).shape == ()  # and outside nothing does


def test_backward_is_watched_too():
    x = cr.asarray(0.0).requires_grad_()
    y = cr.sqrt(x) * 0
    with (
        pytest.raises(NonFiniteError, match="^a non-finite value began in the gradient of operation "),
        cr.debug_nans(),
    ):
        y.backward()


def test_both_refuse_to_run_inside_a_trace():
    message = "^NaNs are looked for eagerly; call this outside cr.jit.$"
    with pytest.raises(TraceError, match=message):
        cr.jit(lambda x: cr.find_nan(cr.exp, x) or x)(cr.ones(2))

    @cr.jit
    def inside(x):
        with cr.debug_nans():
            return x * 2

    with pytest.raises(TraceError, match=message):
        inside(cr.ones(2))

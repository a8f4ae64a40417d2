"""Clipping by norm and by value: what is returned, what is left alone, what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import NonFiniteError


def with_gradient(*values: float, dtype: str = "float32") -> cr.Tensor:
    w = cr.zeros(len(values), dtype=dtype).requires_grad_()
    w.grad = cr.asarray(list(values), dtype=dtype)
    return w


def test_the_norm_is_that_of_all_gradients_together():
    w, v, unused = with_gradient(3.0), with_gradient(0.0, 4.0), cr.zeros(2).requires_grad_()
    norm = optim.clip_grad_norm_([w, unused, v], 1.0)
    assert norm.item() == 5.0
    np.testing.assert_allclose([*w.grad.tolist(), *v.grad.tolist()], [0.6, 0.0, 0.8], rtol=1e-6)
    assert unused.grad is None


def test_a_small_norm_leaves_the_gradients_bit_for_bit():
    w = with_gradient(0.1, 0.7)
    before = w.grad.tolist()
    optim.clip_grad_norm_(w, 100.0)
    assert w.grad.tolist() == before


def test_an_infinite_limit_only_measures():
    w = with_gradient(np.inf, 1.0)
    assert optim.clip_grad_norm_([w], float("inf")).item() == np.inf
    assert w.grad.tolist() == [np.inf, 1.0]


def test_without_gradients_the_norm_is_zero():
    assert optim.clip_grad_norm_([cr.zeros(2).requires_grad_()], 1.0).item() == 0.0
    assert optim.clip_grad_norm_([], 1.0).item() == 0.0


def test_low_precision_gradients_are_summed_in_float32():
    w = cr.zeros(10_000, dtype="bfloat16").requires_grad_()
    w.grad = cr.ones(10_000, dtype="bfloat16")
    norm = optim.clip_grad_norm_([w], 1.0)
    assert (norm.item(), norm.dtype, w.grad.dtype) == (100.0, cr.float32, cr.bfloat16)


def test_the_limit_may_be_a_cell():
    limit = cr.asarray(1.0)
    w = cr.zeros(2).requires_grad_()

    @cr.jit
    def step():
        w.grad = cr.asarray([3.0, 4.0])
        return optim.clip_grad_norm_([w], limit)

    step()
    limit.assign_(cr.asarray(2.5))
    assert step().item() == 5.0
    np.testing.assert_allclose(w.grad.tolist(), [1.5, 2.0], rtol=1e-6)
    assert len(step.variants) == 1


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_a_norm_that_is_not_finite_can_be_refused(compiled):
    w = with_gradient(np.nan, 1.0)

    def step():
        return optim.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)

    with pytest.raises(NonFiniteError) as caught:
        (cr.jit(step) if compiled else step)()
    assert caught.value.message == "the norm of the gradients is nan"
    assert w.grad.tolist()[1] == 1.0


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda w: optim.clip_grad_norm_([w], -1.0), "clip_grad_norm_.max_norm must be a number >= 0; got -1.0."),
        (lambda w: optim.clip_grad_norm_([w], 1.0, 0), "clip_grad_norm_.norm_type must be a number > 0; got 0."),
        (lambda w: optim.clip_grad_value_([w], -1), "clip_grad_value_.clip_value must be a number >= 0; got -1."),
    ],
)
def test_bad_limits(call, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        call(with_gradient(1.0))


def test_clipping_by_value():
    w = with_gradient(-3.0, 0.5, 7.0)
    optim.clip_grad_value_(w, 1.0)
    assert w.grad.tolist() == [-1.0, 0.5, 1.0]

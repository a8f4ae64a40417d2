"""Asking for a value while tracing, and using a traced tensor afterwards: the whole messages, with the user's lines."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import ShapeError, TraceError

REST = (
    "while cr.jit traces, and there is none yet. "
    "Use cr.where or cr.cond instead of `if`, cr.scan or cr.while_loop instead of a loop that depends on it, "
    "cr.debug_print to look at it, or move this line outside the step."
)


def line(function, offset):
    return f"test_trace_errors.py:{function.__code__.co_firstlineno + offset}"


def _if(x):
    if x > 0:
        return x
    return -x


ASKING = {
    "item()": lambda x: x.item(),
    "bool()": _if,
    "float()": lambda x: float(x),
    "int()": lambda x: int(x),
    "an index": lambda x: [1, 2][x],
    "numpy()": lambda x: np.asarray(x),
    "tolist()": lambda x: x.tolist(),
    "pickling": lambda x: pickle.dumps(x),
    "deepcopy": lambda x: copy.deepcopy(x),
    "DLPack export": lambda x: np.from_dlpack(x),
}


@pytest.mark.parametrize("wish", ASKING)
def test_asking_for_a_value_names_the_line_and_the_ways_out(wish):
    function = ASKING[wish]
    with pytest.raises(TraceError) as error:
        cr.jit(function)(cr.asarray(1.0, dtype=cr.float64))
    kind = "bool[]" if wish == "bool()" else "f64[]"
    assert error.value.message == f"{wish} asks for the value of {kind} {REST}"
    assert error.value.location == line(function, 1 if wish == "bool()" else 0)


def test_the_value_of_captured_state_is_not_frozen_either():
    rate = cr.asarray(0.1)
    with pytest.raises(TraceError) as error:
        cr.jit(lambda x: x * rate.item())(cr.ones(2))
    assert error.value.message == f"item() asks for the value of f32[] {REST}"


def test_a_shape_error_while_tracing_names_the_line():
    def step(x):
        y = x * 2
        return y @ cr.ones((10, 784))

    with pytest.raises(ShapeError) as error:
        cr.jit(step)(cr.ones((32, 784)))
    assert error.value.location == line(step, 2)


def test_a_tensor_that_outlives_its_trace_names_where_it_was_made_and_used():
    kept = []

    def step(x):
        y = x * 2
        kept.append(y)
        return y

    cr.jit(step)(cr.ones((2, 3)))
    (leak,) = kept
    message = (
        "a tensor f32[2,3] made while cr.jit was tracing is used after the trace ended; it never had a value. "
        f"It was made at {line(step, 1)}. Return it from the jitted function instead of storing it."
    )
    here = test_a_tensor_that_outlives_its_trace_names_where_it_was_made_and_used
    for offset, use in enumerate([
        lambda: leak + 1,
        lambda: leak.item(),
        lambda: leak.numpy(),
        lambda: cr.ones(2).assign_(leak.sum()),
        lambda: cr.jit(lambda x: x + leak)(cr.ones((2, 3))),
    ]):  # fmt: skip
        with pytest.raises(TraceError) as error:
            use()
        assert error.value.message == message
        assert error.value.location == line(here, 16 + offset)
    assert (leak.shape, leak.dtype) == ((2, 3), cr.float32)
    assert repr(leak) == "tensor(<traced>, shape=(2, 3), dtype=float32)"


def test_a_tensor_of_an_outer_trace_is_not_leaked_inside_an_inner_call():
    inner = cr.jit(lambda x: x * 2)
    assert cr.jit(lambda x: inner(x) + x)(cr.asarray(3.0)).item() == 9.0


def test_print_while_tracing_shows_a_symbol(capsys):
    def step(x):
        print(x)
        return x

    cr.jit(step)(cr.ones(2))
    assert capsys.readouterr().out == "tensor(<traced>, shape=(2,), dtype=float32)\n"

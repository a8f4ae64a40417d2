"""cr.jit: the result is the eager one, whatever the containers; results are fresh; methods, nesting, modules."""

from __future__ import annotations

import copy
import functools
from collections import namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.jit import JitFunction
from chainrule.core.errors import TraceError
from chainrule.core.tensor import Tensor
from chainrule.testing import assert_close, assert_equal

Pair = namedtuple("Pair", "first second")


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


# ---------------------------------------------------------------------------------------------------- containers
def test_arguments_and_results_in_nested_containers():
    @cr.jit
    def step(batch, *more, scale=1.0, **named):
        total = batch["x"] * scale + more[0][1]
        return {
            "total": total,
            "parts": [batch["x"], (named["extra"], 7, "seven", None)],
            "pair": Pair(total, more[0][0]),
        }

    for _ in range(2):
        out = step({"x": f64([1.0, 2.0])}, (f64(5.0), f64(10.0)), scale=3.0, extra=f64(0.5))
        assert out["total"].tolist() == [13.0, 16.0]
        assert out["parts"][0].tolist() == [1.0, 2.0]
        assert out["parts"][1][0].item() == 0.5
        assert out["parts"][1][1:] == (7, "seven", None)
        assert type(out["pair"]) is Pair
        assert (out["pair"].first.tolist(), out["pair"].second.item()) == ([13.0, 16.0], 5.0)
    assert len(step.variants) == 1


def test_numpy_arguments_are_tensors_inside():
    step = cr.jit(lambda x: x * 2)
    array = np.array([1.0, 2.0])
    result = step(array)
    assert (type(result), result.dtype, result.tolist()) == (Tensor, cr.float64, [2.0, 4.0])
    array[0] = 100.0
    assert step(array).tolist() == [200.0, 4.0]
    assert len(step.variants) == 1


def test_no_result_and_no_argument():
    counter = cr.asarray(0)

    @cr.jit
    def tick():
        counter.assign_(counter + 1)

    assert [tick(), tick(), tick()] == [None, None, None]
    assert counter.item() == 3


def test_python_runs_once():
    calls = []

    @cr.jit
    def step(x):
        calls.append(1)
        return x + 1

    assert [step(f64(float(i))).item() for i in range(5)] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert len(calls) == 1


# ---------------------------------------------------------------------------------------------------- results
def test_results_are_fresh_tensors():
    w = f64([1.0, 2.0])
    step = cr.jit(lambda x: (x, w, w * x, cr.ones(2)))
    x = f64([3.0, 4.0])
    first, second = step(x), step(x)
    for a, b in zip(first, second, strict=True):
        assert a is not b
    assert first[0] is not x
    assert first[1] is not w
    for result in first:
        result.assign_(cr.zeros(2, dtype=result.dtype))
    assert (x.tolist(), w.tolist()) == ([3.0, 4.0], [1.0, 2.0])
    assert [part.tolist() for part in second] == [[3.0, 4.0], [1.0, 2.0], [3.0, 8.0], [1.0, 1.0]]
    assert [part.tolist() for part in step(x)] == [[3.0, 4.0], [1.0, 2.0], [3.0, 8.0], [1.0, 1.0]]


def test_the_same_tensor_twice_in_the_result():
    def step(x):
        y = x * 2
        return y, y

    a, b = cr.jit(step)(f64(3.0))
    assert (a.item(), b.item()) == (6.0, 6.0)


def test_inputs_are_untouched():
    step = cr.jit(lambda x: cr.exp(x) * 2)
    x = f64([1.0, 2.0])
    x._value.flags.writeable = False
    step(x)
    assert (x.tolist(), x.version) == ([1.0, 2.0], 0)


def test_what_nobody_reads_is_not_run():
    def step(x):
        cr.exp(x)
        unused = x * 100
        del unused
        return x + 1

    step = cr.jit(step)
    step(f64(1.0))
    assert [equation.primitive.name for equation in step.graph()] == ["add"]


def test_eager_and_jitted_agree():
    rng = np.random.default_rng(3)
    x, w, b = (cr.asarray(rng.normal(size=s).astype(np.float32)) for s in ((5, 4), (4, 3), (3,)))

    def step(x, w, b):
        y = cr.tanh(x @ w + b)
        return (y * y).mean(), cr.softmax(y, axis=-1), y.sum(axis=0)

    for got, want in zip(cr.jit(step)(x, w, b), step(x, w, b), strict=True):
        assert_close(got, want)


# ---------------------------------------------------------------------------------------------------- what is jitted
def test_the_decorator_with_keywords_and_its_names():
    @cr.jit(keep_grads=True)
    def double(x):
        """Twice."""
        return x * 2

    assert isinstance(double, JitFunction)
    assert (double.__name__, double.__doc__, double.keep_grads) == ("double", "Twice.", True)
    assert double(f64(2.0)).item() == 4.0


class Scaler:
    """An object with a jitted method and state."""

    def __init__(self, factor):
        self.factor = f64(factor)
        self.count = cr.asarray(0)

    @cr.jit
    def step(self, x):
        """Scale and count."""
        self.count.assign_(self.count + 1)
        return x * self.factor


def test_methods_have_one_set_of_variants_per_object():
    a, b = Scaler(2.0), Scaler(3.0)
    assert [a.step(f64(1.0)).item(), b.step(f64(1.0)).item(), a.step(f64(5.0)).item()] == [2.0, 3.0, 10.0]
    assert (a.count.item(), b.count.item()) == (2, 1)
    assert a.step is a.step
    assert a.step is not b.step
    assert (len(a.step.variants), len(b.step.variants)) == (1, 1)
    assert isinstance(Scaler.step, JitFunction)


def test_a_copied_object_has_its_own_state_and_graphs():
    a = Scaler(2.0)
    a.step(f64(1.0))
    b = copy.deepcopy(a)
    b.factor.assign_(f64(10.0))
    assert (a.step(f64(1.0)).item(), b.step(f64(1.0)).item()) == (2.0, 10.0)
    assert (a.count.item(), b.count.item()) == (2, 2)


def test_a_partial_and_a_callable_object():
    class Adder:
        def __init__(self):
            self.amount = f64(4.0)

        def __call__(self, x):
            return x + self.amount

    adder = Adder()
    assert cr.jit(functools.partial(lambda x, y: x * y, f64(3.0)))(f64(2.0)).item() == 6.0
    jitted = cr.jit(adder)
    assert (jitted(f64(1.0)).item(), jitted.__name__) == (5.0, "Adder")
    adder.amount.assign_(f64(40.0))
    assert jitted(f64(1.0)).item() == 41.0


def test_a_module():
    layer = cr.nn.Linear(3, 2)
    jitted = cr.jit(layer)
    x = cr.asarray(np.ones((4, 3), np.float32))
    assert_equal(jitted(x), layer(x))


def test_a_jitted_function_inside_another_is_part_of_its_graph():
    calls = []

    @cr.jit
    def inner(x):
        calls.append("inner")
        return x * 2

    outer = cr.jit(lambda x: inner(x) + inner(x + 1))
    assert (outer(f64(3.0)).item(), outer(f64(4.0)).item()) == (14.0, 18.0)
    assert calls == ["inner", "inner"]
    assert inner.variants == []
    assert [equation.primitive.name for equation in outer.graph()] == ["multiply", "add", "multiply", "add"]


def test_a_function_decorated_with_no_grad():
    @cr.jit
    @cr.no_grad
    def predict(x):
        return x * 2

    x = f64(2.0).requires_grad_()
    assert predict(x).requires_grad is False


# ---------------------------------------------------------------------------------------------------- random numbers
def test_the_generator_advances_as_it_does_eagerly():
    def draw():
        return cr.random.uniform((3,)), cr.random.normal((2,))

    cr.manual_seed(5)
    eager = [draw() for _ in range(3)]
    cr.manual_seed(5)
    jitted = cr.jit(draw)
    for wanted in eager:
        for a, b in zip(jitted(), wanted, strict=True):
            assert_equal(a, b)
    assert len(jitted.variants) == 1
    cr.manual_seed(6)
    assert jitted()[0].tolist() != eager[0][0].tolist()


# ---------------------------------------------------------------------------------------------------- looking inside
def test_graph_and_frozen_before_the_first_call():
    step = cr.jit(lambda x: x)
    for ask in (step.graph, step.frozen):
        with pytest.raises(TraceError) as error:
            ask()
        assert error.value.message == "<lambda> has no graph yet: call it once."


FACTOR = 3.0


def test_frozen_numbers_can_be_asked_for():
    offset = 0.5

    @cr.jit
    def step(x, power, mode="fast"):
        return x**power * FACTOR + offset if mode == "fast" else x

    assert step(f64(2.0), 2).item() == 12.5
    assert step.frozen() == {"FACTOR": 3.0, "offset": 0.5, "power": 2, "mode": "fast"}


def test_a_size_0_batch():
    step = cr.jit(lambda x: (x @ cr.ones((3, 2))).sum(axis=1))
    assert step(cr.zeros((0, 3))).shape == (0,)
    assert_close(step(cr.ones((1, 3))), np.full(1, 6.0, np.float32))

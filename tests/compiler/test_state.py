"""State in a traced step: cells are captured and updated, `.grad` is a cell too, and a failed trace changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import GradientError, IndexRangeError, ShapeError, TraceError
from chainrule.core.tensor import Parameter
from chainrule.testing import assert_close


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


def traces(step):
    return len(step.retraces) + 1


# ---------------------------------------------------------------------------------------------------- cells
def test_reading_a_cell_captures_it_and_assigning_updates_it():
    total, count = f64([0.0, 0.0]), cr.asarray(0)

    @cr.jit
    def add(x):
        total.assign_(total + x)
        count.assign_(count + 1)
        return total * 1

    held = total.numpy()
    assert add(f64([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert add(f64([10.0, 20.0])).tolist() == [11.0, 22.0]
    assert (total.tolist(), count.item(), total.version, held.tolist()) == ([11.0, 22.0], 2, 2, [0.0, 0.0])
    total.assign_(f64([100.0, 100.0]))
    assert add(f64([1.0, 1.0])).tolist() == [101.0, 101.0]
    assert traces(add) == 1


def test_a_cell_read_after_it_was_assigned_has_the_new_value():
    cell = f64(1.0)

    @cr.jit
    def step(x):
        before = cell * 1
        cell.assign_(x)
        return before, cell * 10

    assert [part.item() for part in step(f64(5.0))] == [1.0, 50.0]
    assert [part.item() for part in step(f64(6.0))] == [5.0, 60.0]


def test_in_place_operators_and_item_assignment():
    x = f64([1.0, 2.0, 3.0])

    @cr.jit
    def step(v):
        nonlocal x
        x += v
        x[1] = 0.0

    step(f64(1.0))
    step(f64(1.0))
    assert x.tolist() == [3.0, 0.0, 5.0]


def test_an_argument_can_be_assigned():
    @cr.jit
    def double(x):
        x.assign_(x * 2)

    x, y = f64(3.0), f64(5.0)
    double(x)
    double(x)
    double(y)
    assert (x.item(), x.version, y.item(), traces(double)) == (12.0, 2, 10.0, 1)


def test_a_parameter_among_the_arguments_is_the_captured_cell():
    """The optimizer reaches the same parameter by another way; inside the step both are one."""
    w = Parameter(f64([1.0, 2.0]))
    optimizer = cr.optim.SGD([w], lr=0.5)

    @cr.jit
    def step(parameters, x):
        optimizer.zero_grad()
        (parameters[0] * x).sum().backward()
        optimizer.step()
        return parameters[0] * 1

    assert step([w], f64([1.0, 1.0])).tolist() == [0.5, 1.5]
    assert step([w], f64([1.0, 1.0])).tolist() == [0.0, 1.0]
    assert traces(step) == 1


def test_another_parameter_is_another_graph():
    first, second = Parameter(f64([1.0, 2.0])), Parameter(f64([3.0]))
    step = cr.jit(lambda w: (w * w).sum())
    assert [step(first).item(), step(second).item(), step(first).item()] == [5.0, 9.0, 5.0]
    assert step.retraces == ["argument w was another object, now another object"]


ALIASED = (
    "argument {} is a tensor that the step also reaches by another way and assigns; "
    "inside cr.jit they would be two tensors. Make it an nn.Parameter, or reach it by one way only."
)


def test_one_tensor_by_two_ways_is_refused_where_it_is_assigned():
    cell = f64(1.0)

    @cr.jit
    def closure_and_argument(x):
        cell.assign_(cell + 1)
        return x * 1

    @cr.jit
    def two_arguments(x, y):
        x.assign_(x + 1)
        return y * 1

    for call, label in [
        (lambda: closure_and_argument(cell), "x"),
        (lambda: two_arguments(cell, cell), "y"),
    ]:
        for _ in range(2):
            with pytest.raises(TraceError) as error:
                call()
            assert error.value.message == ALIASED.format(label)
    assert (cell.item(), cell.version) == (1.0, 0)
    assert closure_and_argument(f64(7.0)).item() == 7.0
    with pytest.raises(TraceError):
        closure_and_argument(cell)
    assert cell.item() == 2.0


def test_one_tensor_by_two_ways_is_fine_where_it_is_only_read():
    w = f64(3.0).requires_grad_()
    step = cr.jit(lambda x, y: x * y * w)
    step(w, w).backward()
    assert w.grad.item() == 27.0


def test_a_cell_that_carries_its_tape_to_the_next_call():
    """Truncated backpropagation without truncation: h is assigned while recording."""

    def run(wrap):
        w, h = f64(0.5).requires_grad_(), f64(1.0)

        def step(x):
            h.assign_(cr.tanh(w * h + x))

        step = wrap(step)
        for x in (0.1, 0.2, 0.3):
            step(f64(x))
        h.backward()
        return h.item(), w.grad.item(), h.requires_grad

    assert run(cr.jit) == run(lambda step: step)


# ---------------------------------------------------------------------------------------------------- failures
def _failing(cell, w, mode):
    def step(x):
        cell.assign_(cell + 1)
        (w * x).sum().backward()
        if mode == "python":
            raise KeyError("mine")
        if mode == "shape":
            return x @ cr.ones((7, 7), dtype=cr.float64)
        if mode == "value":
            return float(x.sum())
        with cr.no_grad():
            return x[cr.asarray([5])]

    return step


@pytest.mark.parametrize(
    "mode, kind", [("python", KeyError), ("shape", ShapeError), ("value", TraceError), ("data", IndexRangeError)]
)
def test_a_failed_call_restores_every_cell(mode, kind):
    """In the trace or, for a check of data, in the run: nothing is assigned, and the next call works."""
    cell, w = f64(1.0), f64([1.0, 2.0, 3.0]).requires_grad_()
    w.grad = f64([9.0, 9.0, 9.0])
    held = w.grad
    step = cr.jit(_failing(cell, w, mode))
    for _ in range(2):
        with pytest.raises(kind):
            step(f64([1.0, 1.0, 1.0]))
        assert (cell.item(), cell.version, cell.requires_grad) == (1.0, 0, False)
        assert w.grad is held
        assert (w.is_leaf, w.tolist()) == (True, [1.0, 2.0, 3.0])
    assert cr.is_grad_enabled()
    assert (cr.ones(2) + 1).tolist() == [2.0, 2.0]
    assert cr.jit(lambda x: x + cell)(f64(1.0)).item() == 2.0


def test_a_module_call_that_fails_leaves_no_module_path_behind():
    model = cr.nn.Sequential(cr.nn.Linear(3, 2))
    with pytest.raises(ShapeError):
        cr.jit(lambda x: model(x))(cr.ones((1, 5)))
    with pytest.raises(ShapeError) as error:
        cr.ones((2, 3)) @ cr.ones((2, 3))
    assert error.value.module_path is None


# ---------------------------------------------------------------------------------------------------- .grad is a cell
RATE = 0.5


def _step(order, w):
    """Return a step that does zero_grad (z), backward (b) and step (s) in the given order."""
    optimizer = cr.optim.SGD([w], lr=RATE)

    def step(x):
        for what in order:
            if what == "z":
                optimizer.zero_grad()
            elif what == "b":
                ((w - x) ** 2).sum().backward()
            elif w.grad is not None:
                optimizer.step()

    return step


ORDERS = ["".join(p) for n in (1, 2, 3, 4) for p in itertools.product("zbs", repeat=n)]


def _after(order, wrap, keep=False):
    w = Parameter(f64([1.0, 2.0]))
    step, grads = wrap(_step(order, w)), []
    for x in (0.0, 1.0, 3.0):
        step(f64([x, x + 1]))
        try:
            grads.append(None if w.grad is None else w.grad.tolist())
        except GradientError:
            grads.append("used up")
    return w.tolist(), grads


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_zero_grad_backward_and_step(order):
    """With keep_grads the gradients and weights are the eager ones in each of the 120 orders, over three calls.

    Without it, a gradient that the optimizer used up and nothing cleared is refused, never silently another.
    """
    eager = _after(order, lambda step: step)
    assert _after(order, lambda step: cr.jit(step, keep_grads=True)) == eager
    try:
        weights, grads = _after(order, cr.jit)
    except GradientError as error:
        assert error.message == (  # noqa: PT017 - some orders need the gradient of the call before, and say so
            "this gradient was used up by the optimizer inside an earlier compiled step and was not kept; "
            "call optimizer.zero_grad() before backward, or write cr.jit(step, keep_grads=True)."
        )
        assert "s" in order
        assert order[0] != "z"
        return
    assert weights == eager[0]
    for got, want in zip(grads, eager[1], strict=True):
        assert got in ("used up", want)
        assert got != "used up" or "s" in order


def test_a_consumed_gradient_says_so():
    w = Parameter(f64([1.0, 2.0]))
    step = cr.jit(_step("zbs", w))
    step(f64([0.0, 0.0]))
    with pytest.raises(GradientError) as error:
        w.grad
    assert error.value.message == (
        "this gradient was used up by the optimizer inside a compiled step and was not kept: "
        "call zero_grad() before the next backward, or write cr.jit(step, keep_grads=True) to read gradients."
    )
    w.grad = None
    assert w.grad is None
    step(f64([0.0, 0.0]))
    assert traces(step) <= 2


def test_a_consumed_gradient_is_cleared_by_an_eager_zero_grad():
    w = Parameter(f64([1.0, 2.0]))
    cr.jit(_step("zbs", w))(f64([0.0, 0.0]))
    cr.optim.SGD([w], lr=0.1).zero_grad()
    assert w.grad is None


def test_gradients_accumulate_over_calls():
    w = Parameter(f64([1.0, 2.0]))
    step = cr.jit(_step("b", w))
    for _ in range(4):
        step(f64([0.0, 0.0]))
    assert w.grad.tolist() == [8.0, 16.0]
    assert (traces(step), len(step.variants)) == (2, 2)  # without and with a gradient from before


def test_a_training_loop_traces_once():
    w = Parameter(f64([1.0, 2.0]))
    step = cr.jit(_step("zbs", w))
    for _ in range(10):
        step(f64([0.0, 0.0]))
    assert traces(step) == 1


def test_the_gradient_of_an_argument():
    @cr.jit
    def step(x):
        (x * x).sum().backward()

    x = f64([1.0, 2.0]).requires_grad_()
    step(x)
    step(x)
    assert x.grad.tolist() == [4.0, 8.0]
    y = f64([5.0, 5.0]).requires_grad_()
    step(y)
    assert (y.grad.tolist(), x.grad.tolist()) == ([10.0, 10.0], [4.0, 8.0])


OUTSIDE = "Give the step that tensor as h.detach(), or return the loss and call backward outside."


def test_backward_inside_does_not_cross_into_what_was_recorded_outside():
    w = f64([1.0, 2.0]).requires_grad_()
    h = w * 3

    @cr.jit
    def by_argument(h):
        (h * h).sum().backward()

    @cr.jit
    def by_closure():
        (h * h).sum().backward()

    with pytest.raises(GradientError) as error:
        by_argument(h)
    assert error.value.message == (
        "backward inside cr.jit reached an argument that is a result of operations recorded before the step. " + OUTSIDE
    )
    with pytest.raises(GradientError) as error:
        by_closure()
    assert error.value.message == (
        "backward inside cr.jit reached an operation recorded before the step (multiply). " + OUTSIDE
    )
    assert (w.grad, h.grad) == (None, None)
    (h * h).sum().backward()
    assert w.grad.tolist() == [18.0, 36.0]


# ---------------------------------------------------------------------------------------------------- a whole step
def _mlp(seed):
    cr.manual_seed(seed)
    return cr.nn.Sequential(
        cr.nn.Linear(5, 8), cr.nn.ReLU(), cr.nn.Dropout(0.3), cr.nn.Linear(8, 6), cr.nn.Tanh(), cr.nn.Linear(6, 3)
    )


OPTIMIZERS = {
    "sgd": lambda p: cr.optim.SGD(p, lr=0.1),
    "nesterov": lambda p: cr.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: cr.optim.Adam(p, lr=0.01),
    "adagrad": lambda p: cr.optim.Adagrad(p, lr=0.05),
    "rmsprop": lambda p: cr.optim.RMSprop(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_whole_training_step_is_the_eager_one(name):
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(30, 4, 5)).astype(np.float32)
    ys = rng.integers(0, 3, (30, 4))

    def train(wrap):
        model = _mlp(1)
        optimizer = OPTIMIZERS[name](model.parameters())

        def step(x, y):
            loss = cr.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        losses = [step(cr.asarray(x), cr.asarray(y)).item() for x, y in zip(xs, ys, strict=True)]
        return model, losses, step

    eager, eager_losses, _ = train(lambda step: step)
    jitted, losses, step = train(cr.jit)
    assert_close(losses, eager_losses, rtol=1e-5, atol=1e-6)
    for got, want in zip(jitted.parameters(), eager.parameters(), strict=True):
        assert_close(got, want)
    assert traces(step) == 1


def test_a_gradient_that_can_be_differentiated_again_leaves_the_step():
    """Found as "bool() needs exactly one element": a gradient on the tape was asked whether it is true."""
    w = cr.asarray([1.0, 2.0]).requires_grad_()
    cr.jit(lambda: (w**3).sum().backward(create_graph=True))()
    assert w.grad.tolist() == [3.0, 12.0]
    assert cr.gradients([w.grad.sum()], [w])[0].tolist() == [6.0, 12.0]

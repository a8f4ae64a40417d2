"""State that native code updates where it lies: eager results, and what was held before stays as it was."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from tests.compiler.networks import Net, f32, matrix, tensors_of

import chainrule as cr
from chainrule import nn, optim
from chainrule.testing import assert_close, assert_equal


def both_ways(step, cells, calls=4):
    """Compare a step with its jitted form over some calls; what calls returned earlier stays as it was."""
    start = [cell.numpy().copy() for cell in cells]
    wanted = []
    for _ in range(calls):
        result = step()
        wanted.append([np.array(t.numpy()) for t in (*(() if result is None else (result,)), *cells)])
    for cell, value in zip(cells, start, strict=True):
        cell.assign_(cr.asarray(value))
    jitted, held = cr.jit(step), []
    for want in wanted:
        result = jitted()
        for got, value in zip((*(() if result is None else (result,)), *cells), want, strict=True):
            assert_close(got, value)
        if result is not None:
            held.append((result, want[0]))
    for result, value in held:
        assert_close(result, value)
    return jitted


# ---------------------------------------------------------------------------------------------------- orders of updates
def test_a_cell_that_takes_the_old_value_of_another():
    w, old = f32([0, 1, 2, 3]), f32([0, 0, 0, 0])

    def step():
        old.assign_(w)
        w.assign_(w + 1)  # was written over the array that `old` holds: old == w

    both_ways(step, [w, old])


def test_a_result_that_is_the_old_value_of_a_cell():
    w = f32([1, 2, 3, 4])

    def step():
        before = w.detach()
        w.assign_(w * 2)
        return before

    both_ways(step, [w])


def test_two_cells_that_change_places():
    w, old = f32([0, 1, 2, 3]), f32([4, 5, 6, 7])

    def step():
        before = w.detach()
        w.assign_(old)
        old.assign_(before)

    both_ways(step, [w, old])


def test_two_cells_computed_from_the_old_values_of_each_other():
    w, old = f32([0, 1, 2, 3]), f32([4, 5, 6, 7])

    def step():
        before = w.detach()
        w.assign_(old + 1)
        old.assign_(before * 2)  # in one kernel with the line above it read the new w

    both_ways(step, [w, old])


@pytest.mark.parametrize(
    "change",
    [
        lambda m: cr.flip(m, axis=0),
        lambda m: cr.roll(m, 1),
        lambda m: m.T + 1,
        lambda m: m @ m,
        lambda m: m - m.mean(),
        lambda m: m - m.sum(axis=0) * 0.1,
        lambda m: cr.softmax(m, axis=0),
        lambda m: cr.softmax(m, axis=1) * m,
        lambda m: cr.sort(m, axis=0) * 0.5 + m,
        lambda m: cr.cumulative_sum(m, axis=0) * 0.5,
        lambda m: m.T @ m * 0.1 + m,
        lambda m: m.reshape((2, 8)).T.reshape((4, 4)),
        lambda m: m[::-1, :] + m,
    ],
)
def test_a_matrix_that_is_read_elsewhere_than_it_is_written(change):
    m = matrix()

    def step():
        m.assign_(change(m))
        return m.sum(axis=1)

    both_ways(step, [m])


def test_one_cell_assigned_twice_and_one_value_assigned_to_two():
    w, old = f32([0, 1, 2, 3]), f32([4, 5, 6, 7])

    def step():
        w.assign_(w * 0.5)
        middle = w * 1
        w.assign_(w + 1)
        old.assign_(middle + w)
        w[1] = w[0]
        return middle

    both_ways(step, [w, old])

    def same():
        value = w * 2
        w.assign_(value)
        old.assign_(value)

    both_ways(same, [w, old])
    w.assign_(w + 1)
    assert not np.array_equal(w.numpy(), old.numpy())


def test_a_returned_state_is_not_the_cell():
    w = f32([1, 2])

    @cr.jit
    def step():
        w.assign_(w + 1)
        return w

    results = [step() for _ in range(4)]
    assert [r.tolist() for r in results] == [[2, 3], [3, 4], [4, 5], [5, 6]]


def test_outputs_that_are_constants():
    w, count = f32([0, 1, 2]), cr.asarray(3)

    @cr.jit
    def step():
        w.assign_(f32([5, 6, 7]))
        count.assign_(cr.asarray(8))
        return cr.sum(f32([1, 2])), f32([1, 2, 3]), cr.zeros(3)  # folded; were left as the memory had them

    for _ in range(3):
        total, values, zeros = step()
        assert (total.item(), values.tolist(), zeros.tolist()) == (3.0, [1, 2, 3], [0, 0, 0])
        assert (w.tolist(), count.item()) == ([5, 6, 7], 8)
        w.assign_(w + 1)
        count.assign_(count + 1)


# ---------------------------------------------------------------------------------------------------- who else holds it
HOLDERS = {
    "numpy": lambda net: [p.numpy() for p in net.model.parameters()],
    "numpy view": lambda net: [p.numpy()[..., 1:] for p in net.model.parameters()],
    "memoryview": lambda net: [memoryview(p.numpy()) for p in net.model.parameters()],
    "dlpack": lambda net: [np.from_dlpack(p.detach()) for p in net.model.parameters()],
    "detach": lambda net: [p.detach() for p in net.model.parameters()],
    "slice": lambda net: [p.detach()[..., :2] for p in net.model.parameters()],
    "reshape": lambda net: [p.detach().reshape((-1,)) for p in net.model.parameters()],
    "state_dict": lambda net: list(net.model.state_dict().values()),
    "optimizer": lambda net: tensors_of(net.optimizer.state_dict()),
    "deepcopy": lambda net: list(copy.deepcopy(net.model).parameters()),
    "pickle": lambda net: list(pickle.loads(pickle.dumps(net.model)).parameters()),
    "assigned elsewhere": lambda net: [cr.zeros_like(p).assign_(p.detach()) for p in net.model.parameters()],
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_was_held_before_a_step_stays(holder):
    net, other = Net(), Net()
    net.run()
    other.run()
    held = HOLDERS[holder](net)
    assert held
    before = [np.array(h.numpy() if isinstance(h, cr.Tensor) else h) for h in held]
    net.run()
    other.run()
    for h, value in zip(held, before, strict=True):
        assert_equal(np.array(h.numpy() if isinstance(h, cr.Tensor) else h), value)
    for got, want in zip(net.state(), other.state(), strict=True):
        assert_equal(got, want)
    del held, h
    net.run(4)
    other.run(4)
    for got, want in zip(net.state(), other.state(), strict=True):
        assert_equal(got, want)


def test_state_that_nobody_holds_keeps_its_place():
    net = Net()
    net.run()
    places = [p._value.ctypes.data for p in net.model.parameters()]
    net.run()
    assert [p._value.ctypes.data for p in net.model.parameters()] == places


def test_a_recorded_tape_keeps_the_parameters_it_saw():
    w, x = cr.asarray(np.full((4, 3), 0.5, np.float32)).requires_grad_(), matrix()

    @cr.jit
    def step():
        with cr.no_grad():
            w.assign_(w * 2)

    step()
    loss = ((x @ w) ** 2).sum()  # the tape holds w == 1
    step()
    step()
    loss.backward()
    want = 2 * x.numpy().T @ (x.numpy() @ np.ones((4, 3), np.float32))
    assert_close(w.grad, want, rtol=1e-6)
    assert w[0, 0].item() == 4.0


def test_two_jitted_functions_share_parameters():
    def pair():
        net = Net()
        opposite = optim.SGD(net.model.parameters(), lr=0.05)

        def back(x):
            loss = (net.model(x) ** 2).mean()
            opposite.zero_grad()
            loss.backward()
            opposite.step()
            return loss

        return net, back

    net, back = pair()
    other, back_other = pair()
    back = cr.jit(back)
    predict = cr.jit(lambda x: net.model(x))
    for n in range(6):
        net.step(net.x, net.y)
        other.step.function(other.x, other.y)
        if n % 2:
            assert_close(back(net.x), back_other(other.x), rtol=1e-4)
        assert_close(predict(net.x), other.model(other.x), rtol=1e-3, atol=1e-4)
    for got, want in zip(net.state(), other.state(), strict=True):
        assert_close(got, want, rtol=1e-3, atol=1e-4)


def test_a_moving_average_beside_the_parameters():
    net = Net()
    average = [cr.asarray(p.numpy().copy()) for p in net.model.parameters()]

    @cr.jit
    def follow():
        for a, p in zip(average, net.model.parameters(), strict=True):
            a.assign_(a * 0.9 + p.detach() * 0.1)

    want = [p.numpy().copy() for p in net.model.parameters()]
    for _ in range(5):
        net.run(1)
        follow()
        want = [a * np.float32(0.9) + p.numpy() * np.float32(0.1) for a, p in zip(want, net.model.parameters())]
    for a, value in zip(average, want, strict=True):
        assert_close(a, value, rtol=1e-5)


def test_a_gradient_that_was_held_stays_while_more_is_added():
    w = cr.ones(3).requires_grad_()

    @cr.jit(keep_grads=True)
    def step(x):
        (w * x).sum().backward()

    step(cr.ones(3))
    held = w.grad  # no array, but the tensor: it was [2, 2, 2] after the next call
    step(cr.ones(3))
    step(cr.ones(3))
    assert (held.tolist(), w.grad.tolist()) == ([1, 1, 1], [3, 3, 3])
    place = w.grad._value.ctypes.data
    step(cr.ones(3))
    assert (w.grad.tolist(), w.grad._value.ctypes.data) == ([4, 4, 4], place)


class Counter:
    """An object with a jitted method and state."""

    def __init__(self):
        self.count = f32([0, 0])

    @cr.jit
    def step(self):
        self.count.assign_(self.count + 1)


@cr.jit
def twice(x):
    """Double."""
    return x * 2


def test_a_jitted_method_is_pickled_with_its_object():
    one = Counter()
    one.step()
    other = pickle.loads(pickle.dumps(one))  # failed with "Can't pickle local object"
    assert other.step is not one.step
    other.step()
    other.step()
    assert (one.count.tolist(), other.count.tolist()) == ([1, 1], [3, 3])


def test_a_jitted_function_is_pickled_by_name():
    twice(f32([1]))
    assert pickle.loads(pickle.dumps(twice)) is twice


def test_weights_in_the_users_own_array_are_read_anew():
    array = np.ones((64, 32, 3, 3), np.float32)
    weight = cr.asarray(array, copy=False)
    x = cr.ones((1, 32, 8, 8))
    step = cr.jit(lambda x: cr.conv2d(x, weight, padding=1))
    for number in range(1, 4):
        array[:] = number
        assert step(x)[0, 0, 4, 4].item() == 288.0 * number


def test_packed_weights_follow_an_assignment():
    layer = nn.Conv2d(32, 64, 3, padding=1, bias=False)
    x = cr.ones((1, 32, 8, 8))
    step = cr.jit(lambda x: layer(x).detach())
    for number in (1.0, 2.0, 2.0, 3.0):
        with cr.no_grad():
            layer.weight.assign_(cr.full(layer.weight.shape, number))
        assert [step(x)[0, 0, 4, 4].item() for _ in range(3)] == [288.0 * number] * 3

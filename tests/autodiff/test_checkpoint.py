"""checkpoint: the gradients of the plain call bit for bit, less kept on the tape, and no effect happens twice."""

from __future__ import annotations

import tracemalloc
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.tape import Leaf
from chainrule.testing import assert_equal


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


def rows(*shape):
    return f64(np.random.default_rng(0).standard_normal(shape))


W = rows(5, 5)


def block(x):
    for _ in range(4):
        x = cr.tanh(x @ W) * cr.exp(-x * x)
    return x


def plain(function, *args, **kwargs):
    return function(*args, **kwargs)


def both(function, *args):
    """Return what a function of (call, *args) gives with checkpoint for call, and without."""
    results = []
    for call in (cr.checkpoint, plain):
        cr.manual_seed(0)
        results.append(function(call, *args))
    return results


def same(pair):
    got, want = (part if isinstance(part, tuple | list) else (part,) for part in pair)
    for a, b in zip(got, want, strict=True):
        assert_equal(a, b)


# ---------------------------------------------------------------------------------------------------- same bits
def test_the_gradient_has_the_same_bits():
    same(both(lambda call, x: cr.grad(lambda x: call(block, x).sum())(x), rows(3, 5)))


def test_gradients_of_what_the_block_closes_over():
    def gradients(call, x):
        w = (W * 1).requires_grad_()
        call(lambda x: cr.tanh(x @ w) @ w, x).sum().backward()
        return w.grad

    same(both(gradients, rows(3, 5)))


def test_blocks_in_a_row_and_blocks_in_blocks():
    def in_a_row(call, x):
        return cr.grad(lambda x: call(block, call(block, x)).sum())(x)

    def nested(call, x):
        inner = lambda x: call(block, call(block, x)) * x  # noqa: E731
        return cr.grad(lambda x: call(lambda x: inner(x * 2) + call(inner, x), x).sum())(x)

    same(both(in_a_row, rows(3, 5)))
    same(both(nested, rows(3, 5)))


def test_random_numbers_are_drawn_once():
    def step(call, x):
        gradient = cr.grad(lambda x: (call(lambda x: x * cr.random.uniform(x.shape) * x, x)).sum())(x)
        return gradient, cr.random.uniform(3)

    same(both(step, rows(3, 5)))


def test_assigned_state_is_assigned_once():
    def step(call, x):
        count = cr.zeros(())

        def counted(x):
            count.assign_(count + 1)
            return cr.tanh(x * count)

        gradient = cr.grad(lambda x: call(counted, x).sum())(x)
        return gradient, count

    same(both(step, rows(3, 5)))


def test_what_is_assigned_between_forward_and_backward_leaves_the_gradient_exact():
    def step(call, x):
        w = cr.ones(5, dtype=cr.float64).requires_grad_()
        x = (x * 1).requires_grad_()
        loss = call(lambda x: cr.tanh(x * w) * w, x).sum()
        with cr.no_grad():
            w.assign_(w * 100)
            x.assign_(x * 0)
        loss.backward()
        return w.grad, x.grad

    same(both(step, rows(3, 5)))


def test_control_flow_on_values_is_not_repeated():
    calls = []

    def branching(x):
        calls.append(1)
        return cr.exp(x) * x if x.sum().item() > 0 else cr.sin(x) * x

    for sign in (1.0, -1.0):
        same(both(lambda call, x: cr.grad(lambda x: call(branching, x).sum())(x), f64([0.3, 0.4]) * sign))
    assert len(calls) == 4


def test_higher_orders_in_all_modes():
    forward = lambda f: lambda x: cr.jvp(f, (x,), (cr.ones_like(x),))[1]  # noqa: E731
    for outer in (cr.grad, forward):
        for inner in (cr.grad, forward):
            same(both(lambda call, x, a=outer, b=inner: a(b(lambda x: call(lambda x: cr.sin(x) * x, x)))(x), f64(0.7)))
    cr.check_gradients(lambda x: cr.checkpoint(block, x), rows(2, 5), order=2)


def test_containers_keywords_and_results_without_a_tape():
    result = cr.checkpoint(lambda d, *, scale: {"y": d["x"] * scale, "n": 3}, {"x": cr.ones(2)}, scale=2)
    assert (result["y"].tolist(), result["n"], result["y"].requires_grad) == ([2.0, 2.0], 3, False)


def test_a_second_backward():
    x = rows(3, 5).requires_grad_()
    loss = cr.checkpoint(block, x).sum()
    loss.backward(retain_graph=True)
    first = x.grad
    x.grad = None
    loss.backward()
    assert_equal(x.grad, first)
    with pytest.raises(cr.core.errors.GradientError, match="freed by an earlier backward"):
        loss.backward()


# ---------------------------------------------------------------------------------------------------- other transforms
@pytest.mark.parametrize("inside", [True, False])
def test_in_a_batch(inside):
    def gradients(call, x):
        dropped = lambda x: call(lambda x: cr.tanh(x) * cr.random.uniform(x.shape) * x, x)  # noqa: E731
        if inside:
            return cr.vmap(cr.grad(lambda x: dropped(x).sum()))(x)
        return cr.grad(lambda x: cr.vmap(dropped)(x).sum())(x)

    same(both(gradients, rows(3, 5)))


def test_the_jacobian_replays_the_block_outside_its_own_batch():
    def derivative(call, x):
        return cr.jacobian(lambda x: call(lambda x: cr.tanh(x) * cr.random.uniform(x.shape) * x, x))(x)

    same(both(derivative, rows(5)))


def test_a_custom_gradient_inside():
    @cr.custom_gradient
    def tripled(x):
        y = cr.exp(x)
        return y, lambda g: 3 * g * y

    same(both(lambda call, x: cr.grad(lambda x: call(lambda x: cr.sin(tripled(x)) * x, x).sum())(x), rows(5)))


# ---------------------------------------------------------------------------------------------------- under jit
def test_under_jit():
    def step(call, x):
        inside = cr.jit(cr.grad(lambda x: call(block, x).sum()))
        outside = cr.grad(lambda x: cr.jit(lambda x: call(block, x))(x).sum())
        around = cr.grad(lambda x: call(cr.jit(block), x).sum())
        return inside(x), outside(x), around(x)

    same(both(step, rows(3, 5)))


def test_the_graph_computes_the_block_twice_behind_barriers():
    x = rows(3, 5)
    counts = []
    for call in (cr.checkpoint, plain):
        step = cr.jit(cr.value_and_grad(lambda x, call=call: call(block, x).sum()))
        step(x)
        names = [equation.primitive.name for equation in step.graph().equations]
        counts.append((names.count("tanh"), names.count("barrier")))
    assert counts == [(8, 2), (4, 0)]  # the barriers stand before x and W


def test_state_from_outside_is_read_anew_by_each_compiled_call():
    w = f64([1.0, 2.0])
    step = cr.jit(cr.grad(lambda x: cr.checkpoint(lambda x: cr.exp(x * w), x).sum()))
    x = f64([0.0, 0.0])
    assert step(x).tolist() == [1.0, 2.0]
    w.assign_(w * 10)
    assert step(x).tolist() == [10.0, 20.0]


def test_random_numbers_under_jit():
    def step(call, x):
        f = cr.jit(cr.grad(lambda x: call(lambda x: x * cr.random.uniform(x.shape) * x, x).sum()))
        return f(x), f(x), cr.random.uniform(3)

    same(both(step, rows(3, 5)))


# ---------------------------------------------------------------------------------------------------- memory
def kept_bytes(result):
    """Count the buffers that the tape behind a result keeps."""
    stack, seen, buffers = [result._node], set(), {}
    while stack:
        node = stack.pop()
        if node in seen or isinstance(node, Leaf):
            continue
        seen.add(node)
        stack.extend(edge[0] for edge in node.edges if edge is not None)
        forgotten = hasattr(node.kept, "entries")
        for entry in [part for part, _ in node.kept.entries.values()] if forgotten else node.kept.values():
            value = getattr(entry, "value", entry)
            if isinstance(value, np.ndarray):
                buffers[id(value)] = value.nbytes
    return sum(buffers.values())


def test_the_tape_keeps_only_what_came_in():
    x = rows(100, 5).requires_grad_()
    assert kept_bytes(cr.checkpoint(block, x)) == x.nbytes + W.nbytes
    assert kept_bytes(block(x)) > 10 * x.nbytes


def test_intermediate_results_are_gone_after_the_block_and_again_after_the_walk():
    seen = []

    def noted(x):
        y = cr.exp(x)
        seen.append(weakref.ref(y._value))
        return cr.sin(y)

    x = rows(3, 5).requires_grad_()
    kept = noted(x)
    assert seen[-1]() is not None
    loss = cr.checkpoint(noted, x).sum()
    assert seen[-1]() is None
    loss.backward(retain_graph=True)
    assert cr.core.context.local.recomputed is None
    assert kept.requires_grad


def test_blocks_in_blocks_keep_only_what_comes_into_the_outer_one():
    x = rows(100, 5).requires_grad_()
    loss = cr.checkpoint(lambda x: cr.checkpoint(block, cr.checkpoint(block, x)), x)
    assert kept_bytes(loss) == x.nbytes + W.nbytes


def test_the_peak_of_a_deep_network_is_that_of_one_block():
    x = rows(2000, 5)
    peaks = []
    for call in (cr.checkpoint, plain):
        y = x.detach().requires_grad_()
        tracemalloc.start()
        for _ in range(16):
            y = call(block, y)
        y.sum().backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 0.35 * peaks[1], peaks

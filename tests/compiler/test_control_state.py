"""Bodies that read and assign what is outside: parameters, statistics, generators, gradients; eagerly and jitted."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.testing import assert_close, assert_equal

MODES = pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])


def data(*shape, seed=0):
    return cr.asarray(np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32))


@MODES
def test_cells_that_a_body_reads_and_assigns(wrap):
    total, last, unread = cr.asarray(0.0), cr.zeros(2), cr.asarray([7])

    def body(c, x):
        total.assign_(total + x.sum())
        last.assign_(x)
        return c + total, total * 2

    step = wrap(lambda xs: cr.scan(body, 0.0, xs))
    for call in range(2):
        total.assign_(cr.asarray(0.0))
        c, ys = step(cr.asarray([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]]))
        assert (c.item(), ys.tolist()) == (3 + 10 + 11, [6.0, 20.0, 22.0]), call
        assert (total.item(), last.tolist(), unread.tolist()) == (11.0, [0.0, 1.0], [7])


@MODES
def test_what_the_step_assigned_before_and_after(wrap):
    cell = cr.asarray(1.0)

    def step(x):
        cell.assign_(cell + x)  # 3
        y, _ = cr.scan(lambda c, _: ((cell.assign_(cell * 2), c + cell)[1], None), 0.0, length=3)  # 6 + 12 + 24
        cell.assign_(cell + y)
        return cell * 1

    assert (wrap(step)(cr.asarray(2.0)).item(), cell.item()) == (66.0, 66.0)


@MODES
def test_a_branch_assigns_and_the_other_does_not(wrap):
    hits, both = cr.asarray(0), cr.asarray(0.0)

    def positive(x):
        hits.assign_(hits + 1)
        both.assign_(x)
        return x

    def negative(x):
        both.assign_(both - 1)
        return x * 0

    step = wrap(lambda x: cr.cond(x > 0, positive, negative, x))
    found = [(step(cr.asarray(x)).item(), hits.item(), both.item()) for x in (2.0, -1.0, 5.0)]
    assert found == [(2.0, 1, 2.0), (0.0, 1, 1.0), (5.0, 2, 5.0)]


@MODES
def test_a_loop_that_takes_no_step_leaves_state_alone(wrap):
    cell = cr.asarray(1.0)
    body = lambda x: (cell.assign_(cell + 1), x)[1]  # noqa: E731
    assert wrap(lambda x: cr.while_loop(lambda x: x < 0, body, x))(cr.asarray(1.0)).item() == 1.0
    assert cell.item() == 1.0


@MODES
def test_a_while_loop_assigns(wrap):
    steps, limit = cr.asarray(0), cr.asarray(20.0)

    def body(x):
        steps.assign_(steps + 1)
        return x * 2

    loop = wrap(lambda x: cr.while_loop(lambda x: x < limit + steps, body, x))
    assert (loop(cr.asarray(1.0)).item(), steps.item()) == (32.0, 5)
    assert (loop(cr.asarray(100.0)).item(), steps.item()) == (100.0, 5)


@MODES
def test_in_place_operations_on_carry_rows_and_outside(wrap):
    buffer, given = cr.zeros(3), cr.zeros(2)

    def body(c, x):
        i, h = c
        h += x
        x *= 2
        buffer[1] = x.sum()
        return (i + 1, h), x

    (count, h), ys = wrap(lambda xs: cr.scan(body, (0, given), xs))(cr.ones((3, 2)))
    assert (count.item(), h.tolist(), ys.tolist()) == (3, [3.0, 3.0], [[2.0, 2.0]] * 3)
    assert (buffer.tolist(), given.tolist()) == ([0.0, 4.0, 0.0], [0.0, 0.0])


def test_random_numbers_are_those_of_the_python_loop():
    def draws():
        def body(c, _):
            u = cr.random.uniform(3)
            c = cr.cond(u[0] > 0.5, lambda: c + cr.random.normal(()), lambda: c)
            return c, u

        c, us = cr.scan(body, 0.0, length=6)
        return cr.while_loop(lambda c: c < 5, lambda c: c + cr.random.uniform(()), c), us

    step = cr.jit(draws)
    cr.manual_seed(3)
    want = [draws(), draws()]
    after = cr.default_generator.state_dict()
    cr.manual_seed(3)
    for wanted in want:
        for a, b in zip(step(), wanted, strict=True):
            assert_equal(a, b)
    assert cr.default_generator.state_dict() == after
    assert len(step.variants) == 1


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_random_numbers_of_samples(randomness):
    """A scan with state inside vmap and jit is unrolled, for only then is it known what is one for all samples."""
    count = cr.asarray(0)

    def walk(x):
        def body(c, _):
            count.assign_(count + 1)
            return c + cr.random.uniform(()), None

        return cr.scan(body, x, length=3)[0]

    batch, found = cr.vmap(walk, randomness=randomness), []
    for wrap in (lambda f: f, cr.jit):
        cr.manual_seed(0)
        found.append(wrap(batch)(cr.zeros(4)))
    assert_equal(*found)
    assert len(set(found[0].tolist())) == (4 if randomness == "different" else 1)
    assert count.item() == 6


def test_batch_norm_and_dropout_in_a_scan():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    twin = copy.deepcopy(model)
    xs = data(5, 8, 3)

    def run(net):
        c, norms = cr.scan(lambda c, x: (net(x + c), (c * c).sum()), cr.zeros((8, 3)), xs)
        return (c * c).sum() + norms.sum()

    def step(net):
        loss = run(net)
        loss.backward()
        return loss

    cr.manual_seed(0)
    want = step(model)
    cr.manual_seed(0)
    got = cr.jit(lambda: step(twin))()
    assert_close(got, want, 1e-6)
    for (name, a), b in zip(twin.named_parameters(), model.parameters(), strict=True):
        assert_close(a.grad, b.grad, 1e-4, atol=1e-5, what=name)
    for (name, a), b in zip(twin.named_buffers(), model.buffers(), strict=True):
        assert_close(a, b, 1e-6, what=name)
    assert twin[1].num_batches_tracked.item() == 5


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_training_loop_in_one_call(name, keep):
    """forward, backward and update in the body: bit for bit the Python loop's parameters, slots and losses."""
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    twin = copy.deepcopy(model)
    xs, ys = data(6, 4, 3), data(6, 4, 1, seed=1)

    def train(net):
        options = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(optim, name)(net.parameters(), lr=0.1, **options)

        def body(total, batch):
            x, y = batch
            loss = nn.functional.mse_loss(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return total + loss.detach(), loss.detach()

        return lambda: cr.scan(body, 0.0, (xs, ys))

    eager, jitted = train(model), cr.jit(train(twin), keep_grads=keep)
    for _ in range(2):
        (total, losses), (want_total, want) = jitted(), eager()
        assert_close(losses, want, 1e-6)
        assert_close(total, want_total, 1e-6)
    for a, b in zip(twin.parameters(), model.parameters(), strict=True):
        assert_close(a, b, 1e-5, atol=1e-6)
        if keep:
            assert_close(a.grad, b.grad, 1e-4, atol=1e-6)
        else:
            with pytest.raises(cr.core.errors.GradientError, match="was used up by the optimizer"):
                _ = a.grad
    assert len(jitted.variants) == 1


@MODES
def test_gradients_accumulate_over_the_steps(wrap):
    w = cr.asarray([1.0, 2.0]).requires_grad_()

    def body(c, x):
        loss = (w * x).sum()
        loss.backward()
        return c + loss.detach(), None

    def step(xs):
        w.grad = cr.zeros(2)
        total, _ = cr.scan(body, 0.0, xs)
        return total, w.grad * 1

    total, gradient = wrap(step)(cr.asarray([[1.0, 0.0], [2.0, 3.0]]))
    assert (total.item(), gradient.tolist(), w.grad.tolist()) == (9.0, [3.0, 3.0], [3.0, 3.0])


@MODES
def test_a_branch_that_updates_only_now_and_then(wrap):
    """Gradient accumulation: every second call updates."""
    w = nn.Parameter(cr.asarray([1.0]))
    optimizer, count = optim.SGD([w], lr=1.0), cr.asarray(0)
    w.grad = cr.zeros(1)

    def update():
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    def step(x):
        (w * x).sum().backward()
        count.assign_(count + 1)
        cr.cond(count % 2 == 0, update, lambda: None)

    run = wrap(step)
    found = []
    for x in (1.0, 2.0, 4.0, 8.0):
        run(cr.asarray(x))
        found.append(w.item())
    assert found == [1.0, -2.0, -2.0, -14.0]


def test_the_gradient_by_a_parameter_that_the_loop_updates():
    """Eagerly the parameter's leaf collects the gradient of each step, taken where the parameter then was."""

    def losses(w, xs):
        def body(c, x):
            loss = (cr.sin(w) * x).sum()
            with cr.no_grad():
                w.assign_(w * 0.9)
            return c + loss, None

        return cr.scan(body, 0.0, xs)[0]

    xs, found = data(4, 2), []
    for wrap in (lambda f: f, cr.jit):
        w = nn.Parameter(cr.asarray([0.5, -1.0]))
        wrap(lambda w=w: losses(w, xs))().backward()
        found.append((w.grad, w.detach()))
    for a, b in zip(*found, strict=True):
        assert_close(a, b, 1e-6)


def test_a_recorded_cell_carries_its_gradient_from_step_to_step():
    def run(x, wrap):
        cell = cr.asarray(1.0, dtype=cr.float64)

        def step(x):
            def body(c, r):
                cell.assign_(cr.sin(cell * x + r))
                return c + cell, None

            return cr.scan(body, x * 0, cr.asarray([0.1, 0.2, 0.3], dtype=cr.float64))[0] + cell

        return cr.grad(wrap(step))(x)

    x = cr.asarray(0.7, dtype=cr.float64)
    assert_close(run(x, cr.jit), run(x, lambda f: f), 1e-12)
    assert_close(cr.jit(lambda x: run(x, lambda f: f))(x), run(x, lambda f: f), 1e-12)


def test_a_failed_body_leaves_everything_as_it_was():
    cell = cr.asarray(1.0)
    w = nn.Parameter(cr.ones(2))

    def body(c, x):
        cell.assign_(cell * 2)
        (w * x).sum().backward()
        return c + x.sum(), cr.ones(2) @ cr.ones(3)

    with pytest.raises(cr.core.errors.ShapeError):
        cr.jit(lambda xs: cr.scan(body, 0.0, xs))(cr.ones((2, 2)))
    assert (cell.item(), w.grad, w.requires_grad, cell.version) == (1.0, None, True, 0)


def test_two_jitted_calls_with_the_same_loop_share_nothing_that_changes():
    cell = cr.asarray(0.0)
    body = lambda c, x: ((cell.assign_(cell + x), c * x)[1], cell * 1)  # noqa: E731
    one, two = cr.jit(lambda xs: cr.scan(body, 1.0, xs)), cr.jit(lambda xs: cr.scan(body, 1.0, xs, reverse=True))
    xs = cr.asarray([1.0, 2.0])
    assert (one(xs)[1].tolist(), two(xs)[1].tolist(), one(xs)[1].tolist()) == ([1.0, 3.0], [6.0, 5.0], [7.0, 9.0])


def test_a_module_and_containers_as_arguments_of_the_step():
    model = nn.Linear(2, 2)

    @cr.jit
    def step(net, batch, state):
        h, rows = cr.scan(lambda h, x: (cr.tanh(net(h) + x["x"]), {"h": h}), state["h"], batch)
        return {"h": h}, rows

    batch, state = {"x": data(3, 2)}, {"h": cr.zeros(2)}
    after, rows = step(model, batch, state)
    h = state["h"]
    for x in batch["x"]:
        h = cr.tanh(model(h) + x)
    assert_close(after["h"], h, 1e-6)
    assert rows["h"].shape == (3, 2)
    model.eval()
    assert_close(step(model, batch, state)[0]["h"], h, 1e-6)

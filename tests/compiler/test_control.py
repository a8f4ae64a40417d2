"""cond, scan and while_loop: traced they give what the Python loop gives, in value and derivatives, at any nesting."""

from __future__ import annotations

import collections

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.graph import check
from chainrule.testing import assert_close, assert_equal

Pair = collections.namedtuple("Pair", "h total")


def f64(*shape, seed=0):
    return cr.asarray(np.random.default_rng(seed).uniform(-1, 1, shape))


W, B = f64(3, 3, seed=1), f64(3, seed=2)


def recurrent(xs, w, b):
    """Carry in a named tuple, results in a dictionary, an integer counter beside."""

    def step(carry, x):
        state, count = carry
        h = cr.tanh(x @ w + state.h * b + count * 0.1)
        return (Pair(h, state.total + (h * h).sum()), count + 1), {"h": h, "none": None, "norm": [cr.sum(h)]}

    (state, count), ys = cr.scan(step, (Pair(cr.zeros_like(b), cr.asarray(0.0, dtype=b.dtype)), 0), xs)
    assert ys["none"] is None
    return state.total + (ys["h"] ** 2).mean() + ys["norm"][0].sum() * count


def by_hand(xs, w, b):
    h, total, count, hs = cr.zeros_like(b), 0.0, cr.asarray(0), []
    for x in xs:
        h = cr.tanh(x @ w + h * b + count * 0.1)
        total, count = total + (h * h).sum(), count + 1
        hs.append(h)
    return total + (cr.stack(hs) ** 2).mean() + cr.stack([cr.sum(h) for h in hs]).sum() * count


def backwards(xs, w, b):
    h, ys = cr.scan(lambda c, x: (cr.sin(c + x * b), c * x), b, xs, reverse=True)
    return (h * ys).sum() + (w * w).sum()


def nested(xs, w, b):
    """A scan in a scan, a condition in each, a value from outside read at every level."""

    def inner(c, x):
        c = cr.cond(c.sum() > 0, lambda c: cr.sin(c) * b, lambda c: cr.exp(-c) + x, c)
        return c, c.sum()

    def outer(c, row):
        c, sums = cr.scan(inner, c, cr.stack([row, row * 2]))
        return cr.tanh(c @ w), sums

    c, sums = cr.scan(outer, b, xs)
    return c.sum() + (sums**2).sum()


def until(xs, w, b):
    def go(carry):
        c, n = carry
        return cr.logical_and((c * c).sum() < 50.0, n < 6)

    c, n = cr.while_loop(go, lambda carry: (cr.tanh(carry[0] @ w) * 3 + b, carry[1] + 1), (xs[0], 0), max_steps=10)
    return c.sum() * n


def chosen(xs, w, b):
    one = cr.cond(xs.sum() > 0, lambda: {"y": xs @ w}, lambda: {"y": cr.sin(xs) * b})
    other = cr.cond(xs.sum() <= 0, lambda x: x * x, lambda x: cr.exp(x), xs)
    return (one["y"] * other).sum()


def in_a_checkpoint(xs, w, b):
    return cr.checkpoint(lambda xs: recurrent(xs, w, b), xs)


def with_a_gradient_inside(xs, w, b):
    """The body differentiates: gradient descent on a loss that depends on what comes in."""

    def step(c, x):
        g = cr.grad(lambda z: (cr.sin(z * w[0]) * x * c).sum())(c)
        return c - 0.1 * g, (g * g).sum()

    c, norms = cr.scan(step, b, xs)
    return c.sum() + norms.sum()


def with_transforms_inside(xs, w, b):
    def step(c, x):
        y, t = cr.jvp(lambda z: cr.tanh(z @ w), (c,), (x,))
        return cr.vmap(lambda row, s: cr.sin(row.sum() * s), in_axes=(0, 0))(w * y, t), y

    c, ys = cr.scan(step, b, xs)
    return (c * c).sum() + ys.sum()


def detached(xs, w, b):
    """What is detached, under no_grad or hard-coded keeps its meaning in the body."""

    @cr.custom_gradient
    def doubled(x):
        return x * x, lambda g: g * 5 * cr.cos(x)

    def step(c, x):
        with cr.no_grad():
            fixed = cr.exp(c * x)
        return doubled(c * 0.5) + fixed * w[0] + (c * x).detach() * b, c.detach() * c

    c, ys = cr.scan(step, b, xs)
    return c.sum() + ys.sum()


FUNCTIONS = [recurrent, backwards, nested, until, chosen, in_a_checkpoint, with_a_gradient_inside]
FUNCTIONS += [with_transforms_inside, detached]
POINT = (f64(4, 3), W, B)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_jitted_value_and_gradients_are_the_eager_ones(function):
    want, gradients = cr.value_and_grad(function, (0, 1, 2))(*POINT)
    for wrapped in (
        cr.jit(cr.value_and_grad(function, (0, 1, 2))),
        cr.value_and_grad(cr.jit(function), (0, 1, 2)),
    ):
        got, found = wrapped(*POINT)
        assert_close(got, want, 1e-12)
        for a, b in zip(found, gradients, strict=True):
            assert_close(a, b, 1e-10, atol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_second_derivatives_are_the_eager_ones(function):
    def second(x, w, b):
        return sum((g * g).sum() for g in cr.grad(function, (0, 1, 2))(x, w, b))

    want = cr.grad(second, (0, 1, 2))(*POINT)
    for wrapped in (cr.jit(cr.grad(second, (0, 1, 2))), cr.grad(cr.jit(second), (0, 1, 2))):
        for a, b in zip(wrapped(*POINT), want, strict=True):
            assert_close(a, b, 1e-9, atol=1e-10)


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f is not detached], ids=lambda f: f.__name__)
def test_differences_confirm_two_orders(function):
    cr.check_gradients(cr.jit(function), *POINT, order=2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f is not detached], ids=lambda f: f.__name__)
def test_forward_mode(function):
    tangents = tuple(f64(*x.shape, seed=7 + i) for i, x in enumerate(POINT))
    value, tangent = cr.jvp(function, POINT, tangents)
    push = cr.jit(lambda p, t: cr.jvp(function, p, t))
    got, moved = push(POINT, tangents)
    assert_close(got, value, 1e-12)
    assert_close(moved, tangent, 1e-10)
    want = sum((g * t).sum().item() for g, t in zip(cr.grad(function, (0, 1, 2))(*POINT), tangents, strict=True))
    assert_close(moved, want, 1e-9)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_batch_is_a_loop(function):
    batch = f64(5, 4, 3, seed=3)
    want = cr.stack([function(x, W, B) for x in batch])
    assert_close(cr.vmap(function, in_axes=(0, None, None))(batch, W, B), want, 1e-12)
    assert_close(cr.jit(cr.vmap(function, in_axes=(0, None, None)))(batch, W, B), want, 1e-12)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_per_sample_gradients_and_the_gradient_of_a_batch(function):
    batch = f64(3, 4, 3, seed=3)
    rows = [cr.grad(function, 1)(x, W, B) for x in batch]
    each = cr.vmap(cr.grad(function, 1), in_axes=(0, None, None))
    assert_close(cr.jit(each)(batch, W, B), cr.stack(rows), 1e-10, atol=1e-12)
    whole = cr.grad(lambda w: cr.vmap(lambda x: function(x, w, B))(batch).sum())
    assert_close(cr.jit(whole)(W), sum(rows[1:], start=rows[0]), 1e-10, atol=1e-12)


def test_a_jacobian_of_a_jitted_loop():
    function = cr.jit(lambda b: cr.scan(lambda c, x: (cr.tanh(c * x + b), None), b, POINT[0])[0])
    want = cr.stack([cr.grad(lambda b, i=i: function(b)[i])(B) for i in range(3)])
    assert_close(cr.jacobian(function)(B), want, 1e-12)
    assert_close(cr.jacobian(function, mode="forward")(B), want, 1e-12)


def test_the_loop_is_the_one_written_by_hand():
    assert_equal(recurrent(*POINT), by_hand(*POINT))
    assert_close(cr.jit(recurrent)(*POINT), by_hand(*POINT), 1e-12)
    for a, b in zip(cr.grad(recurrent, (0, 1, 2))(*POINT), cr.grad(by_hand, (0, 1, 2))(*POINT), strict=True):
        assert_close(a, b, 1e-12)


def test_the_graph_does_not_grow_with_the_length_and_every_graph_inside_is_sound():
    sizes = []
    for length in (2, 50):
        step = cr.jit(cr.value_and_grad(lambda xs: recurrent(xs, W, B)))
        step(f64(length, 3))
        graphs = [step.graph()]
        while graphs:
            graph = check(graphs.pop())
            sizes.append(len(graph.equations))
            graphs += [inner for equation in graph for inner in equation.graphs.values()]
    assert sizes[: len(sizes) // 2] == sizes[len(sizes) // 2 :]


# ---------------------------------------------------------------------------------------------------- scan
@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
def test_directions_results_and_lengths(wrap):
    add = lambda c, x: (c + x, c)  # noqa: E731
    xs = cr.arange(4)
    for reverse, last, rows in ((False, 6, [0, 0, 1, 3]), (True, 6, [6, 5, 3, 0])):
        c, ys = wrap(lambda xs, reverse=reverse: cr.scan(add, 0, xs, reverse=reverse))(xs)
        assert (c.item(), ys.tolist()) == (last, rows)
    c, ys = wrap(lambda: cr.scan(lambda c, x: (c * 2, x), 1, length=5))()
    assert (c.item(), ys) == (32, None)
    c, ys = wrap(lambda xs: cr.scan(lambda c, x: (c, x * x), None, xs))(xs)
    assert (c, ys.tolist()) == (None, [0, 1, 4, 9])


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
def test_no_steps(wrap):
    cell = cr.asarray(5.0)

    def body(c, x):
        cell.assign_(cell + 1)
        return c * 2, (x + c, [c])

    c, (a, (b,)) = wrap(lambda xs: cr.scan(body, cr.ones(2), xs))(cr.zeros((0, 3, 2)))
    assert (c.tolist(), a.shape, b.shape, cell.item()) == ([1.0, 1.0], (0, 3, 2), (0, 2), 5.0)


def test_dtypes_pass_through_a_traced_loop():
    for dtype in (cr.bfloat16, cr.float32, cr.complex64, cr.int8, cr.uint32):
        xs = cr.asarray([1, 2, 3]).astype(dtype)
        add = lambda xs: cr.scan(lambda c, x: (c + x, c * x), xs[0], xs)  # noqa: E731
        for a, b in zip(cr.jit(add)(xs), add(xs), strict=True):
            assert a.dtype is dtype
            assert_equal(a, b)


def test_a_precision_around_reaches_the_body():
    xs, w = f64(4, 8, 8).astype(cr.float32), f64(8, 8, seed=1).astype(cr.float32)
    step = lambda xs: cr.scan(lambda c, x: (cr.tanh(c @ x), None), w, xs)[0]  # noqa: E731
    with cr.precision("bf16"):
        want = step(xs)
    assert_close(cr.jit(step, precision="bf16")(xs), want)
    assert abs((step(xs) - want).numpy()).max() > 1e-4


# ---------------------------------------------------------------------------------------------------- while
@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
def test_while_ends_by_its_condition_or_by_the_bound(wrap):
    collatz = lambda n: cr.where(n % 2 == 0, n // 2, 3 * n + 1)  # noqa: E731
    count = wrap(
        lambda n: cr.while_loop(
            lambda c: c["n"] != 1, lambda c: {"n": collatz(c["n"]), "k": c["k"] + 1}, {"n": n, "k": 0}
        )
    )
    assert [count(cr.asarray(n))["k"].item() for n in (1, 6, 27)] == [0, 8, 111]
    double = wrap(lambda x, most: cr.while_loop(lambda x: x < 100, lambda x: x * 2, x, max_steps=most))
    assert [double(cr.asarray(1), most).item() for most in (None, 100, 3, 0)] == [128, 128, 8, 1]


def test_a_step_that_was_not_taken_has_no_part_in_the_gradient():
    """The step after the last would divide by zero: as a `where` over all steps its gradient would be NaN."""
    shrink = lambda x: cr.while_loop(lambda c: c > 0.5, lambda c: (c - 1) / (c - 1) ** 2 * c, x, max_steps=5)  # noqa: E731
    x = cr.asarray(0.25, dtype=cr.float64)
    assert cr.jit(cr.grad(shrink))(x).item() == 1.0
    zero = lambda x: cr.while_loop(lambda c: c > 0, lambda c: cr.sqrt(c) - cr.sqrt(c), x, max_steps=5)  # noqa: E731
    assert np.isfinite(cr.jit(cr.grad(zero))(cr.asarray(4.0)).item())


def test_samples_end_at_different_steps():
    x = cr.asarray([1.0, 30.0, 200.0, 7.0])
    loop = lambda x: cr.while_loop(lambda c: c < 100, lambda c: c * 3, x, max_steps=20)  # noqa: E731
    assert cr.vmap(loop)(x).tolist() == cr.jit(cr.vmap(loop))(x).tolist() == [243.0, 270.0, 200.0, 189.0]
    assert cr.jit(cr.vmap(cr.grad(loop)))(x).tolist() == [243.0, 9.0, 1.0, 27.0]


# ---------------------------------------------------------------------------------------------------- cond
def test_only_the_chosen_branch_runs():
    ran = []

    def branch(name, x):
        ran.append(name)
        return cr.check_finite(x, name)

    choose = lambda p, x: cr.cond(p, lambda x: branch("true", x), lambda x: branch("false", x / 0 + x), x)  # noqa: E731
    assert choose(cr.asarray(True), cr.ones(1)).item() == 1.0
    assert ran == ["true"]
    step = cr.jit(choose)
    assert step(cr.asarray(True), cr.ones(1)).item() == 1.0
    with pytest.raises(cr.core.errors.NonFiniteError):
        step(cr.asarray(False), cr.ones(1))


def test_a_python_bool_is_decided_while_tracing():
    step = cr.jit(lambda x, flag: cr.cond(flag, lambda: x * 2, lambda: [x]))
    assert step(cr.asarray(3.0), True).item() == 6.0
    assert step(cr.asarray(3.0), False)[0].item() == 3.0
    assert [e.primitive.name for e in step.graph()] == []


def test_each_sample_takes_its_branch():
    x = cr.asarray([1.0, -2.0, 3.0])
    choose = lambda x: cr.cond(x > 0, lambda x: x * x, lambda x: x * 0 - 1, x)  # noqa: E731
    for f in (cr.vmap(choose), cr.jit(cr.vmap(choose))):
        assert f(x).tolist() == [1.0, -1.0, 9.0]
    assert cr.jit(cr.vmap(cr.grad(choose)))(x).tolist() == [2.0, 0.0, 6.0]
    constant = lambda x: cr.cond(x > 0, lambda: cr.ones(2), lambda: cr.zeros(2))  # noqa: E731
    assert cr.jit(cr.vmap(constant))(x).tolist() == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]


def test_the_printed_graph_shows_the_graphs_inside():
    step = cr.jit(lambda x: cr.cond(x > 0, lambda: x * 2, lambda: -x))
    step(cr.asarray(1.0))
    lines = [line.split("#")[0].rstrip() for line in str(step.graph()).splitlines()]
    assert lines[2:] == [
        "  %1: f32[] = cond(%0, x, if_true=true_fn of cr.cond, if_false=false_fn of cr.cond)",
        "    if_true: true_fn of cr.cond(in0: f32[]) -> (%0: f32[])",
        "      %0: f32[] = multiply(in0, 2.0)",
        "    if_false: false_fn of cr.cond(in0: f32[]) -> (%0: f32[])",
        "      %0: f32[] = negative(in0)",
    ]

"""What cond, scan and while_loop refuse, with the whole message, eagerly and under jit."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.core.errors import DTypeError, GradientError, ShapeError, TraceError

X = cr.ones((3, 2))
BOOL = "compare, and reduce it with cr.any or cr.all"

# message -> (error, step); each is refused eagerly and under jit
BOTH = {
    "cr.scan: the carry must keep its shapes and dtypes; carry['h'][1] came in as f32[2] and went out as f32[1]: "
    "give the initial value that type, or convert what the body returns.": (
        ShapeError,
        lambda x: cr.scan(lambda c, r: ({"h": (c["h"][0], r[:1])}, None), {"h": (0.0, cr.zeros(2))}, x),
    ),
    "cr.scan: the carry must keep its shapes and dtypes; carry came in as i64[] and went out as f32[]: "
    "give the initial value that type, or convert what the body returns.": (
        DTypeError,
        lambda x: cr.scan(lambda c, r: (c + r.sum(), None), 0, x),
    ),
    "cr.scan: the carry must keep its containers; it came in as (tensor, {'a': tensor}) "
    "and went out as [tensor, None].": (
        TraceError,
        lambda x: cr.scan(lambda c, r: ([c[0], None], None), (0.0, {"a": 1.0}), x),
    ),
    "cr.scan: the body must return (carry, y); it returned Tensor. Where there is no result, return (carry, None).": (
        TraceError,
        lambda x: cr.scan(lambda c, r: c + r, cr.zeros(2), x),
    ),
    "cr.scan: the numbers of rows differ: length 4, xs[0] 3, xs[1] 2.": (
        ShapeError,
        lambda x: cr.scan(lambda c, r: (c, None), 0.0, (x, x[:2]), length=4),
    ),
    "cr.scan: xs[1] has no axes, so it has no rows; its shape is (). Let the body read it from outside.": (
        ShapeError,
        lambda x: cr.scan(lambda c, r: (c, None), 0.0, (x, x.sum())),
    ),
    "cr.scan: without xs it needs a length: cr.scan(f, init, length=10).": (
        ShapeError,
        lambda x: cr.scan(lambda c, r: (c, None), x),
    ),
    "cr.scan: length must be >= 0; got -1.": (
        ShapeError,
        lambda x: cr.scan(lambda c, r: (c, None), x, length=-1),
    ),
    "cr.while_loop: the carry must keep its shapes and dtypes; carry[0] came in as f32[3,2] and went out as f32[2,3]: "
    "give the initial value that type, or convert what the body returns.": (
        ShapeError,
        lambda x: cr.while_loop(lambda c: c[1] < 3, lambda c: (c[0].T, c[1] + 1), (x, 0)),
    ),
    f"cr.while_loop: cond_fn must return one bool; got bool[3,2]: {BOOL}.": (
        TraceError,
        lambda x: cr.while_loop(lambda c: c > 0, lambda c: c - 1, x),
    ),
    f"cr.while_loop: cond_fn must return one bool; got f32[]: {BOOL}.": (
        TraceError,
        lambda x: cr.while_loop(lambda c: c.sum(), lambda c: c - 1, x),
    ),
    f"cr.while_loop: cond_fn must return one bool; got NoneType: {BOOL}.": (
        TraceError,
        lambda x: cr.while_loop(lambda c: None, lambda c: c - 1, x),
    ),
    "cr.while_loop: max_steps must be None or >= 0; got -2.": (
        ValueError,
        lambda x: cr.while_loop(lambda c: c.sum() > 0, lambda c: c, x, max_steps=-2),
    ),
    "cr.cond: pred must be one bool; got bool[3]: compare and reduce it with cr.any or cr.all, "
    "or choose by cr.where.": (
        TraceError,
        lambda x: cr.cond(x[:, 0] > 0, lambda: x, lambda: x),
    ),
    "cr.cond: pred must be one bool; got int: compare and reduce it with cr.any or cr.all, or choose by cr.where.": (
        TraceError,
        lambda x: cr.cond(1, lambda: x, lambda: x),
    ),
}


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("message", BOTH)
def test_refused_eagerly_and_under_jit(message, wrap):
    kind, step = BOTH[message]
    with pytest.raises(kind) as error:
        wrap(step)(X)
    assert getattr(error.value, "message", str(error.value)) == message


def changing():
    sizes = iter([2, 1])
    return lambda c, r: (c, r[: next(sizes)])


def test_results_that_change_from_step_to_step():
    with pytest.raises(ShapeError) as error:
        cr.scan(changing(), 0.0, X)
    assert error.value.message == (
        "cr.scan: y must be the same in every step; y was f32[2] and is f32[1]: convert what the body returns."
    )
    rows = iter([1.0, None, 2.0])
    with pytest.raises(TraceError) as error:
        cr.scan(lambda c, r: (c, next(rows)), 0.0, X)
    assert error.value.message == "cr.scan: y must be the same in every step; it was tensor and is None."


def accumulating(w, xs):
    return cr.scan(lambda c, x: ((w * x).sum().backward(), (c, None))[1], 0.0, xs)


def clearing(w, xs):
    def body(c, x):
        c = c + w.grad.sum()
        w.grad = None
        return c, None

    w.grad = cr.ones(2)
    return cr.scan(body, 0.0, xs)


def one_branch_clears(w, xs):
    w.grad = cr.ones(2)
    return cr.cond(xs.sum() > 0, lambda: setattr(w, "grad", None), lambda: None)


def backward_into_the_past(w, xs):
    h = w * 2
    return cr.scan(lambda c, x: ((h * x).sum().backward(), (c, None))[1], 0.0, xs)


def writing_condition(w, xs):
    cell = cr.asarray(0)
    return cr.while_loop(lambda c: (cell.assign_(cell + 1), cell < 3)[1], lambda c: c, 0.0)


def drawing_condition(w, xs):
    return cr.while_loop(lambda c: cr.random.uniform(()) < 0.5, lambda c: c + 1, 0.0)


def unbounded(w, xs):
    cr.while_loop(lambda c: c.sum() < 9, lambda c: c * 2, w * xs[0]).sum().backward()


def drawing_by_sample(w, xs):
    return cr.vmap(lambda x: cr.while_loop(lambda c: c.sum() < 3, lambda c: c + cr.random.uniform(2), x))(xs)


def consumed_in_a_loop(w, xs):
    optimizer = OPTIMIZER

    def body(c, x):
        optimizer.zero_grad()
        (PARAMETER * x).sum().backward()
        optimizer.step()
        return c, None

    cr.scan(body, 0.0, xs)
    return PARAMETER.grad * 1


def asking(w, xs):
    return cr.scan(lambda c, x: (c + x.sum().item(), None), 0.0, xs)


PARAMETER = nn.Parameter(cr.ones(2))
OPTIMIZER = optim.SGD([PARAMETER], lr=0.1)
WRITES = (
    "cr.while_loop: cond_fn assigns a tensor, or draws a random number; do that in body_fn, and let the condition "
    "look at the carry."
)
BRANCHES = "cr.cond: both branches must return the same"
TRACED = {
    accumulating: (
        GradientError,
        "the body of cr.scan starts with no gradient in a tensor of shape (2,) and ends with one, so its steps differ. "
        "Call zero_grad() at the beginning of the body, or fill the gradient with zeros before the loop.",
    ),
    clearing: (
        GradientError,
        "the body of cr.scan starts with a gradient in a tensor of shape (2,) and ends with none, so its steps differ. "
        "Call zero_grad() at the beginning of the body, or fill the gradient with zeros before the loop.",
    ),
    one_branch_clears: (
        GradientError,
        "cr.cond: one branch leaves a gradient in a tensor of shape (2,) and the other leaves none. "
        "Fill it with zeros instead: optimizer.zero_grad(set_to_none=False).",
    ),
    backward_into_the_past: (
        GradientError,
        "backward inside the body of cr.scan reached an operation recorded before it (multiply). "
        "Give it that tensor as h.detach(), or return the loss and call backward outside.",
    ),
    writing_condition: (TraceError, WRITES),
    drawing_condition: (TraceError, WRITES),
    unbounded: (
        GradientError,
        "cr.while_loop: backward through a traced loop needs a bound on its steps; write "
        "cr.while_loop(cond_fn, body_fn, init, max_steps=...), or use cr.scan.",
    ),
    drawing_by_sample: (
        TraceError,
        "cr.while_loop inside vmap draws random numbers in a traced body, where all samples would get the same. "
        "Draw them before it.",
    ),
    consumed_in_a_loop: (
        GradientError,
        "this gradient was used up by the optimizer inside a loop or branch and was not kept; "
        "call optimizer.zero_grad() before the next backward, or write cr.jit(step, keep_grads=True).",
    ),
    asking: (
        TraceError,
        "item() asks for the value of f32[] while cr.jit traces, and there is none yet. "
        "Use cr.where or cr.cond instead of `if`, cr.scan or cr.while_loop instead of a loop that depends on it, "
        "cr.debug_print to look at it, or move this line outside the step.",
    ),
    lambda w, xs: cr.cond(xs.sum() > 0, lambda: (xs, 1.0), lambda: [xs]): (
        TraceError,
        f"{BRANCHES} containers; true_fn returned (tensor, tensor) and false_fn [tensor].",
    ),
    lambda w, xs: cr.cond(xs.sum() > 0, lambda: {"a": xs}, lambda: {"a": xs[0]}): (
        ShapeError,
        f"{BRANCHES} shapes and dtypes; the result['a'] is f32[3,2] in true_fn, and in false_fn it is f32[2]: "
        "convert one of them.",
    ),
}


@pytest.mark.parametrize("step", TRACED, ids=lambda f: f.__name__)
def test_refused_while_tracing(step):
    kind, message = TRACED[step]
    w = cr.ones(2).requires_grad_()
    with pytest.raises(kind) as error:
        cr.jit(lambda xs: step(w, xs))(X)
    assert error.value.message == message
    assert error.value.location is None or error.value.location.startswith("test_control_errors.py:")
    assert w.grad is None
    assert not isinstance(w._value, cr.core.graph.Variable)


@pytest.mark.parametrize("step", [accumulating, one_branch_clears, drawing_condition, unbounded])
def test_what_is_refused_only_while_tracing_works_eagerly(step):
    step(cr.ones(2).requires_grad_(), X)


def test_a_tensor_that_outlives_its_body():
    kept = []

    def step(xs):
        total, _ = cr.scan(lambda c, x: (c + x, kept.append(c * 2)), cr.zeros(2), xs)
        return total + kept[0]

    with pytest.raises(TraceError) as error:
        cr.jit(step)(X)
    line = step.__code__.co_firstlineno + 1
    assert error.value.message == (
        "a tensor f32[2] made in the body of cr.scan is used outside of it, where it has no value. "
        f"It was made at test_control_errors.py:{line}. Return it from there."
    )
    assert error.value.location == f"test_control_errors.py:{line + 1}"

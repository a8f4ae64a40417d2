"""jacobian, hessian, hvp, linearize: closed forms, both modes, under other transforms, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, GradientError, IndexRangeError, ShapeError
from chainrule.testing import assert_close

MODES = pytest.mark.parametrize("mode", ["reverse", "forward"])


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


def rows(*shape):
    return f64(np.random.default_rng(0).standard_normal(shape))


# ---------------------------------------------------------------------------------------------------- jacobian
@MODES
def test_the_jacobian_of_a_layer(mode):
    w, x = rows(2, 3), rows(3)
    got = cr.jacobian(lambda x: cr.tanh(w @ x), mode=mode)(x)
    assert_close(got, (1 - cr.tanh(w @ x) ** 2)[:, None] * w)
    assert not got.requires_grad


@MODES
def test_axes_of_result_and_argument_stand_one_after_the_other(mode):
    x = rows(2, 3)
    got = cr.jacobian(lambda x: x.T * 2, mode=mode)(x)
    assert got.shape == (3, 2, 2, 3)
    assert got[2, 1, 1, 2].item() == 2.0
    assert got.sum().item() == 12.0


@MODES
def test_several_arguments_and_containers(mode):
    function = lambda a, n, d: {"sum": a + d["b"], "product": (a * d["b"] * n,)}  # noqa: E731
    a, b = f64([1.0, 2.0]), f64([3.0, 5.0])
    got = cr.jacobian(function, argnums=(0, 2), mode=mode)(a, 10, {"b": b})
    eye = np.eye(2)
    assert_close(got["sum"][0], eye)
    assert_close(got["sum"][1]["b"], eye)
    assert_close(got["product"][0][0], np.diag([30.0, 50.0]))
    assert_close(got["product"][0][1]["b"], np.diag([10.0, 20.0]))
    assert_close(cr.jacobian(function, argnums=2, mode=mode)(a, 10, {"b": b})["sum"]["b"], eye)


@MODES
def test_results_that_do_not_depend_on_the_argument(mode):
    assert cr.jacobian(lambda x: cr.ones(3), mode=mode)(f64([1.0, 2.0])).tolist() == [[0.0, 0.0]] * 3


@MODES
def test_it_can_be_differentiated(mode):
    w, x = rows(2, 3), rows(3)
    size = lambda w: (cr.jacobian(lambda x: cr.tanh(w @ x), mode=mode)(x) ** 2).sum()  # noqa: E731
    cr.check_gradients(size, w, order=2)


@MODES
def test_under_jit_and_vmap(mode):
    w, x = rows(2, 3), rows(4, 3)
    function = cr.jacobian(lambda x: cr.tanh(w @ x), mode=mode)
    want = cr.stack([function(row) for row in x])
    assert_close(cr.vmap(function)(x), want)
    assert_close(cr.jit(cr.vmap(function))(x), want)


@MODES
def test_random_numbers_are_the_same_in_every_direction(mode):
    """Dropout inside: each row must belong to one mask."""
    x = cr.ones(50)
    got = cr.jacobian(lambda x: x * (cr.random.uniform(50) < 0.5), mode=mode)(x)
    diagonal = cr.sum(got, axis=0)
    assert set(diagonal.tolist()) == {0.0, 1.0}
    assert_close(got, np.diag(diagonal.numpy()))
    cr.manual_seed(0)
    assert_close(diagonal, (cr.random.uniform(50) < 0.5).astype(cr.float32))


def test_errors():
    with pytest.raises(ValueError, match=r"^jacobian\.mode must be 'reverse' or 'forward'; got 'both'\.$"):
        cr.jacobian(lambda x: x, mode="both")
    with pytest.raises(IndexRangeError) as error:
        cr.jacobian(lambda x: x, argnums=1)(f64(1.0))
    assert error.value.message == "argnums=1, but the function was called with 1 positional arguments."
    for mode in ("reverse", "forward"):
        with pytest.raises(DTypeError) as wrong:
            cr.jacobian(lambda x: cr.argmax(x), mode=mode)(f64([1.0]))
        assert wrong.value.message == "jacobian: only float results have derivatives; one is int64."
    for mode, name in (("reverse", "vjp"), ("forward", "jvp")):
        with pytest.raises(GradientError) as error:
            cr.jacobian(lambda x: "a", mode=mode)(f64([1.0]))
        assert error.value.message == f"{name} needs a function that returns tensors; it returned str."


# ---------------------------------------------------------------------------------------------------- hessian and hvp
def bowl(x):
    return (cr.exp(x) * x[0]).sum() + x[1] * x[2]


def test_the_hessian():
    x = rows(3)
    e, x0 = np.exp(x.numpy()), x.numpy()[0]
    want = np.diag(e * x0)
    want[0] += e
    want[:, 0] += e
    want[1, 2] += 1
    want[2, 1] += 1
    got = cr.hessian(bowl)(x)
    assert_close(got, want)
    assert not got.requires_grad


def test_the_hessian_by_two_arguments():
    got = cr.hessian(lambda a, b: (a * a * b).sum(), argnums=(0, 1))(f64([2.0]), f64([3.0]))
    assert [[part.item() for part in row] for row in got] == [[6.0, 4.0], [4.0, 0.0]]


def test_the_hessian_times_a_direction():
    x, t = rows(3), f64([1.0, -2.0, 0.5])
    (got,) = cr.hvp(bowl, (x,), (t,))
    assert_close(got, cr.hessian(bowl)(x) @ t)
    parts = cr.hvp(lambda a, d: (a * a * d["b"]).sum(), (f64(2.0), {"b": f64(3.0)}), (f64(1.0), {"b": f64(10.0)}))
    assert (parts[0].item(), parts[1]["b"].item()) == (46.0, 4.0)


def test_third_derivatives_of_the_hessian():
    got = cr.jacobian(cr.hessian(lambda x: (x**4).sum()))(f64([1.0, 2.0]))
    want = np.zeros((2, 2, 2))
    want[0, 0, 0], want[1, 1, 1] = 24, 48
    assert_close(got, want)


# ---------------------------------------------------------------------------------------------------- linearize
def test_linearize_runs_the_function_once():
    calls = []
    w, x = rows(2, 3), rows(3)

    def function(x):
        calls.append(1)
        return cr.tanh(w @ x)

    y, linear = cr.linearize(function, x)
    for t in rows(4, 3):
        assert_close(linear(t), cr.jvp(lambda x: cr.tanh(w @ x), (x,), (t,))[1])
    assert_close(y, cr.tanh(w @ x))
    assert calls == [1]
    assert not linear(x).requires_grad


def test_linearize_with_containers_and_what_does_not_move():
    y, linear = cr.linearize(lambda d, b: (d["a"] * b, cr.ones(2)), {"a": f64(2.0)}, f64(3.0))
    moved = linear({"a": f64(1.0)}, f64(10.0))
    assert (moved[0].item(), moved[1].tolist(), y[0].item()) == (23.0, [0.0, 0.0], 6.0)


def test_linearize_under_vmap_jit_and_an_outer_gradient():
    w, x, t = rows(2, 3), rows(3), rows(3)
    push = lambda w: cr.linearize(lambda x: cr.tanh(w @ x), x)[1](t)  # noqa: E731
    cr.check_gradients(push, w, order=2)
    assert_close(cr.jit(push)(w), push(w))
    _, linear = cr.linearize(lambda x: cr.tanh(w @ x), x)
    assert_close(cr.vmap(linear, out_axes=1)(cr.eye(3, dtype=cr.float64)), cr.jacobian(lambda x: cr.tanh(w @ x))(x))


def test_linearize_errors():
    _, linear = cr.linearize(lambda x: x * 2, f64([1.0]))
    with pytest.raises(ShapeError) as error:
        linear(f64([1.0, 2.0]))
    assert error.value.message == (
        "linearize: argument 0 has the shape (1,) and its direction (2,); they must be equal."
    )
    with pytest.raises(ShapeError) as error:
        linear([f64([1.0])])
    assert error.value.message == (
        "linearize: the directions must have the containers of the arguments, one per tensor."
    )
    with pytest.raises(DTypeError) as wrong:
        cr.linearize(lambda x: x > 0, f64([1.0]))
    assert wrong.value.message == "linearize: only float results have derivatives; one is bool."

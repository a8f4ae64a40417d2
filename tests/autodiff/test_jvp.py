"""Forward mode: tangents, nesting with reverse mode in all four pairs, recorded and traced."""

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, GradientError, ShapeError


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


def forward(function):
    return lambda x: cr.jvp(function, (x,), (cr.ones_like(x),))[1]


MODES = {"reverse": cr.grad, "forward": forward}


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(MODES, MODES)))
def test_levels_never_confuse_perturbations(outer, inner):
    """d/dx [x * d/dy (x + y)] is 1; 2 means that the two variables were confused."""
    a, b = MODES[outer], MODES[inner]
    assert a(lambda x: x * b(lambda y: x + y)(f64(1.0)))(f64(1.0)).item() == 1.0
    assert a(lambda x: x * b(lambda y: x * y)(f64(2.0)))(f64(3.0)).item() == 6.0


@pytest.mark.parametrize("modes", list(itertools.product(MODES, repeat=3)))
def test_third_derivatives_agree_in_all_orders(modes):
    function = lambda x: cr.sin(x) * x  # noqa: E731
    for mode in modes:
        function = MODES[mode](function)
    expected = -3 * np.sin(1.3) - 1.3 * np.cos(1.3)
    assert function(f64(1.3)).item() == pytest.approx(expected, rel=1e-12)


def test_the_tangent_is_the_jacobian_times_the_direction():
    w, x, t = f64(np.arange(6.0).reshape(2, 3)), f64([0.1, 0.2, 0.3]), f64([1.0, -1.0, 2.0])
    y, moved = cr.jvp(lambda x: cr.tanh(w @ x), (x,), (t,))
    expected = (1 - np.tanh(w.numpy() @ x.numpy()) ** 2) * (w.numpy() @ t.numpy())
    np.testing.assert_allclose(moved.numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(y.numpy(), np.tanh(w.numpy() @ x.numpy()), rtol=1e-12)


def test_containers_and_results_that_do_not_move():
    y, moved = cr.jvp(lambda d: {"a": d["x"] * 2, "b": cr.ones(3)}, ({"x": f64(3.0)},), ({"x": f64(1.0)},))
    assert (y["a"].item(), moved["a"].item()) == (6.0, 2.0)
    assert moved["b"].tolist() == [0.0, 0.0, 0.0]


def test_the_tangent_can_be_differentiated_by_what_the_function_closes_over():
    w = f64([2.0, 3.0]).requires_grad_()
    _, moved = cr.jvp(lambda x: (w * x * x).sum(), (f64([1.0, 2.0]),), (f64([1.0, 1.0]),))
    moved.backward()
    assert w.grad.tolist() == [2.0, 4.0]


def test_detach_stops_the_tangent():
    assert forward(lambda x: x.detach() * x)(f64(3.0)).item() == 3.0


def test_under_jit():
    step = cr.jit(lambda x: forward(cr.grad(lambda x: cr.sin(x) * x))(x))
    assert step(f64(1.3)).item() == pytest.approx(2 * np.cos(1.3) - 1.3 * np.sin(1.3), rel=1e-12)


def test_values_can_be_read_inside():
    seen = []
    cr.jvp(lambda x: seen.append(x.item()) or x, (f64(2.0),), (f64(1.0),))
    assert seen == [2.0]


def test_a_value_that_outlives_its_call_is_refused():
    kept = []
    cr.jvp(lambda x: kept.append(x) or x, (f64(2.0),), (f64(1.0),))
    with pytest.raises(cr.core.errors.TraceError, match="after its jvp ended"):
        kept[0] + 1


def test_errors():
    with pytest.raises(DTypeError, match=r"only float arguments have tangents; argument 0 is int64\."):
        cr.jvp(lambda x: x, (cr.asarray(1),), (cr.asarray(1),))
    with pytest.raises(
        ShapeError, match=r"jvp: argument 0 has the shape \(2,\) and its tangent \(3,\); they must be equal\."
    ):
        cr.jvp(lambda x: x, (cr.ones(2),), (cr.ones(3),))
    with pytest.raises(ShapeError, match="the tangents must have the containers of the arguments"):
        cr.jvp(lambda x: x, (cr.ones(2),), (cr.ones(2), cr.ones(2)))
    with pytest.raises(GradientError, match="jvp needs a function that returns tensors; it returned int"):
        cr.jvp(lambda x: 3, (cr.ones(2),), (cr.ones(2),))


def test_a_cell_from_outside_keeps_the_value_without_its_tangent():
    mean = f64([0.0, 0.0])

    def function(x):
        mean.assign_(mean * 0.5 + x * 0.5)
        return (mean * x).sum()

    _, moved = cr.jvp(function, (f64([2.0, 4.0]),), (f64([1.0, 0.0]),))
    assert (mean.tolist(), mean.requires_grad, moved.item()) == ([1.0, 2.0], False, 2.0)
    nested = forward(forward(lambda x: function(cr.stack([x, x]))))
    nested(f64(2.0))
    assert mean.tolist() == [1.5, 2.0]


def test_a_failure_leaves_cells_as_they_were():
    mean = f64([1.0])

    def function(x):
        mean.assign_(x)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="^stop$"):
        cr.jvp(function, (f64([5.0]),), (f64([1.0]),))
    assert (mean.tolist(), mean.version) == ([1.0], 0)


def test_an_assigned_cell_from_outside_is_updated_by_each_compiled_call():
    mean = f64(0.0)
    step = cr.jit(forward(lambda x: (mean.assign_(mean + x), mean * x)[1]))
    assert [step(f64(2.0)).item(), step(f64(2.0)).item()] == [4.0, 6.0]
    assert mean.item() == 4.0


def test_nothing_depends_where_the_value_is_nan():
    """A gradient that does not exist is 0, also at NaN and infinity."""
    assert cr.grad(lambda x: cr.floor(x).detach().sum())(f64([np.nan, np.inf])).tolist() == [0.0, 0.0]
    assert cr.jacobian(lambda x: cr.ones(1))(f64([np.nan])).tolist() == [[0.0]]

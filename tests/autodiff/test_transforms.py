"""grad, value_and_grad and vjp: containers, several arguments, nesting without confusing variables, errors."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, GradientError, IndexRangeError
from chainrule.testing import assert_close


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


def message_of(kind, call):
    with pytest.raises(kind) as error:
        call()
    return error.value.message


def test_grad_of_a_number_and_of_a_tensor():
    assert cr.grad(lambda x: x**3)(2.0).item() == 12.0
    assert cr.grad(lambda x: (x * x).sum())(f64([1.0, 2.0])).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("order, value", [(1, 80.0), (2, 160.0), (3, 240.0), (4, 240.0), (5, 120.0), (6, 0.0)])
def test_nested_grad_of_x_to_the_fifth_at_2(order, value):
    function = lambda x: x**5  # noqa: E731
    for _ in range(order):
        function = cr.grad(function)
    assert function(f64(2.0)).item() == pytest.approx(value)


def test_perturbation_confusion():
    """d/dx [x * d/dy (x + y)] = d/dx [x * 1] = 1; confusing x with y gives 2."""
    inner = lambda x: cr.grad(lambda y: x + y)(1.0)  # noqa: E731
    assert cr.grad(lambda x: x * inner(x))(1.0).item() == 1.0


def test_perturbation_confusion_with_a_product():
    """d/dx [x * d/dy (x y)] = d/dx [x^2] = 2 x."""
    assert cr.grad(lambda x: x * cr.grad(lambda y: x * y)(5.0))(f64(3.0)).item() == 6.0


def test_grad_inside_grad_with_the_same_tensor():
    """Both levels are called at one tensor object: each differentiates by its own alias."""
    z = f64(2.0).requires_grad_()
    assert cr.grad(lambda x: x * cr.grad(lambda y: x * y * y)(z))(z).item() == pytest.approx(2 * 2.0 * 2 * 2.0)


def test_backward_through_grad():
    """An outer tape reaches what the differentiated function used: d/dw of (d/dx w x^2) = 2 x."""
    w = f64(3.0).requires_grad_()
    cr.grad(lambda x: w * x * x)(5.0).backward()
    assert w.grad.item() == 10.0


def test_grad_under_no_grad_still_works_and_records_nothing():
    w = f64(3.0).requires_grad_()
    with cr.no_grad():
        value, slope = cr.value_and_grad(lambda x: w * x * x)(5.0)
    assert (value.item(), slope.item(), value.requires_grad, slope.requires_grad) == (75.0, 30.0, False, False)


def test_grad_leaves_grad_cells_alone():
    x = f64(3.0).requires_grad_()
    assert cr.grad(lambda z: z * z)(x).item() == 6.0
    assert x.grad is None


def test_containers():
    def loss(parameters, x):
        return (x * parameters["w"] + parameters["layers"][0]).sum()

    found = cr.grad(loss)({"w": f64(2.0), "layers": [f64(1.0), f64(0.0)]}, f64([1.0, 2.0]))
    assert found["w"].item() == 3.0
    assert [g.item() for g in found["layers"]] == [2.0, 0.0]


def test_argnums():
    function = lambda x, y: x * x * y  # noqa: E731
    assert cr.grad(function, argnums=1)(f64(3.0), f64(2.0)).item() == 9.0
    assert cr.grad(function, argnums=-1)(f64(3.0), f64(2.0)).item() == 9.0
    assert [g.item() for g in cr.grad(function, argnums=(1, 0))(f64(3.0), f64(2.0))] == [9.0, 12.0]


def test_keyword_arguments_are_passed_on():
    assert cr.grad(lambda x, *, power: x**power)(f64(2.0), power=3).item() == 12.0


def test_has_aux():
    value_and_more = lambda x: (x * x, {"double": x * 2})  # noqa: E731
    slope, extra = cr.grad(value_and_more, has_aux=True)(f64(3.0))
    assert (slope.item(), extra["double"].item()) == (6.0, 6.0)
    (value, extra), slope = cr.value_and_grad(value_and_more, has_aux=True)(f64(3.0))
    assert (value.item(), extra["double"].item(), slope.item()) == (9.0, 6.0, 6.0)


def test_an_unused_argument_has_gradient_zero():
    assert cr.grad(lambda x, y: y * y)(f64([1.0, 2.0]), f64(3.0)).tolist() == [0.0, 0.0]


def test_grad_of_a_constant_function_is_zero():
    assert cr.grad(lambda x: f64(4.0))(f64([1.0, 2.0])).tolist() == [0.0, 0.0]


def test_vjp():
    result, pull = cr.vjp(lambda x, y: (x * y, x + y), f64([1.0, 2.0]), f64([3.0, 4.0]))
    assert [part.tolist() for part in result] == [[3.0, 8.0], [4.0, 6.0]]
    dx, dy = pull((f64([1.0, 1.0]), f64([10.0, 100.0])))
    assert (dx.tolist(), dy.tolist()) == ([13.0, 104.0], [11.0, 102.0])


def test_vjp_can_pull_several_times():
    _, pull = cr.vjp(cr.exp, f64([0.0, 1.0]))
    first, second = pull(f64([1.0, 0.0]))[0], pull(f64([0.0, 1.0]))[0]
    assert_close(first, [1.0, 0.0])
    assert_close(second, [0.0, np.e])


def test_a_pull_is_differentiable_by_its_upstream():
    """<g, J> is linear in g: its gradient is J applied to the covector."""
    _, pull = cr.vjp(lambda x: x**3, f64([1.0, 2.0]))
    assert cr.grad(lambda g: pull(g)[0].sum())(f64([5.0, 7.0])).tolist() == [3.0, 12.0]


def test_a_hessian_from_vjp_and_grad():
    function = lambda x: (x[0] ** 2 * x[1]).sum()  # noqa: E731
    _, pull = cr.vjp(cr.grad(function), f64([2.0, 3.0]))
    rows = [pull(f64(row))[0].tolist() for row in np.eye(2)]
    assert rows == [[6.0, 4.0], [4.0, 0.0]]


def test_transforms_work_under_jit():
    function = cr.jit(lambda x: x * cr.grad(lambda y: x * y * y)(x))
    assert function(f64(3.0)).item() == 54.0
    assert cr.grad(cr.jit(cr.grad(lambda x: x**4)))(f64(2.0)).item() == 48.0


# ---------------------------------------------------------------------------------------------------- errors
def test_the_result_must_be_a_scalar():
    assert message_of(GradientError, lambda: cr.grad(lambda x: x * 2)(f64([1.0, 2.0]))) == (
        "grad needs a function that returns a scalar tensor; this one returned a tensor of shape (2,): "
        "add .sum() or .mean()."
    )
    assert message_of(GradientError, lambda: cr.grad(lambda x: 3.0)(f64(1.0))) == (
        "grad needs a function that returns a scalar tensor; this one returned float: add .sum() or .mean()."
    )


def test_the_argument_must_be_a_float():
    assert message_of(DTypeError, lambda: cr.grad(lambda x: x * 1.0)(3)) == (
        "only float arguments have gradients; argument 0 is int64: use .astype(cr.float32)."
    )


def test_argnums_must_exist():
    assert message_of(IndexRangeError, lambda: cr.grad(lambda x: x, argnums=2)(1.0)) == (
        "argnums=2, but the function was called with 1 positional arguments."
    )


def test_the_upstream_gradient_has_the_containers_of_the_result():
    _, pull = cr.vjp(lambda x: (x, x), f64(1.0))
    assert message_of(GradientError, lambda: pull(f64(1.0))) == (
        "vjp: the upstream gradient must have the containers of the result."
    )


def test_the_result_of_vjp_stays_connected_to_an_outer_gradient():
    outer = cr.grad(lambda x: cr.vjp(lambda y: y * x * 3, x * 2)[0])
    assert outer(f64(5.0)).item() == 60.0  # d/dx 6 x^2
    y, _ = cr.vjp(lambda x: x * 3, f64(5.0))
    assert not y.requires_grad

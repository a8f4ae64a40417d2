"""primitive_jvp: the three forms of a forward rule, inputs that do not move, and errors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff.forward import primitive_jvp
from chainrule.core.errors import GradientError, ShapeError
from chainrule.core.primitive import PRIMITIVES, primitive
from chainrule.testing import assert_close


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


@pytest.fixture
def declare() -> Iterator:
    """Return `primitive`, and forget what it declared afterwards."""
    before = set(PRIMITIVES)
    yield primitive
    for name in set(PRIMITIVES) - before:
        del PRIMITIVES[name]


def test_a_derivative():
    y, t = primitive_jvp(PRIMITIVES["multiply"], [f64([2.0, 3.0]), f64([5.0, 7.0])], [f64([1.0, 1.0]), f64([1.0, 0.0])])
    assert (y.tolist(), t.tolist()) == ([10.0, 21.0], [7.0, 7.0])


def test_an_input_that_does_not_move():
    _, t = primitive_jvp(PRIMITIVES["multiply"], [f64([2.0, 3.0]), f64(5.0)], [None, f64(1.0)])
    assert t.tolist() == [2.0, 3.0]


def test_nothing_moves():
    y, t = primitive_jvp(PRIMITIVES["exp"], [f64(0.0)], [None])
    assert (y.item(), t) == (1.0, None)


def test_a_narrow_tangent_is_as_wide_as_the_output():
    _, t = primitive_jvp(PRIMITIVES["add"], [f64([[1.0], [2.0]]), f64([1.0, 2.0, 3.0])], [None, f64([1.0, 0.0, 2.0])])
    assert t.tolist() == [[1.0, 0.0, 2.0], [1.0, 0.0, 2.0]]


def test_linear_in_each_input():
    a, b, da, db = (np.random.default_rng(i).normal(size=(2, 2)) for i in range(4))
    _, t = primitive_jvp(PRIMITIVES["matmul"], [f64(a), f64(b)], [f64(da), f64(db)])
    assert_close(t, da @ b + a @ db)


def test_a_variadic_linear_primitive():
    _, t = primitive_jvp(PRIMITIVES["concat"], [f64([1.0]), f64([2.0, 3.0])], [None, f64([5.0, 7.0])], {"axis": 0})
    assert t.tolist() == [0.0, 5.0, 7.0]


def test_a_written_rule():
    x = f64([2.0, 3.0, 4.0])
    _, t = primitive_jvp(PRIMITIVES["prod"], [x], [f64([1.0, 0.0, 0.0])], {"axis": (0,), "keepdims": False})
    assert t.item() == 12.0


def test_a_constant_function_has_tangent_zero():
    _, t = primitive_jvp(PRIMITIVES["floor"], [f64([1.5, 2.5])], [f64([1.0, 1.0])])
    assert t.tolist() == [0.0, 0.0]


def test_integers_do_not_move():
    _, t = primitive_jvp(PRIMITIVES["equal"], [f64([1.0]), f64([1.0])], [f64([1.0]), None])
    assert t is None


def test_the_tangent_can_be_differentiated_backwards():
    """d/dx of (cos(x) dx) is -sin(x) dx: forward, then reverse."""
    x = f64([0.3, 1.0]).requires_grad_()
    _, t = primitive_jvp(PRIMITIVES["sin"], [x], [f64([1.0, 2.0])])
    t.sum().backward()
    assert_close(x.grad, -np.sin([0.3, 1.0]) * [1.0, 2.0])


def test_it_can_be_traced():
    step = cr.jit(lambda x, t: primitive_jvp(PRIMITIVES["exp"], [x], [t])[1])
    assert step(f64([0.0]), f64([3.0])).tolist() == [3.0]


def test_several_outputs(declare):
    both = declare(
        "sine_and_cosine",
        reference=lambda x: (np.sin(x), np.cos(x)),
        shape=lambda x: (x, x),
        multiple=True,
        vjp=lambda g, x: g[0] * cr.cos(x) - g[1] * cr.sin(x),
        jvp=lambda tangents, x: (tangents[0] * cr.cos(x), None),
    )
    (s, c), (ds, dc) = primitive_jvp(both, [f64(0.0)], [f64(2.0)])
    assert (s.item(), c.item(), ds.item(), dc) == (0.0, 1.0, 2.0, None)
    assert primitive_jvp(both, [f64(0.0)], [None])[1] == (None, None)


def test_a_tangent_of_another_shape():
    with pytest.raises(ShapeError) as error:
        primitive_jvp(PRIMITIVES["exp"], [f64([1.0, 2.0])], [f64(1.0)])
    assert error.value.message == (
        "primitive_jvp: input 0 of exp has the shape (2,) and its tangent (); they must be equal."
    )


def test_a_missing_rule_says_where_to_write_it(declare):
    odd = declare("odd", reference=lambda x: x, shape=lambda x: x, vjp=lambda g: g)
    with pytest.raises(GradientError) as error:
        primitive_jvp(odd, [f64(1.0)], [f64(1.0)])
    assert error.value.message == (
        "odd has no forward rule for input 0; add jvp= or linear= to its block in autodiff/test_forward.py."
    )

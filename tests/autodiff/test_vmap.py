"""vmap: the loop's results, its place among the other transforms, random numbers, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff.batching import has_rule
from chainrule.core.errors import GradientError, ShapeError, TraceError
from chainrule.core.primitive import PRIMITIVES
from chainrule.testing import assert_close, assert_equal


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


def rows(*shape):
    return f64(np.random.default_rng(0).standard_normal(shape))


def looped(function, *args):
    return cr.stack([function(*parts) for parts in zip(*args, strict=True)])


# ---------------------------------------------------------------------------------------------------- axes
def test_the_result_is_that_of_the_loop():
    x, y = rows(5, 3), rows(5, 3)
    assert_close(cr.vmap(lambda x, y: cr.tanh(x) @ y)(x, y), looped(lambda x, y: cr.tanh(x) @ y, x, y))


def test_axes_of_arguments_and_results():
    x, w = rows(3, 5), rows(3)
    got = cr.vmap(lambda x, w: x * w, in_axes=(1, None), out_axes=-1)(x, w)
    assert_equal(got, x * w[:, None])


def test_containers_and_results_that_are_the_same_for_all():
    x = rows(4, 2)
    got = cr.vmap(lambda d: {"double": d["x"] * 2, "same": cr.ones(3)})({"x": x})
    assert_equal(got["double"], x * 2)
    assert got["same"].shape == (4, 3)


def test_nested():
    x, y = rows(2, 3), rows(4, 3)
    got = cr.vmap(lambda a: cr.vmap(lambda b: a @ b)(y))(x)
    assert_close(got, x @ y.T)


def test_no_samples():
    got = cr.vmap(lambda x: cr.searchsorted(x, x) + 1)(cr.zeros((0, 3)))
    assert (got.shape, got.dtype) == ((0, 3), cr.int64)


def test_every_built_in_primitive_runs_on_the_whole_batch():
    without = [name for name, p in PRIMITIVES.items() if p.inputs and not has_rule(p)]
    assert without == [], f"add {', '.join(without)} to a family in autodiff/batching.py, or write a rule there"


# ---------------------------------------------------------------------------------------------------- other transforms
def loss(w, x):
    return cr.tanh(w @ x).sum()


def test_per_sample_gradients():
    w, x = rows(2, 3), rows(5, 3)
    got = cr.vmap(cr.grad(loss), in_axes=(None, 0))(w, x)
    assert_close(got, cr.stack([cr.grad(loss)(w, row) for row in x]))


def test_the_gradient_goes_through():
    w, x = rows(2, 3), rows(5, 3)
    got = cr.grad(lambda w: (cr.vmap(loss, in_axes=(None, 0))(w, x) ** 2).sum())(w)
    assert_close(got, cr.grad(lambda w: (looped(lambda row: loss(w, row), x) ** 2).sum())(w))


def test_the_gradient_of_per_sample_gradients():
    w, x = rows(2, 3), rows(5, 3)
    penalty = lambda w: (cr.vmap(cr.grad(loss, argnums=1), in_axes=(None, 0))(w, x) ** 2).sum()  # noqa: E731
    cr.check_gradients(penalty, w, order=1)


def test_a_variable_of_a_gradient_inside_leaves_no_trace_on_the_result():
    w, x = rows(3), rows(5, 3)
    got = cr.vmap(lambda x: cr.grad(lambda w: (w * 2 * x).sum())(w))(x)
    assert (got.requires_grad, got.tolist()) == (False, (x * 2).tolist())


def test_forward_mode_inside_and_outside():
    w, x, t = rows(2, 3), rows(5, 3), rows(5, 3)
    push = lambda x, t: cr.jvp(lambda x: loss(w, x), (x,), (t,))[1]  # noqa: E731
    inside = cr.vmap(push)(x, t)
    outside = cr.jvp(cr.vmap(lambda x: loss(w, x)), (x,), (t,))[1]
    assert_close(inside, looped(push, x, t))
    assert_close(outside, inside)


def test_parameters_from_outside_under_jit_are_state_and_not_constants():
    w = f64([1.0, 2.0]).requires_grad_()
    step = cr.jit(lambda x: cr.vmap(cr.grad(lambda x: (w * x * x).sum()))(x))
    assert step(cr.ones((3, 2), dtype=cr.float64)).tolist() == [[2.0, 4.0]] * 3
    with cr.no_grad():
        w.assign_(w * 10)
    assert step(cr.ones((3, 2), dtype=cr.float64)).tolist() == [[20.0, 40.0]] * 3


@pytest.mark.parametrize("outer", [lambda f: cr.vmap(f), lambda f: lambda x: cr.jvp(f, (x,), (cr.ones_like(x),))[1]])
def test_a_compiled_function_inside_a_transform_is_part_of_it(outer):
    compiled = cr.jit(lambda x: cr.sin(x) * x)
    x = rows(4)
    assert_equal(outer(compiled)(x), outer(lambda x: cr.sin(x) * x)(x))
    assert len(compiled.variants) == 0
    assert_close(cr.jit(outer(compiled))(x), outer(compiled)(x))


def test_a_convolution_with_filters_that_differ_by_sample():
    x, w = rows(4, 2, 3, 6, 6), rows(4, 4, 3, 3, 3)
    function = lambda x, w: (cr.conv2d(x, w, padding=1) ** 2).sum()  # noqa: E731
    got = cr.vmap(cr.grad(function, argnums=(0, 1)))(x, w)
    for part, want in zip(got, zip(*[cr.grad(function, argnums=(0, 1))(a, b) for a, b in zip(x, w)])):
        assert_close(part, cr.stack(list(want)))


# ---------------------------------------------------------------------------------------------------- random numbers
def test_each_sample_draws_numbers_of_its_own():
    x = cr.zeros(4)
    got = cr.vmap(lambda x: x + cr.random.uniform(3))(x)
    cr.manual_seed(0)
    assert_equal(got, cr.stack([cr.random.uniform(3) for _ in range(4)]))
    after = cr.random.uniform(1)
    cr.manual_seed(0)
    cr.vmap(lambda x: cr.random.uniform(3))(x)
    assert_equal(cr.random.uniform(1), after)  # as many numbers are used up


def test_all_samples_share_numbers_if_asked():
    got = cr.vmap(lambda x: x + cr.random.uniform(3), randomness="same")(cr.zeros(4))
    cr.manual_seed(0)
    assert_equal(got, cr.stack([cr.random.uniform(3)] * 4))


def test_random_numbers_in_nested_batches_and_under_jit_never_repeat():
    draw = cr.vmap(lambda _: cr.vmap(lambda _: cr.random.uniform(3))(cr.zeros(2)))
    numbers = draw(cr.zeros(4))
    assert len(set(numbers.numpy().ravel().tolist())) == 24
    cr.manual_seed(0)
    step = cr.jit(draw)
    assert_equal(step(cr.zeros(4)), numbers)
    assert not set(step(cr.zeros(4)).numpy().ravel().tolist()) & set(numbers.numpy().ravel().tolist())


def test_samples_with_generators_of_their_own():
    def draw(seed):
        generator = cr.Generator(0)
        generator.key.assign_(seed)
        return cr.random.uniform(2, generator=generator)

    got = cr.vmap(draw)(cr.asarray([3, 5], dtype=cr.uint64))
    assert_equal(got, cr.stack([cr.random.uniform(2, generator=cr.Generator(seed)) for seed in (3, 5)]))


# ---------------------------------------------------------------------------------------------------- cells
def test_a_cell_made_inside_may_be_assigned():
    def total(x):
        found = cr.zeros((), dtype=cr.float64)
        for part in x:
            found += part
        return found

    x = rows(4, 3)
    assert_close(cr.vmap(total)(x), x.sum(axis=1))


def test_a_cell_from_outside_keeps_what_is_the_same_for_all():
    count = cr.zeros(())

    def function(x):
        count.assign_(count + 1)
        return x

    cr.vmap(function)(rows(4, 3))
    assert count.item() == 1.0


def test_a_cell_from_outside_is_not_assigned_what_differs_by_sample():
    last = f64([0.0, 7.0])
    with pytest.raises(TraceError) as error:
        cr.vmap(lambda x: (last.assign_(x), x.sum())[1])(rows(4, 2))
    assert error.value.message == (
        "inside vmap a tensor of shape (2,) from outside was assigned a value that differs by sample. "
        "Return the value from the function instead, or assign what is the same for all samples."
    )
    assert last.tolist() == [0.0, 7.0]


def test_backward_inside_does_not_leave_its_gradient_outside():
    w = f64([1.0, 2.0]).requires_grad_()
    with pytest.raises(GradientError) as error:
        cr.vmap(lambda x: (w * x).sum().backward())(rows(4, 2))
    assert error.value.message == (
        "backward inside vmap would put a value of this vmap into the .grad of a tensor from outside, which outlives "
        "it. Use cr.grad inside, and return the gradient."
    )
    assert w.grad is None


def test_backward_inside_serves_leaves_made_inside():
    def gradient(x):
        x = x.detach().requires_grad_()
        (x * x).sum().backward()
        return x.grad

    x = rows(4, 2)
    assert_equal(cr.vmap(gradient)(x), x * 2)


# ---------------------------------------------------------------------------------------------------- errors
def test_errors():
    with pytest.raises(ShapeError) as error:
        cr.vmap(lambda x, y: x)(cr.ones((2, 3)), cr.ones((3, 3)))
    assert error.value.message == "vmap: the arguments need one common number of samples; they have 2, 3 samples."
    with pytest.raises(ShapeError) as error:
        cr.vmap(lambda x: x, in_axes=(None,))(cr.ones(2))
    assert error.value.message == "vmap: the arguments need one common number of samples; none has one."
    with pytest.raises(ShapeError) as error:
        cr.vmap(lambda x: x)(cr.ones(()))
    assert error.value.message == "vmap: an argument without axes has no sample axis; give None for it in in_axes."
    with pytest.raises(ShapeError) as error:
        cr.vmap(lambda x: x, in_axes=(0, 0))(cr.ones(2))
    assert error.value.message == "vmap: in_axes has 2 entries, and the function was called with 1 arguments."
    with pytest.raises(ValueError, match=r"^vmap\.randomness must be 'different' or 'same'; got 'none'\.$"):
        cr.vmap(lambda x: x, randomness="none")


def test_a_value_that_is_asked_for():
    with pytest.raises(TraceError) as error:
        cr.vmap(lambda x: x if x > 0 else -x)(cr.ones(3))
    assert error.value.message == (
        "bool() asks for the value of a tensor inside vmap, which has one for each of 3 samples. Use cr.where instead "
        "of `if`, or return the tensor and read it after the call."
    )


def test_a_value_that_outlives_its_call():
    kept = []
    cr.vmap(lambda x: kept.append(x) or x)(cr.ones(3))
    with pytest.raises(TraceError, match=r"a tensor f32\[\] made inside vmap is used after its vmap ended"):
        kept[0] + 1

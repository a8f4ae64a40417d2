"""Reverse mode on the tape: sums over paths, long chains, freed tapes, what accumulates where, and freed memory."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import GradientError, ShapeError
from chainrule.testing import assert_close


def message_of(kind, call):
    with pytest.raises(kind) as error:
        call()
    return error.value.message


def leaf(value):
    return cr.asarray(value, dtype=cr.float64).requires_grad_()


# ---------------------------------------------------------------------------------------------------- paths
def test_the_course_example():
    """f(x, y, z) = (x + y) z at (-2, 5, -4): the first graph of every course."""
    x, y, z = leaf(-2.0), leaf(5.0), leaf(-4.0)
    ((x + y) * z).backward()
    assert (x.grad.item(), y.grad.item(), z.grad.item()) == (-4.0, -4.0, 3.0)


def test_a_diamond_adds_both_paths():
    x = leaf(3.0)
    a, b = x * 2, x * 5
    (a * b).backward()  # 10 x^2
    assert x.grad.item() == 60.0


def test_one_tensor_used_many_times():
    x = leaf(2.0)
    (x * x * x + x + x).backward()
    assert x.grad.item() == 14.0


def test_nodes_are_visited_once():
    """Thirty diamonds in a row have 2^30 paths, and 60 nodes."""
    x = leaf(1.0)
    y = x
    for _ in range(30):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**30


def test_broadcasting_is_undone():
    w, b = leaf(np.ones((4, 1))), leaf(np.ones(3))
    (w * b).sum().backward()
    assert_close(w.grad, np.full((4, 1), 3.0))
    assert_close(b.grad, np.full(3, 4.0))


def test_a_cast_gives_the_gradient_in_the_inputs_dtype():
    x = cr.ones(2).requires_grad_()
    (x.astype(cr.float64) * 2.5).sum().backward()
    assert (x.grad.dtype, x.grad.tolist()) == (cr.float32, [2.5, 2.5])


def test_inputs_that_need_no_gradient_get_none():
    x, y = leaf(1.0), cr.asarray(2.0, dtype=cr.float64)
    (x * y).backward()
    assert y.grad is None


def test_detach_and_no_grad_cut_the_path():
    x = leaf(3.0)
    with cr.no_grad():
        constant = x * x
    (x.detach() * x + constant * x).backward()
    assert x.grad.item() == 12.0
    assert (constant.requires_grad, constant.is_leaf) == (False, True)


def test_no_grad_decorates_a_recursive_function():
    @cr.no_grad
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    x = leaf(2.0)
    assert power(x, 3).requires_grad is False
    assert cr.is_grad_enabled()
    with cr.no_grad(), cr.enable_grad():
        assert (x * 2).requires_grad


def test_the_grad_mode_is_restored_after_an_error():
    with contextlib.suppress(ZeroDivisionError), cr.no_grad():
        _ = 1 / 0
    assert cr.is_grad_enabled()


# ---------------------------------------------------------------------------------------------------- long chains
def test_a_chain_of_100_000_operations():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1.0


def test_a_chain_of_100_000_operations_is_deallocated_without_backward():
    """Nodes point to nodes; freeing the last one must not recurse once per operation."""
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    first = weakref.ref(x.numpy().base)
    del x, y
    assert first() is None


# ---------------------------------------------------------------------------------------------------- once, twice, kept
def test_a_second_backward_names_the_freed_tape():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    assert message_of(GradientError, y.backward) == (
        "the tape of this result was freed by an earlier backward (at operation sum); "
        "write backward(retain_graph=True) on the first call to keep it."
    )
    assert x.grad.tolist() == [2.0, 4.0]


def test_a_tape_freed_further_down_is_named_where_it_ends():
    x = leaf(2.0)
    h = x * x
    first, second = h * 3, cr.exp(h)
    first.backward()
    assert message_of(GradientError, second.backward) == (
        "the tape of this result was freed by an earlier backward (at operation multiply); "
        "write backward(retain_graph=True) on the first call to keep it."
    )


def test_retain_graph_keeps_the_tape_and_gradients_add_up():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_gradients_accumulate_over_losses():
    x = leaf(2.0)
    for factor in (1.0, 10.0, 100.0):
        (x * factor).backward()
    assert x.grad.item() == 111.0


def test_an_accumulated_gradient_is_a_new_tensor():
    """A gradient that a user holds is not changed by the next backward."""
    x = leaf(2.0)
    (x * 3).backward()
    held = x.grad
    (x * 4).backward()
    assert (held.item(), x.grad.item()) == (3.0, 7.0)


def test_create_graph_gives_gradients_that_can_be_differentiated():
    x = leaf(2.0)
    (x**4).backward(create_graph=True)
    first = x.grad
    assert (first.item(), first.requires_grad) == (32.0, True)
    x.grad = None
    first.backward()
    assert x.grad.item() == 48.0


def test_gradients_do_not_require_gradients_by_default():
    x = leaf(2.0)
    (x**4).backward()
    assert x.grad.requires_grad is False


def test_an_upstream_gradient():
    x = leaf([1.0, 2.0])
    (x * x).backward(cr.asarray([1.0, 10.0], dtype=cr.float64))
    assert x.grad.tolist() == [2.0, 40.0]


def test_retain_grad_stores_the_gradient_of_an_intermediate_result():
    x = leaf([1.0, 2.0])
    h = (x * 3).retain_grad()
    (h * h).sum().backward()
    assert h.grad.tolist() == [6.0, 12.0]
    assert x.grad.tolist() == [18.0, 36.0]


def test_an_intermediate_result_keeps_no_gradient_unasked():
    x = leaf([1.0, 2.0])
    h = x * 3
    (h * h).sum().backward()
    assert h.grad is None


def test_a_function_of_several_outputs():
    x = leaf([3.0, 1.0, 2.0])
    first, rest = x[:1], x[1:]
    (first.sum() * rest.sum()).backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


# ---------------------------------------------------------------------------------------------------- errors
def test_a_result_that_is_no_scalar():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(GradientError) as error:
        y.backward()
    assert error.value.message == (
        "backward needs a scalar; this tensor has the shape (2,). "
        "Reduce it first, with .sum() or .mean(), or pass the upstream gradient: backward(gradient)."
    )
    here = test_a_result_that_is_no_scalar.__code__.co_firstlineno
    assert error.value.location == f"test_backward.py:{here + 3}"


def test_nothing_recorded():
    words = (
        "backward on a tensor that nothing was recorded for: no input required a gradient, or it was computed "
        "under no_grad. Call requires_grad_() on an input before computing."
    )
    assert message_of(GradientError, cr.ones(()).backward) == words
    x = leaf(1.0)
    with cr.no_grad():
        y = x * 2
    assert message_of(GradientError, y.backward) == words


def test_an_upstream_gradient_of_another_shape():
    y = leaf([1.0, 2.0]) * 2
    assert message_of(ShapeError, lambda: y.backward(cr.ones(3))) == (
        "backward: the upstream gradient has the shape (3,) and the tensor (2,)."
    )


def test_retain_grad_of_what_needs_no_gradient():
    assert message_of(GradientError, cr.ones(2).retain_grad) == (
        "retain_grad: this tensor does not require a gradient; call requires_grad_() on an input."
    )


# ---------------------------------------------------------------------------------------------------- gradients()
def test_gradients_returns_without_touching_grad():
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    y = h * h
    dx, dw, dh = cr.gradients([y], [x, w, h], retain_graph=True)
    assert (dx.item(), dw.item(), dh.item()) == (36.0, 24.0, 12.0)
    assert x.grad is None
    assert w.grad is None


def test_gradients_by_something_unrelated_is_none():
    x, z = leaf(2.0), leaf(1.0)
    assert cr.gradients([x * x], [x, z])[1] is None


def test_gradients_of_several_outputs_add_up():
    x = leaf([1.0, 2.0])
    (dx,) = cr.gradients([x * 2, x * x], [x], [cr.ones(2, dtype=cr.float64), cr.asarray([1.0, 3.0], dtype=cr.float64)])
    assert dx.tolist() == [4.0, 14.0]


def test_gradients_keeps_the_tape_beyond_its_inputs():
    """Only what was used up is freed: the way from x to h was not."""
    x = leaf(2.0)
    h = x * x
    cr.gradients([h * 3], [h])
    (h * 5).backward()
    assert x.grad.item() == 20.0


def test_gradients_by_an_input_that_requires_none():
    x = leaf(2.0)
    assert message_of(GradientError, lambda: cr.gradients([x * x], [x, cr.ones(())])) == (
        "gradients: input 1 does not require a gradient; call requires_grad_() on it first."
    )


# ---------------------------------------------------------------------------------------------------- memory
@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off: only reference counts free memory, so a cycle would stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _block(x):
    @cr.custom_gradient
    def block(z):
        y = cr.exp(z)
        return y, lambda g: g * y

    return block(x)


GRAPHS = {
    "kept output": lambda x: cr.exp(x).sum(),
    "kept inputs": lambda x: (x * x / (x + 3)).sum(),
    "matmul": lambda x: (cr.reshape(x, (2, 2)) @ cr.reshape(x, (2, 2))).sum(),
    "indexing": lambda x: (x[1:] * x[cr.asarray([0, 0, 1])]).sum(),
    "custom": lambda x: _block(x).sum(),
    "jit": lambda x: cr.jit(lambda z: cr.exp(z).sum())(x),
    "grad of grad": lambda x: cr.grad(lambda z: (cr.grad(lambda u: (u**3).sum())(z) ** 2).sum())(x).sum(),
    "create_graph": lambda x: cr.gradients([cr.exp(x).sum()], [x], create_graph=True)[0].sum(),
    "retained": lambda x: (x * 2).retain_grad().sum(),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("backward", [True, False], ids=["after backward", "without backward"])
@pytest.mark.usefixtures("no_collector")
def test_no_reference_cycle_keeps_memory(name, backward):
    x = leaf([1.0, 2.0, 0.5, 1.5])
    y = GRAPHS[name](x)
    buffers = [weakref.ref(x._value), weakref.ref(y._value)]
    node = y._node
    kept = [weakref.ref(item.value) for item in (node.kept or {}).values() if hasattr(item, "value")]
    if backward and y.requires_grad:
        y.backward()
    del x, y, node
    assert [buffer() for buffer in buffers + kept if buffer() is not None] == []


@pytest.mark.usefixtures("no_collector")
def test_backward_frees_what_the_rules_kept():
    x = leaf(np.ones(4))
    h = cr.exp(x)
    inner = weakref.ref(h._value)
    y = (h * h).sum()
    del h
    assert inner() is not None  # kept for the gradient of the product
    y.backward()
    assert inner() is None
    assert y.item() == pytest.approx(4 * np.e**2)

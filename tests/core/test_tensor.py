"""A tensor is a cell with an immutable buffer: assigning never changes what a tape, view or export holds."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, GradientError, ShapeError
from chainrule.core.tensor import Parameter, Tensor


def raised(kind, call):
    with pytest.raises(kind) as error:
        call()
    return error.value.message


# ---------------------------------------------------------------------------------------------------- the cell
def test_assign_puts_a_new_buffer_into_the_cell_and_counts():
    x = cr.asarray([1.0, 2.0])
    view, export, before = x.numpy(), np.asarray(x), x.version
    assert x.assign_(cr.asarray([5.0, 6.0])) is x
    assert x.tolist() == [5.0, 6.0]
    assert view.tolist() == export.tolist() == [1.0, 2.0]
    assert (before, x.version) == (0, 1)


def test_assign_leaves_old_gradients_exact():
    """d(x^2)/dx at the value x had when the operation was recorded."""
    w = cr.asarray([2.0, 3.0]).requires_grad_()
    y = (w * w).sum()
    with cr.no_grad():
        w.assign_(cr.asarray([100.0, 100.0]))
    y.backward()
    assert w.grad.tolist() == [4.0, 6.0]


def test_an_intermediate_result_that_is_assigned_keeps_the_old_tape():
    w = cr.asarray([2.0]).requires_grad_()
    h = w * 3
    y = h * h
    h += 1  # a new buffer and a new place on the tape for the cell, none for y
    y.sum().backward()
    assert w.grad.tolist() == [36.0]
    assert h.tolist() == [7.0]


def test_an_assigned_result_is_differentiable_through_its_new_value():
    w = cr.asarray([2.0]).requires_grad_()
    h = w * 3
    h.assign_(h * w)  # 3 w^2
    h.sum().backward()
    assert w.grad.tolist() == [12.0]


def test_setitem_assigns_the_cell_and_slices_do_not_write_through():
    x = cr.zeros(3)
    part, export = x[1:], x.numpy()
    x[1] = 7.0
    assert x.tolist() == [0.0, 7.0, 0.0]
    assert part.tolist() == [0.0, 0.0]
    assert export.tolist() == [0.0, 0.0, 0.0]
    part[0] = 5.0
    assert x.tolist() == [0.0, 7.0, 0.0]


def test_exports_are_read_only():
    x = cr.ones(2)
    for export in (x.numpy(), np.asarray(x), np.from_dlpack(x)):
        with pytest.raises(ValueError, match="read-only"):
            export[0] = 5.0
    assert x.tolist() == [1.0, 1.0]


def test_a_copy_of_an_export_is_writable():
    x = cr.ones(2)
    mine = np.array(x)
    mine[0] = 5.0
    assert x.tolist() == [1.0, 1.0]
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy=False was given"):
        np.asarray(x, dtype=np.float64, copy=False)


@pytest.mark.parametrize(
    "value, kind, message",
    [
        (cr.zeros(3), ShapeError, "assign_: the cell has the shape (2,) and the value (3,); they must be equal."),
        (
            cr.zeros(2, dtype=cr.float64),
            DTypeError,
            "assign_: the cell is float32 and the value float64; write .astype(cr.float32).",
        ),
    ],
)
def test_assign_refuses_what_does_not_fit(value, kind, message):
    x = cr.zeros(2)
    assert raised(kind, lambda: x.assign_(value)) == message
    assert (x.version, x.tolist()) == (0, [0.0, 0.0])


def test_a_leaf_assigned_while_recording_names_the_line():
    w = cr.zeros(2).requires_grad_()
    with pytest.raises(GradientError) as error:
        w.assign_(cr.ones(2))
    assert error.value.message == (
        "a leaf that requires a gradient was assigned while operations are recorded; "
        "put the assignment into `with cr.no_grad():`, or assign to a copy."
    )
    here = test_a_leaf_assigned_while_recording_names_the_line.__code__.co_firstlineno
    assert error.value.location == f"test_tensor.py:{here + 3}"
    assert w.tolist() == [0.0, 0.0]


# ------------------------------------------------------------------------------------------------- Python's protocols
def test_hash_is_by_identity():
    x, y = cr.ones(2), cr.ones(2)
    assert hash(x) != hash(y)
    assert {x: "x", y: "y"}[x] == "x"
    before = hash(x)
    x.assign_(cr.zeros(2))
    assert hash(x) == before


def test_len_and_iteration():
    x = cr.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert len(x) == 3
    assert [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    scalar = cr.asarray(1.0)
    assert (
        raised(ShapeError, lambda: len(scalar))
        == "len() of a tensor without axes: its shape is (); use .size, which is 1."
    )
    assert raised(ShapeError, lambda: list(scalar)) == "a tensor without axes can't be iterated; its shape is ()."


def test_rows_of_an_iteration_are_differentiable():
    x = cr.asarray([1.0, 2.0]).requires_grad_()
    a, b = x
    (a * b).backward()
    assert x.grad.tolist() == [2.0, 1.0]


def test_numbers():
    assert float(cr.asarray(2.5)) == 2.5
    assert int(cr.asarray([3])) == 3
    assert [10, 20, 30][cr.asarray(1)] == 20
    assert bool(cr.asarray(0.0)) is False
    assert isinstance(cr.asarray(True).item(), bool)
    assert isinstance(cr.asarray(2).item(), int)
    assert isinstance(cr.asarray([1.5], dtype=cr.bfloat16).item(), float)
    assert f"{cr.asarray(1.23456):.2f}" == "1.23"


@pytest.mark.parametrize(
    "wish, call, message",
    [
        (
            "item",
            lambda x: x.item(),
            "item() needs exactly one element; this tensor has the shape (2,): use .tolist().",
        ),
        ("bool", bool, "bool() needs exactly one element; this tensor has the shape (2,)."),
        ("float", float, "float() needs exactly one element; this tensor has the shape (2,)."),
        ("int", int, "int() needs exactly one element; this tensor has the shape (2,)."),
    ],
)
def test_a_number_of_several_elements_is_refused(wish, call, message):
    assert raised(ShapeError, lambda: call(cr.ones(2))) == message


def test_only_an_integer_is_an_index():
    assert raised(DTypeError, lambda: [1, 2][cr.asarray(1.0)]) == (
        "only an integer tensor can be an index; this one is float32."
    )
    assert raised(DTypeError, lambda: [1, 2][cr.asarray(True)]) == (
        "only an integer tensor can be an index; this one is bool."
    )


def test_attributes():
    x = cr.zeros((2, 3), dtype=cr.bfloat16)
    assert (x.shape, x.ndim, x.size, x.nbytes, x.dtype, x.device) == ((2, 3), 2, 6, 12, cr.bfloat16, "cpu")


def test_repr_shows_values_shape_and_dtype():
    assert repr(cr.asarray([1, 2])) == "tensor([1, 2], shape=(2,), dtype=int64)"
    assert repr(cr.asarray(1.5).requires_grad_()) == "tensor(1.5, shape=(), dtype=float32, requires_grad=True)"
    assert repr(Parameter(cr.zeros(1))) == (
        "Parameter containing:\ntensor([0.], shape=(1,), dtype=float32, requires_grad=True)"
    )
    assert "..." in repr(cr.zeros((1000, 1000)))


# ------------------------------------------------------------------------------------------------- requires_grad, grad
def test_only_floats_have_gradients():
    assert raised(DTypeError, lambda: cr.arange(3).requires_grad_()) == (
        "only float tensors have gradients; this one is int64: use .astype(cr.float32)."
    )


def test_requires_grad_can_be_switched_off_on_leaves_only():
    x = cr.ones(2).requires_grad_()
    y = x * 2
    assert (x.is_leaf, y.is_leaf, cr.ones(1).is_leaf) == (True, False, True)
    assert raised(GradientError, lambda: y.requires_grad_(False)) == (
        "requires_grad can't be switched off on a result of recorded operations; use .detach()."
    )
    x.requires_grad = False
    assert (x * 2).requires_grad is False


def test_grad_must_fit():
    x = cr.ones(2).requires_grad_()
    assert raised(ShapeError, lambda: setattr(x, "grad", cr.ones(3))) == (
        "grad must be None or a tensor of shape (2,); got a tensor of shape (3,)."
    )
    assert raised(ShapeError, lambda: setattr(x, "grad", 1.0)) == (
        "grad must be None or a tensor of shape (2,); got float."
    )
    x.grad = cr.full((2,), 3.0)
    assert x.grad.tolist() == [3.0, 3.0]
    x.grad = None
    assert x.grad is None


def test_detach_shares_the_buffer_and_not_the_cell():
    x = cr.ones(2).requires_grad_()
    y = x.detach()
    assert np.shares_memory(x.numpy(), y.numpy())
    y.assign_(cr.zeros(2))
    assert x.tolist() == [1.0, 1.0]


# ---------------------------------------------------------------------------------------------------- copies
@pytest.mark.parametrize("dtype", [cr.float32, cr.bfloat16, cr.int64, cr.bool], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    "through", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_copies_are_new_cells_with_the_same_bits(dtype, through):
    x = cr.asarray([[0, 1], [1, 1]], dtype=dtype)
    y = through(x)
    assert y is not x
    assert (y.dtype, y.tolist(), y.requires_grad) == (dtype, x.tolist(), False)
    y.assign_(cr.zeros((2, 2), dtype=dtype))
    assert x.tolist() == cr.asarray([[0, 1], [1, 1]], dtype=dtype).tolist()


@pytest.mark.parametrize(
    "through", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_copies_of_parameters_keep_class_gradient_and_attributes(through):
    p = Parameter(cr.asarray([1.0, 2.0]))
    p.label = "weight"
    (p * p).sum().backward()
    q = through(p)
    assert (type(q), q.requires_grad, q.is_leaf, q.label) == (Parameter, True, True, "weight")
    assert q.grad.tolist() == [2.0, 4.0]
    (q * 3).sum().backward()
    assert (q.grad.tolist(), p.grad.tolist()) == ([5.0, 7.0], [2.0, 4.0])


def test_deepcopy_keeps_shared_tensors_shared():
    x = cr.ones(2)
    a, b = copy.deepcopy([x, x])
    assert a is b


def test_a_recorded_result_is_not_deep_copied():
    y = cr.ones(2).requires_grad_() * 2
    assert raised(GradientError, lambda: copy.deepcopy(y)) == (
        "only leaves can be deep-copied; this tensor is a recorded result: use .detach() first."
    )


def test_a_pickled_result_is_a_plain_tensor():
    y = cr.ones(2).requires_grad_() * 2
    z = pickle.loads(pickle.dumps(y))
    assert (type(z), z.requires_grad, z.tolist()) == (Tensor, False, [2.0, 2.0])


def test_a_parameter_must_be_a_float():
    assert raised(DTypeError, lambda: Parameter(cr.arange(2))) == (
        "only float tensors have gradients; this one is int64: use .astype(cr.float32)."
    )
    assert Parameter(cr.ones(2), requires_grad=False).requires_grad is False


def test_the_buffer_protocol_gives_a_read_only_view():
    """From Python 3.12 on `memoryview(x)` asks the same method; before, only C code can offer a buffer."""
    x = cr.asarray([[1.0, 2.0], [3.0, 4.0]])
    view = memoryview(x) if sys.version_info >= (3, 12) else x.__buffer__(0)
    assert (view.tolist(), view.format, view.readonly) == ([[1.0, 2.0], [3.0, 4.0]], "f", True)

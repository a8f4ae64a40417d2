"""Operators and methods of Tensor: one table, both sides, in place, and what they say when they can't."""

from __future__ import annotations

import inspect
import operator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, GradientError, ShapeError
from chainrule.ops import operators

FLOATS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow]
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
A, B = np.array([[1.5, 2.0, 0.5]]), np.array([[2.0], [0.5]])


def _same(got: Any, want: np.ndarray) -> None:
    assert isinstance(got, cr.Tensor)
    assert (got.shape, got.dtype.name) == (want.shape, want.dtype.name)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-14)


@pytest.mark.parametrize("op", [*FLOATS, *COMPARISONS], ids=lambda op: op.__name__)
def test_arithmetic_and_comparison_on_both_sides(op: Any) -> None:
    x, y = cr.asarray(A), cr.asarray(B)
    _same(op(x, y), op(A, B))
    _same(op(x, B), op(A, B))
    _same(op(A, y), op(A, B))
    _same(op(x, 2), op(A, 2))
    _same(op(2, x), op(2, A))
    _same(op(np.float64(1.5), x), op(1.5, A))


@pytest.mark.parametrize("op", BITS, ids=lambda op: op.__name__)
def test_bits_on_both_sides(op: Any) -> None:
    a, b = np.array([6, 3, 1]), np.array([1, 2, 3])
    x, y = cr.asarray(a), cr.asarray(b)
    _same(op(x, y), op(a, b))
    _same(op(a, y), op(a, b))
    _same(op(2, y), op(2, b))
    _same(op(x, 1), op(a, 1))


def test_unary_operators() -> None:
    x = cr.asarray(A - 1)
    for got, want in ((-x, 1 - A), (+x, A - 1), (abs(x), abs(A - 1))):
        _same(got, want)
    _same(~cr.asarray([True, False]), np.array([False, True]))
    _same(~cr.asarray([5, -1]), np.array([-6, 0]))


def test_matrix_product_on_both_sides() -> None:
    x, y = cr.asarray(A), cr.asarray(A.T)
    _same(x @ y, A @ A.T)
    _same(A @ y, A @ A.T)
    _same(x @ A.T, A @ A.T)


def test_numbers_are_weak() -> None:
    for dtype in ("bfloat16", "float32", "float64"):
        x = cr.ones(2, dtype=dtype)
        assert {(x + 1).dtype, (2.5 * x).dtype, (x**2).dtype, (x * True).dtype} == {x.dtype}
    assert (cr.arange(2, dtype=cr.int8) + 1).dtype is cr.int8
    assert (cr.arange(2) * 0.5).dtype is cr.float32
    assert (cr.arange(2) / 2).dtype is cr.float32


@pytest.mark.parametrize(
    "op, function", [("iadd", "+"), ("isub", "-"), ("imul", "*"), ("itruediv", "/"), ("ipow", "**")]
)
def test_in_place_puts_a_new_buffer_into_the_same_cell(op: str, function: str) -> None:
    x = cr.asarray([2.0, 4.0])
    y, before, array = x, x.detach(), x.numpy()
    y = getattr(operator, op)(y, 2)
    want = eval(f"np.array([2.0, 4.0]) {function} 2")
    assert y is x
    assert (x.tolist(), x.version) == (want.tolist(), 1)
    assert (before.tolist(), array.tolist()) == ([2.0, 4.0], [2.0, 4.0])


def test_in_place_on_a_recorded_result_is_differentiated() -> None:
    x = cr.asarray([1.0, 2.0]).requires_grad_()
    y = x * 1
    y *= x
    y += x
    cr.sum(y).backward()
    assert x.grad.tolist() == [3.0, 5.0]


def test_other_objects_get_pythons_own_answer() -> None:
    x = cr.ones(2)
    assert (x == None) is False  # noqa: E711 - what is tested
    assert (x != "text") is True
    assert (x == [1.0, 1.0]) is False
    assert x in {x: 1}
    with pytest.raises(TypeError, match=r"^unsupported operand type\(s\) for \+: 'Tensor' and 'list'$"):
        x + [1.0, 2.0]
    with pytest.raises(TypeError, match=r"^unsupported operand type\(s\) for \+=: 'Tensor' and 'NoneType'$"):
        x += None


METHODS = [
    ("sum", (1,), {}),
    ("mean", (), {"axis": 0, "keepdims": True}),
    ("max", (1,), {}),
    ("min", (), {}),
    ("prod", (0,), {}),
    ("var", (), {"correction": 1}),
    ("std", (1,), {}),
    ("any", (), {}),
    ("all", (0,), {}),
    ("argmax", (1,), {}),
    ("argmin", (), {}),
    ("flatten", (), {}),
    ("squeeze", (), {}),
    ("expand_dims", (1,), {}),
    ("astype", (cr.float32,), {}),
    ("broadcast_to", ((2, 3, 2),), {}),
    ("swapaxes", (0, 1), {}),
    ("clip", (0.5, 1.5), {}),
    ("softmax", (), {"axis": 1}),
    ("log_softmax", (), {"axis": 1}),
    *[(name, (), {}) for name in ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "abs", "square")],
]


@pytest.mark.parametrize("name, arguments, keywords", METHODS, ids=[row[0] for row in METHODS])
def test_a_method_is_the_function(name: str, arguments: tuple, keywords: dict) -> None:
    x = cr.asarray([[1.0, 2.0], [0.5, 3.0], [1.0, 1.0]])
    got, want = getattr(x, name)(*arguments, **keywords), getattr(cr, name)(x, *arguments, **keywords)
    assert got.dtype is want.dtype
    np.testing.assert_array_equal(got.numpy(), want.numpy())
    assert inspect.getdoc(getattr(cr.Tensor, name)) == inspect.getdoc(getattr(cr, name))


def test_every_method_of_the_table_is_tested_above() -> None:
    assert set(operators.METHODS) == {name for name, *_ in METHODS} | {"matmul"}


def test_sizes_may_be_given_one_by_one() -> None:
    x = cr.ones((2, 3, 4))
    assert x.reshape(6, 4).shape == x.reshape((6, -1)).shape == (6, 4)
    assert x.reshape(-1).shape == (24,)
    assert x.permute_dims(2, 0, 1).shape == x.permute_dims((2, 0, 1)).shape == (4, 2, 3)
    assert x.reshape(24).permute_dims(0).shape == (24,)
    assert x.matmul(cr.ones((4, 1))).shape == (2, 3, 1)


def test_transposes() -> None:
    x = cr.asarray([[1, 2, 3]])
    assert x.T.tolist() == [[1], [2], [3]]
    assert cr.ones((5, 2, 3)).mT.shape == (5, 3, 2)


def test_the_array_api_finds_its_namespace() -> None:
    x = cr.ones(2)
    assert x.__array_namespace__() is cr
    assert x.__array_namespace__(api_version="2024.12") is cr
    assert x.to_device("cpu") is x
    assert x.device == "cpu"


REFUSED = [
    (
        lambda x: x.T,
        ShapeError,
        ".T needs a matrix; this tensor has the shape (2,): use .mT for stacks of matrices, or permute_dims.",
    ),
    (lambda x: x.mT, ShapeError, "matrix_transpose needs at least two axes; got the shape (2,)."),
    (
        lambda x: operator.iadd(cr.arange(2), 0.5),
        DTypeError,
        "add: the result is float32 and the tensor assigned to is int64; "
        "convert the result with .astype(cr.int64), or write x = x ... to make a new tensor.",
    ),
    (
        lambda x: operator.iadd(x, cr.ones((3, 2))),
        ShapeError,
        "assign_: the cell has the shape (2,) and the value (3, 2); they must be equal.",
    ),
    (
        lambda x: operator.imul(x.requires_grad_(), 2),
        GradientError,
        "a leaf that requires a gradient was assigned while operations are recorded; "
        "put the assignment into `with cr.no_grad():`, or assign to a copy.",
    ),
    (lambda x: x.to_device("cuda"), ValueError, "to_device.device must be None or \"cpu\"; got 'cuda'."),
    (
        lambda x: x.__array_namespace__(api_version="2030.12"),
        ValueError,
        "__array_namespace__.api_version must be None or at most '2024.12'; got '2030.12'.",
    ),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call(cr.ones(2))
    assert getattr(error.value, "message", str(error.value)) == message

"""Filled and counted tensors: dtypes, values as NumPy's, the same under jit, whole error messages."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError


@pytest.mark.parametrize("dtype", [None, "float64", "bfloat16", "int8", "uint64", "bool"])
def test_filled_tensors(dtype: str | None) -> None:
    for make, value in ((cr.zeros, 0), (cr.ones, 1), (cr.empty, 0)):
        got = make((2, 3), dtype=dtype)
        assert got.dtype.name == (dtype or "float32")
        assert got.astype(cr.int64).tolist() == [[value] * 3] * 2


def test_full_takes_the_dtype_of_its_value() -> None:
    assert cr.full(2, True).dtype is cr.bool
    assert cr.full(2, 3).dtype is cr.int64
    assert cr.full(2, 3.0).dtype is cr.float32
    assert cr.full(2, 3, dtype=cr.uint8).tolist() == [3, 3]
    assert cr.full((), 3).shape == ()


def test_full_of_a_tensor_is_differentiable() -> None:
    value = cr.asarray(2.0).requires_grad_()
    cr.sum(cr.full((2, 3), value)).backward()
    assert value.grad.item() == 6.0


def test_likes_take_shape_and_dtype() -> None:
    x = cr.zeros((2, 1), dtype=cr.int16)
    for make, value in ((cr.zeros_like, 0), (cr.ones_like, 1), (cr.empty_like, 0)):
        assert (make(x).dtype, make(x).tolist()) == (cr.int16, [[value], [value]])
    assert cr.full_like(x, 7, dtype=cr.float64).tolist() == [[7.0], [7.0]]


@pytest.mark.parametrize(
    "arguments",
    [(5,), (2, 5), (2, 9, 3), (9, 2, -2), (0,), (5, 2), (0.5, 2), (0, 1, 0.25), (1.0, -1.0, -0.5), (-3, 7, 4)],
)
def test_arange_is_numpys(arguments: tuple) -> None:
    got = cr.arange(*arguments, dtype="float64")
    np.testing.assert_array_equal(got.numpy(), np.arange(*arguments, dtype="float64"))
    assert cr.arange(*arguments).dtype is (cr.int64 if all(isinstance(n, int) for n in arguments) else cr.float32)


def test_arange_takes_tensors_as_numbers() -> None:
    assert cr.arange(cr.asarray(2), cr.asarray(4)).tolist() == [2, 3]


@pytest.mark.parametrize("arguments", [(0, 1, 5), (1, -1, 3), (2, 2, 4), (0, 1, 1), (0, 1, 0)])
@pytest.mark.parametrize("endpoint", [True, False])
def test_linspace_is_numpys(arguments: tuple, endpoint: bool) -> None:
    got = cr.linspace(*arguments, endpoint=endpoint, dtype=cr.float64)
    np.testing.assert_array_equal(got.numpy(), np.linspace(*arguments, endpoint=endpoint))


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("sizes", [(3,), (3, 2), (2, 3, 4)])
def test_meshgrid_is_numpys(indexing: str, sizes: tuple[int, ...]) -> None:
    got = cr.meshgrid(*map(cr.arange, sizes), indexing=indexing)
    want = np.meshgrid(*map(np.arange, sizes), indexing=indexing)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a.numpy(), b)


def test_a_trace_emits_operations_and_freezes_nothing() -> None:
    def step(x: cr.Tensor) -> cr.Tensor:
        return x + cr.zeros(1000) + cr.arange(1000) + cr.eye(1000)[0]

    x = cr.ones(1000)
    np.testing.assert_array_equal(cr.jit(step)(x).numpy(), step(x).numpy())


REFUSED = [
    (lambda: cr.zeros((2, -1)), ShapeError, "zeros: sizes must be >= 0; got the shape (2, -1)."),
    (lambda: cr.zeros("ab"), ShapeError, "zeros: a shape is an integer or a tuple of integers; got 'ab'."),
    (lambda: cr.zeros(2, device="cuda"), ValueError, "zeros.device must be None or \"cpu\"; got 'cuda'."),
    (lambda: cr.arange(2, device="tpu"), ValueError, "arange.device must be None or \"cpu\"; got 'tpu'."),
    (lambda: cr.arange(1, 2, 0), ValueError, "arange.step must be a number other than 0; got 0."),
    (lambda: cr.arange("a"), TypeError, "arange takes numbers; got 'a' of type str."),
    (lambda: cr.arange(2, dtype=cr.bool), DTypeError, "arange needs a numeric dtype; got bool."),
    (lambda: cr.linspace(0, 1, -1), ValueError, "linspace.num must be an int >= 0; got -1."),
    (lambda: cr.full(2, 300, dtype=cr.uint8), DTypeError, "full: the number 300 does not fit uint8."),
    (lambda: cr.meshgrid(cr.zeros((2, 2))), ShapeError, "meshgrid takes vectors; got the shape (2, 2)."),
    (lambda: cr.meshgrid(indexing="ji"), ValueError, 'meshgrid.indexing must be "xy" or "ij"; got \'ji\'.'),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert getattr(error.value, "message", str(error.value)) == message

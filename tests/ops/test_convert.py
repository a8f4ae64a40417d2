"""asarray and from_dlpack: which dtype data gets, what is copied, what is refused and how it is said."""

from __future__ import annotations

import array

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError

CASES = [
    (True, "bool"),
    (3, "int64"),
    (2.5, "float32"),
    ([1, 2], "int64"),
    ([1, 2.5], "float32"),
    ([True, False], "bool"),
    ([[1], [2]], "int64"),
    ([], "float32"),
    (np.float64(2.0), "float64"),
    (np.arange(3, dtype=np.int16), "int16"),
    ([np.zeros(2), np.ones(2)], "float64"),
    ([np.float32(1.0)], "float32"),
    (array.array("f", [1.0, 2.0]), "float32"),
    (b"ab", "uint8"),
    (range(3), "int64"),
]


@pytest.mark.parametrize("obj, dtype", CASES, ids=[repr(obj) for obj, _ in CASES])
def test_the_dtype_of_data(obj: object, dtype: str) -> None:
    got = cr.asarray(obj)
    assert got.dtype.name == dtype
    want = np.frombuffer(obj, np.uint8) if isinstance(obj, bytes) else np.asarray(obj)
    np.testing.assert_array_equal(got.numpy(), want)


def test_a_given_dtype_wins() -> None:
    assert cr.asarray([1, 2], dtype=cr.float64).tolist() == [1.0, 2.0]
    assert cr.asarray(np.arange(2.0), dtype="int8").dtype is cr.int8
    assert cr.asarray([0.5], dtype=cr.bfloat16).dtype is cr.bfloat16


def test_arrays_are_copied_unless_told_otherwise() -> None:
    data = np.zeros(2)
    copied, shared = cr.asarray(data), cr.asarray(data, copy=False)
    data[0] = 5
    assert (copied.tolist(), shared.tolist()) == ([0.0, 0.0], [5.0, 0.0])


def test_foreign_byte_order_becomes_native() -> None:
    got = cr.asarray(np.arange(3, dtype=">i4"))
    assert (got.dtype, got.tolist(), got.numpy().dtype.isnative) == (cr.int32, [0, 1, 2], True)


def test_a_tensor_gives_a_new_cell_and_stays_differentiable() -> None:
    x = cr.asarray([1.0, 2.0]).requires_grad_()
    y = cr.asarray(x)
    assert y is not x
    assert cr.asarray(x, copy=False) is x
    cr.sum(y * y).backward()
    assert x.grad.tolist() == [2.0, 4.0]
    z = x.detach()
    w = cr.asarray(z)
    w += 1
    assert z.tolist() == [1.0, 2.0]


def test_a_list_of_tensors_is_stacked_and_differentiable() -> None:
    x = cr.asarray(3.0).requires_grad_()
    y = cr.asarray([[x, 1.0], [x * x, 2]])
    assert (y.shape, y.dtype) == ((2, 2), cr.float32)
    cr.sum(y).backward()
    assert x.grad.item() == 7.0


def test_dlpack_shares_memory() -> None:
    data = np.arange(3.0)
    shared, copied = cr.from_dlpack(data), cr.from_dlpack(data, copy=True)
    data[0] = 9
    assert (shared.tolist(), copied.tolist()) == ([9.0, 1.0, 2.0], [0.0, 1.0, 2.0])


@pytest.mark.oracle
def test_dlpack_and_asarray_take_pytorchs_tensors() -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    assert cr.from_dlpack(x).tolist() == x.tolist()
    assert cr.asarray(x).dtype is cr.float32
    assert torch.from_dlpack(cr.asarray(x)).tolist() == x.tolist()


REFUSED = [
    (
        lambda: cr.asarray([[1, 2], [3]]),
        ShapeError,
        "asarray: the nested lists are ragged: at depth 1 some have 2 elements and some 1; pad them to one length.",
    ),
    (
        lambda: cr.asarray([1, [2]]),
        ShapeError,
        "asarray: the nested lists are ragged: at depth 1 some have no elements and some 1; pad them to one length.",
    ),
    (lambda: cr.asarray("ab"), DTypeError, "asarray: expected numbers, nested lists of numbers, or an array; got str."),
    (
        lambda: cr.asarray(None),
        DTypeError,
        "asarray: expected numbers, nested lists of numbers, or an array; got NoneType.",
    ),
    (lambda: cr.asarray([1, None]), DTypeError, "asarray: expected numbers; got None of type NoneType."),
    (lambda: cr.asarray(["a"]), DTypeError, "asarray: expected numbers; got 'a' of type str."),
    (
        lambda: cr.asarray([2**70]),
        DTypeError,
        "asarray: an int outside [-2**63, 2**63 - 1] does not fit int64; give dtype= or use floats.",
    ),
    (
        lambda: cr.asarray(np.array([object()])),
        DTypeError,
        "no tensor has the dtype object; the dtypes are float64, float32, bfloat16, complex64, complex128, int8, "
        "int16, int32, int64, uint8, uint16, uint32, uint64, bool.",
    ),
    (lambda: cr.asarray([1], copy=False), ValueError, "asarray: copy=False can't convert list data; leave copy out."),
    (
        lambda: cr.asarray(np.zeros(1), dtype=cr.float32, copy=False),
        ValueError,
        "asarray: copy=False can't convert float64 to float32; leave copy out.",
    ),
    (
        lambda: cr.asarray(cr.zeros(1), dtype=cr.int8, copy=False),
        ValueError,
        "asarray: copy=False can't convert float32 to int8; leave copy out.",
    ),
    (lambda: cr.asarray(1, device="cuda"), ValueError, "asarray.device must be None or \"cpu\"; got 'cuda'."),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert getattr(error.value, "message", str(error.value)) == message

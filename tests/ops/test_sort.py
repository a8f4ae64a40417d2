"""Order and integer indices: sort, argsort, top_k, searchsorted, take, take_along_axis, one_hot, nonzero."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError, TraceError

TIES = np.array([[3.0, 1.0, 3.0, 2.0], [0.0, 0.0, -1.0, 5.0]])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int64", "uint8"])
def test_sorting_is_numpys_and_stable(axis: int, dtype: str) -> None:
    x = np.abs(TIES).astype(cr.zeros(1, dtype=dtype).numpy().dtype)
    order = cr.argsort(cr.asarray(x), axis=axis)
    np.testing.assert_array_equal(order.numpy(), np.argsort(x, axis, kind="stable"))
    np.testing.assert_array_equal(cr.sort(cr.asarray(x), axis=axis).numpy(), np.sort(x, axis))
    falling = cr.argsort(cr.asarray(x), axis=axis, descending=True).numpy()
    np.testing.assert_array_equal(falling, np.argsort(-x.astype("float64"), axis, kind="stable"))


def test_nan_is_the_largest() -> None:
    x = cr.asarray([1.0, float("nan"), -float("inf"), float("inf")])
    assert cr.argsort(x).tolist() == [2, 0, 3, 1]
    assert cr.argsort(x, descending=True).tolist() == [1, 3, 0, 2]


def test_each_sorted_gradient_goes_home() -> None:
    x = cr.asarray(TIES).requires_grad_()
    weights = np.arange(8.0).reshape(2, 4)
    cr.sum(cr.sort(x, descending=True) * cr.asarray(weights)).backward()
    assert x.grad.tolist() == [[0.0, 3.0, 1.0, 2.0], [5.0, 6.0, 7.0, 4.0]]


@pytest.mark.parametrize("axis", [0, 1])
def test_top_k_is_the_start_of_a_falling_sort(axis: int) -> None:
    x = cr.asarray(TIES).requires_grad_()
    values, positions = cr.top_k(x, 2, axis=axis)
    np.testing.assert_array_equal(values.numpy(), np.take(-np.sort(-TIES, axis), [0, 1], axis))
    np.testing.assert_array_equal(np.take_along_axis(TIES, positions.numpy(), axis), values.numpy())
    cr.sum(values).backward()
    assert x.grad.numpy().sum() == values.size
    assert cr.top_k(x, 0, axis=axis)[1].size == 0


@pytest.mark.parametrize("axis", [None, 0, 1, -2])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_of_extremes(name: str, axis: int | None, keepdims: bool) -> None:
    got = getattr(cr, name)(cr.asarray(TIES), axis=axis, keepdims=keepdims)
    want = getattr(np, name)(TIES, axis=axis, keepdims=keepdims)
    assert (got.shape, got.dtype) == (want.shape, cr.int64)
    np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted_is_numpys(side: str) -> None:
    x1, x2 = np.array([1.0, 2.0, 2.0, 4.0]), np.array([[0.0, 2.0], [3.0, 9.0]])
    want = np.searchsorted(x1, x2, side)
    np.testing.assert_array_equal(cr.searchsorted(cr.asarray(x1), cr.asarray(x2), side=side).numpy(), want)
    mixed = np.array([2, 0, 3, 1])
    unsorted = np.empty(4)
    unsorted[mixed] = x1
    got = cr.searchsorted(cr.asarray(unsorted), cr.asarray(x2), side=side, sorter=cr.asarray(mixed))
    np.testing.assert_array_equal(got.numpy(), want)


def test_nonzero_is_numpys() -> None:
    x = np.array([[0.0, 2.0], [np.nan, -0.0]])
    for got, want in zip(cr.nonzero(cr.asarray(x)), np.nonzero(x)):
        assert got.tolist() == want.tolist()


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("indices", [[1, -1, 0], [[0, 1], [1, 1]], 1, []])
def test_take_is_numpys(axis: int, indices: object) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    index = np.asarray(indices, np.int64)
    got = cr.take(cr.asarray(x), indices if indices == [] else cr.asarray(index), axis=axis)
    np.testing.assert_array_equal(got.numpy(), np.take(x, index, axis))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(2, 3), (1, 3), (2, 1)])
def test_take_along_axis_is_numpys_and_broadcasts(axis: int, shape: tuple) -> None:
    x = np.arange(6.0).reshape(2, 3)
    index = np.random.default_rng(0).integers(-2, 2, shape)
    np.testing.assert_array_equal(
        cr.take_along_axis(cr.asarray(x), cr.asarray(index), axis=axis).numpy(), np.take_along_axis(x, index, axis)
    )


def test_gradients_of_repeated_rows_add_up() -> None:
    table = cr.zeros((4, 2)).requires_grad_()
    cr.sum(cr.take(table, cr.asarray([[1, 1], [3, 1]]), axis=0)).backward()
    assert table.grad.tolist() == [[0.0, 0.0], [3.0, 3.0], [0.0, 0.0], [1.0, 1.0]]


def test_one_hot() -> None:
    got = cr.one_hot(cr.asarray([[0], [2]], dtype=cr.uint8), 3, dtype=cr.int8)
    assert (got.tolist(), got.dtype) == ([[[1, 0, 0]], [[0, 0, 1]]], cr.int8)


REFUSED = [
    (lambda: cr.top_k(cr.ones(3), 4), ShapeError, "top_k: k must be in [0, 3], the size of axis 0 of (3,); got 4."),
    (
        lambda: cr.take(cr.ones((2, 2)), cr.asarray([0])),
        ShapeError,
        "take: x has the shape (2, 2); without axis= it must be a vector.",
    ),
    (lambda: cr.take(cr.ones(2), cr.asarray([0.0])), DTypeError, "take: indices must be integers; got float32."),
    (
        lambda: cr.take(cr.ones(2), cr.asarray([2])),
        IndexRangeError,
        "gather: index 2 is outside axis 0 of (2,); allowed: [-2, 1].",
    ),
    (
        lambda: cr.take(cr.ones(0), cr.asarray([0])),
        IndexRangeError,
        "gather: index 0 is outside axis 0 of (0,); it has no elements.",
    ),
    (
        lambda: cr.take_along_axis(cr.ones((2, 2)), cr.asarray([0])),
        ShapeError,
        "take_along_axis: x is (2, 2) and indices (1,); both need as many axes.",
    ),
    (lambda: cr.one_hot(cr.asarray([0, 10]), 10), IndexRangeError, "one_hot: the label 10 is outside [0, 9]."),
    (
        lambda: cr.searchsorted(cr.ones(2), cr.ones(2), side="middle"),
        ValueError,
        'searchsorted.side must be "left" or "right"; got \'middle\'.',
    ),
    (lambda: cr.nonzero(cr.asarray(1)), ShapeError, "nonzero needs a tensor with axes; got the shape ()."),
    (
        lambda: cr.jit(lambda x: cr.nonzero(x))(cr.ones(2)),
        TraceError,
        "the shape of nonzero(x) depends on the values of x, and there are none yet while cr.jit traces. "
        "Use cr.where(x != 0, ...), or move this line outside the step.",
    ),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert getattr(error.value, "message", str(error.value)) == message

"""where, maximum, minimum, clip: ties, NaN, bounds, gradients of what was not taken, whole error messages."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError


def test_where_chooses_and_promotes() -> None:
    condition = cr.asarray([[True], [False]])
    got = cr.where(condition, cr.asarray([1, 2]), 0.5)
    assert got.dtype is cr.float32
    assert got.tolist() == [[1.0, 2.0], [0.5, 0.5]]
    assert cr.where(True, cr.arange(2), 7).tolist() == [0, 1]
    assert cr.where(cr.asarray([True, False]), 1, 0).dtype is cr.int64


def test_nan_and_infinity_in_the_branch_not_taken_do_not_leak() -> None:
    x = cr.asarray([-1.0, 0.0, 4.0]).requires_grad_()
    safe = cr.where(x > 0, x, 1.0)
    y = cr.where(x > 0, cr.sqrt(safe), 0.0)
    cr.sum(y).backward()
    assert y.tolist() == [0.0, 0.0, 2.0]
    assert x.grad.tolist() == [0.0, 0.0, 0.25]
    z = cr.asarray([float("nan"), 1.0]).requires_grad_()
    cr.sum(cr.where(cr.isnan(z), 3.0, z)).backward()
    assert z.grad.tolist() == [0.0, 1.0]


def test_where_refuses_a_condition_that_is_not_bool() -> None:
    with pytest.raises(DTypeError) as error:
        cr.where(cr.arange(3), cr.ones(3), 0)
    assert error.value.message == (
        "where needs a bool condition; got int64: compare it with something, or use .astype(bool)."
    )


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8"])
def test_larger_and_smaller(name: str, dtype: str) -> None:
    x1, x2 = np.array([[1, 5, 3]], dtype), np.array([[2], [4]], dtype)
    got = getattr(cr, name)(cr.asarray(x1), cr.asarray(x2))
    assert got.dtype.name == dtype
    np.testing.assert_array_equal(got.numpy(), getattr(np, name)(x1, x2))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_nan_wins_and_a_tie_is_shared(name: str) -> None:
    x1 = cr.asarray([1.0, float("nan"), 2.0]).requires_grad_()
    x2 = cr.asarray([1.0, 0.0, float("nan")]).requires_grad_()
    y = getattr(cr, name)(x1, x2)
    cr.sum(y).backward()
    assert cr.isnan(y).tolist() == [False, True, True]
    assert x1.grad.tolist()[0] == x2.grad.tolist()[0] == 0.5


def test_gradients_keep_bfloat16() -> None:
    x = cr.asarray([1.0, 2.0], dtype=cr.bfloat16).requires_grad_()
    cr.sum(cr.maximum(x, 1.5) * cr.clip(x, 0, 1.5)).backward()
    assert x.grad.dtype is cr.bfloat16


def test_clip_takes_numbers_tensors_and_nothing() -> None:
    x = cr.asarray([-2.0, 0.5, 2.0])
    assert cr.clip(x, -1, 1).tolist() == [-1.0, 0.5, 1.0]
    assert cr.clip(x, min=0.0).tolist() == [0.0, 0.5, 2.0]
    assert cr.clip(x, max=0.0).tolist() == [-2.0, 0.0, 0.0]
    assert cr.clip(x).tolist() == x.tolist()
    assert cr.clip(x, cr.asarray([-3, 1, 1]), cr.asarray([[0.0], [5.0]])).tolist() == [
        [-2.0, 0.0, 0.0],
        [-2.0, 1.0, 2.0],
    ]
    assert cr.clip(cr.asarray([1, 300]), max=255).tolist() == [1, 255]
    assert cr.clip(cr.asarray([-(2**63), 2**63 - 1]), min=None).tolist() == [-(2**63), 2**63 - 1]


def test_clip_passes_the_gradient_on_at_its_bounds_and_the_upper_bound_holds_where_they_cross() -> None:
    x = cr.asarray([-2.0, -1.0, 0.0, 1.0, 2.0]).requires_grad_()
    cr.sum(cr.clip(x, -1, 1)).backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert cr.clip(cr.asarray([0.0]), 2, 1).tolist() == [1.0]
    assert cr.isnan(cr.clip(cr.asarray([float("nan")]), 0, 1)).item()


def test_clip_refuses_bounds_that_would_change_the_dtype() -> None:
    with pytest.raises(DTypeError) as error:
        cr.clip(cr.arange(3), 0.5, 1)
    assert error.value.message == "clip: min is float32 and x is int64; convert x with .astype first."
    with pytest.raises(DTypeError) as error:
        cr.clip(cr.ones(2), 0, cr.ones(2, dtype=cr.float64))
    assert error.value.message == "clip: max is float64 and x is float32; convert x with .astype first."
    with pytest.raises(DTypeError) as error:
        cr.clip(cr.asarray([True]))
    assert error.value.message == "clip needs a numeric tensor; got bool: use .astype(cr.int64)."


def test_clip_names_three_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(ShapeError) as error:
        cr.clip(cr.ones((2, 3)), cr.ones(4), 2)
    assert error.value.message == (
        "clip: the shapes (2, 3) and (4,) and () do not broadcast; at axis -1 the sizes 3 and 4 differ and neither "
        "is 1. Reshape one of them, or add an axis with x[:, None]."
    )

"""Comparison with a tolerance, and numbers in place of NaN and infinity, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError

A = np.array([1.0, 1.0, np.inf, -np.inf, np.nan, 0.0, 1e300, np.inf])
B = np.array([1.0 + 1e-6, 1.1, np.inf, np.inf, np.nan, 1e-9, 1.00001e300, 1.0])


@pytest.mark.parametrize("settings", [{}, {"rtol": 0.2}, {"rtol": 0.0, "atol": 0.0}, {"equal_nan": True}])
def test_isclose_and_allclose_are_those_of_numpy(settings):
    assert cr.isclose(cr.asarray(A), cr.asarray(B), **settings).tolist() == np.isclose(A, B, **settings).tolist()
    for n in (1, len(A)):
        got = cr.allclose(cr.asarray(A[:n]), cr.asarray(B[:n]), **settings)
        assert got.item() == np.allclose(A[:n], B[:n], **settings)


def test_isclose_broadcasts_and_takes_numbers_and_integers():
    assert cr.isclose(cr.asarray([[1.0], [2.0]]), cr.asarray([1.0, 2.0])).tolist() == [[True, False], [False, True]]
    assert cr.isclose(cr.asarray([1.0, 2.0]), 1.0).tolist() == [True, False]
    assert cr.isclose(cr.asarray([3, 4]), cr.asarray([3, 5])).tolist() == [True, False]


@pytest.mark.parametrize("dtype", [cr.float32, cr.float64])
def test_nan_to_num_is_that_of_numpy(dtype):
    x = np.array([np.nan, np.inf, -np.inf, -1.5], dtype=dtype.numpy)
    for settings in ({}, {"nan": 7.0}, {"posinf": 1.0, "neginf": -2.0}):
        got = cr.nan_to_num(cr.asarray(x), **settings)
        assert got.dtype is dtype
        assert got.tolist() == np.nan_to_num(x, **settings).tolist()


def test_no_gradient_flows_through_what_was_replaced():
    x = cr.asarray([float("nan"), float("inf"), 2.0]).requires_grad_()
    cr.sum(cr.nan_to_num(x)).backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0]


def test_nan_to_num_of_bfloat16():
    assert cr.nan_to_num(cr.asarray([float("inf")], dtype=cr.bfloat16)).item() == pytest.approx(3.3895e38, rel=1e-4)


def test_integers_are_refused():
    with pytest.raises(DTypeError) as caught:
        cr.nan_to_num(cr.arange(3))
    assert str(caught.value).split("\n")[0] == "nan_to_num needs a float tensor; got int64: use .astype(cr.float32)."

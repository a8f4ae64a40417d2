"""Medians and quantiles against NumPy, their gradients, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DataError, DTypeError, IndexRangeError, ShapeError

X = np.random.default_rng(3).standard_normal((3, 4, 5))
METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_median_is_that_of_numpy(axis, keepdims):
    want = np.median(X, axis=axis, keepdims=keepdims) if axis != () else X
    np.testing.assert_allclose(cr.median(cr.asarray(X), axis=axis, keepdims=keepdims).numpy(), want, rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("q", [0.0, 0.3, 1.0, [0.0, 0.25, 0.5, 0.99]])
@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_quantile_is_that_of_numpy(method, q, axis):
    given = cr.asarray(np.array(q)) if isinstance(q, list) else q
    for keepdims in (False, True):
        got = cr.quantile(cr.asarray(X), given, axis=axis, keepdims=keepdims, method=method)
        want = np.quantile(X, q, axis=axis, keepdims=keepdims, method=method)
        assert got.shape == want.shape
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-13, atol=1e-15)


def test_a_number_q_keeps_the_dtype_and_its_own_precision():
    x = cr.arange(20_000_001, dtype=cr.float32)  # q = 0.3 in float32 would stand one element to the right
    y = cr.quantile(x, 0.3, method="nearest")
    assert (y.item(), y.dtype) == (6_000_000.0, cr.float32)


def test_nan_among_the_elements_gives_nan():
    x = cr.asarray([[1.0, float("nan"), 2.0], [1.0, 2.0, 3.0]])
    assert np.isnan(cr.median(x, axis=1).numpy()).tolist() == [True, False]


def test_the_gradient_goes_to_the_neighbours_of_the_position():
    x = cr.asarray([4.0, 1.0, 3.0, 2.0]).requires_grad_()
    cr.median(x).backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.5, 0.5]
    x.grad = None
    cr.quantile(x, 0.25).backward()  # position 0.75 of [1, 2, 3, 4]
    assert x.grad.tolist() == [0.0, 0.25, 0.0, 0.75]


def test_no_rows_have_no_quantiles():
    assert cr.quantile(cr.ones((2, 0)), 0.5, axis=0).shape == (0,)
    assert cr.median(cr.ones((0, 0)), axis=1, keepdims=True).shape == (0, 1)


REFUSED = [
    (
        lambda: cr.median(cr.ones((2, 0)), axis=1),
        ShapeError,
        "median: the axes (1,) of (2, 0) have no elements, so there is no median.",
    ),
    (lambda: cr.median(cr.arange(3)), DTypeError, "median needs a float tensor; got int64: use .astype(cr.float32)."),
    (lambda: cr.quantile(cr.ones(3), 1.5), ValueError, "quantile.q must be in [0, 1]; got 1.5."),
    (
        lambda: cr.quantile(cr.ones(3), 0.5, method="middle"),
        ValueError,
        'quantile.method must be one of "linear", "lower", "higher", "midpoint", "nearest"; got \'middle\'.',
    ),
    (
        lambda: cr.quantile(cr.ones(3), 0.5, axis=1),
        IndexRangeError,
        "quantile: axis 1 does not exist in a tensor with 1 axes; allowed: [-1, 0].",
    ),
    (
        lambda: cr.quantile(cr.ones(3), cr.asarray([0.5, 1.5])),
        DataError,
        "the probability 1.5 at position 1 is outside [0, 1]; for logits use the loss with logits.",
    ),
]


@pytest.mark.parametrize("call, error, message", REFUSED, ids=[message[:40] for *_, message in REFUSED])
def test_what_is_refused_and_how(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).split("\n")[0] == message

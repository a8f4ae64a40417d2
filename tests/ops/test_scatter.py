"""Scatters, segments, running extremes, differences, counts: against NumPy, at zeros and ties, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError, TraceError
from chainrule.testing import assert_close

NAN, INF = float("nan"), float("inf")


def test_the_product_has_finite_gradients_where_factors_are_zero() -> None:
    updates = np.array([2.0, 0.0, 3.0, 0.0, 0.0, 5.0])
    index = np.array([0, 0, 0, 1, 1, 1])
    u, x = cr.asarray(updates).requires_grad_(), cr.ones(3, dtype=cr.float64)
    y = cr.scatter_reduce(x, index, u, "prod")
    cr.sum(y).backward()
    assert y.tolist() == [0.0, 0.0, 1.0]
    assert u.grad.tolist() == [0.0, 6.0, 0.0, 0.0, 0.0, 0.0]
    cr.check_gradients(lambda x, u: cr.scatter_reduce(x, index, u, "prod"), x, cr.asarray(updates), order=2)


@pytest.mark.parametrize("axis", [0, 1])
def test_segments_are_those_of_numpy(axis: int) -> None:
    rng = np.random.default_rng(0)
    x, ids = rng.normal(size=(6, 6)), np.array([2, 0, 2, 4, 0, 2])
    rows = np.moveaxis(x, axis, 0)
    for name, function, empty in (
        ("sum", np.sum, 0.0),
        ("mean", np.mean, 0.0),
        ("prod", np.prod, 1.0),
        ("max", np.max, -INF),
        ("min", np.min, INF),
    ):
        parts = [function(rows[ids == k], axis=0) if (ids == k).any() else np.full(6, empty) for k in range(5)]
        y = getattr(cr, f"segment_{name}")(x, ids, 5, axis=axis)
        np.testing.assert_allclose(y.numpy(), np.moveaxis(np.stack(parts), 0, axis), rtol=1e-14)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min"])
def test_gradients_of_segments_to_second_order(name: str) -> None:
    x, ids = cr.asarray(np.random.default_rng(1).normal(size=(5, 3))), np.array([1, 0, 1, 1, 0])
    cr.check_gradients(lambda x: cr.square(getattr(cr, f"segment_{name}")(x, ids, 2)), x, order=2)


def test_integers_are_scattered_too() -> None:
    x, i, u = cr.asarray([1, 2, 3]), cr.asarray([0, 0, -1]), cr.asarray([4, 5, -6])
    assert cr.scatter_add(x, i, u).tolist() == [10, 2, -3]
    assert cr.scatter_reduce(x, i, u, "prod").tolist() == [20, 2, -18]
    assert cr.scatter_reduce(x, i, u, "max").tolist() == [5, 2, 3]
    assert cr.scatter_reduce(x, i, u, "min", include_self=False).tolist() == [4, 2, -6]
    assert cr.scatter_add(x, i, 7).tolist() == [15, 2, 10]
    assert cr.put_along_axis(cr.asarray([True, True]), cr.asarray([1]), False).tolist() == [True, False]
    assert cr.segment_max(cr.asarray([3, 1]), cr.asarray([1, 1]), 2, axis=0).tolist() == [-(2**63), 3]


def test_put_along_axis_writes_what_take_along_axis_reads() -> None:
    rng = np.random.default_rng(2)
    x, values = rng.normal(size=(3, 5)), rng.normal(size=(3, 2))
    index = np.argsort(rng.normal(size=(3, 5)), axis=1)[:, :2]
    want = x.copy()
    np.put_along_axis(want, index, values, 1)
    y = cr.put_along_axis(x, index, values)
    np.testing.assert_array_equal(y.numpy(), want)
    np.testing.assert_array_equal(cr.take_along_axis(y, index).numpy(), values)


def test_nan_stays_in_running_extremes() -> None:
    x = np.array([1.0, NAN, 5.0])
    np.testing.assert_array_equal(cr.cumulative_max(x).numpy(), [1.0, NAN, NAN])
    np.testing.assert_array_equal(cr.cumulative_min(x).numpy(), [1.0, NAN, NAN])
    assert cr.cumulative_max(cr.asarray([3, 1, 4])).tolist() == [3, 3, 4]
    assert cr.cumulative_max(cr.zeros((0, 3)), axis=0).shape == (0, 3)


def test_the_running_logsumexp_neither_overflows_nor_cancels() -> None:
    x = cr.asarray([-1000.0, 1000.0, -INF, 1000.0], dtype=cr.float64).requires_grad_()
    y = cr.cumulative_logsumexp(x)
    cr.sum(y).backward()
    np.testing.assert_allclose(y.numpy(), [-1000.0, 1000.0, 1000.0, 1000.0 + np.log(2)])
    np.testing.assert_allclose(x.grad.numpy(), [1.0, 2.5, 0.0, 0.5])
    y = cr.cumulative_logsumexp(cr.asarray([-INF, -INF, 0.0]))
    assert y.tolist() == [-INF, -INF, 0.0]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9])
def test_the_running_logsumexp_of_any_length(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(2, n))
    np.testing.assert_allclose(
        cr.cumulative_logsumexp(x, axis=1).numpy(), np.logaddexp.accumulate(x, axis=1), rtol=1e-13
    )


def test_differences_of_bools_and_integers() -> None:
    assert cr.diff(cr.asarray([True, True, False])).tolist() == [False, True]
    assert cr.diff(cr.asarray([1, 4, 9]), prepend=cr.asarray([0])).tolist() == [1, 3, 5]
    assert cr.diff(cr.ones(1)).shape == (0,)
    assert cr.diff(cr.ones(0)).shape == (0,)
    assert cr.trapezoid(cr.asarray([1, 2])).item() == 1.5


@pytest.mark.parametrize("bins", [5, 1, np.array([-1.0, 0.0, 0.25, 2.0])])
@pytest.mark.parametrize("density", [False, True])
def test_histograms_are_those_of_numpy(bins: int | np.ndarray, density: bool) -> None:
    x, w = np.random.default_rng(3).normal(size=200), np.random.default_rng(4).uniform(size=200)
    for weights in (None, w):
        counts, edges = cr.histogram(x, bins, weights=weights, density=density)
        want, limits = np.histogram(x, bins, weights=weights, density=density)
        np.testing.assert_allclose(edges.numpy(), limits, rtol=1e-14)
        np.testing.assert_allclose(counts.numpy(), want, rtol=1e-12)
    assert cr.histogram(x, 3)[0].dtype is cr.int64


def test_the_ends_of_a_histogram() -> None:
    x = cr.asarray([0.0, 1.0, 1.0, 2.0, NAN, 5.0, -3.0])
    assert cr.histogram(x, 2, range=(0.0, 2.0))[0].tolist() == [1, 3]
    assert cr.histogram(cr.asarray([3.0, 3.0]), 2)[1].tolist() == [2.5, 3.0, 3.5]
    assert cr.histogram(cr.zeros(0), 2)[0].tolist() == [0, 0]
    counts = cr.jit(lambda x: cr.histogram(x, 4)[0])(cr.asarray([0.0, 1.0, 2.0, 4.0]))
    assert counts.tolist() == [1, 1, 1, 1]


def test_the_gradient_of_weighted_counts() -> None:
    weights = cr.asarray([1.0, 2.0, 3.0]).requires_grad_()
    y = cr.bincount(cr.asarray([1, 0, 1]), weights)
    cr.sum(y * cr.asarray([5.0, 7.0])).backward()
    assert (y.tolist(), weights.grad.tolist()) == ([2.0, 4.0], [7.0, 5.0, 7.0])
    assert cr.jit(lambda i: cr.bincount(i, length=3))(cr.asarray([1, 1])).tolist() == [0, 2, 0]
    assert cr.bincount(cr.zeros(0, dtype=cr.int64)).shape == (0,)


def test_traced_equals_eager_with_its_gradients() -> None:
    rng = np.random.default_rng(5)
    x, u, i = (
        cr.asarray(rng.normal(size=(3, 4))),
        cr.asarray(rng.normal(size=(3, 6))),
        cr.asarray(rng.integers(0, 4, (3, 6))),
    )

    def net(x: cr.Tensor, u: cr.Tensor) -> cr.Tensor:
        parts = [cr.scatter_reduce(x, i, u, how) for how in ("sum", "prod", "mean", "max", "min")]
        return cr.sum(cr.square(cr.cumulative_logsumexp(cr.stack(parts), axis=0)))

    step = cr.value_and_grad(net, argnums=(0, 1))
    (value, grads), (traced, traced_grads) = step(x, u), cr.jit(step)(x, u)
    for a, b in zip((value, *grads), (traced, *traced_grads), strict=True):
        assert_close(b, a, atol=1e-11)


X, I = cr.zeros((2, 3)), cr.zeros((2, 2), dtype=cr.int64)
REFUSED: list[tuple[type[Exception], Callable, str]] = [
    (
        ShapeError,
        lambda: cr.scatter_add(X, cr.zeros((3, 2), dtype=cr.int64), 1.0),
        "scatter_add: x is (2, 3) and the indices are (3, 2); they need as many axes, "
        "and but for axis 1 no more elements.",
    ),
    (
        ShapeError,
        lambda: cr.scatter_add(X, I, cr.zeros((2, 1))),
        "scatter_add: the updates are (2, 1) and the indices (2, 2); they must be equal.",
    ),
    (
        DTypeError,
        lambda: cr.scatter_add(X, I, cr.zeros((2, 2), dtype=cr.float64)),
        "scatter_add: x is float32 and the updates are float64; convert one with .astype.",
    ),
    (
        DTypeError,
        lambda: cr.scatter_add(X, I.astype(cr.float32), 1.0),
        "scatter_add: indices must be integers; got float32.",
    ),
    (
        DTypeError,
        lambda: cr.scatter_add(X.astype(cr.bool), I, True),
        "scatter_add needs a numeric tensor; got bool: use .astype(cr.float32).",
    ),
    (
        IndexRangeError,
        lambda: cr.scatter_add(X, I + 3, 1.0),
        "add_along: index 3 is outside axis 1 of (2, 3); allowed: [0, 2].",
    ),
    (
        ValueError,
        lambda: cr.scatter_reduce(X, I, 1.0, "summ"),
        'scatter_reduce.reduce must be one of "sum", "prod", "mean", "max", "min"; got \'summ\'; did you mean \'sum\'?',
    ),
    (
        DTypeError,
        lambda: cr.scatter_reduce(cr.zeros((2, 3), dtype=cr.int64), I, 1, "mean"),
        "scatter_reduce needs a float tensor; got int64: use .astype(cr.float32).",
    ),
    (
        ShapeError,
        lambda: cr.index_add(X, I, X),
        "index_add: the indices must be a vector; got the shape (2, 2).",
    ),
    (
        ShapeError,
        lambda: cr.index_add(X, I[0], X[:1]),
        "index_add: the updates must have the shape (2, 3); got (1, 3).",
    ),
    (
        ShapeError,
        lambda: cr.segment_sum(X, cr.asarray([0]), 2),
        "segment_sum: the segment ids are (1,); axis 0 of (2, 3) needs a vector of 2.",
    ),
    (
        ValueError,
        lambda: cr.segment_max(X, cr.asarray([0, 1]), -1),
        "segment_max.num_segments must be an int >= 0; got -1.",
    ),
    (
        DTypeError,
        lambda: cr.segment_mean(cr.asarray([1, 2]), cr.asarray([0, 1]), 2),
        "segment_mean needs a float tensor; got int64: use .astype(cr.float32).",
    ),
    (
        DTypeError,
        lambda: cr.segment_sum(cr.asarray([True]), cr.asarray([0]), 2),
        "segment_sum needs a numeric tensor; got bool: use .astype(cr.float32).",
    ),
    (
        ShapeError,
        lambda: cr.cumulative_max(X),
        "cumulative_max: x has the shape (2, 3); without axis= it must be a vector.",
    ),
    (
        DTypeError,
        lambda: cr.cumulative_logsumexp(cr.arange(3)),
        "cumulative_logsumexp needs a float tensor; got int64: use .astype(cr.float32).",
    ),
    (ValueError, lambda: cr.diff(X, n=-1), "diff.n must be an int >= 0; got -1."),
    (
        ShapeError,
        lambda: cr.trapezoid(X, cr.zeros(2)),
        "trapezoid: y is (2, 3) and x (2,); axis 1 must be as long in both.",
    ),
    (ShapeError, lambda: cr.bincount(I), "bincount: x must be a vector; got the shape (2, 2)."),
    (
        DTypeError,
        lambda: cr.bincount(cr.zeros(2)),
        "bincount needs an integer tensor; got float32: use .astype(cr.int64).",
    ),
    (ValueError, lambda: cr.bincount(I[0], minlength=-1), "bincount.minlength must be an int >= 0; got -1."),
    (
        ShapeError,
        lambda: cr.bincount(I[0], cr.ones(3)),
        "bincount: x is (2,) and the weights (3,); they must be equal.",
    ),
    (
        TraceError,
        lambda: cr.jit(cr.bincount)(I[0]),
        "the shape of bincount(x) depends on the values of x, and there are none yet while cr.jit traces. "
        "Give length=, the number of counts.",
    ),
    (ValueError, lambda: cr.histogram(X, 0), "histogram.bins must be an int >= 1, or edges; got 0."),
    (
        ValueError,
        lambda: cr.histogram(X, 2, range=(1, 1)),
        "histogram.range must be (low, high) with low < high; got (1, 1).",
    ),
    (
        ShapeError,
        lambda: cr.histogram(X, cr.zeros(1)),
        "histogram: the edges must be a vector of at least 2; got the shape (1,).",
    ),
    (
        ShapeError,
        lambda: cr.histogram(X, 2, weights=cr.ones(2)),
        "histogram: x is (2, 3) and the weights (2,); they must be equal.",
    ),
]


@pytest.mark.parametrize("kind, call, message", REFUSED, ids=[row[2][:50] for row in REFUSED])
def test_what_is_refused(kind: type[Exception], call: Callable, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert getattr(error.value, "message", str(error.value)) == message


def test_the_second_derivative_of_logaddexp_is_finite_where_one_part_dominates() -> None:
    """It was NaN: the share 1 / (1 + e^2000) had the slope inf / inf."""
    for values in ((1000.0, -1000.0), (-INF, 1.0), (3.0, -INF)):
        a, b = (cr.asarray(v, dtype=cr.float64).requires_grad_() for v in values)
        cr.square(cr.logaddexp(a, b)).backward(create_graph=True)
        slope, a.grad, b.grad = a.grad + b.grad, None, None
        slope.backward()
        assert (a.grad + b.grad).item() == 2.0

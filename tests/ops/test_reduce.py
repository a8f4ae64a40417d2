"""Reductions, running sums and products, mean, variance: values as NumPy's, gradients as PyTorch's, errors whole."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError

AXES = [None, 0, 1, -1, (0, 2), (), (2, 0, 1)]
REDUCTIONS = ["sum", "prod", "max", "min", "any", "all", "mean", "var", "std"]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_values_are_numpys(name: str, axis: object, keepdims: bool) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    want = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    got = getattr(cr, name)(cr.asarray(x), axis=axis, keepdims=keepdims)
    assert got.shape == want.shape
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize(
    "dtype, result",
    [
        ("bool", "int64"),
        ("int8", "int64"),
        ("int64", "int64"),
        ("uint8", "uint64"),
        ("float32", "float32"),
        ("bfloat16",) * 2,
    ],
)
@pytest.mark.parametrize("name", ["sum", "prod", "cumulative_sum", "cumulative_prod"])
def test_the_dtype_of_sums_and_products(name: str, dtype: str, result: str) -> None:
    got = getattr(cr, name)(cr.asarray([1, 1, 1]).astype(dtype))
    assert got.dtype.name == result
    assert getattr(cr, name)(cr.ones(3, dtype=dtype), dtype=cr.float64).dtype is cr.float64


def test_small_integers_do_not_overflow_in_a_sum() -> None:
    assert cr.sum(cr.full(10, 100, dtype=cr.int8)).item() == 1000
    assert cr.mean(cr.full(10, 100, dtype=cr.int8)).item() == 100.0


def test_means_of_bools_and_ints_are_float32() -> None:
    hits = cr.asarray([True, False, True, True])
    assert (cr.mean(hits).dtype, cr.mean(hits).item()) == (cr.float32, 0.75)
    assert (cr.var(cr.arange(3)).dtype, cr.std(cr.arange(3)).dtype) == (cr.float32, cr.float32)


@pytest.mark.parametrize("correction", [0, 1, 0.5, 3])
def test_correction_of_variance(correction: float) -> None:
    x = np.random.default_rng(1).normal(size=(3, 4))
    np.testing.assert_allclose(cr.var(cr.asarray(x), axis=1, correction=correction).numpy(), x.var(1, ddof=correction))


def test_reductions_of_nothing() -> None:
    none = cr.zeros((0, 3))
    assert cr.sum(none, axis=0).tolist() == [0.0] * 3
    assert cr.prod(none, axis=0).tolist() == [1.0] * 3
    assert cr.any(none).item() is False
    assert cr.all(none).item() is True
    assert np.isnan(cr.mean(none).item())
    assert np.isnan(cr.var(cr.ones(1), correction=1).item())
    assert cr.max(none, axis=1).shape == (0,)


def test_nan_is_the_extreme_element() -> None:
    x = cr.asarray([1.0, float("nan"), 3.0])
    assert np.isnan(cr.max(x).item())
    assert np.isnan(cr.min(x).item())
    assert (cr.argmax(x).item(), cr.argmin(x).item()) == (1, 1)


def test_a_constant_has_the_deviation_0_and_the_gradient_0() -> None:
    x = cr.ones(4).requires_grad_()
    y = cr.std(x)
    y.backward()
    assert (y.item(), x.grad.tolist()) == (0.0, [0.0] * 4)


def test_count_nonzero() -> None:
    x = np.array([[0.0, np.nan, 2.0], [0.0, -0.0, 1.0]])
    assert cr.count_nonzero(cr.asarray(x)).item() == np.count_nonzero(x)
    assert cr.count_nonzero(cr.asarray(x), axis=0).tolist() == np.count_nonzero(x, axis=0).tolist()
    assert cr.count_nonzero(cr.asarray([True, False])).dtype is cr.int64


def test_third_derivative_of_a_product_with_a_zero_is_exact() -> None:
    # f = x0 x1 x2 x3 at x1 = 0: d3 f / dx0 dx1 dx2 = x3
    x = cr.asarray([2.0, 0.0, 3.0, 5.0]).requires_grad_()
    first = cr.gradients([cr.prod(x)], [x], create_graph=True)[0]
    assert first.tolist() == [0.0, 30.0, 0.0, 0.0]
    second = cr.gradients([first[1]], [x], create_graph=True)[0]
    assert second.tolist() == [15.0, 0.0, 10.0, 6.0]
    assert cr.gradients([second[0]], [x])[0].tolist() == [0.0, 0.0, 5.0, 3.0]


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_running_values(name: str, axis: int) -> None:
    x = np.random.default_rng(2).normal(size=(3, 4))
    want = {"cumulative_sum": np.cumsum, "cumulative_prod": np.cumprod}[name](x, axis=axis)
    np.testing.assert_allclose(getattr(cr, name)(cr.asarray(x), axis=axis).numpy(), want)
    longer = getattr(cr, name)(cr.asarray(x), axis=axis, include_initial=True).numpy()
    first = np.full(np.take(want, [0], axis).shape, 0.0 if name == "cumulative_sum" else 1.0)
    np.testing.assert_allclose(longer, np.concatenate([first, want], axis))


@pytest.mark.oracle
@pytest.mark.parametrize("zeros", [0, 1, 2])
@pytest.mark.parametrize("name", ["prod", "cumprod", "amax", "amin", "std", "cumsum"])
def test_gradients_are_pytorchs(name: str, zeros: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.round(np.random.default_rng(3).normal(size=(4, 5)) * 4) / 4  # with ties
    x[2, :zeros] = 0.0
    c = np.random.default_rng(4).normal(size=(4, 5) if name.startswith("cum") else (4,))
    theirs = torch.tensor(x, requires_grad=True)
    (getattr(torch, name)(theirs, 1) * torch.tensor(c)).sum().backward()
    ours = cr.asarray(x).requires_grad_()
    function = {
        "amax": lambda x: cr.max(x, axis=1),
        "amin": lambda x: cr.min(x, axis=1),
        "cumprod": lambda x: cr.cumulative_prod(x, axis=1),
        "cumsum": lambda x: cr.cumulative_sum(x, axis=1),
        "prod": lambda x: cr.prod(x, axis=1),
        "std": lambda x: cr.std(x, axis=1, correction=1),
    }[name]
    cr.sum(function(ours) * cr.asarray(c)).backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_no_rows_have_no_extremes_even_where_a_row_would_be_empty():
    # NumPy refuses max of shape (0, 0) along axis 1, and softmax of an empty batch failed with its words.
    x = cr.zeros((0, 0))
    for function in (cr.max, cr.min, cr.argmax, cr.argmin, cr.logsumexp):
        assert function(x, axis=1).shape == (0,)
    assert cr.max(x, axis=1, keepdims=True).shape == (0, 1)
    assert cr.softmax(x).shape == (0, 0)


REFUSED = [
    (
        lambda: cr.sum(cr.ones(3), axis=1),
        IndexRangeError,
        "sum: axis 1 does not exist in a tensor with 1 axes; allowed: [-1, 0].",
    ),
    (lambda: cr.sum(cr.ones((2, 3)), axis=(0, -2)), ShapeError, "sum: an axis is given twice in (0, -2)."),
    (lambda: cr.max(cr.zeros((2, 0))), ShapeError, "max: axis 1 of (2, 0) has no elements, so there is no max."),
    (lambda: cr.argmin(cr.zeros(0)), ShapeError, "argmin: axis 0 of (0,) has no elements, so there is no min."),
    (lambda: cr.min(cr.asarray([True])), DTypeError, "min needs a numeric tensor; got bool."),
    (lambda: cr.sum([1.0]), DTypeError, "expected a tensor or a number; got list: convert it with cr.asarray."),
    (
        lambda: cr.cumulative_sum(cr.ones((2, 2))),
        ShapeError,
        "cumulative_sum: x has the shape (2, 2); without axis= it must be a vector.",
    ),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert error.value.message == message

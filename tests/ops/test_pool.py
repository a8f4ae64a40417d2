"""Pooling and windows: against NumPy, at ties, borders and NaN, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError
from chainrule.testing import assert_close

NAN, INF = float("nan"), float("inf")


def test_max_pool_is_the_maximum_of_numpys_windows() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 8))
    want = np.lib.stride_tricks.sliding_window_view(x, (3, 2), axis=(2, 3))[:, :, ::2].max(axis=(4, 5))
    np.testing.assert_array_equal(cr.max_pool2d(x, (3, 2), (2, 1)).numpy(), want)
    np.testing.assert_array_equal(cr.min_pool2d(-x, (3, 2), (2, 1)).numpy(), -want)


def test_the_gradient_goes_to_the_first_of_equals() -> None:
    x = cr.asarray([[[2.0, 2.0, 1.0, 3.0, 3.0, 3.0]]]).requires_grad_()
    cr.sum(cr.max_pool1d(x, 3)).backward()
    assert x.grad.tolist() == [[[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]]
    x = cr.asarray([[[2.0, 2.0, 5.0]]]).requires_grad_()
    cr.sum(cr.min_pool1d(x, 3)).backward()
    assert x.grad.tolist() == [[[1.0, 0.0, 0.0]]]


def test_overlapping_windows_add_their_gradients() -> None:
    x = cr.asarray([[[0.0, 9.0, 1.0, 2.0]]]).requires_grad_()
    cr.sum(cr.max_pool1d(x, 2, 1)).backward()
    assert x.grad.tolist() == [[[0.0, 2.0, 0.0, 1.0]]]


def test_padding_is_never_chosen_even_below_minus_infinity() -> None:
    y, places = cr.max_pool1d(cr.asarray([[[-INF, -INF, -5.0]]]), 3, 1, padding=1, return_indices=True)
    assert y.tolist() == [[[-INF, -5.0, -5.0]]]
    assert places.tolist() == [[[0, 2, 2]]]
    assert cr.max_pool1d(cr.asarray([[[-128, -128]]], dtype=cr.int8), 2, padding=1).tolist() == [[[-128, -128]]]


def test_nan_counts_as_the_largest_and_the_smallest() -> None:
    x = cr.asarray([[[1.0, NAN, 2.0, 3.0]]])
    np.testing.assert_array_equal(cr.max_pool1d(x, 2).numpy(), [[[NAN, 3.0]]])
    np.testing.assert_array_equal(cr.min_pool1d(x, 2).numpy(), [[[NAN, 2.0]]])
    np.testing.assert_array_equal(cr.adaptive_max_pool1d(x, 2).numpy(), [[[NAN, 3.0]]])


def test_dtypes_are_kept() -> None:
    for dtype in (cr.float32, cr.float64, cr.bfloat16, cr.int32, cr.uint8):
        assert cr.max_pool1d(cr.ones((1, 1, 4), dtype=dtype), 2).dtype is dtype
        assert cr.adaptive_max_pool1d(cr.ones((1, 1, 5), dtype=dtype), 2).dtype is dtype
    for dtype in (cr.float32, cr.float64, cr.bfloat16):
        x = cr.ones((1, 1, 5), dtype=dtype)
        assert cr.avg_pool1d(x, 2, padding=1, count_include_pad=False).dtype is dtype
        assert cr.adaptive_avg_pool1d(x, 2).dtype is dtype
        assert cr.lp_pool1d(x, 2, 2).dtype is dtype


def test_an_empty_batch_gives_an_empty_batch() -> None:
    x = cr.zeros((0, 3, 8, 8))
    for y in (cr.max_pool2d(x, 2), cr.avg_pool2d(x, 2), cr.adaptive_avg_pool2d(x, 4), cr.adaptive_max_pool2d(x, 4)):
        assert y.shape == (0, 3, 4, 4)
    assert cr.adaptive_avg_pool2d(cr.ones((2, 3, 8, 8)), 0).shape == (2, 3, 0, 0)
    assert cr.adaptive_max_pool2d(cr.ones((2, 3, 8, 8)), (0, 3)).shape == (2, 3, 0, 3)


def test_the_norm_of_a_window_of_zeros_has_gradient_zero() -> None:
    x = cr.asarray([[[0.0, 0.0, 3.0, 4.0]]]).requires_grad_()
    y = cr.lp_pool1d(x, 2, 2)
    cr.sum(y).backward()
    assert y.tolist() == [[[0.0, 5.0]]]
    np.testing.assert_allclose(x.grad.numpy(), [[[0.0, 0.0, 0.6, 0.8]]], rtol=1e-6)


def test_fold_is_the_transpose_of_unfold() -> None:
    rng = np.random.default_rng(3)
    x, settings = rng.normal(size=(2, 3, 6, 7)), {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1}
    columns = cr.unfold(x, **settings)
    y = rng.normal(size=columns.shape)
    assert cr.sum(columns * y).item() == pytest.approx(cr.sum(cr.fold(y, (6, 7), **settings) * x).item(), rel=1e-12)


def test_unfold_turns_a_convolution_into_a_matrix_product() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(2, 3, 6, 7)), rng.normal(size=(4, 3, 3, 2))
    product = cr.matmul(w.reshape(4, 18), cr.unfold(x, (3, 2)))
    np.testing.assert_allclose(product.numpy(), cr.conv2d(x, w).numpy().reshape(2, 4, -1), rtol=1e-12, atol=1e-12)


def test_sliding_windows_over_several_axes() -> None:
    x = np.arange(60).reshape(3, 4, 5)
    view = np.lib.stride_tricks.sliding_window_view
    y = cr.sliding_window(x, (2, 3), (2, 1), axis=(2, 0))
    np.testing.assert_array_equal(y.numpy(), view(x, (2, 3), axis=(2, 0))[:, :, ::2])
    np.testing.assert_array_equal(cr.sliding_window(x, 2, dilation=3).numpy(), x[:, :, [[0, 3], [1, 4]]])
    cr.check_gradients(lambda x: cr.square(cr.sliding_window(x, 3, 2)), cr.asarray(x * 0.1), order=2)


def test_traced_equals_eager_with_its_gradients() -> None:
    x = cr.asarray(np.random.default_rng(5).normal(size=(2, 3, 7, 7)))

    def net(x: cr.Tensor) -> cr.Tensor:
        y = cr.max_pool2d(x, 3, 2, padding=1) + cr.avg_pool2d(x, 3, 2, padding=1, count_include_pad=False)
        return cr.sum(cr.square(cr.adaptive_avg_pool2d(y, 3) + cr.adaptive_max_pool2d(y, 3)))

    step = cr.value_and_grad(net)
    for a, b in zip(step(x), cr.jit(step)(x), strict=True):
        assert_close(b, a)


X = cr.zeros((2, 3, 8, 8))
REFUSED: list[tuple[type[Exception], Callable, str]] = [
    (
        ShapeError,
        lambda: cr.max_pool2d(cr.zeros(4), 2),
        "max_pool2d needs an input [batch, channels, height, width] or [channels, height, width]; got the shape (4,).",
    ),
    (
        ShapeError,
        lambda: cr.max_pool2d(X, 9),
        "max_pool2d: a window of 9 does not fit axis 2 of (2, 3, 8, 8), which has 8 + 0 of padding; "
        "use a smaller window or more padding.",
    ),
    (
        ShapeError,
        lambda: cr.avg_pool1d(cr.zeros((1, 1, 3)), 5, padding=0),
        "avg_pool1d: a window of 5 does not fit axis 2 of (1, 1, 3), which has 3 + 0 of padding; "
        "use a smaller window or more padding.",
    ),
    (ValueError, lambda: cr.max_pool2d(X, 0), "max_pool2d.kernel_size must be an int >= 1, or 2 of them; got 0."),
    (
        ValueError,
        lambda: cr.max_pool2d(X, 3, padding=2),
        "max_pool2d.padding must be at most half the window (3, 3); got (2, 2).",
    ),
    (
        ValueError,
        lambda: cr.avg_pool2d(X, 2, divisor_override=0),
        "avg_pool2d.divisor_override must be an int other than 0; got 0.",
    ),
    (
        DTypeError,
        lambda: cr.avg_pool2d(cr.ones((1, 1, 4, 4), dtype=cr.int64), 2),
        "avg_pool2d needs a float tensor; got int64: use .astype(cr.float32).",
    ),
    (
        DTypeError,
        lambda: cr.max_pool1d(cr.ones((1, 1, 4), dtype=cr.bool), 2),
        "max_pool1d needs a real numeric tensor; got bool: use .astype(cr.float32).",
    ),
    (
        ValueError,
        lambda: cr.lp_pool1d(cr.ones((1, 1, 4)), 0, 2),
        "lp_pool1d.norm_type must be a number other than 0; got 0.",
    ),
    (
        ValueError,
        lambda: cr.adaptive_avg_pool2d(X, (1, 2, 3)),
        "adaptive_avg_pool2d.output_size must be an int >= 0 or None, or 2 of them; got (1, 2, 3).",
    ),
    (
        ShapeError,
        lambda: cr.adaptive_max_pool1d(cr.zeros((1, 1, 0)), 2),
        "adaptive_max_pool1d: the input (1, 1, 0) has an axis without elements, so there is nothing to pool.",
    ),
    (
        DTypeError,
        lambda: cr.adaptive_avg_pool1d(cr.ones((1, 1, 4), dtype=cr.int64), 2),
        "adaptive_avg_pool1d needs a float tensor; got int64: use .astype(cr.float32).",
    ),
    (
        ShapeError,
        lambda: cr.max_unpool1d(cr.zeros((1, 1, 2)), cr.zeros((1, 1, 3), dtype=cr.int64), 2),
        "max_unpool1d: the input is (1, 1, 2) and the indices (1, 1, 3); they must be equal.",
    ),
    (
        ShapeError,
        lambda: cr.max_unpool1d(cr.zeros((1, 1, 2)), cr.zeros((1, 1, 2), dtype=cr.int64), 2, output_size=(7,)),
        "max_unpool1d.output_size must differ from (4,) by less than the stride (2,); got (7,).",
    ),
    (
        IndexRangeError,
        lambda: cr.max_unpool1d(cr.zeros((1, 1, 2)), cr.full((1, 1, 2), 9), 2),
        "scatter_set: index 9 is outside axis 1 of (1, 4); allowed: [-4, 3].",
    ),
    (
        ShapeError,
        lambda: cr.fold(cr.zeros((1, 4, 5)), 3, 2),
        "fold: the input is (1, 4, 5); an image (3, 3) with windows of (2, 2) "
        "needs a multiple of 4 rows and 4 columns.",
    ),
    (
        ShapeError,
        lambda: cr.fold(cr.zeros(5), 3, 2),
        "fold needs an input [batch, channels * kernel, windows] or [channels * kernel, windows]; got the shape (5,).",
    ),
    (
        DTypeError,
        lambda: cr.fold(cr.zeros((1, 4, 4), dtype=cr.bool), 3, 2),
        "fold needs a numeric tensor; got bool: use .astype(cr.float32).",
    ),
    (
        ShapeError,
        lambda: cr.unfold(cr.zeros((1, 1, 2, 3)), 3),
        "unfold: a window of 3 does not fit axis 2 of (1, 1, 2, 3), which has 2 + 0 of padding; "
        "use a smaller window or more padding.",
    ),
    (
        ShapeError,
        lambda: cr.sliding_window(cr.arange(3), 4),
        "windows: a window of 4 does not fit axis 0 of (3,), which has 3 + 0 of padding; "
        "use a smaller window or more padding.",
    ),
    (ShapeError, lambda: cr.sliding_window(X, 2, axis=(0, -4)), "sliding_window: an axis is given twice in (0, -4)."),
]


@pytest.mark.parametrize("kind, call, message", REFUSED, ids=[row[2][:50] for row in REFUSED])
def test_what_is_refused(kind: type[Exception], call: Callable, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert getattr(error.value, "message", str(error.value)) == message


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_a_window_wider_than_the_plane_picks_no_border(compiled):
    """A place left of row 1 has the flat position of the end of row 0: the largest of 2x2 came out as 0."""
    x = cr.asarray(np.array([[[[1.0, 4.0], [2.0, 3.0]]]]))
    pool = cr.jit(lambda x: cr.max_pool2d(x, 3, 1, 1)) if compiled else lambda x: cr.max_pool2d(x, 3, 1, 1)
    np.testing.assert_array_equal(pool(x).numpy(), np.full((1, 1, 2, 2), 4.0))

"""Convolution: what it means, that its gradients are adjoint to it, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.ops import _windows
from chainrule.testing import assert_close


def _naive(x: np.ndarray, w: np.ndarray, stride: int, padding: int, dilation: int, groups: int) -> np.ndarray:
    """The definition, one output at a time."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    count = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *count))
    inner, outer = w.shape[1], w.shape[0] // groups
    for b, o, i, j in np.ndindex(y.shape):
        for c, k, m in np.ndindex(w.shape[1:]):
            channel = o // outer * inner + c
            y[b, o, i, j] += w[o, c, k, m] * x[b, channel, i * stride + k * dilation, j * stride + m * dilation]
    return y


@pytest.mark.parametrize("stride, padding, dilation, groups", [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 2), (3, 0, 1, 1)])
def test_it_is_the_sum_over_the_window(stride: int, padding: int, dilation: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4, 6, 7)), rng.normal(size=(6, 4 // groups, 3, 2))
    y = cr.conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    np.testing.assert_allclose(y.numpy(), _naive(x, w, stride, padding, dilation, groups), rtol=1e-12, atol=1e-12)


def test_a_kernel_of_one_element_is_a_matrix_product() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(6, 3))
    want = np.einsum("oc,bcij->boij", w, x)
    np.testing.assert_allclose(cr.conv2d(x, w[:, :, None, None]).numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_transposed_convolution_is_the_adjoint(n: int) -> None:
    """<conv(x), y> = <x, conv_transpose(y)>."""
    rng = np.random.default_rng(n)
    x, w = rng.normal(size=(2, 4, *(9,) * n)), rng.normal(size=(6, 2, *(3,) * n))
    settings = {"stride": 2, "padding": 1, "groups": 2}
    forward = getattr(cr, f"conv{n}d")(x, w, **settings)
    y = rng.normal(size=forward.shape)
    back = getattr(cr, f"conv_transpose{n}d")(y, w, **settings)
    assert back.shape == x.shape
    assert cr.sum(forward * y).item() == pytest.approx(cr.sum(back * x).item(), rel=1e-11)


def test_blocks_of_the_batch_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large batch is computed in blocks; here one sample at a time."""
    rng = np.random.default_rng(3)
    x, w = cr.asarray(rng.normal(size=(5, 3, 6, 6))), cr.asarray(rng.normal(size=(4, 3, 3, 3)))

    def everything() -> list[np.ndarray]:
        a, b = x.detach().requires_grad_(), w.detach().requires_grad_()
        y = cr.conv2d(a, b, stride=2, padding=1)
        cr.sum(y * y).backward()
        return [y.numpy(), a.grad.numpy(), b.grad.numpy()]

    whole = everything()
    monkeypatch.setattr(_windows, "BLOCK", 1)
    for one, all_at_once in zip(everything(), whole, strict=True):
        np.testing.assert_allclose(one, all_at_once, rtol=1e-12, atol=1e-12)


def test_dtypes_are_kept() -> None:
    for dtype in (cr.float32, cr.float64, cr.bfloat16, cr.int64, cr.uint8):
        assert cr.conv1d(cr.ones((1, 1, 4), dtype=dtype), cr.ones((1, 1, 3), dtype=dtype)).dtype is dtype
    assert cr.conv1d(cr.asarray([[1, 2, 3, 4]]), cr.asarray([[[1, 0, -1]]])).tolist() == [[-2, -2]]


def test_no_channels_give_zeros() -> None:
    assert cr.conv1d(cr.zeros((2, 0, 5)), cr.zeros((3, 0, 2))).numpy().tolist() == np.zeros((2, 3, 4)).tolist()


def _message(kind: type[Exception], call) -> str:
    with pytest.raises(kind) as error:
        call()
    return getattr(error.value, "message", str(error.value))


X, W = cr.zeros((2, 3, 8, 8)), cr.zeros((4, 3, 3, 3))
REFUSED = [
    (
        ShapeError,
        lambda: cr.conv2d(cr.zeros((8, 8)), W),
        "conv2d needs an input [batch, channels, height, width] or [channels, height, width]; got the shape (8, 8).",
    ),
    (
        ShapeError,
        lambda: cr.conv2d(X, cr.zeros((4, 3, 3))),
        "conv2d needs a weight [out, in / groups, height, width]; got the shape (4, 3, 3).",
    ),
    (
        ShapeError,
        lambda: cr.conv2d(X, cr.zeros((4, 2, 3, 3))),
        "conv2d: the input (2, 3, 8, 8) has 3 channels and the weight (4, 2, 3, 3) takes 2 x 1 groups = 2; "
        "the weight is [out, in / groups, *kernel].",
    ),
    (
        ShapeError,
        lambda: cr.conv2d(X, W, cr.zeros(3)),
        "conv2d: the bias is (3,); it must be (4,), one per output channel.",
    ),
    (
        DTypeError,
        lambda: cr.conv2d(X, W, cr.zeros(4, dtype=cr.float64)),
        "conv2d: the dtypes float32 and float64 differ; convert one with .astype.",
    ),
    (
        DTypeError,
        lambda: cr.conv2d(X.astype(cr.bool), W),
        "conv2d needs a real numeric tensor; got bool: use .astype(cr.float32).",
    ),
    (ValueError, lambda: cr.conv2d(X, W, stride=0), "conv2d.stride must be an int >= 1, or 2 of them; got 0."),
    (
        ValueError,
        lambda: cr.conv2d(X, W, padding=(1, -1)),
        "conv2d.padding must be an int >= 0, or 2 of them; got (1, -1).",
    ),
    (ValueError, lambda: cr.conv2d(X, W, dilation=1.5), "conv2d.dilation must be an int >= 1, or 2 of them; got 1.5."),
    (ValueError, lambda: cr.conv2d(X, W, groups=0), "conv2d.groups must be an int >= 1; got 0."),
    (
        ValueError,
        lambda: cr.conv2d(X, W, padding="full"),
        'conv2d.padding must be "same", "valid", or ints >= 0; got \'full\'.',
    ),
    (
        ValueError,
        lambda: cr.conv2d(X, W, stride=2, padding="same"),
        'conv2d.padding "same" needs stride 1, so that the output is as large as the input; got (2, 2).',
    ),
    (
        ShapeError,
        lambda: cr.conv_transpose2d(X, cr.zeros((4, 3, 3, 3))),
        "conv_transpose2d: the input (2, 3, 8, 8) has 3 channels and the weight (4, 3, 3, 3) takes 4; "
        "the weight is [in, out / groups, *kernel].",
    ),
    (
        ShapeError,
        lambda: cr.conv_transpose2d(X, cr.zeros((3, 2, 3, 3)), groups=2),
        "conv_transpose2d: 2 groups must divide the 3 input channels.",
    ),
    (
        ShapeError,
        lambda: cr.conv_transpose1d(cr.zeros((1, 1, 2)), cr.zeros((1, 1, 2)), padding=2),
        "conv_transpose1d: the padding (2,) leaves an output of the size (-1,); use less padding.",
    ),
    (
        ValueError,
        lambda: cr.conv_transpose2d(X, cr.zeros((3, 4, 3, 3)), output_padding=1),
        "conv_transpose2d.output_padding must be smaller than stride or dilation; got (1, 1) "
        "with stride (1, 1) and dilation (1, 1).",
    ),
]


@pytest.mark.parametrize("kind, call, message", REFUSED, ids=[row[2][:40] for row in REFUSED])
def test_what_is_refused(kind: type[Exception], call, message: str) -> None:
    assert _message(kind, call) == message


def test_traced_equals_eager_with_its_gradients() -> None:
    rng = np.random.default_rng(5)
    x, w = cr.asarray(rng.normal(size=(2, 3, 7, 7))), cr.asarray(rng.normal(size=(4, 3, 3, 3)))

    def step(x: cr.Tensor, w: cr.Tensor) -> tuple:
        return cr.value_and_grad(lambda x, w: cr.sum(cr.square(cr.conv2d(x, w, padding=1))), argnums=(0, 1))(x, w)

    value, grads = step(x, w)
    traced_value, traced_grads = cr.jit(step)(x, w)
    for a, b in zip((value, *grads), (traced_value, *traced_grads), strict=True):
        assert_close(b, a, atol=1e-10)

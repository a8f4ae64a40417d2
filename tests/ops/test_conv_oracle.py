"""Convolutions against PyTorch: values, gradients and second gradients in float64 over a grid of settings."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops.oracle import compare

import chainrule as cr

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle

# axes, x, w, settings
CONVOLUTIONS = [
    (1, (2, 3, 9), (4, 3, 3), {}),
    (1, (2, 4, 9), (6, 2, 3), {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}),
    (1, (3, 9), (4, 3, 3), {"padding": 1}),
    (1, (2, 3, 9), (4, 3, 4), {"padding": "same"}),
    (2, (2, 3, 6, 7), (4, 3, 3, 2), {}),
    (2, (2, 3, 6, 7), (4, 3, 3, 2), {"stride": (2, 1), "padding": (1, 2)}),
    (2, (2, 4, 6, 7), (4, 1, 3, 3), {"padding": 1, "groups": 4}),
    (2, (2, 4, 6, 7), (8, 1, 3, 3), {"stride": 2, "groups": 4}),
    (2, (2, 3, 8, 9), (4, 3, 3, 2), {"dilation": (3, 2), "padding": "same"}),
    (2, (2, 3, 6, 7), (4, 3, 3, 2), {"padding": "valid"}),
    (2, (3, 6, 7), (4, 3, 1, 1), {"stride": 3}),
    (2, (0, 3, 6, 7), (4, 3, 3, 3), {}),
    (3, (2, 2, 4, 5, 6), (3, 2, 2, 3, 2), {}),
    (3, (2, 4, 4, 5, 6), (4, 2, 2, 3, 2), {"stride": (1, 2, 3), "padding": (1, 0, 2), "groups": 2}),
]
TRANSPOSED = [
    (1, (2, 3, 5), (3, 4, 3), {}),
    (1, (2, 4, 5), (4, 3, 3), {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2, "dilation": 2}),
    (1, (2, 3, 5), (3, 4, 3), {"stride": 1, "dilation": 3, "output_padding": 2}),
    (1, (3, 5), (3, 4, 3), {"stride": 2}),
    (2, (2, 3, 4, 5), (3, 4, 3, 2), {}),
    (2, (2, 3, 4, 5), (3, 4, 3, 2), {"stride": (2, 3), "padding": (1, 0), "output_padding": (0, 2)}),
    (2, (2, 4, 4, 5), (4, 1, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 4}),
    (2, (2, 3, 4, 5), (3, 4, 2, 2), {"dilation": (3, 1), "padding": 1}),
    (3, (2, 2, 3, 2, 3), (2, 3, 2, 3, 2), {"stride": 2, "output_padding": 1}),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # PyTorch copies its input then
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n, x, w, settings", CONVOLUTIONS, ids=str)
def test_convolution(n: int, x: tuple, w: tuple, settings: dict, bias: bool) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=x), rng.normal(size=w)] + [rng.normal(size=w[0])] * bias
    compare(
        torch,
        lambda *a: getattr(cr, f"conv{n}d")(*a, **settings),
        lambda *a: getattr(F, f"conv{n}d")(*a, **settings),
        arrays,
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n, x, w, settings", TRANSPOSED, ids=str)
def test_transposed_convolution(n: int, x: tuple, w: tuple, settings: dict, bias: bool) -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=x), rng.normal(size=w)] + [rng.normal(size=w[1] * settings.get("groups", 1))] * bias
    compare(
        torch,
        lambda *a: getattr(cr, f"conv_transpose{n}d")(*a, **settings),
        lambda *a: getattr(F, f"conv_transpose{n}d")(*a, **settings),
        arrays,
    )


def test_the_gradient_penalty_of_a_critic() -> None:
    """The norm of the gradient with respect to the image is itself differentiated with respect to the weights."""
    rng = np.random.default_rng(2)
    image, w1, w2 = rng.normal(size=(3, 2, 8, 8)), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(1, 4, 3, 3))

    x, a, b = (cr.asarray(v).requires_grad_() for v in (image, w1, w2))
    score = cr.sum(cr.conv2d(cr.tanh(cr.conv2d(x, a, stride=2, padding=1)), b))
    score.backward(create_graph=True)
    slope, a.grad, b.grad = x.grad, None, None
    cr.sum(cr.square(cr.sqrt(cr.sum(cr.square(slope), axis=(1, 2, 3))) - 1.0)).backward()

    t, p, q = (torch.tensor(v, requires_grad=True) for v in (image, w1, w2))
    score = F.conv2d(torch.tanh(F.conv2d(t, p, stride=2, padding=1)), q).sum()
    (slope,) = torch.autograd.grad(score, t, create_graph=True)
    (slope.square().sum((1, 2, 3)).sqrt() - 1.0).square().sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), p.grad.numpy(), rtol=1e-9)
    np.testing.assert_allclose(b.grad.numpy(), q.grad.numpy(), rtol=1e-9)

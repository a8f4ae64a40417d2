"""Convolutions whose groups have few channels, and 1x1 kernels with their update: compiled as eager."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

SHAPES = [  # batch, channels, groups, outputs, size, kernel, options
    (2, 32, 32, 32, (9, 7), (3, 3), {"padding": 1}),
    (8, 64, 64, 64, (33, 32), (3, 3), {"padding": 1}),  # summed in parts
    (3, 33, 33, 33, (8, 9), (3, 3), {"padding": 1, "stride": 2}),
    (2, 20, 20, 40, (9, 9), (5, 5), {"padding": 2}),  # two outputs per channel, more taps than are summed together
    (2, 24, 12, 24, (8, 8), (3, 3), {"padding": 1, "dilation": 2}),
    (2, 16, 16, 16, (12, 11), (7, 1), {"padding": (3, 0)}),
    (1, 48, 48, 48, (5, 5), (3, 3), {}),
    (4, 18, 18, 18, (31,), (4,), {"stride": 3}),
    (2, 16, 16, 16, (4, 5, 6), (3, 3, 3), {"padding": 1}),
    (2, 17, 17, 17, (3, 3), (3, 3), {"stride": 4, "padding": 1}),  # gaps between windows
]


@pytest.mark.parametrize("batch, channels, groups, outputs, size, kernel, options", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_groups_of_few_channels_agree_with_eager(batch, channels, groups, outputs, size, kernel, options, dtype):
    rng = np.random.default_rng(0)
    convolve = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}[len(size)]
    x = cr.asarray(rng.standard_normal((batch, channels, *size)).astype(dtype))
    w = cr.asarray(rng.standard_normal((outputs, channels // groups, *kernel)).astype(dtype))

    def gradients(x, w):
        return cr.value_and_grad(lambda x, w: (convolve(x, w, groups=groups, **options) ** 3).sum(), argnums=(0, 1))(
            x, w
        )

    value, (dx, dw) = cr.jit(gradients)(x, w)
    expected, (dx_eager, dw_eager) = gradients(x, w)
    tolerance = 2e-5 if dtype == "float32" else 1e-13
    for found, wanted in ((value, expected), (dx, dx_eager), (dw, dw_eager)):
        scale = np.abs(wanted.numpy()).max()
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "inputs, outputs, size, batch", [(16, 40, 6, 3), (96, 160, 4, 8), (33, 17, 5, 2), (512, 64, 4, 32)]
)
def test_one_by_one_kernels_with_their_update_agree_with_eager(inputs, outputs, size, batch, precision):
    def trained(compiled):
        cr.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, inputs, 1),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 1),
            nn.Flatten(),
            nn.Linear(outputs * size**2, 5),
        )
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)

        def step(x, y):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = cr.jit(step, precision=precision) if compiled else step
        rng = np.random.default_rng(1)
        x = cr.asarray(rng.standard_normal((batch, 3, size, size)).astype("float32"))
        y = cr.asarray(rng.integers(0, 5, batch))
        losses = [run(x, y).item() for _ in range(3)]
        return losses, [p.numpy() for p in model.parameters()]

    losses, weights = trained(compiled=True)
    losses_eager, weights_eager = trained(compiled=False)
    tolerance = 1e-5 if precision == "float32" else 3e-2
    np.testing.assert_allclose(losses, losses_eager, rtol=tolerance)
    for found, wanted in zip(weights, weights_eager, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())

"""Convolutions of few pixels read their weights as they lie: compiled as eager, and no copy of the weights is kept."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.compiler.few_pixels import few_pixels
from chainrule.compiler.llvm.machine import host_target

LANES = host_target().lanes(32)
WIDE = LANES // 4  # pixels of a row where there are four; all of them fill one vector
SHAPES = [  # batch, channels, outputs, size, kernel, options; at least four outputs per pixel
    (1, 24, 64, (4, WIDE), (3, 3), {"padding": 1}),
    (1, 40, 72, (4, WIDE), (3, 3), {"padding": 1}),
    (2, 9, 128, (2, WIDE), (3, 3), {"padding": 1}),
    (1, 16, 64, (8, 2 * WIDE), (3, 3), {"stride": 2, "padding": 1}),
    (1, 16, 64, (9, 2 * WIDE + 1), (3, 3), {"stride": 2}),
    (1, 7, 64, (8, WIDE + 4), (3, 3), {"dilation": 2}),
    (1, 20, 128, (1, LANES), (1, 3), {"padding": (0, 1)}),
    (1, 300, 512, (4, WIDE), (3, 3), {"padding": 1}),
    (1, 1, 64, (LANES + 1,), (2,), {}),
    (4, 10, 150, (WIDE,), (5,), {"padding": 2}),
    (1, 10, 64, (2, 2, WIDE), (3, 3, 3), {"padding": 1}),
]


def arguments(batch, channels, outputs, size, kernel):
    rng = np.random.default_rng(0)
    x = cr.asarray(rng.standard_normal((batch, channels, *size)).astype(np.float32))
    w = cr.asarray(rng.standard_normal((outputs, channels, *kernel)).astype(np.float32))
    return x, w


def kept(step):
    """Return how many kernels' results a step keeps from call to call, and the bytes of its temporaries."""
    plan = step.variants[-1].executor.plan
    return plan.prepared, plan.arena


@pytest.mark.parametrize("batch, channels, outputs, size, kernel, options", SHAPES)
def test_gathered_pixels_agree_with_eager(batch, channels, outputs, size, kernel, options):
    convolve = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}[len(size)]
    x, w = arguments(batch, channels, outputs, size, kernel)
    bias = cr.arange(outputs, dtype=cr.float32)

    def step(x):
        return cr.relu(convolve(x, w, bias, **options)) * 0.5

    compiled = cr.jit(step)
    found, expected = [compiled(x).numpy() for _ in range(3)][-1], step(x).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max() * np.sqrt(w[0].size))
    (variant,) = compiled.variants
    assert len(few_pixels(variant.graph, LANES)) == 1
    assert kept(compiled)[0] == 0


@pytest.mark.parametrize(
    "batch, outputs, kernel, options, reason",
    [
        (1, 64, 3, {"padding": 1}, "15 pixels fill no vector"),
        (32 // LANES, 128, 3, {"padding": 1}, "32 pixels"),
        (1, 4 * LANES - 1, 3, {"padding": 1}, "few outputs"),
        (1, 64, 3, {"padding": 1, "groups": 2}, "groups"),
        (1, 64, 1, {}, "pixels that are used once"),
    ],
)
def test_other_convolutions_pack_their_weights(batch, outputs, kernel, options, reason):
    x, w = arguments(batch, 64, outputs, (3, 5) if "15" in reason else (4, WIDE), (kernel, kernel))
    w = w[:, : 64 // options.get("groups", 1)]
    step = cr.jit(lambda x: nn.functional.conv2d(x, w, **options))
    np.testing.assert_allclose(step(x).numpy(), nn.functional.conv2d(x, w, **options).numpy(), atol=1e-4)
    assert not few_pixels(step.variants[0].graph, LANES), reason


def test_a_step_that_trains_gathers_nothing():
    conv = nn.Conv2d(24, 64, 3, padding=1)
    step = cr.jit(lambda x: (conv(x) ** 2).sum().backward())
    step(cr.ones((1, 24, 4, WIDE)))
    assert not few_pixels(step.variants[0].graph, LANES)


def test_a_network_for_one_picture_keeps_no_second_copy_of_its_weights():
    """ResNet-18 kept 44.7 MB beside the user's 44.7."""
    cr.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 256, 3, stride=2, padding=1), nn.BatchNorm2d(256), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.BatchNorm2d(256), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).eval()  # fmt: skip
    x = cr.asarray(np.random.default_rng(0).standard_normal((1, 8, 16, 4 * WIDE)).astype(np.float32))
    step = cr.jit(lambda x: net(x))
    with cr.no_grad():
        expected, found = net(x), [step(x) for _ in range(3)]
        for y in found:
            np.testing.assert_allclose(y.numpy(), expected.numpy(), atol=1e-5)
        weights = sum(p.numpy().nbytes for p in net.parameters())
        assert kept(step)[1] < weights / 4
        net[6].weight.assign_(net[6].weight * 2.0)  # nothing of the old weights is remembered
        np.testing.assert_allclose(step(x).numpy(), net(x).numpy(), atol=1e-5)


def test_gathered_pixels_have_the_same_bits_on_any_number_of_threads():
    x, w = arguments(1, 64, 256, (4, WIDE), (3, 3))
    before, found = cr.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            cr.set_num_threads(threads)
            step = cr.jit(lambda x: nn.functional.conv2d(x, w, padding=1))
            found.append(step(x).numpy())
    finally:
        cr.set_num_threads(before)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()

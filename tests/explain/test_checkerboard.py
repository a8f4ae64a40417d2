"""Overlaps counted, measured and against PyTorch; the energy at the stride against patterns and Parseval's theorem."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import ShapeError
from chainrule.explain import checkerboard

PICTURE = np.random.default_rng(5).random((2, 9, 7))


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


# --------------------------------------------------------------------------------------------------------- overlaps
@pytest.mark.parametrize("kernel_size", range(1, 7))
@pytest.mark.parametrize("stride", range(1, 5))
def test_counted_overlaps_are_those_that_ones_measure(kernel_size, stride):
    for size, padding in (((3, 4), 0), ((1, 6), 0), ((5, 5), kernel_size // 2)):
        counted = checkerboard.overlap_counts(size, kernel_size, stride, padding)
        np.testing.assert_array_equal(counted, checkerboard.measured_overlaps(size, kernel_size, stride, padding))
        if not padding:
            assert counted.sum() == size[0] * size[1] * kernel_size**2  # each window covers k x k pixels


def test_the_overlap_inside_is_even_exactly_where_the_stride_divides_the_kernel():
    for kernel_size in range(1, 10):
        for stride in range(1, 6):
            counts = checkerboard.overlap_counts(30, kernel_size, stride)
            inside = counts[2 * kernel_size : -2 * kernel_size, 2 * kernel_size : -2 * kernel_size]
            assert (len(np.unique(inside)) == 1) == (kernel_size % stride == 0), (kernel_size, stride)


def test_the_gradient_of_a_strided_convolution_has_the_same_overlaps():
    x = cr.ones((1, 1, 9, 9)).requires_grad_()
    cr.nn.functional.conv2d(x, cr.ones((1, 1, 3, 3)), stride=2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], checkerboard.overlap_counts(4, 3, 2))


@pytest.mark.oracle
def test_overlaps_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    for kernel_size, stride, padding in ((3, 2, 1), (4, 2, 1), (5, 3, 0)):
        ones = torch.ones(1, 1, kernel_size, kernel_size)
        theirs = torch.nn.functional.conv_transpose2d(torch.ones(1, 1, 6, 5), ones, stride=stride, padding=padding)
        ours = checkerboard.overlap_counts((6, 5), kernel_size, stride, padding)
        np.testing.assert_array_equal(ours, theirs[0, 0].numpy())


# ---------------------------------------------------------------------------------------------------------- energy
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_energy_at_the_stride_is_the_variance_of_the_means_of_its_places(stride):
    picture = np.random.default_rng(stride).random((5 * stride, 4 * stride))
    means = picture.reshape(5, stride, 4, stride).mean(axis=(0, 2))
    assert checkerboard.stride_energy(picture, stride) == pytest.approx(means.var() / picture.var(), rel=1e-12)


def test_a_pattern_of_the_period_is_all_and_a_wide_wave_is_nothing():
    rows, columns = np.indices((12, 12))
    assert checkerboard.stride_energy(rows % 2, 2) == pytest.approx(1)
    assert checkerboard.stride_energy((rows + columns) % 3, 3) == pytest.approx(1)
    assert checkerboard.stride_energy(np.sin(2 * np.pi * rows / 12), 2) == pytest.approx(0, abs=1e-15)
    assert checkerboard.stride_energy(np.full((4, 4), 0.1), 2) == 0
    half = np.sin(2 * np.pi * columns / 12) * np.sqrt(2) + (1 - 2 * (rows % 2))  # two waves of equal energy
    assert checkerboard.stride_energy(half, 2) == pytest.approx(0.5)


def test_the_energy_is_of_all_planes_together_and_of_whole_periods():
    quiet, loud = np.zeros((6, 6)), np.indices((6, 6)).sum(0) % 2
    wave = np.sin(2 * np.pi * np.arange(6) / 6)[:, None].repeat(6, 1)
    assert checkerboard.stride_energy(np.stack([quiet, loud, wave]), 2) == pytest.approx(0.25 / (0.25 + 0.5))
    assert checkerboard.stride_energy(np.pad(loud, (0, 1), constant_values=9), 2) == pytest.approx(1)


# ------------------------------------------------------------------------------------------------------- upsampling
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("method", checkerboard.METHODS)
def test_an_enlarged_constant_is_constant_but_for_uneven_overlap(method, kernel_size, stride):
    y = checkerboard.upsample(np.ones((1, 4, 4)), np.ones((1, 1, kernel_size, kernel_size)), stride, method)
    assert y.shape == (1, 4 * stride, 4 * stride)
    even = method != "transposed" or kernel_size % stride == 0
    assert (np.ptp(y) < 1e-12) == even
    assert (checkerboard.stride_energy(y, stride) < 1e-12) == even


def test_a_transposed_convolution_adds_a_window_per_pixel():
    weights = np.random.default_rng(1).random((3, 2, 3, 3))
    y = checkerboard.upsample(PICTURE, weights, 2)
    x = cr.asarray(PICTURE[None])
    whole = cr.nn.functional.conv_transpose2d(x, cr.asarray(weights.swapaxes(0, 1).copy()), stride=2).numpy()[0]
    np.testing.assert_allclose(y[:, 2:16, 2:12], whole[:, 2:16, 2:12], rtol=1e-12)  # inside: no neighbour from beyond


def test_nearest_then_convolving_is_what_it_says():
    weights = np.random.default_rng(1).random((3, 2, 3, 3))
    y = checkerboard.upsample(PICTURE, weights, 2, "nearest")
    large = np.pad(PICTURE.repeat(2, 1).repeat(2, 2), ((0, 0), (1, 1), (1, 1)), mode="wrap")
    np.testing.assert_allclose(y, cr.nn.functional.conv2d(cr.asarray(large[None]), cr.asarray(weights)).numpy()[0])


@pytest.mark.parametrize("stride, kernel_size", [(2, 3), (2, 5), (3, 4), (4, 3)])
def test_only_transposed_convolutions_draw_the_pattern(stride, kernel_size):
    uneven, even, nearest, bilinear = checkerboard.compare_upsampling(PICTURE, stride, kernel_size)
    assert uneven.equal > 0.05  # of the overlap alone, with equal weights
    assert even.equal < 1e-20  # even overlap: nothing with equal weights,
    assert even.random > 0.1  # but random weights are free to draw it,
    assert uneven.random > 0.1
    for way in (nearest, bilinear):  # and here they are not
        assert max(way.equal, way.random) < 1e-20


def test_the_same_seed_gives_the_same_weights():
    first, second = (checkerboard.compare_upsampling(PICTURE, seed=4)[0] for _ in range(2))
    np.testing.assert_array_equal(first.output, second.output)
    assert checkerboard.compare_upsampling(PICTURE, seed=5)[0].random != first.random


# ----------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: checkerboard.overlap_counts(3, 0, 2),
            ValueError,
            "overlap_counts.kernel_size must be an int >= 1; got 0.",
        ),
        (
            lambda: checkerboard.overlap_counts(1, 2, 2, 1),
            ShapeError,
            "a transposed convolution of 1 pixels with kernel_size=2, stride=2 and padding=1 has no output: "
            "2 * 0 + 2 - 2 * 1 = 0; use less padding.",
        ),
        (
            lambda: checkerboard.stride_energy(np.ones((4, 4)), 1),
            ValueError,
            "stride_energy.stride must be an int >= 2; got 1.",
        ),
        (
            lambda: checkerboard.stride_energy(np.ones((4, 2)), 3),
            ShapeError,
            "stride_energy takes a picture [..., height, width] of at least 3 x 3 pixels; got (4, 2).",
        ),
        (
            lambda: checkerboard.upsample(np.ones((3, 4, 4)), np.ones((1, 1, 3, 3)), 2),
            ShapeError,
            "upsample takes a picture [channels, height, width] and weights [out_channels, channels, k, k]; got "
            "(3, 4, 4) and (1, 1, 3, 3).",
        ),
        (
            lambda: checkerboard.compare_upsampling(np.ones((4, 4)), channels=0),
            ValueError,
            "compare_upsampling.channels must be an int >= 1; got 0.",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=exactly(message)):
        call()

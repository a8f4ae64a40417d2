"""Pooling, borders, resizing: what layers refuse, how they read, and what PyTorch has no layer for."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.test_layers import refused

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import DTypeError, ShapeError


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nn.MaxPool2d(0), "MaxPool2d.kernel_size must be an int >= 1, or 2 of them; got 0."),
        (lambda: nn.MinPool1d(2, stride=0.5), "MinPool1d.stride must be an int >= 1; got 0.5."),
        (lambda: nn.MaxPool2d(2, padding=2), "MaxPool2d.padding must be at most half the window (2, 2); got (2, 2)."),
        (lambda: nn.AvgPool2d(2, ceil_mode=1), "AvgPool2d.ceil_mode must be True or False; got 1."),
        (
            lambda: nn.AvgPool2d(2, divisor_override=0),
            "AvgPool2d.divisor_override must be an int other than 0, or None; got 0.",
        ),
        (lambda: nn.LPPool2d(0, 2), "LPPool2d.norm_type must be a number other than 0; got 0."),
        (
            lambda: nn.AdaptiveAvgPool2d((1, 2, 3)),
            "AdaptiveAvgPool2d.output_size must be an int >= 0 or None, or 2 of them; got (1, 2, 3).",
        ),
        (lambda: nn.AdaptiveMaxPool1d(-1), "AdaptiveMaxPool1d.output_size must be an int >= 0 or None; got -1."),
        (lambda: nn.ZeroPad2d((1, 2)), "ZeroPad2d.padding must be an int, or 4 of them; got (1, 2)."),
        (lambda: nn.ConstantPad1d(1, "a"), "ConstantPad1d.value must be a float; got 'a'."),
        (lambda: nn.Upsample(), "Upsample needs either size or scale_factor; got size=None and scale_factor=None."),
        (
            lambda: nn.Upsample(2, mode="linaer"),
            'Upsample.mode must be one of "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", '
            "\"area\"; got 'linaer'; did you mean 'linear'?",
        ),
        (lambda: nn.PixelShuffle(0), "PixelShuffle.upscale_factor must be an int >= 1; got 0."),
        (lambda: nn.InvertiblePool2d(0), "InvertiblePool2d.factor must be an int >= 1; got 0."),
        (
            lambda: nn.Unflatten(1, (2, 0)),
            "Unflatten.unflattened_size must be ints >= 1, one of which may be -1; got (2, 0).",
        ),
        (
            lambda: nn.Unflatten(1, (-1, -1)),
            "Unflatten.unflattened_size must be ints >= 1, one of which may be -1; got (-1, -1).",
        ),
    ],
)
def test_bad_settings(call, message):
    refused(ValueError, message, call)


@pytest.mark.parametrize(
    "kind, call, message",
    [
        (
            ShapeError,
            lambda: nn.MaxPool2d(2)(cr.zeros((32, 784))),
            "MaxPool2d(kernel_size=2) got (32, 784); it needs [batch, channels, height, width] or "
            "[channels, height, width]: give a flat input its axes back with x.reshape.",
        ),
        (
            ShapeError,
            lambda: nn.MaxPool2d(5)(cr.zeros((2, 3, 4, 4))),
            "max_pool2d: a window of 5 does not fit axis 2 of (2, 3, 4, 4), which has 4 + 0 of padding; use a smaller "
            "window or more padding.",
        ),
        (
            DTypeError,
            lambda: nn.AvgPool1d(2)(cr.zeros((2, 3, 4), dtype=cr.int64)),
            "avg_pool1d needs a float tensor; got int64: use .astype(cr.float32).",
        ),
        (
            ShapeError,
            lambda: nn.GlobalAvgPool()(cr.zeros((2, 3))),
            "GlobalAvgPool() got (2, 3); it needs [batch, channels, ...] with a spatial axis or more.",
        ),
        (
            ShapeError,
            lambda: nn.GlobalMaxPool()(cr.zeros((2, 3, 0))),
            "GlobalMaxPool() got (2, 3, 0), which has no positions to pool.",
        ),
        (
            DTypeError,
            lambda: nn.GlobalAvgPool()(cr.zeros((2, 3, 4), dtype=cr.uint8)),
            "GlobalAvgPool() needs a float tensor; got uint8: use .astype(cr.float32).",
        ),
        (
            ShapeError,
            lambda: nn.InvertiblePool2d(2)(cr.zeros((1, 3, 5, 4))),
            "pixel_unshuffle: 2 must divide the height and width of the input (1, 3, 5, 4).",
        ),
        (
            ShapeError,
            lambda: nn.Unflatten(1, (3, 4))(cr.zeros((2, 13))),
            "Unflatten(1, (3, 4)) got (2, 13); its axis 1 must have the size 12.",
        ),
        (
            ShapeError,
            lambda: nn.Unflatten(-1, (3, -1))(cr.zeros((2, 13))),
            "Unflatten(-1, (3, -1)) got (2, 13); its axis -1 must have the size a multiple of 3.",
        ),
        (
            ShapeError,
            lambda: nn.CircularPad2d(5)(cr.zeros((1, 1, 4, 4))),
            "pad: a circular border on axis 2 of (1, 1, 4, 4) may be at most 4 wide; got (5, 5).",
        ),
        (
            ShapeError,
            lambda: nn.ReflectionPad1d(1)(cr.zeros(4)),
            "ReflectionPad1d(1) got (4,); it needs [batch, channels, length] or [channels, length].",
        ),
    ],
)
def test_bad_inputs(kind, call, message):
    refused(kind, message, call)


def test_settings_read_as_they_were_typed():
    assert repr(nn.MaxPool2d(3, 2, 1)) == "MaxPool2d(kernel_size=3, stride=2, padding=1)"
    assert repr(nn.MaxPool2d((3, 3), stride=3)) == "MaxPool2d(kernel_size=3)"
    assert repr(nn.AvgPool3d((1, 2, 2), divisor_override=2)) == "AvgPool3d(kernel_size=(1, 2, 2), divisor_override=2)"
    assert repr(nn.AdaptiveAvgPool2d((None, 7))) == "AdaptiveAvgPool2d(output_size=(None, 7))"
    assert repr(nn.LPPool1d(1.5, 2, ceil_mode=True)) == "LPPool1d(1.5, kernel_size=2, ceil_mode=True)"
    assert repr(nn.ZeroPad2d((1, 2, 0, 0))) == "ZeroPad2d((1, 2, 0, 0))"
    assert repr(nn.Upsample(scale_factor=2, mode="bilinear")) == 'Upsample(scale_factor=2, mode="bilinear")'


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"stride": 1, "padding": 1}, {"ceil_mode": True, "dilation": 2}], ids=str)
def test_min_pooling_is_max_pooling_of_the_negative(n, options):
    x = cr.asarray(np.random.default_rng(n).normal(size=(2, 3, 7, 6, 5)[: n + 2]))
    low, high = getattr(nn, f"MinPool{n}d")(2, **options), getattr(nn, f"MaxPool{n}d")(2, **options)
    assert low(x).tolist() == (-high(-x)).tolist()


def test_pools_of_whole_planes():
    x = cr.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5))).requires_grad_()
    np.testing.assert_allclose(nn.GlobalAvgPool()(x).numpy(), x.numpy().mean((2, 3)), rtol=1e-12)
    assert nn.GlobalMaxPool()(x).tolist() == x.numpy().max((2, 3)).tolist()
    flat = cr.zeros((1, 1, 2, 2)).requires_grad_()
    nn.GlobalMaxPool()(flat).sum().backward()
    assert flat.grad.tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]  # the first of equal elements, as all pooling


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_invertible_pooling_loses_nothing(factor):
    pool = nn.InvertiblePool2d(factor)
    x = cr.asarray(np.random.default_rng(factor).normal(size=(2, 3, 6, 12)).astype(np.float32))
    y = pool(x)
    assert y.shape == (2, 3 * factor**2, 6 // factor, 12 // factor)
    assert pool.inverse(y).tolist() == x.tolist()
    assert pool(pool.inverse(y)).tolist() == y.tolist()
    assert sorted(y.flatten().tolist()) == sorted(x.flatten().tolist())

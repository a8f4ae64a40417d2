"""Blocks: residuals of any body, shortcuts, norms of one's own, what they refuse, how they read."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.test_layers import refused

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import ShapeError


def test_a_residual_of_any_body():
    body = nn.Conv2d(3, 3, 3, padding=1)
    x = cr.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32))
    np.testing.assert_array_equal(nn.Residual(body)(x).numpy(), (body(x) + x).numpy())
    shortcut = nn.Conv2d(3, 5, 1, stride=2)
    narrow = nn.Conv2d(3, 5, 3, stride=2, padding=1)
    np.testing.assert_array_equal(nn.Residual(narrow, shortcut)(x).numpy(), (narrow(x) + shortcut(x)).numpy())


def test_a_shortcut_that_does_not_fit_is_refused():
    with pytest.raises(ShapeError) as caught:
        nn.Residual(nn.Conv2d(3, 5, 3, padding=1))(cr.zeros((2, 3, 4, 4)))
    assert caught.value.message == (
        "Residual: the body gives (2, 5, 4, 4) and the shortcut (2, 3, 4, 4); give a shortcut that changes channels "
        "and stride in the same way, such as a 1x1 convolution."
    )


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nn.BasicBlock(0, 3), "BasicBlock.in_channels must be an int >= 1; got 0."),
        (lambda: nn.Bottleneck(3, 0), "Bottleneck.channels must be an int >= 1; got 0."),
        (lambda: nn.BasicBlock(3, 3, stride=0), "BasicBlock.stride must be an int >= 1; got 0."),
    ],
)
def test_bad_sizes(call, message):
    refused(ValueError, message, call)


def test_a_shortcut_appears_where_shapes_change():
    assert nn.BasicBlock(8, 8).downsample is None
    assert nn.Bottleneck(32, 8).downsample is None
    assert [type(part).__name__ for part in nn.BasicBlock(8, 16).downsample] == ["Conv2d", "BatchNorm2d"]
    assert nn.BasicBlock(8, 8, stride=2).downsample[0].stride == (2, 2)
    own = nn.MaxPool2d(2)
    assert nn.BasicBlock(8, 8, stride=2, downsample=own).downsample is own


def test_a_norm_of_ones_own():
    block = nn.BasicBlock(8, 16, norm=lambda channels: nn.GroupNorm(4, channels))
    assert {type(part).__name__ for part in block.modules() if "Norm" in type(part).__name__} == {"GroupNorm"}
    assert block(cr.ones((2, 8, 4, 4))).shape == (2, 16, 4, 4)


def test_the_parameters_of_published_blocks():
    # He et al. 2016: a bottleneck of 64 channels on 256; Hu et al. 2018: 2 C^2 / r weights; Szegedy et al. 2015: 3a.
    assert sum(p.size for p in nn.Bottleneck(256, 64).parameters()) == 70_400
    assert sum(p.size for p in nn.SqueezeExcitation(64, 4).parameters()) == 2 * 64 * 64 // 16 + 4 + 64
    weights = [p for p in nn.Inception(192, 64, 96, 128, 16, 32, 32).parameters() if p.ndim == 4]
    assert sum(p.size for p in weights) == 163_328  # "159K" in the paper's table, which counts in 1024


def test_blocks_read_as_their_sizes_and_their_layers():
    assert repr(nn.BasicBlock(4, 8, stride=2)).splitlines()[0] == "BasicBlock(4, 8, stride=2"
    assert repr(nn.ConvBNReLU(3, 8, 3)) == (
        "ConvBNReLU(\n  (conv): Conv2d(3, 8, kernel_size=3, bias=False)\n  (bn): BatchNorm2d(8)\n  (relu): ReLU()\n)"
    )

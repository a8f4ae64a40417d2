"""Two convolutions without an activation are one: everywhere where the border allows it, inside in every case."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import ShapeError
from chainrule.explain.convolution import layer_matrix
from chainrule.explain.merging import merge_convolutions


def pair(axes, channels, first, second):
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    a, b, c = channels
    return kind(a, b, **first, dtype=cr.float64), kind(b, c, **second, dtype=cr.float64)


def differences(first, second, x):
    merged = merge_convolutions(first, second)
    two, one = second(first(x)).numpy(), merged.layer(x).numpy()
    assert one.shape == two.shape
    return merged, np.abs(one - two)


EXACT = [
    (1, (1, 2, 3), {"kernel_size": 3}, {"kernel_size": 5}),
    (2, (3, 4, 2), {"kernel_size": (3, 2)}, {"kernel_size": (1, 4)}),
    (2, (2, 4, 6), {"kernel_size": 3, "groups": 2, "padding": 2}, {"kernel_size": 3, "groups": 2}),
    (2, (2, 3, 2), {"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 3, "stride": (1, 2)}),
    (2, (1, 3, 1), {"kernel_size": 2, "dilation": 2}, {"kernel_size": 3, "dilation": (1, 3), "bias": False}),
    (3, (1, 2, 2), {"kernel_size": 2, "stride": 2}, {"kernel_size": (1, 2, 2)}),
    (2, (2, 2, 2), {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}, {"kernel_size": 3}),
    (2, (2, 2, 2), {"kernel_size": 3, "padding": 2, "bias": False}, {"kernel_size": 3, "padding": 3}),
    (1, (1, 2, 1), {"kernel_size": 4, "padding": 5, "bias": False}, {"kernel_size": 3, "padding": "same"}),
    (
        2,
        (1, 2, 1),
        {"kernel_size": 5, "padding": "same", "padding_mode": "circular"},
        {"kernel_size": 3, "padding": 1, "stride": 2, "padding_mode": "circular"},
    ),
]


@pytest.mark.parametrize("axes, channels, first, second", EXACT)
def test_one_equals_two_everywhere(axes, channels, first, second):
    x = cr.asarray(np.random.default_rng(0).normal(size=(2, channels[0], *(13, 12, 9)[:axes])))
    merged, difference = differences(*pair(axes, channels, first, second), x)
    assert merged.exact
    assert merged.border == (0,) * axes
    assert difference.max() < 1e-12


BORDERS = [
    ({"kernel_size": 3, "padding": 1}, {"kernel_size": 3, "padding": 1}, (1, 1)),
    ({"kernel_size": 3}, {"kernel_size": 5, "padding": 2}, (2, 2)),
    ({"kernel_size": 5, "stride": 2}, {"kernel_size": 5, "padding": (2, 0), "stride": 2}, (1, 0)),
    ({"kernel_size": 3, "padding": 2}, {"kernel_size": 3, "padding": 1}, (1, 1)),  # the first has a bias
    (
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        (1, 1),
    ),
]


@pytest.mark.parametrize("first, second, border", BORDERS)
def test_a_border_of_the_second_makes_a_difference_there_and_nowhere_else(first, second, border):
    x = cr.asarray(np.random.default_rng(0).normal(size=(2, 2, 17, 16)))
    merged, difference = differences(*pair(2, (2, 3, 2), first, second), x)
    assert (merged.exact, merged.border) == (False, border)
    (top, left), (height, width) = border, difference.shape[2:]
    assert difference[:, :, top : height - top, left : width - left].max() < 1e-12
    assert difference.max() > 1e-3
    if top:
        assert difference[:, :, 0].max() > 1e-3


def test_the_merged_matrix_is_the_product_of_the_matrices():
    first, second = pair(2, (1, 2, 1), {"kernel_size": 3, "bias": False}, {"kernel_size": 2, "bias": False})
    one = merge_convolutions(first, second).layer
    product = layer_matrix(second, (2, 4, 4)) @ layer_matrix(first, (1, 6, 6))
    np.testing.assert_allclose(product.todense(), layer_matrix(one, (1, 6, 6)).todense(), atol=1e-12)


def test_an_activation_between_them_is_what_makes_two_layers_more_than_one():
    first, second = pair(2, (1, 2, 1), {"kernel_size": 3}, {"kernel_size": 3})
    x = cr.asarray(np.random.default_rng(0).normal(size=(2, 1, 8, 8)))
    one = merge_convolutions(first, second).layer
    assert float(cr.max(abs(one(x) - second(cr.relu(first(x)))))) > 1e-2


def test_text_and_dtype():
    merged = merge_convolutions(nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 5, padding=2))
    assert repr(merged) == (
        "Conv2d(1, 1, kernel_size=7, padding=3), exact but for 2 x 2 outputs at each border: "
        "the second pads what the first made, where one convolution pads the input"
    )
    assert merged.layer.weight.dtype is cr.float32


@pytest.mark.parametrize(
    "first, second, kind, message",
    [
        (
            nn.Conv2d(1, 2, 3),
            nn.Conv2d(3, 1, 3),
            ShapeError,
            "merge_convolutions: Conv2d(1, 2, kernel_size=3) makes 2 channels and Conv2d(3, 1, kernel_size=3) takes 3; "
            "they must be equal.",
        ),
        (
            nn.Conv2d(1, 2, 3),
            nn.Conv1d(2, 1, 3),
            TypeError,
            "merge_convolutions takes two Conv1d, Conv2d or Conv3d; got Conv2d(1, 2, kernel_size=3) and "
            "Conv1d(2, 1, kernel_size=3).",
        ),
        (
            nn.Conv1d(1, 2, 4, padding="same"),
            nn.Conv1d(2, 1, 3),
            ValueError,
            'merge_convolutions: Conv1d(1, 2, kernel_size=4, padding="same") pads one side more than the other, as '
            'padding="same" does for an even kernel; give an odd kernel, or padding as ints.',
        ),
    ],
)
def test_what_is_refused(first, second, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        merge_convolutions(first, second)

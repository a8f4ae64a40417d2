"""Sizes and parameters against the layers, receptive fields of models against measured gradients."""

from __future__ import annotations

import collections
import itertools
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.core.errors import DataError, ShapeError
from chainrule.explain.receptive_field import measured_field, receptive_fields
from chainrule.explain.sizes import convolution_parameters, linear_parameters, output_size, transposed_output_size


@pytest.mark.parametrize(
    "kernel, stride, padding, dilation", list(itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1), (1, 2)))
)
def test_sizes_are_those_of_the_layers(kernel, stride, padding, dilation):
    how = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    for n in (9, 10, 14):
        x = cr.zeros((1, 1, n))
        assert output_size(n, **how) == nn.Conv1d(1, 1, **how)(x).shape[-1]
        assert transposed_output_size(n, **how) == nn.ConvTranspose1d(1, 1, **how)(x).shape[-1]
        if 2 * padding <= kernel:
            for ceil in (False, True):
                assert output_size(n, ceil_mode=ceil, **how) == nn.MaxPool1d(ceil_mode=ceil, **how)(x).shape[-1]


def test_sizes_per_axis_and_borders_in_words():
    assert output_size((28, 32), (3, 5), stride=(1, 2), padding=(1, 0)) == (28, 14)
    assert (output_size(32, 4, padding="same"), output_size(32, 4, padding="valid")) == (32, 29)
    assert transposed_output_size(4, (2, 3), stride=2, output_padding=(0, 1)) == (8, 10)


def test_parameters_are_those_of_the_layers():
    def count(layer):
        return sum(p.size for p in layer.parameters())

    for settings in [(3, 16, 5), (4, 8, (3, 1), 2), (8, 8, 3, 8, False)]:
        groups, bias = (*settings[3:], *(1, True)[len(settings) - 3 :])
        layer = nn.Conv2d(*settings[:3], groups=groups, bias=bias)
        assert convolution_parameters(*settings) == count(layer)
    assert convolution_parameters(2, 3, (5,)) == count(nn.Conv1d(2, 3, 5))
    assert linear_parameters(7, 5) == count(nn.Linear(7, 5))
    assert linear_parameters(7, 5, bias=False) == 35


def test_a_linear_layer_on_a_picture_against_a_convolution():
    # A picture of ImageNet, 224 x 224 x 3, to 256 features.
    assert 224 * 224 * 3 == 150_528
    assert linear_parameters(150_528, 256) == 38_535_424
    assert convolution_parameters(3, 256, 3) == 7_168
    assert linear_parameters(150_528, 256) // convolution_parameters(3, 256, 3) == 5_376


NETWORKS = {
    "lenet5": (lambda: models.create("lenet5"), (1, 28, 28)),
    "resnet20": (lambda: models.create("resnet20"), (3, 32, 32)),
    "inception": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Inception(4, 2, 2, 2, 2, 2, 2)),
        (1, 21, 19),
    ),
    "residual": (lambda: nn.Sequential(nn.BasicBlock(1, 2, stride=2), nn.Bottleneck(2, 2)), (1, 17, 23)),
    "dilated": (
        lambda: nn.Sequential(*(nn.Conv2d(1, 1, 3, dilation=d, padding=d) for d in (1, 2, 4))),
        (1, 25, 25),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_what_the_table_says(name):
    make, shape = NETWORKS[name]
    net = make().eval()
    table = receptive_fields(net, (1, *shape))
    calls = collections.Counter(row.path for row in table.rows)  # one relu may stand in several places
    last = [r for r in table.rows if len(r.output) == 4 and "all" not in r.fields and calls[r.path] == 1][-1]

    checked = 0
    for position in {tuple(n // 2 for n in last.output[2:]), (0, 0), tuple(n - 1 for n in last.output[2:])}:
        found = measured_field(net, (1, *shape), position, layer=last.path, samples=12)
        stated = last.window(position)
        inside = tuple((max(a, 0), min(b, n - 1)) for (a, b), n in zip(stated, shape[1:], strict=True))
        for (a, b), (c, d) in zip(found, inside, strict=True):
            assert c <= a <= b <= d  # never beyond
        checked += found == inside
    assert checked == 3 or name in ("lenet5", "dilated")  # holes at a border, and maxima that nobody picked
    assert checked >= 1


def test_a_table_of_fields():
    net = nn.Sequential(
        nn.Conv2d(1, 1, 3, stride=(2, 1), padding=1), nn.Upsample(scale_factor=2), nn.Flatten(), nn.Linear(128, 2)
    )
    assert str(receptive_fields(net, (1, 1, 8, 8))) == (
        "layer       output         field   jump  start  centre\n"
        "0 Conv2d    (1, 1, 4, 8)     3x3    2x1  -1x-1     0x0\n"
        "1 Upsample  (1, 1, 8, 16)    3x3  1x1/2  -1x-1     0x0\n"
        "2 Flatten   (1, 128)         3x3  1x1/2  -1x-1     0x0\n"
        "3 Linear    (1, 2)           all      -      -       -"
    )


def test_lenet_sees_its_whole_picture_at_c5():
    table = receptive_fields(models.create("lenet5"), (1, 1, 28, 28))
    assert [table[path].fields[0].size for path in ("c1", "s2", "c3", "s4", "c5")] == [5, 6, 14, 16, 32]
    assert (table["c5"].window((0, 0)), table["f6"].window((0,))) == (((-2, 29), (-2, 29)), None)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda: output_size(4, 3, dilation=2),
            ShapeError,
            "output_size: the window reaches over 5 positions and the input has 4 + 0 of padding; use a smaller window "
            "or more padding.",
        ),
        (lambda: output_size(0, 3), ValueError, "output_size.size must be an int >= 1; got 0."),
        (
            lambda: output_size((4, 4), (3, 3, 3)),
            ValueError,
            "output_size.size must be an int >= 1, or 3 of them; got (4, 4).",
        ),
        (
            lambda: output_size(8, 3, stride=2, padding="same"),
            ValueError,
            'output_size.padding "same" needs stride 1; got 2.',
        ),
        (
            lambda: transposed_output_size(1, 3, padding=2),
            ShapeError,
            "transposed_output_size: padding 2 leaves an output of (-1,); use less padding.",
        ),
        (
            lambda: convolution_parameters(3, 4, 3, groups=2),
            ValueError,
            "convolution_parameters.groups must divide in_channels and out_channels; got 2 for [3, 4].",
        ),
        (
            lambda: measured_field(nn.Conv2d(1, 1, 3), (1, 1, 8, 8), (6, 0)),
            ShapeError,
            "field_gradient: the output is (1, 1, 6, 6) and the position (6, 0); it needs one position inside each "
            "axis after [batch, channels].",
        ),
        (
            lambda: measured_field(nn.Conv2d(1, 1, 3), (1, 1, 8, 8), samples=0),
            DataError,
            "measured_field.samples must be an integer >= 1; got 0.",
        ),
        (
            lambda: receptive_fields(nn.Sequential(nn.Conv2d(1, 1, 3)), (1, 1, 8, 8))["1"],
            KeyError,
            "\"there is no layer '1'; there are 0.\"",
        ),
        (
            lambda: receptive_fields(nn.Conv2d(1, 1, 3), (1, 1, 8, 8)).rows[0].window((1, 2, 3)),
            ShapeError,
            "Conv2d has 2 spatial axes; got the position (1, 2, 3).",
        ),
    ],
)
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()


def test_a_gradient_that_never_arrives():
    class Constant(nn.Module):
        def forward(self, x):
            return x * 0.0

    assert measured_field(Constant(), (1, 1, 4, 4)) is None
    assert np.prod([b - a + 1 for a, b in measured_field(nn.Conv2d(1, 1, 3), (1, 1, 8, 8))]) == 9

"""Convolution layers: what they refuse, how they read, receptive fields, true convolution beside cross-correlation."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.test_layers import refused

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import DTypeError, ShapeError

F = nn.functional


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nn.Conv2d(0, 3, 3), "Conv2d.in_channels must be an int >= 1; got 0."),
        (lambda: nn.Conv1d(3, 2.0, 3), "Conv1d.out_channels must be an int >= 1; got 2.0."),
        (lambda: nn.Conv2d(3, 6, 0), "Conv2d.kernel_size must be an int >= 1, or 2 of them; got 0."),
        (lambda: nn.Conv2d(3, 6, (3, 3, 3)), "Conv2d.kernel_size must be an int >= 1, or 2 of them; got (3, 3, 3)."),
        (lambda: nn.Conv1d(3, 6, 3, stride=0), "Conv1d.stride must be an int >= 1; got 0."),
        (lambda: nn.Conv3d(3, 6, 3, padding=-1), "Conv3d.padding must be an int >= 0, or 3 of them; got -1."),
        (lambda: nn.Conv2d(3, 6, 3, dilation=1.5), "Conv2d.dilation must be an int >= 1, or 2 of them; got 1.5."),
        (
            lambda: nn.Conv2d(4, 6, 3, groups=4),
            "Conv2d.groups must divide in_channels and out_channels; got 4 groups for 4 and 6 channels.",
        ),
        (
            lambda: nn.Conv2d(3, 6, 3, padding="sam"),
            "Conv2d.padding must be one of \"same\", \"valid\"; got 'sam'; did you mean 'same'?",
        ),
        (
            lambda: nn.Conv2d(3, 6, 3, stride=2, padding="same"),
            'Conv2d.padding "same" needs stride 1, so that the output is as large as the input; got stride=2.',
        ),
        (
            lambda: nn.Conv2d(3, 6, 3, padding_mode="zero"),
            'Conv2d.padding_mode must be one of "zeros", "reflect", "replicate", "circular"; got \'zero\'; did you '
            "mean 'zeros'?",
        ),
        (lambda: nn.Conv2d(3, 6, 3, bias=1), "Conv2d.bias must be True or False; got 1."),
        (lambda: nn.Conv2d(3, 6, 3, dtype=cr.int32), "Conv2d.dtype must be a float dtype; got int32."),
        (
            lambda: nn.ConvTranspose2d(3, 6, 3, stride=2, output_padding=2),
            "ConvTranspose2d.output_padding must be smaller than stride or dilation; got 2 with stride 2 and "
            "dilation 1.",
        ),
        (
            lambda: nn.ConvTranspose2d(3, 6, 3, padding_mode="reflect"),
            "ConvTranspose2d.padding_mode must be one of \"zeros\"; got 'reflect'.",
        ),
        (
            lambda: nn.ConvTranspose2d(3, 6, 3, stride=2)(cr.zeros((1, 3, 4, 4)), output_size=(9, 11)),
            "ConvTranspose2d(3, 6, kernel_size=3, stride=2).forward.output_size must be between (9, 9) and (10, 10) "
            "for the input (1, 3, 4, 4); got (9, 11).",
        ),
        (
            lambda: F.convolve(cr.ones(3), cr.ones(2), "fll"),
            'convolve.mode must be one of "valid", "same", "full"; got \'fll\'; did you mean \'full\'?',
        ),
    ],
)
def test_bad_settings(call, message):
    refused(ValueError, message, call)


CONV = "Conv2d(3, 6, kernel_size=5)"


@pytest.mark.parametrize(
    "kind, call, message",
    [
        (
            ShapeError,
            lambda: nn.Conv2d(3, 6, 5)(cr.zeros((32, 3072))),
            f"{CONV} got (32, 3072); it needs [batch, 3, height, width] or [3, height, width]: give a flat input its "
            "axes back with x.reshape.",
        ),
        (
            ShapeError,
            lambda: nn.Conv2d(3, 6, 5)(cr.zeros((2, 32, 32, 3))),
            f"{CONV} got (2, 32, 32, 3); its axis 1, the channels, must be 3: if the channels are last, write "
            "cr.permute_dims(x, (0, 3, 1, 2)).",
        ),
        (
            ShapeError,
            lambda: nn.Conv2d(3, 6, 5)(cr.zeros((32, 32, 3))),
            f"{CONV} got (32, 32, 3); its axis 0, the channels, must be 3: if the channels are last, write "
            "cr.permute_dims(x, (2, 0, 1)).",
        ),
        (
            ShapeError,
            lambda: nn.Conv2d(3, 6, 5)(cr.zeros((2, 1, 28, 28))),
            f"{CONV} got (2, 1, 28, 28); its axis 1, the channels, must be 3.",
        ),
        (
            ShapeError,
            lambda: nn.Conv2d(3, 6, 5)(cr.zeros((2, 3, 4, 9))),
            "conv2d: a window of 5 does not fit axis 2 of (2, 3, 4, 9), which has 4 + 0 of padding; use a smaller "
            "window or more padding.",
        ),
        (
            ShapeError,
            lambda: nn.Conv2d(3, 6, 5, padding=4, padding_mode="reflect")(cr.zeros((2, 3, 4, 9))),
            "pad: a reflect border on axis 2 of (2, 3, 4, 9) may be at most 3 wide; got (4, 4).",
        ),
        (
            DTypeError,
            lambda: nn.Conv2d(3, 6, 5)(cr.zeros((2, 3, 8, 8), dtype=cr.float64)),
            f"{CONV} got a float64 input and its parameters are float32; write x.astype(cr.float32), or convert the "
            "parameters with .astype(cr.float64).",
        ),
        (
            DTypeError,
            lambda: nn.Conv2d(3, 6, 5)(np.zeros((2, 3, 8, 8), dtype=np.float32)),
            f"{CONV}: the input must be a tensor; got numpy.ndarray: convert it with cr.asarray.",
        ),
        (
            ShapeError,
            lambda: nn.ConvTranspose1d(3, 6, 2)(cr.zeros((2, 4, 8))),
            "ConvTranspose1d(3, 6, kernel_size=2) got (2, 4, 8); its axis 1, the channels, must be 3.",
        ),
        (
            ShapeError,
            lambda: F.cross_correlate(cr.ones((4, 4)), cr.ones((5, 2))),
            "cross_correlate: the kernel (5, 2) does not fit into the input (4, 4); use a smaller kernel, or "
            'mode="full".',
        ),
        (
            ShapeError,
            lambda: F.convolve(cr.ones(4), cr.ones((2, 2))),
            "convolve: the input is (4,) and the kernel (2, 2); the kernel needs 1 to 3 axes, and the input at least "
            "as many.",
        ),
        (
            DTypeError,
            lambda: F.convolve(cr.ones(4), cr.ones(2, dtype=cr.float64)),
            "convolve: the input is float32 and the kernel float64; convert one with .astype.",
        ),
    ],
)
def test_bad_inputs(kind, call, message):
    refused(kind, message, call)


def test_an_error_names_the_layer_in_its_network():
    net = nn.Sequential(nn.Conv2d(3, 6, 5), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5))
    with pytest.raises(ShapeError) as caught:
        net(cr.zeros((1, 3, 32, 32)))
    assert caught.value.module_path == "2 (Conv2d)"


def test_settings_are_kept_per_axis_and_read_as_they_were_typed():
    layer = nn.Conv2d(3, 16, 3, stride=(2, 1), padding=(1, 1), dilation=[2, 2])
    assert (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == ((3, 3), (2, 1), (1, 1), (2, 2))
    assert repr(layer) == "Conv2d(3, 16, kernel_size=3, stride=(2, 1), padding=1, dilation=2)"
    assert repr(nn.Conv2d(4, 4, (3, 1), padding="same", groups=4, bias=False)) == (
        'Conv2d(4, 4, kernel_size=(3, 1), padding="same", groups=4, bias=False)'
    )
    assert repr(nn.ConvTranspose2d(3, 6, 3, 2, 1, 1).astype(cr.float64)) == (
        'ConvTranspose2d(3, 6, kernel_size=3, stride=2, padding=1, output_padding=1, dtype="float64")'
    )


def test_the_depthwise_and_the_pointwise_convolution_have_few_parameters():
    full = nn.Conv2d(32, 64, 3, bias=False)
    apart = nn.Sequential(nn.Conv2d(32, 32, 3, groups=32, bias=False), nn.Conv2d(32, 64, 1, bias=False))
    assert sum(p.size for p in full.parameters()) == 18_432
    assert sum(p.size for p in apart.parameters()) == 288 + 2_048


def test_reset_parameters_draws_anew_from_the_generator():
    layer = nn.Conv2d(3, 6, 3)
    before = layer.weight.tolist()
    layer.reset_parameters(cr.Generator(1))
    first = layer.weight.tolist()
    layer.reset_parameters(cr.Generator(1))
    assert before != first == layer.weight.tolist()


# --- convolution and cross-correlation by name ----------------------------------------------------------------------

PICTURE = [[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]]
KERNEL = [[1, 4, 1], [1, 4, 3], [3, 3, 1]]


def test_the_worked_example_of_the_course():
    x, u = cr.asarray(PICTURE), cr.asarray(KERNEL)
    assert F.cross_correlate(x, u).tolist() == [[122, 148], [126, 134]]
    turned = cr.asarray([row[::-1] for row in KERNEL[::-1]])
    assert F.convolve(x, turned).tolist() == [[122, 148], [126, 134]]
    layer = nn.Conv2d(1, 1, 3, bias=False)
    with cr.no_grad():
        layer.weight.assign_(u.astype(cr.float32)[None, None])
    assert layer(x.astype(cr.float32)[None]).tolist() == [[[122.0, 148.0], [126.0, 134.0]]]


def test_the_transposed_worked_example():
    layer = nn.ConvTranspose2d(1, 1, 2, bias=False)
    with cr.no_grad():
        layer.weight.assign_(cr.asarray([[[[0.0, 1.0], [2.0, 3.0]]]]))
    assert layer(cr.asarray([[[0.0, 1.0], [2.0, 3.0]]])).tolist() == [[[0, 0, 1], [0, 4, 6], [4, 12, 9]]]


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
@pytest.mark.parametrize("size", [(3,), (4,), (2, 3), (4, 1), (2, 3, 2)])
def test_both_are_those_of_scipy(mode, size):
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=(2, 6, 5, 7)[-len(size) :]), rng.normal(size=size)
    ours = F.convolve(cr.asarray(x), cr.asarray(u), mode), F.cross_correlate(cr.asarray(x), cr.asarray(u), mode)
    theirs = signal.convolve(x, u, mode, method="direct"), signal.correlate(x, u, mode, method="direct")
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other, rtol=1e-12, atol=1e-12)


def test_convolution_commutes_and_cross_correlation_does_not():
    rng = np.random.default_rng(1)
    x, u = cr.asarray(rng.normal(size=(4, 5))), cr.asarray(rng.normal(size=(3, 2)))
    np.testing.assert_allclose(F.convolve(x, u, "full").numpy(), F.convolve(u, x, "full").numpy(), rtol=1e-12)
    difference = F.cross_correlate(x, u, "full") - F.cross_correlate(u, x, "full")
    assert cr.max(cr.abs(difference)).item() > 0.1


def test_planes_before_the_axes_of_the_kernel_are_apart():
    x = cr.asarray(np.random.default_rng(2).normal(size=(2, 3, 6, 5)))
    u = cr.asarray(np.random.default_rng(3).normal(size=(2, 2)))
    y = F.cross_correlate(x, u)
    assert y.shape == (2, 3, 5, 4)
    np.testing.assert_allclose(y[1, 2].numpy(), F.cross_correlate(x[1, 2], u).numpy(), rtol=1e-12)


# --- summary --------------------------------------------------------------------------------------------------------


def test_a_convolutional_network_in_the_table():
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip
    table = net.summary((1, 1, 28, 28))
    assert table.parameters == 61_706  # LeNet-5 as d2l.ai has it
    assert [row.receptive_field for row in table.rows[:7]] == ["5x5", "5x5", "6x6", "14x14", "14x14", "16x16", "16x16"]
    assert table.rows[0].flops == 28 * 28 * 6 * (2 * 25 + 1)
    assert [row.outputs[0] for row in table.rows[:6:2]] == [(1, 6, 28, 28), (1, 6, 14, 14), (1, 16, 10, 10)]


@pytest.mark.parametrize(
    "layers, field",
    [
        ([nn.Conv2d(1, 1, 3, dilation=2)], "5x5"),
        ([nn.Conv2d(1, 1, (3, 1), stride=(2, 1)), nn.Conv2d(1, 1, 3)], "7x3"),
        ([nn.MaxPool2d(2), nn.Conv2d(1, 1, 3), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3)], "8x8"),
        ([nn.Conv2d(1, 4, 4, stride=4), nn.ConvTranspose2d(4, 1, 4, stride=4), nn.Conv2d(1, 1, 3)], "8x8"),
        ([nn.PixelUnshuffle(2), nn.Conv2d(4, 4, 3), nn.PixelShuffle(2)], "6x6"),
        ([nn.AdaptiveAvgPool2d(4)], "4x4"),
        ([nn.AdaptiveAvgPool2d((5, 1))], "4x16"),
        ([nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1)], "all"),
        ([nn.Conv2d(1, 1, 3), nn.GlobalMaxPool()], "all"),
        ([nn.Upsample(size=8, mode="area")], "2x2"),
        ([nn.Upsample(size=32, mode="bilinear"), nn.Conv2d(1, 1, 3)], "3x3"),
    ],
    ids=str,
)
def test_receptive_fields_through_all_kinds_of_layers(layers, field):
    assert nn.Sequential(*layers).summary((1, 1, 16, 16)).rows[-1].receptive_field == field

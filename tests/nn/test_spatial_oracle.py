"""Convolution, pooling, border, resizing and normalisation layers against PyTorch, in both modes and precisions."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

torch = pytest.importorskip("torch")
from tests.nn.test_oracle import check  # noqa: E402 - it needs torch
from tests.nn.twins import compare_layer, same_state  # noqa: E402

pytestmark = pytest.mark.oracle


def values(*shape: int) -> np.ndarray:
    """Return distinct numbers, so that no maximum is a tie and every gradient is determined."""
    size = int(np.prod(shape))
    return np.random.default_rng(size).permutation(np.linspace(-2.0, 2.0, size)).reshape(shape) + 0.003


SHAPES = {1: (3, 4, 11), 2: (2, 4, 9, 8), 3: (2, 4, 6, 5, 7)}
SINGLE = {n: shape[1:] for n, shape in SHAPES.items()}

CONVOLUTIONS: list[tuple[str, tuple, dict]] = [
    ("Conv{n}d", (4, 6, 3), {}),
    ("Conv{n}d", (4, 6, 3), {"stride": 2, "padding": 1, "bias": False}),
    ("Conv{n}d", (4, 8, 3), {"padding": 2, "dilation": 2, "groups": 2}),
    ("Conv{n}d", (4, 8, 3), {"padding": 1, "groups": 4}),  # depthwise
    ("Conv{n}d", (4, 5, 1), {}),
    ("Conv{n}d", (4, 5, 1), {"stride": 2, "bias": False}),
    ("Conv{n}d", (4, 3, 4), {"padding": "same"}),  # an even window: one more after than before
    ("Conv{n}d", (4, 3, 2), {"padding": "same", "dilation": 3}),
    ("Conv{n}d", (4, 3, 3), {"padding": "valid"}),
    *[
        ("Conv{n}d", (4, 3, 3), {"padding": padding, "padding_mode": mode, "stride": stride})
        for mode in ("reflect", "replicate", "circular")
        for padding, stride in ((2, 1), ("same", 1), (1, 2), ("valid", 1))
    ],
    ("ConvTranspose{n}d", (4, 3, 3), {}),
    ("ConvTranspose{n}d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
    ("ConvTranspose{n}d", (4, 4, 3), {"stride": 3, "dilation": 2, "bias": False, "groups": 4}),
    ("ConvTranspose{n}d", (4, 2, 2), {"stride": 2}),
]
POOLS: list[tuple[str, tuple, dict]] = [
    ("MaxPool{n}d", (2,), {}),
    ("MaxPool{n}d", (3,), {"stride": 2, "padding": 1}),
    ("MaxPool{n}d", (2,), {"stride": 3, "ceil_mode": True, "dilation": 2}),
    ("AvgPool{n}d", (2,), {}),
    ("AvgPool{n}d", (3,), {"stride": 2, "padding": 1}),
    ("AvgPool{n}d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    ("LPPool{n}d", (2, 2), {}),
    ("LPPool{n}d", (3, 2), {"stride": 1, "ceil_mode": True}),
    ("AdaptiveAvgPool{n}d", (1,), {}),
    ("AdaptiveAvgPool{n}d", (3,), {}),
    ("AdaptiveMaxPool{n}d", (1,), {}),
    ("AdaptiveMaxPool{n}d", (4,), {}),
]
BORDERS: list[tuple[str, tuple, dict]] = [
    ("ZeroPad{n}d", (2,), {}),
    ("ConstantPad{n}d", (1, 0.5), {}),
    ("ReflectionPad{n}d", (2,), {}),
    ("ReplicationPad{n}d", (3,), {}),
    ("CircularPad{n}d", (2,), {}),
]
NORMS: list[tuple[str, tuple, dict]] = [
    ("BatchNorm{n}d", (4,), {}),
    ("BatchNorm{n}d", (4,), {"eps": 1e-2, "momentum": 0.7}),
    ("BatchNorm{n}d", (4,), {"momentum": None}),
    ("BatchNorm{n}d", (4,), {"affine": False}),
    ("BatchNorm{n}d", (4,), {"track_running_stats": False}),
    ("InstanceNorm{n}d", (4,), {}),
    ("InstanceNorm{n}d", (4,), {"affine": True, "track_running_stats": True, "eps": 1e-2}),
    ("InstanceNorm{n}d", (4,), {"track_running_stats": True, "momentum": None}),
]
PER_AXES = [
    (kind.format(n=n), args, options, SHAPES[n])
    for kind, args, options in (*CONVOLUTIONS, *POOLS, *BORDERS, *NORMS)
    for n in (1, 2, 3)
]
TWO = SHAPES[2]
SINGLES: list[tuple[str, tuple, dict, tuple]] = [
    ("Conv1d", (4, 6, 3), {"padding": 1, "padding_mode": "circular"}, SINGLE[1]),
    ("Conv2d", (4, 6, (3, 1)), {"stride": (1, 2), "padding": (2, 0), "dilation": (2, 1)}, TWO),
    ("Conv2d", (4, 6, (3, 2)), {"padding": (1, 3), "padding_mode": "replicate"}, SINGLE[2]),
    ("Conv3d", (4, 6, (1, 2, 3)), {"padding": "same"}, SINGLE[3]),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (0, 1)}, SINGLE[2]),
    ("MaxPool2d", ((3, 2),), {"stride": (1, 2), "padding": (1, 0)}, SINGLE[2]),
    ("AvgPool2d", ((3, 2),), {"divisor_override": 5}, SINGLE[2]),
    ("AvgPool3d", (2,), {"divisor_override": 3}, SHAPES[3]),
    ("AdaptiveAvgPool2d", ((None, 3),), {}, SINGLE[2]),
    ("AdaptiveMaxPool2d", ((2, None),), {}, SINGLE[2]),
    ("ReflectionPad2d", ((0, 1, 2, 3),), {}, SINGLE[2]),
    ("ZeroPad2d", ((-1, 2, 0, -2),), {}, TWO),
    ("CircularPad3d", ((1, 2, 0, 1, 3, 0),), {}, SHAPES[3]),
    ("ReplicationPad1d", ((4, 0),), {}, SINGLE[1]),
    ("InstanceNorm2d", (4,), {"affine": True}, SINGLE[2]),
    ("BatchNorm1d", (4,), {}, (6, 4)),
    ("LayerNorm", (8,), {}, TWO),
    ("LayerNorm", ((9, 8),), {"bias": False, "eps": 1e-3}, TWO),
    ("LayerNorm", ((4, 9, 8),), {"elementwise_affine": False}, TWO),
    ("RMSNorm", (8,), {}, TWO),
    ("RMSNorm", ((9, 8),), {"eps": 1e-3, "elementwise_affine": False}, TWO),
    ("GroupNorm", (2, 4), {}, TWO),
    ("GroupNorm", (4, 4), {"affine": False, "eps": 1e-2}, SHAPES[1]),
    ("GroupNorm", (1, 4), {}, (3, 4)),
    ("LocalResponseNorm", (3,), {"alpha": 0.3, "beta": 0.5, "k": 2.0}, TWO),
    ("LocalResponseNorm", (2,), {}, SHAPES[3]),
    ("Upsample", (), {"scale_factor": 2}, TWO),
    ("Upsample", (), {"scale_factor": (1.5, 0.7), "mode": "nearest-exact"}, TWO),
    ("Upsample", (), {"size": 7, "mode": "linear"}, SHAPES[1]),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, TWO),
    ("Upsample", (), {"size": (5, 17), "mode": "bilinear", "align_corners": True}, TWO),
    ("Upsample", (), {"scale_factor": 1.7, "mode": "bicubic", "recompute_scale_factor": True}, TWO),
    ("Upsample", (), {"scale_factor": 2, "mode": "trilinear"}, SHAPES[3]),
    ("Upsample", (), {"size": (4, 3), "mode": "area"}, TWO),
    ("PixelShuffle", (2,), {}, TWO),
    ("PixelUnshuffle", (3,), {}, (2, 4, 9, 6)),
    ("ChannelShuffle", (2,), {}, TWO),
    ("Unflatten", (1, (2, 2)), {}, TWO),
    ("Dropout1d", (0.0,), {}, SHAPES[1]),
    ("Dropout2d", (0.0,), {}, SHAPES[2]),
    ("Dropout3d", (0.0,), {}, SHAPES[3]),
]
LAYERS = [*PER_AXES, *SINGLES]
IDS = [f"{kind}{args}{options}-{len(shape)} axes" for kind, args, options, shape in LAYERS]


def both(kind: str, args: tuple, options: dict):
    torch.manual_seed(3)
    theirs = getattr(torch.nn, kind)(*args, **options)
    with torch.no_grad():
        for name, tensor in theirs.state_dict().items():  # nothing stays 0 or 1
            if tensor.dtype.is_floating_point:
                tensor.copy_(torch.rand_like(tensor) + (0.5 if name == "running_var" else 0.0))
    return getattr(nn, kind)(*args, **options), theirs


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # PyTorch's remark on a copy
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind, args, options, shape", LAYERS, ids=IDS)
def test_layer_in_float64(kind, args, options, shape, training):
    compare_layer(torch, *both(kind, args, options), values(*shape), dtype="float64", training=training)


COMPILED = [  # outside norms both modes are alike; one and three axes are the same code with another count
    pytest.param(*row, mode, marks=[pytest.mark.slow] if row in PER_AXES and len(row[3]) != 4 else [])
    for row in LAYERS
    for mode in (True, False)
    if mode or "Norm" in row[0]
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kind, args, options, shape, training", COMPILED)
def test_compiled_layer_in_float32(kind, args, options, shape, training):
    compare_layer(torch, *both(kind, args, options), values(*shape), dtype="float32", training=training, compiled=True)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("kind", ["BatchNorm2d", "InstanceNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"])
def test_second_derivatives_of_norms(kind, compiled):
    # The gradient of the variance leaves out what adds up to 0; its own gradient must not.
    args = {"GroupNorm": (2, 4), "LayerNorm": (8,), "RMSNorm": (8,)}.get(kind, (4,))
    options = {"affine": True} if kind == "InstanceNorm2d" else {}
    ours, theirs = both(kind, args, options)
    ours.astype(cr.float64)
    check(ours, theirs.double(), (values(*TWO),), compiled=compiled)


@pytest.mark.parametrize("kind", ["BatchNorm2d", "GroupNorm"])
def test_norms_of_large_means_are_not_worse_than_pytorch(kind):
    args = (2, 4) if kind == "GroupNorm" else (4,)
    x = (values(*TWO) + 3000.0).astype(np.float32)
    exact = getattr(torch.nn, kind)(*args).double()(torch.from_numpy(x.astype(np.float64))).detach().numpy()
    theirs = getattr(torch.nn, kind)(*args)(torch.from_numpy(x)).detach().numpy()
    ours = getattr(nn, kind)(*args)(cr.asarray(x)).numpy()
    ours_off, theirs_off = np.abs(ours - exact).max(), np.abs(theirs - exact).max()
    assert ours_off <= theirs_off, (ours_off, theirs_off)


@pytest.mark.parametrize("kind, options", [("MaxPool", {}), ("AdaptiveMaxPool", {})])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_positions_of_pooled_elements_and_unpooling(kind, options, n):
    x = values(*SHAPES[n])
    ours = getattr(nn, f"{kind}{n}d")(2, return_indices=True)(cr.asarray(x))
    theirs = getattr(torch.nn, f"{kind}{n}d")(2, return_indices=True)(torch.from_numpy(x))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    if kind == "MaxPool":
        back = getattr(nn, f"MaxUnpool{n}d")(2)(*ours, output_size=SHAPES[n][2:])
        other = getattr(torch.nn, f"MaxUnpool{n}d")(2)(*theirs, output_size=SHAPES[n][2:])
        np.testing.assert_array_equal(back.numpy(), other.numpy())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_transposed_convolution_of_a_wanted_size(n):
    ours, theirs = both(f"ConvTranspose{n}d", (4, 3, 3), {"stride": 2, "padding": 1})
    same_state(ours, theirs)
    x = values(*SHAPES[n]).astype(np.float32)
    for extra in (0, 1):
        size = [2 * (m - 1) + 1 + extra for m in x.shape[2:]]
        for wanted in (size, [x.shape[0], 3, *size]):
            got = ours(cr.asarray(x), output_size=wanted)
            other = theirs(torch.from_numpy(x), output_size=wanted).detach()
            np.testing.assert_allclose(got.numpy(), other.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
def test_initial_values_have_the_range_of_pytorch(kind):
    theirs, ours = getattr(torch.nn, kind)(48, 64, 3, groups=4), getattr(nn, kind)(48, 64, 3, groups=4)
    for name, tensor in theirs.state_dict().items():
        mine, other = ours.state_dict()[name].numpy(), tensor.numpy()
        # U(-b, b): the largest of n draws lies within a few b / n of b
        np.testing.assert_allclose(np.abs(mine).max(), np.abs(other).max(), rtol=0.2 if name == "bias" else 0.01)
        np.testing.assert_allclose(mine.std(), other.std(), rtol=0.3 if name == "bias" else 0.03)

"""Shift equivariance of convolution and local invariance of pooling, measured on real digits and real photographs."""

from __future__ import annotations

import itertools
import re
import tarfile
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from chainrule import data, nn
from chainrule.core.errors import DataError, ShapeError
from chainrule.explain.invariance import shift_equivariance, shift_invariance


@pytest.fixture
def photographs(data_folder):
    """Return 32 pictures of CIFAR-10, [32, 3, 32, 32] from 0 to 1."""
    found = []
    with tarfile.open(data_folder / "cifar10" / "cifar10-jpeg.tar.gz", "r|gz") as archive:
        for member in itertools.islice(archive, 32):
            found.append(np.asarray(Image.open(archive.extractfile(member)).convert("RGB")))
    return np.moveaxis(np.stack(found), -1, 1).astype(np.float32) / np.float32(255)


@pytest.fixture(params=["mnist", "cifar10"])
def pictures(request):
    if request.param == "cifar10":
        return request.getfixturevalue("photographs")
    return np.asarray(data.mnist("test").images[:32], np.float32) / np.float32(255)


def channels(pictures):
    return 1 if pictures.ndim == 3 else pictures.shape[1]


def test_a_convolution_shifts_with_the_picture_inside_the_border(pictures):
    found = shift_equivariance(nn.Conv2d(channels(pictures), 4, 5, padding=2), pictures, (1, 3, 6))
    assert [row.outputs for row in found.rows] == [1, 3, 6]
    assert max(row.inside for row in found.rows) < 1e-6
    assert found.rows[-1].everywhere > 1e-2  # at the border zeros stand where the picture goes on


def test_without_padding_nothing_but_what_comes_in_makes_a_difference(pictures):
    layer = nn.Conv2d(channels(pictures), 4, 5)
    (row,) = shift_equivariance(layer, pictures, (4,)).rows
    assert row.everywhere < 1e-6  # the outputs that are compared look at the same pixels
    assert row.inside < 1e-6


def test_a_stride_breaks_the_shifts_that_it_does_not_divide(pictures):
    found = shift_equivariance(nn.Conv2d(channels(pictures), 4, 5, stride=3, padding=2), pictures, (1, 2, 3, 6))
    assert [row.outputs for row in found.rows] == [Fraction(1, 3), Fraction(2, 3), 1, 2]
    inside = [row.inside for row in found.rows]
    assert min(inside[:2]) > 0.05
    assert max(inside[2:]) < 1e-6


def test_a_network_is_equivariant_to_multiples_of_all_its_strides(pictures):
    c = channels(pictures)
    net = nn.Sequential(
        nn.Conv2d(c, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.AvgPool2d(2)
    )
    found = shift_equivariance(net, pictures, (2, 4, 8))
    assert found.stride == 4
    assert found.rows[0].inside > 1e-2
    assert max(row.inside for row in found.rows[1:]) < 1e-6
    assert str(found).startswith(
        "Conv2d > ReLU > MaxPool2d > Conv2d > AvgPool2d, stride 4: |f(shift(x)) - shift(f(x))|"
    )


@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
def test_pooling_changes_less_than_the_picture_and_less_the_larger_it_is(pictures, pool):
    found = shift_invariance({f"{k}": pool(k) for k in (2, 4)}, pictures, (1, 2))
    for number in range(2):
        changes = [row.changes[number] for row in found.rows]
        assert changes == sorted(changes, reverse=True)
        assert changes[2] < 0.7 * changes[0]
    for row in found.rows:
        assert row.changes[0] < row.changes[1]  # a larger shift changes more


def test_many_maxima_of_a_photograph_stay_exactly_the_same(photographs):
    found = shift_invariance({"max 4": nn.MaxPool2d(4), "mean 4": nn.AvgPool2d(4)}, photographs, (1,))
    picture, largest, mean = (row.same[0] for row in found.rows)
    assert picture < 0.15
    assert largest > 0.4
    assert mean < 0.05
    assert str(found).splitlines()[0] == "|f(shift(x)) - f(x)| / |f(x)|  (outputs that stay the same)"
    assert re.fullmatch(r"max 4 {8}0\.\d\d \(\d\d%\)", str(found).splitlines()[3])


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda x: shift_equivariance(nn.Conv2d(1, 1, 3), x[0, 0]),
            ShapeError,
            "shift_equivariance takes pictures [samples, channels, height, width] or [samples, height, width]; got "
            "(8, 8).",
        ),
        (
            lambda x: shift_invariance({}, x, (8,)),
            DataError,
            "shift_invariance.shifts must be integers from 1 to 7, below the width; got (8,).",
        ),
        (
            lambda x: shift_equivariance(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), x),
            ShapeError,
            "shift_equivariance needs outputs [samples, channels, height, width]; the layer gives (2, 3).",
        ),
        (
            lambda x: shift_equivariance(nn.AdaptiveAvgPool2d(1), x),
            DataError,
            "shift_equivariance: every output sees the whole width of the picture, so nothing is left inside the "
            "border; give the part of the network before its global pooling and its fully connected layers.",
        ),
        (
            lambda x: shift_equivariance(nn.Conv2d(1, 1, 7), x, (4,)),
            DataError,
            "shift_equivariance: a shift of 4 moves all outputs out of the picture; take less.",
        ),
    ],
)
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call(np.ones((2, 1, 8, 8), np.float32))

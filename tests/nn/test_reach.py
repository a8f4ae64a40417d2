"""Receptive fields: recurrences, and every output of random networks against the gradients that reach the input."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.nn import init
from chainrule.nn._reach import HERE, ReceptiveField

F = nn.functional


def seen(net, shape, axis):
    """Return for each output along a spatial axis the first and last input with a gradient, or None."""
    net = net.astype(cr.float64).eval()
    with cr.no_grad():
        for parameter in net.parameters():
            parameter.assign_(cr.asarray(np.random.default_rng(1).uniform(0.5, 1.0, parameter.shape)))
    x = cr.asarray(np.random.default_rng(2).uniform(1.0, 2.0, (1, *shape)))
    y, pull = cr.vjp(net, x)
    found = []
    for position in range(y.shape[1 + axis]):
        one = np.zeros(y.shape)
        np.moveaxis(one, 1 + axis, 0)[position] = 1
        (g,) = pull(cr.asarray(one))
        hit = np.flatnonzero(np.abs(np.moveaxis(g.numpy(), 1 + axis, 0)).reshape(shape[axis], -1).sum(1))
        found.append((int(hit[0]), int(hit[-1])) if len(hit) else None)
    return found


def clipped(field, outputs, inputs):
    """Return what the field says of each output, without the padding."""
    found = []
    for position in range(outputs):
        ends = field.interval(position)
        inside = None if ends is None else (max(ends[0], 0), min(ends[1], inputs - 1))
        found.append(inside if inside and inside[0] <= inside[1] else None)
    return found


def test_one_layer_after_another_gives_the_recurrences():
    field, size, jump, start = HERE, 1, 1, 0
    for kernel, stride, padding, dilation in [(7, 2, 3, 1), (3, 2, 1, 1), (3, 1, 2, 2), (5, 3, 0, 1), (2, 2, 0, 1)]:
        field = field.then(ReceptiveField.window(kernel, stride, padding, dilation))
        size, start = size + dilation * (kernel - 1) * jump, start - padding * jump
        jump *= stride
        assert (field.size, field.jump, field.start) == (size, jump, start)
    assert field.interval(4) == (start + 4 * jump, start + 4 * jump + size - 1)


def test_a_transposed_convolution_undoes_the_jump_and_neighbours_see_different_numbers():
    field = ReceptiveField.window(4, stride=4).then(ReceptiveField.transposed(4, stride=4))
    assert (field.size, field.jump, field.start) == (4, 1, 0)
    assert field.then(ReceptiveField.window(3)).size == 8  # at the edge of two blocks; inside a block 4
    assert [field.then(ReceptiveField.window(3)).interval(p) for p in (0, 1, 2)] == [(0, 3), (0, 3), (0, 7)]
    gaps = ReceptiveField.transposed(1, stride=2)
    assert (gaps.interval(0), gaps.interval(1), gaps.size) == ((0, 0), None, 1)


def test_paths_that_join():
    wide, shifted = ReceptiveField.window(5, padding=2), ReceptiveField.window(3, padding=3)
    assert wide.union(ReceptiveField.window(3, padding=1)) == wide  # one centre: the largest
    assert wide.union(shifted).interval(0) == (-3, 2)  # two centres: both
    assert wide.union(ReceptiveField.window(9, stride=2)).size == 9


NETWORKS = [
    [nn.Conv1d(1, 2, 3, stride=2, padding=1), nn.Conv1d(2, 1, 3, dilation=2, padding=1)],
    [nn.Conv1d(1, 2, 4, padding="same"), nn.AvgPool1d(3, stride=2, padding=1)],
    [nn.Conv1d(1, 1, 5, stride=3, bias=False), nn.ConvTranspose1d(1, 1, 4, stride=3, padding=1), nn.Conv1d(1, 1, 3)],
    [nn.ConvTranspose1d(1, 1, 3, stride=2, dilation=3), nn.Conv1d(1, 1, 2)],
    [nn.ConvTranspose1d(1, 1, 2, stride=3), nn.AvgPool1d(2)],
    [nn.AvgPool1d(2), nn.Upsample(scale_factor=2), nn.Conv1d(1, 1, 3)],
    [nn.AdaptiveAvgPool1d(10), nn.Conv1d(1, 1, 2)],
    [nn.ZeroPad1d((3, 0)), nn.Conv1d(1, 1, 4, dilation=1)],
]


@pytest.mark.parametrize("layers", NETWORKS, ids=str)
def test_every_output_sees_what_its_gradient_reaches(layers):
    net = nn.Sequential(*layers)
    (field,) = net.summary((1, 1, 25)).rows[-1].fields
    found = seen(net, (1, 25), 1)
    stated = clipped(field, len(found), 25)
    if any((getattr(layer, "dilation", None) or (1,))[0] > 1 for layer in layers):  # at borders a hole may come first
        cut = 9 if isinstance(layers[0], nn.ConvTranspose1d) else 3
        assert all(b[0] <= a[0] <= a[1] <= b[1] for a, b in zip(found, stated, strict=True))
        found, stated = found[cut:-cut], stated[cut:-cut]
        assert len(found) >= 5
    assert found == stated
    assert field.size >= max(b - a + 1 for a, b in filter(None, found))


def test_bilinear_upsampling_inside_the_borders():
    net = nn.Sequential(nn.Upsample(scale_factor=3, mode="bilinear"), nn.Conv2d(1, 1, 2))
    for axis, field in enumerate(net.summary((1, 1, 7, 9)).rows[-1].fields, start=1):
        found = seen(net, (1, 7, 9), axis)
        assert (field.jump, field.size) == (Fraction(1, 3), 3)
        # A tap of weight 0 (at the middle of a pixel) is in the field and has no gradient.
        inner = [(a, b) for a, b in zip(found, clipped(field, len(found), (7, 9)[axis - 1]), strict=True)][3:-3]
        assert all(b[0] <= a[0] <= a[1] <= b[1] for a, b in inner)
        assert sum(a == b for a, b in inner) >= len(inner) // 2


class Branches(nn.Module):
    """Four ways that meet in a sum, one of them by functions alone."""

    def __init__(self):
        self.a = nn.Conv2d(1, 2, 3, padding=1, stride=2)
        self.b = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, (5, 7), stride=2, padding=(2, 3)))
        self.c = nn.Parameter(cr.ones((2, 1, 1, 1)))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        pooled = F.conv2d(F.avg_pool2d(x, 2), self.c)
        return self.norm(cr.concat([self.a(x) + pooled, self.b(x) + x[:, :, ::2, ::2]], axis=1))


@pytest.mark.parametrize("axis", [1, 2])
def test_branches_and_functions_outside_layers(axis):
    net = Branches()
    rows = {row.path: row for row in net.summary((1, 1, 12, 14)).rows}
    assert (rows["a"].receptive_field, rows["norm"].receptive_field, rows["norm"].jump) == ("3x3", "5x7", "2x2")
    assert rows["norm"].start == "-2x-3"
    found = seen(net, (1, 12, 14), axis)
    assert found == clipped(rows["norm"].fields[axis - 1], len(found), (12, 14)[axis - 1])


class Through(nn.Module):
    def __init__(self, function):
        self.function, self.out = function, nn.ReLU()

    def forward(self, x):
        return self.out(self.function(x))


@pytest.mark.parametrize(
    "function, words",
    [
        (lambda x: F.max_pool2d(x, 3, 2, 1), ("3x3", "2x2", "-1x-1")),
        (lambda x: F.interpolate(x, scale_factor=2), ("1x1", "1/2x1/2", "0x0")),
        (lambda x: F.interpolate(x, size=(6, 8)), ("1x1", "2x2", "0x0")),
        (lambda x: F.conv_transpose2d(x, cr.ones((1, 1, 3, 3)), stride=2), ("2x2", "1/2x1/2", "-1x-1")),
        (lambda x: x[:, :, 2:, 1::3], ("1x1", "1x3", "2x1")),
        (lambda x: x - cr.mean(x, axis=2, keepdims=True), ("allx1", "-", "-")),
        (lambda x: cr.mean(x, axis=(2, 3)), ("all", "-", "-")),
        (lambda x: cr.cumulative_sum(x, axis=3), ("all", "-", "-")),
        (lambda x: x @ cr.ones((16, 4)), ("all", "-", "-")),
        (lambda x: cr.sum(x, axis=1), ("1x1", "1x1", "0x0")),
    ],
)
def test_operations_say_how_they_read(function, words):
    rows = nn.Sequential(nn.Conv2d(1, 1, 1), Through(function)).summary((1, 1, 12, 16)).rows
    (row,) = (row for row in rows if row.kind == "ReLU")
    assert (row.receptive_field, row.jump, row.start) == words


@pytest.mark.parametrize(
    "name, field, jump",
    [("alexnet", 195, 32), ("vgg16", 212, 32), ("mobilenet", 315, 32), ("resnet50", 427, 32)],
)
def test_published_receptive_fields(monkeypatch, name, field, jump):
    # Araujo, Norris and Sim, Distill 2019, have 195, 212 and 315; for resnet_v1_50 483, whose stages stride in their
    # last unit. With the stride in the first unit's 3x3 convolution, as here and in torchvision, the sum is
    # 7 + 2 * 2 + 4 * 2 * 3 + 8 * 2 + ... = 427.
    for draw in ("uniform_", "normal_", "kaiming_uniform_"):
        monkeypatch.setattr(init, draw, lambda tensor, *_args, **_settings: tensor)  # no weight is needed
    rows = models.create(name).eval().summary((1, 3, 224, 224)).rows
    last = [row for row in rows if row.jump != "-" and row.kind != "AdaptiveAvgPool2d"][-1]
    assert (last.receptive_field, last.jump) == (f"{field}x{field}", f"{jump}x{jump}")


def test_the_table_has_columns_for_jump_and_start_where_there_are_windows():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False), nn.Flatten(), nn.Linear(8, 1))
    table = net.summary((1, 1, 4, 4))
    assert str(table) == (
        "path  layer    input         output        parameters  bytes  FLOPs  receptive field  jump  start\n"
        "-------------------------------------------------------------------------------------------------\n"
        "0     Conv2d   (1, 1, 4, 4)  (1, 2, 2, 2)          18   72 B    144              3x3   2x2  -1x-1\n"
        "1     Flatten  (1, 2, 2, 2)  (1, 8)                 0    0 B      0              3x3   2x2  -1x-1\n"
        "2     Linear   (1, 8)        (1, 1)                 9   36 B     17              all     -      -\n"
        "-------------------------------------------------------------------------------------------------\n"
        "27 parameters, 108 B, 161 FLOPs"
    )
    assert "<th>jump</th><th>start</th>" in table._repr_html_()
    assert "<th>jump</th>" not in nn.Linear(2, 1).summary((1, 2))._repr_html_()
    assert [field.size for field in table.rows[0].fields] == [3, 3]
    assert table.rows[2].fields == ("all", "all")

"""The table of a network: rows, totals, receptive fields, text and HTML; nothing is computed and nothing changes."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import ShapeError


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def test_the_table_of_a_network():
    assert str(mlp().summary((32, 28, 28))) == (
        "path  layer    input         output     parameters      bytes      FLOPs  receptive field\n"
        "-----------------------------------------------------------------------------------------\n"
        "0     Flatten  (32, 28, 28)  (32, 784)           0        0 B          0                1\n"
        "1     Linear   (32, 784)     (32, 64)       50,240  196.2 KiB  3,213,312              all\n"
        "2     ReLU     (32, 64)      (32, 64)            0        0 B      2,048              all\n"
        "3     Linear   (32, 64)      (32, 10)          650    2.5 KiB     41,280              all\n"
        "-----------------------------------------------------------------------------------------\n"
        "50,890 parameters, 198.8 KiB, 3,256,640 FLOPs"
    )


def test_flops_of_a_linear_layer():
    # batch * (2 in out) for the products and sums, batch * out for the bias
    [row] = nn.Linear(7, 5).summary((3, 7)).rows
    assert row.flops == 3 * (2 * 7 * 5) + 3 * 5
    assert (row.path, row.inputs, row.outputs, row.parameters, row.bytes) == ("", ((3, 7),), ((3, 5),), 40, 160)


def test_shared_and_frozen_parameters_are_counted_once():
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(4, 2).freeze())
    summary = net.summary((1, 4))
    assert [row.parameters for row in summary.rows] == [20, 0, 0, 10]
    assert [row.path for row in summary.rows] == ["0", "1", "0", "3"]
    assert (summary.parameters, summary.trainable) == (30, 20)
    assert str(summary).splitlines()[-1].startswith("30 parameters (10 frozen), 120 B, ")


class Branches(nn.Module):
    def __init__(self):
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)
        self.scale = nn.Parameter(cr.ones(3))

    def forward(self, x):
        return (self.left(x) + self.right(x)) * self.scale


def test_operations_and_parameters_outside_layers():
    summary = nn.Sequential(Branches(), nn.Tanh()).summary((2, 4))
    rows = {row.path: row for row in summary.rows}
    assert list(rows) == ["0", "0.left", "0.right", "1"]
    assert rows["0"].parameters == 3
    assert rows["0"].flops == 2 * 6  # the sum of the branches and the scale, for 2 x 3 values
    assert sum(row.flops for row in summary.rows) == summary.flops

    class Functional(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return cr.relu(self.layer(x)) * 2.0

    last = Functional().summary((2, 4)).rows[-1]
    assert (last.kind, last.flops) == ("(operations outside layers)", 12)


class Window(nn.Module):
    """Stands for a convolution: keeps the shape but for the stride, and says how far it looks."""

    def __init__(self, *field):
        self.receptive_field = field

    def forward(self, x):
        for axis, (_, stride) in enumerate(self.receptive_field, start=-len(self.receptive_field)):
            index = [slice(None)] * x.ndim
            index[axis] = slice(None, None, stride)
            x = x[tuple(index)]
        return x * 1.0


def test_receptive_field_grows_with_kernels_and_strides():
    # 5x5, then 2x2 with stride 2, then 5x5, then 2x2 with stride 2: LeNet's first layers.
    net = nn.Sequential(
        Window((5, 1), (5, 1)), nn.ReLU(), Window((2, 2), (2, 2)), Window((5, 1), (5, 1)), Window((2, 2), (2, 2)),
        nn.Flatten(), nn.Linear(3 * 8 * 8, 10),
    )  # fmt: skip
    fields = [row.receptive_field for row in net.summary((1, 3, 32, 32)).rows]
    assert fields == ["5x5", "5x5", "6x6", "14x14", "16x16", "16x16", "all"]


def test_receptive_field_of_paths_that_join_is_the_largest():
    class Residual(nn.Module):
        def __init__(self):
            self.a, self.b, self.c = Window((3, 1), (1, 1)), Window((7, 1), (1, 1)), Window((3, 1), (3, 1))

        def forward(self, x):
            return self.c(x + self.a(x) + self.b(x))

    rows = {row.path: row.receptive_field for row in Residual().summary((1, 1, 9, 9)).rows}
    assert rows == {"a": "3x1", "b": "7x1", "c": "9x3", "": "-"}


def test_samples_instead_of_shapes_and_several_arguments():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(8, 2))
    summary = net.summary(cr.zeros((3, 2), dtype=cr.int64))
    assert summary.rows[0].outputs == ((3, 2, 4),)
    assert net.summary((3, 2), dtype=cr.int64).flops == summary.flops
    loss = nn.MSELoss().summary((3, 2), (3, 2))
    assert loss.rows[0].inputs == ((3, 2), (3, 2))
    assert loss.rows[0].outputs == ((),)
    assert nn.ReLU().astype(cr.float64).summary((2,), dtype="float64").rows[0].outputs == ((2,),)
    with pytest.raises(TypeError) as caught:
        net.summary("input")
    assert str(caught.value) == "summary takes shapes like (32, 784) or sample tensors; got 'input'."


def test_nothing_is_drawn_assigned_or_recorded():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    before = ({k: str(v) for k, v in cr.default_generator.state_dict().items()}, net._fingerprint())
    versions = [p.version for p in net.parameters()]
    net.summary((2, 4))
    assert ({k: str(v) for k, v in cr.default_generator.state_dict().items()}, net._fingerprint()) == before
    assert [p.version for p in net.parameters()] == versions
    assert not net[0]._forward_hooks
    assert not net[0]._forward_pre_hooks


def test_a_mismatch_names_the_layer_and_leaves_no_hooks():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 2))
    with pytest.raises(ShapeError) as caught:
        net.summary((2, 4))
    assert caught.value.message == "Linear(4, 2) got (2, 3); its last axis must be 4."
    assert caught.value.module_path == "1 (Linear)"
    assert not net[1]._forward_hooks
    assert net[0](cr.ones((2, 4))).shape == (2, 3)


def test_rows_stand_in_the_order_of_the_computation():
    net = nn.Sequential(nn.Identity(), nn.Linear(2, 2), nn.Dropout(0.5), nn.Identity(), nn.ReLU()).eval()
    assert [row.path for row in net.summary((1, 2)).rows] == ["0", "1", "2", "3", "4"]


def test_html():
    class Odd(nn.Module):
        def forward(self, x):
            return x

    Odd.__name__ = "<b>"
    text = nn.Sequential(Odd(), nn.Linear(2, 1)).summary((1, 2))._repr_html_()
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert text.count("<tr>") == 3
    assert text.endswith("<p>3 parameters, 12 B, 5 FLOPs</p>")

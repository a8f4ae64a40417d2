"""Filters, feature maps and nearest pictures against values computed by hand or by NumPy; every error whole."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import IndexRangeError, SettingError, ShapeError
from chainrule.explain import layer_filters, layer_maps, nearest_pictures


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture
def network():
    """Return two convolutions with batch norm and pooling, then two linear layers, on pictures 2x12x10."""
    cr.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 4 * 3, 6), nn.ReLU(), nn.Linear(6, 5),
    )  # fmt: skip


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2, 12, 10)).astype(np.float32)


# ---------------------------------------------------------------------------------------------------- filters
def test_filters_are_the_weights_of_the_first_convolution_or_of_the_one_named(network):
    first, second = layer_filters(network), layer_filters(network, "4")
    assert (first.layer, first.kind) == ("0", "Conv2d(2, 3, kernel_size=3, padding=1)")
    np.testing.assert_array_equal(first.weights, network._modules["0"].weight.numpy())
    np.testing.assert_array_equal(second.weights, network._modules["4"].weight.numpy())
    np.testing.assert_array_equal(second.bias, network._modules["4"].bias.numpy())


def test_a_linear_layer_that_reads_the_pixels_has_filters_of_their_shape():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 5, bias=False))
    found = layer_filters(model, shape=(2, 3, 4))
    assert found.weights.shape == (5, 2, 3, 4)
    assert found.weights[1, 1, 2, 3] == model._modules["1"].weight.numpy()[1, -1]
    assert found.bias.tolist() == [0.0] * 5


def test_a_layer_without_filters_is_refused_with_those_that_have_some(network):
    message = (
        "layer '9' is Linear(6, 5), which has no filters to look at: "
        "only a convolution has, or a linear layer that reads the pixels. Convolutions: 0, 4."
    )
    with pytest.raises(SettingError, match=exactly(message)):
        layer_filters(network, "9", (2, 12, 10))
    message = "there is no layer '11'; did you mean '1'? Layers with weights: 0, 4, 7, 9."
    with pytest.raises(SettingError, match=exactly(message)):
        layer_filters(network, "11")
    message = "the network has no filters: it has neither a convolution nor a linear layer."
    with pytest.raises(SettingError, match=exactly(message)):
        layer_filters(nn.ReLU())


# ---------------------------------------------------------------------------------------------------- feature maps
def test_feature_maps_are_what_the_convolutions_give_out(network):
    network.train()
    x = pictures(1)
    found = layer_maps(network, x)
    assert [(entry.layer, entry.maps.shape) for entry in found] == [("0", (3, 12, 10)), ("4", (4, 4, 3))]
    first = network._modules["0"](cr.asarray(x)).numpy()[0]
    np.testing.assert_array_equal(found[0].maps, first)
    kernel, bias = network._modules["0"].weight.numpy(), network._modules["0"].bias.numpy()
    np.testing.assert_allclose(first[2, 5, 6], (x[0, :, 4:7, 5:8] * kernel[2]).sum() + bias[2], rtol=1e-5)
    assert network.training
    assert network._modules["1"].training
    assert int(network._modules["1"].num_batches_tracked.item()) == 0  # it ran in eval mode


def test_any_layer_that_gives_out_maps_can_be_named(network):
    [entry] = layer_maps(network, pictures(1), ["3"])
    assert (entry.kind, entry.maps.shape) == ("MaxPool2d(kernel_size=2)", (3, 6, 5))
    assert entry.maps.min() >= 0


def test_a_layer_that_is_called_twice_shows_its_first_call():
    layer = nn.Conv2d(1, 1, 1, bias=False)
    layer.load_state_dict({"weight": np.full((1, 1, 1, 1), 2.0, np.float32)})
    [entry] = layer_maps(nn.Sequential(layer, layer), np.ones((1, 1, 2, 2)), ["0"])
    assert entry.maps.tolist() == [[[2.0, 2.0], [2.0, 2.0]]]


def test_what_has_no_maps_is_refused(network):
    message = "layer '7' gives out (6,) per sample; maps are [channels, height, width]. Convolutions: 0, 4."
    with pytest.raises(SettingError, match=exactly(message)):
        layer_maps(network, pictures(1), ["7"])
    message = "layer_maps takes a batch of one, [1, ...]; got x of shape (2, 2, 12, 10): write x[:1]."
    with pytest.raises(ShapeError, match=exactly(message)):
        layer_maps(network, pictures(2))
    message = "the network has no convolution, so it has no feature maps; a layer with maps can be named."
    with pytest.raises(SettingError, match=exactly(message)):
        layer_maps(nn.Linear(3, 2), np.ones((1, 3)))


def test_a_layer_that_the_network_does_not_call_is_left_out_or_named():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return self.used(x)

    x = np.ones((1, 1, 2, 2))
    assert [entry.layer for entry in layer_maps(Half(), x)] == ["used"]
    message = "layer 'idle' was not called when the network ran; choose another layer."
    with pytest.raises(SettingError, match=exactly(message)):
        layer_maps(Half(), x, ["idle"])


def test_hooks_are_gone_after_an_error(network):
    with pytest.raises(ShapeError):
        layer_maps(network, np.ones((1, 1, 12, 10)))
    assert all(not module._forward_hooks for module in network.modules())
    assert network.training


# ---------------------------------------------------------------------------------------------------- nearest pictures
def test_the_nearest_pictures_are_those_of_the_largest_responses(network):
    x = pictures(30)
    found = nearest_pictures(network, "4", x, count=4)
    maps = np.stack([layer_maps(network, x[k : k + 1], ["4"])[0].maps for k in range(30)])  # [30, 4, 4, 3]
    assert len(found) == 4
    for channel, nearest in enumerate(found):
        best = maps[:, channel].reshape(30, -1).max(axis=1)
        order = np.argsort(-best, kind="stable")[:4]
        assert [one.sample for one in nearest] == order.tolist()
        np.testing.assert_allclose([one.response for one in nearest], best[order], rtol=1e-5)
        for one in nearest:
            assert one.position == np.unravel_index(maps[one.sample, channel].argmax(), (4, 3))


def test_the_box_is_what_the_position_sees(network):
    """A change outside the box leaves the response as it is; the pixels at the corners of the box count."""
    x = pictures(8)
    [nearest] = nearest_pictures(network, "4", x, channels=[2], count=8)
    for one in nearest:
        top, left, bottom, right = one.box
        assert 0 <= top < bottom <= 12
        assert 0 <= left < right <= 10
        row, column = one.position
        inside = np.zeros((1, 1, 12, 10), bool)
        inside[..., top:bottom, left:right] = True
        [changed] = layer_maps(network, np.where(inside, x[one.sample], 100.0), ["4"])
        np.testing.assert_allclose(changed.maps[2, row, column], one.response, rtol=1e-5)
        for corner in ((top, left), (bottom - 1, right - 1)):
            poked = x[one.sample : one.sample + 1].copy()
            poked[:, :, corner[0], corner[1]] = np.nan
            [changed] = layer_maps(network, poked, ["4"])
            assert np.isnan(changed.maps[2, row, column])


def test_the_box_of_a_block_is_that_of_its_last_layer():
    """Two 3x3 convolutions with stride 1 and padding: a position sees 5x5 around it, as far as the picture goes."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(x + self.second(self.relu(self.first(x))))

    model = nn.Sequential(Block(), nn.Flatten(), nn.Linear(81, 2))
    x = np.random.default_rng(0).normal(size=(6, 1, 9, 9))
    [nearest] = nearest_pictures(model, "0", x, count=6)
    for one in nearest:
        row, column = one.position
        assert one.box == (max(row - 2, 0), max(column - 2, 0), min(row + 3, 9), min(column + 3, 9))


def test_units_of_a_linear_layer_see_the_whole_picture(network):
    x = pictures(7)
    found = nearest_pictures(network, "9", x, channels=[3], count=9)
    logits = network.eval()(cr.asarray(x)).numpy()
    assert [one.sample for one in found[0]] == np.argsort(-logits[:, 3]).tolist()  # there are only seven
    assert {(one.position, one.box) for one in found[0]} == {(None, (0, 0, 12, 10))}


def test_equal_responses_keep_the_order_of_the_samples():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    x = np.zeros((5, 1, 2, 2), np.float32)
    assert [one.sample for one in nearest_pictures(model, "1", x, count=3)[0]] == [0, 1, 2]


def test_batches_of_another_size_give_the_same(network, monkeypatch):
    from chainrule.explain import nearest

    x = pictures(11)
    whole = nearest_pictures(network, "9", x, count=3)
    monkeypatch.setattr(nearest, "BATCH", 4)  # 4 + 4 + 3, the last one filled up
    parts = nearest_pictures(network, "9", x, count=3)
    assert [[one.sample for one in row] for row in parts] == [[one.sample for one in row] for row in whole]


def test_nearest_pictures_refuses_what_it_cannot_do(network):
    with pytest.raises(IndexRangeError, match=exactly("layer '4' has channels 0 to 3; got 4.")):
        nearest_pictures(network, "4", pictures(2), channels=[4])
    with pytest.raises(SettingError, match=exactly("nearest_pictures.count must be an integer >= 1; got 0.")):
        nearest_pictures(network, "4", pictures(2), count=0)
    message = "nearest_pictures takes samples [batch, ...], at least one; got x of shape (0, 2, 12, 10)."
    with pytest.raises(ShapeError, match=exactly(message)):
        nearest_pictures(network, "4", pictures(0))

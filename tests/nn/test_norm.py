"""Normalisation layers: what they refuse, their running statistics in every mode, and what their gradients cost."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.test_layers import refused

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import DTypeError, ShapeError, StateDictError


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nn.BatchNorm2d(0), "BatchNorm2d.num_features must be an int >= 1; got 0."),
        (lambda: nn.BatchNorm1d(3, eps="x"), "BatchNorm1d.eps must be a float; got 'x'."),
        (lambda: nn.BatchNorm3d(3, momentum="x"), "BatchNorm3d.momentum must be a float; got 'x'."),
        (lambda: nn.InstanceNorm2d(3, affine=None), "InstanceNorm2d.affine must be True or False; got None."),
        (lambda: nn.BatchNorm2d(3, dtype=cr.bool), "BatchNorm2d.dtype must be a float dtype; got bool."),
        (
            lambda: nn.GroupNorm(3, 4),
            "GroupNorm.num_groups must divide num_channels; got 3 groups for 4 channels.",
        ),
        (lambda: nn.LayerNorm(()), "LayerNorm.normalized_shape must be an int >= 1, or several; got ()."),
        (lambda: nn.RMSNorm((3, 0)), "RMSNorm.normalized_shape must be an int >= 1, or several; got (3, 0)."),
        (lambda: nn.LocalResponseNorm(0), "LocalResponseNorm.size must be an int >= 1; got 0."),
        (lambda: nn.Dropout2d(1.0), "Dropout2d.p must be a float in [0, 1); got 1.0."),
    ],
)
def test_bad_settings(call, message):
    refused(ValueError, message, call)


@pytest.mark.parametrize(
    "kind, call, message",
    [
        (
            ShapeError,
            lambda: nn.BatchNorm2d(64)(cr.zeros((32, 64))),
            "BatchNorm2d(64) got (32, 64); it needs [batch, 64, height, width].",
        ),
        (
            ShapeError,
            lambda: nn.BatchNorm1d(64)(cr.zeros((32, 64, 2, 2))),
            "BatchNorm1d(64) got (32, 64, 2, 2); it needs [batch, 64, length] or [batch, 64].",
        ),
        (
            ShapeError,
            lambda: nn.BatchNorm2d(3)(cr.zeros((2, 4, 5, 5))),
            "BatchNorm2d(3) got (2, 4, 5, 5); its axis 1, the channels, must be 3.",
        ),
        (
            ShapeError,
            lambda: nn.InstanceNorm2d(3)(cr.zeros((4, 5, 5))),
            "InstanceNorm2d(3) got (4, 5, 5); its axis 0, the channels, must be 3.",
        ),
        (
            ShapeError,
            lambda: nn.BatchNorm2d(3)(cr.zeros((1, 3, 1, 1))),
            "batch_norm: the input (1, 3, 1, 1) has one value per channel, which has no variance to train on.",
        ),
        (
            DTypeError,
            lambda: nn.BatchNorm2d(3)(cr.zeros((2, 3, 4, 4), dtype=cr.float64)),
            "BatchNorm2d(3) got a float64 input and its parameters are float32; write x.astype(cr.float32), or convert "
            "the parameters with .astype(cr.float64).",
        ),
        (
            ShapeError,
            lambda: nn.LayerNorm(8)(cr.zeros((4, 7))),
            "LayerNorm(8) got (4, 7); its last axes must be (8,).",
        ),
        (
            ShapeError,
            lambda: nn.GroupNorm(2, 4)(cr.zeros((4, 6, 2))),
            "GroupNorm(2, 4) got (4, 6, 2); it needs [batch, 4, ...].",
        ),
        (
            ShapeError,
            lambda: nn.Dropout2d()(cr.zeros((4, 6))),
            "dropout2d needs an input [batch, channels, ...] with 2 more axes; got the shape (4, 6).",
        ),
    ],
)
def test_bad_inputs(kind, call, message):
    refused(kind, message, call)


def batches(count: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(loc=number, scale=2.0, size=(4, 3, 5, 5)).astype(np.float32) for number in range(count)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_running_statistics_move_by_the_momentum(compiled):
    layer = nn.BatchNorm2d(3, momentum=0.3)
    run = cr.jit(lambda x: layer(x)) if compiled else layer
    mean, var = np.zeros(3), np.ones(3)
    for x in batches():
        run(cr.asarray(x))
        mean = 0.7 * mean + 0.3 * x.mean((0, 2, 3))
        var = 0.7 * var + 0.3 * x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-5)
    assert layer.num_batches_tracked.item() == 5
    assert not compiled or len(run.variants) == 1


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_without_momentum_they_are_the_mean_over_all_batches(compiled):
    layer = nn.BatchNorm2d(3, momentum=None)
    run = cr.jit(lambda x: layer(x)) if compiled else layer
    seen = batches()
    for x in seen:
        run(cr.asarray(x))
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean([x.mean((0, 2, 3)) for x in seen], 0), rtol=1e-5)
    variances = [x.var((0, 2, 3), ddof=1) for x in seen]
    np.testing.assert_allclose(layer.running_var.numpy(), np.mean(variances, 0), rtol=1e-5)
    assert not compiled or len(run.variants) == 1


def test_the_modes_of_a_compiled_network_are_those_of_the_eager_one():
    layer = nn.BatchNorm2d(3)
    step = cr.jit(lambda x: layer(x))
    first, second = map(cr.asarray, batches(2))
    trained = step(first)
    np.testing.assert_allclose(trained.numpy().mean((0, 2, 3)), 0.0, atol=1e-5)
    layer.eval()
    before = layer.running_mean.tolist()
    steady = step(second)
    mean, var = layer.running_mean.numpy(), layer.running_var.numpy()
    wanted = (second.numpy() - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    np.testing.assert_allclose(steady.numpy(), wanted, rtol=1e-4, atol=1e-5)
    assert layer.running_mean.tolist() == before
    assert layer.num_batches_tracked.item() == 1
    layer.momentum = 0.9  # a plain setting: the change is seen, not frozen
    layer.train()
    old = layer.running_mean.numpy().copy()
    step(second)
    wanted = 0.1 * old + 0.9 * second.numpy().mean((0, 2, 3))
    np.testing.assert_allclose(layer.running_mean.numpy(), wanted, rtol=1e-5)


def test_a_refused_batch_leaves_the_statistics_alone():
    layer = nn.BatchNorm2d(3)
    with pytest.raises(ShapeError):
        layer(cr.ones((1, 3, 1, 1)))
    assert layer.num_batches_tracked.item() == 0
    assert layer.running_mean.tolist() == [0.0, 0.0, 0.0]


def test_resetting_the_statistics():
    layer = nn.BatchNorm2d(3)
    layer(cr.asarray(batches(1)[0]))
    with cr.no_grad():
        layer.weight.assign_(layer.weight * 2)
    layer.reset_running_stats()
    assert (layer.running_var.tolist(), layer.num_batches_tracked.item()) == ([1.0, 1.0, 1.0], 0)
    assert layer.weight.tolist() == [2.0, 2.0, 2.0]
    layer.reset_parameters()
    assert layer.weight.tolist() == [1.0, 1.0, 1.0]


def test_statistics_are_state_and_not_parameters():
    layer = nn.BatchNorm2d(3)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert layer.state_dict()["num_batches_tracked"].dtype is cr.int64
    assert list(nn.BatchNorm2d(3, affine=False, track_running_stats=False).state_dict()) == []
    assert layer.astype(cr.float64).running_var.dtype is cr.float64


def test_a_file_without_the_number_of_batches_is_loaded():
    # Files older than PyTorch 0.4.1 do not have it; torchvision's ResNets are such files.
    layer = nn.Sequential(nn.BatchNorm2d(3))
    layer(cr.asarray(batches(1)[0]))
    state = {name: value * 0 for name, value in layer.state_dict().items() if not name.endswith("tracked")}
    assert layer.load_state_dict(state) == ([], [])
    assert (layer[0].running_var.tolist(), layer[0].num_batches_tracked.item()) == ([0.0, 0.0, 0.0], 1)
    del state["0.running_var"]
    with pytest.raises(StateDictError) as caught:
        layer.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: 1 problem with Sequential, nothing was loaded:\n  0.running_var is missing\n"
        "strict=False loads what both have."
    )


def test_a_checkpointed_block_moves_its_statistics_once():
    plain, kept = nn.BasicBlock(3, 4), nn.BasicBlock(3, 4)
    kept.load_state_dict(plain.state_dict())
    x = cr.asarray(batches(1)[0])
    plain(x).sum().backward()
    cr.checkpoint(kept, x).sum().backward()
    for name, value in plain.state_dict().items():
        assert kept.state_dict()[name].tolist() == value.tolist(), name
    for ours, theirs in zip(plain.parameters(), kept.parameters(), strict=True):
        assert ours.grad.tolist() == theirs.grad.tolist()


@pytest.mark.parametrize("kind, args", [("BatchNorm2d", (3,)), ("GroupNorm", (1, 3)), ("LayerNorm", (5,))])
def test_a_backward_pass_sums_over_the_elements_twice(kind, args):
    # dx = s (dy - mean(dy) - xhat mean(dy xhat)): one sum of dy and one of dy xhat, which need one pass over memory.
    # Through mean((x - mean)^2) there was a third, that waited for the second.
    layer = getattr(nn, kind)(*args)
    if kind != "BatchNorm2d":
        layer.freeze()  # the gradients of their parameters are other sums
    x = cr.asarray(batches(1)[0])

    @cr.jit
    def step(x, g):
        x = x.detach().requires_grad_()
        return cr.gradients([layer(x)], [x, *(p for p in layer.parameters() if p.requires_grad)], [g])

    step(x, x)
    sums = [line for line in str(step.variants[0].graph).splitlines() if "= sum(" in line]
    assert len(sums) == 2 + 2, sums  # mean and variance, then the two


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_channel_dropout_zeroes_whole_channels(n, compiled):
    layer = getattr(nn, f"Dropout{n}d")(0.2)
    run = cr.jit(lambda x: layer(x)) if compiled else layer
    y = run(cr.ones((40, 50, *(3,) * n))).numpy().reshape(2000, -1)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y[:, 0]).round(2)) == {0.0, 1.25}
    share = (y[:, 0] == 0).mean()
    assert abs(share - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 2000)  # 5 standard deviations
    layer.p = 0.5
    share = (run(cr.ones((40, 50, *(3,) * n))).numpy().reshape(2000, -1)[:, 0] == 0).mean()
    assert abs(share - 0.5) < 5 * np.sqrt(0.25 / 2000)
    assert not compiled or len(run.variants) == 1
    assert layer.eval()(cr.ones((2, 3, *(2,) * n))).tolist() == cr.ones((2, 3, *(2,) * n)).tolist()

"""Initial values: fans, gains, bounds and moments over many draws, the same rules as PyTorch's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import ShapeError

init = nn.init
SHAPE = (400, 250)  # fan_in 250, fan_out 400
KERNEL = (50, 20, 3, 5)  # fan_in 300, fan_out 750

# name -> (call, "uniform" or "normal", standard deviation)
SCALED = {
    "xavier uniform": (lambda t: init.xavier_uniform_(t, gain=2.0), "uniform", lambda i, o: 2 * math.sqrt(2 / (i + o))),
    "xavier normal": (lambda t: init.xavier_normal_(t, gain=0.5), "normal", lambda i, o: 0.5 * math.sqrt(2 / (i + o))),
    "kaiming uniform": (init.kaiming_uniform_, "uniform", lambda i, o: math.sqrt(2 / i)),
    "kaiming uniform, sqrt 5": (
        lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)),
        "uniform",
        lambda i, o: math.sqrt(1 / (3 * i)),
    ),
    "kaiming normal, fan out": (
        lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
        "normal",
        lambda i, o: math.sqrt(2 / o),
    ),
    "lecun uniform": (init.lecun_uniform_, "uniform", lambda i, o: math.sqrt(1 / i)),
    "lecun normal": (init.lecun_normal_, "normal", lambda i, o: math.sqrt(1 / i)),
}


@pytest.mark.parametrize("shape, fans", [(SHAPE, (250, 400)), (KERNEL, (300, 750))], ids=["matrix", "kernel"])
@pytest.mark.parametrize("name", SCALED)
def test_scale_and_shape_of_the_distribution(name, shape, fans):
    call, kind, deviation = SCALED[name]
    tensor = cr.zeros(shape, dtype=cr.float64)
    assert call(tensor) is tensor
    std, n = deviation(*fans), tensor.size
    z = tensor.numpy().ravel() / std
    # Five standard errors of the mean and of the second moment (kurtosis 3 for normal, 1.8 for uniform).
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 5 * math.sqrt((2 if kind == "normal" else 0.8) / n)
    assert abs((z**4).mean() - (3.0 if kind == "normal" else 1.8)) < 5 * math.sqrt((96 if kind == "normal" else 8) / n)
    if kind == "uniform":
        assert np.abs(z).max() <= math.sqrt(3)
        assert np.abs(z).max() > 0.99 * math.sqrt(3)


def test_uniform_normal_and_constants():
    x = cr.zeros(50_000)
    init.uniform_(x, -3.0, 1.0)
    assert -3.0 <= x.numpy().min() < -2.99
    assert 0.99 < x.numpy().max() < 1.0
    init.normal_(x, 2.0, 0.5)
    assert abs(x.numpy().mean() - 2.0) < 5 * 0.5 / math.sqrt(50_000)
    assert abs(x.numpy().std() - 0.5) < 0.01
    assert init.constant_(x, 0.25) is x
    assert set(x.tolist()) == {0.25}
    assert set(init.ones_(x).tolist()) == {1.0}
    assert set(init.zeros_(x).tolist()) == {0.0}
    assert init.eye_(cr.zeros((2, 3))).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_truncated_normal():
    x = init.trunc_normal_(cr.zeros(100_000, dtype=cr.float64), mean=0.5, std=2.0, a=-1.0, b=2.5).numpy()
    assert -1.0 <= x.min() < -0.99
    assert 2.49 < x.max() <= 2.5
    # Mean and variance of N(0.5, 4) cut at -0.75 and 1 standard deviations.
    density = lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    share = 0.5 * (math.erf(1 / math.sqrt(2)) + math.erf(0.75 / math.sqrt(2)))
    shift = (density(-0.75) - density(1.0)) / share
    variance = 4 * (1 + (-0.75 * density(-0.75) - 1.0 * density(1.0)) / share - shift**2)
    assert abs(x.mean() - (0.5 + 2 * shift)) < 5 * math.sqrt(variance / x.size)
    assert abs(x.var() - variance) < 0.02


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3)])
def test_orthogonal(shape):
    w = init.orthogonal_(cr.zeros(shape, dtype=cr.float64), gain=2.0).numpy().reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(min(w.shape)), atol=1e-12)


def test_orthogonal_is_spread_evenly():
    # Haar measure on rotations of the plane: the first entry is cos of a uniform angle, with mean 0 and variance 1/2.
    entries = np.array([init.orthogonal_(cr.zeros((2, 2))).numpy()[0, 0] for _ in range(1500)])
    assert abs(entries.mean()) < 5 * math.sqrt(0.5 / 1500)
    assert abs((entries**2).mean() - 0.5) < 5 * math.sqrt(0.125 / 1500)


def test_gains():
    wanted = {"linear": 1, "conv2d": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    assert {name: init.calculate_gain(name) for name in wanted} == wanted
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert init.calculate_gain("leaky_relu", 0.5) == math.sqrt(2 / 1.25)


def test_fans():
    assert init.calculate_fans(cr.zeros(SHAPE)) == (250, 400)
    assert init.calculate_fans(cr.zeros(KERNEL)) == (300, 750)


@pytest.mark.parametrize(
    "kind, call, message",
    [
        (
            ShapeError,
            lambda: init.xavier_uniform_(cr.zeros(3)),
            "fans need a weight [out, in, ...]; got the shape (3,): for a bias use zeros_ or uniform_.",
        ),
        (ShapeError, lambda: init.eye_(cr.zeros(3)), "eye_ needs a matrix; got the shape (3,)."),
        (
            ValueError,
            lambda: init.kaiming_normal_(cr.zeros(SHAPE), mode="fanin"),
            "kaiming_normal_.mode must be one of \"fan_in\", \"fan_out\"; got 'fanin'; did you mean 'fan_in'?",
        ),
        (
            ValueError,
            lambda: init.calculate_gain("relu6"),
            'calculate_gain.nonlinearity must be one of "linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", '
            '"relu", "leaky_relu", "selu"; got \'relu6\'; did you mean \'relu\'?',
        ),
        (ValueError, lambda: init.normal_(cr.zeros(3), std=-1.0), "normal_.std must be a float >= 0; got -1.0."),
        (
            ValueError,
            lambda: init.trunc_normal_(cr.zeros(3), a=2.0, b=1.0),
            "trunc_normal_.b must be a float > 2; got 1.0.",
        ),
    ],
)
def test_refusals(kind, call, message):
    with pytest.raises(kind) as caught:
        call()
    assert getattr(caught.value, "message", str(caught.value)) == message


def test_values_follow_the_seed_and_the_generator():
    cr.manual_seed(3)
    first = nn.Linear(4, 3).weight.tolist()
    assert nn.Linear(4, 3).weight.tolist() != first
    cr.manual_seed(3)
    assert nn.Linear(4, 3).weight.tolist() == first
    a = init.kaiming_uniform_(cr.zeros((3, 4)), generator=cr.Generator(5))
    assert a.tolist() == init.kaiming_uniform_(cr.zeros((3, 4)), generator=cr.Generator(5)).tolist()


def test_a_parameter_is_filled_without_being_recorded():
    layer = nn.Linear(4, 3)
    init.constant_(layer.weight, 0.5)
    assert layer.weight.requires_grad
    assert layer.weight.is_leaf
    assert set(layer.weight.numpy().ravel()) == {0.5}


@pytest.mark.oracle
@pytest.mark.parametrize("kind, args", [("Linear", (50, 2000)), ("Embedding", (400, 250))])
def test_first_values_of_layers_have_pytorchs_distribution(kind, args):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    ours, theirs = getattr(nn, kind)(*args), getattr(torch.nn, kind)(*args)
    for (name, a), (other, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        x, y = np.sort(a.numpy().ravel()), np.sort(b.detach().numpy().ravel())
        places = np.concatenate([x, y])
        distance = np.abs(np.searchsorted(x, places, "right") - np.searchsorted(y, places, "right")).max() / x.size
        assert distance < 2.2 * math.sqrt(2 / x.size), name  # Kolmogorov-Smirnov, chance 1e-4


@pytest.mark.oracle
@pytest.mark.parametrize(
    "name, options",
    [
        ("xavier_uniform_", {"gain": 1.5}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": 0.3, "mode": "fan_out"}),
        ("kaiming_normal_", {"nonlinearity": "tanh"}),
        ("trunc_normal_", {"std": 0.8, "a": -1.0, "b": 1.5}),
        ("normal_", {"mean": 1.0, "std": 2.0}),
        ("uniform_", {"a": -2.0, "b": 3.0}),
    ],
)
def test_functions_have_pytorchs_distribution(name, options):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    x = np.sort(getattr(init, name)(cr.zeros(KERNEL), **options).numpy().ravel())
    y = np.sort(getattr(torch.nn.init, name)(torch.zeros(KERNEL), **options).numpy().ravel())
    places = np.concatenate([x, y])
    distance = np.abs(np.searchsorted(x, places, "right") - np.searchsorted(y, places, "right")).max() / x.size
    assert distance < 2.2 * math.sqrt(2 / x.size)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)

"""The multilayer perceptron: its layers and names, its messages, and what it computes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn


def test_the_course_network_has_its_names_and_numbers():
    model = models.MLP((784, 64, 32, 10))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert shapes == {
        "0.weight": (64, 784), "0.bias": (64,),
        "2.weight": (32, 64), "2.bias": (32,),
        "4.weight": (10, 32), "4.bias": (10,),
    }  # fmt: skip
    assert sum(p.size for p in model.parameters()) == 52_650
    assert [type(layer).__name__ for layer in model] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


def test_it_computes_what_its_layers_compute():
    model = models.MLP((6, 4, 3), activation="tanh")
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)
    w, b, v, c = (value.numpy() for value in model.state_dict().values())
    want = np.tanh(x @ w.T + b) @ v.T + c
    np.testing.assert_allclose(model(cr.asarray(x)).numpy(), want, rtol=1e-6)


def test_a_sample_with_several_axes_is_flattened():
    model = models.MLP((12, 3))
    x = cr.reshape(cr.arange(24, dtype=cr.float32), (2, 3, 4))
    np.testing.assert_array_equal(model(x).numpy(), model(x.reshape((2, 12))).numpy())


def test_dropout_stands_after_each_hidden_activation_only():
    model = models.MLP((8, 6, 4, 2), dropout=0.5)
    kinds = [type(layer).__name__ for layer in model]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    x = cr.ones((3, 8))
    model.eval()
    np.testing.assert_array_equal(model(x).numpy(), model(x).numpy())


@pytest.mark.parametrize("activation", models.mlp.ACTIVATIONS)
def test_every_activation_trains(activation):
    model = models.MLP((5, 4, 3), activation=activation)
    nn.functional.cross_entropy(model(cr.ones((2, 5))), cr.asarray([0, 2])).backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters())


@pytest.mark.parametrize(
    "model, text",
    [
        (models.MLP((4, 2)), "MLP((4, 2))"),
        (models.MLP([4, 3, 2], "gelu"), "MLP((4, 3, 2), activation='gelu')"),
        (models.MLP((4, 3, 2), dropout=0.25), "MLP((4, 3, 2), dropout=0.25)"),
    ],
)
def test_repr_is_the_call_that_rebuilds_it(model, text):
    assert repr(model) == text
    again = eval(text, {"MLP": models.MLP})
    assert repr(again) == text
    again.load_state_dict(model.state_dict())


def test_a_part_of_it_is_a_sequential_and_a_copy_is_a_perceptron():
    model = models.MLP((4, 3, 2))
    x = cr.ones((1, 4))
    np.testing.assert_array_equal(model[1:](model[0](x)).numpy(), model(x).numpy())
    assert type(model[:2]).__name__ == "Sequential"
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin(x).numpy(), model(x).numpy())
    assert twin[0].weight is not model[0].weight


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sizes": (784,)}, "MLP.sizes must be at least two integers >= 1; got (784,)."),
        ({"sizes": (784, 0, 10)}, "MLP.sizes must be at least two integers >= 1; got (784, 0, 10)."),
        ({"sizes": (784, 2.5)}, "MLP.sizes must be at least two integers >= 1; got (784, 2.5)."),
        (
            {"sizes": (4, 2), "activation": "rellu"},
            "MLP.activation must be one of relu, sigmoid, tanh, leaky_relu, elu, selu, silu, gelu, softplus, identity; "
            "got 'rellu'; did you mean 'relu'?",
        ),
        ({"sizes": (4, 2), "dropout": 1.0}, "MLP.dropout must be a number in [0, 1); got 1.0."),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(arguments, message):
    with pytest.raises(ValueError) as caught:
        models.MLP(**arguments)
    assert str(caught.value) == message

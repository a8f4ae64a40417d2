"""Layers: what they compute in one small case each, what they refuse, and how dropout draws."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import ChainruleError, DTypeError, IndexRangeError, ShapeError

F = nn.functional


def refused(kind, message, call):
    with pytest.raises(kind) as caught:
        call()
    assert (caught.value.message if isinstance(caught.value, ChainruleError) else str(caught.value)) == message


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nn.Linear(0, 3), "Linear.in_features must be an int >= 1; got 0."),
        (lambda: nn.Linear(3, 2.0), "Linear.out_features must be an int >= 1; got 2.0."),
        (lambda: nn.Linear(3, True), "Linear.out_features must be an int >= 1; got True."),
        (lambda: nn.Linear(3, 2, bias="yes"), "Linear.bias must be True or False; got 'yes'."),
        (lambda: nn.Linear(3, 2, dtype=cr.int64), "Linear.dtype must be a float dtype; got int64."),
        (lambda: nn.Flatten("a"), "Flatten.start_dim must be an int; got 'a'."),
        (lambda: nn.Dropout(1.5), "Dropout.p must be a float in [0, 1); got 1.5."),
        (lambda: nn.Dropout(1.0), "Dropout.p must be a float in [0, 1); got 1.0."),
        (lambda: nn.Dropout(float("nan")), "Dropout.p must be a float in [0, 1); got nan."),
        (lambda: nn.Embedding(5, -1), "Embedding.embedding_dim must be an int >= 1; got -1."),
        (lambda: nn.Embedding(5, 3, padding_idx=5), "Embedding.padding_idx must be in [-5, 4]; got 5."),
        (lambda: nn.LeakyReLU("x"), "LeakyReLU.negative_slope must be a float; got 'x'."),
        (lambda: nn.Softplus(beta=0), "Softplus.beta must be a float > 0; got 0."),
        (lambda: nn.GELU("tan"), "GELU.approximate must be one of \"none\", \"tanh\"; got 'tan'; did you mean 'tanh'?"),
        (
            lambda: nn.Softmax(),
            "Softmax.dim must be an int: the axis whose probabilities add up to 1, which is 1 for [batch, classes] and "
            "[batch, classes, height, width]; write Softmax(dim=1).",
        ),
        (lambda: nn.LogSoftmax(dim="1"), "LogSoftmax.dim must be an int; got '1'."),
        (lambda: nn.PReLU(0), "PReLU.num_parameters must be an int >= 1; got 0."),
        (lambda: F.dropout(cr.ones(2), -0.1), "dropout.p must be a float in [0, 1); got -0.1."),
    ],
)
def test_bad_settings(call, message):
    refused(ValueError, message, call)


@pytest.mark.parametrize(
    "kind, call, message",
    [
        (
            ShapeError,
            lambda: nn.Linear(784, 10)(cr.zeros((32, 1, 28, 28))),
            "Linear(784, 10) got (32, 1, 28, 28); its last axis must be 784: flatten first.",
        ),
        (ShapeError, lambda: nn.Linear(3, 2)(cr.zeros((5, 4))), "Linear(3, 2) got (5, 4); its last axis must be 3."),
        (ShapeError, lambda: nn.Linear(3, 2)(cr.zeros(())), "Linear(3, 2) got (); its last axis must be 3."),
        (
            DTypeError,
            lambda: nn.Linear(3, 2)(cr.zeros((5, 3), dtype=cr.float64)),
            "Linear(3, 2) got a float64 input and its parameters are float32; write x.astype(cr.float32), or convert "
            "the parameters with .astype(cr.float64).",
        ),
        (
            DTypeError,
            lambda: nn.Linear(3, 2)(cr.zeros((5, 3), dtype=cr.uint8)),
            "Linear(3, 2) got a uint8 input and its parameters are float32; write x.astype(cr.float32).",
        ),
        (
            DTypeError,
            lambda: nn.Linear(3, 2)(np.zeros((5, 3))),
            "Linear(3, 2): the input must be a tensor; got numpy.ndarray: convert it with cr.asarray.",
        ),
        (
            DTypeError,
            lambda: nn.ReLU()([1.0]),
            "ReLU(): the input must be a tensor; got list: convert it with cr.asarray.",
        ),
        (
            DTypeError,
            lambda: nn.GELU()(cr.arange(3)),
            "GELU() needs a float tensor; got int64: use .astype(cr.float32).",
        ),
        (
            DTypeError,
            lambda: nn.Dropout()(cr.arange(3)),
            "dropout needs a float tensor; got int64: use .astype(cr.float32).",
        ),
        (
            ShapeError,
            lambda: nn.Flatten()(cr.zeros(3)),
            "Flatten() got (3,); it joins the axes 1 to -1, which this input does not have.",
        ),
        (
            IndexRangeError,
            lambda: nn.Embedding(5, 3)(cr.asarray([[0, 1], [7, 2]])),
            "Embedding(5, 3): the index 7 at position (1, 0) is out of range; indices must be in [0, 4].",
        ),
        (
            IndexRangeError,
            lambda: nn.Embedding(5, 3)(cr.asarray([-1])),
            "Embedding(5, 3): the index -1 at position 0 is out of range; indices must be in [0, 4].",
        ),
        (
            DTypeError,
            lambda: nn.Embedding(5, 3)(cr.ones(2)),
            "Embedding(5, 3): the indices must be integers; got float32: use .astype(cr.int64).",
        ),
        (
            ShapeError,
            lambda: nn.PReLU(3)(cr.zeros((2, 4))),
            "prelu: the input (2, 4) has 4 channels and the weight the shape (3,); it must be (1,) or (4,).",
        ),
        (
            IndexRangeError,
            lambda: nn.Softmax(dim=2)(cr.zeros((2, 3))),
            "softmax: dim 2 does not exist in a tensor with 2 axes; allowed: [-2, 1].",
        ),
        (
            ShapeError,
            lambda: F.linear(cr.zeros((2, 3)), cr.zeros((4, 5))),
            "linear: the input has the shape (2, 3) and the weight (4, 5) (out, in); the input's last axis must be 5.",
        ),
    ],
)
def test_bad_inputs(kind, call, message):
    refused(kind, message, call)


def test_an_index_out_of_range_is_refused_in_a_compiled_step_too():
    layer = nn.Embedding(5, 3)
    step = cr.jit(lambda i: layer(i))
    assert step(cr.asarray([4])).shape == (1, 3)
    message = "Embedding(5, 3): the index 5 at position 0 is out of range; indices must be in [0, 4]."
    refused(IndexRangeError, message, lambda: step(cr.asarray([5])))
    assert len(step.variants) == 1


def test_flatten_joins_the_axes_between():
    x = cr.zeros((2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5)
    assert nn.Flatten(-3, -2)(x).shape == (2, 12, 5)
    assert nn.Flatten(0)(x).shape == (120,)


def test_an_embedding_row_for_padding_is_zero_and_stays_untrained():
    layer = nn.Embedding(4, 3, padding_idx=-2)
    assert layer.padding_idx == 2
    assert layer.weight[2].tolist() == [0.0, 0.0, 0.0]
    layer(cr.asarray([2, 1, 2, 1])).sum().backward()
    assert layer.weight.grad.tolist() == [[0.0] * 3, [2.0] * 3, [0.0] * 3, [0.0] * 3]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("dtype", [cr.float32, cr.float64, cr.bfloat16], ids=lambda dtype: dtype.name)
def test_dropout_zeroes_a_share_and_keeps_the_mean(dtype, compiled):
    layer = nn.Dropout(0.2)
    run = cr.jit(lambda x: layer(x)) if compiled else layer
    cr.manual_seed(4)
    y = run(cr.ones(100_000, dtype=dtype))
    assert y.dtype is dtype
    values = y.astype(cr.float64).numpy()
    assert set(np.unique(values).round(2)) == {0.0, 1.25}
    # 5 standard deviations of a binomial share with n = 100,000
    assert abs((values == 0).mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 100_000)


def test_dropout_draws_anew_in_each_call_and_repeats_with_the_seed():
    layer, x = nn.Dropout(0.5), cr.ones(64)
    step = cr.jit(lambda x: layer(x))
    cr.manual_seed(7)
    eager = [layer(x).tolist() for _ in range(3)]
    cr.manual_seed(7)
    assert [step(x).tolist() for _ in range(3)] == eager
    assert eager[0] != eager[1] != eager[2]
    cr.manual_seed(8)
    assert layer(x).tolist() != eager[0]


def test_dropout_masks_the_gradient_as_it_masked_the_value():
    x = cr.ones(50).requires_grad_()
    y = nn.Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_dropout_of_nothing_draws_no_numbers():
    before = cr.default_generator.state_dict()
    nn.Dropout(0.5).eval()(cr.ones(3))
    F.dropout(cr.ones(3), 0.0)
    after = cr.default_generator.state_dict()
    assert {k: str(v) for k, v in before.items()} == {k: str(v) for k, v in after.items()}


def test_dropout_with_its_own_generator():
    first = F.dropout(cr.ones(64), 0.5, generator=cr.Generator(3))
    assert first.tolist() == F.dropout(cr.ones(64), 0.5, generator=cr.Generator(3)).tolist()


def test_swish_is_silu():
    assert nn.Swish is nn.SiLU

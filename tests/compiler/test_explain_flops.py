"""FLOPs and bytes of kernels, against numbers counted by hand: a multiplication and an addition per product."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.lowering import Contraction


def rows(f, *arguments, **options):
    """Return the kernels of a compiled function."""
    return cr.jit(f, **options).explain(*arguments, measure=False).rows


def of(found, *names):
    """Return the FLOPs of the kernels that compute any of some operations."""
    return sum(row.flops for row in found if {o.name for o in row.operations} & set(names))


def gradients(conv, x):
    """Return the kernels of a convolution's three contractions."""
    w = conv.weight

    def step(x):
        x = x * 1.0
        y = conv(x)
        dx, dw = cr.grad(lambda x, w: (cr.nn.functional.conv2d(x, w, **how) * g).sum(), argnums=(0, 1))(x, w)
        return y, dx, dw

    how = {"stride": conv.stride, "padding": conv.padding, "groups": conv.groups}
    g = cr.asarray(np.random.default_rng(0).standard_normal(conv(x).shape).astype(np.float32))
    return rows(step, x)


# ------------------------------------------------------------------------------------------------ products


def test_a_product_with_a_bias_and_an_activation():
    (row,) = rows(lambda x, w, b: cr.nn.functional.relu(x @ w + b), cr.ones((64, 48)), cr.ones((48, 32)), cr.ones(32))
    assert row.flops == 2 * 64 * 48 * 32 + 64 * 32 + 64 * 32


def test_attention():
    """4 heads of 16 features over 2 x 10 positions: scores and averages."""
    q = cr.asarray(np.random.default_rng(0).standard_normal((2, 4, 10, 16)).astype(np.float32))
    found = rows(lambda q, k, v: cr.nn.functional.softmax(q @ k.swapaxes(-1, -2), -1) @ v, q, q, q)
    products = [row.flops for row in found if row.kind == "contraction"]
    assert products == [2 * (2 * 4) * 10 * 10 * 16] * 2
    softmax = 2 * 4 * 10 * (10 + 10 + 10 + 10 + 10)  # largest, difference, exp, sum, quotient
    assert sum(row.flops for row in found if row.kind != "contraction") == softmax


def test_a_linear_layer_and_both_its_gradients():
    layer = cr.nn.Linear(48, 32)

    def step(x):
        return cr.grad(lambda x, w: cr.square(x @ w.T).sum(), argnums=(0, 1))(x, layer.weight)

    found = rows(step, cr.ones((64, 48)))
    assert sum(row.flops for row in found if row.kind == "contraction") >= 3 * 2 * 64 * 48 * 32
    assert sum(row.flops for row in found if row.kind == "contraction") <= 3 * 2 * 64 * 48 * 32 + 4 * 64 * 32


def test_an_inception_block():
    """Two branches of 16 channels on 8 x 8 pixels: 1 x 1 to 8; 1 x 1 to 4 and 3 x 3 to 8."""
    f = cr.nn.functional.conv2d
    a, b, c = cr.ones((8, 16, 1, 1)), cr.ones((4, 16, 1, 1)), cr.ones((8, 4, 3, 3))
    step = lambda x: cr.concat([f(x, a), f(f(x, b), c, padding=1)], axis=1)  # noqa: E731
    found = rows(step, cr.ones((2, 16, 8, 8)))
    pixels = 2 * 8 * 8
    assert of(found, "convolution") == 2 * pixels * (16 * 8 + 16 * 4 + 4 * 9 * 8)


# ------------------------------------------------------------------------------------------------ loops


@pytest.mark.parametrize("stride", [1, 2])
def test_a_depthwise_convolution_and_its_gradients(stride):
    """Loop kernels, which showed no FLOPs; with a stride of 2 the input's gradient is four of them."""
    conv = cr.nn.Conv2d(32, 32, 3, padding=1, stride=stride, groups=32, bias=False)
    found = gradients(conv, cr.ones((2, 32, 16, 16)))
    each = 2 * 2 * 32 * (16 // stride) ** 2 * 9
    assert not [row for row in found if row.kind == "contraction"]
    own = [(row.name, row.flops) for row in found if row.name.startswith("convolution")]
    if stride == 1:
        back = [("convolution_input_gradient", each)]
    else:  # of 9 taps the pixels of four kinds have 1, 2, 2 and 4; where it is 1 there is nothing to sum
        back = [("convolution_input_gradient", each // 9), ("convolution_input_gradient", each * 8 // 9)]
    first = own[0][0]
    assert first.startswith("convolution")
    assert own == [(first, each), *back, ("convolution_weight_gradient", each)]


def test_a_depthwise_convolution_of_one_pixel_has_one_product_each():
    conv = cr.nn.Conv2d(32, 32, 1, groups=32, bias=False)
    found = rows(lambda x: conv(x), cr.ones((2, 32, 8, 8)))
    assert sum(row.flops for row in found) == 2 * 2 * 32 * 8 * 8


@pytest.mark.parametrize("groups", [1, 2])
def test_the_contractions_of_a_convolution(groups):
    conv = cr.nn.Conv2d(32, 64, 3, padding=1, stride=2, groups=groups, bias=False)
    found = gradients(conv, cr.ones((2, 32, 16, 16)))
    each = 2 * 2 * 64 * 8 * 8 * 9 * (32 // groups)
    products = [row for row in found if row.kind == "contraction"]
    assert of(products, "convolution_input_gradient") == each
    assert of(products, "convolution_weight_gradient") == each
    assert of(products, "convolution") == each


def test_every_contraction_of_a_training_step_is_counted_once():
    net = cr.nn.Sequential(
        cr.nn.Conv2d(3, 16, 3, padding=1, stride=2), cr.nn.BatchNorm2d(16), cr.nn.ReLU(),
        cr.nn.Conv2d(16, 16, 3, padding=1, groups=16), cr.nn.BatchNorm2d(16), cr.nn.ReLU(), cr.nn.Conv2d(16, 24, 1),
        cr.nn.AvgPool2d(2), cr.nn.Flatten(), cr.nn.Linear(24 * 16, 10),
    )  # fmt: skip

    @cr.jit
    def step(x, y):
        loss = cr.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return loss

    x = cr.ones((4, 3, 16, 16))
    plan = step.explain(x, cr.asarray([1, 2, 3, 4]), measure=False)
    products = 4 * (64 * 16 * 27 * 2 + 64 * 16 * 9 * 3 + 64 * 16 * 24 * 3 + 384 * 10 * 3)  # no gradient of the picture
    graph = step.graph()
    assert 2 * products == sum(e.flops for e in graph if isinstance(e.primitive.lower, Contraction))
    others = sum(row.flops for row in plan.rows) - 2 * products
    largest = 4 * 16 * 64
    assert 0 < others < 100 * largest  # elementwise work: some tens of operations per element of the largest value


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("mobilenet", 569),
        ("squeezenet1_1", 349),
        ("googlenet", 1498),
    ],  # millions; arXiv 1704.04861, torchvision's table
)
def test_published_numbers_of_multiplications_and_additions(name, published):
    model = cr.models.create(name, num_classes=1000)
    model.eval()
    found = rows(lambda x: model(x), cr.ones((1, 3, 224, 224)))
    count = sum(row.flops for row in found) / 2e6
    assert published <= count < 1.02 * published  # activations and normalisation are the rest


# ------------------------------------------------------------------------------------------------ bytes


def test_a_border_is_as_large_as_its_zeros():
    conv = cr.nn.Conv2d(32, 32, 3, padding=1, bias=False)
    found = rows(lambda x: conv(cr.exp(x)), cr.ones((2, 32, 8, 8)))
    (border,) = [row for row in found if row.kind == "border"]
    assert border.written == 4 * 2 * 32 * (10 * 10 - 8 * 8)
    (inside,) = [row for row in found if row.name == "exp"]
    assert inside.written == 4 * math.prod((2, 32, 8, 8))

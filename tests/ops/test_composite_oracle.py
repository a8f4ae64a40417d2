"""Composites and elementwise edges against PyTorch, in value and gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle

PAIRS = {
    "softmax": (lambda x: cr.softmax(x), lambda x: torch.softmax(x, -1)),
    "softmax along axis 0": (lambda x: cr.softmax(x, 0), lambda x: torch.softmax(x, 0)),
    "log_softmax": (lambda x: cr.log_softmax(x), lambda x: torch.log_softmax(x, -1)),
    "logsumexp": (lambda x: cr.logsumexp(x, 1), lambda x: torch.logsumexp(x, 1)),
    "logsumexp of all": (lambda x: cr.logsumexp(x), lambda x: torch.logsumexp(x, (0, 1))),
    "log_sigmoid": (lambda x: cr.log_sigmoid(x), F.logsigmoid),
    "silu": (lambda x: cr.silu(x), F.silu),
    "gelu": (lambda x: cr.gelu(x), F.gelu),
    "gelu by tanh": (lambda x: cr.gelu(x, "tanh"), lambda x: F.gelu(x, approximate="tanh")),
    "leaky_relu": (lambda x: cr.leaky_relu(x), F.leaky_relu),
    "elu": (lambda x: cr.elu(x, 0.7), lambda x: F.elu(x, 0.7)),
    "selu": (lambda x: cr.selu(x), F.selu),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_to_second_order(name: str) -> None:
    ours, theirs = PAIRS[name]
    rng = np.random.default_rng(4)
    data = rng.normal(size=(4, 5)) * 3
    x, t = cr.asarray(data).requires_grad_(), torch.tensor(data, requires_grad=True)
    y, s = ours(x), theirs(t)
    np.testing.assert_allclose(y.numpy(), s.detach().numpy(), rtol=1e-12, atol=1e-14)
    weight, direction = rng.normal(size=y.shape), rng.normal(size=x.shape)
    cr.sum(cr.square(y) * weight).backward(create_graph=True)
    slope, x.grad = x.grad, None
    (want,) = torch.autograd.grad((s.square() * torch.tensor(weight)).sum(), t, create_graph=True)
    np.testing.assert_allclose(slope.numpy(), want.detach().numpy(), rtol=1e-11, atol=1e-13)
    cr.sum(slope * direction).backward()
    (want,) = torch.autograd.grad((want * torch.tensor(direction)).sum(), t)
    np.testing.assert_allclose(x.grad.numpy(), want.numpy(), rtol=1e-10, atol=1e-12)


INF, NAN = float("inf"), float("nan")
EDGES: list[tuple[str, Callable, Callable, tuple[float, ...]]] = [
    *[("pow", cr.pow, torch.pow, pair) for pair in ((0, 0), (0, 1), (0, 2), (0, 0.5), (0, -1), (2, 0))],
    *[("clip", cr.clip, torch.clamp, bounds) for bounds in ((1, 1, 2), (2, 1, 2), (1, 1, 1), (0, 2, 1), (NAN, 0, 1))],
    *[("maximum", cr.maximum, torch.maximum, pair) for pair in ((1, 1), (NAN, 1), (1, 2))],
    *[("minimum", cr.minimum, torch.minimum, pair) for pair in ((1, 1), (NAN, 1), (1, 2))],
    *[("remainder", cr.remainder, torch.remainder, pair) for pair in ((6, 3), (5, -3), (-5, 3))],
    *[("copysign", cr.copysign, torch.copysign, pair) for pair in ((0, 1), (2, -0.0), (-2, -1))],
    *[("logaddexp", cr.logaddexp, torch.logaddexp, pair) for pair in ((1e3, -1e3), (1, 1), (-INF, 1))],
    ("atan2", cr.atan2, torch.atan2, (0, 0)),
    *[("relu", cr.relu, torch.relu, (x,)) for x in (0, NAN, -1)],
    *[("sqrt", cr.sqrt, torch.sqrt, (x,)) for x in (0, -1)],
    ("abs", cr.abs, torch.abs, (0,)),
    ("rsqrt", cr.rsqrt, torch.rsqrt, (0,)),
]


@pytest.mark.parametrize("name, ours, theirs, values", EDGES, ids=[f"{row[0]}{row[3]}" for row in EDGES])
def test_singular_points_have_pytorchs_gradients(name: str, ours: Callable, theirs: Callable, values: tuple) -> None:
    x = [cr.asarray(float(v), dtype=cr.float64).requires_grad_() for v in values]
    t = [torch.tensor(float(v), dtype=torch.float64, requires_grad=True) for v in values]
    y, s = ours(*x), theirs(*t)
    y.backward()
    s.backward()
    np.testing.assert_allclose(y.item(), s.item(), rtol=1e-15)
    np.testing.assert_allclose([a.grad.item() for a in x], [b.grad.item() for b in t], rtol=1e-15)

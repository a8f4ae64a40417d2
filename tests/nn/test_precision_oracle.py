"""Mixed precision beside PyTorch's autocast, which also rounds results to bfloat16: ours is nearer to float64."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle
torch.set_num_threads(1)


def perceptron(library):
    return library.nn.Sequential(library.nn.Linear(20, 32), library.nn.ReLU(), library.nn.Linear(32, 5))


def convolutional_ours(x, w, v):
    h = cr.avg_pool2d(cr.tanh(cr.conv2d(x, w, padding=1)), 2)
    return cr.reshape(h, (h.shape[0], -1)) @ v


def convolutional_theirs(x, w, v):
    h = torch.nn.functional.avg_pool2d(torch.tanh(torch.nn.functional.conv2d(x, w, padding=1)), 2)
    return h.reshape(h.shape[0], -1) @ v


def compare(ours, theirs, exact):
    """Close to autocast within bfloat16's precision, and on the whole nearer to float64 than autocast is."""
    errors = np.zeros(2)
    for a, b, c in zip(ours, theirs, exact, strict=True):
        scale = abs(c).max()
        assert abs(a - b).max() <= 0.04 * scale
        errors += np.linalg.norm(a - c) / np.linalg.norm(c), np.linalg.norm(b - c) / np.linalg.norm(c)
    assert errors[0] < errors[1]


def torch_run(function, arrays, labels, dtype, autocast):
    leaves = [torch.tensor(array, dtype=dtype, requires_grad=True) for array in arrays]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        outputs = function(*leaves)
        loss = torch.nn.functional.cross_entropy(outputs, torch.tensor(labels))
    loss.backward()
    return [x.detach().double().numpy() for x in (outputs, loss, *(leaf.grad for leaf in leaves))]


def our_run(function, arrays, labels):
    leaves = [cr.asarray(array).requires_grad_() for array in arrays]
    with cr.precision("bf16"):
        outputs = function(*leaves)
        loss = nn.functional.cross_entropy(outputs, cr.asarray(labels))
    loss.backward()
    return [np.asarray(x.numpy(), np.float64) for x in (outputs, loss, *(leaf.grad for leaf in leaves))]


CASES = {
    "linear": (
        lambda x, w, v: cr.tanh(x @ w) @ v,
        lambda x, w, v: torch.tanh(x @ w) @ v,
        [(16, 20), (20, 32), (32, 5)],
    ),
    "convolution": (convolutional_ours, convolutional_theirs, [(8, 3, 8, 8), (6, 3, 3, 3), (96, 5)]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_a_network_and_its_gradients(name, seed):
    ours, theirs, shapes = CASES[name]
    rng = np.random.default_rng(seed)
    arrays = [
        (rng.standard_normal(s) / np.sqrt(np.prod(s[1:]) if i else 1)).astype(np.float32) for i, s in enumerate(shapes)
    ]
    labels = rng.integers(0, 5, shapes[0][0])
    exact = torch_run(theirs, arrays, labels, torch.float64, autocast=False)
    compare(our_run(ours, arrays, labels), torch_run(theirs, arrays, labels, torch.float32, autocast=True), exact)


def test_layers_follow_it():
    x = np.random.default_rng(0).standard_normal((64, 20)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 5, 64)
    model, other = perceptron(cr), perceptron(torch)
    other.load_state_dict({name: torch.tensor(value.numpy()) for name, value in model.state_dict().items()})
    with cr.precision("bf16"):
        loss = nn.functional.cross_entropy(model(cr.asarray(x)), cr.asarray(labels))
    loss.backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs = torch.nn.functional.cross_entropy(other(torch.tensor(x)), torch.tensor(labels))
    theirs.backward()
    assert loss.item() == pytest.approx(theirs.item(), rel=5e-3)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert p.dtype is p.grad.dtype is cr.float32
        assert abs(p.grad.numpy() - q.grad.numpy()).max() <= 0.04 * abs(q.grad.numpy()).max()

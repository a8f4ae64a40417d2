"""A small network in training with all kinds of state, and small arrays, for tests of what steps do to their state."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule import nn, optim


def f32(value):
    """Return a float32 tensor."""
    return cr.asarray(np.array(value, np.float32))


def matrix():
    """Return a float32 tensor of shape (4, 4)."""
    return f32(np.arange(16).reshape(4, 4) / 10)


class Net:
    """A network with its jitted training step."""

    def __init__(self, keep_grads=False):
        cr.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01)
        rng = np.random.default_rng(1)
        self.x = cr.asarray(rng.normal(size=(16, 6)).astype(np.float32))
        self.y = cr.asarray(rng.integers(0, 3, 16))

        @cr.jit(keep_grads=keep_grads)
        def step(x, y):
            loss = nn.functional.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

        self.step = step

    def run(self, steps=3):
        for _ in range(steps):
            self.step(self.x, self.y)

    def state(self):
        return [p.numpy().copy() for p in (*self.model.parameters(), *self.model.buffers())]


def tensors_of(tree):
    """Return the tensors and arrays in nested containers."""
    if isinstance(tree, dict):
        return [t for item in tree.values() for t in tensors_of(item)]
    if isinstance(tree, list | tuple):
        return [t for item in tree for t in tensors_of(item)]
    return [tree] if isinstance(tree, cr.Tensor | np.ndarray) else []


def numbers_of(tree):
    """Return the same as arrays."""
    return [t.numpy() if isinstance(t, cr.Tensor) else t for t in tensors_of(tree)]

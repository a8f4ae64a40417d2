"""Compiled bits depend on the step and the machine alone: not on threads, repetition, holders of state, or a resume."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.compiler import program
from chainrule.compiler.llvm import step as llvm_step
from chainrule.compiler.llvm.pool import thread_pool
from chainrule.core.random import default_generator
from chainrule.testing import assert_equal

F = nn.functional


class Attention(nn.Module):
    """One head of attention with a residual way and a layer norm, over [batch, time, features]."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.qkv = nn.Linear(features, 3 * features)
        self.norm = nn.LayerNorm(features)
        self.out = nn.Linear(features, classes)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        q, k, v = cr.split(self.qkv(self.norm(x)), 3, axis=-1)
        weights = cr.softmax(q @ cr.matrix_transpose(k) * (q.shape[-1] ** -0.5), axis=-1)
        return self.out((x + self.drop(weights) @ v).mean(axis=1))


def mlp():
    model = nn.Sequential(
        nn.Linear(50, 67), nn.Tanh(), nn.Linear(67, 33), nn.ReLU(), nn.Dropout(0.2), nn.Linear(33, 10)
    )
    return model, optim.SGD(model.parameters(), lr=0.05, momentum=0.9), (37, 50)


def cnn():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Conv2d(8, 12, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 3 * 3, 10),
    )
    return model, optim.Adam(model.parameters(), lr=0.01), (9, 3, 16, 16)


def attention():
    model = Attention(24, 10)
    return model, optim.AdamW(model.parameters(), lr=0.01), (5, 17, 24)


NETWORKS = {"mlp": mlp, "cnn": cnn, "attention": attention}


class Run:
    """A network in training, from the same start each time."""

    def __init__(self, name: str):
        cr.manual_seed(7)
        self.model, self.optimizer, shape = NETWORKS[name]()
        rng = np.random.default_rng(5)
        self.x = cr.asarray(rng.normal(size=(4, *shape)).astype(np.float32))
        self.y = cr.asarray(rng.integers(0, 10, (4, shape[0])))

        @cr.jit
        def step(x, y):
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

        self.step = step

    def steps(self, start: int, stop: int) -> list[bytes]:
        """Train, and return the bits of the losses and of the state at the end."""
        losses = [self.step(self.x[n % 4], self.y[n % 4]).numpy().tobytes() for n in range(start, stop)]
        return losses + [value.numpy().tobytes() for value in self.model.state_dict().values()]


@pytest.fixture
def threads():
    """Return a function that sets the number of threads; afterwards it is as before."""
    before = cr.get_num_threads()
    yield cr.set_num_threads
    cr.set_num_threads(before)


@pytest.fixture
def everyone(monkeypatch):
    """Let every thread take part in every kernel, however small."""
    monkeypatch.setattr(program, "PER_MICROSECOND", -1.0)  # a negative cost waits for all workers
    monkeypatch.setattr(llvm_step, "SERIAL_COST", 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_number_of_threads_gives_the_same_bits(name, threads, everyone):
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(Run(name).steps(0, 8))
        assert thread_pool().last_team == count
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_threads_may_change_during_a_run(threads, everyone):
    threads(1)
    want = Run("cnn").steps(0, 6)
    run = Run("cnn")
    for n in range(5):
        threads(1 + n % 3)
        run.steps(n, n + 1)
    assert run.steps(5, 6)[1:] == want[6:]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_repeats_itself(name):
    assert Run(name).steps(0, 8) == Run(name).steps(0, 8)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_resumed_run_goes_on_as_if_nothing_had_happened(name):
    want = Run(name).steps(0, 9)
    first = Run(name)
    first.steps(0, 5)
    model, optimizer, generator = first.model.state_dict(), first.optimizer.state_dict(), default_generator.state_dict()
    second = Run(name)
    second.steps(0, 2)  # it was somewhere else, and its step is compiled
    second.model.load_state_dict(model)
    second.optimizer.load_state_dict(optimizer)
    default_generator.load_state_dict(generator)
    assert second.steps(5, 9) == want[5:]


def test_held_state_does_not_change_the_bits():
    want = Run("cnn").steps(0, 6)
    run, held = Run("cnn"), []
    losses = []
    for n in range(6):
        held.append([p.numpy() for p in run.model.parameters()])  # nothing may be updated in place
        losses.append(run.steps(n, n + 1))
    assert losses[-1][1:] == want[6:]
    assert len({bits[0].tobytes() for bits in held}) == 6


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 33, 130])
def test_sums_of_any_shape_have_the_same_bits_on_any_threads(rows, threads, everyone):
    rng = np.random.default_rng(rows)
    x = cr.asarray(rng.normal(size=(rows, 257)).astype(np.float32))

    def sums(x):
        centred = x - x.mean(axis=1, keepdims=True)
        return (x.sum(), (x * x).sum(axis=0), cr.exp(x).sum(axis=1), cr.softmax(centred, axis=0), x.T @ x, x @ x.T)

    found = []
    for count in (1, 2, 3):
        threads(count)
        f = cr.jit(sums)
        f(x)
        found.append(f(x))
    for other in found[1:]:
        for got, want in zip(other, found[0], strict=True):
            assert_equal(got, want)

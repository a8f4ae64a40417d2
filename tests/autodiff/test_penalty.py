"""Gradients of gradients through convolutions and recurrent cells: the penalty of an improved Wasserstein GAN.

    penalty(w) = mean over the batch of (|d critic(x) / d x| - 1)^2

Against central differences in every pair of modes, against PyTorch, compiled, per sample by vmap, and checkpointed.
Source: Gulrajani et al., Improved training of Wasserstein GANs, 2017.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.testing import assert_close, assert_equal

RNG = np.random.default_rng(0)
STEPS, FEATURES, HIDDEN, BATCH = 4, 3, 5, 2


def array(*shape):
    return RNG.standard_normal(shape) * 0.6


def recurrent(xp, x, w, u, b):
    """A tanh cell over [batch, time, features]; `xp` is chainrule or PyTorch."""
    h = xp.zeros((x.shape[0], HIDDEN), dtype=xp.float64)
    for t in range(STEPS):
        h = xp.tanh(x[:, t] @ w + h @ u + b)
    return h.sum(axis=1)


def long_short_term(xp, x, w, u, b):
    h = c = xp.zeros((x.shape[0], HIDDEN), dtype=xp.float64)
    for t in range(STEPS):
        gates = x[:, t] @ w + h @ u + b
        i, f, g, o = (gates[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
        c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
        h = xp.sigmoid(o) * xp.tanh(c)
    return h.sum(axis=1)


def convolutional(xp, x, w, u, b):
    conv = cr.conv2d if xp is cr else xp.nn.functional.conv2d
    h = xp.tanh(conv(x, w, b, stride=2, padding=1))
    return (conv(h, u, groups=2) ** 2).sum(axis=(1, 2, 3))


CRITICS = {
    "recurrent": (recurrent, (BATCH, STEPS, FEATURES), [(FEATURES, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN,)]),
    "LSTM": (
        long_short_term,
        (BATCH, STEPS, FEATURES),
        [(FEATURES, 4 * HIDDEN), (HIDDEN, 4 * HIDDEN), (4 * HIDDEN,)],
    ),
    "convolution": (convolutional, (BATCH, 2, 5, 6), [(4, 2, 3, 3), (2, 2, 2, 2), (4,)]),
}
CASES = {name: (critic, array(*x), [array(*w) for w in ws]) for name, (critic, x, ws) in CRITICS.items()}
every_critic = pytest.mark.parametrize("name", CASES)


def penalty(critic, x, call=lambda f, x: f(x)):
    """Return the penalty as a function of the parameters."""

    def of_parameters(*parameters):
        gradient = cr.grad(lambda x: call(lambda x: critic(cr, x, *parameters), x).sum())(x)
        norm = cr.sqrt((gradient**2).sum(axis=tuple(range(1, x.ndim))))
        return ((norm - 1) ** 2).mean()

    return of_parameters


def case(name):
    critic, x, parameters = CASES[name]
    return critic, cr.asarray(x), [cr.asarray(p) for p in parameters]


@every_critic
def test_against_central_differences_in_both_modes(name):
    critic, x, parameters = case(name)
    cr.check_gradients(penalty(critic, x), *parameters, order=2)


@every_critic
@pytest.mark.oracle
def test_against_pytorch(name):
    torch = pytest.importorskip("torch")
    critic, x, parameters = case(name)
    value, found = cr.value_and_grad(penalty(critic, x), argnums=(0, 1, 2))(*parameters)
    theirs = [torch.tensor(p.numpy(), requires_grad=True) for p in parameters]
    point = torch.tensor(x.numpy(), requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(torch, point, *theirs).sum(), point, create_graph=True)
    want = (((gradient**2).flatten(1).sum(1).sqrt() - 1) ** 2).mean()
    assert_close(value, want.item(), rtol=1e-11)
    for got, expected in zip(found, torch.autograd.grad(want, theirs), strict=True):
        assert_close(got, expected.numpy(), rtol=1e-9, atol=1e-11)


@every_critic
def test_compiled_and_checkpointed(name):
    critic, x, parameters = case(name)
    wanted = (0, 1, 2)
    plain = cr.grad(penalty(critic, x), wanted)(*parameters)
    compiled = cr.jit(cr.grad(penalty(critic, x), wanted))(*parameters)
    recomputed = cr.grad(penalty(critic, x, cr.checkpoint), wanted)(*parameters)
    for a, b, c in zip(plain, compiled, recomputed, strict=True):
        assert_close(b, a, rtol=1e-10, atol=1e-11)
        assert_equal(c, a)


@every_critic
def test_per_sample_by_vmap(name):
    """The penalty of a batch is the mean of those of its samples."""
    critic, x, parameters = case(name)

    def of_one(sample, *parameters):
        return penalty(critic, sample[None])(*parameters)

    each = cr.vmap(cr.grad(of_one, argnums=(1, 2, 3)), in_axes=(0, None, None, None))(x, *parameters)
    whole = cr.grad(penalty(critic, x), argnums=(0, 1, 2))(*parameters)
    for a, b in zip(each, whole, strict=True):
        assert_close(a.mean(axis=0), b, rtol=1e-10)

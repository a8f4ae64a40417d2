"""Networks with loops against PyTorch from the same weights: an LSTM trained through a scan, and a fixed point."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.testing import assert_close

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

BATCH, TIME, FEATURES, HIDDEN = 4, 6, 3, 5


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape)


class LSTM(nn.Module):
    """The equations of Hochreiter and Schmidhuber with forget gates, gates in PyTorch's order."""

    def __init__(self, theirs):
        super().__init__()
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            setattr(self, name, nn.Parameter(cr.asarray(getattr(theirs, name).detach().numpy())))

    def forward(self, xs):
        def cell(carry, x):
            h, c = carry
            gates = x @ self.weight_ih_l0.T + self.bias_ih_l0 + h @ self.weight_hh_l0.T + self.bias_hh_l0
            i, f, g, o = (gates[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
            c = nn.functional.sigmoid(f) * c + nn.functional.sigmoid(i) * cr.tanh(g)
            h = nn.functional.sigmoid(o) * cr.tanh(c)
            return (h, c), h

        zero = cr.zeros((xs.shape[1], HIDDEN), dtype=xs.dtype)
        return cr.scan(cell, (zero, zero), xs)


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
def test_an_lstm_learns_as_pytorchs_does(wrap):
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(FEATURES, HIDDEN).double()
    ours = LSTM(theirs)
    xs, target = draw(TIME, BATCH, FEATURES), draw(TIME, BATCH, HIDDEN, seed=1)
    their_optimizer = torch.optim.Adam(theirs.parameters(), lr=0.05)
    our_optimizer = optim.Adam(ours.parameters(), lr=0.05)

    @wrap
    def step(x, y):
        _, hs = ours(x)
        loss = nn.functional.mse_loss(hs, y)
        our_optimizer.zero_grad()
        loss.backward()
        our_optimizer.step()
        return loss

    for _ in range(5):
        want = torch.nn.functional.mse_loss(theirs(torch.from_numpy(xs))[0], torch.from_numpy(target))
        their_optimizer.zero_grad()
        want.backward()
        their_optimizer.step()
        assert_close(step(cr.asarray(xs), cr.asarray(target)), want.item(), 1e-10)
    for name, parameter in ours.named_parameters():
        assert_close(parameter, getattr(theirs, name).detach().numpy(), 1e-8, what=name)


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
def test_the_gradient_of_a_fixed_point(wrap):
    w, b = draw(3, 3), draw(3, seed=1)

    def fixed_point(w, b):
        def go(carry):
            return cr.sum((carry[0] - carry[1]) ** 2) > 1e-20

        return cr.while_loop(go, lambda c: (cr.tanh(w @ c[0] + b), c[0]), (b * 0, b * 0 + 1), max_steps=200)[0].sum()

    tw, tb = torch.from_numpy(w).requires_grad_(), torch.from_numpy(b).requires_grad_()
    z, before = tb * 0, tb * 0 + 1
    while ((z - before) ** 2).sum() > 1e-20:
        z, before = torch.tanh(tw @ z + tb), z
    z.sum().backward()
    value, (dw, db) = wrap(cr.value_and_grad(fixed_point, (0, 1)))(cr.asarray(w), cr.asarray(b))
    assert_close(value, z.sum().item(), 1e-12)
    assert_close(dw, tw.grad.numpy(), 1e-10)
    assert_close(db, tb.grad.numpy(), 1e-10)

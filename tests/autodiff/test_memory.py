"""Resident memory is flat over 10,000 steps that keep `losses.append(loss.item())`, eager and compiled."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
import chainrule as cr

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

jitted, steps = sys.argv[1] == "jit", int(sys.argv[2])
weights = [cr.full((20, 16), 0.1).requires_grad_(), cr.full((16, 3), 0.1).requires_grad_()]
rate = cr.asarray(0.01)
x, target = cr.ones((32, 20)), cr.zeros((32, 3))

def step(x, target):
    hidden = cr.tanh(x @ weights[0])
    loss = ((hidden @ weights[1] - target) ** 2).mean()
    for w in weights:
        w.grad = None
    loss.backward()
    with cr.no_grad():
        for w in weights:
            w.assign_(w - rate * w.grad)
    return loss

step = cr.jit(step) if jitted else step
losses = []
for number in range(steps):
    loss = step(x, target)
    losses.append(loss.item())
    if number == steps // 10:
        before = resident()
print(resident() - before, losses[-1] < losses[0])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
@pytest.mark.parametrize("how", ["eager", "jit"])
def test_memory_is_flat_over_10_000_steps(how):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, how, "10000"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    growth, learned = run.stdout.split()
    assert int(growth) < 5e6, f"{how}: resident memory grew by {int(growth) / 1e6:.1f} MB"
    assert learned == "True"

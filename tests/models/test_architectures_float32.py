"""In float32 every architecture is about as near to float64 as PyTorch: at most twice its distance, printed as a table.

    distance = |float32 - float64| / |float64|     of each output, and of the gradients of all parameters and the input

PyTorch's is the smaller one of its two modes, eager and channels_last. The medians over some batches are compared, for
on one batch its own two modes differ by up to 4. One relu or maximum that changes sides by chance makes gradients'
distance 300 times as large, so where that falls on about half of the batches (GoogLeNet as published: 3e-7 or 1e-4)
medians say nothing and the smallest distances are compared. Without batch norms train and eval mode are the same.
All rows: pytest -m "slow or not slow" -n 0 tests/models/test_architectures_float32.py
"""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import models

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

from tests.models.twin_pairs import ours_of, pair, stepper, theirs_of  # noqa: E402

BATCHES = 5  # 3 in eval mode, where nothing magnifies rounding
DEFAULT = {"cifar_m2", "lenet5_modern"}
FEW = {"resnet34": 2, "resnet50": 2, "resnet101": 2, "resnet152": 2}  # pictures of a batch; others 4
HEAD = f"{'':16s}{'mode':24s}{'float32':>8s}{'PyTorch':>9s}{'ratio':>7s}{'of the least':>14s}"


def distances(found, wanted):
    """Return the norm-relative distance of each output, and that of all gradients together."""
    pairs = [*([y] for y in zip(found[0], wanted[0], strict=True)), list(zip(found[1], wanted[1], strict=True))]
    errors = [np.linalg.norm([np.linalg.norm(a - b) for a, b in pair]) for pair in pairs]
    return [e / np.linalg.norm([np.linalg.norm(b) for _, b in pair]) for e, pair in zip(errors, pairs, strict=True)]


def batches(name, number):
    """Yield pictures and gradients of outputs: as many as networks have outputs at most."""
    row = models.CATALOGUE[name]
    channels, count = row.input_shape[0], FEW.get(name, 4)
    side = 28 if channels == 1 else 32
    for seed in range(number):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(count, channels, side, side)).astype(np.float32)
        yield x, [rng.normal(size=(count, 10)).astype(np.float32) for _ in range(3)]


def measured(name, compiled, training):
    """Return the distances [batch, (ours, PyTorch, PyTorch in channels_last), (outputs..., gradients)]."""
    exact, (ours, theirs), wide = pair(name)[1], pair(name, "float32"), pair(name, "float32")[1]
    last = {"memory_format": torch.channels_last}
    wide = wide.to(**last)
    for model in (exact, ours, theirs, wide):
        model.train(training)
    step, found = stepper(ours, compiled), []
    for x, gs in batches(name, BATCHES if training else 3):
        y = torch.from_numpy(x)
        wanted = theirs_of(exact, y.double(), [g.astype(np.float64) for g in gs])
        results = [ours_of(step, x, gs), theirs_of(theirs, y.clone(), gs), theirs_of(wide, y.clone().to(**last), gs)]
        found.append([distances(result, wanted) for result in results])
    return np.array(found)


def rows(default):
    return [pytest.param(name, marks=[] if name in default else [pytest.mark.slow]) for name in models.names()]


@pytest.mark.parametrize("compiled", [True, False], ids=["jit", "eager"])
@pytest.mark.parametrize("name", rows(DEFAULT))
def test_float32_is_as_near_to_float64_as_pytorchs(name, compiled, capsys):
    torch.set_num_threads(1)
    worst = 0.0
    norms = any("running_mean" in key for key in pair(name)[1].state_dict())
    for training in (True, False) if norms else (True,):
        found = measured(name, compiled, training)
        mine, *both = np.median(found, axis=0)
        theirs, least = np.minimum(*both), found.min(axis=0)
        ratios, of_least = mine / theirs, least[0] / least[1:].min(axis=0)
        labels = [*["outputs", "aux 2", "aux 1"][: len(mine) - 1], "gradients"]
        mode = ("train" if training else "eval") + ("" if compiled else ", eager")
        with capsys.disabled():
            print(f"\n{HEAD}" if training else "", end="\n" if training else "")
            for label, *row in zip(labels, mine, theirs, ratios, of_least, strict=True):
                a, b, ratio, other = row
                print(f"{name:16s}{mode:13s}{label:10s}{a:9.1e}{b:9.1e}{ratio:7.2f}{other:14.2f}", flush=True)
        worst = max(worst, np.minimum(ratios, of_least).max())
    assert worst <= 2

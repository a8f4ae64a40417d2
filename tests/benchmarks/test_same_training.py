"""benchmarks/same_training.py: in float64 and on the same batches both libraries end with the same weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import same_training  # noqa: E402 - after the check that PyTorch is there

pytestmark = [pytest.mark.oracle, pytest.mark.usefixtures("twelve_pictures")]

SHORT = ("train.epochs=2", "train.batch_size=5")


@pytest.mark.parametrize("name", [
    "cifar10-m1", "cifar10-m2", "cifar10-m3", "cifar10-resnet20",
    pytest.param("cifar10-resnet18", marks=pytest.mark.slow),
])  # fmt: skip
def test_only_rounding_is_left_between_the_two(name):
    pair = same_training.Pair(name, SHORT, seed=1)
    before = [value.numpy().copy() for value in pair.model.parameters()]
    losses = [each for _ in range(2) for each in pair.updates()]
    assert len(losses) == 6
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-9)
    assert pair.apart() < 1e-9
    assert all((a != b.numpy()).any() for a, b in zip(before, pair.model.parameters(), strict=True))
    ours, theirs, same, count = pair.answers()
    assert (ours, same, count) == (theirs, 12, 12)


def test_another_learning_rate_is_seen():
    pair = same_training.Pair("cifar10-m2", SHORT, seed=1)
    pair.theirs.table["lr"] = [1.01 * rate for rate in pair.theirs.table["lr"]]
    list(pair.updates())
    assert pair.apart() > 1e-6


def test_the_command_stops_after_so_many_steps_and_tells(capsys):
    assert same_training.main(["cifar10-m2", "--steps", "4", "--set", "train.batch_size=5"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch   1  step      3  loss ")
    assert second.startswith("epoch   2  step      4  loss ")
    assert "12 answers are the same" in second


def test_the_command_says_what_it_does_not_rebuild(capsys):
    assert same_training.main(["mnist-mlp"]) == 2
    assert "there is no PyTorch twin of model.name = 'mlp'" in capsys.readouterr().err

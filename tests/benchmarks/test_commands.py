"""Whole commands: their times, what they report, and one that fails."""

from __future__ import annotations

import io
import json
import os
import sys

import numpy as np
import pytest
from rich.console import Console

from benchmarks import commands
from benchmarks.commands import Command

TRAIN = "import json, sys; print(json.dumps({'train_seconds': 0.5, 'accuracy': 0.9 + int(sys.argv[1]) / 100}))"
BREAK = "import sys; sys.exit('RuntimeError: first\\nno digits')"


def command(title: str, program: str) -> Command:
    def line(seed, folder):
        return [sys.executable, "-c", program, str(seed)]

    return Command(title, line, lambda folder, output: json.loads(output))


def shown(found: list[Command]) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(commands.table(found))
    return console.file.getvalue()


def test_a_command_notes_what_each_run_took():
    found = command("ours", TRAIN)
    for seed in (0, 2):
        found.run(seed, dict(os.environ))
    assert (found.train_seconds, found.accuracy, found.failed) == ([0.5, 0.5], [0.9, 0.92], None)
    assert min(found.seconds) > 0


def test_a_failing_command_says_its_last_line():
    found = command("theirs", BREAK)
    found.run(0, dict(os.environ))
    assert (found.seconds, found.failed) == ([], "no digits")
    assert shown([Command("ours", None, None, [3.0, 1.0], [0.5] * 2, [0.9] * 2), found]).splitlines()[-1].split() == (
        ["theirs", "failed", "no", "digits"]
    )


def test_the_first_run_is_a_column_of_its_own():
    ours = Command("ours", None, None, [9.0, 2.0, 4.0], [1.0, 1.0, 2.0], [0.9, 0.92, 0.94])
    theirs = Command("theirs", None, None, [5.0, 6.0, 6.0], [4.0] * 3, [0.93] * 3)
    lines = [" ".join(line.split()) for line in shown([ours, theirs]).splitlines()]
    assert lines[-2:] == ["ours 3.00 1.00 9.00 1.50 92.00 %", "theirs 6.00 2.00 5.00 4.00 93.00 %"]


def test_runs_alternate_with_caches_of_their_own(monkeypatch):
    made = [command("ours", TRAIN), command("theirs", BREAK)]
    monkeypatch.setattr(commands, "contestants", lambda digits, threads: made)
    monkeypatch.setattr(commands, "_write_digits", lambda path: None)
    said = []
    assert commands.run(2, 9, said.append) is made
    assert len(made[0].seconds) == commands.MOST_ROUNDS + 1
    assert said[:3] == ["mnist_command: ours, run 1 of 5", "mnist_command: theirs, run 1 of 5",
                        "mnist_command: ours, run 2 of 5"]  # fmt: skip
    assert commands.as_json(made)["commands"][1]["failed"] == "no digits"


@pytest.mark.oracle
def test_the_script_learns_the_digits(tmp_path):
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 640)
    stripes = 200 * (np.arange(28) == labels[:, None])[:, None, :]
    images = (rng.integers(0, 40, (640, 28, 28)) + stripes).astype(np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=labels, test_images=images, test_labels=labels)
    (script,) = (c for c in commands.contestants(tmp_path / "d.npz", 1) if c.title == "PyTorch script, 1 thread")
    script.run(0, dict(os.environ))
    assert script.failed is None
    assert script.accuracy[0] > 0.5

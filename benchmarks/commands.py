"""`mnist_command`: `chainrule train mnist-mlp` as a whole command beside a PyTorch script for the same 12 epochs.

The commands take turns, each in a process of its own, and the time is that of the process: imports, data, training, the
measures and files that the command leaves. chainrule starts with an empty cache folder, so its first run compiles; it
unpacks its own digits and measures the test set after each epoch, where the script (`mnist_pytorch.py`) reads an
uncompressed file and measures once.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks import peers
from benchmarks.accuracy import MAIN
from benchmarks.measure import median

__all__ = ["NAME", "Command", "as_json", "run", "table"]

NAME = "mnist_command"
MOST_ROUNDS = 4
SCRIPT = pathlib.Path(__file__).with_name("mnist_pytorch.py")


@dataclass
class Command:
    """One command and what its runs took.

    Attributes:
        title: what it is.
        command: seed and empty folder -> the command line.
        result: that folder and the standard output -> {"train_seconds", "accuracy"}.
        seconds, train_seconds, accuracy: of each run, the first one too.
        failed: the last line that a failing run wrote, or None.
    """

    title: str
    command: Callable[[int, pathlib.Path], list[str]]
    result: Callable[[pathlib.Path, str], dict[str, float]]
    seconds: list[float] = field(default_factory=list)
    train_seconds: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    failed: str | None = None

    def run(self, seed: int, environment: dict[str, str]) -> None:
        """Run it once and note what it took."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name, "run")
            start = time.perf_counter()
            done = subprocess.run(self.command(seed, folder), env=environment, check=False, text=True,
                                  capture_output=True)  # fmt: skip
            seconds = time.perf_counter() - start
            if done.returncode:
                self.failed = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                return
            found = self.result(folder, done.stdout)
        self.seconds.append(seconds)
        self.train_seconds.append(found["train_seconds"])
        self.accuracy.append(found["accuracy"])


def _ours(folder: pathlib.Path, output: str) -> dict[str, float]:
    """Return what the recipe noted in its folder; the accuracy is that on the test digits."""
    result = json.loads((folder / "run.json").read_text())["result"]
    return {"train_seconds": result["train_seconds"], "accuracy": result["accuracy"]}


def contestants(digits: pathlib.Path, threads: int) -> list[Command]:
    """Return the commands: ours, and PyTorch's on all threads and on one, where it is installed."""

    def train(seed: int, folder: pathlib.Path) -> list[str]:
        return [sys.executable, "-c", MAIN, "train", "mnist-mlp", "--seed", str(seed), "--out", str(folder), "--quiet"]

    found = [Command("chainrule train mnist-mlp", train, _ours)]
    for count in dict.fromkeys((threads, 1)) if peers.installed("torch") else ():
        def script(seed: int, folder: pathlib.Path, count: int = count) -> list[str]:
            return [sys.executable, str(SCRIPT), str(digits), str(count), str(seed)]

        words = "1 thread" if count == 1 else f"{count} threads"
        found.append(Command(f"PyTorch script, {words}", script, lambda folder, output: json.loads(output)))
    return found


def _write_digits(path: pathlib.Path) -> None:
    from chainrule import data

    training, test = data.mnist("train"), data.mnist("test")
    np.savez(path, images=training.images, labels=training.labels, test_images=test.images, test_labels=test.labels)


def run(threads: int, rounds: int, say: Callable[[str], None] = lambda text: None) -> list[Command]:
    """Run each command once with an empty cache and then in turns.

    Args:
        threads: of PyTorch; chainrule takes its default.
        rounds: runs of each after the first; 4 at most.
        say: called with a line per run.
    """
    rounds = min(rounds, MOST_ROUNDS)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        digits, cache = pathlib.Path(name, "digits.npz"), pathlib.Path(name, "cache")
        cache.mkdir(mode=0o700)
        _write_digits(digits)
        variables = {**os.environ, "XDG_CACHE_HOME": str(cache), "CHAINRULE_CACHE": str(cache / "chainrule")}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python keeps compiled files
        commands = contestants(digits, threads)
        for number in range(rounds + 1):
            for command in commands:
                if command.failed is None:
                    say(f"{NAME}: {command.title}, run {number + 1} of {rounds + 1}")
                    command.run(number, variables)
    return commands


def table(commands: Sequence[Command]) -> Table:
    """Return the table: seconds of the whole command, of the training alone, accuracy."""
    found = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold", title_justify="left",
                  title=f"{NAME}: 12 epochs of 784-64-32-10, the whole command", title_style="bold")  # fmt: skip
    found.add_column("command", no_wrap=True)
    for title in ("whole, s", "ratio", "first run, s", "training, s", "accuracy"):
        found.add_column(title, justify="right", no_wrap=True)
    ours = typical(commands[0].seconds)
    for command in commands:
        if command.failed is not None:
            found.add_row(command.title, "failed", command.failed)
            continue
        whole = typical(command.seconds)
        found.add_row(
            command.title, f"{whole:.2f}", f"{whole / ours:.2f}" if ours else "-", f"{command.seconds[0]:.2f}",
            f"{typical(command.train_seconds):.2f}", f"{100 * median(command.accuracy):.2f} %",
        )  # fmt: skip
    return found


def typical(seconds: list[float]) -> float | None:
    """Return the median of the runs after the first, whose caches were empty."""
    return median(seconds[1:] or seconds)


def as_json(commands: Sequence[Command]) -> dict[str, Any]:
    """Return the runs for JSON."""
    keys = ("title", "seconds", "train_seconds", "accuracy", "failed")
    return {"name": NAME, "commands": [{key: getattr(command, key) for key in keys} for command in commands]}

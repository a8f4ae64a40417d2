"""Accuracy of the main job beside PyTorch: the same network, data and settings, over several seeds.

Usage: python benchmarks/accuracy.py [SEEDS]      (needs the extra `bench`; default 5 seeds)

784-64-32-10, ReLU, cross-entropy, SGD, batch 64, learning rate 0.01, 12 epochs over the 60,000 MNIST pictures, pixels
standardised with the training set's mean and deviation; the last of the 938 batches of an epoch has 32 pictures. The
chainrule side is the command itself, `chainrule train mnist-mlp --seed N`, in a process of its own; each library starts
from its own default initialisation and shuffles with its own generator. One thread each. Exit code 1 where the mean
accuracies differ by more than 0.3 points.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

LIMIT = 0.3  # points of accuracy
EPOCHS, BATCH, RATE = 12, 64, 0.01
MAIN = "import sys; from chainrule.cli import main; sys.exit(main())"
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Outcome(NamedTuple):
    """One trained network: percent of the test digits right, seconds of the 12 epochs, seconds of the whole command."""

    percent: float
    seconds: float
    command: float | None = None


def chainrule_run(seed: int) -> Outcome:
    """Train the recipe in a process of its own, and evaluate what it saved."""
    environment = {**os.environ, **ONE_THREAD}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python keeps compiled files
    with tempfile.TemporaryDirectory() as folder:
        run = str(pathlib.Path(folder) / "run")
        command = [sys.executable, "-c", MAIN]
        start = time.perf_counter()
        subprocess.run(
            [*command, "train", "mnist-mlp", "--seed", str(seed), "--out", run, "--quiet"],
            env=environment, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        whole = time.perf_counter() - start
        info = json.loads((pathlib.Path(run) / "run.json").read_text())
        found = subprocess.run(
            [*command, "evaluate", run, "--json"], env=environment, check=True, capture_output=True, text=True
        )
    measured = json.loads(found.stdout)
    assert (measured["split"], measured["samples"]) == ("test", 10_000)
    return Outcome(100 * measured["accuracy"], info["result"]["train_seconds"], whole)


def torch_data() -> tuple:
    """Return (pictures, labels, test pictures, test labels), standardised, as PyTorch tensors in memory."""
    import torch

    from chainrule import data

    training, test = data.mnist("train"), data.mnist("test")
    mean, std = training.images.mean(), training.images.std()

    def tensors(digits: data.ArrayDataset) -> tuple:
        images = ((digits.images.reshape(-1, 784) - mean) / std).astype(np.float32)
        return torch.from_numpy(images), torch.from_numpy(digits.labels)

    return *tensors(training), *tensors(test)


def torch_run(seed: int, x: object, y: object, test_x: object, test_y: object) -> Outcome:
    """Train in PyTorch, with the data in memory and nothing measured on the way."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for begin in range(0, len(x), BATCH):
            chosen = order[begin : begin + BATCH]
            loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        right = (model(test_x).argmax(1) == test_y).float().mean()
    return Outcome(100 * float(right), seconds)


def main() -> int:
    """Print a line per seed, then the table; return the exit code."""
    import torch

    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    torch.set_num_threads(1)
    tensors = torch_data()
    found: dict[str, list[Outcome]] = {"chainrule": [], "PyTorch": []}
    for seed in seeds:
        found["chainrule"].append(chainrule_run(seed))
        found["PyTorch"].append(torch_run(seed, *tensors))
        line = ", ".join(f"{name} {runs[-1].percent:.2f} %" for name, runs in found.items())
        print(f"seed {seed}: {line}", flush=True)
    print(f"\nPython {platform.python_version()}, NumPy {np.__version__}, PyTorch {torch.__version__}, one thread\n")
    print("| 784-64-32-10 | accuracy on the 10,000 test digits | time for the 12 epochs | the whole command |")
    print("| --- | --- | --- | --- |")
    means = {}
    for name, runs in found.items():
        right = [run.percent for run in runs]
        means[name] = statistics.mean(right)
        spread = f"{means[name]:.2f} % ({min(right):.2f} to {max(right):.2f}, {len(runs)} seeds)"
        seconds = f"{statistics.median(run.seconds for run in runs):.1f} s"
        whole = f"{statistics.median(run.command for run in runs):.1f} s" if runs[0].command else ""
        print(f"| {name} | {spread} | {seconds} | {whole} |")
    difference = abs(means["chainrule"] - means["PyTorch"])
    print(f"\nthe means differ by {difference:.2f} points; {LIMIT} are allowed")
    print("chainrule's epochs include metrics, checkpoints and the test set after each; PyTorch's are the steps alone")
    return int(difference > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())

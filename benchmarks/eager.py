"""What looking costs: one operation on a small tensor, and one training step, beside NumPy and PyTorch.

Usage: python benchmarks/eager.py [ROUNDS]      (needs the extra `bench`; default 30 rounds; one thread each)

The first table has microseconds per operation on 16 float32 numbers: NumPy, chainrule and PyTorch without recording,
then both recording for a gradient. The second has milliseconds per step of the main job's network (784-64-32-10, batch
64, SGD: forward, backward and update): chainrule eagerly, through `cr.jit`, and PyTorch. All candidates of a table take
turns within a round, so a neighbour on the machine burdens them alike; the tables show medians over the rounds.
"""

# ruff: noqa: E402 - the environment is set before NumPy is imported
from __future__ import annotations

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import itertools
import platform
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import chainrule as cr
from chainrule import nn, optim

Candidates = dict[str, Callable[[], object]]
CALLS = 2000  # of an operation per round
STEPS = 20  # per round


def medians(candidates: Candidates, calls: int, rounds: int) -> dict[str, float]:
    """Return the median seconds per call of each candidate, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, call in candidates.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            if number:  # the first round warms up
                seconds[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(values) for name, values in seconds.items()}


def operations() -> dict[str, Candidates]:
    """Return operation -> candidates on 16 numbers."""
    a, b = np.linspace(0.1, 1, 16, dtype=np.float32), np.linspace(1, 2, 16, dtype=np.float32)
    ours, other = cr.asarray(a), cr.asarray(b)
    wanted = cr.asarray(a).requires_grad_()
    theirs, their_other = torch.from_numpy(a.copy()), torch.from_numpy(b.copy())
    their_wanted = torch.from_numpy(a.copy()).requires_grad_()
    return {
        "x + y": {
            "NumPy": lambda: a + b,
            "chainrule": lambda: ours + other,
            "PyTorch": lambda: theirs + their_other,
            "chainrule, recorded": lambda: wanted + other,
            "PyTorch, recorded": lambda: their_wanted + their_other,
        },
        "x * y": {
            "NumPy": lambda: a * b,
            "chainrule": lambda: ours * other,
            "PyTorch": lambda: theirs * their_other,
            "chainrule, recorded": lambda: wanted * other,
            "PyTorch, recorded": lambda: their_wanted * their_other,
        },
        "exp(x)": {
            "NumPy": lambda: np.exp(a),
            "chainrule": lambda: cr.exp(ours),
            "PyTorch": lambda: torch.exp(theirs),
            "chainrule, recorded": lambda: cr.exp(wanted),
            "PyTorch, recorded": lambda: torch.exp(their_wanted),
        },
    }


def steps() -> Candidates:
    """Return the training steps on one fixed batch; each candidate has its own network."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 784), dtype=np.float32), rng.integers(0, 10, 64)
    sizes = (784, 64, 32, 10)

    def ours() -> Callable[[], object]:
        model = nn.Sequential(*layers(nn, sizes))
        optimizer = optim.SGD(model.parameters(), lr=0.01)

        def step(x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step

    def theirs() -> Callable[[], object]:
        model = torch.nn.Sequential(*layers(torch.nn, sizes))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        pictures, labels = torch.from_numpy(x), torch.from_numpy(y)

        def step() -> float:
            loss = torch.nn.functional.cross_entropy(model(pictures), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    eager, compiled = ours(), cr.jit(ours())
    pictures, labels = cr.asarray(x), cr.asarray(y)
    return {
        "chainrule, eager": lambda: eager(pictures, labels).item(),
        "chainrule, cr.jit": lambda: compiled(pictures, labels).item(),
        "PyTorch, eager": theirs(),
    }


def layers(library: object, sizes: tuple[int, ...]) -> list:
    """Return Linear layers of these sizes with ReLU between them."""
    found = []
    for inputs, outputs in itertools.pairwise(sizes):
        found += [library.Linear(inputs, outputs), library.ReLU()]
    return found[:-1]


def main() -> int:
    """Print the tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cr.manual_seed(0)
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, PyTorch {torch.__version__}, one thread\n")
    table = {name: medians(candidates, CALLS, rounds) for name, candidates in operations().items()}
    names = list(next(iter(table.values())))
    print("| µs per operation, 16 float32 | " + " | ".join(names) + " |")
    print("| --- |" + " --- |" * len(names))
    for operation, row in table.items():
        print(f"| `{operation}` | " + " | ".join(f"{1e6 * row[name]:.2f}" for name in names) + " |")
    print("\n| ms per step, 784-64-32-10, batch 64 | median |\n| --- | --- |")
    for name, seconds in medians(steps(), STEPS, rounds).items():
        print(f"| {name} | {1e3 * seconds:.3f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What per-sample gradients cost: vmap(grad(f)) over 128 samples beside the batched gradient, in PyTorch too.

Usage: python benchmarks/vmap.py [ROUNDS]      (needs the extra `bench`; default 30 rounds; one thread each)

The network is that of the main job, 784-64-32-10. The table has milliseconds per gradient, and how often the batched
gradient of the same library fits into it: of the loss over 128 samples with respect to all parameters, and of each
sample's own loss. PyTorch is `torch.func`. All candidates take turns within a round, so a neighbour on the machine
burdens them alike; the table shows medians over the rounds.
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
from chainrule import nn

SIZES = (784, 64, 32, 10)
SAMPLES = 128
CALLS = 5  # per round


def medians(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds per call of each candidate, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, call in candidates.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            if number:  # the first round warms up
                seconds[name].append((time.perf_counter() - start) / CALLS)
    return {name: statistics.median(values) for name, values in seconds.items()}


def layers(library: object) -> list:
    """Return the layers of the network."""
    found = []
    for inputs, outputs in itertools.pairwise(SIZES):
        found += [library.Linear(inputs, outputs), library.ReLU()]
    return found[:-1]


def ours(x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the batched gradient and the per-sample gradients in chainrule."""
    model = nn.Sequential(*layers(nn))
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    pictures, labels = cr.asarray(x), cr.asarray(y)

    def loss(parameters: dict, x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
        return nn.functional.cross_entropy(nn.functional_call(model, parameters, x), y)

    def of_one(parameters: dict, x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
        return loss(parameters, x[None], y[None])

    batched, each = cr.grad(loss), cr.vmap(cr.grad(of_one), in_axes=(None, 0, 0))
    return lambda: batched(parameters, pictures, labels), lambda: each(parameters, pictures, labels)


def theirs(x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the batched gradient and the per-sample gradients in PyTorch."""
    model = torch.nn.Sequential(*layers(torch.nn))
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    pictures, labels = torch.from_numpy(x), torch.from_numpy(y)

    def loss(parameters: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(torch.func.functional_call(model, parameters, (x,)), y)

    def of_one(parameters: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return loss(parameters, x[None], y[None])

    batched, each = torch.func.grad(loss), torch.func.vmap(torch.func.grad(of_one), in_dims=(None, 0, 0))
    return lambda: batched(parameters, pictures, labels), lambda: each(parameters, pictures, labels)


def main() -> int:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    torch.set_num_threads(1)
    cr.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((SAMPLES, SIZES[0]), dtype=np.float32), rng.integers(0, 10, SAMPLES)
    libraries = {"chainrule": ours(x, y), "PyTorch": theirs(x, y)}
    found = medians({f"{name}{part}": calls[part] for name, calls in libraries.items() for part in (0, 1)}, rounds)
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, PyTorch {torch.__version__}, one thread\n")
    print(f"| ms per gradient, {'-'.join(map(str, SIZES))}, {SAMPLES} samples | batched | per sample | times |")
    print("| --- | --- | --- | --- |")
    for name in libraries:
        batch, each = found[f"{name}0"], found[f"{name}1"]
        print(f"| {name} | {1e3 * batch:.2f} | {1e3 * each:.2f} | {each / batch:.2f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

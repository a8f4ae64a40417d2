"""`mlp`: 784-64-32-10 on MNIST, SGD, batch 64, the network of the main job; `mlp_loop`: an epoch of it per call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.workload import Goal, Workload, dense

LAYERS = (dense("0", 784, 64), dense("2", 64, 32), dense("4", 32, 10))


def network(nn: Any, dropout: bool) -> Any:
    """Return the network in chainrule or PyTorch."""
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def jax(net: Any, x: Any) -> Any:
    """Return the scores in JAX."""
    x = net.relu(net.linear("0", x))
    x = net.relu(net.linear("2", x))
    return net.linear("4", x)


def tinygrad(nn: Any, tensor: Any, dropout: bool) -> Any:
    """Return the network in tinygrad."""
    return [nn.Linear(784, 64), tensor.relu, nn.Linear(64, 32), tensor.relu, nn.Linear(32, 10)]


MLP = Workload(
    "mlp", LAYERS, 52_650, network, jax, tinygrad, data="mnist", batch=64, settings={"lr": 0.01},
    goal=Goal(4, 6.5, least_jax=2),
)  # fmt: skip
WORKLOADS = (MLP, replace(MLP, name="mlp_loop", calls=938, goal=None))

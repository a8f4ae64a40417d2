"""`mlp_wide`: 784-1024-1024-10 on MNIST, Adam, batch 128: updating 1.9 million weights costs like the products."""

from __future__ import annotations

from typing import Any

from benchmarks.workload import Goal, Workload, dense

LAYERS = (dense("0", 784, 1024), dense("2", 1024, 1024), dense("4", 1024, 10))


def network(nn: Any, dropout: bool) -> Any:
    """Return the network in chainrule or PyTorch."""
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def jax(net: Any, x: Any) -> Any:
    """Return the scores in JAX."""
    x = net.relu(net.linear("0", x))
    x = net.relu(net.linear("2", x))
    return net.linear("4", x)


def tinygrad(nn: Any, tensor: Any, dropout: bool) -> Any:
    """Return the network in tinygrad."""
    return [nn.Linear(784, 1024), tensor.relu, nn.Linear(1024, 1024), tensor.relu, nn.Linear(1024, 10)]


WORKLOADS = (
    Workload(
        "mlp_wide", LAYERS, 1_863_690, network, jax, tinygrad, data="mnist", batch=128, optimizer="Adam",
        settings={"lr": 0.001}, goal=Goal(1.15, 1.4),
    ),
)  # fmt: skip

"""`autoencoder`: 784-256-64-256-784 on MNIST, squared error, Adam, batch 128."""

from __future__ import annotations

from typing import Any

from benchmarks.workload import Goal, Workload, dense

LAYERS = (dense("0", 784, 256), dense("2", 256, 64), dense("4", 64, 256), dense("6", 256, 784))


def network(nn: Any, dropout: bool) -> Any:
    """Return the network in chainrule or PyTorch."""
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 784),
    )  # fmt: skip


def jax(net: Any, x: Any) -> Any:
    """Return the rebuilt pictures in JAX."""
    for name in ("0", "2", "4"):
        x = net.relu(net.linear(name, x))
    return net.linear("6", x)


def tinygrad(nn: Any, tensor: Any, dropout: bool) -> Any:
    """Return the network in tinygrad."""
    return [
        nn.Linear(784, 256), tensor.relu, nn.Linear(256, 64), tensor.relu,
        nn.Linear(64, 256), tensor.relu, nn.Linear(256, 784),
    ]  # fmt: skip


WORKLOADS = (
    Workload(
        "autoencoder", LAYERS, 435_536, network, jax, tinygrad, data="mnist", batch=128, optimizer="Adam",
        settings={"lr": 0.001}, loss="mse", goal=Goal(1.3, 1.8),
    ),
)  # fmt: skip

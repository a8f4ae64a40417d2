"""`cifar_m1`: 3072-1024-256-64-10 on CIFAR-10, SGD with momentum, batch 64."""

from __future__ import annotations

from typing import Any

from benchmarks.workload import Goal, Workload, dense

LAYERS = (dense("0", 3072, 1024), dense("2", 1024, 256), dense("4", 256, 64), dense("6", 64, 10))


def network(nn: Any, dropout: bool) -> Any:
    """Return the network in chainrule or PyTorch."""
    return nn.Sequential(
        nn.Linear(3072, 1024), nn.ReLU(), nn.Linear(1024, 256), nn.ReLU(),
        nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def jax(net: Any, x: Any) -> Any:
    """Return the scores in JAX."""
    for name in ("0", "2", "4"):
        x = net.relu(net.linear(name, x))
    return net.linear("6", x)


def tinygrad(nn: Any, tensor: Any, dropout: bool) -> Any:
    """Return the network in tinygrad."""
    return [
        nn.Linear(3072, 1024), tensor.relu, nn.Linear(1024, 256), tensor.relu,
        nn.Linear(256, 64), tensor.relu, nn.Linear(64, 10),
    ]  # fmt: skip


WORKLOADS = (
    Workload(
        "cifar_m1", LAYERS, 3_426_250, network, jax, tinygrad, data="cifar10", flat=True, batch=64,
        settings={"lr": 0.01, "momentum": 0.9}, goal=Goal(1.15, 1.4),
    ),
)  # fmt: skip

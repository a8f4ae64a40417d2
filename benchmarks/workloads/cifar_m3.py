"""`cifar_m3`: six 3x3 convolutions with batch norm and dropout on CIFAR-10, 5.9 M parameters; `_bf16` of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.workload import Goal, Workload, conv, dense, norm

LAYERS = (
    conv("0", 3, 32, 3, 32), norm("1", 32), conv("3", 32, 64, 3, 32),
    conv("6", 64, 128, 3, 16), norm("7", 128), conv("9", 128, 128, 3, 16),
    conv("12", 128, 256, 3, 8), norm("13", 256), conv("15", 256, 256, 3, 8),
    dense("20", 4096, 1024), dense("22", 1024, 512), dense("25", 512, 10),
)  # fmt: skip
DROPOUT = 0.05


def network(nn: Any, dropout: bool) -> Any:
    """Return the network in chainrule or PyTorch."""
    p = DROPOUT if dropout else 0.0
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(),
        nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 256, 3, padding=1), nn.BatchNorm2d(256), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(p), nn.Linear(4096, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU(),
        nn.Dropout(p), nn.Linear(512, 10),
    )  # fmt: skip


def jax(net: Any, x: Any) -> Any:
    """Return the scores in JAX."""
    for first, second in ((0, 3), (6, 9), (12, 15)):
        x = net.relu(net.norm(str(first + 1), net.conv(str(first), x, padding=1)))
        x = net.max_pool(net.relu(net.conv(str(second), x, padding=1)))
    x = net.dropout(DROPOUT, net.flatten(x))
    x = net.relu(net.linear("20", x))
    x = net.relu(net.linear("22", x))
    return net.linear("25", net.dropout(DROPOUT, x))


def tinygrad(nn: Any, tensor: Any, dropout: bool) -> Any:
    """Return the network in tinygrad."""
    def drop(x: Any) -> Any:
        return x.dropout(DROPOUT if dropout else 0.0)

    return [
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm(32), tensor.relu,
        nn.Conv2d(32, 64, 3, padding=1), tensor.relu, tensor.max_pool2d,
        nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm(128), tensor.relu,
        nn.Conv2d(128, 128, 3, padding=1), tensor.relu, tensor.max_pool2d,
        nn.Conv2d(128, 256, 3, padding=1), nn.BatchNorm(256), tensor.relu,
        nn.Conv2d(256, 256, 3, padding=1), tensor.relu, tensor.max_pool2d,
        lambda x: x.flatten(1), drop, nn.Linear(4096, 1024), tensor.relu, nn.Linear(1024, 512), tensor.relu,
        drop, nn.Linear(512, 10),
    ]  # fmt: skip


FLOAT32 = Workload(
    "cifar_m3", LAYERS, 5_852_170, network, jax, tinygrad, data="cifar10", batch=64, convolutional=True,
    settings={"lr": 0.01, "momentum": 0.9}, goal=Goal(1.05, 1.2),
)  # fmt: skip
WORKLOADS = (FLOAT32, replace(FLOAT32, name="cifar_m3_bf16", precision="bf16", goal=Goal(1.0, 2.0)))

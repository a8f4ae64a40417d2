"""`cifar_m2`: two 5x5 convolutions with pooling and three linear layers on CIFAR-10; `cifar_m2_infer`: one picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.workload import Goal, Workload, conv, dense

LAYERS = (
    conv("0", 3, 6, 5, 28), conv("3", 6, 16, 5, 10), dense("7", 400, 120), dense("9", 120, 84), dense("11", 84, 10),
)  # fmt: skip


def network(nn: Any, dropout: bool) -> Any:
    """Return the network in chainrule or PyTorch."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def jax(net: Any, x: Any) -> Any:
    """Return the scores in JAX."""
    x = net.max_pool(net.relu(net.conv("0", x)))
    x = net.max_pool(net.relu(net.conv("3", x)))
    x = net.flatten(x)
    x = net.relu(net.linear("7", x))
    x = net.relu(net.linear("9", x))
    return net.linear("11", x)


def tinygrad(nn: Any, tensor: Any, dropout: bool) -> Any:
    """Return the network in tinygrad."""
    return [
        nn.Conv2d(3, 6, 5), tensor.relu, tensor.max_pool2d,
        nn.Conv2d(6, 16, 5), tensor.relu, tensor.max_pool2d,
        lambda x: x.flatten(1), nn.Linear(400, 120), tensor.relu, nn.Linear(120, 84), tensor.relu, nn.Linear(84, 10),
    ]  # fmt: skip


TRAINING = Workload(
    "cifar_m2", LAYERS, 62_006, network, jax, tinygrad, data="cifar10", batch=64, convolutional=True,
    settings={"lr": 0.01, "momentum": 0.9}, goal=Goal(2.0, 3.5),
)  # fmt: skip
INFERENCE = replace(TRAINING, name="cifar_m2_infer", batch=1, optimizer=None, goal=Goal(3, 8, least_jax=1))
WORKLOADS = (TRAINING, INFERENCE)

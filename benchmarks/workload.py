"""What a workload states: layers with their arrays and multiplications, data, optimizer, and the networks of the peers.

The layers give the names and shapes of the initial weights, which every library starts from, the number of parameters
and the arithmetic of a step. Their names are those of `state_dict()` in chainrule, PyTorch and tinygrad.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["AUXILIARY", "Goal", "Layer", "Workload", "conv", "dense", "draw", "draw_like", "norm"]

AUXILIARY = 0.3  # weight of GoogLeNet's auxiliary losses


@dataclass(frozen=True)
class Layer:
    """The arrays of one layer by name, and its multiply-adds per sample."""

    name: str
    shapes: dict[str, tuple[int, ...]]
    macs: int = 0


def dense(name: str, inputs: int, outputs: int) -> Layer:
    """Return a linear layer: weight [outputs, inputs], bias [outputs]."""
    return Layer(name, {"weight": (outputs, inputs), "bias": (outputs,)}, inputs * outputs)


def conv(name: str, inputs: int, outputs: int, kernel: int, size: int, bias: bool = True) -> Layer:
    """Return a convolution with a square kernel whose output is size x size pixels."""
    shapes: dict[str, tuple[int, ...]] = {"weight": (outputs, inputs, kernel, kernel)}
    if bias:
        shapes["bias"] = (outputs,)
    return Layer(name, shapes, inputs * outputs * kernel * kernel * size * size)


STATISTICS = ("running_mean", "running_var")


def norm(name: str, features: int) -> Layer:
    """Return a batch norm: weight, bias, running mean and variance [features]."""
    return Layer(name, dict.fromkeys(("weight", "bias", *STATISTICS), (features,)))


@dataclass(frozen=True)
class Goal:
    """The ratio peer / chainrule that a workload has to reach, and the one it aims for."""

    least: float
    aim: float
    least_jax: float | None = None


@dataclass(frozen=True)
class Workload:
    """One row of the report.

    Args:
        name: what `--only` takes.
        layers: the layers with arrays, in the order of the network.
        parameters: their number, checked in every library.
        network: (nn, dropout) -> module, for chainrule's and PyTorch's `nn`.
        jax: (net, x) -> output, with the layers of `benchmarks.peers.jax.Net`; None: JAX has no part in it.
        tinygrad: (nn, Tensor, dropout) -> callable or list of callables, or None.
        data: "mnist" [batch, 784] or "cifar10" [batch, 3, 32, 32].
        side: of the pictures, a multiple of the data set's; 0: as above. With it digits are [batch, 1, side, side].
        batch: samples per step.
        optimizer: "SGD", "Adam", or None: inference.
        settings: arguments of the optimizer.
        loss: "cross_entropy", "mse" (the input is the target), or "auxiliary": cross-entropy of three outputs, the
            last two of them at 0.3.
        convolutional: pictures go in; layouts matter.
        flat: pictures enter as rows [batch, 3072].
        precision: "float32" or "bf16" (mixed, against PyTorch's autocast).
        calls: training steps per Python call.
        group: a name for `--only` that takes several workloads. These are heavy: few steps, and the losses of the first
            ones must agree before anything is timed.
        goal: the ratios to reach.
    """

    name: str
    layers: tuple[Layer, ...]
    parameters: int
    network: Callable[..., Any]
    jax: Callable[..., Any] | None
    tinygrad: Callable[..., Any] | None
    data: str
    batch: int
    side: int = 0
    optimizer: str | None = "SGD"
    settings: dict[str, float] = field(default_factory=dict)
    loss: str = "cross_entropy"
    convolutional: bool = False
    flat: bool = False
    precision: str = "float32"
    calls: int = 1
    group: str = ""
    goal: Goal | None = None

    @property
    def trains(self) -> bool:
        """Whether a step updates weights."""
        return self.optimizer is not None

    @property
    def flops(self) -> int:
        """Arithmetic of the contractions of one step; the input gradient of the first layer is never needed."""
        macs = [layer.macs for layer in self.layers if layer.macs]
        return 2 * self.batch * (3 * sum(macs) - macs[0] if self.trains else sum(macs))

    @property
    def counted(self) -> int:
        """Number of parameters that the layers state."""
        return sum(math.prod(shape) for layer in self.layers for key, shape in layer.shapes.items()
                   if key not in STATISTICS)  # fmt: skip


def draw(workload: Workload, seed: int = 0) -> dict[str, np.ndarray]:
    """Return initial weights by name: uniform within 1 / sqrt(inputs), PyTorch's default; batch norm starts as 1, 0.

    Only the seed and the layers decide, so each process draws the same ones.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for layer in workload.layers:
        if not layer.shapes:  # of an architecture: see draw_like
            continue
        weight = layer.shapes["weight"]
        bound = 1 / math.sqrt(math.prod(weight[1:]))
        for key, shape in layer.shapes.items():
            if len(weight) == 1:  # batch norm
                value = np.full(shape, key in ("weight", "running_var"), np.float32)
            else:
                value = rng.uniform(-bound, bound, shape).astype(np.float32)
            found[f"{layer.name}.{key}"] = value
    return found


def draw_like(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Return initial weights for names and shapes: uniform with variance 2 / inputs, so that a relu keeps it.

    Vectors start as 1 (factors and variances of batch norm) or 0. Only seed, name and shape decide.
    """
    found = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        if len(shape) < 2:
            found[name] = np.full(shape, name.endswith(("weight", "running_var")), np.float32)
            continue
        values = np.random.default_rng([seed, zlib.crc32(name.encode())]).random(shape, np.float32)
        values -= 0.5
        values *= 2 * math.sqrt(6 / math.prod(shape[1:]))
        found[name] = values
    return found

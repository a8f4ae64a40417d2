"""`resnet18` on CIFAR-10, batch 32: 3x3 stem, no max-pooling, stages of 64, 128, 256, 512; `_infer` and `_bf16` of it.

He, Zhang, Ren and Sun, CVPR 2016, in the form that is usual for 32x32 pictures; the names are torchvision's. It is one
of the `architectures`, which say how the networks of chainrule and PyTorch are made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.workload import Goal, Layer, Workload, conv, dense, norm
from benchmarks.workloads.architectures import network

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # features and stride of the first of two blocks


def _layers() -> tuple[Layer, ...]:
    found, inputs, size = [conv("conv1", 3, 64, 3, 32, bias=False), norm("bn1", 64)], 64, 32
    for stage, (features, stride) in enumerate(STAGES, 1):
        size //= stride
        for block in range(2):
            name = f"layer{stage}.{block}"
            found += [conv(f"{name}.conv1", inputs, features, 3, size, bias=False), norm(f"{name}.bn1", features),
                      conv(f"{name}.conv2", features, features, 3, size, bias=False), norm(f"{name}.bn2", features)]
            if inputs != features:
                found += [conv(f"{name}.downsample.0", inputs, features, 1, size, bias=False),
                          norm(f"{name}.downsample.1", features)]  # fmt: skip
            inputs = features
    return (*found, dense("fc", 512, 10))


def jax(net: Any, x: Any) -> Any:
    """Return the scores in JAX."""
    x = net.relu(net.norm("bn1", net.conv("conv1", x, padding=1)))
    inputs = 64
    for stage, (features, first) in enumerate(STAGES, 1):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", first if block == 0 else 1
            y = net.relu(net.norm(f"{name}.bn1", net.conv(f"{name}.conv1", x, stride=stride, padding=1)))
            y = net.norm(f"{name}.bn2", net.conv(f"{name}.conv2", y, padding=1))
            if inputs != features:
                x = net.norm(f"{name}.downsample.1", net.conv(f"{name}.downsample.0", x, stride=stride))
            x = net.relu(y + x)
            inputs = features
    return net.linear("fc", net.mean_pool(x))


def tinygrad(nn: Any, tensor: Any, dropout: bool) -> Any:
    """Return the network in tinygrad."""

    class Block:
        def __init__(self, inputs: int, features: int, stride: int):
            self.conv1 = nn.Conv2d(inputs, features, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm(features)
            self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm(features)
            self.downsample = [] if inputs == features else [
                nn.Conv2d(inputs, features, 1, stride=stride, bias=False), nn.BatchNorm(features)]  # fmt: skip

        def __call__(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
            return (y + x.sequential(self.downsample)).relu()

    class ResNet:
        def __init__(self) -> None:
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm(64)
            inputs = 64
            for stage, (features, stride) in enumerate(STAGES, 1):
                setattr(self, f"layer{stage}", [Block(inputs, features, stride), Block(features, features, 1)])
                inputs = features
            self.fc = nn.Linear(512, 10)

        def __call__(self, x: Any) -> Any:
            x = self.bn1(self.conv1(x)).relu()
            x = x.sequential([*self.layer1, *self.layer2, *self.layer3, *self.layer4])
            return self.fc(x.mean((2, 3)))

    return ResNet()


FLOAT32 = Workload(
    "resnet18", _layers(), 11_173_962, network("resnet18", 10, True), jax, tinygrad, data="cifar10", batch=32,
    settings={"lr": 0.001, "momentum": 0.9}, convolutional=True, group="architectures", goal=Goal(1.0, 1.2),
)  # fmt: skip
WORKLOADS = (
    FLOAT32,
    replace(FLOAT32, name="resnet18_bf16", precision="bf16", group="", goal=Goal(1.0, 2.0)),
    replace(FLOAT32, name="resnet18_infer", batch=1, optimizer=None, goal=Goal(1.1, 1.5)),
)

"""AlexNet: five convolutions and three linear layers, in torchvision's form and in that of its first paper.

    torchvision, 61,100,840 parameters                          paper of 2012, 60,965,224 parameters
    conv 11x11, stride 4      64    relu                        96                relu, response norm
    pool 3x3, stride 2
    conv 5x5                 192    relu                        256, 2 groups     relu, response norm
    pool 3x3, stride 2
    conv 3x3                 384    relu                        384               relu
    conv 3x3                 256    relu                        384, 2 groups     relu
    conv 3x3                 256    relu                        256, 2 groups     relu
    pool 3x3, stride 2
    dropout, linear         4096    relu
    dropout, linear         4096    relu
    linear               classes

torchvision's is the network of the second paper ("One weird trick", 2014), one column of the two. The two groups of the
first paper are its two graphics cards. For 32x32 pictures (stem="cifar") the first convolution is 3x3 with stride 1 and
padding 1, the rest stands: maps of 32, 15, 7 and 3, so the first linear layer has 256 * 3 * 3 = 2304 inputs.
"""

from __future__ import annotations

import math
from typing import Any

from chainrule import nn
from chainrule.core.tensor import Tensor
from chainrule.models import _parts
from chainrule.nn._checks import choice

__all__ = ["AlexNet"]


class Linear(nn.Linear):
    """A linear layer with PyTorch's initial values, drawn block by block: there are 59 million of them."""

    def reset_parameters(self, generator: Any = None) -> None:
        """Draw new initial values."""
        for parameter in self.parameters():
            _parts.uniform_(parameter, 1.0 / math.sqrt(self.in_features), generator)


def _first(in_channels: int, channels: int, stem: str) -> nn.Conv2d:
    if _parts.imagenet_stem("AlexNet", stem):
        return nn.Conv2d(in_channels, channels, 11, stride=4, padding=2)
    return nn.Conv2d(in_channels, channels, 3, padding=1)


def _torchvision(in_channels: int, stem: str) -> nn.Sequential:
    return nn.Sequential(
        _first(in_channels, 64, stem), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2),
    )  # fmt: skip


def _paper(in_channels: int, stem: str) -> nn.Sequential:
    def norm() -> nn.Module:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # the paper sums: its alpha is 1e-4 = 5e-4 / 5

    return nn.Sequential(
        _first(in_channels, 96, stem), nn.ReLU(), norm(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
    )  # fmt: skip


class AlexNet(nn.Module):
    """AlexNet: 61,100,840 parameters as torchvision has it, 60,965,224 as the paper of 2012 has it.

    Args:
        num_classes: outputs, >= 1; default 1000.
        in_channels: channels of the pictures, >= 1; default 3.
        stem: "imagenet" for pictures of 224x224 (at least 63x63), "cifar" for 32x32; default "imagenet".
        dropout: probability of zeroing before the first two linear layers, in [0, 1); default 0.5.
        variant: "torchvision" or "paper"; default "torchvision".

    Call:
        x: float tensor [batch, in_channels, height, width]  ->  logits [batch, num_classes].

    Raises:
        ValueError: a setting outside its range.
        ShapeError: pictures too small for the pooling.

    Example:
        >>> model = AlexNet(num_classes=10, stem="cifar").eval()
        >>> model(cr.zeros((1, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((1, 10), 28711754)

    Source: Krizhevsky, Sutskever and Hinton, NIPS 2012; Krizhevsky, arXiv:1404.5997 (2014); torchvision's names and
        initial values (PyTorch's defaults), the paper's for the variant "paper".
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        dropout: float = 0.5,
        variant: str = "torchvision",
    ):
        super().__init__()
        self.num_classes, self.in_channels, self.stem, self.dropout = num_classes, in_channels, stem, dropout
        self.variant = choice("AlexNet", "variant", variant, ("torchvision", "paper"))
        self.features = (_torchvision if variant == "torchvision" else _paper)(in_channels, stem)
        side = 6 if stem == "imagenet" else 3
        self.avgpool = nn.AdaptiveAvgPool2d(side)  # changes nothing for pictures of the given size
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), Linear(256 * side * side, 4096), nn.ReLU(),
            nn.Dropout(dropout), Linear(4096, 4096), nn.ReLU(),
            Linear(4096, num_classes),
        )  # fmt: skip
        if variant == "paper":
            self._start_as_the_paper()

    def _start_as_the_paper(self) -> None:
        """Draw weights from N(0, 0.01^2); biases are 1 in convolutions 2, 4 and 5 and in the hidden linear layers."""
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        for layer, bias in zip(layers, (0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0), strict=True):
            _parts.normal_(layer.weight, 0.01)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what the last linear layer gets, [batch, features]."""
        x = _parts.flat(self.avgpool(self.features(x)))
        for layer in list(self.classifier)[:-1]:
            x = layer(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.avgpool(self.features(x))  # [batch, 256, 6, 6]
        return self.classifier(_parts.flat(x))

"""VGG: 3x3 convolutions in five stages with a pooling after each, then three linear layers.

    stage      11         13         16         19        channels
    1          1          2          2          2          64
    2          1          2          2          2         128
    3          2          2          3          4         256
    4          2          2          3          4         512
    5          2          2          3          4         512

    parameters 132,863,336  133,047,848  138,357,544  143,667,240;  with batch norm
               132,868,840  133,053,736  138,365,992  143,678,248

These are the columns A, B, D and E of the paper. For 32x32 pictures (stem="cifar") the convolutions stand as they are
(their stem is 3x3 with stride 1 already), the last map is 1x1, and the linear layers are 512-512-512-classes instead of
25088-4096-4096-classes, as in Liu and Deng, ACPR 2015.
"""

from __future__ import annotations

from typing import Any

from chainrule import nn
from chainrule.core.tensor import Tensor
from chainrule.models import _parts
from chainrule.nn._checks import flag

__all__ = ["VGG"]

CHANNELS = (64, 128, 256, 512, 512)
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class Linear(nn.Linear):
    """A linear layer that starts from weights of N(0, 0.01^2) and biases of zero."""

    def reset_parameters(self, generator: Any = None) -> None:
        """Draw new initial values."""
        _parts.normal_(self.weight, 0.01, generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def _features(stages: tuple[int, ...], in_channels: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels, convolutions in zip(CHANNELS, stages, strict=True):
        for _ in range(convolutions):
            layers.append(nn.Conv2d(in_channels, channels, 3, padding=1))
            layers += [nn.BatchNorm2d(channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
            in_channels = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """VGG with 11, 13, 16 or 19 layers that have weights, with or without batch norm.

    Args:
        depth: 11, 13, 16 or 19.
        num_classes: outputs, >= 1; default 1000.
        in_channels: channels of the pictures, >= 1; default 3.
        stem: "imagenet" for pictures of 224x224 (at least 32x32), "cifar" for 32x32; default "imagenet".
        batch_norm: whether each convolution is followed by batch norm; default False.
        dropout: probability of zeroing after the first two linear layers, in [0, 1); default 0.5.

    Call:
        x: float tensor [batch, in_channels, height, width]  ->  logits [batch, num_classes].

    Raises:
        ValueError: a setting outside its range.
        ShapeError: pictures smaller than 32x32.

    Example:
        >>> model = VGG(11, num_classes=10, stem="cifar").eval()
        >>> model(cr.zeros((1, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((1, 10), 9750922)

    Source: Simonyan and Zisserman, ICLR 2015; torchvision's names and initial values.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        batch_norm: bool = False,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.depth = _parts.one_of("VGG", "depth", depth, tuple(STAGES))
        self.num_classes, self.in_channels, self.stem, self.dropout = num_classes, in_channels, stem, dropout
        self.batch_norm = flag("VGG", "batch_norm", batch_norm)
        side, hidden = (7, 4096) if _parts.imagenet_stem("VGG", stem) else (1, 512)
        self.features = _features(STAGES[depth], in_channels, batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d(side)  # changes nothing for pictures of the given size
        self.classifier = nn.Sequential(
            Linear(512 * side * side, hidden), nn.ReLU(), nn.Dropout(dropout),
            Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
            Linear(hidden, num_classes),
        )  # fmt: skip
        _parts.he_normal(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what the last linear layer gets, [batch, features]."""
        x = _parts.flat(self.avgpool(self.features(x)))
        for layer in list(self.classifier)[:-1]:
            x = layer(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.avgpool(self.features(x))  # [batch, 512, 7, 7]
        return self.classifier(_parts.flat(x))

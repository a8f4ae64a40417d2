"""MobileNet v1: each 3x3 convolution is cut into one per channel (depthwise) and a 1x1 over the channels (pointwise).

    conv1          3x3, stride 2      32     112x112
    blocks.0                          64     112
    blocks.1       stride 2          128      56
    blocks.2                         128      56
    blocks.3       stride 2          256      28
    blocks.4                         256      28
    blocks.5       stride 2          512      14
    blocks.6-10                      512      14
    blocks.11      stride 2         1024       7
    blocks.12                       1024       7
    mean over the picture, dropout, linear           4,231,976 parameters at width 1

Batch norm and relu follow each of the two convolutions of a block. The width multiplies all channels. For 32x32
pictures (stem="cifar") conv1 and blocks.1 have stride 1: maps of 32, 16, 8 and 4. The variant "tensorflow" is what the
authors' published weights need: relu6, batch norm with eps 1e-3, and before a stride of 2 one row and column of zeros
below and to the right (nothing above and to the left).
"""

from __future__ import annotations

from chainrule import nn
from chainrule.core.tensor import Tensor
from chainrule.models import _parts
from chainrule.nn._checks import choice, number

__all__ = ["MobileNet"]

BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class ReLU6(nn.Module):
    """The relu that stops at 6."""

    def forward(self, x: Tensor) -> Tensor:
        """Return min(max(x, 0), 6)."""
        return nn.functional.relu6(x)


def _conv(inputs: int, outputs: int, kernel: int, variant: str, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution with batch norm and relu; its parts are called conv, bn and act."""
    tensorflow = variant == "tensorflow"
    uneven = tensorflow and stride == 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, 0 if uneven else kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs, eps=1e-3 if tensorflow else 1e-5)
    border = {"pad": nn.ZeroPad2d((0, 1, 0, 1))} if uneven else {}
    return nn.Sequential({**border, "conv": conv, "bn": norm, "act": ReLU6() if tensorflow else nn.ReLU()})


class Separable(nn.Module):
    """A depthwise 3x3 convolution, then a pointwise one, each with batch norm and relu."""

    def __init__(self, in_channels: int, channels: int, stride: int, variant: str):
        super().__init__()
        self.depthwise = _conv(in_channels, in_channels, 3, variant, stride, groups=in_channels)
        self.pointwise = _conv(in_channels, channels, 1, variant)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the pointwise convolution."""
        return self.pointwise(self.depthwise(x))


class MobileNet(nn.Module):
    """MobileNet v1: 4,231,976 parameters at width 1, 470,072 at width 0.25.

    Args:
        num_classes: outputs, >= 1; default 1000.
        in_channels: channels of the pictures, >= 1; default 3.
        stem: "imagenet" for pictures of 224x224 (any size is possible), "cifar" for 32x32; default "imagenet".
        width: factor of all channels, > 0, rounded to whole numbers and at least 1; the paper has 1, 0.75, 0.5 and
            0.25; default 1.0.
        dropout: probability of zeroing before the linear layer, in [0, 1); default 0.001.
        variant: "paper", or "tensorflow" for the published weights; default "paper".

    Call:
        x: float tensor [batch, in_channels, height, width]  ->  logits [batch, num_classes].

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> model = MobileNet(num_classes=10, stem="cifar").eval()
        >>> model(cr.zeros((1, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((1, 10), 3217226)

    Source: Howard et al., arXiv:1704.04861 (2017), table 1; dropout as in the authors' code, initial values as in
        torchvision's MobileNetV2.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        width: float = 1.0,
        dropout: float = 0.001,
        variant: str = "paper",
    ):
        super().__init__()
        self.num_classes, self.in_channels, self.stem, self.dropout = num_classes, in_channels, stem, dropout
        self.width = number("MobileNet", "width", width, 0.0, ends="(]")
        self.variant = choice("MobileNet", "variant", variant, ("paper", "tensorflow"))
        large = _parts.imagenet_stem("MobileNet", stem)
        channels = max(1, round(32 * width))
        self.conv1 = _conv(in_channels, channels, 3, variant, stride=2 if large else 1)
        self.blocks = nn.Sequential()
        for position, (full, stride) in enumerate(BLOCKS):
            out, step = max(1, round(full * width)), 1 if position == 1 and not large else stride
            self.blocks.append(Separable(channels, out, step, variant))
            channels = out
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        _parts.he_normal(self)
        _parts.normal_(self.fc.weight, 0.01)
        if self.fc.bias is not None:
            nn.init.zeros_(self.fc.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what dropout and the linear layer get, [batch, features]."""
        x = self.blocks(self.conv1(x))  # [batch, 1024, 7, 7]
        return _parts.flat(self.avgpool(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.fc(self.drop(self.forward_features(x)))

"""ResNet: stages of residual blocks, for ImageNet (18, 34, 50, 101, 152) and for CIFAR (20, 32, 44, 56, 110).

    ImageNet      18      34      50      101     152     channels    size
    conv1         7x7, stride 2                              64       112       then 3x3 pooling, stride 2
    layer1        2       3       3       3       3          64        56
    layer2        2       4       4       4       8         128        28
    layer3        2       6       6       23      36        256        14
    layer4        2       3       3       3       3         512         7
    block         basic   basic   bottleneck (four times the channels)
    parameters    11,689,512  21,797,672  25,557,032  44,549,160  60,192,808      mean over the picture, linear

For 32x32 pictures (stem="cifar") conv1 is 3x3 with stride 1 and the pooling after it is left out: maps of 32, 16, 8, 4.

    CIFAR, section 4.2 of the paper: conv1 3x3 with 16 channels, then n blocks each of 16, 32 and 64 channels at sizes
    32, 16 and 8; depth 6n + 2.      20: 269,722    32: 464,154    44: 658,586    56: 853,018    110: 1,727,962

Their shortcuts are those of the paper's option A, without parameters: every other pixel, and zeros for the new
channels, which stand after the old ones, as in the authors' Torch code. `shortcut="B"` has a 1x1 convolution instead.
"""

from __future__ import annotations

from typing import Any

from chainrule import nn
from chainrule.core.tensor import Tensor
from chainrule.models import _parts
from chainrule.nn._checks import choice, flag
from chainrule.ops import concat, zeros

__all__ = ["CifarResNet", "ResNet"]

BLOCKS = {
    18: (nn.BasicBlock, (2, 2, 2, 2)),
    34: (nn.BasicBlock, (3, 4, 6, 3)),
    50: (nn.Bottleneck, (3, 4, 6, 3)),
    101: (nn.Bottleneck, (3, 4, 23, 3)),
    152: (nn.Bottleneck, (3, 8, 36, 3)),
}
CIFAR_DEPTHS = (20, 32, 44, 56, 110)


class ResNet(nn.Module):
    """ResNet with 18, 34, 50, 101 or 152 layers that have weights.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: outputs, >= 1; default 1000.
        in_channels: channels of the pictures, >= 1; default 3.
        stem: "imagenet" for pictures of 224x224 (any size is possible), "cifar" for 32x32; default "imagenet".
        zero_init_residual: whether the last batch norm of each block starts at zero, so that each block starts as the
            identity; default False.

    Call:
        x: float tensor [batch, in_channels, height, width]  ->  logits [batch, num_classes].

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> model = ResNet(18, num_classes=10, stem="cifar").eval()
        >>> model(cr.zeros((1, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((1, 10), 11173962)

    Source: He, Zhang, Ren and Sun, CVPR 2016, table 1; torchvision's names, initial values and place of the stride (in
        the 3x3 convolution of a bottleneck; the paper has it in the first 1x1).
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        zero_init_residual: bool = False,
    ):
        super().__init__()
        self.depth = _parts.one_of("ResNet", "depth", depth, tuple(BLOCKS))
        self.num_classes, self.in_channels, self.stem = num_classes, in_channels, stem
        self.zero_init_residual = flag("ResNet", "zero_init_residual", zero_init_residual)
        large = _parts.imagenet_stem("ResNet", stem)
        size, stride, padding = (7, 2, 3) if large else (3, 1, 1)
        self.conv1 = nn.Conv2d(in_channels, 64, size, stride=stride, padding=padding, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        block, (n1, n2, n3, n4) = BLOCKS[depth]
        self.layer1 = _stage(block, n1, 64, 64)
        self.layer2 = _stage(block, n2, 64 * block.expansion, 128, stride=2)
        self.layer3 = _stage(block, n3, 128 * block.expansion, 256, stride=2)
        self.layer4 = _stage(block, n4, 256 * block.expansion, 512, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        _parts.he_normal(self)
        if zero_init_residual:
            for part in self.modules():
                if isinstance(part, nn.BasicBlock | nn.Bottleneck):
                    nn.init.zeros_((part.bn2 if isinstance(part, nn.BasicBlock) else part.bn3).weight)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what the linear layer gets, [batch, features]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # [batch, 64, 56, 56]
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # [batch, 512 or 2048, 7, 7]
        return _parts.flat(self.avgpool(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.fc(self.forward_features(x))


def _stage(block: Any, count: int, in_channels: int, channels: int, stride: int = 1) -> nn.Sequential:
    """Return blocks of one size of map; the first changes size and channels."""
    rest = [block(channels * block.expansion, channels) for _ in range(count - 1)]
    return nn.Sequential(block(in_channels, channels, stride), *rest)


# ------------------------------------------------------------------------------------------------ CIFAR, section 4.2
class PaddedShortcut(nn.Module):
    """Option A: every other pixel in both directions, and channels of zeros after those that are there."""

    def __init__(self, added: int):
        super().__init__()
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        """Return x at half the size with more channels."""
        x = x[:, :, ::2, ::2]
        return concat([x, zeros((x.shape[0], self.added, *x.shape[2:]), dtype=x.dtype)], axis=1)


class CifarResNet(nn.Module):
    """ResNet for pictures of 32x32, section 4.2 of the paper, with 20, 32, 44, 56 or 110 layers that have weights.

    Args:
        depth: 20, 32, 44, 56 or 110.
        num_classes: outputs, >= 1; default 10.
        in_channels: channels of the pictures, >= 1; default 3.
        shortcut: where a stage begins: "A", no parameters (the paper's on CIFAR), or "B", a 1x1 convolution with batch
            norm; default "A".

    Call:
        x: float tensor [batch, in_channels, 32, 32] (any size is possible)  ->  logits [batch, num_classes].

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> model = CifarResNet(20).eval()
        >>> model(cr.zeros((1, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((1, 10), 269722)

    Source: He, Zhang, Ren and Sun, CVPR 2016, section 4.2 and table 6; names as in torchvision's ResNet.
    """

    def __init__(self, depth: int, num_classes: int = 10, in_channels: int = 3, shortcut: str = "A"):
        super().__init__()
        self.depth = _parts.one_of("CifarResNet", "depth", depth, CIFAR_DEPTHS)
        self.num_classes, self.in_channels = num_classes, in_channels
        self.shortcut = choice("CifarResNet", "shortcut", shortcut, ("A", "B"))
        count = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(nn.BasicBlock, count, 16, 16)
        self.layer2 = self._narrowing(count, 16, 32)
        self.layer3 = self._narrowing(count, 32, 64)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)
        _parts.he_normal(self)

    def _narrowing(self, count: int, in_channels: int, channels: int) -> nn.Sequential:
        """Return a stage that halves the size and doubles the channels."""
        way = PaddedShortcut(channels - in_channels) if self.shortcut == "A" else None
        rest = [nn.BasicBlock(channels, channels) for _ in range(count - 1)]
        return nn.Sequential(nn.BasicBlock(in_channels, channels, 2, downsample=way), *rest)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what the linear layer gets, [batch, features]."""
        x = self.relu(self.bn1(self.conv1(x)))  # [batch, 16, 32, 32]
        x = self.layer3(self.layer2(self.layer1(x)))  # [batch, 64, 8, 8]
        return _parts.flat(self.avgpool(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.fc(self.forward_features(x))

"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters, by modules that squeeze the channels first.

    1.0, 1,248,424 parameters                     1.1, 1,235,496 parameters
    conv1    7x7, stride 2       96               conv1    3x3, stride 2       64
    pool     3x3, stride 2                        pool     3x3, stride 2
    fire2    16, 64 + 64                          fire2    16, 64 + 64
    fire3    16, 64 + 64                          fire3    16, 64 + 64
    fire4    32, 128 + 128                        pool     3x3, stride 2
    pool     3x3, stride 2                        fire4    32, 128 + 128
    fire5    32, 128 + 128                        fire5    32, 128 + 128
    fire6    48, 192 + 192                        pool     3x3, stride 2
    fire7    48, 192 + 192                        fire6    48, 192 + 192
    fire8    64, 256 + 256                        fire7    48, 192 + 192
    pool     3x3, stride 2                        fire8    64, 256 + 256
    fire9    64, 256 + 256                        fire9    64, 256 + 256
    conv10   1x1, classes, dropout before it, mean over the picture

A pooling's last window may reach beyond the border. For 32x32 pictures (stem="cifar") conv1 is 3x3 with stride 1 and
padding 1 and the pooling after it is left out (an identity keeps the numbers of the layers): maps of 32, 16 and 8.
"""

from __future__ import annotations

from chainrule import nn
from chainrule.core.tensor import Tensor
from chainrule.models import _parts
from chainrule.nn._checks import choice
from chainrule.ops import concat

__all__ = ["SqueezeNet"]

FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))  # squeeze, each expand
POOLED_BEFORE = {"1.0": (5, 9), "1.1": (4, 6)}  # numbers of the fire modules behind a pooling


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions side by side, all with relu."""

    def __init__(self, in_channels: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return both expansions, joined along the channels."""
        x = self.squeeze_activation(self.squeeze(x))
        small, large = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
        return concat([small, large], axis=1)


def _features(version: str, in_channels: int, stem: str) -> nn.Sequential:
    large = _parts.imagenet_stem("SqueezeNet", stem)
    channels, kernel = (96, 7) if version == "1.0" else (64, 3)
    first = nn.Conv2d(in_channels, channels, kernel, 2) if large else nn.Conv2d(in_channels, channels, 3, padding=1)
    layers: list[nn.Module] = [first, nn.ReLU()]
    layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True) if large else nn.Identity())
    for number, (squeeze, expand) in enumerate(FIRES, 2):
        if number in POOLED_BEFORE[version]:
            layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
        layers.append(Fire(channels, squeeze, expand))
        channels = 2 * expand
    return nn.Sequential(*layers)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0 or 1.1; the second computes 2.4 times less.

    Args:
        version: "1.0" or "1.1"; default "1.0".
        num_classes: outputs, >= 1; default 1000.
        in_channels: channels of the pictures, >= 1; default 3.
        stem: "imagenet" for pictures of 224x224 (at least 21x21), "cifar" for 32x32; default "imagenet".
        dropout: probability of zeroing before the last convolution, in [0, 1); default 0.5.
        variant: "torchvision", or "caffe" for the authors' published weights of 1.0: the last convolution has padding
            1; default "torchvision".

    Call:
        x: float tensor [batch, in_channels, height, width]  ->  logits [batch, num_classes], all >= 0: a relu comes
            before the mean over the picture.

    Raises:
        ValueError: a setting outside its range.
        ShapeError: pictures too small for the pooling.

    Example:
        >>> model = SqueezeNet("1.1", num_classes=10, stem="cifar").eval()
        >>> model(cr.zeros((1, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((1, 10), 727626)

    Source: Iandola et al., arXiv:1602.07360 (2016), table 1; 1.1 is the authors' later release; torchvision's names and
        initial values.
    """

    def __init__(
        self,
        version: str = "1.0",
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        dropout: float = 0.5,
        variant: str = "torchvision",
    ):
        super().__init__()
        self.version = choice("SqueezeNet", "version", version, tuple(POOLED_BEFORE))
        self.num_classes, self.in_channels, self.stem, self.dropout = num_classes, in_channels, stem, dropout
        self.variant = choice("SqueezeNet", "variant", variant, ("torchvision", "caffe"))
        self.features = _features(version, in_channels, stem)
        final = nn.Conv2d(512, num_classes, 1, padding=1 if variant == "caffe" else 0)
        self.classifier = nn.Sequential(nn.Dropout(dropout), final, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.zeros_(layer.bias)
                if layer is final:
                    _parts.normal_(layer.weight, 0.01)
                else:
                    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what the classifier gets, [batch, 512, height, width]."""
        return self.features(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return _parts.flat(self.classifier(self.forward_features(x)))

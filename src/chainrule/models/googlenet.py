"""GoogLeNet: nine Inception modules, with two classifiers on the way that help training.

    conv1           7x7, stride 2      64      112x112
    pool            3x3, stride 2               56
    conv2, conv3    1x1, 3x3           64, 192  56
    pool            3x3, stride 2               28
                    1x1    3x3: before, after    5x5: before, after    pool: after    channels
    inception3a      64        96, 128              16, 32                32             256
    inception3b     128       128, 192              32, 96                64             480
    pool            3x3, stride 2               14
    inception4a     192        96, 208              16, 48                64             512    aux1
    inception4b     160       112, 224              24, 64                64             512
    inception4c     128       128, 256              24, 64                64             512
    inception4d     112       144, 288              32, 64                64             528    aux2
    inception4e     256       160, 320              32, 128              128             832
    pool            stride 2                     7
    inception5a     256       160, 320              32, 128              128             832
    inception5b     384       192, 384              48, 128              128            1024
    mean over the picture, dropout, linear

variant="torchvision": 6,624,904 parameters, 13,004,888 with both auxiliary classifiers. Batch norm (eps 1e-3) after
each convolution, no biases, and in place of the 5x5 window a 3x3 one (by mistake, kept for the weights' sake).
variant="paper": 6,998,552 and 13,378,280. Biases instead of batch norm, local response norm before conv2 and after
conv3, 5x5.
A pooling's last window may reach beyond the border. For 32x32 pictures (stem="cifar") conv1 is 3x3 with stride 1 and
the pooling after it is left out: maps of 32, 16, 8 and 4.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from chainrule import nn
from chainrule.core.tensor import Tensor
from chainrule.models import _parts
from chainrule.nn._checks import choice, flag

__all__ = ["GoogLeNet", "GoogLeNetOutputs", "auxiliary_cross_entropy"]

# in_channels; 1x1; 3x3 before, after; 5x5 before, after; pooling after
INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNetOutputs(NamedTuple):
    """What GoogLeNet gives in train mode: logits, and those of the auxiliary classifiers, the later one first.

    Attributes:
        logits: [batch, num_classes].
        aux_logits2: of the classifier behind inception4d.
        aux_logits1: of the classifier behind inception4a.

    Example:
        >>> GoogLeNetOutputs(1, 2, 3).aux_logits1
        3
    """

    logits: Any
    aux_logits2: Any
    aux_logits1: Any


def auxiliary_cross_entropy(outputs: Any, target: Tensor, weight: float = 0.3) -> Tensor:
    """Return the mean cross-entropy of the logits, plus a part of that of the auxiliary classifiers.

        loss = CE(logits) + weight (CE(aux_logits1) + CE(aux_logits2))

    Args:
        outputs: `GoogLeNetOutputs`, or logits alone, [batch, classes].
        target: classes, int [batch].
        weight: of the auxiliary losses; default 0.3, as the paper.

    Returns:
        The loss, a scalar.

    Example:
        >>> logits = cr.zeros((2, 10))
        >>> round(auxiliary_cross_entropy(GoogLeNetOutputs(logits, logits, logits), cr.asarray([1, 2])).item(), 4)
        3.6841

    Source: Szegedy et al., CVPR 2015, section 5.
    """
    if not isinstance(outputs, GoogLeNetOutputs):
        return nn.functional.cross_entropy(outputs, target)
    main, second, first = (nn.functional.cross_entropy(logits, target) for logits in outputs)
    return main + weight * (first + second)


class ConvReLU(nn.Module):
    """A convolution with bias, then relu."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(conv(x))."""
        return self.relu(self.conv(x))

    def extra_repr(self) -> str:
        """Return nothing: the layers stand on their own lines."""
        return ""


class InceptionAux(nn.Module):
    """An auxiliary classifier: mean to 4x4 (5x5 windows with stride 3 on 14x14), 1x1 convolution, two linear layers."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float, conv: Callable[..., nn.Module]):
        super().__init__()
        self.conv = conv(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, 4))  # [batch, 128, 4, 4]
        x = nn.functional.relu(self.fc1(_parts.flat(x)))
        return self.fc2(self.dropout(x))

    def extra_repr(self) -> str:
        """Return nothing: the layers stand on their own lines."""
        return ""


class GoogLeNet(nn.Module):
    """GoogLeNet, which is Inception v1, with both auxiliary classifiers.

    Args:
        num_classes: outputs, >= 1; default 1000.
        in_channels: channels of the pictures, >= 1; default 3.
        stem: "imagenet" for pictures of 224x224 (any size from 15x15), "cifar" for 32x32; default "imagenet".
        aux_logits: whether there are auxiliary classifiers; default True.
        dropout: probability of zeroing before the linear layer, in [0, 1); default 0.2, torchvision's; the
            paper has 0.4.
        dropout_aux: the same in the auxiliary classifiers; default 0.7.
        variant: "torchvision" or "paper"; default "torchvision".

    Call:
        x: float tensor [batch, in_channels, height, width]  ->  logits [batch, num_classes]; in train mode with
            auxiliary classifiers `GoogLeNetOutputs`, see `auxiliary_cross_entropy`.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> model = GoogLeNet(num_classes=10, stem="cifar", aux_logits=False).eval()
        >>> model(cr.zeros((1, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((1, 10), 5602474)

    Source: Szegedy et al., CVPR 2015, table 1; torchvision's names and initial values; for the variant "paper" those of
        Caffe's bvlc_googlenet.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        aux_logits: bool = True,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        variant: str = "torchvision",
    ):
        super().__init__()
        self.num_classes, self.in_channels, self.stem = num_classes, in_channels, stem
        self.aux_logits, self.dropout_aux = flag("GoogLeNet", "aux_logits", aux_logits), dropout_aux
        self.variant = choice("GoogLeNet", "variant", variant, ("torchvision", "paper"))
        paper = variant == "paper"
        conv = ConvReLU if paper else functools.partial(nn.ConvBNReLU, eps=1e-3)
        self._begin(conv, paper)
        for name, sizes in INCEPTIONS.items():
            self.add_module(f"inception{name}", nn.Inception(*sizes, kernel=5 if paper else 3, conv=conv))
            if name == "3b":
                self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            if name == "4e":
                self.maxpool4 = nn.MaxPool2d(3 if paper else 2, stride=2, ceil_mode=True)
        self.add_module("aux1", InceptionAux(512, num_classes, dropout_aux, conv) if aux_logits else None)
        self.add_module("aux2", InceptionAux(528, num_classes, dropout_aux, conv) if aux_logits else None)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        self._start()

    def _begin(self, conv: Callable[..., nn.Module], paper: bool) -> None:
        """Make the layers before the Inception modules."""
        large = _parts.imagenet_stem("GoogLeNet", self.stem)
        window = {"kernel_size": 7, "stride": 2, "padding": 3} if large else {"kernel_size": 3, "padding": 1}
        self.conv1 = conv(self.in_channels, 64, **window)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True) if large else nn.Identity()
        self.conv2 = conv(64, 64, 1)
        self.conv3 = conv(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0) if paper else nn.Identity()

    def _start(self) -> None:
        """Draw the initial values: N(0, 0.01^2), or Caffe's uniform numbers with biases of 0.2 (0 in the outputs)."""
        last = (self.fc, *(part.fc2 for part in (self.aux1, self.aux2) if part is not None))
        for layer in self.modules():
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            if self.variant == "torchvision":
                _parts.normal_(layer.weight, 0.01)
            else:
                _parts.uniform_(layer.weight, math.sqrt(3.0 / nn.init.calculate_fans(layer.weight)[0]))
                assert layer.bias is not None
                nn.init.constant_(layer.bias, 0.0 if any(layer is part for part in last) else 0.2)

    def _trunk(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps that the auxiliary classifiers get, and what dropout and the linear layer get."""
        x = self.norm(self.maxpool1(self.conv1(x)))  # [batch, 64, 56, 56]
        x = self.maxpool2(self.norm(self.conv3(self.conv2(x))))  # [batch, 192, 28, 28]
        x = self.maxpool3(self.inception3b(self.inception3a(x)))  # [batch, 480, 14, 14]
        first = x = self.inception4a(x)  # [batch, 512, 14, 14]
        second = x = self.inception4d(self.inception4c(self.inception4b(x)))  # [batch, 528, 14, 14]
        x = self.maxpool4(self.inception4e(x))  # [batch, 832, 7, 7]
        x = self.inception5b(self.inception5a(x))  # [batch, 1024, 7, 7]
        return first, second, _parts.flat(self.avgpool(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what dropout and the linear layer get, [batch, 1024]."""
        return self._trunk(x)[2]

    def forward(self, x: Tensor) -> Any:
        """Return the logits; in train mode also those of the auxiliary classifiers, where there are any."""
        first, second, features = self._trunk(x)
        logits = self.fc(self.dropout(features))
        if not (self.training and self.aux_logits):
            return logits
        return GoogLeNetOutputs(logits, self.aux2(second), self.aux1(first))

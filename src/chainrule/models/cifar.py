"""Three networks of courses for CIFAR-10: layers of 3x32x32 pictures one after another.

CifarM1     3,426,250 parameters    3072-1024-256-64-10, no convolution
CifarM2        62,006 parameters    two 5x5 convolutions with pooling, then 400-120-84-10: LeNet-5 on colours
CifarM3     5,852,170 parameters    six 3x3 convolutions with batch norm, then 4096-1024-512-10

State dicts read as the sequence of the layers: "0.weight", "0.bias", "3.weight", ... Initial values are PyTorch's.
"""

from __future__ import annotations

from chainrule import nn
from chainrule.models._parts import FixedSequential
from chainrule.models.mlp import MLP

__all__ = ["CifarM1", "CifarM2", "CifarM3"]


class CifarM1(MLP):
    """The multilayer perceptron 3072-1024-256-64-10 with relu, which sees a picture as 3072 numbers.

    Args:
        num_classes: outputs, >= 1; default 10.
        in_channels: channels of the pictures, >= 1; default 3.

    Call:
        x: float tensor [batch, in_channels, 32, 32], or flattened  ->  logits [batch, num_classes].

    Raises:
        ValueError: a number below 1.

    Example:
        >>> model = CifarM1()
        >>> model(cr.zeros((2, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((2, 10), 3426250)

    Source: the baseline of courses on CIFAR-10; `benchmarks/workloads/cifar_m1.py` times it.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3):
        super().__init__((in_channels * 32 * 32, 1024, 256, 64, num_classes))
        self.num_classes, self.in_channels = num_classes, in_channels

    __repr__ = nn.Module.__repr__


class CifarM2(FixedSequential):
    """The network of 62,006 parameters: LeNet-5 with relu and max-pooling, on three colours.

    Args:
        num_classes: outputs, >= 1; default 10.
        in_channels: channels of the pictures, >= 1; default 3.

    Call:
        x: float tensor [batch, in_channels, 32, 32]  ->  logits [batch, num_classes].

    Raises:
        ValueError: a number below 1.

    Example:
        >>> model = CifarM2()
        >>> model(cr.zeros((2, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((2, 10), 62006)

    Source: PyTorch's tutorial "Training a Classifier", after LeCun et al., Proc. IEEE 86 (1998).
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3):
        self.num_classes, self.in_channels = num_classes, in_channels
        super().__init__(
            nn.Conv2d(in_channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),   # [batch, 6, 14, 14]
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),            # [batch, 16, 5, 5]
            nn.Flatten(),                                               # [batch, 400]
            nn.Linear(400, 120), nn.ReLU(),
            nn.Linear(120, 84), nn.ReLU(),
            nn.Linear(84, num_classes),
        )  # fmt: skip

    extra_repr = nn.Module.extra_repr


class CifarM3(FixedSequential):
    """The network of 5.85 million parameters: six 3x3 convolutions, batch norm after every other, three linear layers.

    Args:
        num_classes: outputs, >= 1; default 10.
        in_channels: channels of the pictures, >= 1; default 3.
        dropout: probability of zeroing before the first and the last linear layer, in [0, 1); default 0.05.

    Call:
        x: float tensor [batch, in_channels, 32, 32]  ->  logits [batch, num_classes].

    Raises:
        ValueError: a number below 1, or a dropout outside [0, 1).

    Example:
        >>> model = CifarM3().eval()
        >>> model(cr.zeros((2, 3, 32, 32))).shape, sum(p.size for p in model.parameters())
        ((2, 10), 5852170)

    Source: the usual VGG-like network of courses on CIFAR-10; `benchmarks/workloads/cifar_m3.py` times it.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, dropout: float = 0.05):
        self.num_classes, self.in_channels, self.dropout = num_classes, in_channels, dropout
        super().__init__(
            nn.Conv2d(in_channels, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),      # [batch, 64, 16, 16]
            nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),    # [batch, 128, 8, 8]
            nn.Conv2d(128, 256, 3, padding=1), nn.BatchNorm2d(256), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),    # [batch, 256, 4, 4]
            nn.Flatten(), nn.Dropout(dropout),                                # [batch, 4096]
            nn.Linear(4096, 1024), nn.ReLU(),
            nn.Linear(1024, 512), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(512, num_classes),
        )  # fmt: skip

    extra_repr = nn.Module.extra_repr

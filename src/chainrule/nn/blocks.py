"""Blocks that architectures are built of: residual, Inception, squeeze-and-excitation, with torchvision's names.

Residual             y = shortcut(x) + body(x)
BasicBlock           relu(shortcut(x) + bn(conv3(relu(bn(conv3(x))))))
Bottleneck           relu(shortcut(x) + bn(conv1(relu(bn(conv3(relu(bn(conv1(x)))))))))
Inception            four branches side by side, joined along the channels
SqueezeExcitation    y = x sigmoid(W2 relu(W1 mean(x)))       one factor per channel
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import integer, refuse
from chainrule.nn.activation import Identity, ReLU, Sigmoid
from chainrule.nn.adaptive import AdaptiveAvgPool2d
from chainrule.nn.container import Sequential
from chainrule.nn.conv import Conv2d
from chainrule.nn.module import Module
from chainrule.nn.norm import BatchNorm2d
from chainrule.nn.pool import MaxPool2d
from chainrule.ops import concat

__all__ = ["BasicBlock", "Bottleneck", "ConvBNReLU", "Inception", "Residual", "SqueezeExcitation"]

Norm = Callable[[int], Module]


class Residual(Module):
    """A module with a way around it.

        y = shortcut(x) + body(x)

    Args:
        body: the module; its output has the shape of the shortcut's.
        shortcut: the way around; default the identity.
    Call:
        x: what both take  ->  tensor of the shape of their outputs.
    Raises:
        ShapeError: the two outputs have different shapes.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> block = nn.Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()))
        >>> block(cr.ones((2, 8, 6, 6))).shape
        (2, 8, 6, 6)

    Source: He et al., CVPR 2016.
    """

    def __init__(self, body: Module, shortcut: Module | None = None):
        super().__init__()
        self.body = body
        self.shortcut = Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both ways."""
        return _sum(self, self.shortcut(x), self.body(x))


def _sum(block: Module, around: Tensor, y: Tensor) -> Tensor:
    if around.shape != y.shape:
        raise refuse(
            ShapeError,
            f"{type(block).__name__}: the body gives {y.shape} and the shortcut {around.shape}; give a shortcut that "
            "changes channels and stride in the same way, such as a 1x1 convolution.",
        )
    return y + around


class _ResNetBlock(Module):
    expansion = 1

    def _begin(self, in_channels: int, channels: int, stride: int) -> None:
        owner = type(self).__name__
        self.in_channels, self.channels = (
            integer(owner, "in_channels", in_channels),
            integer(owner, "channels", channels),
        )
        self.stride = integer(owner, "stride", stride)

    def _shortcut(self, downsample: Module | None, norm: Norm) -> Module | None:
        out = self.expansion * self.channels
        if downsample is None and (self.stride != 1 or self.in_channels != out):
            return Sequential(Conv2d(self.in_channels, out, 1, self.stride, bias=False), norm(out))
        return downsample

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.in_channels}, {self.channels}" + (f", stride={self.stride}" if self.stride != 1 else "")


class BasicBlock(_ResNetBlock):
    """The residual block of ResNet-18 and -34: two 3x3 convolutions with a way around them.

        y = relu(shortcut(x) + bn2(conv2(relu(bn1(conv1(x))))))

    Args:
        in_channels: channels of the input, >= 1.
        channels: channels of both convolutions and of the output, >= 1.
        stride: of the first convolution and of the shortcut, >= 1; default 1.
        downsample: the shortcut; default the identity where shapes allow it, else a 1x1 convolution with its norm.
        norm: what makes the normalisation for a number of channels; default `BatchNorm2d`.
    Call:
        x: float tensor [batch, in_channels, height, width]  ->  tensor [batch, channels, height, width], divided by the
            stride.
    Attributes:
        expansion: 1, output channels / channels.
    Raises:
        ValueError: a size below 1.
        ShapeError: the shortcut's output does not fit.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.BasicBlock(16, 32, stride=2)(cr.ones((2, 16, 8, 8))).shape
        (2, 32, 4, 4)

    Source: He et al., CVPR 2016, option B for the shortcut.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: Module | None = None,
        norm: Norm = BatchNorm2d,
    ):
        super().__init__()
        self._begin(in_channels, channels, stride)
        self.conv1 = Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = norm(channels)
        self.relu = ReLU()
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.add_module("downsample", self._shortcut(downsample, norm))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(_sum(self, x if self.downsample is None else self.downsample(x), y))


class Bottleneck(_ResNetBlock):
    """The residual block of ResNet-50, -101 and -152: 1x1 down, 3x3, 1x1 up to four times the channels.

        y = relu(shortcut(x) + bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))))

    Args:
        in_channels: channels of the input, >= 1.
        channels: channels of the first two convolutions, >= 1; the output has four times as many.
        stride: of the 3x3 convolution (as torchvision; the paper strides in the first) and of the shortcut, >= 1;
            default 1.
        downsample: the shortcut; default the identity where shapes allow it, else a 1x1 convolution with its norm.
        norm: what makes the normalisation for a number of channels; default `BatchNorm2d`.
    Call:
        x: float tensor [batch, in_channels, height, width]  ->  tensor [batch, 4 channels, height, width], divided by
            the stride.
    Attributes:
        expansion: 4, output channels / channels.
    Raises:
        ValueError: a size below 1.
        ShapeError: the shortcut's output does not fit.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Bottleneck(16, 8, stride=2)(cr.ones((2, 16, 8, 8))).shape
        (2, 32, 4, 4)

    Source: He et al., CVPR 2016, option B for the shortcut.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: Module | None = None,
        norm: Norm = BatchNorm2d,
    ):
        super().__init__()
        self._begin(in_channels, channels, stride)
        self.conv1 = Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.conv3 = Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = norm(4 * channels)
        self.relu = ReLU()
        self.add_module("downsample", self._shortcut(downsample, norm))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(_sum(self, x if self.downsample is None else self.downsample(x), y))


class ConvBNReLU(Module):
    """A convolution without bias, batch normalisation and relu: torchvision's BasicConv2d.

        y = relu(bn(conv(x)))

    Args:
        in_channels: channels of the input, >= 1.
        out_channels: channels of the output, >= 1.
        kernel_size: size of the window, >= 1.
        stride: step between windows, >= 1; default 1.
        padding: width of the border on both sides, >= 0; default 0.
        groups: parts into which the channels are cut; default 1.
        eps: of the batch normalisation; default 1e-5 (GoogLeNet in torchvision has 1e-3).
    Call:
        x: float tensor [batch, in_channels, height, width]  ->  tensor [batch, out_channels, height, width].
    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.ConvBNReLU(3, 8, 3, padding=1)(cr.ones((2, 3, 6, 6))).shape
        (2, 8, 6, 6)

    Source: Ioffe and Szegedy, ICML 2015.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        groups: int = 1,
        eps: float = 1e-5,
    ):
        super().__init__()
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.bn = BatchNorm2d(out_channels, eps)
        self.relu = ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(bn(conv(x)))."""
        return self.relu(self.bn(self.conv(x)))

    def extra_repr(self) -> str:
        """Return nothing: the layers stand on their own lines."""
        return ""


class Inception(Module):
    """Four branches side by side: 1x1; 1x1 then 3x3; 1x1 then 5x5; 3x3 max-pool then 1x1; joined along the channels.

    Args:
        in_channels: channels of the input, >= 1.
        ch1x1: channels of the 1x1 branch, >= 1.
        ch3x3red: channels before the 3x3 convolution, >= 1.
        ch3x3: channels after it, >= 1.
        ch5x5red: channels before the 5x5 convolution, >= 1.
        ch5x5: channels after it, >= 1.
        pool_proj: channels of the pooling branch, >= 1.
        kernel: size of the third branch's window; torchvision's GoogLeNet has 3, by mistake; default 5, as the paper.
        conv: what makes a convolution with its activation from (in_channels, out_channels, kernel_size, padding=);
            default `ConvBNReLU`.
    Call:
        x: float tensor [batch, in_channels, height, width]  ->  tensor
            [batch, ch1x1 + ch3x3 + ch5x5 + pool_proj, height, width].
    Raises:
        ValueError: a size below 1.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Inception(192, 64, 96, 128, 16, 32, 32)(cr.ones((1, 192, 8, 8))).shape
        (1, 256, 8, 8)

    Source: Szegedy et al., CVPR 2015, table 1; names of torchvision's Inception.
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        kernel: int = 5,
        conv: Callable[..., Module] = ConvBNReLU,
    ):
        super().__init__()
        self.branch1 = conv(in_channels, ch1x1, 1)
        self.branch2 = Sequential(conv(in_channels, ch3x3red, 1), conv(ch3x3red, ch3x3, 3, padding=1))
        self.branch3 = Sequential(conv(in_channels, ch5x5red, 1), conv(ch5x5red, ch5x5, kernel, padding=kernel // 2))
        self.branch4 = Sequential(MaxPool2d(3, stride=1, padding=1, ceil_mode=True), conv(in_channels, pool_proj, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the branches, joined along the channels."""
        return concat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], axis=1)


class SqueezeExcitation(Module):
    """One factor per channel, computed from the means of all channels.

        y = x scale(fc2(activation(fc1(mean(x)))))

    Args:
        input_channels: channels of the input, >= 1.
        squeeze_channels: channels between the two 1x1 convolutions, >= 1; the paper takes input_channels / 16.
        activation: class of the inner activation; default `ReLU`.
        scale_activation: class of the outer activation; default `Sigmoid`.
    Call:
        x: float tensor [batch, input_channels, height, width]  ->  tensor of the same shape.
    Raises:
        ValueError: a size below 1.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.SqueezeExcitation(32, 2)(cr.ones((2, 32, 6, 6))).shape
        (2, 32, 6, 6)

    Source: Hu, Shen and Sun, CVPR 2018; names of torchvision's SqueezeExcitation.
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Callable[[], Any] = ReLU,
        scale_activation: Callable[[], Any] = Sigmoid,
    ):
        super().__init__()
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1 = Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, x: Tensor) -> Tensor:
        """Return x times its factors."""
        factors = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))  # [batch, channels, 1, 1]
        return x * factors

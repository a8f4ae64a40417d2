"""LeNet-5, as its paper has it (60,000 trained parameters) and as courses have it (61,706).

    layer    maps    size     window         parameters
    input       1    32x32
    C1          6    28x28    5x5                   156
    S2          6    14x14    2x2, sum               12    one factor and one bias per map
    C3         16    10x10    5x5                 1,516    each map sees 3, 4 or 6 of the 6 maps of S2 (`CONNECTIONS`)
    S4         16    5x5      2x2, sum               32
    C5        120    1x1      5x5                48,120
    F6         84                                10,164
    output     10                                     0    squared distance to a fixed drawing of the digit, 12 x 7

`LeNet5` has all of it: the sparse table of C3, the pooling with trained factors, f(a) = 1.7159 tanh(2a/3) after every
layer up to F6, the Euclidean radial basis functions of the output and the paper's initial values. Its output is minus
the distance, so that the largest wins and `cross_entropy` is the paper's discriminative criterion (equation 9) without
its extra class for rubbish. Two things are ours: the drawings are made after figure 3 of the paper, not copied from the
authors' files; and 28x28 pictures are framed with zeros inside C1 instead of being put on a 32x32 background.

`LeNet5Modern` is what is usually meant today: C3 sees all maps, pooling has no parameters, linear layers at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import nn
from chainrule.core.context import no_grad
from chainrule.core.tensor import Parameter, Tensor
from chainrule.models._parts import FixedSequential, flat, one_of
from chainrule.nn._checks import choice, integer
from chainrule.ops import asarray, concat, conv2d, empty, random, reshape, take, tanh, zeros
from chainrule.ops import sum as total

__all__ = ["CONNECTIONS", "DIGITS", "LeNet5", "LeNet5Modern"]

# Table I of the paper: which maps of S2 each of the 16 maps of C3 sees.
CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# The digits as 12 rows of 7 columns, "#" for +1 and "." for -1; one digit below the other side by side.
_DRAWN = """
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
..###.. ...##.. .#####. .#####. .....#. #######  ..####. ####### .#####. .#####.
.##.##. ..###.. ##...## ##...## ....##. ##.....  .##.... ##...## ##...## ##...##
##...## .#.##.. #.....# ......# ...###. ##.....  ##..... .....## ##...## ##...##
##...## ...##.. ......# .....## ..##.#. ##.....  ##..... ....##. ##...## ##...##
##...## ...##.. .....## ..####. .##..#. ######.  ######. ....##. .#####. .######
##...## ...##.. ....##. .....## ##...#. .....##  ##...## ...##.. ##...## .....##
##...## ...##.. ...##.. ......# ####### ......#  ##...## ...##.. ##...## .....##
##...## ...##.. ..##... ......# .....#. ......#  ##...## ..##... ##...## .....##
.##.##. ...##.. .##.... ##...## .....#. ##...##  ##...## ..##... ##...## ....##.
..###.. ..####. ####### .#####. .....#. .#####.  .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... .......  ....... ....... ....... .......
"""
DIGITS = tuple("".join(rows) for rows in zip(*(line.split() for line in _DRAWN.split("\n")[1:-1]), strict=True))


# ------------------------------------------------------------------------------------------------ the paper's layers
class ScaledTanh(nn.Module):
    """The paper's squashing function, y = 1.7159 tanh(2x/3): about 1 at 1 and -1 at -1, where it bends most."""

    def forward(self, x: Tensor) -> Tensor:
        """Return 1.7159 tanh(2x/3)."""
        return 1.7159 * tanh(x * (2.0 / 3.0))


class Subsampling(nn.Module):
    """Pooling with a trained factor and bias per map: y = factor (sum over each 2x2 window) + bias."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.weight, self.bias = Parameter(empty((channels,))), Parameter(empty((channels,)))
        self.reset_parameters()

    def reset_parameters(self, generator: Any = None) -> None:
        """Draw new initial values: U(-2.4 / 4, 2.4 / 4), for the four inputs of a window."""
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -0.6, 0.6, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums of the windows, scaled and moved."""
        weight, bias = (reshape(p, (1, self.channels, 1, 1)) for p in (self.weight, self.bias))
        return nn.functional.avg_pool2d(x, 2) * (4.0 * weight) + bias


class SparseConv2d(nn.Module):
    """A convolution in which each output map sees some of the input maps: one kernel per connection, no others.

    The kernels stand in a row, [connections, height, width]; for the convolution they are put into a dense weight,
    whose other places hold zeros and are no parameters.
    """

    def __init__(self, connections: tuple[tuple[int, ...], ...], in_channels: int, kernel_size: int):
        super().__init__()
        self.connections, self.in_channels, self.kernel_size = connections, in_channels, kernel_size
        count = sum(map(len, connections))
        self.weight = Parameter(empty((count, kernel_size, kernel_size)))
        self.bias = Parameter(empty((len(connections),)))
        places, number = np.full((len(connections), in_channels), count), 0  # `count` is the kernel of zeros
        for out, seen in enumerate(connections):
            for channel in seen:
                places[out, channel], number = number, number + 1
        self.register_buffer("places", asarray(places.reshape(-1)), persistent=False)
        self.reset_parameters()

    def reset_parameters(self, generator: Any = None) -> None:
        """Draw new initial values: U(-2.4 / n, 2.4 / n) for the n inputs of each output."""
        area = self.kernel_size**2
        bounds = np.array([2.4 / (len(seen) * area) for seen in self.connections], np.float32)
        each = np.repeat(bounds, [len(seen) for seen in self.connections])
        for parameter, bound in ((self.weight, each.reshape(-1, 1, 1)), (self.bias, bounds)):
            nn.init.uniform_(parameter, -1.0, 1.0, generator=generator)
            with no_grad():
                parameter.assign_(parameter * asarray(bound, dtype=parameter.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution with the dense weight."""
        size = self.kernel_size
        kernels = concat([self.weight, zeros((1, size, size), dtype=self.weight.dtype)], axis=0)
        dense = reshape(take(kernels, self.places, axis=0), (len(self.connections), self.in_channels, size, size))
        return conv2d(x, dense, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.in_channels}, {len(self.connections)}, kernel_size={self.kernel_size}"


class Distances(nn.Module):
    """Minus the squared Euclidean distance to each class's fixed code of +1 and -1."""

    def __init__(self, codes: Tensor):
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, x: Tensor) -> Tensor:
        """Return -sum (x - code)^2 for each code."""
        away = reshape(x, (x.shape[0], 1, x.shape[1])) - self.codes  # [batch, classes, 84]
        return -total(away * away, axis=2)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return ", ".join(map(str, self.codes.shape[::-1]))


def output_codes(num_classes: int) -> Tensor:
    """Return the codes of the outputs, float32 [num_classes, 84]: drawn digits for ten classes, else random signs."""
    if num_classes == 10:
        return asarray(np.array([[1.0 if c == "#" else -1.0 for c in digit] for digit in DIGITS], np.float32))
    return random.bernoulli(0.5, (num_classes, 84), dtype="float32") * 2.0 - 1.0


# ---------------------------------------------------------------------------------------------------- the networks
class LeNet5(nn.Module):
    """LeNet-5 of 1998 with 60,000 trained parameters: sparse C3, trained pooling, scaled tanh, distances as output.

        C1 - S2 - C3 - S4 - C5 - F6 - minus the squared distance to the drawing of each digit

    Args:
        num_classes: outputs, >= 1; ten have the drawings of the digits as codes, other numbers codes of +1 and -1 at
            random, which the paper calls possible as well; default 10.
        in_channels: channels of the pictures, >= 1; default 1.
        input_size: side of the pictures, 28 (framed by two zeros on each side) or 32, the paper's; default 28.

    Call:
        x: float tensor [batch, in_channels, input_size, input_size]; the paper scales white to -0.1 and black to 1.175,
            so that mean and variance are about 0 and 1  ->  logits [batch, num_classes], all <= 0.

    Raises:
        ValueError: a number below 1, or another size.

    Example:
        >>> model = LeNet5()
        >>> model(cr.zeros((2, 1, 28, 28))).shape, sum(p.size for p in model.parameters())
        ((2, 10), 60000)

    Source: LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86 (1998), section II.B.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, input_size: int = 28):
        super().__init__()
        self.num_classes = integer("LeNet5", "num_classes", num_classes)
        self.in_channels = in_channels
        self.input_size = one_of("LeNet5", "input_size", input_size, (28, 32))
        self.c1 = nn.Conv2d(in_channels, 6, 5, padding=(32 - input_size) // 2)
        self.s2 = Subsampling(6)
        self.c3 = SparseConv2d(CONNECTIONS, 6, 5)
        self.s4 = Subsampling(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.squash = ScaledTanh()
        self.output = Distances(output_codes(num_classes))
        for layer in (self.c1, self.c5, self.f6):
            bound = 2.4 / nn.init.calculate_fans(layer.weight)[0]
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what F6 gets, [batch, 120]."""
        x = self.squash(self.c1(x))  # [batch, 6, 28, 28]
        x = self.squash(self.s2(x))  # [batch, 6, 14, 14]
        x = self.squash(self.c3(x))  # [batch, 16, 10, 10]
        x = self.squash(self.s4(x))  # [batch, 16, 5, 5]
        return flat(self.squash(self.c5(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Return minus the distance to each class."""
        x = self.squash(self.f6(self.forward_features(x)))  # [batch, 84]
        return self.output(x)


class LeNet5Modern(FixedSequential):
    """LeNet-5 as courses have it: 61,706 parameters, C3 sees all maps, plain pooling, a linear layer at the end.

    Args:
        num_classes: outputs, >= 1; default 10.
        in_channels: channels of the pictures, >= 1; default 1.
        input_size: side of the pictures, 28 (framed by two zeros on each side) or 32; default 28.
        activation: "tanh", "sigmoid" or "relu"; default "tanh".
        pooling: "avg" or "max"; default "avg".

    Call:
        x: float tensor [batch, in_channels, input_size, input_size]  ->  logits [batch, num_classes].

    Raises:
        ValueError: a number below 1, another size, activation or pooling.

    Example:
        >>> model = LeNet5Modern()
        >>> model(cr.zeros((2, 1, 28, 28))).shape, sum(p.size for p in model.parameters())
        ((2, 10), 61706)

    Source: LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86 (1998), in the form of Zhang et al., Dive into Deep
        Learning, section 7.6.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        input_size: int = 28,
        activation: str = "tanh",
        pooling: str = "avg",
    ):
        kinds = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}
        self.num_classes, self.in_channels = num_classes, in_channels
        self.input_size = one_of("LeNet5Modern", "input_size", input_size, (28, 32))
        self.activation = choice("LeNet5Modern", "activation", activation, tuple(kinds))
        self.pooling = choice("LeNet5Modern", "pooling", pooling, ("avg", "max"))
        act, pool = kinds[activation], nn.AvgPool2d if pooling == "avg" else nn.MaxPool2d
        super().__init__(
            nn.Conv2d(in_channels, 6, 5, padding=(32 - input_size) // 2), act(), pool(2),  # [batch, 6, 14, 14]
            nn.Conv2d(6, 16, 5), act(), pool(2),                                           # [batch, 16, 5, 5]
            nn.Flatten(),                                                                  # [batch, 400]
            nn.Linear(400, 120), act(),
            nn.Linear(120, 84), act(),
            nn.Linear(84, num_classes),
        )  # fmt: skip

    extra_repr = nn.Module.extra_repr

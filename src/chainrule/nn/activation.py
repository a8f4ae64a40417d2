"""Activations as layers, with PyTorch's names and arguments; the formulas are those of `nn.functional`."""

from __future__ import annotations

from typing import Any

from chainrule.core.errors import DTypeError
from chainrule.core.tensor import Parameter, Tensor
from chainrule.nn import functional as F
from chainrule.nn._checks import choice, float_dtype, integer, number, refuse, tensor_input
from chainrule.nn.module import Module
from chainrule.ops import full

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Identity",
    "LeakyReLU",
    "LogSoftmax",
    "PReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Swish",
    "Tanh",
]


def _floats(layer: Module, x: Any) -> Tensor:
    """Return the input, refused in the layer's words if it is no float tensor."""
    if not tensor_input(layer, x).dtype.is_float:
        raise refuse(DTypeError, f"{layer} needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    return x


class Identity(Module):
    """Return the input itself.

    Call:
        x: tensor of any shape  ->  x.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Identity()(cr.ones(2))
        tensor([1., 1.], shape=(2,), dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Sigmoid(Module):
    """Squash into (0, 1).

        y = 1 / (1 + e^-x)

    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Sigmoid()(cr.asarray([0.0]))
        tensor([0.5], shape=(1,), dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return sigmoid(x)."""
        return F.sigmoid(_floats(self, x))


class Tanh(Module):
    """Squash into (-1, 1).

        y = (e^x - e^-x) / (e^x + e^-x)

    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Tanh()(cr.asarray([0.0]))
        tensor([0.], shape=(1,), dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return tanh(x)."""
        return F.tanh(_floats(self, x))


class ReLU(Module):
    """Cut off what is negative; the derivative at 0 is 0.

        y = max(x, 0)

    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.ReLU()(cr.asarray([-1.0, 2.0]))
        tensor([0., 2.], shape=(2,), dtype=float32)

    Source: Nair and Hinton, ICML 2010.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x)."""
        return F.relu(_floats(self, x))


class LeakyReLU(Module):
    """Multiply what is negative by a small slope.

        y = x for x > 0,   negative_slope x otherwise

    Args:
        negative_slope: slope for x <= 0; default 0.01.
    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.
    Raises:
        ValueError: the slope is no number.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.LeakyReLU(0.1)(cr.asarray([-1.0, 2.0]))
        tensor([-0.1,  2. ], shape=(2,), dtype=float32)

    Source: Maas, Hannun and Ng, ICML 2013.
    """

    def __init__(self, negative_slope: float = 0.01):
        super().__init__()
        self.negative_slope = number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        """Return leaky_relu(x)."""
        return F.leaky_relu(_floats(self, x), self.negative_slope)


class PReLU(Module):
    """Multiply what is negative by a learned slope.

        y = x for x > 0,   a x otherwise

    Args:
        num_parameters: 1 slope for all, or one for each of so many channels (axis 1); default 1.
        init: initial slope; default 0.25.
        dtype: float dtype of the slopes; default float32.
    Call:
        x: float tensor [batch, channels, ...]  ->  tensor of the same shape and dtype.
    Attributes:
        weight: the slopes a, [num_parameters].
    Raises:
        ValueError: num_parameters below 1.
        ShapeError: the input has another number of channels.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.PReLU()(cr.asarray([-1.0, 2.0]))
        tensor([-0.25,  2.  ], shape=(2,), dtype=float32, requires_grad=True)

    Source: He et al., ICCV 2015.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = None):
        super().__init__()
        self.num_parameters = integer("PReLU", "num_parameters", num_parameters)
        self.init = number("PReLU", "init", init)
        self.weight = Parameter(full((num_parameters,), self.init, dtype=float_dtype("PReLU", dtype)))

    def forward(self, x: Tensor) -> Tensor:
        """Return prelu(x)."""
        return F.prelu(_floats(self, x), self.weight)

    def _arguments(self) -> dict[str, Any]:
        name = self.weight.dtype.name
        return {"dtype": None if name == "float32" else name}


class ELU(Module):
    """Let what is negative approach -alpha exponentially.

        y = x for x > 0,   alpha (e^x - 1) otherwise

    Args:
        alpha: the limit to the left is -alpha; default 1.
    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.
    Raises:
        ValueError: alpha is no number.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.ELU()(cr.asarray([-1000.0, 2.0]))
        tensor([-1.,  2.], shape=(2,), dtype=float32)

    Source: Clevert, Unterthiner and Hochreiter, ICLR 2016.
    """

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = number("ELU", "alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Return elu(x)."""
        return F.elu(_floats(self, x), self.alpha)


class SELU(Module):
    """The scaled ELU, whose constants keep mean 0 and variance 1 from layer to layer.

        y = 1.0507 elu(x, alpha=1.6733)

    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.SELU()(cr.asarray([0.0]))
        tensor([0.], shape=(1,), dtype=float32)

    Source: Klambauer et al., NIPS 2017; initialise with `init.lecun_normal_`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return selu(x)."""
        return F.selu(_floats(self, x))


class SiLU(Module):
    """Multiply x by its sigmoid; also called Swish.

        y = x / (1 + e^-x)

    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.SiLU()(cr.asarray([0.0]))
        tensor([0.], shape=(1,), dtype=float32)

    Source: Elfwing et al., Neural Networks 107 (2018).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return silu(x)."""
        return F.silu(_floats(self, x))


Swish = SiLU


class GELU(Module):
    """Multiply x by the normal distribution function of x.

        y = x P(N <= x)

    Args:
        approximate: "none" for the exact function, "tanh" for the approximation by tanh; default "none".
    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.
    Raises:
        ValueError: another word for `approximate`.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.GELU()(cr.asarray([0.0]))
        tensor([0.], shape=(1,), dtype=float32)

    Source: Hendrycks and Gimpel, arXiv 1606.08415.
    """

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = choice("GELU", "approximate", approximate, ("none", "tanh"))

    def forward(self, x: Tensor) -> Tensor:
        """Return gelu(x)."""
        return F.gelu(_floats(self, x), self.approximate)


class Softplus(Module):
    """A smooth ReLU.

        y = log(1 + e^(beta x)) / beta,   x itself where beta x > threshold

    Args:
        beta: sharpness of the bend, > 0; default 1.
        threshold: where the function goes over into x; default 20.
    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype.
    Raises:
        ValueError: beta is not positive.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Softplus()(cr.asarray([1000.0]))
        tensor([1000.], shape=(1,), dtype=float32)

    Source: Dugas et al., NIPS 2000.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta = number("Softplus", "beta", beta, 0.0, ends="(]")
        self.threshold = number("Softplus", "threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        """Return softplus(x)."""
        return F.softplus(_floats(self, x), self.beta, self.threshold)


def _dim(owner: str, dim: Any) -> int:
    """Return the axis of the classes; without one, say which it is for the usual shapes."""
    if dim is None:
        raise ValueError(
            f"{owner}.dim must be an int: the axis whose probabilities add up to 1, "
            f"which is 1 for [batch, classes] and [batch, classes, height, width]; write {owner}(dim=1)."
        )
    return integer(owner, "dim", dim, low=None)


class Softmax(Module):
    """Turn logits into probabilities along one axis; before a cross-entropy loss it is a mistake.

        y = e^x / sum(e^x)

    Args:
        dim: the axis whose probabilities add up to 1; it must be given.
    Call:
        x: float tensor [..., classes, ...]  ->  tensor of the same shape and dtype.
    Raises:
        ValueError: no axis given.
        IndexRangeError: the input has no such axis.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Softmax(dim=1)(cr.zeros((1, 2)))
        tensor([[0.5, 0.5]], shape=(1, 2), dtype=float32)
    """

    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = _dim("Softmax", dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return softmax(x)."""
        return F.softmax(_floats(self, x), self.dim)


class LogSoftmax(Module):
    """Turn logits into the logarithms of probabilities along one axis.

        y = x - log(sum(e^x))

    Args:
        dim: the axis whose probabilities add up to 1; it must be given.
    Call:
        x: float tensor [..., classes, ...]  ->  tensor of the same shape and dtype.
    Raises:
        ValueError: no axis given.
        IndexRangeError: the input has no such axis.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.LogSoftmax(dim=0)(cr.asarray([0.0, 1000.0]))
        tensor([-1000.,     0.], shape=(2,), dtype=float32)
    """

    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = _dim("LogSoftmax", dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return log_softmax(x)."""
        return F.log_softmax(_floats(self, x), self.dim)

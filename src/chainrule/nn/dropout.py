"""Dropout: noise for training that eval mode switches off, per element or per channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn._checks import number, tensor_input
from chainrule.nn._functions import dropout
from chainrule.nn._noise import dropout1d, dropout2d, dropout3d
from chainrule.nn.module import Module
from chainrule.nn.settings import Setting

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d"]


def _rate(owner: str, name: str, value: Any) -> float:
    return number(owner, name, value, 0.0, 1.0, "[)")


class Dropout(Module):
    """Zero each element with probability p and scale the rest, so the mean is kept; eval mode changes nothing.

        y = x m / (1 - p),   m ~ Bernoulli(1 - p)

    Args:
        p: probability of zeroing, in [0, 1); default 0.5. `layer.p = 0.3` takes effect without a new trace.
    Call:
        x: float tensor of any shape  ->  tensor of the same shape and dtype; x itself in eval mode.
    Raises:
        ValueError: p outside [0, 1).

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Dropout(0.5).eval()(cr.ones((2, 3))).shape
        (2, 3)

    Source: Srivastava et al., JMLR 15 (2014); their p is the probability of keeping a unit.
    """

    p = Setting(_rate)

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return x with elements zeroed in train mode, x itself in eval mode."""
        return dropout(x, self.p, self.training)


class _ChannelDropout(Module):
    function: Callable[..., Tensor]
    p = Setting(_rate)

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return x with channels zeroed in train mode, x itself in eval mode."""
        return type(self).function(tensor_input(self, x), self.p, self.training)


class Dropout1d(_ChannelDropout):
    """Zero whole channels of sequences with probability p and scale the rest; eval mode changes nothing.

        y = x m / (1 - p),   m ~ Bernoulli(1 - p), one per channel of each sample

    Args:
        p: probability of zeroing, in [0, 1); default 0.5. `layer.p = 0.3` takes effect without a new trace.
    Call:
        x: float tensor [batch, channels, length], or without the batch axis  ->  tensor of the same shape
            and dtype; x itself in eval mode.
    Raises:
        ValueError: p outside [0, 1).
        ShapeError: another number of axes.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Dropout1d(0.25)
        >>> layer, layer(cr.ones((2, 4, 8))).shape
        (Dropout1d(p=0.25), (2, 4, 8))

    Source: Tompson et al., CVPR 2015: neighbouring pixels are too alike for dropout to separate them.
    """

    function = staticmethod(dropout1d)


class Dropout2d(_ChannelDropout):
    """Zero whole channels of pictures with probability p and scale the rest; eval mode changes nothing.

        y = x m / (1 - p),   m ~ Bernoulli(1 - p), one per channel of each sample

    Args:
        p: probability of zeroing, in [0, 1); default 0.5. `layer.p = 0.3` takes effect without a new trace.
    Call:
        x: float tensor [batch, channels, height, width], or without the batch axis  ->  tensor of the same shape
            and dtype; x itself in eval mode.
    Raises:
        ValueError: p outside [0, 1).
        ShapeError: another number of axes.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Dropout2d(0.25)
        >>> layer, layer(cr.ones((2, 4, 8, 8))).shape
        (Dropout2d(p=0.25), (2, 4, 8, 8))

    Source: Tompson et al., CVPR 2015: neighbouring pixels are too alike for dropout to separate them.
    """

    function = staticmethod(dropout2d)


class Dropout3d(_ChannelDropout):
    """Zero whole channels of volumes with probability p and scale the rest; eval mode changes nothing.

        y = x m / (1 - p),   m ~ Bernoulli(1 - p), one per channel of each sample

    Args:
        p: probability of zeroing, in [0, 1); default 0.5. `layer.p = 0.3` takes effect without a new trace.
    Call:
        x: float tensor [batch, channels, depth, height, width], or without the batch axis  ->  tensor of the same shape
            and dtype; x itself in eval mode.
    Raises:
        ValueError: p outside [0, 1).
        ShapeError: another number of axes.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Dropout3d(0.25)
        >>> layer, layer(cr.ones((2, 4, 8, 8, 8))).shape
        (Dropout3d(p=0.25), (2, 4, 8, 8, 8))

    Source: Tompson et al., CVPR 2015: neighbouring pixels are too alike for dropout to separate them.
    """

    function = staticmethod(dropout3d)

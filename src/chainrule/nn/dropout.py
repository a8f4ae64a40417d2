"""Dropout: noise for training that eval mode switches off."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn._checks import number
from chainrule.nn._functions import dropout
from chainrule.nn.module import Module
from chainrule.nn.settings import Setting

__all__ = ["Dropout"]


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

"""The cross-entropy of recipes: that of one output, or of several where a network has auxiliary classifiers.

loss = CE(logits) + auxiliary (CE(aux_logits1) + CE(aux_logits2))          in training; CE(logits) where it measures
"""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn import CrossEntropyLoss
from chainrule.nn._checks import number

__all__ = ["CrossEntropy"]


class CrossEntropy(CrossEntropyLoss):
    """The cross-entropy of class logits, and in part that of auxiliary classifiers.

    Args:
        weight: factor of each class, numbers or a tensor [classes]; default none.
        ignore_index: a label that counts nothing; default -100.
        reduction: "mean", "sum" or "none"; default "mean".
        label_smoothing: share of the target spread over all classes, in [0, 1]; default 0.
        auxiliary: weight of the losses of auxiliary classifiers, where the network has such, >= 0; default 0.3, as
            GoogLeNet's paper.

    Call:
        input, target: logits [batch, classes] or a tuple of such, the network's own first, and labels [batch]  ->
            0-d tensor.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> logits, labels = cr.zeros((2, 10)), cr.asarray([3, 7])
        >>> one, three = CrossEntropy()(logits, labels), CrossEntropy()((logits, logits, logits), labels)
        >>> round(float(three / one), 6)
        1.6

    Source: Szegedy et al., CVPR 2015, section 5.
    """

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        auxiliary: float = 0.3,
    ):
        super().__init__(weight, ignore_index, reduction, label_smoothing)
        self.auxiliary = number("CrossEntropyLoss", "auxiliary", auxiliary, 0.0)

    def forward(self, input: Any, target: Tensor) -> Tensor:
        """Return the loss."""
        if not isinstance(input, tuple):
            return super().forward(input, target)
        first, *others = (super(CrossEntropy, self).forward(each, target) for each in input)
        for other in others:
            first = first + self.auxiliary * other
        return first

"""Losses of class scores against class labels as modules; the formulas are those of `nn.functional`."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn._checks import integer, number
from chainrule.nn.loss import Loss
from chainrule.nn.settings import Setting

__all__ = ["CrossEntropyLoss", "MultiMarginLoss", "NLLLoss"]


def _share(owner: str, name: str, value: Any) -> float:
    return number(owner, name, value, 0.0, 1.0)


class CrossEntropyLoss(Loss):
    """The cross-entropy of class logits: softmax and negative log-likelihood in one; put no softmax before it.

    Args:
        weight: factor of each class, numbers or a tensor [classes]; default none.
        ignore_index: a label that counts nothing; default -100.
        reduction: "mean", "sum" or "none"; default "mean". A batch in which every label is ignored has the mean NaN.
        label_smoothing: share of the target spread over all classes, in [0, 1]; default 0. Assigning another value
            takes effect without a new trace, except from a loss made with 0, which leaves the arithmetic out.
    Call:
        input, target: logits [batch, classes, ...], and labels [batch, ...] or probabilities like the logits
            ->  0-d tensor, or one of the labels' shape.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: the shapes do not fit.
        IndexRangeError: a label out of range.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.CrossEntropyLoss()(cr.zeros((2, 10)), cr.asarray([3, 7]))
        tensor(2.3025851, shape=(), dtype=float32)

    Source: label smoothing: Szegedy et al., CVPR 2016.
    """

    label_smoothing = Setting(_share, off_at_zero=True)

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ):
        super().__init__(reduction)
        self._factor("weight", weight, axes=1)
        self.ignore_index = integer("CrossEntropyLoss", "ignore_index", ignore_index, low=None)
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(Loss):
    """The negative log-likelihood of labels under log-probabilities; after LogSoftmax it is the cross-entropy.

    Args:
        weight: factor of each class, numbers or a tensor [classes]; default none.
        ignore_index: a label that counts nothing; default -100.
        reduction: "mean", "sum" or "none"; default "mean".
    Call:
        input, target: log-probabilities [batch, classes, ...], labels [batch, ...]  ->  0-d tensor, or one of the
            labels' shape.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: the shapes do not fit.
        IndexRangeError: a label out of range.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.NLLLoss()(cr.asarray([[-1.0, -2.0]]), cr.asarray([1]))
        tensor(2., shape=(), dtype=float32)
    """

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction)
        self._factor("weight", weight, axes=1)
        self.ignore_index = integer("NLLLoss", "ignore_index", ignore_index, low=None)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class MultiMarginLoss(Loss):
    """The multi-class hinge loss.

    Args:
        p: 1 or 2; default 1.
        margin: wanted distance of the right class; default 1.
        weight: factor of each class, numbers or a tensor [classes]; default none.
        reduction: "mean", "sum" or "none"; default "mean".
    Call:
        input, target: scores [batch, classes], labels [batch]  ->  0-d tensor, or one of the labels' shape.
    Raises:
        ValueError: p is neither 1 nor 2, or another word for the reduction.
        ShapeError: the shapes do not fit.
        IndexRangeError: a label out of range.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.MultiMarginLoss()(cr.asarray([[0.0, 0.5]]), cr.asarray([1]))
        tensor(0.25, shape=(), dtype=float32)

    Source: Crammer and Singer, JMLR 2 (2001).
    """

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"):
        super().__init__(reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss.p must be 1 or 2; got {p!r}.")
        self.p = p
        self.margin = number("MultiMarginLoss", "margin", margin)
        self._factor("weight", weight, axes=1)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, self.reduction)

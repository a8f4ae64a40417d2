"""Losses as modules, with PyTorch's names, arguments and defaults; the formulas are those of `nn.functional`.

All take (input, target) and have `reduction`: "mean" (default), "sum" or "none".
"""

from __future__ import annotations

from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn._checks import choice, flag, number
from chainrule.nn._losses import REDUCTIONS
from chainrule.nn.module import Module
from chainrule.ops import asarray

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "SmoothL1Loss",
]


class Loss(Module):
    """What all losses share: the reduction, and a factor per class or element kept as a buffer."""

    def __init__(self, reduction: str, options: tuple[str, ...] = REDUCTIONS):
        super().__init__()
        self.reduction = choice(type(self).__name__, "reduction", reduction, options)

    def _factor(self, name: str, value: Any, axes: int | None = None) -> None:
        tensor = None if value is None else asarray(value)
        if tensor is not None and axes is not None and tensor.ndim != axes:
            raise ShapeError(
                f"{type(self).__name__}.{name} must be a vector, one number per class; got the shape {tensor.shape}."
            )
        self.register_buffer(name, tensor)


class MSELoss(Loss):
    """The squared error, (x - y)^2.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".
    Call:
        input, target: tensors of one shape  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: another word for the reduction.
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.MSELoss()(cr.asarray([1.0, 2.0]), cr.asarray([1.0, 4.0]))
        tensor(2., shape=(), dtype=float32)
    """

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.mse_loss(input, target, self.reduction)


class L1Loss(Loss):
    """The absolute error, |x - y|.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".
    Call:
        input, target: tensors of one shape  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: another word for the reduction.
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.L1Loss()(cr.asarray([1.0, 2.0]), cr.asarray([1.0, 4.0]))
        tensor(1., shape=(), dtype=float32)
    """

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.l1_loss(input, target, self.reduction)


class HuberLoss(Loss):
    """A squared error that goes over into an absolute one at delta.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".
        delta: where the two pieces meet, > 0; default 1.
    Call:
        input, target: tensors of one shape  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: delta is not positive, or another word for the reduction.
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.HuberLoss()(cr.asarray([0.0]), cr.asarray([3.0]))
        tensor(2.5, shape=(), dtype=float32)

    Source: Huber, Annals of Mathematical Statistics 35 (1964).
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction)
        self.delta = number("HuberLoss", "delta", delta, 0.0, ends="(]")

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class SmoothL1Loss(Loss):
    """An absolute error that is rounded off near 0: the Huber loss divided by its delta.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".
        beta: where the two pieces meet, >= 0; default 1.
    Call:
        input, target: tensors of one shape  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: beta is negative, or another word for the reduction.
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.SmoothL1Loss()(cr.asarray([0.0]), cr.asarray([3.0]))
        tensor(2.5, shape=(), dtype=float32)

    Source: Girshick, Fast R-CNN, ICCV 2015.
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction)
        self.beta = number("SmoothL1Loss", "beta", beta, 0.0)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class BCELoss(Loss):
    """The two-class cross-entropy of probabilities; for logits use BCEWithLogitsLoss, which is more exact.

    Args:
        weight: factor of each element, numbers or a tensor that broadcasts; default none.
        reduction: "mean", "sum" or "none"; default "mean".
    Call:
        input, target: tensors of one shape, in [0, 1]  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: another word for the reduction.
        ShapeError: the shapes differ.
        DataError: a probability outside [0, 1].

    Example:
        >>> import chainrule as cr
        >>> cr.nn.BCELoss()(cr.asarray([0.5]), cr.asarray([1.0]))
        tensor(0.6931472, shape=(), dtype=float32)
    """

    def __init__(self, weight: Any = None, reduction: str = "mean"):
        super().__init__(reduction)
        self._factor("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(Loss):
    """The two-class logistic loss of logits.

    Args:
        weight: factor of each element, numbers or a tensor that broadcasts; default none.
        reduction: "mean", "sum" or "none"; default "mean".
        pos_weight: factor of the positive class, numbers or a tensor that broadcasts; default 1.
    Call:
        input, target: tensors of one shape  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: another word for the reduction.
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.BCEWithLogitsLoss()(cr.asarray([0.0]), cr.asarray([1.0]))
        tensor(0.6931472, shape=(), dtype=float32)
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        super().__init__(reduction)
        self._factor("weight", weight)
        self._factor("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class KLDivLoss(Loss):
    """The Kullback-Leibler divergence of the target from a prediction given as log-probabilities.

    Args:
        reduction: "mean" over all elements, "batchmean" (per sample, the divergence), "sum" or "none"; default "mean".
        log_target: whether the target is given as logarithms; default False.
    Call:
        input, target: log-probabilities and probabilities of one shape  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: another word for the reduction.
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> x = cr.log(cr.asarray([[0.5, 0.5]]))
        >>> cr.nn.KLDivLoss("batchmean")(x, cr.asarray([[1.0, 0.0]]))
        tensor(0.6931472, shape=(), dtype=float32)
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction, ("none", "mean", "batchmean", "sum"))
        self.log_target = flag("KLDivLoss", "log_target", log_target)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.kl_div(input, target, self.reduction, self.log_target)


class HingeLoss(Loss):
    """The two-class hinge loss of a support vector machine, max(0, margin - y x).

    Args:
        reduction: "mean", "sum" or "none"; default "mean".
        margin: a score beyond it costs nothing, > 0; default 1.
    Call:
        input, target: scores and classes -1 or 1, of one shape  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: margin is not positive, or another word for the reduction.
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.HingeLoss()(cr.asarray([0.5]), cr.asarray([-1.0]))
        tensor(1.5, shape=(), dtype=float32)

    Source: Cortes and Vapnik, Machine Learning 20 (1995).
    """

    def __init__(self, reduction: str = "mean", margin: float = 1.0):
        super().__init__(reduction)
        self.margin = number("HingeLoss", "margin", margin, 0.0, ends="(]")

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.hinge_loss(input, target, self.reduction, self.margin)


class HingeEmbeddingLoss(Loss):
    """A loss of distances: x for similar pairs (y = 1), the lack of distance for dissimilar ones (y = -1).

    Args:
        margin: distance at which a dissimilar pair costs nothing; default 1.
        reduction: "mean", "sum" or "none"; default "mean".
    Call:
        input, target: distances and 1 or -1, of one shape  ->  0-d tensor, or one of their shape.
    Raises:
        ValueError: another word for the reduction.
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.HingeEmbeddingLoss()(cr.asarray([0.25]), cr.asarray([-1]))
        tensor(0.75, shape=(), dtype=float32)
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction)
        self.margin = number("HingeEmbeddingLoss", "margin", margin)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.hinge_embedding_loss(input, target, self.margin, self.reduction)


class CosineEmbeddingLoss(Loss):
    """A loss of angles: 1 - cos for similar pairs (y = 1), max(0, cos - margin) for dissimilar ones (y = -1).

    Args:
        margin: a cosine below it costs nothing for a dissimilar pair, in [-1, 1]; default 0.
        reduction: "mean", "sum" or "none"; default "mean".
    Call:
        input1, input2, target: two tensors [batch, features], and 1 or -1 [batch]  ->  0-d tensor, or one of shape
            [batch].
    Raises:
        ValueError: margin outside [-1, 1], or another word for the reduction.
        ShapeError: the shapes do not fit.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray([[1.0, 0.0]])
        >>> cr.nn.CosineEmbeddingLoss()(x, 2.0 * x, cr.asarray([1]))
        tensor(0., shape=(), dtype=float32)
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean"):
        super().__init__(reduction)
        self.margin = number("CosineEmbeddingLoss", "margin", margin, -1.0, 1.0)

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)

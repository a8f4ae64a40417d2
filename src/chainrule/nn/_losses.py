"""Losses that compare a prediction with a target of the same shape: squared, absolute, two-class, divergence, cosine.

Every loss has `reduction`: "mean" over all elements (default), "sum", or "none". Prediction and target of different
shapes are refused: broadcasting [32, 1] against [32] would give the mean of 32 x 32 differences.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import choice, equal_shapes, number, refuse, tensor_input
from chainrule.ops import abs as magnitude
from chainrule.ops import exp, log, maximum, mean, relu, softplus, sqrt, square, where
from chainrule.ops import sum as total
from chainrule.ops._inputs import as_tensor
from chainrule.ops.guard import check_probabilities

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
]

REDUCTIONS = ("none", "mean", "sum")


def reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    """Return the losses, their mean, or their sum."""
    choice(name, "reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return losses
    return mean(losses) if reduction == "mean" else total(losses)


def _pair(name: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    x, y = tensor_input(name, input), tensor_input(name, target, "target")
    equal_shapes(name, x, y)
    return x, y


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the squared error.

        (x - y)^2

    Args:
        input: prediction, float tensor of any shape.
        target: tensor of the same shape.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.mse_loss(cr.asarray([1.0, 2.0]), cr.asarray([1.0, 4.0]))
        tensor(2., shape=(), dtype=float32)
    """
    x, y = _pair("mse_loss", input, target)
    return reduced("mse_loss", square(x - y), reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the absolute error; its derivative at 0 is 0.

        |x - y|

    Args:
        input: prediction, float tensor of any shape.
        target: tensor of the same shape.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.l1_loss(cr.asarray([1.0, 2.0]), cr.asarray([1.0, 4.0]))
        tensor(1., shape=(), dtype=float32)
    """
    x, y = _pair("l1_loss", input, target)
    return reduced("l1_loss", magnitude(x - y), reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Return a squared error that goes over into an absolute one where it is large.

        d^2 / 2 for |d| <= delta,   delta (|d| - delta / 2) beyond,   d = x - y

    Args:
        input: prediction, float tensor of any shape.
        target: tensor of the same shape.
        reduction: "mean", "sum" or "none"; default "mean".
        delta: where the two pieces meet, > 0; default 1.

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.
        ValueError: delta is not positive.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.huber_loss(cr.asarray([0.0, 0.0]), cr.asarray([1.0, 3.0]), reduction="none")
        tensor([0.5, 2.5], shape=(2,), dtype=float32)

    Source: Huber, Annals of Mathematical Statistics 35 (1964).
    """
    delta = number("huber_loss", "delta", delta, 0.0, ends="(]")
    x, y = _pair("huber_loss", input, target)
    d = x - y
    a = magnitude(d)
    return reduced("huber_loss", where(a <= delta, 0.5 * d * d, delta * (a - 0.5 * delta)), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Return an absolute error that is rounded off near 0: the Huber loss divided by its delta.

        d^2 / (2 beta) for |d| < beta,   |d| - beta / 2 beyond,   d = x - y

    Args:
        input: prediction, float tensor of any shape.
        target: tensor of the same shape.
        reduction: "mean", "sum" or "none"; default "mean".
        beta: where the two pieces meet, >= 0; 0 gives the absolute error; default 1.

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.
        ValueError: beta is negative.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.smooth_l1_loss(cr.asarray([0.0, 0.0]), cr.asarray([1.0, 3.0]), reduction="none")
        tensor([0.5, 2.5], shape=(2,), dtype=float32)

    Source: Girshick, Fast R-CNN, ICCV 2015.
    """
    beta = number("smooth_l1_loss", "beta", beta, 0.0)
    x, y = _pair("smooth_l1_loss", input, target)
    d = x - y
    a = magnitude(d)
    losses = a if beta == 0.0 else where(a < beta, (0.5 / beta) * d * d, a - 0.5 * beta)
    return reduced("smooth_l1_loss", losses, reduction)


# ---------------------------------------------------------------------------------------------------- two classes
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Return the two-class cross-entropy of probabilities; each logarithm is at least -100.

        -(y log p + (1 - y) log(1 - p))

    Args:
        input: probabilities, float tensor of any shape, in [0, 1].
        target: probability of class 1, tensor of the same shape, in [0, 1].
        weight: factor of each element, a tensor that broadcasts; default none.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.
        DataError: a probability outside [0, 1]; logits belong into `binary_cross_entropy_with_logits`.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.binary_cross_entropy(cr.asarray([0.5, 1.0]), cr.asarray([1.0, 1.0]), reduction="sum")
        tensor(0.6931472, shape=(), dtype=float32)
    """
    x, y = _pair("binary_cross_entropy", input, target)
    p = check_probabilities(x)
    losses = -(y * _clamped_log(p) + (1.0 - y) * _clamped_log(1.0 - p))
    return reduced("binary_cross_entropy", losses if weight is None else losses * weight, reduction)


def _clamped_log(p: Tensor) -> Tensor:
    """Return max(log p, -100), whose gradient at 0 is 0 and never NaN; NaN stays NaN."""
    zero = p == 0.0
    return where(zero, -100.0, maximum(log(where(zero, 1.0, p)), -100.0))


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the two-class logistic loss of logits, without overflow.

        -(w y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))),   w = pos_weight

    Args:
        input: logits, float tensor of any shape.
        target: probability of class 1, tensor of the same shape, in [0, 1].
        weight: factor of each element, a tensor that broadcasts; default none.
        reduction: "mean", "sum" or "none"; default "mean".
        pos_weight: factor of the positive class, a tensor that broadcasts; default 1.

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.binary_cross_entropy_with_logits(cr.asarray([0.0, 1000.0]), cr.asarray([1.0, 1.0]))
        tensor(0.3465736, shape=(), dtype=float32)
    """
    x, y = _pair("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        losses = softplus(x) - x * y
    else:
        losses = (1.0 - y) * x + (1.0 + (as_tensor(pos_weight, x) - 1.0) * y) * softplus(-x)
    return reduced("binary_cross_entropy_with_logits", losses if weight is None else losses * weight, reduction)


def hinge_loss(input: Tensor, target: Tensor, reduction: str = "mean", margin: float = 1.0) -> Tensor:
    """Return the two-class hinge loss of a support vector machine; its derivative at the margin is 0.

        max(0, margin - y x)

    Args:
        input: scores, float tensor of any shape.
        target: classes, -1 or 1, tensor of the same shape.
        reduction: "mean", "sum" or "none"; default "mean".
        margin: a score beyond it costs nothing, > 0; default 1.

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.
        ValueError: margin is not positive.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.hinge_loss(cr.asarray([2.0, 0.5]), cr.asarray([1.0, -1.0]), reduction="none")
        tensor([0. , 1.5], shape=(2,), dtype=float32)

    Source: Cortes and Vapnik, Machine Learning 20 (1995).
    """
    margin = number("hinge_loss", "margin", margin, 0.0, ends="(]")
    x, y = _pair("hinge_loss", input, target)
    return reduced("hinge_loss", relu(margin - y * x), reduction)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """Return a loss of distances: x for similar pairs (y = 1), the lack of distance for dissimilar ones (y = -1).

        x for y = 1,   max(0, margin - x) for y = -1

    Args:
        input: distances, float tensor of any shape.
        target: 1 or -1, tensor of the same shape.
        margin: distance at which a dissimilar pair costs nothing; default 1.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.hinge_embedding_loss(cr.asarray([0.2, 0.2]), cr.asarray([1, -1]), reduction="none")
        tensor([0.2, 0.8], shape=(2,), dtype=float32)
    """
    x, y = _pair("hinge_embedding_loss", input, target)
    margin = number("hinge_embedding_loss", "margin", margin)
    return reduced("hinge_embedding_loss", where(y != -1, x, 0.0) + where(y != 1, relu(margin - x), 0.0), reduction)


# ------------------------------------------------------------------------------------------------ distributions, angles
def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Return the Kullback-Leibler divergence of the target from a prediction given as log-probabilities.

        t (log t - x);   with log targets e^t (t - x);   0 where t = 0

    Args:
        input: log-probabilities, float tensor of any shape.
        target: probabilities, or log-probabilities with `log_target`, of the same shape.
        reduction: "mean" over all elements, "batchmean" (the divergence per sample), "sum" or "none"; default "mean".
        log_target: whether the target is given as logarithms; default False.

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import chainrule as cr
        >>> x = cr.log(cr.asarray([[0.5, 0.5]]))
        >>> cr.nn.functional.kl_div(x, cr.asarray([[1.0, 0.0]]), reduction="batchmean")
        tensor(0.6931472, shape=(), dtype=float32)
    """
    choice("kl_div", "reduction", reduction, ("none", "mean", "batchmean", "sum"))
    x, t = _pair("kl_div", input, target)
    if log_target:
        losses = exp(t) * (t - x)
    else:
        zero = t == 0.0
        losses = t * log(where(zero, 1.0, t)) - t * where(zero, 0.0, x)
    if reduction == "batchmean":
        if not losses.ndim:
            raise refuse(ShapeError, 'kl_div: reduction="batchmean" needs a batch axis; the input has the shape ().')
        return total(losses) / losses.shape[0]
    return reduced("kl_div", losses, reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Return a loss of angles: 1 - cos for similar pairs (y = 1), max(0, cos - margin) for dissimilar ones (y = -1).

    Args:
        input1: float tensor [batch, features], or [features].
        input2: tensor of the same shape.
        target: 1 or -1, [batch], or 0-d.
        margin: a cosine below it costs nothing for a dissimilar pair, in [-1, 1]; default 0.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the target's shape.

    Raises:
        ShapeError: the shapes do not fit.
        ValueError: margin outside [-1, 1].

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray([[1.0, 0.0]])
        >>> cr.nn.functional.cosine_embedding_loss(x, 2.0 * x, cr.asarray([1]))
        tensor(0., shape=(), dtype=float32)
    """
    margin = number("cosine_embedding_loss", "margin", margin, -1.0, 1.0)
    a, b = _pair("cosine_embedding_loss", input1, input2)
    y = tensor_input("cosine_embedding_loss", target, "target")
    if y.shape != a.shape[:-1] or a.ndim not in (1, 2):
        raise refuse(
            ShapeError,
            f"cosine_embedding_loss: the inputs have the shape {a.shape} and the target {y.shape}; "
            "they must be [batch, features] and [batch].",
        )
    tiny = 1e-12  # keeps the gradient of a zero vector finite; the value is PyTorch's
    lengths = (total(a * a, axis=-1) + tiny) * (total(b * b, axis=-1) + tiny)
    cos = total(a * b, axis=-1) / sqrt(lengths)
    return reduced(
        "cosine_embedding_loss", where(y == 1, 1.0 - cos, 0.0) + where(y == -1, relu(cos - margin), 0.0), reduction
    )

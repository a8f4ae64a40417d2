"""Losses of class scores against class labels: cross-entropy, negative log-likelihood, multi-class hinge.

Scores are [batch, classes, ...] or [classes], labels [batch, ...] or 0-d. Labels are checked when the data is there: a
label out of range raises, eagerly and in a compiled step. Where every label is ignored, the mean is 0 / 0: NaN, as in
PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

from chainrule.core.dtypes import int64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import choice, integer, number, refuse, tensor_input
from chainrule.nn._losses import REDUCTIONS, reduced
from chainrule.ops import (
    arange,
    expand_dims,
    log_softmax,
    one_hot,
    relu,
    reshape,
    squeeze,
    take,
    take_along_axis,
    where,
)
from chainrule.ops import sum as total
from chainrule.ops._inputs import as_tensor, cast
from chainrule.ops.gather import gather
from chainrule.ops.guard import check_labels

__all__ = ["cross_entropy", "multi_margin_loss", "nll_loss"]


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
) -> Tensor:
    """Return the cross-entropy of class logits: softmax and negative log-likelihood in one stable formula.

        -w[y] log softmax(x)[y],   for probabilities -sum_c w[c] t[c] log softmax(x)[c]

    Args:
        input: logits, float tensor [batch, classes, ...] or [classes]; no softmax before it.
        target: integer labels [batch, ...] in [0, classes), or float probabilities of the input's shape.
        weight: factor of each class, [classes]; default none.
        ignore_index: a label that counts nothing; only for integer labels; default -100.
        reduction: "mean", "sum" or "none"; the mean over labels divides by the sum of their weights, so a batch of
            ignored labels gives NaN; default "mean".
        label_smoothing: share of the target spread evenly over all classes, in [0, 1]: a number, or a 0-d tensor that
            may change between compiled calls; default 0.

    Returns:
        0-d tensor; with "none" a tensor of the labels' shape.

    Raises:
        ShapeError: the shapes do not fit.
        IndexRangeError: a label out of range.
        DTypeError: logits that are no floats.
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.cross_entropy(cr.zeros((2, 10)), cr.asarray([3, 7]))
        tensor(2.3025851, shape=(), dtype=float32)
    """
    choice("cross_entropy", "reduction", reduction, REDUCTIONS)
    smoothing = (
        label_smoothing
        if isinstance(label_smoothing, Tensor)
        else number("cross_entropy", "label_smoothing", label_smoothing, 0.0, 1.0)
    )
    x, y = tensor_input("cross_entropy", input), tensor_input("cross_entropy", target, "target")
    axis = _class_axis("cross_entropy", x)
    weight = _class_weight("cross_entropy", weight, x.shape[axis], x)
    if y.dtype.is_float:
        return _soft_targets(x, y, weight, axis, reduction, smoothing)
    _label_shape("cross_entropy", x, y, axis)
    log_p = log_softmax(x, axis=axis)
    if not isinstance(smoothing, Tensor) and smoothing == 0.0:
        return _likelihood(log_p, y, weight, ignore_index, reduction, axis)
    return _smoothed(log_p, y, weight, ignore_index, reduction, axis, smoothing)


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Return the negative log-likelihood of labels under log-probabilities.

        -w[y] x[y]

    Args:
        input: log-probabilities, float tensor [batch, classes, ...] or [classes].
        target: integer labels [batch, ...] in [0, classes).
        weight: factor of each class, [classes]; default none.
        ignore_index: a label that counts nothing; default -100.
        reduction: "mean", "sum" or "none"; the mean divides by the sum of the labels' weights; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the labels' shape.

    Raises:
        ShapeError: the shapes do not fit.
        IndexRangeError: a label out of range.
        DTypeError: log-probabilities that are no floats, or labels that are no integers.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.nll_loss(cr.log(cr.asarray([[0.25, 0.75]])), cr.asarray([0]))
        tensor(1.3862944, shape=(), dtype=float32)
    """
    choice("nll_loss", "reduction", reduction, REDUCTIONS)
    x, y = tensor_input("nll_loss", input), tensor_input("nll_loss", target, "target")
    axis = _class_axis("nll_loss", x)
    _label_shape("nll_loss", x, y, axis)
    weight = _class_weight("nll_loss", weight, x.shape[axis], x)
    return _likelihood(x, y, weight, ignore_index, reduction, axis)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the multi-class hinge loss: what each wrong class lacks to a margin below the right one.

        sum_{c != y} max(0, w[y] (margin - x[y] + x[c]))^p / classes      (for p = 2 the weight is not squared)

    Args:
        input: scores, float tensor [batch, classes] or [classes].
        target: integer labels [batch] in [0, classes), or 0-d.
        p: 1 or 2; default 1.
        margin: wanted distance of the right class; default 1.
        weight: factor of each class, [classes]; default none.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the labels' shape.

    Raises:
        ShapeError: the shapes do not fit.
        IndexRangeError: a label out of range.
        ValueError: p is neither 1 nor 2.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.multi_margin_loss(cr.asarray([[0.1, 0.2, 0.4, 0.8]]), cr.asarray([3]))
        tensor(0.325, shape=(), dtype=float32)

    Source: Crammer and Singer, JMLR 2 (2001).
    """
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss.p must be 1 or 2; got {p!r}.")
    margin = number("multi_margin_loss", "margin", margin)
    x, y = tensor_input("multi_margin_loss", input), tensor_input("multi_margin_loss", target, "target")
    axis = _class_axis("multi_margin_loss", x)
    if x.ndim > 2:
        raise refuse(
            ShapeError,
            f"multi_margin_loss: the input has the shape {x.shape}; it must be [batch, classes] or [classes].",
        )
    _label_shape("multi_margin_loss", x, y, axis)
    classes = x.shape[axis]
    weight = _class_weight("multi_margin_loss", weight, classes, x)
    labels = check_labels(cast(y, int64), classes)
    lack = relu(margin - expand_dims(_picked(x, labels, axis), axis) + x)  # [batch, classes]
    lack = where(one_hot(labels, classes) == 1.0, 0.0, lack if p == 1 else lack * lack)
    losses = total(lack, axis=axis) / classes
    return reduced("multi_margin_loss", losses if weight is None else losses * take(weight, labels), reduction)


# ---------------------------------------------------------------------------------------------------- pieces
def _class_axis(name: str, x: Tensor) -> int:
    if not x.ndim:
        raise refuse(ShapeError, f"{name}: the input has the shape (); it must be [batch, classes, ...] or [classes].")
    if not x.dtype.is_float:
        raise refuse(DTypeError, f"{name}: the input must be floats; got {x.dtype.name}: use .astype(cr.float32).")
    return 1 if x.ndim > 1 else 0


def _label_shape(name: str, x: Tensor, y: Tensor, axis: int) -> None:
    if not y.dtype.is_integer:
        raise refuse(DTypeError, f"{name}: labels must be integers; got {y.dtype.name}: use .astype(cr.int64).")
    wanted = x.shape[:axis] + x.shape[axis + 1 :]
    if y.shape != wanted:
        if y.shape == x.shape and x.ndim > 1:
            fix = ": one-hot targets are probabilities, use .astype(cr.float32)"
        else:
            fix = f": write target.reshape({wanted})" if y.size == math.prod(wanted) else ""
        raise refuse(
            ShapeError,
            f"{name}: the input has the shape {x.shape}, {x.shape[axis]} classes on axis {axis}, and the labels "
            f"{y.shape}; they must be {wanted}{fix}.",
        )


def _class_weight(name: str, weight: Any, classes: int, x: Tensor) -> Tensor | None:
    if weight is None:
        return None
    weight = tensor_input(name, weight, "weight")
    if weight.shape != (classes,):
        raise refuse(
            ShapeError,
            f"{name}: the weight has the shape {weight.shape}; it must be ({classes},), one number per class.",
        )
    return cast(weight, x.dtype)


def _picked(x: Tensor, labels: Tensor, axis: int) -> Tensor:
    """Return the entry of each label along the class axis."""
    if x.ndim == 2:
        return gather(x, [arange(x.shape[0]), labels], (0, 1))
    if x.ndim == 1:
        return take(x, labels)
    return squeeze(take_along_axis(x, expand_dims(labels, axis), axis=axis), axis)


def _counted(log_p: Tensor, y: Tensor, weight: Tensor | None, ignore: int, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the log-probability of each label (0 for an ignored one), whether it counts, and with what weight."""
    integer("cross_entropy", "ignore_index", ignore, low=None)
    labels = check_labels(cast(y, int64), log_p.shape[axis], ignore)
    counts = labels != ignore
    labels = where(counts, labels, 0)
    picked = where(counts, _picked(log_p, labels, axis), 0.0)
    share = cast(counts, log_p.dtype)
    return picked, counts, share if weight is None else share * take(weight, labels)


def _likelihood(log_p: Tensor, y: Tensor, weight: Tensor | None, ignore: int, reduction: str, axis: int) -> Tensor:
    picked, _, share = _counted(log_p, y, weight, ignore, axis)
    return _averaged(-picked if weight is None else -(picked * share), share, reduction)


def _smoothed(
    log_p: Tensor, y: Tensor, weight: Tensor | None, ignore: int, reduction: str, axis: int, smoothing: float | Tensor
) -> Tensor:
    picked, counts, share = _counted(log_p, y, weight, ignore, axis)
    everywhere = total(log_p if weight is None else log_p * _along(weight, axis, log_p.ndim), axis=axis)
    rate = cast(as_tensor(smoothing, log_p), log_p.dtype)
    losses = -((1.0 - rate) * picked * share + (rate / log_p.shape[axis]) * everywhere)
    return _averaged(where(counts, losses, 0.0), share, reduction)


def _averaged(losses: Tensor, share: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    return total(losses) if reduction == "sum" else total(losses) / total(share)


def _soft_targets(
    x: Tensor, t: Tensor, weight: Tensor | None, axis: int, reduction: str, smoothing: float | Tensor
) -> Tensor:
    if t.shape != x.shape:
        raise refuse(
            ShapeError,
            f"cross_entropy: the input has the shape {x.shape} and the probabilities {t.shape}; they must be equal. "
            f"Labels are integers: use .astype(cr.int64).",
        )
    classes = x.shape[axis]
    if isinstance(smoothing, Tensor) or smoothing != 0.0:
        rate = cast(as_tensor(smoothing, x), x.dtype)
        t = t * (1.0 - rate) + rate / classes
    log_p = log_softmax(x, axis=axis)
    losses = -total(log_p * t if weight is None else log_p * t * _along(weight, axis, x.ndim), axis=axis)
    return reduced("cross_entropy", losses, reduction)


def _along(weight: Tensor, axis: int, ndim: int) -> Tensor:
    """Return class weights shaped to broadcast along the class axis."""
    return reshape(weight, (-1,) + (1,) * (ndim - axis - 1))

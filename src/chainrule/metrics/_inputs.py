"""What classification metrics take, made into labels: scores per class, single scores with a threshold, or labels."""

from __future__ import annotations

import math
import numbers
from typing import Any

from chainrule.core.dtypes import bool_, int64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops import argmax, asarray, astype, reshape, squeeze, where
from chainrule.ops.guard import check_labels

__all__ = ["check_count", "labels", "masked", "scores", "tensor", "threshold_of"]


def labels(
    owner: str, outputs: Any, targets: Any, mask: Any, threshold: float | None = None, classes: int | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return predicted labels, true labels (int64 [samples], checked) and the mask (bool [samples] or None).

    Args:
        owner: the metric's name, for messages.
        outputs: scores [batch, classes, ...], or labels or single scores [batch, ...].
        targets: labels, integers or bool, [batch, ...].
        mask: bool [batch, ...] or None.
        threshold: what single scores must exceed to mean class 1.
        classes: number of classes, or None if labels may be any integers.
    """
    outputs, targets = tensor(outputs), _targets(owner, targets)
    if outputs.ndim == targets.ndim + 1 and outputs.shape[:1] + outputs.shape[2:] == targets.shape:
        if outputs.shape[1] == 1:
            predicted, classes = _above(owner, squeeze(outputs, axis=1), threshold), classes or 2
        else:
            classes = _same(owner, outputs.shape[1], classes)
            predicted = argmax(outputs, axis=1)
    elif outputs.shape == targets.shape:
        if outputs.dtype.is_float:
            predicted, classes = _above(owner, outputs, threshold), classes or 2
        else:
            predicted = outputs
    else:
        raise _mismatch(owner, outputs, targets)
    kept = masked(owner, mask, targets)
    truth = _flat(targets, kept)
    guess = _flat(astype(predicted, int64), kept)
    if classes is not None:
        truth, guess = check_labels(truth, classes), check_labels(guess, classes)
    return guess, truth, kept


def scores(owner: str, outputs: Any, targets: Any, mask: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return scores [samples, classes], true labels (int64 [samples], checked), the mask (or None)."""
    outputs, targets = tensor(outputs), _targets(owner, targets)
    if outputs.ndim != 2 or outputs.shape[:1] != targets.shape:
        raise ShapeError(
            f"{owner}: outputs {outputs.shape} and targets {targets.shape} do not fit; "
            "expected scores [batch, classes] and labels [batch]."
        )
    kept = masked(owner, mask, targets)
    return outputs, check_labels(_flat(targets, kept), outputs.shape[1]), kept


def tensor(value: Any) -> Tensor:
    """Return a tensor as it is, and anything else as a new one."""
    return value if isinstance(value, Tensor) else asarray(value)


def masked(owner: str, mask: Any, targets: Tensor) -> Tensor | None:
    """Return the mask as bool [samples], or None."""
    if mask is None:
        return None
    mask = tensor(mask)
    if mask.dtype is not bool_:
        raise DTypeError(f"{owner}: mask must be bool; got {mask.dtype.name}: write mask != 0.")
    if mask.shape != targets.shape:
        raise ShapeError(f"{owner}: mask {mask.shape} must have the shape of targets, {targets.shape}.")
    return reshape(mask, (-1,))


def threshold_of(owner: str, threshold: Any) -> float | None:
    """Return the threshold.

    Raises:
        ValueError: it is not a number.
    """
    if threshold is None:
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, numbers.Real) or math.isnan(threshold):
        raise ValueError(f"{owner}.threshold must be a number or None; got {threshold!r}.")
    return float(threshold)


def check_count(owner: str, value: Any, low: int) -> int:
    """Return `value` as an int.

    Raises:
        ValueError: it is not an integer >= low.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise ValueError(f"{owner} must be an integer >= {low}; got {value!r}.")
    return int(value)


def _targets(owner: str, targets: Any) -> Tensor:
    targets = tensor(targets)
    if targets.dtype.is_float:
        raise DTypeError(
            f"{owner}: targets must be labels (integers or bool); got {targets.dtype.name}: "
            "for probabilities per class write targets.argmax(axis=1)."
        )
    if targets.ndim == 0:
        raise ShapeError(f"{owner}: targets must be [batch, ...]; got a tensor of shape ().")
    return targets


def _same(owner: str, given: int, wanted: int | None) -> int:
    if wanted is not None and given != wanted:
        raise ShapeError(f"{owner} counts {wanted} classes; outputs have {given} scores per sample.")
    return given


def _above(owner: str, outputs: Tensor, threshold: float | None) -> Tensor:
    if not outputs.dtype.is_float:
        return outputs
    if threshold is None:
        raise ValueError(
            f"{owner}: outputs are one score per sample, {outputs.shape}, and there is no threshold; "
            f"write {owner}(..., threshold=0.5) for probabilities, threshold=0.0 for logits."
        )
    return outputs > threshold


def _mismatch(owner: str, outputs: Tensor, targets: Tensor) -> ShapeError:
    return ShapeError(
        f"{owner}: outputs {outputs.shape} and targets {targets.shape} do not fit; expected scores [batch, classes] or "
        "labels [batch], and labels [batch]."
    )


def _flat(values: Tensor, kept: Tensor | None) -> Tensor:
    """Return int64 [samples]; labels that do not count are 0, so that they are in range."""
    flat = reshape(astype(values, int64), (-1,))
    return flat if kept is None else where(kept, flat, 0)

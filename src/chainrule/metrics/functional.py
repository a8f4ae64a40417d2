"""Metrics as functions of whole arrays: outputs and targets in, a number out.

Each is its class in `chainrule.metrics`, updated once. Outputs come first and targets second, as in the loss functions
(scikit-learn has them the other way round).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.metrics import rates
from chainrule.metrics._inputs import tensor
from chainrule.metrics.classification import Accuracy, ConfusionMatrix, TopKAccuracy
from chainrule.metrics.metric import Metric

__all__ = [
    "accuracy_score",
    "confusion_matrix",
    "f1_score",
    "precision_score",
    "recall_score",
    "specificity_score",
    "top_k_accuracy_score",
]


def accuracy_score(outputs: Any, targets: Any, mask: Any = None, threshold: float | None = None) -> float:
    """Return the share of samples whose predicted class is the true one.

    Args:
        outputs: scores [batch, classes, ...], or labels [batch, ...], or with `threshold` scores [batch, ...].
        targets: labels [batch, ...].
        mask: bool [batch, ...], False where a sample does not count; default all count.
        threshold: for one score per sample: a score above it means class 1; default none.

    Returns:
        Float in [0, 1].

    Raises:
        ShapeError: outputs, targets and mask do not fit.
        DataError: there is no sample.

    Example:
        >>> cr.metrics.functional.accuracy_score([1, 2, 0, 0], [1, 2, 0, 1])
        0.75
    """
    return _once(Accuracy(threshold), outputs, targets, mask)


def top_k_accuracy_score(outputs: Any, targets: Any, k: int = 5, mask: Any = None) -> float:
    """Return the share of samples whose true class is among the `k` greatest scores.

    Args:
        outputs: scores [batch, classes].
        targets: labels [batch].
        k: how many guesses each sample has, >= 1; default 5.
        mask: bool [batch], False where a sample does not count; default all count.

    Returns:
        Float in [0, 1].

    Raises:
        ShapeError: outputs, targets and mask do not fit.
        ValueError: there are fewer classes than `k`.

    Example:
        >>> cr.metrics.functional.top_k_accuracy_score([[0.5, 0.3, 0.2]], [1], k=2)
        1.0
    """
    return _once(TopKAccuracy(k), outputs, targets, mask)


def confusion_matrix(
    outputs: Any, targets: Any, num_classes: int | None = None, mask: Any = None, threshold: float | None = None
) -> np.ndarray:
    """Return how often each class was taken for each: rows are true classes, columns predicted ones.

    Args:
        outputs: scores [batch, classes, ...], or labels [batch, ...], or with `threshold` scores [batch, ...].
        targets: labels [batch, ...].
        num_classes: number of classes, >= 2; default that of the scores, or the greatest label + 1.
        mask: bool [batch, ...], False where a sample does not count; default all count.
        threshold: for one score per sample: a score above it means class 1; default none.

    Returns:
        int64 array [true class, predicted class].

    Raises:
        ShapeError: outputs, targets and mask do not fit.
        IndexRangeError: a label is out of range.

    Example:
        >>> cr.metrics.functional.confusion_matrix([0, 1, 1], [0, 0, 1])
        array([[1, 1],
               [0, 1]])
    """
    return _once(ConfusionMatrix(_classes(outputs, targets, num_classes), threshold), outputs, targets, mask)


def precision_score(
    outputs: Any,
    targets: Any,
    num_classes: int | None = None,
    average: str | None = "macro",
    mask: Any = None,
    threshold: float | None = None,
) -> Any:
    """Return how many of the samples taken for a class are of that class: TP / (TP + FP).

    Args:
        outputs: scores [batch, classes, ...], or labels [batch, ...], or with `threshold` scores [batch, ...].
        targets: labels [batch, ...].
        num_classes: number of classes, >= 2; default that of the scores, or the greatest label + 1.
        average: "macro", "micro", "weighted", "binary" (class 1 of 2) or None; default "macro".
        mask: bool [batch, ...], False where a sample does not count; default all count.
        threshold: for one score per sample: a score above it means class 1; default none.

    Returns:
        Float in [0, 1], or float64 [classes] with `average=None`.

    Raises:
        ShapeError: outputs, targets and mask do not fit.
        IndexRangeError: a label is out of range.

    Example:
        >>> cr.metrics.functional.precision_score([0, 1, 1, 1], [0, 0, 1, 1], average="binary")
        0.6666666666666666
    """
    return _rate(rates.Precision, outputs, targets, num_classes, average, mask, threshold)


def recall_score(
    outputs: Any,
    targets: Any,
    num_classes: int | None = None,
    average: str | None = "macro",
    mask: Any = None,
    threshold: float | None = None,
) -> Any:
    """Return how many of the samples of a class were found: TP / (TP + FN).

    Args:
        outputs: scores [batch, classes, ...], or labels [batch, ...], or with `threshold` scores [batch, ...].
        targets: labels [batch, ...].
        num_classes: number of classes, >= 2; default that of the scores, or the greatest label + 1.
        average: "macro", "micro", "weighted", "binary" (class 1 of 2) or None; default "macro".
        mask: bool [batch, ...], False where a sample does not count; default all count.
        threshold: for one score per sample: a score above it means class 1; default none.

    Returns:
        Float in [0, 1], or float64 [classes] with `average=None`.

    Raises:
        ShapeError: outputs, targets and mask do not fit.
        IndexRangeError: a label is out of range.

    Example:
        >>> cr.metrics.functional.recall_score([0, 1, 1, 0], [0, 0, 1, 1], average="binary")
        0.5
    """
    return _rate(rates.Recall, outputs, targets, num_classes, average, mask, threshold)


def f1_score(
    outputs: Any,
    targets: Any,
    num_classes: int | None = None,
    average: str | None = "macro",
    mask: Any = None,
    threshold: float | None = None,
) -> Any:
    """Return the harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    Args:
        outputs: scores [batch, classes, ...], or labels [batch, ...], or with `threshold` scores [batch, ...].
        targets: labels [batch, ...].
        num_classes: number of classes, >= 2; default that of the scores, or the greatest label + 1.
        average: "macro", "micro", "weighted", "binary" (class 1 of 2) or None; default "macro".
        mask: bool [batch, ...], False where a sample does not count; default all count.
        threshold: for one score per sample: a score above it means class 1; default none.

    Returns:
        Float in [0, 1], or float64 [classes] with `average=None`.

    Raises:
        ShapeError: outputs, targets and mask do not fit.
        IndexRangeError: a label is out of range.

    Example:
        >>> cr.metrics.functional.f1_score([0, 1, 1, 0], [0, 0, 1, 1], average="binary")
        0.5
    """
    return _rate(rates.F1Score, outputs, targets, num_classes, average, mask, threshold)


def specificity_score(
    outputs: Any,
    targets: Any,
    num_classes: int | None = None,
    average: str | None = "macro",
    mask: Any = None,
    threshold: float | None = None,
) -> Any:
    """Return how many of the samples not of a class were not taken for it: TN / (TN + FP).

    Args:
        outputs: scores [batch, classes, ...], or labels [batch, ...], or with `threshold` scores [batch, ...].
        targets: labels [batch, ...].
        num_classes: number of classes, >= 2; default that of the scores, or the greatest label + 1.
        average: "macro", "micro", "weighted", "binary" (class 1 of 2) or None; default "macro".
        mask: bool [batch, ...], False where a sample does not count; default all count.
        threshold: for one score per sample: a score above it means class 1; default none.

    Returns:
        Float in [0, 1], or float64 [classes] with `average=None`.

    Raises:
        ShapeError: outputs, targets and mask do not fit.
        IndexRangeError: a label is out of range.

    Example:
        >>> cr.metrics.functional.specificity_score([0, 1, 0, 1], [0, 0, 1, 1], average="binary")
        0.5
    """
    return _rate(rates.Specificity, outputs, targets, num_classes, average, mask, threshold)


def _once(metric: Metric, outputs: Any, targets: Any, mask: Any) -> Any:
    metric.update(outputs, targets, mask)
    return metric.compute()


def _rate(
    kind: Any, outputs: Any, targets: Any, classes: int | None, average: str | None, mask: Any, threshold: float | None
) -> Any:
    return _once(kind(_classes(outputs, targets, classes), average, threshold), outputs, targets, mask)


def _classes(outputs: Any, targets: Any, given: int | None) -> int:
    """Return the number of classes: as given, that of the scores, or the greatest label + 1; at least 2."""
    if given is not None:
        return given
    outputs, targets = tensor(outputs), tensor(targets)
    if outputs.ndim == targets.ndim + 1:
        return max(2, outputs.shape[1])
    greatest = [int(np.max(x.numpy())) for x in (outputs, targets) if x.size and not x.dtype.is_float]
    return max([1, *greatest]) + 1

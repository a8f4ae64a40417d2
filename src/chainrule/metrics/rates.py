"""Rates per class from counts of hits: precision, recall, F1 and specificity, and their averages over classes.

With TP, FP, FN, TN of one class against all others:

    precision = TP / (TP + FP)      recall = TP / (TP + FN)
    F1 = 2 TP / (2 TP + FP + FN)    specificity = TN / (TN + FP)

Averages: "macro", the plain mean over classes; "weighted", by the number of true samples; "micro", of the summed
counts; "binary", class 1 alone; None, all of them. A rate whose denominator is 0 (a class never predicted, or that
never occurs) is 0, with a notice.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.context import no_grad
from chainrule.core.dtypes import int64
from chainrule.core.errors import nearest, notice
from chainrule.metrics._inputs import check_count, labels, threshold_of
from chainrule.metrics.metric import Metric
from chainrule.ops import astype, expand_dims, logical_and, ones_like
from chainrule.ops.gather import scatter_add_p

__all__ = ["F1Score", "Precision", "Recall", "Specificity"]

AVERAGES = ("macro", "micro", "weighted", "binary", None)


class _ClassRate(Metric):
    """Hits, predictions and true samples per class, and the average of a rate made of them."""

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, num_classes: int, average: str | None = "macro", threshold: float | None = None):
        owner = type(self).__name__
        self.num_classes = check_count(f"{owner}.num_classes", num_classes, 2)
        if average not in AVERAGES:
            hint = nearest(average, [a for a in AVERAGES if a]) if isinstance(average, str) else ""
            raise ValueError(
                f"{owner}.average must be 'macro', 'micro', 'weighted', 'binary' or None; got {average!r}{hint or '.'}"
            )
        if average == "binary" and self.num_classes != 2:
            raise ValueError(f"{owner}.average='binary' needs num_classes=2; got num_classes={self.num_classes}.")
        self.average = average
        self.threshold = threshold_of(owner, threshold)
        self._hits, self._predicted, self._actual = (
            self.cell(name, (self.num_classes,)) for name in ("hits", "predicted", "actual")
        )

    def update(self, outputs: Any, targets: Any, mask: Any = None) -> None:
        """Count a batch.

        Args:
            outputs: scores [batch, classes, ...], or labels [batch, ...], or with `threshold` scores [batch, ...].
            targets: labels [batch, ...], in [0, num_classes - 1].
            mask: bool [batch, ...], False where a sample does not count; default all count.

        Raises:
            IndexRangeError: a label is out of range; the message names it.
        """
        with no_grad():
            guess, truth, kept = labels(type(self).__name__, outputs, targets, mask, self.threshold, self.num_classes)
            one = ones_like(truth) if kept is None else astype(kept, int64)
            hit = guess == truth if kept is None else logical_and(guess == truth, kept)
            for cell, where, count in (
                (self._hits, truth, astype(hit, int64)),
                (self._predicted, guess, one),
                (self._actual, truth, one),
            ):
                cell.assign_(bind(scatter_add_p, cell, expand_dims(where, axis=0), count, axes=(0,)))

    def compute(self) -> Any:
        """Return the average, a float in [0, 1]; with `average=None` one float per class, float64 [classes]."""
        actual = self._actual.numpy()
        self._known(self._actual.sum())
        above, below = self._fractions(self._hits.numpy(), self._predicted.numpy(), actual)
        if self.average == "micro":
            above, below = above.sum(keepdims=True), below.sum(keepdims=True)
        empty = np.flatnonzero(below == 0)
        if self.average == "binary":
            empty = empty[empty == 1]
        if empty.size:
            which = "" if self.average == "micro" else f" of class {', '.join(map(str, empty))}"
            notice(f"{type(self).__name__}{which} is 0/0 and was taken as 0: {self._why}.")
        rates = np.divide(above, below, out=np.zeros(len(above)), where=below != 0)
        if self.average is None:
            return rates
        if self.average == "binary":
            return float(rates[1])
        return float(np.average(rates, weights=actual if self.average == "weighted" else None))

    _why: ClassVar[str] = ""

    def _fractions(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return numerators and denominators, one per class."""
        raise NotImplementedError(f"{type(self).__name__} must define _fractions: both parts per class.")


class Precision(_ClassRate):
    """Measure how many of the samples taken for a class are of that class.

        precision = TP / (TP + FP)

    Args:
        num_classes: number of classes, >= 2.
        average: "macro", "micro", "weighted", "binary" (class 1 of 2), or None for one number per class;
            default "macro".
        threshold: for one score per sample: a score above it means class 1; default none.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> precision = cr.metrics.Precision(num_classes=2, average=None)
        >>> precision.update(cr.asarray([0, 1, 1, 1]), cr.asarray([0, 0, 1, 1]))
        >>> precision.compute()
        array([1.        , 0.66666667])
    """

    name: ClassVar[str] = "precision"
    _why = "it was never predicted"

    def _fractions(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return hits, predicted


class Recall(_ClassRate):
    """Measure how many of the samples of a class were found (also: sensitivity, true positive rate).

        recall = TP / (TP + FN)

    Args:
        num_classes: number of classes, >= 2.
        average: "macro", "micro", "weighted", "binary" (class 1 of 2), or None for one number per class;
            default "macro".
        threshold: for one score per sample: a score above it means class 1; default none.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> recall = cr.metrics.Recall(num_classes=2, average="binary")
        >>> recall.update(cr.asarray([0, 1, 1, 0]), cr.asarray([0, 0, 1, 1]))
        >>> recall.compute()
        0.5
    """

    name: ClassVar[str] = "recall"
    _why = "it never occurred"

    def _fractions(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return hits, actual


class F1Score(_ClassRate):
    """Measure the harmonic mean of precision and recall.

        F1 = 2 TP / (2 TP + FP + FN)

    Args:
        num_classes: number of classes, >= 2.
        average: "macro", "micro", "weighted", "binary" (class 1 of 2), or None for one number per class;
            default "macro".
        threshold: for one score per sample: a score above it means class 1; default none.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> f1 = cr.metrics.F1Score(num_classes=2, average="binary", threshold=0.5)
        >>> f1.update(cr.asarray([0.2, 0.6, 0.9, 0.4]), cr.asarray([0, 0, 1, 1]))
        >>> f1.compute()
        0.5

    Source: van Rijsbergen, Information Retrieval, 1979.
    """

    name: ClassVar[str] = "f1"
    _why = "it neither occurred nor was predicted"

    def _fractions(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2 * hits, predicted + actual


class Specificity(_ClassRate):
    """Measure how many of the samples that are not of a class were not taken for it (also: true negative rate).

        specificity = TN / (TN + FP)

    Args:
        num_classes: number of classes, >= 2.
        average: "macro", "micro", "weighted", "binary" (class 1 of 2), or None for one number per class;
            default "macro".
        threshold: for one score per sample: a score above it means class 1; default none.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> specificity = cr.metrics.Specificity(num_classes=2, average="binary")
        >>> specificity.update(cr.asarray([0, 1, 1, 0]), cr.asarray([0, 0, 0, 1]))
        >>> round(specificity.compute(), 4)
        0.3333
    """

    name: ClassVar[str] = "specificity"
    _why = "every sample was of this class"

    def _fractions(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        others = actual.sum() - actual
        return others - (predicted - hits), others

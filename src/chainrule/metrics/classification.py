"""Metrics of classification that count samples: accuracy, top-k accuracy, the confusion matrix.

    accuracy = (samples whose predicted class is the true one) / (samples)

The predicted class is the one with the greatest score, the first of equals.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.context import no_grad
from chainrule.core.dtypes import int64
from chainrule.metrics._inputs import check_count, labels, scores, threshold_of
from chainrule.metrics.metric import Metric
from chainrule.ops import (
    arange,
    astype,
    expand_dims,
    logical_and,
    logical_not,
    logical_or,
    ones_like,
    stack,
    take_along_axis,
)
from chainrule.ops import sum as total_of
from chainrule.ops.gather import scatter_add_p

__all__ = ["Accuracy", "ConfusionMatrix", "TopKAccuracy"]


class Accuracy(Metric):
    """Measure the share of samples whose predicted class is the true one.

        accuracy = correct / samples

    Args:
        threshold: for one score per sample: a score above it means class 1, so 0.5 for probabilities, 0.0 for logits;
            default none, scores per class or labels are expected.

    Raises:
        ValueError: `threshold` is not a number.

    Example:
        >>> accuracy = cr.metrics.Accuracy()
        >>> accuracy.update(cr.asarray([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), cr.asarray([1, 0, 0]))
        >>> accuracy.update(cr.asarray([[0.0, 1.0]]), cr.asarray([1]))
        >>> accuracy.compute()
        0.75
    """

    name: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, threshold: float | None = None):
        self.threshold = threshold_of("Accuracy", threshold)
        self._correct, self._samples = self.cell("correct"), self.cell("samples")

    def update(self, outputs: Any, targets: Any, mask: Any = None) -> None:
        """Count a batch.

        Args:
            outputs: scores [batch, classes, ...], or labels [batch, ...], or with `threshold` scores [batch, ...].
            targets: labels [batch, ...].
            mask: bool [batch, ...], False where a sample does not count; default all count.
        """
        with no_grad():
            guess, truth, kept = labels("Accuracy", outputs, targets, mask, self.threshold)
            hit = guess == truth
            self._correct.assign_(self._correct + _number(hit if kept is None else logical_and(hit, kept)))
            self._samples.assign_(self._samples + (truth.size if kept is None else _number(kept)))

    def compute(self) -> float:
        """Return the accuracy, in [0, 1]."""
        return self._correct.item() / self._known(self._samples)


class TopKAccuracy(Metric):
    """Measure the share of samples whose true class is among the `k` greatest scores; of equal scores the first counts.

    Args:
        k: how many guesses each sample has, >= 1; default 5.

    Raises:
        ValueError: `k` is not an integer >= 1.

    Example:
        >>> top = cr.metrics.TopKAccuracy(k=2)
        >>> top.update(cr.asarray([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), cr.asarray([1, 2]))
        >>> top.compute()
        0.5
    """

    name: ClassVar[str] = "top_k_accuracy"
    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, k: int = 5):
        self.k = check_count("TopKAccuracy.k", k, 1)
        self._correct, self._samples = self.cell("correct"), self.cell("samples")

    def update(self, outputs: Any, targets: Any, mask: Any = None) -> None:
        """Count a batch.

        Args:
            outputs: scores [batch, classes], with at least `k` classes.
            targets: labels [batch].
            mask: bool [batch], False where a sample does not count; default all count.

        Raises:
            ValueError: there are fewer classes than `k`.
        """
        with no_grad():
            values, truth, kept = scores("TopKAccuracy", outputs, targets, mask)
            classes = values.shape[1]
            if self.k > classes:
                raise ValueError(
                    f"TopKAccuracy.k is {self.k}, but the outputs have {classes} classes; use k < {classes}."
                )
            label = expand_dims(truth, axis=1)  # [samples, 1]
            own = take_along_axis(values, label, axis=1)  # [samples, 1]
            later = logical_and(values == own, arange(classes) > label)  # [samples, classes]
            ahead = logical_not(logical_or(values < own, later))  # the class itself too; NaN is ahead of all
            hit = total_of(astype(ahead, int64), axis=1) <= self.k
            self._correct.assign_(self._correct + _number(hit if kept is None else logical_and(hit, kept)))
            self._samples.assign_(self._samples + (truth.size if kept is None else _number(kept)))

    def compute(self) -> float:
        """Return the accuracy, in [0, 1]."""
        return self._correct.item() / self._known(self._samples)


class ConfusionMatrix(Metric):
    """Count how often each class was taken for each: rows are true classes, columns predicted ones.

    Args:
        num_classes: number of classes, >= 2.
        threshold: for one score per sample: a score above it means class 1; default none.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> matrix = cr.metrics.ConfusionMatrix(num_classes=2)
        >>> matrix.update(cr.asarray([0, 1, 1]), cr.asarray([0, 0, 1]))
        >>> matrix.compute()
        array([[1, 1],
               [0, 1]])
    """

    name: ClassVar[str] = "confusion_matrix"

    def __init__(self, num_classes: int, threshold: float | None = None):
        self.num_classes = check_count("ConfusionMatrix.num_classes", num_classes, 2)
        self.threshold = threshold_of("ConfusionMatrix", threshold)
        self._counts = self.cell("counts", (self.num_classes, self.num_classes))

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
            guess, truth, kept = labels("ConfusionMatrix", outputs, targets, mask, self.threshold, self.num_classes)
            weights = ones_like(truth) if kept is None else astype(kept, int64)
            self._counts.assign_(bind(scatter_add_p, self._counts, stack([truth, guess]), weights, axes=(0, 1)))

    def compute(self) -> np.ndarray:
        """Return the counts, int64 [true class, predicted class]."""
        self._known(total_of(self._counts))
        return self._counts.numpy().copy()


def _number(hits: Any) -> Any:
    """Return how many are True, as an int64 tensor without axes."""
    return total_of(astype(hits, int64))

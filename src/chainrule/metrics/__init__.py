"""Floor 5: measuring a model.

What enters: outputs and labels, batch by batch. What leaves: numbers, exact over all of them.
Sums and counts are cells, so measuring may stand inside a compiled step, and batches of unequal size count by their
samples.
"""

from chainrule.metrics import functional
from chainrule.metrics.classification import Accuracy, ConfusionMatrix, TopKAccuracy
from chainrule.metrics.loss import Loss
from chainrule.metrics.metric import Metric, MetricCollection
from chainrule.metrics.rates import F1Score, Precision, Recall, Specificity

__all__ = [
    "Accuracy",
    "ConfusionMatrix",
    "F1Score",
    "Loss",
    "Metric",
    "MetricCollection",
    "Precision",
    "Recall",
    "Specificity",
    "TopKAccuracy",
    "functional",
]

"""The mean loss over many batches: a float64 sum and a count, divided once."""

from __future__ import annotations

from typing import Any, ClassVar

from chainrule.core.context import no_grad
from chainrule.core.dtypes import float64
from chainrule.metrics._inputs import tensor
from chainrule.metrics.metric import Metric
from chainrule.ops import astype
from chainrule.ops import sum as total_of

__all__ = ["Loss"]


class Loss(Metric):
    """Measure the mean loss of all samples; batches of unequal size count by their samples.

        loss = (sum of mean loss times count) / (sum of counts)

    Example:
        >>> loss = cr.metrics.Loss()
        >>> loss.update(cr.asarray(1.0), count=3)
        >>> loss.update(cr.asarray(5.0), count=1)
        >>> loss.compute()
        2.0
    """

    name: ClassVar[str] = "loss"
    higher_is_better: ClassVar[bool | None] = False

    def __init__(self) -> None:
        self._sum, self._count = self.cell("sum", dtype=float64), self.cell("count", dtype=float64)

    def update(self, loss: Any, count: Any = None) -> None:  # type: ignore[override]
        """Count a batch.

        Args:
            loss: the mean loss of the batch, with its `count`; or one loss per element, [batch, ...].
            count: what the mean was divided by, or for losses per element is to be divided by: the number of samples,
                without the ignored ones, or the sum of their weights; default the number of losses.

        Raises:
            ValueError: a mean loss without its count.
        """
        loss = tensor(loss)
        if loss.shape == () and count is None:
            raise ValueError(
                "Loss.update: a mean loss needs its count, the number of samples in the batch: "
                "update(loss, count=len(x))."
            )
        with no_grad():
            value = astype(loss, float64)
            number = astype(tensor(loss.size if count is None else count), float64)
            self._sum.assign_(self._sum + (value * number if loss.shape == () else total_of(value)))
            self._count.assign_(self._count + number)

    def compute(self) -> float:
        """Return the mean loss."""
        return self._sum.item() / self._known(self._count)

"""Measuring a model: batches without gradients, in eval mode, exact over ragged batches.

A compiled evaluation is one program: a short last batch is filled up with copies of its last sample, and a mask keeps
these out of metrics and loss. Where the loss can't leave samples out (a function of your own), ragged batches are
measured as they come, each shape in a program of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.tensor import Tensor
from chainrule.nn._modes import evaluation
from chainrule.ops import asarray
from chainrule.train.running import Running
from chainrule.train.steps import Steps, can_mask

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["measure"]


def measure(trainer: Trainer, loader: Iterable[Any]) -> dict[str, Any]:
    """Return what `Trainer.evaluate` returns; the metrics and each module's mode are as before.

    Args:
        trainer: whose model and metrics.
        loader: iterable of (x, y).
    """
    model, metrics = trainer.model, trainer.metrics
    kept = {name: metric.state_dict() for name, metric in metrics.items()}
    running = Running()
    try:
        with evaluation(model):
            for metric in metrics.values():
                metric.reset()
            size = None if trainer.compiled and can_mask(trainer.loss, metrics) else 0
            for x, y in loader:
                size = x.shape[0] if size is None else size
                running.add(_measured(trainer.steps, x, y, size).item(), x.shape[0])
        if not running.samples:
            raise ValueError("evaluate: the loader gave no batch; there is nothing to measure.")
        found = {name: metric.compute() for name, metric in metrics.items()}
        return {"samples": running.samples, "loss": running.mean, **found}
    finally:
        for name, metric in metrics.items():
            metric.load_state_dict(kept[name])


def _measured(steps: Steps, x: Tensor, y: Tensor, size: int) -> Tensor:
    """Return the mean loss of a batch, filled up to `size` samples where it is shorter."""
    count = x.shape[0]
    if count > size:
        return steps.evaluate(x, y)
    if count < size:
        x, y = _filled(x, size), _filled(y, size)
    return steps.evaluate_masked(x, y, asarray(count))


def _filled(x: Tensor, size: int) -> Tensor:
    values = x.numpy()
    return Tensor(np.concatenate([values, np.repeat(values[-1:], size - len(values), axis=0)]))

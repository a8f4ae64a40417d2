"""The steps that a Trainer runs, eagerly or through `cr.jit`: what you would write by hand.

    outputs = model(x);  loss = loss_function(outputs, y)
    optimizer.zero_grad();  loss.backward();  optimizer.step()

They live apart from the loop's counters: a compiled step is traced again when a number that it reaches changes, and the
count of steps changes with every one. All that belongs to a step is in it: the conversion of the data, the metrics, the
moving average, a schedule that counts steps. So many steps can run in one native call.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler import jit
from chainrule.core.context import no_grad
from chainrule.core.dtypes import int64
from chainrule.core.errors import SettingError
from chainrule.core.precision import Operands, operand_dtype
from chainrule.core.tensor import Tensor
from chainrule.nn import CrossEntropyLoss
from chainrule.ops import arange, argmax, astype, broadcast_to, reshape, where
from chainrule.ops import sum as total_of
from chainrule.ops.guard import check_finite
from chainrule.optim import LambdaLR, Schedule, SequentialLR, clip_grad_norm_

__all__ = ["Steps", "can_mask", "counts_inside"]


class Steps:
    """Update and measure a model on one batch.

    Args:
        model: an `nn.Module`.
        loss: function of (outputs, targets) that returns the mean loss, a scalar.
        optimizer: over the model's parameters.
        metrics: name -> metric, updated with each batch.
        average: an `optim.ExponentialMovingAverage`, updated after each step, or None.
        max_norm: clip the gradient's norm to this, > 0, or None.
        compiled: run through `cr.jit`.
        precision: of matrix products and convolutions: "float32" or "bf16"; default "float32".
        transform: from the loader's x to the model's, in tensor operations; default none.
        schedule: a schedule that counts updates, see `counts_inside`; default none.
        check_gradients: refuse a step whose gradient is not finite; default False.
        augment: a `data.Augment`, instead of `transform` on training batches, which then are (x, y, sample numbers).

    Example:
        >>> model = nn.Linear(2, 2)
        >>> steps = Steps(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5), {}, None, None, True)
        >>> x, y = cr.asarray([[0.0, 1.0]]), cr.asarray([1])
        >>> bool(steps.train(x, y)[0] > steps.train(x, y)[0])
        True
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Any,
        metrics: dict[str, Any],
        average: Any,
        max_norm: float | None,
        compiled: bool,
        precision: str = "float32",
        transform: Callable[[Tensor], Tensor] | None = None,
        schedule: Schedule | None = None,
        check_gradients: bool = False,
        augment: Any = None,
    ):
        self.model, self.loss, self.optimizer, self.schedule = model, loss, optimizer, schedule
        self.metrics, self.average, self.max_norm = metrics, average, max_norm
        self.transform, self.check_gradients, self.augment = transform, check_gradients, augment
        self.key = Tensor(np.asarray(0, np.uint64))  # of the epoch's augmentation: a cell, so that it compiles once
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        wrap: Any = jit(precision=precision) if compiled else Operands(operand_dtype(precision))
        self.train = wrap(self.train_step)
        self.gather = wrap(self.gather_step)
        self.update = wrap(self.update_step)
        self.evaluate = wrap(self.evaluate_step)
        self.evaluate_masked = wrap(self.masked_step)

    def set_epoch(self, epoch: int) -> None:
        """Draw the numbers of augmentation for an epoch, from the next step on."""
        if self.augment is not None:
            self.key.assign_(Tensor(np.asarray(self.augment.key(epoch), np.uint64)))

    def train_step(self, x: Tensor, y: Tensor, *index: Tensor) -> tuple[Tensor, ...]:
        """Do one update on a batch; return the loss before it and, with a schedule, the learning rate after it."""
        self.optimizer.zero_grad()
        outputs, loss = self._forward(x, y, *index)
        loss.backward()
        self._update()
        self._measure(outputs, y)
        return (loss,) if self.schedule is None else (loss, self.optimizer.param_groups[0]["lr"])

    def gather_step(self, x: Tensor, y: Tensor, *index: Tensor) -> tuple[Tensor]:
        """Add the gradient of the batch's summed loss to `.grad`; return the mean loss."""
        outputs, loss = self._forward(x, y, *index)
        (loss * x.shape[0]).backward()
        self._measure(outputs, y)
        return (loss,)

    def update_step(self, samples: Tensor) -> None:
        """Divide the gathered gradients by the number of samples, and do one update."""
        with no_grad():
            for p in self.parameters:
                if p.grad is not None:
                    p.grad = p.grad / samples.astype(p.dtype)
        self._update()
        self.optimizer.zero_grad()

    def evaluate_step(self, x: Tensor, y: Tensor) -> Tensor:
        """Measure one batch without gradients; return its mean loss."""
        with no_grad():
            outputs = self.outputs(x)
            self._measure(outputs, y)
            return self.loss(outputs, y)

    def masked_step(self, x: Tensor, y: Tensor, count: Tensor) -> Tensor:
        """Measure the first `count` samples of a batch without gradients; return their mean loss.

        With it all batches have one shape, and one program measures them: a short last batch is filled up.
        """
        with no_grad():
            outputs = self.outputs(x)
            mask = arange(x.shape[0]) < count
            for metric in self.metrics.values():
                metric.update(outputs, y, _spread(mask, y))
            return _masked_loss(self.loss, outputs, y, mask, count)

    def outputs(self, x: Tensor) -> Tensor:
        """Return what the model gives for a batch of the loader."""
        return self.model(x if self.transform is None else self.transform(x))

    def inputs(self, x: Tensor, y: Tensor, *index: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the model and the loss get for a training batch: scaled, or augmented by the samples' numbers."""
        if self.augment is not None:
            if len(index) != 1:
                raise SettingError(
                    f"Trainer.augment needs batches (x, y, sample numbers); the loader gave {2 + len(index)} parts. "
                    "Load from data.numbered(dataset)."
                )
            return self.augment(x, y, *index, self.key)
        return x if self.transform is None else self.transform(x), y

    def _forward(self, x: Tensor, y: Tensor, *index: Tensor) -> tuple[Tensor, Tensor]:
        inputs, targets = self.inputs(x, y, *index)
        outputs = self.model(inputs)
        loss = check_finite(self.loss(outputs, targets), what="the loss")
        return outputs[0] if isinstance(outputs, tuple) else outputs, loss  # metrics see no auxiliary outputs

    def _update(self) -> None:
        if self.max_norm is not None or self.check_gradients:
            norm = clip_grad_norm_(self.parameters, self.max_norm if self.max_norm is not None else float("inf"))
            check_finite(norm, what="the gradient")
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        if self.schedule is not None:
            self.schedule.step()

    def _measure(self, outputs: Tensor, y: Tensor) -> None:
        with no_grad():
            if y.dtype.is_float and isinstance(self.loss, CrossEntropyLoss):
                y = argmax(y, axis=1)  # of mixed labels the one with the greatest share
            for metric in self.metrics.values():
                metric.update(outputs.detach(), y)


def counts_inside(schedule: Any) -> bool:
    """Return whether a schedule may be stepped inside a compiled step: those of `cr.optim` in closed form.

    A `LambdaLR` calls Python with a number, and so may a class of your own: these are stepped outside, after each step.
    """
    if isinstance(schedule, SequentialLR):
        return all(map(counts_inside, schedule.schedulers))
    ours = type(schedule).__module__.startswith("chainrule.optim.")
    return isinstance(schedule, Schedule) and ours and not isinstance(schedule, LambdaLR)


def can_mask(loss: Any, metrics: dict[str, Any]) -> bool:
    """Return whether loss and metrics can leave out samples, so that a short batch may be filled up."""
    if getattr(loss, "reduction", None) != "mean" or not hasattr(loss, "forward"):
        return False
    return all("mask" in inspect.signature(metric.update).parameters for metric in metrics.values())


def _masked_loss(loss: Any, outputs: Tensor, y: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Return the mean loss of the samples that the mask keeps."""
    if hasattr(loss, "ignore_index") and not y.dtype.is_float:
        return loss(outputs, where(_spread(mask, y), astype(y, int64), loss.ignore_index))
    each = copy.copy(loss)
    each.reduction = "none"
    losses = each(outputs, y)  # [batch, ...]
    kept = total_of(where(_spread(mask, losses), losses, 0))
    return kept / (astype(count, losses.dtype) * (losses.size // losses.shape[0]))


def _spread(mask: Tensor, like: Tensor) -> Tensor:
    """Return the mask of samples [batch] in the shape of a tensor [batch, ...]."""
    return broadcast_to(reshape(mask, (-1, *[1] * (like.ndim - 1))), like.shape)

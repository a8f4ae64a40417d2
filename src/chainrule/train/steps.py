"""The steps that a Trainer runs, eagerly or through `cr.jit`: what you would write by hand.

    outputs = model(x);  loss = loss_function(outputs, y)
    optimizer.zero_grad();  loss.backward();  optimizer.step()

They live apart from the loop's counters: a compiled step is traced again when a number that it reaches changes, and the
count of steps changes with every one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.compiler import jit
from chainrule.core.context import no_grad
from chainrule.core.precision import Operands, operand_dtype
from chainrule.core.tensor import Tensor
from chainrule.ops.guard import check_finite
from chainrule.optim import clip_grad_norm_

__all__ = ["Steps"]


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

    Example:
        >>> model = nn.Linear(2, 2)
        >>> steps = Steps(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5), {}, None, None, True)
        >>> x, y = cr.asarray([[0.0, 1.0]]), cr.asarray([1])
        >>> bool(steps.train(x, y) > steps.train(x, y))
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
    ):
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics, self.average, self.max_norm = metrics, average, max_norm
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        wrap = jit(precision=precision) if compiled else Operands(operand_dtype(precision))
        self.train = wrap(self.train_step)
        self.gather = wrap(self.gather_step)
        self.update = wrap(self.update_step)
        self.evaluate = wrap(self.evaluate_step)

    def train_step(self, x: Tensor, y: Tensor) -> Tensor:
        """Do one update on a batch; return the loss before it."""
        self.optimizer.zero_grad()
        outputs = self.model(x)
        loss = check_finite(self.loss(outputs, y), what="the loss")
        loss.backward()
        self._update()
        self._measure(outputs, y)
        return loss

    def gather_step(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the gradient of the batch's summed loss to `.grad`; return the mean loss."""
        outputs = self.model(x)
        loss = check_finite(self.loss(outputs, y), what="the loss")
        (loss * x.shape[0]).backward()
        self._measure(outputs, y)
        return loss

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
            outputs = self.model(x)
            self._measure(outputs, y)
            return self.loss(outputs, y)

    def _update(self) -> None:
        norm = clip_grad_norm_(self.parameters, self.max_norm if self.max_norm is not None else float("inf"))
        check_finite(norm, what="the gradient")
        self.optimizer.step()
        if self.average is not None:
            self.average.update()

    def _measure(self, outputs: Tensor, y: Tensor) -> None:
        with no_grad():
            for metric in self.metrics.values():
                metric.update(outputs.detach(), y)

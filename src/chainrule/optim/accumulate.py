"""Gradient accumulation: several small batches that make exactly the update of one large batch.

The mean loss of the large batch is (sum of all losses) / (number of all losses). Averaging the batches' means instead
weighs a short last batch, or one with many ignored labels, too much: the bug of many trainers (huggingface/transformers
PR 34191). So here sums are added up, and the division happens once, by the whole count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule import ops
from chainrule.core.context import local, no_grad
from chainrule.core.errors import GradientError, ShapeError, StateDictError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast
from chainrule.optim._state import load_cells
from chainrule.optim.group import new_cell, wide
from chainrule.optim.optimizer import Optimizer

__all__ = ["GradientAccumulator"]


class GradientAccumulator:
    """Gather gradients over small batches, then do the update of one large batch.

        gradient = d/dw (sum of the losses of all batches) / (sum of their counts)

    It takes losses per element (`reduction="none"`), never a mean, so that batches of unequal size come out right.

    Args:
        optimizer: the optimizer that does the update.

    Example:
        >>> w = cr.asarray([1.0]).requires_grad_()
        >>> gather = optim.GradientAccumulator(optim.SGD([w], lr=1.0))
        >>> gather.backward(w * cr.asarray([1.0, 2.0, 3.0]))
        >>> gather.backward(w * cr.asarray([6.0]))
        >>> gather.step()
        >>> w.tolist()
        [-2.0]
    """

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self._count = new_cell(0.0)

    @property
    def count(self) -> Tensor:
        """By what the gathered gradients will be divided: the counts so far, a tensor without axes."""
        return self._count.detach()

    def backward(self, losses: Tensor, count: float | Tensor | None = None) -> None:
        """Add the gradient of the sum of `losses`.

        Args:
            losses: one loss per element, [batch, ...]; ignored elements are 0.
            count: what the mean divides by: the number of elements not ignored, or the sum of their weights; default
                the number of losses.

        Raises:
            ShapeError: `losses` has no axes: it is a mean or a sum already.
        """
        if losses.shape == ():
            raise ShapeError(
                "GradientAccumulator.backward needs one loss per element, [batch, ...]; got a tensor of shape (): "
                'write reduction="none" in the loss function.'
            )
        ops.sum(losses).backward()
        with no_grad():
            counted = float(losses.size) if count is None else count
            self._count.assign_(
                self._count + (ops.astype(counted, self._count.dtype) if isinstance(counted, Tensor) else counted)
            )

    def normalize(self) -> None:
        """Divide the gathered gradients by the whole count, and start counting afresh; `step` does it too.

        Call it where something reads the gradients before the update, like `clip_grad_norm_`; then call the
        optimizer's own `step` and `zero_grad`.

        Raises:
            GradientError: the count is 0: nothing was gathered.
        """
        if local.interpreter is None and self._count.item() == 0:
            raise GradientError(
                "GradientAccumulator: nothing was gathered (the count is 0); call backward(losses) first."
            )
        with no_grad():
            for group in self.optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        dtype = wide(p.grad.dtype)
                        p.grad = cast(cast(p.grad, dtype) / cast(self._count, dtype), p.grad.dtype)
            self._count.assign_(self._count * 0)

    def step(self) -> None:
        """Do one update with the mean's gradient, and clear the gradients.

        Raises:
            GradientError: the count is 0: nothing was gathered.
        """
        self.normalize()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return the count and the gradients gathered so far: {"count": tensor, "gradients": {index: tensor}}."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        gradients = {index: p.grad.detach() for index, p in enumerate(parameters) if p.grad is not None}
        return {"count": self.count, "gradients": gradients}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the count and the gathered gradients.

        Args:
            state_dict: from `state_dict`.

        Raises:
            StateDictError: a gradient does not fit its parameter; nothing was loaded.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        gradients = dict(state_dict.get("gradients", {}))
        for index, g in gradients.items():
            if (
                index not in range(len(parameters))
                or g.shape != parameters[index].shape
                or g.dtype is not parameters[index].dtype
            ):
                raise StateDictError(
                    f"GradientAccumulator.load_state_dict: the gradient of parameter {index} does not fit: it is "
                    f"{g.dtype.name} of shape {g.shape}; nothing was loaded."
                )
        load_cells("GradientAccumulator", {"count": self._count}, state_dict, ["gradients"])
        for index, p in enumerate(parameters):
            p.grad = gradients[index].detach() if index in gradients else None

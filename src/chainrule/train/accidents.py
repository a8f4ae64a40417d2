"""What a training run says when a step refuses: the place where a NaN or an infinity began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule.core.errors import NonFiniteError
from chainrule.core.tensor import Tensor
from chainrule.ops.random import default_generator

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["explained"]


def explained(trainer: Trainer, error: NonFiniteError, *batch: Tensor) -> NonFiniteError:
    """Return the error with the place where the first NaN or infinity began, found by running the batch eagerly.

    Args:
        trainer: whose step refused the batch; its state is as it was.
        error: what the step raised.
        *batch: what the step got.
    """
    from chainrule.debug import find_nan

    steps, optimizer, model = trainer.steps, trainer.optimizer, trainer.model

    def again() -> None:
        optimizer.zero_grad()
        x, y = steps.inputs(*batch)
        trainer.loss(model(x), y).backward()

    weights, numbers = model.state_dict(), default_generator.state_dict()
    found = find_nan(trainer.precise(again))
    optimizer.zero_grad()
    model.load_state_dict(weights)
    default_generator.load_state_dict(numbers)
    where = f"{error.message} at step {trainer.step + 1} (epoch {trainer.epoch + 1})."
    spoilt = next((name for name, value in weights.items() if not _finite(value)), None)
    if spoilt is not None:
        return NonFiniteError(
            f"{where} {spoilt} is not finite already: the loss of an earlier step was, and its gradient was not. "
            "Continue from an older checkpoint with a lower learning rate or clipped gradients (max_norm); "
            "check_gradients=True refuses such a step."
        )
    place = f" It began in {found}." if found else " It did not come back when the batch was run eagerly."
    return NonFiniteError(
        f"{where}{place} "
        "The model is as it was before this step; lower the learning rate, clip the gradient (max_norm), "
        "or check the data for extreme values."
    )


def _finite(value: Tensor) -> bool:
    return not value.dtype.is_float or bool(np.isfinite(value.numpy().astype(np.float64, copy=False)).all())

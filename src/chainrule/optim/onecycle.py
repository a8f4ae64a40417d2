"""The one-cycle schedule: up to a large learning rate, down far below the start, momentum the other way round.

Source: Smith and Topin, arXiv 1708.07120 (super-convergence). Variant: cosine between the turning points, as fastai and
PyTorch have it; after the last step the final values stay, where PyTorch raises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.ops import cos, maximum, minimum, where
from chainrule.optim._options import check_integer, check_number
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.schedule import Schedule

__all__ = ["OneCycleLR"]


class OneCycleLR(Schedule):
    """Raise the learning rate to `max_lr`, then lower it far below the start; cycle momentum the other way round.

        lr: max_lr / div_factor -> max_lr -> max_lr / div_factor / final_div_factor
        momentum (or beta1): max_momentum -> base_momentum -> max_momentum

    Args:
        optimizer: whose groups get the learning rates; it must have momentum or betas where `cycle_momentum` is set.
        max_lr: greatest learning rate, > 0, or one per group.
        total_steps: number of updates in all, >= 2; default `epochs * steps_per_epoch`.
        epochs: number of epochs, >= 1; only with `steps_per_epoch`.
        steps_per_epoch: updates per epoch, >= 1.
        pct_start: share of the steps in which the rate rises, in (0, 1); default 0.3.
        anneal_strategy: "cos" or "linear"; default "cos".
        cycle_momentum: whether momentum is moved; default True.
        base_momentum: least momentum, in [0, 1); default 0.85.
        max_momentum: greatest momentum, in [0, 1); default 0.95.
        div_factor: `max_lr` over the first rate, > 0; default 25.
        final_div_factor: the first rate over the last, > 0; default 10,000.
        three_phase: mirror the rise before the final descent; default False.

    Raises:
        ValueError: a setting outside its range, no number of steps, or momentum to cycle where there is none.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0, momentum=0.9)
        >>> schedule = optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10, pct_start=0.5)
        >>> [round(schedule.lr_at(t)[0], 3) for t in (0, 2, 4, 9)]
        [0.04, 0.52, 1.0, 0.0]

    Source: Smith and Topin, arXiv 1708.07120.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ):
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR.anneal_strategy must be 'cos' or 'linear'; got {anneal_strategy!r}.")
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        self.pct_start = check_number("OneCycleLR.pct_start", pct_start, high=1, open_low=True, open_high=True)
        self.anneal_strategy, self.cycle_momentum, self.three_phase = anneal_strategy, cycle_momentum, three_phase
        self.base_momentum = check_number("OneCycleLR.base_momentum", base_momentum, high=1, open_high=True)
        self.max_momentum = check_number("OneCycleLR.max_momentum", max_momentum, high=1, open_high=True)
        self.div_factor = check_number("OneCycleLR.div_factor", div_factor, open_low=True)
        self.final_div_factor = check_number("OneCycleLR.final_div_factor", final_div_factor, open_low=True)
        groups = optimizer.param_groups
        rates = list(max_lr) if isinstance(max_lr, list | tuple) else [max_lr] * len(groups)
        if len(rates) != len(groups):
            raise ValueError(
                f"OneCycleLR.max_lr must be a number, or one per group ({len(groups)}); got {len(rates)} numbers."
            )
        self.max_lr = [check_number("OneCycleLR.max_lr", rate, open_low=True) for rate in rates]
        for rate, group in zip(self.max_lr, groups, strict=True):
            if cycle_momentum and "momentum" not in group and "betas" not in group:
                raise ValueError(
                    "OneCycleLR.cycle_momentum needs an optimizer with momentum or betas; "
                    f"{type(optimizer).__name__} has neither: pass cycle_momentum=False."
                )
            group["initial_lr"] = rate / self.div_factor
        super().__init__(optimizer)

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        high = self.max_lr[group]
        low = high / self.div_factor
        last = low / self.final_div_factor
        return self._cycle(step, [low, high, low, last] if self.three_phase else [low, high, last])

    def settings(self, step: Tensor, group: int) -> dict[str, Any]:
        found = super().settings(step, group)
        if self.cycle_momentum:
            top, bottom = self.max_momentum, self.base_momentum
            momentum = self._cycle(step, [top, bottom, top, top] if self.three_phase else [top, bottom, top])
            present = self._optimizer.param_groups[group]
            if "betas" in present:
                found["betas"] = (momentum, present["betas"][1])
            else:
                found["momentum"] = momentum
        return found

    def _cycle(self, step: Tensor, values: list[float]) -> Tensor:
        """Return the value at `step` on the path through `values` at the turning points."""
        turn = self.pct_start * self.total_steps - 1
        ends = [turn, 2 * turn, self.total_steps - 1.0] if self.three_phase else [turn, self.total_steps - 1.0]
        step = minimum(step, ends[-1])
        starts = [0.0, *ends[:-1]]
        result = None
        for start, end, first, last in reversed(list(zip(starts, ends, values[:-1], values[1:], strict=True))):
            done = maximum((step - start) / (end - start), 0.0) if end != start else step * 0 + 1
            if self.anneal_strategy == "cos":
                part = (cos(done * math.pi) + 1) * ((first - last) / 2) + last
            else:
                part = done * (last - first) + first
            result = part if result is None else where(step <= end, part, result)
        assert result is not None
        return result


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """Return the number of updates in all, from either way of stating it."""
    if total_steps is not None:
        return check_integer("OneCycleLR.total_steps", total_steps, 2)
    if epochs is None or steps_per_epoch is None:
        raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch; got neither.")
    whole = check_integer("OneCycleLR.epochs", epochs, 1) * check_integer(
        "OneCycleLR.steps_per_epoch", steps_per_epoch, 1
    )
    return check_integer("OneCycleLR.total_steps", whole, 2)

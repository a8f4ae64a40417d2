"""Lowering the learning rate when a measured value stops improving.

The one schedule that is no function of the step count: it counts bad measurements, and its counters are its state. It
is called outside compiled steps, usually once per epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.core.errors import StateDictError, nearest
from chainrule.core.tensor import Tensor
from chainrule.optim._options import check_integer, check_number
from chainrule.optim.optimizer import Optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau:
    """Multiply the learning rate by `factor` when a measured value has not improved for `patience` measurements.

    Args:
        optimizer: whose groups get the learning rates.
        mode: "min" where small is good (a loss), "max" where large is good (an accuracy); default "min".
        factor: of each reduction, in (0, 1); default 0.1.
        patience: measurements without improvement that are borne, >= 0; default 10.
        threshold: how much better counts as an improvement, >= 0; default 1e-4.
        threshold_mode: "rel": by that share of the best value; "abs": by that amount; default "rel".
        cooldown: measurements after a reduction during which none counts as bad, >= 0; default 0.
        min_lr: least learning rate, >= 0, or one per group; default 0.
        eps: reductions smaller than this are left out, >= 0; default 1e-8.
        monitor: the entry of an epoch's record that `Trainer` passes to `step`; default "train_loss".

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> for loss in (0.9, 0.8, 0.8, 0.8):
        ...     schedule.step(loss)
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
        *,
        monitor: str = "train_loss",
    ):
        for name, word, allowed in (("mode", mode, ("min", "max")), ("threshold_mode", threshold_mode, ("rel", "abs"))):
            if word not in allowed:
                raise ValueError(f"ReduceLROnPlateau.{name} must be {allowed[0]!r} or {allowed[1]!r}; got {word!r}.")
        self._optimizer = optimizer
        self.mode, self.threshold_mode, self.monitor = mode, threshold_mode, monitor
        self.factor = check_number("ReduceLROnPlateau.factor", factor, high=1, open_low=True, open_high=True)
        self.patience = check_integer("ReduceLROnPlateau.patience", patience)
        self.threshold = check_number("ReduceLROnPlateau.threshold", threshold)
        self.cooldown = check_integer("ReduceLROnPlateau.cooldown", cooldown)
        self.eps = check_number("ReduceLROnPlateau.eps", eps)
        groups = len(optimizer.param_groups)
        least = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        if len(least) != groups:
            raise ValueError(
                f"ReduceLROnPlateau.min_lr must be a number, or one per group ({groups}); got {len(least)} numbers."
            )
        self.min_lr = [check_number("ReduceLROnPlateau.min_lr", rate) for rate in least]
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: float | Tensor) -> None:
        """Take one measurement; lower the learning rates if there have been too many bad ones.

        Args:
            metrics: the measured value; NaN counts as no improvement.

        Raises:
            TraceError: inside a compiled step, where there is no value yet.
        """
        value = float(metrics)
        self.last_epoch += 1
        if self._better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group as it is now."""
        return [float(group["lr"]) for group in self._optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the counters: {"best", "num_bad_epochs", "cooldown_counter", "last_epoch"}."""
        return {name: getattr(self, name) for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the counters; the present learning rates are the optimizer's and stay.

        Args:
            state_dict: from `state_dict`.

        Raises:
            StateDictError: lists what is missing or unknown; nothing was loaded.
        """
        own = self.state_dict()
        problems = [f"{name!r} is missing" for name in own if name not in state_dict]
        problems += [f"unknown {name!r}{nearest(name, own)}" for name in state_dict if name not in own]
        if problems:
            lines = "".join(f"\n  - {text}" for text in problems)
            raise StateDictError(
                f"ReduceLROnPlateau.load_state_dict: the state dict does not fit, nothing was loaded:{lines}"
            )
        for name, value in state_dict.items():
            setattr(self, name, value)

    def _better(self, value: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "abs":
            limit = self.best + sign * self.threshold
        else:
            limit = self.best * (1 + sign * self.threshold)
        return value < limit if self.mode == "min" else value > limit

    def _reduce(self) -> None:
        for group, least in zip(self._optimizer.param_groups, self.min_lr, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, least)
            if old - new > self.eps:
                group["lr"] = new

    def __repr__(self) -> str:
        return f"ReduceLROnPlateau(mode={self.mode!r}, factor={self.factor!r}, patience={self.patience!r})"

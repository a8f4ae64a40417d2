"""The base of learning-rate schedules: a pure function of the step count, written once for numbers and for traces.

A schedule's only state is the count and the values that the groups started from; `lr_at(n)` gives the value at any
step. `step()` counts and assigns the groups' cells, so it may stand inside a compiled step and never causes a re-trace.
All is computed in float64 with tensor operations, the same eagerly and compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.core.context import Versioned, no_grad
from chainrule.core.errors import StateDictError
from chainrule.core.tensor import Tensor
from chainrule.ops import asarray
from chainrule.optim._options import check_integer
from chainrule.optim._state import load_cells
from chainrule.optim.group import new_cell
from chainrule.optim.optimizer import Optimizer

__all__ = ["Schedule"]


class Schedule(Versioned):
    """Base of the schedules; a subclass states `value(step, base, group)`.

    The groups' learning rates at construction are the base values; they are kept as `initial_lr` in the groups, where
    the next schedule over the same optimizer finds them.

    Args:
        optimizer: whose groups get the learning rates.

    Raises:
        ValueError: `optimizer` is not an optimizer.

    Example:
        >>> class Halving(optim.Schedule):
        ...     def value(self, step, base, group):
        ...         return base * 0.5**step
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=0.1)
        >>> schedule = Halving(optimizer)
        >>> schedule.step()
        >>> float(optimizer.param_groups[0]["lr"]), schedule.lr_at(3)
        (0.05, [0.0125])
    """

    def __init__(self, optimizer: Optimizer):
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"{type(self).__name__}.optimizer must be an optimizer; got {type(optimizer).__name__}.")
        self._optimizer = optimizer
        self._count = new_cell(0.0)
        self._bases = [
            new_cell(float(group.setdefault("initial_lr", float(group["lr"])))) for group in optimizer.param_groups
        ]
        with no_grad():
            self._assign()

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        """Return the learning rate of a group at a step.

        Args:
            step: number of steps so far, a float64 tensor without axes.
            base: the value that the group started from, likewise.
            group: index of the group.
        """
        raise NotImplementedError(f"{type(self).__name__} states no schedule: write value(step, base, group).")

    def settings(self, step: Tensor, group: int) -> dict[str, Any]:
        """Return all settings of a group at a step: "lr", and momentum where the schedule moves it.

        Args:
            step: number of steps so far, a float64 tensor without axes.
            group: index of the group.
        """
        return {"lr": self.value(step, self._bases[group], group)}

    def step(self) -> None:
        """Count one step and assign the settings of all groups.

        Raises:
            ValueError: the optimizer got a group after the schedule was made.
        """
        groups = len(self._optimizer.param_groups)
        if groups != len(self._bases):
            raise ValueError(
                f"{type(self).__name__} was made for {len(self._bases)} parameter groups; the optimizer has {groups} "
                "now: make the schedule after add_param_group."
            )
        with no_grad():
            self._count.assign_(self._count + 1)
            self._assign()

    def lr_at(self, step: int) -> list[float]:
        """Return the learning rate of each group after `step` steps, whatever the present count is.

        Args:
            step: number of steps, >= 0.
        """
        count = asarray(float(check_integer(f"{type(self).__name__}.lr_at.step", step)), dtype="float64")
        with no_grad():
            return [float(self.settings(count, index)["lr"]) for index in range(len(self._bases))]

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group as it is now."""
        return [float(group["lr"]) for group in self._optimizer.param_groups]

    @property
    def last_epoch(self) -> int:
        """Number of steps so far; PyTorch's name for it."""
        return int(self._count.item())

    def state_dict(self) -> dict[str, Any]:
        """Return {"last_epoch": number of steps, "base_lrs": values that the groups started from}."""
        return {"last_epoch": self.last_epoch, "base_lrs": [base.item() for base in self._bases]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the count and the base values; the present learning rates are the optimizer's and stay.

        Args:
            state_dict: from `state_dict` of a schedule over as many groups.

        Raises:
            StateDictError: an entry is missing or unknown, or the number of groups differs; nothing was loaded.
        """
        name = type(self).__name__
        bases = state_dict.get("base_lrs", self._bases)
        if len(bases) != len(self._bases):
            raise StateDictError(
                f"{name}.load_state_dict: it has base_lrs of {len(bases)} groups, the optimizer has {len(self._bases)}."
            )
        cells = {"last_epoch": self._count, **{f"base_lrs.{i}": cell for i, cell in enumerate(self._bases)}}
        flat = {key: value for key, value in state_dict.items() if key != "base_lrs"}
        if "base_lrs" in state_dict:
            flat |= {f"base_lrs.{i}": value for i, value in enumerate(bases)}
        load_cells(name, cells, flat)

    def _assign(self) -> None:
        for index, group in enumerate(self._optimizer.param_groups):
            for name, value in self.settings(self._count.detach(), index).items():
                group[name] = value

    def _versioned_parts(self) -> list[Versioned]:
        return [self._optimizer]

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if not name.startswith("_"):
            self._touch()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._touch()

    def __repr__(self) -> str:
        shown = {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name != "structure_version"
        }
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

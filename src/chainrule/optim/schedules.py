"""Learning-rate schedules in closed form, named and parametrised as PyTorch's; t counts calls of `step()`.

    StepLR              base gamma^floor(t / step_size)
    MultiStepLR         base gamma^(number of milestones <= t)
    ExponentialLR       base gamma^t
    InverseTimeLR       base / (1 + gamma t)
    CosineAnnealingLR   eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2
    LinearLR            base (start + (end - start) min(t, total) / total)        warm-up
    LambdaLR            base f(t)
    SequentialLR        one schedule after the other

PyTorch computes most of these from the value before; the closed forms differ from it in the last bits only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from chainrule.core.context import Versioned, local
from chainrule.core.errors import StateDictError
from chainrule.core.tensor import Tensor
from chainrule.ops import asarray, astype, cos, floor, maximum, minimum, where
from chainrule.ops import sum as total_of
from chainrule.optim._options import check_integer, check_number
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.schedule import Schedule

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "InverseTimeLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "SequentialLR",
    "StepLR",
]


class StepLR(Schedule):
    """Multiply the learning rate by `gamma` after every `step_size` steps.

        lr = base gamma^floor(t / step_size)

    Args:
        optimizer: whose groups get the learning rates.
        step_size: steps between two changes, >= 1.
        gamma: factor of each change, > 0; default 0.1.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> schedule = optim.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> [schedule.lr_at(t)[0] for t in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        self.step_size = check_integer("StepLR.step_size", step_size, 1)
        self.gamma = check_number("StepLR.gamma", gamma, open_low=True)
        super().__init__(optimizer)

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        return base * self.gamma ** floor(step / self.step_size)


class MultiStepLR(Schedule):
    """Multiply the learning rate by `gamma` when the count reaches each milestone.

        lr = base gamma^(number of milestones <= t)

    Args:
        optimizer: whose groups get the learning rates.
        milestones: step counts at which the rate changes, increasing.
        gamma: factor of each change, > 0; default 0.1.

    Raises:
        ValueError: a setting outside its range, or milestones that do not increase.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> schedule = optim.MultiStepLR(optimizer, milestones=[2, 3], gamma=0.5)
        >>> [schedule.lr_at(t)[0] for t in range(5)]
        [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1):
        self.milestones = _milestones("MultiStepLR", milestones)
        self.gamma = check_number("MultiStepLR.gamma", gamma, open_low=True)
        super().__init__(optimizer)

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        reached = step >= asarray([float(m) for m in self.milestones], dtype="float64")  # [milestones]
        return base * self.gamma ** total_of(astype(reached, step.dtype))


class ExponentialLR(Schedule):
    """Multiply the learning rate by `gamma` at every step.

        lr = base gamma^t

    Args:
        optimizer: whose groups get the learning rates.
        gamma: factor of each step, > 0.

    Raises:
        ValueError: `gamma` outside its range.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> optim.ExponentialLR(optimizer, gamma=0.5).lr_at(3)
        [0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float):
        self.gamma = check_number("ExponentialLR.gamma", gamma, open_low=True)
        super().__init__(optimizer)

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        return base * self.gamma**step


class InverseTimeLR(Schedule):
    """Let the learning rate fall like 1/t.

        lr = base / (1 + gamma t)

    Args:
        optimizer: whose groups get the learning rates.
        gamma: decay per step, >= 0; after 1 / gamma steps the rate is halved.

    Raises:
        ValueError: `gamma` outside its range.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> optim.InverseTimeLR(optimizer, gamma=0.5).lr_at(2)
        [0.5]

    Source: Robbins and Monro, Annals of Mathematical Statistics 22 (1951).
    """

    def __init__(self, optimizer: Optimizer, gamma: float):
        self.gamma = check_number("InverseTimeLR.gamma", gamma)
        super().__init__(optimizer)

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        return base / (1 + step * self.gamma)


class CosineAnnealingLR(Schedule):
    """Let the learning rate fall along half a cosine wave, in `T_max` steps; after that it rises again.

        lr = eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2

    Args:
        optimizer: whose groups get the learning rates.
        T_max: steps down to `eta_min`, >= 1.
        eta_min: the least learning rate, >= 0; default 0.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> schedule = optim.CosineAnnealingLR(optimizer, T_max=4)
        >>> [round(schedule.lr_at(t)[0], 3) for t in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]

    Source: Loshchilov and Hutter, ICLR 2017; without its restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        self.T_max = check_integer("CosineAnnealingLR.T_max", T_max, 1)
        self.eta_min = check_number("CosineAnnealingLR.eta_min", eta_min)
        super().__init__(optimizer)

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        return (base - self.eta_min) * ((1 + cos(step * math.pi / self.T_max)) / 2) + self.eta_min


class LinearLR(Schedule):
    """Warm up: let the learning rate change linearly from one share of the base value to another, then stay.

        lr = base (start_factor + (end_factor - start_factor) min(t, total_iters) / total_iters)

    Args:
        optimizer: whose groups get the learning rates.
        start_factor: share of the base value at the start, in (0, 1]; default 1/3.
        end_factor: share at the end, in [0, 1]; default 1.
        total_iters: steps from start to end, >= 1; default 5.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> schedule = optim.LinearLR(optimizer, start_factor=0.25, total_iters=3)
        >>> [schedule.lr_at(t)[0] for t in range(5)]
        [0.25, 0.5, 0.75, 1.0, 1.0]

    Source: Goyal et al., arXiv 1706.02677 (gradual warm-up).
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ):
        self.start_factor = check_number("LinearLR.start_factor", start_factor, high=1, open_low=True)
        self.end_factor = check_number("LinearLR.end_factor", end_factor, high=1)
        self.total_iters = check_integer("LinearLR.total_iters", total_iters, 1)
        super().__init__(optimizer)

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        done = minimum(step, float(self.total_iters)) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class LambdaLR(Schedule):
    """Multiply the base value by a function of the step count.

        lr = base f(t)

    Args:
        optimizer: whose groups get the learning rates.
        lr_lambda: function of the count, or one per group. It gets a Python integer; inside a compiled step it gets a
            float64 tensor without axes, and must be written in tensor operations.

    Raises:
        ValueError: not a function, or not as many as there are groups.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> optim.LambdaLR(optimizer, lambda t: 0.5**t).lr_at(2)
        [0.25]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[Any], Any] | Sequence[Callable[[Any], Any]]):
        groups = len(optimizer.param_groups)
        functions: list[Any] = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(functions) != groups or not all(callable(function) for function in functions):
            given = f"{len(functions)} functions" if all(callable(f) for f in functions) else repr(lr_lambda)
            raise ValueError(f"LambdaLR.lr_lambda must be a function, or one per group ({groups}); got {given}.")
        self.lr_lambda = functions
        super().__init__(optimizer)

    def value(self, step: Tensor, base: Tensor, group: int) -> Tensor:
        factor = self.lr_lambda[group](int(step.item()) if local.interpreter is None else step)
        return base * (astype(factor, base.dtype) if isinstance(factor, Tensor) else float(factor))


class SequentialLR(Schedule):
    """Run one schedule after the other; each counts from 0 when its turn comes: warm-up and cosine, say.

    Args:
        optimizer: whose groups get the learning rates.
        schedulers: schedules over the same optimizer.
        milestones: step counts at which the next one takes over, increasing; one fewer than schedules.

    Raises:
        ValueError: schedules of another optimizer, no closed form (plateau), or a wrong number of milestones.

    Example:
        >>> optimizer = optim.SGD([cr.zeros(2).requires_grad_()], lr=1.0)
        >>> warmup = optim.LinearLR(optimizer, start_factor=0.5, total_iters=2)
        >>> cosine = optim.CosineAnnealingLR(optimizer, T_max=4)
        >>> schedule = optim.SequentialLR(optimizer, [warmup, cosine], milestones=[2])
        >>> [round(schedule.lr_at(t)[0], 3) for t in range(7)]
        [0.5, 0.75, 1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int]):
        self.schedulers = list(schedulers)
        self.milestones = _milestones("SequentialLR", milestones)
        if not schedulers or len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"SequentialLR.milestones must be one fewer than the schedules; got {len(self.milestones)} milestones "
                f"for {len(self.schedulers)} schedules."
            )
        for position, schedule in enumerate(self.schedulers):
            if not isinstance(schedule, Schedule) or schedule._optimizer is not optimizer:
                what = (
                    f"one of another optimizer ({type(schedule).__name__})"
                    if isinstance(schedule, Schedule)
                    else type(schedule).__name__
                )
                raise ValueError(
                    f"SequentialLR.schedulers[{position}] must be a schedule in closed form over the same optimizer; "
                    f"got {what}."
                )
        super().__init__(optimizer)

    def settings(self, step: Tensor, group: int) -> dict[str, Any]:
        starts = [0, *self.milestones]
        parts = [s.settings(maximum(step - float(n), 0.0), group) for s, n in zip(self.schedulers, starts, strict=True)]
        merged: dict[str, Any] = {}
        for name in {name: None for part in parts for name in part}:
            present = self._optimizer.param_groups[group][name]
            merged[name] = parts[0].get(name, present)
            for part, start in zip(parts[1:], self.milestones, strict=True):
                merged[name] = _choose(step >= float(start), part.get(name, present), merged[name])
        return merged

    def state_dict(self) -> dict[str, Any]:
        """Return what every schedule keeps, and under "schedulers" the same of each part."""
        return {**super().state_dict(), "schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the count and the base values, those of the parts too.

        Args:
            state_dict: from `state_dict` of the same sequence.

        Raises:
            StateDictError: an entry is missing or unknown, or the number of parts or groups differs.
        """
        parts = state_dict.get("schedulers", ())
        if len(parts) != len(self.schedulers):
            raise StateDictError(
                f"SequentialLR.load_state_dict: it has {len(parts)} schedulers, expected {len(self.schedulers)}."
            )
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "schedulers"})
        for schedule, part in zip(self.schedulers, parts, strict=True):
            schedule.load_state_dict(part)

    def _versioned_parts(self) -> list[Versioned]:
        return [self._optimizer, *self.schedulers]


def _choose(condition: Tensor, new: Any, old: Any) -> Any:
    """Return new or old, numbers or tuples of numbers."""
    if isinstance(new, tuple):
        return tuple(where(condition, a, b) for a, b in zip(new, old, strict=True))
    return where(condition, new, old)


def _milestones(owner: str, milestones: Sequence[int]) -> list[int]:
    """Return the milestones as a list of increasing integers >= 1."""
    found = [check_integer(f"{owner}.milestones[{i}]", m, 1) for i, m in enumerate(milestones)]
    if any(a >= b for a, b in pairwise(found)):
        raise ValueError(f"{owner}.milestones must increase; got {found}.")
    return found

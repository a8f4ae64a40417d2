"""The learning-rate range test: train a little with an ever larger rate, watch the loss, put everything back.

    lr_i = low (high / low)^(i / (steps - 1))

The loss falls fastest somewhere below the rate at which it starts to rise; that rate is the suggestion. Sources: Smith,
WACV 2017 (the test, with a linear rise); fastai's finder (the geometric rise, the smoothing, the steepest point).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.core.context import no_grad
from chainrule.core.errors import DataError, MissingExtraError, NonFiniteError
from chainrule.core.tensor import CONSUMED, Tensor
from chainrule.optim._options import check_integer, check_number
from chainrule.optim.optimizer import Optimizer

__all__ = ["LRRangeTest", "lr_range_test"]


@dataclass(frozen=True)
class LRRangeTest:
    """What a learning-rate range test measured.

    Attributes:
        lrs: the learning rates tried, increasing.
        losses: the loss of each step, before its update.
        smoothed: exponential moving average of the losses, without bias.
        suggestion: the rate where the smoothed loss falls fastest, or None where it never falls.
        diverged: whether the test ended early, because the loss rose too far or was not finite.
        smoothing: share of the moving average kept per step.

    Example:
        >>> optim.LRRangeTest(lrs=[1e-3, 1e-2, 1e-1, 1.0], losses=[2.0, 1.9, 1.0, 5.0]).suggestion
        0.1
    """

    lrs: list[float]
    losses: list[float]
    diverged: bool = False
    smoothing: float = 0.0
    smoothed: list[float] = field(init=False)
    suggestion: float | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "smoothed", _smooth(self.losses, self.smoothing))
        object.__setattr__(self, "suggestion", _steepest(self.lrs, self.smoothed, self.smoothing))

    def plot(self, axes: Any = None) -> Any:
        """Draw loss over learning rate with matplotlib, the suggestion marked; return the axes.

        Args:
            axes: matplotlib axes to draw into; default new ones.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise MissingExtraError("drawing needs matplotlib: pip install 'chainrule[plot]'") from None
        if axes is None:
            axes = plt.subplots(figsize=(7, 4), layout="constrained")[1]
        axes.plot(self.lrs, self.losses, color="0.75", label="loss")
        axes.plot(self.lrs, self.smoothed, color="C0", label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, color="C1", linestyle="--", label=f"suggestion {self.suggestion:.2g}")
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.legend()
        return axes


def lr_range_test(
    step: Callable[..., Tensor],
    optimizer: Optimizer,
    batches: Iterable[Any],
    *,
    model: Any = None,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    diverge: float = 4.0,
) -> LRRangeTest:
    """Run a training step with geometrically growing learning rates, then put model and optimizer back bit for bit.

    Args:
        step: one training step, eager or from `cr.jit`: takes the parts of a batch, updates, returns the loss.
        optimizer: the optimizer in `step`; all its groups get the same rate.
        batches: iterable of batches (tuples), gone through again if it is too short.
        model: the module, so that its buffers (statistics of batch norm) are put back too; default none.
        low: first learning rate, > 0; default 1e-7.
        high: last learning rate, > low; default 10.
        steps: number of steps, >= 2; default 100.
        smoothing: share of the moving average of losses kept per step, in [0, 1); default 0.9.
        diverge: the test ends when the smoothed loss is this many times the least so far, > 1; default 4.

    Returns:
        The rates, the losses and the suggestion.

    Raises:
        ValueError: a setting outside its range.
        DataError: there is no batch, or the iterable could not be started again.

    Example:
        >>> w = cr.asarray([2.0]).requires_grad_()
        >>> optimizer = optim.SGD([w], lr=0.1)
        >>> def step(x):
        ...     loss = ((w * x) ** 2).sum()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        ...     return loss
        >>> result = optim.lr_range_test(step, optimizer, [(cr.asarray([1.0]),)], low=1e-4, high=10.0, steps=30)
        >>> 0.01 < result.suggestion < 1, result.diverged, w.tolist()
        (True, True, [2.0])

    Source: Smith, Cyclical Learning Rates for Training Neural Networks, WACV 2017.
    """
    low = check_number("lr_range_test.low", low, open_low=True)
    high = check_number("lr_range_test.high", high, low=low, open_low=True)
    steps = check_integer("lr_range_test.steps", steps, 2)
    smoothing = check_number("lr_range_test.smoothing", smoothing, high=1, open_high=True)
    diverge = check_number("lr_range_test.diverge", diverge, low=1, open_low=True)
    restore = _snapshot(optimizer, model)
    lrs: list[float] = []
    losses: list[float] = []
    diverged = False
    try:
        for batch, index in zip(_endless(batches), range(steps), strict=False):
            lr = low * (high / low) ** (index / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss = _loss_of(step, batch)
            diverged = not math.isfinite(loss)
            if not diverged:
                lrs.append(lr)
                losses.append(loss)
                smoothed = _smooth(losses, smoothing)
                diverged = index > 0 and smoothed[-1] > diverge * min(smoothed) > 0
            if diverged:
                break
    finally:
        restore()
    return LRRangeTest(lrs, losses, diverged, smoothing)


def _loss_of(step: Callable[..., Tensor], batch: Any) -> float:
    """Return the loss of one step; infinity where a guard in the step refused it."""
    try:
        return float(step(*batch) if isinstance(batch, tuple | list) else step(batch))
    except NonFiniteError:
        return math.inf


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield batches for ever, starting the iterable again when it ends."""
    while True:
        found = False
        for batch in batches:
            found = True
            yield batch
        if not found:
            raise DataError(
                "lr_range_test: there is no batch, or the batches can't be gone through again; "
                "pass a list or a DataLoader."
            )


def _snapshot(optimizer: Optimizer, model: Any) -> Callable[[], None]:
    """Return a function that puts back parameters, buffers, gradients, optimizer and random numbers as they are now."""
    from chainrule.ops.random import default_generator

    cells = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    if model is not None:
        cells |= {id(cell): cell for _, cell in [*model.named_parameters(), *model.named_buffers()]}
    kept = [(cell, cell.detach(), cell._grad) for cell in cells.values()]
    state, numbers = optimizer.state_dict(), default_generator.state_dict()

    def restore() -> None:
        with no_grad():
            for cell, value, gradient in kept:
                cell.assign_(value)
                cell.grad = None if gradient is CONSUMED else gradient
        optimizer.load_state_dict(state)
        default_generator.load_state_dict(numbers)

    return restore


def _smooth(losses: list[float], share: float) -> list[float]:
    """Return the moving average of the losses, without the bias of its start."""
    mean, smoothed = 0.0, []
    for count, loss in enumerate(losses, 1):
        mean = share * mean + (1 - share) * loss
        smoothed.append(mean / (1 - share**count))
    return smoothed


def _steepest(lrs: list[float], losses: list[float], share: float) -> float | None:
    """Return the rate where the loss falls fastest per factor of the rate, before its least value.

    Batches differ too, so slopes are taken over as many points as the average remembers, and the first of these, where
    it has seen too few batches, are left out.
    """
    width = max(1, round(1 / (1 - share)))
    start = width - 1
    end = start + int(np.argmin(losses[start:])) + 1 if len(losses) > start else start
    if end - start <= width:
        return None
    smooth, logs = np.asarray(losses[start:end]), np.log(lrs[start:end])
    slopes = (smooth[width:] - smooth[:-width]) / (logs[width:] - logs[:-width])
    position = int(np.argmin(slopes))
    return float(lrs[start + position + (width + 1) // 2]) if slopes[position] < 0 else None

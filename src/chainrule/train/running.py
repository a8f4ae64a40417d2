"""Sums over an epoch so far, and how Ctrl-C ends a run: what the Trainer's loop keeps beside the model's state."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["Running", "ctrl_c", "ends_after_a_step"]


class Running:
    """Sums over the batches of an epoch so far.

    Args:
        loss_sum: of the samples' losses.
        samples: how many.
        last: the newest batch's mean loss.
        seconds: what earlier sessions of this epoch took.
        pending_batches, pending_samples: gathered, and not yet used for an update.

    Example:
        >>> running = Running()
        >>> running.add(0.5, samples=2)
        >>> running.add(0.2, samples=1)
        >>> running.mean
        0.39999999999999997
    """

    def __init__(
        self,
        loss_sum: float = 0.0,
        samples: int = 0,
        last: float = 0.0,
        seconds: float = 0.0,
        pending_batches: int = 0,
        pending_samples: int = 0,
    ):
        self.loss_sum, self.samples, self.last, self.seconds = loss_sum, samples, last, seconds
        self.pending_batches, self.pending_samples = pending_batches, pending_samples

    def add(self, loss: float, samples: int) -> None:
        """Count a batch.

        Args:
            loss: its mean loss.
            samples: how many it has.
        """
        self.loss_sum += loss * samples
        self.samples += samples
        self.last = loss

    @property
    def mean(self) -> float:
        """Mean loss of all samples; NaN where there is none."""
        return self.loss_sum / self.samples if self.samples else float("nan")


@contextlib.contextmanager
def ends_after_a_step(trainer: Trainer, numbers: Sequence[int]) -> Iterator[None]:
    """Let signals end the run after the present step; the second one ends it at once.

    Args:
        trainer: whose `interrupt` is called.
        numbers: the signals; nothing happens outside the main thread, which alone gets them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        trainer.interrupt()

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ctrl_c(trainer: Trainer) -> contextlib.AbstractContextManager[None]:
    """Return a block in which Ctrl-C ends the run after a whole step, unless somebody else handles it."""
    mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return ends_after_a_step(trainer, (signal.SIGINT,)) if mine else contextlib.nullcontext()

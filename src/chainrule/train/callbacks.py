"""What can hook into a training run: the base class, early stopping, the metrics file, TensorBoard.

A callback gets four calls, each with the trainer and, after steps and epochs, a record: a flat dict of numbers. State
that must survive an interrupted run goes through `state_dict` and `load_state_dict`; checkpoints hold it.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import time
from typing import TYPE_CHECKING, Any, ClassVar

from chainrule.core import files
from chainrule.core.errors import CheckpointError, MissingExtraError
from chainrule.core.files import PathLike

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "JSONLines", "TensorBoard"]

Record = dict[str, Any]
_encode = json.JSONEncoder().encode


class Callback:
    """Base of callbacks: override what you need.

    Attributes:
        needs_each_step: whether `on_step` must be called right after its step, with the model as that step left it;
            default True: a compiled run then does one step at a time. With False, records come up to about 50 ms late
            and several in a row, the trainer and the model being as after the last of them; it costs a small model
            nothing. Without an `on_step` of its own a callback needs none.

    Example:
        >>> class Losses(Callback):
        ...     def __init__(self):
        ...         self.values = []
        ...     def on_step(self, trainer, record):
        ...         self.values.append(record["loss"])
        >>> Losses.needs_each_step = False  # it reads records only
    """

    needs_each_step: ClassVar[bool] = True

    def on_start(self, trainer: Trainer) -> None:
        """Called once before the first step of `fit`, also of a resumed one."""

    def on_step(self, trainer: Trainer, record: Record) -> None:
        """Called after each update with {"step", "epoch", "loss", "lr", ...}."""

    def on_steps(self, trainer: Trainer, records: list[Record]) -> None:
        """Called with the records of one update, or of several of one native call; default `on_step` for each."""
        for record in records:
            self.on_step(trainer, record)

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        """Called after each epoch with {"epoch", "step", "train_loss", ..., "seconds"}."""

    def on_end(self, trainer: Trainer) -> None:
        """Called when `fit` ends, also by an error or Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs; default nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""


def wants_each_step(callback: Callback) -> bool:
    """Return whether a callback has to be called right after each step."""
    kind = type(callback)
    own = kind.on_step is not Callback.on_step or kind.on_steps is not Callback.on_steps
    return own and callback.needs_each_step


class EarlyStopping(Callback):
    """Stop when a watched number no longer improves, and restore the weights of its best epoch.

    Args:
        monitor: name in the epoch record; default "validation_loss".
        patience: epochs without improvement before stopping, >= 0; default 5.
        min_delta: smallest change that counts as an improvement, >= 0; default 0.
        mode: "min" or "max": which direction is better; default "min".
        restore_best: put the best weights back at the end; default True.

    Raises:
        ValueError: a setting outside its range.
        SettingError: at the start of `fit`, where an epoch's record will have no such number; lists those it will.

    Example:
        >>> EarlyStopping(monitor="validation_accuracy", mode="max", patience=3).patience
        3

    Source: Prechelt, Early Stopping - But When?, 1998.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "min",
        restore_best: bool = True,
    ):
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping.mode must be 'min' or 'max'; got {mode!r}.")
        if patience < 0:
            raise ValueError(f"EarlyStopping.patience must be an int >= 0; got {patience}.")
        if min_delta < 0:
            raise ValueError(f"EarlyStopping.min_delta must be a float >= 0; got {min_delta}.")
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.restore_best = restore_best
        self.best = math.inf if mode == "min" else -math.inf
        self.best_epoch = -1
        self.waited = 0
        self.weights: dict[str, Any] | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Check that there will be such a number."""
        trainer.check_monitor("EarlyStopping.monitor", self.monitor)

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        """Compare with the best so far; ask the trainer to stop when patience is used up."""
        value = record[self.monitor]
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:
            self.best, self.best_epoch, self.waited = value, record["epoch"], 0
            if self.restore_best:
                with trainer.averaged():
                    self.weights = trainer.model.state_dict()
        else:
            self.waited += 1
            if self.waited >= max(self.patience, 1):
                trainer.stop(
                    f"{self.monitor} has not improved for {self.waited} epochs; "
                    f"best {self.best:.6g} in epoch {self.best_epoch + 1}"
                )

    def on_end(self, trainer: Trainer) -> None:
        """Restore the best weights, if the run went to its end."""
        if self.restore_best and self.weights is not None and trainer.finished:
            trainer.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the counters and the best weights."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the counters and the best weights back."""
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
        self.weights = state["weights"]


class JSONLines(Callback):
    """Write each record as one line of JSON, steps as {"kind": "step", ...}, epochs as {"kind": "epoch", ...}.

    A checkpoint remembers how long the file was; resuming cuts it there, so that every step stands in it once.

    Args:
        path: the file, usually `metrics.jsonl`; a fresh run replaces it.

    Raises:
        OSError: the file can't be written.
        CheckpointError: on resuming, the file is shorter than the checkpoint says.

    Example:
        >>> import tempfile, pathlib
        >>> JSONLines(pathlib.Path(tempfile.mkdtemp()) / "metrics.jsonl").length
        0
    """

    needs_each_step = False

    def __init__(self, path: PathLike):
        self.path = pathlib.Path(path)
        self.length = 0
        self._handle: int | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Open the file, cut to the length that the run knows of."""
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        size = os.fstat(handle).st_size
        if size < self.length:
            os.close(handle)
            raise CheckpointError(
                f"{self.path} has {size} bytes, and the checkpoint knows of {self.length}: lines were lost. "
                "Put the file back, or train afresh into another folder."
            )
        os.ftruncate(handle, self.length)
        os.lseek(handle, self.length, os.SEEK_SET)
        self._handle = handle

    def on_steps(self, trainer: Trainer, records: list[Record]) -> None:
        """Append one line per step."""
        self._append([{"kind": "step", **record} for record in records])

    def on_step(self, trainer: Trainer, record: Record) -> None:
        """Append one line."""
        self.on_steps(trainer, [record])

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        """Append one line."""
        self._append([{"kind": "epoch", **record}])

    def on_end(self, trainer: Trainer) -> None:
        """Flush and close the file."""
        if self._handle is not None:
            try:
                files.fsync(self._handle)
            finally:
                os.close(self._handle)
                self._handle = None

    def _append(self, records: list[Record]) -> None:
        if self._handle is None:
            raise RuntimeError(f"{self.path} is not open: JSONLines gets records between on_start and on_end.")
        lines = "".join(_encode(record) + "\n" for record in records).encode()
        files.write(self._handle, lines)
        self.length += len(lines)

    def state_dict(self) -> dict[str, Any]:
        """Return the length of the file, after flushing it: a checkpoint never knows more than the disk."""
        if self._handle is not None:
            files.fsync(self._handle)
        return {"length": self.length}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the lines that the checkpoint knows of."""
        self.length = state["length"]


class TensorBoard(Callback):
    """Write loss, learning rate and metrics as TensorBoard event files.

    Args:
        folder: where the event files go.

    Raises:
        MissingExtraError: the `tensorboard` extra is not installed.

    Example:
        >>> TensorBoard("runs/first").folder.name
        'first'
    """

    needs_each_step = False

    def __init__(self, folder: PathLike):
        self.folder = pathlib.Path(folder)
        self._writer: Any = None

    def on_start(self, trainer: Trainer) -> None:
        """Open an event file; a resumed run adds one that begins at its step."""
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise MissingExtraError("TensorBoard needs the extra: pip install 'chainrule[tensorboard]'") from None
        self._writer = EventFileWriter(str(self.folder))

    def on_step(self, trainer: Trainer, record: Record) -> None:
        """Write the step's numbers."""
        self._write("step", record)

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        """Write the epoch's numbers."""
        self._write("epoch", record)

    def on_end(self, trainer: Trainer) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, kind: str, record: Record) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=f"{kind}/{name}", simple_value=value)
            for name, value in record.items()
            if isinstance(value, float)
        ]
        self._writer.add_event(Event(wall_time=time.time(), step=record["step"], summary=Summary(value=values)))

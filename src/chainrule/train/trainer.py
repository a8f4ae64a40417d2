"""The Trainer: a loop around a step that you can also write by hand.

    outputs = model(x);  loss = loss_function(outputs, y)
    optimizer.zero_grad();  loss.backward();  optimizer.step()

The same step runs eagerly or through `cr.jit`. Data in memory are then trained on many steps per native call, about
50 ms long, whose records come together; see `Callback.needs_each_step`. Around it: metrics exact over ragged batches,
schedules, gradient accumulation, clipping, a moving average of the weights, callbacks, checkpoints, and guards that
name the module where a NaN began. Everything a run needs to continue is in `state_dict`, so that an interrupted and
resumed run ends with the same bits as one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chainrule.core.errors import ChainruleError, NonFiniteError, SettingError
from chainrule.core.precision import Operands, operand_dtype
from chainrule.core.tensor import Tensor
from chainrule.data.augment import Augment
from chainrule.data.rows import EpochRows
from chainrule.ops import asarray
from chainrule.ops.random import default_generator
from chainrule.train.accidents import explained
from chainrule.train.callbacks import Callback, Record, wants_each_step
from chainrule.train.checkpoint import Checkpoints
from chainrule.train.evaluation import measure
from chainrule.train.running import Running, ctrl_c
from chainrule.train.steps import Steps, counts_inside

__all__ = ["Trainer"]

MOST = 4096  # batches that a native call is offered, whose row numbers it looks through first


class Trainer:
    """Train a model on batches (x, y), and measure it.

    Args:
        model: an `nn.Module`.
        loss: function or module of (outputs, targets) that returns the mean loss of the batch, a scalar.
        optimizer: from `cr.optim`, over the model's parameters.
        metrics: name -> `cr.metrics` metric, measured on training batches and in `evaluate`; default none.
        schedule: from `cr.optim.schedules`; stepped after each update or epoch, see `schedule_every`; default none.
        schedule_every: "step" or "epoch"; default "epoch".
        average: an `optim.ExponentialMovingAverage` of the weights, updated after each step; default none.
        max_norm: clip the gradient's norm to this, > 0; default no clipping.
        accumulate: batches per update, >= 1; their gradient equals that of one large batch; default 1.
        callbacks: called after steps and epochs, in order; default none.
        checkpoints: where to save the run, or None; default None.
        checkpoint_every: steps between checkpoints, besides one after each epoch; default 1000.
        compiled: run the step through `cr.jit`; default True.
        precision: of matrix products and convolutions, as in `cr.precision`: "float32" or "bf16"; default "float32".
        transform: function of the loader's x in tensor operations, part of the step: bytes in memory become scaled
            floats there; default none.
        augment: a `data.Augment` with its scaling, part of the step, on training batches instead of `transform`; the
            loader's batches then are (x, y, sample numbers), see `data.numbered`; default none.
        check_gradients: refuse a step whose gradient is NaN or infinite, at the price of a pass over all gradients;
            default False, only the loss is looked at, and the gradient's norm where `max_norm` needs it anyway.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import nn, optim, data
        >>> _ = cr.manual_seed(0)
        >>> model = nn.Linear(2, 2)
        >>> trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5))
        >>> loader = data.DataLoader(data.ArrayDataset(np.eye(2, dtype=np.float32), [1, 0]), batch_size=2)
        >>> history = trainer.fit(loader, epochs=20)
        >>> history[-1]["train_loss"] < history[0]["train_loss"]
        True
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Any,
        *,
        metrics: dict[str, Any] | None = None,
        schedule: Any = None,
        schedule_every: str = "epoch",
        average: Any = None,
        max_norm: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        checkpoints: Checkpoints | None = None,
        checkpoint_every: int = 1000,
        compiled: bool = True,
        precision: str = "float32",
        transform: Callable[[Tensor], Tensor] | None = None,
        augment: Augment | None = None,
        check_gradients: bool = False,
    ):
        if schedule_every not in ("step", "epoch"):
            raise ValueError(f"Trainer.schedule_every must be 'step' or 'epoch'; got {schedule_every!r}.")
        for name, value in (("accumulate", accumulate), ("checkpoint_every", checkpoint_every)):
            if value < 1:
                raise ValueError(f"Trainer.{name} must be an int >= 1; got {value}.")
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"Trainer.max_norm must be a float > 0 or None; got {max_norm}.")
        self.precise = Operands(operand_dtype(precision, "Trainer.precision"))
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = dict(metrics or {})
        self.schedule, self.schedule_every, self.average = schedule, schedule_every, average
        self.max_norm, self.accumulate = max_norm, accumulate
        self.callbacks = list(callbacks)
        self.checkpoints, self.checkpoint_every = checkpoints, checkpoint_every
        self.compiled, self.precision = compiled, precision
        self._watched: tuple[str, ...] = ()  # names of the loaders that the running fit evaluates
        self.step = 0  # updates so far
        self.epoch = 0  # epochs completed
        self.history: list[dict[str, Any]] = []
        self.finished = False
        self.stop_reason: str | None = None
        self._interrupted = False
        self._running = Running()
        inside = schedule if schedule_every == "step" and counts_inside(schedule) else None
        self._outside = schedule if schedule_every == "step" and inside is None else None  # stepped in Python
        self.steps = Steps(
            model, loss, optimizer, self.metrics, average, max_norm, compiled, precision, transform, inside,
            check_gradients, augment,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ the loop
    def fit(self, loader: Any, epochs: int, watched: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Train until `epochs` epochs are done, counting those done before; stop early if a callback asks.

        Args:
            loader: iterable of (x, y) with `state_dict`, such as `data.DataLoader`.
            epochs: number of epochs in all, >= 0.
            watched: name -> loader, evaluated after each epoch into "<name>_loss", "<name>_<metric>"; default none.

        Returns:
            One record per epoch: {"epoch", "step", "train_loss", "train_<metric>", "lr", "samples", "seconds",
            "<name>_loss", "<name>_<metric>"}.

        Raises:
            NonFiniteError: the loss is NaN or infinite (or the gradient, see `check_gradients`); names the module where
                it began. The model and the optimizer are as before that step.
            KeyboardInterrupt: Ctrl-C, or `interrupt` was called; the state is that after a whole step, and the newest
                checkpoint holds it. A second Ctrl-C does not wait for the step.
        """
        if self.finished:  # a new call, for more epochs; a resumed run keeps its reason to stop
            self.finished, self.stop_reason = False, None
        self._interrupted = False
        self.epochs, self.batches = epochs, len(loader)
        self._watched = tuple(watched or ())
        if getattr(self.schedule, "monitor", None) is not None and self.schedule_every == "epoch":
            self.check_monitor("the schedule's monitor", self.schedule.monitor)
        ends = contextlib.ExitStack()  # each callback that was started is ended, whatever fails
        try:
            with ctrl_c(self):
                for callback in self.callbacks:
                    callback.on_start(self)
                    ends.callback(callback.on_end, self)
                while self.epoch < epochs and self.stop_reason is None:
                    self._run_epoch(loader, watched or {})
            self.finished = True
        except BaseException:
            with contextlib.suppress(Exception):  # what went wrong first is what the user must hear of
                ends.close()
            raise
        ends.close()
        return self.history

    def _run_epoch(self, loader: Any, watched: dict[str, Any]) -> None:
        self.model.train()
        self.steps.set_epoch(self.epoch)
        begin = time.perf_counter()
        rows = loader.rows() if self._runs_many and hasattr(loader, "rows") else None
        if rows is not None and len(rows.arrays) == (2 if self.steps.augment is None else 3):
            self._run_rows(rows, loader, begin)
        else:
            self._run_batches(loader, begin)
        self._end_epoch(loader, watched, begin)

    @property
    def _runs_many(self) -> bool:
        """Whether several steps may run before Python hears of them."""
        each = any(wants_each_step(callback) for callback in self.callbacks)
        return self.compiled and self.accumulate == 1 and self._outside is None and not each

    def _run_rows(self, rows: EpochRows, loader: Any, begin: float) -> None:
        """Train on the rest of an epoch, many steps per native call; a call ends where a checkpoint is due."""
        running = self._running
        while rows.left:
            batches = rows.ahead(min(MOST, self.checkpoint_every - self.step % self.checkpoint_every))
            start, lr = time.perf_counter(), self.learning_rate
            try:
                found = self.steps.train.many(*rows.arrays, indices=batches, partial=True)
            except NonFiniteError as error:
                raise explained(self, error, *(asarray(array[batches[0]]) for array in rows.arrays)) from None
            losses = found[0].tolist()
            rates = [lr, *found[1].tolist()] if len(found) > 1 else [lr] * len(losses)
            rows.used(len(losses))
            each, records = (time.perf_counter() - start) / len(losses), []
            for number, (loss, rate) in enumerate(zip(losses, rates, strict=False), 1):
                running.add(loss, batches.shape[1])
                self.step += 1
                records.append(self._record(loss, rate, running.seconds + start + number * each - begin))
            self._tell(records, loader, begin)
        rows.finish()

    def _run_batches(self, loader: Any, begin: float) -> None:
        """Train on the rest of an epoch, one batch of the loader after the other."""
        running = self._running
        for batch in loader:
            lr = self.learning_rate
            self._train_batch(batch, running)
            if running.pending_batches == 0:
                self._after_update(loader, begin, lr)
        if running.pending_batches:
            lr = self.learning_rate
            self._finish_update(running)
            self._after_update(loader, begin, lr, saves=False)  # the loader is in the next epoch; _end_epoch saves

    def _train_batch(self, batch: tuple[Tensor, ...], running: Running) -> None:
        step = self.steps.train if self.accumulate == 1 else self.steps.gather
        try:
            loss = step(*batch)[0].item()
        except NonFiniteError as error:
            raise explained(self, error, *batch) from None
        samples = batch[0].shape[0]
        running.add(loss, samples)
        if self.accumulate > 1:
            running.pending_batches += 1
            running.pending_samples += samples
            if running.pending_batches == self.accumulate:
                self._finish_update(running)

    def _finish_update(self, running: Running) -> None:
        """Do the update that the gathered batches wait for."""
        self.steps.update(asarray(running.pending_samples))
        running.pending_batches = running.pending_samples = 0

    def _after_update(self, loader: Any, begin: float, lr: float, saves: bool = True) -> None:
        running = self._running
        self.step += 1
        if self._outside is not None:
            self._outside.step()
        record = self._record(running.last, lr, running.seconds + time.perf_counter() - begin)
        self._tell([record], loader, begin, saves)

    def _record(self, loss: float, lr: float, seconds: float) -> Record:
        return {"step": self.step, "epoch": self.epoch, "loss": loss, "lr": lr, "seconds": round(seconds, 6)}

    def _tell(self, records: list[Record], loader: Any, begin: float, saves: bool = True) -> None:
        """Give callbacks the records of updates, save where a checkpoint is due, and end where that was asked for."""
        running = self._running
        for callback in self.callbacks:
            callback.on_steps(self, records)
        if not saves:
            return
        if self.checkpoints is not None and (self._interrupted or self.step % self.checkpoint_every == 0):
            running.seconds, before = running.seconds + time.perf_counter() - begin, running.seconds
            self.checkpoints.save(self.state_dict(loader), self.step)
            running.seconds = before
        if self._interrupted:
            raise KeyboardInterrupt

    def _end_epoch(self, loader: Any, watched: dict[str, Any], begin: float) -> None:
        running = self._running
        seconds = running.seconds + time.perf_counter() - begin
        record: dict[str, Any] = {"epoch": self.epoch, "step": self.step, "train_loss": running.mean}
        record |= {f"train_{name}": metric.compute() for name, metric in self.metrics.items() if running.samples}
        record |= {"lr": self.learning_rate, "samples": running.samples, "seconds": round(seconds, 6)}
        with self.averaged():
            for name, watched_loader in watched.items():
                measured = self.evaluate(watched_loader)
                record |= {f"{name}_{key}": value for key, value in measured.items() if key != "samples"}
        if self.schedule is not None and self.schedule_every == "epoch":
            self._step_schedule(record)
        self.epoch += 1
        self.history.append(record)
        self._running = Running()
        for metric in self.metrics.values():
            metric.reset()
        for callback in self.callbacks:
            callback.on_epoch(self, record)
        if self.checkpoints is not None:
            self.checkpoints.save(self.state_dict(loader), self.step)
        if self._interrupted:
            raise KeyboardInterrupt

    def _step_schedule(self, record: dict[str, Any]) -> None:
        monitor = getattr(self.schedule, "monitor", None)
        if monitor is None:
            self.schedule.step()
        else:
            self.schedule.step(record[monitor])

    def check_monitor(self, setting: str, monitor: str) -> None:
        """Refuse the name of a number that no epoch's record of this `fit` will have.

        Args:
            setting: who watches it, for the message.
            monitor: the name.

        Raises:
            SettingError: there will be no such number; lists those there will be.
        """
        names = ["train_loss", *(f"train_{name}" for name in self.metrics)]
        names += [f"{split}_{name}" for split in self._watched for name in ("loss", *self.metrics)]
        if monitor not in names:
            raise SettingError(
                f"{setting} is {monitor!r}, but an epoch's record will have {', '.join(names)}. Watch one of these, or "
                'give fit a loader of that name: watched={"validation": loader}.'
            )

    def evaluate(self, loader: Iterable[Any]) -> dict[str, Any]:
        """Measure the model on batches, without gradients and in eval mode; exact over ragged batches.

        Args:
            loader: iterable of (x, y).

        Returns:
            {"samples", "loss", and one entry per metric}.

        Raises:
            ValueError: the loader gave no batch.
        """
        return measure(self, loader)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def stop(self, reason: str) -> None:
        """Ask the run to end after this epoch; callbacks call it."""
        self.stop_reason = reason

    def interrupt(self) -> None:
        """Ask the run to end after the present step: a checkpoint is saved, and `fit` raises KeyboardInterrupt.

        A signal handler may call it; the state that is left is that after a whole step.
        """
        self._interrupted = True

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Return a block in which the model has its averaged weights; without `average` it has its own."""
        return contextlib.nullcontext() if self.average is None else self.average.average_parameters()

    # ------------------------------------------------------------------------------------------------ state
    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule, "average": self.average}
        parts |= {"generator": default_generator, **{f"metric {name}": metric for name, metric in self.metrics.items()}}
        parts |= {f"callback {i} {type(callback).__name__}": callback for i, callback in enumerate(self.callbacks)}
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self, loader: Any) -> dict[str, Any]:
        """Return all that the run needs to continue: weights, optimizer, schedule, generator, position, partial sums.

        Args:
            loader: the training loader, whose position belongs to the state.

        Returns:
            Nested dict for `Checkpoints`.
        """
        return {
            "step": self.step,
            "epoch": self.epoch,
            "stop_reason": self.stop_reason,
            "precision": self.precision,
            "history": self.history,
            "running": vars(self._running),
            "gradients": [p.grad for p in self.steps.parameters] if self._running.pending_batches else None,
            "loader": loader.state_dict(),
            "parts": {name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: dict[str, Any], loader: Any) -> None:
        """Continue where `state_dict` was taken; settings must be those of that run.

        Args:
            state: from `state_dict`.
            loader: the training loader; it is put at its position.

        Raises:
            ChainruleError: the state belongs to other settings; nothing is changed then.
        """
        parts = self._parts()
        if parts.keys() != state["parts"].keys():
            held, here = ", ".join(sorted(state["parts"])), ", ".join(sorted(parts))
            raise ChainruleError(f"the checkpoint holds {held}; this run has {here}. Resume with the same settings.")
        if state["precision"] != self.precision:
            raise ChainruleError(
                f'the checkpoint was made with precision="{state["precision"]}"; this run has "{self.precision}". '
                "Resume with the same settings."
            )
        loader.load_state_dict(state["loader"])
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        self.step, self.epoch, self.history = state["step"], state["epoch"], state["history"]
        self._running = Running(**state["running"])
        parameters = self.steps.parameters
        for p, gradient in zip(parameters, state["gradients"] or [None] * len(parameters), strict=True):
            p.grad = gradient
        self.stop_reason = state["stop_reason"]

"""Progress of a training run: a table that grows with a live bar below it, one plain line per epoch elsewhere.

The table has a row per epoch: loss and metrics of each split, learning rate, samples per second, time. Where the
terminal is narrow it leaves out columns, and never wraps. The bar shows the time left; it is redrawn at most ten times
a second, so that a short step does not wait for the terminal. A file or a pipe gets whole lines that name every number.
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import TYPE_CHECKING, Any

from chainrule.train.callbacks import Callback, Record

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["Progress"]

INTERVAL = 0.1  # seconds between two drawings
LEAST_BAR = 8  # columns; numbers make room for it
SKIP = ("epoch", "step", "lr", "samples", "seconds")  # parts of a record that are no measurements


class Progress(Callback):
    """Show how training goes.

    Args:
        quiet: show nothing; default False.
        stream: where to write; default standard error, so that results on standard output stay clean.

    Example:
        >>> Progress(quiet=True).quiet
        True
    """

    needs_each_step = False

    def __init__(self, quiet: bool = False, stream: Any = None):
        self.quiet = quiet
        self.stream = stream
        self._view: _Plain | _Rich | _Notebook | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Choose the view: notebook, terminal, or plain lines."""
        if self.quiet:
            return
        stream = self.stream or sys.stderr
        if _in_notebook():
            self._view = _Notebook()
        elif stream.isatty():
            self._view = _Rich(stream)
        else:
            self._view = _Plain(stream)
        self._begin, self._first, self._drawn = time.perf_counter(), trainer.step, 0.0
        self._samples = 0
        self._batch = 0
        self._view.start(_Status(trainer, 0.0, None))

    def on_step(self, trainer: Trainer, record: Record) -> None:
        """Redraw, if the last drawing is old enough."""
        now = time.perf_counter()
        if self._view is not None and self._view.live and now - self._drawn >= INTERVAL:
            self._drawn = now
            self._view.update(self._status(trainer, record, now))

    def on_steps(self, trainer: Trainer, records: list[Record]) -> None:
        """Redraw, if the last drawing is old enough; the newest record is what is shown."""
        self.on_step(trainer, records[-1])

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        """Print the epoch's line."""
        if self._view is not None:
            self._view.epoch(record, trainer.epochs)
            self._view.update(self._status(trainer, {"loss": record["train_loss"]}, time.perf_counter()))

    def on_end(self, trainer: Trainer) -> None:
        """Close the view; say why training stopped early."""
        if self._view is not None:
            if trainer.stop_reason:
                self._view.line(f"stopped early: {trainer.stop_reason}")
            self._view.stop()
            self._view = None

    def _status(self, trainer: Trainer, record: Record, now: float) -> _Status:
        steps = trainer.step - self._first
        return _Status(trainer, steps / max(now - self._begin, 1e-9), record.get("loss"))


class _Status:
    """What a live view shows."""

    def __init__(self, trainer: Trainer, rate: float, loss: float | None):
        per_epoch = max(1, -(-trainer.batches // trainer.accumulate))
        self.total, self.done = per_epoch * trainer.epochs, trainer.step
        self.epoch, self.epochs = min(trainer.epoch + 1, trainer.epochs), trainer.epochs
        running = trainer._running
        batch = running.samples / max(trainer.step - trainer.epoch * per_epoch, 1) if running.samples else 0.0
        self.rate = rate * batch  # samples per second
        self.left = (self.total - self.done) / rate if rate else float("nan")  # seconds
        self.loss, self.lr = loss, trainer.learning_rate

    def text(self, room: int = 80) -> str:
        """Return the numbers beside the bar, as many as there is room for."""
        parts = {
            "loss": f"loss {self.loss:.4f}" if self.loss is not None else "",
            "lr": f"lr {self.lr:.3g}",
            "speed": f"{self.rate:,.0f} samples/s" if self.rate else "",
            "left": f"{_duration(self.left)} left" if self.left == self.left else "",
        }
        for least in ("", "speed", "lr", "loss", "left"):
            parts.pop(least, None)
            text = "  ".join(part for part in parts.values() if part)
            if len(text) <= room:
                return text
        return ""


def epoch_line(record: Record, epochs: int) -> str:
    """Return one epoch's numbers as a line of text.

    Example:
        >>> epoch_line({"epoch": 0, "step": 938, "train_loss": 0.5, "lr": 0.01, "samples": 60000, "seconds": 2.0}, 12)
        'epoch  1/12  train_loss 0.5000  lr 0.01  30,000 samples/s  2.0 s'
    """
    numbers = [f"{name} {value:.4f}" for name, value in record.items() if name not in SKIP and isinstance(value, float)]
    width = len(str(epochs))
    head = f"epoch {record['epoch'] + 1:>{width}}/{epochs}"
    speed = record["samples"] / max(record["seconds"], 1e-9)
    return "  ".join(
        [head, *numbers, f"lr {record['lr']:.3g}", f"{speed:,.0f} samples/s", f"{record['seconds']:.1f} s"]
    )


class EpochTable:
    """The rows of a terminal: right-aligned columns under two lines of headings, as many as the width has room for.

    Args:
        record: the first epoch's record, which says what there is to show.
        epochs: number of epochs.
        width: columns of the terminal.

    Example:
        >>> record = {"epoch": 0, "step": 938, "train_loss": 0.5, "lr": 0.01, "samples": 60000, "seconds": 2.0}
        >>> table = EpochTable(record, 12, width=40)
        >>> print("\\n".join([*table.head(), table.row(record)]))
               train
        epoch    loss        lr     time
         1/12  0.5000      0.01    2.0 s
    """

    def __init__(self, record: Record, epochs: int, width: int):
        self.epochs = epochs
        measured = [name for name, value in record.items() if name not in SKIP and isinstance(value, float)]
        columns = [*measured, "lr", "samples/s", "time"]
        expendable = ["samples/s", "lr", *(name for name in reversed(measured) if not name.endswith("_loss")), "time"]
        self.columns = columns
        while self._width() > width and expendable:
            columns.remove(expendable.pop(0))

    def _cell(self, name: str, record: Record) -> str:
        if name == "lr":
            return f"{record['lr']:.3g}"
        if name == "samples/s":
            text = f"{record['samples'] / max(record['seconds'], 1e-9):,.0f}"
            return text if len(text) <= self._size(name) else f"{float(text.replace(',', '')):.1e}"
        if name == "time":
            seconds = record["seconds"]
            return f"{seconds:.1f} s" if seconds < 1000 else f"{seconds / 60:.0f} min"
        return _short(record[name], self._size(name))

    def _size(self, name: str) -> int:
        least = {"lr": 8, "samples/s": 9, "time": 7}.get(name, 6)
        return max(least, len(name.partition("_")[2] or name))

    def _first(self) -> int:
        return max(5, 2 * len(str(self.epochs)) + 1)

    def _width(self) -> int:
        return self._first() + sum(2 + self._size(name) for name in self.columns)

    def head(self) -> list[str]:
        """Return the two lines above the rows: the splits, and the names of the numbers."""
        groups, names = " " * self._first(), f"{'epoch':>{self._first()}}"
        for group, members in itertools.groupby(self.columns, lambda name: name.partition("_")[0]):
            columns = list(members)
            span = sum(2 + self._size(name) for name in columns) - 2
            title = group if "_" in columns[0] else ""
            groups += "  " + title[:span].ljust(span)
            names += "".join(f"  {name.partition('_')[2] or name:>{self._size(name)}}" for name in columns)
        return [groups.rstrip(), names]

    def row(self, record: Record) -> str:
        """Return the line of an epoch.

        Args:
            record: the epoch's record.
        """
        count = f"{record['epoch'] + 1}/{self.epochs}"
        cells = (f"  {self._cell(name, record):>{self._size(name)}}" for name in self.columns)
        return f"{count:>{self._first()}}" + "".join(cells)


def _short(value: float, size: int) -> str:
    """Return a number with as many of four decimals as fit into `size` characters."""
    texts = (f"{value:.{digits}f}" for digits in (4, 3, 2, 1, 0))
    return next((text for text in texts if len(text) <= size), f"{value:.0e}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Plain:
    """One line per epoch."""

    live = False

    def __init__(self, stream: Any):
        self.stream = stream

    def start(self, status: _Status) -> None:
        pass

    def update(self, status: _Status) -> None:
        pass

    def epoch(self, record: Record, epochs: int) -> None:
        self.line(epoch_line(record, epochs))

    def line(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def stop(self) -> None:
        pass


class _Rich:
    """A bar at the bottom of the terminal, the table growing above it."""

    live = True
    table: EpochTable | None = None

    def __init__(self, stream: Any):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[text]}"),
        )
        console = Console(file=stream)
        console.width -= 2  # room for the "^C" that a terminal writes behind the bar, which would wrap otherwise
        self.progress = Progress(*columns, console=console, auto_refresh=False, transient=True, expand=True)

    def start(self, status: _Status) -> None:
        self.progress.start()
        self.task = self.progress.add_task("", total=status.total, text="")
        self.update(status)

    def update(self, status: _Status) -> None:
        head = f"epoch {status.epoch}/{status.epochs}"
        room = self.progress.console.width - len(head) - len(" 100%  ") - LEAST_BAR
        self.progress.update(self.task, completed=status.done, description=head, text=status.text(room))
        self.progress.refresh()

    def epoch(self, record: Record, epochs: int) -> None:
        if self.table is None:
            self.table = EpochTable(record, epochs, self.progress.console.width)
            for text in self.table.head():
                self.line(text, style="bold")
        self.line(self.table.row(record))

    def line(self, text: str, style: str = "") -> None:
        self.progress.console.print(text, style=style, markup=False, highlight=False)

    def stop(self) -> None:
        self.progress.stop()


class _Notebook:
    """A bar as HTML that is redrawn in place, and the epochs as a list above it."""

    live = True

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.table: EpochTable | None = None
        self.bar = ""

    def start(self, status: _Status) -> None:
        from IPython.display import HTML, display

        self.html = HTML
        self.handle = display(HTML(""), display_id=True)
        self.update(status)

    def update(self, status: _Status) -> None:
        share = 100 * status.done / max(status.total, 1)
        self.bar = (
            f"<div style='font-family:monospace'>epoch {status.epoch}/{status.epochs} "
            f"<progress value='{share:.1f}' max='100' style='width:14em;vertical-align:middle'></progress> "
            f"{share:.0f}% &nbsp;{status.text()}</div>"
        )
        self._show()

    def epoch(self, record: Record, epochs: int) -> None:
        if self.table is None:
            self.table = EpochTable(record, epochs, 120)
            self.lines += self.table.head()
        self.line(self.table.row(record))

    def line(self, text: str) -> None:
        self.lines.append(text)
        self._show()

    def stop(self) -> None:
        self.bar = ""
        self._show()

    def _show(self) -> None:
        import html

        rows = html.escape("\n".join(self.lines))
        self.handle.update(self.html(f"<pre style='margin:0;font-size:12px;overflow-x:auto'>{rows}</pre>{self.bar}"))


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    get = getattr(shell, "get_ipython", None)
    return get is not None and type(get()).__name__ == "ZMQInteractiveShell"

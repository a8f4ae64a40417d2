"""Progress: a table and a bar in a terminal, plain lines elsewhere, HTML in a notebook; nothing ever wraps."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pytest

from chainrule import data, metrics, nn, optim
from chainrule.train import EarlyStopping, Progress, Trainer
from chainrule.train.progress import EpochTable, epoch_line

RECORD = {
    "epoch": 0, "step": 938, "train_loss": 0.8675, "train_accuracy": 0.7472, "lr": 0.01, "samples": 60_000,
    "seconds": 0.75, "test_loss": 0.3624, "test_accuracy": 0.8956,
}  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def fit(progress, epochs=2, callbacks=()):
    """Train a tiny model with a progress view."""
    rng = np.random.default_rng(0)
    samples = data.ArrayDataset(rng.normal(size=(12, 3)).astype(np.float32), np.arange(12) % 2)
    model = nn.Linear(3, 2)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=0.1),
        metrics={"accuracy": metrics.Accuracy()},
        callbacks=[*callbacks, progress],
        compiled=False,
    )
    trainer.fit(data.DataLoader(samples, batch_size=4), epochs, {"test": data.DataLoader(samples, batch_size=6)})
    return trainer


# ---------------------------------------------------------------------------------------------------- the table
def test_the_table_has_two_lines_of_headings_and_one_per_epoch():
    table = EpochTable(RECORD, 12, 80)
    assert [*table.head(), table.row(RECORD)] == [
        "       train             test",
        "epoch    loss  accuracy    loss  accuracy        lr  samples/s     time",
        " 1/12  0.8675    0.7472  0.3624    0.8956      0.01     80,000    0.8 s",
    ]


@pytest.mark.parametrize("width", range(12, 140, 4))
def test_no_line_is_wider_than_the_terminal(width):
    measured = {
        "train_loss": 1e9,
        "test_loss": -12.3456,
        "validation_loss": 123.25,
        "validation_accuracy": 0.5,
        "validation_top_k": 0.25,
    }
    record = {**RECORD, **measured, "lr": 1.25e-5}
    table = EpochTable(record, 1000, width)
    lines = [*table.head(), table.row({**record, "epoch": 999, "seconds": 12345.678})]
    assert max(map(len, lines)) <= max(width, 9 + 3 * 8)
    assert len({len(line) for line in lines[1:]}) == 1
    if width > 45:
        assert lines[0].split()[:2] == ["train", "test"]


def test_narrow_tables_drop_what_matters_least():
    names = {width: EpochTable(RECORD, 12, width).head()[1].split() for width in (80, 60, 50, 40, 25)}
    assert names[80] == ["epoch", "loss", "accuracy", "loss", "accuracy", "lr", "samples/s", "time"]
    assert names[60] == ["epoch", "loss", "accuracy", "loss", "accuracy", "lr", "time"]
    assert names[50] == ["epoch", "loss", "accuracy", "loss", "accuracy", "time"]
    assert names[40] == ["epoch", "loss", "accuracy", "loss", "time"]
    assert names[25] == ["epoch", "loss", "loss"]


def test_the_plain_line_names_every_number():
    assert epoch_line(RECORD, 12) == (
        "epoch  1/12  train_loss 0.8675  train_accuracy 0.7472  test_loss 0.3624  test_accuracy 0.8956  "
        "lr 0.01  80,000 samples/s  0.8 s"
    )


# ---------------------------------------------------------------------------------------------------- the views
def test_a_pipe_gets_one_line_per_epoch():
    stream = io.StringIO()
    fit(Progress(stream=stream), epochs=3)
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_quiet_shows_nothing(capsys):
    fit(Progress(quiet=True))
    assert capsys.readouterr() == ("", "")


def test_why_it_stopped_early_is_said():
    stream = io.StringIO()
    stopping = EarlyStopping("train_loss", patience=1, min_delta=100.0)
    fit(Progress(stream=stream), epochs=9, callbacks=[stopping])
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("stopped early: train_loss has not improved for 1 epochs; best ")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_terminal_never_wraps(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("chainrule.train.progress.INTERVAL", 0.0)
    screen = Terminal()
    fit(Progress(stream=screen))
    text = screen.getvalue()
    assert "train" in text
    assert "2/2" in text
    plain = strip(text)
    assert max(len(line) for line in plain) <= width
    bars = [line for line in plain if line.startswith("epoch 1/2 ")]
    assert bars
    assert bars[-1].endswith("0:00 left")  # numbers are left out whole, never cut off
    assert ("samples/s" in bars[-1]) == (width >= 80)
    assert ("loss" in bars[-1]) == (width >= 60)


def strip(text):
    """Return the lines that a terminal would show, without its control codes."""
    import re

    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").split("\n")


def test_a_notebook_gets_html_that_is_redrawn_in_place(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=lambda html: shown.append(html))
    display = types.ModuleType("IPython.display")
    display.HTML = lambda text: text
    display.display = lambda html, display_id: handle
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr("chainrule.train.progress._in_notebook", lambda: True)
    monkeypatch.setattr("chainrule.train.progress.INTERVAL", 0.0)
    fit(Progress())
    assert any("<progress value=" in html for html in shown)
    assert "<progress" not in shown[-1]
    assert shown[-1].count("\n") == 3  # two lines of headings and two epochs
    assert shown[-1].startswith("<pre")


def test_the_time_left_counts_down(monkeypatch):
    from chainrule.train.progress import _duration

    assert [_duration(s) for s in (0, 59.6, 61, 3661)] == ["0:00", "1:00", "1:01", "1:01:01"]

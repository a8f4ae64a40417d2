"""Callbacks: early stopping, the metrics file, TensorBoard's missing library."""

from __future__ import annotations

import json
import sys
import types

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import CheckpointError, MissingExtraError, SettingError
from chainrule.train import Callback, EarlyStopping, JSONLines, TensorBoard


class Trainer:
    """Stands in for a trainer: what callbacks touch."""

    def __init__(self):
        self.model = nn.Linear(1, 1)
        self.stop_reason = None
        self.finished = False

    def stop(self, reason):
        self.stop_reason = reason

    def averaged(self):
        import contextlib

        return contextlib.nullcontext()


def watch(stopping, values, name="validation_loss"):
    """Feed epochs whose weights are the epoch's number; return the trainer."""
    trainer = Trainer()
    for epoch, value in enumerate(values):
        with cr.no_grad():
            trainer.model.weight.assign_(cr.ones((1, 1)) * epoch)
        stopping.on_epoch(trainer, {"epoch": epoch, "step": epoch, name: value})
        if trainer.stop_reason:
            break
    trainer.finished = True
    stopping.on_end(trainer)
    return trainer


def test_it_stops_after_patience_and_restores_the_best_weights():
    trainer = watch(EarlyStopping(patience=2), [3.0, 1.0, 2.0, 1.5, 0.1])
    assert trainer.stop_reason == "validation_loss has not improved for 2 epochs; best 1 in epoch 2"
    assert trainer.model.weight.item() == 1.0


def test_the_greatest_is_best_where_that_is_asked():
    stopping = EarlyStopping("validation_accuracy", patience=1, mode="max")
    trainer = watch(stopping, [0.5, 0.7, 0.6, 0.9], "validation_accuracy")
    assert (trainer.model.weight.item(), stopping.best, stopping.best_epoch) == (1.0, 0.7, 1)


def test_small_gains_do_not_count():
    trainer = watch(EarlyStopping(patience=2, min_delta=0.5), [3.0, 2.8, 2.6, 1.0])
    assert trainer.stop_reason is not None
    assert trainer.model.weight.item() == 0.0


def test_nan_is_no_improvement():
    trainer = watch(EarlyStopping(patience=1), [3.0, float("nan")])
    assert trainer.stop_reason == "validation_loss has not improved for 1 epochs; best 3 in epoch 1"


def test_weights_are_left_where_restoring_is_off_or_the_run_was_interrupted():
    assert watch(EarlyStopping(patience=1, restore_best=False), [1.0, 2.0]).model.weight.item() == 1.0
    stopping, trainer = EarlyStopping(), Trainer()
    stopping.on_epoch(trainer, {"epoch": 0, "validation_loss": 1.0})
    with cr.no_grad():
        trainer.model.weight.assign_(cr.ones((1, 1)) * 9)
    stopping.on_end(trainer)
    assert trainer.model.weight.item() == 9.0


def test_the_counters_go_through_a_checkpoint():
    one = EarlyStopping(patience=3)
    watch(one, [3.0, 1.0, 2.0])
    two = EarlyStopping(patience=3)
    two.load_state_dict(one.state_dict())
    assert (two.best, two.best_epoch, two.waited) == (1.0, 1, 1)
    trainer = watch(two, [5.0, 5.0])
    assert trainer.stop_reason == "validation_loss has not improved for 3 epochs; best 1 in epoch 2"
    assert trainer.model.weight.item() == 1.0


@pytest.mark.parametrize(
    "settings, wanted",
    [
        ({"mode": "less"}, "EarlyStopping.mode must be 'min' or 'max'; got 'less'."),
        ({"patience": -1}, "EarlyStopping.patience must be an int >= 0; got -1."),
        ({"min_delta": -0.1}, "EarlyStopping.min_delta must be a float >= 0; got -0.1."),
    ],
)
def test_wrong_settings(settings, wanted):
    with pytest.raises(ValueError) as caught:
        EarlyStopping(**settings)
    assert str(caught.value) == wanted


def test_a_name_that_will_not_be_measured_lists_those_that_will():
    model = cr.nn.Linear(2, 2)
    optimizer = cr.optim.SGD(model.parameters(), lr=0.1)
    trainer = cr.train.Trainer(model, cr.nn.CrossEntropyLoss(), optimizer, callbacks=[EarlyStopping()])
    loader = cr.data.DataLoader(cr.data.ArrayDataset([[0.0, 1.0]], [0]))
    with pytest.raises(SettingError) as caught:
        trainer.fit(loader, 1, {"test": loader})
    assert caught.value.message == (
        "EarlyStopping.monitor is 'validation_loss', but an epoch's record will have train_loss, test_loss. "
        'Watch one of these, or give fit a loader of that name: watched={"validation": loader}.'
    )


# ---------------------------------------------------------------------------------------------------- JSON lines
def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_steps_and_epochs_are_lines(tmp_path):
    log = JSONLines(tmp_path / "metrics.jsonl")
    log.on_start(None)
    log.on_step(None, {"step": 1, "loss": 0.1})
    log.on_epoch(None, {"epoch": 0, "train_loss": 0.1})
    log.on_end(None)
    assert lines(log.path) == [
        {"kind": "step", "step": 1, "loss": 0.1},
        {"kind": "epoch", "epoch": 0, "train_loss": 0.1},
    ]
    assert log.length == log.path.stat().st_size


def test_resuming_cuts_what_the_checkpoint_does_not_know(tmp_path):
    log = JSONLines(tmp_path / "metrics.jsonl")
    log.on_start(None)
    log.on_step(None, {"step": 1})
    state = log.state_dict()
    log.on_step(None, {"step": 2})
    log.on_end(None)
    again = JSONLines(log.path)
    again.load_state_dict(state)
    again.on_start(None)
    again.on_step(None, {"step": 2, "again": True})
    again.on_end(None)
    assert lines(log.path) == [{"kind": "step", "step": 1}, {"kind": "step", "step": 2, "again": True}]


def test_a_fresh_run_replaces_the_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("something old and long enough\n")
    log = JSONLines(path)
    log.on_start(None)
    log.on_end(None)
    assert path.read_text() == ""


def test_lines_that_were_lost_are_an_error(tmp_path):
    log = JSONLines(tmp_path / "metrics.jsonl")
    log.load_state_dict({"length": 50})
    (tmp_path / "metrics.jsonl").write_text("short\n")
    with pytest.raises(CheckpointError) as caught:
        log.on_start(None)
    assert caught.value.message == (
        f"{tmp_path / 'metrics.jsonl'} has 6 bytes, and the checkpoint knows of 50: lines were lost. "
        "Put the file back, or train afresh into another folder."
    )


# ---------------------------------------------------------------------------------------------------- the others
def test_tensorboard_says_how_to_get_it(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError) as caught:
        TensorBoard(tmp_path).on_start(None)
    assert caught.value.message == "TensorBoard needs the extra: pip install 'chainrule[tensorboard]'"


def test_tensorboard_writes_each_number_once(tmp_path, monkeypatch):
    # The library's own classes, replaced by ones that only remember: the extra is not part of the test suite.
    events = []

    class Writer:
        def __init__(self, folder):
            assert folder == str(tmp_path)

        add_event = staticmethod(events.append)
        close = staticmethod(lambda: events.append("closed"))

    class Summary(types.SimpleNamespace):
        Value = types.SimpleNamespace

    event, summary = types.SimpleNamespace(Event=types.SimpleNamespace), types.SimpleNamespace(Summary=Summary)
    fake = {
        "tensorboard": types.ModuleType("tensorboard"),
        "tensorboard.summary.writer.event_file_writer": types.SimpleNamespace(EventFileWriter=Writer),
        "tensorboard.compat.proto.event_pb2": event,
        "tensorboard.compat.proto.summary_pb2": summary,
    }
    for name, module in fake.items():
        monkeypatch.setitem(sys.modules, name, module)
    board = TensorBoard(tmp_path)
    board.on_start(None)
    board.on_step(None, {"step": 7, "epoch": 0, "loss": 0.5, "lr": 0.1})
    board.on_epoch(None, {"step": 9, "epoch": 0, "train_loss": 0.25})
    board.on_end(None)
    board.on_end(None)
    step, epoch, closed = events
    assert (step.step, [(v.tag, v.simple_value) for v in step.summary.value]) == (
        7,
        [("step/loss", 0.5), ("step/lr", 0.1)],
    )
    assert (epoch.step, [(v.tag, v.simple_value) for v in epoch.summary.value]) == (9, [("epoch/train_loss", 0.25)])
    assert closed == "closed"


def test_the_base_class_does_nothing():
    callback = Callback()
    for method in (callback.on_start, callback.on_end):
        assert method(None) is None
    callback.on_step(None, {})
    callback.on_epoch(None, {})
    callback.load_state_dict(callback.state_dict())
    assert callback.state_dict() == {}

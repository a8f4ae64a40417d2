"""Many steps per native call in the Trainer: the same run as one step at a time, wherever it is cut or fails."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, metrics, nn, optim
from chainrule.core.errors import NonFiniteError
from chainrule.data.rows import EpochRows
from chainrule.train import Callback, Checkpoints, JSONLines, Trainer

SAMPLES, BATCH = 203, 8  # 25 whole batches and one of 3


class OneByOne(Callback):
    """Wants to see each step, so that steps run one at a time."""

    def on_step(self, trainer, record):
        pass


class Reads(Callback):
    """Keeps records, and how they came."""

    needs_each_step = False

    def __init__(self):
        self.steps, self.calls = [], []

    def on_steps(self, trainer, records):
        assert trainer.step == records[-1]["step"]
        self.calls.append(len(records))
        super().on_steps(trainer, records)

    def on_step(self, trainer, record):
        self.steps.append(record)


def pixels(dtype=np.uint8, samples=SAMPLES):
    rng = np.random.default_rng(0)
    labels = np.arange(samples) % 4
    values = rng.integers(0, 200, (samples, 6))
    values[np.arange(samples), labels] += 50
    return data.ArrayDataset(values.astype(dtype), labels)


def loader(dataset=None, **settings):
    return data.DataLoader(dataset or pixels(), batch_size=BATCH, shuffle=True, seed=5, **settings)


def scaled(x):
    return (x.astype(cr.float32) - 100.0) / 60.0


def make(*callbacks, schedule=None, every="step", average=False, lr=0.01, **settings):
    cr.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))
    optimizer = optim.Adam(model.parameters(), lr=lr)
    return Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics={"accuracy": metrics.Accuracy()},
        schedule=schedule and schedule(optimizer),
        schedule_every=every,
        average=optim.ExponentialMovingAverage(model, decay=0.9) if average else None,
        callbacks=callbacks,
        **{"transform": scaled, **settings},
    )


def bits(trainer):
    """Return the bytes of all state, without the callbacks'."""
    found = []

    def walk(name, item):
        if isinstance(item, dict):
            for key, value in item.items():
                if not str(key).startswith("callback") and key != "seconds":
                    walk(f"{name}/{key}", value)
        elif isinstance(item, list | tuple):
            for number, value in enumerate(item):
                walk(f"{name}/{number}", value)
        else:
            found.append((name, np.asarray(item).tobytes() if isinstance(item, cr.Tensor) else repr(item)))

    walk("", trainer.state_dict(loader()))
    return sorted(found)


def fit(trainer, *args):
    """Train on random numbers of its own: those of dropout belong to the process."""
    cr.manual_seed(trainer.step + 7)
    return trainer.fit(*args)


def steps_of(records):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


SETTINGS = {
    "plain": {},
    "cosine": {"schedule": lambda o: optim.CosineAnnealingLR(o, T_max=60), "average": True},
    "one cycle": {"schedule": lambda o: optim.OneCycleLR(o, max_lr=0.1, total_steps=80)},
    "per epoch": {"schedule": lambda o: optim.ExponentialLR(o, gamma=0.5), "every": "epoch"},
    "clipped": {"max_norm": 0.5, "check_gradients": True},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_run_is_that_of_single_steps(name):
    reads, slow = Reads(), Reads()
    many, single = make(reads, **SETTINGS[name]), make(slow, OneByOne(), **SETTINGS[name])
    histories = [fit(trainer, loader(), 3, {"test": loader(pixels(samples=45))}) for trainer in (many, single)]
    assert steps_of(histories[0]) == steps_of(histories[1])
    assert bits(many) == bits(single)
    assert steps_of(reads.steps) == steps_of(slow.steps)
    assert [record["step"] for record in reads.steps] == list(range(1, 3 * 26 + 1))
    assert max(reads.calls) > 1  # several steps in one native call
    assert max(slow.calls) == 1
    seconds = [record["seconds"] for record in reads.steps[:26]]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("schedule", [
    lambda o: optim.LambdaLR(o, lambda t: 1.0 if t < 30 else 0.1),
    lambda o: optim.SequentialLR(
        o, [optim.LinearLR(o, total_iters=5), optim.LambdaLR(o, lambda t: 0.5)], milestones=[5]
    ),
])  # fmt: skip
def test_a_schedule_that_calls_python_is_stepped_outside(schedule):
    reads = Reads()
    trainer = make(reads, schedule=schedule)
    trainer.fit(loader(), 2)
    want = [trainer.schedule.lr_at(step)[0] for step in range(52)]
    assert [record["lr"] for record in reads.steps] == want
    assert set(reads.calls) == {1}


def test_conversions_inside_the_step_are_those_of_the_loader():
    inside, outside = make(Reads()), make(Reads(), transform=None)
    fit(inside, loader(), 1)
    fit(outside, loader(transform=lambda x: (x.astype(np.float32) - np.float32(100)) / np.float32(60)), 1)
    assert bits(inside) == bits(outside)


@pytest.mark.filterwarnings("ignore:DataLoader converts float64")
def test_subsets_and_wide_floats_run_natively_too():
    whole = pixels(np.float64)
    chosen = data.Subset(whole, np.arange(SAMPLES)[::-1])
    reads, slow = Reads(), Reads()
    many, single = make(reads), make(slow, OneByOne())
    fit(many, loader(chosen), 2)
    fit(single, loader(chosen), 2)
    assert bits(many) == bits(single)
    assert max(reads.calls) > 1


# ---------------------------------------------------------------------------------------------------- cut anywhere
@pytest.mark.parametrize("at", [1, 7, 24, 26, 27, 40])
def test_a_checkpoint_in_the_middle_resumes_with_the_same_bits(at, tmp_path):
    def run(folder, epochs=2, resumed=False):
        lines = JSONLines(tmp_path / f"{folder}.jsonl")
        trainer = make(lines, checkpoints=Checkpoints(tmp_path / folder, keep=100), checkpoint_every=at, average=True)
        batches = loader()
        if resumed:
            state = trainer.checkpoints._read(trainer.checkpoints.path(at))
            trainer.load_state_dict(state, batches)
        (trainer.fit if resumed else partial(fit, trainer))(batches, epochs)
        return trainer, (tmp_path / f"{folder}.jsonl").read_text().splitlines()

    whole, wanted = run("run")
    assert at in whole.checkpoints.steps()
    again, found = run("run", resumed=True)
    assert bits(again) == bits(whole)
    drop = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in found]
    assert drop == [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in wanted]


def test_ctrl_c_ends_after_a_whole_step_and_the_run_resumes_with_the_same_bits(tmp_path):
    dataset = pixels(samples=2003)
    epochs = 400
    trainer = make(Reads(), checkpoints=Checkpoints(tmp_path), checkpoint_every=10**9)
    batches, sent = loader(dataset), []

    def interrupt():
        while trainer.epoch < 2:
            time.sleep(0.01)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            fit(trainer, batches, epochs)
        answered = time.monotonic() - sent[0]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        thread.join()
        signal.signal(signal.SIGINT, handler)
    assert answered < 1.5  # one native call of 0.05 s, and a checkpoint, on a quiet machine
    assert trainer.checkpoints.steps()[-1] == trainer.step
    again, rest = make(Reads()), loader(dataset)
    again.load_state_dict(trainer.checkpoints.load(), rest)
    last = trainer.epoch + 2
    again.fit(rest, last)
    whole = make(Reads())
    fit(whole, loader(dataset), last)
    assert bits(again) == bits(whole)


# ---------------------------------------------------------------------------------------------------- refused steps
@pytest.mark.parametrize("at", [1, 2, 20, 26])
def test_a_nan_in_the_middle_leaves_the_state_after_the_step_before(at):
    dataset = pixels(np.float32)
    order = loader(dataset).order(0)
    dataset.arrays[0][order[(at - 1) * BATCH]] = np.nan
    reads, trainer = Reads(), make(Reads())
    trainer.callbacks = [reads]
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError) as caught:
        fit(trainer, loader(dataset), 1)
    assert caught.value.message.startswith(f"the loss is nan at step {at} (epoch 1).")
    assert caught.value.message.endswith("or check the data for extreme values.")
    assert trainer.step == at - 1
    assert [record["step"] for record in reads.steps] == list(range(1, at))
    single = make(OneByOne())
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError):
        fit(single, loader(dataset), 1)
    assert bits(trainer) == bits(single)


@pytest.mark.parametrize("checks", [False, True])
def test_an_infinite_gradient_is_refused_where_that_is_asked_and_named_later_where_not(checks):
    cr.manual_seed(0)
    model = nn.Linear(2, 1, bias=False)
    with cr.no_grad():
        model.weight.assign_(cr.asarray([[1e-30, 0.0]]))

    def loss(outputs, y):
        return cr.sqrt(cr.abs(outputs) + y.astype(cr.float32)).sum()  # y = 0: finite, its slope is infinite

    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=1.0), check_gradients=checks)
    dataset = data.ArrayDataset(np.array([[0.0, 0.0]] * 3, np.float32), np.array([1, 0, 1]))
    batches = data.DataLoader(dataset, batch_size=1)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError) as caught:
        trainer.fit(batches, 1)
    if checks:
        assert caught.value.message.startswith("the gradient is nan at step 2 (epoch 1).")
        assert np.isfinite(model.weight.numpy()).all()
    else:
        assert caught.value.message == (
            "the loss is nan at step 3 (epoch 1). weight is not finite already: the loss of an earlier step was, and "
            "its gradient was not. Continue from an older checkpoint with a lower learning rate or clipped gradients "
            "(max_norm); check_gradients=True refuses such a step."
        )


# ---------------------------------------------------------------------------------------------------- measuring
@pytest.mark.parametrize("loss", [
    nn.CrossEntropyLoss(), nn.CrossEntropyLoss(weight=[1.0, 2.0, 3.0, 4.0], ignore_index=2, label_smoothing=0.1),
    nn.MultiMarginLoss(), nn.MultiMarginLoss(weight=[1.0, 2.0, 3.0, 4.0]),
])  # fmt: skip
def test_measuring_is_one_program_and_exact(loss):
    found = []
    for compiled in (True, False):
        trainer = make(compiled=compiled)
        trainer.loss = trainer.steps.loss = loss
        found.append([trainer.evaluate(loader(pixels(samples=n))) for n in (24, 45, 21)])
        if compiled:
            assert len(trainer.steps.evaluate_masked.variants) == 1
            assert not trainer.steps.evaluate.variants
    for one, other in zip(*found, strict=True):
        assert (one["samples"], one["accuracy"]) == (other["samples"], other["accuracy"])
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)


def test_a_loss_that_can_not_leave_samples_out_is_measured_on_ragged_batches():
    trainer = make()
    trainer.loss = trainer.steps.loss = lambda outputs, y: nn.functional.cross_entropy(outputs, y) * 2.0
    twice = trainer.evaluate(loader(pixels(samples=45)))
    plain = make().evaluate(loader(pixels(samples=45)))
    assert twice["loss"] == pytest.approx(2 * plain["loss"], rel=1e-5)
    assert twice["accuracy"] == plain["accuracy"]
    assert len(trainer.steps.evaluate.variants) == 2


# ---------------------------------------------------------------------------------------------------- the loader's rows
def test_rows_are_the_batches_of_a_loop():
    dataset = pixels(samples=21)
    looped, counted = loader(dataset), loader(dataset)
    for _ in range(2):
        batches = [x.numpy() for x, _ in looped]
        rows, found = counted.rows(), []
        assert isinstance(rows, EpochRows)
        while rows.left:
            some = rows.ahead(2)
            found += [rows.arrays[0][row] for row in some[:1]]
            rows.used(1)
            assert counted.state_dict()["position"] == len(found)
        rows.finish()
        assert len(found) == len(batches) == 3
        for one, other in zip(found, batches, strict=True):
            np.testing.assert_array_equal(one, other)
        assert counted.state_dict() == looped.state_dict()


def test_rows_are_refused_where_python_makes_the_batches():
    assert loader(transform=lambda x: x).rows() is None
    assert loader(pixels().map(lambda sample: sample)).rows() is None
    assert loader(collate=lambda samples: samples).rows() is None
    assert loader(data.ArrayDataset(np.array(["a", "b"]), [0, 1])).rows() is None


def test_an_abandoned_pass_does_not_move_the_loader():
    one = loader()
    first = one.rows()
    second = one.rows()
    second.used(2)
    first.used(1)
    first.finish()
    assert one.state_dict()["position"] == 2
    assert one.epoch == 0

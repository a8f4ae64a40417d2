"""The Trainer: the same as a loop written by hand, exact measurements, guards, interruptions and resumption."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, metrics, nn, optim
from chainrule.core.errors import ChainruleError, NonFiniteError, SettingError
from chainrule.testing import assert_near
from chainrule.train import Callback, Checkpoints, EarlyStopping, Trainer

MODES = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])


def samples(count=23, classes=3, seed=0):
    """Return separable points with their classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    points = rng.normal(size=(count, 5)).astype(np.float32)
    points[np.arange(count), labels] += 2
    return data.ArrayDataset(points, labels)


def network(seed=1, dropout=0.0):
    """Return a small network that starts from the seed."""
    cr.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(dropout), nn.Linear(7, 3))


def trainer_of(model, optimizer=None, **settings):
    settings.setdefault("metrics", {"accuracy": metrics.Accuracy()})
    return Trainer(model, nn.CrossEntropyLoss(), optimizer or optim.SGD(model.parameters(), lr=0.1), **settings)


def loader_of(dataset, batch=5, **settings):
    return data.DataLoader(dataset, batch_size=batch, shuffle=True, seed=3, **settings)


def weights(model):
    return {name: value.numpy() for name, value in model.state_dict().items()}


def assert_same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


class Records(Callback):
    """Keep what callbacks get."""

    def __init__(self):
        self.steps, self.epochs, self.calls = [], [], []

    def on_start(self, trainer):
        self.calls.append("start")

    def on_step(self, trainer, record):
        self.steps.append(record)

    def on_epoch(self, trainer, record):
        self.epochs.append(record)

    def on_end(self, trainer):
        self.calls.append("end")


# ---------------------------------------------------------------------------------------------------- the loop
@MODES
def test_it_does_what_the_loop_by_hand_does(compiled):
    model, by_hand = network(), network()
    trainer_of(model, compiled=compiled).fit(loader_of(samples()), 3)
    optimizer, loss_function = optim.SGD(by_hand.parameters(), lr=0.1), nn.CrossEntropyLoss()
    loader = loader_of(samples())
    for _ in range(3):
        for x, y in loader:
            loss = loss_function(by_hand(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    if not compiled:
        assert_same(weights(model), weights(by_hand))
    for name, value in weights(by_hand).items():
        assert_near(weights(model)[name], value, name)


@MODES
def test_records_are_exact_over_ragged_batches(compiled):
    model, log = network(), Records()
    frozen = optim.SGD(model.parameters(), lr=0.0)  # nothing moves, so all can be computed at once
    trainer = trainer_of(model, frozen, callbacks=[log], compiled=compiled)
    test = samples(11, seed=9)
    history = trainer.fit(loader_of(samples()), 1, {"test": loader_of(test, 4)})
    assert history == log.epochs
    record = history[0]
    for name, dataset in (("train", samples()), ("test", test)):
        x, y = (cr.asarray(array) for array in dataset.arrays)
        logits = model(x)
        want = nn.functional.cross_entropy(logits, y).item()
        assert record[f"{name}_loss"] == pytest.approx(want, rel=1e-6)
        assert record[f"{name}_accuracy"] == (logits.numpy().argmax(1) == y.numpy()).mean()
    assert (record["epoch"], record["step"], record["samples"], record["lr"]) == (0, 5, 23, 0.0)
    assert [step["step"] for step in log.steps] == [1, 2, 3, 4, 5]
    sizes = [5, 5, 5, 5, 3]
    mean = sum(size * step["loss"] for size, step in zip(sizes, log.steps)) / 23
    assert record["train_loss"] == pytest.approx(mean, rel=1e-12)


@MODES
@pytest.mark.parametrize("accumulate, batch", [(2, 4), (3, 4), (4, 6), (100, 3)])
def test_accumulated_batches_are_one_large_batch(accumulate, batch, compiled):
    # 23 samples: ragged last batches, and updates of unequal numbers of batches.
    small, large = network(), network()
    trainer_of(small, accumulate=accumulate, compiled=compiled).fit(loader_of(samples(), batch), 2)
    trainer_of(large, compiled=compiled).fit(loader_of(samples(), accumulate * batch), 2)
    for name, value in weights(small).items():
        np.testing.assert_allclose(value, weights(large)[name], rtol=2e-5, atol=1e-6)


@MODES
def test_the_gradient_is_clipped(compiled):
    model, start = network(), weights(network())
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    trainer_of(model, optimizer, max_norm=0.01, compiled=compiled).fit(loader_of(samples(), 23), 1)
    moved = math.sqrt(sum(((value - start[name]) ** 2).sum() for name, value in weights(model).items()))
    assert moved == pytest.approx(0.01, rel=1e-4)


@MODES
def test_schedules_step_per_update_or_epoch(compiled):
    for every, want in (("step", [0.1, 0.05, 0.025]), ("epoch", [0.1, 0.1, 0.05])):
        model, log = network(), Records()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        schedule = optim.ExponentialLR(optimizer, gamma=0.5)
        trainer = trainer_of(
            model, optimizer, schedule=schedule, schedule_every=every, callbacks=[log], compiled=compiled
        )
        trainer.fit(loader_of(samples(), 12), 2)
        assert [step["lr"] for step in log.steps][:3] == pytest.approx(want)
        assert compiled is False or len(trainer.steps.train.variants) == 2  # 12 and 11 samples; no re-trace for lr


def test_a_plateau_schedule_watches_what_it_is_told():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=0, threshold=9.0, threshold_mode="abs", monitor="test_loss"
    )
    loader = loader_of(samples())
    history = trainer_of(model, optimizer, schedule=schedule).fit(loader, 3, {"test": loader_of(samples())})
    assert [record["lr"] for record in history] == pytest.approx([0.1, 0.1, 0.05])
    schedule.monitor = "validation_loss"
    trainer = trainer_of(model, optimizer, schedule=schedule)
    with pytest.raises(SettingError) as caught:
        trainer.fit(loader_of(samples()), 1)
    assert caught.value.message == (
        "the schedule's monitor is 'validation_loss', but an epoch's record will have train_loss, train_accuracy. "
        'Watch one of these, or give fit a loader of that name: watched={"validation": loader}.'
    )
    assert trainer.step == 0  # said before the first step, not after an epoch


@MODES
def test_measuring_uses_the_averaged_weights_and_puts_the_own_ones_back(compiled):
    model = network()
    average = optim.ExponentialMovingAverage(model, decay=0.9)
    trainer = trainer_of(model, average=average, compiled=compiled)
    test = samples(11, seed=9)
    record = trainer.fit(loader_of(samples()), 1, {"test": loader_of(test)})[0]
    own = weights(model)
    with trainer.averaged():
        assert not np.array_equal(weights(model)["0.weight"], own["0.weight"])
        x, y = (cr.asarray(array) for array in test.arrays)
        assert record["test_loss"] == pytest.approx(nn.functional.cross_entropy(model(x), y).item(), rel=1e-6)
    assert_same(weights(model), own)


@MODES
def test_evaluation_changes_nothing(compiled):
    model = network(dropout=0.5)
    trainer = trainer_of(model, compiled=compiled)
    trainer.fit(loader_of(samples()), 1)
    model[1].eval()  # a part has a mode of its own
    modes = [module.training for module in model.modules()]
    before, generator = weights(model), str(cr.default_generator.state_dict())
    first = trainer.evaluate(loader_of(samples()))
    assert trainer.evaluate(loader_of(samples())) == first  # dropout is off
    assert_same(weights(model), before)
    assert str(cr.default_generator.state_dict()) == generator
    assert [module.training for module in model.modules()] == modes == [True, True, False, True, True]
    assert first["samples"] == 23


def test_evaluating_nothing_says_so():
    with pytest.raises(ValueError) as caught:
        trainer_of(network()).evaluate([])
    assert str(caught.value) == "evaluate: the loader gave no batch; there is nothing to measure."


def test_a_step_is_traced_once_per_shape():
    trainer = trainer_of(network())
    trainer.fit(loader_of(samples(), 5), 3, {"test": loader_of(samples(), 23)})
    assert (len(trainer.steps.train.variants), trainer.steps.train.retraces) == (
        2,
        ["argument x was f32[5,5], now f32[3,5]"],
    )
    assert len(trainer.steps.evaluate_masked.variants) == 1


def test_fitting_again_continues():
    twice, once = network(), network()
    trainer = trainer_of(twice)
    loader = loader_of(samples())
    trainer.fit(loader, 1)
    assert len(trainer.fit(loader, 3)) == 3
    trainer_of(once).fit(loader_of(samples()), 3)
    assert_same(weights(twice), weights(once))


# ---------------------------------------------------------------------------------------------------- accidents
@MODES
def test_a_nan_names_its_module_and_leaves_the_model(compiled):
    model = nn.Sequential(nn.Linear(5, 7), nn.Sequential(nn.ReLU(), nn.Linear(7, 3)))
    with cr.no_grad():
        model[1][1].weight.assign_(cr.ones((3, 7)) * 3e38)
    before = weights(model)
    trainer = trainer_of(model, compiled=compiled)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError) as caught:
        trainer.fit(loader_of(samples()), 1)
    assert " at step 1 (epoch 1). It began in 1.1 (Linear), operation matmul" in caught.value.message
    assert caught.value.message.endswith(
        "The model is as it was before this step; lower the learning rate, clip the gradient (max_norm), "
        "or check the data for extreme values."
    )
    assert_same(weights(model), before)
    assert trainer.step == 0


def test_every_started_callback_is_ended_and_the_first_error_is_heard():
    class Fails(Records):
        def on_step(self, trainer, record):
            raise RuntimeError("first")

        def on_end(self, trainer):
            super().on_end(trainer)
            raise OSError("second")

    one, two = Fails(), Records()
    with pytest.raises(RuntimeError, match=r"^first$"):
        trainer_of(network(), callbacks=[one, two]).fit(loader_of(samples()), 1)
    assert (one.calls, two.calls) == (["start", "end"], ["start", "end"])


def test_a_callback_that_can_not_start_is_not_ended():
    class Fails(Records):
        def on_start(self, trainer):
            raise OSError("no")

    one, two = Records(), Fails()
    with pytest.raises(OSError, match=r"^no$"):
        trainer_of(network(), callbacks=[one, two]).fit(loader_of(samples()), 1)
    assert (one.calls, two.calls) == (["start", "end"], [])


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_an_interruption_saves_after_a_whole_step_and_resumes_with_the_same_bits(at, accumulate, tmp_path):
    class Interrupts(Callback):
        wanted = True

        def on_step(self, trainer, record):
            if self.wanted and record["step"] == at:
                trainer.interrupt()

    def make(interrupts):
        model, callback = network(dropout=0.2), Interrupts()
        callback.wanted = interrupts
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        checkpoints = Checkpoints(tmp_path / str(interrupts))
        return trainer_of(model, optimizer, accumulate=accumulate, callbacks=[callback], checkpoints=checkpoints)

    whole = make(False)
    history = whole.fit(loader_of(samples()), 2)
    first = make(True)
    with pytest.raises(KeyboardInterrupt):
        first.fit(loader_of(samples()), 2)
    updates = 5 if accumulate == 1 else 3  # per epoch
    assert first.checkpoints.steps()[-1] == first.step == at
    finished = at // updates if accumulate == 2 else (at - 1) // updates  # a ragged last update ends its epoch first
    assert first.epoch == finished
    again, loader = make(False), loader_of(samples())
    again.load_state_dict(first.checkpoints.load(), loader)
    resumed = again.fit(loader, 2)
    assert_same(weights(again.model), weights(whole.model))
    drop = lambda records: [{k: v for k, v in r.items() if k != "seconds"} for r in records]  # noqa: E731
    assert drop(resumed) == drop(history)


def test_a_state_of_other_parts_is_refused():
    model = network()
    state = trainer_of(model, metrics={}).state_dict(loader_of(samples()))
    with pytest.raises(ChainruleError) as caught:
        trainer_of(model).load_state_dict(state, loader_of(samples()))
    assert caught.value.message == (
        "the checkpoint holds generator, model, optimizer; this run has generator, metric accuracy, model, optimizer. "
        "Resume with the same settings."
    )


def test_early_stopping_ends_the_run_and_a_resumed_one_stays_ended(tmp_path):
    def make():
        stopping = EarlyStopping("train_loss", patience=1, min_delta=100.0)
        return trainer_of(network(), callbacks=[stopping], checkpoints=Checkpoints(tmp_path))

    first = make()
    assert len(first.fit(loader_of(samples()), 9)) == 2
    again, loader = make(), loader_of(samples())
    again.load_state_dict(again.checkpoints.load(), loader)
    assert len(again.fit(loader, 9)) == 2
    assert_same(weights(again.model), weights(first.model))


@pytest.mark.parametrize(
    "settings, wanted",
    [
        ({"schedule_every": "batch"}, "Trainer.schedule_every must be 'step' or 'epoch'; got 'batch'."),
        ({"accumulate": 0}, "Trainer.accumulate must be an int >= 1; got 0."),
        ({"checkpoint_every": 0}, "Trainer.checkpoint_every must be an int >= 1; got 0."),
        ({"max_norm": 0.0}, "Trainer.max_norm must be a float > 0 or None; got 0.0."),
    ],
)
def test_wrong_settings(settings, wanted):
    with pytest.raises(ValueError) as caught:
        trainer_of(network(), **settings)
    assert str(caught.value) == wanted

"""Training in mixed precision: the loss follows float32's, and a run keeps the precision it was begun with."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, metrics, models, nn, optim
from chainrule.core.errors import ChainruleError, NonFiniteError, SettingError
from chainrule.testing import assert_close
from chainrule.train import Checkpoints, Trainer

RNG = np.random.default_rng(0)
PIXELS = RNG.standard_normal((60, 12)).astype(np.float32)
LABELS = (PIXELS[:, :3].argmax(axis=1)).astype(np.int64)


def trainer(precision, **options):
    cr.manual_seed(0)
    model = models.MLP([12, 16, 3])
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics={"accuracy": metrics.Accuracy(3)},
        precision=precision,
        **options,
    )


def loader(batch_size=16):
    return data.DataLoader(data.ArrayDataset(PIXELS, LABELS), batch_size=batch_size, shuffle=True, seed=0)


def weights(run):
    return b"".join(value.numpy().tobytes() for value in run.model.state_dict().values())


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"max_norm": 0.5}], ids=str)
def test_eager_and_compiled_runs_agree(options):
    runs = [trainer("bf16", compiled=compiled, **options) for compiled in (True, False)]
    records = [run.fit(loader(), 2, {"test": loader()}) for run in runs]
    for record in (*records[0], *records[1]):
        record.pop("seconds")
    for got, want in zip(*records, strict=True):
        assert got == pytest.approx(want, rel=0.02)  # a value that was rounded to bfloat16 the other way
    for got, want in zip(*(run.model.parameters() for run in runs), strict=True):
        assert_close(got, want, rtol=0.02, atol=2e-3)
    plain = trainer("float32", **options)
    plain.fit(loader(), 2)
    assert weights(plain) != weights(runs[0])


def test_surroundings_do_not_change_a_trainers_precision():
    plain, inside = trainer("float32"), trainer("float32")
    plain.fit(loader(), 1)
    with cr.precision("bf16"):
        inside.fit(loader(), 1)
    assert weights(plain) == weights(inside)


def test_weights_and_slots_stay_float32():
    run = trainer("bf16")
    run.fit(loader(), 1)
    assert {p.dtype for p in run.model.parameters()} == {cr.float32}
    momenta = [slot for slots in run.optimizer.state.values() for slot in slots.values() if slot.shape]
    assert len(momenta) == 4
    assert {slot.dtype for slot in momenta} == {cr.float32}


def test_an_unknown_precision_is_refused():
    with pytest.raises(SettingError) as error:
        trainer("fp8")
    assert error.value.message == 'Trainer.precision must be "float32" or "bf16"; got \'fp8\'.'


def test_a_checkpoint_of_another_precision_is_refused_and_changes_nothing(tmp_path):
    first = trainer("bf16", checkpoints=Checkpoints(tmp_path))
    first.fit(loader(), 1)
    state = Checkpoints(tmp_path).load()
    other = trainer("float32")
    before = weights(other)
    with pytest.raises(ChainruleError) as error:
        other.load_state_dict(state, loader())
    assert error.value.message == (
        'the checkpoint was made with precision="bf16"; this run has "float32". Resume with the same settings.'
    )
    assert (weights(other), other.step) == (before, 0)
    again, rest = trainer("bf16"), loader()
    again.load_state_dict(state, rest)
    again.fit(rest, 2)
    whole = trainer("bf16")
    whole.fit(loader(), 2)
    assert weights(again) == weights(whole)


def test_the_search_for_a_nan_runs_in_the_same_precision():
    """bfloat16 rounds 1 - 1e-3 to 1, so the logarithm of what is left is infinite only there."""
    x = cr.asarray([[0.999]])

    class Log(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(cr.ones((1, 1)))

        def forward(self, x):
            return cr.log(1 - x @ self.w)

    model = Log()
    run = Trainer(model, lambda outputs, y: cr.mean(outputs), optim.SGD(model.parameters(), lr=0.1), precision="bf16")
    with pytest.raises(NonFiniteError, match=r"It began in .*log"):
        run.fit(data.DataLoader(data.ArrayDataset(x.numpy(), [0]), batch_size=1), 1)


def digits(split, samples, batch_size, shuffle):
    """A loader of standardized digits of the packaged MNIST."""
    images, labels = (array[:samples] for array in data.mnist(split).arrays)
    pixels = ((images.astype(np.float32) / 255 - 0.1307) / 0.3081).reshape(samples, 784)
    return data.DataLoader(data.ArrayDataset(pixels, labels), batch_size=batch_size, shuffle=shuffle, seed=0)


def test_digits_are_learnt_as_in_float32():
    """The main job's network, 400 steps: the loss stays within 1 % of float32's, the accuracy within 1 %."""
    records = {}
    for precision in ("float32", "bf16"):
        cr.manual_seed(0)
        model = models.MLP([784, 64, 32, 10])
        optimizer = optim.SGD(model.parameters(), lr=0.05)
        measured = {"accuracy": metrics.Accuracy(10)}
        run = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=measured, precision=precision)
        records[precision] = run.fit(digits("train", 6400, 64, True), 4, {"test": digits("test", 5000, 500, False)})
    for exact, narrow in zip(records["float32"], records["bf16"], strict=True):
        assert narrow["train_loss"] == pytest.approx(exact["train_loss"], rel=0.01)
        assert narrow["train_loss"] != exact["train_loss"]
        assert narrow["test_accuracy"] == pytest.approx(exact["test_accuracy"], abs=0.01)
    assert records["bf16"][-1]["test_accuracy"] > 0.86

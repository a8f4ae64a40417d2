"""Augmentation inside the trainer's step: eager, compiled and in the loader alike, resumed exactly, compiled once."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, nn, optim
from chainrule.core.errors import SettingError
from chainrule.metrics import Accuracy
from chainrule.train import Callback, Trainer

TRANSFORMS = [data.RandomCrop(padding=2), data.RandomHorizontalFlip(), data.Normalize([0.5], [0.25])]
rng = np.random.default_rng(0)
PICTURES = data.ArrayDataset(rng.integers(0, 256, (20, 1, 6, 6), dtype=np.uint8), rng.integers(0, 4, 20))


def make(where="step", transforms=TRANSFORMS, compiled=True, callbacks=(), **settings):
    cr.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4))
    augment = data.Augment(transforms, seed=7, classes=4)
    inside = where == "step"
    loader = data.DataLoader(
        data.numbered(PICTURES) if inside else PICTURES, 8, True, seed=2, prefetch=0 if inside else 2,
        augment=None if inside else augment,
    )  # fmt: skip
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), metrics={"accuracy": Accuracy(4)},
        augment=augment if inside else None, compiled=compiled, callbacks=callbacks, **settings,
    )  # fmt: skip
    return trainer, loader


def weights(trainer):
    return np.concatenate([p.numpy().ravel() for p in trainer.model.parameters()])


def test_inside_the_step_and_in_the_loader_train_alike():
    found = []
    for settings in ({"where": "step"}, {"where": "loader"}, {"where": "step", "compiled": False}):
        trainer, loader = make(**settings)
        history = trainer.fit(loader, 3)
        found.append((weights(trainer), [epoch["train_loss"] for epoch in history]))
    for others in found[1:]:
        np.testing.assert_allclose(others[0], found[0][0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(others[1], found[0][1], rtol=1e-5)


def test_augmentation_matters_and_its_seed_too():
    a, loader = make()
    a.fit(loader, 1)
    b, loader = make(transforms=TRANSFORMS[2:])
    b.fit(loader, 1)
    assert np.abs(weights(a) - weights(b)).max() > 1e-3


def test_many_epochs_compile_one_step_per_shape():
    trainer, loader = make()
    trainer.fit(loader, 1)
    count = len(trainer.steps.train.variants)
    trainer.fit(loader, 4)
    assert len(trainer.steps.train.variants) == count


class Stop(Callback):
    """Interrupts at a step."""

    def __init__(self, step):
        self.at = step

    def on_step(self, trainer, record):
        if record["step"] == self.at:
            trainer.interrupt()


@pytest.mark.parametrize("where", ["step", "loader"])
@pytest.mark.parametrize("transforms", [TRANSFORMS, [data.MixUp(), *TRANSFORMS]], ids=["plain", "mixed"])
def test_a_resumed_run_ends_with_the_same_bits(where, transforms):
    whole, loader = make(where, transforms)
    whole.fit(loader, 3)
    first, loader = make(where, transforms, callbacks=[Stop(5)])
    with pytest.raises(KeyboardInterrupt):
        first.fit(loader, 3)
    first.callbacks.clear()
    state = first.state_dict(loader)
    second, loader = make(where, transforms)
    state["parts"] = {name: part for name, part in state["parts"].items() if not name.startswith("callback")}
    second.load_state_dict(state, loader)
    assert second.step < whole.step
    second.fit(loader, 3)
    np.testing.assert_array_equal(weights(second), weights(whole))


def test_mixed_labels_are_learnt_and_true_ones_measured():
    trainer, loader = make(transforms=[data.CutMix(), *TRANSFORMS])
    history = trainer.fit(loader, 2)
    assert np.isfinite(history[-1]["train_loss"])
    assert 0 <= history[-1]["train_accuracy"] <= 1


def test_batches_without_sample_numbers():
    trainer, _ = make()
    with pytest.raises(SettingError) as caught:
        trainer.fit(data.DataLoader(PICTURES, 8), 1)
    assert str(caught.value).split("\n")[0] == (
        "Trainer.augment needs batches (x, y, sample numbers); the loader gave 2 parts. Load from "
        "data.numbered(dataset)."
    )

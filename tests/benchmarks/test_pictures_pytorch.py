"""The PyTorch side of benchmarks/accuracy_pictures.py trains as the recipe says: rates, changes, updates."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import pictures_pytorch  # noqa: E402 - after the check that PyTorch is there
from chainrule import recipes  # noqa: E402
from chainrule.data import RandomCrop, RandomHorizontalFlip, RandomRotation, RandomShift  # noqa: E402
from chainrule.ops.random import manual_seed  # noqa: E402
from chainrule.recipes import build  # noqa: E402

pytestmark = [pytest.mark.oracle, pytest.mark.usefixtures("twelve_pictures")]

# one batch of all twelve pictures, so that their order makes no difference
ONE_BATCH = ("data.augment=[]", "train.batch_size=12", "train.epochs=4", "train.compiled=false")


@pytest.mark.parametrize("changes", [
    ["optim.momentum=0.9", "optim.nesterov=true", "optim.weight_decay=0.01", "schedule.name=one_cycle"],
    ["optim.name=adam", "loss.label_smoothing=0.1", "schedule.name=cosine", "train.max_norm=0.5"],
    ["optim.name=adamw", "schedule.name=one_cycle", "train.average=0.9"],
])  # fmt: skip
def test_both_sides_take_the_same_updates(changes):
    recipe = recipes.load("cifar10-m2", [*ONE_BATCH, "optim.lr=0.01", *changes])
    data = build.load_data(recipe)
    manual_seed(recipe["train.seed"])
    trainer, loader = build.make_trainer(recipe, build.make_model(recipe), data)
    ours = [record["train_loss"] for record in trainer.fit(loader, recipe["train.epochs"])]
    theirs = []
    found = pictures_pytorch.train(
        recipe, data, data.second, "cpu", "contiguous", lambda epoch, loss, *rest: theirs.append(loss)
    )
    np.testing.assert_allclose(theirs, ours, rtol=2e-5)
    assert theirs[-1] < theirs[0]
    assert len(found["epoch_seconds"]) == 4


@pytest.mark.parametrize("changes", [
    ["schedule.name=one_cycle", "optim.name=adam"], ["schedule.name=cosine"], ["schedule.name=warmup"],
    ["schedule.name=step", "schedule.step_size=3"], ["schedule.name=multi_step", "schedule.milestones=[2, 5]"],
    ["schedule.name=exponential", "schedule.gamma=0.9"], ["schedule.name=constant"],
])  # fmt: skip
def test_the_table_is_the_schedule(changes):
    recipe = recipes.load("cifar10-m2", changes)
    optimizer = build.make_optimizer(recipe, list(build.make_model(recipe).parameters()))
    schedule = build.make_schedule(recipe, optimizer, 12)
    table = pictures_pytorch.schedule_table(schedule, 12, recipe["optim.lr"])
    wanted = [recipe["optim.lr"]] * 12 if schedule is None else [schedule.lr_at(step)[0] for step in range(12)]
    assert table["lr"] == pytest.approx(wanted, rel=1e-12)
    if "optim.name=adam" in changes:
        assert table["betas"][0] == (pytest.approx(0.95), 0.999)


@pytest.mark.parametrize("transform", [
    RandomShift(1), RandomCrop(0, 1, "reflect"), RandomCrop(3, 1, "replicate"), RandomHorizontalFlip(),
])  # fmt: skip
def test_changes_give_the_same_pictures_as_often(transform):
    from chainrule.data import Augment

    picture, count = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4) / 16, 4000
    many = np.repeat(picture, count, axis=0)
    ours, _ = Augment([transform])(many, np.zeros(count, np.int64), np.arange(count))
    (change,) = pictures_pytorch.make_changes([transform])
    torch.manual_seed(0)
    theirs = change(torch.from_numpy(many)).numpy()
    (a, share), (b, other) = (np.unique(x, axis=0, return_counts=True) for x in (ours, theirs))
    np.testing.assert_array_equal(a, b)  # every outcome of one is an outcome of the other
    np.testing.assert_allclose(share / count, other / count, atol=5 * np.sqrt(share.max()) / count)


def test_what_is_not_rebuilt_is_refused():
    with pytest.raises(pictures_pytorch.Unsupported, match="RandomRotation"):
        pictures_pytorch.make_changes([RandomRotation(5)])

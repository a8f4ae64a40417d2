"""Each recipe that ships, for two steps on six random pictures: compiled as eager, at most three programs, a report."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import models, recipes
from chainrule.compiler import variant
from chainrule.core.errors import RecipeError
from chainrule.data import ArrayDataset
from chainrule.data.cifar_files import CLASSES
from chainrule.nn.files import load as load_tensors
from chainrule.ops.random import manual_seed
from chainrule.recipes import build
from chainrule.recipes.run import train

SHORT = ("train.epochs=1", "train.batch_size=4", "optim.lr=0.01")
NAMES = ("cifar10-m1", "cifar10-m2", "cifar10-m3", "cifar10-resnet18", "cifar10-resnet20", "lenet5-mnist")
SMALL = [name for name, row in models.CATALOGUE.items() if (row.cifar_parameters or row.parameters) < 11e6]
ALIKE = {"float32": 1e-3, "bf16": 0.2}  # distance of two weights over how far they moved; batches of 4 and 2 pictures


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    """Put 6 and 10 random pictures in the place of CIFAR-10 and MNIST, measured in batches of 4."""

    def some(shape, classes):
        def read(split, folder=None, *, verify=True):
            count = 6 if split == "train" else 10
            images = np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)
            return ArrayDataset(images, np.arange(count) % 10, names=("images", "labels"), classes=classes)

        return read

    monkeypatch.setattr(build, "cifar10", some((3, 32, 32), CLASSES))
    monkeypatch.setattr(build, "mnist", some((28, 28), tuple("0123456789")))
    monkeypatch.setattr(build, "EVALUATION_BATCH", 4)


@pytest.fixture
def programs(monkeypatch):
    """Return the list of the programs that are compiled from now on, by name."""
    made, original = [], variant.executor_for

    def counted(graph, takes, *rest):
        made.append(graph.name)
        return original(graph, takes, *rest)

    monkeypatch.setattr(variant, "executor_for", counted)
    return made


def final(recipe, folder):
    run = train(recipe, folder, quiet=True)
    weights = {name: value.numpy().astype(np.float64) for name, value in load_tensors(run.weights).items()}
    return run, weights, [record["loss"] for record in run.records()[0]]


@pytest.mark.parametrize("name", NAMES)
def test_compiled_as_eager_in_three_programs(name, tmp_path, programs):
    recipe = recipes.load(name, SHORT)
    manual_seed(recipe["train.seed"])
    before = {key: value.numpy().astype(np.float64) for key, value in build.make_model(recipe).state_dict().items()}
    run, compiled, losses = final(recipe, tmp_path / "compiled")
    assert sorted(programs) == ["masked_step", "train_step", "train_step"]  # the last batch has two pictures
    _, eager, expected = final(recipes.load(name, [*SHORT, "train.compiled=false"]), tmp_path / "eager")
    assert len(programs) == 3
    alike = ALIKE[recipe["train.precision"]]
    np.testing.assert_allclose(losses, expected, rtol=alike / 10)
    assert compiled.keys() == eager.keys() == before.keys()
    trained = [key for key in before if (eager[key] != before[key]).any()]
    assert len(trained) > len(before) / 2
    apart = np.sqrt(sum(np.square(compiled[key] - eager[key]).sum() for key in trained))
    moved = np.sqrt(sum(np.square(eager[key] - before[key]).sum() for key in trained))
    assert apart < alike * moved
    assert "</html>" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_one_cycle_resumes_with_the_same_bits(tmp_path):
    changes = [*SHORT, "model.name=cifar_m2", "train.epochs=2", "train.checkpoint_every=1", "train.average=0.9"]
    recipe, kept = recipes.load("cifar10-resnet20", changes), build.make_trainer
    _, whole, _ = final(recipe, tmp_path / "whole")

    def stopped(*arguments, **options):
        trainer, loader = kept(*arguments, **options)
        original = trainer._end_epoch

        def end(*rest):
            original(*rest)
            if trainer.epoch == 1:
                raise KeyboardInterrupt

        trainer._end_epoch = end
        return trainer, loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "make_trainer", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "cut", quiet=True)
    resumed = train(recipe, tmp_path / "cut", resume=True, quiet=True)
    assert resumed.finished
    for key, value in load_tensors(resumed.weights).items():
        np.testing.assert_array_equal(value.numpy().astype(np.float64), whole[key])


# ---------------------------------------------------------------------------------------------------- the catalogue
@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_fits_the_pictures(name):
    recipe = recipes.load("cifar10-m2", [f"model.name={name}"])
    build.check_fit(recipe, build.make_model(recipe), build.load_data(recipe))


@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern", "resnet20", "resnet18"])
def test_architectures_fit_grey_digits(name):
    recipe = recipes.load("lenet5-mnist", [f"model.name={name}"])
    build.check_fit(recipe, build.make_model(recipe), build.load_data(recipe))


def test_names_of_architectures_are_those_of_the_catalogue():
    assert set(build.MODELS) == {"mlp", *models.names()}
    for name, row in models.CATALOGUE.items():
        part = build.MODELS[name]
        assert part.load() is row.make
        assert not part.options.keys() & row.settings.keys()


def test_googlenet_learns_with_its_auxiliary_classifiers():
    changes = [*SHORT, "model.name=googlenet", "train.compiled=false", "model.dropout=0", "model.dropout_aux=0"]
    found = {}
    for weight in (0.0, 0.3):
        recipe = recipes.load("cifar10-m2", [*changes, f"loss.auxiliary={weight}"])
        manual_seed(0)
        model, data = build.make_model(recipe), build.load_data(recipe)
        before = model.aux1.fc2.weight.numpy().copy()
        trainer, loader = build.make_trainer(recipe, model, data)
        (record,) = trainer.fit(loader, 1, {"test": build.evaluation_loader(data.second)})
        found[weight] = (record["train_loss"], (model.aux1.fc2.weight.numpy() != before).any())
        assert 0 <= record["train_accuracy"] <= 1
    assert [moved for _, moved in found.values()] == [False, True]
    assert found[0.3][0] == pytest.approx(1.6 * found[0.0][0], rel=0.05)  # at the start all three are near log(10)


def test_auxiliary_classifiers_need_a_loss_that_takes_them():
    with pytest.raises(RecipeError) as caught:
        recipes.load("cifar10-m2", ["model.name=googlenet", "loss.name=multi_margin"])
    assert caught.value.message == (
        "googlenet has auxiliary classifiers, and loss.name = 'multi_margin' takes one output: use \"cross_entropy\", "
        "or model.aux_logits = false."
    )
    assert recipes.load("cifar10-m2", ["model.name=googlenet", "loss.name=multi_margin", "model.aux_logits=false"])


# ---------------------------------------------------------------------------------------------------- one cycle
def test_one_cycle_rises_to_the_rate_of_the_optimizer():
    recipe = recipes.load("cifar10-resnet20", ["optim.lr=0.25"])
    model = build.make_model(recipe)
    schedule = build.make_schedule(recipe, build.make_optimizer(recipe, list(model.parameters())), 100)
    rates = [schedule.lr_at(step)[0] for step in range(100)]
    assert (max(rates), rates[0]) == (0.25, pytest.approx(0.01, rel=1e-12))
    assert schedule.total_steps == 100
    chosen = recipes.load("cifar10-resnet20", ["optim.lr=0.25", "schedule.max_lr=0.5", "schedule.total_steps=50"])
    schedule = build.make_schedule(chosen, build.make_optimizer(chosen, list(model.parameters())), 100)
    assert (schedule.max_lr, schedule.total_steps) == ([0.5], 50)

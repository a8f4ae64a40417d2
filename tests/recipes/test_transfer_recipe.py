"""Recipes that start from trained weights: what goes together, a short run, and reading the run without the weights."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, recipes
from chainrule.core.errors import MissingDataError, RecipeError
from chainrule.data import ArrayDataset
from chainrule.data.cifar_files import CLASSES
from chainrule.recipes import build
from chainrule.recipes.folder import Run
from chainrule.recipes.results import evaluate
from chainrule.recipes.run import train

SHORT = ("train.epochs=1", "train.batch_size=8", "model.resize=48")


@pytest.fixture
def small_cifar(monkeypatch, data_folder):
    """Put 24 and 10 random pictures in the place of CIFAR-10."""

    def small(split, folder=None, *, verify=True):
        count = 24 if split == "train" else 10
        images = np.random.default_rng(count).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        return ArrayDataset(images, np.arange(count) % 10, names=("images", "labels"), classes=CLASSES)

    monkeypatch.setattr(build, "cifar10", small)
    monkeypatch.setenv("CHAINRULE_DATA", str(data_folder))


def test_the_network_starts_from_the_weights_and_a_new_head(small_cifar):
    recipe = recipes.load("transfer-cifar")
    started, bare = build.make_model(recipe, trained=True), build.make_model(recipe)
    pixels = np.zeros((1, 3, 32, 32), np.uint8)
    assert started.eval()(cr.asarray(build.load_data(recipe).scale(pixels))).shape == (1, 10)
    wanted = models.pretrained("mobilenet_0.25").state_dict()
    for name, value in started.network.state_dict().items():
        if not name.startswith("fc."):
            np.testing.assert_array_equal(value.numpy(), wanted[name].numpy())
    assert list(bare.state_dict()) == list(started.state_dict())
    assert not np.array_equal(bare.network.conv1.conv.weight.numpy(), wanted["conv1.conv.weight"].numpy())
    assert all(p.requires_grad for p in started.parameters())
    scale = build.load_data(recipe).scale
    assert (scale.mean, scale.std) == ((127.5,) * 3, (127.5,) * 3)
    assert build.load_data(recipes.load("transfer-cifar", ["model.weights=none"])).scale.mean[0] != 127.5


@pytest.mark.parametrize("frozen", [False, True])
def test_a_short_run_can_be_read_without_the_weights(small_cifar, tmp_path, monkeypatch, frozen):
    changes = [*SHORT, f"model.freeze_body={str(frozen).lower()}"]
    run = train(recipes.load("transfer-cifar", changes), tmp_path / "run", quiet=True)
    assert run.finished
    monkeypatch.delenv("CHAINRULE_DATA")
    assert evaluate(Run(run.folder), "test").samples == 10
    trained = Run(run.folder).model().network
    monkeypatch.undo()
    kept = np.array_equal(
        trained.conv1.conv.weight.numpy(), models.pretrained("mobilenet_0.25").conv1.conv.weight.numpy()
    )
    assert kept is frozen


def test_weights_that_are_missing_stop_the_run_before_it_begins(small_cifar, tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    with pytest.raises(MissingDataError) as caught:
        train(recipes.load("transfer-cifar", SHORT), tmp_path / "run", quiet=True)
    assert str(caught.value).startswith("the weights of mobilenet_0.25 are not on this machine (looked for ")


@pytest.mark.parametrize(
    "changes, wanted",
    [
        (["model.name=resnet20"], 'model.weights = "imagenet" needs model.name to be squeezenet1_0 or mobilenet_0.25; '
         "got resnet20."),
        (["model.variant=paper"], 'model.weights = "imagenet" needs model.variant = "tensorflow" for mobilenet_0.25; '
         "got 'paper'."),
        (["model.stem=cifar"], 'model.weights = "imagenet" needs model.stem = "imagenet" for mobilenet_0.25; '
         "got 'cifar'."),
        (["data.name=mnist"], 'model.weights = "imagenet" needs pictures in colour; data.name is "mnist".'),
        (["model.weights=none", "model.freeze_body=true"], "model.freeze_body = true leaves the body as it starts, so "
         'it needs model.weights = "imagenet".'),
        (["model.resize=-1"], "model.resize must be an integer >= 0; got -1."),
        (["model.weights=imagnet"], "model.weights must be one of \"none\", \"imagenet\"; got 'imagnet'; did you mean "
         "'imagenet'?"),
    ],
)  # fmt: skip
def test_mistakes(changes, wanted):
    with pytest.raises(RecipeError) as caught:
        recipes.load("transfer-cifar", changes)
    assert caught.value.message == wanted

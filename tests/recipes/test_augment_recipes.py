"""Recipes with augmentation and with CIFAR-10: settings, a short run of each, resuming, the contact sheet."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from PIL import Image

from chainrule import recipes
from chainrule.cli import run as command
from chainrule.core.errors import RecipeError
from chainrule.data import ArrayDataset
from chainrule.data.cifar_files import CLASSES
from chainrule.nn.files import load as load_tensors
from chainrule.recipes import build
from chainrule.recipes.contact import contact_sheet, write_contact_sheet
from chainrule.recipes.folder import Run
from chainrule.recipes.results import evaluate, predict
from chainrule.recipes.run import train

SHORT = ("train.epochs=2", "train.batch_size=8", "train.checkpoint_every=2")


@pytest.fixture
def small_cifar(monkeypatch):
    """Put 24 and 10 random pictures in the place of CIFAR-10."""

    def small(split, folder=None, *, verify=True):
        count = 24 if split == "train" else 10
        rng = np.random.default_rng(count)
        images = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        return ArrayDataset(images, np.arange(count) % 10, names=("images", "labels"), classes=CLASSES)

    monkeypatch.setattr(build, "cifar10", small)


def message(*changes):
    with pytest.raises(RecipeError) as caught:
        recipes.load("mnist-mlp", changes)
    return caught.value.message


def bits(folder):
    return {name: value.numpy().tobytes() for name, value in load_tensors(folder / "model.safetensors").items()}


# ---------------------------------------------------------------------------------------------------- settings
def test_a_list_of_transforms_gets_every_default_and_reads_back_equal(tmp_path):
    recipe = recipes.load("mnist-mlp", ['data.augment=["horizontal_flip", { padding = 2, name = "crop" }]'])
    assert recipe["data.augment"] == [
        {"name": "horizontal_flip", "p": 0.5},
        {"name": "crop", "size": 0, "padding": 2, "padding_mode": "constant", "fill": 0.0},
    ]
    assert [repr(transform) for transform in build.make_transforms(recipe)] == [
        "RandomHorizontalFlip(p=0.5)",
        "RandomCrop(size=0, padding=2, padding_mode='constant', fill=0.0)",
    ]
    assert tomllib.loads(recipe.to_toml())["data"]["augment"] == recipe["data.augment"]
    path = tmp_path / "mine.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert recipes.load(path) == recipe


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (["data.augment=3"], 'data.augment must be a list of tables such as { name = "horizontal_flip" }; got 3.'),
        (
            ['data.augment=["cropp"]'],
            'data.augment[0].name must be one of "horizontal_flip", "vertical_flip", "shift", "crop", '
            '"rotation", "zoom", "contrast", "brightness", "noise", "cutout", "mixup", "cutmix"; '
            "got 'cropp'; did you mean 'crop'?",
        ),
        (
            ['data.augment=["noise", { name = "crop", paddin = 4 }]'],
            "unknown recipe key data.augment[1].paddin; did you mean 'data.augment[1].padding'? crop has size, "
            "padding, padding_mode, fill.",
        ),
        (
            ["data.augment=[{ p = 1 }]"],
            "data.augment[0] must be a table with a name, such as { name = \"crop\" }; got {'p': 1}.",
        ),
        (
            ['data.augment=[{ name = "crop", padding = -1 }]'],
            "data.augment[0].padding must be an int >= 0; got -1.",
        ),
        (
            ['data.augment=[{ name = "cutout", size = "big" }]'],
            "data.augment[0].size must be an integer; got 'big'.",
        ),
        (
            ['data.augment=["mixup"]', "loss.name=multi_margin"],
            "data.augment has MixUp, which mixes labels, and loss.name = 'multi_margin' takes no mixed labels: use "
            '"cross_entropy".',
        ),
        (["data.augment_in=gpu"], 'data.augment_in must be one of "step", "loader"; got \'gpu\'.'),
    ],
)
def test_mistakes(changes, wanted):
    assert message(*changes) == wanted


# ---------------------------------------------------------------------------------------------------- runs
@pytest.mark.parametrize("name", ["cifar10-m1", "cifar10-m2"])
def test_cifar_recipes_train_and_predict(name, small_cifar, tmp_path):
    run = train(recipes.load(name, [*SHORT, "train.epochs=1"]), tmp_path / "run", quiet=True)
    assert run.finished
    assert len(run.info["scale"]["mean"]) == 3
    assert evaluate(Run(run.folder), "test").samples == 10
    Image.new("RGB", (60, 40), "skyblue").save(tmp_path / "sky.png")
    (found,) = predict(run, [tmp_path / "sky.png"])
    assert found.label in CLASSES
    assert found.note == "60 x 40: cropped and scaled to 32 x 32"


def test_pixels_are_scaled_per_channel(small_cifar):
    data = build.load_data(recipes.load("cifar10-m2", SHORT))
    scaled = data.scale(data.train.arrays[0])
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_augmentation_in_the_step_and_in_the_loader_gives_the_same_network(small_cifar, tmp_path):
    found = []
    for where in ("step", "loader"):
        changes = [*SHORT, 'data.augment=["horizontal_flip", "crop"]', f"data.augment_in={where}"]
        run = train(recipes.load("cifar10-m2", changes), tmp_path / where, quiet=True)
        found.append(load_tensors(run.weights))
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name].numpy(), value.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("where", ["step", "loader"])
def test_an_augmented_run_resumes_with_the_same_bits(where, small_cifar, tmp_path):
    changes = [*SHORT, 'data.augment=["crop", "noise", "mixup"]', f"data.augment_in={where}", "schedule.name=constant"]
    whole = train(recipes.load("cifar10-m2", changes), tmp_path / "whole", quiet=True)
    train(recipes.load("cifar10-m2", [*changes, "train.epochs=1"]), tmp_path / "cut", quiet=True)
    grown = train(recipes.load("cifar10-m2", changes), tmp_path / "cut", resume=True, quiet=True)
    assert bits(grown.folder) == bits(whole.folder)


def test_lenet_sees_digits_with_a_channel(tiny, tmp_path):
    changes = ["model.name=lenet5_modern", 'data.augment=["shift"]', "train.batch_size=8", "train.epochs=1"]
    run = train(recipes.load("lenet5-mnist", changes), tmp_path / "run", quiet=True)
    assert run.info["result"]["parameters"] == 61_706


# ---------------------------------------------------------------------------------------------------- contact sheets
def test_a_contact_sheet_has_the_originals_and_what_each_epoch_shows(small_cifar):
    recipe = recipes.load("cifar10-m3")
    sheet = np.asarray(contact_sheet(recipe, samples=3, epochs=2))
    assert sheet.shape == (22 + 3 * (96 + 13 + 8) + 8, 8 + 3 * 104, 3)
    images, _labels, _ = build.load_split(recipe, "train")
    np.testing.assert_array_equal(sheet[22:118:3, 8:104:3], images[0].transpose(1, 2, 0))
    assert (sheet[22:118, 112:208] != sheet[22:118, 8:104]).any()
    again = np.asarray(contact_sheet(recipe, samples=3, epochs=2))
    np.testing.assert_array_equal(again, sheet)
    assert np.asarray(contact_sheet(recipes.load("cifar10-m1"), samples=2)).shape[1] == 8 + 104


def test_the_command_writes_a_png(small_cifar, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(["data", "show", "cifar10-m1", 'data.augment=["mixup", "cutmix"]', "--samples", "4"]) == 0
    assert capsys.readouterr().out == "cifar10-m1-data.png\n"
    with Image.open(tmp_path / "cifar10-m1-data.png") as sheet:
        assert sheet.width == 8 + 8 * 104
    with pytest.raises(RecipeError) as caught:
        write_contact_sheet(recipes.load("cifar10-m1"), tmp_path / "sheet.jpg")
    assert caught.value.message == (
        f"a contact sheet is a PNG file: --out must end in .png; got {str(tmp_path / 'sheet.jpg')!r}."
    )
    assert command(["data", "show", "cifar10-m1", "--samples", "0"]) == 2
    assert "--samples must be an integer >= 1; got 0." in capsys.readouterr().err

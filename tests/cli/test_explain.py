"""`chainrule explain`: what it looks at, the files that it writes, and what it refuses."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule import cli, models, recipes
from chainrule.cli import figures as commands
from chainrule.core.errors import ChainruleWarning
from chainrule.nn.files import save
from chainrule.recipes import build


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Return a function that runs a command line in a folder of its own and returns (code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.run(words)
        return (code, *capsys.readouterr())

    return run


def untrained(folder: str, name: str, *changes: str) -> None:
    """Write a finished run of a recipe whose network has its first weights."""
    recipe = recipes.load(name, changes)
    cr.manual_seed(0)
    save_to = pathlib.Path(folder)
    save_to.mkdir()
    (save_to / "recipe.toml").write_text(recipe.to_toml())
    info = {"state": "finished", "scale": {"mean": 60.0, "std": 80.0}, "classes": list("0123456789")}
    (save_to / "run.json").write_text(json.dumps(info))
    save(save_to / "model.safetensors", build.make_model(recipe).state_dict())


@pytest.fixture
def lenet(tiny, command):
    untrained("lenet", "lenet5-mnist")


@pytest.fixture
def mlp(tiny, command):
    untrained("mlp", "mnist-mlp", "model.sizes=[784, 5, 10]")


def test_list_names_the_figures_and_the_layers_of_a_run(lenet, command):
    code, out, err = command("explain", "--list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "filters " in out
    assert [line.split()[0] for line in lines] == [name for name, _, _ in commands.list_figures()]
    code, more, err = command("explain", "lenet", "--list")
    assert (code, err) == (0, "")
    assert more.startswith(out + "\n")
    layers = more[len(out) + 1 :].splitlines()
    assert layers[0].split(maxsplit=1)[1].startswith("Conv2d(1, 6, kernel_size=5")
    assert len(layers) == 5


def test_figures_of_a_run_become_files(lenet, command):
    assert command("explain", "lenet", "--what", "filters,saliency,filters") == (
        0, "lenet5-mnist-filters.png\nlenet5-mnist-saliency.png\n", "",
    )  # fmt: skip
    with Image.open("lenet5-mnist-filters.png") as image:
        assert image.format == "PNG"


def test_out_names_the_file_or_the_beginning_of_several(lenet, command):
    assert command("explain", "lenet", "--what", "filters", "--out", "made/a.png") == (0, "made/a.png\n", "")
    assert command("explain", "lenet", "--what", "filters,saliency", "--out", "b.png") == (
        0, "b-filters.png\nb-saliency.png\n", "",
    )  # fmt: skip
    assert command("explain", "lenet", "--what", "filters", "--out", "c.svg") == (
        2, "", "error: a figure is a PNG file: --out must end in .png; got 'c.svg'.\n",
    )  # fmt: skip


def test_the_choices_reach_the_figure(lenet, command, monkeypatch):
    seen = []
    monkeypatch.setattr(commands, "draw", lambda name, subject: seen.append(subject) or {})
    words = ("--layer", "3", "--channel", "2", "--sample", "5", "--target", "7", "--seed", "9")
    assert command("explain", "lenet", "--what", "filters", *words) == (0, "", "")
    [subject] = seen
    assert (subject.layer, subject.channel, subject.sample, subject.target, subject.seed) == ("3", 2, 5, 7, 9)
    assert (subject.name, subject.classes, len(subject.pictures)) == ("lenet5-mnist", tuple("0123456789"), 20)
    assert subject.inputs.shape == (20, 1, 28, 28)
    np.testing.assert_allclose(subject.inputs[:, 0], (subject.pictures - 60.0) / 80.0, rtol=1e-6)
    assert subject.facts["data.name"] == "mnist"


def test_what_cannot_be_drawn_is_said_and_the_rest_is_drawn(mlp, command):
    why = (
        "mnist-mlp has no convolution, so it has no feature maps: its layers give out one number per unit. "
        "Try filters or activation-maximisation."
    )
    assert command("explain", "mlp", "--what", "feature-maps") == (1, "", f"error: {why}\n")
    assert command("explain", "mlp", "--what", "feature-maps,filters") == (
        1, "mnist-mlp-filters.png\n", f"error: feature-maps: {why}\n",
    )  # fmt: skip
    assert command("explain", "mlp", "--what", "filters", "--layer", "2") == (
        1,
        "",
        "error: layer '2' is Linear(5, 10), which has no filters to look at: "
        "only a convolution has, or a linear layer that reads the pixels. The network has no convolution.\n",
    )


def test_a_picture_of_ones_own_is_explained(lenet, command):
    page = np.full((90, 70), 240, np.uint8)
    page[20:70, 30:38] = 15
    Image.fromarray(page).save("one.png")
    assert command("explain", "lenet", "--what", "saliency", "--picture", "one.png")[:2] == (
        0, "lenet5-mnist-saliency.png\n",
    )  # fmt: skip
    subject = commands.make_subject("lenet", None, [pathlib.Path("one.png")], 0)
    assert (subject.pictures.shape, subject.labels.tolist()) == ((1, 28, 28), [-1])
    code, out, err = command("explain", "lenet", "--what", "saliency", "--picture", "two.png")
    assert (code, out, err) == (1, "", "error: there is no file two.png; check the name and the folder.\n")


def test_pictures_alone_are_enough_for_some_figures(command):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save("noise.png")
    assert command("explain", "--what", "edges", "--picture", "noise.png") == (0, "noise-edges.png\n", "")
    subject = commands.make_subject(None, None, [pathlib.Path("noise.png")], 0)
    assert (subject.model, subject.pictures.shape) == (None, (1, 40, 50, 3))
    assert command("explain", "--what", "filters", "--picture", "noise.png") == (
        1, "", "error: filters looks at a network: name a run folder, or a network with --weights.\n",
    )  # fmt: skip


def test_pictures_of_two_sizes_are_refused(command):
    Image.new("RGB", (40, 50)).save("a.png")
    Image.new("RGB", (50, 40)).save("b.png")
    assert command("explain", "--what", "edges", "--picture", "a.png", "--picture", "b.png") == (
        1, "", "error: the pictures must have one size; got (40, 50, 3), (50, 40, 3).\n",
    )  # fmt: skip


def test_an_architecture_is_shown_with_the_weights_of_a_file(command):
    cr.manual_seed(5)
    model = models.create("cifar_m2")
    save("m2.safetensors", model.state_dict())
    Image.new("RGB", (60, 40), "teal").save("sea.png")
    subject = commands.make_subject("cifar_m2", "m2.safetensors", [pathlib.Path("sea.png")], 0)
    first, second = (dict(m.named_parameters())["0.weight"].numpy() for m in (subject.model, model))
    np.testing.assert_array_equal(first, second)
    assert not subject.model.training
    assert (subject.pictures.shape, subject.inputs.shape) == ((1, 32, 32, 3), (1, 3, 32, 32))
    np.testing.assert_allclose(subject.inputs[0, :, 0, 0], np.array([0, 128, 128]) / 255, rtol=1e-6)
    words = ("--weights", "m2.safetensors", "--what", "filters", "--picture", "sea.png")
    assert command("explain", "cifar_m2", *words) == (0, "cifar_m2-filters.png\n", "")


def test_an_architecture_without_weights_shows_its_first_ones_and_says_so(command):
    Image.new("RGB", (60, 40), "teal").save("sea.png")
    with pytest.warns(ChainruleWarning) as caught:
        subject = commands.make_subject("cifar_m2", None, [pathlib.Path("sea.png")], 3)
    assert [str(warning.message) for warning in caught] == [
        "cifar_m2 has no --weights: its figures show the weights that a network begins with."
    ]
    cr.manual_seed(3)
    want = dict(models.create("cifar_m2").named_parameters())["0.weight"].numpy()
    np.testing.assert_array_equal(dict(subject.model.named_parameters())["0.weight"].numpy(), want)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere", "--what", "filters"), "'nowhere' is neither a run folder nor an architecture. "
         "A run is made by `chainrule train`."),
        (("resnet8", "--what", "filters"), "'resnet8' is neither a run folder nor an architecture; did you mean "
         "'resnet18'? A run is made by `chainrule train`."),
        (("--what", "filters", "--weights", "a.pt"),
         "--weights needs the name of an architecture, such as squeezenet1_0."),
        (("lenet", "--what", "filters", "--weights", "a.pt"),
         "lenet is a run, which has weights of its own: leave --weights out."),
        (("resnet18", "--what", "filters", "--weights", "imagenet"),
         "--weights imagenet is for squeezenet1_0 and mobilenet_0.25; give the file of weights of resnet18."),
        (("lenet", "--what", "filter"), "there is no figure 'filter'; did you mean 'filters'?"),
        (("lenet", "--what", "saliency", "--target", "eleven"), "--target: no class is named 'eleven'; there are "
         "0, 1, 2, 3, 4, 5, 6, 7, 8, 9."),
    ],
)  # fmt: skip
def test_a_wrong_word_is_refused(lenet, command, words, message):
    assert command("explain", *words) == (2, "", f"error: {message}\n")


def test_without_figures_the_choice_is_shown(lenet, command):
    listed = ", ".join(name for name, _, _ in commands.list_figures())
    message = f"error: --what lists figures with commas between them: {listed}.\n"
    assert command("explain", "lenet") == (2, "", message)
    assert command("explain", "lenet", "--what", ", ") == (2, "", message)


def test_a_sample_that_is_not_there_is_refused(lenet, command):
    assert command("explain", "lenet", "--what", "saliency", "--sample", "20") == (
        1, "", "error: --sample must be from 0 to 19; got 20.\n",
    )  # fmt: skip


def test_the_imagenet_weights_are_shown_as_the_network_uses_them(command, data_folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save("noise.png")
    subject = commands.make_subject("squeezenet1_0", "imagenet", [pathlib.Path("noise.png")], 0)
    assert subject.inputs.shape == (1, 3, 227, 227)
    assert subject.pictures.shape == (1, 227, 227, 3)
    np.testing.assert_allclose(subject.inputs[0, :, 5, 5] + [123, 117, 104], subject.pictures[0, 5, 5], atol=1e-4)
    words = ("--weights", "imagenet", "--what", "filters", "--picture", "noise.png")
    assert command("explain", "squeezenet1_0", *words) == (0, "squeezenet1_0-filters.png\n", "")

"""Evaluation, predictions and the report of a run, from its folder alone."""

from __future__ import annotations

import numpy as np
import pytest
from tests.recipes.tiny import digits

from chainrule.core.errors import DataError, RecipeError
from chainrule.recipes.folder import Run, choose_folder
from chainrule.recipes.results import evaluate, run_report, write_report
from chainrule.recipes.run import train


@pytest.fixture
def run(tiny, tmp_path):
    """Train the tiny recipe, and return its folder read afresh."""
    train(tiny(), tmp_path / "run", quiet=True)
    return Run(tmp_path / "run")


def test_evaluation_is_computed_by_hand(run):
    images, labels, _ = digits(20, 1)
    state = {name: value.numpy().astype(np.float64) for name, value in run.model().state_dict().items()}
    x = (images.reshape(20, 784) - run.scale.mean) / run.scale.std
    hidden = np.maximum(x @ state["0.weight"].T + state["0.bias"], 0)
    logits = hidden @ state["2.weight"].T + state["2.bias"]
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    found = evaluate(run, "test")
    assert found.loss == pytest.approx(-logs[np.arange(20), labels].mean(), rel=1e-5)
    assert found.accuracy == (logits.argmax(1) == labels).mean()
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-5)


def test_the_scale_is_that_of_the_training_samples(run):
    pixels = digits(60, 0)[0].astype(np.float64)
    assert run.scale.mean == pytest.approx(pixels.mean(), rel=1e-12)
    assert run.scale.std == pytest.approx(pixels.std(), rel=1e-12)


def test_the_scale_leaves_out_what_is_held_out(tiny, tmp_path):
    run = train(tiny("data.validation=0.5"), tmp_path / "run", quiet=True)
    assert run.scale.mean != pytest.approx(digits(60, 0)[0].mean(), rel=1e-9)
    assert evaluate(run, "train").samples == evaluate(run, "validation").samples == 30


def test_without_standardising_pixels_become_zero_to_one(tiny, tmp_path):
    run = train(tiny("data.standardize=false"), tmp_path / "run", quiet=True)
    assert (run.scale.mean, run.scale.std) == (0.0, 255.0)


def test_the_report_shows_what_was_measured(run):
    found = evaluate(run)
    shown = run_report(run, found)
    assert (shown.recipe, shown.network, shown.parameters) == ("mnist-mlp", "784-5-10", 3985)
    assert (shown.accuracy, shown.loss, shown.samples) == (found.accuracy, found.loss, 20)
    assert shown.confusion.sum() == 20
    assert np.trace(shown.confusion) == round(20 * found.accuracy)
    assert shown.confusion.sum(axis=1).tolist() == [2] * 10
    assert len(shown.step_losses) == 16
    assert [epoch["epoch"] for epoch in shown.epochs] == [1, 2]
    assert len(shown.mistakes) == 20 - np.trace(shown.confusion)
    assert shown.first_layer_weights.shape == (5, 28, 28)
    assert [state.label for state in shown.states] == list(range(10))
    assert [row.kind for row in shown.layers] == ["Linear(784, 5)", "ReLU()", "Linear(5, 10)"]
    assert shown.settings["optim.lr"] == "0.05"


@pytest.mark.parametrize(
    "changes, label",
    [
        ((), "test set: watched, never used to choose"),
        (("data.validation=0.2",), "validation samples: held out, not used to choose"),
        (("data.validation=0.2", "train.early_stopping=5"), "validation samples: held out, used to choose"),
    ],
)
def test_the_second_curve_says_what_it_is(changes, label, tiny, tmp_path):
    run = train(tiny(*changes), tmp_path / "run", quiet=True)
    assert run_report(run, evaluate(run)).second_label == label
    assert label in (run.folder / "report.html").read_text(encoding="utf-8")


def test_the_report_does_not_change_when_written_again(run):
    before = (run.folder / "report.html").read_bytes()
    assert write_report(Run(run.folder)).read_bytes() == before


def test_the_weights_of_the_first_layer_are_pictures_of_the_input(tiny, tmp_path):
    run = train(tiny("model.sizes=[784, 10]"), tmp_path / "run", quiet=True)
    assert run_report(run, evaluate(run)).first_layer_weights.shape == (10, 28, 28)


def test_splits_that_do_not_exist_are_refused(run):
    with pytest.raises(RecipeError) as caught:
        evaluate(run, "all")
    assert caught.value.message == "split must be one of train, validation, test; got 'all'."


def test_a_damaged_line_of_the_metrics_is_named_and_an_unfinished_one_is_left_out(run):
    path = run.folder / "metrics.jsonl"
    content = path.read_text()
    path.write_text(content + '{"kind": "step", "ste')
    steps, epochs = run.records()
    assert (len(steps), len(epochs)) == (16, 2)
    path.write_text(content.replace('"loss"', "loss", 1))
    with pytest.raises(DataError) as caught:
        run.records()
    assert caught.value.message.startswith(f"{path}, line 1 is damaged: ")


def test_folders_are_chosen_without_touching_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert choose_folder("a", None, resume=False).as_posix() == "runs/a"
    assert choose_folder("a", None, resume=True).as_posix() == "runs/a"
    for name in ("a", "a-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "recipe.toml").touch()
    assert choose_folder("a", None, resume=False).as_posix() == "runs/a-3"
    assert choose_folder("a", None, resume=True).as_posix() == "runs/a-2"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a note.txt").touch()
    assert choose_folder("a", "empty", resume=False).as_posix() == "empty"  # a file of the user's own is no run
    with pytest.raises(RecipeError) as caught:
        choose_folder("a", "runs/a", resume=False)
    assert caught.value.message == (
        "runs/a holds a run already. Continue it with --resume, or choose another folder with --out."
    )

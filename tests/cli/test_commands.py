"""What each command prints, where it prints it, and its exit code."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tests.recipes.tiny import TINY

import chainrule
from chainrule import cli, recipes
from chainrule.recipes.folder import Run

SET = [word for setting in TINY for word in ("--set", setting)]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Run in a folder of its own, in which `runs/` is made."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(capsys):
    """Return a function that runs a command line and returns (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.run(words)
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def trained(tiny, command):
    """Train the tiny recipe into run/."""
    assert command("train", "mnist-mlp", *SET, "--out", "run", "--quiet")[0] == 0


# ---------------------------------------------------------------------------------------------------- train
def test_a_run_keeps_the_precision_it_was_begun_with(tiny, command):
    words = ("train", "mnist-mlp", *SET, "--out", "run", "--quiet")
    assert command(*words, "--precision", "bf16")[0] == 0
    assert Run(pathlib.Path("run")).recipe["train.precision"] == "bf16"
    code, out, err = command(*words, "--resume")
    assert (code, out) == (2, "")
    assert err == (
        "error: run was begun with other settings, so it can't be continued with these:\n"
        "  train.precision: was 'bf16', now 'float32'\n"
        "Repeat the settings it was begun with, or train into another folder with --out.\n"
    )
    code, out, err = command(*words, "--resume", "--precision", "bf16")
    assert (code, err) == (0, "")


def test_an_unknown_precision_is_refused_with_the_choices(tiny, command):
    assert command("train", "mnist-mlp", "--precision", "fp16") == (
        2,
        "",
        "error: train.precision must be one of \"float32\", \"bf16\"; got 'fp16'; did you mean 'bf16'?\n",
    )


def test_train_tells_what_it_does_and_ends_with_the_accuracy(tiny, command, tmp_path):
    code, out, err = command("train", "mnist-mlp", *SET)
    assert code == 0
    assert re.fullmatch(r"accuracy on the 20 test digits: \d+\.\d\d %\n", out)
    lines = err.splitlines()
    assert lines[0] == "mnist-mlp: 784-5-10, 3,985 parameters; 60 training samples; seed 0"
    assert re.match(
        r"epoch 1/2  train_loss \d\.\d{4}  train_accuracy \d\.\d{4}  test_loss \d\.\d{4}  test_accuracy ", lines[1]
    )
    assert re.match(r"epoch 2/2  train_loss ", lines[2])
    assert lines[3:] == ["model   runs/mnist-mlp/model.safetensors", "report  runs/mnist-mlp/report.html"]
    names = {path.name for path in (tmp_path / "runs" / "mnist-mlp").iterdir()}
    assert names == {
        ".lock", "checkpoints", "metrics.jsonl", "model.safetensors", "recipe.toml", "report.html", "run.json",
    }  # fmt: skip


def test_quiet_prints_the_last_line_only(tiny, command):
    code, out, err = command("train", "mnist-mlp", *SET, "--quiet")
    assert (code, err, out.count("\n")) == (0, "", 1)


def test_a_second_run_gets_a_folder_of_its_own(tiny, command, tmp_path):
    for _ in range(3):
        assert command("train", "mnist-mlp", *SET, "-q")[0] == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mnist-mlp", "mnist-mlp-2", "mnist-mlp-3"]


def test_a_chosen_folder_is_never_overwritten(trained, command):
    code, out, err = command("train", "mnist-mlp", *SET, "--out", "run")
    assert (code, out) == (2, "")
    assert err == "error: run holds a run already. Continue it with --resume, or choose another folder with --out.\n"


def test_resume_of_a_finished_run_only_reports(trained, command):
    code, out, err = command("train", "mnist-mlp", *SET, "--out", "run", "--resume")
    assert code == 0
    assert err == "model   run/model.safetensors\nreport  run/report.html\n"
    assert re.fullmatch(r"accuracy on the 20 test digits: \d+\.\d\d %\n", out)


def test_resume_without_a_folder_takes_the_newest_run(tiny, command, tmp_path):
    command("train", "mnist-mlp", *SET, "-q")
    command("train", "mnist-mlp", *SET, "-q")
    (tmp_path / "runs" / "mnist-mlp-2" / "run.json").unlink()  # not finished, as far as the folder says
    code, _, err = command("train", "mnist-mlp", *SET, "--resume")
    assert (code, err.splitlines()[1]) == (0, "continuing after step 16 (epoch 2 of 2)")
    assert (tmp_path / "runs" / "mnist-mlp-2" / "run.json").exists()
    assert not (tmp_path / "runs" / "mnist-mlp-3").exists()


def test_settings_may_follow_one_set_and_seed_and_eager_are_settings(tiny, command, tmp_path):
    code, _, _ = command("train", "--set", *TINY, "mnist-mlp", "--seed", "7", "--eager", "--out", "a", "-q")
    assert code == 0
    written = (tmp_path / "a" / "recipe.toml").read_text()
    assert "seed = 7\n" in written
    assert "compiled = false\n" in written
    info = json.loads((tmp_path / "a" / "run.json").read_text())
    assert info["command"] == (
        "chainrule train mnist-mlp --set 'model.sizes=[784, 5, 10]' --set train.batch_size=8 --set train.epochs=2 "
        "--set train.checkpoint_every=2 --set optim.lr=0.05 --set train.seed=7 --set train.compiled=false --out a"
    )
    assert info["state"] == "finished"
    assert {"chainrule", "python", "numpy"} <= info["sessions"][0]["versions"].keys()
    assert info["sessions"][0]["machine"]["blas_threads"] >= 1


def test_the_seed_changes_the_weights_and_repeats_them(tiny, command, tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        command("train", "mnist-mlp", *SET, "--seed", seed, "--out", name, "-q")
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert weights["a"] == weights["b"] != weights["c"]


@pytest.mark.parametrize(
    "words, wanted",
    [
        (("a", "b"), "one recipe is needed; got 2: a, b."),
        (("a=1",), "one recipe is needed; got only settings: a=1."),
        (("mnist-mlp", "--out", "file.txt"), "file.txt is a file; --out takes the folder of the run."),
    ],
)
def test_wrong_words_have_exit_code_2(words, wanted, command, tmp_path):
    (tmp_path / "file.txt").touch()
    assert command("train", *words) == (2, "", f"error: {wanted}\n")


@pytest.mark.parametrize("words", [("train",), ("train", "mnist-mlp", "--epochs", "3"), ("trian",), ("--nothing",)])
def test_what_the_parser_refuses_has_exit_code_2(words, command):
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+ Try: chainrule( train)? --help\n", err)


# ---------------------------------------------------------------------------------------------------- evaluate
def test_evaluate_prints_one_object_for_programs(trained, command, tmp_path):
    code, out, err = command("evaluate", "run", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert list(found) == ["split", "samples", "loss", "accuracy"]
    assert (found["split"], found["samples"]) == ("test", 20)
    result = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert (found["loss"], found["accuracy"]) == (result["loss"], result["accuracy"])


def test_evaluate_is_what_the_last_epoch_measured(trained, command, tmp_path):
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    found = json.loads(command("evaluate", "run", "--json")[1])
    assert found["loss"] == pytest.approx(last["test_loss"], rel=1e-6)
    assert found["accuracy"] == last["test_accuracy"]


def test_evaluate_for_people(trained, command):
    code, out, _ = command("evaluate", "run", "--split", "train")
    assert code == 0
    assert re.fullmatch(r"train: 60 samples, loss \d\.\d{4}, accuracy \d+\.\d\d %\n", out)


@pytest.mark.parametrize(
    "words, code, wanted",
    [
        (("run", "--split", "tset"), 2, "split must be one of train, validation, test; got 'tset'."),
        (("nowhere",), 2, "nowhere holds no run: it has no recipe.toml. A run folder is made by `chainrule train`, "
                          "by default runs/<recipe>."),
    ],
)  # fmt: skip
def test_evaluate_refuses(words, code, wanted, trained, command):
    assert command("evaluate", *words) == (code, "", f"error: {wanted}\n")


def test_an_unfinished_run_has_no_model(trained, command, tmp_path):
    (tmp_path / "run" / "model.safetensors").unlink()
    code, _, err = command("evaluate", "run")
    assert code == 1
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert err == (
        f"error: run has no model.safetensors: the run is not finished. Continue it with: {info['command']} --resume\n"
    )


# ---------------------------------------------------------------------------------------------------- predict
def test_predict_names_the_class_and_its_probabilities(trained, command, tmp_path):
    page = np.full((90, 70), 255, np.uint8)
    page[15:75, 32:38] = 0
    Image.fromarray(page).save("one.png")
    code, out, err = command("predict", "run", "one.png")
    assert code == 0
    assert err == "one.png: 70 x 90, dark on light: inverted, cropped and centred\n"
    head, *rows = out.splitlines()
    label, share = re.fullmatch(r"one\.png: (\d)  \((\d+\.\d) %\)", head).groups()
    shares = dict(re.fullmatch(r"  (\d)  +(\d+\.\d) %( +#+)?", row).groups()[:2] for row in rows)
    assert list(shares) == list("0123456789")
    assert shares[label] == share == max(shares.values(), key=float)
    assert sum(map(float, shares.values())) == pytest.approx(100, abs=0.5)


def test_predict_json_has_one_object_per_picture(trained, command):
    page = np.zeros((40, 40), np.uint8)
    page[8:32, 18:22] = 255
    Image.fromarray(page).save("a.png")
    Image.fromarray(255 - page).save("b.png")
    code, out, err = command("predict", "run", "a.png", "b.png", "--json")
    assert (code, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert list(first) == ["file", "class", "probabilities", "note"]
    assert (first["file"], second["file"]) == ("a.png", "b.png")
    assert first["probabilities"] == second["probabilities"]
    assert first["class"] == max(first["probabilities"], key=first["probabilities"].get)
    assert sum(first["probabilities"].values()) == pytest.approx(1)


# ---------------------------------------------------------------------------------------------------- the others
def test_report_is_written_again_with_the_same_bytes(trained, command, tmp_path):
    path = tmp_path / "run" / "report.html"
    before = path.read_bytes()
    path.unlink()
    assert command("report", "run") == (0, "run/report.html\n", "")
    assert path.read_bytes() == before
    assert b"784-5-10" in before


def test_recipes_lists_them(command):
    code, out, err = command("recipes")
    assert (code, err) == (0, "")
    lines = [line.split(None, 1) for line in out.splitlines()]
    assert [name for name, _ in lines] == recipes.names()
    assert ["mnist-mlp", "A multilayer perceptron, 784-64-32-10, learns handwritten digits (MNIST)"] in lines


def test_summary_shows_the_network(command):
    code, out, err = command("summary", "mnist-mlp")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("52,650 parameters")
    assert [line.split()[1] for line in out.splitlines()[2:7]] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert max(map(len, out.splitlines())) <= 80
    assert (
        command("summary", "mnist-mlp", "--set", "model.sizes=[784, 10]")[1].splitlines()[-1].startswith("7,850 param")
    )


def test_summary_prints_the_whole_recipe(command, tmp_path):
    code, out, _ = command("summary", "mnist-mlp", "--toml", "--set", "train.epochs=1")
    assert code == 0
    (tmp_path / "mine.toml").write_text(out)
    assert command("summary", "mine.toml", "--toml")[1] == out


def test_doctor_finds_this_machine_healthy(command, monkeypatch):
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    code, out, err = command("doctor")
    assert (code, err) == (0, "")
    rows = {line.split("  ")[1].strip(): line for line in out.splitlines()}
    assert rows["chainrule"] == f"ok  chainrule      {chainrule.__version__}"
    assert rows["mnist"] == "ok  mnist          in the package (9.2 MB), checksums right"
    assert "thread" in rows["BLAS"]
    assert rows["other data"].startswith("--")


def test_doctor_finds_what_is_wrong(command, monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "gone"))
    code, out, _ = command("doctor")
    assert code == 1
    assert f"!!  other data     CHAINRULE_DATA names {tmp_path / 'gone'}, which is no folder\n" in out
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(bytes(3))
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    code, out, _ = command("doctor")
    assert code == 1
    file = tmp_path / "mnist" / "train-images-idx3-ubyte"
    wrong = "is truncated: it has 3 bytes, an IDX file begins with 4 of magic number."
    assert f"!!  mnist files    {file} {wrong}\n" in out


def test_version(command):
    assert command("--version") == (0, f"chainrule {chainrule.__version__}\n", "")


@pytest.mark.parametrize(
    "words", [(), ("train",), ("evaluate",), ("predict",), ("report",), ("recipes",), ("summary",), ("doctor",)]
)
def test_help_teaches_in_80_columns(words, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = command(*words, "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    if words and words[0] not in ("recipes", "doctor"):
        assert "Examples" in out
        assert f"chainrule {words[0]} " in out.split("Examples")[1]
    if not words:
        assert "Exit codes: 0 all went well, 1 the work failed, 2 the command" in out


def test_no_words_show_the_help(command):
    code, out, err = command()
    assert code == 2
    assert "chainrule train mnist-mlp" in out
    assert err == ""


def test_what_only_some_commands_need_is_loaded_by_them():
    program = (
        "import sys; from chainrule import cli; cli.run(['--version']); "
        "print(sorted({'safetensors', 'PIL', 'matplotlib', 'rich.progress'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_output_into_a_closed_pipe_is_no_error(tmp_path):
    program = (
        f"{sys.executable} -c 'import sys; from chainrule import cli; sys.exit(cli.run([\"doctor\"]))' | head -c 1"
    )
    found = subprocess.run(["bash", "-o", "pipefail", "-c", program], capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("o", "")


def test_python_m_chainrule_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "chainrule", "recipes"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mnist-mlp" in done.stdout
    done = subprocess.run([sys.executable, "-m", "chainrule", "trian"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Did you mean 'train'?" in done.stderr

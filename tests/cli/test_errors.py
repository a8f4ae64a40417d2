"""Each mistake and each accident gives one clear message and an exit code that is not 0, and loses nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.recipes.tiny import TINY, digits

from chainrule import cli
from chainrule.data import write_idx
from chainrule.testing import fail_at

SET = [word for setting in TINY for word in ("--set", setting)]
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(capsys):
    """Return a function that runs a command line and returns (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.run(words)
        return (code, *capsys.readouterr())

    return run


def contents(folder):
    """Return path -> content of every file, to see that nothing was lost."""
    return {path: path.read_bytes() for path in pathlib.Path(folder).rglob("*") if path.is_file()}


@pytest.fixture
def files():
    """Write a small MNIST into files/, and return the paths of its four files."""
    os.mkdir("files")
    paths = [pathlib.Path("files", name) for name in NAMES]
    for number, samples in enumerate((60, 20)):
        images, labels, _ = digits(samples, number)
        write_idx(paths[2 * number], images)
        write_idx(paths[2 * number + 1], labels.astype(np.uint8))
    return paths


FOLDER = ("--set", "data.folder=files", "--set", "data.verify=false")


def test_the_files_as_they_are_train(files, command):
    # Guards the tests below: only the damage makes the difference.
    assert command("train", "mnist-mlp", *SET, *FOLDER, "--out", "run", "-q")[0] == 0


# ---------------------------------------------------------------------------------------------------- data
def test_a_truncated_idx_file(files, command):
    files[0].write_bytes(files[0].read_bytes()[:-1000])
    assert command("train", "mnist-mlp", *SET, *FOLDER, "--out", "run") == (
        1,
        "",
        f"error: {files[0]} is truncated: its header promises 60 x 28 x 28 values of uint8, 47040 bytes; "
        "46040 are there. Download or copy it again.\n",
    )
    assert not os.path.exists("run")


def test_a_truncated_compressed_idx_file(files, command):
    path = pathlib.Path("files", NAMES[0] + ".gz")
    write_idx(path, digits(60, 0)[0])
    path.write_bytes(path.read_bytes()[:5000])
    files[0].unlink()
    assert command("train", "mnist-mlp", *SET, *FOLDER, "--out", "run") == (
        1,
        "",
        f"error: {path} is truncated: its compressed stream ends early, after 5000 bytes. Download or copy it again.\n",
    )


def test_a_wrong_checksum(files, command):
    found = hashlib.md5(files[0].read_bytes()).hexdigest()
    assert command("train", "mnist-mlp", *SET, "--set", "data.folder=files", "--out", "run") == (
        1,
        "",
        f"error: {files[0]} is not the published file: the MD5 sum of its content is {found}, "
        "expected 6bbc9ace898e44ae57da46a324031adb. Download it again.\n",
    )
    assert not os.path.exists("run")


def test_a_missing_file(files, command):
    files[1].unlink()
    assert command("train", "mnist-mlp", *SET, *FOLDER, "--out", "run") == (
        1,
        "",
        f"error: files has no {NAMES[1]} (plain, .gz or .xz), nor has mnist/ in it. Put the four official files there, "
        f"{', '.join(NAMES)}, or leave folder= out: MNIST is inside the package.\n",
    )


def test_a_label_out_of_range(files, command):
    labels = digits(60, 0)[1].astype(np.uint8)
    labels[47] = 12
    write_idx(files[1], labels)
    assert command("train", "mnist-mlp", *SET, *FOLDER, "--out", "run") == (
        1,
        "",
        "error: labels must be in [0, 9] for 10 classes; label 12 at index 47 is out of range.\n",
    )
    assert not os.path.exists("run")


# ---------------------------------------------------------------------------------------------------- training
@pytest.mark.parametrize("mode", [(), ("--eager",)], ids=["compiled", "eager"])
def test_a_nan_loss_names_the_module(mode, tiny, command):
    words = ("train", "mnist-mlp", *SET, "--set", "optim.lr=1e25", "--set", "train.checkpoint_every=1", *mode)
    code, out, err = command(*words, "--out", "run", "-q")
    assert (code, out) == (1, "")
    number = r"-?\d\.\d+(e[+-]\d+)?"
    assert re.fullmatch(
        r"error: the loss is nan at step 2 \(epoch 1\)\. It began in 2 \(Linear\), operation matmul: \d+ of "
        r"80 values of its "
        r"output f32\[8,10\] are not finite, first -?inf at \[0, \d\]; its inputs: "
        rf"f32\[8,5\] in \[{number}, {number}\]; f32\[5,10\] in \[{number}, {number}\]\. "
        r"The model is as it was before this step; lower the learning rate, clip the gradient \(max_norm\), "
        r"or check the data for extreme values\.\n",
        err,
    )
    info = json.loads(pathlib.Path("run", "run.json").read_text())
    assert info["state"] == "failed"
    kept = sorted(path.name for path in pathlib.Path("run", "checkpoints").iterdir())
    assert kept == ["step-00000001"]  # all whole steps are there
    lines = [json.loads(line) for line in pathlib.Path("run", "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1]


def test_an_unknown_recipe_key(command):
    assert command("train", "mnist-mlp", "--set", "optim.learning_rate=0.1") == (
        2,
        "",
        "error: unknown recipe key optim.learning_rate. [optim] of sgd has name, lr, momentum, dampening, "
        "weight_decay, "
        "nesterov, decoupled_weight_decay, l1.\n",
    )
    assert command("train", "mnist-mlp", "--set", "optim.momentun=0.9") == (
        2,
        "",
        "error: unknown recipe key optim.momentun; did you mean 'optim.momentum'? [optim] of sgd has name, "
        "lr, momentum, "
        "dampening, weight_decay, nesterov, decoupled_weight_decay, l1.\n",
    )
    assert not os.path.exists("runs")


def test_a_network_that_does_not_take_the_data(tiny, command):
    assert command("train", "mnist-mlp", "--set", "model.sizes=[100, 20, 10]") == (
        1,
        "",
        "error: Linear(100, 20) got (1, 784); its last axis must be 100.\n  (in 0 (Linear))\n",
    )
    assert command("train", "mnist-mlp", "--set", "model.sizes=[784, 20, 11]") == (
        2,
        "",
        "error: the network gives outputs of shape (11,) per sample; mnist has 10 classes, so it must give (10,): "
        "see [model].\n",
    )
    assert not os.path.exists("runs")


NESTED = """
import chainrule as cr
from chainrule import nn

block = nn.Sequential(nn.Linear(8, 4), nn.Sequential(nn.ReLU(), nn.Linear(5, 2)))
network = nn.Sequential(nn.Flatten(), block)
network(cr.ones((3, 2, 4)))
"""


def test_a_shape_mismatch_three_modules_deep(tmp_path):
    (tmp_path / "net.py").write_text(NESTED)
    found = subprocess.run([sys.executable, "net.py"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.partition("chainrule.core.errors.")[2] == (
        "ShapeError: Linear(5, 2) got (3, 4); its last axis must be 5.\n  (net.py:7, in 1.1.1 (Linear))\n"
    )


# ---------------------------------------------------------------------------------------------------- files of a run
@pytest.fixture
def trained(tiny, command):
    """Train the tiny recipe into run/."""
    assert command("train", "mnist-mlp", *SET, "--out", "run", "--quiet")[0] == 0


def test_corrupt_checkpoints(trained, command):
    pathlib.Path("run", "run.json").unlink()
    paths = sorted(pathlib.Path("run", "checkpoints").glob("*/state.safetensors"))
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    content = bytearray(paths[1].read_bytes())
    content[-3] ^= 1
    paths[1].write_bytes(bytes(content))
    before = contents("run")
    code, out, err = command("train", "mnist-mlp", *SET, "--out", "run", "--resume", "-q")
    assert (code, out, err) == (
        1,
        "",
        "error: no checkpoint can be read:\n"
        f"  {paths[1].parent}: the checkpoint is damaged: its content does not match its checksums.\n"
        f"  {paths[0].parent}: the checkpoint is damaged: its content does not match its checksums.\n"
        "Remove the folder to start afresh.\n",
    )
    after = contents("run")
    assert {path: after[path] for path in before} == before


def test_a_corrupt_newest_checkpoint_is_noticed_and_the_one_before_it_taken(trained, command):
    weights = pathlib.Path("run", "model.safetensors").read_bytes()
    pathlib.Path("run", "run.json").unlink()
    path = pathlib.Path("run", "checkpoints", "step-00000016", "state.json")
    path.write_bytes(path.read_bytes()[:50])
    code, _, err = command("train", "mnist-mlp", *SET, "--out", "run", "--resume", "-q")
    assert code == 0
    assert err.startswith(
        "note: a damaged checkpoint was passed over, and the one before it loaded: "
        f"{path.parent}: the checkpoint's state.json is damaged: "
    )
    assert err.count("\n") == 1
    assert pathlib.Path("run", "model.safetensors").read_bytes() == weights


def test_corrupt_weights(trained, command):
    path = pathlib.Path("run", "model.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    for words in (("evaluate", "run"), ("report", "run")):
        assert command(*words) == (1, "", f"error: {path} is damaged: its content does not match its checksum.\n")


def test_a_damaged_run_json_and_recipe(trained, command):
    pathlib.Path("run", "run.json").write_text("{")
    code, out, err = command("evaluate", "run")
    assert (code, out) == (1, "")
    assert err.startswith("error: run/run.json is damaged: ")
    assert err.endswith(". Remove it; --resume writes it again.\n")
    pathlib.Path("run", "recipe.toml").write_text("[train\n")
    code, out, err = command("evaluate", "run")
    assert (code, out) == (2, "")
    assert err.startswith("error: the recipe run/recipe.toml is no TOML file: ")


def test_changed_settings_on_resume(trained, command):
    assert command("train", "mnist-mlp", *SET, "--set", "optim.lr=0.5", "--out", "run", "--resume") == (
        2,
        "",
        "error: run was begun with other settings, so it can't be continued with these:\n"
        "  optim.lr: was 0.05, now 0.5\n"
        "Repeat the settings it was begun with, or train into another folder with --out.\n",
    )


# ---------------------------------------------------------------------------------------------------- the disk
@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 300 kB in memory, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs Linux and root")
    options = ["-t", "tmpfs", "-o", "size=300k", "chainrule-test", str(folder)]
    if subprocess.run([mount, *options], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk, tiny, command):
    whole = command("train", "mnist-mlp", *SET, "--out", "whole", "-q")[1]
    code, out, err = command("train", "mnist-mlp", *SET, "--out", str(small_disk / "run"), "-q")
    assert (code, out) == (1, "")
    settings = " ".join(f"--set '{item}'" if " " in item else f"--set {item}" for item in TINY)
    assert err == (
        "error: the disk is full: No space left on device. What was saved before is whole.\n"
        f"Make room, then continue with:\n  chainrule train mnist-mlp {settings} --out {small_disk / 'run'} --resume\n"
    )
    left = contents(small_disk)
    assert not [path for path in left if path.name.endswith(".tmp")]
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    assert command("train", "mnist-mlp", *SET, "--out", str(small_disk / "run"), "--resume", "-q")[:2] == (0, whole)
    weights = [(folder / "model.safetensors").read_bytes() for folder in (pathlib.Path("whole"), small_disk / "run")]
    assert weights[0] == weights[1]


def test_a_full_disk_without_root(tiny, command):
    with fail_at("write", 12, lasting=True):
        code, out, err = command("train", "mnist-mlp", *SET, "--out", "run", "-q")
    assert (code, out) == (1, "")
    settings = " ".join(f"--set '{item}'" if " " in item else f"--set {item}" for item in TINY)
    assert err == (
        "error: the disk is full (<write number 12>): No space left on device. What was saved before is whole.\n"
        f"Make room, then continue with:\n  chainrule train mnist-mlp {settings} --out run --resume\n"
    )


def test_a_folder_that_can_not_be_written(tiny, command):
    pathlib.Path("file").write_text("")
    assert command("train", "mnist-mlp", *SET, "--out", "file/run") == (
        1,
        "",
        "error: Not a directory (file/run).\n",
    )


# ---------------------------------------------------------------------------------------------------- pictures
def test_a_picture_that_is_no_picture(trained, command):
    pathlib.Path("seven.png").write_text("seven")
    assert command("predict", "run", "seven.png") == (
        1,
        "",
        "error: seven.png is no picture that can be read; give a PNG or JPEG of one digit.\n",
    )
    assert command("predict", "run", "eight.png") == (
        1,
        "",
        "error: there is no file eight.png; check the name and the folder.\n",
    )


# ---------------------------------------------------------------------------------------------------- the form
def test_debug_shows_the_traceback(command):
    code, _, err = command("evaluate", "nowhere", "--debug")
    assert code == 2
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("error: nowhere holds no run: it has no recipe.toml. "
                        "A run folder is made by `chainrule train`, by default runs/<recipe>.\n")  # fmt: skip
    assert "Traceback" not in command("evaluate", "nowhere")[2]


def test_a_bug_says_that_it_is_one(command, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("chainrule.recipes.load", broken)
    assert command("summary", "mnist-mlp") == (
        1,
        "",
        "error: ZeroDivisionError: division by zero. This is a bug in chainrule: please report it with what "
        "--debug shows.\n",
    )


def test_on_a_terminal_messages_are_wrapped_to_its_width(monkeypatch):
    import io

    from chainrule.cli import output

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    with contextlib.redirect_stderr(screen):
        assert cli.run(["evaluate", "nowhere"]) == output.USAGE
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines).startswith("error: nowhere holds no run: it has no recipe.toml.")

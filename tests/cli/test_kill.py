"""The process is killed at random moments and started again: nothing is lost, and not one bit differs in the end.

Real processes, real SIGKILL, real MNIST. A moment is chosen after the new process has begun to train, so that every
kill hits a run: between steps, while a checkpoint is written, while the report is made.
"""

from __future__ import annotations

import json
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest

SETTINGS = ("data.limit=2000", "train.epochs=3", "train.checkpoint_every=7")
VARIANTS = {
    "recipe": (),
    "all at once": (
        "optim.name=adam", "optim.lr=0.001", "model.dropout=0.2", "train.average=0.9", "train.accumulate=2",
        "train.max_norm=1.0", "data.validation=0.2", "schedule.name=plateau", "schedule.patience=0",
        "train.early_stopping=2", "metrics.f1={}",
    ),
    "eager": ("train.compiled=false", "optim.momentum=0.9"),
}  # fmt: skip
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


def command(folder, settings, *more):
    """Return the words that train into a folder."""
    sets = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    start = "import sys; from chainrule import cli; sys.exit(cli.run(sys.argv[1:]))"
    return [sys.executable, "-c", start, "train", "mnist-mlp", *sets, "--out", str(folder), "--quiet", *more]


def bits(folder):
    """Return the weights' bytes, and the records of the run without their times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    return (folder / "model.safetensors").read_bytes(), records


def changes(folder):
    """Return what moves while a process trains."""
    try:
        return (folder / "run.json").stat().st_mtime_ns, (folder / "metrics.jsonl").stat().st_size
    except OSError:
        return None


def killed(words, folder, delay):
    """Start a process, kill it `delay` seconds after it began to train; return whether it was killed before its end."""
    before = changes(folder)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while process.poll() is None and changes(folder) in (before, None) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def kill_many(tmp_path, variant, kills, seed):
    """Kill a run `kills` times, beginning another one when it ended before; each ends like the uninterrupted one."""
    rng = random.Random(seed)
    whole = tmp_path / "whole"
    subprocess.run(command(whole, VARIANTS[variant]), check=True, capture_output=True)
    wanted = bits(whole)
    steps = [record["step"] for record in wanted[1] if record["kind"] == "step"]
    assert steps == list(range(1, steps[-1] + 1))
    done = runs = 0
    while done < kills:
        folder, runs = tmp_path / f"run-{runs}", runs + 1
        for _ in range(6):
            if done < kills and killed(command(folder, VARIANTS[variant], "--resume"), folder, rng.uniform(0, 0.25)):
                done += 1
        end = subprocess.run(
            command(folder, VARIANTS[variant], "--resume"), capture_output=True, text=True, check=False
        )
        assert (end.returncode, end.stderr) == (0, "")
        assert bits(folder) == wanted


def test_five_kills_lose_nothing(tmp_path):
    kill_many(tmp_path, "recipe", 5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_fifty_kills_lose_nothing(variant, tmp_path):
    kill_many(tmp_path, variant, 50, seed=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(number, tmp_path):
    folder = tmp_path / "run"
    words = command(folder, ("train.epochs=200", "train.checkpoint_every=100000"))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not ((folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size > 2000):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    settings = " ".join(
        f"--set {setting}" for setting in (*SETTINGS, "train.epochs=200", "train.checkpoint_every=100000")
    )
    assert err == f"\nstopped; continue with:\n  chainrule train mnist-mlp {settings} --out {folder} --resume\n"
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    checkpoints = sorted(path.name for path in pathlib.Path(folder, "checkpoints").iterdir())
    assert int(re.fullmatch(r"step-(\d+)", checkpoints[-1])[1]) == last  # the step that was running is in it
    assert json.loads((folder / "run.json").read_text())["state"] == "interrupted"

"""A run that is stopped anywhere and continued ends with the same bits, and its metrics.jsonl has each step once."""

from __future__ import annotations

import json
import signal

import pytest

from chainrule.core.errors import CheckpointError, RecipeError
from chainrule.nn.files import load
from chainrule.recipes.folder import Run
from chainrule.recipes.run import train
from chainrule.testing import assert_close
from chainrule.train import JSONLines, Trainer

VARIANTS = {
    "plain": (),
    "eager": ("train.compiled=false",),
    "bf16": ("train.precision=bf16",),
    "bf16 eager": ("train.precision=bf16", "train.compiled=false"),
    "nesterov": ("optim.momentum=0.9", "optim.nesterov=true"),
    "adam": ("optim.name=adam", "optim.lr=0.01"),
    "adamw clipped": ("optim.name=adamw", "train.max_norm=0.5"),
    "rmsprop": ("optim.name=rmsprop", "optim.centered=true", "optim.momentum=0.5", "optim.lr=0.001"),
    "dropout": ("model.dropout=0.3",),
    "average": ("train.average=0.9",),
    "accumulate": ("train.accumulate=3", "train.checkpoint_every=1"),
    "accumulate adam": ("train.accumulate=3", "optim.name=adam", "train.checkpoint_every=1", "model.dropout=0.2"),
    "cosine": ("schedule.name=cosine", "schedule.every=step"),
    "one cycle": ("schedule.name=one_cycle", "schedule.every=step", "schedule.max_lr=0.1", "optim.momentum=0.9"),
    "plateau": (
        "schedule.name=plateau", "schedule.patience=0", "schedule.threshold=0.5", "data.validation=0.2",
        "train.monitor=validation_accuracy", "train.epochs=4",
    ),
    "early stopping": ("train.early_stopping=1", "data.validation=0.2", "train.epochs=8", "optim.lr=1.0"),
    "early stopping and average": (
        "train.early_stopping=1", "train.average=0.8", "data.validation=0.2", "train.epochs=8", "optim.lr=1.0",
    ),
    "metrics": ("metrics.top_k.k=2", "metrics.f1={}", "metrics.recall={average=\"micro\"}"),
}  # fmt: skip


class Crash(BaseException):
    """Power goes out: nothing more is written by the program."""


@pytest.fixture
def crash_at(monkeypatch):
    """Return a function that makes the run die right after the line of a step was written."""
    original = JSONLines.on_steps

    def arm(step):
        def on_steps(self, trainer, records):
            original(self, trainer, [record for record in records if record["step"] <= step])
            if records[-1]["step"] >= step:
                raise Crash

        monkeypatch.setattr(JSONLines, "on_steps", on_steps if step else original)

    return arm


def bits(folder):
    """Return the weights' bytes, and the records of the run without their times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    return (folder / "model.safetensors").read_bytes(), records


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_crash_and_a_resume_change_no_bit(variant, tiny, tmp_path, crash_at):
    recipe = tiny(*VARIANTS[variant])
    whole = train(recipe, tmp_path / "whole", quiet=True)
    weights, records = bits(whole.folder)
    steps = [record["step"] for record in records if record["kind"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    last = steps[-1]
    for step in sorted({2, last // 2 + 1, last}):
        folder = tmp_path / f"crash-{step}"
        crash_at(step)
        with pytest.raises(Crash):
            train(recipe, folder, quiet=True)
        assert not Run(folder).finished
        crash_at(None)
        again = train(recipe, folder, resume=True, quiet=True)
        assert bits(folder) == (weights, records), f"crash after step {step}"
        assert again.info["result"] == {**whole.info["result"], "train_seconds": again.info["result"]["train_seconds"]}


def test_two_variants_really_differ(tiny, tmp_path):
    # Guards the test above: settings that reach the training change its bits.
    seen = {}
    for variant in ("plain", "nesterov", "adam", "dropout", "average", "accumulate", "cosine"):
        seen[variant] = bits(train(tiny(*VARIANTS[variant]), tmp_path / variant, quiet=True).folder)[0]
    assert len(set(seen.values())) == len(seen)


def test_eager_and_compiled_runs_agree(tiny, tmp_path):
    folders = [
        train(tiny(*options), tmp_path / str(number), quiet=True).folder
        for number, options in enumerate([(), ("train.compiled=false",)])
    ]
    weights = [load(folder / "model.safetensors") for folder in folders]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[1].items():
        assert_close(weights[0][name], value, rtol=1e-3, atol=1e-5)
    compiled, eager = (bits(folder)[1] for folder in folders)
    assert [list(record) for record in compiled] == [list(record) for record in eager]
    for got, want in zip(compiled, eager, strict=True):
        for key, value in want.items():
            assert got[key] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value), key


def test_early_stopping_stops_and_keeps_the_best_weights(tiny, tmp_path):
    run = train(tiny(*VARIANTS["early stopping"]), tmp_path / "run", quiet=True)
    _, epochs = run.records()
    losses = [epoch["validation_loss"] for epoch in epochs]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert run.info["result"]["epochs"] == len(losses) == best + 2 < 8
    from chainrule.recipes.results import evaluate

    assert evaluate(run, "validation").loss == pytest.approx(losses[best], abs=1e-6)
    assert run.info["result"]["stopped_early"].startswith("validation_loss has not improved for 1 epochs; best ")


def test_a_signal_ends_the_run_after_a_whole_step_with_a_checkpoint(tiny, tmp_path, monkeypatch):
    recipe = tiny("train.checkpoint_every=1000")
    weights, records = bits(train(recipe, tmp_path / "whole", quiet=True).folder)
    original, told = JSONLines.on_steps, []

    def on_steps(self, trainer, some):
        original(self, trainer, some)
        told.append(some[-1]["step"])
        if told[-1] in (3, 4, 5, 6, 7):  # the block in which the fifth step may be
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(JSONLines, "on_steps", on_steps)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "stopped", quiet=True)
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / "stopped" / "checkpoints" / f"step-{told[-1]:08d}").is_dir()
    assert told[-1] < 8  # before the epoch's end, where a checkpoint is made anyway
    assert Run(tmp_path / "stopped").info["state"] == "interrupted"
    monkeypatch.setattr(JSONLines, "on_steps", original)
    train(recipe, tmp_path / "stopped", resume=True, quiet=True)
    assert bits(tmp_path / "stopped") == (weights, records)


def test_a_second_signal_ends_at_once(tiny, tmp_path, monkeypatch):
    def on_steps(self, trainer, records):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second signal did not interrupt")

    monkeypatch.setattr(JSONLines, "on_steps", on_steps)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "run", quiet=True)


def test_more_epochs_continue_as_if_they_had_been_wanted_at_once(tiny, tmp_path):
    whole = bits(train(tiny("train.epochs=4"), tmp_path / "whole", quiet=True).folder)
    train(tiny("train.epochs=2"), tmp_path / "grown", quiet=True)
    run = train(tiny("train.epochs=4"), tmp_path / "grown", resume=True, quiet=True)
    assert bits(run.folder) == whole
    assert Run(run.folder).recipe["train.epochs"] == 4


def test_more_epochs_are_refused_where_the_schedule_was_as_long_as_the_run(tiny, tmp_path):
    train(tiny("schedule.name=cosine"), tmp_path / "run", quiet=True)
    with pytest.raises(RecipeError) as caught:
        train(tiny("schedule.name=cosine", "train.epochs=3"), tmp_path / "run", resume=True, quiet=True)
    assert caught.value.message == (
        f"{tmp_path / 'run'} was begun with other settings, so it can't be continued with these:\n"
        "  train.epochs: was 2, now 3\n"
        "Repeat the settings it was begun with, or train into another folder with --out."
    )
    fixed = ("schedule.name=cosine", "schedule.T_max=2")
    train(tiny(*fixed), tmp_path / "fixed", quiet=True)
    assert (
        train(tiny(*fixed, "train.epochs=3"), tmp_path / "fixed", resume=True, quiet=True).info["result"]["epochs"] == 3
    )


def test_changed_settings_are_refused_and_listed(tiny, tmp_path, crash_at):
    crash_at(9)
    with pytest.raises(Crash):
        train(tiny(), tmp_path / "run", quiet=True)
    crash_at(None)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(RecipeError) as caught:
        train(tiny("optim.name=adam", "train.seed=3"), tmp_path / "run", resume=True, quiet=True)
    assert caught.value.message == (
        f"{tmp_path / 'run'} was begun with other settings, so it can't be continued with these:\n"
        "  optim.name: was 'sgd', now 'adam'\n"
        "  train.seed: was 0, now 3\n"
        "Repeat the settings it was begun with, or train into another folder with --out."
    )
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_how_often_checkpoints_are_made_may_change(tiny, tmp_path, crash_at):
    crash_at(9)
    with pytest.raises(Crash):
        train(tiny(), tmp_path / "run", quiet=True)
    crash_at(None)
    train(tiny("train.checkpoint_every=5"), tmp_path / "run", resume=True, quiet=True)
    assert bits(tmp_path / "run") == bits(train(tiny(), tmp_path / "whole", quiet=True).folder)


def test_a_finished_run_is_only_reported(tiny, tmp_path, monkeypatch):
    train(tiny(), tmp_path / "run", quiet=True)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    monkeypatch.setattr(Trainer, "fit", lambda *a, **k: pytest.fail("trained again"))
    run = train(tiny(), tmp_path / "run", resume=True, quiet=True)
    assert run.finished
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_without_a_checkpoint_it_starts_afresh(tiny, tmp_path, crash_at):
    crash_at(1)
    with pytest.raises(Crash):
        train(tiny(), tmp_path / "run", quiet=True)
    crash_at(None)
    assert not (tmp_path / "run" / "checkpoints").exists()
    said = []
    train(tiny(), tmp_path / "run", resume=True, quiet=True, say=said.append)
    assert said == [
        "mnist-mlp: 784-5-10, 3,985 parameters; 60 training samples; seed 0",
        "no checkpoint yet: starting afresh",
    ]
    assert bits(tmp_path / "run") == bits(train(tiny(), tmp_path / "whole", quiet=True).folder)


def test_a_damaged_newest_checkpoint_is_passed_over(tiny, tmp_path, crash_at):
    crash_at(9)
    with pytest.raises(Crash):
        train(tiny(), tmp_path / "run", quiet=True)
    crash_at(None)
    newest = tmp_path / "run" / "checkpoints" / "step-00000008" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-7])
    with pytest.warns(match="a damaged checkpoint was passed over, and the one before it loaded"):
        train(tiny(), tmp_path / "run", resume=True, quiet=True)
    assert bits(tmp_path / "run") == bits(train(tiny(), tmp_path / "whole", quiet=True).folder)


def test_only_damaged_checkpoints_are_an_error_and_nothing_is_lost(tiny, tmp_path, crash_at):
    crash_at(9)
    with pytest.raises(Crash):
        train(tiny(), tmp_path / "run", quiet=True)
    crash_at(None)
    for file in (tmp_path / "run" / "checkpoints").glob("*/state.json"):
        file.write_text(file.read_text().replace('"step": ', '"step": 1'))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError) as caught:
        train(tiny(), tmp_path / "run", resume=True, quiet=True)
    checkpoints = tmp_path / "run" / "checkpoints"
    assert caught.value.message == (
        "no checkpoint can be read:\n"
        f"  {checkpoints / 'step-00000008'}: the checkpoint is damaged: its content does not match its checksums.\n"
        f"  {checkpoints / 'step-00000006'}: the checkpoint is damaged: its content does not match its checksums.\n"
        "Remove the folder to start afresh."
    )
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {p: c for p, c in after.items() if p.name != "run.json"} == {
        p: c for p, c in before.items() if p.name != "run.json"
    }


def test_other_threads_or_versions_are_noticed(tiny, tmp_path, crash_at):
    crash_at(9)
    with pytest.raises(Crash):
        train(tiny(), tmp_path / "run", quiet=True)
    crash_at(None)
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text())
    info["sessions"][-1]["machine"]["blas_threads"] = 77
    path.write_text(json.dumps(info))
    with pytest.warns(
        match=r"begun elsewhere or otherwise \(BLAS threads 77, now BLAS threads \d+\), so the last bits"
    ):
        run = train(tiny(), tmp_path / "run", resume=True, quiet=True)
    assert len(run.info["sessions"]) == 2


def test_two_processes_do_not_train_into_one_folder(tiny, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RecipeError) as caught:
            train(tiny(), tmp_path / "run", quiet=True)
    assert caught.value.message == (
        f"another process is training into {tmp_path / 'run'}; choose another folder with --out."
    )

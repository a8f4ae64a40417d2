"""The n-th write, fsync or rename of a whole run fails, for every n: nothing half-written is loaded, nothing lost."""

from __future__ import annotations

import contextlib
import json

import pytest

from chainrule.recipes.folder import Run, holds_run
from chainrule.recipes.run import train
from chainrule.testing import fail_at
from chainrule.train import Checkpoints

SETTINGS = ("train.compiled=false", "train.average=0.9", "optim.momentum=0.9")


def bits(folder):
    """Return the weights' bytes, and the records of the run without their times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    return (folder / "model.safetensors").read_bytes(), records


def check_what_is_left(folder):
    """Everything under its final name is whole, and the newest checkpoint loads."""
    if not holds_run(folder):
        return
    run = Run(folder)  # recipe.toml and run.json are whole where they exist
    run.records()  # and so is each finished line of metrics.jsonl
    checkpoints = Checkpoints(folder / "checkpoints")
    state = checkpoints.load()  # a notice about a damaged one would be a warning, and so an error
    steps = checkpoints.steps()
    assert (state is None) == (not steps)
    if steps:
        assert state["step"] == steps[-1]
        for step in steps:
            checkpoints._read(checkpoints.path(step))
    if run.weights.exists():
        run.model()


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", ["write", "fsync", "rename"])
def test_every_place_where_the_disk_can_fail(kind, lasting, tiny, tmp_path):
    recipe = tiny(*SETTINGS)
    whole = bits(train(recipe, tmp_path / "whole", quiet=True).folder)
    n, fired = 0, True
    while fired:
        n += 1
        folder = tmp_path / f"run-{n}"
        with fail_at(kind, n, lasting=lasting) as fault, contextlib.suppress(OSError):
            train(recipe, folder, quiet=True)
        fired = fault.fired
        check_what_is_left(folder)
        run = train(recipe, folder, resume=True, quiet=True)
        assert run.finished
        assert bits(folder) == whole, f"{kind} {n}"
        left = [path.name for path in folder.rglob("*") if path.name.endswith(".tmp")]
        assert left == [], f"{kind} {n} left {left}"
    assert n > {"write": 20, "fsync": 30, "rename": 8}[kind]


def test_a_failed_save_of_a_finished_run_keeps_the_old_files(tiny, tmp_path):
    from chainrule.recipes.results import write_report

    run = train(tiny("train.compiled=false"), tmp_path / "run", quiet=True)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    for kind in ("write", "fsync", "rename"):
        with fail_at(kind, 1), pytest.raises(OSError):
            write_report(run)
        assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before

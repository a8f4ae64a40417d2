"""Checkpoints: made whole or not at all, kept few, and the newest whole one is found."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule.core.errors import CheckpointError
from chainrule.testing import fail_at
from chainrule.train import Checkpoints


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_are_kept_and_the_newest_is_loaded(tmp_path):
    saved = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert (saved.steps(), saved.load()) == ([], None)
    for step in (5, 10, 100_000_000, 15):
        saved.save({"step": step, "w": cr.ones(3) * step}, step)
    assert saved.steps() == [10, 15]  # a later one than the newest can only be damaged: see load
    assert saved.load()["w"].tolist() == [15.0, 15.0, 15.0]
    assert names(tmp_path / "checkpoints" / "step-00000015") == ["state.json", "state.safetensors"]


def test_a_step_is_saved_once(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save({"value": 1}, 3)
    saved.save({"value": 2}, 3)
    assert saved.load() == {"value": 1}


def test_a_damaged_one_of_the_same_step_is_replaced(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save({"value": 1}, 3)
    (tmp_path / "step-00000003" / "state.json").write_text("{")
    saved.save({"value": 2}, 3)
    assert saved.load() == {"value": 2}


def test_a_damaged_newest_is_passed_over_with_a_notice(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save({"value": 1}, 1)
    saved.save({"value": 2}, 2)
    (tmp_path / "step-00000002" / "state.safetensors").unlink()
    with pytest.warns() as caught:
        assert saved.load() == {"value": 1}
    assert [str(w.message) for w in caught] == [
        "a damaged checkpoint was passed over, and the one before it loaded: "
        f"{tmp_path / 'step-00000002'}: the checkpoint's state.safetensors can't be read: No such file or directory."
    ]


def test_nothing_but_damaged_ones_is_an_error(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save({"value": 1}, 1)
    (tmp_path / "step-00000001" / "state.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        saved.load()
    assert caught.value.message == (
        "no checkpoint can be read:\n"
        f"  {tmp_path / 'step-00000001'}: the checkpoint's state.json can't be read: No such file or directory.\n"
        "Remove the folder to start afresh."
    )


def test_a_failed_save_leaves_the_old_ones_and_nothing_half_written(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save({"value": 1}, 1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for kind, count in (("write", 2), ("fsync", 3), ("rename", 1)):
        for n in range(1, count + 1):
            with fail_at(kind, n), pytest.raises(OSError):
                saved.save({"value": 2}, 2)
            assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
            assert saved.steps() == [1]
    saved.save({"value": 2}, 2)
    assert saved.load() == {"value": 2}


def test_leftovers_of_a_killed_save_are_never_loaded_and_are_cleared_away(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save({"value": 1}, 1)
    (tmp_path / ".step-00000002.x7.tmp").mkdir()
    (tmp_path / ".step-00000002.x7.tmp" / "state.json").write_text("half")
    (tmp_path / "notes.txt").write_text("a user's own file")
    assert saved.load() == {"value": 1}
    saved.save({"value": 3}, 3)
    assert names(tmp_path) == ["notes.txt", "step-00000001", "step-00000003"]


def test_keep_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError) as caught:
        Checkpoints(tmp_path, keep=0)
    assert str(caught.value) == "Checkpoints.keep must be an int >= 1; got 0."

"""Checkpoints: the whole state of a run in a folder of its own, made whole or not at all.

`checkpoints/step-00000938/` holds `state.safetensors` and `state.json`. The folder is written beside under another
name, flushed to the disk and renamed; old ones are removed only after that. Reading starts at the newest and falls back
to the one before where a file is damaged.
"""

from __future__ import annotations

import pathlib
import re
import shutil
from typing import Any

from chainrule.core.errors import CheckpointError, notice
from chainrule.core.files import PathLike, atomic_write_folder
from chainrule.train.state import pack, unpack

__all__ = ["Checkpoints"]

_NAME = re.compile(r"step-(\d{8,})")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they live; made at the first save.
        keep: how many to keep, >= 1; default 2.

    Raises:
        ValueError: keep below 1.

    Example:
        >>> import tempfile
        >>> saved = Checkpoints(tempfile.mkdtemp())
        >>> saved.save({"step": 5}, step=5)
        >>> saved.load()["step"]
        5
    """

    def __init__(self, folder: PathLike, keep: int = 2):
        if keep < 1:
            raise ValueError(f"Checkpoints.keep must be an int >= 1; got {keep}.")
        self.folder = pathlib.Path(folder)
        self.keep = keep

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> pathlib.Path:
        """Return the folder of the checkpoint after `step` updates."""
        return self.folder / f"step-{step:08d}"

    def save(self, state: dict[str, Any], step: int) -> None:
        """Save the state after `step` updates; an existing checkpoint of that step stays if it is whole.

        Args:
            state: nested state, see `chainrule.train.state.pack`.
            step: number of updates so far.

        Raises:
            TypeError: the step is no integer, as when the two arguments are swapped.
            OSError: the disk is full or not writable; older checkpoints are untouched.
        """
        if isinstance(step, bool) or not isinstance(step, int) or not isinstance(state, dict):
            given = f"{type(state).__name__} and {type(step).__name__}"
            raise TypeError(f"Checkpoints.save takes a dict of state and an int, the step; got {given}.")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(step)
        if path.exists():
            try:
                self._read(path)
                return
            except CheckpointError:
                shutil.rmtree(path)
        atomic_write_folder(path, pack(state))
        self._clean(step)

    def _clean(self, newest: int) -> None:
        """Remove old checkpoints, and what interrupted saves left behind."""
        keep = [step for step in self.steps() if step <= newest][-self.keep :]  # later ones are damaged: see load
        for step in self.steps():
            if step not in keep:
                shutil.rmtree(self.path(step), ignore_errors=True)
        for path in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def load(self) -> dict[str, Any] | None:
        """Return the newest whole state, or None where there is none.

        A damaged checkpoint is passed over with a notice.

        Raises:
            CheckpointError: there are checkpoints, and all are damaged.
        """
        problems = []
        for step in reversed(self.steps()):
            try:
                state = self._read(self.path(step))
            except CheckpointError as error:
                problems.append(f"{self.path(step)}: {error.message}")
                continue
            for problem in problems:
                notice(f"a damaged checkpoint was passed over, and the one before it loaded: {problem}", once=False)
            return state
        if problems:
            raise CheckpointError(
                "no checkpoint can be read:\n  " + "\n  ".join(problems) + "\nRemove the folder to start afresh."
            )
        return None

    def _read(self, path: pathlib.Path) -> dict[str, Any]:
        files = {}
        for name in ("state.safetensors", "state.json"):
            try:
                files[name] = (path / name).read_bytes()
            except OSError as error:
                raise CheckpointError(f"the checkpoint's {name} can't be read: {error.strerror}.") from None
        return unpack(files)

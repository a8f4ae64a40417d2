"""The run folder: what a training run leaves behind, and how it is read again.

    recipe.toml          the whole recipe, every default written out
    run.json             command, versions, machine, times, state, final numbers
    metrics.jsonl        one line per step and per epoch
    checkpoints/         the whole state of the run, twice
    model.safetensors    the trained weights
    report.html          the run to look at

Each file is replaced whole or not at all; `recipe.toml` is the first to exist, and `run.json` says "finished" last.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from chainrule.core.errors import CheckpointError, DataError, RecipeError
from chainrule.core.files import atomic_write
from chainrule.nn.files import load as load_tensors
from chainrule.recipes.build import make_model, takes_channels
from chainrule.recipes.recipe import Recipe, load
from chainrule.recipes.scaling import Scale

__all__ = ["Run", "choose_folder", "holds_run"]

FILES = ("recipe.toml", "run.json", "metrics.jsonl", "checkpoints", "model.safetensors", "report.html")


class Run:
    """A run folder, finished or not.

    Args:
        folder: the folder; it must hold a recipe.toml.

    Attributes:
        folder: the folder.
        recipe: the recipe of the run.
        info: what run.json says; empty where there is none yet.

    Raises:
        RecipeError: the folder holds no run, or its recipe is damaged.
        CheckpointError: run.json is damaged.

    Example:
        >>> import pathlib, tempfile
        >>> from chainrule import recipes
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "recipe.toml").write_text(recipes.load("mnist-mlp").to_toml())
        >>> Run(folder).recipe["train.epochs"], Run(folder).finished
        (12, False)
    """

    def __init__(self, folder: str | pathlib.Path):
        self.folder = pathlib.Path(folder)
        path = self.folder / "recipe.toml"
        if not path.is_file():
            raise RecipeError(
                f"{self.folder} holds no run: it has no recipe.toml. "
                "A run folder is made by `chainrule train`, by default runs/<recipe>."
            )
        self.recipe: Recipe = load(path)
        self.info: dict[str, Any] = self._read_info()

    def _read_info(self) -> dict[str, Any]:
        path = self.folder / "run.json"
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}. Remove it; --resume writes it again.") from None

    def write_info(self) -> None:
        """Write `info` to run.json.

        Raises:
            OSError: it can't be written; the old file is untouched.
        """
        atomic_write(self.folder / "run.json", json.dumps(self.info, indent=1) + "\n")

    @property
    def finished(self) -> bool:
        """Whether the run went to its end and its model was saved."""
        return self.info.get("state") == "finished" and self.weights.is_file()

    @property
    def weights(self) -> pathlib.Path:
        """The file of the trained weights."""
        return self.folder / "model.safetensors"

    @property
    def resume_command(self) -> str:
        """The command that continues the run."""
        command = self.info.get("command", f"chainrule train {self.recipe.name}")
        words = [command] if "--out" in command else [command, f"--out {_quoted(str(self.folder))}"]
        return " ".join(words if "--resume" in command else [*words, "--resume"])

    def model(self) -> Any:
        """Return the trained network, in eval mode.

        Raises:
            CheckpointError: there are no weights yet, or the file is damaged.
            StateDictError: the weights are those of another network.
        """
        if not self.weights.is_file():
            raise CheckpointError(
                f"{self.folder} has no model.safetensors: the run is not finished. "
                f"Continue it with: {self.resume_command}"
            )
        from chainrule.ops.random import default_generator

        state = load_tensors(self.weights)
        numbers = default_generator.state_dict()
        model = make_model(self.recipe)  # its first weights are replaced, so the generator goes back to where it was
        default_generator.load_state_dict(numbers)
        model.load_state_dict(state)
        return model.eval()

    @property
    def scale(self) -> Scale:
        """How pixels become the network's input, as the run computed it from its training samples.

        Raises:
            CheckpointError: run.json does not say.
        """
        try:
            return Scale.of(self.info["scale"], takes_channels(self.recipe))
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f"{self.folder / 'run.json'} says nothing of the scale of the pixels.") from None

    def records(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return what metrics.jsonl holds: the records of the steps and those of the epochs.

        Raises:
            DataError: a line is damaged, other than an unfinished last one.
        """
        path = self.folder / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        found: dict[str, list[dict[str, Any]]] = {"step": [], "epoch": []}
        for number, line in enumerate(lines[:-1], 1):  # what follows the last line break was never finished
            try:
                record = json.loads(line)
                found[record.pop("kind")].append(record)
            except (ValueError, KeyError, AttributeError) as error:
                raise DataError(f"{path}, line {number} is damaged: {error}.") from None
        return found["step"], found["epoch"]


def holds_run(folder: pathlib.Path) -> bool:
    """Return whether a folder holds anything that a run writes.

    Args:
        folder: the folder; it need not exist.
    """
    return any((folder / name).exists() for name in FILES)


def choose_folder(name: str, out: str | pathlib.Path | None, resume: bool) -> pathlib.Path:
    """Return the folder of a run.

    Args:
        name: name of the recipe.
        out: the folder that the user wants, or None for runs/<name>, or runs/<name>-2, ... where that is taken.
        resume: whether a run in the folder is to be continued; without `out`, the newest of runs/<name>...

    Raises:
        RecipeError: `out` holds a run, and it is not to be resumed.

    Example:
        >>> choose_folder("mnist-mlp", None, resume=False).as_posix()
        'runs/mnist-mlp'
    """
    if out is not None:
        folder = pathlib.Path(out)
        if folder.exists() and not folder.is_dir():
            raise RecipeError(f"{folder} is a file; --out takes the folder of the run.")
        if holds_run(folder) and not resume:
            raise RecipeError(
                f"{folder} holds a run already. Continue it with --resume, or choose another folder with --out."
            )
        return folder
    number, folder, newest = 1, pathlib.Path("runs") / name, None
    while holds_run(folder):
        number, newest = number + 1, folder
        folder = pathlib.Path("runs") / f"{name}-{number}"
    return newest if resume and newest is not None else folder


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)

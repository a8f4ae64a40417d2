"""Training a recipe into a run folder, so that it can be stopped or killed at any moment and continued bit for bit.

    load data -> build -> newest checkpoint, if any -> fit -> weights -> evaluation -> report -> "finished"

Whatever happens on the way, running the same command with `--resume` ends with the same weights: steps are repeated
from the newest checkpoint, and everything after the last step is done again.
"""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

from chainrule.core.errors import RecipeError, notice
from chainrule.core.files import atomic_write
from chainrule.nn.files import save as save_tensors
from chainrule.recipes import build, machine
from chainrule.recipes.folder import Run, holds_run
from chainrule.recipes.recipe import Recipe
from chainrule.recipes.schema import LENGTH, SCHEDULES

__all__ = ["train"]

FREE = ("train.checkpoint_every",)  # settings that may change on the way: they don't touch a single bit


def train(
    recipe: Recipe,
    folder: str | pathlib.Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    command: str = "",
    say: Callable[[str], Any] = lambda text: None,
) -> Run:
    """Train a recipe into a folder; with `resume`, continue what is there.

    Args:
        recipe: the recipe.
        folder: the run folder, made if need be.
        resume: start afresh where the folder has no checkpoint, continue where it has, only return the run where it is
            finished; default False, the folder must hold no run.
        quiet: show no progress; default False.
        command: what run.json and the report say repeats the run; default from the recipe's name.
        say: gets a line of text at the start and after a resume; default says nothing.

    Returns:
        The finished run.

    Raises:
        RecipeError: the folder holds a run of other settings; each is listed.
        CheckpointError: there are checkpoints, and all are damaged.
        DataError, NonFiniteError, ShapeError, OSError: what went wrong; what was saved before stays.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, after a whole step and with a checkpoint.

    Example:
        >>> import tempfile
        >>> from chainrule import recipes
        >>> recipe = recipes.load("mnist-mlp", ["data.limit=200", "train.epochs=1", "model.sizes=[784, 10]"])
        >>> run = train(recipe, tempfile.mkdtemp(), quiet=True)
        >>> run.finished, run.info["result"]["samples"]
        (True, 10000)
    """
    folder = pathlib.Path(folder)
    before = None
    if holds_run(folder):
        if not resume:
            raise RecipeError(f"{folder} holds a run already; resume it, or choose another folder.")
        before = Run(folder)
        _check_same(before, recipe)
        if before.finished and not _grows(before, recipe):
            return before
    data = build.load_data(recipe)
    session = _Session(recipe, folder, data, quiet)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        run = _begin(recipe, folder, data, before, command or f"chainrule train {recipe.name}")
        step = session.restore()
        _tell(say, recipe, session, data, step, resume)
        try:
            session.fit()
        except BaseException as error:
            _note_end(run, error)
            raise
        finish(run, session)
    return run


class _Session:
    """Everything that one process needs to train: model, trainer, loader, checkpoints."""

    def __init__(self, recipe: Recipe, folder: pathlib.Path, data: build.Data, quiet: bool):
        from chainrule.ops.random import manual_seed
        from chainrule.train import Checkpoints, JSONLines, Progress

        self.recipe, self.data = recipe, data
        manual_seed(recipe["train.seed"])
        self.model = build.make_model(recipe, trained=True)
        build.check_fit(recipe, self.model, data)
        self.checkpoints = Checkpoints(folder / "checkpoints")
        callbacks = (JSONLines(folder / "metrics.jsonl"), Progress(quiet=quiet))
        self.trainer, self.loader = build.make_trainer(
            recipe, self.model, data, self.checkpoints, callbacks, folder / "tensorboard"
        )

    def restore(self) -> int:
        """Continue from the newest whole checkpoint; return its step, 0 where there is none."""
        state = self.checkpoints.load()
        if state is not None:
            self.trainer.load_state_dict(state, self.loader)
        return self.trainer.step

    def fit(self) -> None:
        """Train to the end; Ctrl-C and SIGTERM end the present step, save and raise KeyboardInterrupt."""
        from chainrule.train.running import ends_after_a_step

        watched = {self.data.second_name: build.evaluation_loader(self.data.second)}
        with ends_after_a_step(self.trainer, (signal.SIGINT, signal.SIGTERM)):
            self.trainer.fit(self.loader, self.recipe["train.epochs"], watched)

    def final_weights(self) -> dict[str, Any]:
        """Return the weights that the run is for: the best ones, the averaged ones, or the last ones."""
        from chainrule.train import EarlyStopping

        restored = any(isinstance(callback, EarlyStopping) and callback.weights for callback in self.trainer.callbacks)
        with contextlib.nullcontext() if restored else self.trainer.averaged():
            return self.model.state_dict()


def _begin(recipe: Recipe, folder: pathlib.Path, data: build.Data, before: Run | None, command: str) -> Run:
    """Write recipe.toml and run.json; compare the machine with that of the run's last session."""
    if before is None or before.recipe != recipe:
        atomic_write(folder / "recipe.toml", recipe.to_toml())
    run = Run(folder)
    session = {"started": _now(), "command": command, "versions": machine.versions(), "machine": machine.describe()}
    sessions = run.info.get("sessions", [])
    if sessions:
        _compare(sessions[-1], session)
    run.info = {
        "recipe": recipe.name,
        "state": "running",
        "command": run.info.get("command", command.replace(" --resume", "")),
        "seed": recipe["train.seed"],
        "started": run.info.get("started", session["started"]),
        "scale": data.scale.facts(),
        "classes": list(data.classes),
        "second": data.second_name,
        "sessions": [*sessions, session],
    }
    run.write_info()
    return run


def _compare(last: dict[str, Any], now: dict[str, Any]) -> None:
    """Say what differs from the run's last session and may change the last bits."""
    pairs = [(f"BLAS threads {last['machine']['blas_threads']}", f"BLAS threads {now['machine']['blas_threads']}")]
    pairs += [(last["machine"]["blas"], now["machine"]["blas"])]
    pairs += [
        (f"{name} {last['versions'].get(name)}", f"{name} {now['versions'][name]}") for name in ("chainrule", "numpy")
    ]
    changed = [f"{was}, now {is_now}" for was, is_now in pairs if was != is_now]
    if changed:
        notice(
            f"the run was begun elsewhere or otherwise ({'; '.join(changed)}), so the last bits of its weights "
            "may differ from those of an uninterrupted run.",
            once=False,
        )


def finish(run: Run, session: _Session) -> None:
    """Save the weights, evaluate them as they were saved, write the report, and say that the run is finished.

    Args:
        run: the run folder.
        session: the trained model.
    """
    from chainrule.recipes.results import evaluate, write_report

    save_tensors(run.weights, session.final_weights())
    found = evaluate(run, "test")
    _, epochs = run.records()
    run.info["result"] = {
        "samples": found.samples,
        "loss": found.loss,
        "accuracy": found.accuracy,
        "epochs": session.trainer.epoch,
        "steps": session.trainer.step,
        "parameters": sum(p.size for p in session.model.parameters()),
        "train_seconds": round(sum(epoch["seconds"] for epoch in epochs), 3),
        "stopped_early": session.trainer.stop_reason or "",
    }
    run.info["finished"] = _now()
    write_report(run, found)
    run.info["state"] = "finished"
    run.write_info()


def _note_end(run: Run, error: BaseException) -> None:
    """Note in run.json how the session ended, if the disk lets us; what it says decides nothing."""
    run.info["state"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    with contextlib.suppress(OSError):
        run.write_info()


def _tell(
    say: Callable[[str], Any], recipe: Recipe, session: _Session, data: build.Data, step: int, resume: bool
) -> None:
    """Say what is about to run, and where it continues."""
    from chainrule.recipes.results import network_name

    parameters = sum(p.size for p in session.model.parameters())
    say(
        f"{recipe.name}: {network_name(session.model)}, {parameters:,} parameters; "
        f"{len(data.train):,} training samples; seed {recipe['train.seed']}"
    )
    if step and session.trainer.epoch >= recipe["train.epochs"]:
        say("all epochs are done: finishing the run")
    elif step:
        say(f"continuing after step {step:,} (epoch {session.trainer.epoch + 1} of {recipe['train.epochs']})")
    elif resume:
        say("no checkpoint yet: starting afresh")


# ---------------------------------------------------------------------------------------------------- resuming
def _check_same(run: Run, recipe: Recipe) -> None:
    """Raise where the settings of a run differ from those wanted now, listing each."""
    changed = {key: pair for key, pair in run.recipe.differences(recipe).items() if key not in FREE}
    if _grows(run, recipe):
        changed.pop("train.epochs", None)
    for key, pair in list(changed.items()):  # the options that only one of two optimizers has say nothing more
        if None in pair and f"{key.partition('.')[0]}.name" in changed:
            del changed[key]
    if not changed:
        return
    lines = "".join(f"\n  {key}: was {_shown(was)}, now {_shown(now)}" for key, (was, now) in changed.items())
    raise RecipeError(
        f"{run.folder} was begun with other settings, so it can't be continued with these:{lines}\n"
        "Repeat the settings it was begun with, or train into another folder with --out."
    )


def _grows(run: Run, recipe: Recipe) -> bool:
    """Return whether only more epochs are wanted, and nothing that was done depends on how many there are."""
    if recipe["train.epochs"] <= run.recipe["train.epochs"] or run.info.get("result", {}).get("stopped_early"):
        return False
    part = SCHEDULES.get(recipe["schedule.name"])
    if part is None:
        return True
    return all(option in recipe.tables["schedule"] for option, words in part.derived if words == LENGTH)


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)


# ---------------------------------------------------------------------------------------------------- the process
@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Keep a second process from training into the folder, where the system has file locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(f"another process is training into {folder}; choose another folder with --out.") from None
        except OSError:
            pass  # a file system without locks
        yield


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")

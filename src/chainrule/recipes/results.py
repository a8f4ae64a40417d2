"""What came out of a run: evaluation on a split, predictions for pictures, and what the report shows.

Everything is computed from the saved weights, as a user who opens the folder later would.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler import jit
from chainrule.core.context import no_grad
from chainrule.core.errors import RecipeError
from chainrule.core.precision import precision
from chainrule.core.tensor import Tensor
from chainrule.core.threads import get_num_threads
from chainrule.explain import LayerStates, RunReport, report, worst_mistakes
from chainrule.ops import asarray
from chainrule.recipes.build import EVALUATION_BATCH, chooses, load_split, make_loss, takes_channels
from chainrule.recipes.folder import Run
from chainrule.recipes.machine import versions
from chainrule.recipes.pictures import read_digit, read_small
from chainrule.recipes.recipe import Recipe

__all__ = ["Evaluation", "Prediction", "evaluate", "network_name", "predict", "write_report"]

SPLITS = ("train", "validation", "test")
LAYER_SAMPLES = {False: 500, True: 100}  # pictures with channels? -> how many the report's layers are measured on


@dataclass(frozen=True)
class Evaluation:
    """A model measured on a split.

    Args:
        split: "train", "validation" or "test".
        samples: how many were measured.
        loss: mean loss.
        accuracy: share of correct answers, in [0, 1].
        images: raw pictures [samples, height, width].
        labels: true classes [samples].
        logits: the network's outputs [samples, classes].
        model: the network.
    """

    split: str
    samples: int
    loss: float
    accuracy: float
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    model: Any

    def summary(self) -> dict[str, Any]:
        """Return {"split", "samples", "loss", "accuracy"}, as `chainrule evaluate --json` prints it."""
        return {"split": self.split, "samples": self.samples, "loss": self.loss, "accuracy": self.accuracy}


@dataclass(frozen=True)
class Prediction:
    """A network's answer to one picture.

    Args:
        file: the picture.
        label: name of the likeliest class.
        probabilities: class name -> probability.
        note: what was done to the picture, in words.
    """

    file: str
    label: str
    probabilities: dict[str, float]
    note: str


def evaluate(run: Run, split: str = "test") -> Evaluation:
    """Measure a run's saved model on a split.

    Args:
        run: the run folder.
        split: "train", "validation" (where the recipe holds samples out) or "test"; default "test".

    Raises:
        RecipeError: no such split.
        CheckpointError: the run has no model, or a damaged one.
        DataError: the data can't be read.
    """
    if split not in SPLITS:
        raise RecipeError(f"split must be one of {', '.join(SPLITS)}; got {split!r}.")
    model, scale, loss = run.model(), run.scale, make_loss(run.recipe)
    images, labels, _ = load_split(run.recipe, split)
    outputs, total = [], 0.0
    forward = _forward(model, run.recipe, len(labels))
    with no_grad(), precision(run.recipe["train.precision"]):
        for start in range(0, len(labels), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            logits = forward(asarray(scale(images[batch])))
            total += loss(logits, asarray(labels[batch])).item() * logits.shape[0]
            outputs.append(logits.numpy())
    found = np.concatenate(outputs)
    correct = int((found.argmax(axis=1) == labels).sum())
    return Evaluation(split, len(labels), total / len(labels), correct / len(labels), images, labels, found, model)


def _forward(model: Any, recipe: Recipe, samples: int) -> Callable[[Tensor], Tensor]:
    """Return the network as a function: compiled where several large batches of pictures are worth it."""
    if not (recipe["train.compiled"] and takes_channels(recipe) and samples > EVALUATION_BATCH):
        return model
    return jit(lambda x: model(x), precision=recipe["train.precision"])


def predict(run: Run, files: Sequence[str | pathlib.Path]) -> list[Prediction]:
    """Return what a run's saved model says to pictures.

    Args:
        run: the run folder.
        files: picture files of any size and colour; for networks of MNIST one digit each, others are scaled to 32x32.

    Raises:
        DataError: a file is no picture, damaged, or shows no digit.
        CheckpointError: the run has no model, or a damaged one.
    """
    read = read_digit if run.recipe["data.name"] == "mnist" else read_small
    digits = [read(file) for file in files]
    model, classes = run.model(), run.info["classes"]
    with no_grad(), precision(run.recipe["train.precision"]):
        logits = model(asarray(run.scale(np.stack([digit.pixels for digit in digits])))).numpy()
    shares = _softmax(logits)
    return [
        Prediction(str(file), classes[int(row.argmax())], dict(zip(classes, map(float, row), strict=True)), digit.note)
        for file, digit, row in zip(files, digits, shares, strict=True)
    ]


def network_name(model: Any) -> str:
    """Return a network's sizes in short, like "784-64-32-10"; of another network, its class.

    Args:
        model: the network.
    """
    sizes = getattr(model, "sizes", None)
    return "-".join(map(str, sizes)) if sizes else type(model).__name__


# ---------------------------------------------------------------------------------------------------- the report
def write_report(run: Run, found: Evaluation | None = None) -> pathlib.Path:
    """Write the report of a run; the same run gives the same report.

    Args:
        run: the run folder.
        found: its evaluation on the test set; default evaluates.

    Returns:
        The file.

    Raises:
        CheckpointError: the run has no model, or a damaged one.
        OSError: the file can't be written; an older report is untouched.
    """
    path = run.folder / "report.html"
    report.write(path, run_report(run, found or evaluate(run, "test")))
    return path


def run_report(run: Run, found: Evaluation) -> RunReport:
    """Return what the report of a run shows.

    Args:
        run: the run folder.
        found: its evaluation on the test set.
    """
    from chainrule.explain.network import first_layer_pictures, layer_rows

    steps, epochs = run.records()
    classes, scale = run.info["classes"], run.scale
    few = slice(0, LAYER_SAMPLES[takes_channels(run.recipe)])
    return RunReport(
        recipe=run.recipe.name,
        network=network_name(found.model),
        parameters=sum(p.size for p in found.model.parameters()),
        accuracy=found.accuracy,
        loss=found.loss,
        samples=found.samples,
        seconds=sum(epoch["seconds"] for epoch in epochs),
        seed=run.recipe["train.seed"],
        command=run.info["command"],
        versions={**_last(run).get("versions", versions()), "BLAS threads": str(_threads(run))},
        epochs=[{**epoch, "epoch": epoch["epoch"] + 1} for epoch in epochs],
        confusion=_confusion(found, len(classes)),
        classes=tuple(classes),
        second=run.info["second"],
        second_label=_second_label(run),
        step_losses=np.array([step["loss"] for step in steps]),
        mistakes=worst_mistakes(found.images, found.labels, found.logits),
        first_layer_weights=first_layer_pictures(found.model, found.images.shape[1:]),
        layers=layer_rows(found.model, scale(found.images[few]), found.labels[few]),
        layers_measured_on=f"the first {len(found.labels[few])} test {_what(run)}",
        states=_states(found, scale, len(classes)),
        samples_name=f"test {_what(run)}",
        settings={key: str(value) for key, value in run.recipe.flat().items()},
        finished=run.info.get("finished", ""),
    )


def _second_label(run: Run) -> str:
    """Return what the second curve is."""
    if run.info["second"] == "test":
        return "test set: watched, never used to choose"
    return f"validation samples: held out, {'used' if chooses(run.recipe) else 'not used'} to choose"


def _states(found: Evaluation, scale: Any, classes: int) -> list[LayerStates]:
    """Return the network's states for the first evaluated sample of each class."""
    from chainrule.explain.network import layer_states

    first = [int(np.flatnonzero(found.labels == label)[0]) for label in range(classes) if (found.labels == label).any()]
    return [layer_states(found.model, scale(found.images[i : i + 1]), int(found.labels[i])) for i in first]


def _confusion(found: Evaluation, classes: int) -> np.ndarray:
    """Return counts [true class, predicted class]."""
    cells = found.labels * classes + found.logits.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def _what(run: Run) -> str:
    return "digits" if run.recipe["data.name"] == "mnist" else "pictures"


def _last(run: Run) -> dict[str, Any]:
    return (run.info.get("sessions") or [{}])[-1]


def _threads(run: Run) -> int:
    return _last(run).get("machine", {}).get("blas_threads", get_num_threads())


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)

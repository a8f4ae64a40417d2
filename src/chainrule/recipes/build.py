"""From a recipe to what trains: data, model, loss, optimizer, schedule, metrics, trainer.

Each `make_*` function reads one table. `check` makes everything that needs no data once, so that a value which a class
refuses is found before anything is loaded, under the recipe's name for it.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.context import no_grad
from chainrule.core.errors import ChainruleError, RecipeError, nearest
from chainrule.data import ArrayDataset, Augment, DataLoader, Subset, check_labels, cifar10, mnist, numbered, split
from chainrule.ops import asarray, zeros
from chainrule.recipes.scaling import Scale, augmented, measured
from chainrule.recipes.schema import AUGMENTS, LENGTH, LOSSES, METRICS, MODELS, OPTIMIZERS, SCHEDULES, Part
from chainrule.recipes.starting import check_start, network, scale_of_weights

if TYPE_CHECKING:
    from chainrule.recipes.recipe import Recipe
    from chainrule.train import Callback, Checkpoints, Trainer

__all__ = [
    "Data",
    "Scale",
    "check",
    "check_fit",
    "load_data",
    "load_split",
    "make_loss",
    "make_metrics",
    "make_model",
    "make_transforms",
    "takes_channels",
    "make_trainer",
]

EVALUATION_BATCH = 1000  # samples; a divisor of 10,000, so that the test set is measured in equal batches
PICTURES: dict[str, dict[str, Any]] = {  # what a network is told of a data set where the recipe does not say
    "mnist": {"num_classes": 10, "in_channels": 1, "input_size": 28, "stem": "cifar"},
    "cifar10": {"num_classes": 10, "in_channels": 3, "input_size": 32, "stem": "cifar"},
}
PREFETCH = 4  # batches that are augmented ahead, in the background, where the loader does it


@dataclass(frozen=True)
class Data:
    """A recipe's data, in memory as bytes: the step scales each batch.

    Args:
        train: samples to learn from, raw.
        second_name: "validation" where samples are held out, else "test".
        second: what the second curve is measured on, raw.
        scale: from pixels to inputs.
        classes: names of the classes.
    """

    train: ArrayDataset
    second_name: str
    second: ArrayDataset
    scale: Scale
    classes: tuple[str, ...]


# ---------------------------------------------------------------------------------------------------- data
def load_split(recipe: Recipe, name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the raw pictures and labels of "train", "validation" or "test", and the names of the classes.

    Args:
        recipe: the recipe.
        name: which samples; "train" without those held out for validation.

    Returns:
        Pictures [samples, height, width] or [samples, channels, height, width], labels [samples], class names.

    Raises:
        DataError: files that are missing, damaged or not the published ones.
        IndexRangeError: a label that is no class.
        RecipeError: "validation" where the recipe holds nothing out.
    """
    read = {"mnist": mnist, "cifar10": cifar10}[recipe["data.name"]]
    pictures = read("test" if name == "test" else "train", recipe["data.folder"] or None, verify=recipe["data.verify"])
    images, labels = pictures.images, pictures.labels
    classes = pictures.classes or ()
    check_labels(labels, len(classes))
    if name == "test":
        return images, labels, classes
    if recipe["data.limit"]:
        images, labels = images[: recipe["data.limit"]], labels[: recipe["data.limit"]]
    share = recipe["data.validation"]
    if not share:
        if name == "validation":
            raise RecipeError("this recipe holds out no validation samples: data.validation is 0.0.")
        return images, labels, classes
    parts = split(ArrayDataset(images, labels), (1 - share, share), seed=recipe["train.seed"], stratify=labels)
    chosen = parts[name == "validation"]
    assert isinstance(chosen, Subset)
    return images[chosen.indices], labels[chosen.indices], classes


def load_data(recipe: Recipe) -> Data:
    """Return training samples and the samples of the second curve as raw bytes, and how they are scaled.

    Args:
        recipe: the recipe.

    Raises:
        DataError: files that are missing, damaged or not the published ones.
        IndexRangeError: a label that is no class.
    """
    images, labels, classes = load_split(recipe, "train")
    channel = takes_channels(recipe)
    scale = scale_of_weights(recipe, channel)
    if scale is None:
        scale = measured(images, channel) if recipe["data.standardize"] else Scale(0.0, 255.0, channel)
    second = "validation" if recipe["data.validation"] else "test"
    others, other_labels, _ = load_split(recipe, second)
    return Data(ArrayDataset(images, labels), second, ArrayDataset(others, other_labels), scale, classes)


def takes_channels(recipe: Recipe) -> bool:
    """Return whether the network needs pictures with an axis of channels: all do but the multilayer perceptron.

    Args:
        recipe: the recipe.
    """
    return recipe["model.name"] != "mlp"


def evaluation_loader(dataset: ArrayDataset) -> DataLoader:
    """Return the samples in order, in large batches."""
    return DataLoader(dataset, batch_size=min(EVALUATION_BATCH, len(dataset)))


# ---------------------------------------------------------------------------------------------------- parts
def make_model(recipe: Recipe, trained: bool = False) -> Any:
    """Return the network with new weights from the default generator.

    Args:
        recipe: the recipe.
        trained: load the weights that the recipe starts from, if it says so; default False.

    Raises:
        MissingDataError: these weights are not on this machine.
    """
    part = MODELS[recipe["model.name"]]
    facts = {option: PICTURES[recipe["data.name"]][option] for option, _ in part.derived}
    settings = {**facts, **recipe.options("model")}
    classes = settings.get("num_classes")
    return network(recipe, lambda more: _made("model", part, (), {**settings, **more}), classes, trained)


def make_transforms(recipe: Recipe) -> list[Any]:
    """Return the transforms of `data.augment`, in their order.

    Args:
        recipe: the recipe.
    """
    entries = enumerate(recipe["data.augment"])
    return [
        _made(f"data.augment[{i}]", AUGMENTS[entry["name"]], (), {k: v for k, v in entry.items() if k != "name"})
        for i, entry in entries
    ]


def make_loss(recipe: Recipe) -> Any:
    """Return the loss: (outputs, labels) -> mean loss of the batch.

    Args:
        recipe: the recipe.
    """
    return _made("loss", LOSSES[recipe["loss.name"]], (), recipe.options("loss"))


def make_optimizer(recipe: Recipe, parameters: Sequence[Any]) -> Any:
    """Return the optimizer of some parameters.

    Args:
        recipe: the recipe.
        parameters: what it trains.
    """
    return _made("optim", OPTIMIZERS[recipe["optim.name"]], (list(parameters),), recipe.options("optim"))


def make_schedule(recipe: Recipe, optimizer: Any, length: int) -> Any:
    """Return the schedule of an optimizer, or None where the learning rate is constant.

    Args:
        recipe: the recipe.
        optimizer: whose learning rate moves.
        length: number of schedule steps in the run, >= 1; stands in for options that the recipe leaves out.
    """
    name = recipe["schedule.name"]
    if name == "constant":
        return None
    part, options = SCHEDULES[name], recipe.options("schedule")
    left_out = {option: words for option, words in part.derived if option not in options}
    options |= {option: max(length, 2) if words == LENGTH else recipe["optim.lr"] for option, words in left_out.items()}
    if name == "plateau":
        options |= {"mode": monitor_mode(recipe), "monitor": recipe["train.monitor"]}
    return _made("schedule", part, (optimizer,), options)


def make_metrics(recipe: Recipe, classes: int) -> dict[str, Any]:
    """Return name -> metric.

    Args:
        recipe: the recipe.
        classes: number of classes, for those that count per class.
    """
    metrics = {}
    for name, options in recipe.tables["metrics"].items():
        part = METRICS[name]
        needs = {"num_classes": classes} if "num_classes" in part.parameters else {}
        metrics[name] = _made(f"metrics.{name}", part, (), {**options, **needs})
    return metrics


def _made(table: str, part: Part, arguments: tuple, options: dict[str, Any]) -> Any:
    """Return an instance of a part; what its class refuses is an error of the recipe."""
    kind = part.load()
    try:
        return kind(*arguments, **dict(part.settings), **options)
    except (ValueError, TypeError) as error:
        message = error.message if isinstance(error, ChainruleError) else str(error)
        raise RecipeError(message.replace(f"{kind.__name__}.", f"{table}.")) from None


# ---------------------------------------------------------------------------------------------------- checking
def check(recipe: Recipe) -> None:
    """Raise where a class refuses its options, or where keys of different tables do not go together.

    Args:
        recipe: the recipe.

    Raises:
        RecipeError: names the key.
    """
    check_start(recipe)
    optimizer = make_optimizer(recipe, [zeros(1).requires_grad_()])
    make_loss(recipe)
    mixing = [type(transform).__name__ for transform in make_transforms(recipe) if transform.mixes]
    if mixing and recipe["loss.name"] != "cross_entropy":
        raise RecipeError(
            f"data.augment has {mixing[0]}, which mixes labels, and loss.name = {recipe['loss.name']!r} takes no mixed "
            'labels: use "cross_entropy".'
        )
    if recipe.tables["model"].get("aux_logits") and recipe["loss.name"] != "cross_entropy":
        raise RecipeError(
            f"{recipe['model.name']} has auxiliary classifiers, and loss.name = {recipe['loss.name']!r} takes one "
            'output: use "cross_entropy", or model.aux_logits = false.'
        )
    metrics = make_metrics(recipe, 10)
    if chooses(recipe):
        what = "train.early_stopping" if recipe["train.early_stopping"] else 'schedule.name = "plateau"'
        if not recipe["data.validation"]:
            raise RecipeError(
                f"{what} chooses by what it watches, so it needs samples held out for that: "
                "set data.validation, for example to 0.1. The test set is never used to choose."
            )
        allowed = ["validation_loss", *(f"validation_{name}" for name in metrics)]
        if recipe["train.monitor"] not in allowed:
            raise RecipeError(
                f"train.monitor must be one of {', '.join(allowed)}; got {recipe['train.monitor']!r}"
                f"{nearest(recipe['train.monitor'], allowed) or '.'}"
            )
    if recipe["schedule.name"] == "plateau" and recipe["schedule.every"] != "epoch":
        raise RecipeError(
            'schedule.every must be "epoch" for the plateau schedule: it watches what is measured after an epoch.'
        )
    make_schedule(recipe, optimizer, 2)


def chooses(recipe: Recipe) -> bool:
    """Return whether the recipe chooses anything by a measurement: when to stop, which weights, which learning rate.

    Args:
        recipe: the recipe.
    """
    return bool(recipe["train.early_stopping"]) or recipe["schedule.name"] == "plateau"


def monitor_mode(recipe: Recipe) -> str:
    """Return "max" where the watched number is better large, else "min".

    Args:
        recipe: the recipe.
    """
    name = recipe["train.monitor"].removeprefix("validation_")
    return "max" if name in METRICS and METRICS[name].load().higher_is_better else "min"


def check_fit(recipe: Recipe, model: Any, data: Data) -> None:
    """Raise where the network does not take the samples, or does not give one number per class.

    Args:
        recipe: the recipe.
        model: the network.
        data: the samples.

    Raises:
        ShapeError: the network refuses a sample; names the layer.
        RecipeError: the number of outputs is not that of the classes.
    """
    from chainrule.nn._modes import evaluation

    with no_grad(), evaluation(model):
        outputs = model(data.scale(asarray(data.train.arrays[0][:1])))
    if outputs.shape != (1, len(data.classes)):
        raise RecipeError(
            f"the network gives outputs of shape {outputs.shape[1:]} per sample; {recipe['data.name']} has "
            f"{len(data.classes)} classes, so it must give ({len(data.classes)},): see [model]."
        )


# ---------------------------------------------------------------------------------------------------- the trainer
def make_trainer(
    recipe: Recipe,
    model: Any,
    data: Data,
    checkpoints: Checkpoints | None = None,
    callbacks: Sequence[Callback] = (),
    folder: pathlib.Path | None = None,
) -> tuple[Trainer, DataLoader]:
    """Return the trainer of a recipe and the loader of its training samples.

    Args:
        recipe: the recipe.
        model: the network.
        data: the samples.
        checkpoints: where the run is saved; default none.
        callbacks: called before those of the recipe; default none.
        folder: where TensorBoard's files go; default none.
    """
    from chainrule.optim import ExponentialMovingAverage
    from chainrule.train import EarlyStopping, TensorBoard, Trainer

    get: Callable[[str], Any] = recipe.__getitem__
    inside, loader = _training_batches(recipe, data)
    optimizer = make_optimizer(recipe, list(model.parameters()))
    updates = math.ceil(len(loader) / get("train.accumulate"))
    length = get("train.epochs") * (updates if get("schedule.every") == "step" else 1)
    chosen = [*callbacks]
    if get("train.early_stopping"):
        chosen.append(EarlyStopping(get("train.monitor"), get("train.early_stopping"), mode=monitor_mode(recipe)))
    if get("train.tensorboard") and folder is not None:
        chosen.append(TensorBoard(folder))
    trainer = Trainer(
        model,
        make_loss(recipe),
        optimizer,
        metrics=make_metrics(recipe, len(data.classes)),
        schedule=make_schedule(recipe, optimizer, length),
        schedule_every=get("schedule.every"),
        average=ExponentialMovingAverage(model, get("train.average"), warmup=True) if get("train.average") else None,
        max_norm=get("train.max_norm") or None,
        accumulate=get("train.accumulate"),
        callbacks=chosen,
        checkpoints=checkpoints,
        checkpoint_every=get("train.checkpoint_every"),
        compiled=get("train.compiled"),
        precision=get("train.precision"),
        transform=data.scale,
        augment=inside,
        check_gradients=get("train.check_gradients"),
    )
    return trainer, loader


def _training_batches(recipe: Recipe, data: Data) -> tuple[Augment | None, DataLoader]:
    """Return the augmentation that belongs into the step, if any, and the loader of the training samples."""
    transforms = make_transforms(recipe)
    settings = {"batch_size": recipe["train.batch_size"], "shuffle": True, "seed": recipe["train.seed"]}
    if not transforms:
        return None, DataLoader(data.train, **settings)
    images, labels = data.train.arrays
    pictures = ArrayDataset(images if images.ndim == 4 else images[:, None], labels)
    inside = recipe["data.augment_in"] == "step"
    channels, seed, classes = pictures.arrays[0].shape[1], recipe["train.seed"], len(data.classes)
    augment = augmented(transforms, data.scale, channels, seed, classes, scaled=inside)
    if inside:
        return augment, DataLoader(numbered(pictures), **settings)
    return None, DataLoader(pictures, augment=augment, prefetch=PREFETCH, **settings)

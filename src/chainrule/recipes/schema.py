"""The schema of recipes: which tables there are, which keys each has, what they allow and what they mean.

`TABLES` is the one source: validation, `--set`, messages and the page docs/recipes.md come from it. A table with
`choices` also takes the options of what is chosen by its `name`, for example those of Adam; they are read from its
signature, so they can't be out of step with the class.

    [data] [model] [loss] [optim] [schedule] [train] [metrics]
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any

from chainrule.core.precision import PRECISIONS
from chainrule.models.catalogue import CATALOGUE, Architecture
from chainrule.recipes.constraints import Choice, Flag, Integer, Integers, Kind, Parts, Real, Reals, Text

__all__ = ["AUGMENTS", "HEAD", "LENGTH", "TABLES", "Key", "Part", "Table"]

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Key:
    """One key: its name, what it allows, its default (REQUIRED: there is none; None: left out) and its meaning."""

    name: str
    kind: Kind
    default: Any
    meaning: str


@dataclass(frozen=True)
class Part:
    """What a name stands for: a class, its options that a recipe can't set, and those that follow from the run.

    Args:
        target: "module:class".
        meaning: what it is, in a few words.
        fixed: parameters that the recipe's builder gives.
        derived: option -> what it becomes when it is left out, in words.
        settings: parameters that belong to the name, with their values.
    """

    target: str
    meaning: str
    fixed: tuple[str, ...] = ()
    derived: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()

    def load(self) -> Any:
        """Return the class."""
        module, name = self.target.split(":")
        return getattr(importlib.import_module(module), name)

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of all parameters of the class."""
        return tuple(inspect.signature(self.load()).parameters)

    @functools.cached_property
    def options(self) -> dict[str, Key]:
        """The options that a recipe may set, by name, read from the signature and the docstring."""
        target = self.load()
        hints = typing.get_type_hints(target.__init__)
        meanings = _meanings(inspect.getdoc(target) or "")
        taken = (*self.fixed, *dict(self.settings))
        found = {}
        for parameter in list(inspect.signature(target).parameters.values()):
            kind = _kind(hints.get(parameter.name))
            if kind is not None and parameter.name not in taken:
                default = None if parameter.name in dict(self.derived) else _default(kind, parameter.default)
                found[parameter.name] = Key(parameter.name, kind, default, meanings.get(parameter.name, ""))
        return found


@dataclass(frozen=True)
class Table:
    """One table of a recipe: its keys and, where something is chosen by `name`, what can be chosen."""

    name: str
    meaning: str
    keys: tuple[Key, ...] = ()
    choices: dict[str, Part] | None = None


def _kind(hint: Any) -> Kind | None:
    """Return what a type hint allows in TOML, or None where TOML has no such value."""
    if isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union:
        kinds = [kind for kind in map(_kind, typing.get_args(hint)) if kind is not None]
        return kinds[0] if kinds else None
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return Choice(inner)
    if origin is tuple and inner and all(item is float for item in inner):
        return Reals(len(inner))
    if isinstance(origin, type) and issubclass(origin, Sequence) and inner[:1] == (int,):
        return Integers()
    plain: dict[Any, Kind] = {bool: Flag(), int: Integer(None), float: Real(), str: Text()}
    return plain.get(hint)


def _default(kind: Kind, value: Any) -> Any:
    """Return a default as TOML would have it."""
    value = list(value) if isinstance(value, tuple) else value
    return value if value is None or value is REQUIRED else kind.clean("default", value)


def _meanings(doc: str) -> dict[str, str]:
    """Return what the Args section of a docstring says of each parameter, without the default."""
    section = re.search(r"^Args:\n(.*?)(?:\n\S|\n\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    entries = re.split(r"^ {4}(?=\S)", section[1], flags=re.MULTILINE) if section else []
    found = {}
    for entry in entries:
        names, _, text = " ".join(entry.split()).partition(": ")
        for name in names.split(", "):
            found[name] = re.sub(r"; default .*$", "", text).rstrip(".;")
    return found


_OPTIM = "chainrule.optim:"
_RISING = ("maximize",)  # a recipe makes its loss small
_LOSS_FIXED = ("reduction",)
_CLASSES = ("num_classes", "threshold")


def _architecture(row: Architecture) -> Part:
    """Return the part of one row of the catalogue: what the data decide need not be said."""
    derived = (
        ("num_classes", "the number of classes"),
        ("in_channels", "the channels of the pictures"),
        ("input_size", "the side of the pictures"),
        ("stem", '`"cifar"`'),
    )
    has = inspect.signature(row.make).parameters
    return Part(
        f"{row.make.__module__}:{row.make.__name__}",
        row.source,
        derived=tuple((option, words) for option, words in derived if option in has),
        settings=tuple(row.settings.items()),
    )


MODELS = {
    "mlp": Part("chainrule.models:MLP", "multilayer perceptron"),
    **{name: _architecture(row) for name, row in CATALOGUE.items()},
}

AUGMENTS = {
    "horizontal_flip": Part("chainrule.data:RandomHorizontalFlip", "mirror left and right"),
    "vertical_flip": Part("chainrule.data:RandomVerticalFlip", "mirror top and bottom"),
    "shift": Part("chainrule.data:RandomShift", "move by whole pixels"),
    "crop": Part("chainrule.data:RandomCrop", "a window of the padded picture"),
    "rotation": Part("chainrule.data:RandomRotation", "turn about the centre"),
    "zoom": Part("chainrule.data:RandomZoom", "enlarge or shrink"),
    "contrast": Part("chainrule.data:RandomContrast", "more or less contrast"),
    "brightness": Part("chainrule.data:RandomBrightness", "lighter or darker"),
    "noise": Part("chainrule.data:GaussianNoise", "normal noise on each value"),
    "cutout": Part("chainrule.data:Cutout", "a square that is blanked out"),
    "mixup": Part("chainrule.data:MixUp", "blend two pictures and their labels"),
    "cutmix": Part("chainrule.data:CutMix", "a rectangle of another picture, labels by area"),
}

LOSSES = {
    "cross_entropy": Part(
        "chainrule.recipes.losses:CrossEntropy", "cross-entropy of the softmax", (*_LOSS_FIXED, "ignore_index")
    ),
    "multi_margin": Part("chainrule.nn:MultiMarginLoss", "multi-class hinge loss", _LOSS_FIXED),
}

OPTIMIZERS = {
    "sgd": Part(_OPTIM + "SGD", "stochastic gradient descent, with momentum or Nesterov's", _RISING),
    "adagrad": Part(_OPTIM + "Adagrad", "steps scaled by all past gradients", _RISING),
    "rmsprop": Part(_OPTIM + "RMSprop", "steps scaled by a running mean of squares", _RISING),
    "adam": Part(_OPTIM + "Adam", "running means of gradient and square", _RISING),
    "adamw": Part(_OPTIM + "AdamW", "Adam with decoupled weight decay", _RISING),
}

LENGTH = "the length of the run"
SCHEDULES = {
    "step": Part(_OPTIM + "StepLR", "falls by a factor every few steps"),
    "multi_step": Part(_OPTIM + "MultiStepLR", "falls by a factor at given steps"),
    "exponential": Part(_OPTIM + "ExponentialLR", "falls by a factor each step"),
    "inverse_time": Part(_OPTIM + "InverseTimeLR", "falls as 1 / t"),
    "cosine": Part(_OPTIM + "CosineAnnealingLR", "half a cosine down", (), (("T_max", LENGTH),)),
    "warmup": Part(_OPTIM + "LinearLR", "linear warm-up"),
    "one_cycle": Part(
        _OPTIM + "OneCycleLR",
        "up to `max_lr` and down once, momentum the other way round",
        ("epochs", "steps_per_epoch"),
        (("max_lr", "`optim.lr`"), ("total_steps", LENGTH)),
    ),
    "plateau": Part(_OPTIM + "ReduceLROnPlateau", "falls when train.monitor no longer improves", ("mode", "monitor")),
}

METRICS = {
    "accuracy": Part("chainrule.metrics:Accuracy", "share of correct answers", _CLASSES),
    "top_k": Part(
        "chainrule.metrics:TopKAccuracy", "share of answers with the true class among the k likeliest", _CLASSES
    ),
    "precision": Part("chainrule.metrics:Precision", "share of an answer's pictures that are of its class", _CLASSES),
    "recall": Part("chainrule.metrics:Recall", "share of a class's pictures that were found", _CLASSES),
    "f1": Part("chainrule.metrics:F1Score", "harmonic mean of precision and recall", _CLASSES),
    "specificity": Part(
        "chainrule.metrics:Specificity", "share of the other classes' pictures that were left out", _CLASSES
    ),
}

HEAD = (
    Key("name", Text(), None, "name of the recipe; default the file's name"),
    Key("description", Text(), "", "what it does, in a line"),
    Key("extends", Text(), None, "name of the recipe whose settings hold where this one has none"),
)

_DATA = (
    Key("name", Choice(("mnist", "cifar10")), "mnist", "the data set"),
    Key("folder", Text(), "", "read the official files from this folder; empty: the usual places"),
    Key("verify", Flag(), True, "check the published checksums of the files in `folder`"),
    Key("limit", Integer(), 0, "use only the first so many training samples, for a quick try; 0: all"),
    Key("validation", Real(0, 1, open_high=True), 0.0, "share of the training samples held out to choose by"),
    Key("standardize", Flag(), True, "subtract the training set's mean, divide by its standard deviation; else [0, 1]"),
    Key("augment", Parts(AUGMENTS), [], "random changes to the training pictures, in this order; see below"),
    Key(
        "augment_in",
        Choice(("step", "loader")),
        "step",
        "where they are made: compiled into the step, or by NumPy in the background",
    ),
)

_START = (
    Key("weights", Choice(("none", "imagenet")), "none", "what it starts from: random weights, or trained ones"),
    Key("freeze_body", Flag(), False, "leave the trained weights as they are: only the new last layer learns"),
    Key("resize", Integer(), 0, "side to which the pictures are resized inside the step; 0: as they are"),
)

_TRAIN = (
    Key("epochs", Integer(), 10, "passes over the training samples"),
    Key("batch_size", Integer(1), 64, "samples per batch"),
    Key("seed", Integer(0, 2**63 - 1), 0, "of initialisation, order and dropout; also `--seed`"),
    Key("accumulate", Integer(1), 1, "batches per update; their gradient is that of one large batch"),
    Key("max_norm", Real(0), 0.0, "clip the gradient's norm to this; 0: no clipping"),
    Key("check_gradients", Flag(), False, "refuse a step whose gradient is not finite; costs a pass over all"),
    Key(
        "average",
        Real(0, 1, open_high=True),
        0.0,
        "keep a moving average of the weights with this decay, and use it; 0: no",
    ),
    Key(
        "early_stopping", Integer(), 0, "stop after so many epochs without improvement, restore the best weights; 0: no"
    ),
    Key("monitor", Text(), "validation_loss", "what early stopping and the plateau schedule watch"),
    Key("checkpoint_every", Integer(1), 1000, "steps between checkpoints, besides one after each epoch"),
    Key("compiled", Flag(), True, "run the step through cr.jit; false is `--eager`"),
    Key("precision", Choice(tuple(PRECISIONS)), "float32", "of matrix products and convolutions; also `--precision`"),
    Key("tensorboard", Flag(), False, "also write event files for TensorBoard"),
)

_EVERY = Key("every", Choice(("epoch", "step")), "epoch", "when the schedule counts one")


def _name(choices: dict[str, Part], default: str, what: str, extra: tuple[str, ...] = ()) -> Key:
    return Key("name", Choice((*extra, *choices)), default, what)


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("data", "What is learnt.", _DATA),
        Table("model", "The network.", (_name(MODELS, "mlp", "the architecture"), *_START), MODELS),
        Table("loss", "What is made small.", (_name(LOSSES, "cross_entropy", "the loss"),), LOSSES),
        Table("optim", "How the weights move.", (_name(OPTIMIZERS, "sgd", "the optimizer"),), OPTIMIZERS),
        Table(
            "schedule",
            "How the learning rate changes.",
            (_name(SCHEDULES, "constant", "the schedule", ("constant",)), _EVERY),
            SCHEDULES,
        ),
        Table("train", "The run.", _TRAIN),
        Table(
            "metrics", "What is measured besides the loss: one sub-table per metric, which may be empty.", (), METRICS
        ),
    )
}

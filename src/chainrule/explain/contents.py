"""What a run report holds, as plain numbers, strings and NumPy arrays: nothing here knows tensors or modules.

    RunReport          one finished run
      Mistake          one wrongly classified sample
      LayerRow         one row of the layer table
      LayerStates      one sample on its way through the network and its gradient on the way back
        LayerState     one layer of that way

Every class checks what it is given when it is made, so that the drawing code below can rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chainrule.core.errors import DataError, IndexRangeError, ShapeError

__all__ = ["LayerRow", "LayerState", "LayerStates", "Mistake", "RunReport", "worst_mistakes"]

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Mistake:
    """A sample whose most probable class is not its label.

    Args:
        index: place in the evaluated split, >= 0.
        picture: values [height, width] or [channels, height, width] with 1 or 3 channels; any finite range.
        label: the true class, an index.
        predicted: the class with the highest probability, an index.
        probability: the probability given to `predicted`, in [0, 1].
        loss: the sample's loss, in nats for cross-entropy.

    Raises:
        ShapeError: the picture has another shape.
        DataError: the picture holds a NaN or an infinity.

    Example:
        >>> Mistake(8, np.zeros((28, 28)), label=5, predicted=6, probability=0.99, loss=5.1).predicted
        6
    """

    index: int
    picture: Array
    label: int
    predicted: int
    probability: float
    loss: float

    def __post_init__(self) -> None:
        check_picture("Mistake", self.picture)


@dataclass(frozen=True)
class LayerRow:
    """One layer of the layer table.

    Args:
        name: path of the module, like "0" or "encoder.linear".
        kind: what it is, like "Linear(784, 64)".
        shape: shape of its output for one sample.
        parameters: number of its own trainable numbers, >= 0.
        weight_norm: L2 norm of its parameters; None where it has none.
        gradient_norm: L2 norm of the loss's gradient in its parameters; None where it has none.
        dead: share of units that were 0 for every sample looked at, in [0, 1]; None where the question makes no sense.

    Example:
        >>> LayerRow("1", "ReLU()", (64,), 0, dead=0.03125).dead
        0.03125
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    weight_norm: float | None = None
    gradient_norm: float | None = None
    dead: float | None = None


@dataclass(frozen=True)
class LayerState:
    """What one layer gave out for one sample, and the gradient that came back to it.

    Args:
        name: path of the module.
        kind: class of the module, like "Linear".
        values: the layer's output [units], finite.
        gradients: derivative of the sample's loss in each of these values [units], finite.
        weights: [units, inputs] for a layer whose units weigh all inputs, else None.

    Raises:
        ShapeError: values, gradients and weights disagree on the number of units.
        DataError: one of them holds a NaN or an infinity.

    Example:
        >>> LayerState("1", "ReLU", np.array([0.0, 2.0]), np.array([0.1, 0.3])).weights is None
        True
    """

    name: str
    kind: str
    values: Array
    gradients: Array
    weights: Array | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.shape != self.gradients.shape or not self.values.size:
            raise ShapeError(
                f"LayerState {self.name!r}: values are {self.values.shape} and gradients {self.gradients.shape}; "
                "both must be [units] with at least one unit."
            )
        if self.weights is not None and (self.weights.ndim != 2 or len(self.weights) != len(self.values)):
            raise ShapeError(
                f"LayerState {self.name!r}: weights are {self.weights.shape}; expected [{len(self.values)}, inputs]."
            )
        for part in ("values", "gradients", "weights"):
            array = getattr(self, part)
            if array is not None:
                check_finite(f"LayerState {self.name!r}.{part}", array)


@dataclass(frozen=True)
class LayerStates:
    """One sample on its way through a network: values forward, gradients back.

    Args:
        label: the true class, an index.
        picture: the sample as a picture, [height, width] or [channels, height, width], any finite range.
        gradient: derivative of the loss in each pixel, same shape as `picture`.
        probabilities: the network's answer [classes], each in [0, 1].
        loss: the sample's loss, in nats for cross-entropy.
        layers: the layers in the order in which they ran, at least one.

    Raises:
        ShapeError: picture and gradient differ in shape, probabilities is not [classes], or there is no layer.
        DataError: a NaN or an infinity in picture, gradient or probabilities.
        IndexRangeError: the label is no class.

    Example:
        >>> layer = LayerState("0", "Linear", np.array([0.2, 0.7]), np.array([0.4, -0.4]), np.ones((2, 4)))
        >>> pixels = np.zeros((2, 2))
        >>> LayerStates(1, pixels, pixels, np.array([0.4, 0.6]), 0.51, (layer,)).predicted
        1
    """

    label: int
    picture: Array
    gradient: Array
    probabilities: Array
    loss: float
    layers: Sequence[LayerState]

    def __post_init__(self) -> None:
        check_picture("LayerStates", self.picture)
        if self.gradient.shape != self.picture.shape:
            raise ShapeError(
                f"LayerStates: picture is {self.picture.shape} and gradient {self.gradient.shape}; "
                "the gradient has one number per pixel."
            )
        check_finite("LayerStates.gradient", self.gradient)
        if self.probabilities.ndim != 1 or not self.probabilities.size:
            raise ShapeError(f"LayerStates.probabilities must be [classes]; got {self.probabilities.shape}.")
        check_finite("LayerStates.probabilities", self.probabilities)
        check_class("LayerStates.label", self.label, len(self.probabilities))
        if not self.layers:
            raise ShapeError("LayerStates.layers is empty; expected at least one layer.")

    @property
    def predicted(self) -> int:
        """The class with the highest probability; the first one where several share it."""
        return int(np.argmax(self.probabilities))


@dataclass(frozen=True)
class RunReport:
    """Everything that the report of a run shows.

    Args:
        recipe: name of the recipe.
        network: its sizes in short, like "784-64-32-10".
        parameters: number of trainable numbers.
        accuracy: share of correct answers on the evaluated samples, in [0, 1].
        samples: number of evaluated samples.
        seconds: time of training, in seconds.
        seed: the seed of the run.
        command: the command that repeats it.
        versions: name -> version of what computed it.
        epochs: one mapping per epoch with "epoch" and, where known, "train_loss", "train_accuracy", "seconds" and the
            second curve's "<second>_loss" and "<second>_accuracy".
        confusion: counts [true class, predicted class].
        classes: names of the classes, in the order of their indices.
        loss: mean loss on the evaluated samples; default None, unknown.
        samples_name: what the evaluated samples are; default "test digits".
        second: prefix of the second curve's keys in `epochs`; default "test".
        second_label: what the second curve is; default says that it was watched, never used to choose.
        epochs_note: how the two curves were measured; default says that the training curve is a mean over the epoch
            and that the second one is measured after it.
        step_losses: loss of every training step [steps]; default none.
        mistakes: misclassified samples, any order; default none.
        first_layer_weights: signed pictures [units, height, width]; default None.
        layers: rows of the layer table; default none.
        layers_measured_on: on what the gradients and dead units of `layers` were measured; default "".
        states: samples to look at layer by layer, about one per class; default none.
        settings: the resolved recipe, dotted key -> value as text; default none.
        finished: when the run ended, as text; default "", left out.

    Raises:
        ShapeError: confusion is not [classes, classes], first_layer_weights not [units, height, width], or
            step_losses not [steps].
        DataError: an accuracy outside [0, 1], negative or fractional counts, an epoch without "epoch".
        IndexRangeError: a mistake or a state names a class that does not exist.

    Example:
        >>> run = RunReport("tiny", "2-2", 6, accuracy=0.75, samples=4, seconds=0.1, seed=0, command="train tiny",
        ...                 versions={}, epochs=[{"epoch": 1, "train_loss": 0.5}],
        ...                 confusion=np.array([[2, 0], [1, 1]]), classes=("no", "yes"))
        >>> run.second_label
        'test set: watched, never used to choose'
    """

    recipe: str
    network: str
    parameters: int
    accuracy: float
    samples: int
    seconds: float
    seed: int
    command: str
    versions: Mapping[str, str]
    epochs: Sequence[Mapping[str, float]]
    confusion: Array
    classes: Sequence[str]
    loss: float | None = None
    samples_name: str = "test digits"
    second: str = "test"
    second_label: str = "test set: watched, never used to choose"
    epochs_note: str = "Training curves are means over an epoch; the second curve is measured after it."
    step_losses: Array = field(default_factory=lambda: np.zeros(0))
    mistakes: Sequence[Mistake] = ()
    first_layer_weights: Array | None = None
    layers: Sequence[LayerRow] = ()
    layers_measured_on: str = ""
    states: Sequence[LayerStates] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    finished: str = ""

    def __post_init__(self) -> None:
        classes = len(self.classes)
        if self.confusion.shape != (classes, classes) or not classes:
            raise ShapeError(
                f"RunReport.confusion is {self.confusion.shape} and there are {classes} classes; "
                f"expected counts [true class, predicted class], ({classes}, {classes})."
            )
        if self.confusion.dtype.kind not in "iu":
            raise DataError(f"RunReport.confusion must hold integers >= 0; got {self.confusion.dtype}.")
        if self.confusion.min() < 0:
            raise DataError(f"RunReport.confusion must hold integers >= 0; the least is {self.confusion.min()}.")
        if not 0 <= self.accuracy <= 1:
            raise DataError(f"RunReport.accuracy must be in [0, 1]; got {self.accuracy}.")
        if self.step_losses.ndim != 1:
            raise ShapeError(f"RunReport.step_losses must be [steps]; got {self.step_losses.shape}.")
        weights = self.first_layer_weights
        if weights is not None:
            if weights.ndim != 3 or not weights.size:
                raise ShapeError(f"RunReport.first_layer_weights must be [units, height, width]; got {weights.shape}.")
            check_finite("RunReport.first_layer_weights", weights)
        for place, row in enumerate(self.epochs):
            if "epoch" not in row:
                raise DataError(f"RunReport.epochs[{place}] has no key 'epoch'; it has {sorted(row)}.")
        for place, mistake in enumerate(self.mistakes):
            check_class(f"RunReport.mistakes[{place}].label", mistake.label, classes)
            check_class(f"RunReport.mistakes[{place}].predicted", mistake.predicted, classes)
        for place, state in enumerate(self.states):
            if len(state.probabilities) != classes:
                raise ShapeError(
                    f"RunReport.states[{place}] has {len(state.probabilities)} probabilities; expected {classes}."
                )


def worst_mistakes(pictures: Array, labels: Array, logits: Array, most: int = 40) -> list[Mistake]:
    """Return the misclassified samples with the largest loss, the largest first.

        loss = -log softmax(logits)[label];   a sample is misclassified if its largest logit is not its label's

    Args:
        pictures: [samples, height, width] or [samples, channels, height, width].
        labels: true classes, integers [samples].
        logits: [samples, classes].
        most: how many to return at most, >= 0; default 40.

    Returns:
        Mistakes whose `index` is the place in `pictures`; of equal losses the earlier one first.

    Raises:
        ShapeError: the three disagree on the number of samples.

    Example:
        >>> logits = np.array([[2.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
        >>> found = worst_mistakes(np.zeros((3, 2, 2)), np.array([0, 1, 1]), logits)
        >>> [(mistake.index, round(mistake.loss, 3)) for mistake in found]
        [(2, 3.049), (1, 1.313)]
    """
    if not len(pictures) == len(labels) == len(logits) or logits.ndim != 2 or labels.ndim != 1:
        raise ShapeError(
            f"worst_mistakes: pictures are {pictures.shape}, labels {labels.shape} and logits {logits.shape}; "
            "expected [samples, ...], [samples] and [samples, classes]."
        )
    scores = logits.astype(np.float64)
    scores = scores - scores.max(axis=1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))  # [samples, classes]
    losses, said = -logs[np.arange(len(labels)), labels], logs.argmax(axis=1)  # [samples] each
    wrong = np.flatnonzero(said != labels)
    wrong = wrong[np.argsort(-losses[wrong], kind="stable")][:most]
    return [
        Mistake(int(i), pictures[i], int(labels[i]), int(said[i]), float(np.exp(logs[i, said[i]])), float(losses[i]))
        for i in wrong
    ]


def check_class(what: str, value: int, classes: int) -> None:
    """Raise IndexRangeError unless `value` is the index of one of `classes` classes."""
    if not 0 <= value < classes:
        raise IndexRangeError(f"{what} must be a class from 0 to {classes - 1}; got {value}.")


def check_picture(what: str, picture: Array) -> None:
    """Raise ShapeError or DataError unless `picture` is [height, width] or [1 or 3, height, width] and finite."""
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[0] not in (1, 3)) or not picture.size:
        raise ShapeError(
            f"{what}.picture must be [height, width] or [channels, height, width] with 1 or 3 channels; "
            f"got {picture.shape}."
        )
    check_finite(f"{what}.picture", picture)


def check_finite(what: str, array: Array) -> None:
    """Raise DataError unless all numbers are finite."""
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(f"{what} must be finite; the value at {first} is {array[first]}: find its cause first.")

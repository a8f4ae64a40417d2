"""Which pixels of a picture an answer depends on: saliency by gradients, and occlusion.

    gradient            d score / d x                                   Simonyan, Vedaldi and Zisserman 2014
    gradient_x_input    x * d score / d x                               Shrikumar et al. 2016
    smooth_grad         mean of d score / d x at x + noise              Smilkov et al. 2017
    occlusion           score(x) - score(x with a patch covered)        Zeiler and Fergus 2014

The score is the class's logit, not its probability: a probability's gradient is as much about all the other classes.
Everything runs in eval mode, so that the samples of a batch do not see each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.autodiff import grad
from chainrule.core.context import no_grad
from chainrule.core.errors import IndexRangeError, SettingError, ShapeError
from chainrule.core.random import Generator
from chainrule.core.tensor import Tensor
from chainrule.explain._probe import batches, floats, samples
from chainrule.nn._checks import choice, integer, number
from chainrule.nn._modes import evaluation
from chainrule.ops import sum
from chainrule.ops.convert import asarray
from chainrule.ops.random import normal

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = ["Attribution", "OcclusionMap", "occlusion", "saliency"]

METHODS = ("gradient", "gradient_x_input", "smooth_grad")
BATCH = 64  # covered pictures per call of the compiled function


@dataclass(frozen=True)
class Attribution:
    """What each input contributes to the score of a class, for a batch of samples.

    Args:
        method: "gradient", "gradient_x_input" or "smooth_grad".
        values: float64, in the shape of the samples: positive where more of the input raises the score.
        targets: the classes explained, int64 [samples].
        predicted: the likeliest classes, int64 [samples].
        probabilities: of all classes, float64 [samples, classes].

    Example:
        >>> import chainrule as cr
        >>> found = saliency(cr.nn.Linear(3, 2), np.ones((4, 3)), 1)
        >>> found.method, found.values.shape, found.targets.tolist(), found.probabilities.shape
        ('gradient', (4, 3), [1, 1, 1, 1], (4, 2))
    """

    method: str
    values: NDArray[np.float64]
    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class OcclusionMap:
    """How much of a class's probability or score is lost when a patch of the picture is covered.

    Args:
        target: the class explained.
        before: its probability, or score, for the whole picture.
        drops: before - after for each place of the patch, float64 [rows, columns].
        corners: upper left pixels of the patches: two lists of int64, [rows] and [columns].
        heat: for each pixel the drop of the patch whose middle is nearest, float64 [height, width].
        output: "probability" or "score".

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Flatten(), cr.nn.Linear(25, 2))
        >>> found = occlusion(model, np.ones((1, 5, 5)), 0, patch=2, stride=2)
        >>> found.drops.shape, found.corners[0].tolist(), found.heat.shape
        ((3, 3), [0, 2, 3], (5, 5))
    """

    target: int
    before: float
    drops: NDArray[np.float64]
    corners: tuple[NDArray[np.int64], NDArray[np.int64]]
    heat: NDArray[np.float64]
    output: str


def saliency(
    model: Module,
    x: Tensor | ArrayLike,
    targets: Sequence[int] | int | None = None,
    *,
    method: str = "gradient",
    count: int = 32,
    noise: float = 0.15,
    seed: int = 0,
) -> Attribution:
    """Return how the score of a class changes with each pixel.

        gradient: d score / d x;  gradient_x_input: x * d score / d x;  smooth_grad: mean_k d score / d x at x + noise_k

    Args:
        model: a classifier whose output are logits [batch, classes]; it runs in eval mode, eagerly.
        x: samples as the model takes them, [batch, ...].
        targets: the classes to be explained, one for all or one per sample; default the predicted ones.
        method: "gradient", "gradient_x_input" or "smooth_grad"; default "gradient".
        count: noisy copies that smooth_grad averages over, >= 1; default 32.
        noise: deviation of the noise in parts of the sample's range max - min, >= 0; default 0.15.
        seed: of the noise; default 0.

    Returns:
        Values in the shape of x, with classes and probabilities.

    Raises:
        ShapeError: x is no batch, or the output is not [batch, classes].
        IndexRangeError: a target is no class.
        ValueError: no such method, or a number outside its range.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Linear(3, 2)
        >>> weight = np.array([[1.0, 2, 3], [4, 5, 6]], np.float32)
        >>> _ = model.load_state_dict({"weight": weight, "bias": np.zeros(2, np.float32)})
        >>> saliency(model, np.ones((1, 3)), 0).values
        array([[1., 2., 3.]])

    Source: Simonyan, Vedaldi and Zisserman, ICLR 2014 (workshop); Smilkov et al., arXiv:1706.03825 (2017).
    """
    choice("saliency", "method", method, METHODS)
    integer("saliency", "count", count, 1)
    number("saliency", "noise", noise, 0.0)
    array = samples("saliency", model, x)
    with evaluation(model):
        logits = _logits("saliency", model, array)
        wanted = _targets(targets, logits)
        rows = asarray(np.eye(logits.shape[1], dtype=array.dtype)[wanted])

        def gradient(x: NDArray) -> NDArray[np.float64]:
            found: Any = grad(lambda x: sum(model(x) * rows))(asarray(x))
            return floats(found)

        if method == "smooth_grad":
            axes = tuple(range(1, array.ndim))
            width = noise * (array.max(axis=axes, keepdims=True) - array.min(axis=axes, keepdims=True))
            random, total = Generator(seed), np.zeros(array.shape)
            for _ in range(count):
                drawn = normal(array.shape, generator=random).numpy().astype(array.dtype)
                total += gradient(array + width * drawn)
            values = total / count
        else:
            values = gradient(array) * (array if method == "gradient_x_input" else 1.0)
    return Attribution(method, values, wanted, logits.argmax(axis=1), _softmax(logits))


def occlusion(
    model: Module,
    x: Tensor | ArrayLike,
    target: int | None = None,
    *,
    patch: int = 8,
    stride: int = 2,
    fill: ArrayLike = 0.0,
    output: str = "probability",
) -> OcclusionMap:
    """Return how much the answer suffers when a square of the picture is covered, for every place of the square.

        drop[i, j] = f(x) - f(x with the patch at (i, j) filled),   f the class's probability or its logit

    The places are `stride` apart; the last ones end with the picture, whatever the stride.

    Args:
        model: a classifier whose output are logits [batch, classes]; it runs in eval mode, compiled.
        x: one sample as the model takes it: [1, channels, height, width] or [1, height, width].
        target: the class; default the predicted one.
        patch: side of the square in pixels, from 1 to the shorter side of the picture; default 8.
        stride: step between places in pixels, >= 1; default 2.
        fill: what covers, in the units of the network's input: one number or one per channel; default 0, for
            standardised pictures the mean colour.
        output: "probability" or "score" (the logit); default "probability".

    Returns:
        The drops by place of the patch, and as a map of the picture.

    Raises:
        ShapeError: x is not one picture, or the output is not [batch, classes].
        IndexRangeError: the target is no class.
        ValueError: another output, or a number outside its range.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Flatten(), cr.nn.Linear(16, 2))
        >>> weight = np.zeros((2, 16), np.float32); weight[0, 5] = 3.0
        >>> _ = model.load_state_dict({"1.weight": weight, "1.bias": np.zeros(2, np.float32)})
        >>> occlusion(model, np.ones((1, 1, 4, 4)), 0, patch=1, stride=1, output="score").drops[1]
        array([0., 3., 0., 0.])

    Source: Zeiler and Fergus, ECCV 2014, section 4.2.
    """
    choice("occlusion", "output", output, ("probability", "score"))
    array = samples("occlusion", model, x)
    if len(array) != 1 or array.ndim not in (3, 4):
        raise ShapeError(
            f"occlusion takes one picture, [1, channels, height, width] or [1, height, width]; got {array.shape}."
        )
    height, width = array.shape[-2:]
    integer("occlusion", "patch", patch, 1)
    integer("occlusion", "stride", stride, 1)
    if patch > min(height, width):
        raise SettingError(
            f"occlusion.patch must be at most the picture's shorter side {min(height, width)}; got {patch}."
        )
    tops, lefts = _corners(height, patch, stride), _corners(width, patch, stride)
    filled = np.asarray(fill, array.dtype).reshape(-1, 1, 1) if np.ndim(fill) else np.asarray(fill, array.dtype)
    covered = np.repeat(array, 1 + len(tops) * len(lefts), axis=0)  # the first one stays whole
    for number_, (top, left) in enumerate(((t, s) for t in tops for s in lefts), 1):
        covered[number_, ..., top : top + patch, left : left + patch] = filled
    with evaluation(model):
        first = _logits("occlusion", model, array)
        [found] = batches(lambda x: [model(x)], covered, BATCH)
    [wanted] = _targets(target, first)
    values = (_softmax(found) if output == "probability" else found.astype(np.float64))[:, wanted]
    drops = (values[0] - values[1:]).reshape(len(tops), len(lefts))
    heat = drops[np.ix_(_nearest(tops, patch, height), _nearest(lefts, patch, width))]
    return OcclusionMap(int(wanted), float(values[0]), drops, (tops, lefts), heat, output)


def _corners(side: int, patch: int, stride: int) -> NDArray[np.int64]:
    """Return where patches begin along an axis; the last one ends with the picture."""
    places = list(range(0, side - patch + 1, stride))
    return np.asarray(places + [side - patch] * (places[-1] != side - patch), np.int64)


def _nearest(corners: NDArray, patch: int, side: int) -> NDArray[np.int64]:
    """Return for each pixel of an axis the patch whose middle is nearest, of two equally near ones the first."""
    middles = corners + (patch - 1) / 2
    return np.abs(np.arange(side)[:, None] - middles).argmin(axis=1)


def _logits(name: str, model: Module, array: NDArray) -> NDArray[np.float64]:
    with no_grad():
        logits = model(asarray(array))
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = getattr(logits, "shape", type(logits).__name__)
        raise ShapeError(f"{name} takes a model whose output is [batch, classes]; this one gave {shape}.")
    return floats(logits)


def _targets(targets: Sequence[int] | int | None, logits: NDArray) -> NDArray[np.int64]:
    """Return one class per sample."""
    if targets is None:
        return logits.argmax(axis=1)
    wanted = np.broadcast_to(np.asarray(targets, np.int64), len(logits))
    for target in wanted:
        if not 0 <= target < logits.shape[1]:
            raise IndexRangeError(f"the target must be a class from 0 to {logits.shape[1] - 1}; got {target}.")
    return wanted


def _softmax(logits: NDArray) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)

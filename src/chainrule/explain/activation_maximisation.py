"""Pictures that a channel responds to most, found by gradient ascent on the input.

    x  <-  clip( B (x + rate g / rms(g)) - decay x ),     g = d response(shifted x) / d x

The response of a channel is the mean over its map of what a ReLU lets through, negative values counting a tenth so that
there is always a gradient to follow; that of a linear layer's unit is its value (Erhan et al. 2009). Plain ascent ends
in noise that no camera gives, so each step shifts the picture at random by up to `jitter` pixels, blurs it by a
Gaussian B whose width falls to 0, and decays it a little towards the mean grey (Yosinski et al. 2015; Olah et al.
2017). All channels wanted are one batch. A step is one compiled function; shift and blur are matrices, so that it is
compiled once:

    shifted = R x C',   blurred = Bh x Bw'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.autodiff import grad
from chainrule.compiler.jit import jit
from chainrule.core.context import no_grad
from chainrule.core.errors import ShapeError
from chainrule.core.random import Generator
from chainrule.core.tensor import Tensor
from chainrule.explain._probe import channel_at, dtype_of, floats, probed
from chainrule.nn._checks import integer, number
from chainrule.ops import clip, mean, reshape, sqrt, sum, swapaxes, where
from chainrule.ops.convert import asarray
from chainrule.ops.random import normal, randint

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = ["MaximisedActivation", "maximise_activation"]

LEAK = 0.1  # share that negative values of a map count
START = 0.05  # deviation of the noise that it starts from, in parts of the range of pixels


@dataclass(frozen=True)
class MaximisedActivation:
    """Pictures that channels of a layer respond to.

    Args:
        layer: path of the layer.
        channels: the channels.
        inputs: the pictures found, as the network takes them: float32 [channels, ...].
        before: responses to the noise that it started from, float64 [channels].
        after: responses to the pictures found.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Conv2d(3, 4, 3))
        >>> found = maximise_activation(model, "0", (3, 8, 8), channels=[2, 0], steps=2)
        >>> found.layer, found.channels, found.inputs.shape, found.after.shape
        ('0', (2, 0), (2, 3, 8, 8), (2,))
    """

    layer: str
    channels: tuple[int, ...]
    inputs: NDArray[np.float32]
    before: NDArray[np.float64]
    after: NDArray[np.float64]


def maximise_activation(
    model: Module,
    layer: str,
    shape: Sequence[int],
    *,
    channels: Sequence[int] | None = None,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    steps: int = 128,
    rate: float = 0.05,
    jitter: int = 2,
    blur: float = 1.0,
    decay: float = 0.005,
    seed: int = 0,
) -> MaximisedActivation:
    """Return pictures that channels of a layer respond to most.

        x <- clip(B (x + rate g / rms(g)) - decay x),   g = d response / d x

    Args:
        model: the network; it runs in eval mode, compiled.
        layer: path of the layer, best one before its activation: where a ReLU gives 0 there is no gradient to follow.
        shape: of one picture, [channels, height, width] or [height, width].
        channels: the channels or units; default all.
        low: the darkest value of the network's input, one number or one per channel of the picture; default -1.
        high: the lightest; default 1.
        steps: gradient steps, >= 1; default 128.
        rate: size of a step in parts of the range (high - low), > 0; default 0.05.
        jitter: largest shift, in pixels, >= 0; default 2.
        blur: deviation of the Gaussian in the first step, in pixels, >= 0; it falls to 0 with the steps; default 1.
        decay: share of the distance to the mean grey that is lost in a step, in [0, 1); default 0.005.
        seed: of noise and shifts; the same seed gives the same pictures; default 0.

    Returns:
        The pictures, with the responses before and after.

    Raises:
        SettingError: no such layer.
        ValueError: a number outside its range.
        IndexRangeError: the layer has no such channel.
        ShapeError: the shape is not that of a picture.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Conv2d(1, 1, 3, bias=False))
        >>> _ = model.load_state_dict({"0.weight": np.array([[[[-1, 0, 1]] * 3]], np.float32)})
        >>> found = maximise_activation(model, "0", (1, 8, 8), steps=30)
        >>> found.inputs.shape, bool(found.after[0] > found.before[0])
        ((1, 1, 8, 8), True)

    Source: Erhan et al., Universite de Montreal 1341 (2009); Olah, Mordvintsev and Schubert, Distill 2017.
    """
    _check(shape, steps, rate, jitter, blur, decay)
    shape = tuple(int(side) for side in shape)
    dtype, random = dtype_of(model), Generator(seed)
    dark, light = (asarray(_per_channel(value, shape).astype(dtype)) for value in (low, high))
    with probed(model, [layer]) as run:
        with no_grad():
            [output] = run(asarray(np.zeros((1, *shape), dtype)))
        total = output.shape[1]
        wanted = channel_at(layer, total, range(total) if channels is None else channels)
        rows = asarray(np.eye(total, dtype=dtype)[wanted])  # [wanted, channels]: row n looks at channel n

        def responses(x: Tensor) -> Tensor:
            [output] = run(x)
            flat = reshape(output, (*output.shape[:2], -1))  # [batch, channels, positions]
            if output.ndim > 2:
                flat = where(flat > 0, flat, LEAK * flat)
            return sum(mean(flat, axis=2) * rows, axis=1)

        noise = asarray(normal((len(wanted), *shape), generator=random).numpy().astype(dtype))
        x = clip((dark + light) / 2 + START * (light - dark) * noise, dark, light)
        step = _step(responses, dark, light, rate, decay)
        with no_grad():
            before = floats(responses(x))
        for number_ in range(steps):
            shifts = randint((2,), -jitter, jitter + 1, generator=random).numpy()
            width = blur * (1 - number_ / max(steps - 1, 1))
            moves = [_shift(side, int(by)) for side, by in zip(shape[-2:], shifts, strict=True)]
            blurs = [_blur(side, width) for side in shape[-2:]]
            x = step(x, *(asarray(matrix.astype(dtype)) for matrix in (*moves, *blurs)))
        with no_grad():
            after = floats(responses(x))
    return MaximisedActivation(layer, tuple(wanted), x.numpy(), before, after)


def _step(responses: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, rate: float, decay: float) -> Callable:
    """Return one compiled step of the ascent."""
    middle, span = (low + high) / 2, high - low

    @jit
    def step(x: Tensor, down: Tensor, across: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        def score(x: Tensor) -> Tensor:
            return sum(responses(down @ x @ swapaxes(across, 0, 1)))

        g: Any = grad(score)(x)
        axes = tuple(range(1, x.ndim))
        size = sqrt(mean(g * g, axis=axes, keepdims=True))
        raised = rows @ (x + rate * span * g / (size + 1e-12)) @ swapaxes(columns, 0, 1)
        return clip(raised - decay * (raised - middle), low, high)

    return step


def _shift(side: int, by: int) -> NDArray[np.float64]:
    """Return the matrix that moves rows by some places, those at the end coming in again at the beginning."""
    return np.roll(np.eye(side), by, axis=0)


def _blur(side: int, width: float) -> NDArray[np.float64]:
    """Return the matrix that blurs a column of pixels, the last one repeated beyond the border; rows sum to 1."""
    if width < 0.1:
        return np.eye(side)
    reach = math.ceil(3 * width)
    matrix = np.zeros((side, side))
    for offset in range(-reach, reach + 1):
        places = np.clip(np.arange(side) + offset, 0, side - 1)
        matrix[np.arange(side), places] += math.exp(-0.5 * (offset / width) ** 2)
    return matrix / matrix.sum(axis=1, keepdims=True)


def _per_channel(values: ArrayLike, shape: tuple[int, ...]) -> NDArray:
    """Return one number, or one per channel as [channels, 1, 1]."""
    array = np.asarray(values, np.float64)
    return array.reshape(-1, 1, 1) if array.size > 1 and len(shape) == 3 else array.reshape(())


def _check(shape: Sequence[int], steps: int, rate: float, jitter: int, blur: float, decay: float) -> None:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ShapeError(
            f"maximise_activation.shape must be [channels, height, width] or [height, width]; got {tuple(shape)}."
        )
    integer("maximise_activation", "steps", steps)
    integer("maximise_activation", "jitter", jitter, 0)
    number("maximise_activation", "rate", rate, 0.0, ends="(]")
    number("maximise_activation", "blur", blur, 0.0)
    number("maximise_activation", "decay", decay, 0.0, 1.0, ends="[)")

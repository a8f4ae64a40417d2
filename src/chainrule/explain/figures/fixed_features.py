"""The figure of designed kernels as features: maps of a digit, learned kernels, and what three networks reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from chainrule import data, nn
from chainrule.core.context import no_grad
from chainrule.explain import fixed_features, pictures
from chainrule.explain.figures._panels import Panel, Row, kernel_panel, sheet
from chainrule.explain.figures.registry import Subject, figure
from chainrule.ops import asarray

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["draw_fixed_features"]

TILE = 84
WORDS = {"pixels": "pixels", "fixed": "designed kernels", "learned": "learned kernels"}


@figure(
    "fixed-features",
    "Designed kernels as features of an MLP, beside its pixels and learned kernels: trained on MNIST, about a minute.",
    needs=(),
)
def draw_fixed_features(subject: Subject) -> Image:
    """Return the kernels of both networks, what they make of a digit, and a table of the three.

    Args:
        subject: its seed is that of the training.
    """
    results = fixed_features.compare_features(seed=subject.seed)
    digit = data.mnist("test").images[0]
    models = {result.name: result.model for result in results if result.model is not None}
    trained = [kernel[0] for kernel in models["learned"][0].weight.numpy()]
    names = [name.removeprefix("line ") for name in fixed_features.BANK]
    panel = Panel(digit)
    rows = [
        Row(
            [panel, *_kernels(fixed_features.BANK.values(), names)],
            "designed kernels: a Gaussian, four edges, four lines",
            TILE,
        ),
        Row([panel, *_maps(models["fixed"], digit)], "what they make of it, after relu and pooling", TILE),
        Row([panel, *_kernels(trained)], "learned kernels", TILE),
        Row([panel, *_maps(models["learned"], digit)], "what they make of it, after bias, relu and pooling", TILE),
    ]
    return sheet(
        rows,
        heading="Pixels, designed kernels or learned kernels as the features of one MLP",
        text=[f"MNIST, 60,000 digits, Adam, seed {subject.seed}: accuracy on the 10,000 test digits after each epoch"],
        table=_table(results),
    )


def _kernels(found: Iterable[NDArray], names: Iterable[str] = ()) -> list[Panel]:
    """Return the kernels in colours, each with a scale of its own."""
    panels = [kernel_panel(kernel, digits=0 if (kernel == np.rint(kernel)).all() else 1, tile=TILE) for kernel in found]
    return [replace(panel, title=name) for panel, name in zip(panels, names)] or panels


def _maps(model: nn.Sequential, digit: NDArray[np.uint8]) -> list[Panel]:
    """Return what the layers before the head make of a digit, all in one scale of shades."""
    x = asarray(digit[None, None].astype(np.float32) / 255)
    with no_grad():
        for layer in model:
            if isinstance(layer, nn.Flatten):
                break
            x = layer(x)
    maps = x.numpy()[0]
    return [Panel(pictures.gray_picture(plane, low=0, high=float(maps.max()))) for plane in maps]


def _table(results: Sequence[fixed_features.FeatureResult]) -> list[list[str]]:
    """Return a row per network: parameters, accuracies, seconds."""
    epochs = range(1, len(results[0].accuracies) + 1)
    rows = [["features", "parameters", *(f"epoch {number}" for number in epochs), "seconds"]]
    for result in results:
        percents = [f"{100 * accuracy:.2f} %" for accuracy in result.accuracies]
        rows.append([WORDS[result.name], f"{result.parameters:,}", *percents, f"{result.seconds:.0f}"])
    return rows

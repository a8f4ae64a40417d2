"""Figures of why the network says what it says: saliency maps and occlusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule.explain import pictures
from chainrule.explain.attribution import Attribution, occlusion, saliency
from chainrule.explain.figures._panels import Panel, Row, sheet
from chainrule.explain.figures._subject import (
    answer,
    bar,
    class_name,
    enlarged,
    model_of,
    sample_panel,
    short,
    strength,
    target_of,
    with_bar,
)
from chainrule.explain.figures.registry import Subject, figure

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_occlusion", "draw_saliency"]

TILE = 224  # pixels of a map


@figure("saliency", "Which pixels of a sample (--sample) the score of a class (--target) depends on: three gradients.")
def draw_saliency(subject: Subject) -> Image:
    """Draw the gradient, gradient x input and SmoothGrad of a class's score for the chosen sample.

    Args:
        subject: the network and its pictures; `target` chooses the class, `seed` the noise of SmoothGrad.
    """
    model = model_of(subject)
    x = subject.inputs[subject.sample : subject.sample + 1]
    plain = saliency(model, x)
    target = target_of(subject, plain.probabilities.shape[1])
    plain = plain if target is None else saliency(model, x, target)
    products = saliency(model, x, target, method="gradient_x_input")
    smooth = saliency(model, x, target, method="smooth_grad", seed=subject.seed)
    products_map = _channels(products).sum(axis=0)
    edge = float(np.quantile(np.abs(products_map), 0.99)) or 1.0
    signed = pictures.signed_picture(products_map, scale=edge)
    panels = [
        sample_panel(subject, plain.probabilities[0]),
        _strongest(plain, "gradient", "largest |d score / d pixel| of the colours"),
        Panel(
            signed, "gradient x input", f"summed over the colours: red raises the score; full colour at {short(edge)}"
        ),
        _strongest(smooth, "SmoothGrad", f"the gradient, mean of 32 noisy copies (seed {subject.seed})"),
    ]
    return sheet([Row(panels, tile=TILE)], heading=_heading(subject, "saliency", plain))


def _strongest(found: Attribution, title: str, note: str) -> Panel:
    """Return the size of the gradient at each pixel, the largest over the channels."""
    size = np.abs(_channels(found)).max(axis=0)
    top = float(np.quantile(size, 0.99)) or 1.0
    return Panel(strength(size, top), title, f"{note}; white is 0, black {short(top)}")


def _channels(found: Attribution) -> NDArray[np.float64]:
    """Return the values of the first sample as [channels, height, width]."""
    values = found.values[0]
    return values if values.ndim == 3 else values[None]


@figure("occlusion", "How much of a class's probability (--target) is lost where a grey square covers a sample.")
def draw_occlusion(subject: Subject) -> Image:
    """Draw what covering each part of the chosen sample costs the probability of a class.

    Args:
        subject: the network and its pictures; `target` chooses the class.
    """
    model = model_of(subject)
    x = subject.inputs[subject.sample : subject.sample + 1]
    plain = saliency(model, x)
    target = target_of(subject, plain.probabilities.shape[1])
    target = int(plain.predicted[0]) if target is None else target
    side = min(x.shape[-2:])
    patch, stride = max(1, side // 4), max(1, side // 16)
    found = occlusion(model, x, target, patch=patch, stride=stride)
    top = pictures.symmetric_scale(found.heat)
    row, column = np.unravel_index(int(found.drops.argmax()), found.drops.shape)
    corner = (int(found.corners[0][row]), int(found.corners[1][column]))
    covered = x.copy()
    covered[..., corner[0] : corner[0] + patch, corner[1] : corner[1] + patch] = 0.0
    after = saliency(model, covered, target)
    name = class_name(subject, target)
    panels = [
        sample_panel(subject, plain.probabilities[0]),
        Panel(
            enlarged(pictures.signed_picture(found.heat, scale=top), TILE),
            "occlusion",
            f"red: covered, {name} loses probability; blue: it gains",
        ),
        Panel(
            _covered(subject.pictures[subject.sample], corner, patch),
            "the worst place",
            f"{name} {_percent(found.before)} becomes {_percent(float(after.probabilities[0, target]))}; "
            f"network: {answer(subject, after.probabilities[0])}",
        ),
    ]
    text = [f"A square of {patch} x {patch} pixels, moved by {stride}, covers with the colour whose input is 0."]
    text += ["Each pixel of the map: what the square costs whose middle is nearest."]
    plain = Attribution("gradient", plain.values, np.array([target]), plain.predicted, plain.probabilities)
    whole = sheet([Row(panels, tile=TILE)], heading=_heading(subject, "occlusion", plain), text=text)
    return with_bar(whole, bar(-top, top, f"loss of probability of {name}"))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _covered(picture: NDArray[np.uint8], corner: tuple[int, int], patch: int) -> NDArray[np.uint8]:
    """Return the picture with the square in grey."""
    result = picture.copy()
    result[corner[0] : corner[0] + patch, corner[1] : corner[1] + patch] = 128
    return result


def _heading(subject: Subject, what: str, found: Attribution) -> str:
    target = int(found.targets[0])
    chosen = "the predicted class" if target == int(found.predicted[0]) else "the class chosen"
    return f"{subject.name}   {what} of {class_name(subject, target)}, {chosen}"

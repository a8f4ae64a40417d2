"""The computations that courses draw, and a reader of the pictures: what stands on each line, as numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import chainrule as cr

SPACE = "{http://www.w3.org/2000/svg}"


def product(x, y, z):
    """Return (x + y) z."""
    return (x + y) * z


def neuron(w0, x0, w1, x1, w2):
    """Return the sigmoid neuron as elementary operations."""
    return 1 / (1 + cr.exp(-(w0 * x0 + w1 * x1 + w2)))


def neuron_with_block(w0, x0, w1, x1, w2):
    """Return the sigmoid neuron, its sigmoid a block."""
    total = w0 * x0 + w1 * x1 + w2
    with cr.debug.block("sigmoid"):
        return 1 / (1 + cr.exp(-total))


@cr.custom_gradient
def sigmoid(x):
    """Return the sigmoid as one operation with a hard-coded derivative."""
    y = 1 / (1 + cr.exp(-x))
    return y, lambda g: g * y * (1 - y)


def softmax_loss(w, x, b, t):
    """Return the cross-entropy of softmax(W x + b) with a target distribution, both as blocks."""
    z = cr.sum(w * x, axis=1) + b
    with cr.debug.block("softmax"):
        e = cr.exp(z)
        p = e / cr.sum(e)
    with cr.debug.block("cross-entropy"):
        return -cr.sum(t * cr.log(p))


NEURON = (2.0, -1.0, -3.0, -2.0, -3.0)


def lines(svg: str) -> list[tuple[str, ...]]:
    """Return per line of a picture what stands on it: (value, gradient, product), those that there are."""
    root = ElementTree.fromstring(svg)
    found = []
    for group in root.iter(f"{SPACE}g"):
        if any(path.get("class", "").startswith("flow") for path in group.iter(f"{SPACE}path")):
            found.append(tuple(text.text or "" for text in group.iter(f"{SPACE}text")))
    return found


def boxes(svg: str) -> list[str]:
    """Return what stands on the boxes of a picture, the first line of each."""
    root = ElementTree.fromstring(svg)
    groups = [group for group in root.iter(f"{SPACE}g") if group.find(f"{SPACE}rect") is not None]
    return [group.find(f"{SPACE}text").text for group in groups if group.find(f"{SPACE}text") is not None]


def rectangles(svg: str) -> list[tuple[float, float, float, float]]:
    """Return left, top, right, bottom of every box of a picture."""
    found = []
    for match in re.finditer(
        r'<rect class="box[^"]*" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg
    ):
        x, y, width, height = map(float, match.groups())
        found.append((x, y, x + width, y + height))
    return found

"""The figure of learned filters beside the designed kernels that they look like most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule import nn
from chainrule.core.errors import SettingError
from chainrule.explain.figures._panels import Panel, Row, sheet
from chainrule.explain.figures.registry import Subject, figure
from chainrule.explain.filter_match import FAMILIES, FilterMatch, count_families, match_filters

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["draw_filter_match"]

SHOWN, TILE = 6, 70
WORDS = {
    "blob": "Gaussians",
    "edge": "edges",
    "line": "lines",
    "spot": "spots: a centre and what surrounds it",
    "grating": "gratings",
    "colour": "colour blobs",
}


@figure(
    "filter-match",
    "Filters of the first layer beside the edge, line, grating or blob that each looks like most.",
    needs=["model"],
)
def draw_filter_match(subject: Subject) -> Image:
    """Return for each family the filters that look like it most, each above its template.

    Args:
        subject: the first convolution of its network is looked at; it must take colours.
    """
    weights = _first_filters(subject)
    matches = match_filters(weights)
    counts = count_families(matches)
    rows = []
    for family in FAMILIES:
        best = sorted((match for match in matches if match.family == family), key=lambda match: -match.cosine)[:SHOWN]
        if best:
            heading = f"{WORDS[family]}: {counts[family][0]} of {len(matches)}, mean cosine {counts[family][1]:.2f}"
            rows.append(Row([_beside(weights[match.index], match) for match in best], heading, 2 * TILE + 6))
    return sheet(
        rows,
        heading=f"{len(matches)} filters of {subject.name or 'the network'}, and the templates they look like most",
        text=["Left the filter, right its template; grey is 0. The cosine of the angle between the two is below."],
    )


def _first_filters(subject: Subject) -> NDArray[np.float64]:
    """Return the weights of the first convolution, [filters, 3, k, k]."""
    assert subject.model is not None
    first = next((layer for layer in subject.model.modules() if isinstance(layer, nn.Conv2d)), None)
    shape = None if first is None else first.weight.shape
    if first is None or shape is None or shape[1] != 3 or shape[2] != shape[3] or shape[2] < 3:
        raise SettingError(
            "filter-match compares square filters of colours, 3 x 3 or larger, in the first convolution; "
            f"{subject.name or 'this network'} has {'no convolution' if shape is None else f'weights {shape}'}."
        )
    weights = np.asarray(first.weight.detach().numpy(), np.float64)
    return weights[np.sqrt(np.square(weights).sum(axis=(1, 2, 3))) > 0]


def _beside(weights: NDArray[np.float64], match: FilterMatch) -> Panel:
    """Return a filter and its template side by side, both in full contrast."""
    pair = [_contrast(weights), _contrast(match.template)]
    factor = TILE // pair[0].shape[0]
    large = [picture.repeat(factor, 0).repeat(factor, 1) for picture in pair]
    gap = np.full((large[0].shape[0], 6, 3), 255, np.uint8)
    angle = f", {np.degrees(match.angle):.0f} deg" if match.family in ("edge", "line", "grating") else ""
    note = f"{match.index}: {match.cosine:.2f}{angle}"
    return Panel(np.concatenate([large[0], gap, large[1]], axis=1), note=note)


def _contrast(weights: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return weights [3, k, k] as colours, 0 in the middle."""
    scaled = weights / (np.abs(weights).max() or 1.0)
    return np.rint(127.5 + 127.5 * scaled).astype(np.uint8).transpose(1, 2, 0)

"""Whether two libraries compute the same: the losses of the first steps, from the same weights on the same batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

__all__ = ["COMPARED", "TOLERANCE", "apart", "differing"]

TOLERANCE = {"float32": 1e-4, "bf16": 2e-2}  # relative, by precision
COMPARED = 4  # losses of deep networks
LEARNT = 0.1  # of what the measure has learnt so far, by which they may be off
SPREAD = 0.03  # PyTorch's modes are no measure of rounding where they differ by more


class Contestant(Protocol):
    """What has losses: `driver.Outcome`."""

    peer: str
    mode: str
    losses: list[float]


def differing(outcomes: Sequence[Contestant], tolerance: float) -> dict[str, float]:
    """Return the largest distance of the losses from PyTorch's, where it is beyond what rounding explains.

    The measure are those of its eager mode, if that ran, else of the first mode that did. They depend on rounding:
    ResNet-18's, from the same weights, differ by 0.1 % between two of PyTorch's layouts. Four times the distance
    between PyTorch's own modes is allowed, and the tolerance at least.

    Args:
        outcomes: of all contestants; where PyTorch did not run, the first one that did is the measure.
        tolerance: relative to the largest loss: where Adam has learnt one batch by heart, the last losses are rounding.
    """
    with_losses, measure = _measure(outcomes)
    far = {f"{o.peer}/{o.mode}": distance(o.losses, measure.losses) for o in with_losses}
    spread = max((d for title, d in far.items() if title.startswith("torch/")), default=0.0)
    allowed = max(tolerance, 4 * spread) if spread <= SPREAD else tolerance
    return {title: d for title, d in far.items() if not d <= allowed}  # not: NaN counts


def apart(outcomes: Sequence[Contestant], tolerance: float) -> dict[str, float]:
    """Return the largest distance of the first four losses from PyTorch's, where it is beyond what rounding explains.

    For deep networks, whose gradients rounding moves by per cents: the first loss must agree to the tolerance, to each
    later one is added a tenth of the way that the measure has come since the first.

    Args:
        outcomes: of all contestants; the measure is that of `differing`.
        tolerance: relative to each loss.
    """
    with_losses, measure = _measure(outcomes)
    found = {}
    for o in with_losses:
        wanted = measure.losses[:COMPARED]
        way = [max(abs(loss - wanted[0]) for loss in wanted[: step + 1]) for step in range(len(wanted))]
        steps = list(zip(o.losses, wanted, way, strict=False))
        if not all(abs(a - b) <= tolerance * abs(b) + LEARNT * learnt for a, b, learnt in steps):
            found[f"{o.peer}/{o.mode}"] = distance(o.losses, wanted)
    return found


def _measure(outcomes: Sequence[Contestant]) -> tuple[list[Contestant], Contestant | None]:
    """Return the contestants that have losses, and the one that the others are held against."""
    found = [o for o in outcomes if o.losses]
    return found, min(found, key=lambda o: (o.peer != "torch", o.mode != "eager"), default=None)


def distance(losses: Sequence[float], measure: Sequence[float]) -> float:
    """Return the largest difference, relative to the largest of the measure; NaN if one of them is NaN."""
    differences = [abs(a - b) for a, b in zip(losses, measure, strict=False)]
    broken = any(math.isnan(d) for d in differences)
    return math.nan if broken else max(differences) / max(abs(loss) for loss in measure)

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
    with_losses = [o for o in outcomes if o.losses]
    measure = min(with_losses, key=lambda o: (o.peer != "torch", o.mode != "eager"), default=None)
    far = {f"{o.peer}/{o.mode}": distance(o.losses, measure.losses) for o in with_losses}
    spread = max((d for title, d in far.items() if title.startswith("torch/")), default=0.0)
    allowed = max(tolerance, 4 * spread) if spread <= SPREAD else tolerance
    return {title: d for title, d in far.items() if not d <= allowed}  # not: NaN counts


def apart(outcomes: Sequence[Contestant], tolerance: float) -> dict[str, float]:
    """Return the distance of the first four losses from PyTorch's, where it is beyond what rounding explains.

    For deep networks, whose gradients rounding moves by per cents: the first loss must agree to the tolerance, to each
    later one is added a tenth of the way that the measure has come since the first, or how far PyTorch's modes have
    come apart, if that is more: 6 % of that way for ResNet-50 on pictures of 224x224 in the third step, and all of it
    for ResNet-152. Being near one of the modes is enough.

    Args:
        outcomes: of all contestants; the measures are PyTorch's modes, or where none ran, the first contestant.
        tolerance: relative to each loss.
    """
    with_losses = [o for o in outcomes if o.losses]
    measures = [o for o in with_losses if o.peer == "torch"] or with_losses[:1]
    spread = [max(step) - min(step) for step in zip(*(m.losses for m in measures), strict=False)]
    spread = [d if d <= SPREAD * abs(measures[0].losses[n]) else 0.0 for n, d in enumerate(spread)]
    found = {}
    for o in with_losses:
        if not any(o is measure or _near(o.losses, measure.losses, tolerance, spread) for measure in measures):
            found[f"{o.peer}/{o.mode}"] = min(distance(o.losses, measure.losses[:COMPARED]) for measure in measures)
    return found


def _near(losses: Sequence[float], measure: Sequence[float], tolerance: float, spread: Sequence[float]) -> bool:
    allowed = 0.0
    for n, (loss, wanted) in enumerate(zip(losses[:COMPARED], measure[:COMPARED], strict=False)):
        if n:  # the first comes before any step
            allowed = max(allowed, LEARNT * abs(wanted - measure[0]), spread[n])
        if not abs(loss - wanted) <= tolerance * abs(wanted) + allowed:  # not: NaN counts
            return False
    return True


def distance(losses: Sequence[float], measure: Sequence[float]) -> float:
    """Return the largest difference, relative to the largest of the measure; NaN if one of them is NaN."""
    differences = [abs(a - b) for a, b in zip(losses, measure, strict=False)]
    broken = any(math.isnan(d) for d in differences)
    return math.nan if broken else max(differences) / max(abs(loss) for loss in measure)

"""Which entry of PyTorch's operator database is which function of chainrule, and why the others are not covered."""

from __future__ import annotations

from tests.oracle import elementwise, indexing, layers, losses, matrices, reductions, shapes, special, spectra
from tests.oracle.harness import ENTRIES, Operator

FAMILIES = (elementwise, special, reductions, shapes, indexing, matrices, spectra, layers, losses)


def _merged() -> dict[str, Operator]:
    """Return all rows; no entry may stand in two families."""
    merged: dict[str, Operator] = {}
    for family in FAMILIES:
        twice = merged.keys() & family.OPERATORS.keys()
        assert not twice, f"{family.__name__} repeats {sorted(twice)}"
        merged |= family.OPERATORS
    return {name: merged[name] for name in ENTRIES if name in merged} | merged


OPERATORS = _merged()

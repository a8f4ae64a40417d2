"""A leaf of a step's result that is an output of its graph."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Output"]


@dataclass(frozen=True)
class Output:
    """A leaf of the result that is a graph output."""

    index: int

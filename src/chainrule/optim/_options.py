"""The settings of optimizers: which numbers each takes, in which range, and the one sentence for a bad one.

Three kinds: a number (a cell of a parameter group), a tuple of numbers, and a flag. Numbers and tuples may change at
any time without a re-trace; a flag is structure.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any

__all__ = ["Flag", "Number", "Option", "Pair", "check_integer", "check_number"]


@dataclass(frozen=True)
class Number:
    """A finite real number.

    Args:
        low: least value allowed.
        high: greatest value allowed, or None.
        open_low: whether `low` itself is refused.
        open_high: whether `high` itself is refused.
        term: whether zero leaves a whole term out of the update rule (momentum, weight decay).
    """

    low: float = 0.0
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    term: bool = False

    def __str__(self) -> str:
        if self.high is None:
            return f"a number {'>' if self.open_low else '>='} {self.low:g}"
        return f"a number in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"

    def accepts(self, value: Any) -> bool:
        """Return whether `value` is such a number."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            return False
        number = float(value)
        above = number > self.low if self.open_low else number >= self.low
        return above and (self.high is None or (number < self.high if self.open_high else number <= self.high))

    def clean(self, value: Any, owner: str) -> float:
        """Return the number as a float; `owner` names the setting in the error."""
        if not self.accepts(value):
            raise ValueError(f"{owner} must be {self}; got {value!r}.")
        return float(value)


@dataclass(frozen=True)
class Pair:
    """A tuple of two numbers of one kind."""

    number: Number

    def __str__(self) -> str:
        return f"two numbers, each {self.number}"

    def clean(self, value: Any, owner: str) -> tuple[float, ...]:
        """Return the numbers as floats."""
        if not isinstance(value, tuple | list) or len(value) != 2 or not all(map(self.number.accepts, value)):
            raise ValueError(f"{owner} must be {self}; got {value!r}.")
        return tuple(float(item) for item in value)


@dataclass(frozen=True)
class Flag:
    """True or False."""

    def __str__(self) -> str:
        return "True or False"

    def clean(self, value: Any, owner: str) -> bool:
        """Return the flag."""
        if not isinstance(value, bool):
            raise ValueError(f"{owner} must be {self}; got {value!r}.")
        return value


Option = Number | Pair | Flag


def check_number(owner: str, value: Any, **limits: Any) -> float:
    """Return `value` as a float.

    Raises:
        ValueError: it is not a finite number within the limits; `owner` names the setting, like "StepLR.gamma".
    """
    return Number(**limits).clean(value, owner)


def check_integer(owner: str, value: Any, low: int = 0) -> int:
    """Return `value` as an int.

    Raises:
        ValueError: it is not an integer >= low; `owner` names the setting, like "StepLR.step_size".
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise ValueError(f"{owner} must be an integer >= {low}; got {value!r}.")
    return int(value)

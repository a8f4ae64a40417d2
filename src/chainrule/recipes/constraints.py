"""What a recipe's keys may hold: one small class per kind of value, and one sentence for a value that is not allowed.

Each kind says what it allows (`str(kind)`), and gives back the cleaned value or refuses it (`clean`). The schema is a
table of these; checking, reading `--set key=value`, error messages and the documentation's page all come from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainrule.core.errors import RecipeError, nearest

__all__ = ["Choice", "Flag", "Integer", "Integers", "Kind", "Parts", "Real", "Reals", "Text"]


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high]; without `high` there is no upper end."""

    low: int | None = 0
    high: int | None = None

    def __str__(self) -> str:
        if self.low is None:
            return "an integer"
        return f"an integer >= {self.low}" if self.high is None else f"an integer in [{self.low}, {self.high}]"

    def clean(self, key: str, value: Any) -> int:
        """Return the number."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise refusal(key, self, value)
        return value


@dataclass(frozen=True)
class Real:
    """A finite number in [low, high], without the ends that are open."""

    low: float | None = None
    high: float | None = None
    open_high: bool = False

    def __str__(self) -> str:
        if self.low is None:
            return "a number"
        if self.high is None:
            return f"a number >= {self.low:g}"
        return f"a number in [{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"

    def clean(self, key: str, value: Any) -> float:
        """Return the number as a float."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise refusal(key, self, value)
        low = self.low is None or value >= self.low
        high = self.high is None or (value < self.high if self.open_high else value <= self.high)
        if not (low and high):
            raise refusal(key, self, value)
        return float(value)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def __str__(self) -> str:
        return "true or false"

    def clean(self, key: str, value: Any) -> bool:
        """Return the flag."""
        if not isinstance(value, bool):
            raise refusal(key, self, value)
        return value


@dataclass(frozen=True)
class Text:
    """Any text."""

    def __str__(self) -> str:
        return "text"

    def clean(self, key: str, value: Any) -> str:
        """Return the text."""
        if not isinstance(value, str):
            raise refusal(key, self, value)
        return value


@dataclass(frozen=True)
class Choice:
    """One of some names."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "one of " + ", ".join(f'"{name}"' for name in self.names)

    def clean(self, key: str, value: Any) -> str:
        """Return the name."""
        if value not in self.names:
            raise refusal(key, self, value, nearest(value, self.names) if isinstance(value, str) else "")
        return value


@dataclass(frozen=True)
class Integers:
    """A list of whole numbers, each >= low, at least `least` of them."""

    low: int = 1
    least: int = 1

    def __str__(self) -> str:
        return f"a list of integers >= {self.low}" + (f", at least {self.least}" if self.least > 1 else "")

    def clean(self, key: str, value: Any) -> list[int]:
        """Return the numbers."""
        whole = isinstance(value, list) and all(isinstance(i, int) and not isinstance(i, bool) for i in value)
        if not whole or len(value) < self.least or min(value) < self.low:
            raise refusal(key, self, value)
        return list(value)


@dataclass(frozen=True)
class Reals:
    """A list of a given number of finite numbers."""

    count: int

    def __str__(self) -> str:
        return f"a list of {self.count} numbers"

    def clean(self, key: str, value: Any) -> list[float]:
        """Return the numbers as floats."""
        if not isinstance(value, list) or len(value) != self.count:
            raise refusal(key, self, value)
        return [Real().clean(f"{key}[{place}]", item) for place, item in enumerate(value)]


@dataclass(frozen=True)
class Parts:
    """A list of named parts, each a table of its name and options; text alone is a part without options."""

    parts: Mapping[str, Any]  # name -> what has `options`, a mapping of keys

    def __str__(self) -> str:
        return 'a list of tables such as { name = "' + next(iter(self.parts)) + '" }'

    def clean(self, key: str, value: Any) -> list[dict[str, Any]]:
        """Return one table per part, with every option filled in."""
        if not isinstance(value, list):
            raise refusal(key, self, value)
        return [self._part(f"{key}[{place}]", item) for place, item in enumerate(value)]

    def _part(self, key: str, item: Any) -> dict[str, Any]:
        table = {"name": item} if isinstance(item, str) else item
        if not isinstance(table, dict) or "name" not in table:
            raise RecipeError(f'{key} must be a table with a name, such as {{ name = "crop" }}; got {item!r}.')
        name = Choice(tuple(self.parts)).clean(f"{key}.name", table["name"])
        known = self.parts[name].options
        for option in table:
            if option != "name" and option not in known:
                hint = nearest(option, known).replace("'", f"'{key}.", 1)
                allowed = ", ".join(known) or "no options"
                raise RecipeError(f"unknown recipe key {key}.{option}{hint or '.'} {name} has {allowed}.")
        values = {option: table.get(option, known[option].default) for option in known}
        return {"name": name} | {option: known[option].kind.clean(f"{key}.{option}", v) for option, v in values.items()}


Kind = Integer | Real | Flag | Text | Choice | Integers | Reals | Parts


def refusal(key: str, kind: Kind, value: Any, hint: str = "") -> RecipeError:
    """Return the error for a value that is not allowed, in the one form that all of them have."""
    return RecipeError(f"{key} must be {kind}; got {value!r}{hint or '.'}")

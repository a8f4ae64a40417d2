"""Tells the site builder how to read the house's docstrings, which are plain text in a fixed order.

`Example:` holds doctest lines and `Call:` describes what a layer is called with; the Google style, which the reader of
docstrings knows, wants the first in the plural, does not know the second, and wants an empty line between sections.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

SECTIONS = "Args|Call|Attributes|Returns|Yields|Raises|Example|Source"


def called_with(section: str) -> str:
    """Return the lines under `Call:` as a list: one item per entry, continued lines joined to it.

    Args:
        section: the indented lines.
    """
    items: list[str] = []
    for line in section.splitlines():
        if line.startswith("     ") and items:
            items[-1] += " " + line.strip()
        elif line.strip():
            items.append("- " + re.sub(r"^(\w+):", r"`\1`:", line.strip()))
    return "**Called with:**\n\n" + "\n".join(items) + "\n"


def as_google(text: str) -> str:
    """Return a docstring of the house in the Google style; text outside the sections stays as it is.

    Args:
        text: a docstring without common indentation.
    """
    text = re.sub(rf"(?<!\n)\n(?=({SECTIONS}):)", "\n\n", text)
    text = re.sub(r"^Call:[ \t]*\n((?: {4}.*\n?)+)", lambda match: called_with(match[1]), text, flags=re.MULTILINE)
    text = re.sub(r"^Example:[ \t]*$", "Examples:", text, flags=re.MULTILINE)
    return re.sub(r"^Source:[ \t]*(?=\S)", "**Source:** ", text, flags=re.MULTILINE)


class Contract(griffe.Extension):
    """Rewrite each docstring when it has been read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute.

        Args:
            obj: what was read.
        """
        if obj.docstring:
            obj.docstring.value = as_google(obj.docstring.value)

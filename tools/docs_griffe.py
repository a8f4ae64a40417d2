"""Tells the site builder how to read the house's docstrings, which are plain text in a fixed order.

`Example:` holds doctest lines and `Call:` describes what a layer is called with; the Google style, which the reader of
docstrings knows, wants the first in the plural and does not know the second.
"""

from __future__ import annotations

import re
from typing import Any

import griffe


def as_google(text: str) -> str:
    """Return a docstring of the house in the Google style; text outside the sections stays as it is.

    Args:
        text: a docstring without common indentation.
    """
    text = re.sub(r"^Example:[ \t]*$", "Examples:", text, flags=re.MULTILINE)
    text = re.sub(r"^Call:[ \t]*$", "Called with:", text, flags=re.MULTILINE)
    return re.sub(r"^Source:[ \t]*(?=\S)", "\n**Source:** ", text, flags=re.MULTILINE)


class Contract(griffe.Extension):
    """Rewrite each docstring when it has been read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute.

        Args:
            obj: what was read.
        """
        if obj.docstring:
            obj.docstring.value = as_google(obj.docstring.value)

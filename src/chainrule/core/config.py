"""All switches of chainrule in one place: environment variables, their words, and what they do.

The documentation's page of switches is generated from `SWITCHES`; a wrong word is an error that lists the right ones.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from chainrule.core.errors import ChainruleError, nearest

__all__ = ["SWITCHES", "Switch", "cache_folder", "data_folder", "show", "shows", "target_word"]


@dataclass(frozen=True)
class Switch:
    """One environment variable: its name, the words it takes (empty: free text) and its meaning."""

    name: str
    words: tuple[str, ...]
    meaning: str


SWITCHES = (
    Switch(
        "CHAINRULE_SHOW",
        ("graph", "passes", "kernels", "llvm", "asm", "retrace"),
        "Print stages of `cr.jit` to standard error: the traced graph; the graph after each pass that changed it; the "
        "kernels, measured, as `explain()` has them; LLVM's text; assembly language; the reason of each re-trace. "
        "Separate words by commas.",
    ),
    Switch("CHAINRULE_DATA", (), "The folder with data sets in their official file formats."),
    Switch(
        "CHAINRULE_THREADS",
        (),
        "Threads for compiled functions and matrix products, at least 1; default: every core, and for matrix products "
        "NumPy's own number, or 1 for `chainrule train`.",
    ),
    Switch(
        "CHAINRULE_CACHE",
        (),
        "The folder for converted data and compiled code; default the user's cache folder; `off` keeps nothing.",
    ),
    Switch(
        "CHAINRULE_TARGET",
        ("native", "avx512", "avx2", "sse2"),
        "The instruction set that compiled code uses; default `native`, the best that the CPU has.",
    ),
)

started = time.time()  # when this process began to import chainrule

_BY_NAME = {switch.name: switch for switch in SWITCHES}
_shown: set[str] | None = None


def _words(text: str, switch: Switch) -> set[str]:
    words = {word.strip() for word in text.split(",") if word.strip()}
    for word in sorted(words - set(switch.words)):
        raise ChainruleError(
            f"{switch.name} takes {', '.join(switch.words)}; got {word!r}{nearest(word, switch.words)}"
        )
    return words


def shows(word: str) -> bool:
    """Return whether the stage `word` is to be printed."""
    global _shown
    if _shown is None:
        _shown = _words(os.environ.get("CHAINRULE_SHOW", ""), _BY_NAME["CHAINRULE_SHOW"])
    return word in _shown


@contextlib.contextmanager
def show(*words: str) -> Iterator[None]:
    """Print the named stages of `cr.jit` to standard error inside the block.

    Args:
        words: any of "graph", "passes", "kernels", "llvm", "asm", "retrace".

    Raises:
        ChainruleError: an unknown word; the message lists the valid ones.

    Example:
        >>> import chainrule as cr
        >>> with cr.show("retrace"):
        ...     y = cr.jit(lambda x: x + 1)(cr.ones(2))
    """
    global _shown
    added = _words(",".join(words), _BY_NAME["CHAINRULE_SHOW"])
    shows("graph")
    before, _shown = _shown, (_shown or set()) | added
    try:
        yield
    finally:
        _shown = before


def data_folder() -> pathlib.Path | None:
    """Return the folder that CHAINRULE_DATA names, or None."""
    text = os.environ.get("CHAINRULE_DATA")
    return pathlib.Path(text).expanduser() if text else None


def cache_folder() -> pathlib.Path:
    """Return the folder for what can be made again: CHAINRULE_CACHE, or the platform's cache folder.

    It may not exist yet.

    Raises:
        OSError: CHAINRULE_CACHE=off.
        RuntimeError: the user has no home folder.
    """
    text = os.environ.get("CHAINRULE_CACHE")
    if text == "off":
        raise OSError(errno.ENOENT, "CHAINRULE_CACHE=off: nothing is kept")
    if text:
        return pathlib.Path(text).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or pathlib.Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = pathlib.Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "chainrule"


def target_word() -> str:
    """Return the instruction set that CHAINRULE_TARGET asks for, "native" without it.

    Raises:
        ChainruleError: an unknown word; the message lists the valid ones.
    """
    switch = _BY_NAME["CHAINRULE_TARGET"]
    word = os.environ.get(switch.name, "").strip() or "native"
    if word not in switch.words:
        close = nearest(word, switch.words)
        raise ChainruleError(f"{switch.name} takes {', '.join(switch.words)}; got {word!r}{close}")
    return word

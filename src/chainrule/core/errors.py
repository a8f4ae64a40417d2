"""Every error that chainrule raises on purpose, and where in the user's code it happened.

A message names what was given, what was expected and the way out. Operation errors also carry the user's line and
the path of the module they happened in; `Module.__call__` fills in the path while the error travels outwards.
"""

from __future__ import annotations

import difflib
import os
import sys
import types
import warnings
from collections.abc import Iterable

__all__ = [
    "ChainruleError",
    "ChainruleWarning",
    "CheckpointError",
    "ChecksumError",
    "DTypeError",
    "DataError",
    "GradientError",
    "IndexRangeError",
    "LinAlgError",
    "MachineError",
    "MissingDataError",
    "MissingExtraError",
    "NonFiniteError",
    "RecipeError",
    "SettingError",
    "ShapeError",
    "StateDictError",
    "TraceError",
    "nearest",
    "notice",
    "user_location",
]

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_COMMAND_LINE = os.path.join(PACKAGE, "cli") + os.sep
_PYTHON = os.path.dirname(os.__file__) + os.sep


class ChainruleError(Exception):
    """Base of all errors that chainrule raises; `message` is the sentence without the place.

    Args:
        message: what was given, what was expected, and the way out.
        location: the user's line, like "mlp.py:14"; default none.
    """

    def __init__(self, message: str, *, location: str | None = None):
        super().__init__(message)
        self.message = message
        self.location = location
        self.module_path: str | None = None

    def __str__(self) -> str:
        place = [part for part in (self.location, self.module_path and f"in {self.module_path}") if part]
        return self.message + (f"\n  ({', '.join(place)})" if place else "")

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.message, self.location, self.module_path)


def _rebuild(kind: type[ChainruleError], message: str, location: str | None, path: str | None) -> ChainruleError:
    error = (OSError if issubclass(kind, OSError) else kind).__new__(kind)  # Python asks for the widest base's own
    ChainruleError.__init__(error, message, location=location)
    error.module_path = path
    return error


class ShapeError(ChainruleError, ValueError):
    """Shapes that do not fit the operation."""


class DTypeError(ChainruleError, TypeError):
    """A dtype that the operation does not take, or two that do not mix."""


class IndexRangeError(ChainruleError, IndexError):
    """An index, class label or axis outside its range."""


class LinAlgError(ChainruleError, ValueError):
    """A matrix without the inverse or the factorisation that was asked for."""


class GradientError(ChainruleError, RuntimeError):
    """A gradient that does not exist: no tape, a freed tape, a missing rule, a leaf assigned while recording."""


class TraceError(ChainruleError, RuntimeError):
    """A value asked for while tracing, or a traced value used after its trace ended."""


class NonFiniteError(ChainruleError, ArithmeticError):
    """A NaN or an infinity where training can't go on."""


class StateDictError(ChainruleError, ValueError):
    """A state dict whose names or shapes differ from the module's or optimizer's."""


class CheckpointError(ChainruleError, ValueError):
    """A checkpoint or weights file that is missing, damaged or belongs to other settings."""


class RecipeError(ChainruleError, ValueError):
    """A recipe with an unknown key or a value that is not allowed."""


class SettingError(ChainruleError, ValueError):
    """A setting that does not fit the others."""


class DataError(ChainruleError, ValueError):
    """Data that can't be used: truncated, malformed, empty or inconsistent."""


class ChecksumError(DataError):
    """A file whose content is not the published one."""


class MissingDataError(DataError, FileNotFoundError):
    """A data set that is not on this machine."""


class MissingExtraError(ChainruleError, ImportError):
    """An optional library that is not installed; the message holds the pip command."""


class MachineError(ChainruleError, RuntimeError):
    """Native code that can't be made or run on this machine."""


class ChainruleWarning(UserWarning):
    """Something worth knowing that does not stop the work."""


_noticed: set[str] = set()


def notice(message: str, *, once: bool = True) -> None:
    """Warn the user with a `ChainruleWarning`, once per process and message unless `once=False`."""
    if once and message in _noticed:
        return
    _noticed.add(message)
    warnings.warn(message, ChainruleWarning, stacklevel=3)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest valid name, or an empty string."""
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def user_frame(start: int = 1) -> types.FrameType | None:
    """Return the innermost frame outside the package and outside Python's own library (copy, functools), or None.

    Below the command line there is no code of the user's.
    """
    frame = sys._getframe(start)
    while frame is not None and _is_library(frame.f_code.co_filename):
        if frame.f_code.co_filename.startswith(_COMMAND_LINE):
            return None
        frame = frame.f_back
    return frame


def _is_library(path: str) -> bool:
    return path.startswith((PACKAGE, "<frozen ")) or (path.startswith(_PYTHON) and "site-packages" not in path)


def user_location() -> str | None:
    """Return the user's line as "file.py:14", or "cell, line 3" in a notebook, or None outside any user code."""
    frame = user_frame(2)
    if frame is None:
        return None
    return describe_line(frame.f_code.co_filename, frame.f_lineno)


def describe_line(filename: str, line: int) -> str:
    """Return a short name of a source line; notebook cells have no file, so they are named as cells."""
    if filename.startswith("<ipython-input-"):
        return f"cell {filename.split('-')[2]}, line {line}"
    if f"{os.sep}ipykernel_" in filename:
        return f"cell, line {line}"
    return f"{os.path.basename(filename)}:{line}"

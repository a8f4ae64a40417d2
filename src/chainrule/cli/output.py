"""What the command line prints: results on standard output, everything else on standard error.

An error is one message, without a traceback; `--debug` shows the traceback. On a terminal it is wrapped to its width,
in a pipe it stays as it is, so that programs can read it.
"""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from chainrule.core.errors import ChainruleError, ChainruleWarning, RecipeError

__all__ = ["FAILED", "STOPPED", "USAGE", "guarded", "problem", "result", "say", "table"]

FAILED, USAGE, STOPPED = 1, 2, 130  # exit codes


def guarded(words: list[str]) -> int:
    """Run the command line on these words; return the exit code, and say in one message what went wrong."""
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    words = [word for place, word in enumerate(words) if place >= end or word != "--debug"]
    from chainrule.cli.app import app

    try:
        with _notices():
            code = app(args=words, prog_name="chainrule", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        _forget_output()
        return 0
    except (KeyboardInterrupt, EOFError):
        say("\nstopped")
        return STOPPED
    except Exception as error:
        if type(error).__name__ == "Abort":
            return STOPPED
        if type(error).__name__ == "NoArgsIsHelpError":  # the help stands on the screen already
            return USAGE
        if debug:
            traceback.print_exc()
        text, code = problem(error)
        text = "\n".join([text, *getattr(error, "__notes__", ())])
        _print(sys.stderr, "error: ", "bold red", text)
        return code


def problem(error: Exception) -> tuple[str, int]:
    """Return what to say about an error, and the exit code."""
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # from the parser of the command line
        context = getattr(error, "ctx", None)
        path = getattr(context, "command_path", "chainrule")
        return f"{error.format_message().strip()} Try: {path} --help", USAGE
    if isinstance(error, ChainruleError):
        return str(error), USAGE if isinstance(error, RecipeError) else FAILED
    if isinstance(error, MemoryError):
        return "there is not enough memory: make train.batch_size or the network smaller.", FAILED
    if isinstance(error, OSError):
        return _disk_problem(error), FAILED
    if isinstance(error, ValueError | KeyError | TypeError) and error.args and isinstance(error.args[0], str):
        return error.args[0], FAILED
    return (
        f"{type(error).__name__}: {error}. This is a bug in chainrule: please report it with what --debug shows.",
        FAILED,
    )


def _disk_problem(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename is not None else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{place}: {error.strerror}. What was saved before is whole."
    return f"{error.strerror or error}{place}."


def say(text: str) -> None:
    """Print a line on standard error."""
    _print(sys.stderr, "", "", text)


def result(text: str) -> None:
    """Print a line on standard output, as it is."""
    print(text, flush=True)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _print(stream: TextIO, head: str, style: str, text: str) -> None:
    if not stream.isatty():
        print(head + text, file=stream, flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    Console(file=stream, highlight=False).print(Text(head, style=style) + Text(text), soft_wrap=False)


@contextmanager
def _notices() -> Iterator[None]:
    """Print chainrule's notices as lines that begin with "note:", and leave other warnings as they are."""

    def show(
        message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if issubclass(category, ChainruleWarning):
            _print(sys.stderr, "note: ", "bold yellow", str(message))
        else:
            before(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ChainruleWarning)
        before, warnings.showwarning = warnings.showwarning, show
        yield


def _forget_output() -> None:
    """Let Python's own flush at exit write to nowhere instead of to the closed pipe."""
    import os

    handle = os.open(os.devnull, os.O_WRONLY)
    os.dup2(handle, sys.stdout.fileno())

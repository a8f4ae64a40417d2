"""Floor 8: the command line. In: words that a user types. Out: what the floors below do, and an exit code.

    app.py       the commands and their help
    output.py    tables, notices and errors on the terminal
    doctor.py    what `chainrule doctor` looks at
    picture.py   what `chainrule graph` draws
    figures.py   what `chainrule explain` looks at, and the files that it writes

Exit codes: 0 all went well, 1 the work failed, 2 the command or a recipe is wrong, 130 stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["run"]


def main() -> None:
    """Run the command line with the words of this process, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run the command line.

    Args:
        words: the command and its arguments, without the program's name.

    Returns:
        The exit code.

    Example:
        >>> run(["recipes"])                                                                 # doctest: +ELLIPSIS
        cifar10-m1 ...
        mnist-mlp  ...
        0
    """
    from chainrule.cli.output import guarded

    return guarded(list(words))


def __getattr__(name: str) -> Any:
    if name == "app":  # typer is imported when a command runs, not before
        from chainrule.cli.app import app

        return app
    raise AttributeError(f"module 'chainrule.cli' has no attribute {name!r}")

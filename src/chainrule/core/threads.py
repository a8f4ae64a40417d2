"""How many threads compute: those of compiled functions, and those of the BLAS that NumPy multiplies matrices with.

A small product is fastest on one thread, and a BLAS that spins on every core waits for its neighbours: on a busy
machine two threads were three times slower than one. `chainrule train` therefore uses one unless it is told otherwise;
a Python program keeps NumPy's number until it calls `set_num_threads`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from chainrule.core.errors import ChainruleError

__all__ = ["chosen_threads", "get_num_threads", "limit_products", "requested_threads", "set_num_threads"]

VARIABLE = "CHAINRULE_THREADS"
_limits: list[Any] = []  # the limit in force; it ends when its object does
_chosen: list[int] = []  # what set_num_threads was told last
on_change: list[Callable[[], None]] = []  # called when that changes


def set_num_threads(threads: int) -> None:
    """Set the number of threads for matrix products and compiled functions in this process.

    Args:
        threads: at least 1.

    Raises:
        ValueError: a number below 1, or no integer.

    Example:
        >>> import chainrule as cr
        >>> before = cr.get_num_threads()
        >>> cr.set_num_threads(1)
        >>> cr.get_num_threads()
        1
        >>> cr.set_num_threads(before)
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"set_num_threads.threads must be an int >= 1; got {threads!r}.")
    limit_products(threads)
    _chosen[:] = [threads]
    for call in on_change:
        call()


def limit_products(threads: int) -> None:
    """Set the number of threads for NumPy's matrix products alone."""
    from threadpoolctl import threadpool_limits

    _limits[:] = [threadpool_limits(limits=threads, user_api="blas")]


def get_num_threads() -> int:
    """Return the number of threads for matrix products; 1 where NumPy's BLAS can't be asked.

    Example:
        >>> import chainrule as cr
        >>> cr.get_num_threads() >= 1
        True
    """
    from threadpoolctl import threadpool_info

    found = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    return max(found, default=1)


def chosen_threads() -> int | None:
    """Return what `set_num_threads` was told last (by `import chainrule`: CHAINRULE_THREADS), or None."""
    return _chosen[0] if _chosen else None


def requested_threads() -> int | None:
    """Return the number that CHAINRULE_THREADS asks for, or None.

    Raises:
        ChainruleError: the variable holds no number of threads.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ChainruleError(f"{VARIABLE} must be a number of threads, at least 1; got {text!r}.")
    return int(text)

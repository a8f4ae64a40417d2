"""Which attributes a Python function reads, and of what: `self.config.rate` is the chain ("self", "config", "rate").

Read off the bytecode: a name followed by attributes. An attribute of anything else, say of what a call returned, is
loose: it may belong to any object.
"""

from __future__ import annotations

import dis
import functools
import types
from typing import NamedTuple

__all__ = ["Accesses", "accesses"]


class Accesses(NamedTuple):
    """What a function reads.

    Attributes:
        globals: chains that start at a global name.
        locals: chains that start at a parameter, a local or a closure variable.
        loose: attributes of what a call or an index returned.
    """

    globals: frozenset[tuple[str, ...]]
    locals: frozenset[tuple[str, ...]]
    loose: frozenset[str]


@functools.lru_cache(maxsize=4096)
def accesses(code: types.CodeType) -> Accesses:
    """Return what a function and the functions inside it read.

    Example:
        >>> def step(self, x):
        ...     return scale * x + self.config.rate + x.sum().size
        >>> found = accesses(step.__code__)
        >>> sorted(found.globals), sorted(found.locals), sorted(found.loose)
        ([('scale',)], [('self', 'config', 'rate'), ('x',), ('x', 'sum')], ['size'])
    """
    found: dict[str, set] = {"globals": set(), "locals": set(), "loose": set()}
    kind = ""
    chain: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in ("LOAD_ATTR", "LOAD_METHOD"):
            if chain:
                chain = (*chain, instruction.argval)
            else:
                found["loose"].add(instruction.argval)
            continue
        if chain:
            found[kind].add(chain)
        kind, chain = _root(name, instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = accesses(constant)
            found["globals"] |= inner.globals
            found["locals"] |= inner.locals
            found["loose"] |= inner.loose
    return Accesses(*(frozenset(found[key]) for key in ("globals", "locals", "loose")))


def _root(name: str, value: object) -> tuple[str, tuple[str, ...]]:
    """Return the start of a chain, if the instruction loads a variable."""
    if name in ("LOAD_GLOBAL", "LOAD_NAME"):
        return "globals", (str(value),)
    if name.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF", "STORE_FAST_LOAD_FAST")):
        return "locals", (str(value[-1] if isinstance(value, tuple) else value),)
    return "", ()

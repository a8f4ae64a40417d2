"""What a trace depended on besides its arguments: numbers, strings, modules and optimizers it reached by name.

A traced step froze every Python number that it read. The guards remember those that the function can reach through its
closure and globals, so that a changed number re-traces instead of giving an old result. Modules, optimizers and parameter
groups carry a version; while nothing structural changed in the process, one integer is compared for all of them.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator
from typing import Any

from chainrule.core import context
from chainrule.core.context import Versioned
from chainrule.core.errors import PACKAGE
from chainrule.core.tensor import Tensor

__all__ = ["Guards"]

SCALARS = (bool, int, float, str, bytes, type(None))
_LIBRARY = (PACKAGE, os.path.dirname(os.__file__) + os.sep)
_MISSING = object()


def _installed(path: str) -> bool:
    """Return whether a source file belongs to chainrule, Python or an installed package, and not to the user."""
    return path.startswith(_LIBRARY) or f"{os.sep}site-packages{os.sep}" in path


class Guards:
    """The frozen surroundings of a traced function.

    Args:
        function: the traced Python function.
        extra: objects among its arguments that carry a version.

    Attributes:
        frozen: name -> number, string or boolean that the trace may have read.
    """

    def __init__(self, function: Callable[..., Any], extra: list[Any] = ()):
        self.reads: list[tuple[str, Callable[[], Any], Any]] = []
        self.identities: list[tuple[str, Callable[[], Any], Any]] = []
        self.versioned: list[tuple[str, Versioned, tuple[int, ...]]] = []
        self._seen: set[int] = set()
        self._function(function, getattr(function, "__name__", "step"), root=True)
        for item in extra:
            self._object("argument", lambda item=item: item, item, frozenset(), 0)
        self.epoch = context.epoch()

    @property
    def frozen(self) -> dict[str, Any]:
        """Numbers and strings that the trace may have read, by name."""
        return {name: value for name, _, value in self.reads if value is not None}

    def changed(self) -> str | None:
        """Return what changed since the trace, in words, or None."""
        for name, read, value in self.reads:
            now = read()
            if now is not value and (type(now) is not type(value) or now != value):
                return f"{name} was {value!r}, now {now!r}" if now is not _MISSING else f"{name} is gone"
        for name, read, value in self.identities:
            if read() is not value:
                return f"{name} is another object"
        if self.epoch != context.epoch():
            for name, item, versions in self.versioned:
                if item._fingerprint() != versions:
                    return f"{name} changed: a part was added, replaced, frozen, or switched between train and eval"
            self.epoch = context.epoch()
        return None

    # ------------------------------------------------------------------------------------------------ collecting
    def _function(self, function: Any, name: str, root: bool = False) -> None:
        """Guard what a function reaches by name; library code is left out, unless it was itself handed to jit."""
        function = getattr(function, "__wrapped__", function)
        if isinstance(function, types.MethodType):
            for method in _methods(type(function.__self__), function.__func__):
                self._object("self", lambda: function.__self__, function.__self__, _names(method.__code__), 0)
                self._function(method, name, root)
            return
        code = getattr(function, "__code__", None)
        if code is None:
            self._object(name, lambda: function, function, frozenset(), 0)
            return
        if id(code) in self._seen or (_installed(code.co_filename) and not root):
            return
        self._seen.add(id(code))
        names = _names(code)
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._object(variable, lambda cell=cell: _contents(cell), _contents(cell), names, 0)
        space = function.__globals__ if not _installed(code.co_filename) else {}
        for variable in sorted(names & space.keys()):
            self._object(variable, lambda variable=variable: space.get(variable, _MISSING), space[variable], names, 0)
        for variable, default in _defaults(function):
            self._object(variable, lambda default=default: default, default, names, 0)

    def _object(self, name: str, read: Callable[[], Any], value: Any, names: frozenset[str], depth: int) -> None:
        if isinstance(value, SCALARS):
            self.reads.append((name, read, value))
            return
        if depth and id(value) in self._seen:
            return
        if isinstance(value, Tensor):
            self.identities.append((name, read, value))
        elif isinstance(value, Versioned):
            self.identities.append((name, read, value))
            self.versioned.append((name, value, value._fingerprint()))
            self._method(name, value)
        elif isinstance(value, types.FunctionType | types.MethodType):
            self.identities.append((name, read, value)) if depth == 0 else None
            self._function(value, name)
        elif depth < 3:
            self._container(name, read, value, names, depth)

    def _method(self, name: str, value: Versioned) -> None:
        """Follow a user-written forward into its own globals."""
        forward = getattr(type(value), "forward", None)
        if isinstance(forward, types.FunctionType):
            for method in _methods(type(value), forward):
                self._function(method, name)
        for part in value._versioned_parts():
            self._method(name, part)

    def _container(self, name: str, read: Callable[[], Any], value: Any, names: frozenset[str], depth: int) -> None:
        self._seen.add(id(value))
        if isinstance(value, list | tuple):
            self.reads.append((f"len({name})", lambda: _length(read()), len(value)))
            for i, item in enumerate(value[:256]):
                self._object(f"{name}[{i}]", lambda i=i: _item(read(), i), item, names, depth + 1)
        elif isinstance(value, dict):
            for key, item in list(value.items())[:256]:
                self._object(f"{name}[{key!r}]", lambda key=key: _item(read(), key), item, names, depth + 1)
        elif isinstance(value, types.ModuleType):
            if not _installed(getattr(value, "__file__", None) or PACKAGE):
                self._attributes(name, read, vars(value), names, depth)
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            self._attributes(name, read, vars(value), names, depth)

    def _attributes(self, name: str, read: Callable[[], Any], space: dict, names: frozenset[str], depth: int) -> None:
        for attribute in sorted(names & space.keys()):
            self._object(
                f"{name}.{attribute}", lambda a=attribute: getattr(read(), a, _MISSING), space[attribute], names, depth + 1
            )


def _names(code: types.CodeType) -> frozenset[str]:
    """Return the global and attribute names that a function and the functions inside it use."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return frozenset(names)


def _methods(kind: type, function: types.FunctionType) -> list[types.FunctionType]:
    """Return a method and the methods of its class that it calls by name, directly or not."""
    found, stack = [], [function]
    while stack:
        method = stack.pop()
        if method not in found:
            found.append(method)
            called = (getattr(kind, name, None) for name in _names(method.__code__))
            stack += [item for item in called if isinstance(item, types.FunctionType)]
    return found


def _defaults(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    defaults = function.__defaults__ or ()
    yield from zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the variable is not assigned yet
        return _MISSING


def _item(container: Any, key: Any) -> Any:
    try:
        return container[key]
    except (KeyError, IndexError, TypeError):
        return _MISSING


def _length(container: Any) -> int:
    return len(container) if isinstance(container, list | tuple) else -1

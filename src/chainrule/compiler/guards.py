"""What a trace depended on besides its arguments: numbers, strings, modules and optimizers it reached by name.

A traced step froze every Python number that it read. The guards remember those that the function can reach through its
closure, its globals and the objects among its arguments, so that a changed number re-traces instead of giving an old
result. Modules, optimizers and parameter groups carry a version; while nothing structural changed in the process, one
integer is compared for all of them.

Followed are the attributes that the step's code names, into the user's own functions and methods too; code of installed
packages is not. Arrays are compared by identity, and small ones by content.
"""

from __future__ import annotations

import inspect
import os
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.compiler.accesses import accesses
from chainrule.core import context
from chainrule.core.context import Versioned
from chainrule.core.errors import PACKAGE
from chainrule.core.tensor import Tensor

__all__ = ["SCALARS", "Guards", "same"]

SCALARS = (bool, int, float, str, bytes, type(None))
_LIBRARY = (PACKAGE, os.path.dirname(os.__file__) + os.sep)
_MISSING = object()
_ITEMS = 256  # items of a list or dictionary that are looked at
_DEPTH = 4  # attributes of loose names are followed this far from a variable
_SMALL = 64  # elements of an array whose content is compared

Read = Callable[[], Any]
Chains = frozenset  # of tuples of attribute names
Known = tuple[str, Read, Any]  # a variable: what messages call it, how to read it again, its value


def same(now: Any, value: Any) -> bool:
    """Return whether two numbers or strings are the same to a trace: type and value, the sign of 0, NaN equals NaN."""
    if now is value:
        return True
    if type(now) is not type(value):
        return False
    return now.hex() == value.hex() if isinstance(value, float) else now == value


def _installed(path: str) -> bool:
    """Return whether a source file belongs to chainrule, Python or an installed package, and not to the user."""
    return path.startswith(_LIBRARY) or f"{os.sep}site-packages{os.sep}" in path


def _installed_class(kind: type) -> bool:
    if kind is types.SimpleNamespace or kind.__module__ == "argparse":
        return False  # containers of the user's settings
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return _installed(path) if path else kind.__module__ == "builtins"


class Guards:
    """The frozen surroundings of a traced function.

    Args:
        function: the traced Python function.
        arguments: (name, object) for the arguments that are neither tensors nor numbers.

    Attributes:
        frozen: name -> number, string or boolean that the trace may have read.
    """

    def __init__(self, function: Callable[..., Any], arguments: Sequence[tuple[str, Any]] = ()):
        self._loose: set[str] = set()
        before = -1
        while len(self._loose) != before:  # a helper read late may name attributes of an object seen early
            before = len(self._loose)
            self.reads: list[tuple[str, Read, Any]] = []
            self.identities: list[tuple[str, Read, Any]] = []
            self.versioned: list[tuple[str, Versioned, tuple[int, ...]]] = []
            self._seen: set = set()
            known: dict[str, Known] = {name: (name, _constant(item), item) for name, item in arguments}
            self._function(function, getattr(function, "__name__", "step"), known, root=True)
            for name, read, item in known.values():
                self._value(name, read, item, Chains(), 0)
        self.epoch = context.epoch()

    @property
    def frozen(self) -> dict[str, Any]:
        """Numbers and strings that the trace may have read, by name."""
        return {name: value for name, _, value in self.reads if value is not None}

    def changed(self) -> str | None:
        """Return what changed since the trace, in words, or None."""
        for name, read, value in self.reads:
            now = read()
            if now is not value and not same(now, value):
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

    # ------------------------------------------------------------------------------------------------ functions
    def _function(self, function: Any, name: str, known: dict[str, Known], root: bool = False) -> None:
        """Guard what a function reads; library code is left out, unless it was itself handed to jit.

        `known` holds parameters whose values are known: the object of a method, objects among the arguments.
        """
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self._function(wrapped, name, known, root)
        if isinstance(function, types.MethodType):
            receiver = function.__self__
            self._method(function.__func__, name, "self", lambda: receiver, receiver, known, root)
            return
        code = getattr(function, "__code__", None)
        if code is None:
            if wrapped is None and callable(function):
                self._value(name, lambda: function, function, Chains(), 0)
            return
        library = _installed(code.co_filename)
        if (library and not root) or not self._first(code, *(id(value) for _, _, value in known.values())):
            return
        found = accesses(code)
        self._loose |= found.loose
        variables = dict(known)
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            variables[variable] = (variable, partial(_contents, cell), _contents(cell))
        for variable in _default_names(function):
            default = partial(_default, function, variable)
            variables.setdefault(variable, (variable, default, default()))
        self._chains(found.locals, variables)
        space = {} if library else function.__globals__
        names = {chain[0] for chain in found.globals} & space.keys()
        self._chains(found.globals, {n: (n, partial(space.get, n, _MISSING), space[n]) for n in names})

    def _method(
        self, function: Any, name: str, owner: str, read: Read, receiver: Any, known: dict, root: bool = False
    ) -> None:
        """Follow a method, whose first parameter is `receiver`, called `owner` in messages."""
        function = inspect.unwrap(function)
        code = getattr(function, "__code__", None)
        if code is not None and code.co_argcount:
            self._function(function, name, {**known, code.co_varnames[0]: (owner, read, receiver)}, root)

    def _chains(self, chains: Iterable[tuple[str, ...]], variables: dict[str, Known]) -> None:
        """Guard the chains of attributes that start at known variables; those of others are loose."""
        rests: dict[str, set[tuple[str, ...]]] = {}
        for variable, *rest in chains:
            if variable in variables:
                rests.setdefault(variable, set()).add(tuple(rest))
            else:
                self._loose.update(rest)
        for variable in sorted(rests):
            self._value(*variables[variable], Chains(rest for rest in rests[variable] if rest), 0)

    # ------------------------------------------------------------------------------------------------ values
    def _value(self, name: str, read: Read, value: Any, chains: Chains, depth: int) -> None:
        """Guard one value, and of its attributes those that `chains` or loose names mention."""
        if isinstance(value, SCALARS):
            self.reads.append((name, read, value))
        elif isinstance(value, Tensor):
            self.identities.append((name, read, value))
        elif isinstance(value, np.ndarray | np.generic):
            self.identities.append((name, read, value))
            if value.size <= _SMALL:
                self.reads.append((f"content of {name}", lambda: _content(read()), _content(value)))
        elif isinstance(value, Versioned):
            self.identities.append((name, read, value))
            self.versioned.append((name, value, value._fingerprint()))
            self._forward(name, value)
        elif isinstance(value, types.FunctionType | types.MethodType) or hasattr(value, "__wrapped__"):
            if depth == 0:
                self.identities.append((name, read, value))
            self._function(value, name, {})
        elif self._first(id(value), name, chains) and depth <= _DEPTH:
            self._object(name, read, value, chains, depth)

    def _forward(self, name: str, module: Versioned) -> None:
        """Follow the forward that a user wrote, of a module and of all its parts."""
        if self._first(id(module)):
            forward = getattr(type(module), "forward", None)
            if forward is not None:
                self._method(forward, name, name, lambda: module, module, {})
            for part in module._versioned_parts():
                self._forward(name, part)

    def _object(self, name: str, read: Read, value: Any, chains: Chains, depth: int) -> None:
        """Guard the items of a container, or the attributes of a module, class or instance."""
        if isinstance(value, list | tuple):
            self.reads.append((f"len({name})", lambda: _length(read()), len(value)))
            for i, item in enumerate(value[:_ITEMS]):
                self._value(f"{name}[{i}]", partial(_item, read, i), item, Chains(), depth + 1)
        elif isinstance(value, dict):
            self.reads.append((f"len({name})", lambda: _length(read()), len(value)))
            for key, item in list(value.items())[:_ITEMS]:
                self._value(f"{name}[{key!r}]", partial(_item, read, key), item, Chains(), depth + 1)
        elif isinstance(value, types.ModuleType):
            if not _installed(getattr(value, "__file__", None) or PACKAGE):
                self._attributes(name, read, value, chains, {chain[0] for chain in chains}, depth)
        else:
            own = not _installed_class(value if isinstance(value, type) else type(value))
            self._attributes(
                name, read, value, chains, {chain[0] for chain in chains} | (self._loose if own else set()), depth
            )

    def _attributes(self, name: str, read: Read, value: Any, chains: Chains, names: set[str], depth: int) -> None:
        for attribute in sorted(names):
            found = inspect.getattr_static(value, attribute, _MISSING)
            if isinstance(found, staticmethod | classmethod):
                self._function(found.__func__, f"{name}.{attribute}", {})
            elif isinstance(found, property):
                self._method(found.fget, f"{name}.{attribute}", name, read, value, {})
            elif isinstance(found, types.FunctionType) and not isinstance(value, types.ModuleType):
                self._method(found, f"{name}.{attribute}", name, read, value, {})
            elif found is not _MISSING:
                rest = Chains(chain[1:] for chain in chains if chain[0] == attribute and len(chain) > 1)
                get = partial(_attribute, read, attribute)
                self._value(f"{name}.{attribute}", get, get(), rest, depth + 1)
            elif any(chain[0] == attribute for chain in chains):
                self._loose.update(part for chain in chains if chain[0] == attribute for part in chain)

    def _first(self, *key: Any) -> bool:
        """Return whether something is seen for the first time."""
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


def _default_names(function: types.FunctionType) -> list[str]:
    code, count = function.__code__, len(function.__defaults__ or ())
    return [*code.co_varnames[code.co_argcount - count : code.co_argcount], *(function.__kwdefaults__ or {})]


def _default(function: types.FunctionType, name: str) -> Any:
    """Return the present default of a parameter."""
    if name in (function.__kwdefaults__ or {}):
        return function.__kwdefaults__[name]
    defaults, code = function.__defaults__ or (), function.__code__
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    return defaults[names.index(name)] if name in names else _MISSING


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the variable is not assigned yet
        return _MISSING


def _constant(value: Any) -> Read:
    return lambda: value


def _attribute(read: Read, name: str) -> Any:
    return getattr(read(), name, _MISSING)


def _item(read: Read, key: Any) -> Any:
    try:
        return read()[key]
    except (KeyError, IndexError, TypeError):
        return _MISSING


def _length(container: Any) -> int:
    return len(container) if isinstance(container, list | tuple | dict) else -1


def _content(array: Any) -> bytes:
    return array.tobytes() if isinstance(array, np.ndarray | np.generic) else b""

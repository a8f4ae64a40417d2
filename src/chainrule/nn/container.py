"""Modules that hold modules: one after another (Sequential), by number (ModuleList), by name (ModuleDict)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from chainrule.core.errors import nearest
from chainrule.nn._repr import kind_of
from chainrule.nn.module import Module

__all__ = ["ModuleDict", "ModuleList", "Sequential"]

List = TypeVar("List", bound="_Numbered")


class _Numbered(Module):
    """What Sequential and ModuleList share: access by position, names "0", "1", ... after every change."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter([module for module in self._modules.values() if module is not None])

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self: List, index: slice) -> List: ...
    def __getitem__(self: List, index: int | slice) -> Module | List:
        if isinstance(index, slice):
            part = type(self)()
            for name, module in list(self._modules.items())[index]:
                part.add_module(name, module)
            return part
        return list(self)[self._position(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(list(self._modules)[self._position(index)], module)

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self)
        del kept[index if isinstance(index, slice) else self._position(index)]
        self._renumber(kept)

    def _position(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__} has {len(self)} modules; there is none at {index}.")
        return index % len(self)

    def _renumber(self, modules: list[Module]) -> None:
        self._refuse_in_trace("changing the list")
        for module in modules:
            if not isinstance(module, Module):
                self.add_module("0", module)  # raises the message of add_module
        self._modules.clear()
        for number, module in enumerate(modules):
            self.add_module(str(number), module)
        self._touch()

    def append(self: List, module: Module) -> List:
        """Add a module at the end; return the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: List, modules: Iterable[Module]) -> List:
        """Add modules at the end; return the container."""
        for module in modules:
            self.append(module)
        return self

    def insert(self: List, index: int, module: Module) -> List:
        """Add a module before position `index`; the later ones move up; return the container."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Remove the module at a position, and return it."""
        module = list(self)[self._position(index)]
        del self[index]
        return module

    def extra_repr(self) -> str:
        """Return nothing: the modules stand on their own lines."""
        return ""


class Sequential(_Numbered):
    """Modules applied one after another.

    Args:
        *modules: the modules, named "0", "1", ...; or one dict from names to modules.
    Call:
        the arguments of the first module -> the output of the last; without modules, the input.
    Raises:
        TypeError: an argument is no module, for example the class `nn.ReLU` instead of `nn.ReLU()`.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> model
        Sequential(
          (0): Linear(784, 64)
          (1): ReLU()
          (2): Linear(64, 10)
        )
        >>> model(cr.zeros((5, 784))).shape, len(model[:2])
        ((5, 10), 2)
    """

    def __init__(self, *modules: Module | Mapping[str, Module]):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, part in modules[0].items():
                self.add_module(name, part)
            return
        for number, module in enumerate(modules):
            if not isinstance(module, Module):
                hint = f": write {module.__name__}()" if isinstance(module, type) else ""
                raise TypeError(f"Sequential takes modules; argument {number} is {kind_of(module)}{hint}.")
            self.add_module(str(number), module)

    def forward(self, *args: Any) -> Any:
        """Return the output of the last module."""
        output = args[0] if len(args) == 1 else args
        for number, module in enumerate(self._modules.values()):
            output = module(*args) if number == 0 else module(output)  # type: ignore[misc]
        return output


class ModuleList(_Numbered):
    """Modules by number; iterate over it in `forward`.

    Args:
        modules: the modules; default none.
    Raises:
        TypeError: an item is no module.

    Example:
        >>> import chainrule as cr
        >>> layers = cr.nn.ModuleList([cr.nn.Linear(2, 2) for _ in range(3)])
        >>> len(layers), layers[-1]
        (3, Linear(2, 2))
    """

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__()
        self.extend(modules)

    def forward(self, *args: Any) -> Any:
        """Refuse: a list says nothing about the order of computation."""
        raise NotImplementedError(
            "ModuleList has no forward: call its modules in your own forward, or use nn.Sequential."
        )


class ModuleDict(Module):
    """Modules by name.

    Args:
        modules: names -> modules; default none.
    Raises:
        TypeError: a value is no module.

    Example:
        >>> import chainrule as cr
        >>> heads = cr.nn.ModuleDict({"digit": cr.nn.Linear(8, 10), "parity": cr.nn.Linear(8, 2)})
        >>> heads["parity"], list(heads)
        (Linear(8, 2), ['digit', 'parity'])
    """

    def __init__(self, modules: Mapping[str, Module] | None = None):
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add or replace modules by name."""
        for name, module in modules.items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        module = self._modules.get(name)
        if module is None:
            raise KeyError(f"ModuleDict has no module named {name!r}{nearest(name, self._modules)}")
        return module

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module | None]:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module | None]]:
        """Return (name, module) pairs."""
        return self._modules.items()

    def pop(self, name: str) -> Module:
        """Remove a module by name, and return it."""
        module = self[name]
        delattr(self, name)
        return module

    def extra_repr(self) -> str:
        """Return nothing: the modules stand on their own lines."""
        return ""

    def forward(self, *args: Any) -> Any:
        """Refuse: a dict says nothing about the order of computation."""
        raise NotImplementedError("ModuleDict has no forward: call its modules by name in your own forward.")

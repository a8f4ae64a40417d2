"""Walking over a tree of modules: sub-modules, parameters and buffers with their paths, each shared one once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from chainrule.core.context import Versioned
from chainrule.core.errors import nearest
from chainrule.core.tensor import Parameter, Tensor

if TYPE_CHECKING:
    from chainrule.nn.module import Module

__all__ = ["Walk"]

Self = TypeVar("Self", bound="Walk")


class Walk(Versioned):
    """The part of `Module` that looks at its tree, and changes nothing."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    def children(self) -> Iterator[Module]:
        """Yield the direct sub-modules."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct sub-modules with their names, a shared one once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, a shared one once."""
        for _, module in self.named_modules():
            yield module

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Yield this module (named "") and all below it with their paths, like "encoder.layers.2".

        Args:
            prefix: path of this module; default "".
            remove_duplicate: whether a shared module is listed once, under its first path; default True.
        """
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, cast("Module", self))]
        while stack:
            path, module = stack.pop()
            if id(module) in seen and remove_duplicate:
                continue
            seen.add(id(module))
            yield path, module
            parts = [
                (f"{path}.{name}" if path else name, part) for name, part in module._modules.items() if part is not None
            ]
            stack.extend(reversed(parts))

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, a shared one once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their names, like "0.weight".

        Args:
            prefix: path of this module; default "".
            recurse: whether those of sub-modules are included; default True.
            remove_duplicate: whether a shared one is listed once, under its first name; default True.
        """
        return self._entries("_parameters", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, a shared one once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers with their names; arguments as for `named_parameters`."""
        return self._entries("_buffers", prefix, recurse, remove_duplicate)

    def _entries(self, table: str, prefix: str, recurse: bool, unique: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix, unique) if recurse else [(prefix, self)]:
            for name, entry in module.__dict__[table].items():
                if entry is not None and not (unique and id(entry) in seen):
                    seen.add(id(entry))
                    yield (f"{path}.{name}" if path else name), entry

    def get_submodule(self, target: str) -> Module:
        """Return the module at a path, like "layers.0"; "" is this module.

        Raises:
            AttributeError: there is none; the message names the part that is missing and the nearest.
        """
        module = cast("Module", self)
        for part in target.split(".") if target else []:
            inner = module._modules.get(part)
            if inner is None:
                raise AttributeError(
                    f"no module at {target!r}: {type(module).__name__} has no {part!r}{nearest(part, module._modules)}"
                )
            module = inner
        return module

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module below and then on this one, for example to initialise; return this module."""
        for module in self.children():
            module.apply(function)
        function(cast("Module", self))
        return self

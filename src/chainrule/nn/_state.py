"""State dicts of modules: what they hold, and loading them whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.core.context import no_grad
from chainrule.core.errors import StateDictError, nearest
from chainrule.core.tensor import Tensor
from chainrule.ops.convert import asarray

if TYPE_CHECKING:
    from chainrule.nn.module import Module

__all__ = ["LoadReport", "entries", "load"]


class LoadReport(NamedTuple):
    """What `load_state_dict` left out.

    Attributes:
        missing_keys: names of the module that the state dict does not have; they keep their values.
        unexpected_keys: names of the state dict that the module does not have; they were ignored.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Linear(3, 2).load_state_dict({"weight": cr.zeros((2, 3))}, strict=False).missing_keys
        ['bias']
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def entries(module: Module) -> Iterator[tuple[str, Tensor]]:
    """Yield each parameter and persistent buffer under every name it has, module by module."""
    for path, part in module.named_modules(remove_duplicate=False):
        kept = {**part._parameters, **{name: b for name, b in part._buffers.items() if name not in part._transient}}
        for name, entry in kept.items():
            if entry is not None:
                yield (f"{path}.{name}" if path else name), entry


def _optional(module: Module) -> Iterator[str]:
    """Yield the entries that old files do not have, and that keep their values then."""
    for path, part in module.named_modules(remove_duplicate=False):
        for name in part.optional_state:
            yield f"{path}.{name}" if path else name


def load(module: Module, state: Mapping[str, Any], strict: bool) -> LoadReport:
    """Check every entry, then assign all of them."""
    if not isinstance(state, Mapping):
        raise StateDictError(f"load_state_dict takes a mapping of names to tensors; got {type(state).__name__}.")
    own = dict(entries(module))
    optional = set(_optional(module))
    missing = [name for name in own if name not in state and name not in optional]
    unexpected = [name for name in state if name not in own]
    problems = []
    if strict:
        problems += [f"{name} is missing" for name in missing]
        problems += [f"{name} is unexpected{nearest(name, missing or own)}" for name in unexpected]
    values = {}
    for name, cell in own.items():
        if name in state:
            values[name] = state[name]
            problems += _misfits(name, cell, state[name])
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise StateDictError(
            "\n  ".join([f"load_state_dict: {count} with {type(module).__name__}, nothing was loaded:", *problems])
        )
    with no_grad():
        for name, value in values.items():
            own[name].assign_(value if isinstance(value, Tensor) else asarray(value))
    return LoadReport(missing, unexpected)


def _misfits(name: str, cell: Tensor, value: Any) -> list[str]:
    if not isinstance(value, Tensor | np.ndarray):
        return [f"{name} must be a tensor or a NumPy array; the state dict has {type(value).__name__}"]
    if tuple(value.shape) != cell.shape:
        hint = " (transposed?)" if tuple(value.shape) == cell.shape[::-1] else ""
        return [f"{name} has the shape {cell.shape}; the state dict has {tuple(value.shape)}{hint}"]
    given = value.dtype.name
    if given != cell.dtype.name:
        return [f"{name} is {cell.dtype.name}; the state dict has {given}: convert it with .astype"]
    return []

"""State dicts of modules: what they hold, and loading them whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.core.context import no_grad
from chainrule.core.errors import StateDictError, nearest
from chainrule.core.tensor import Tensor
from chainrule.ops.convert import asarray

if TYPE_CHECKING:
    from chainrule.nn.module import Module

__all__ = ["LoadReport", "assign", "entries", "load", "names_differ", "optional_names"]

SUGGESTED = 20  # names that are compared with all others to suggest the nearest; it takes a while


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


def optional_names(module: Module) -> set[str]:
    """Return the entries that old files do not have, and that keep their values then."""
    parts = module.named_modules(remove_duplicate=False)
    return {f"{path}.{name}" if path else name for path, part in parts for name in part.optional_state}


def names_differ(missing: list[str], unexpected: list[str], own: Iterable[str]) -> list[str]:
    """Return one line per name that only the module or only the state dict has, with the nearest name."""
    near = [nearest(name, unexpected).replace("did you mean", "the nearest is")[:-1] for name in missing[:SUGGESTED]]
    lines = [f"{name} is missing{hint}" for name, hint in zip_longest(missing, near, fillvalue="")]
    near = [nearest(name, missing or own) for name in unexpected[:SUGGESTED]]
    return lines + [f"{name} is unexpected{hint}" for name, hint in zip_longest(unexpected, near, fillvalue="")]


def _ways_out(missing: list[str], unexpected: list[str], own: Mapping[str, Tensor], misshapen: bool) -> list[str]:
    """Return what can be done, as the last lines of the message."""
    lines = []
    prefix = unexpected[0].partition(".")[0] + "." if unexpected else ""
    if missing and unexpected and all(n.startswith(prefix) and n.removeprefix(prefix) in own for n in unexpected):
        lines.append(f"Every name begins with {prefix!r}, which the module's names do not: take it off.")
    elif missing and unexpected:
        lines.append("models.load_weights(module, state_dict, rename=...) gives other names to them.")
    if missing or unexpected:
        lines.append("strict=False loads what both have.")
    if misshapen:
        lines.append(
            "Make the module with the state dict's sizes, load, then change it: models.replace_head(model, classes)."
        )
    return lines


def assign(own: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Put checked values into the cells of these names."""
    with no_grad():
        for name, value in values.items():
            own[name].assign_(value if isinstance(value, Tensor) else asarray(value))


def load(module: Module, state: Mapping[str, Any], strict: bool) -> LoadReport:
    """Check every entry, then assign all of them."""
    if not isinstance(state, Mapping):
        raise StateDictError(f"load_state_dict takes a mapping of names to tensors; got {type(state).__name__}.")
    own = dict(entries(module))
    optional = optional_names(module)
    missing = [name for name in own if name not in state and name not in optional]
    unexpected = [name for name in state if name not in own]
    problems = names_differ(missing, unexpected, own) if strict else []
    ways = _ways_out(missing, unexpected, own, False) if strict else []
    values = {name: state[name] for name in own if name in state}
    misfits = [line for name, value in values.items() for line in _misfits(name, own[name], value)]
    if any(" has the shape " in line for line in misfits):
        ways += _ways_out([], [], own, True)
    if problems or misfits:
        problems += misfits
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        title = f"load_state_dict: {count} with {type(module).__name__}, nothing was loaded:"
        raise StateDictError("\n  ".join([title, *problems]) + "".join(f"\n{line}" for line in ways))
    assign(own, values)
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

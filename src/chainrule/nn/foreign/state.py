"""Which tensors of a checkpoint are the weights: it may hold them beside an optimizer's state, an epoch, an average.

{"conv.weight": tensor, ...}                                    the weights themselves
{"epoch": 3, "state_dict": {...}, "optimizer": {...}}           one dict of tensors: that one
{"model": {...}, "ema": {...}}                                  two: the one with a usual name, else ask
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chainrule.core.errors import nearest
from chainrule.nn.foreign.limits import Refused
from chainrule.nn.foreign.torch_parts import Placed

__all__ = ["chosen"]

USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
DEPTH = 3  # levels of dicts that are searched


def chosen(content: Any, key: str | None) -> dict[str, Placed]:
    """Return the tensors by name.

    Args:
        content: what the file holds.
        key: the dict that is wanted, such as "state_dict" or "model.ema"; None: the only one, or that of a usual name.

    Raises:
        Refused: there is no such dict, none at all, or several.
    """
    found = dict(_dicts(content, "", 0, set()))
    listed = ", ".join(f"{name!r} ({len(tensors)} tensors)" for name, tensors in list(found.items())[:12])
    if key is not None:
        if key not in found:
            raise Refused(f"has no dict of tensors {key!r}{nearest(key, found) or '.'} It has {listed or 'none'}")
        return found[key]
    if not found:
        raise Refused("holds no dict of tensors by name, as state_dict() gives it")
    if len(found) == 1:
        return next(iter(found.values()))
    usual = [name for name in USUAL if name in found]
    if len(usual) == 1:
        return found[usual[0]]
    raise Refused(f"holds several dicts of tensors, so say which with key=: {listed}")


def _dicts(content: Any, path: str, depth: int, seen: set[int]) -> Iterator[tuple[str, dict[str, Placed]]]:
    """Yield each dict that holds tensors; one that also holds such a dict is a checkpoint around it."""
    if not isinstance(content, dict) or depth > DEPTH or id(content) in seen:
        return
    seen.add(id(content))
    inner: list[tuple[str, dict[str, Placed]]] = []
    for name, value in content.items():
        if isinstance(name, str):
            inner += _dicts(value, f"{path}.{name}" if path else name, depth + 1, seen)
    yield from inner
    tensors = {name: value for name, value in content.items() if isinstance(value, Placed) and isinstance(name, str)}
    if tensors and not inner:
        yield path, tensors

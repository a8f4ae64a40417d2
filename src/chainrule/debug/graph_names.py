"""Names of tensors in pictures: what the user passes as `names=`, and what modules call their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.core.tensor import Tensor

__all__ = ["named_tensors"]


def named_tensors(names: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors that have names, with them; a later name for the same tensor counts.

    Args:
        names: {"x": x}, a module (its parameters and buffers), a list or tuple of those, or None.

    Raises:
        TypeError: something else.

    Example:
        >>> import chainrule as cr
        >>> [name for name, _ in named_tensors([{"x": cr.ones(2)}, cr.nn.Linear(2, 1)])]
        ['x', 'weight', 'bias']
    """
    if names is None:
        return []
    if isinstance(names, Mapping):
        for key, tensor in names.items():
            if not isinstance(tensor, Tensor):
                raise TypeError(f"names[{key!r}] must be a tensor; got {type(tensor).__name__}.")
        return [(str(key), tensor) for key, tensor in names.items()]
    if isinstance(names, list | tuple):
        return [pair for part in names for pair in named_tensors(part)]
    if hasattr(names, "named_parameters") and hasattr(names, "named_buffers"):
        return [*names.named_buffers(), *names.named_parameters()]
    raise TypeError(
        f'names must be a dictionary like {{"x": x}}, a module, or a list of those; got {type(names).__name__}.'
    )

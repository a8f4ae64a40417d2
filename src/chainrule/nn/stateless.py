"""A module as a function of its parameters, for the transforms: gradients per sample, ensembles, meta-learning.

For the time of one call the cells of the module's parameters and buffers hold what is given. So everything that reaches
them works, compiled steps inside too; afterwards they hold what they held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.core.errors import StateDictError, nearest
from chainrule.core.tensor import Tensor, connected, current_value
from chainrule.nn.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module, parameters: Mapping[str, Tensor], args: Any = (), kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Return what a module computes with other parameters and buffers; its own stay as they are.

    Args:
        module: any module.
        parameters: name, as in `named_parameters` and `named_buffers`, to the tensor that stands for it in this call;
            those that are missing are the module's own. A buffer that the module assigns, assigns the tensor given.
        args: tuple of positional arguments, or the only one; default none.
        kwargs: keyword arguments; default none.

    Returns:
        What the module returns. It is differentiable by the tensors given.

    Raises:
        StateDictError: a name that the module does not have, or a tensor of another shape or dtype.

    Example:
        >>> import chainrule as cr
        >>> model, x, y = cr.nn.Linear(3, 1), cr.ones((5, 3)), cr.zeros((5, 1))
        >>> def loss(parameters, x, y):
        ...     return ((cr.nn.functional_call(model, parameters, x) - y) ** 2).sum()
        >>> per_sample = cr.vmap(cr.grad(loss), in_axes=(None, 0, 0))(dict(model.named_parameters()), x, y)
        >>> per_sample["weight"].shape
        (5, 1, 3)
    """
    cells = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, tensor in parameters.items():
        _check(module, name, cells, tensor)
    chosen = [(cells[name], tensor) for name, tensor in parameters.items()]
    before = [(cell._value, cell._version, cell._node, cell._index) for cell, _ in chosen]
    given = [(current_value(tensor), tensor._node, tensor._index) for _, tensor in chosen]
    try:
        for (cell, _), held in zip(chosen, given, strict=True):
            cell._value, cell._node, cell._index = held
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        after = [connected(cell._value, cell._node, cell._index) for cell, _ in chosen]
        for (cell, tensor), new, old, (value, _, _) in zip(chosen, after, before, given, strict=True):
            cell._value, cell._version, cell._node, cell._index = old
            if new._value is not value:
                tensor.assign_(new)


def _check(module: Module, name: str, cells: dict[str, Tensor], tensor: Tensor) -> None:
    """Refuse a tensor that can't stand for the parameter of that name."""
    kind = type(module).__name__
    if name not in cells:
        raise StateDictError(f"functional_call: {kind} has no parameter or buffer {name!r}{nearest(name, cells)}")
    cell = cells[name]
    if tensor.shape != cell.shape or tensor.dtype is not cell.dtype:
        raise StateDictError(
            f"functional_call: {name} of {kind} is {cell.dtype.name} of shape {cell.shape}; "
            f"got {tensor.dtype.name} of shape {tensor.shape}."
        )

"""Functions that a module calls around its forward, and the identity nodes that carry backward hooks.

Hooks are Python: under `cr.jit` they run while the step is traced.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chainrule.autodiff import custom_gradient
from chainrule.core.bind import bind
from chainrule.core.primitive import PRIMITIVES
from chainrule.core.tensor import Tensor

if TYPE_CHECKING:
    from chainrule.nn.module import Module

__all__ = ["HookHandle", "call_with_hooks"]

_numbers = itertools.count()


class HookHandle:
    """What registering a hook returns: `remove()` takes the hook away; as a context manager, at the end of the block.

    Attributes:
        number: unique number of the hook, in order of registration.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Linear(3, 2)
        >>> shapes = []
        >>> handle = layer.register_forward_hook(lambda module, args, output: shapes.append(output.shape))
        >>> _ = layer(cr.ones((5, 3)))
        >>> handle.remove()
        >>> _ = layer(cr.ones((7, 3)))
        >>> shapes
        [(5, 2)]
    """

    def __init__(self, module: Module, hooks: dict[int, Callable], hook: Callable):
        self.number = next(number for number in _numbers if number not in hooks)  # hooks may come out of a pickle
        self._module, self._hooks = module, hooks
        hooks[self.number] = hook
        module._touch()

    def remove(self) -> None:
        """Take the hook away; again is no error."""
        if self._hooks.pop(self.number, None) is not None:
            self._module._touch()

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def call_with_hooks(module: Module, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Call the module's forward with its hooks around it."""
    for hook in list(module._forward_pre_hooks.values()):
        changed = hook(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    pulls = list(module._backward_hooks.values())
    arrived: list[Any] = []
    if pulls:
        args = _watch_inputs(module, args, pulls, arrived)
    output = module.forward(*args, **kwargs)
    for hook in list(module._forward_hooks.values()):
        changed = hook(module, args, output)
        if changed is not None:
            output = changed
    return _watch_outputs(module, args, output, pulls, arrived) if pulls else output


def _differentiable(values: tuple) -> list[int]:
    return [i for i, value in enumerate(values) if isinstance(value, Tensor) and value._node is not None]


def _run(module: Module, pulls: list[Callable], grad_input: tuple, grad_output: tuple) -> tuple:
    for hook in pulls:
        changed = hook(module, grad_input, grad_output)
        if changed is not None:
            grad_input = changed if isinstance(changed, tuple) else (changed,)
    return grad_input


def _mark(values: tuple, positions: list[int], pull: Callable[[tuple], tuple]) -> tuple:
    """Return the values, those at `positions` behind identities whose gradients pass through `pull` together."""

    @custom_gradient
    def identity(*tensors: Tensor) -> Any:
        return tuple(bind(PRIMITIVES["identity"], tensor) for tensor in tensors), lambda *g: pull(g)

    marked = list(values)
    for i, tensor in zip(positions, identity(*(values[i] for i in positions)), strict=True):
        marked[i] = tensor
    return tuple(marked)


def _watch_inputs(module: Module, args: tuple, pulls: list[Callable], arrived: list[Any]) -> tuple:
    positions = _differentiable(args)
    if not positions:
        return args

    def pull(gradients: tuple) -> tuple:
        full: list[Any] = [None] * len(args)
        for i, g in zip(positions, gradients, strict=True):
            full[i] = g
        changed = _run(module, pulls, tuple(full), arrived.pop() if arrived else ())
        return tuple(changed[i] for i in positions)

    return _mark(args, positions, pull)


def _watch_outputs(module: Module, args: tuple, output: Any, pulls: list[Callable], arrived: list[Any]) -> Any:
    outputs = output if isinstance(output, tuple) else (output,)
    positions = _differentiable(outputs)
    if not positions:
        return output

    def pull(gradients: tuple) -> tuple:
        full: list[Any] = [None] * len(outputs)
        for i, g in zip(positions, gradients, strict=True):
            full[i] = g
        if _differentiable(args):
            arrived.append(tuple(full))
        else:
            _run(module, pulls, (None,) * len(args), tuple(full))
        return gradients

    marked = _mark(outputs, positions, pull)
    return marked if isinstance(output, tuple) else marked[0]

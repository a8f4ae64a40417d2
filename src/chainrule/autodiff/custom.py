"""A block of code with a hard-coded derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.context import local, no_grad
from chainrule.core.errors import GradientError
from chainrule.core.tape import FunctionNode
from chainrule.core.tensor import Tensor, connected, current_value

__all__ = ["custom_gradient"]


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a block of operations a derivative written by hand.

    Args:
        function: takes tensors, returns (result, pull); `pull(g)` gets the upstream gradient (one per result, if the
            result is a tuple) and returns one gradient per positional argument, or None for those without. Both are
            written in chainrule operations, so the block can be compiled and differentiated again.

    Returns:
        The function, returning only the result.

    Raises:
        GradientError: `function` does not return such a pair, or `pull` returns the wrong number of gradients.

    Example:
        >>> import chainrule as cr
        >>> @cr.custom_gradient
        ... def sigmoid(x):
        ...     y = 1 / (1 + cr.exp(-x))
        ...     return y, lambda g: g * y * (1 - y)
        >>> cr.grad(sigmoid)(0.0)
        tensor(0.25, shape=(), dtype=float32)
    """

    @functools.wraps(function)
    def block(*args: Any, **kwargs: Any) -> Any:
        with no_grad():
            returned = function(*args, **kwargs)
        if not (isinstance(returned, tuple) and len(returned) == 2 and callable(returned[1])):
            raise GradientError(
                f"custom_gradient: {function.__name__} must return (result, pull); "
                f"it returned {type(returned).__name__}."
            )
        result, pull = returned
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        if not (local.grad and any(tensor._node is not None for tensor in tensors)):
            return result
        outputs = _connect(function.__name__, pull, args, result if isinstance(result, tuple) else (result,))
        return outputs if isinstance(result, tuple) else outputs[0]

    return block


class _Block(FunctionNode):
    """The node of a block. `pull` may use the results: while it runs, they are differentiable through this node.

    Only while it runs, because a result that held its own node would hold itself, and stay in memory.
    """

    __slots__ = ("results",)
    results: Sequence[Tensor | None]

    def pull(self, gradients: Any) -> list[Tensor | None]:
        for index, tensor in enumerate(self.results):
            if tensor is not None:
                tensor._node, tensor._index = self, index
        try:
            return super().pull(gradients)
        finally:
            for tensor in self.results:
                if tensor is not None:
                    tensor._node = None

    def free(self) -> None:
        super().free()
        self.results = ()


def _connect(name: str, pull: Callable[..., Any], args: tuple, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Put the block on the tape as one node; return its results, connected to it."""
    positions = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
    tensors = [args[i] for i in positions]

    def checked(*upstream: Tensor) -> list[Tensor | None]:
        found = pull(*upstream)
        found = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(found) != len(args):
            raise GradientError(
                f"custom_gradient: {name} takes {len(args)} arguments, and its pull returned {len(found)} gradients."
            )
        return [found[i] for i in positions]

    edges = [(t._node, t._index) if t._node is not None else None for t in tensors]
    types = [(t._value.shape, t._value.dtype) for t in tensors]
    node = _Block(name, checked, edges, types, [(out._value.shape, out._value.dtype) for out in outputs])
    node.results = [out if out._node is None else None for out in outputs]  # an argument keeps its own place
    return tuple(
        connected(current_value(out), node if out.dtype.is_float else None, i) for i, out in enumerate(outputs)
    )

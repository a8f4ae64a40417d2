"""Which module calls and blocks are open while a function runs under observation.

`Module.__call__` puts itself on the stack of `core.context`; for the time of an observation that stack is one that also
numbers the calls, so two calls of one layer are two groups of the picture. `block` opens a group by hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from chainrule.core.context import _name_inside, local
from chainrule.core.tensor import Tensor
from chainrule.debug.graph_parts import Call

__all__ = ["CallStack", "block", "watched_calls"]


class CallStack(list):
    """The stack of modules being called, which remembers each call.

    Attributes:
        calls: the open calls, outermost first.
        tensors: the parameters and buffers of all modules called so far, with their paths.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.tensors: list[tuple[str, Tensor]] = []

    def append(self, module: Any) -> None:
        """Note that a module is called."""
        path = ""
        if self:
            name = _name_inside(self[-1], module) or type(module).__name__
            path = f"{self.calls[-1].path}.{name}" if self.calls and self.calls[-1].path else name
        super().append(module)
        own = {**module._parameters, **module._buffers}
        self.tensors += [(f"{path}.{name}" if path else name, part) for name, part in own.items() if part is not None]
        count = sum(parameter.size for parameter in module.parameters())
        text = " ".join(repr(module).split()) if not module._modules else ""
        self.calls.append(Call(path, type(module).__name__, text, count, not module._modules))

    def pop(self, *position: Any) -> Any:
        """Note that the innermost call has ended."""
        while self.calls and self.calls[-1].text == _BLOCK:
            self.calls.pop()  # a block that the call did not leave in order
        self.calls.pop()
        return super().pop(*position)


_BLOCK = "block"


@contextlib.contextmanager
def watched_calls() -> Iterator[CallStack]:
    """Replace the thread's stack of called modules by one that remembers the calls."""
    before, stack = local.modules, CallStack()
    local.modules = stack
    try:
        yield stack
    finally:
        local.modules = before


@contextlib.contextmanager
def block(name: str) -> Iterator[None]:
    """Make the operations inside one group of the pictures that `cr.graph` draws; without a picture it does nothing.

    Args:
        name: what the group is called.

    Example:
        >>> import chainrule as cr
        >>> def neuron(w, x, b):
        ...     with cr.debug.block("sigmoid"):
        ...         return 1 / (1 + cr.exp(-(w * x + b)))
        >>> print(cr.graph(neuron, 2.0, -1.0, -3.0, collapse=True).text())  # doctest: +ELLIPSIS
        neuron(w, x, b)
        ...
        sigmoid ...
    """
    stack = local.modules
    if not isinstance(stack, CallStack):
        yield
        return
    path = stack.calls[-1].path if stack.calls else ""
    call = Call(path, name, _BLOCK)
    stack.calls.append(call)
    try:
        yield
    finally:
        if stack.calls and stack.calls[-1] is call:
            stack.calls.pop()

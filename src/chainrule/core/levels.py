"""Levels: values that belong to one call of a function transform (`jvp`, `vmap`), and how operations treat them.

A transform opens a level, and `bind` hands every operation to the innermost one. Its values are `Lifted` buffers: a
value with its tangent, or with a batch axis that the user's function does not see. A level takes its own values apart
and applies the operation outside itself, so nested transforms never confuse what is whose. When a level's call ends, no
cell from outside may still hold one of its values: `settle` sees to that.
"""

from __future__ import annotations

import abc
import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core import tape
from chainrule.core.context import local
from chainrule.core.tape import next_sequence, origin

if TYPE_CHECKING:
    from chainrule.core.primitive import Primitive
    from chainrule.core.tensor import Tensor

__all__ = ["Level", "Lifted"]


class Lifted(abc.ABC):
    """The buffer of a tensor that belongs to a level; it has the shape and dtype that the user's function sees.

    Args:
        level: whose it is.
        shape: sizes that the function sees.
        dtype: NumPy dtype.
    """

    __slots__ = ("dtype", "level", "shape", "size")

    def __init__(self, level: Level, shape: tuple[int, ...], dtype: np.dtype):
        self.level, self.shape, self.dtype = level, shape, dtype
        self.size = int(np.prod(shape, dtype=np.int64))

    @abc.abstractmethod
    def concrete(self, wish: str) -> np.ndarray:
        """Return the data, where the level knows them without its batch axis or tangent; else raise."""

    @abc.abstractmethod
    def parts(self) -> tuple[Tensor, ...]:
        """Return the tensors of the level around that it is made of."""

    @abc.abstractmethod
    def stopped(self) -> Any:
        """Return the same value as a constant of the level: what `detach` gives."""


class Level(abc.ABC):
    """One call of a transform: while it is entered, `bind` asks it first.

    Attributes:
        transform: name of the transform, for messages.
        outer: the level around it, or None.
        first: operations recorded before the level was opened have smaller sequence numbers.
        copies: how many separate random numbers stand for one that the function draws.
    """

    transform = "transform"
    copies = 1

    def __init__(self) -> None:
        self.outer: Level | None = local.transform
        self.first = next_sequence()
        self.alive = True
        self._assigned: dict[int, tuple[weakref.ref, tuple]] = {}

    def __enter__(self) -> Level:
        local.transform = self
        return self

    def __exit__(self, *exc: object) -> None:
        local.transform = self.outer
        self.alive = False
        for reference, before in self._assigned.values():  # only after an error
            cell = reference()
            if cell is not None:
                cell._value, cell._version, cell._node, cell._index = before

    def outside(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function as the level around this one would."""
        before, local.transform = local.transform, self.outer
        try:
            return function(*args, **kwargs)
        finally:
            local.transform = before

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Enter the level once more, after its call has ended and wherever we are now: for what it left to be done."""
        before = self.outer, self.first, self.alive
        self.outer, self.first, self.alive = local.transform, next_sequence(), True
        local.transform = self
        try:
            yield
        finally:
            local.transform = self.outer
            self.outer, self.first, self.alive = before

    def owns(self, tensor: Tensor) -> bool:
        """Return whether the tensor's value belongs to this level."""
        value = tensor._value
        return isinstance(value, Lifted) and value.level is self

    def takes(self, primitive: Primitive, inputs: Sequence[Tensor]) -> bool:
        """Return whether the level applies an operation itself; if not, the level around it does."""
        return any(self.owns(tensor) for tensor in inputs)

    def around(self, tensor: Tensor) -> Tensor:
        """Return a tensor that is not this level's for the level around: differentiable there by what is from there."""
        if tensor._node is None or origin(tensor._node) < self.first:
            return tensor
        return tape.connected(tensor._value, None, 0)

    # ------------------------------------------------------------------------------------------- cells from outside
    def note(self, cell: Tensor) -> None:
        """Remember what a cell held before it is assigned a value of this level."""
        if not self.owns(cell) and id(cell) not in self._assigned:
            before = cell._value, cell._version, cell._node, cell._index
            self._assigned[id(cell)] = weakref.ref(cell), before

    def settle(self, results: Sequence[Any]) -> None:
        """Put values of the level around into the cells that outlive the call; `results` are what it returns.

        Raises:
            TraceError: the level can't say what such a cell should hold.
        """
        returned = {id(leaf) for leaf in results}
        for number in list(self._assigned):
            cell = self._assigned[number][0]()
            if cell is None or number in returned:
                del self._assigned[number]
            elif self.owns(cell):
                self.leave(cell)
                del self._assigned[number]

    @abc.abstractmethod
    def leave(self, cell: Tensor) -> None:
        """Replace this level's value in a cell from outside by one of the level around, or raise."""

    @abc.abstractmethod
    def apply(self, primitive: Primitive, inputs: Sequence[Tensor], attributes: dict[str, Any]) -> Sequence[Any]:
        """Apply a primitive of which at least one input is this level's; return the buffers of the outputs."""

"""Levels: values that belong to one call of a function transform (`jvp`, `vmap`), and how operations treat them.

A transform opens a level, and `bind` hands every operation to the innermost one. Its values are `Lifted` buffers: a
value with its tangent, or with a batch axis that the user's function does not see. A level takes its own values apart
and applies the operation outside itself, so nested transforms never confuse what is whose.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.context import local
from chainrule.core.tape import next_sequence

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
    def stopped(self) -> Any:
        """Return the same value as a constant of the level: what `detach` gives."""


class Level(abc.ABC):
    """One call of a transform: while it is entered, `bind` asks it first.

    Attributes:
        transform: name of the transform, for messages.
        outer: the level around it, or None.
        first: operations recorded before the level was opened have smaller sequence numbers.
    """

    transform = "transform"

    def __init__(self) -> None:
        self.outer: Level | None = local.transform
        self.first = next_sequence()
        self.alive = True

    def __enter__(self) -> Level:
        local.transform = self
        return self

    def __exit__(self, *exc: object) -> None:
        local.transform = self.outer
        self.alive = False

    def outside(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function as the level around this one would."""
        before, local.transform = local.transform, self.outer
        try:
            return function(*args, **kwargs)
        finally:
            local.transform = before

    def owns(self, tensor: Tensor) -> bool:
        """Return whether the tensor's value belongs to this level."""
        value = tensor._value
        return isinstance(value, Lifted) and value.level is self

    @abc.abstractmethod
    def apply(self, primitive: Primitive, inputs: Sequence[Tensor], attributes: dict[str, Any]) -> Sequence[Any]:
        """Apply a primitive of which at least one input is this level's; return the buffers of the outputs."""

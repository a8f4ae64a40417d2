"""The generator: a key and a position in its stream of random words, both in cells.

A draw of n words reads (key, offset), and assigns offset + n. Since both are cells, a traced step captures them as
state: each call of the compiled step draws new numbers, and the same ones as the eager step would. A run resumes by two
numbers. The words themselves come from `chainrule.core.philox`; distributions stand in `chainrule.ops.random`.
"""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np

from chainrule.core.context import local
from chainrule.core.tensor import Tensor, concrete_value

__all__ = ["Generator", "default_generator", "manual_seed"]

LIMIT = 1 << 64


class Generator:
    """A stream of random numbers that is the same for the same seed on every machine.

    Args:
        seed: in [0, 2**64); default taken from the operating system.

    Attributes:
        key: uint64 cell that names the stream; it is the seed.
        offset: uint64 cell with the number of 32-bit words drawn so far.

    Raises:
        TypeError: a seed that is no integer.
        ValueError: a seed outside its range.

    Example:
        >>> import chainrule as cr
        >>> a, b = cr.Generator(7), cr.Generator(7)
        >>> bool(cr.all(cr.random.normal(3, generator=a) == cr.random.normal(3, generator=b)))
        True
    """

    def __init__(self, seed: int | None = None):
        start = int.from_bytes(os.urandom(8), "little") if seed is None else _checked("seed", seed)
        self.key = Tensor(np.asarray(start, np.uint64))
        self.offset = Tensor(np.asarray(0, np.uint64))

    def __repr__(self) -> str:
        key = self.key._value
        return f"Generator({key})" if isinstance(key, np.ndarray) else "Generator(<traced>)"

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` at its beginning; return the generator.

        Args:
            seed: in [0, 2**64).

        Raises:
            TypeError, ValueError: a seed that is no integer in that range.

        Example:
            >>> import chainrule as cr
            >>> cr.Generator(1).manual_seed(2).initial_seed()
            2
        """
        _set(self.key, _checked("seed", seed))
        _set(self.offset, 0)
        return self

    def initial_seed(self) -> int:
        """Return the seed that the stream was last started from, also where the operating system chose it.

        Raises:
            TraceError: while tracing.

        Example:
            >>> import chainrule as cr
            >>> cr.Generator(5).initial_seed()
            5
        """
        return int(concrete_value(self.key, "Generator.initial_seed()"))

    def take(self, words: int) -> tuple[Tensor, Tensor]:
        """Return the key, and the offset of the next `words` 32-bit words, which are then used up.

        Inside `vmap` each sample gets words of its own.

        Args:
            words: how many, >= 0.

        Example:
            >>> import chainrule as cr
            >>> generator = cr.Generator(0)
            >>> _ = generator.take(4)
            >>> generator.take(4)[1]
            tensor(4, shape=(), dtype=uint64)
        """
        offset = self.offset.detach()
        level = local.transform
        while level is not None:
            words, level = words * level.copies, level.outer
        self.offset.assign_(offset + words)
        return self.key, offset

    def state_dict(self) -> dict[str, int]:
        """Return the seed and the offset as plain numbers.

        Raises:
            TraceError: while tracing.

        Example:
            >>> import chainrule as cr
            >>> cr.Generator(3).state_dict()
            {'seed': 3, 'offset': 0}
        """
        seed, offset = (concrete_value(cell, "Generator.state_dict()").item() for cell in (self.key, self.offset))
        return {"seed": seed, "offset": offset}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where the generator of `state` stood.

        Args:
            state: what `state_dict` returned.

        Raises:
            TypeError, ValueError: a number that is missing or outside [0, 2**64).

        Example:
            >>> import chainrule as cr
            >>> generator = cr.Generator()
            >>> generator.load_state_dict({"seed": 3, "offset": 8})
            >>> generator.state_dict()
            {'seed': 3, 'offset': 8}
        """
        if set(state) != {"seed", "offset"}:
            raise ValueError(
                f"Generator.load_state_dict needs seed and offset; got {', '.join(sorted(state)) or 'nothing'}."
            )
        seed, offset = (_checked(name, state[name]) for name in ("seed", "offset"))
        _set(self.key, seed)
        _set(self.offset, offset)


def manual_seed(seed: int) -> Generator:
    """Start the default generator from a seed.

    Args:
        seed: in [0, 2**64); equal seeds give equal runs.

    Returns:
        The default generator.

    Raises:
        TypeError, ValueError: a seed that is no integer in that range.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> first = cr.random.uniform(3)
        >>> _ = cr.manual_seed(0)
        >>> bool(cr.all(first == cr.random.uniform(3)))
        True
    """
    return default_generator.manual_seed(seed)


def _set(cell: Tensor, number: int) -> None:
    """Assign a known number; while tracing it is a constant of the graph."""
    array = np.asarray(number, np.uint64)
    cell.assign_(Tensor(array if local.interpreter is None else local.interpreter.constant(array)))


def _checked(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"Generator.{name} must be an int in [0, 2**64); got {value!r}.") from None
    if not 0 <= number < LIMIT:
        raise ValueError(f"Generator.{name} must be an int in [0, 2**64); got {number}.")
    return number


default_generator = Generator()

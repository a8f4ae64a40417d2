"""Where the outputs of a native step go on the short way: written where state lies, carried to it, or handed out.

State that the step could not update in place (its kernel may still stop the step, or reads it elsewhere) is written
beside, and copied when the step is done. Outputs that are the same value share one place, and an output that is an
input is read where that lies.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from chainrule.compiler.llvm.step import FIRST
from chainrule.compiler.results import Output

if TYPE_CHECKING:
    from chainrule.compiler.program import NativeExecutor
    from chainrule.compiler.variant import Variant

__all__ = ["Endings", "endings_for"]

SMALL = 1 << 16  # bytes of an output that is copied out of fixed memory rather than allocated
CARRIED = 1 << 20  # bytes of state that may be copied after a step

Origin = tuple[str, int]  # ("output", number): the memory of that output; ("state", number): that of a captured cell


class Endings:
    """The places of a variant's outputs; made by `endings_for`.

    Args:
        variant: whose arguments are its first inputs, and whose captured cells are the others.
        executor: its native code.

    Attributes:
        cells: captured cells.
        written: for each of them whether the step assigns it, other than what it was.
        own: (output, shape, dtype, fixed memory or None) of outputs with memory of their own.
        in_place: (state, output): written over the state.
        carried: (origin, state, bytes): copied to the state after the step.
        results: output -> origin, of those that the step returns.
        fits: whether all that is possible.
    """

    def __init__(self, variant: Variant, executor: NativeExecutor):
        self.executor, self.count = executor, len(variant.key[2])
        self.cells = [owner for _, owner in variant.sources[self.count :]]
        self.first = FIRST + len(variant.sources)  # the first output's place in the context
        numbers = {id(cell): number for number, cell in enumerate(self.cells)}
        targets = [(numbers.get(id(owner), -1), index) for (_, owner), index in variant.writes]
        assigned = {number for number, index in targets if executor.aliases[index] != self.count + number}
        self.written = [number in assigned for number in range(len(self.cells))]
        self.in_place: list[tuple[int, int]] = []
        self.carried: list[tuple[Origin, int, int]] = []
        self.fits = all(number >= 0 for number, _ in targets) and all(
            self._goes(number, index) for number, index in targets
        )
        results = dict.fromkeys(item.index for item in variant.results if isinstance(item, Output))
        origins = {index: self._origin(index) for index in results}
        self.results = {index: origin for index, origin in origins.items() if origin is not None}
        self.fits = self.fits and len(self.results) == len(origins)
        self.own = self._memory({origin for origin, *_ in self.carried})

    def _goes(self, number: int, index: int) -> bool:
        """Note how an output reaches the state that it is assigned to; return whether it can."""
        executor = self.executor
        if executor.aliases[index] < 0 and executor.first[index] == index and executor.states[index] >= 0:
            self.in_place.append((number, index))
            return executor.states[index] == self.count + number
        origin, size = self._origin(index), self.size(index)
        cell = self.cells[number]._value
        if executor.aliases[index] == self.count + number:
            return True  # assigned what it was
        if origin is None or size > CARRIED or (cell.shape, cell.dtype) != executor.types[index]:
            return False
        self.carried.append((origin, number, size))
        return True

    def _origin(self, index: int) -> Origin | None:
        """Return where a step leaves an output; None where nothing holds its value any more."""
        alias, first = self.executor.aliases[index], self.executor.first[index]
        if alias >= 0:
            number = alias - self.count
            return ("state", number) if number >= 0 and not self.written[number] else None
        if self.executor.states[first] >= 0:
            return ("state", self.executor.states[first] - self.count)
        return ("output", first)

    def _memory(self, carried: set[Origin]) -> list[tuple[int, tuple, np.dtype, np.ndarray | None]]:
        found = []
        for index, (shape, dtype) in enumerate(self.executor.types):
            if self.executor.aliases[index] < 0 and self._origin(index) == ("output", index):
                fixed = self.size(index) <= SMALL or ("output", index) in carried
                found.append((index, shape, dtype, np.empty(shape, dtype) if fixed else None))
        return found

    def size(self, index: int) -> int:
        """Return the bytes of an output."""
        shape, dtype = self.executor.types[index]
        return math.prod(shape) * dtype.itemsize

    def place(self, origin: Origin) -> int:
        """Return where the context holds the pointer of an origin."""
        kind, number = origin
        return self.first + number if kind == "output" else FIRST + self.count + number


def endings_for(variant: Variant, executor: NativeExecutor) -> Endings | None:
    """Return the places of a variant's outputs, or None where the short way has none for one."""
    if any(kind == "grad" or isinstance(owner, int) for (kind, owner), _ in variant.writes):
        return None
    endings = Endings(variant, executor)
    return endings if endings.fits else None

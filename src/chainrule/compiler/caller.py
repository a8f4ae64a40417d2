"""The short way into a compiled step: what a call must check and do, once everything is as it was the last time.

A `Caller` belongs to one variant. It takes a call whose arguments are tensors of the known types, whose guards hold and
whose state lies where it lay: then pointers stand in the context already, and a call costs a few microseconds of
Python. Whatever else comes up, `MISS` sends the call the long way, which is always right.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.llvm.many import HEAD, many_steps
from chainrule.compiler.llvm.pool import prepare
from chainrule.compiler.llvm.step import FIRST
from chainrule.compiler.program import NativeExecutor
from chainrule.compiler.results import Output
from chainrule.core import tree
from chainrule.core.tensor import Tensor

if TYPE_CHECKING:
    from chainrule.compiler.variant import Variant

__all__ = ["MISS", "Caller", "caller_for", "owned"]

MISS = object()
SMALL = 1 << 16  # bytes of an output that is copied out of fixed memory rather than allocated


def _references() -> int:
    """Return what `sys.getrefcount` says, inside a loop over a list, of an array held by one cell and that list."""
    cell, held = [np.empty(1)], []
    held.append(cell[0])
    counts = [sys.getrefcount(array) for array in held]
    return counts[0]


ALONE = _references()


def owned(array: np.ndarray) -> bool:
    """Return whether an array has its own memory, may be written, and is contiguous; who holds it is not looked at."""
    flags = array.flags
    return array.base is None and flags.owndata and flags.writeable and flags.c_contiguous


def caller_for(variant: Variant) -> Caller | None:
    """Return the short way into a variant, or None where it has none."""
    executor = variant.executor
    if not isinstance(executor, NativeExecutor) or variant.live or len(executor.stretches) != 1:
        return None
    if not isinstance(executor.stretches[0], int) or variant.slots:
        return None
    arguments = [owner for kind, owner in variant.sources if isinstance(owner, int)]
    if arguments != list(range(len(variant.key[2]))) or any(leaf[0] != "tensor" or leaf[3] for leaf in variant.key[2]):
        return None
    if any(kind == "grad" or isinstance(owner, int) for (kind, owner), _ in variant.writes):
        return None
    if any(isinstance(owner, int) for owner, _ in variant.clears) or any(a >= 0 for a in executor.aliases):
        return None
    if any(executor.first[index] != index for _, index in variant.writes):
        return None
    cells = {id(cell): type for cell, type, _ in variant.cells}
    for (_, owner), index in variant.writes:
        if executor.states[index] < 0 and (
            cells.get(id(owner)) != executor.types[index] or _size(executor, index) > SMALL
        ):
            return None
    return Caller(variant, executor)


def _size(executor: NativeExecutor, index: int) -> int:
    """Return the bytes of an output."""
    shape, dtype = executor.types[index]
    return math.prod(shape) * dtype.itemsize


class Caller:
    """The short way; see the module's docstring.

    Args:
        variant: a variant that `caller_for` found fit.
        executor: its native code.

    Attributes:
        carried: (output, state): small state that is written beside, and copied when the step is done.
        shared: outputs that are the same as another: (output, or -1; state, or -1).
    """

    def __init__(self, variant: Variant, executor: NativeExecutor):
        self.variant, self.executor = variant, executor
        self.changed = variant.guards.changed
        self.types = [(leaf[1], leaf[2]) for leaf in variant.key[2]]
        self.count = len(self.types)
        self.assigned = variant.assigned
        self.given: list[Any] = [None] * self.count
        self.memory = executor.memory()
        self.context = self.memory.context.copy()  # of its own: the long way writes into the other
        cells = [owner for _, owner in variant.sources[self.count :]]
        self.cells = cells
        self.nodes = [cell._node for cell in cells]
        self.arrays: list[Any] = [None] * len(cells)
        numbers = {id(cell): number for number, cell in enumerate(cells)}
        states, first = executor.states, executor.first
        self.carried = [(index, numbers[id(owner)]) for (_, owner), index in variant.writes if states[index] < 0]
        taken = {numbers[id(owner)] for (_, owner), _ in variant.writes}
        self.taken = [number in taken for number in range(len(cells))]
        self.written = [owner for (_, owner), _ in variant.writes]
        self.clears = [(owner, value) for owner, value in variant.clears]
        self.outputs: list[tuple[int, tuple, np.dtype, np.ndarray | None]] = []
        place = FIRST + len(variant.sources)
        self.first_output = place
        for index, (shape, dtype) in enumerate(executor.types):
            if states[index] >= 0 or first[index] != index:
                continue
            fixed = np.empty(shape, dtype) if _size(executor, index) <= SMALL else None
            if fixed is not None:
                self.context[place + index] = fixed.ctypes.data
            self.outputs.append((index, shape, dtype, fixed))
        results = dict.fromkeys(item.index for item in variant.results if isinstance(item, Output))
        self.shared = {i: (first[i], states[i] - self.count if states[i] >= 0 else -1) for i in results
                       if states[i] >= 0 or first[i] != i}  # fmt: skip
        read = {*results, *(i for i, _ in self.shared.values())}
        self.copied = [(i, fixed) for i, _, _, fixed in self.outputs if i in read and fixed is not None]
        self.taken_outputs = [(states[i] - self.count, place + i) for _, i in variant.writes if states[i] >= 0]
        self.call = self._prepared()
        self.runner: Any = None  # of many steps, once asked for
        self.single: Any = variant.results[0] if len(variant.results) == 1 else None
        self.plain = variant.structure == tree.LEAF

    def _prepared(self) -> Callable[[], int]:
        """Return the native call of one step: the step itself, or where state is carried, a loop of one step."""
        function, context = self.executor.stretches[0], self.context.ctypes.data
        self.job: np.ndarray | None = None
        if self.carried:
            flag = self.memory.flag.ctypes.data
            self.job = np.array([function, context, flag, 1, 0, 0, len(self.carried), 0, 0, *self.carries()], np.int64)
            function, context = many_steps(), self.job.ctypes.data
        return prepare(function, context, cost=self.executor.cost)  # type: ignore[arg-type]

    def carries(self) -> list[int]:
        """Return the words of a native loop that copy the carried state."""
        words: list[int] = []
        for index, state in self.carried:
            place = int(self.context[FIRST + self.count + state])
            words += [int(self.context[self.first_output + index]), _size(self.executor, index), place, 0]
        return words

    def __call__(self, args: tuple[Any, ...]) -> Any:
        """Run the step, or return MISS without having done anything."""
        lock = self.executor.lock  # around all of it: the context belongs to one thread at a time
        if not lock.acquire(blocking=False):
            return MISS
        try:
            return self._attempt(args)
        finally:
            lock.release()

    def _attempt(self, args: tuple[Any, ...]) -> Any:
        context, given = self.context, self.given
        for number, (tensor, (shape, dtype)) in enumerate(zip(args, self.types)):
            if type(tensor) is not Tensor or tensor._node is not None or id(tensor) in self.assigned:
                return MISS
            value = tensor._value
            if value is not given[number]:
                if type(value) is not np.ndarray or value.shape != shape or value.dtype != dtype:
                    return MISS
                if not value.flags.c_contiguous:
                    return MISS
                given[number] = value
                context[FIRST + number] = value.__array_interface__["data"][0]
        return self._run(context) if self.ready() else MISS

    def ready(self) -> bool:
        """Return whether guards hold and nobody but its cells holds the state; the context knows where it lies then."""
        if self.changed() is not None:
            return False
        arrays, taken, nodes = self.arrays, self.taken, self.nodes
        for number, cell in enumerate(self.cells):
            if cell._value is not arrays[number] and not self._moved(number, cell):
                return False
            if cell._node is not nodes[number]:
                return False
        number = 0
        for array in arrays:  # enumerate would hold one more reference to each
            if taken[number] and sys.getrefcount(array) > ALONE:
                return False
            number += 1  # noqa: SIM113
        return True

    def _moved(self, number: int, cell: Tensor) -> bool:
        """Note where state lies now; return whether it is of the type it had."""
        value = cell._value
        shape, dtype = self.variant.cells[number][1]
        if type(value) is not np.ndarray or value.shape != shape or value.dtype != dtype:
            return False
        if not (owned(value) if self.taken[number] else value.flags.c_contiguous):
            return False
        pointer = value.ctypes.data
        self.arrays[number] = value
        self.context[FIRST + self.count + number] = pointer
        for source, place in self.taken_outputs:
            if source == number:
                self.context[place] = pointer
        if self.job is not None:
            self.job[HEAD:] = self.carries()
        return True

    def _run(self, context: np.ndarray) -> Any:
        found: dict[int, np.ndarray] = {}
        for index, shape, dtype, fixed in self.outputs:
            if fixed is None:
                made = found[index] = np.empty(shape, dtype)
                context[self.first_output + index] = made.ctypes.data
        if self.call():
            self.memory.flag[0] = 0
            return MISS  # the long way raises the error
        for index, fixed in self.copied:
            found[index] = fixed.copy()
        for index, (first, state) in self.shared.items():
            found[index] = self.arrays[state].copy() if state >= 0 else found[first].copy()
        self.note(1)
        if self.plain and self.single is not None:
            item = self.single
            return Tensor(found[item.index]) if isinstance(item, Output) else item
        items = [Tensor(found[item.index]) if isinstance(item, Output) else item for item in self.variant.results]
        return tree.unflatten(self.variant.structure, items)

    def note(self, steps: int) -> None:
        """Note that so many steps have changed the state."""
        for cell in self.written:
            cell._version += steps
        for owner, value in self.clears:
            owner._grad = value

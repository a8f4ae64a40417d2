"""The short way into a compiled step: what a call must check and do, once everything is as it was the last time.

A `Caller` belongs to one variant. It takes a call whose arguments are tensors of the known types, whose guards hold and
whose state lies where it lay: then pointers stand in the context already, and a call costs a few microseconds of
Python. Whatever else comes up, `MISS` sends the call the long way, which is always right.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.endings import Endings, endings_for
from chainrule.compiler.llvm.many import HEAD, many_steps
from chainrule.compiler.llvm.pool import prepare
from chainrule.compiler.llvm.step import FIRST, HELD
from chainrule.compiler.program import NativeExecutor
from chainrule.compiler.results import Output
from chainrule.core import tree
from chainrule.core.tensor import Tensor

if TYPE_CHECKING:
    from chainrule.compiler.variant import Variant

__all__ = ["MISS", "Caller", "caller_for", "owned"]

MISS = object()


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
    if any(isinstance(owner, int) for owner, _ in variant.clears):
        return None
    endings = endings_for(variant, executor)
    return None if endings is None else Caller(variant, executor, endings)


class Caller:
    """The short way; see the module's docstring.

    Args:
        variant: a variant that `caller_for` found fit.
        executor: its native code.
        endings: where its outputs go.
    """

    def __init__(self, variant: Variant, executor: NativeExecutor, endings: Endings):
        self.variant, self.executor, self.endings = variant, executor, endings
        self.changed = variant.guards.changed
        self.types = [(leaf[1], leaf[2]) for leaf in variant.key[2]]
        self.count = len(self.types)
        self.assigned = variant.assigned
        self.given: list[Any] = [None] * self.count
        self.memory = executor.memory()
        self.context = self.memory.context.copy()  # of its own: the long way writes into the other
        self.cells, self.taken, self.outputs = endings.cells, endings.written, endings.own
        self.nodes = [cell._node for cell in self.cells]
        self.stale = True  # state lies elsewhere than the outputs that are written over it, or copied to it, know
        self.arrays: list[Any] = [None] * len(self.cells)
        self.written = [owner for (_, owner), _ in variant.writes]
        self.clears = [(owner, value) for owner, value in variant.clears]
        self.first_output = endings.first
        for index, _, _, fixed in self.outputs:
            if fixed is not None:
                self.context[self.first_output + index] = fixed.ctypes.data
        memory = {index: fixed for index, _, _, fixed in self.outputs}
        origins = endings.results.items()
        self.read = [(i, number) for i, (kind, number) in origins if kind == "state"]
        self.copied = [(i, memory[n]) for i, (kind, n) in origins if kind == "output" and memory[n] is not None]
        self.twice = [(i, n) for i, (kind, n) in origins if kind == "output" and memory[n] is None and i != n]
        self.call = self._prepared()
        state = set(variant.fixed()) if executor.plan.prepared else set()
        self.lasting = [number for number in range(len(self.cells)) if number + self.count in state]
        self.held: int | None = None  # the versions of that state for which prepared results lie in the arena
        self.coming: int | None = None  # those for which the next run leaves them there
        self.runner: Any = None  # of many steps, once asked for
        self.single: Any = variant.results[0] if len(variant.results) == 1 else None
        self.plain = variant.structure == tree.LEAF

    def _prepared(self) -> Callable[[], int]:
        """Return the native call of one step: the step itself, or where state is carried, a loop of one step."""
        function, context = self.executor.stretches[0], self.context.ctypes.data
        self.job: np.ndarray | None = None
        carried = self.endings.carried
        if carried:
            flag = self.memory.flag.ctypes.data
            self.job = np.array([function, context, flag, 1, 0, 0, len(carried), 0, 0, *self.carries()], np.int64)
            function, context = many_steps(), self.job.ctypes.data
        return prepare(function, context, cost=self.executor.cost)  # type: ignore[arg-type]

    def carries(self) -> list[int]:
        """Return the words of a native loop that copy the carried state."""
        words: list[int] = []
        for origin, state, size in self.endings.carried:
            source = int(self.context[self.endings.place(origin)])
            words += [source, size, int(self.context[FIRST + self.count + state]), 0]
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
        if self.stale:
            self.stale, self.held = False, None
            for state, index in self.endings.in_place:
                self.context[self.first_output + index] = self.context[FIRST + self.count + state]
            if self.job is not None:
                self.job[HEAD:] = self.carries()
        if self.lasting:
            self.coming = sum([self.cells[number]._version for number in self.lasting])
            self.context[HELD] = self.held == self.coming and self._unshared()
        number = 0
        for array in arrays:  # enumerate would hold one more reference to each
            if taken[number] and sys.getrefcount(array) > ALONE:
                return False
            number += 1  # noqa: SIM113
        return True

    def _unshared(self) -> bool:
        """Return whether nobody else holds state that lasts: an array from outside may be written to at any time."""
        for number in self.lasting:
            array = self.arrays[number]
            if sys.getrefcount(array) > ALONE:
                return False
        return True

    def _moved(self, number: int, cell: Tensor) -> bool:
        """Note where state lies now; return whether it is of the type it had."""
        value = cell._value
        shape, dtype = self.variant.cells[number][1]
        if type(value) is not np.ndarray or value.shape != shape or value.dtype != dtype:
            return False
        if not (owned(value) if self.taken[number] else value.flags.c_contiguous):
            return False
        self.arrays[number] = value
        self.stale = True
        self.context[FIRST + self.count + number] = value.ctypes.data
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
        for index, state in self.read:
            found[index] = self.arrays[state].copy()
        for index, first in self.twice:
            found[index] = found[first].copy()
        self.held = self.coming
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

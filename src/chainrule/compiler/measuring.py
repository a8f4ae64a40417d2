"""How long a compiled step and each of its kernels take: the step runs as it is and with a clock, by turns.

Each pass runs all kernels in order, once each: what a kernel reads lies in the caches or not, as in the step, and the
times add up to the step's but for the clock, whose own cost is taken off. Of the whole step the median counts. Of the
kernels the mean counts, over the third of the passes whose sums are nearest to their median: the median of each kernel
by itself would leave out what disturbs now the one and now the other, which adds up.

All this happens on copies of the state and in an arena of its own, so nothing that the step knows changes. References
are called between the native parts, as in the step.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence

import numpy as np

from chainrule.compiler.kernels import Call, Program
from chainrule.compiler.llvm.clocked import EXTRA, load_clocked, notes_place
from chainrule.compiler.llvm.machine import Target
from chainrule.compiler.llvm.pool import thread_pool
from chainrule.compiler.llvm.step import HELD, Written
from chainrule.compiler.program import NativeExecutor

__all__ = ["Stopwatch"]

LEAST, MOST = 4, 1000  # passes of each kind
ENOUGH = 1.5  # seconds after which there are no more than the least
FIRST = 2  # passes that also prepare what later ones keep, and fill the caches


class Stopwatch:
    """A step on memory of its own, measured by `run`.

    Args:
        executor: how the step runs.
        program: its kernels.
        written: their text's names.
        inputs: one array per input, which the step may write over.
        target: the instruction set.
    """

    def __init__(
        self, executor: NativeExecutor, program: Program, written: Written, inputs: list[np.ndarray], target: Target
    ):
        self.executor, self.program = executor, program
        self.memory = executor.new_memory()
        self.inputs, self.outputs = executor.place(self.memory, inputs, [True] * len(inputs))
        self.stretches = self._stretches()
        native = [kernels for kernels in self.stretches if not self._is_call(kernels)]
        self.notes = np.zeros(sum(len(kernels) + EXTRA for kernels in native), np.int64)
        self.context = np.zeros(notes_place(program) + 1, np.int64)
        self.context[:-1] = self.memory.context
        self.context[-1] = self.notes.ctypes.data
        self.addresses: list[int] = []
        if executor.loaded is not None and native:
            self.code, self.addresses = load_clocked(program, written, native, executor.loaded, target)
        self.refused = False

    def _is_call(self, kernels: Sequence[int]) -> bool:
        return isinstance(self.program.kernels[kernels[0]], Call)

    def _stretches(self) -> list[list[int]]:
        """Return the numbers of the kernels between two calls of references, which stand alone."""
        found: list[list[int]] = []
        for n, kernel in enumerate(self.program.kernels):
            if not found or isinstance(kernel, Call) or self._is_call(found[-1]):
                found.append([])
            found[-1].append(n)
        return found

    def run(self) -> tuple[float | None, list[float | None]]:
        """Return the seconds of the whole step, and of each kernel; None where it refuses the numbers it was given."""
        first = [self._clocked() for _ in range(FIRST)]
        self._whole()
        self.context[HELD] = self.memory.context[HELD] = 1
        passes: list[list[float | None]] = []
        whole: list[float | None] = []
        start = time.perf_counter()
        while len(passes) < LEAST or (len(passes) < MOST and time.perf_counter() - start < ENOUGH):
            whole.append(self._whole())
            passes.append(self._clocked())
        prepared = self.program.prepared
        kernels = _usual(first)[:prepared] + _usual([times[prepared:] for times in passes])
        return None if self.refused else _median(whole), kernels

    def _whole(self) -> float | None:
        """Run the step once and return its seconds: native code and references, without the checks of a call."""
        pool, executor, address = thread_pool(), self.executor, self.memory.address
        self.memory.flag[0] = 0
        start = time.perf_counter()
        for stretch in executor.stretches:
            if isinstance(stretch, Call):
                try:
                    executor.call(stretch, self.memory, self.inputs, self.outputs)
                except Exception:  # any reference may refuse random numbers
                    self.refused = True
                    return None
            elif pool.run(stretch, address, None, executor.cost):
                self.refused = True
                return None
        return time.perf_counter() - start

    def _clocked(self) -> list[float | None]:
        """Run each kernel once, in order, and return the seconds of each."""
        pool, context, cost = thread_pool(), self.context.ctypes.data, self.executor.cost
        times: list[float | None] = [None] * len(self.program.kernels)
        addresses, at = iter(self.addresses), 0
        self.memory.flag[0] = 0
        for kernels in self.stretches:
            if self._is_call(kernels):
                times[kernels[0]] = self._called(kernels[0])
                continue
            pool.run(next(addresses), context, None, cost)
            notes = self.notes[at : at + len(kernels) + EXTRA].tolist()
            clock, at = notes[1] - notes[0], at + len(notes)
            for n, begin, end in zip(kernels, notes[1:], notes[2:], strict=False):
                times[n] = max(end - begin - clock, 1) * 1e-9
        return times

    def _called(self, number: int) -> float | None:
        kernel = self.program.kernels[number]
        start = time.perf_counter()
        with contextlib.suppress(Exception):  # it may refuse random numbers
            self.executor.call(kernel, self.memory, self.inputs, self.outputs)  # type: ignore[arg-type]
            return time.perf_counter() - start
        return None


def _usual(passes: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Return the mean time of each kernel over the passes in the middle, by their sums."""
    ordered = sorted(passes, key=lambda times: sum(t or 0.0 for t in times))
    aside = (len(ordered) - 1) // 3
    return [_mean(column) for column in zip(*ordered[aside : len(ordered) - aside], strict=True)]


def _mean(times: Sequence[float | None]) -> float | None:
    found = [t for t in times if t is not None]
    return statistics.fmean(found) if found else None


def _median(times: Sequence[float | None]) -> float | None:
    found = [t for t in times if t is not None]
    return statistics.median(found) if found else None

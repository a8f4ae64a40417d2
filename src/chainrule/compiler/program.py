"""A compiled graph: native code with its memory, called on NumPy arrays.

State that the caller owns alone is updated where it lies; every other output is a new array. A check that fails ends
the native step before any state has changed; the references then run the same inputs and raise the user's error.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from chainrule.compiler import system
from chainrule.compiler.executor import ReferenceExecutor
from chainrule.compiler.kernels import Call, View
from chainrule.compiler.llvm import step as llvm_step
from chainrule.compiler.llvm.machine import Loaded
from chainrule.compiler.llvm.pool import thread_pool
from chainrule.compiler.llvm.runtime import MAX_THREADS
from chainrule.compiler.plan import Plan, compile_graph, numpy_dtype, simplified
from chainrule.core.errors import ChainruleError
from chainrule.core.graph import Graph
from chainrule.ops.printing import quiet

__all__ = ["Memory", "NativeExecutor"]

ALIGN = 128
LARGE_PAGE = 2 << 20  # bytes; from twice that on, memory starts at such a page
SMALL_SCRATCH = 96 << 10  # bytes of a thread up to which scratch comes in small pages: the rest of a large one is waste
PER_MICROSECOND = 20_000.0  # units of cost that one thread does in a microsecond


def aligned(nbytes: int, large: bool = True) -> tuple[np.ndarray, int]:
    """Return bytes whose first is at a multiple of `ALIGN`, and its address; `large`: many come in large pages."""
    if nbytes >= 2 * LARGE_PAGE:
        raw, each = np.frombuffer(system.new_pages(nbytes + LARGE_PAGE, large), np.uint8), LARGE_PAGE
    else:
        raw, each = np.empty(nbytes + ALIGN, np.uint8), ALIGN
    return raw, raw.ctypes.data + -raw.ctypes.data % each


class NativeExecutor:
    """A graph as native code, callable on arrays like `ReferenceExecutor`.

    Args:
        graph: a checked graph; its references explain a failed check.
        plan: how to run it; default the graph compiled as it stands.
    """

    def __init__(self, graph: Graph, plan: Plan | None = None):
        self.graph = graph
        self.compiled = None if plan else graph  # what the plan's numbers of equations mean; None: after the passes
        self.plan = plan = plan or compile_graph(graph)
        self.loaded = Loaded(plan.code) if plan.code else None
        self.types = [(v.shape, v.dtype) for v in graph.outputs]
        self.stretches = [x if isinstance(x, Call) else self.address(x) for x in plan.stretches]
        self.constants, self.states, self.aliases, self.first = plan.constants, plan.states, plan.aliases, plan.first
        self.count = llvm_step.FIRST + plan.inputs + len(self.types) + len(self.constants)
        self.cost = plan.cost / PER_MICROSECOND
        self.lock = threading.Lock()
        self._memory: Memory | None = None

    def address(self, name: str) -> int:
        """Return the address of one of its functions."""
        assert self.loaded is not None
        return self.loaded.address(name)

    @property
    def taken(self) -> list[int]:
        """For each output the input whose memory it takes over when that is owned, or -1."""
        return self.states

    def __call__(self, inputs: Sequence[np.ndarray], owned: Sequence[bool] = ()) -> list[np.ndarray]:
        """Run the step.

        Args:
            inputs: one array per graph input, of its type.
            owned: per input whether the caller is the only one who holds the array; such state is updated in place.

        Returns:
            One array per graph output.

        Raises:
            ChainruleError: an operation refuses its data.
        """
        if self.lock.acquire(blocking=False):
            try:
                return self.run_in(self.memory(), inputs, owned)
            finally:
                self.lock.release()
        return self.run_in(self.new_memory(), inputs, owned)

    def memory(self) -> Memory:
        """Return the memory of calls that do not overlap."""
        if self._memory is None:
            self._memory = self.new_memory()
        return self._memory

    def new_memory(self) -> Memory:
        """Return memory for one more call at a time."""
        return Memory(self)

    def run_in(self, memory: Memory, inputs: Sequence[np.ndarray], owned: Sequence[bool]) -> list[np.ndarray]:
        """Run the step in a memory that nobody else uses meanwhile; see `__call__`."""
        memory.flag[0] = 0
        kept, outputs = self.place(memory, inputs, owned)
        pool = thread_pool()
        for stretch in self.stretches:
            if isinstance(stretch, Call):
                self.call(stretch, memory, kept, outputs)
            elif pool.run(stretch, memory.address, None, self.cost):
                self._explain(kept)
        return outputs

    def place(
        self, memory: Memory, inputs: Sequence[np.ndarray], owned: Sequence[bool]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Put the addresses of inputs and outputs into the context, and return both as they lie in memory."""
        context = memory.context
        kept = [x if x.flags.c_contiguous else np.ascontiguousarray(x) for x in inputs]
        place = llvm_step.FIRST
        for array in kept:
            context[place] = array.ctypes.data
            place += 1
        outputs: list[np.ndarray] = []
        for number, (shape, dtype) in enumerate(self.types):
            source = self.states[number]
            if self.aliases[number] >= 0:
                outputs.append(inputs[self.aliases[number]])
            elif self.first[number] != number:
                outputs.append(outputs[self.first[number]])
            elif source >= 0 and owned and owned[source] and kept[source] is inputs[source]:
                outputs.append(inputs[source])
            else:
                outputs.append(np.empty(shape, dtype))
            context[place + number] = outputs[-1].ctypes.data
        return kept, outputs

    def call(self, kernel: Call, memory: Memory, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Call a reference on what lies in memory."""
        (equation,) = kernel.equations
        arrays = [self._array(v, memory, inputs, outputs) for v in kernel.inputs]
        found = equation.primitive.run(arrays, dict(equation.attributes))
        for view, array in zip(kernel.outputs, found, strict=True):
            self._array(view, memory, inputs, outputs)[...] = array

    def _array(
        self, view: View, memory: Memory, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return a tensor of the program as a NumPy array over its memory."""
        buffer = view.buffer
        dtype = numpy_dtype(buffer.kind)
        if buffer.place == "arena":
            flat = memory.slice(buffer.slot, buffer.size * dtype.itemsize).view(dtype)
        else:
            source = {"input": inputs, "output": outputs, "constant": self.constants}[buffer.place]
            flat = source[buffer.slot].reshape(-1)
        strides = tuple(s * dtype.itemsize for s in view.strides)
        return np.lib.stride_tricks.as_strided(flat[view.offset :], view.shape, strides)

    def _explain(self, inputs: Sequence[np.ndarray]) -> None:
        """Raise the error of the failed check, as the references have it."""
        with quiet():
            ReferenceExecutor(self.graph)(inputs)
        raise ChainruleError(
            f"{self.graph.name}: a check failed in the compiled step and not in its reference. "
            "Please report this with the step."
        )


class Memory:
    """What one run needs: the context, the arena, private scratch for each thread, and the flag."""

    def __init__(self, executor: NativeExecutor):
        self.context = np.zeros(executor.count, np.int64)
        self.address = self.context.ctypes.data
        self.flag = np.zeros(1, np.int64)
        try:
            self.arena, self.base = aligned(executor.plan.arena)
            self.each = -(-executor.plan.scratch // ALIGN) * ALIGN
            large = self.each > SMALL_SCRATCH
            self.scratch, scratch = aligned(self.each * MAX_THREADS, large)  # pages that nobody touches cost nothing
        except MemoryError:
            raise MemoryError(_too_large(executor)) from None
        self.context[llvm_step.SCRATCH] = scratch
        self.context[llvm_step.FLAG] = self.flag.ctypes.data
        self.context[llvm_step.ARENA] = self.base
        start = executor.count - len(executor.constants)
        for n, array in enumerate(executor.constants):
            self.context[start + n] = array.ctypes.data

    def slice(self, offset: int, nbytes: int) -> np.ndarray:
        """Return bytes of the arena."""
        start = self.base - self.arena.ctypes.data + offset
        return self.arena[start : start + nbytes]


def _too_large(executor: NativeExecutor) -> str:
    """Return that there is no memory, and what takes most of it."""
    plan = executor.plan
    graph = executor.compiled or simplified(executor.graph)
    names = []
    for kind, size, nbytes, number in (x for x in plan.largest if 20 * x[2] >= plan.arena):
        text = f"{_megabytes(nbytes)} ({kind}[{size}])"
        if number >= 0:
            e = graph.equations[number]
            places = e.source and f" at {e.source}", e.module and f" in {e.module}"
            text += f" for {e.primitive.name}{''.join(places)}"
        names.append(text)
    return (
        f"{executor.graph.name}: the compiled step needs {_megabytes(plan.arena)} for temporaries, which this machine "
        f"does not have; the largest: {'; '.join(names)}. Use a smaller batch, or cr.checkpoint."
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"

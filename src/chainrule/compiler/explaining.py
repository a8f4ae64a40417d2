"""Filling an `Explanation`: the passes and the scheduler run again on the graph, and each kernel is run alone.

Kernels are measured in the order of the step, each right after what it reads was computed, on copies of the state and
an arena of its own: nothing that the step knows changes. What is not at hand (the arguments) is random. A kernel runs
often enough for its time to be long beside the clock's steps; the median of some such runs counts.
"""

from __future__ import annotations

import contextlib
import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.compiler import expr
from chainrule.compiler.explanation import Explanation, KernelRow, Operation
from chainrule.compiler.expr import Expr
from chainrule.compiler.kernels import Border, Buffer, Call, Kernel, Loops, Product, Program, Store, View, row_major
from chainrule.compiler.llvm.alone import Alone, load_alone, repeats_place
from chainrule.compiler.llvm.machine import Loaded, Target, compile_text, host_target
from chainrule.compiler.llvm.peak import Peak, peak, raise_peak
from chainrule.compiler.llvm.pool import thread_pool
from chainrule.compiler.llvm.step import SERIAL_COST, Written
from chainrule.compiler.plan import scheduled, simplified, text_digest
from chainrule.compiler.program import NativeExecutor
from chainrule.compiler.schedule import Scheduler
from chainrule.core.graph import Equation, Graph, Variable
from chainrule.core.lowering import Contraction, Fold, IndexMap, Reduction
from chainrule.ops.printing import quiet

__all__ = ["explain", "rows_of"]

LONG = 300e-6  # seconds that a measured run lasts at least
RUNS, FEW = 7, 3  # how many of those, and of runs that take many times as long
MANY = 100_000  # repetitions at most


def explain(
    graph: Graph, takes: Mapping[int, int], executor: NativeExecutor, given: Sequence[np.ndarray | None], measure: bool
) -> Explanation:
    """Return what a compiled graph consists of.

    Args:
        graph: as traced.
        takes: which output may be written over which input.
        executor: how it runs.
        given: per input an array, or None where random numbers do.
        measure: whether to run its kernels.

    Raises:
        MemoryError: there is no memory for a second set of temporaries.
    """
    target = host_target()
    scheduler, program, written = scheduled(simplified(graph), takes, target)
    rows = rows_of(scheduler, program, written)
    plan, threads = executor.plan, thread_pool().size
    seconds, best = None, None
    if measure:
        loaded = executor.loaded
        if written.texts and text_digest(written.texts) != plan.text_digest:
            loaded = Loaded(compile_text(written.texts, target))
        run = _Run(executor, program, [_filled(v, x) for v, x in zip(graph.inputs, given, strict=True)])
        with quiet():
            seconds = run.whole()
            times = run.kernels(rows, written, loaded, target)
        rows = [replace(row, seconds=t) for row, t in zip(rows, times, strict=True)]
        best = peak(threads)
        highest = max((r.gflops or 0.0 for r in rows if r.kind == "contraction" and r.precision == "f32"), default=0.0)
        best = raise_peak(Peak(highest, 0.0), target, threads)
    return Explanation(
        name=graph.name,
        rows=tuple(rows),
        target=target.name,
        threads=threads,
        seconds=seconds,
        temporaries=plan.arena,
        scratch=plan.scratch,
        largest=tuple((kind, size, nbytes) for kind, size, nbytes, _ in plan.largest),
        compile_seconds=plan.seconds,
        from_disk=plan.from_disk,
        peak_gflops=best.gflops if best else None,
        peak_bandwidth=best.bandwidth if best else None,
    )


# ------------------------------------------------------------------------------------------------ rows
def rows_of(scheduler: Scheduler, program: Program, written: Written) -> list[KernelRow]:
    """Return a row per kernel, without times."""
    rows: list[KernelRow] = []
    summed: set[Equation] = set()
    columns = (written.functions, written.units, written.costs, written.strategies)
    for kernel, function, units, cost, strategy in zip(program.kernels, *columns, strict=True):
        before = set(summed)
        equations = _fused(scheduler, kernel, summed)
        own = sum(e.flops for e in equations if not isinstance(e.primitive.lower, Contraction) and e not in before)
        kind, shape, notes = _words(kernel)
        rows.append(
            KernelRow(
                function=function,
                kind=kind,
                operations=tuple(Operation(e.primitive.name, e.source, e.module, _is_view(e)) for e in equations),
                shape=shape,
                strategy=strategy,
                notes=tuple(notes),
                units=units,
                shared=units > 1 and cost >= SERIAL_COST,
                flops=_flops(kernel, own),
                read=sum(_touched(kernel, b) for b in kernel.reads),
                written=sum(b.nbytes for b in kernel.writes),
                precision=_precision(kernel),
            )
        )
    return rows


def _fused(scheduler: Scheduler, kernel: Kernel, summed: set[Equation]) -> list[Equation]:
    """Return the equations of a kernel: those whose results it stores, and those written into them.

    A large sum is made in parts, which a later kernel adds up; the work is the first one's. `summed` remembers.
    """
    found: dict[Equation, None] = {}
    parts = {e for e in kernel.equations if e in summed}

    def visit(e: Equation) -> None:
        if e in found:
            return
        for v in e.inputs if e not in parts else ():
            if v.constant is None and v not in scheduler.views and v in scheduler.made:
                visit(scheduler.made[v])
        found[e] = None

    for e in kernel.equations:
        visit(e)
    summed.update(e for e in kernel.equations if isinstance(e.primitive.lower, (Reduction, Fold)))
    return list(found)


def _is_view(e: Equation) -> bool:
    return isinstance(e.primitive.lower, IndexMap) and e.primitive.lower.view


def _flops(kernel: Kernel, own: int) -> int:
    if isinstance(kernel, Product):
        return kernel.spec.flops + own
    if isinstance(kernel, Call):
        return sum(e.flops for e in kernel.equations)
    return own


def _precision(kernel: Kernel) -> str:
    if isinstance(kernel, Product):
        both = kernel.spec.a_kind == kernel.spec.b_kind == "bf16"
        return "bf16" if both else kernel.spec.kind
    return next((b.kind for b in kernel.writes), "f32")


def _touched(kernel: Kernel, buffer: Buffer) -> int:
    """Return how many bytes of a buffer a kernel reads: no more than it has, than a view shows, than it takes."""
    elements = 0
    if isinstance(kernel, Product):
        axes = (*kernel.spec.batch, *kernel.spec.rows, *kernel.spec.columns, *kernel.spec.sums)
        for (operand, _), strides in ((kernel.left, [x.a for x in axes]), (kernel.right, [x.b for x in axes])):
            if operand is buffer:
                elements += math.prod(x.extent for x, s in zip(axes, strides, strict=True) if s)
    for part in expr.walk(v for s in kernel.statements() for v in (s.value, *(s.at if isinstance(s, Store) else ()))):
        if part.op == "load" and part.data.buffer is buffer:
            axes_read = {v for a in part.args[: len(part.data.shape)] for v in a.free if v.op == "axis"}
            elements += min(math.prod(part.data.shape), math.prod(v.data[1] for v in axes_read))
    whole = buffer.nbytes
    return min(whole, elements * (whole // max(buffer.size, 1))) if elements else whole


def _words(kernel: Kernel) -> tuple[str, str, list[str]]:
    """Return the kind of a kernel, the shape of its loops, and notes."""
    notes = [text for s in kernel.statements() if isinstance(s, Store) for text in _layout(s.view)]
    notes = list(dict.fromkeys(notes))
    if isinstance(kernel, Product):
        spec = kernel.spec
        sides = [_extents(x.extent for x in axes) for axes in (spec.rows, spec.columns, spec.sums)]
        batch = f"{_extents(x.extent for x in spec.batch)} times " if any(x.extent > 1 for x in spec.batch) else ""
        return "contraction", f"{batch}{sides[0]} rows x {sides[1]} columns, sums of {sides[2]}", notes
    if isinstance(kernel, Loops):
        stages = [_extents(_extent(v) for v in s.axes) for s in kernel.stages if s.axes]
        shape = " then ".join(dict.fromkeys(stages))
        outer = _extents(_extent(v) for v in kernel.outer)
        shape = " of ".join(filter(None, (outer, shape))) or "1"
        if all(isinstance(s, Store) and _is_copy(s.value) for s in kernel.statements()):
            return "copy", shape, notes
        return "loops", shape, notes
    if isinstance(kernel, Border):
        return "border", _extents(kernel.view.shape), []
    if isinstance(kernel, Call):
        return "reference", ", ".join(_extents(v.shape) for v in kernel.outputs), []
    return "turns", ", ".join(_extents([b.size]) for b in kernel.writes), notes


def _is_copy(value: Expr) -> bool:
    return value.op == "load" or (value.op == "cast" and _is_copy(value.args[0]))


def _layout(view: View) -> list[str]:
    """Return in words how a value's layout differs from the user's."""
    notes = []
    if view.order != tuple(range(len(view.shape))) and view.strides != row_major(view.shape):
        nhwc = view.order == (0, *range(2, len(view.shape)), 1)
        notes.append("writes channels last" if nhwc else f"writes axes in the order {', '.join(map(str, view.order))}")
    if view.buffer.size > math.prod(view.shape) and view.buffer.place == "arena":
        notes.append("writes between borders of zeros")
    return notes


def _extent(v: Expr) -> int:
    return v.data[1]


def _extents(sizes: Any) -> str:
    return " x ".join(map(str, sizes)) or "1"


# ------------------------------------------------------------------------------------------------ times
def _filled(v: Variable, given: np.ndarray | None) -> np.ndarray:
    """Return an array for an input: a copy of what is given, else random numbers or zeros."""
    if given is not None:
        return np.array(given, order="C")
    if v.dtype.kind in "biu":
        return np.zeros(v.shape, v.dtype)
    return np.random.default_rng(0).standard_normal(v.shape).astype(v.dtype)


class _Run:
    """A step on memory of its own."""

    def __init__(self, executor: NativeExecutor, program: Program, inputs: list[np.ndarray]):
        self.executor, self.program, self.inputs = executor, program, inputs
        self.owned = [True] * len(inputs)

    def whole(self) -> float | None:
        """Return the median time of the whole step; None where it refuses the numbers that it was given."""
        times = []
        memory = self.executor.new_memory()
        with contextlib.suppress(Exception):  # any reference may refuse random numbers
            for _ in range(RUNS + 1):
                start = time.perf_counter()
                self.executor.run_in(memory, self.inputs, self.owned)
                times.append(time.perf_counter() - start)
        return statistics.median(times[1:]) if len(times) > 1 else None

    def kernels(
        self, rows: Sequence[KernelRow], written: Written, loaded: Loaded | None, target: Target
    ) -> list[float | None]:
        """Return each kernel's time on its own, in the order of the step."""
        native = [n for n, row in enumerate(rows) if row.function]
        alone = []
        for n in native:
            kernel = self.program.kernels[n]
            buffers = list(dict.fromkeys([*kernel.reads, *kernel.writes]))
            assert loaded is not None
            alone.append(Alone(loaded.address(rows[n].function), buffers, rows[n].units, rows[n].shared))
        memory = self.executor.new_memory()
        inputs, outputs = self.executor.place(memory, self.inputs, self.owned)
        context = np.zeros(repeats_place(self.program) + 1, np.int64)
        context[: len(memory.context)] = memory.context
        times: list[float | None] = [None] * len(rows)
        if not alone:
            keep, address = None, None
        else:
            keep, address = load_alone(alone, self.program, written.scratch, target)
        for n, kernel in enumerate(self.program.kernels):
            if isinstance(kernel, Call):
                with contextlib.suppress(Exception):  # it may refuse random numbers
                    times[n] = _called(functools.partial(self.executor.call, kernel, memory, inputs, outputs))
            else:
                assert address is not None
                threads = None if rows[n].shared else 1
                times[n] = _native(address(native.index(n)), context, threads)
        del keep
        return times


def _called(call: Callable[[], None]) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _native(address: int, context: np.ndarray, threads: int | None) -> float:
    """Return the median time of a kernel; the last place of the context says how often a call runs it."""
    pool, place, repeats = thread_pool(), context.ctypes.data, 1

    def once() -> float:
        context[-1] = repeats
        start = time.perf_counter()
        pool.run(address, place, threads)
        return time.perf_counter() - start

    once()
    while (spent := once()) < LONG and repeats < MANY:
        repeats = min(MANY, max(2 * repeats, math.ceil(repeats * 1.5 * LONG / max(spent, 1e-9))))
    return statistics.median(once() for _ in range(RUNS if spent < 10 * LONG else FEW)) / repeats

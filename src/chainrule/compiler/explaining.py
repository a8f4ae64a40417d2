"""Filling an `Explanation`: the passes and the scheduler run again on the graph, and the step is measured on copies.

What is not at hand (the arguments) is random. How kernels are measured stands in `measuring`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.compiler import expr
from chainrule.compiler.explanation import Explanation, KernelRow, Operation
from chainrule.compiler.expr import Expr
from chainrule.compiler.kernels import (
    Border,
    Buffer,
    Call,
    Kernel,
    Loops,
    Product,
    Program,
    Store,
    Sum,
    View,
    row_major,
)
from chainrule.compiler.llvm.machine import host_target
from chainrule.compiler.llvm.peak import Peak, peak, raise_peak
from chainrule.compiler.llvm.pool import thread_pool
from chainrule.compiler.llvm.step import Written, runs_alone
from chainrule.compiler.measuring import Stopwatch
from chainrule.compiler.plan import compile_graph, scheduled, simplified, text_digest
from chainrule.compiler.program import NativeExecutor
from chainrule.compiler.schedule import Scheduler
from chainrule.core.graph import Equation, Graph, Variable
from chainrule.core.lowering import Contraction, Fold, IndexMap, Reduction
from chainrule.ops.printing import quiet

__all__ = ["explain", "rows_of"]

LASTING = 50e-6  # seconds that a contraction takes at least before it may raise the peak


def explain(
    graph: Graph,
    takes: Mapping[int, int],
    fixed: Collection[int],
    executor: NativeExecutor,
    given: Sequence[np.ndarray | None],
    measure: bool,
) -> Explanation:
    """Return what a compiled graph consists of.

    Args:
        graph: as traced.
        takes: which output may be written over which input.
        fixed: inputs that are state which the step does not assign.
        executor: how it runs.
        given: per input an array, or None where random numbers do.
        measure: whether to run its kernels.

    Raises:
        MemoryError: there is no memory for a second set of temporaries.
    """
    target, simple = host_target(), simplified(graph)
    scheduler, program, written = scheduled(simple, takes, target, fixed)
    rows = rows_of(scheduler, program, written)
    plan, threads = executor.plan, thread_pool().size
    seconds, best = None, Peak()
    if measure:
        if written.texts and text_digest(written.texts) != plan.text_digest:
            executor = NativeExecutor(simple, compile_graph(simple, takes, target, fixed))
        inputs = [_filled(v, x) for v, x in zip(graph.inputs, given, strict=True)]
        with quiet():
            seconds, times = Stopwatch(executor, program, written, inputs, target).run()
        rows = [replace(row, seconds=t) for row, t in zip(rows, times, strict=True)]
        peak(threads)
        best = raise_peak(Peak(*(_highest(rows, kind) for kind in ("f32", "bf16"))), target, threads)
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
        peak_gflops=best.gflops or None,
        peak_bf16_gflops=best.bf16_gflops or None,
        peak_bandwidth=best.bandwidth or None,
    )


def _highest(rows: Sequence[KernelRow], precision: str) -> float:
    """Return the most GFLOP/s of a contraction: it may beat the measured peak on a machine that was busy then."""
    lasting = [r for r in rows if r.kind == "contraction" and r.precision == precision and (r.seconds or 0) >= LASTING]
    return max((r.gflops or 0.0 for r in lasting), default=0.0)


# ------------------------------------------------------------------------------------------------ rows
def rows_of(scheduler: Scheduler, program: Program, written: Written) -> list[KernelRow]:
    """Return a row per kernel, without times."""
    rows: list[KernelRow] = []
    summed: set[Equation] = set()
    looped, modules = _looped(program.kernels), _modules(scheduler)
    bordered = {x.view.buffer for x in program.kernels if isinstance(x, Border)}
    columns = (written.functions, written.units, written.costs, written.strategies)
    every = enumerate(zip(program.kernels, *columns, strict=True))
    for number, (kernel, function, units, cost, strategy) in every:
        before = set(summed)
        equations = _fused(scheduler, kernel, summed)
        own = sum(e.flops for e in equations if not isinstance(e.primitive.lower, Contraction) and e not in before)
        kind, shape, notes = _words(kernel, bordered)
        rows.append(
            KernelRow(
                function=function,
                kind=kind,
                operations=tuple(
                    Operation(e.primitive.name, e.source, e.module or modules.get(e, ""), _is_view(e))
                    for e in equations
                ),
                shape=shape,
                strategy=strategy,
                notes=tuple(notes),
                units=units,
                shared=not runs_alone(units, cost),
                flops=_flops(kernel, own + looped.get(kernel, 0)),
                read=sum(_touched(kernel, b) for b in kernel.reads),
                written=sum(_filled_bytes(kernel, b) for b in kernel.writes),
                precision=_precision(kernel),
                prepared=number < program.prepared,
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


def _modules(scheduler: Scheduler) -> dict[Equation, str]:
    """Return the modules of contractions on the way back: of the forward one that shares a weight or an input."""
    contractions = [e for e in scheduler.graph if isinstance(e.primitive.lower, Contraction)]
    forward: dict[Variable, list[Equation]] = {}

    def origin(v: Variable) -> Variable:
        while v in scheduler.made:
            e = scheduler.made[v]
            if not _is_view(e) and e.primitive.name != "astype":
                break
            v = e.inputs[0]
        return v

    for e in contractions:
        for v in e.inputs if e.module else ():
            forward.setdefault(origin(v), []).append(e)
    found: dict[Equation, str] = {}
    for e in contractions:
        for v in reversed(e.inputs):  # a weight first: it has one user
            for f in forward.get(origin(v), []) if not e.module else ():
                if e.primitive.name.startswith(f.primitive.name):
                    found.setdefault(e, f.module)
    return found


def _is_view(e: Equation) -> bool:
    return isinstance(e.primitive.lower, IndexMap) and e.primitive.lower.view


def _flops(kernel: Kernel, own: int) -> int:
    if isinstance(kernel, Product):
        return kernel.spec.flops + own
    if isinstance(kernel, Call):
        return sum(e.flops for e in kernel.equations)
    return own


def _looped(kernels: Sequence[Kernel]) -> dict[Kernel, int]:
    """Return the multiplications and additions of contractions that are loop kernels: those of few channels a group.

    Most are one sum, which has as many terms as the contraction. Those that are one per remainder of the stride share
    its products among them.
    """
    done = {e for x in kernels if isinstance(x, Product) for e in x.equations}
    makers: dict[Equation, list[Loops]] = {}
    for kernel in kernels:
        for e in kernel.equations:
            if isinstance(kernel, Loops) and isinstance(e.primitive.lower, Contraction) and e not in done:
                makers.setdefault(e, []).append(kernel)
    found: dict[Kernel, int] = {}
    taken: set[Store | Sum] = set()
    for several in (False, True):
        for e, parts in list(makers.items()):
            places = [(x, s, points) for x in parts for s, points in _products(x) if s not in taken]
            if not several:
                places = [place for place in places if 2 * place[2] == e.flops][:1]
                taken.update(s for _, s, _ in places)
            whole, past = sum(points for _, _, points in places), 0
            for kernel, _, points in places:
                share = e.flops * (past + points) // whole - e.flops * past // whole
                found[kernel] = found.get(kernel, 0) + share
                past += points
            if places:
                del makers[e]
    return found


def _products(kernel: Loops) -> list[tuple[Store | Sum, int]]:
    """Return the statements of a loop kernel that sum products, or store them, and how many."""
    found: list[tuple[Store | Sum, int]] = []
    for stage in kernel.stages:
        points = math.prod(map(_extent, (*kernel.outer, *stage.axes)))
        for s in stage.statements:
            value = s.value.args[0] if s.value.op == "cast" else s.value
            if value.op == "mul" and value.is_float:
                found.append((s, points))
    return found


def _precision(kernel: Kernel) -> str:
    """Return in which kind a kernel computes: bfloat16 is widened, but for contractions of both operands."""
    if isinstance(kernel, Product):
        both = kernel.spec.a_kind == kernel.spec.b_kind == "bf16"
        return "bf16" if both else kernel.spec.kind
    kinds = {b.kind for b in kernel.writes}
    return next((kind for kind in ("f64", "f32") if kind in kinds), "f32" if "bf16" in kinds or not kinds else "")


def _filled_bytes(kernel: Kernel, buffer: Buffer) -> int:
    """Return how many bytes of a buffer a kernel writes: no more than it has, than its stores reach."""
    size = buffer.nbytes // max(buffer.size, 1)
    if isinstance(kernel, Border):
        view = kernel.view
        around = [n + low + high for n, (low, high) in zip(view.shape, kernel.halo, strict=True)]
        return size * (math.prod(around) - math.prod(view.shape))
    elements = 0
    for s in kernel.statements():
        if isinstance(s, Store) and s.view.buffer is buffer:
            axes = {v for i in s.at for v in i.free if v.op == "axis"}
            elements += math.prod(map(_extent, axes))
    return min(buffer.nbytes, elements * size) if elements else buffer.nbytes


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


def _words(kernel: Kernel, bordered: Collection[Buffer]) -> tuple[str, str, list[str]]:
    """Return the kind of a kernel, the shape of its loops, and notes; `bordered` buffers have zeros at their edges."""
    notes = [text for s in kernel.statements() if isinstance(s, Store) for text in _layout(s.view, bordered)]
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


def _layout(view: View, bordered: Collection[Buffer]) -> list[str]:
    """Return in words how a value's layout differs from the user's."""
    notes = []
    if view.order != tuple(range(len(view.shape))) and view.strides != row_major(view.shape):
        nhwc = view.order == (0, *range(2, len(view.shape)), 1)
        notes.append("writes channels last" if nhwc else f"writes axes in the order {', '.join(map(str, view.order))}")
    if view.buffer.size > math.prod(view.shape) and view.buffer.place == "arena":
        notes.append("writes between borders of zeros" if view.buffer in bordered else "leaves gaps between rows")
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

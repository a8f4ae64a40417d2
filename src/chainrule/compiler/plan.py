"""What is needed to run a graph natively, made by the compiler or found on the disk.

    plan = plan_for(graph, takes)     # from this machine's cache, or compiled now and kept there

A `Plan` knows no graph: object code, the order in which it is called, where constants, state and outputs go. What calls
references names equations by their number in the simplified graph, so a plan with such calls from the disk runs the
passes again, and nothing else does. An entry holds no address; constants that the graph itself has are not in it.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.compiler.canonical import Canonical, canonical
from chainrule.compiler.kernels import Buffer, Call, Program, View
from chainrule.compiler.llvm import cache
from chainrule.compiler.llvm.machine import Target, assembly, compile_text, host_target
from chainrule.compiler.llvm.step import Written, write_program
from chainrule.compiler.ordering import plan_arena, prepare
from chainrule.compiler.schedule import Scheduler
from chainrule.core.config import shows
from chainrule.core.dtypes import DType
from chainrule.core.graph import Equation, Graph

__all__ = ["Plan", "compile_graph", "numpy_dtype", "plan_for", "scheduled", "simplified", "text_digest"]

LARGEST = 16 << 20  # bytes of computed constants beyond which a step is not kept on the disk


@dataclass
class Plan:
    """Code and what is needed to run it.

    Attributes:
        code: object code; empty where every equation calls its reference.
        stretches: names of native functions, or calls of references, in order.
        inputs: how many arrays the graph takes.
        states: per output the input whose memory it may take over, or -1.
        aliases: per output the input that it is, or -1.
        first: per output the first output with the same memory.
        constants: arrays that the code reads.
        arena, scratch: bytes of temporaries, and of private memory per thread.
        cost: a measure of the whole work.
        largest: kind, elements and bytes of the largest temporaries, and the number of the equation that each is for.
        prepared: kernels whose results hold from call to call, while the state that the step does not assign does.
        text_digest: of the LLVM text that the code was made from.
        graph_digest: of the simplified graph, where calls name its equations.
        seconds: what it took from the graph to the code.
        from_disk: whether it was found there.
    """

    code: bytes
    stretches: list[str | Call]
    inputs: int
    states: list[int]
    aliases: list[int]
    first: list[int]
    constants: list[np.ndarray]
    arena: int
    scratch: int
    cost: int
    largest: list[tuple[str, int, int, int]] = field(default_factory=list)
    text_digest: str = ""
    prepared: int = 0
    graph_digest: str = ""
    seconds: float = 0.0
    from_disk: bool = False


def plan_for(graph: Graph, takes: Mapping[int, int], fixed: Collection[int] = ()) -> Plan:
    """Return how to run a traced graph: from the disk where an equal one was compiled before, else compiled now.

    Args:
        graph: a traced, checked graph, before the passes.
        takes: which output may be written over which input, if the caller owns that alone.
        fixed: inputs that are state which the step does not assign.

    Raises:
        MachineError: this system runs no compiled code.
        MemoryError: there is not enough memory to compile in.
    """
    target, form = host_target(), canonical(graph, takes, fixed)
    name = form and cache.key(form.material, target)
    if form and name and not any(map(shows, ("passes", "llvm", "asm"))):
        plan = _found(cache.lookup(name), form, graph)
        if plan is not None:
            return plan
    start = time.perf_counter()
    simple = simplified(graph, _show_pass if shows("passes") else None)
    plan = compile_graph(simple, takes, target, fixed)
    plan.seconds = time.perf_counter() - start
    payload = form and _payload(plan, form, simple)
    if name and payload:
        cache.store(name, payload)
    return plan


def simplified(graph: Graph, after: Callable[[str, Graph], None] | None = None) -> Graph:
    """Return a graph after the passes; `after` sees it after each."""
    from chainrule.compiler.passes import simplify

    return simplify(graph, after)


def _show_pass(name: str, graph: Graph) -> None:
    sys.stderr.write(f"after {name}: {len(graph.equations)} operations\n{graph}\n")


def scheduled(
    graph: Graph, takes: Mapping[int, int] | None, target: Target, fixed: Collection[int] = ()
) -> tuple[Scheduler, Program, Written]:
    """Return the scheduler of a graph after the passes, its kernels with their memory planned, and their text."""
    scheduler = Scheduler(graph, target.lanes(32), takes or {})
    program = scheduler.run()
    prepare(program, fixed)
    plan_arena(program)
    return scheduler, program, write_program(program, target)


def compile_graph(
    graph: Graph,
    takes: Mapping[int, int] | None = None,
    target: Target | None = None,
    fixed: Collection[int] = (),
) -> Plan:
    """Compile a graph as it stands: no passes, nothing from the disk.

    Args:
        graph: a checked graph.
        takes: as for `plan_for`; default none.
        target: the instruction set; default the host's.
        fixed: as for `plan_for`; default none.
    """
    target = target or host_target()
    scheduler, program, written = scheduled(graph, takes, target, fixed)
    if written.texts and shows("llvm"):
        sys.stderr.write("\n".join(written.texts))
    if written.texts and shows("asm"):
        sys.stderr.write(assembly(written.texts, target))
    return Plan(
        code=compile_text(written.texts, target) if written.texts else b"",
        stretches=written.stretches,
        inputs=len(program.inputs),
        states=[b.state.slot if b.place == "output" and b.state is not None else -1 for b in program.outputs],
        aliases=[b.slot if b.place == "input" else -1 for b in program.outputs],
        first=[program.outputs.index(b) for b in program.outputs],
        constants=[np.ascontiguousarray(v.constant) for _, v in program.constants],
        arena=program.arena,
        scratch=written.scratch,
        cost=written.cost,
        largest=_largest(scheduler, program, graph),
        text_digest=text_digest(written.texts),
        prepared=program.prepared,
    )


def _largest(scheduler: Scheduler, program: Program, graph: Graph) -> list[tuple[str, int, int, int]]:
    """Return the largest temporaries, each with the equation of the writing kernel that fills most of it."""
    numbers = {e: n for n, e in enumerate(graph.equations)}
    writers = {b: x for x in reversed(program.kernels) for b in x.writes if b.place == "arena" and x.equations}
    found = []
    for b in sorted(writers, key=lambda b: (-b.nbytes, b.slot))[:3]:
        sizes = {e: max((v.size for v in e.outputs if v.size <= b.size), default=0) for e in writers[b].equations}
        equation = max(sizes, key=lambda e: sizes[e])
        number = numbers.get(scheduler.again.original.get(equation, equation), -1)
        found.append((b.kind, b.size, b.nbytes, number))
    return found


def text_digest(texts: Sequence[str]) -> str:
    """Return a digest of modules of LLVM's text."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


# ------------------------------------------------------------------------------------------------ on the disk
_SIMPLE = (
    "prepared",
    *("inputs", "states", "aliases", "first", "arena", "scratch", "cost", "largest", "seconds"),
    *("text_digest", "graph_digest"),
)


def _payload(plan: Plan, form: Canonical, simple: Graph) -> bytes | None:
    """Return a plan as bytes; None where constants are too large to be kept, or a call has no equation to name."""
    small = [(n, array) for n, array in enumerate(form.constants) if array.size < 4096]
    own = {(array.shape, array.dtype, array.tobytes()): n for n, array in small}
    same = {id(array): n for n, array in enumerate(form.constants)}
    constants: list[Any] = []
    data: list[bytes] = []
    for array in plan.constants:
        number = same.get(id(array))
        if number is None and array.size < 4096:
            number = own.get((array.shape, array.dtype, array.tobytes()))
        if number is None:
            constants.append([_KINDS[array.dtype], array.shape, array.nbytes])
            data.append(array.tobytes())
        else:
            constants.append(number)
    if sum(map(len, data)) > LARGEST:
        return None
    numbers = {e: n for n, e in enumerate(simple.equations)}
    if any(e not in numbers for x in plan.stretches if isinstance(x, Call) for e in x.equations):
        return None
    plan.graph_digest = _graph_digest(simple) if any(isinstance(x, Call) for x in plan.stretches) else ""
    header = {name: getattr(plan, name) for name in _SIMPLE}
    header["constants"] = constants
    header["stretches"] = [x if isinstance(x, str) else _call_to_json(x, numbers) for x in plan.stretches]
    return cache.pack(header, b"".join([*data, plan.code]))


def _graph_digest(graph: Graph) -> str:
    form = canonical(graph, {})
    return hashlib.sha256(form.material).hexdigest() if form else "none"


def _found(payload: bytes | None, form: Canonical, graph: Graph) -> Plan | None:
    """Return the plan that a payload holds, or None where it does not fit this graph."""
    if payload is None:
        return None
    header, data = cache.unpack(payload)
    simple = simplified(graph) if header["graph_digest"] else None
    if simple is not None and _graph_digest(simple) != header["graph_digest"]:
        return None
    stretches = [x if isinstance(x, str) else _call_from_json(x, simple) for x in header["stretches"]]
    constants, start = [], 0
    for item in header["constants"]:
        if isinstance(item, int):
            constants.append(np.ascontiguousarray(form.constants[item]))
            continue
        kind, shape, size = item
        constants.append(np.frombuffer(data[start : start + size], numpy_dtype(kind)).reshape(shape))
        start += size
    simple_fields = {name: header[name] for name in _SIMPLE}
    return Plan(data[start:], stretches, constants=constants, from_disk=True, **simple_fields)  # type: ignore[arg-type]


def _call_to_json(call: Call, numbers: Mapping[Equation, int]) -> list[Any]:
    (equation,) = call.equations
    return [numbers[equation], [_view_to_json(v) for v in call.inputs], [_view_to_json(v) for v in call.outputs]]


def _call_from_json(item: list[Any], graph: Graph | None) -> Call:
    assert graph is not None
    number, inputs, outputs = item
    return Call(
        [graph.equations[number]],
        inputs=[_view_from_json(v) for v in inputs],
        outputs=[_view_from_json(v) for v in outputs],
    )


def _view_to_json(view: View) -> list[Any]:
    b = view.buffer
    return [b.place, b.slot, b.kind, b.size, view.shape, view.strides, view.offset]


def _view_from_json(item: list[Any]) -> View:
    place, slot, kind, size, shape, strides, offset = item
    return View(Buffer(kind, size, place, slot), tuple(shape), tuple(strides), offset)


# ------------------------------------------------------------------------------------------------ kinds
def numpy_dtype(kind: str) -> np.dtype:
    """Return NumPy's dtype of a kind."""
    return _DTYPES[kind]


def _dtypes() -> dict[str, np.dtype]:
    from chainrule.core import dtypes

    return {d.short: d.numpy for d in vars(dtypes).values() if isinstance(d, DType)}


_DTYPES = _dtypes()
_KINDS = {dtype: kind for kind, dtype in _DTYPES.items()}

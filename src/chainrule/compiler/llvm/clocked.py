"""The kernels of a compiled step in the step's own order, with a look at the clock between them.

    i32 clocked0(ptr context, i64 thread, i64 threads, ptr pool)         one per stretch of native code

Threads share the kernels as in the step, and each kernel finds in the caches what the one before has left there. They
meet where the step has them meet, and behind every kernel that they share, so that waiting counts to the kernel that
one of them is still at. Thread 0 notes the time before each kernel. Where the notes go stands in the context, behind
the step's own places; the first two of a stretch have nothing between them: they tell what a look at the clock costs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chainrule.compiler.kernels import Buffer, Program
from chainrule.compiler.llvm.ir import I32, I64, PTR, Builder, Module, Value
from chainrule.compiler.llvm.machine import Loaded, Target, compile_text
from chainrule.compiler.llvm.runtime import barrier_text
from chainrule.compiler.llvm.runtime_worker import now_text
from chainrule.compiler.llvm.step import ARENA, FIRST, FLAG, HELD, SCRATCH, Team, Written, context_place, runs_alone

__all__ = ["EXTRA", "load_clocked", "notes_place"]

EXTRA = 2  # notes of a stretch beside one per kernel: one before the first, and one at the end


def notes_place(program: Program) -> int:
    """Return where the context holds the address of the notes: behind the last pointer of the step."""
    return FIRST + len(program.inputs) + len(program.outputs) + len(program.constants)


def load_clocked(
    program: Program, written: Written, stretches: Sequence[Sequence[int]], loaded: Loaded, target: Target
) -> tuple[Loaded, list[int]]:
    """Return the code that runs stretches of kernels with the clock, which has to be kept, and its addresses.

    Args:
        program: whose kernels `loaded` holds.
        written: their names, units and costs.
        stretches: numbers of the kernels of each; the n-th notes from place sum(len + EXTRA) of those before it on.
        loaded: the step's code.
        target: the instruction set.
    """
    module = Module(target.has_fma, target.name != "sse2")
    module.declare("clock_gettime", I32, [I32, PTR])
    module.functions.append(now_text(time.CLOCK_MONOTONIC))
    start = 0
    for number, kernels in enumerate(stretches):
        _Stretch(module, program, written, loaded, number, start).write(kernels)
        start += len(kernels) + EXTRA
    code = Loaded(compile_text([module.text(), barrier_text()], target))
    return code, [code.address(f"clocked{n}") for n in range(len(stretches))]


class _Stretch:
    """Writes one function."""

    def __init__(self, module: Module, program: Program, written: Written, loaded: Loaded, number: int, start: int):
        self.program, self.written, self.loaded, self.number = program, written, loaded, number
        self.b = Builder(module, f"clocked{number}", I32, [PTR, I64, I64, PTR], internal=False)
        self.context, self.thread, threads, pool = self.b.arguments
        self.team = Team(self.b, self.thread, threads, pool)
        self.notes = self.b.offset(self._pointer(notes_place(program)), start, "i64")

    def write(self, kernels: Sequence[int]) -> None:
        """Write the function: the order, the meetings and the shares of the step's."""
        b, team = self.b, self.team
        prepared = self.program.prepared if self.number == 0 else 0
        guarded = any(self.program.kernels[n].checks for n in kernels)
        after = b.block()
        shared = False
        self._note(0)
        self._note(1)
        for place, n in enumerate(kernels):
            kernel = self.program.kernels[n]
            if prepared and place == 0:
                held = b.load(I64, b.offset(self.context, HELD, "i64"))
                first = b.block()
                b.branch(b.compare("ne", held, b.const(I64, 0)), after, first)
                b.place(first)
            if prepared and place == prepared:
                b.jump(after)
                b.place(after)
            buffers = list(dict.fromkeys([*kernel.reads, *kernel.writes]))
            if guarded and any(x.place == "output" and x.state is not None for x in buffers):
                guarded = False
                team.meet()
            alone = runs_alone(self.written.units[n], self.written.costs[n])
            if shared:  # its time is that of the slowest thread
                team.meet()
            shared = not alone
            team.before(kernel, alone)
            if place:
                self._note(place + 1)
            self._call(n, buffers, alone)
        team.meet()
        self._note(len(kernels) + 1)
        b.finish(b.const(I32, 0))

    def _call(self, n: int, buffers: Sequence[Buffer], alone: bool) -> None:
        b = self.b
        flag = self._pointer(FLAG)
        each = -(-self.written.scratch // 128) * 128
        scratch = b.offset(self._pointer(SCRATCH), b.mul(self.thread, each), "i8")
        fixed = [*(self._buffer(x) for x in buffers), flag, scratch]
        address = self.loaded.address(self.written.functions[n])

        def call(begin: Value, end: Value) -> None:
            arguments = ", ".join(f"{v.type} {v.text}" for v in (*fixed, begin, end))
            b.lines.append(f"call void inttoptr (i64 {address} to ptr)({arguments})")

        self.team.share(self.written.units[n], alone, call)

    def _note(self, place: int) -> None:
        b = self.b

        def note() -> None:
            b.store(b.call(I64, "now"), b.offset(self.notes, place, "i64"))

        b.when(b.compare("eq", self.thread, b.const(I64, 0)), note)

    def _buffer(self, buffer: Buffer) -> Value:
        if buffer.place == "arena":
            return self.b.offset(self._pointer(ARENA), buffer.slot, "i8")
        return self._pointer(context_place(self.program, buffer))

    def _pointer(self, place: int) -> Value:
        return self.b.emit(PTR, f"load ptr, ptr {self.b.offset(self.context, place, 'i64').text}, align 8")

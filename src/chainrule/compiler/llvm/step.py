"""A whole program as LLVM functions: one per kernel, and one per stretch of native code that calls them in order.

    i32 step0(ptr context, i64 thread, i64 threads, ptr pool)

Every thread runs the stretch: it takes its share of each kernel's units, and waits at a barrier where a kernel needs
what another thread has written. The context is an array of pointers: the flag, the arena, inputs, outputs, constants.
Kernels that differ in their buffers alone are written once. Where state begins to change, the flag is looked at: a
step that failed a check ends there and has changed nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from typing import NamedTuple

from chainrule.compiler import expr
from chainrule.compiler.contraction import plan_contraction
from chainrule.compiler.expr import Expr
from chainrule.compiler.fingerprints import fingerprint
from chainrule.compiler.kernels import Border, Buffer, Call, Kernel, Loops, Product, Program, Sequence, Store
from chainrule.compiler.llvm.code import Code, flat
from chainrule.compiler.llvm.contraction import emit_contraction
from chainrule.compiler.llvm.ir import I32, I64, PTR, VOID, Builder, Module, Place, Value
from chainrule.compiler.llvm.loops import emit_border, emit_loops, plan_border, plan_loops
from chainrule.compiler.llvm.machine import Target
from chainrule.compiler.llvm.named import emit_sequence, plan_sequence
from chainrule.compiler.llvm.runtime import barrier_text

__all__ = ["Team", "Written", "runs_alone", "write_program"]

FLAG, ARENA, SCRATCH, HELD, FIRST = 0, 1, 2, 3, 4  # places in the context; HELD: prepared results still hold
LONG_EPILOGUE = 16  # operations from which an epilogue is written once for the rows of a tile
STREAM = 2 << 20  # bytes that an epilogue may pass over and still find in a cache
PART = 1 << 20  # bytes of text from which the next kernels go to another module
SERIAL_COST = 6000  # work below which one thread does a kernel alone


@dataclass
class Written:
    """The text of a program and what is needed to run it.

    Attributes:
        texts: modules of LLVM IR: the stretches, the kernels in parts, the barrier.
        stretches: names of native functions, or calls of references, in order.
        scratch: bytes of private memory per thread.
        cost: a measure of the whole work.
        functions: name of the function of each kernel, for explain().
        units: of each kernel.
        costs: of each kernel.
        strategies: how each kernel is cut, in words.
    """

    texts: list[str]
    stretches: list[str | Call]
    scratch: int = 0
    cost: int = 0
    functions: list[str] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    strategies: list[str] = field(default_factory=list)


def context_place(program: Program, buffer: Buffer) -> int:
    """Return where the context holds the pointer of a buffer that is not in the arena."""
    if buffer.place == "input":
        return FIRST + buffer.slot
    if buffer.place == "output":
        return FIRST + len(program.inputs) + buffer.slot
    return FIRST + len(program.inputs) + len(program.outputs) + buffer.slot


def runs_alone(units: int, cost: int) -> bool:
    """Return whether one thread does a kernel alone, which is too small to share."""
    return units <= 1 or cost < SERIAL_COST


class _Function(NamedTuple):
    """One kernel's function: its name, its units, a measure of its work, how it is cut in words."""

    name: str
    units: int
    cost: int
    strategy: str


class _Writer:
    def __init__(self, program: Program, target: Target):
        self.program, self.target = program, target
        self.lanes = target.lanes(32)
        self.steps = self._module()  # the stretches
        self.parts = [self._module()]  # the kernels, in modules that are compiled side by side
        self.room = PART  # bytes that the last one still takes
        self.known: dict[Hashable, _Function] = {}  # by the fingerprint of the kernel
        self.names: dict[str, str] = {}  # text of a kernel -> its name
        self.written = Written([], [])

    def _module(self) -> Module:
        return Module(self.target.has_fma, self.target.name != "sse2")

    # ------------------------------------------------------------------------------------------------ kernels
    def kernel(self, kernel: Kernel) -> tuple[_Function, list[Buffer]]:
        """Return the function of a kernel, which is written unless an equal one was, and the buffers to pass."""
        kernel.finish()
        buffers = list(dict.fromkeys([*kernel.reads, *kernel.writes]))
        mark = fingerprint(kernel, buffers)
        if mark not in self.known:
            self.known[mark] = self._written(kernel, buffers)
        return self.known[mark], buffers

    def _written(self, kernel: Kernel, buffers: list[Buffer]) -> _Function:
        module = self._module()
        b = Builder(module, "KERNEL", VOID, [PTR] * len(buffers) + [PTR, PTR, I64, I64], internal=False)
        pointers = dict(zip(buffers, b.arguments, strict=False))
        flag, scratch, begin, end = b.arguments[len(buffers) :]
        if isinstance(kernel, Loops):
            plan = plan_loops(kernel, self.lanes)
            units, cost, strategy = plan.units, plan.cost, f"loops by {plan.shape}"
            emit_loops(Code(b, pointers, flag), plan, begin, end)
        elif isinstance(kernel, Sequence):
            plan = plan_sequence(kernel, self.lanes)
            units, cost, strategy = plan.units, plan.cost, "one turn after the other"
            emit_sequence(Code(b, pointers, flag), plan, begin, end)
        elif isinstance(kernel, Product):
            units, cost, strategy = self._product(b, kernel, pointers, flag, scratch, begin, end)
        else:
            assert isinstance(kernel, Border)
            units, cost, strategy = plan_border(kernel), kernel.view.buffer.size // 8, "zeros"
            emit_border(b, kernel, pointers[kernel.view.buffer], begin, end, self.lanes)
        b.finish()
        *helpers, text = module.functions
        name = self.names.get(text)
        if name is None:
            name = self.names[text] = f"k{len(self.names)}"
            self._put(helpers, text.replace("@KERNEL(", f"@{name}(", 1), module.declarations)
            self.steps.declare(name, VOID, [v.type for v in b.arguments])
        return _Function(name, units, cost, strategy)

    def _put(self, helpers: list[str], text: str, declarations: dict[str, str]) -> None:
        if self.room < 0:
            self.parts.append(self._module())
            self.room = PART
        part = self.parts[-1]
        part.functions += [*(h for h in helpers if h not in part.functions), text]
        part.declarations |= declarations
        self.room -= len(text)

    def _product(
        self,
        b: Builder,
        kernel: Product,
        pointers: dict[Buffer, Value],
        flag: Value,
        scratch: Value,
        begin: Value,
        end: Value,
    ) -> tuple[int, int, str]:
        lanes = self.target.lanes(64 if kernel.spec.kind == "f64" else 32)
        plan = plan_contraction(kernel.spec, lanes, **_machine(self.target), streams=_streams(kernel))
        self.written.scratch = max(self.written.scratch, plan.scratch_bytes)
        done: dict[Expr, Expr] = {}
        stores = [
            Store(s.view, (s.view.address([flat(i, done) for i in s.at]),), flat(s.value, done))
            for s in kernel.epilogue
        ]
        code = Code(b, pointers, flag)
        moving = (*kernel.batch, *kernel.rows, *kernel.columns, kernel.total)
        code.hoist([s.value for s in stores], moving)

        def epilogue(
            batch: Several[Place], rows: Several[Place], columns: Several[Place], value: Value, mask: Value | None
        ) -> None:
            code.push()
            axes = (*kernel.batch, *kernel.rows, *kernel.columns)
            code.places.update(zip(axes, (*batch, *rows, *columns), strict=True))
            code.lane, code.width, code.mask = kernel.columns[-1], value.type.lanes, mask
            code.know(kernel.total, value)
            for s in stores:
                code.store(s)
            code.pop()

        def start(operand: tuple[Buffer, int]) -> Value:
            kind = {"bf16": "i16"}.get(operand[0].kind, operand[0].kind)
            return b.offset(pointers[operand[0]], operand[1], kind)

        compact = len(expr.walk(s.value for s in stores)) > LONG_EPILOGUE
        operands = start(kernel.left), start(kernel.right)
        emit_contraction(b, plan, *operands, scratch, begin, end, epilogue, compact=compact)
        return plan.units, plan.flops // 8 + sum(len(s.value.free) for s in stores), str(plan)

    # ------------------------------------------------------------------------------------------------ the stretches
    def run(self) -> Written:
        stretch: list[Kernel] = []
        number = 0
        for kernel in [*self.program.kernels, None]:
            if kernel is None or isinstance(kernel, Call):
                if stretch:
                    self._stretch(f"step{number}", stretch)
                    self.written.stretches.append(f"step{number}")
                    number += 1
                stretch = []
                if isinstance(kernel, Call):
                    self.written.stretches.append(kernel)
                    self.written.functions.append("")
                    self.written.units.append(1)
                    self.written.costs.append(0)
                    self.written.strategies.append("NumPy")
            else:
                stretch.append(kernel)
        self.written.texts = [m.text() for m in (self.steps, *self.parts)] + [barrier_text()] if number else []
        return self.written

    def _stretch(self, name: str, kernels: Several[Kernel]) -> None:
        b = Builder(self.steps, name, I32, [PTR, I64, I64, PTR], internal=False)
        context, thread, threads, pool = b.arguments
        load = lambda place: b.emit(PTR, f"load ptr, ptr {b.offset(context, place, 'i64').text}, align 8")  # noqa: E731
        flag, arena, scratches = load(FLAG), load(ARENA), load(SCRATCH)
        stride_at = len(b.lines)
        b.lines.append("")
        scratch = Value(PTR, "%scratch")
        pointers: dict[Buffer, Value] = {}

        def pointer(buffer: Buffer) -> Value:
            if buffer not in pointers:
                here = b.lines
                b.lines = []
                if buffer.place == "arena":
                    pointers[buffer] = b.offset(arena, buffer.slot, "i8")
                else:
                    pointers[buffer] = load(context_place(self.program, buffer))
                heads.extend(b.lines)
                b.lines = here
            return pointers[buffer]

        heads: list[str] = []
        team = Team(b, thread, threads, pool)
        guarded = any(k.checks for k in kernels)
        prepared = self.program.prepared if name == "step0" else 0
        after = b.block()
        for number, kernel in enumerate(kernels):
            if prepared and number == 0:
                held = b.emit(I64, f"load i64, ptr {b.offset(context, HELD, 'i64').text}, align 8")
                first = b.block()
                b.branch(b.compare("ne", held, b.const(I64, 0)), after, first)
                b.place(first)
            if prepared and number == prepared:
                b.jump(after)
                b.place(after)
            function, buffers = self.kernel(kernel)
            self.written.functions.append(function.name)
            self.written.units.append(function.units)
            self.written.costs.append(function.cost)
            self.written.strategies.append(function.strategy)
            self.written.cost += function.cost
            if guarded and any(x.place == "output" and x.state is not None for x in buffers):
                guarded = False
                team.meet()
                self._stop(b, flag)
            alone = runs_alone(function.units, function.cost)
            team.before(kernel, alone)
            args = [*(pointer(x) for x in buffers), flag, scratch]

            def call(begin: Value, end: Value, args: list[Value] = args, name: str = function.name) -> None:
                b.call(VOID, name, *args, begin, end)

            team.share(function.units, alone, call)
        failed = b.load(I64, flag)
        result = b.emit(I32, f"trunc i64 {failed.text} to i32")
        position = b.lines.index("") if b.lines[stride_at] != "" else stride_at
        bytes_each = -(-self.written.scratch // 128) * 128
        b.lines[position : position + 1] = [
            f"%scratchstep = mul i64 {thread.text}, {bytes_each}",
            f"%scratch = getelementptr i8, ptr {scratches.text}, i64 %scratchstep",
            *heads,
        ]
        b.finish(result)

    @staticmethod
    def _stop(b: Builder, flag: Value) -> None:
        failed = b.compare("ne", b.load(I64, flag), b.const(I64, 0))
        leave, go = b.block(), b.block()
        b.branch(failed, leave, go)
        b.place(leave)
        b.lines.append("ret i32 1")
        b.place(go)


class Team:
    """Shares units between threads and meets at barriers where one kernel needs another's results."""

    def __init__(self, b: Builder, thread: Value, threads: Value, pool: Value):
        self.b, self.thread, self.threads, self.pool = b, thread, threads, pool
        self.touched: list[tuple[tuple, bool, bool]] = []  # memory, whether written, whether by thread 0 alone

    def meet(self) -> None:
        """Wait for all threads."""
        if self.touched:
            self.b.module.declare("chainrule_barrier", VOID, [PTR, I64, I64])
            self.b.call(VOID, "chainrule_barrier", self.pool, self.thread, self.threads)
            self.touched = []

    def before(self, kernel: Kernel, alone: bool) -> None:
        """Meet if a kernel touches what others may still read or write."""
        mine = [(_memory(x), False) for x in kernel.reads] + [(_memory(x), True) for x in kernel.writes]
        for memory, written in mine:
            for other, was_written, by_one in self.touched:
                if (written or was_written) and not (alone and by_one) and _overlap(memory, other):
                    self.meet()
                    break
            else:
                continue
            break
        self.touched += [(m, w, alone) for m, w in mine]

    def share(self, units: int, alone: bool, call: Callable[[Value, Value], None]) -> None:
        """Call a kernel with this thread's part of its units."""
        b = self.b
        if alone:
            first = b.compare("eq", self.thread, b.const(I64, 0))
            b.when(first, lambda: call(b.const(I64, 0), b.const(I64, units)))
            return
        begin = b.emit(I64, f"udiv i64 {b.mul(self.thread, units).text}, {self.threads.text}")
        following = b.mul(b.add(self.thread, 1), units)
        call(begin, b.emit(I64, f"udiv i64 {following.text}, {self.threads.text}"))


def _streams(kernel: Product) -> bool:
    """Return whether an epilogue passes over more memory than caches hold, beside sums too short to hide it."""
    whole = {s.view.buffer for s in kernel.epilogue}
    for part in expr.walk(s.value for s in kernel.epilogue):
        if part.op == "load":
            whole.add(part.data.buffer)
    passed = sum(b.nbytes for b in whole if b.state is None or b.place != "output")
    return passed > STREAM and math.prod(x.extent for x in kernel.spec.sums) <= 512


def _memory(buffer: Buffer) -> tuple:
    if buffer.place == "arena":
        return ("arena", buffer.slot, buffer.slot + max(buffer.nbytes, 1))
    root = buffer.state or buffer
    return (root.place, root.slot, root.slot + 1)


def _overlap(a: tuple, b: tuple) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


def _machine(target: Target) -> dict:
    registers = {"avx512": 32, "neon": 32}.get(target.name, 16)
    return {"registers": registers, "fma": target.has_fma, "pairs": target.has_avx512_bf16}


def write_program(program: Program, target: Target) -> Written:
    """Return the LLVM text of a program whose arena is planned."""
    return _Writer(program, target).run()

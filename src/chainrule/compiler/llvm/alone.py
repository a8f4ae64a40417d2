"""Running one kernel of a compiled step again and again, to measure it.

    i32 run3(ptr context, i64 thread, i64 threads, ptr pool)

It calls a loaded kernel as the step would: with the same pointers, its units split in the same way. After each call the
threads meet. How often it is called stands in the context, behind the step's own places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.compiler.kernels import Buffer, Program
from chainrule.compiler.llvm.machine import Loaded, Target, compile_text
from chainrule.compiler.llvm.runtime import barrier_text
from chainrule.compiler.llvm.step import ARENA, FIRST, FLAG, SCRATCH, context_place

__all__ = ["Alone", "load_alone", "repeats_place"]


@dataclass(frozen=True)
class Alone:
    """A kernel to be run alone.

    Attributes:
        address: of the kernel's function.
        buffers: what it is called with.
        units: parts that threads share.
        shared: whether threads share them in the step.
    """

    address: int
    buffers: Sequence[Buffer]
    units: int
    shared: bool


def repeats_place(program: Program) -> int:
    """Return where the context holds the number of repetitions: behind the last pointer of the step."""
    return FIRST + len(program.inputs) + len(program.outputs) + len(program.constants)


def load_alone(
    kernels: Sequence[Alone], program: Program, scratch: int, target: Target
) -> tuple[Loaded, Callable[[int], int]]:
    """Return the code that runs each kernel alone, which has to be kept, and the address of what runs the n-th."""
    texts = [_function(number, kernel, program, scratch) for number, kernel in enumerate(kernels)]
    declared = "declare void @chainrule_barrier(ptr, i64, i64)\n"
    loaded = Loaded(compile_text([declared + "\n".join(texts), barrier_text()], target))
    return loaded, lambda number: loaded.address(f"run{number}")


def _function(number: int, kernel: Alone, program: Program, scratch: int) -> str:
    lines, arguments = [], []

    def place(name: str, slot: int, type: str = "ptr") -> str:
        lines.append(f"  %{name}.at = getelementptr i64, ptr %context, i64 {slot}")
        lines.append(f"  %{name} = load {type}, ptr %{name}.at, align 8")
        return f"%{name}"

    arena, flag, memory = place("arena", ARENA), place("flag", FLAG), place("memory", SCRATCH)
    for n, buffer in enumerate(kernel.buffers):
        if buffer.place == "arena":
            lines.append(f"  %p{n} = getelementptr i8, ptr {arena}, i64 {buffer.slot}")
            arguments.append(f"ptr %p{n}")
        else:
            arguments.append("ptr " + place(f"p{n}", context_place(program, buffer)))
    repeats = place("repeats", repeats_place(program), "i64")
    arguments += [f"ptr {flag}", "ptr %scratch", "i64 %begin", "i64 %end"]
    each = -(-scratch // 128) * 128
    body = "\n".join(lines)
    return f"""
define i32 @run{number}(ptr %context, i64 %thread, i64 %threads, ptr %pool) nounwind {{
entry:
{body}
  %skip = mul i64 %thread, {each}
  %scratch = getelementptr i8, ptr {memory}, i64 %skip
  %kernel = inttoptr i64 {kernel.address} to ptr
  %low = mul i64 %thread, {kernel.units}
  %begin = udiv i64 %low, %threads
  %following = add i64 %thread, 1
  %high = mul i64 %following, {kernel.units}
  %end = udiv i64 %high, %threads
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void %kernel({", ".join(arguments)})
  call void @chainrule_barrier(ptr %pool, i64 %thread, i64 %threads)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {repeats}
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}}
"""

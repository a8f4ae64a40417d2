"""The order of kernels, which outputs take over an input's memory, and where temporaries lie in the arena.

Kernels come as the graph made them, each after what it reads. An output that takes over the memory of a state input is
written after everyone has read that input, and after every check that may stop the step: a step that stops changes no
state. Where that order is impossible (two states that swap), the output gets memory of its own. An update of state that
is the only one to read a large gradient comes as soon as it can, not at the end of the step: the gradient is still in a
cache, and its memory is free for the next.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence

from chainrule.compiler import expr
from chainrule.compiler.expr import Expr
from chainrule.compiler.kernels import Border, Buffer, Kernel, Loops, Product, Program, Stage, Store
from chainrule.core.graph import GraphError

__all__ = ["ordered", "plan_arena", "prepare"]

WORTH_KEEPING = 1 << 16  # bytes of results that are worth a look at each call whether they still hold
EARLY = 1 << 18  # bytes of temporaries from which an update that ends them is worth a barrier of its own
ALIGN = 128  # bytes between the starts of two buffers: a pair of cache lines


def ordered(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Return the kernels in an order in which state is written last; outputs that can't be in place lose `state`."""
    for kernel in kernels:
        kernel.finish()
    _separate(kernels)
    while True:
        edges = _edges(kernels)
        order = _sorted(kernels, edges, _early(kernels))
        if order is not None:
            return order
        waiting = [buffer for n in _circles(edges) for buffer in kernels[n].writes if buffer.state is not None]
        if not waiting:
            raise GraphError("the kernels of a graph wait for each other in a circle")
        for buffer in waiting:
            buffer.state = None


def _separate(kernels: Sequence[Kernel]) -> None:
    """Take `state` from outputs whose own kernel reads the input elsewhere, or may stop the step half-way."""
    for kernel in kernels:
        for buffer in kernel.writes:
            if buffer.state is None:
                continue
            unsafe = kernel.checks or not isinstance(kernel, (Loops, Product))
            if isinstance(kernel, Product):
                unsafe = unsafe or buffer.state in (kernel.left[0], kernel.right[0])
            if unsafe or not _same_places(kernel, buffer):
                buffer.state = None


def _same_places(kernel: Kernel, buffer: Buffer) -> bool:
    """Return whether a kernel reads the old state only where, and before, it writes the new."""
    if buffer.state not in kernel.reads:
        return True
    stages = kernel.stages if isinstance(kernel, Loops) else [Stage((), list(kernel.statements()))]
    writing = None
    for number, stage in enumerate(stages):
        for s in stage.statements:
            if isinstance(s, Store) and s.view.buffer is buffer:
                if writing is not None:
                    return False
                writing = (number, s)
    if writing is None:
        return False
    place = writing[1].view.address(writing[1].at)
    early: set[Expr] = set()  # loads of the writing statement and those before it: later ones find their values
    written = False
    for number, stage in enumerate(stages):
        for s in stage.statements:
            for part in expr.walk([s.value, *(s.at if isinstance(s, Store) else ())]):
                if part.op != "load" or part.data.buffer is not buffer.state:
                    continue
                if number != writing[0] or (written and part not in early):
                    return False
                if len(part.args) > len(part.data.shape) or part.data.address(part.args) is not place:
                    return False
                early.add(part)
            written = written or s is writing[1]
    return True


def _edges(kernels: Sequence[Kernel]) -> dict[int, set[int]]:
    """Return for each kernel the kernels that come before it."""
    before: dict[int, set[int]] = {n: set() for n in range(len(kernels))}
    writers: dict[Buffer, list[int]] = {}
    readers: dict[Buffer, list[int]] = {}
    checks = [n for n, kernel in enumerate(kernels) if kernel.checks]
    for n, kernel in enumerate(kernels):
        for buffer in kernel.writes:
            writers.setdefault(buffer, []).append(n)
        for buffer in kernel.reads:
            readers.setdefault(buffer, []).append(n)
    for n, kernel in enumerate(kernels):
        for buffer in kernel.reads:
            before[n].update(w for w in writers.get(buffer, ()) if w < n)
            before[n].update(w for w in writers.get(buffer, ()) if w > n and buffer.place == "arena")
        for buffer in kernel.writes:
            if not isinstance(kernel, Border):  # zeros around the elements and the elements do not meet
                others = (w for w in writers.get(buffer, ()) if w < n)
                before[n].update(w for w in others if not isinstance(kernels[w], Border))
            if buffer.state is not None:
                before[n].update(r for r in readers.get(buffer.state, ()) if r != n)
                before[n].update(c for c in checks if c != n)
        before[n].discard(n)
    return before


def _early(kernels: Sequence[Kernel]) -> set[int]:
    """Return the kernels that only update state, and are the only ones to read what takes much memory until then."""
    readers: dict[Buffer, int] = {}
    for kernel in kernels:
        for buffer in kernel.reads:
            readers[buffer] = readers.get(buffer, 0) + 1
    return {
        n
        for n, kernel in enumerate(kernels)
        if all(b.state is not None for b in kernel.writes)
        and sum(b.nbytes for b in kernel.reads if b.place == "arena" and readers[b] == 1) >= EARLY
    }


def _sorted(kernels: Sequence[Kernel], before: dict[int, set[int]], early: Collection[int]) -> list[Kernel] | None:
    """Return the kernels in the first possible order, `early` ones as soon as possible; None where there is none."""
    after: dict[int, list[int]] = {n: [] for n in before}
    waiting = {n: len(b) for n, b in before.items()}
    for n, earlier in before.items():
        for m in earlier:
            after[m].append(n)
    ready = [(n not in early, n) for n, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order: list[Kernel] = []
    while ready:
        _, n = heapq.heappop(ready)
        order.append(kernels[n])
        for m in after[n]:
            waiting[m] -= 1
            if not waiting[m]:
                heapq.heappush(ready, (m not in early, m))
    return order if len(order) == len(kernels) else None


def _circles(before: dict[int, set[int]]) -> list[int]:
    """Return the kernels that wait for each other: those with a predecessor in their own strong component."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    path: list[int] = []
    found: list[int] = []
    for root in before:
        if root in number:
            continue
        work = [(root, iter(before[root]))]
        number[root] = low[root] = len(number)
        path.append(root)
        while work:
            n, rest = work[-1]
            for m in rest:
                if m not in number:
                    number[m] = low[m] = len(number)
                    path.append(m)
                    work.append((m, iter(before[m])))
                    break
                if m in low:
                    low[n] = min(low[n], number[m])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[n])
                if low[n] == number[n]:
                    component = path[path.index(n) :]
                    del path[path.index(n) :]
                    for m in component:
                        low.pop(m)
                    if len(component) > 1:
                        found += component
    return found


def prepare(program: Program, fixed: Collection[int]) -> None:
    """Move kernels to the front whose results are the same in every call while some inputs are: packed weights, say.

    Args:
        program: ordered, its arena not planned.
        fixed: numbers of the inputs that are state which the step does not assign.
    """
    lasting: set[Buffer] = {program.inputs[n] for n in fixed} | {b for b, _ in program.constants}
    writers: dict[Buffer, int] = {}
    for kernel in program.kernels:
        for buffer in kernel.writes:
            writers[buffer] = writers.get(buffer, 0) + 1
    chosen: dict[Buffer, list[Kernel]] = {}  # what has been written of a buffer by kernels that can be prepared
    found: list[Kernel] = []
    for kernel in program.kernels:
        able = isinstance(kernel, (Loops, Border)) and not kernel.checks
        if not able or any(b not in lasting for b in kernel.reads) or any(b.place != "arena" for b in kernel.writes):
            continue
        found.append(kernel)
        for buffer in kernel.writes:
            chosen.setdefault(buffer, []).append(kernel)
            if len(chosen[buffer]) == writers[buffer]:
                lasting.add(buffer)
    while True:  # a buffer that others write as well is not prepared, nor what reads it
        kept = [k for k in found if all(b in lasting for b in (*k.reads, *k.writes))]
        if len(kept) == len(found):
            break
        for kernel in found:
            if kernel not in kept:
                lasting.difference_update(kernel.writes)
        found = kept
    if sum(b.nbytes for k in found for b in k.writes) < WORTH_KEEPING:
        return
    program.kernels = [*found, *(k for k in program.kernels if k not in found)]
    program.prepared = len(found)


def plan_arena(program: Program) -> None:
    """Place every temporary: buffers that are never alive together may share memory. Sets `slot` and `arena`."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for n, kernel in enumerate(program.kernels):
        for buffer in (*kernel.writes, *kernel.reads):
            if buffer.place == "arena":
                first.setdefault(buffer, n)
                last[buffer] = n
    for kernel in program.kernels[: program.prepared]:
        for buffer in kernel.writes:
            first[buffer], last[buffer] = 0, len(program.kernels)
    placed: list[tuple[int, int, Buffer]] = []  # offset, size, buffer
    top = 0
    for buffer in sorted(first, key=lambda b: (-b.nbytes, first[b])):
        size = -(-max(buffer.nbytes, 1) // ALIGN) * ALIGN
        offset = 0
        for start, length, other in placed:
            if first[other] <= last[buffer] and first[buffer] <= last[other]:
                if offset + size <= start:
                    break
                offset = max(offset, start + length)
        buffer.slot = offset
        placed.append((offset, size, buffer))
        placed.sort(key=lambda p: (p[0], p[1]))
        top = max(top, offset + size)
    program.arena = top

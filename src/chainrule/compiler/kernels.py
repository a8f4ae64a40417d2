"""What the scheduler makes of a graph: buffers, views of them, and kernels. Nothing here knows LLVM or a CPU.

A `View` says where the elements of a tensor lie in a `Buffer`. An expression loads from a view by logical indices, so
layouts stay open until code is written. A `Program` is the kernels in order, with all that they read and write.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass, field

from chainrule.compiler import expr
from chainrule.compiler.contraction import Contraction
from chainrule.compiler.expr import Expr
from chainrule.core.graph import Equation, Variable

__all__ = [
    "Border",
    "Buffer",
    "Call",
    "Kernel",
    "Loops",
    "Product",
    "Program",
    "Sequence",
    "Stage",
    "Store",
    "Sum",
    "View",
    "row_major",
]

_BYTES = {"bool": 1, "i8": 1, "u8": 1, "i16": 2, "u16": 2, "bf16": 2, "f16": 2}
_BYTES |= {"i32": 4, "u32": 4, "f32": 4, "i64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16}


@dataclass(eq=False)
class Buffer:
    """A stretch of memory.

    Attributes:
        kind: dtype of the elements.
        size: number of elements, borders included.
        place: "input", "output", "constant" or "arena".
        slot: number among those of its place; of an arena buffer its offset in bytes, once planned.
        name: for people.
        state: of an output, the input whose memory it may take over.
    """

    kind: str
    size: int
    place: str = "arena"
    slot: int = -1
    name: str = ""
    state: Buffer | None = None

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.size * _BYTES[self.kind]

    def __repr__(self) -> str:
        return f"{self.place}{self.slot if self.slot >= 0 else ''}:{self.kind}[{self.size}]{self.name}"


@dataclass(eq=False, frozen=True)
class View:
    """A tensor in memory: element (i, j, ...) of it is element offset + i * strides[0] + j * strides[1] + ... ."""

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def address(self, at: Several[Expr]) -> Expr:
        """Return the element's place in the buffer."""
        total = expr.index(self.offset)
        for i, stride in zip(at, self.strides, strict=True):
            total = expr.k.add(total, expr.k.mul(i, expr.index(stride)))
        return total

    def load(self, at: Several[Expr], where: Expr | None = None) -> Expr:
        """Return the expression that reads an element; 0 where a condition does not hold, and nothing is read."""
        if where is not None and where.op == "const" and not where.data:
            return expr.constant(0, self.buffer.kind)
        at = tuple(expr.index(0) if n == 1 else i for i, n in zip(at, self.shape, strict=True))
        args = at if where is None or where.op == "const" else (*at, where)
        return expr.apply("load", self.buffer.kind, *args, data=self)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes from the outermost to the innermost in memory."""
        return tuple(sorted(range(len(self.shape)), key=lambda a: (-self.strides[a], a)))

    def reshaped(self, shape: tuple[int, ...]) -> View | None:
        """Return the same elements in row-major order under another shape, if strides can say so."""
        strides = _regrouped(self.shape, self.strides, shape)
        return None if strides is None else View(self.buffer, shape, strides, self.offset)


def row_major(shape: Several[int]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _regrouped(old: Several[int], strides: Several[int], new: Several[int]) -> tuple[int, ...] | None:
    """Return strides for a new shape over the same elements, or None if merged axes do not lie one in the other."""
    if math.prod(new) == 0:
        return row_major(new)
    axes = [(n, s) for n, s in zip(old, strides, strict=True) if n != 1]
    merged: list[list[int]] = []  # [extent, innermost stride] of runs that lie one in the other
    for n, s in axes:
        if merged and merged[-1][1] == n * s:
            merged[-1] = [merged[-1][0] * n, s]
        else:
            merged.append([n, s])
    found: list[int] = []
    run = len(merged) - 1
    left = merged[run][0] if merged else 1
    for n in reversed(new):
        if n == 1:
            found.append(0)
            continue
        if run < 0 or left % n:
            return None
        stride = merged[run][1]
        found.append(stride * (merged[run][0] // left))
        left //= n
        if left == 1:
            run -= 1
            left = merged[run][0] if run >= 0 else 1
    return tuple(reversed(found))


# ------------------------------------------------------------------------------------------------ statements
@dataclass(eq=False)
class Store:
    """Element `at` of `view` becomes `value`."""

    view: View
    at: tuple[Expr, ...]
    value: Expr


@dataclass(eq=False)
class Sum:
    """`symbol` becomes the combination of `value` over the axes of the stage."""

    symbol: Expr
    combine: str
    value: Expr


@dataclass(eq=False)
class Stage:
    """One loop nest inside a kernel; without axes its statements run once per outer point."""

    axes: tuple[Expr, ...]
    statements: list[Store | Sum] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------ kernels
@dataclass(eq=False)
class Kernel:
    """A unit of work that threads may share.

    Attributes:
        equations: what it computes, for people.
        reads, writes: buffers, once `finish` was called.
        checks: whether it may stop the step.
    """

    equations: list[Equation] = field(default_factory=list)
    reads: list[Buffer] = field(default_factory=list)
    writes: list[Buffer] = field(default_factory=list)
    checks: bool = False

    def statements(self) -> Iterator[Store | Sum]:
        """All stores and sums."""
        return iter(())

    def finish(self) -> None:
        """Note what is read and written."""
        reads: dict[Buffer, None] = {}
        writes: dict[Buffer, None] = {}
        for part in expr.walk(s.value for s in self.statements()):
            if part.op == "load":
                reads[part.data.buffer] = None
            self.checks = self.checks or part.op == "check"
        for s in self.statements():
            if isinstance(s, Store):
                writes[s.view.buffer] = None
                for part in expr.walk(s.at):
                    if part.op == "load":
                        reads[part.data.buffer] = None
                    self.checks = self.checks or part.op == "check"
        self.reads, self.writes = list(reads), list(writes)


@dataclass(eq=False)
class Loops(Kernel):
    """Loop nests over a shared outer space.

    Attributes:
        outer: axes whose points are independent; threads split them.
        stages: run in order for each outer point.
        lanes: the axis whose neighbours share a vector, the last outer axis for sums over rows; None: the last axis
            of each stage.
    """

    outer: tuple[Expr, ...] = ()
    stages: list[Stage] = field(default_factory=list)
    lanes: Expr | None = None

    def statements(self) -> Iterator[Store | Sum]:
        for stage in self.stages:
            yield from stage.statements


@dataclass(eq=False)
class Product(Kernel):
    """A contraction with an epilogue.

    Attributes:
        spec: extents and strides.
        left, right: operands, with the offset of their first element.
        batch, rows, columns: axis variables of the specification's axes.
        total: the symbol of the finished sum.
        joinable: whether one product makes the whole result, so that consumers may join the epilogue.
        epilogue: stores per element.
    """

    spec: Contraction = None  # type: ignore[assignment]
    left: tuple[Buffer, int] = None  # type: ignore[assignment]
    right: tuple[Buffer, int] = None  # type: ignore[assignment]
    batch: tuple[Expr, ...] = ()
    rows: tuple[Expr, ...] = ()
    columns: tuple[Expr, ...] = ()
    total: Expr = None  # type: ignore[assignment]
    joinable: bool = True
    epilogue: list[Store] = field(default_factory=list)

    def statements(self) -> Iterator[Store | Sum]:
        return iter(self.epilogue)

    def finish(self) -> None:
        super().finish()
        self.reads = list(dict.fromkeys([self.left[0], self.right[0], *self.reads]))


@dataclass(eq=False)
class Border(Kernel):
    """Zeros around the elements of a view, `halo` (low, high) wide on each axis."""

    view: View = None  # type: ignore[assignment]
    halo: tuple[tuple[int, int], ...] = ()

    def finish(self) -> None:
        self.reads, self.writes = [], [self.view.buffer]


@dataclass(eq=False)
class Sequence(Kernel):
    """A store whose turns run in order, for it may read what an earlier turn stored.

    Attributes:
        outer: axes whose points touch memory of their own; threads split them.
        turns: axes that run in order; along the last one neighbours share a vector and touch memory of their own.
        store: what happens in a turn.
    """

    outer: tuple[Expr, ...] = ()
    turns: tuple[Expr, ...] = ()
    store: Store = None  # type: ignore[assignment]

    def statements(self) -> Iterator[Store | Sum]:
        yield self.store


@dataclass(eq=False)
class Call(Kernel):
    """A reference called from the step, between two stretches of native code."""

    inputs: list[View] = field(default_factory=list)
    outputs: list[View] = field(default_factory=list)

    def finish(self) -> None:
        self.reads = [v.buffer for v in self.inputs]
        self.writes = [v.buffer for v in self.outputs]
        self.checks = True


@dataclass(eq=False)
class Program:
    """A scheduled graph.

    Attributes:
        kernels: in order.
        inputs, outputs: one buffer per graph input and output.
        constants: buffers with their variables.
        arena: bytes of scratch memory.
        prepared: how many of the first kernels depend only on state that the step leaves as it is; their results
            stay in the arena from call to call.
    """

    kernels: list[Kernel]
    inputs: list[Buffer]
    outputs: list[Buffer]
    constants: list[tuple[Buffer, Variable]]
    arena: int = 0
    prepared: int = 0

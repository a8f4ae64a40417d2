"""The fingerprint of a kernel: kernels with equal fingerprints have equal code, so it is planned and written once.

A network repeats its blocks: of the 1,500 kernels of a ResNet-101's training step four in five are the same as an
earlier one but for the buffers they are called with. A fingerprint is the kernel with buffers, axes and expressions
replaced by their numbers in the order in which they are met.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from chainrule.compiler.expr import Expr
from chainrule.compiler.kernels import Border, Buffer, Kernel, Loops, Product, Sequence, Store, Sum, View

__all__ = ["fingerprint"]


def fingerprint(kernel: Kernel, buffers: list[Buffer]) -> Hashable:
    """Return what determines a kernel's code.

    Args:
        kernel: a kernel on which `finish` was called.
        buffers: what it reads and writes, in the order in which its function takes them.

    Returns:
        Nested tuples, equal for two kernels exactly if they do the same to their buffers.

    Example:
        >>> from chainrule.compiler.expr import axis, k
        >>> from chainrule.compiler.kernels import Loops, Stage
        >>> def doubled(source, target):
        ...     i = axis(8)
        ...     store = Store(View(target, (8,), (1,)), (i,), k.mul(View(source, (8,), (1,)).load((i,)), 2.0))
        ...     return Loops(outer=(i,), stages=[Stage((), [store])])
        >>> a, b, c = (Buffer("f32", 8) for _ in range(3))
        >>> fingerprint(doubled(a, b), [a, b]) == fingerprint(doubled(b, c), [b, c])
        True
    """
    return _Fingerprint(buffers).of(kernel)


class _Fingerprint:
    def __init__(self, buffers: list[Buffer]):
        self.buffers = {buffer: number for number, buffer in enumerate(buffers)}
        self.numbers: dict[Expr, int] = {}
        self.parts: list[tuple] = [
            (b.kind, b.size, b.place == "output", b.state is not None, self.buffers.get(b.state)) for b in buffers
        ]

    def of(self, kernel: Kernel) -> tuple:
        """Return the kind of kernel, what its buffers and expressions are, and how it is made of them."""
        if isinstance(kernel, Loops):
            made: tuple = (
                self.all(kernel.outer),
                tuple((self.all(s.axes), tuple(map(self.statement, s.statements))) for s in kernel.stages),
                None if kernel.lanes is None else self.one(kernel.lanes),
            )
        elif isinstance(kernel, Product):
            axes = tuple(map(self.all, (kernel.batch, kernel.rows, kernel.columns, (kernel.total,))))
            operands = tuple((self.buffers[buffer], offset) for buffer, offset in (kernel.left, kernel.right))
            made = kernel.spec, operands, axes, tuple(map(self.statement, kernel.epilogue))
        elif isinstance(kernel, Sequence):
            made = self.all(kernel.outer), self.all(kernel.turns), self.statement(kernel.store)
        else:
            assert isinstance(kernel, Border)
            made = self.view(kernel.view), kernel.halo
        return type(kernel).__name__, made, tuple(self.parts)

    def statement(self, statement: Store | Sum) -> tuple:
        """Return a store or a sum."""
        if isinstance(statement, Sum):
            return "sum", self.one(statement.symbol), statement.combine, self.one(statement.value)
        return "store", self.view(statement.view), self.all(statement.at), self.one(statement.value)

    def view(self, view: View) -> tuple:
        """Return a view with its buffer's number."""
        return self.buffers[view.buffer], view.shape, view.strides, view.offset

    def one(self, e: Expr) -> int:
        """Return the number of an expression, after numbering what it is made of."""
        return self.all((e,))[0]

    def all(self, roots: Iterable[Expr]) -> tuple[int, ...]:
        """Return the numbers of some expressions."""
        roots = tuple(roots)
        stack = [*reversed(roots)]
        while stack:
            e = stack[-1]
            if e in self.numbers:
                stack.pop()
                continue
            waiting = [a for a in e.args if a not in self.numbers]
            if waiting:
                stack += reversed(waiting)
                continue
            stack.pop()
            operands = tuple(self.numbers[a] for a in e.args)
            self.numbers[e] = len(self.numbers)
            self.parts.append((e.op, e.kind, operands, self.data(e), e.low, e.high))
        return tuple(self.numbers[e] for e in roots)

    def data(self, e: Expr) -> Any:
        """Return what an expression holds beside its operands."""
        if e.op == "load":
            return self.view(e.data)
        if e.op == "axis":
            return e.data[1]
        if e.op == "symbol":
            return None
        return e.data.hex() if isinstance(e.data, float) else e.data

"""Tracing the body of a loop or branch: what it reads of the world outside becomes an operand.

A `BodyTracer` runs inside another trace, or inside none. A tensor from outside (a parameter, a value of the step
around, a value of a transform) is captured where it is first read; an assignment is noted, and undone when the body has
run once: whoever traces the body applies it outside. Where a captured value moves with a gradient that its own tape
does not show, because it belongs to a transform or changes from step to step, it stands on a source: a node that ends
the tape of the body.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from chainrule.autodiff.jvp import Dual, ForwardLevel
from chainrule.core.context import local
from chainrule.core.dtypes import dtype_of
from chainrule.core.graph import Variable
from chainrule.core.levels import Lifted
from chainrule.core.primitive import TensorType
from chainrule.core.tape import Edge, FunctionNode, Node
from chainrule.core.tensor import CONSUMED, Tensor, connected, leaked
from chainrule.core.tracer import GradSlot, Tracer

__all__ = ["BodyTracer", "edge_of", "moves", "type_of"]


def type_of(tensor: Tensor) -> TensorType:
    """Return shape and dtype of a tensor."""
    return TensorType(tensor.shape, tensor.dtype)


def edge_of(tensor: Tensor) -> Edge | None:
    """Return the place of a tensor on the tape."""
    return None if tensor._node is None else (tensor._node, tensor._index)


def moves(tensor: Tensor) -> bool:
    """Return whether a derivative by this value may be asked for, on any level."""
    value = tensor._value
    if tensor._node is not None or isinstance(value, Dual):
        return True
    return isinstance(value, Lifted) and any(moves(part) for part in value.parts())


class BodyTracer(Tracer):
    """The interpreter while the body of a loop or branch is traced.

    Args:
        name: of the body, for printed graphs and messages, like "the body of cr.scan".
        forced: ids of captured tensors that stand on a source, though nothing outside says so.
    """

    def __init__(self, name: str, forced: frozenset[int] = frozenset()):
        super().__init__(name)
        self.place = name
        self.forced = forced
        self.edges: dict[int, Edge | None] = {}  # per captured tensor its place on the tape when it was first read
        self.gradients: dict[int, Tensor] = {}  # per owner the gradient that was read from outside
        self._sourced: list[tuple[Tensor, Node | None, int]] = []

    # ------------------------------------------------------------------------------------------------ running
    @contextlib.contextmanager
    def running(self, derived: bool = False) -> Iterator[None]:
        """Trace what is done in the block; no transform from outside takes part in it.

        Args:
            derived: whether it is chainrule's own code, which is recorded and has its dtypes already.
        """
        before = local.transform, local.checks, local.grad, local.precision
        local.grad = local.grad or derived or _pushes()
        local.transform, local.checks = None, ()
        if derived:
            local.precision = None
        try:
            with self:
                yield
        finally:
            local.transform, local.checks, local.grad, local.precision = before

    def argument(self, type: TensorType, connect: bool = True) -> Tensor:
        """Return a tensor that stands for an explicit input; `connect` says that derivatives by it are wanted."""
        variable = self.variable(type, source=self.name)
        return connected(variable, self._source(variable), 0) if connect and type.dtype.is_inexact else Tensor(variable)

    def _source(self, value: Any) -> Node:
        node = FunctionNode("an argument", None, (), (), ((value.shape, value.dtype),))
        node.sequence = self.first - 1  # so that a backward inside that comes here is told from one that stays inside
        return node

    # ------------------------------------------------------------------------------------------------ state
    def read(self, tensor: Tensor) -> Variable:
        value = tensor._value
        if isinstance(value, Variable):
            if value.owner is self:
                return value
            if not self._inside_of(value.owner):
                raise leaked(value)
        elif isinstance(value, Lifted) and not value.level.alive:
            raise leaked(value)
        key = id(tensor)
        if key not in self.captured:
            inexact = dtype_of(value.dtype).is_inexact
            if tensor._node is None and inexact and (key in self.forced or moves(tensor)):
                self._sourced.append((tensor, tensor._node, tensor._index))
                tensor._node, tensor._index = self._source(value), 0
            self.captured[key] = (tensor, self.variable(TensorType(value.shape, dtype_of(value.dtype))))
            self.edges[key] = edge_of(tensor)
        return self.captured[key][1]

    def _inside_of(self, owner: Any) -> bool:
        """Return whether this body is traced inside the trace `owner`."""
        around = self._outer
        while around is not None and around is not owner:
            around = getattr(around, "_outer", None)
        return around is not None

    def write(self, cell: Tensor) -> None:
        value = cell._value
        if id(cell) in self.written or (isinstance(value, Variable) and value.owner is self):
            return
        self.read(cell)
        self.written[id(cell)] = (cell, cell._value, cell._version, cell._node, cell._index)

    def read_grad(self, owner: Tensor) -> Tensor | None:
        slot = self.slot(owner)
        if slot.written or slot.was_read:
            return super().read_grad(owner)
        outside = self.outer_grad(owner)
        slot.before, slot.was_read = owner._grad, True
        if outside is not None:
            slot.read = self.variable(type_of(outside))
            self.gradients[id(owner)] = outside
            owner._grad = connected(slot.read, outside._node, outside._index)
        return owner._grad

    def outer_grad(self, owner: Tensor) -> Tensor | None:
        """Return `owner.grad` as the code around the body sees it."""
        if self._outer is not None:
            return self._outer.read_grad(owner)
        if owner._grad is CONSUMED:
            return Tracer.read_grad(self, owner)  # raises
        return owner._grad

    def restore(self) -> None:
        super().restore()
        for tensor, node, index in self._sourced:
            tensor._node, tensor._index = node, index
        self._sourced.clear()

    def __enter__(self) -> BodyTracer:
        super().__enter__()
        self.keeps = self._outer is None or self._outer.keeps
        return self

    def final_grads(self) -> Iterator[tuple[GradSlot, Any]]:
        """Yield the `.grad` slots that the body wrote, with None, CONSUMED or the tensor that it left there."""
        for slot in self.grads.values():
            if slot.written:
                final = slot.owner._grad
                used = slot.consumed and final is not None and not self.keeps and not slot.was_read
                yield slot, CONSUMED if used else final


def _pushes() -> bool:
    """Return whether a forward mode is around."""
    level = local.transform
    while level is not None and not isinstance(level, ForwardLevel):
        level = level.outer
    return level is not None

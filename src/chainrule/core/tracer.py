"""The tracer: runs a Python step once with symbols for values, and writes down what it does as a Graph.

State is traced with it. Reading a tensor from outside makes its cell a captured input; assigning to it makes the cell a
captured output. `.grad` is a cell too: read before it is written it is an input, written and not used up by an
optimizer it is an output. Whatever happens, `restore` puts every cell back as it was before the trace.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.core.context import local, module_path
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import GradientError, describe_line, user_frame
from chainrule.core.graph import Equation, Graph, Variable, frozen
from chainrule.core.primitive import Primitive, TensorType
from chainrule.core.tape import next_sequence
from chainrule.core.tensor import CONSUMED, Tensor, connected, leaked

__all__ = ["GradSlot", "Tracer"]


@dataclass
class GradSlot:
    """The `.grad` of one tensor during a trace.

    Attributes:
        owner: the tensor.
        before: what the slot held before the trace.
        read: the variable that stands for a gradient from outside, if one was read; its presence is a guard.
        was_read: whether the slot was read before it was written.
        written: whether the slot was written.
        consumed: whether an optimizer used the gradient up.
    """

    owner: Tensor
    before: Any
    read: Variable | None = None
    was_read: bool = False
    written: bool = False
    consumed: bool = False


class Tracer:
    """The interpreter that `bind` consults while a step is traced.

    Args:
        name: of the traced function.
        keeps: whether gradients that an optimizer used up stay readable; default False.
    """

    place = "cr.jit"  # where the traced code stands, for messages

    def __init__(self, name: str, keeps: bool = False):
        self.name, self.keeps = name, keeps
        self.equations: list[Equation] = []
        self.captured: dict[int, tuple[Tensor, Variable]] = {}
        self.written: dict[int, tuple[Tensor, Any, int, Any, int]] = {}
        self.grads: dict[int, GradSlot] = {}
        self.frozen: list[str] = []  # large constants baked into the graph, as "f32[60000,784] at train.py:3"
        self.first = next_sequence()  # nodes with a smaller number were recorded before the trace

    # ------------------------------------------------------------------------------------------------ the interpreter
    def read(self, tensor: Tensor) -> Variable:
        """Return the symbol of a tensor; one from outside becomes a captured input."""
        value = tensor._value
        if isinstance(value, Variable):
            if value.owner is not self:
                raise leaked(value)
            return value
        key = id(tensor)
        if key not in self.captured:
            self.captured[key] = (tensor, self.variable(TensorType(value.shape, dtype_of(value.dtype))))
        return self.captured[key][1]

    def emit(self, primitive: Primitive, values: Sequence[Variable], attributes: dict[str, Any]) -> list[Variable]:
        """Append an equation and return its outputs."""
        source = current_line()
        outputs = [self.variable(kind, source) for kind in primitive.infer([v.type for v in values], attributes)]
        self.equations.append(
            Equation(primitive, tuple(values), frozen(attributes), tuple(outputs), source, module_path() or "")
        )
        return outputs

    def variable(self, type: TensorType, source: str = "", constant: np.ndarray | None = None) -> Variable:
        """Return a new symbol of this trace."""
        return Variable(type, source or current_line(), self, constant)

    def constant(self, array: np.ndarray) -> Variable:
        """Return a symbol whose data is known now and stays the same in every run."""
        type = TensorType(array.shape, dtype_of(array.dtype))
        variable = self.variable(type, constant=array)
        if array.size > 64:
            self.frozen.append(f"array {type} at {variable.source}")
        return variable

    # ------------------------------------------------------------------------------------------------ state
    def write(self, cell: Tensor) -> None:
        """Note that `cell` is about to be assigned."""
        if not isinstance(cell._value, Variable) and id(cell) not in self.written:
            self.read(cell)
            self.written[id(cell)] = (cell, cell._value, cell._version, cell._node, cell._index)

    def slot(self, owner: Tensor) -> GradSlot:
        """Return the record of a tensor's `.grad`."""
        if id(owner) not in self.grads:
            self.grads[id(owner)] = GradSlot(owner, owner._grad)
        return self.grads[id(owner)]

    def read_grad(self, owner: Tensor) -> Tensor | None:
        """Return `owner.grad` as the step sees it."""
        slot = self.slot(owner)
        if slot.before is CONSUMED and not slot.written:
            raise GradientError(
                "this gradient was used up by the optimizer inside an earlier compiled step and was not kept; "
                "call optimizer.zero_grad() before backward, or write cr.jit(step, keep_grads=True)."
            )
        if slot.written or slot.was_read:
            if owner._grad is CONSUMED:
                raise GradientError(
                    "this gradient was used up by the optimizer inside a loop or branch and was not kept; "
                    "call optimizer.zero_grad() before the next backward, or write cr.jit(step, keep_grads=True)."
                )
            return owner._grad
        slot.was_read = True
        if isinstance(slot.before, Tensor):
            value = slot.before._value
            slot.read = self.variable(TensorType(value.shape, dtype_of(value.dtype)))
            owner._grad = connected(slot.read, slot.before._node, slot.before._index)
        return owner._grad

    def write_grad(self, owner: Tensor, value: Tensor | None) -> None:
        """Set `owner.grad` inside the step."""
        slot = self.slot(owner)
        slot.written = True
        slot.consumed = slot.consumed and value is None
        if value is not None and not isinstance(value._value, Variable):
            value = connected(self.read(value), value._node, value._index)
        owner._grad = value

    def consume_grad(self, owner: Tensor) -> None:
        """Note that an optimizer used `owner.grad` up."""
        self.slot(owner).consumed = True

    def mark_consumed(self, owner: Tensor) -> None:
        """Note that an optimizer used `owner.grad` up inside a loop or branch, which does not give it out."""
        slot = self.slot(owner)
        slot.written = slot.consumed = True
        owner._grad = CONSUMED

    def restore(self) -> None:
        """Put every cell back as it was before the trace, and let no symbol be used any more."""
        for cell, value, version, node, index in self.written.values():
            cell._value, cell._version, cell._node, cell._index = value, version, node, index
        for slot in self.grads.values():
            slot.owner._grad = slot.before

    def graph(self, inputs: Sequence[Variable], outputs: Sequence[Variable], labels: Sequence[str] = ()) -> Graph:
        """Return what was traced."""
        return Graph(self.name, tuple(inputs), tuple(self.equations), tuple(outputs), tuple(labels))

    def __enter__(self) -> Tracer:
        self._outer, local.interpreter = local.interpreter, self
        return self

    def __exit__(self, *exc: object) -> None:
        local.interpreter = self._outer


def current_line() -> str:
    """Return the user's line being traced, like "mlp.py:14"."""
    frame = user_frame(3)
    return describe_line(os.fspath(frame.f_code.co_filename), frame.f_lineno) if frame is not None else ""


def consume_grad(owner: Tensor) -> Tensor | None:
    """Return `owner.grad` for an optimizer's update, and note that it was used up."""
    interpreter = local.interpreter
    gradient = owner.grad
    if interpreter is not None and gradient is not None:
        interpreter.consume_grad(owner)
    return gradient

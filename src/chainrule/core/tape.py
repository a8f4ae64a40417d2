"""The tape: a record of how each tensor was made, for reverse mode.

A `Node` is one recorded operation. It points to the nodes of its inputs (never to tensors), and keeps of the forward
pass exactly what its gradient rules name: buffers, not cells, so assigning to a tensor later leaves old gradients
exact.
A `Leaf` stands for a tensor whose gradient is wanted; it holds the tensor weakly, so there is no reference cycle.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import GradientError

if TYPE_CHECKING:
    from chainrule.core.primitive import Primitive, Rule
    from chainrule.core.tensor import Tensor

__all__ = ["FunctionNode", "Leaf", "Node"]

Edge = tuple["Node", int]  # a node, and which of its outputs


class _Kept(NamedTuple):
    """A buffer of the forward pass, and the edge through which it is differentiable."""

    value: Any
    node: Node | None
    output: int


_sequence = itertools.count()


def next_sequence() -> int:
    """Return a number above those of all nodes so far and below those of all to come."""
    return next(_sequence)


def connected(value: Any, node: Node | None, index: int) -> Tensor:
    """Return a tensor that holds `value`; `core.tensor`, which knows the class, puts its own function here."""
    raise RuntimeError("chainrule.core.tensor is not imported")


def conjugate(tensor: Tensor) -> Tensor:
    """Return the complex conjugate; `ops.complex_parts` puts its own function here."""
    raise RuntimeError("chainrule.ops is not imported")


class Node:
    """One recorded operation.

    Attributes:
        primitive: what was done.
        attributes: its keyword attributes.
        edges: per input the (node, output index) that made it, or None where no gradient flows.
        types: per input the (shape, NumPy dtype) of its gradient: the input's own, but for narrow operands.
        kept: name -> what the gradient rules keep; None once the tape is freed.
        outputs: per output its (shape, NumPy dtype).
    """

    __slots__ = (
        *("attributes", "edges", "kept", "origin", "outputs", "place", "primitive", "retained", "sequence", "types"),
    )

    def __init__(
        self,
        primitive: Primitive | None,
        attributes: dict,
        edges: Sequence[Edge | None],
        types: Sequence,
        outputs: Sequence,
    ):
        self.primitive, self.attributes = primitive, attributes
        self.edges, self.types, self.outputs = edges, types, outputs
        self.kept: dict[str, Any] | None = {}
        self.retained: dict[int, weakref.ref] | None = None  # tensors that asked for their gradient: index -> tensor
        self.sequence = next(_sequence)
        self.origin: int | None = None  # once asked for: the smallest sequence number of the leaves behind
        self.place: str | None = None  # the module and line, noted only while operations are observed

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.primitive.name if self.primitive else "leaf"

    def free(self) -> None:
        """Forget what was kept; a second backward raises."""
        self.kept = None

    def keep(self, inputs: Sequence[Tensor], values: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        """Keep what the rules of the inputs that need a gradient name."""
        kept, primitive = self.kept, self.primitive
        if primitive.variadic:
            for name in primitive.rules[0].keeps:
                if name == "outputs":
                    kept[name] = [out._value for out in outputs]
                else:
                    kept[name] = [_kept(name, values[i], inputs[i]) for i in range(len(inputs))]
            return
        names = primitive.inputs
        for rule, edge in zip(primitive.rules, self.edges, strict=True):
            if edge is None or rule is None:
                continue
            for name, output in zip(rule.keeps, rule.outputs, strict=True):
                if name in kept:
                    continue
                if output is not None:
                    kept[name] = outputs[output]._value  # its node is this one: no cycle is stored
                else:
                    i = names.index(name.removesuffix("_shape").removesuffix("_dtype"))
                    kept[name] = _kept(name, values[i], inputs[i])

    def pull(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the gradients of the inputs, given those of the outputs, before broadcasting is undone."""
        primitive = self.primitive
        g: Any = tuple(gradients) if primitive.multiple else gradients[0]
        if primitive.variadic:
            return list(self._apply(primitive.rules[0], (g,)))
        if primitive.derivatives:
            return [
                None if edge is None else _times(g, self._apply(rule, ()))
                for rule, edge in zip(primitive.rules, self.edges, strict=True)
            ]
        return [
            None if edge is None else self._apply(rule, (g,))
            for rule, edge in zip(primitive.rules, self.edges, strict=True)
        ]

    def _outputs(self) -> list[Tensor]:
        return [connected(value, self, index) for index, value in enumerate(self.kept["outputs"])]

    def _apply(self, rule: Rule, first: tuple) -> Any:
        kept = self.kept
        arguments = [
            self._outputs() if name == "outputs"
            else _revive(kept[name]) if output is None else connected(kept[name], self, output)
            for name, output in zip(rule.keeps, rule.outputs, strict=True)
        ]  # fmt: skip
        given = self.attributes  # one that is not given has its default in the rule too
        return rule.function(*first, *arguments, **{name: given[name] for name in rule.attributes if name in given})


def _times(g: Tensor, derivative: Any) -> Tensor:
    """Return g times a local derivative; a complex one is conjugated, so that the gradient points uphill."""
    value = getattr(derivative, "_value", None)
    return g * (conjugate(derivative) if value is not None and value.dtype.kind == "c" else derivative)


def _kept(name: str, value: Any, tensor: Tensor) -> Any:
    if name.endswith("_shape"):
        return value.shape
    if name.endswith("_dtype"):
        return value.dtype
    return _Kept(value, tensor._node, tensor._index)


def _revive(kept: Any) -> Any:
    """Return what a rule gets: a tensor connected as the kept one was; a shape or dtype stays."""
    if isinstance(kept, list):
        return [_revive(item) for item in kept]
    if isinstance(kept, _Kept):
        return connected(*kept)
    return dtype_of(kept) if isinstance(kept, np.dtype) else kept


class FunctionNode(Node):
    """A node whose pull-back is a Python function: a block with a hard-coded derivative, or a recomputation."""

    __slots__ = ("function", "label")

    def __init__(
        self, label: str, function: Callable, edges: Sequence[Edge | None], types: Sequence, outputs: Sequence
    ):
        super().__init__(None, {}, edges, types, outputs)
        self.label, self.function = label, function

    @property
    def name(self) -> str:
        """Name of the block."""
        return self.label

    def free(self) -> None:
        """Forget the function and all it holds."""
        super().free()
        self.function = None

    def pull(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return what the block's own derivative gives."""
        return list(self.function(*gradients))


class Leaf(Node):
    """The end of the tape at a tensor whose gradient is wanted."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor):
        value = tensor._value
        super().__init__(None, {}, (), (), ((value.shape, value.dtype),))
        self.tensor = weakref.ref(tensor)


def origin(node: Node) -> int:
    """Return the sequence number of the oldest leaf behind a node: what was made later can't be all it depends on."""
    stack = [node]
    while stack:
        last = stack[-1]
        behind = [edge[0] for edge in last.edges if edge is not None]
        missing = [other for other in behind if other.origin is None]
        if missing and last.origin is None:
            stack.extend(missing)
            continue
        last.origin = min((other.origin for other in behind), default=last.sequence)
        stack.pop()
    return node.origin


def check_alive(node: Node) -> None:
    """Raise if the tape behind `node` was freed by an earlier backward."""
    if node.kept is None:
        raise GradientError(
            f"the tape of this result was freed by an earlier backward (at operation {node.name}); "
            "write backward(retain_graph=True) on the first call to keep it."
        )

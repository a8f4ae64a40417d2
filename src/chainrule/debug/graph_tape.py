"""Collecting a picture's parts from a finished result: its tape says what was done, and keeps some of the values.

Known are the result, what gradient rules keep, and leaves that still exist and were never assigned. The gradients are
computed by a walk that frees nothing; after a `backward` that freed the tape there are none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import dtype_of
from chainrule.core.primitive import TensorType
from chainrule.core.tape import Edge, FunctionNode, Leaf, Node, _Kept
from chainrule.core.tensor import Parameter, Tensor
from chainrule.debug.graph_collect import add_gradients
from chainrule.debug.graph_names import named_tensors
from chainrule.debug.graph_parts import Computation, Input, Operation, Value

__all__ = ["collect_tape"]


def collect_tape(result: Tensor, names: Any, gradient: Tensor | None) -> Computation:
    """Return what the tape knows of the computation of a result.

    Args:
        result: a tensor with a tape.
        names: of its leaves, as for `named_tensors`.
        gradient: the upstream gradient; default 1 for a scalar.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray(3.0).requires_grad_()
        >>> [operation.name for operation in collect_tape(cr.exp(x) * 2, None, None).operations]
        ['exp', 'multiply']
    """
    known = {id(tensor): name for name, tensor in named_tensors(names)}
    by_edge: dict[Edge, Value] = {}
    operation_of: dict[Node, Operation] = {}
    for node in _nodes(result._node):
        if isinstance(node, Leaf):
            by_edge[node, 0] = _leaf(node, known)
            continue
        inputs = [_input(node, i, by_edge) for i in range(len(node.edges))]
        if isinstance(node, FunctionNode):
            inputs = [entry for entry, edge in zip(inputs, node.edges, strict=True) if edge is not None]
        outputs = [Value(TensorType(shape, dtype_of(dtype))) for shape, dtype in node.outputs]
        elementwise = node.primitive is not None and node.primitive.elementwise
        operation_of[node] = Operation(node.name, inputs, outputs, node.attributes, elementwise)
        by_edge.update(((node, i), value) for i, value in enumerate(outputs))
    for node in operation_of:
        _fill_kept(node, by_edge)
    end = by_edge[result._node, result._index]
    end.array = result._value
    whole = Computation("result", list(operation_of.values()), [("", end)])
    whole.arguments = [value for value in by_edge.values() if value.kind == "argument"]
    add_gradients(whole, [result], gradient, operation_of, by_edge)
    return whole


def _nodes(start: Node) -> list[Node]:
    """Return the nodes behind a result in the order in which they were recorded."""
    seen, stack = set(), [start]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(edge[0] for edge in node.edges if edge is not None)
    return sorted(seen, key=lambda node: (not isinstance(node, Leaf), node.sequence))


def _leaf(node: Leaf, known: dict[int, str]) -> Value:
    owner = node.tensor()
    shape, dtype = node.outputs[0]
    value = Value(TensorType(shape, dtype_of(dtype)), kind="parameter" if isinstance(owner, Parameter) else "argument")
    if owner is not None:
        value.name = known.get(id(owner), "")
        value.array = owner._value if owner.version == 0 else None  # else another value than the one that was used
    return value


def _input(node: Node, i: int, by_edge: dict[Edge, Value]) -> Input:
    edge = node.edges[i]
    if edge is not None:
        return Input(by_edge[edge])
    shape, dtype = node.types[i]
    value = Value(TensorType(shape, dtype_of(dtype)), kind="constant")
    if node.kept and not node.primitive.variadic:
        kept = node.kept.get(node.primitive.inputs[i])
        value.array = kept.value if isinstance(kept, _Kept) else None
    return Input(value)


def _fill_kept(node: Node, by_edge: dict[Edge, Value]) -> None:
    """Put what the rules of a node keep on the values it was kept of."""
    for name, kept in (node.kept or {}).items():
        for part in kept if isinstance(kept, list) else [kept]:
            if isinstance(part, _Kept):
                array, source, index = part
                if (source, index) in by_edge:
                    by_edge[source, index].array = array
            elif isinstance(part, np.ndarray) and name[:1] == "y":
                by_edge[node, int(name[1:] or 0)].array = part

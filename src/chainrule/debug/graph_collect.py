"""Collecting a picture's parts from a run: the function runs eagerly, and every operation is observed with its values.

The tape keeps only what gradient rules need, so values are taken from the observer that `bind` calls after each
operation. Which tensor went where is known from the tape where there is one, else from the identity of the buffers. The
gradients come from a second walk, `pulls`, which frees nothing and touches no `.grad`.
"""

from __future__ import annotations

import inspect
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff.backward import seed_gradient
from chainrule.core import tree
from chainrule.core.context import enable_grad, local
from chainrule.core.dtypes import dtype_of, float32
from chainrule.core.errors import GradientError, TraceError, user_location
from chainrule.core.primitive import Primitive, TensorType
from chainrule.core.tape import Edge, FunctionNode, Leaf, Node, next_sequence
from chainrule.core.tensor import Parameter, Tensor
from chainrule.debug.backward_steps import Pull, pulls
from chainrule.debug.graph_calls import watched_calls
from chainrule.debug.graph_names import named_tensors
from chainrule.debug.graph_parts import Call, Computation, Input, Operation, Value
from chainrule.ops._inputs import as_tensor

__all__ = ["add_gradients", "collect_run", "type_of"]

NUMBERS = 4096  # elements up to which local derivatives are computed


@dataclass
class _Seen:
    """One observed operation; nodes recorded until then have smaller numbers than `until`."""

    primitive: Primitive
    inputs: Sequence[np.ndarray]
    outputs: Sequence[np.ndarray]
    attributes: dict[str, Any]
    until: int
    calls: tuple[Call, ...]
    source: str


def type_of(array: Any) -> TensorType:
    """Return the type of a NumPy array."""
    return TensorType(array.shape, dtype_of(array.dtype))


def collect_run(
    function: Callable[..., Any], args: tuple, kwargs: dict[str, Any], names: Any, gradient: Tensor | None
) -> Computation:
    """Run a function and return all that it computed, with the gradients of its result.

    Args:
        function: of tensors; a `cr.jit` function runs as its Python function, a module as its call.
        args: tensors, arrays and numbers become leaves of the picture; anything else is passed as it is.
        kwargs: keyword arguments, treated alike.
        names: of tensors from outside the arguments, as for `named_tensors`.
        gradient: the upstream gradient of the result; default 1 for a scalar.

    Raises:
        TraceError: called while tracing.
        TypeError: the result holds no tensor.
    """
    if local.interpreter is not None:
        raise TraceError("a picture shows values; draw it outside cr.jit.")
    function = getattr(function, "function", function)
    labels, leaves, structure = _arguments(function, args, kwargs)
    first = next_sequence()
    seen: list[_Seen] = []

    def watch(primitive: Primitive, inputs: Any, outputs: Any, attributes: Any) -> None:
        if all(type(array) is np.ndarray for array in (*inputs, *outputs)):
            source = user_location() or ""
            calls = tuple(stack.calls)
            seen.append(_Seen(primitive, inputs, outputs, dict(attributes), next_sequence(), calls, source))

    with watched_calls() as stack, enable_grad():
        before, local.checks = local.checks, (*local.checks, watch)
        try:
            positional, keyword = tree.unflatten(structure, leaves)
            returned = function(*positional, **keyword)
        finally:
            local.checks = before
    results = [leaf for leaf in tree.flatten(returned)[0] if isinstance(leaf, Tensor)]
    if not results:
        raise TypeError(f"the function returned {type(returned).__name__}; a picture needs a tensor as its result.")
    inputs = [(label, leaf) for label, leaf in zip(labels, leaves, strict=True) if isinstance(leaf, Tensor)]
    known = _Known([*inputs, *stack.tensors, *named_tensors(names)])
    name = getattr(function, "__name__", type(function).__name__).replace("<lambda>", "f")
    return _Builder(seen, known, first).build(name, results, gradient)


def _arguments(function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> tuple[list[str], list[Any], Any]:
    """Return the leaves of the arguments, each tensor as a leaf of its own, and a name for each."""
    callee = getattr(function, "forward", function)
    try:
        bound = inspect.signature(callee).bind_partial(*args, **kwargs).arguments
        names = [name for name in bound if name != "self"]
    except (TypeError, ValueError):
        names = []
    positional = [names[i] if i < len(names) and names[i] not in kwargs else f"x{i}" for i in range(len(args))]
    labels: list[str] = []
    for name, part in zip([*positional, *kwargs], [*args, *kwargs.values()], strict=True):
        count = len(tree.flatten(part)[0])
        labels += [name] if count == 1 else [f"{name}[{i}]" for i in range(count)]
    leaves, structure = tree.flatten((args, kwargs))
    return labels, [_leaf(leaf) for leaf in leaves], structure


def _leaf(value: Any) -> Any:
    """Return a tensor of its own for a tensor, array or number, with a gradient where there can be one."""
    if isinstance(value, Tensor):
        tensor = Tensor(value._value.view())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        tensor = as_tensor(float(value)).astype(float32).detach()
    elif isinstance(value, np.ndarray):
        tensor = Tensor(as_tensor(value)._value.view())
    else:
        return value
    return tensor.requires_grad_() if tensor.dtype.is_inexact else tensor


class _Known:
    """Names and kinds of tensors, by the tensor and by its buffer; the last name given counts."""

    def __init__(self, tensors: list[tuple[str, Tensor]]):
        self.tensors = tensors  # kept, so that ids stay unique
        self.by_tensor = {id(tensor): (name, _kind(tensor)) for name, tensor in tensors}
        self.by_buffer = {id(tensor._value): (name, _kind(tensor)) for name, tensor in tensors}


def _kind(tensor: Tensor | None) -> str:
    return "parameter" if isinstance(tensor, Parameter) else "argument"


class _Builder:
    """Puts observed operations and the tape together.

    Args:
        seen: the operations in order.
        known: names.
        first: nodes with smaller numbers were recorded before the run, and are no part of the picture.
    """

    def __init__(self, seen: list[_Seen], known: _Known, first: int):
        self.seen, self.known, self.first = seen, known, first
        self.by_edge: dict[Edge, Value] = {}
        self.by_buffer: dict[int, Value] = {}
        self.operation_of: dict[Node, Operation] = {}
        self.operations: list[Operation] = []

    def build(self, name: str, results: list[Tensor], gradient: Tensor | None) -> Computation:
        """Return the computation behind the results, with gradients."""
        marks = [one.until for one in self.seen]
        nodes: dict[int, Node] = {}
        blocks: list[Node] = []
        for node in sorted(_behind(results, self.first), key=lambda node: node.sequence):
            if isinstance(node, FunctionNode):
                blocks.append(node)
            elif not isinstance(node, Leaf):
                nodes[bisect_right(marks, node.sequence)] = node
        for position, one in enumerate(self.seen):
            while blocks and blocks[0].sequence < one.until:
                self._add_block(blocks.pop(0), self.seen[position - 1].calls if position else (), one.calls)
            self._add(one, nodes.get(position))
        for node in blocks:
            self._add_block(node, self.seen[-1].calls if self.seen else (), ())
        found = [self._source(out._value, None if out._node is None else (out._node, out._index)) for out in results]
        labels = ["" if len(found) == 1 else str(i) for i in range(len(found))]
        whole = Computation(name, self.operations, list(zip(labels, found, strict=True)))
        place = {name: k for k, (name, _) in enumerate(self.known.tensors)}
        arguments = [value for value in whole.values() if value.kind == "argument"]
        whole.arguments = sorted(arguments, key=lambda value: place.get(value.name, len(place)))
        add_gradients(whole, results, gradient, self.operation_of, self.by_edge, self.first)
        return whole.without_dead_ends()

    def _add(self, one: _Seen, node: Node | None) -> None:
        """Add an observed operation, whose node, if it was recorded, knows where its inputs come from."""
        edges = node.edges if node is not None else [None] * len(one.inputs)
        inputs = [Input(self._source(array, edge)) for array, edge in zip(one.inputs, edges, strict=True)]
        outputs = [Value(type_of(array), array) for array in one.outputs]
        kind = one.primitive
        self._note(Operation(kind.name, inputs, outputs, one.attributes, kind.elementwise, one.source, one.calls), node)
        for array, value in zip(one.outputs, outputs, strict=True):
            self.by_buffer[id(array)] = value

    def _add_block(self, node: Node, before: tuple[Call, ...], after: tuple[Call, ...]) -> None:
        """Add a block with a hard-coded derivative: its own operations are hidden, and it is one operation."""
        inputs = [Input(self._source(None, edge)) for edge in node.edges if edge is not None]
        outputs = [Value(_output_type(node, i)) for i in range(len(node.outputs))]
        common = tuple(a for a, b in zip(before, after, strict=False) if a is b)
        self._note(Operation(node.name, inputs, outputs, calls=common), node)

    def _note(self, operation: Operation, node: Node | None) -> None:
        self.operations.append(operation)
        if node is not None:
            self.operation_of[node] = operation
            self.by_edge.update(((node, i), value) for i, value in enumerate(operation.outputs))

    def _source(self, array: Any, edge: Edge | None) -> Value:
        """Return the value that an operation read; the tape knows best, then the identity of the buffer."""
        value = self.by_edge.get(edge) if edge is not None else self.by_buffer.get(id(array))
        if value is None:
            value = self._read_before(edge) or self._new_leaf(array, edge)
        if value.array is None and array is not None:
            value.array = array
        return value

    def _read_before(self, edge: Edge | None) -> Value | None:
        """Return the value of a leaf that an unrecorded operation has read already."""
        owner = edge[0].tensor() if edge is not None and isinstance(edge[0], Leaf) else None
        value = None if owner is None else self.by_buffer.get(id(owner._value))
        if value is None or value.kind == "made":
            return None
        self.by_edge[edge] = value
        return value

    def _new_leaf(self, array: Any, edge: Edge | None) -> Value:
        owner = edge[0].tensor() if edge is not None and isinstance(edge[0], Leaf) else None
        if array is None and owner is not None:
            array = owner._value
        name, kind = self.known.by_tensor.get(id(owner), ("", "")) if owner is not None else ("", "")
        if not name:
            name, kind = self.known.by_buffer.get(id(array), ("", _kind(owner) if owner is not None else "constant"))
        value = Value(_output_type(*edge) if edge is not None else type_of(array), array, None, name, kind)
        if edge is not None:
            self.by_edge[edge] = value
        if array is not None:
            self.by_buffer.setdefault(id(array), value)
        return value


def _behind(results: Sequence[Tensor], first: int) -> set[Node]:
    """Return the nodes behind the results that were recorded since `first`, and the leaves."""
    seen: set[Node] = set()
    stack = [out._node for out in results if out._node is not None]
    while stack:
        node = stack.pop()
        if node not in seen and (node.sequence >= first or isinstance(node, Leaf)):
            seen.add(node)
            stack.extend(edge[0] for edge in node.edges if edge is not None)
    return seen


def _output_type(node: Node, index: int) -> TensorType:
    shape, dtype = node.outputs[index]
    return TensorType(shape, dtype_of(dtype))


def add_gradients(
    whole: Computation,
    results: Sequence[Tensor],
    gradient: Tensor | None,
    operation_of: dict[Node, Operation],
    by_edge: dict[Edge, Value],
    first: int = -1,
) -> None:
    """Walk the tape of the only result backwards and put the gradients on values and edges; else note why not.

    Args:
        whole: what is filled in.
        results: tensors of the computation.
        gradient: the upstream gradient, or None.
        operation_of: node -> operation.
        by_edge: place on the tape -> value.
        first: nodes with smaller numbers are left out.
    """
    recorded = [out for out in results if out._node is not None]
    if not recorded:
        whole.notes.append("no gradients: nothing here requires one")
        return
    if len(results) > 1 or (gradient is None and results[0].size != 1):
        whole.notes.append("no gradients: the result is not one number; pass gradient=, or reduce it")
        return
    seed = seed_gradient(results[0], gradient)
    try:
        for pull in pulls(results, [seed], first=first, limit=NUMBERS):
            for index, g in enumerate(pull.arrived):
                if g is not None and (pull.node, index) in by_edge:
                    by_edge[pull.node, index].gradient = g._value
            if pull.node in operation_of:
                _fill(operation_of[pull.node], pull)
    except GradientError as error:
        whole.notes.append(f"no gradients: {error.message.split(';')[0]}")


def _fill(operation: Operation, pull: Pull) -> None:
    """Put the gradients of one step on the edges of its operation."""
    found = list(zip(pull.down, pull.local, strict=True))
    if isinstance(pull.node, FunctionNode):
        found = [pair for pair, edge in zip(found, pull.node.edges, strict=True) if edge is not None]
    for edge, (down, derivative) in zip(operation.inputs, found, strict=True):
        edge.down, edge.local = None if down is None else down._value, derivative

"""Reverse mode one operation at a time: what comes from upstream, the local derivative, what goes down.

    down = upstream x local derivative

`pulls` walks the tape as `backward` does, last recorded operation first, and hands out each step. `trace_backward` is
its public face; `cr.graph` uses the same walk for the gradients on its edges. Nothing is freed and no `.grad` is
touched unless asked, so the same result can be stepped through twice and then differentiated.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from chainrule.autodiff.backward import accumulate, seed_gradient, unbroadcast
from chainrule.core.context import local, no_grad
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import TraceError
from chainrule.core.precision import Operands
from chainrule.core.primitive import TensorType
from chainrule.core.tape import Leaf, Node, check_alive
from chainrule.core.tensor import Tensor, unrecorded
from chainrule.debug.graph_names import named_tensors
from chainrule.debug.graph_parts import Local
from chainrule.debug.local_derivative import local_derivatives
from chainrule.ops.creation import zeros

__all__ = ["BackwardPart", "BackwardStep", "Pull", "pulls", "trace_backward"]


class Pull(NamedTuple):
    """One node of the walk: gradients of its outputs, and of each input the local derivative and what goes down."""

    node: Node
    arrived: list[Tensor | None]
    local: list[Local | None]
    down: list[Tensor | None]


def pulls(
    outputs: Sequence[Tensor], seeds: Sequence[Tensor], *, first: int = -1, limit: int | None = None
) -> Iterator[Pull]:
    """Yield the nodes behind the outputs, last recorded first, with the gradients through them; leaves too.

    Args:
        outputs: results that were recorded.
        seeds: their upstream gradients.
        first: nodes with a smaller sequence number are left out; default none.
        limit: as for `local_derivatives`.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray(3.0).requires_grad_()
        >>> [pull.node.name for pull in pulls([cr.exp(x)], [cr.ones(())])]
        ['exp', 'leaf']
    """
    pending: dict[Node, list[Tensor | None]] = {}
    for node in _order([out._node for out in outputs if out._node is not None], first):
        pending[node] = [None] * len(node.outputs)
    with no_grad():
        for out, seed in zip(outputs, seeds, strict=True):
            if out._node in pending:
                _add(pending[out._node], out._index, seed)
    for node in list(pending):
        arrived = pending.pop(node)
        if all(g is None for g in arrived):
            continue
        if isinstance(node, Leaf):
            yield Pull(node, arrived, [], [])
            continue
        with no_grad(), Operands(None):
            check_alive(node)
            full = [zeros(s, dtype=dtype_of(d)) if g is None else g for g, (s, d) in zip(arrived, node.outputs)]
            found = zip(node.edges, node.pull(full), node.types, strict=True)
            down = [None if edge is None or g is None else unbroadcast(g, *kind) for edge, g, kind in found]
            for edge, g in zip(node.edges, down, strict=True):
                if g is not None and edge[0] in pending:
                    _add(pending[edge[0]], edge[1], g)
            derivatives = local_derivatives(node, limit)
        yield Pull(node, arrived, derivatives, down)


def _order(starts: list[Node], first: int) -> list[Node]:
    seen: set[Node] = set()
    stack = starts
    while stack:
        node = stack.pop()
        if node not in seen and (node.sequence >= first or isinstance(node, Leaf)):
            seen.add(node)
            stack.extend(edge[0] for edge in node.edges if edge is not None)
    return sorted(seen, key=lambda node: -node.sequence)


def _add(slots: list[Tensor | None], index: int, g: Tensor) -> None:
    before = slots[index]
    slots[index] = g if before is None else before + g


@dataclass(frozen=True, eq=False)
class BackwardPart:
    """What one step of the walk does to one input of the operation.

    Attributes:
        source: where the input comes from: the name of a leaf, the operation that made it, or its type where no
            gradient flows.
        local: the local derivative; a tensor for elementwise operations and single numbers, else None.
        words: what the operation does to the upstream gradient g.
        down: the gradient that goes to this input, in its shape, or None where none flows.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray(3.0).requires_grad_()
        >>> step = next(cr.trace_backward(cr.exp(2 * x)))
        >>> part = step.parts[0]
        >>> part.source, part.local.item() == cr.exp(cr.asarray(6.0)).item()
        ('multiply', True)
    """

    source: str
    local: Tensor | None
    words: str
    down: Tensor | None


@dataclass(frozen=True, eq=False)
class BackwardStep:
    """One step of reverse mode: an operation, or a leaf at the end of the walk.

    Attributes:
        operation: name of the primitive or block; "leaf" at a tensor whose gradient is wanted.
        name: of the leaf, else empty.
        type: of the output, like f32[32,10].
        upstream: the gradient of the result in each output of the operation; of a leaf, its whole gradient.
        parts: one per input.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray(3.0).requires_grad_()
        >>> print(next(cr.trace_backward(x * 2, names={"x": x})))
        multiply  f32[]
          upstream  1
          x         1 × 2 = 2
          f32[]     no gradient flows
    """

    operation: str
    name: str
    type: TensorType
    upstream: tuple[Tensor | None, ...]
    parts: tuple[BackwardPart, ...]

    def __str__(self) -> str:
        rows = self._rows()
        width = max(len(left) for left, _ in rows)
        return "\n".join([self._head(), *(f"  {left.ljust(width)}  {right}".rstrip() for left, right in rows)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left;opacity:.7">{html.escape(left)}</td>'
            f'<td style="text-align:left;font-family:monospace;white-space:pre-wrap">{html.escape(right)}</td></tr>'
            for left, right in self._rows()
        )
        return (
            f'<div style="margin:.4em 0"><b>{html.escape(self.operation)}</b> '
            f'<span style="opacity:.65">{html.escape(f"{self.name} {self.type}".strip())}</span>'
            f'<table style="margin:.2em 0 0">{rows}</table></div>'
        )

    def _head(self) -> str:
        return "  ".join(filter(None, (self.operation, self.name, str(self.type))))

    def _rows(self) -> list[tuple[str, str]]:
        word = "gradient" if self.operation == "leaf" else "upstream"
        several = len(self.upstream) > 1
        rows = [(f"{word} {i}" if several else word, _text(g)) for i, g in enumerate(self.upstream)]
        return rows + [(part.source, _part_text(part, self.upstream)) for part in self.parts]


def _text(tensor: Tensor | None) -> str:
    if tensor is None:
        return "0: nothing depends on it"
    from chainrule.debug.graph_words import number

    value = np.asarray(tensor._value)
    if value.size == 1:
        return number(value.item())
    lines = np.array2string(value, separator=", ", precision=4, threshold=24, edgeitems=3, max_line_width=76)
    return f"{TensorType(value.shape, dtype_of(value.dtype))}  {' '.join(lines.split())}".replace("-", "−")


def _part_text(part: BackwardPart, upstream: tuple[Tensor | None, ...]) -> str:
    if part.down is None:
        return "no gradient flows"
    single = len(upstream) == 1 and upstream[0] is not None
    if part.local is not None and single:
        factor = f"{_text(upstream[0])} × {_text(part.local)}" if part.local.size == 1 else f"g × {_text(part.local)}"
        summed = ", summed to its shape" if upstream[0].size > part.down.size else ""
        return f"{factor}{summed} = {_text(part.down)}"
    return f"{part.words} = {_text(part.down)}"


def trace_backward(
    result: Tensor, gradient: Tensor | None = None, *, names: Any = None, store: bool = False
) -> Iterator[BackwardStep]:
    """Yield the steps of `backward` one by one: operations, the last one first, then the leaves.

    The tape is kept, and no `.grad` changes unless `store=True`.

    Args:
        result: what to differentiate; a scalar, unless `gradient` is given.
        gradient: the upstream gradient, of the result's shape; default 1 for a scalar.
        names: what to call the leaves: {"x": x}, a module (its parameters' names), or a list of those; default none.
        store: add the gradient of each leaf to its `.grad` when the walk comes to it; default False.

    Yields:
        `BackwardStep`s; print them, or show them in a notebook.

    Raises:
        GradientError: nothing was recorded, the tape was freed, or the result is not a scalar.
        TraceError: called while tracing.

    Example:
        >>> import chainrule as cr
        >>> x, y, z = (cr.asarray(v).requires_grad_() for v in (-2.0, 5.0, -4.0))
        >>> for step in cr.trace_backward((x + y) * z, names={"x": x, "y": y, "z": z}):
        ...     print(step)
        multiply  f32[]
          upstream  1
          add       1 × −4 = −4
          z         1 × 3 = 3
        add  f32[]
          upstream  −4
          x         −4 × 1 = −4
          y         −4 × 1 = −4
        leaf  z  f32[]
          gradient  3
        leaf  y  f32[]
          gradient  −4
        leaf  x  f32[]
          gradient  −4
    """
    if local.interpreter is not None:
        raise TraceError("trace_backward shows values; call it outside cr.jit.")
    seed = seed_gradient(result, gradient)
    check_alive(result._node)
    return _steps(result, seed, {id(tensor): name for name, tensor in named_tensors(names)}, store)


def _steps(result: Tensor, seed: Tensor, names: dict[int, str], store: bool) -> Iterator[BackwardStep]:
    for pull in pulls([result], [seed]):
        node = pull.node
        upstream = tuple(None if g is None else unrecorded(g) for g in pull.arrived)
        if store and isinstance(node, Leaf):
            owner = node.tensor()
            if owner is not None:
                with no_grad():
                    accumulate(owner, upstream[0])
        shape, dtype = node.outputs[0]
        parts = tuple(_part(node, i, names, pull) for i in range(len(node.edges)))
        name = source_name(node, names) if isinstance(node, Leaf) else ""
        yield BackwardStep(node.name, name, TensorType(shape, dtype_of(dtype)), upstream, parts)


def _part(node: Node, i: int, names: dict[int, str], pull: Pull) -> BackwardPart:
    edge, derivative, down = node.edges[i], pull.local[i], pull.down[i]
    shape, dtype = node.types[i]
    source = str(TensorType(shape, dtype_of(dtype))) if edge is None else source_name(edge[0], names)
    if derivative is None or down is None:
        return BackwardPart(source, None, "", None)
    array = None if derivative.array is None else Tensor(derivative.array)
    return BackwardPart(source, array, derivative.words, unrecorded(down))


def source_name(node: Node, names: dict[int, str]) -> str:
    """Return the name of a leaf, or the operation of a node."""
    if not isinstance(node, Leaf):
        return node.name
    owner = node.tensor()
    return names.get(id(owner), "") or str(TensorType(node.outputs[0][0], dtype_of(node.outputs[0][1])))

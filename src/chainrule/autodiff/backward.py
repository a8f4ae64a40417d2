"""Reverse mode: from the tape to gradients.

`gradients` walks the recorded nodes in reverse order of recording, iteratively, so a chain of 100,000 operations works;
it undoes broadcasting once for all rules. Source: Linnainmaa 1970; Griewank and Walther, Evaluating Derivatives, 2008.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.core import context
from chainrule.core.bind import bind
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import GradientError, ShapeError, user_location
from chainrule.core.primitive import PRIMITIVES
from chainrule.core.tape import Edge, Leaf, Node, check_alive
from chainrule.core.tensor import Tensor, unrecorded
from chainrule.ops.creation import ones, zeros

__all__ = ["backward", "gradients", "pull_to"]


def backward(
    tensor: Tensor, gradient: Tensor | None = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add the gradient of this result to `.grad` of every leaf that it was computed from.

    Args:
        tensor: the result; a scalar, unless `gradient` is given.
        gradient: the upstream gradient, of the tensor's shape; default 1 for a scalar.
        retain_graph: keep the tape, so that backward can run again; default False.
        create_graph: record the gradients' own computation, for second derivatives; default False.

    Raises:
        GradientError: nothing was recorded, the tape was freed, or the result is not a scalar.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray(3.0).requires_grad_()
        >>> (x * x).backward()
        >>> x.grad
        tensor(6., shape=(), dtype=float32)
    """
    seed = seed_gradient(tensor, gradient)
    leaves: dict[Leaf, Tensor] = {}
    _walk([tensor], [seed], leaves, targets=None, retain=retain_graph or create_graph, create=create_graph)
    with _recording(create_graph):
        for leaf, g in sorted(leaves.items(), key=lambda item: item[0].sequence):
            owner = leaf.tensor()
            if owner is not None:
                accumulate(owner, g if create_graph else unrecorded(g))


def accumulate(owner: Tensor, g: Tensor) -> None:
    """Add a gradient to `.grad` of its tensor."""
    before = owner.grad
    owner.grad = g if before is None else before + g


def gradients(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    upstream: Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Return the gradients of the outputs with respect to the inputs, without touching any `.grad`.

    Args:
        outputs: results; scalars, unless `upstream` is given.
        inputs: tensors that require a gradient: leaves or results on the way.
        upstream: one gradient per output, of its shape; default 1 for scalars.
        retain_graph: keep the tape; default the value of `create_graph`.
        create_graph: record the gradients' own computation; default False.

    Returns:
        One tensor per input, None where no output depends on it.

    Raises:
        GradientError: an input does not require a gradient, nothing was recorded, the tape was freed.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray(3.0).requires_grad_()
        >>> cr.gradients([x * x], [x])
        [tensor(6., shape=(), dtype=float32)]
    """
    for position, tensor in enumerate(inputs):
        if tensor._node is None:
            raise GradientError(
                f"gradients: input {position} does not require a gradient; call requires_grad_() on it first."
            )
    seeds = [seed_gradient(out, upstream[i] if upstream is not None else None) for i, out in enumerate(outputs)]
    targets = {(tensor._node, tensor._index): None for tensor in inputs}
    retain = create_graph if retain_graph is None else retain_graph
    _walk(outputs, seeds, {}, targets, retain=retain, create=create_graph)
    found = [targets[tensor._node, tensor._index] for tensor in inputs]
    return [g if g is None or create_graph else unrecorded(g) for g in found]


def pull_to(outputs: Sequence[Tensor], ends: Sequence[Edge], upstream: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the gradients of the outputs by places on the tape, beyond which the walk does not go.

    The tape is kept and the gradients' own computation is recorded, so they can be differentiated again.

    Args:
        outputs: results.
        ends: (node, output index) of tensors; one behind another counts with the paths that do not pass it.
        upstream: one gradient per output.

    Returns:
        One tensor per end, None where no output depends on it.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray(3.0).requires_grad_()
        >>> h = x * 2
        >>> pull_to([h * x], [(h._node, 0), (x._node, 0)], [cr.ones(())])[1].item()  # h = 6; not the path through h
        6.0
    """
    targets = dict.fromkeys(ends)
    _walk(outputs, upstream, {}, targets, retain=True, create=True, stop=True)
    return [targets[end] for end in ends]


def seed_gradient(tensor: Tensor, gradient: Tensor | None) -> Tensor:
    """Return the upstream gradient that the walk starts from."""
    if tensor._node is None:
        raise GradientError(
            "backward on a tensor that nothing was recorded for: no input required a gradient, or it was computed "
            "under no_grad. Call requires_grad_() on an input before computing.",
            location=user_location(),
        )
    if gradient is None:
        if tensor.size != 1:
            raise GradientError(
                f"backward needs a scalar; this tensor has the shape {tensor.shape}. "
                "Reduce it first, with .sum() or .mean(), or pass the upstream gradient: backward(gradient).",
                location=user_location(),
            )
        if tensor.dtype.is_complex:
            raise GradientError(
                f"backward needs a real scalar; this one is {tensor.dtype.name}: take cr.real, cr.imag or cr.abs of "
                "it, or pass the upstream gradient: backward(gradient).",
                location=user_location(),
            )
        return ones(tensor.shape, dtype=tensor.dtype)
    if gradient.shape != tensor.shape:
        raise ShapeError(
            f"backward: the upstream gradient has the shape {gradient.shape} and the tensor {tensor.shape}."
        )
    return unbroadcast(gradient, tensor.shape, tensor._value.dtype)


@contextlib.contextmanager
def _recording(wanted: bool) -> Any:
    """Record gradients' own computation or not; `cr.precision` is off, for a gradient has its forward's precision."""
    local = context.local
    before = local.grad, local.precision
    local.grad, local.precision = wanted, None
    try:
        yield
    finally:
        local.grad, local.precision = before


@contextlib.contextmanager
def recomputing() -> Iterator[Callable[[Node], None]]:
    """Keep what checkpointed blocks compute again while a walk is in them; call the result with each node of the walk.

    Example:
        >>> with recomputing() as passing:
        ...     passing(Node(None, {}, (), (), ()))
    """
    values: dict[Any, Any] = {}
    before, context.local.recomputed = context.local.recomputed, values

    def passing(node: Node) -> None:
        if values:
            for key in [key for key in values if key[0].first > node.sequence]:
                del values[key]

    try:
        yield passing
    finally:
        context.local.recomputed = before


def _walk(
    outputs: Sequence[Tensor],
    seeds: Sequence[Tensor],
    leaves: dict[Leaf, Tensor],
    targets: dict[tuple[Node, int], Any] | None,
    *,
    retain: bool,
    create: bool,
    stop: bool = False,
) -> None:
    """Send the seeds down the tape; fill `leaves` (or, if given, `targets`) with what arrives there.

    With `stop` the walk ends at the targets.
    """
    starts = [out._node for out in outputs]
    through = None if targets is None else {node for node, _ in targets}
    order = _order(starts, through, stop)
    pending: dict[Node, list[Tensor | None]] = {node: [None] * len(node.outputs) for node in order}
    with _recording(create), recomputing() as passing:
        for out, seed in zip(outputs, seeds, strict=True):
            if out._node in pending:
                _add(pending[out._node], out._index, seed)
        for node in order:
            arrived = pending.pop(node)
            passing(node)
            if targets is not None:
                for index, g in enumerate(arrived):
                    if (node, index) in targets:
                        targets[node, index] = _as_output(g, node, index)
            if isinstance(node, Leaf):
                if arrived[0] is not None:
                    leaves[node] = _as_output(arrived[0], node, 0)
                continue
            _store_retained(node, arrived, create)
            if stop and node in through:
                continue
            if targets is None and context.local.interpreter is not None:
                _check_recorded_inside(node)
            if any(g is not None for g in arrived) and _push(node, arrived, pending) and not retain:
                node.free()
    context.local.pulled = None


def _check_recorded_inside(node: Node) -> None:
    """Raise if backward inside a traced step comes to an operation that was recorded before the step."""
    if node.sequence < context.local.interpreter.first:
        place = context.local.interpreter.place
        step = "the step" if place == "cr.jit" else "it"
        raise GradientError(
            f"backward inside {place} reached an operation recorded before {step} ({node.name}). "
            f"Give {step} that tensor as h.detach(), or return the loss and call backward outside.",
            location=user_location(),
        )


def _order(starts: Sequence[Node], through: set[Node] | None, stop: bool) -> list[Node]:
    """Return the nodes behind `starts`, last recorded first; with `through`, only those that lead to one of these."""
    seen: set[Node] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            if not (stop and node in through):
                stack.extend(edge[0] for edge in node.edges if edge is not None)
    order = sorted(seen, key=lambda node: node.sequence)
    if through is not None:
        useful: set[Node] = set()
        for node in order:
            if node in through or any(edge is not None and edge[0] in useful for edge in node.edges):
                useful.add(node)
        order = [node for node in order if node in useful]
    order.reverse()
    return order


def _push(node: Node, arrived: list[Tensor | None], pending: dict[Node, list[Tensor | None]]) -> bool:
    """Apply the rules of one node, hand the results to the nodes of its inputs, and return whether any asked."""
    wanted = [edge is not None and edge[0] in pending for edge in node.edges]
    if not any(wanted):
        return False
    check_alive(node)
    full = [_zeros(*node.outputs[i]) if g is None else g for i, g in enumerate(arrived)]
    if context.local.checks:
        context.local.pulled = node
    for edge, wants, type, g in zip(node.edges, wanted, node.types, node.pull(full), strict=True):
        if wants and g is not None:
            _add(pending[edge[0]], edge[1], unbroadcast(g, *type))
    return True


def _as_output(g: Tensor | None, node: Node, index: int) -> Tensor | None:
    """Return a gradient in the dtype of the tensor it belongs to: that of a narrow operand came wide."""
    dtype = node.outputs[index][1]
    return g if g is None or g._value.dtype == dtype else unbroadcast(g, g.shape, dtype)


def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    return zeros(shape, dtype=dtype_of(dtype))


def _add(slots: list[Tensor | None], index: int, g: Tensor) -> None:
    before = slots[index]
    slots[index] = g if before is None else before + g


def _store_retained(node: Node, arrived: list[Tensor | None], create: bool) -> None:
    for index, reference in (node.retained or {}).items():
        owner = reference()
        g = arrived[index]
        if owner is not None and g is not None:
            accumulate(owner, g if create else unrecorded(g))


def unbroadcast(g: Tensor, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """Return `g` summed over the axes along which an input of `shape` was broadcast, in the input's dtype."""
    if g.shape != shape:
        lead = len(g.shape) - len(shape)
        axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1)
        if axes:
            g = bind(PRIMITIVES["sum"], g, axis=axes, keepdims=False)
        if g.shape != shape:
            g = bind(PRIMITIVES["reshape"], g, shape=shape)
    if g._value.dtype != dtype:
        if g._value.dtype.kind == "c" and dtype.kind != "c":
            g = bind(PRIMITIVES["real"], g)  # of an input that was converted to complex
        g = bind(PRIMITIVES["astype"], g, dtype=dtype_of(dtype))
    return g

"""`cr.cond`: one of two branches, chosen by a value.

Eagerly it is Python's `if`. While tracing, both branches become graphs, and the primitive runs one of them. Its
derivatives are conditions too, on the branches' own. Where the condition differs by sample, in `vmap`, both branches
run on the whole batch and each sample takes its part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.batching import RULES
from chainrule.compiler.control.body import (
    Body,
    Nested,
    aligned,
    as_recorded,
    batched,
    call,
    derived,
    pushed,
    run_graph,
)
from chainrule.compiler.control.samples import branches
from chainrule.compiler.control.state import Observed, State, assigned, branch_grads, leave, put_grads
from chainrule.compiler.control.trees import Leaves, check_types, one_bool
from chainrule.compiler.control.vmapped import differs_by_sample, refuse_draws
from chainrule.core.bind import bind
from chainrule.core.context import local
from chainrule.core.errors import DTypeError, ShapeError, TraceError, user_location
from chainrule.core.graph import Graph
from chainrule.core.primitive import PRIMITIVES, Invalid, Primitive, TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops.creation import zeros_like
from chainrule.ops.selection import where
from chainrule.ops.shape import reshape

__all__ = ["cond"]


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """Return `true_fn(*operands)` where a condition holds, else `false_fn(*operands)`; only one of them runs.

    Both may read and assign tensors from outside. Inside `cr.jit` both are traced, so they must return the same
    containers, shapes and dtypes.

    Args:
        pred: one bool: a tensor of shape (), or a Python bool, which is decided while tracing.
        true_fn: function of the operands.
        false_fn: function of the operands.
        operands: what both get; they may as well use names from outside.

    Returns:
        What the branch returned: tensors, or nested containers of them.

    Raises:
        TraceError: `pred` is no single bool; traced branches return different containers.
        ShapeError, DTypeError: traced branches return different shapes or dtypes.

    Example:
        >>> import chainrule as cr
        >>> @cr.jit
        ... def f(x):
        ...     return cr.cond(x.sum() > 0, lambda x: x * 2, lambda x: -x, x)
        >>> f(cr.asarray([1.0, -3.0]))
        tensor([-1.,  3.], shape=(2,), dtype=float32)
    """
    if isinstance(pred, bool | np.bool):
        return (true_fn if pred else false_fn)(*operands)
    chosen = one_bool(
        "cr.cond: pred must be one bool", pred, "compare and reduce it with cr.any or cr.all, or choose by cr.where"
    )
    if local.interpreter is None and not differs_by_sample(chosen):
        return (true_fn if chosen else false_fn)(*operands)
    return _traced(chosen, [lambda: true_fn(*operands), lambda: false_fn(*operands)])


def _traced(pred: Tensor, functions: Sequence[Callable[[], Any]]) -> Any:
    runs = [
        Observed(f"{name} of cr.cond", function)
        for name, function in zip(("true_fn", "false_fn"), functions, strict=True)
    ]
    results = [Leaves.of(run.structure, run.leaves) for run in runs]
    _check_results(*results)
    states = [*assigned(runs), *branch_grads(runs)]
    bodies = [_branch(run, states) for run in runs]
    for body in bodies:
        refuse_draws("cr.cond", body)
    if_true, if_false = aligned(bodies)
    operands = [*(state.before for state in states), *if_true.captured]
    outputs = as_recorded(bind_cond(pred, operands, if_true, if_false), if_true.results, if_false.results)
    leave(states, outputs[: len(states)])
    put_grads(runs)
    return results[0].filled(outputs[len(states) :])


def _branch(run: Observed, states: Sequence[State]) -> Body:
    inputs = [run.symbol(state) for state in states]
    return run.body(inputs, [*(run.final(state) for state in states), *run.tensors])


def _check_results(one: Leaves, other: Leaves) -> None:
    rule = "cr.cond: both branches must return the same"
    if not one.same_containers(other):
        raise TraceError(
            f"{rule} containers; true_fn returned {one.words()} and false_fn {other.words()}.",
            location=user_location(),
        )
    check_types(
        f"{rule} shapes and dtypes",
        "is",
        "in true_fn, and in false_fn it is",
        one,
        other,
        "the result",
        "convert one of them",
    )


# ---------------------------------------------------------------------------------------------------- the primitive
def _reference(*inputs: np.ndarray, if_true: Graph, if_false: Graph) -> list[np.ndarray]:
    pred, *operands = inputs
    return run_graph(if_true if pred else if_false, operands)


def _shape(*types: TensorType, if_true: Graph, if_false: Graph) -> list[TensorType]:
    pred, *operands = types
    if pred.shape != () or pred.dtype.name != "bool":
        raise DTypeError(f"cond needs one bool to choose by; got {pred}.")
    for graph in (if_true, if_false):
        check_operands("cond", graph, operands)
    made = [[v.type for v in graph.outputs] for graph in (if_true, if_false)]
    if made[0] != made[1]:
        listed = " and ".join(f"({', '.join(map(str, types))})" for types in made)
        raise ShapeError(f"cond: the branches give {listed}; they must be equal.")
    return made[0]


def check_operands(name: str, graph: Graph, types: Sequence[TensorType]) -> None:
    """Require the types of a graph's inputs.

    Raises:
        ShapeError, DTypeError: names the input and both types.
    """
    wanted = [v.type for v in graph.inputs]
    if len(wanted) != len(types):
        raise ShapeError(f"{name}: the graph {graph.name} takes {len(wanted)} inputs; got {len(types)}.")
    for position, (want, type) in enumerate(zip(wanted, types, strict=True)):
        if want != type:
            kind = DTypeError if want.dtype is not type.dtype else ShapeError
            raise kind(f"{name}: the graph {graph.name} takes {want} as input {position}; got {type}.")


def _flops(*types: TensorType, if_true: Graph, if_false: Graph) -> int:
    return max(if_true.flops, if_false.flops)


def _vjp(g: Sequence[Tensor], inputs: list[Tensor], *, if_true: Body, if_false: Body) -> list[Tensor | None]:
    pred, *operands = inputs
    backward, positions, seeds = _backward(if_true, if_false)
    gradients: list[Tensor | None] = [None] * len(inputs)
    upstream = [g[i] for i in seeds]
    found = bind_cond(pred, [*operands, *upstream, *backward[0].captured], *backward)
    for position, gradient in zip(positions, found, strict=True):
        gradients[1 + position] = gradient
    return gradients


def _backward(if_true: Body, if_false: Body) -> tuple[list[Body], list[int], list[int]]:
    """Return the branches of the gradient, the operands that it is for, and the outputs that it takes one of."""
    if ("backward", if_false) not in if_true.made:
        pulled = [body.pulled() for body in (if_true, if_false)]
        positions = sorted({*pulled[0][1], *pulled[1][1]})
        count = len(if_true.inputs)

        def gradient(body: Body, moving: tuple[int, ...]) -> Callable[..., list[Tensor]]:
            def function(*tensors: Tensor) -> list[Tensor]:
                found = dict(zip(moving, call(body, *tensors, *body.captured), strict=True))
                return [found[i] if i in found else zeros_like(tensors[i]) for i in positions]

            return function

        seeds = [i for i, v in enumerate(if_true.outputs) if v.type.dtype.is_inexact]
        types = [v.type for v in pulled[0][0].inputs[: count + len(seeds)]]
        bodies = [derived(body.name, gradient(body, moving), types) for body, moving in pulled]
        if_true.made["backward", if_false] = aligned(bodies), positions, seeds
    return if_true.made["backward", if_false]


def _jvp(tangents: Sequence[Any], inputs: list[Tensor], *, if_true: Body, if_false: Body) -> list[Tensor | None]:
    moving = [i for i, x in enumerate(inputs) if i and x.dtype.is_inexact]
    given = [tangents[i] if tangents[i] is not None else zeros_like(inputs[i]) for i in moving]
    bodies = aligned([pushed(if_true), pushed(if_false)])
    outputs = bind_cond(inputs[0], [*inputs[1:], *given, *bodies[0].captured], *bodies)
    count = len(if_true.outputs)
    moved = iter(outputs[count:])
    return [next(moved) if out.dtype.is_inexact else None for out in outputs[:count]]


cond_p: Primitive = PRIMITIVES.setdefault(
    "cond",
    Nested(
        "cond",
        _reference,
        _shape,
        multiple=True,
        vjp=_vjp,
        jvp=_jvp,
        flops=_flops,
        samples=branches(),
        invalid=[
            Invalid(
                (np.asarray([True]), np.ones(2)),
                "cond needs one bool to choose by; got bool[1].",
                branches()[0].attributes,
            ),
        ],
    ),
)


def bind_cond(pred: Tensor, operands: Sequence[Tensor], if_true: Body, if_false: Body) -> tuple[Tensor, ...]:
    """Apply the primitive."""
    return bind(cond_p, pred, *operands, if_true=if_true, if_false=if_false)


def _batched(
    primitive: Primitive, inputs: Sequence[Tensor], flags: Sequence[bool], attributes: dict[str, Any], size: int
) -> Sequence[Tensor]:
    (pred, *operands), (several, *rest) = inputs, flags
    graphs = [attributes["if_true"], attributes["if_false"]]
    if any(rest):
        graphs = aligned([batched(graph, rest, size) for graph in graphs])
        operands = [*operands, *graphs[0].captured]
    if not several:
        return bind_cond(pred, operands, *graphs)
    both = [call(graph, *operands) for graph in graphs]
    ndims = [v.type.ndim for v in attributes["if_true"].outputs]
    return [where(reshape(pred, (size, *(1,) * ndim)), a, b) for a, b, ndim in zip(*both, ndims, strict=True)]


RULES["cond"] = _batched

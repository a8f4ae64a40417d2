"""The primitive under `cr.while_loop`: a loop that goes on while a condition on its carry holds.

    while condition(c): c = body(c)

Forward mode is a loop with tangents in the carry. Reverse mode needs a bound on the number of steps: the loop becomes a
scan over that many steps, each of which does nothing once the condition fails (a `cond`, so nothing is computed for
these, and no NaN of a step that was not taken reaches a gradient). Where the condition differs by sample, in `vmap`,
the loop runs until it holds for no sample, and samples that have ended keep their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.batching import RULES
from chainrule.autodiff.transforms import vjp
from chainrule.compiler.control.body import Body, Nested, aligned, batched, call, derived, pushed, run_graph
from chainrule.compiler.control.cond import bind_cond, check_operands
from chainrule.compiler.control.samples import whiles
from chainrule.compiler.control.scan import bind_scan
from chainrule.compiler.control.tracer import moves
from chainrule.core.bind import bind
from chainrule.core.context import local
from chainrule.core.errors import DTypeError, GradientError, ShapeError, user_location
from chainrule.core.graph import Graph
from chainrule.core.primitive import PRIMITIVES, Invalid, Primitive, TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops.creation import zeros_like
from chainrule.ops.reduce import any as any_of
from chainrule.ops.selection import where
from chainrule.ops.shape import broadcast_to, reshape

__all__ = ["bind_while", "while_p"]


def _reference(
    *inputs: np.ndarray, condition: Graph, body: Graph, carries: int, max_steps: int | None
) -> list[np.ndarray]:
    carry, consts, steps = list(inputs[:carries]), inputs[carries:], 0
    while (max_steps is None or steps < max_steps) and run_graph(condition, [*carry, *consts])[0]:
        carry = run_graph(body, [*carry, *consts])
        steps += 1
    return carry


def _shape(*types: TensorType, condition: Graph, body: Graph, carries: int, max_steps: int | None) -> list[TensorType]:
    check_operands("while_loop", condition, types)
    check_operands("while_loop", body, types)
    found = [v.type for v in condition.outputs]
    if len(found) != 1 or found[0].shape != () or found[0].dtype.name != "bool":
        listed = ", ".join(map(str, found)) or "nothing"
        raise DTypeError(f"while_loop: the condition must give one bool; it gives {listed}.")
    made = [v.type for v in body.outputs]
    if made != list(types[:carries]):
        before, after = (f"({', '.join(map(str, part))})" for part in (types[:carries], made))
        raise ShapeError(f"while_loop: the body takes {before} and returns {after}; they must be equal.")
    return made


def _flops(*types: TensorType, condition: Graph, body: Graph, carries: int, max_steps: int | None) -> int:
    return condition.flops + body.flops  # of one step: how many there are, only the data say


# ---------------------------------------------------------------------------------------------------- derivatives
def _vjp(
    g: Sequence[Tensor], inputs: list[Tensor], *, condition: Body, body: Body, carries: int, max_steps: int | None
) -> list[Tensor | None]:
    if max_steps is None:
        raise GradientError(
            "cr.while_loop: backward through a traced loop needs a bound on its steps; write "
            "cr.while_loop(cond_fn, body_fn, init, max_steps=...), or use cr.scan.",
            location=user_location(),
        )
    moving = [i for i, x in enumerate(inputs) if x.dtype.is_inexact]
    exact = [i for i in range(carries) if inputs[i].dtype.is_inexact]

    def loop(*xs: Tensor) -> tuple[Tensor, ...]:
        full = list(inputs)
        for i, x in zip(moving, xs, strict=True):
            full[i] = x
        found = _bounded(full, condition, body, carries, max_steps)
        return tuple(found[i] for i in exact)

    _, pull = vjp(loop, *(inputs[i] for i in moving))
    gradients: list[Tensor | None] = [None] * len(inputs)
    for position, found in zip(moving, pull(tuple(g[i] for i in exact)), strict=True):
        gradients[position] = found
    return gradients


def _bounded(
    operands: Sequence[Tensor], condition: Body, body: Body, carries: int, max_steps: int
) -> tuple[Tensor, ...]:
    """Run the loop as a scan over as many steps as there may be."""
    if ("bounded", condition) not in body.made:
        types = [v.type for v in body.inputs]
        stay = derived("stay", lambda *xs: list(xs[:carries]), types)

        def step(*xs: Tensor) -> tuple[Tensor, ...]:
            (goes_on,) = call(condition, *xs)
            return bind_cond(goes_on, xs, body, stay)

        body.made["bounded", condition] = derived(f"bounded {body.name}", step, types)
    made = body.made["bounded", condition]
    return bind_scan([*operands, *made.captured], body=made, carries=carries, xs=0, length=max_steps, reverse=False)


def _jvp(
    tangents: Sequence[Any], inputs: list[Tensor], *, condition: Body, body: Body, carries: int, max_steps: int | None
) -> list[Tensor | None]:
    test, step, order = _with_tangents(condition, body, carries)
    given = {("value", i): x for i, x in enumerate(inputs)}
    for i, (x, t) in enumerate(zip(inputs, tangents, strict=True)):
        given["tangent", i] = t if t is not None or not x.dtype.is_inexact else zeros_like(x)
    exact = [x.dtype.is_inexact for x in inputs[:carries]]
    found = bind_while([*(given[key] for key in order), *step.captured], test, step, carries + sum(exact), max_steps)
    moved = iter(found[carries:])
    return [next(moved) if inexact else None for inexact in exact]


def _with_tangents(condition: Body, body: Body, carries: int) -> tuple[Body, Body, list[tuple[str, int]]]:
    """Return the condition and a step with tangents, and what their inputs are."""
    if ("forward", condition) not in body.made:
        types = [v.type for v in body.inputs]
        exact = [i for i, type in enumerate(types) if type.dtype.is_inexact]
        order = [("value", i) for i in range(carries)] + [("tangent", i) for i in exact if i < carries]
        order += [("value", i) for i in range(carries, len(types))] + [("tangent", i) for i in exact if i >= carries]
        with_tangents = pushed(body)

        def step(*xs: Tensor) -> tuple[Tensor, ...]:
            given = dict(zip(order, xs, strict=True))
            values = [given["value", i] for i in range(len(types))]
            return call(with_tangents, *values, *(given["tangent", i] for i in exact), *with_tangents.captured)

        def test(*xs: Tensor) -> tuple[Tensor, ...]:
            given = dict(zip(order, xs, strict=True))
            return call(condition, *(given["value", i] for i in range(len(types))))

        kinds = [types[i] for _, i in order]
        bodies = aligned([derived(condition.name, test, kinds), derived(with_tangents.name, step, kinds)])
        body.made["forward", condition] = *bodies, order
    return body.made["forward", condition]


# ---------------------------------------------------------------------------------------------------- the primitive
_SAMPLES = whiles()

while_p: Primitive = PRIMITIVES.setdefault(
    "while_loop",
    Nested(
        "while_loop",
        _reference,
        _shape,
        multiple=True,
        vjp=_vjp,
        jvp=_jvp,
        flops=_flops,
        samples=_SAMPLES,
        invalid=[
            Invalid(
                (np.asarray(0), np.ones(3), np.ones(2)),
                "while_loop: the graph below takes f64[2] as input 1; got f64[3].",
                _SAMPLES[0].attributes,
            ),
            Invalid(
                (np.asarray(0), np.ones(2), np.ones(2)),
                "while_loop: the condition must give one bool; it gives i64[], f64[2].",
                {**_SAMPLES[0].attributes, "condition": _SAMPLES[0].attributes["body"]},
            ),
            Invalid(
                (np.asarray(0), np.ones(2), np.ones(2)),
                "while_loop: the body takes (i64[], f64[2], f64[2]) and returns (i64[], f64[2]); they must be equal.",
                {**_SAMPLES[0].attributes, "carries": 3},
            ),
        ],
    ),
)


def bind_while(
    operands: Sequence[Tensor], condition: Body, body: Body, carries: int, max_steps: int | None
) -> tuple[Tensor, ...]:
    """Apply the primitive; where a gradient is wanted and the steps are bounded, run the bounded loop.

    Args:
        operands: the carry, then what condition and body read from outside.
        condition: of the operands; gives one bool.
        body: of the operands; gives the next carry.
        carries: number of tensors in the carry.
        max_steps: the loop ends after so many steps at the latest; None for no bound.
    """
    if max_steps is not None and local.grad and any(moves(x) for x in operands):
        return _bounded(operands, condition, body, carries, max_steps)
    return bind(while_p, *operands, condition=condition, body=body, carries=carries, max_steps=max_steps)


def _batched(
    primitive: Primitive, inputs: Sequence[Tensor], flags: Sequence[bool], attributes: dict[str, Any], size: int
) -> Sequence[Tensor]:
    condition, body, carries = attributes["condition"], attributes["body"], attributes["carries"]
    given = [
        broadcast_to(x, (size, *x.shape)) if i < carries and not has else x
        for i, (x, has) in enumerate(zip(inputs, flags, strict=True))
    ]
    wide = [*(True for _ in range(carries)), *flags[carries:]]
    test, step = _masked(batched(condition, wide, size), batched(body, wide, size), carries)
    return bind_while([*given, *step.captured], test, step, carries, attributes["max_steps"])


def _masked(condition: Body, body: Body, carries: int) -> tuple[Body, Body]:
    """Return a condition that holds while one sample goes on, and a step that leaves the others alone."""
    if ("masked", condition) not in body.made:
        types = [v.type for v in body.inputs]

        def step(*xs: Tensor) -> list[Tensor]:
            (goes_on,) = call(condition, *xs)
            return [
                where(reshape(goes_on, (*goes_on.shape, *(1,) * (before.ndim - 1))), after, before)
                for before, after in zip(xs[:carries], call(body, *xs), strict=True)
            ]

        bodies = aligned([
            derived(f"any {condition.name}", lambda *xs: [any_of(call(condition, *xs)[0])], types),
            derived(f"masked {body.name}", step, types),
        ])  # fmt: skip
        body.made["masked", condition] = tuple(bodies)
    return body.made["masked", condition]


RULES["while_loop"] = _batched

"""`cr.scan`: a loop of known length that hands a carry from step to step and stacks what the steps return.

    c[0] = init,   c[t+1], y[t] = f(c[t], x[t])

Eagerly it is a Python loop. While tracing, the body becomes one graph, whatever the length. Forward mode is a scan with
tangents in the carry. Reverse mode is a scan the other way round: the forward scan saves the carry before each step,
and each step of the reverse scan computes its step again from there. That costs one more forward pass and holds one
carry per step, and nothing else that a step made; what a body reads from outside gets the sum of its steps' gradients.

Source: Griewank and Walther, Evaluating Derivatives, 2008, chapter 12; the interface is that of JAX's `lax.scan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.batching import RULES
from chainrule.compiler.control.body import Body, Nested, batched, call, derived, pushed, run_graph
from chainrule.compiler.control.cond import check_operands
from chainrule.compiler.control.samples import steps
from chainrule.compiler.control.tracer import moves
from chainrule.core.bind import bind
from chainrule.core.context import local
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.graph import Graph
from chainrule.core.primitive import PRIMITIVES, Invalid, Primitive, TensorType
from chainrule.core.tensor import Tensor, connected
from chainrule.ops.creation import zeros_like
from chainrule.ops.shape import broadcast_to, moveaxis

__all__ = ["bind_scan", "scan_p"]


def _reference(*inputs: np.ndarray, body: Graph, carries: int, xs: int, length: int, reverse: bool) -> list[np.ndarray]:
    carry, given, consts = list(inputs[:carries]), inputs[carries : carries + xs], inputs[carries + xs :]
    ys = [np.empty((length, *v.shape), v.dtype) for v in body.outputs[carries:]]
    for t in range(length - 1, -1, -1) if reverse else range(length):
        made = run_graph(body, [*carry, *(x[t] for x in given), *consts])
        carry = made[:carries]
        for y, value in zip(ys, made[carries:], strict=True):
            y[t] = value
    return [*carry, *ys]


def _shape(*types: TensorType, body: Graph, carries: int, xs: int, length: int, reverse: bool) -> list[TensorType]:
    rows = []
    for position, type in enumerate(types[carries : carries + xs], start=carries):
        if not type.shape or type.shape[0] != length:
            raise ShapeError(f"scan: input {position} is {type}; its first axis must be the length, {length}.")
        rows.append(TensorType(type.shape[1:], type.dtype))
    check_operands("scan", body, [*types[:carries], *rows, *types[carries + xs :]])
    made = [v.type for v in body.outputs]
    for position, (before, after) in enumerate(zip(types, made[:carries], strict=False)):
        if before != after:
            kind = ShapeError if before.shape != after.shape else DTypeError
            raise kind(f"scan: the body takes {before} as carry {position} and returns {after}; they must be equal.")
    return [*made[:carries], *(TensorType((length, *type.shape), type.dtype) for type in made[carries:])]


def _flops(*types: TensorType, body: Graph, carries: int, xs: int, length: int, reverse: bool) -> int:
    return length * body.flops


# ---------------------------------------------------------------------------------------------------- derivatives
def _saving(body: Body, carries: int) -> Body:
    """Return the body that also returns the carry it was given."""
    if "saving" not in body.made:
        given = body.inputs[:carries]
        kept = [connected(v, *(edge or (None, 0))) for v, edge in zip(given, body.edges, strict=False)]
        body.made["saving"] = Body(
            *(body.name, body.inputs, body.equations, (*body.outputs, *given), ()),
            *(body.tracer, body.edges, (*body.results, *kept), body.captured),
        )
    return body.made["saving"]


def _saves(body: Body, carries: int) -> bool:
    """Return whether the last outputs of the body are the carry it was given."""
    return len(body.outputs) >= 2 * carries and body.outputs[len(body.outputs) - carries :] == body.inputs[:carries]


class _Reverse:
    """One step of the reverse scan.

    Carried are the gradients of the inexact carries and the sums of gradients of what the body reads from outside.

    Args:
        body: one step forward, which saves its carry.
        carries: number of carries.
        xs: number of inputs that are taken row by row.
    """

    def __init__(self, body: Body, carries: int, xs: int):
        self.pulled, self.moving = body.pulled()
        types = [v.type for v in body.inputs]
        outputs = [v.type for v in body.outputs]
        self.carry = [i for i in range(carries) if types[i].dtype.is_inexact]
        self.rows = [i for i in self.moving if carries <= i < carries + xs]
        self.consts = [i for i in self.moving if i >= carries + xs]
        self.upstream = [i for i, type in enumerate(outputs) if i >= carries and type.dtype.is_inexact]
        self.carries, self.xs, self.inputs = carries, xs, len(types)
        stepwise = [*(types[i] for i in self.carry), *(types[i] for i in self.consts), *types[: carries + xs]]
        kinds = [*stepwise, *(outputs[i] for i in self.upstream), *types[carries + xs :]]
        self.body = derived(f"reverse of {body.name}", self._step, kinds)

    def _step(self, *tensors: Tensor) -> list[Tensor]:
        parts = iter(tensors)

        def take(count: int) -> list[Tensor]:
            return [next(parts) for _ in range(count)]

        gradients, sums = take(len(self.carry)), take(len(self.consts))
        given, upstream = take(self.carries + self.xs), take(len(self.upstream))
        inputs = [*given, *parts]
        found = call(self.pulled, *inputs, *gradients, *upstream, *self.pulled.captured)
        by_input = dict(zip(self.moving, found, strict=True))
        return [
            *(by_input[i] if i in by_input else zeros_like(inputs[i]) for i in self.carry),
            *(total + by_input[i] for total, i in zip(sums, self.consts, strict=True)),
            *(by_input[i] for i in self.rows),
        ]


def _vjp(
    g: Sequence[Tensor], inputs: list[Tensor], outputs: list[Tensor], *, body: Body, carries: int, xs: int,
    length: int, reverse: bool,
) -> list[Tensor | None]:  # fmt: skip
    attributes = {"carries": carries, "xs": xs, "length": length, "reverse": reverse}
    if not _saves(body, carries):
        body = _saving(body, carries)
        outputs = list(bind(scan_p, *inputs, body=body, **attributes))
        g = [*g, *(zeros_like(out) for out in outputs[len(g) :])]
    if "reverse" not in body.made:
        body.made["reverse"] = _Reverse(body, carries, xs)
    step: _Reverse = body.made["reverse"]
    saved = outputs[len(outputs) - carries :] if carries else []
    carry = [*(g[i] for i in step.carry), *(zeros_like(inputs[i]) for i in step.consts)]
    rows = [*saved, *inputs[carries : carries + xs], *(g[i] for i in step.upstream)]
    found = bind_scan(
        [*carry, *rows, *inputs[carries + xs :], *step.body.captured],
        body=step.body,
        carries=len(carry),
        xs=len(rows),
        length=length,
        reverse=not reverse,
    )
    gradients: list[Tensor | None] = [None] * len(inputs)
    for position, gradient in zip([*step.carry, *step.consts, *step.rows], found, strict=True):
        gradients[position] = gradient
    return gradients


def _jvp(
    tangents: Sequence[Any], inputs: list[Tensor], *, body: Body, carries: int, xs: int, length: int, reverse: bool
) -> list[Tensor | None]:
    step = _forward(body, carries, xs)
    groups = [inputs[:carries], inputs[carries : carries + xs], inputs[carries + xs :]]
    given, start = [], 0
    for group in groups:
        moved = [
            zeros_like(x) if t is None else t
            for x, t in zip(group, tangents[start : start + len(group)], strict=True)
            if x.dtype.is_inexact
        ]
        given.append([*group, *moved])
        start += len(group)
    found = bind_scan(
        [*given[0], *given[1], *given[2], *step.captured],
        body=step,
        carries=len(given[0]),
        xs=len(given[1]),
        length=length,
        reverse=reverse,
    )
    exact = [v.type.dtype.is_inexact for v in body.outputs]
    tangent = iter([*found[carries : len(given[0])], *found[len(given[0]) + len(exact) - carries :]])
    return [next(tangent) if inexact else None for inexact in exact]


def _forward(body: Body, carries: int, xs: int) -> Body:
    """Return a step with tangents: those of the carry beside the carry, those of a row beside the row."""
    if "forward" not in body.made:
        types = [v.type for v in body.inputs]
        groups = [range(carries), range(carries, carries + xs), range(carries + xs, len(types))]
        order: list[tuple[str, int]] = []
        for group in groups:
            order += [("value", i) for i in group]
            order += [("tangent", i) for i in group if types[i].dtype.is_inexact]
        body_pushed = pushed(body)
        inexact = [i for i, v in enumerate(body.outputs) if v.type.dtype.is_inexact]

        def function(*tensors: Tensor) -> list[Tensor]:
            given = dict(zip(order, tensors, strict=True))
            values = [given["value", i] for i in range(len(types))]
            moved = [given["tangent", i] for i, type in enumerate(types) if type.dtype.is_inexact]
            found = call(body_pushed, *values, *moved, *body_pushed.captured)
            outputs = found[: len(body.outputs)]
            tangents = dict(zip(inexact, found[len(body.outputs) :], strict=True))
            return [
                *outputs[:carries],
                *(t for i, t in tangents.items() if i < carries),
                *outputs[carries:],
                *(t for i, t in tangents.items() if i >= carries),
            ]

        body.made["forward"] = derived(body_pushed.name, function, [types[i] for _, i in order])
    return body.made["forward"]


# ---------------------------------------------------------------------------------------------------- the primitive
_SAMPLES = steps()

scan_p: Primitive = PRIMITIVES.setdefault(
    "scan",
    Nested(
        "scan",
        _reference,
        _shape,
        multiple=True,
        vjp=_vjp,
        jvp=_jvp,
        flops=_flops,
        samples=_SAMPLES,
        invalid=[
            Invalid(
                (np.ones(2), np.ones((4, 2)), np.ones(2)),
                "scan: input 1 is f64[4,2]; its first axis must be the length, 3.",
                _SAMPLES[0].attributes,
            ),
            Invalid(
                (np.ones(2), np.ones((3, 2)), np.ones(5)),
                "scan: the graph step takes f64[2] as input 2; got f64[5].",
                _SAMPLES[0].attributes,
            ),
            Invalid(
                (np.ones(2), np.ones((3, 2)), np.arange(2)),
                "scan: the graph step takes f64[2] as input 2; got i64[2].",
                _SAMPLES[0].attributes,
            ),
        ],
    ),
)


def bind_scan(
    operands: Sequence[Tensor], *, body: Body, carries: int, xs: int, length: int, reverse: bool
) -> tuple[Tensor, ...]:
    """Apply the primitive; where a gradient may be wanted, it also saves the carry before each step.

    Args:
        operands: the carry, then what is taken row by row, [length, ...], then what the body reads from outside.
        body: one step: carry, rows and what it reads -> carry, and one row of each further output.
        carries: number of tensors in the carry.
        xs: number of tensors that are taken row by row.
        length: number of steps.
        reverse: whether the last row comes first.
    """
    count = len(body.outputs)
    if local.grad and carries and any(moves(x) for x in operands) and not _saves(body, carries):
        body = _saving(body, carries)
    return bind(scan_p, *operands, body=body, carries=carries, xs=xs, length=length, reverse=reverse)[:count]


def _batched(
    primitive: Primitive, inputs: Sequence[Tensor], flags: Sequence[bool], attributes: dict[str, Any], size: int
) -> Sequence[Tensor]:
    """A step works on the whole batch; every carry has a batch axis, for what is read may differ by sample."""
    carries, xs = attributes["carries"], attributes["xs"]
    wide = [*(True for _ in range(carries)), *flags[carries:]]
    given = []
    for position, (x, has) in enumerate(zip(inputs, flags, strict=True)):
        if position < carries and not has:
            x = broadcast_to(x, (size, *x.shape))
        elif carries <= position < carries + xs and has:
            x = moveaxis(x, 0, 1)
        given.append(x)
    body = batched(attributes["body"], wide, size)
    found = bind_scan([*given, *body.captured], **{**attributes, "body": body})
    return [*found[:carries], *(moveaxis(y, 0, 1) for y in found[carries:])]


RULES["scan"] = _batched

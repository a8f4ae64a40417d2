"""Forward mode, one primitive at a time: the tangent of its output from the tangents of its inputs.

A primitive states its forward rule in one of three forms, and this file evaluates all of them with ordinary tensor
operations, so that tangents can be recorded, traced and differentiated again:

- `derivative`: each tangent times its local derivative, added up;
- `linear`: the primitive applied to the tangents; for "each" (linear in each input separately, like a matrix product)
  once per input, added up;
- `jvp`: written out.

Source: Griewank and Walther, Evaluating Derivatives, 2008, chapter 3.
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Sequence
from typing import Any

from chainrule.core.bind import bind
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import GradientError, ShapeError
from chainrule.core.primitive import PRIMITIVES, Primitive, Rule
from chainrule.core.tensor import Tensor

__all__ = ["primitive_jvp"]


def primitive_jvp(
    primitive: Primitive,
    inputs: Sequence[Tensor],
    tangents: Sequence[Tensor | None],
    attributes: dict[str, Any] | None = None,
) -> tuple[Any, Any]:
    """Apply a primitive to inputs and their tangents: the directional derivative of one operation.

        y = f(x),   dy = f'(x) dx

    Args:
        primitive: what to do.
        inputs: its tensor inputs.
        tangents: one per input, of its shape and dtype, or None where the input does not move.
        attributes: its attributes; default none.

    Returns:
        (output, tangent): the tangent has the shape and dtype of the output, or is None where the output does not move;
        for a primitive with several outputs both are tuples.

    Raises:
        GradientError: the primitive has no forward rule for an input that moves.
        ShapeError: a tangent does not have the shape of its input.

    Example:
        >>> import chainrule as cr
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> primitive_jvp(PRIMITIVES["exp"], [cr.zeros(2)], [cr.asarray([1.0, 2.0])])
        (tensor([1., 1.], shape=(2,), dtype=float32), tensor([1., 2.], shape=(2,), dtype=float32))
    """
    attributes = attributes or {}
    for position, (x, t) in enumerate(zip(inputs, tangents, strict=True)):
        if t is not None and t.shape != x.shape:
            raise ShapeError(
                f"primitive_jvp: input {position} of {primitive.name} has the shape {x.shape} and its tangent "
                f"{t.shape}; they must be equal."
            )
    output = bind(primitive, *inputs, **attributes)
    outputs = output if primitive.multiple else (output,)
    moving = [t if _moves(primitive, i) else None for i, t in enumerate(tangents)]
    if not primitive.rules or all(t is None for t in moving):
        return output, (None,) * len(outputs) if primitive.multiple else None
    found = _tangent(primitive, inputs, moving, outputs, attributes)
    found = tuple(found) if primitive.multiple else (found,)
    found = tuple(None if t is None else as_wide_as(t, out) for t, out in zip(found, outputs, strict=True))
    return output, found if primitive.multiple else found[0]


def _moves(primitive: Primitive, position: int) -> bool:
    """Return whether a gradient flows through an input: its rule is not None."""
    return bool(primitive.rules) and (primitive.variadic or primitive.rules[position] is not None)


def _tangent(primitive: Primitive, inputs: Sequence[Tensor], tangents: list, outputs: tuple, attributes: dict) -> Any:
    if primitive.pushforward is not None:
        return _apply(primitive, primitive.pushforward, (tuple(tangents),), inputs, outputs, attributes)
    if primitive.derivatives:
        terms = [
            t * _apply(primitive, rule, (), inputs, outputs, attributes)
            for rule, t in zip(primitive.derivatives, tangents, strict=True)
            if t is not None
        ]
        return functools.reduce(operator.add, terms)
    if primitive.linear == "each":
        return _each(primitive, inputs, tangents, attributes)
    joint = range(len(inputs)) if primitive.variadic and primitive.linear else primitive.linear
    for position, t in enumerate(tangents):
        if t is not None and position not in joint:
            raise GradientError(
                f"{primitive.name} has no forward rule for input {position}; "
                f"add jvp= or linear= to its block in {block(primitive)}."
            )
    mapped = [x if i not in joint else _or_zeros(x, tangents[i]) for i, x in enumerate(inputs)]
    return bind(primitive, *mapped, **attributes)


def _each(primitive: Primitive, inputs: Sequence[Tensor], tangents: list, attributes: dict) -> Any:
    """Return the sum over the inputs of the primitive with that input replaced by its tangent."""
    total: list[Any] | None = None
    for position, t in enumerate(tangents):
        if t is not None:
            term = bind(primitive, *inputs[:position], t, *inputs[position + 1 :], **attributes)
            terms = list(term) if primitive.multiple else [term]
            total = terms if total is None else [a + b for a, b in zip(total, terms, strict=True)]
    return total if primitive.multiple else total[0]


def _apply(
    primitive: Primitive, rule: Rule, first: tuple, inputs: Sequence[Tensor], outputs: tuple, attributes: dict
) -> Any:
    """Call a rule with what its parameters name: inputs, the output, shapes, dtypes."""
    kept = [
        _named(primitive, name, inputs) if output is None else outputs[output]
        for name, output in zip(rule.keeps, rule.outputs, strict=True)
    ]
    return rule.function(*first, *kept, **{name: attributes[name] for name in rule.attributes if name in attributes})


def _named(primitive: Primitive, name: str, inputs: Sequence[Tensor]) -> Any:
    if primitive.variadic:
        if name.endswith("_shape"):
            return [x.shape for x in inputs]
        return [x.dtype for x in inputs] if name.endswith("_dtype") else list(inputs)
    x = inputs[primitive.inputs.index(name.removesuffix("_shape").removesuffix("_dtype"))]
    if name.endswith("_shape"):
        return x.shape
    return x.dtype if name.endswith("_dtype") else x


def _or_zeros(x: Tensor, tangent: Tensor | None) -> Tensor:
    if tangent is not None:
        return tangent
    from chainrule.ops.creation import zeros

    return zeros(x.shape, dtype=x.dtype)


def as_wide_as(tangent: Tensor, output: Tensor) -> Tensor:
    """Return the tangent broadcast to the output's shape, in its dtype."""
    if tangent.shape != output.shape:
        tangent = bind(PRIMITIVES["broadcast_to"], tangent, shape=output.shape)
    if tangent._value.dtype != output._value.dtype:
        if tangent._value.dtype.kind == "c" and output._value.dtype.kind != "c":
            tangent = bind(PRIMITIVES["real"], tangent)  # a real function of complex numbers
        tangent = bind(PRIMITIVES["astype"], tangent, dtype=dtype_of(output._value.dtype))
    return tangent


def block(primitive: Primitive) -> str:
    """Return the file in which a primitive is declared, like "ops/index.py", for messages."""
    code = getattr(primitive.reference, "__code__", None) or primitive.shape.__code__
    return os.sep.join(code.co_filename.split(os.sep)[-2:])

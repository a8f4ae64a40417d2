"""The gate: every operation on tensors passes through `bind`.

It runs the primitive eagerly, or lets the innermost interpreter (the tracer of `cr.jit`) emit it into its graph; and it
records the operation on the tape when a gradient is wanted. Nothing else knows the difference. Inside
`cr.precision("bf16")` it casts the operands of matrix products and convolutions first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy import ndarray

from chainrule.core.context import local, module_path
from chainrule.core.dtypes import float32
from chainrule.core.levels import Level
from chainrule.core.primitive import PRIMITIVES, Primitive
from chainrule.core.tape import Node
from chainrule.core.tensor import Tensor, current_value, leaked

__all__ = ["bind"]


def bind(primitive: Primitive, *inputs: Tensor, **attributes: Any) -> Any:
    """Apply a primitive to tensors.

    Args:
        primitive: what to do.
        inputs: its tensor inputs, of dtypes that its shape rule accepts.
        attributes: its attributes; hashable.

    Returns:
        A tensor, or a tuple of tensors for a primitive with several outputs.

    Raises:
        ChainruleError: shapes or dtypes do not fit, with the user's line and the module's path.

    Example:
        >>> import chainrule as cr
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> bind(PRIMITIVES["exp"], cr.zeros(2))
        tensor([1., 1.], shape=(2,), dtype=float32)
    """
    if primitive.contraction and local.precision is not None:
        inputs, attributes = _cast_operands(inputs, attributes)
    transform = local.transform
    if transform is not None:
        return _lifted(transform, primitive, inputs, attributes)
    interpreter = local.interpreter
    if interpreter is None:
        values = []
        for tensor in inputs:
            value = tensor._value
            if type(value) is not ndarray:
                raise leaked(value)
            values.append(value)
        primitive.accept(values, attributes)
        results = primitive.run(values, attributes)
    else:
        values = [interpreter.read(tensor) for tensor in inputs]
        results = interpreter.emit(primitive, values, attributes)
    return _finished(primitive, inputs, values, results, attributes)


def _cast_operands(inputs: tuple, attributes: dict) -> tuple[tuple, dict]:
    """Follow `cr.precision`: a contraction of float32 tensors takes narrower operands; its result stays float32."""
    if any(tensor._value.dtype != float32.numpy for tensor in inputs):
        return inputs, attributes
    cast, narrow = PRIMITIVES["astype"], local.precision
    return tuple([bind(cast, tensor, dtype=narrow) for tensor in inputs]), {**attributes, "dtype": float32}


def _lifted(level: Level, primitive: Primitive, inputs: tuple, attributes: dict) -> Any:
    """Apply a primitive inside a level: outside it where the level has nothing to do with it."""
    if not level.takes(primitive, inputs):
        return level.outside(bind, primitive, *inputs, **attributes)
    before, local.precision = local.precision, None  # what a rule binds carries its dtypes
    try:
        results = level.apply(primitive, inputs, attributes)
    finally:
        local.precision = before
    return _finished(primitive, inputs, [current_value(tensor) for tensor in inputs], results, attributes)


def _finished(primitive: Primitive, inputs: tuple, values: list, results: Sequence[Any], attributes: dict) -> Any:
    """Make tensors of the results, and record the operation if a gradient is wanted."""
    outputs = [Tensor(value) for value in results]
    if local.grad and primitive.rules:
        for tensor in inputs:
            if tensor._node is not None:
                _record(primitive, inputs, values, outputs, attributes)
                break
    for check in local.checks:
        check(primitive, values, results, attributes)
    return tuple(outputs) if primitive.multiple else outputs[0]


def _record(primitive: Primitive, inputs: tuple, values: list, outputs: list[Tensor], attributes: dict) -> None:
    """Put the operation on the tape."""
    rules = primitive.rules
    edges = [
        (tensor._node, tensor._index)
        if tensor._node is not None and (primitive.variadic or rules[i] is not None)
        else None
        for i, tensor in enumerate(inputs)
    ]
    if not any(edges):
        return
    types = [(value.shape, value.dtype) for value in values]
    if primitive.contraction and "dtype" in attributes:  # gradients of narrow operands come wide, and stay so
        types = [(shape, attributes["dtype"].numpy) for shape, _ in types]
    node = Node(primitive, attributes, edges, types, [(out._value.shape, out._value.dtype) for out in outputs])
    for index, out in enumerate(outputs):
        if out._value.dtype.kind not in "iub":
            out._node, out._index = node, index
    node.keep(inputs, values, outputs)
    if local.checks:
        node.place = module_path()

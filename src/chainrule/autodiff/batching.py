"""How each primitive works on data with a hidden batch axis in front.

A rule gets the data of the inputs, which of them have the batch axis, the attributes as the function without batch sees
them, and the number of samples; it returns the outputs with the batch axis in front. A primitive without a rule is
applied to sample after sample, which is right for every primitive and slow for many samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.bind import bind
from chainrule.core.dtypes import int64
from chainrule.core.primitive import PRIMITIVES, Primitive
from chainrule.core.tensor import Tensor
from chainrule.ops.creation import arange
from chainrule.ops.join import concat, stack
from chainrule.ops.shape import broadcast_to, expand_dims, matrix_transpose, permute_dims, reshape

__all__ = ["apply_batched", "has_rule"]

Tensors = Sequence[Tensor]
Flags = Sequence[bool]
RULES: dict[str, Callable[..., Sequence[Tensor]]] = {}


def has_rule(primitive: Primitive) -> bool:
    """Return whether the primitive runs on a whole batch at once, and not sample after sample."""
    return primitive.elementwise or primitive.name in RULES


def apply_batched(
    primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict[str, Any], size: int
) -> Sequence[Tensor]:
    """Apply a primitive to every sample.

    Args:
        primitive: what to do.
        inputs: tensors, [batch, ...] where `batched` says so.
        batched: per input whether it has the batch axis.
        attributes: of the primitive, for one sample.
        size: number of samples.

    Returns:
        The outputs, [batch, ...].

    Example:
        >>> import chainrule as cr
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> apply_batched(PRIMITIVES["exp"], [cr.zeros((3, 2))], [True], {}, 3)[0].shape
        (3, 2)
    """
    if primitive.elementwise:
        return _elementwise(primitive, inputs, batched, attributes, size)
    rule = RULES.get(primitive.name, _one_by_one)
    return rule(primitive, inputs, batched, attributes, size)


def _rule(*names: str) -> Callable:
    def register(function: Callable) -> Callable:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def _outputs(primitive: Primitive, inputs: Tensors, attributes: dict) -> Sequence[Tensor]:
    result = bind(primitive, *inputs, **attributes)
    return result if primitive.multiple else (result,)


def _everywhere(inputs: Tensors, batched: Flags, size: int) -> list[Tensor]:
    """Return the inputs, those without the batch axis repeated along a new one."""
    return [x if has else broadcast_to(x, (size, *x.shape)) for x, has in zip(inputs, batched, strict=True)]


def _one_by_one(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> list[Tensor]:
    rows = []
    for i in range(size):
        sample = [x[i] if has else x for x, has in zip(inputs, batched, strict=True)]
        rows.append(_outputs(primitive, sample, attributes))
    return [stack(list(column)) for column in zip(*rows, strict=True)]


def _elementwise(
    primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int
) -> Sequence[Tensor]:
    """Line the axes up from the right, the batch axis in front of all."""
    ndim = max(x.ndim - has for x, has in zip(inputs, batched, strict=True))
    lined = [
        reshape(x, (size, *(1,) * (ndim - x.ndim + 1), *x.shape[1:])) if has and x.ndim - 1 < ndim else x
        for x, has in zip(inputs, batched, strict=True)
    ]
    return _outputs(primitive, lined, attributes)


@_rule("sum", "max", "min", "any", "all", "prod", "flip")
def _axes_shift(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, inputs, {**attributes, "axis": tuple(axis + 1 for axis in attributes["axis"])})


@_rule("argmax", "argmin", "argsort", "cumulative_sum", "cumulative_prod")
def _axis_shift(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, inputs, {**attributes, "axis": attributes["axis"] + 1})


@_rule("concat")
def _concat(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, _everywhere(inputs, batched, size), {"axis": attributes["axis"] + 1})


@_rule("reshape")
def _reshape(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, inputs, {"shape": (size, *attributes["shape"])})


@_rule("broadcast_to")
def _broadcast(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    (x,), shape = inputs, attributes["shape"]
    lined = reshape(x, (size, *(1,) * (len(shape) - x.ndim + 1), *x.shape[1:]))
    return _outputs(primitive, [lined], {"shape": (size, *shape)})


@_rule("permute_dims")
def _permute(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, inputs, {"axes": (0, *(axis + 1 for axis in attributes["axes"]))})


@_rule("slice")
def _slice(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, inputs, _in_front(attributes, starts=0, limits=size, steps=1))


@_rule("update_slice")
def _update(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, _everywhere(inputs, batched, size), _in_front(attributes, starts=0, steps=1))


@_rule("pad")
def _pad(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, inputs, _in_front(attributes, low=0, high=0, interior=0))


def _in_front(attributes: dict[str, Any], **first: int) -> dict[str, Any]:
    """Return the attributes with an entry for the batch axis in front of each tuple."""
    return {name: (first[name], *value) if name in first else value for name, value in attributes.items()}


@_rule("one_hot", "check_finite", "check_labels", "check_indices")
def _unchanged(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, inputs, attributes)


@_rule("matmul")
def _matmul(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    """Stacks of matrices; many samples times one matrix are one large product."""
    x1, x2 = inputs
    if batched[0] and not batched[1] and x2.ndim == 2:
        flat = bind(primitive, reshape(x1, (math.prod(x1.shape[:-1]), x1.shape[-1])), x2)
        return (reshape(flat, (*x1.shape[:-1], x2.shape[-1])),)
    if batched[1] and not batched[0] and x1.ndim == 2 and x2.ndim == 3:
        rows, inner = x1.shape
        side = reshape(permute_dims(x2, (1, 0, 2)), (inner, size * x2.shape[-1]))
        return (permute_dims(reshape(bind(primitive, x1, side), (rows, size, x2.shape[-1])), (1, 0, 2)),)
    ndim = max(x.ndim - has for x, has in zip(inputs, batched, strict=True))
    lined = [
        reshape(x, (size, *(1,) * (ndim - x.ndim + 1), *x.shape[1:])) if has and x.ndim - 1 < ndim else x
        for x, has in zip(inputs, batched, strict=True)
    ]
    if lined[0].shape[-1] == 1:  # outer products: a multiplication, without a product per sample
        return (lined[0] * matrix_transpose(matrix_transpose(lined[1])),)
    return (bind(primitive, *lined),)


@_rule("gather")
def _gather(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    x, indices = inputs
    if not batched[0]:  # [batch, axes, ...] -> [axes, batch, ...]
        return _outputs(primitive, [x, _axes_first(indices)], attributes)
    return _outputs(primitive, [x, _with_samples(indices, batched[1], size)], _with_first_axis(attributes))


@_rule("scatter_add", "scatter_set")
def _scatter(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    x, indices, updates = inputs
    x, updates = _everywhere([x, updates], [batched[0], batched[2]], size)
    return _outputs(primitive, [x, _with_samples(indices, batched[1], size), updates], _with_first_axis(attributes))


def _axes_first(indices: Tensor) -> Tensor:
    return permute_dims(indices, (1, 0, *range(2, indices.ndim)))


def _with_samples(indices: Tensor, batched: bool, size: int) -> Tensor:
    """Return index tuples [1 + axes, batch, ...] whose first entry is the sample's number."""
    indices = _axes_first(indices) if batched else expand_dims(indices, axis=1)
    shape = (1, size, *indices.shape[2:])
    numbers = broadcast_to(reshape(arange(size, dtype=int64), (1, size, *(1,) * (indices.ndim - 2))), shape)
    return concat([numbers, broadcast_to(indices, (indices.shape[0], *shape[1:]))], axis=0)


def _with_first_axis(attributes: dict[str, Any]) -> dict[str, Any]:
    return {**attributes, "axes": (0, *(axis + 1 for axis in attributes["axes"]))}


@_rule("convolution")
def _convolution(
    primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int
) -> Sequence[Tensor]:
    """Samples of pictures are more pictures; filters that differ by sample are groups of one large convolution."""
    x, w = inputs
    if batched[1]:
        return _one_by_one(primitive, inputs, batched, attributes, size)
    (y,) = _outputs(primitive, [reshape(x, (size * x.shape[1], *x.shape[2:])), w], attributes)
    return (reshape(y, (size, x.shape[1], *y.shape[1:])),)

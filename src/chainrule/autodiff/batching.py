"""How each primitive works on data with a hidden batch axis in front.

A rule gets the data of the inputs, which of them have the batch axis, the attributes as the function without batch sees
them, and the number of samples; it returns the outputs with the batch axis in front. The rules stand here by families,
since one serves many primitives: what works on the last axes is applied as it is (`_stacked`), what names axes counts
one more, and so on. A primitive without a rule is applied to sample after sample, which is right for every primitive
and slow for many samples; `has_rule` says which. The suite of `chainrule.testing` compares every rule with that loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.bind import bind
from chainrule.core.dtypes import int64
from chainrule.core.primitive import Primitive, TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast
from chainrule.ops.creation import arange, zeros
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
    """Register a function as the rule of these primitives."""

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


def _lined(inputs: Tensors, batched: Flags, size: int) -> list[Tensor]:
    """Line the axes up from the right, the batch axis in front of all."""
    ndim = max(x.ndim - has for x, has in zip(inputs, batched, strict=True))
    return [
        reshape(x, (size, *(1,) * (ndim - x.ndim + 1), *x.shape[1:])) if has and x.ndim - 1 < ndim else x
        for x, has in zip(inputs, batched, strict=True)
    ]


def _one_by_one(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> list[Tensor]:
    if size == 0:
        types = [TensorType(x.shape[has:], x.dtype) for x, has in zip(inputs, batched, strict=True)]
        return [zeros((0, *out.shape), dtype=out.dtype) for out in primitive.infer(types, attributes)]
    rows = []
    for i in range(size):
        sample = [x[i] if has else x for x, has in zip(inputs, batched, strict=True)]
        rows.append(_outputs(primitive, sample, attributes))
    return [stack(list(column)) for column in zip(*rows, strict=True)]


def _elementwise(
    primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int
) -> Sequence[Tensor]:
    return _outputs(primitive, _lined(inputs, batched, size), attributes)


@_rule("sum", "max", "min", "any", "all", "prod", "flip", "fft")
def _axes_shift(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, inputs, {**attributes, "axis": tuple(axis + 1 for axis in attributes["axis"])})


@_rule("argmax", "argmin", "argsort", "cumulative_sum", "cumulative_prod", "cumulative_argmax", "cumulative_argmin")
@_rule("rfft", "irfft")
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


@_rule(
    *("one_hot", "check_finite", "check_labels", "check_indices", "check_probabilities"),
    *("windows", "overlap_add", "window_sum", "window_spread", "window_argmax"),
    *("cholesky", "qr", "complement", "lu_pivots", "pivot_order", "lu", "eigh", "svd", "cofactors", "det", "slogdet"),
    *("eig", "matrix_exp"),
)
def _stacked(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    """The primitive works on the last axes of one input, whatever stands before them."""
    return _outputs(primitive, inputs, attributes)


@_rule("window_pick", "window_place")
def _picked(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, _everywhere(inputs, batched, size), attributes)


@_rule("solve", "solve_triangular")
def _solve(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, _lined(inputs, batched, size), attributes)


@_rule("pinv")
def _pinv(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    """One tolerance per matrix: it lines up with the axes before the last two."""
    x, rtol = inputs
    x = x if batched[0] else broadcast_to(x, (size, *x.shape))
    if batched[1]:
        rtol = reshape(rtol, (size, *(1,) * (x.ndim - 2 - rtol.ndim), *rtol.shape[1:]))
    return _outputs(primitive, [x, rtol], attributes)


@_rule("searchsorted")
def _searchsorted(
    primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int
) -> Sequence[Tensor]:
    """One sorted tensor serves all samples; sorted tensors that differ are searched one by one."""
    return (_one_by_one if batched[0] else _stacked)(primitive, inputs, batched, attributes, size)


@_rule("random_bits")
def _random(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    """Each sample gets the next words of one stream; a generator of its own may be in another place of another one."""
    if any(batched):
        return _one_by_one(primitive, inputs, batched, attributes, size)
    return _outputs(primitive, inputs, {"shape": (size, *attributes["shape"])})


@_rule("matmul")
def _matmul(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    """Stacks of matrices; many samples times one matrix are one large product."""
    x1, x2 = inputs
    if batched[0] and not batched[1] and x2.ndim == 2:
        flat = bind(primitive, reshape(x1, (math.prod(x1.shape[:-1]), x1.shape[-1])), x2, **attributes)
        return (reshape(flat, (*x1.shape[:-1], x2.shape[-1])),)
    if batched[1] and not batched[0] and x1.ndim == 2 and x2.ndim == 3:
        rows, inner = x1.shape
        side = reshape(permute_dims(x2, (1, 0, 2)), (inner, size * x2.shape[-1]))
        product = bind(primitive, x1, side, **attributes)
        return (permute_dims(reshape(product, (rows, size, x2.shape[-1])), (1, 0, 2)),)
    lined = _lined(inputs, batched, size)
    if lined[0].shape[-1] == 1:  # outer products: a multiplication, without a product per sample
        left, right = (cast(x, attributes.get("dtype", x.dtype)) for x in lined)
        return (left * matrix_transpose(matrix_transpose(right)),)
    return (bind(primitive, *lined, **attributes),)


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


@_rule("take_along", "add_along", "max_along", "min_along")
def _along(primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int) -> Sequence[Tensor]:
    return _outputs(primitive, _everywhere(inputs, batched, size), {"axis": attributes["axis"] + 1})


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


# ---------------------------------------------------------------------------------------------------- convolutions
# Samples of pictures are more pictures. Filters that differ by sample are groups of one large convolution, or, where
# all samples share the other input and there are no groups yet, more channels of one.
@_rule("convolution")
def _convolution(
    primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int
) -> Sequence[Tensor]:
    x, w = inputs
    if not batched[1]:
        return (_unmerged(_outputs(primitive, [_merged(x, 0), w], attributes)[0], 0, size),)
    shared = not batched[0] and attributes["groups"] == 1
    x = x if shared else _merged(_everywhere([x], batched[:1], size)[0], 1)
    (y,) = _outputs(primitive, [x, _merged(w, 0)], attributes if shared else _grouped(attributes, size))
    return (_unmerged(y, 1, size),)


@_rule("convolution_input_gradient")
def _input_gradient(
    primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int
) -> Sequence[Tensor]:
    dy, w = inputs
    if not batched[1]:
        return (_unmerged(_outputs(primitive, [_merged(dy, 0), w], attributes)[0], 0, size),)
    if not batched[0] and attributes["groups"] == 1:
        return (_unmerged(_outputs(primitive, [dy, _merged(w, 1)], attributes)[0], 1, size),)
    dy = _merged(_everywhere([dy], batched[:1], size)[0], 1)
    (dx,) = _outputs(primitive, [dy, _merged(w, 0)], _grouped(attributes, size))
    return (_unmerged(dx, 1, size),)


@_rule("convolution_weight_gradient")
def _weight_gradient(
    primitive: Primitive, inputs: Tensors, batched: Flags, attributes: dict, size: int
) -> Sequence[Tensor]:
    x, dy = inputs
    if all(batched) or attributes["groups"] != 1:
        both = [_merged(part, 1) for part in _everywhere(inputs, batched, size)]
        return (_unmerged(_outputs(primitive, both, _grouped(attributes, size))[0], 0, size),)
    if batched[0]:
        return (_unmerged(_outputs(primitive, [_merged(x, 1), dy], attributes)[0], 1, size),)
    return (_unmerged(_outputs(primitive, [x, _merged(dy, 1)], attributes)[0], 0, size),)


def _merged(x: Tensor, axis: int) -> Tensor:
    """Return [batch, ...] with the batch axis in front of the entries of an axis of the samples, as one axis."""
    if axis:
        x = permute_dims(x, (*range(1, axis + 1), 0, *range(axis + 1, x.ndim)))
    return reshape(x, (*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]))


def _unmerged(x: Tensor, axis: int, size: int) -> Tensor:
    """Undo `_merged`."""
    y = reshape(x, (*x.shape[:axis], size, x.shape[axis] // size if size else 0, *x.shape[axis + 1 :]))
    return permute_dims(y, (axis, *range(axis), *range(axis + 1, y.ndim))) if axis else y


def _grouped(attributes: dict[str, Any], size: int) -> dict[str, Any]:
    return {**attributes, "groups": attributes["groups"] * size}

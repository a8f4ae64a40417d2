"""Functions that arrange the axes of one tensor: the data stays, or is repeated, only its shape changes.

Three linear primitives, `reshape`, `permute_dims` and `broadcast_to`, carry all of it; undoing one is its gradient.
Eagerly they give views of the same immutable buffer, in a new cell even where nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import ShapeError
from chainrule.core.lowering import IndexMap
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple, axis_index, shape_tuple
from chainrule.ops._rules import broadcast_shapes

__all__ = [
    "broadcast_arrays",
    "broadcast_to",
    "expand_dims",
    "flatten",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "reshape",
    "squeeze",
    "swapaxes",
]


# ---------------------------------------------------------------------------------------------------- primitives
def _reshape_shape(x: TensorType, *, shape: tuple[int, ...]) -> TensorType:
    if math.prod(shape) != x.size or any(n < 0 for n in shape):
        raise ShapeError(
            f"reshape: {x.shape} has {x.size} elements and {shape} has {math.prod(shape)}; they must be equal."
        )
    return TensorType(shape, x.dtype)


reshape_p = primitive(
    "reshape",
    reference=lambda x, *, shape: np.reshape(x, shape),
    shape=_reshape_shape,
    linear=(0,),
    transpose=lambda g, x_shape: reshape(g, x_shape),
    samples=[
        Sample(((2, 3),), {"shape": (3, 2)}),
        Sample(((2, 3),), {"shape": (6,)}),
        Sample(((),), {"shape": (1, 1)}),
        Sample(((1,),), {"shape": ()}),
        Sample(((0, 3),), {"shape": (3, 0, 2)}),
        Sample((np.arange(8).reshape(2, 4).T,), {"shape": (2, 2, 2)}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros((2, 3)),),
            "reshape: (2, 3) has 6 elements and (4, 2) has 8; they must be equal.",
            {"shape": (4, 2)},
        ),
    ],
    lower=IndexMap(lambda k, at, x, *, shape: x(*k.unflat(k.flat(at, shape), x.shape)), view=True),
)


def _permute_shape(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"permute_dims: axes {axes} must name each of the {x.ndim} axes of {x.shape} once.")
    return TensorType(tuple(x.shape[a] for a in axes), x.dtype)


permute_dims_p: Primitive = primitive(
    "permute_dims",
    reference=lambda x, *, axes: np.transpose(x, axes),
    shape=_permute_shape,
    linear=(0,),
    transpose=lambda g, *, axes: bind(permute_dims_p, g, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__))),
    samples=[
        Sample(((2, 3),), {"axes": (1, 0)}),
        Sample(((2, 3, 4),), {"axes": (2, 0, 1)}),
        Sample(((),), {"axes": ()}),
        Sample(((0, 3),), {"axes": (1, 0)}),
        Sample((np.arange(6).reshape(1, 2, 3),), {"axes": (1, 2, 0)}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros((2, 3)),),
            "permute_dims: axes (0, 0) must name each of the 2 axes of (2, 3) once.",
            {"axes": (0, 0)},
        ),
        Invalid(
            (np.zeros((2, 3)),), "permute_dims: axes (0,) must name each of the 2 axes of (2, 3) once.", {"axes": (0,)}
        ),
    ],
    lower=IndexMap(lambda k, at, x, *, axes: x(*(at[axes.index(a)] for a in range(x.ndim))), view=True),
)


def _broadcast_element(k: Any, at: Sequence[Any], x: Any, *, shape: tuple[int, ...]) -> Any:
    tail = at[len(shape) - x.ndim :]
    return x(*(k.index(0) if n == 1 else i for i, n in zip(tail, x.shape)))


def _broadcast_shape(x: TensorType, *, shape: tuple[int, ...]) -> TensorType:
    if x.ndim > len(shape):
        raise ShapeError(f"broadcast_to: {x.shape} has more axes than {shape}.")
    for back in range(1, x.ndim + 1):
        if x.shape[-back] not in (1, shape[-back]):
            raise ShapeError(
                f"broadcast_to: {x.shape} does not broadcast to {shape}; "
                f"at axis {-back} the size {x.shape[-back]} is neither {shape[-back]} nor 1."
            )
    return TensorType(shape, x.dtype)


broadcast_to_p = primitive(
    "broadcast_to",
    reference=lambda x, *, shape: np.broadcast_to(x, shape),
    shape=_broadcast_shape,
    linear=(0,),
    transpose=lambda g: g,  # the tape sums a gradient down to its input's shape
    samples=[
        Sample(((3,),), {"shape": (2, 3)}),
        Sample(((2, 1),), {"shape": (4, 2, 3)}),
        Sample(((),), {"shape": (2,)}),
        Sample(((1, 3),), {"shape": (0, 3)}),
        Sample((np.arange(3),), {"shape": (2, 3)}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros(3),),
            "broadcast_to: (3,) does not broadcast to (2, 4); at axis -1 the size 3 is neither 4 nor 1.",
            {"shape": (2, 4)},
        ),
        Invalid((np.zeros((2, 3)),), "broadcast_to: (2, 3) has more axes than (3,).", {"shape": (3,)}),
    ],
    lower=IndexMap(_broadcast_element, view=True),
)


# ---------------------------------------------------------------------------------------------------- functions
def reshape(x: Tensor, /, shape: int | Sequence[int], *, copy: bool | None = None) -> Tensor:
    """Return the elements of x, in row-major order, in another shape.

    Args:
        x: tensor of any shape and dtype.
        shape: sizes of the axes; one of them may be -1 and is then computed.
        copy: accepted for the Array API; a tensor's buffer never changes, so it makes no difference.

    Returns:
        Tensor of the given shape, and the dtype of x.

    Raises:
        ShapeError: the number of elements differs, or -1 stands twice or can't be computed.

    Example:
        >>> import chainrule as cr
        >>> cr.reshape(cr.arange(6), (2, -1))
        tensor([[0, 1, 2],
                [3, 4, 5]], shape=(2, 3), dtype=int64)
    """
    x, wanted = as_tensor(x), shape_tuple(shape, "reshape")
    if -1 in wanted:
        known = math.prod(n for n in wanted if n != -1)
        if wanted.count(-1) > 1 or known <= 0 or x.size % known:
            reason = (
                "-1 may stand only once" if wanted.count(-1) > 1 else f"{x.size} elements are no multiple of {known}"
            )
            raise ShapeError(f"reshape: {x.shape} can't become {wanted}; {reason}.")
        wanted = tuple(x.size // known if n == -1 else n for n in wanted)
    return bind(reshape_p, x, shape=wanted)


def broadcast_to(x: Tensor, /, shape: int | Sequence[int]) -> Tensor:
    """Return x repeated along new axes and along axes of size 1.

    Args:
        x: tensor of any dtype.
        shape: sizes of the axes of the result.

    Returns:
        Tensor of the given shape, and the dtype of x.

    Raises:
        ShapeError: a size of x is neither 1 nor that of the result.

    Example:
        >>> import chainrule as cr
        >>> cr.broadcast_to(cr.arange(2), (2, 2))
        tensor([[0, 1],
                [0, 1]], shape=(2, 2), dtype=int64)
    """
    x, wanted = as_tensor(x), shape_tuple(shape, "broadcast_to")
    return bind(broadcast_to_p, x, shape=wanted)


def broadcast_arrays(*arrays: Tensor) -> list[Tensor]:
    """Return the tensors repeated to their common shape.

    Args:
        *arrays: tensors whose shapes broadcast together.

    Returns:
        List of tensors of one shape; each keeps its dtype.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> [t.shape for t in cr.broadcast_arrays(cr.zeros((2, 1)), cr.zeros(3))]
        [(2, 3), (2, 3)]
    """
    tensors = [as_tensor(x) for x in arrays]
    if not tensors:
        return []
    shape = broadcast_shapes("broadcast_arrays", *(x.shape for x in tensors))
    return [broadcast_to(x, shape) for x in tensors]


def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Tensor:
    """Return x with its axes in another order: axis i of the result is axis axes[i] of x.

    Args:
        x: tensor of any shape and dtype.
        axes: each axis of x once; negative ones count from the end.

    Returns:
        Tensor of the permuted shape, and the dtype of x.

    Raises:
        ShapeError: an axis is missing or given twice.
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.permute_dims(cr.zeros((2, 3, 4)), (2, 0, 1)).shape
        (4, 2, 3)
    """
    x = as_tensor(x)
    return bind(permute_dims_p, x, axes=tuple(axis_index(a, x.ndim, "permute_dims") for a in axes))


def matrix_transpose(x: Tensor, /) -> Tensor:
    """Return each matrix of a stack of matrices transposed.

    Args:
        x: tensor [..., rows, columns].

    Returns:
        Tensor [..., columns, rows].

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> cr.matrix_transpose(cr.zeros((5, 2, 3))).shape
        (5, 3, 2)
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose needs at least two axes; got the shape {x.shape}.")
    return bind(permute_dims_p, x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def swapaxes(x: Tensor, axis1: int, axis2: int, /) -> Tensor:
    """Return x with two axes exchanged.

    Args:
        x: tensor of any shape and dtype.
        axis1: an axis.
        axis2: the other axis.

    Returns:
        Tensor with the two sizes exchanged, and the dtype of x.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.swapaxes(cr.zeros((2, 3, 4)), 0, -1).shape
        (4, 3, 2)
    """
    x = as_tensor(x)
    order = list(range(x.ndim))
    i, j = (axis_index(a, x.ndim, "swapaxes") for a in (axis1, axis2))
    order[i], order[j] = j, i
    return permute_dims(x, order)


def moveaxis(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int], /) -> Tensor:
    """Return x with some axes moved to other places; the rest keep their order.

    Args:
        x: tensor of any shape and dtype.
        source: the axes to move.
        destination: where each of them goes.

    Returns:
        Tensor with the axes moved, and the dtype of x.

    Raises:
        ShapeError: an axis is given twice, or the two lists differ in length.
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.moveaxis(cr.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """
    x = as_tensor(x)
    start, end = ((a,) if isinstance(a, int) else tuple(a) for a in (source, destination))
    axes_tuple(start, x.ndim, "moveaxis"), axes_tuple(end, x.ndim, "moveaxis")  # each axis exists, none stands twice
    if len(start) != len(end):
        raise ShapeError(f"moveaxis: {len(start)} axes {start} can't move to {len(end)} places {end}.")
    moves = sorted((axis_index(e, x.ndim, "moveaxis"), axis_index(s, x.ndim, "moveaxis")) for s, e in zip(start, end))
    order = [a for a in range(x.ndim) if a not in [s for _, s in moves]]
    for place, axis in moves:
        order.insert(place, axis)
    return permute_dims(x, order)


def expand_dims(x: Tensor, /, axis: int | Sequence[int] = 0) -> Tensor:
    """Return x with new axes of size 1.

    Args:
        x: tensor of any shape and dtype.
        axis: where the new axes stand in the result; default 0.

    Returns:
        Tensor with more axes, and the dtype of x.

    Raises:
        IndexRangeError: no such place.

    Example:
        >>> import chainrule as cr
        >>> cr.expand_dims(cr.zeros(3), axis=1).shape
        (3, 1)
    """
    x = as_tensor(x)
    count = 1 if isinstance(axis, int) else len(axis)
    places = axes_tuple(axis, x.ndim + count, "expand_dims")
    sizes = iter(x.shape)
    return reshape(x, tuple(1 if i in places else next(sizes) for i in range(x.ndim + count)))


def squeeze(x: Tensor, /, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return x without axes of size 1.

    Args:
        x: tensor of any shape and dtype.
        axis: the axes to remove; default all of size 1.

    Returns:
        Tensor with fewer axes, and the dtype of x.

    Raises:
        ShapeError: a named axis has another size.
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.squeeze(cr.zeros((1, 3, 1)), axis=0).shape
        (3, 1)
    """
    x = as_tensor(x)
    if axis is None:
        return reshape(x, tuple(n for n in x.shape if n != 1))
    axes = axes_tuple(axis, x.ndim, "squeeze")
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} of {x.shape} has the size {x.shape[a]}; only axes of size 1 can go.")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def flatten(x: Tensor, /, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """Return x with a run of axes joined into one.

    Args:
        x: tensor of any shape and dtype.
        start_axis: first axis of the run; default 0.
        end_axis: last axis of the run, included; default -1.

    Returns:
        Tensor with the run replaced by its product; a tensor without axes becomes [1].

    Raises:
        IndexRangeError: an axis does not exist.
        ShapeError: the run ends before it starts.

    Example:
        >>> import chainrule as cr
        >>> cr.flatten(cr.zeros((32, 1, 28, 28)), 1).shape
        (32, 784)
    """
    x = as_tensor(x)
    if not x.ndim:
        return reshape(x, (1,))
    start, end = axis_index(start_axis, x.ndim, "flatten"), axis_index(end_axis, x.ndim, "flatten")
    if start > end:
        raise ShapeError(f"flatten: the last axis {end_axis} stands before the first axis {start_axis} in {x.shape}.")
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))

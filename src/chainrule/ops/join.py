"""Tensors joined, cut apart, repeated and reversed along an axis.

Two primitives, `concat` and `flip`; the rest is built on them, on static slices and on reshapes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import promote
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import IndexMap
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor, concrete_value
from chainrule.ops._inputs import as_tensor, axes_tuple, axis_index, cast, constant
from chainrule.ops.shape import broadcast_to, expand_dims, reshape
from chainrule.ops.slices import narrow

__all__ = ["concat", "flip", "repeat", "roll", "split", "stack", "tile", "unstack"]


# ---------------------------------------------------------------------------------------------------- primitives
def _concat_shape(*types: TensorType, axis: int) -> TensorType:
    first = types[0]
    if not 0 <= axis < first.ndim:
        raise ShapeError(f"concat: axis {axis} does not exist in {first.shape}; tensors without axes can be stacked.")
    for position, other in enumerate(types):
        if other.dtype is not first.dtype:
            raise DTypeError(
                f"concat: the dtypes {first.dtype.name} and {other.dtype.name} differ; convert one with .astype."
            )
        if other.ndim != first.ndim:
            raise ShapeError(
                f"concat: tensor 0 is {first.shape} and tensor {position} is {other.shape}; both need as many axes."
            )
        for a, (n, m) in enumerate(zip(first.shape, other.shape)):
            if a != axis and n != m:
                raise ShapeError(
                    f"concat: tensor 0 is {first.shape} and tensor {position} is {other.shape}; "
                    f"the sizes {n} and {m} on axis {a} differ, and only axis {axis} is joined."
                )
    return TensorType((*first.shape[:axis], sum(t.shape[axis] for t in types), *first.shape[axis + 1 :]), first.dtype)


def _concat_element(k: Any, at: Sequence[Any], *xs: Any, axis: int) -> Any:
    chosen = None
    for x in reversed([x for x in xs if x.shape[axis]]):
        start = sum(other.shape[axis] for other in xs[: xs.index(x)])
        inside = k.within(at[axis], start, start + x.shape[axis])
        value = x(*(k.sub(i, start) if a == axis else i for a, i in enumerate(at)), where=inside)
        chosen = value if chosen is None else k.select(inside, value, chosen)
    return chosen


def _concat_transpose(g: Tensor, xs_shape: Sequence[tuple[int, ...]], *, axis: int) -> list[Tensor]:
    bounds = list(itertools.accumulate((shape[axis] for shape in xs_shape), initial=0))
    return [narrow(g, axis, a, b) for a, b in itertools.pairwise(bounds)]


concat_p = primitive(
    "concat",
    reference=lambda *xs, axis: np.concatenate(xs, axis=axis),
    shape=_concat_shape,
    linear="all",
    transpose=_concat_transpose,
    lower=IndexMap(_concat_element),
    samples=[
        Sample(((2,), (3,)), {"axis": 0}),
        Sample(((2, 3), (1, 3), (2, 3)), {"axis": 0}),
        Sample(((2, 1), (2, 3)), {"axis": 1}),
        Sample(((0, 3), (2, 3)), {"axis": 0}),
        Sample(((4,),), {"axis": 0}),
        Sample((np.arange(3), np.arange(2)), {"axis": 0}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros((2, 3)), np.zeros((2, 4))),
            "concat: tensor 0 is (2, 3) and tensor 1 is (2, 4); "
            "the sizes 3 and 4 on axis 1 differ, and only axis 0 is joined.",
            {"axis": 0},
        ),
        Invalid(
            (np.zeros((2, 3)), np.zeros(3)),
            "concat: tensor 0 is (2, 3) and tensor 1 is (3,); both need as many axes.",
            {"axis": 0},
        ),
        Invalid(
            (np.zeros(2), np.arange(2)),
            "concat: the dtypes float64 and int64 differ; convert one with .astype.",
            {"axis": 0},
        ),
        Invalid(
            (np.zeros(()),), "concat: axis 0 does not exist in (); tensors without axes can be stacked.", {"axis": 0}
        ),
    ],
)


def _flip_shape(x: TensorType, *, axis: tuple[int, ...]) -> TensorType:
    if any(not 0 <= a < x.ndim for a in axis):
        raise ShapeError(f"flip: axis {axis} does not exist in {x.shape}.")
    return x


def _flip_element(k: Any, at: Sequence[Any], x: Any, *, axis: tuple[int, ...]) -> Any:
    return x(*(k.sub(k.index(x.shape[a] - 1), i) if a in axis else i for a, i in enumerate(at)))


flip_p: Primitive = primitive(
    "flip",
    lower=IndexMap(_flip_element, view=True),
    reference=lambda x, *, axis: np.flip(x, axis),
    shape=_flip_shape,
    linear=(0,),
    transpose=lambda g, *, axis: bind(flip_p, g, axis=axis),
    samples=[
        Sample(((3,),), {"axis": (0,)}),
        Sample(((2, 3),), {"axis": (0, 1)}),
        Sample(((2, 3),), {"axis": (1,)}),
        Sample(((0, 3),), {"axis": (0,)}),
        Sample(((),), {"axis": ()}),
        Sample((np.arange(4),), {"axis": (0,)}, smooth=False),
    ],
    invalid=[Invalid((np.zeros(2),), "flip: axis (1,) does not exist in (2,).", {"axis": (1,)})],
)


# ---------------------------------------------------------------------------------------------------- functions
def _common(arrays: Sequence[Tensor], name: str) -> list[Tensor]:
    """Return the arguments as tensors of one dtype."""
    tensors = [as_tensor(x) for x in arrays]
    if not tensors:
        raise ShapeError(f"{name} needs at least one tensor; got none.")
    dtype = functools.reduce(promote, (x.dtype for x in tensors))
    return [cast(x, dtype) for x in tensors]


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Return tensors joined one after the other along an existing axis.

    Args:
        arrays: at least one tensor; all sizes but that of `axis` are equal.
        axis: the axis to join along; None flattens all first; default 0.

    Returns:
        Tensor of the promoted dtype; the size of `axis` is the sum.

    Raises:
        ShapeError: sizes that differ on another axis, or no tensor.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.concat([cr.arange(2), cr.arange(3)])
        tensor([0, 1, 0, 1, 2], shape=(5,), dtype=int64)
    """
    tensors = _common(arrays, "concat")
    if axis is None:
        tensors, axis = [reshape(x, (-1,)) if x.size else reshape(x, (0,)) for x in tensors], 0
    place = axis_index(axis, tensors[0].ndim, "concat") if tensors[0].ndim else 0
    return bind(concat_p, *tensors, axis=place)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Return tensors joined along a new axis.

    Args:
        arrays: at least one tensor; all of one shape.
        axis: where the new axis stands in the result; default 0.

    Returns:
        Tensor of the promoted dtype with one axis more.

    Raises:
        ShapeError: shapes that differ, or no tensor.
        IndexRangeError: no such place.

    Example:
        >>> import chainrule as cr
        >>> cr.stack([cr.zeros(3), cr.ones(3)], axis=1).shape
        (3, 2)
    """
    tensors = _common(arrays, "stack")
    for position, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise ShapeError(
                f"stack: tensor 0 is {tensors[0].shape} and tensor {position} is {x.shape}; all must be equal."
            )
    place = axis_index(axis, tensors[0].ndim + 1, "stack")
    return bind(concat_p, *(expand_dims(x, place) for x in tensors), axis=place)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Return the parts of x along an axis, which vanishes.

    Args:
        x: tensor with at least one axis.
        axis: the axis to cut; default 0.

    Returns:
        Tuple with one tensor per position.

    Raises:
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.unstack(cr.asarray([[1, 2], [3, 4]]))[1]
        tensor([3, 4], shape=(2,), dtype=int64)
    """
    x = as_tensor(x)
    a = axis_index(axis, x.ndim, "unstack")
    rest = (*x.shape[:a], *x.shape[a + 1 :])
    return tuple(reshape(narrow(x, a, i, i + 1), rest) for i in range(x.shape[a]))


def split(x: Tensor, sections: int | Sequence[int], /, *, axis: int = 0) -> list[Tensor]:
    """Return x cut into pieces along an axis.

    Args:
        x: tensor with at least one axis.
        sections: number of equal pieces, or the positions where to cut.
        axis: the axis to cut; default 0.

    Returns:
        List of tensors.

    Raises:
        ShapeError: the size is no multiple of the number of pieces, or the cuts do not ascend.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> [part.shape for part in cr.split(cr.zeros((4, 6)), 3, axis=-1)]
        [(4, 2), (4, 2), (4, 2)]
    """
    x = as_tensor(x)
    a = axis_index(axis, x.ndim, "split")
    size = x.shape[a]
    if isinstance(sections, int):
        if sections < 1 or size % sections:
            raise ShapeError(
                f"split: axis {a} of {x.shape} has the size {size}, which {sections} pieces do not divide."
            )
        cuts = [size // sections * i for i in range(1, sections)]
    else:
        cuts = [int(n) + size if n < 0 else min(int(n), size) for n in sections]
    bounds = [0, *cuts, size]
    if bounds != sorted(bounds):
        raise ShapeError(f"split: the cuts {sections} must ascend within axis {a} of {x.shape}.")
    return [narrow(x, a, start, limit) for start, limit in itertools.pairwise(bounds)]


def flip(x: Tensor, /, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return x with the order of elements along axes reversed.

    Args:
        x: tensor of any shape and dtype.
        axis: the axes to reverse; default all.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.flip(cr.arange(3))
        tensor([2, 1, 0], shape=(3,), dtype=int64)
    """
    x = as_tensor(x)
    return bind(flip_p, x, axis=axes_tuple(axis, x.ndim, "flip"))


def roll(x: Tensor, /, shift: int | Sequence[int], *, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return x with its elements moved along axes; those that fall off one end come in at the other.

    Args:
        x: tensor of any shape and dtype.
        shift: by how many places, one number per axis, or one for all.
        axis: the axes; default x is rolled as if it were flat.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ShapeError: not as many shifts as axes.
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.roll(cr.arange(4), 1)
        tensor([3, 0, 1, 2], shape=(4,), dtype=int64)
    """
    x = as_tensor(x)
    if axis is None:
        return reshape(roll(reshape(x, (x.size,)), shift, axis=0), x.shape)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    shifts = (shift,) * len(axes) if isinstance(shift, int) else tuple(shift)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: {len(shifts)} shifts {shifts} do not fit {len(axes)} axes {axes}.")
    for n, a in zip(shifts, axes):
        place = axis_index(a, x.ndim, "roll")
        size = x.shape[place]
        cut = (-n) % size if size else 0
        x = bind(concat_p, narrow(x, place, cut, size), narrow(x, place, 0, cut), axis=place)
    return x


def tile(x: Tensor, repetitions: int | Sequence[int], /) -> Tensor:
    """Return copies of x laid side by side.

    Args:
        x: tensor of any shape and dtype.
        repetitions: per axis how many copies; missing axes are added in front, on either side.

    Returns:
        Tensor whose sizes are multiplied, and the dtype of x.

    Raises:
        ShapeError: a negative number.

    Example:
        >>> import chainrule as cr
        >>> cr.tile(cr.arange(2), (2, 2))
        tensor([[0, 1, 0, 1],
                [0, 1, 0, 1]], shape=(2, 4), dtype=int64)
    """
    x = as_tensor(x)
    times = (repetitions,) if isinstance(repetitions, int) else tuple(repetitions)
    if any(n < 0 for n in times):
        raise ShapeError(f"tile: repetitions must be >= 0; got {times}.")
    ndim = max(len(times), x.ndim)
    times, sizes = (1,) * (ndim - len(times)) + times, (1,) * (ndim - x.ndim) + x.shape
    apart = reshape(x, tuple(n for size in sizes for n in (1, size)))  # [1, size, 1, size, ...]
    wide = broadcast_to(apart, tuple(n for pair in zip(times, sizes) for n in pair))  # [times, size, times, size, ...]
    return reshape(wide, tuple(t * n for t, n in zip(times, sizes)))


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Return x with each element repeated in place.

    Args:
        x: tensor of any shape and dtype.
        repeats: how often, >= 0; or an integer tensor with a number for each place along the axis, or one for all.
        axis: the axis; default x is flattened first.

    Returns:
        Tensor that is longer along the axis, and the dtype of x.

    Raises:
        ShapeError: a negative number, or not as many numbers as places.
        DTypeError: numbers that are no integers.
        IndexRangeError: the axis does not exist.
        TraceError: a tensor of numbers while tracing.

    Example:
        >>> import chainrule as cr
        >>> cr.repeat(cr.arange(2), 3)
        tensor([0, 0, 0, 1, 1, 1], shape=(6,), dtype=int64)
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    a = axis_index(axis, x.ndim, "repeat")
    if isinstance(repeats, Tensor):
        return _repeat_each(x, repeats, a)
    if repeats < 0:
        raise ShapeError(f"repeat: repeats must be >= 0; got {repeats}.")
    apart = expand_dims(x, a + 1)  # [..., size, 1, ...]
    wide = broadcast_to(apart, (*x.shape[: a + 1], repeats, *x.shape[a + 1 :]))
    return reshape(wide, (*x.shape[:a], x.shape[a] * repeats, *x.shape[a + 1 :]))


def _repeat_each(x: Tensor, repeats: Tensor, axis: int) -> Tensor:
    """Return x with each place along an axis repeated as often as its number says."""
    from chainrule.ops.gather import take  # it stands on this file

    if not repeats.dtype.is_integer:
        raise DTypeError(f"repeat: repeats must be integers; got {repeats.dtype.name}.")
    counts = concrete_value(repeats, "repeat with a tensor of numbers").astype(np.int64)
    if (counts < 0).any():
        raise ShapeError(f"repeat: repeats must be >= 0; got {counts.min()}.")
    if counts.size != 1 and counts.shape != (x.shape[axis],):
        raise ShapeError(
            f"repeat: axis {axis} of {x.shape} has {x.shape[axis]} places; repeats has the shape {counts.shape}."
        )
    places = np.repeat(np.arange(x.shape[axis]), counts if counts.ndim else int(counts))
    return take(x, constant(places), axis=axis)

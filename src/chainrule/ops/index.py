"""What stands between the brackets: `x[key]` and `x[key] = value`, with NumPy's meaning.

A key is made of ints, slices (steps may be negative), `...`, None, integer tensors or arrays, and bool masks. It is
read once into a `Plan`:

    slice     every axis, in positive steps           the primitive slice, and update_slice back
    flip      the axes with negative steps
    drop      the axes indexed by ints
    gather    the axes indexed by integer tensors     the primitive gather, and scatter_set back
    arrange   the axes of the result in NumPy's order, with new axes

`getitem` walks this way, `put` walks it back. A mask becomes integer tensors, so its result's shape depends on values:
eagerly that is fine, while tracing it is an error; assigning one number through a mask always works, as `where`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.context import local
from chainrule.core.dtypes import bool_, int64, promote
from chainrule.core.errors import DTypeError, IndexRangeError, TraceError, user_location
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast, constant
from chainrule.ops.convert import asarray
from chainrule.ops.gather import gather, index_rows, scatter_set_p
from chainrule.ops.join import flip
from chainrule.ops.selection import where
from chainrule.ops.shape import broadcast_to, expand_dims, permute_dims, reshape
from chainrule.ops.slices import slice_p, update_slice_p

__all__ = ["put"]

Axes = tuple[int, ...]


@dataclass
class Plan:
    """A key read against a shape.

    Attributes:
        starts, limits, steps: per axis of x what is sliced out, steps > 0.
        flips: axes to be reversed after that.
        kept: sizes after slicing, without the axes dropped by ints.
        rows: int64 index tensors, and `axes`, which of the kept axes they index.
        layout: in the key's order "new" (None), "int", "index" (an integer tensor), "dots" (`...` for no axis), or the
            size of a sliced axis.
    """

    starts: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    flips: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    axes: list[int] = field(default_factory=list)
    layout: list[Any] = field(default_factory=list)

    def add(self, entry: Any, start: int, limit: int, step: int = 1) -> None:
        """Read one more axis of x."""
        count = max(0, -((start - limit) // step))
        self.starts.append(start)
        self.limits.append(limit)
        self.steps.append(step)
        if entry != "int":
            self.kept.append(count)
        self.layout.append(count if entry == "slice" else entry)

    @property
    def sliced(self) -> Axes:
        """Sizes after slicing, of all axes of x."""
        return tuple(max(0, -((a - b) // s)) for a, b, s in zip(self.starts, self.limits, self.steps))

    def _before(self) -> int | None:
        """Return how many entries stand before the index tensors and ints; None where others stand between them."""
        marks = [entry in ("int", "index") for entry in self.layout]
        first, last = marks.index(True), len(marks) - 1 - marks[::-1].index(True)
        return first if all(marks[first : last + 1]) else None

    def order(self, batch: int) -> Axes:
        """Return the axes of a gathered tensor [*batch, *rest] in the order of the result."""
        before = sum(isinstance(entry, int) for entry in self.layout[: self._before() or 0])
        end = batch + len(self.kept) - len(self.axes)
        return (*range(batch, batch + before), *range(batch), *range(batch + before, end))

    def shape(self, batch: Axes) -> Axes:
        """Return the shape of the result."""
        sizes: list[int] = []
        place = (self._before() or 0) if self.rows else -1
        if self.rows and self._before() is None:
            sizes, place = list(batch), -1
        for position, entry in enumerate(self.layout):
            sizes += batch if position == place else ()
            if entry not in ("int", "index", "dots"):
                sizes.append(1 if entry == "new" else entry)
        return tuple(sizes)


# ---------------------------------------------------------------------------------------------------- reading a key
def read_key(key: Any, shape: Axes) -> Plan:
    """Return the plan of a key for a tensor of the given shape.

    Raises:
        IndexRangeError: an int outside its axis, more indices than axes, or a mask whose shape is not that of the axes
            it stands for.
        DTypeError: something that is no index.
        TraceError: a mask while tracing.
    """
    items = [_item(item) for item in (key if isinstance(key, tuple) else (key,))]
    plan = Plan()
    for item in _filled(items, shape):
        axis = len(plan.starts)
        if item is None:
            plan.layout.append("new")
        elif item is Ellipsis:
            plan.layout.append("dots")
        elif isinstance(item, int):
            index = _in_range(item, axis, shape)
            plan.add("int", index, index + 1)
        elif isinstance(item, slice):
            _read_slice(plan, item, shape[axis])
        elif item.dtype.kind == "bool":
            for row in _mask_rows(item, axis, shape):
                _read_row(plan, row, shape)
        else:
            _read_row(plan, item, shape)
    return plan


def _item(item: Any) -> Any:
    """Return an entry of a key as an int, slice, None, Ellipsis, or a tensor of ints or bools."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, bool | np.bool_):
        raise _no_index(f"the bool {bool(item)}")
    if isinstance(item, Tensor):
        tensor = item
    elif isinstance(item, list | tuple | np.ndarray):
        array = np.asarray(item)
        tensor = as_tensor(array if array.size or array.dtype.kind in "biu" else array.astype(np.int64))
    else:
        try:
            return operator.index(item)
        except TypeError:
            raise _no_index(f"{item!r} of type {type(item).__name__}") from None
    if tensor.dtype.is_float:
        raise _no_index(f"a {tensor.dtype.name} tensor")
    return tensor if tensor.dtype.kind == "bool" else cast(tensor, int64)


def _no_index(given: str) -> DTypeError:
    return DTypeError(
        f"an index is an int, a slice, ..., None, an integer tensor or a bool mask; got {given}.",
        location=user_location(),
    )


def _filled(items: list, shape: Axes) -> list:
    """Return the entries with `...` written out, so that they stand for all axes."""
    used = sum(0 if item is None or item is Ellipsis else _axes_of(item) for item in items)
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if used > len(shape):
        raise IndexRangeError(
            f"the key has {used} indices and the tensor {len(shape)} axes; its shape is {shape}.",
            location=user_location(),
        )
    if len(dots) > 1:
        raise IndexRangeError("`...` may stand only once in a key.", location=user_location())
    place = dots[0] if dots else len(items)
    missing: list = [slice(None)] * (len(shape) - used) or items[place : place + 1]  # an idle `...` still separates
    return [*items[:place], *missing, *items[place + 1 :]]


def _axes_of(item: Any) -> int:
    return item.ndim if isinstance(item, Tensor) and item.dtype.kind == "bool" else 1


def _in_range(index: int, axis: int, shape: Axes) -> int:
    size = shape[axis]
    if not -size <= index < size:
        allowed = f"allowed: [{-size}, {size - 1}]" if size else "it has no elements"
        raise IndexRangeError(f"index {index} is outside axis {axis} of {shape}; {allowed}.", location=user_location())
    return index % size


def _read_slice(plan: Plan, item: slice, size: int) -> None:
    start, stop, step = item.indices(size)
    if step > 0:
        plan.add("slice", start, max(start, stop), step)
        return
    count = max(0, -((start - stop) // step))
    plan.flips.append(len(plan.starts))
    first = start + (count - 1) * step
    plan.add("slice", first if count else 0, start + 1 if count else 0, -step)


def _read_row(plan: Plan, row: Tensor, shape: Axes) -> None:
    plan.rows.append(row)
    plan.axes.append(len(plan.kept))
    plan.add("index", 0, shape[len(plan.starts)])


def _mask_rows(mask: Tensor, axis: int, shape: Axes) -> list[Tensor]:
    """Return the positions where a mask is true, one int64 tensor per axis."""
    covered = shape[axis : axis + mask.ndim]
    if not mask.ndim or mask.ndim != len(covered) or any(m not in (n, 0) for m, n in zip(mask.shape, covered)):
        raise IndexRangeError(
            f"a mask has the shape of the axes that it stands for, here {covered}; got {mask.shape}.",
            location=user_location(),
        )
    value = mask._value
    if local.interpreter is not None:
        value = getattr(value, "constant", None)
        if value is None:
            raise TraceError(
                f"the shape of x[mask] depends on the values of the mask bool{[*mask.shape]}, and there are none yet "
                "while cr.jit traces. Use cr.where(mask, x, 0), or move this line outside the step.",
                location=user_location(),
            )
    return [constant(row.astype(np.int64)) for row in np.nonzero(value)]


# ---------------------------------------------------------------------------------------------------- walking there
def _source(x: Tensor, plan: Plan) -> Tensor:
    """Return x sliced and flipped, without the axes indexed by ints."""
    y = bind(slice_p, x, starts=tuple(plan.starts), limits=tuple(plan.limits), steps=tuple(plan.steps))
    y = flip(y, plan.flips) if plan.flips else y
    return y if len(plan.kept) == y.ndim else reshape(y, plan.kept)


def getitem(x: Tensor, key: Any) -> Tensor:
    """Return x[key], with NumPy's meaning of keys."""
    if _is_single_bool(key):
        return getitem(expand_dims(x, 0), reshape(as_tensor(key), (1,)))
    plan = read_key(key, x.shape)
    y = _source(x, plan)
    batch: Axes = ()
    if plan.rows:
        y = gather(y, plan.rows, tuple(plan.axes))  # [*batch, *rest]
        batch = y.shape[: y.ndim - len(plan.kept) + len(plan.axes)]
        order = plan.order(len(batch))
        y = y if order == tuple(range(y.ndim)) else permute_dims(y, order)
    shape = plan.shape(batch)
    return y if y.shape == shape else reshape(y, shape)


# ---------------------------------------------------------------------------------------------------- walking back
def put(x: Tensor, key: Any, value: Tensor | float) -> Tensor:
    """Return a copy of x in which x[key] is `value`; gradients flow to both.

        y = x,   y[key] = value

    Args:
        x: tensor of any shape and dtype.
        key: what may stand between brackets: ints, slices, `...`, None, integer tensors, bool masks.
        value: number or tensor that broadcasts to the shape of x[key]; of equal indices the last one stays.

    Returns:
        Tensor of the shape and dtype of x.

    Raises:
        ShapeError: the value does not broadcast to x[key].
        IndexRangeError: an index outside its axis.
        DTypeError: the value's dtype does not fit into that of x, or something that is no index.
        TraceError: a tensor of values through a mask while tracing.

    Example:
        >>> import chainrule as cr
        >>> cr.put(cr.zeros(4), slice(1, None, 2), cr.asarray([5.0, 6.0]))
        tensor([0., 5., 0., 6.], shape=(4,), dtype=float32)
    """
    x, value = as_tensor(x), _fitting(x, value)
    only = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    if not value.ndim and isinstance(only, Tensor | np.ndarray | list):
        mask = _item(only)
        if mask.dtype.kind == "bool" and mask.ndim and mask.shape == x.shape[: mask.ndim]:
            return where(reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim)), value, x)
    if _is_single_bool(key):
        return put(expand_dims(x, 0), reshape(as_tensor(key), (1,)), value)[0]
    plan = read_key(key, x.shape)
    indices = index_rows(plan.rows) if plan.rows else None  # [k, *batch]
    batch = indices.shape[1:] if indices is not None else ()
    wanted = plan.shape(batch)
    while value.ndim > len(wanted) and value.shape[0] == 1:
        value = reshape(value, value.shape[1:])
    update = broadcast_to(value, wanted)
    if indices is not None:
        order = plan.order(len(batch))
        rest = [n for i, n in enumerate(plan.kept) if i not in plan.axes]
        gathered = (*batch, *rest)
        arranged = reshape(update, tuple(gathered[i] for i in order))
        update = permute_dims(arranged, tuple(order.index(i) for i in range(len(order))))  # [*batch, *rest]
        update = bind(scatter_set_p, _source(x, plan), indices, update, axes=tuple(plan.axes))
    update = reshape(update, plan.sliced)
    update = flip(update, plan.flips) if plan.flips else update
    return bind(update_slice_p, x, update, starts=tuple(plan.starts), steps=tuple(plan.steps))


def _is_single_bool(key: Any) -> bool:
    """Return whether the key is a mask without axes: it takes all of x or nothing, along a new axis."""
    return isinstance(key, Tensor | np.ndarray) and not key.ndim and key.dtype in (bool_, np.bool_)


def _fitting(x: Tensor, value: Any) -> Tensor:
    listed = isinstance(value, list | tuple)  # a list is weak, like a number
    value = asarray(value) if listed else as_tensor(value, x)
    fits = promote(value.dtype, x.dtype)
    if fits is not x.dtype and not (listed and fits.is_float == x.dtype.is_float and x.dtype is not bool_):
        raise DTypeError(
            f"x[key] = value: the value is {value.dtype.name} and the tensor {x.dtype.name}; "
            f"convert the value with .astype(cr.{x.dtype.name}).",
            location=user_location(),
        )
    return cast(value, x.dtype)


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """Assign x[key] = value: put a new buffer into the cell x."""
    x.assign_(put(x, key, value))

"""One element of each window, at a place that is already known: what max-pooling and its gradient are made of.

    window_pick    y[..., p] = x[..., places[..., p]]                       places: flat positions in the plane
    window_place   y[..., q] = sum over p with places[..., p] = q of x[..., p]

They are each other's transposes. A place outside its window picks nothing: 0. `window_argmax` finds the places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import int64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import IndexMap
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.ops._pooling import _flat, window_argmax_p
from chainrule.ops._windows import Pads, Sizes, counts, padded, positions

__all__ = ["window_pick_p", "window_place_p"]


# ---------------------------------------------------------------------------------------------------- references
def _pick(
    x: np.ndarray, places: np.ndarray, *, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes
) -> np.ndarray:
    plane = x.shape[x.ndim - len(size) :]
    count = places.shape[x.ndim - len(size) :]
    bordered = padded(x, padding)
    y = np.zeros(places.shape, x.dtype)
    inner = padded(np.ones(plane, bool), padding) if _ambiguous(plane, size, padding, dilation) else None
    for place, where in positions(size, count, stride, dilation):
        here = places == _flat(plane, count, stride, padding, dilation, place)
        if inner is not None:
            here &= inner[where]
        np.copyto(y, bordered[where], where=here)
    return y


def _ambiguous(plane: Sizes, size: Sizes, padding: Pads, dilation: Sizes) -> bool:
    """Return whether a place of the border may have the flat position of an element of the same window.

    It needs a window that reaches over a whole row and its border, as 3 of 2 elements: left of row 1 is position 1, the
    end of row 0.
    """
    return any(map(any, padding)) and any(d * (k - 1) >= n for n, k, d in zip(plane[1:], size[1:], dilation[1:]))


def _place(
    x: np.ndarray, places: np.ndarray, *, shape: Sizes, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes
) -> np.ndarray:
    n = len(size)
    lead, count = x.shape[: x.ndim - n], x.shape[x.ndim - n :]
    bordered = np.zeros((*lead, *(low + m + high for m, (low, high) in zip(shape, padding))), x.dtype)
    for place, where in positions(size, count, stride, dilation):
        bordered[where] += np.where(places == _flat(shape, count, stride, padding, dilation, place), x, x.dtype.type(0))
    inside: tuple[Any, ...] = tuple(slice(low, low + m) for m, (low, _) in zip(shape, padding))
    return bordered[(..., *inside)]


# ---------------------------------------------------------------------------------------------------- shape rules
def _checked(name: str, x: TensorType, places: TensorType, wanted: Sizes) -> None:
    if x.dtype.kind == "bool":
        raise DTypeError(f"{name} needs a numeric tensor; got bool: use .astype(cr.float32).")
    if places.dtype is not int64:
        raise DTypeError(f"{name}: places must be int64; got {places.dtype.name}: use .astype(cr.int64).")
    if places.shape != wanted:
        raise ShapeError(f"{name}: places must have the shape {wanted}, one per window; got {places.shape}.")


def _pick_shape(
    x: TensorType, places: TensorType, *, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes
) -> TensorType:
    cut = len(x.shape) - len(size)
    wanted = (*x.shape[:cut], *counts(x.shape[cut:], size, stride, padding, dilation))
    _checked("window_pick", x, places, wanted)
    return TensorType(wanted, x.dtype)


def _place_shape(
    x: TensorType, places: TensorType, *, shape: Sizes, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes
) -> TensorType:
    cut = len(x.shape) - len(size)
    wanted = (*x.shape[:cut], *counts(shape, size, stride, padding, dilation))
    if x.shape != wanted:
        raise ShapeError(f"window_place: windows over {shape} give {wanted}; got {x.shape}.")
    _checked("window_place", x, places, wanted)
    return TensorType((*x.shape[:cut], *shape), x.dtype)


# ---------------------------------------------------------------------------------------------------- lowerings
def _pick_element(
    k: Any,
    at: Sequence[Any],
    x: Any,
    places: Any,
    *,
    size: Sizes,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
) -> Any:
    cut = x.ndim - len(size)
    plane, wanted = x.shape[cut:], places(*at)
    found, ambiguous = k.const(0, x.kind), _ambiguous(plane, size, padding, dilation)
    for place in np.ndindex(*size):
        rule = zip(at[cut:], place, stride, padding, dilation)
        where = [k.add(k.mul(i, k.index(s)), k.index(d * j - low)) for i, j, s, (low, _), d in rule]
        inside = k.all_of([k.within(i, 0, n) for i, n in zip(where, plane)])
        value, here = x(*at[:cut], *where, where=inside), k.eq(wanted, k.flat(where, plane))
        if ambiguous and inside.op != "const":
            here = k.both(inside, here)
        elif ambiguous and not inside.data:
            continue
        found = k.select(here, value, found)
    return found


def _place_element(
    k: Any,
    at: Sequence[Any],
    x: Any,
    places: Any,
    *,
    shape: Sizes,
    size: Sizes,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
) -> Any:
    cut = x.ndim - len(size)
    count, me, total = x.shape[cut:], k.flat(at[cut:], shape), None
    apart = all(s >= n and d == 1 for n, s, d in zip(size, stride, dilation))  # at most one window holds an element
    taps = [(0,) * len(size)] if apart else np.ndindex(*size)
    for place in taps:
        window, conditions = [], []
        for i, j, c, s, (low, _), d in zip(at[cut:], place, count, stride, padding, dilation):
            first = -(-max(0, d * j - low) // s) * s  # a multiple of the stride that keeps the number positive
            row, rest = k.divmod(k.add(i, k.index(low - d * j + first)), s)
            row = k.sub(row, k.index(first // s))
            if not apart:
                conditions.append(k.eq(rest, 0))
            conditions.append(k.within(row, 0, c))
            window.append(row)
        inside = k.all_of(conditions)
        mine = k.both(inside, k.eq(places(*at[:cut], *window, where=inside), me)) if inside.op != "const" else None
        mine = k.eq(places(*at[:cut], *window, where=inside), me) if mine is None else mine
        part = k.select(mine, x(*at[:cut], *window, where=inside), 0)
        total = part if total is None else k.add(total, part)
    return k.const(0, x.kind) if total is None else total


# ---------------------------------------------------------------------------------------------------- primitives
def _how(size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> dict[str, Any]:
    return {"size": size, "stride": stride, "padding": padding, "dilation": dilation}


_CASES = [  # shape of x, how
    ((5,), _how((2,), (2,), ((0, 0),), (1,))),
    ((2, 7), _how((3,), (1,), ((1, 1),), (1,))),
    ((0, 4), _how((2,), (2,), ((0, 0),), (1,))),
    ((2, 3, 5, 6), _how((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))),
    ((2, 5, 6), _how((3, 2), (2, 1), ((1, 0), (0, 1)), (1, 2))),
    ((2, 2, 2), _how((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))),  # each window reaches over rows and both borders
    ((1, 3, 4, 3), _how((2, 2, 1), (2, 2, 2), ((0, 0), (0, 0), (0, 0)), (1, 1, 1))),
]


def _found(shape: Sizes, how: dict[str, Any]) -> np.ndarray:
    x = np.random.default_rng(len(shape)).permutation(math.prod(shape)).reshape(shape).astype(np.float64)
    return window_argmax_p.run([x], how)[0]


window_pick_p: Primitive = primitive(
    "window_pick",
    reference=_pick,
    shape=_pick_shape,
    linear=(0,),
    transpose=(
        lambda g, places, x_shape, *, size, stride, padding, dilation: bind(
            window_place_p,
            g,
            places,
            shape=x_shape[len(x_shape) - len(size) :],
            size=size,
            stride=stride,
            padding=padding,
            dilation=dilation,
        ),
        None,
    ),
    lower=IndexMap(_pick_element),
    flops=lambda x, places, **how: 0,
    samples=[Sample((shape, _found(shape, how)), how) for shape, how in _CASES],
    invalid=[
        Invalid(
            (np.zeros(4), np.zeros(3, np.int64)),
            "window_pick: places must have the shape (2,), one per window; got (3,).",
            _how((2,), (2,), ((0, 0),), (1,)),
        ),
        Invalid(
            (np.zeros(4), np.zeros(2)),
            "window_pick: places must be int64; got float64: use .astype(cr.int64).",
            _how((2,), (2,), ((0, 0),), (1,)),
        ),
        Invalid(
            (np.zeros(4, bool), np.zeros(2, np.int64)),
            "window_pick needs a numeric tensor; got bool: use .astype(cr.float32).",
            _how((2,), (2,), ((0, 0),), (1,)),
        ),
    ],
)

window_place_p: Primitive = primitive(
    "window_place",
    reference=_place,
    shape=_place_shape,
    linear=(0,),
    transpose=(
        lambda g, places, *, shape, size, stride, padding, dilation: bind(
            window_pick_p, g, places, size=size, stride=stride, padding=padding, dilation=dilation
        ),
        None,
    ),
    lower=IndexMap(_place_element),
    flops=lambda x, places, **how: x.size,
    samples=[
        Sample((_found(shape, how).shape, _found(shape, how)), {"shape": shape[len(shape) - len(how["size"]) :]} | how)
        for shape, how in _CASES
    ],
    invalid=[
        Invalid(
            (np.zeros(3), np.zeros(3, np.int64)),
            "window_place: windows over (4,) give (2,); got (3,).",
            {"shape": (4,)} | _how((2,), (2,), ((0, 0),), (1,)),
        ),
        Invalid(
            (np.zeros(2, bool), np.zeros(2, np.int64)),
            "window_place needs a numeric tensor; got bool: use .astype(cr.float32).",
            {"shape": (4,)} | _how((2,), (2,), ((0, 0),), (1,)),
        ),
    ],
)

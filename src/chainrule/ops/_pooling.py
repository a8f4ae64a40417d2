"""Windows over the last axes and what is done with them: four linear primitives and the place of the largest element.

    windows        y[..., p, k] = x[..., stride p + dilation k]              overlap_add is its transpose
    window_sum     y[..., p] = sum over k of x[..., stride p + dilation k]   window_spread is its transpose
    window_argmax  the flat position, in the plane of the last axes, of the first largest element of each window

Pooling is made of these (`pool.py`), and so are unfold and fold (`window.py`). The references loop over the places in
the window, never over the windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import int64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import Fold, IndexMap
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.ops._windows import REAL, Pads, Sizes, counts, fitting, padded, positions, view

__all__ = ["overlap_add_p", "window_argmax_p", "window_spread_p", "window_sum_p", "windows_p"]


# ---------------------------------------------------------------------------------------------------- shared rules
def _fit(name: str, x: TensorType, size: Sizes, stride: Sizes, dilation: Sizes, padding: Pads | None = None) -> Sizes:
    n = len(size)
    if x.ndim < n:
        raise ShapeError(f"{name}: a window over {n} axes needs as many; got the shape {x.shape}.")
    return fitting(name, x.shape, size, stride, padding or ((0, 0),) * n, dilation)


def _numeric(name: str, x: TensorType) -> None:
    if x.dtype.kind == "bool":
        raise DTypeError(f"{name} needs a numeric tensor; got bool: use .astype(cr.float32).")


def _how(size: Sizes, stride: Any = 1, dilation: Any = 1) -> dict[str, Sizes]:
    each = lambda value: value if isinstance(value, tuple) else (value,) * len(size)  # noqa: E731
    return {"size": size, "stride": each(stride), "dilation": each(dilation)}


_CASES: list[tuple[Sizes, dict[str, Sizes]]] = [  # shape of x, attributes
    ((5,), _how((2,))),
    ((2, 7), _how((3,), stride=2)),
    ((2, 7), _how((2,), stride=3, dilation=2)),
    ((2, 5, 6), _how((2, 3), stride=(1, 2))),
    ((2, 3, 4, 4), _how((2, 2), stride=2)),
    ((3, 4, 3), _how((2, 2, 1), dilation=(1, 2, 1))),
    ((1,), _how((1,))),
    ((0, 4), _how((2,))),
    ((2, 3), _how(())),
]
_INTEGERS = (np.arange(10).reshape(2, 5) % 4 - 1, _how((2,), stride=2))


def _too_large(name: str) -> Invalid:
    return Invalid(
        (np.zeros((2, 4)),),
        f"{name}: a window of 5 does not fit axis 1 of (2, 4), which has 4 + 0 of padding; "
        "use a smaller window or more padding.",
        _how((3,), dilation=2),
    )


def _too_few_axes(name: str) -> Invalid:
    return Invalid((np.zeros(4),), f"{name}: a window over 2 axes needs as many; got the shape (4,).", _how((2, 2)))


def _lead(shape: Sizes, size: Sizes) -> Sizes:
    return shape[: len(shape) - len(size)]


def _last(shape: Sizes, size: Sizes) -> Sizes:
    return shape[len(shape) - len(size) :]


def _fits(shape: Sizes, how: dict[str, Sizes]) -> Sizes:
    """Return the number of windows of a case."""
    none = ((0, 0),) * len(how["size"])
    return counts(_last(shape, how["size"]), how["size"], how["stride"], none, how["dilation"])


# ---------------------------------------------------------------------------------------------------- windows
def _windows(x: np.ndarray, *, size: Sizes, stride: Sizes, dilation: Sizes) -> np.ndarray:
    n, lead = len(size), x.ndim - len(size)
    count = counts(x.shape[lead:], size, stride, ((0, 0),) * n, dilation)
    found = view(x, size, count, stride, dilation)  # [*lead, *size, *count]
    return found.transpose((*range(lead), *range(lead + n, lead + 2 * n), *range(lead, lead + n)))


def _windows_shape(x: TensorType, *, size: Sizes, stride: Sizes, dilation: Sizes) -> TensorType:
    return TensorType((*_lead(x.shape, size), *_fit("windows", x, size, stride, dilation), *size), x.dtype)


def _windows_element(k: Any, at: Any, x: Any, *, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    n = len(size)
    lead = len(at) - 2 * n
    return x(*at[:lead], *_places(k, at[lead : lead + n], at[lead + n :], stride, dilation))


def _places(k: Any, windows: Any, inside: Any, stride: Sizes, dilation: Sizes) -> list[Any]:
    """Return stride p + dilation j along each axis."""
    rules = zip(windows, inside, stride, dilation)
    return [k.add(k.mul(p, k.index(s)), k.mul(j, k.index(d))) for p, j, s, d in rules]


def _reaching(
    k: Any, at: Any, over: Any, count: Sizes, size: Sizes, stride: Sizes, dilation: Sizes
) -> tuple[list[Any], Any]:
    """Return the windows p with stride p + dilation j = i for places i and j, and whether they exist."""
    found, inside = [], []
    for i, j, c, n, s, d in zip(at, over, count, size, stride, dilation):
        before = -(-d * (n - 1) // s)  # how far i - dilation j can be below 0
        whole, rest = k.divmod(k.add(k.sub(i, k.mul(j, k.index(d))), k.index(before * s)), s)
        p = k.sub(whole, before)
        found.append(p)
        inside.append(k.within(p, 0, c))
        if s > 1:
            inside.append(k.eq(rest, 0))
    return found, k.all_of(inside)


windows_p = primitive(
    "windows",
    lower=IndexMap(_windows_element, view=True),
    reference=_windows,
    shape=_windows_shape,
    linear=(0,),
    transpose=lambda g, x_shape, *, size, stride, dilation: bind(
        overlap_add_p, g, shape=_last(x_shape, size), stride=stride, dilation=dilation
    ),
    samples=[
        *(Sample((shape,), how) for shape, how in _CASES),
        Sample((_INTEGERS[0],), _INTEGERS[1], smooth=False),
        Sample((np.array([True, False, True]),), _how((2,)), smooth=False),
    ],
    invalid=[_too_large("windows"), _too_few_axes("windows")],
)


def _overlap_add(x: np.ndarray, *, shape: Sizes, stride: Sizes, dilation: Sizes) -> np.ndarray:
    n = len(shape)
    lead, count, size = x.shape[: x.ndim - 2 * n], x.shape[x.ndim - 2 * n : x.ndim - n], x.shape[x.ndim - n :]
    out = np.zeros((*lead, *shape), x.dtype)
    for place, where in positions(size, count, stride, dilation):
        out[where] += x[(..., *place)]
    return out


def _overlap_shape(x: TensorType, *, shape: Sizes, stride: Sizes, dilation: Sizes) -> TensorType:
    n = len(shape)
    _numeric("overlap_add", x)
    if x.ndim < 2 * n:
        raise ShapeError(f"overlap_add: windows over {n} axes need {2 * n} axes; got the shape {x.shape}.")
    lead, count, size = x.shape[: x.ndim - 2 * n], x.shape[x.ndim - 2 * n : x.ndim - n], x.shape[x.ndim - n :]
    wanted = counts(shape, size, stride, ((0, 0),) * n, dilation)
    if count != wanted:
        raise ShapeError(
            f"overlap_add: {count} windows of the size {size} are given; {wanted} fit a plane of the size {shape}."
        )
    return TensorType((*lead, *shape), x.dtype)


def _overlap_of(shape: Sizes, how: dict[str, Sizes]) -> tuple[Sizes, dict[str, Sizes]]:
    """Return the shape of the windows of a case and the attributes of their sum."""
    rest = {"shape": _last(shape, how["size"]), "stride": how["stride"], "dilation": how["dilation"]}
    return (*_lead(shape, how["size"]), *_fits(shape, how), *how["size"]), rest


def _overlap_element(k: Any, at: Any, over: Any, x: Any, *, shape: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    n = len(shape)
    lead, count, size = x.ndim - 2 * n, x.shape[x.ndim - 2 * n : x.ndim - n], x.shape[x.ndim - n :]
    places, inside = _reaching(k, at[lead:], over, count, size, stride, dilation)
    value = x(*at[:lead], *places, *over, where=inside)
    return k.select(inside, value, k.const(0, value))


overlap_add_p: Primitive = primitive(
    "overlap_add",
    lower=Fold("add", lambda x, *, shape, **how: x[len(x) - len(shape) :], _overlap_element),
    reference=_overlap_add,
    shape=_overlap_shape,
    linear=(0,),
    transpose=lambda g, x_shape, *, shape, stride, dilation: bind(
        windows_p, g, size=x_shape[len(x_shape) - len(shape) :], stride=stride, dilation=dilation
    ),
    flops=lambda x, *, shape, stride, dilation: x.size,
    samples=[
        *(Sample((shapes,), how) for shapes, how in (_overlap_of(*case) for case in _CASES)),
        Sample((np.arange(8).reshape(2, 2, 2),), _overlap_of((2, 5), _INTEGERS[1])[1], smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros((3, 2)),),
            "overlap_add: (3,) windows of the size (2,) are given; (4,) fit a plane of the size (5,).",
            {"shape": (5,), "stride": (1,), "dilation": (1,)},
        ),
        Invalid(
            (np.zeros(3),),
            "overlap_add: windows over 1 axes need 2 axes; got the shape (3,).",
            {"shape": (5,), "stride": (1,), "dilation": (1,)},
        ),
        Invalid(
            (np.zeros((4, 2), bool),),
            "overlap_add needs a numeric tensor; got bool: use .astype(cr.float32).",
            {"shape": (5,), "stride": (1,), "dilation": (1,)},
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- window_sum
def _window_sum(x: np.ndarray, *, size: Sizes, stride: Sizes, dilation: Sizes) -> np.ndarray:
    count = counts(_last(x.shape, size), size, stride, ((0, 0),) * len(size), dilation)
    out = np.zeros((*_lead(x.shape, size), *count), x.dtype)
    for _, where in positions(size, count, stride, dilation):
        out += x[where]
    return out


def _window_sum_shape(x: TensorType, *, size: Sizes, stride: Sizes, dilation: Sizes) -> TensorType:
    _numeric("window_sum", x)
    return TensorType((*_lead(x.shape, size), *_fit("window_sum", x, size, stride, dilation)), x.dtype)


def _window_sum_element(k: Any, at: Any, over: Any, x: Any, *, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    lead = len(at) - len(size)
    return x(*at[:lead], *_places(k, at[lead:], over, stride, dilation))


window_sum_p = primitive(
    "window_sum",
    lower=Fold("add", lambda x, *, size, **how: size, _window_sum_element),
    reference=_window_sum,
    shape=_window_sum_shape,
    linear=(0,),
    transpose=lambda g, x_shape, *, size, stride, dilation: bind(
        window_spread_p, g, shape=_last(x_shape, size), size=size, stride=stride, dilation=dilation
    ),
    flops=lambda x, *, size, stride, dilation: (
        math.prod(size) * _window_sum_shape(x, size=size, stride=stride, dilation=dilation).size
    ),
    samples=[
        *(Sample((shape,), how) for shape, how in _CASES),
        Sample((_INTEGERS[0],), _INTEGERS[1], smooth=False),
    ],
    invalid=[
        _too_large("window_sum"),
        _too_few_axes("window_sum"),
        Invalid(
            (np.zeros(3, bool),),
            "window_sum needs a numeric tensor; got bool: use .astype(cr.float32).",
            _how((2,)),
        ),
    ],
)


def _window_spread(x: np.ndarray, *, shape: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> np.ndarray:
    out = np.zeros((*_lead(x.shape, size), *shape), x.dtype)
    for _, where in positions(size, _last(x.shape, size), stride, dilation):
        out[where] += x
    return out


def _window_spread_shape(x: TensorType, *, shape: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> TensorType:
    _numeric("window_spread", x)
    wanted = counts(shape, size, stride, ((0, 0),) * len(size), dilation)
    if _last(x.shape, size) != wanted or x.ndim < len(size):
        raise ShapeError(f"window_spread: the last axes of {x.shape} must be {wanted}, the windows that fit {shape}.")
    return TensorType((*_lead(x.shape, size), *shape), x.dtype)


def _spread_element(
    k: Any, at: Any, over: Any, x: Any, *, shape: Sizes, size: Sizes, stride: Sizes, dilation: Sizes
) -> Any:
    lead = len(at) - len(size)
    places, inside = _reaching(k, at[lead:], over, x.shape[lead:], size, stride, dilation)
    value = x(*at[:lead], *places, where=inside)
    return k.select(inside, value, k.const(0, value))


window_spread_p: Primitive = primitive(
    "window_spread",
    lower=Fold("add", lambda x, *, size, **how: size, _spread_element),
    reference=_window_spread,
    shape=_window_spread_shape,
    linear=(0,),
    transpose=lambda g, *, size, stride, dilation: bind(window_sum_p, g, size=size, stride=stride, dilation=dilation),
    flops=lambda x, *, shape, size, stride, dilation: math.prod(size) * x.size,
    samples=[
        *(
            Sample(((*_lead(shape, how["size"]), *_fits(shape, how)),), {"shape": _last(shape, how["size"]), **how})
            for shape, how in _CASES
        ),
        Sample((np.arange(4).reshape(2, 2),), {"shape": (5,), **_INTEGERS[1]}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros((2, 3)),),
            "window_spread: the last axes of (2, 3) must be (4,), the windows that fit (5,).",
            {"shape": (5,), **_how((2,))},
        ),
        Invalid(
            (np.zeros(4, bool),),
            "window_spread needs a numeric tensor; got bool: use .astype(cr.float32).",
            {"shape": (5,), **_how((2,))},
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- window_argmax
def _window_argmax(x: np.ndarray, *, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> np.ndarray:
    plane = _last(x.shape, size)
    count = counts(plane, size, stride, padding, dilation)
    lowest = -np.inf if x.dtype.kind not in "iu" else np.iinfo(x.dtype).min
    bordered = padded(x, padding, lowest)
    best = np.full((*_lead(x.shape, size), *count), lowest, x.dtype)
    where_best = np.broadcast_to(_first(plane, count, stride, padding, dilation), best.shape).copy()
    for place, where in positions(size, count, stride, dilation):
        candidate = bordered[where]
        better = candidate > best
        if x.dtype.kind not in "iu":
            better |= np.isnan(candidate)
        np.copyto(best, candidate, where=better)
        np.copyto(where_best, _flat(plane, count, stride, padding, dilation, place), where=better)
    return where_best


def _flat(plane: Sizes, count: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, place: Sizes) -> np.ndarray:
    """Return the flat position that one place of each window has in the plane, [*count]."""
    total = np.zeros(count, np.int64)
    for axis, (n, c, s, (low, _), d, k) in enumerate(zip(plane, count, stride, padding, dilation, place)):
        row = np.arange(c) * s + d * k - low
        total = total * n + row.reshape((1,) * axis + (-1,) + (1,) * (len(count) - axis - 1))
    return total


def _first(plane: Sizes, count: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> np.ndarray:
    """Return the flat position of the first element of each window that is not padding, [*count]."""
    total = np.zeros(count, np.int64)
    for axis, (n, c, s, (low, _), d) in enumerate(zip(plane, count, stride, padding, dilation)):
        start = np.arange(c) * s - low
        row = start + d * np.maximum(0, -(start // d))  # the first start + d k >= 0
        total = total * n + row.reshape((1,) * axis + (-1,) + (1,) * (len(count) - axis - 1))
    return total


def _window_argmax_shape(x: TensorType, *, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> TensorType:
    if x.dtype.kind not in REAL:
        raise DTypeError(f"window_argmax needs a real numeric tensor; got {x.dtype.name}: use .astype(cr.float32).")
    count = _fit("window_argmax", x, size, stride, dilation, padding)
    for n, c, s, (low, _), d, k in zip(_last(x.shape, size), count, stride, padding, dilation, size):
        for p in (0, c - 1):
            inside = [p * s + d * j - low for j in range(k) if 0 <= p * s + d * j - low < n]
            if not inside:
                raise ShapeError(
                    f"window_argmax: window {p} of an axis of {n} lies in the padding ({low}) alone; use less padding."
                )
    return TensorType((*_lead(x.shape, size), *count), int64)


def _padding(*pads: tuple[int, int]) -> dict[str, Pads]:
    return {"padding": pads}


def _argmax_element(
    k: Any, at: Sequence[Any], x: Any, *, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes
) -> Any:
    cut = x.ndim - len(size)
    plane, best, found = x.shape[cut:], None, None
    for place in np.ndindex(*size):
        rule = zip(at[cut:], place, stride, padding, dilation)
        where = [k.add(k.mul(i, k.index(s)), k.index(d * j - low)) for i, j, s, (low, _), d in rule]
        inside = k.all_of([k.within(i, 0, n) for i, n in zip(where, plane)])
        if inside.op == "const" and not inside.data:
            continue
        value, position = x(*at[:cut], *where, where=inside), k.flat(where, plane)
        if best is None:
            lowest = k.const(-np.inf if value.is_float else np.iinfo(x.dtype.numpy).min, value)
            best, found = k.select(inside, value, lowest), k.cast(position, "i64")
            taken = inside
            continue
        better = k.either(k.gt(value, best), k.ne(value, value)) if value.is_float else k.gt(value, best)
        better = k.both(inside, k.either(better, k.invert(taken)) if taken.op != "const" else better)
        best, found = k.select(better, value, best), k.select(better, position, found)
        taken = k.either(taken, inside) if taken.op != "const" else taken
    return found


window_argmax_p = primitive(
    "window_argmax",
    reference=_window_argmax,
    lower=IndexMap(_argmax_element),
    shape=_window_argmax_shape,
    flops=lambda x, **how: math.prod(how["size"]) * _window_argmax_shape(x, **how).size,
    samples=[
        *(Sample((shape,), how | _padding(*((0, 0),) * len(how["size"])), smooth=False) for shape, how in _CASES),
        Sample(((2, 5),), _how((3,), stride=2) | _padding((1, 2)), smooth=False),
        Sample(((2, 4, 5),), _how((3, 2), stride=2, dilation=(1, 2)) | _padding((1, 1), (1, 0)), smooth=False),
        Sample((np.array([1.0, np.nan, 0.0, -np.inf, -np.inf]),), _how((2,)) | _padding((0, 0)), smooth=False),
        Sample((np.array([3, 3, 1, 7, 7]),), _how((3,)) | _padding((1, 1)), smooth=False),
    ],
    invalid=[
        Invalid(
            (np.zeros(3, bool),),
            "window_argmax needs a real numeric tensor; got bool: use .astype(cr.float32).",
            _how((2,)) | _padding((0, 0)),
        ),
        Invalid(
            (np.zeros(3),),
            "window_argmax: window 0 of an axis of 3 lies in the padding (2) alone; use less padding.",
            _how((2,)) | _padding((2, 0)),
        ),
        Invalid(
            (np.zeros(1),),
            "window_argmax: window 0 of an axis of 1 lies in the padding (1) alone; use less padding.",
            _how((2,), dilation=2) | _padding((1, 1)),
        ),
    ],
)

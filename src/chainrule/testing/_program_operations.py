"""The operations that random programs are made of: which inputs they take, with which attributes, and where not.

An operation chooses its attributes from the shapes of its inputs, or refuses them; `safe` says of the values whether
they are in its domain and away from its kinks, ties and poles by at least `MARGIN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr

__all__ = ["MARGIN", "OPERATIONS", "Operation"]

MARGIN = 1e-2
Shape = tuple[int, ...]
Attributes = dict[str, Any]


def _always(*values: np.ndarray, **attributes: Any) -> bool:
    return True


@dataclass(frozen=True)
class Operation:
    """One kind of step.

    Args:
        name: by which tables of other libraries find it.
        arity: number of inputs.
        apply: `apply(*tensors, **attributes)` in chainrule.
        choose: `choose(rng, *shapes)` returns attributes, or None for shapes that do not fit.
        safe: `safe(*arrays, **attributes)`: whether the values are in the domain and away from kinks.
    """

    name: str
    arity: int
    apply: Callable[..., Any]
    choose: Callable[..., Attributes | None]
    safe: Callable[..., bool] = _always


OPERATIONS: dict[str, Operation] = {}


def _add(name: str, arity: int, apply: Callable, choose: Callable, safe: Callable = _always) -> None:
    OPERATIONS[name] = Operation(name, arity, apply, choose, safe)


# ---------------------------------------------------------------------------------------------------- elementwise
def _plain(rng: np.random.Generator, *shapes: Shape) -> Attributes | None:
    """Fit shapes that broadcast against each other."""
    try:
        return {} if np.broadcast_shapes(*shapes) is not None else None
    except ValueError:
        return None


def _off(*places: float) -> Callable[..., bool]:
    """Return whether every element keeps its distance from the places."""
    return lambda x: all((np.abs(x - place) > MARGIN).all() for place in places)


def _apart(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((np.abs(a - b) > MARGIN).all())


def _inside(low: float, high: float) -> Callable[..., bool]:
    return lambda x: bool((x > low).all() and (x < high).all())


for _name in ("negative", "sin", "cos", "tanh", "sigmoid", "erf", "square", "asinh", "atan", "gelu", "silu"):
    _add(_name, 1, getattr(cr, _name), _plain)
for _name, _high in (("exp", 3.0), ("expm1", 3.0), ("sinh", 3.0), ("cosh", 3.0), ("softplus", 30.0)):
    _add(_name, 1, getattr(cr, _name), _plain, _inside(-30.0, _high))
for _name, _low in (("log", 0.1), ("log2", 0.1), ("sqrt", 0.1), ("rsqrt", 0.2), ("log1p", -0.9), ("acosh", 1.1)):
    _add(_name, 1, getattr(cr, _name), _plain, _inside(_low, 1e6))
for _name in ("asin", "acos", "atanh"):
    _add(_name, 1, getattr(cr, _name), _plain, _inside(-0.95, 0.95))
for _name in ("abs", "relu"):
    _add(_name, 1, getattr(cr, _name), _plain, _off(0.0))
_add("reciprocal", 1, cr.reciprocal, _plain, lambda x: bool((np.abs(x) > 0.2).all()))
_add("leaky_relu", 1, cr.leaky_relu, _plain, _off(0.0))
_add("elu", 1, cr.elu, _plain, _off(0.0))
_add("clip", 1, lambda x: cr.clip(x, -0.5, 1.5), _plain, _off(-0.5, 1.5))
for _name in ("add", "subtract", "multiply"):
    _add(_name, 2, getattr(cr, _name), _plain)
_add("divide", 2, cr.divide, _plain, lambda a, b: bool((np.abs(b) > 0.2).all()))
_add("maximum", 2, cr.maximum, _plain, _apart)
_add("minimum", 2, cr.minimum, _plain, _apart)
_add("hypot", 2, cr.hypot, _plain, lambda a, b: bool((a * a + b * b > 0.01).all()))
_add(
    "atan2",
    2,
    cr.atan2,
    _plain,
    lambda a, b: bool((a * a + b * b > 0.01).all() and ((np.abs(a) > MARGIN) | (b > 0)).all()),
)
_add("logaddexp", 2, cr.logaddexp, _plain)
_add("pow", 2, cr.pow, _plain, lambda a, b: bool((a > 0.2).all() and (np.abs(b) < 4).all()))
_add("where", 3, lambda a, b, c: cr.where(a > 0, b, c), _plain, lambda a, b, c: bool((np.abs(a) > MARGIN).all()))


# ---------------------------------------------------------------------------------------------------- along axes
def _axis(rng: np.random.Generator, shape: Shape) -> Attributes | None:
    return {"axis": int(rng.integers(len(shape)))} if shape else None


def _reduction(rng: np.random.Generator, shape: Shape) -> Attributes | None:
    """Choose an axis or all of them."""
    if not shape:
        return None
    axis = None if rng.random() < 0.2 else int(rng.integers(len(shape)))
    return {"axis": axis, "keepdims": bool(rng.random() < 0.4)}


def _distinct(x: np.ndarray, axis: int | None, **rest: Any) -> bool:
    """Return whether no two elements along the axis are close."""
    ordered = np.sort(x, axis=axis)
    return bool((np.diff(ordered, axis=-1 if axis is None else axis) > MARGIN).all())


def _spread(x: np.ndarray, axis: int | None, keepdims: bool) -> bool:
    return bool((x.var(axis=axis) > 0.05).all())


for _name in ("sum", "mean", "logsumexp"):
    _add(_name, 1, getattr(cr, _name), _reduction)
_add("prod", 1, cr.prod, _reduction)
_add("max", 1, cr.max, _reduction, _distinct)
_add("min", 1, cr.min, _reduction, _distinct)
_add("var", 1, cr.var, _reduction)
_add("std", 1, cr.std, _reduction, _spread)
for _name in ("softmax", "log_softmax", "cumulative_sum"):
    _add(_name, 1, getattr(cr, _name), _axis)
_add("cumulative_prod", 1, cr.cumulative_prod, _axis)
_add("sort", 1, cr.sort, _axis, _distinct)


def _top(rng: np.random.Generator, shape: Shape) -> Attributes | None:
    chosen = _axis(rng, shape)
    return chosen and {"k": int(rng.integers(1, shape[chosen["axis"]] + 1)), **chosen}


_add("top_k", 1, lambda x, k, axis: cr.top_k(x, k, axis=axis)[0], _top, lambda x, k, axis: _distinct(x, axis))


# ---------------------------------------------------------------------------------------------------- shapes
def _reshape(rng: np.random.Generator, shape: Shape) -> Attributes:
    size = int(np.prod(shape))
    first = int(rng.choice([n for n in range(1, size + 1) if size % n == 0]))
    return {"shape": (first, size // first) if rng.random() < 0.7 else (size,)}


def _permutation(rng: np.random.Generator, shape: Shape) -> Attributes | None:
    return {"axes": tuple(int(a) for a in rng.permutation(len(shape)))} if len(shape) > 1 else None


def _joined(rng: np.random.Generator, first: Shape, second: Shape) -> Attributes | None:
    fits = [a for a in range(len(first)) if len(first) == len(second) and _but(first, a) == _but(second, a)]
    return {"axis": int(rng.choice(fits))} if fits else None


def _but(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _key(rng: np.random.Generator, shape: Shape) -> Attributes | None:
    """Choose an index or a slice per axis."""
    if not shape:
        return None
    key: list[Any] = []
    for n in shape:
        start, stop = sorted(int(i) for i in rng.integers(0, n + 1, 2))
        chances: list[Any] = [
            slice(None),
            slice(None, None, -1),
            slice(start, max(stop, start + 1)),
            slice(None, None, 2),
        ]
        key.append(int(rng.integers(-n, n)) if rng.random() < 0.2 else chances[rng.integers(len(chances))])
    if 0 in np.empty(shape)[tuple(key)].shape:
        return None
    return {"key": tuple(key)}


def _rows(rng: np.random.Generator, shape: Shape) -> Attributes | None:
    chosen = _axis(rng, shape)
    if chosen is None:
        return None
    picked = rng.integers(0, shape[chosen["axis"]], int(rng.integers(1, 5)))
    return {"indices": tuple(int(i) for i in picked), **chosen}


def _put(rng: np.random.Generator, first: Shape, second: Shape) -> Attributes | None:
    """Fit a value to a row, or to several rows, of the first."""
    if not first or second != first[1:]:
        return None
    return {"row": int(rng.integers(first[0]))}


def _padding(rng: np.random.Generator, shape: Shape) -> Attributes | None:
    return {"widths": tuple((int(a), int(b)) for a, b in rng.integers(0, 2, (len(shape), 2)))} if shape else None


_add("reshape", 1, cr.reshape, _reshape)
_add("permute_dims", 1, cr.permute_dims, _permutation)
_add(
    "expand_dims",
    1,
    lambda x, axis: cr.expand_dims(x, axis=axis),
    lambda rng, shape: {"axis": int(rng.integers(len(shape) + 1))},
)
_add("flip", 1, cr.flip, _axis)
_add(
    "roll",
    1,
    lambda x, shift, axis: cr.roll(x, shift, axis=axis),
    lambda rng, shape: (chosen := _axis(rng, shape)) and {"shift": int(rng.integers(-3, 4)), **chosen},
)
_add("tile", 1, lambda x, count: cr.tile(x, (count,)), lambda rng, shape: {"count": 2} if shape else None)
_add(
    "repeat",
    1,
    lambda x, count, axis: cr.repeat(x, count, axis=axis),
    lambda rng, shape: (chosen := _axis(rng, shape)) and {"count": 2, **chosen},
)
_add("tril", 1, cr.tril, lambda rng, shape: {"k": int(rng.integers(-1, 2))} if len(shape) >= 2 else None)
_add("concat", 2, lambda a, b, axis: cr.concat([a, b], axis=axis), _joined)
_add(
    "stack",
    2,
    lambda a, b, axis: cr.stack([a, b], axis=axis),
    lambda rng, a, b: {"axis": int(rng.integers(len(a) + 1))} if a == b else None,
)
_add("getitem", 1, lambda x, key: x[key], _key)
_add("take", 1, lambda x, indices, axis: cr.take(x, cr.asarray(indices), axis=axis), _rows)
_add("put", 2, lambda x, value, row: cr.put(x, row, value), _put)
_add("pad", 1, lambda x, widths: cr.pad(x, widths), _padding)


# ---------------------------------------------------------------------------------------------------- products
def _product(rng: np.random.Generator, a: Shape, b: Shape) -> Attributes | None:
    if not a or not b or a[-1] != b[max(-2, -len(b))]:
        return None
    return _plain(rng, a[:-2], b[:-2])


def _same_last(rng: np.random.Generator, a: Shape, b: Shape) -> Attributes | None:
    return {} if len(a) == len(b) == 2 and a[1] == b[1] else None


def _convolved(rng: np.random.Generator, x: Shape, w: Shape) -> Attributes | None:
    if len(x) != 3 or len(w) != 3 or x[1] != w[1] or x[2] < w[2]:
        return None
    return {"stride": int(rng.integers(1, 3)), "padding": int(rng.integers(0, 2))}


def _square(rng: np.random.Generator, a: Shape, b: Shape) -> Attributes | None:
    return {} if len(a) == len(b) == 2 and a[0] == b[0] else None


def _solved(a: Any, b: Any) -> Any:
    """Solve with a matrix that is far from singular, made of the first input."""
    return cr.linalg.solve(a @ a.T + 2 * cr.eye(a.shape[0], dtype=a.dtype), b)


_add("matmul", 2, cr.matmul, _product)
_add("einsum", 2, lambda a, b: cr.einsum("ik,jk->ij", a, b), _same_last)
_add("outer", 2, cr.outer, lambda rng, a, b: {} if len(a) == len(b) == 1 else None)
_add("conv1d", 2, lambda x, w, stride, padding: cr.conv1d(x, w, stride=stride, padding=padding), _convolved)
_add("solve", 2, _solved, _square)


def fitting(name: str, rng: np.random.Generator, shapes: Sequence[Shape]) -> Attributes | None:
    """Return attributes with which an operation takes inputs of these shapes, or None."""
    return OPERATIONS[name].choose(rng, *shapes)

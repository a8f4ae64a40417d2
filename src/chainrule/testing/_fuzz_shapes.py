"""Makers of the compiler's random programs that move elements and multiply: views, gathers, products, windows.

They register themselves in `MAKERS` of `_fuzz_operations`, where the rules of a maker stand.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.core.tensor import Tensor
from chainrule.testing._fuzz_operations import Made, Pool, _axis, _maker

F = cr.nn.functional


# ---------------------------------------------------------------------------------------------------- views
@_maker("views")
def _reshape(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.size > 0)
    if x is None:
        return None
    rest, shape = pool.values[x].size, []
    for _ in range(int(pool.rng.integers(0, 4))):
        shape.append(int(pool.rng.choice([n for n in range(1, rest + 1) if rest % n == 0])))
        rest //= shape[-1]
    sizes = (*shape, rest)
    return (x,), lambda v: cr.reshape(v, sizes)


@_maker("views")
def _permute(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.ndim > 1)
    if x is None:
        return None
    axes = tuple(int(a) for a in pool.rng.permutation(pool.values[x].ndim))
    return (x,), lambda v: cr.permute_dims(v, axes)


@_maker("views")
def _slice(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.ndim > 0 and v.size > 0)
    if x is None:
        return None
    key: list[Any] = []
    for n in pool.values[x].shape:
        start, stop = sorted(int(i) for i in pool.rng.integers(0, n + 1, 2))
        cut = slice(start, max(stop, start + 1), int(pool.rng.integers(1, 3)))
        key.append(pool.one_of(slice(None), slice(None), slice(None, None, -1), cut, cut))
    if pool.rng.random() < 0.2:
        key[int(pool.rng.integers(len(key)))] = 0
    return (x,), lambda v: v[tuple(key)]


@_maker("views")
def _pad(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.ndim > 0 and v.dtype.name != "bool")
    if x is None:
        return None
    widths = [(int(a), int(b)) for a, b in pool.rng.integers(0, 3, (pool.values[x].ndim, 2))]
    return (x,), lambda v: cr.pad(v, widths)


@_maker("views")
def _join(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.ndim > 0)
    if x is None:
        return None
    a = pool.values[x]
    axis = int(pool.rng.integers(a.ndim))
    rest = a.shape[:axis] + a.shape[axis + 1 :]

    def like(v: Tensor) -> bool:
        return v.dtype == a.dtype and v.ndim == a.ndim and v.shape[:axis] + v.shape[axis + 1 :] == rest

    others = [n for n in (pool.pick(like) for _ in range(int(pool.rng.integers(1, 4)))) if n is not None]
    if pool.rng.random() < 0.3 and all(pool.values[n].shape == a.shape for n in others):
        return (x, *others), lambda *v: cr.stack(list(v), axis=axis)
    return (x, *others), lambda *v: cr.concat(list(v), axis=axis)


@_maker("views")
def _move(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.ndim > 0)
    if x is None:
        return None
    v = pool.values[x]
    axis, shift = _axis(pool, v), int(pool.rng.integers(-3, 4))
    shape = (int(pool.rng.integers(1, 4)), *v.shape)
    what = pool.one_of(
        lambda v: cr.flip(v, axis=axis),
        lambda v: cr.roll(v, shift, axis=axis),
        lambda v: cr.repeat(v, 2, axis=axis),
        lambda v: cr.broadcast_to(v, shape),
        lambda v: cr.expand_dims(v, axis=axis),
    )
    if v.ndim > 1 and pool.rng.random() < 0.2:
        return (x,), pool.one_of(lambda v: cr.tril(v, k=shift), lambda v: cr.triu(v, k=shift))
    return (x,), what


# ---------------------------------------------------------------------------------------------------- gathers
def _indices(pool: Pool, n: int, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Any]:
    """Return how to get indices below n: known ones, or made of an integer value of the pool."""
    made = pool.pick(lambda v: v.dtype.name in ("int32", "int64") and v.ndim == 1 and 0 < v.size <= 64)
    if made is not None and len(shape) == 1 and pool.rng.random() < 0.6:
        return (made,), lambda v: cr.remainder(v, n)
    known = Tensor(pool.rng.integers(0, n, shape).astype(pool.one_of(np.int32, np.int64)))
    return (), lambda: known


@_maker("gathers")
def _take(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.ndim > 0 and v.size > 0)
    if x is None:
        return None
    v = pool.values[x]
    axis = int(pool.rng.integers(v.ndim))
    rest, indices = _indices(pool, v.shape[axis], (int(pool.rng.integers(1, 20)),))
    return (x, *rest), lambda v, *i: cr.take(v, indices(*i), axis=axis)


@_maker("gathers")
def _take_along(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.ndim > 0 and v.size > 0)
    if x is None:
        return None
    v = pool.values[x]
    axis = int(pool.rng.integers(v.ndim))
    shape = tuple(int(pool.rng.integers(1, 6)) if a == axis else n for a, n in enumerate(v.shape))
    known = Tensor(pool.rng.integers(0, v.shape[axis], shape))
    return (x,), lambda v: cr.take_along_axis(v, known, axis=axis)


@_maker("gathers")
def _scatter(pool: Pool) -> Made | None:
    x = pool.floating(1, 2, 3)
    if x is None or pool.values[x].size == 0:
        return None
    v = pool.values[x]
    rows = int(pool.rng.integers(1, 12))
    rest, indices = _indices(pool, rows, (v.shape[0],))
    if rest and pool.values[rest[0]].shape[0] != v.shape[0]:
        return None
    if pool.rng.random() < 0.5:
        return (x, *rest), lambda v, *i: cr.segment_sum(v, indices(*i), rows)
    base = pool.constant((rows, *v.shape[1:]), v.dtype.name)
    return (x, *rest), lambda v, *i: cr.index_add(base, indices(*i), v)


@_maker("gathers")
def _put(pool: Pool) -> Made | None:
    x = pool.floating(1, 2, 3)
    if x is None or pool.values[x].size == 0:
        return None
    v = pool.values[x]
    row, number = int(pool.rng.integers(-v.shape[0], v.shape[0])), pool.one_of(0.0, 1.5)
    mask = pool.pick(lambda m: m.dtype.name == "bool" and m.shape == v.shape)
    if mask is not None and pool.rng.random() < 0.5:
        return (x, mask), lambda v, m: cr.where(m, number, v)
    return (x,), lambda v: cr.put(v, row, number)


@_maker("gathers")
def _one_hot(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.dtype.name in ("int32", "int64") and v.ndim < 3 and v.size <= 200)
    classes = int(pool.rng.integers(1, 18))
    return None if x is None else ((x,), lambda v: cr.one_hot(cr.remainder(v, classes), classes))


# ---------------------------------------------------------------------------------------------------- products
def _size(pool: Pool) -> int:
    if pool.wide:
        return int(pool.rng.choice([40, 50, 65, 70, 90, 97]))
    sizes = [1, 2, 3, 5, 7, 8, 16, 17, 33]
    return int(pool.rng.choice([0, *sizes] if pool.rng.random() < 0.1 else sizes))


@_maker("products")
def _matmul(pool: Pool) -> Made | None:
    x = pool.floating(1, 2, 3, 4)
    if x is None:
        return None
    v = pool.values[x]
    left = bool(pool.rng.random() < 0.5)
    inner = v.shape[-1] if left or v.ndim == 1 else v.shape[-2]
    same = pool.pick(lambda o: o.dtype == v.dtype and o.ndim in (1, 2, 3) and _fits(v, o, left))
    if same is not None and pool.rng.random() < 0.5:
        return ((x, same) if left else (same, x)), cr.matmul
    batch = v.shape[:-2] if v.ndim > 2 and pool.rng.random() < 0.5 else ()
    shape = (inner, _size(pool)) if left else (_size(pool), inner)
    transposed = pool.rng.random() < 0.5
    other = pool.constant((*batch, *(shape[::-1] if transposed else shape)), v.dtype.name)

    def product(v: Tensor) -> Tensor:
        w = cr.matrix_transpose(other) if transposed else other
        return cr.matmul(v, w) if left else cr.matmul(w, v)

    return (x,), product


def _fits(v: Tensor, o: Tensor, left: bool) -> bool:
    a, b = (v, o) if left else (o, v)
    if a.shape[-1] != b.shape[max(-2, -b.ndim)]:
        return False
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a.shape[:-2]), reversed(b.shape[:-2]), strict=False))


@_maker("products")
def _gram(pool: Pool) -> Made | None:
    """Return a product of a value with itself, in all transpositions."""
    x = pool.floating(2, 3)
    what = pool.one_of(
        lambda v: cr.matmul(v, cr.matrix_transpose(v)),
        lambda v: cr.matmul(cr.matrix_transpose(v), v),
        lambda v: cr.matrix_transpose(cr.matmul(cr.matrix_transpose(v), v * 0.5)),
        lambda v: cr.matmul(cr.softmax(cr.matmul(v, cr.matrix_transpose(v)) * 0.25, axis=-1), v),
    )
    return None if x is None else ((x,), what)


# ---------------------------------------------------------------------------------------------------- windows
@_maker("windows")
def _conv(pool: Pool) -> Made | None:
    rank = int(pool.rng.choice([1, 2, 2, 2, 3]))
    x = pool.floating(rank + 2)
    if x is None:
        return None
    v = pool.values[x]
    channels = v.shape[1]
    if channels == 0 or 0 in v.shape:
        return None
    groups = int(pool.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    groups = pool.one_of(1, 1, groups, channels)
    out = groups * int(pool.rng.choice([1, 2, 3, 5] if not pool.wide else [1, max(1, 40 // groups)]))
    stride, padding = int(pool.rng.choice([1, 1, 2, 3])), int(pool.rng.choice([0, 0, 1, 2]))
    dilation = int(pool.rng.choice([1, 1, 1, 2]))
    size = [min(int(pool.rng.choice([1, 2, 3, 3])), n + 2 * padding) for n in v.shape[2:]]
    weight = pool.constant((out, channels // groups, *size), v.dtype.name)
    own = pool.pick(lambda w: w.dtype == v.dtype and w.shape == weight.shape)
    conv = getattr(F, f"conv{rank}d")
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if own is not None:
        return (x, own), lambda v, w: conv(v, w, **settings)
    if pool.rng.random() < 0.5:
        bias = pool.constant((out,), v.dtype.name)
        return (x,), lambda v: conv(v, weight, bias, **settings)
    return (x,), lambda v: conv(v, weight, **settings)


@_maker("windows")
def _conv_transpose(pool: Pool) -> Made | None:
    rank = int(pool.rng.choice([1, 2]))
    x = pool.floating(rank + 2)
    if x is None or 0 in pool.values[x].shape:
        return None
    v = pool.values[x]
    channels, size = (int(n) for n in pool.rng.integers(1, 5, 2))
    weight = pool.constant((v.shape[1], channels, *[min(size, 3)] * rank), v.dtype.name)
    stride = int(pool.rng.integers(1, 3))
    return (x,), lambda v: getattr(F, f"conv_transpose{rank}d")(v, weight, stride=stride)


@_maker("windows")
def _pool_windows(pool: Pool) -> Made | None:
    rank = int(pool.rng.choice([1, 2, 2, 3]))
    x = pool.floating(rank + 2)
    if x is None:
        return None
    size, stride = int(pool.rng.integers(1, 4)), int(pool.rng.integers(1, 4))
    padding = int(pool.rng.integers(0, size // 2 + 1))
    kind = pool.one_of("max", "avg")
    return (x,), lambda v: getattr(F, f"{kind}_pool{rank}d")(v, size, stride, padding)


@_maker("windows")
def _image(pool: Pool) -> Made | None:
    """Make an image of any float value, so that windows have something to look at."""
    x = pool.pick(lambda v: v.dtype.is_float and v.size >= 12)
    if x is None:
        return None
    size = pool.values[x].size
    side = math.isqrt(size)
    h = next(n for n in range(min(side, 9), 0, -1) if size % n == 0)
    rest = size // h
    w = next(n for n in range(min(9, rest), 0, -1) if rest % n == 0)
    rest //= w
    c = next(n for n in range(min(5, rest), 0, -1) if rest % n == 0)
    shape = (rest // c, c, h, w)
    return (x,), lambda v: cr.reshape(v, shape)


@_maker("windows")
def _filter(pool: Pool) -> Made | None:
    """Make a filter of a value, so that its gradient goes through a weight."""
    x = pool.floating(4)
    w = pool.pick(lambda v: v.dtype.is_float and v.size >= 9)
    if x is None or w is None:
        return None
    v = pool.values[x]
    need = v.shape[1] * 9
    if need == 0 or pool.values[w].size < need or pool.values[w].dtype != v.dtype or min(v.shape[2:], default=0) < 1:
        return None
    out = min(pool.values[w].size // need, 48)
    padding = pool.one_of(1, 1, 2)

    def convolved(v: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(v, cr.reshape(cr.reshape(w, (-1,))[: out * need], (out, v.shape[1], 3, 3)), padding=padding)

    return (x, w), convolved

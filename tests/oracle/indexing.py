"""Entries of the database that pick, place, sort and search: indexing, gather and scatter, masks, order, histograms."""

from __future__ import annotations

from typing import Any

from tests.oracle.harness import Operator
from tests.oracle.shapes import atleast

import chainrule as cr


def _index(x: cr.Tensor) -> cr.Tensor:
    return x.astype(cr.int64)


def _vector(value: Any) -> Any:
    """PyTorch lets a tensor without axes stand for a vector of one element."""
    return atleast(1)(value) if isinstance(value, cr.Tensor) else value


def _source(source: Any, index: cr.Tensor) -> Any:
    """Return the corner of the updates that the indices use."""
    source = _vector(source)
    return source[tuple(slice(n) for n in index.shape)] if isinstance(source, cr.Tensor) else source


def gather(x, dim, index):
    y = _vector(x)
    i = _vector(_index(index))
    corner = tuple(slice(None if a == dim % y.ndim else n) for a, n in enumerate(i.shape))
    y = cr.take_along_axis(y[corner], i, axis=dim) if i.size else cr.zeros(i.shape, dtype=x.dtype)
    return cr.reshape(y, index.shape)


def scattered(function: Any) -> Operator:
    """Return a function that writes updates along an axis."""

    def call(x, dim, index, source, *how, **settings):
        i = _vector(_index(index))
        return cr.reshape(function(_vector(x), i, _source(source, i), *how, axis=dim, **settings), x.shape)

    return Operator(call)


def index_reduce(x, dim, index, source, reduce, include_self=True):
    """The same index for all rows."""
    y, source = _vector(x), _vector(source)
    index = cr.reshape(_index(index), (-1,) + (1,) * (y.ndim - dim % y.ndim - 1))
    index = cr.broadcast_to(index, source.shape)
    return cr.reshape(cr.scatter_reduce(y, index, source, reduce, axis=dim, include_self=include_self), x.shape)


def index_add(x, dim, index, source, alpha=1):
    return cr.reshape(cr.index_add(_vector(x), _vector(index), alpha * _vector(source), axis=dim), x.shape)


def _along(x: cr.Tensor, dim: int, index: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * (dim % x.ndim), index)


def index_select(x, dim, index):
    return cr.take(x, atleast(1)(index), axis=dim) if x.ndim else cr.reshape(x, ())


def index_put(x, dim, index, value):
    """index_fill and index_copy."""
    if not x.ndim:
        return cr.reshape(value, ()) if isinstance(value, cr.Tensor) else cr.full_like(x, value)
    return cr.put(x, _along(x, dim, _index(atleast(1)(index))), value)


def getitem(x, key):
    def item(part):
        return cr.asarray(part) if isinstance(part, list) else part

    return x[tuple(map(item, key)) if isinstance(key, tuple) else item(key)]


def put_at(x, indices, values, accumulate=False):
    if not accumulate:
        return cr.put(x, tuple(indices), values)
    rows = cr.reshape(cr.arange(x.size), x.shape)[tuple(indices)]  # the flat place of each update
    return put_flat(x, rows, cr.broadcast_to(values, rows.shape), accumulate=True)


def put_flat(x, index, source, accumulate=False):
    index, source = cr.reshape(index, -1), cr.reshape(source, -1)
    if not index.size:
        return x + 0.0
    write = cr.scatter_add if accumulate else cr.put_along_axis
    return cr.reshape(write(cr.reshape(x, -1), index, source), x.shape)


def take(x, index):
    return cr.take(cr.reshape(x, -1), cr.reshape(index, -1), axis=0).reshape(index.shape)


def take_along_dim(x, index, dim=None):
    if dim is None:
        return cr.take_along_axis(cr.reshape(x, -1), cr.reshape(index, -1), axis=0)
    return cr.take_along_axis(x, index, axis=dim)


def masked_select(x, mask):
    x, mask = cr.broadcast_arrays(x, mask)
    return x[mask] if x.ndim else cr.reshape(x, 1)[cr.reshape(mask, 1)]


def masked_scatter(x, mask, source):
    x, mask = cr.broadcast_arrays(x, mask)
    count = cr.sum(mask.astype(cr.int64)).item()
    return cr.put(x, mask, cr.reshape(source, -1)[:count])


def sort(x, dim=-1, descending=False, stable=False):
    index = argsort(x, dim, descending)
    return (cr.take_along_axis(x, index, axis=dim) if x.ndim else x), index


def argsort(x, dim=-1, descending=False, stable=False):
    if isinstance(dim, bool):
        dim, descending = -1, dim
    return cr.argsort(x, axis=dim, descending=descending) if x.ndim else cr.asarray(0)


def topk(x, k, dim=-1, largest=True, sorted=True):
    if not x.ndim:
        return x, cr.asarray(0)
    index = cr.argsort(x, axis=dim, descending=largest)
    index = cr.take(index, cr.arange(k), axis=dim)
    return cr.take_along_axis(x, index, axis=dim), index


def nonzero(x, as_tuple=False):
    rows = cr.nonzero(x) if x.ndim else (cr.nonzero(cr.reshape(x, 1))[0],)
    if as_tuple:
        return rows
    return cr.stack(rows, axis=1) if x.ndim else cr.reshape(rows[0], (-1, 1))[:, :0]


def bucketize(x, edges, out_int32=False, right=False):
    y = cr.searchsorted(edges, x, side="right" if right else "left")
    return y.astype(cr.int32) if out_int32 else y


def searchsorted(edges, x, out_int32=False, right=False, side="left", sorter=None):
    """In each row of the edges the row of x; or the same edges for all."""
    edges = edges if sorter is None else cr.take_along_axis(edges, sorter, axis=-1)
    number, side = not isinstance(x, cr.Tensor), "right" if right else side
    x = cr.asarray([x], dtype=edges.dtype) if number else x
    if not x.size:
        y = cr.zeros(x.shape)
    elif edges.ndim == 1:
        y = cr.searchsorted(edges, x, side=side)
    else:
        rows = zip(edges.reshape(-1, edges.shape[-1]), x.reshape(-1, x.shape[-1]), strict=True)
        y = cr.stack([cr.searchsorted(row, values, side=side) for row, values in rows]).reshape(x.shape)
    return (y[0] if number else y).astype(cr.int32 if out_int32 else cr.int64)


def isin(x, values):
    return cr.any(cr.expand_dims(x, -1) == cr.reshape(values, -1), axis=-1)


def repeat_interleave(x, repeats=None, dim=None, output_size=None):
    if dim is None:
        x, dim = cr.reshape(x, -1), 0
    if isinstance(repeats, int):
        return cr.repeat(x, repeats, axis=dim)
    counts = repeats.tolist() if repeats.ndim else [repeats.item()] * x.shape[dim]
    counts = counts * x.shape[dim] if len(counts) == 1 else counts
    return cr.take(x, cr.asarray([i for i, n in enumerate(counts) for _ in range(n)], dtype=cr.int64), axis=dim)


OPERATORS = {
    "gather": Operator(gather),
    "scatter": scattered(cr.put_along_axis),
    "scatter_add": scattered(cr.scatter_add),
    **{f"scatter_reduce/{how}": scattered(cr.scatter_reduce) for how in ("sum", "prod", "mean", "amin", "amax")},
    **{f"index_reduce/{how}": Operator(index_reduce) for how in ("prod", "mean", "amin", "amax")},
    "index_select": Operator(index_select),
    "index_fill": Operator(index_put),
    "index_copy": Operator(index_put),
    "index_add": Operator(index_add),
    "index_put": Operator(put_at),
    "__getitem__": Operator(getitem),
    "put": Operator(put_flat),
    "take": Operator(take),
    "take_along_dim": Operator(take_along_dim),
    "masked_select": Operator(masked_select),
    "masked_scatter": Operator(masked_scatter),
    "sort": Operator(sort),
    "argsort": Operator(argsort),
    "msort": Operator(lambda x: cr.sort(x, axis=0)),
    "topk": Operator(topk),
    "nonzero": Operator(nonzero),
    "argwhere": Operator(nonzero),
    "bucketize": Operator(bucketize),
    "searchsorted": Operator(searchsorted),
    "isin": Operator(isin),
    "repeat_interleave": Operator(repeat_interleave),
    "nn.functional.one_hot": Operator(
        lambda x, num_classes=-1: cr.one_hot(x, num_classes if num_classes > 0 else int(cr.max(x)) + 1, dtype=cr.int64)
    ),
}

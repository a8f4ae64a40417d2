"""Entries of the database that move elements or make tensors: shapes, joining, splitting, padding, diagonals."""

from __future__ import annotations

import itertools
import math
from typing import Any

from tests.oracle.harness import Operator

import chainrule as cr
from chainrule.nn import functional as F


def several(function: Any) -> Operator:
    """Return an operator that takes tensors one by one or in a list."""
    return Operator(lambda *xs: function(xs[0] if isinstance(xs[0], list | tuple) else list(xs)))


def conj(x: cr.Tensor) -> cr.Tensor:
    """Return the complex conjugate; of real numbers themselves."""
    return cr.conj(x) if x.dtype.is_complex else x


# ---------------------------------------------------------------------------------------------------- shapes
def expand(x, shape):
    shape = tuple(shape)
    own = (1,) * (len(shape) - x.ndim) + x.shape
    return cr.broadcast_to(x, tuple(m if n == -1 else n for m, n in zip(own, shape, strict=True)))


def sum_to_size(x, *shape):
    shape = tuple(shape[0]) if shape and isinstance(shape[0], list | tuple) else shape
    shape = (1,) * (x.ndim - len(shape)) + shape if len(shape) else ()
    if not shape:
        return cr.sum(x)
    return cr.sum(x, axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def unflatten(x, dim, sizes):
    dim %= x.ndim
    return cr.reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


def transpose(x, dim0, dim1):
    return cr.swapaxes(x, dim0, dim1) if x.ndim else x


def squeeze(x, dim=None):
    if dim is None:
        return cr.squeeze(x)
    dims = dim if isinstance(dim, list | tuple) else [dim]
    return cr.squeeze(x, tuple(d for d in dims if x.ndim and x.shape[d] == 1))


def atleast(rank: int) -> Any:
    def one(x):
        if x.ndim == 0:
            return cr.reshape(x, (1,) * rank)
        if x.ndim == 1 and rank > 1:
            x = x[None]
        return x[..., None] if x.ndim == 2 and rank == 3 else x

    def call(*xs):
        if isinstance(xs[0], list | tuple):
            return [one(x) for x in xs[0]]
        return [one(x) for x in xs] if len(xs) > 1 else one(xs[0])

    return call


def rot90(x, k=1, dims=(0, 1)):
    a, b = dims
    for _ in range(k % 4):
        x = cr.swapaxes(cr.flip(x, axis=b), a, b)
    return x


def roll(x, shifts, dims=None):
    return cr.roll(x, tuple(shifts) if isinstance(shifts, list) else shifts, axis=_tuple(dims))


def _tuple(dims: Any) -> Any:
    return tuple(dims) if isinstance(dims, list) else dims


def unfold(x, dim, size, step):
    if not x.ndim:
        return cr.reshape(x, (1,))[:size]
    dim %= x.ndim
    count = (x.shape[dim] - size) // step + 1
    index = cr.arange(count)[:, None] * step + cr.arange(size)[None, :]
    y = cr.take(x, cr.flatten(index), axis=dim)
    return cr.moveaxis(cr.reshape(y, (*x.shape[:dim], count, size, *x.shape[dim + 1 :])), dim + 1, -1)


# ---------------------------------------------------------------------------------------------------- joining
def _joined(rank: int, axis: int) -> Any:
    return lambda xs: cr.concat([atleast(rank)(x) for x in xs], axis=axis)


def hstack(xs):
    xs = [atleast(1)(x) for x in xs]
    return cr.concat(xs, axis=0 if xs[0].ndim == 1 else 1)


def column_stack(xs):
    return cr.concat([x if x.ndim > 1 else cr.reshape(x, (-1, 1)) for x in xs], axis=1)


def cat(xs, dim=0):
    """The legacy of PyTorch: empty vectors are left out."""
    kept = [x for x in xs if x.shape != (0,)]
    return cr.concat(kept or xs, axis=dim if kept else 0)


def block_diag(*xs):
    xs = [atleast(2)(x) for x in xs]
    width, left, rows = sum(x.shape[1] for x in xs), 0, []
    for x in xs:
        rows.append(cr.pad(x, ((0, 0), (left, width - left - x.shape[1]))))
        left += x.shape[1]
    return cr.concat(rows, axis=0)


def split(x, sizes, dim=0):
    """Parts of the given size, the last one smaller; or of the given sizes."""
    n = x.shape[dim]
    if isinstance(sizes, int):
        return cr.split(x, list(range(sizes, n, sizes)), axis=dim)
    return cr.split(x, list(itertools.accumulate(sizes))[:-1], axis=dim)


def chunk(x, chunks, dim=0):
    return split(x, max(1, math.ceil(x.shape[dim] / chunks)), dim)


def tensor_split(x, at, dim=0):
    at = at.tolist() if isinstance(at, cr.Tensor) else at
    if isinstance(at, int):
        n, (size, extra) = x.shape[dim], divmod(x.shape[dim], at)
        at = list(itertools.accumulate([size + (i < extra) for i in range(at)]))[:-1] if n is not None else []
    n = x.shape[dim]
    limits = [0, *(min(a if a >= 0 else max(a + n, 0), n) for a in at), n]
    parts = []
    for low, high in itertools.pairwise(limits):
        parts.append(x[(slice(None),) * (dim % x.ndim) + (slice(low, max(low, high)),)])
    return parts


def combinations(x, r=2, with_replacement=False):
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(pick(range(x.shape[0]), r))
    return x[cr.asarray(rows)] if rows else cr.zeros((0, r) if r else (0,), dtype=x.dtype)


def meshgrid(*xs, indexing="ij"):
    xs = xs[0] if isinstance(xs[0], list | tuple) else xs
    return cr.meshgrid(*map(atleast(1), xs), indexing=indexing)


def cartesian_prod(*xs):
    if len(xs) == 1:
        return xs[0]
    return cr.stack([cr.flatten(g) for g in cr.meshgrid(*xs, indexing="ij")], axis=-1)


# ---------------------------------------------------------------------------------------------------- slices, diagonals
def narrow(x, dim, start, length):
    start = start.item() if isinstance(start, cr.Tensor) else start
    start = start + x.shape[dim] if start < 0 else start
    return x[_at(x, dim, slice(start, start + length))]


def _at(x: Any, dim: int, key: Any) -> Any:
    return (*(slice(None),) * (dim % x.ndim), key)


def select(x, dim, index):
    return x[_at(x, dim, index)]


def sliced(x, dim=0, start=None, end=None, step=1):
    return x[_at(x, dim, slice(start, end, step))]


def slice_scatter(x, y, dim=0, start=None, end=None, step=1):
    return cr.put(x, _at(x, dim, slice(start, end, step)), y)


def _diagonal_key(x: Any, offset: int, dim1: int, dim2: int) -> tuple[Any, Any]:
    """Return x with its two axes last, and the key of the diagonal there."""
    y = cr.moveaxis(x, (dim1, dim2), (-2, -1))
    length = max(0, min(y.shape[-2] + min(offset, 0), y.shape[-1] - max(offset, 0)))
    steps = cr.arange(length)
    return y, (..., steps + max(-offset, 0), steps + max(offset, 0))


def diagonal(x, offset=0, dim1=0, dim2=1):
    return cr.linalg.diagonal(cr.moveaxis(x, (dim1, dim2), (-2, -1)), offset=offset)


def diagonal_scatter(x, y, offset=0, dim1=0, dim2=1):
    moved, key = _diagonal_key(x, offset, dim1, dim2)
    return cr.moveaxis(cr.put(moved, key, y), (-2, -1), (dim1, dim2))


def diag_embed(x, offset=0, dim1=-2, dim2=-1):
    n = x.shape[-1] + abs(offset)
    y, key = _diagonal_key(cr.zeros((*x.shape[:-1], n, n), dtype=x.dtype), offset, -2, -1)
    return cr.moveaxis(cr.put(y, key, x), (-2, -1), (dim1, dim2))


def diag(x, diagonal=0):
    return diag_embed(x, diagonal) if x.ndim == 1 else cr.linalg.diagonal(x, offset=diagonal)


def triangle_indices(below: bool) -> Any:
    def call(rows, columns, offset=0, dtype=None):
        ones = cr.ones((rows, columns), dtype=cr.int64)
        kept = cr.tril(ones, k=offset) if below else cr.triu(ones, k=offset)
        return cr.stack(cr.nonzero(kept), axis=0).astype(dtype or cr.int64)

    return call


# ---------------------------------------------------------------------------------------------------- making tensors
def arange(start=0, end=None, step=1, dtype=None):
    if end is None:
        start, end = 0, start
    return cr.arange(start, end, step, dtype=dtype or (cr.float32 if _floats(start, end, step) else cr.int64))


def _floats(*numbers: Any) -> bool:
    return any(isinstance(n, float) for n in numbers)


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, cr.Tensor) else x


def logspace(start, end, steps, base=10.0, dtype=None):
    points = cr.linspace(_number(start), _number(end), steps, dtype=cr.float64)
    return (float(base) ** points).astype(dtype or cr.float32)


def to(x, *target, copy=False):
    """A device, a dtype, or a tensor that has the dtype."""
    wanted = next((t for t in target if isinstance(t, cr.DType | cr.Tensor)), x)
    return x.astype(wanted.dtype if isinstance(wanted, cr.Tensor) else wanted)


OPERATORS = {
    "reshape": Operator(lambda x, shape: cr.reshape(x, tuple(shape))),
    "view": Operator(lambda x, shape: cr.reshape(x, tuple(shape))),
    "reshape_as": Operator(lambda x, y: cr.reshape(x, y.shape)),
    "view_as": Operator(lambda x, y: cr.reshape(x, y.shape)),
    "ravel": Operator(cr.flatten),
    "flatten": Operator(lambda x, start_dim=0, end_dim=-1: cr.flatten(x, start_dim, end_dim)),
    "unflatten": Operator(unflatten),
    "broadcast_to": Operator(lambda x, shape: cr.broadcast_to(x, tuple(shape))),
    "broadcast_tensors": Operator(cr.broadcast_arrays),
    "expand": Operator(expand),
    "expand_as": Operator(lambda x, y: cr.broadcast_to(x, y.shape)),
    "sum_to_size": Operator(sum_to_size),
    "permute": Operator(lambda x, dims: cr.permute_dims(x, tuple(dims))),
    "transpose": Operator(transpose),
    "movedim": Operator(lambda x, source, destination: cr.moveaxis(x, tuple(source), tuple(destination))),
    "t": Operator(lambda x: x.T if x.ndim == 2 else x),
    "T": Operator(lambda x: x.T if x.ndim == 2 else x),
    "mT": Operator(lambda x: x.mT),
    "H": Operator(lambda x: conj(x).T if x.ndim == 2 else x),
    "mH": Operator(lambda x: conj(x).mT),
    "squeeze": Operator(squeeze),
    "squeeze/multiple": Operator(squeeze),
    "unsqueeze": Operator(cr.expand_dims),
    "atleast_1d": Operator(atleast(1)),
    "atleast_2d": Operator(atleast(2)),
    "atleast_3d": Operator(atleast(3)),
    "flip": Operator(lambda x, dims: cr.flip(x, axis=tuple(dims))),
    "fliplr": Operator(lambda x: cr.flip(x, axis=1)),
    "flipud": Operator(lambda x: cr.flip(x, axis=0)),
    "roll": Operator(roll),
    "rot90": Operator(rot90),
    "repeat": Operator(lambda x, times: cr.tile(x, tuple(times))),
    "tile": Operator(lambda x, times: cr.tile(x, tuple(times))),
    "unfold": Operator(unfold),
    "cat": Operator(cat),
    "stack": Operator(lambda xs, dim=0: cr.stack(xs, axis=dim)),
    "hstack": several(hstack),
    "vstack": several(_joined(2, 0)),
    "dstack": several(_joined(3, 2)),
    "column_stack": several(column_stack),
    "block_diag": Operator(block_diag),
    "split": Operator(split),
    "split/list_args": Operator(split),
    "split_with_sizes": Operator(split),
    "chunk": Operator(chunk),
    "tensor_split": Operator(tensor_split),
    "hsplit": Operator(lambda x, at: tensor_split(x, at, 0 if x.ndim == 1 else 1)),
    "vsplit": Operator(tensor_split),
    "dsplit": Operator(lambda x, at: tensor_split(x, at, 2)),
    "unbind": Operator(lambda x, dim=0: cr.unstack(x, axis=dim)),
    "meshgrid/variadic_tensors": Operator(meshgrid),
    "meshgrid/list_of_tensors": Operator(meshgrid),
    "combinations": Operator(combinations),
    "cartesian_prod": Operator(cartesian_prod),
    "narrow": Operator(narrow),
    "select": Operator(select),
    "select_scatter": Operator(lambda x, y, dim, index: cr.put(x, _at(x, dim, index), y)),
    "slice": Operator(sliced),
    "slice_scatter": Operator(slice_scatter),
    "diagonal": Operator(diagonal),
    "diagonal_scatter": Operator(diagonal_scatter),
    "diag": Operator(diag),
    "diag_embed": Operator(diag_embed),
    "diagflat": Operator(lambda x, offset=0: diag_embed(cr.reshape(x, -1), offset)),
    "tril": Operator(lambda x, diagonal=0: cr.tril(x, k=diagonal)),
    "triu": Operator(lambda x, diagonal=0: cr.triu(x, k=diagonal)),
    "tril_indices": Operator(triangle_indices(below=True)),
    "triu_indices": Operator(triangle_indices(below=False)),
    "constant_pad_nd": Operator(lambda x, widths, value=0.0: F.pad(x, widths, "constant", value)),
    "nn.functional.pad/constant": Operator(F.pad),
    "nn.functional.pad/reflect": Operator(F.pad),
    "nn.functional.pad/replicate": Operator(F.pad),
    "nn.functional.pad/replicate_negative": Operator(F.pad),
    "nn.functional.pad/circular": Operator(F.pad),
    "arange": Operator(arange),
    "linspace": Operator(lambda a, b, steps, dtype=None: cr.linspace(a, b, steps, dtype=dtype or cr.float32)),
    "logspace": Operator(logspace),
    "eye": Operator(lambda n, m=None, dtype=None: cr.eye(n, m, dtype=dtype or cr.float32)),
    "zeros": Operator(lambda shape, dtype=None: cr.zeros(tuple(shape), dtype=dtype)),
    "ones": Operator(lambda shape, dtype=None: cr.ones(tuple(shape), dtype=dtype)),
    "full": Operator(lambda shape, value, dtype=None: cr.full(tuple(shape), value, dtype=dtype)),
    "new_zeros": Operator(lambda x, shape, dtype=None: cr.zeros(tuple(shape), dtype=dtype or x.dtype)),
    "new_ones": Operator(lambda x, shape, dtype=None: cr.ones(tuple(shape), dtype=dtype or x.dtype)),
    "new_full": Operator(lambda x, shape, value, dtype=None: cr.full(tuple(shape), value, dtype=dtype or x.dtype)),
    "zeros_like": Operator(lambda x, dtype=None: cr.zeros_like(x, dtype=dtype)),
    "ones_like": Operator(lambda x, dtype=None: cr.ones_like(x, dtype=dtype)),
    "full_like": Operator(lambda x, value, dtype=None: cr.full_like(x, value, dtype=dtype)),
    "scalar_tensor": Operator(lambda value, dtype=None: cr.asarray(value, dtype=dtype or cr.float32)),
    "bool": Operator(lambda x: x.astype(cr.bool)),
    "byte": Operator(lambda x: x.astype(cr.uint8)),
    "char": Operator(lambda x: x.astype(cr.int8)),
    "short": Operator(lambda x: x.astype(cr.int16)),
    "int": Operator(lambda x: x.astype(cr.int32)),
    "long": Operator(lambda x: x.astype(cr.int64)),
    "float": Operator(lambda x: x.astype(cr.float32)),
    "double": Operator(lambda x: x.astype(cr.float64)),
    "bfloat16": Operator(lambda x: x.astype(cr.bfloat16)),
    "to": Operator(to),
    "item": Operator(lambda x: x.item()),
}

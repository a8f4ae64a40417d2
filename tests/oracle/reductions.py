"""Reductions and scans of the database: sums, products, extremes, statistics, order statistics, logical reductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.oracle.harness import Operator

import chainrule as cr

Dim = int | Sequence[int] | None


def everywhere(dim: Dim) -> Any:
    """Return PyTorch's dim as an axis: an empty list means all."""
    return None if dim is None or dim == [] or dim == () else tuple(dim) if isinstance(dim, list) else dim


def reduced(function: Callable[..., Any]) -> Operator:
    """Return a reduction of one tensor over `dim`."""

    def call(x, dim=None, keepdim=False, dtype=None):
        x = x if dtype is None else cr.astype(x, dtype)
        return function(x, axis=everywhere(dim), keepdims=keepdim) if x.ndim else function(x)

    return Operator(call)


def picked(function: Callable[..., Any]) -> Operator:
    """Return argmax or argmin."""
    return Operator(
        lambda x, dim=None, keepdim=False: function(x, axis=dim, keepdims=keepdim) if x.ndim else function(x)
    )


def spread(function: Callable[..., Any], *, and_mean: bool = False) -> Operator:
    """Return a variance or standard deviation, which corrects by 1 unless told otherwise."""

    def call(x, dim=None, unbiased=None, keepdim=False, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        by = correction if correction is not None else 1 if unbiased is None else int(unbiased)
        axis = everywhere(dim)
        y = function(x, axis=axis, correction=by, keepdims=keepdim)
        return (y, cr.mean(x, axis=axis, keepdims=keepdim)) if and_mean else y

    return Operator(call)


def along(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a scan that also takes a tensor without axes."""

    def call(x, dim, dtype=None):
        x = x if dtype is None else cr.astype(x, dtype)
        return function(x, axis=dim) if x.ndim else cr.reshape(function(cr.reshape(x, 1), axis=0), ())

    return call


def extreme(arg: Callable[..., Any]) -> Callable[..., Any]:
    """Return the values and indices of max or min over one axis."""

    def call(x, dim, keepdim=False):
        if not x.ndim:
            return x, cr.asarray(0)
        index = arg(x, axis=dim, keepdims=True)
        value = cr.take_along_axis(x, index, axis=dim)
        return (value, index) if keepdim else (cr.squeeze(value, dim), cr.squeeze(index, dim))

    return call


def aminmax(x, dim=None, keepdim=False):
    if not x.ndim:
        return x, x
    return cr.min(x, axis=dim, keepdims=keepdim), cr.max(x, axis=dim, keepdims=keepdim)


def without_nan(function: Callable[..., Any]) -> Operator:
    """Return a sum or mean that leaves NaN out."""

    def call(x, dim=None, keepdim=False, dtype=None):
        axis, there = everywhere(dim) if x.ndim else None, ~cr.isnan(x)
        total = cr.sum(cr.where(there, x, 0.0), axis=axis, keepdims=keepdim)
        return function(total, cr.sum(cr.astype(there, x.dtype), axis=axis, keepdims=keepdim))

    return Operator(call)


def prod(x, dim=None, keepdim=False, dtype=None):
    x = x if dtype is None else cr.astype(x, dtype)
    return cr.prod(x, axis=dim, keepdims=keepdim) if x.ndim else cr.prod(x)


def kthvalue(x, k, dim=-1, keepdim=False):
    if not x.ndim:
        return x, cr.asarray(0)
    index = cr.take(cr.argsort(x, axis=dim), cr.asarray([k - 1]), axis=dim)
    value = cr.take_along_axis(x, index, axis=dim)
    return (value, index) if keepdim else (cr.squeeze(value, dim), cr.squeeze(index, dim))


def median(x, dim=None, keepdim=False):
    if dim is None:
        return cr.sort(cr.flatten(x))[(x.size - 1) // 2] if x.ndim else x
    return kthvalue(x, (x.shape[dim] + 1) // 2 if x.ndim else 1, dim, keepdim)


def quantile(x, q, dim=None, keepdim=False, interpolation="linear"):
    return cr.quantile(x, q, axis=dim if x.ndim else None, keepdims=keepdim, method=interpolation)


def dist(x, y, p=2):
    return cr.linalg.vector_norm(x - y, ord=p)


def norm(x, p="fro", dim=None, keepdim=False):
    axis = everywhere(dim) if x.ndim else None
    if p == "nuc":
        return cr.linalg.matrix_norm(x, ord="nuc", axis=axis or (-2, -1), keepdims=keepdim)
    return cr.linalg.vector_norm(x, ord=2 if p in ("fro", None) else p, axis=axis, keepdims=keepdim)


def cov(x, correction=1, fweights=None, aweights=None):
    x = cr.reshape(x, (1, -1)) if x.ndim < 2 else x
    w = None if fweights is None else fweights
    if aweights is not None:
        w = aweights if w is None else w * aweights
    w = cr.ones(x.shape[1], dtype=x.dtype) if w is None else cr.astype(w, x.dtype)
    total = cr.sum(w)
    centred = x - cr.sum(x * w, axis=1, keepdims=True) / total
    if aweights is None or correction == 0:
        factor = total - correction
    else:
        factor = total - correction * cr.sum(w * cr.astype(aweights, x.dtype)) / total
    y = (centred * w) @ centred.T / cr.maximum(factor, 0.0)
    return cr.reshape(y, ()) if y.size == 1 else y


def corrcoef(x):
    if x.ndim < 2:
        return cov(x) / cov(x)
    c = cov(x)
    c = cr.reshape(c, (1, 1)) if not c.ndim else c
    deviation = cr.sqrt(cr.linalg.diagonal(c))
    y = cr.clip(c / deviation[:, None] / deviation[None, :], -1.0, 1.0)
    return cr.reshape(y, ()) if y.size == 1 else y


def diff(x, n=1, dim=-1, prepend=None, append=None):
    return cr.diff(x, axis=dim, n=n, prepend=prepend, append=append)


def integral(function: Callable[..., Any]) -> Operator:
    return Operator(lambda y, x=None, dim=-1, dx=1.0: function(y, x, dx=dx, axis=dim))


def running(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the running extreme and where it last was."""

    def call(x, dim):
        return function(x, axis=dim, return_indices=True) if x.ndim else (x, cr.asarray(0))

    return call


def histogram(x, bins, weight=None, density=False):
    y, edges = cr.histogram(x, bins, weights=weight, density=density)
    return y.astype(x.dtype), edges


def bincount(x, weights=None, minlength=0):
    y = cr.bincount(x, weights, minlength=minlength)
    return y if weights is None else y.astype(cr.float64)  # integer weights too


def histc(x, bins=100, min=0, max=0):
    if not x.size:
        return cr.zeros(bins, dtype=x.dtype)
    limits = None if min == max == 0 else (min, max)
    if min == max:  # then both are widened by 1, as are the extremes of equal elements
        low, high = (cr.min(x).item(), cr.max(x).item()) if limits is None else (min, max)
        limits = (low, high) if low < high else (low - 1, high + 1)
    return cr.histogram(x, bins, range=limits)[0].astype(x.dtype)


def renorm(x, p, dim, maxnorm):
    axes = tuple(a for a in range(x.ndim) if a != dim % x.ndim)
    size = cr.linalg.vector_norm(x, ord=p, axis=axes, keepdims=True)
    return cr.where(size > maxnorm, x * (maxnorm / (size + 1e-7)), x)


OPERATORS = {
    "sum": reduced(cr.sum),
    "mean": reduced(cr.mean),
    "prod": Operator(prod),
    "amax": reduced(cr.max),
    "amin": reduced(cr.min),
    "all": reduced(lambda x, **where: cr.all(x != 0, **where)),
    "any": reduced(lambda x, **where: cr.any(x != 0, **where)),
    "count_nonzero": reduced(cr.count_nonzero),
    "logsumexp": reduced(cr.logsumexp),
    "nansum": without_nan(lambda total, count: total),
    "nanmean": without_nan(lambda total, count: total / count),
    "argmax": picked(cr.argmax),
    "argmin": picked(cr.argmin),
    "max/reduction_no_dim": Operator(cr.max),
    "min/reduction_no_dim": Operator(cr.min),
    "max/reduction_with_dim": Operator(extreme(cr.argmax)),
    "min/reduction_with_dim": Operator(extreme(cr.argmin)),
    "aminmax": Operator(aminmax),
    "var": spread(cr.var),
    "var/unbiased": spread(cr.var),
    "var_mean": spread(cr.var, and_mean=True),
    "var_mean/unbiased": spread(cr.var, and_mean=True),
    "std": spread(cr.std),
    "std/unbiased": spread(cr.std),
    "std_mean": spread(cr.std, and_mean=True),
    "std_mean/unbiased": spread(cr.std, and_mean=True),
    "median": Operator(median),
    "quantile": Operator(quantile),
    "kthvalue": Operator(kthvalue),
    "cumsum": Operator(along(cr.cumulative_sum)),
    "cumprod": Operator(along(cr.cumulative_prod)),
    "logcumsumexp": Operator(along(cr.cumulative_logsumexp)),
    "cummax": Operator(running(cr.cumulative_max)),
    "cummin": Operator(running(cr.cumulative_min)),
    "cov": Operator(cov, rtol=1e-4, why="PyTorch divides by sums of the samples' float32 weights in float32"),
    "corrcoef": Operator(corrcoef),
    "diff": Operator(diff),
    "trapezoid": integral(cr.trapezoid),
    "trapz": integral(cr.trapezoid),
    "cumulative_trapezoid": integral(cr.cumulative_trapezoid),
    "bincount": Operator(bincount),
    "histogram": Operator(histogram),
    "histc": Operator(histc),
    "renorm": Operator(renorm),
    "norm": Operator(norm),
    "norm/fro": Operator(norm),
    "norm/inf": Operator(norm),
    "norm/nuc": Operator(norm),
    "dist": Operator(dist),
}

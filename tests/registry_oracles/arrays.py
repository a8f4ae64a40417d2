"""What the primitives on numbers, shapes and indices are in PyTorch.

`ORACLES` gives a function of the same inputs and attributes; `WITHOUT` names what PyTorch does not have, and what
checks it instead; `CHOSEN` says for which inputs another value or gradient was chosen, and why.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

functional = torch.nn.functional


def _reduced(function):
    """Return a reduction that takes `axis` and `keepdims`; PyTorch reads dim=() as all axes, here it is none."""

    def reduce(x, *, axis, keepdims):
        return function(x, axis, keepdims) if axis else function(x[None], (0,), False)

    return reduce


def _prod(x, axis, keepdims):
    for a in sorted(axis, reverse=True):
        x = torch.prod(x, a, keepdim=keepdims)
    return x


def _fronted(x, axes):
    """Return x with the indexed axes first, and the order that puts them back."""
    order = [*axes, *(a for a in range(x.ndim) if a not in axes)]
    return x.permute(order), list(np.argsort(order))


def _gather(x, indices, *, axes):
    return _fronted(x, axes)[0][tuple(indices)]


def _scatter(accumulate):
    def scatter(x, indices, updates, *, axes):
        front, back = _fronted(x, axes)
        return front.index_put(tuple(indices), updates, accumulate=accumulate).permute(back)

    return scatter


def _slice(x, *, starts, limits, steps):
    return x[tuple(slice(*limit) for limit in zip(starts, limits, steps, strict=True))] if starts else x.clone()


def _update_slice(x, update, *, starts, steps):
    limits = [s + (n - 1) * k + 1 if n else s for s, n, k in zip(starts, update.shape, steps, strict=True)]
    x = x.clone()
    x[tuple(slice(*limit) for limit in zip(starts, limits, steps, strict=True))] = update
    return x


def _pad(x, *, low, high, interior):
    """Interior zeros first; a negative low or high cuts."""
    wide = [(n - 1) * (k + 1) + 1 if n else 0 for n, k in zip(x.shape, interior, strict=True)]
    out = x.new_zeros(wide)
    out[tuple(slice(None, None, k + 1) for k in interior)] = x
    return functional.pad(out, [n for pair in zip(reversed(low), reversed(high), strict=True) for n in pair])


def _dtype(dtype):
    return getattr(torch, dtype.name)


def _number(x):
    return x.int() if x.dtype == torch.bool else x


SAME_NAME = """
    abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift
    bitwise_xor ceil copysign cos cosh erf erfc exp expm1 floor greater greater_equal hypot isfinite isinf isnan less
    less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor maximum minimum
    multiply negative not_equal positive pow reciprocal relu remainder round rsqrt sigmoid sign signbit sin sinh sqrt
    square subtract tan tanh trunc where
"""
ORACLES: dict[str, Any] = {name: getattr(torch, name) for name in SAME_NAME.split()} | {
    "all": _reduced(torch.all),
    "any": _reduced(torch.any),
    "arange": lambda *, start, step, size, dtype: start + step * torch.arange(size, dtype=_dtype(dtype)),
    "argmax": lambda x, *, axis: torch.argmax(_number(x), axis),
    "argmin": lambda x, *, axis: torch.argmin(_number(x), axis),
    "argsort": lambda x, *, axis, descending: torch.argsort(x, dim=axis, descending=descending, stable=True),
    "astype": lambda x, *, dtype: x.to(_dtype(dtype)),
    "bitwise_invert": torch.bitwise_not,
    "add_along": lambda x, indices, updates, *, axis: x.scatter_add(axis, indices, updates),
    "broadcast_to": lambda x, *, shape: torch.broadcast_to(x, shape),
    "check_finite": lambda x, **_: x.clone(),
    "check_indices": lambda x, **_: x.clone(),
    "check_labels": lambda x, **_: x.clone(),
    "check_probabilities": lambda x, **_: x.clone(),
    "clip": torch.clamp,
    "concat": lambda *xs, axis: torch.cat(xs, axis),
    "cumulative_prod": lambda x, *, axis: torch.cumprod(x, axis),
    "cumulative_sum": lambda x, *, axis: torch.cumsum(x, axis),
    "divide": torch.true_divide,
    "equal": torch.eq,
    "floor_divide": lambda x1, x2: torch.floor_divide(x1.detach(), x2.detach()),  # it has no gradient there
    "flip": lambda x, *, axis: torch.flip(x, axis),
    "gather": _gather,
    "identity": torch.clone,
    "barrier": torch.clone,
    "matmul": lambda x1, x2, *, dtype=None: torch.matmul(
        *(x if dtype is None else x.to(_dtype(dtype)) for x in (x1, x2))
    ),
    "max": _reduced(torch.amax),
    "min": _reduced(torch.amin),
    "normal_quantile": torch.special.ndtri,
    "nextafter": lambda x1, x2, *, dtype: torch.nextafter(x1.to(_dtype(dtype)), x2.to(_dtype(dtype))),
    "one_hot": lambda x, *, num_classes, dtype: functional.one_hot(x.long(), num_classes).to(_dtype(dtype)),
    "pad": _pad,
    "permute_dims": lambda x, *, axes: x.permute(axes),
    "prod": _reduced(_prod),
    "reshape": lambda x, *, shape: x.reshape(shape),
    "scatter_add": _scatter(accumulate=True),
    "scatter_set": _scatter(accumulate=False),
    "searchsorted": lambda x1, x2, *, side: torch.searchsorted(x1, x2, side=side),
    "slice": _slice,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "sum": _reduced(torch.sum),
    "take_along": lambda x, indices, *, axis: torch.take_along_dim(x, indices, axis),
    "update_slice": _update_slice,
}

# Primitives that PyTorch does not have, and what checks them instead.
WITHOUT: dict[str, str] = {
    "debug_print": "it has no output: tests/ops/test_printing.py reads what it prints",
    "random_bits": "Philox has its own known answers: tests/core/test_philox.py",
}


def _divides_by_zero(x1, x2):
    return x2.dtype.kind in "iu" and (x2 == 0).any()


def _repeated(x, indices, updates):
    return len(np.unique(indices % 3)) < indices.size


# primitive -> (which inputs, why): another value or gradient than PyTorch's was chosen there.
CHOSEN: dict[str, list[tuple[Any, str]]] = {
    "floor_divide": [(_divides_by_zero, "an integer divided by 0 is 0, as in NumPy; PyTorch raises ZeroDivisionError")],
    "remainder": [(_divides_by_zero, "the remainder by the integer 0 is 0, as in NumPy; PyTorch raises")],
    "logaddexp": [(lambda a, b: np.isneginf(a).all() and np.isneginf(b).all(), "equal shares; PyTorch gives NaN")],
    "hypot": [(lambda a, b: (a == 0).all() and (b == 0).all(), "a norm has gradient 0 at 0; PyTorch gives NaN")],
    "pow": [
        (lambda x, n: (x < 0).any(), "by the exponent of a negative base the gradient is 0; PyTorch gives NaN"),
        (lambda x, n: np.isnan(x).any() and (n == 0).all(), "x^0 is 1 for every x, with gradients 0"),
    ],
    "astype": [(lambda x: x.dtype.kind == "f" and (x < 0).any(), "a float below the range of uint8 gives 0")],
    "scatter_set": [(_repeated, "only the update that stays gets a gradient; PyTorch leaves repeats undefined")],
}

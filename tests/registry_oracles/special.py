"""What the special functions are in PyTorch, and the positions of running extremes and the scattered ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

special = torch.special


def _bessel(order):
    """Bessel's integral by the midpoint rule: PyTorch's values have six digits near 5, and no slopes."""

    def bessel(x):
        turn = (torch.arange(256, dtype=torch.float64) + 0.5) * (math.pi / 256)
        return torch.cos(order * turn - x[..., None] * torch.sin(turn)).mean(-1)

    return bessel


class _Digamma(torch.autograd.Function):
    """PyTorch's digamma with zeta(2, x) as its slope: its own, polygamma(1, x), has nine digits."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.digamma(x)

    @staticmethod
    def backward(ctx, g):
        return g * special.zeta(torch.tensor(2.0), ctx.saved_tensors[0])


def _polygamma(x, *, n):
    if n == 0:
        return _Digamma.apply(x)
    return special.zeta(torch.tensor(2.0), x) if n == 1 else torch.polygamma(n, x)


def _number(x):
    return x.int() if x.dtype == torch.bool else x


SAME_NAME = "entr erfcx erfinv i0 i0e i1 i1e log_ndtr logit ndtr xlog1py xlogy"
ORACLES: dict[str, Any] = {name: getattr(special, name) for name in SAME_NAME.split()} | {
    "bessel_j0": _bessel(0),
    "bessel_j1": _bessel(1),
    "cumulative_argmax": lambda x, *, axis: torch.cummax(_number(x), axis).indices,
    "cumulative_argmin": lambda x, *, axis: torch.cummin(_number(x), axis).indices,
    "digamma": _Digamma.apply,
    "fixed_exp": torch.exp,
    "fixed_log": torch.log,
    "lgamma": torch.lgamma,
    "max_along": lambda x, indices, updates, *, axis: x.scatter_reduce(axis, indices, updates, "amax"),
    "min_along": lambda x, indices, updates, *, axis: x.scatter_reduce(axis, indices, updates, "amin"),
    "polygamma": _polygamma,
    "zeta": lambda s, q: special.zeta(s.detach(), q),  # no gradient by s, here as there
}


CHOSEN: dict[str, list[tuple[Any, str]]] = {
    "log_ndtr": [(lambda x: (x < -1e7).any(), "the slope far below is -x; PyTorch's is 1.9 times that at -1e8")],
    "max_along": [(lambda x, *_: np.isnan(x).any(), "a NaN equals nothing and gets no gradient; PyTorch gives NaN")],
    "min_along": [(lambda x, *_: np.isnan(x).any(), "a NaN equals nothing and gets no gradient; PyTorch gives NaN")],
}

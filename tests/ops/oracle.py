"""Comparing a function with PyTorch's: values, gradients and second gradients in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import chainrule as cr

RTOL, ATOL = 1e-9, 1e-10


def compare(
    torch: Any,
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    arrays: Sequence[np.ndarray],
    *,
    order: int = 2,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> None:
    """Assert that two functions of the same arrays agree: values, gradients, and gradients of gradients.

    Arrays of floats are differentiated. A function may return several tensors; those of floats enter the loss, which is
    the sum of each output's square times random weights.
    """
    rng = np.random.default_rng(11)
    xs = [cr.asarray(a) for a in arrays]
    ts = [torch.tensor(a) for a in arrays]
    moving = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    for i in moving:
        xs[i].requires_grad_()
        ts[i].requires_grad_()
    ys, ss = _several(ours(*xs)), _several(theirs(*ts))
    assert len(ys) == len(ss)
    for y, s in zip(ys, ss, strict=True):
        assert y.shape == tuple(s.shape)
        assert y.dtype.name == str(s.dtype).removeprefix("torch.")
        np.testing.assert_allclose(y.numpy(), s.detach().numpy(), rtol=rtol, atol=atol)
    if not order:
        return
    weights = [rng.normal(size=y.shape) for y in ys]
    loss = sum(cr.sum((y * y) * w) for y, w in zip(ys, weights, strict=True) if y.dtype.is_float)
    want = sum((s * s * torch.tensor(w)).sum() for s, w in zip(ss, weights, strict=True) if s.is_floating_point())
    leaves = [ts[i] for i in moving]
    slopes = torch.autograd.grad(want, leaves, create_graph=order > 1, allow_unused=True)
    loss.backward(create_graph=order > 1)
    mine = [xs[i].grad for i in moving]
    _agree(mine, slopes, rtol, atol)
    if order < 2:
        return
    for i in moving:
        xs[i].grad = None
    directions = [rng.normal(size=arrays[i].shape) for i in moving]
    inner = sum(cr.sum(g * d) for g, d in zip(mine, directions, strict=True) if g is not None)
    outer = sum((g * torch.tensor(d)).sum() for g, d in zip(slopes, directions, strict=True) if g is not None)
    inner.backward()
    _agree([xs[i].grad for i in moving], torch.autograd.grad(outer, leaves, allow_unused=True), rtol, atol)


def _several(result: Any) -> list:
    return list(result) if isinstance(result, tuple | list) else [result]


def _agree(mine: Sequence, theirs: Sequence, rtol: float, atol: float) -> None:
    for g, t in zip(mine, theirs, strict=True):
        got = None if g is None else g.numpy()
        want = None if t is None else t.detach().numpy()
        if got is None or want is None:
            given = got if want is None else want
            assert given is None or not given.any(), "one of the two has no gradient, and the other's is not zero"
        else:
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)

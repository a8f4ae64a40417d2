"""Scatters, segments, running extremes, differences and counts against PyTorch, to second order in float64."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops.oracle import compare

import chainrule as cr

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore:.*scatter_reduce.. is in beta")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5))
ROWS = {0: (6, 4, 5), 1: (3, 7, 5), 2: (3, 4, 2), -1: (3, 4, 8)}


def _indices(axis: int, shape: tuple) -> np.ndarray:
    return np.random.default_rng(1).integers(0, X.shape[axis], shape)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_scatter_add(axis: int) -> None:
    index, updates = _indices(axis, ROWS[axis]), RNG.normal(size=ROWS[axis])
    compare(
        torch,
        lambda x, i, u: cr.scatter_add(x, i, u, axis=axis),
        lambda x, i, u: x.scatter_add(axis, i, u),
        [X, index, updates],
    )


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scatter_reduce(axis: int, reduce: str, include_self: bool) -> None:
    index, updates = _indices(axis, ROWS[axis]), RNG.normal(size=ROWS[axis])
    compare(
        torch,
        lambda x, i, u: cr.scatter_reduce(x, i, u, reduce, axis=axis, include_self=include_self),
        lambda x, i, u: x.scatter_reduce(axis, i, u, reduce, include_self=include_self),
        [X, index, updates],
    )


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_smaller_indices_write_a_corner(reduce: str) -> None:
    index, updates = _indices(1, (2, 3, 4)), RNG.normal(size=(3, 6, 5))
    compare(
        torch,
        lambda x, i, u: cr.scatter_reduce(x, i, u, reduce, axis=1),
        lambda x, i, u: x.scatter_reduce(1, i, u, reduce),
        [X, index, updates],
        order=0,  # PyTorch has no gradient where the indices are smaller than the updates
    )
    compare(
        torch,
        lambda x, i, u: cr.scatter_reduce(x, i, u, reduce, axis=1),
        lambda x, i, u: torch.cat([torch.cat([x[:2, :, :4].scatter_reduce(1, i, u, reduce), x[:2, :, 4:]], 2), x[2:]]),
        [X, index, updates[:2, :3, :4]],
    )


@pytest.mark.parametrize("reduce", ["amax", "amin"])
def test_equal_ones_share_the_gradient(reduce: str) -> None:
    x = np.random.default_rng(2).integers(0, 2, (3, 4)).astype(np.float64)
    updates = np.random.default_rng(3).integers(0, 2, (3, 9)).astype(np.float64)
    index = np.random.default_rng(4).integers(0, 4, (3, 9))
    compare(
        torch,
        lambda x, i, u: cr.scatter_reduce(x, i, u, reduce),
        lambda x, i, u: x.scatter_reduce(-1, i, u, reduce),
        [x, index, updates],
    )


def test_put_along_axis() -> None:
    index = np.argsort(RNG.normal(size=(3, 4, 5)), axis=1)[:, :3]
    updates = RNG.normal(size=(3, 3, 5))
    compare(
        torch,
        lambda x, i, u: cr.put_along_axis(x, i, u, axis=1),
        lambda x, i, u: x.scatter(1, i, u),
        [X, index, updates],
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_index_add(axis: int) -> None:
    shape = list(X.shape)
    shape[axis] = 7
    index, updates = _indices(axis, (7,)), RNG.normal(size=shape)
    compare(
        torch,
        lambda x, i, u: cr.index_add(x, i, u, axis=axis),
        lambda x, i, u: x.index_add(axis, i, u),
        [X, index, updates],
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_running_functions(axis: int) -> None:
    ties = np.random.default_rng(5).integers(0, 3, X.shape).astype(np.float64)
    for x in (X, ties):
        compare(
            torch,
            lambda x: cr.cumulative_max(x, axis=axis, return_indices=True),
            lambda x: torch.cummax(x, axis),
            [x],
        )
        compare(
            torch,
            lambda x: cr.cumulative_min(x, axis=axis, return_indices=True),
            lambda x: torch.cummin(x, axis),
            [x],
        )
    compare(torch, lambda x: cr.cumulative_logsumexp(x, axis=axis), lambda x: torch.logcumsumexp(x, axis), [X * 9])


@pytest.mark.parametrize("n", [0, 1, 2, 9])
@pytest.mark.parametrize("axis", [0, -1])
def test_diff(axis: int, n: int) -> None:
    compare(torch, lambda x: cr.diff(x, axis=axis, n=n), lambda x: torch.diff(x, n, axis), [X])
    compare(
        torch,
        lambda x, a, b: cr.diff(x, axis=axis, n=n, prepend=a, append=b),
        lambda x, a, b: torch.diff(x, n, axis, prepend=a, append=b),
        [X, X + 1, X[:1] if axis == 0 else X[..., :1]],
    )


def test_integrals_and_products() -> None:
    t = np.cumsum(RNG.uniform(0.1, 1.0, 4))
    compare(torch, lambda y: cr.trapezoid(y, dx=0.3), lambda y: torch.trapezoid(y, dx=0.3), [X])
    compare(torch, lambda y, t: cr.trapezoid(y, t, axis=1), lambda y, t: torch.trapezoid(y, t, dim=1), [X, t])
    compare(torch, cr.trapezoid, torch.trapezoid, [X, np.cumsum(np.abs(X), axis=-1)])
    compare(torch, lambda y: cr.cumulative_trapezoid(y), lambda y: torch.cumulative_trapezoid(y), [X])
    compare(
        torch,
        lambda y, t: cr.cumulative_trapezoid(y, t, axis=1),
        lambda y, t: torch.cumulative_trapezoid(y, t, dim=1),
        [X, t],
    )
    for a, b in (((2, 3), (4, 5)), ((3,), (2, 2)), ((2, 1, 3), (2,)), ((), (3,))):
        compare(torch, cr.kron, torch.kron, [RNG.normal(size=a), RNG.normal(size=b)])


def test_counts() -> None:
    values, weights = RNG.integers(0, 9, 40), RNG.normal(size=40)
    compare(torch, lambda i: cr.bincount(i), torch.bincount, [values], order=0)
    compare(torch, lambda i: cr.bincount(i, minlength=14), lambda i: torch.bincount(i, minlength=14), [values], order=0)
    compare(torch, lambda i, w: cr.bincount(i, w), torch.bincount, [values, weights], order=0)

"""Pooling, unpooling, unfold and fold against PyTorch: values, positions, gradients and second gradients in float64."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops.oracle import compare

import chainrule as cr

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle

PLANES = {1: (2, 3, 11), 2: (2, 3, 9, 10), 3: (2, 2, 6, 7, 5)}
MAX = [
    (1, {"kernel_size": 3}),
    (1, {"kernel_size": 4, "stride": 3, "padding": 2, "dilation": 2}),
    (1, {"kernel_size": 3, "stride": 3, "ceil_mode": True}),
    (1, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (2, {"kernel_size": 2}),
    (2, {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0)}),
    (2, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (2, {"kernel_size": 4, "stride": 1, "dilation": (2, 1)}),
    (2, {"kernel_size": 3, "stride": 4}),
    (3, {"kernel_size": 2}),
    (3, {"kernel_size": (2, 3, 2), "stride": 2, "padding": (0, 1, 1), "ceil_mode": True}),
]
AVG = [
    (1, {"kernel_size": 3}),
    (1, {"kernel_size": 4, "stride": 3, "padding": 2}),
    (1, {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True}),
    (1, {"kernel_size": 4, "stride": 3, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    (2, {"kernel_size": 2}),
    (2, {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "count_include_pad": False}),
    (2, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (2, {"kernel_size": 3, "stride": 2, "divisor_override": 7}),
    (3, {"kernel_size": 2}),
    (3, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
]
ADAPTIVE = [(1, 4), (1, 11), (1, 1), (2, (3, 5)), (2, (None, 4)), (2, 1), (2, (9, 20)), (3, (2, 7, 3)), (3, 2)]


def _plane(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=PLANES[n])


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("n, settings", MAX, ids=str)
def test_max_pool(n: int, settings: dict, batch: bool) -> None:
    x = _plane(n) if batch else _plane(n)[0]
    compare(
        torch,
        lambda x: getattr(cr, f"max_pool{n}d")(x, **settings, return_indices=True),
        lambda x: getattr(F, f"max_pool{n}d")(x, **settings, return_indices=True),
        [x],
    )
    compare(
        torch,
        lambda x: getattr(cr, f"min_pool{n}d")(x, **settings),
        lambda x: -getattr(F, f"max_pool{n}d")(-x, **settings),
        [x],
    )


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("n, settings", AVG, ids=str)
def test_avg_pool(n: int, settings: dict, batch: bool) -> None:
    compare(
        torch,
        lambda x: getattr(cr, f"avg_pool{n}d")(x, **settings),
        lambda x: getattr(F, f"avg_pool{n}d")(x, **settings),
        [_plane(n) if batch else _plane(n)[0]],
    )


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize(
    "n, settings",
    [(1, {"kernel_size": 3}), (2, {"kernel_size": (2, 3), "stride": 2, "ceil_mode": True}), (3, {"kernel_size": 2})],
    ids=str,
)
def test_lp_pool(n: int, settings: dict, p: float) -> None:
    compare(
        torch,
        lambda x: getattr(cr, f"lp_pool{n}d")(x, p, **settings),
        lambda x: getattr(F, f"lp_pool{n}d")(x, p, **settings),
        [np.abs(_plane(n)) + 0.1],
    )


@pytest.mark.parametrize("n, size", ADAPTIVE, ids=str)
def test_adaptive_pooling(n: int, size: int | tuple) -> None:
    compare(
        torch,
        lambda x: getattr(cr, f"adaptive_avg_pool{n}d")(x, size),
        lambda x: getattr(F, f"adaptive_avg_pool{n}d")(x, size),
        [_plane(n)],
    )
    compare(
        torch,
        lambda x: getattr(cr, f"adaptive_max_pool{n}d")(x, size, return_indices=True),
        lambda x: getattr(F, f"adaptive_max_pool{n}d")(x, size, return_indices=True),
        [_plane(n)],
    )


@pytest.mark.parametrize("settings", [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}], ids=str)
def test_ties_give_the_gradient_to_the_first(settings: dict) -> None:
    x = np.random.default_rng(1).integers(0, 2, (2, 3, 8, 8)).astype(np.float64)
    compare(
        torch,
        lambda x: cr.max_pool2d(x, **settings, return_indices=True),
        lambda x: F.max_pool2d(x, **settings, return_indices=True),
        [x],
    )
    compare(torch, lambda x: cr.adaptive_max_pool2d(x, 3, True), lambda x: F.adaptive_max_pool2d(x, 3, True), [x])


@pytest.mark.parametrize(
    "n, size", [(1, None), (1, (11,)), (2, None), (2, (9, 10)), (2, (2, 3, 9, 11)), (3, (6, 7, 5))]
)
def test_max_unpool(n: int, size: tuple | None) -> None:
    y, places = getattr(F, f"max_pool{n}d")(torch.tensor(_plane(n)), 2, return_indices=True)
    compare(
        torch,
        lambda y, i: getattr(cr, f"max_unpool{n}d")(y, i, 2, output_size=size),
        lambda y, i: getattr(F, f"max_unpool{n}d")(y, i, 2, output_size=size),
        [y.numpy(), places.numpy()],
    )


FOLDS = [
    {"kernel_size": 3},
    {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 2)},
    {"kernel_size": 2, "dilation": (3, 2), "stride": 2},
]


@pytest.mark.parametrize("settings", FOLDS, ids=str)
def test_unfold_and_fold(settings: dict) -> None:
    x = _plane(2)
    compare(torch, lambda x: cr.unfold(x, **settings), lambda x: F.unfold(x, **settings), [x])
    columns = np.random.default_rng(2).normal(size=F.unfold(torch.tensor(x), **settings).shape)
    compare(torch, lambda y: cr.fold(y, (9, 10), **settings), lambda y: F.fold(y, (9, 10), **settings), [columns])


@pytest.mark.parametrize("size, stride, axis", [(3, 1, -1), (2, 3, 1), (1, 1, 0), (9, 1, 2)])
def test_sliding_window(size: int, stride: int, axis: int) -> None:
    compare(
        torch,
        lambda x: cr.sliding_window(x, size, stride, axis),
        lambda x: x.unfold(axis, size, stride),
        [_plane(2)],
    )

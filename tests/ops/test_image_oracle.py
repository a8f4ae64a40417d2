"""Borders, resampling, sampling at points, and channels as pixels, against PyTorch to second order in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.ops.oracle import compare

import chainrule as cr

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle


def _values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


PADS = [
    ((2, 3, 5), (2, 1)),
    ((2, 3, 4, 5), (1, 2)),
    ((2, 3, 4, 5), (3, 1, 0, 2)),
    ((2, 3, 4, 3, 4), (2, 1, 1, 1, 0, 3)),
]


BORDERS = [(*row, mode) for row in PADS for mode in ("constant", "reflect", "replicate", "circular")]
BORDERS = [row for row in BORDERS if row[2] == "constant" or len(row[1]) == 2 * (len(row[0]) - 2)]  # or PyTorch refuses


@pytest.mark.parametrize("shape, widths, mode", BORDERS, ids=str)
def test_pad(shape: tuple, widths: tuple, mode: str) -> None:
    pairs = [(0, 0)] * (len(shape) - len(widths) // 2) + list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    compare(torch, lambda x: cr.pad(x, pairs, mode=mode), lambda x: F.pad(x, widths, mode), [_values(*shape)])


RESIZED = [
    *[
        ((2, 3, n), size, mode)
        for n, size in ((7, 4), (7, 12), (1, 3), (5, 5))
        for mode in ("nearest", "nearest-exact", "linear", "area")
    ],
    *[
        ((2, 3, 5, 7), size, mode)
        for size in ((3, 4), (10, 9), (1, 1), (5, 20))
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
    ],
    *[
        ((1, 2, 3, 4, 5), size, mode)
        for size in ((2, 7, 5), (6, 2, 9))
        for mode in ("nearest", "nearest-exact", "trilinear", "area")
    ],
]


CORNERS = [(*row, align) for row in RESIZED for align in (None, False, True)]
CORNERS = [row for row in CORNERS if row[3] is None or row[2].endswith(("linear", "cubic"))]  # other modes have none


@pytest.mark.parametrize("shape, size, mode, align_corners", CORNERS, ids=str)
def test_interpolate_to_a_size(shape: tuple, size: Any, mode: str, align_corners: bool | None) -> None:
    compare(
        torch,
        lambda x: cr.interpolate(x, size, mode=mode, align_corners=align_corners),
        lambda x: F.interpolate(x, size, mode=mode, align_corners=align_corners),
        [_values(*shape)],
    )


@pytest.mark.parametrize("recompute", [None, True])
@pytest.mark.parametrize("factor", [2.0, 0.6, 1.7, (1.5, 0.7), 3])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
def test_interpolate_by_a_factor(mode: str, factor: Any, recompute: bool | None) -> None:
    settings = {"scale_factor": factor, "mode": mode, "recompute_scale_factor": recompute}
    compare(
        torch, lambda x: cr.interpolate(x, **settings), lambda x: F.interpolate(x, **settings), [_values(2, 2, 6, 9)]
    )


def test_nearest_picks_the_same_pixels_for_many_sizes() -> None:
    for n in range(1, 24):
        x = np.arange(n, dtype=np.float64).reshape(1, 1, n)
        for m in range(1, 50):
            for mode in ("nearest", "nearest-exact"):
                want = F.interpolate(torch.tensor(x), m, mode=mode).numpy()
                np.testing.assert_array_equal(
                    cr.interpolate(x, m, mode=mode).numpy(), want, err_msg=f"{n} to {m} {mode}"
                )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode: str, padding_mode: str, align_corners: bool) -> None:
    settings = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    x, grid = _values(2, 3, 5, 6), _values(2, 4, 3, 2, seed=1) * 1.2
    order = 1 if mode == "bicubic" and padding_mode != "zeros" else 2
    compare(
        torch,
        lambda *a: cr.grid_sample(*a, **settings),
        lambda *a: F.grid_sample(*a, **settings),
        [x, grid],
        order=order,
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grid_sample_of_volumes(mode: str, padding_mode: str, align_corners: bool) -> None:
    settings = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    x, grid = _values(2, 3, 4, 5, 6), _values(2, 2, 3, 2, 3, seed=1) * 1.2
    compare(torch, lambda *a: cr.grid_sample(*a, **settings), lambda *a: F.grid_sample(*a, **settings), [x, grid])


@pytest.mark.parametrize("align_corners", [False, True])
def test_affine_grid(align_corners: bool) -> None:
    for theta, size in (((2, 2, 3), (2, 3, 4, 5)), ((2, 3, 4), (2, 1, 2, 3, 4)), ((1, 2, 3), (1, 1, 2, 3))):
        compare(
            torch,
            lambda t: cr.affine_grid(t, size, align_corners),  # noqa: B023
            lambda t: F.affine_grid(t, size, align_corners),  # noqa: B023
            [_values(*theta)],
        )


def test_shuffles() -> None:
    x = _values(2, 12, 4, 6)
    compare(torch, lambda x: cr.pixel_shuffle(x, 2), lambda x: F.pixel_shuffle(x, 2), [x])
    compare(torch, lambda x: cr.pixel_unshuffle(x, 2), lambda x: F.pixel_unshuffle(x, 2), [x])
    compare(torch, lambda x: cr.channel_shuffle(x, 3), lambda x: F.channel_shuffle(x, 3), [x])
    compare(torch, lambda x: cr.pixel_shuffle(x[0], 2), lambda x: F.pixel_shuffle(x[0], 2), [x])

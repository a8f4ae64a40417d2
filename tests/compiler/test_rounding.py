"""Sums in compiled loops: as exact as sums of few terms, whatever their length, layout and number of axes."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

SHAPES = [(100_003,), (70_000, 16), (3, 70_001), (40, 64, 30, 30), (64, 30, 31, 40), (2049, 33), (65, 7), (16, 4097)]


def axes_of(shape):
    """Return each axis, all, and all but one."""
    every = tuple(range(len(shape)))
    return {*((a,) for a in every), every, *(tuple(b for b in every if b != a) for a in every)} - {()}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_of_any_length_round_like_short_ones(shape):
    """Beside the size of such a sum: one term after the other would be off by 5e-6 where there are 70,000."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for axes in sorted(axes_of(shape)):
        got = cr.jit(lambda x, axes=axes: cr.sum(x, axis=axes))(cr.asarray(x)).numpy()
        want = x.astype(np.float64).sum(axes)
        assert np.linalg.norm(got - want) < 6e-7 * np.sqrt(x.size), axes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_term_is_missed_or_counted_twice(shape):
    """Whole numbers up to 2**24 in all, so that every sum is exact; greatest and least likewise."""
    x = np.random.default_rng(1).integers(-2, 3, shape).astype(np.float32)
    for axes in sorted(axes_of(shape)):
        step = cr.jit(lambda x, axes=axes: (cr.sum(x, axis=axes), cr.max(x, axis=axes), cr.sum(x * x, axis=axes)))
        total, greatest, squares = (y.numpy() for y in step(cr.asarray(x)))
        np.testing.assert_array_equal(total, x.sum(axes, dtype=np.float64))
        np.testing.assert_array_equal(greatest, x.max(axes))
        np.testing.assert_array_equal(squares, np.square(x).sum(axes, dtype=np.float64))


def test_statistics_of_many_pictures_are_those_of_double_precision():
    """A batch norm over 65,536 values around 3, in the layout of a convolution: mean, deviation and gradients."""
    nn, rng = cr.nn.functional, np.random.default_rng(2)
    x, g = (rng.standard_normal((64, 16, 32, 32)) + shift for shift in (3, 0))

    def step(x, g):
        x, w, b = x.detach().requires_grad_(), cr.ones(16, dtype=x.dtype), cr.zeros(16, dtype=x.dtype)
        w, b = w.requires_grad_(), b.requires_grad_()
        y = nn.batch_norm(x, None, None, w, b, training=True)
        return [y, *cr.gradients([y], [x, w, b], [g])]

    x, g = (v.astype(np.float32) for v in (x, g))
    exact = step(*(cr.asarray(v.astype(np.float64)) for v in (x, g)))
    found = cr.jit(step)(cr.asarray(x), cr.asarray(g))
    for got, want, limit in zip(found, exact, (3e-7, 3e-7, 9e-7, 6e-7), strict=True):
        error = np.linalg.norm(got.numpy() - want.numpy()) / np.linalg.norm(want.numpy())
        assert error < limit

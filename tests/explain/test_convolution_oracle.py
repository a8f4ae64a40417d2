"""Convolution matrices against PyTorch, for random settings of one and two axes, and transposed."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from chainrule.explain.convolution import cross_correlation_matrix, transposed_convolution_matrix  # noqa: E402

pytestmark = pytest.mark.oracle
T = torch.nn.functional
FORWARD = {1: T.conv1d, 2: T.conv2d, 3: T.conv3d}
BACKWARD = {1: T.conv_transpose1d, 2: T.conv_transpose2d, 3: T.conv_transpose3d}


@pytest.mark.parametrize("seed", range(30))
def test_a_matrix_is_pytorchs_convolution_and_its_transpose_the_transposed(seed):
    g = np.random.default_rng(seed)
    axes, groups = 1 + seed % 3, 1 + seed % 2
    kernel, stride, dilation = (tuple(map(int, g.integers(1, high, axes))) for high in (4, 4, 3))
    padding = tuple(int(p) for p in g.integers(0, 3, axes))
    channels, out = groups * int(g.integers(1, 3)), groups * int(g.integers(1, 3))
    x = g.normal(size=(channels, *map(int, g.integers(6, 9, axes))))
    w = g.normal(size=(out, channels // groups, *kernel))
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = FORWARD[axes](torch.tensor(x[None]), torch.tensor(w), **how).numpy()[0]
    a = cross_correlation_matrix(w, x.shape, **how)
    np.testing.assert_allclose((a @ x.reshape(-1)).reshape(y.shape), y, rtol=1e-12, atol=1e-12)

    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    extra = [(n + 2 * p - r) % s for n, p, r, s in zip(x.shape[1:], padding, reach, stride)]
    back = BACKWARD[axes](torch.tensor(y[None]), torch.tensor(w), output_padding=extra, **how).numpy()[0]
    assert back.shape == x.shape
    np.testing.assert_allclose((a.T @ y.reshape(-1)).reshape(x.shape), back, rtol=1e-12, atol=1e-12)
    whole = transposed_convolution_matrix(w, y.shape, output_padding=extra, **how)
    assert (whole.todense() == a.T.todense()).all()

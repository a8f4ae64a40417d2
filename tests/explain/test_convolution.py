"""Convolutions as matrices: the worked examples, every setting against the layers, Toeplitz, sparse products, text."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import DataError, ShapeError
from chainrule.explain.convolution import (
    convolution_matrix,
    cross_correlation_matrix,
    layer_matrix,
    transposed_convolution_matrix,
)
from chainrule.explain.sparse import SparseMatrix, from_dense

F = nn.functional
X = np.array([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]])
U = np.array([[1, 4, 1], [1, 4, 3], [3, 3, 1]])


def same(y, want):
    np.testing.assert_allclose(np.asarray(y).reshape(want.shape), np.asarray(want), rtol=1e-12, atol=1e-12)


# --- worked examples ------------------------------------------------------------------------------------------------


def test_the_worked_example():
    a = cross_correlation_matrix(U, X.shape)
    assert (a.shape, len(a), a.values.dtype) == ((4, 16), 36, np.int64)
    assert (a @ X.reshape(-1)).tolist() == [122, 148, 126, 134]
    assert F.cross_correlate(cr.asarray(X), cr.asarray(U)).tolist() == [[122, 148], [126, 134]]
    # Its transpose takes the 2x2 output back to 4x4: a transposed convolution with the same kernel.
    back = transposed_convolution_matrix(U, (2, 2))
    assert (back.todense() == a.todense().T).all()
    assert (a.T.todense() == a.todense().T).all()


def test_true_convolution_flips_the_kernel():
    a = convolution_matrix(U, X.shape)
    assert (a.todense() == cross_correlation_matrix(U[::-1, ::-1], X.shape).todense()).all()
    assert (a @ X.reshape(-1)).reshape(2, 2).tolist() == F.convolve(cr.asarray(X), cr.asarray(U)).tolist()
    assert not (a.todense() == cross_correlation_matrix(U, X.shape).todense()).all()


def test_true_convolution_commutes_and_multiplies_polynomials():
    a, b = np.array([1, 2, 3]), np.array([4, 0, 5, 6])
    product = np.convolve(a, b)
    assert (convolution_matrix(a, b.shape, padding=2) @ b == product).all()
    assert (convolution_matrix(b, a.shape, padding=3) @ a == product).all()


def test_the_transposed_example():
    a = transposed_convolution_matrix([[0, 1], [2, 3]], (2, 2))
    assert (a @ [0, 1, 2, 3]).reshape(3, 3).tolist() == [[0, 0, 1], [0, 4, 6], [4, 12, 9]]
    x = cr.asarray(np.array([[[[0.0, 1.0], [2.0, 3.0]]]]))
    assert F.conv_transpose2d(x, x).tolist() == [[[[0, 0, 1], [0, 4, 6], [4, 12, 9]]]]


# --- every setting --------------------------------------------------------------------------------------------------


def settings(seed):
    """Return a random layer, its input and a sentence that reproduces it."""
    g = np.random.default_rng(seed)
    axes, groups = int(g.integers(1, 4)), int(g.integers(1, 3))
    each = lambda low, high: tuple(int(n) for n in g.integers(low, high, axes))  # noqa: E731
    transposed = bool(g.integers(2))
    how = {"kernel_size": each(1, 4), "stride": each(1, 4), "dilation": each(1, 3), "groups": groups, "bias": False}
    sizes = [groups * int(n) for n in g.integers(1, 3, 2)]
    if transposed:
        how["output_padding"] = tuple(int(g.integers(0, max(p))) for p in zip(how["stride"], how["dilation"]))
        how["padding"] = tuple(int(g.integers(0, d * (k - 1) + 1)) for k, d in zip(how["kernel_size"], how["dilation"]))
        how["padding"] = tuple(p // 2 for p in how["padding"])
    else:
        how["padding"] = each(0, 3)
        how["padding_mode"] = str(g.choice(["zeros", "reflect", "replicate", "circular"]))
        if g.integers(4) == 0:
            how.update(padding="same", stride=(1,) * axes)
    kind = getattr(nn, f"Conv{'Transpose' * transposed}{axes}d")
    layer = kind(*sizes, dtype=cr.float64, **how)
    return layer, g.normal(size=(sizes[0], *each(5, 8)))


@pytest.mark.parametrize("seed", range(60))
def test_the_matrix_of_a_layer_is_the_layer(seed):
    layer, x = settings(seed)
    a = layer_matrix(layer, x.shape)
    y = layer(cr.asarray(x))
    same(a @ x.reshape(-1), y.numpy())
    # <A x, y> = <x, A' y>: the gradient of the layer is the transposed matrix.
    g = np.random.default_rng(seed).normal(size=y.shape)
    _, pull = cr.vjp(layer, cr.asarray(x))
    same(a.T @ g.reshape(-1), pull(cr.asarray(g))[0].numpy())


def test_the_kinds_of_layers_are_all_drawn():
    drawn = [settings(seed)[0] for seed in range(60)]
    assert {type(layer).__name__ for layer in drawn} == {f"Conv{t}{n}d" for t in ("", "Transpose") for n in (1, 2, 3)}
    modes = {layer.padding_mode for layer in drawn if not type(layer).__name__.startswith("ConvT")}
    assert modes == {"zeros", "reflect", "replicate", "circular"}
    assert {layer.groups for layer in drawn} == {1, 2}
    assert any(layer.padding == "same" for layer in drawn)


# --- structure ------------------------------------------------------------------------------------------------------


def test_one_axis_is_toeplitz_and_circular_is_circulant():
    a = cross_correlation_matrix([1.0, 2.0, 3.0], (7,)).todense()
    assert all(len(set(np.diagonal(a, k))) == 1 for k in range(-4, 7))
    ring = cross_correlation_matrix([1.0, 2.0, 3.0], (7,), padding=1, padding_mode="circular").todense()
    assert all((np.roll(ring[0], i) == ring[i]).all() for i in range(7))
    # So the Fourier transform makes it diagonal.
    modes = np.fft.fft(np.eye(7)) / np.sqrt(7)
    diagonal = modes.conj().T @ ring @ modes
    assert np.abs(diagonal - np.diag(np.diagonal(diagonal))).max() < 1e-12


def test_two_axes_are_blocks_of_toeplitz_blocks():
    a = cross_correlation_matrix(U, (5, 6)).todense().reshape(3, 4, 5, 6)  # [row out, column out, row in, column in]
    for i in range(3):
        for j in range(5):
            block = a[i, :, j, :]
            assert all(len(set(np.diagonal(block, k))) == 1 for k in range(-3, 6))
            assert (block == (a[i - 1, :, j - 1, :] if i and j else block)).all()


def test_a_stride_leaves_rows_out():
    rows = cross_correlation_matrix([1, 2, 3], (9,)).todense()
    assert (cross_correlation_matrix([1, 2, 3], (9,), stride=2).todense() == rows[::2]).all()


def test_zeros_in_the_kernel_are_places_too():
    a = cross_correlation_matrix([[0, 1], [0, 0]], (3, 3))
    assert (len(a), np.count_nonzero(a.todense())) == (16, 4)


# --- the sparse matrix ----------------------------------------------------------------------------------------------


def test_products_of_sparse_matrices():
    g = np.random.default_rng(0)
    for rows, inner, columns in [(3, 4, 5), (1, 7, 2), (4, 3, 4)]:
        a, b = (np.where(g.uniform(size=s) < 0.4, g.normal(size=s), 0) for s in ((rows, inner), (inner, columns)))
        same((from_dense(a) @ from_dense(b)).todense(), a @ b)
        same(from_dense(a) @ b, a @ b)
        same(from_dense(a) @ cr.asarray(b), a @ b)
    empty = from_dense(np.zeros((2, 3)))
    assert ((empty @ np.ones(3)).tolist(), (empty @ empty.T).todense().tolist()) == ([0, 0], [[0, 0], [0, 0]])


def test_the_compressed_form():
    data, indices, start = cross_correlation_matrix([5, 6], (4,), padding=1).csr()
    assert (data.tolist(), indices.tolist()) == ([6, 5, 6, 5, 6, 5, 6, 5], [0, 0, 1, 1, 2, 2, 3, 3])
    assert start.tolist() == [0, 1, 3, 5, 7, 8]


def test_entries_at_one_place_are_added():
    a = SparseMatrix((1, 2), [0, 0, 0], [1, 1, 0], [1.0, 2.0, 4.0])
    assert (len(a), a.todense().tolist(), a.density) == (2, [[4.0, 3.0]], 1.0)


def test_text():
    assert str(cross_correlation_matrix([1.5, -2.0], (3,))) == "1.5  -2   .\n  . 1.5  -2"
    large = cross_correlation_matrix(np.ones((3, 3)), (28, 28))
    words = "<sparse matrix 676 x 784, 6,084 entries (1.15 %), float64>"
    assert repr(large) == words
    assert str(large) == f"{words}, too large to print; convolution_pictures.matrix_picture draws it"


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda: cross_correlation_matrix(U, (16,)),
            ShapeError,
            "cross_correlation_matrix: the kernel has the shape (3, 3) and the input (16,); give a kernel [*kernel] "
            "with an input [*spatial], or [out, in / groups, *kernel] with [channels, *spatial], of 1 to 3 spatial "
            "axes.",
        ),
        (
            lambda: cross_correlation_matrix(np.ones((2, 3, 3, 3)), (4, 8, 8)),
            ShapeError,
            "cross_correlation_matrix: the kernel (2, 3, 3, 3) with 1 groups takes 3 channels and makes 2; the input "
            "(4, 8, 8) has 4, and groups must divide both.",
        ),
        (
            lambda: convolution_matrix(U, (4, 2)),
            ShapeError,
            "convolution_matrix: the kernel (3, 3) reaches over (3, 3) positions and the padded input has (4, 2); use "
            "a smaller kernel or more padding.",
        ),
        (
            lambda: cross_correlation_matrix([1, 2], (2,), padding=2, padding_mode="reflect"),
            ShapeError,
            "cross_correlation_matrix: a border of [(2, 2)] is wider than what it is taken from, (2,) positions "
            'without the edge; use less padding, or padding_mode="replicate".',
        ),
        (
            lambda: cross_correlation_matrix(U, (4, 4), stride=2, padding="same"),
            ValueError,
            'cross_correlation_matrix.padding "same" needs stride 1; got (2, 2).',
        ),
        (
            lambda: cross_correlation_matrix(U, (4, 4), dilation=0),
            ValueError,
            "cross_correlation_matrix.dilation must be an int >= 1, or 2 of them; got 0.",
        ),
        (
            lambda: transposed_convolution_matrix([[1]], (2, 2), padding=1),
            ShapeError,
            "transposed_convolution_matrix: padding 1 leaves an output of (0, 0); use less padding.",
        ),
        (
            lambda: transposed_convolution_matrix(np.ones((2, 1, 2)), (3, 4)),
            ShapeError,
            "transposed_convolution_matrix: the input has 3 channels and the kernel (2, 1, 2) takes 2; the kernel is "
            "[in, out / groups, *kernel].",
        ),
        (
            lambda: transposed_convolution_matrix([1, 2], (3,), output_padding=1),
            ValueError,
            "transposed_convolution_matrix.output_padding must be smaller than stride or dilation; got 1.",
        ),
        (
            lambda: layer_matrix(nn.Linear(3, 2), (3,)),
            TypeError,
            "layer_matrix takes a convolution or transposed convolution layer; got Linear(3, 2).",
        ),
        (
            lambda: cross_correlation_matrix([1, 2], (4,)) @ np.ones((2, 2)),
            ShapeError,
            "SparseMatrix @ x: the matrix is 3 x 4 and x has the shape (2, 2); x needs 4 rows: flatten a picture with "
            "x.reshape(-1).",
        ),
        (
            lambda: SparseMatrix((2, 2), [0], [2], [1.0]),
            DataError,
            "SparseMatrix of 2 x 2 has an entry in column 2.",
        ),
        (
            lambda: SparseMatrix((2, 2), [0], [1, 1], [1.0]),
            ShapeError,
            "SparseMatrix needs two sizes, and rows, columns and values of one length; got the sizes (2, 2) and the "
            "shapes (1,), (2,), (1,).",
        ),
        (
            lambda: from_dense([1, 2]),
            ShapeError,
            "from_dense takes an array of two axes; got the shape (2,).",
        ),
    ],
)
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()

"""Reshaping, joining, padding, triangles: NumPy's values, gradients by counting, cells of their own, whole errors."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError

X = np.arange(24.0).reshape(2, 3, 4)

SAME = [  # what chainrule gives, what NumPy gives
    ("reshape", lambda x: cr.reshape(x, (4, -1)), lambda x: x.reshape(4, -1)),
    ("reshape int", lambda x: cr.reshape(x, -1), lambda x: x.reshape(-1)),
    ("permute_dims", lambda x: cr.permute_dims(x, (2, 0, -2)), lambda x: x.transpose(2, 0, 1)),
    ("matrix_transpose", cr.matrix_transpose, lambda x: x.swapaxes(1, 2)),
    ("swapaxes", lambda x: cr.swapaxes(x, 0, -1), lambda x: x.swapaxes(0, -1)),
    ("moveaxis", lambda x: cr.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1)),
    ("moveaxis two", lambda x: cr.moveaxis(x, (0, 1), (-1, 0)), lambda x: np.moveaxis(x, (0, 1), (-1, 0))),
    ("broadcast_to", lambda x: cr.broadcast_to(x, (5, 2, 3, 4)), lambda x: np.broadcast_to(x, (5, 2, 3, 4))),
    ("expand_dims", lambda x: cr.expand_dims(x, axis=-1), lambda x: np.expand_dims(x, -1)),
    ("expand_dims two", lambda x: cr.expand_dims(x, (0, 2)), lambda x: np.expand_dims(x, (0, 2))),
    ("squeeze", lambda x: cr.squeeze(x[:1]), lambda x: np.squeeze(x[:1])),
    ("squeeze axis", lambda x: cr.squeeze(x[:, :1], 1), lambda x: np.squeeze(x[:, :1], 1)),
    ("flatten", cr.flatten, lambda x: x.reshape(24)),
    ("flatten from 1", lambda x: cr.flatten(x, 1), lambda x: x.reshape(2, 12)),
    ("flatten to 1", lambda x: cr.flatten(x, 0, 1), lambda x: x.reshape(6, 4)),
    ("concat", lambda x: cr.concat([x, x[:, :1]], axis=1), lambda x: np.concatenate([x, x[:, :1]], 1)),
    ("concat flat", lambda x: cr.concat([x, x[0]], axis=None), lambda x: np.concatenate([x, x[0]], None)),
    ("stack", lambda x: cr.stack([x, x + 1], axis=-1), lambda x: np.stack([x, x + 1], -1)),
    ("unstack", lambda x: cr.unstack(x, axis=1)[2], lambda x: x[:, 2]),
    ("split", lambda x: cr.split(x, 2, axis=-1)[1], lambda x: np.split(x, 2, -1)[1]),
    ("split at", lambda x: cr.split(x, [1, -1], axis=2)[1], lambda x: np.split(x, [1, -1], 2)[1]),
    ("flip", cr.flip, np.flip),
    ("flip axes", lambda x: cr.flip(x, (0, -1)), lambda x: np.flip(x, (0, -1))),
    ("roll", lambda x: cr.roll(x, -5), lambda x: np.roll(x, -5)),
    ("roll axes", lambda x: cr.roll(x, (1, 7), axis=(0, 2)), lambda x: np.roll(x, (1, 7), (0, 2))),
    ("tile", lambda x: cr.tile(x, (2, 1)), lambda x: np.tile(x, (2, 1))),
    ("tile more axes", lambda x: cr.tile(x, (2, 1, 3, 1)), lambda x: np.tile(x, (2, 1, 3, 1))),
    ("repeat", lambda x: cr.repeat(x, 2), lambda x: np.repeat(x, 2)),
    ("repeat axis", lambda x: cr.repeat(x, 3, axis=-2), lambda x: np.repeat(x, 3, -2)),
    ("pad", lambda x: cr.pad(x, 1), lambda x: np.pad(x, 1)),
    ("pad pair", lambda x: cr.pad(x, (0, 2)), lambda x: np.pad(x, (0, 2))),
    (
        "pad value",
        lambda x: cr.pad(x, ((1, 0), (0, 2), (0, 0)), constant_values=-7),
        lambda x: np.pad(x, ((1, 0), (0, 2), (0, 0)), constant_values=-7),
    ),
    ("tril", cr.tril, np.tril),
    ("tril above", lambda x: cr.tril(x, k=1), lambda x: np.tril(x, 1)),
    ("triu", lambda x: cr.triu(x, k=-1), lambda x: np.triu(x, -1)),
]


@pytest.mark.parametrize("ours, theirs", [row[1:] for row in SAME], ids=[row[0] for row in SAME])
@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_values_are_numpys(ours: object, theirs: object, dtype: str) -> None:
    x = X.astype(dtype)
    got, want = ours(cr.asarray(x)), theirs(x)
    assert (got.shape, got.dtype.name) == (want.shape, dtype)
    np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("ours, theirs", [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_each_gradient_counts_where_an_element_went(ours: object, theirs: object) -> None:
    x = cr.asarray(X).requires_grad_()
    weights = np.random.default_rng(0).normal(size=theirs(X).shape)
    cr.sum(ours(x) * cr.asarray(weights)).backward()
    want = np.zeros_like(X)  # all these functions are affine: one unit vector at a time
    for place in np.ndindex(*X.shape):
        unit = np.zeros_like(X)
        unit[place] = 1.0
        want[place] = np.sum((theirs(unit) - theirs(np.zeros_like(X))) * weights)
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-12, atol=1e-12)


def test_results_are_cells_of_their_own() -> None:
    x = cr.ones((2, 2))
    for y in (
        cr.reshape(x, (2, 2)),
        cr.permute_dims(x, (0, 1)),
        cr.broadcast_to(x, (2, 2)),
        x[:],
        x[...],
        cr.squeeze(x),
    ):
        y += 1
    assert x.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_broadcast_arrays() -> None:
    a, b = cr.broadcast_arrays(cr.asarray([[1], [2]]), cr.asarray([0.5, 1.5, 2.5]))
    assert (a.tolist(), a.dtype) == ([[1, 1, 1], [2, 2, 2]], cr.int64)
    assert b.tolist() == [[0.5, 1.5, 2.5]] * 2
    assert cr.broadcast_arrays() == []


def test_joining_promotes() -> None:
    assert cr.concat([cr.arange(2), cr.ones(1)]).dtype is cr.float32
    assert cr.stack([cr.arange(2, dtype=cr.int8), cr.arange(2)]).dtype is cr.int64


@pytest.mark.parametrize("arguments", [(3,), (2, 3), (3, 2)])
@pytest.mark.parametrize("k", [-1, 0, 2])
def test_eye_is_numpys(arguments: tuple, k: int) -> None:
    np.testing.assert_array_equal(cr.eye(*arguments, k=k).numpy(), np.eye(*arguments, k=k))


def test_eye_of_another_dtype() -> None:
    assert cr.eye(2, dtype=cr.int8).tolist() == [[1, 0], [0, 1]]
    assert cr.eye(2, dtype=cr.int8).dtype is cr.int8


REFUSED = [
    (
        lambda x: cr.reshape(x, (5, -1)),
        ShapeError,
        "reshape: (2, 3, 4) can't become (5, -1); 24 elements are no multiple of 5.",
    ),
    (
        lambda x: cr.reshape(x, (-1, -1)),
        ShapeError,
        "reshape: (2, 3, 4) can't become (-1, -1); -1 may stand only once.",
    ),
    (
        lambda x: cr.reshape(x, (5, 5)),
        ShapeError,
        "reshape: (2, 3, 4) has 24 elements and (5, 5) has 25; they must be equal.",
    ),
    (
        lambda x: cr.permute_dims(x, (0, 3, 1)),
        IndexRangeError,
        "permute_dims: axis 3 does not exist in a tensor with 3 axes; allowed: [-3, 2].",
    ),
    (
        lambda x: cr.matrix_transpose(x[0, 0]),
        ShapeError,
        "matrix_transpose needs at least two axes; got the shape (4,).",
    ),
    (lambda x: cr.moveaxis(x, (0, 1), 0), ShapeError, "moveaxis: 2 axes (0, 1) can't move to 1 places (0,)."),
    (lambda x: cr.moveaxis(x, (0, 0), (0, 1)), ShapeError, "moveaxis: an axis is given twice in (0, 0)."),
    (
        lambda x: cr.squeeze(x, 1),
        ShapeError,
        "squeeze: axis 1 of (2, 3, 4) has the size 3; only axes of size 1 can go.",
    ),
    (
        lambda x: cr.flatten(x, 2, 0),
        ShapeError,
        "flatten: the last axis 0 stands before the first axis 2 in (2, 3, 4).",
    ),
    (lambda x: cr.concat([]), ShapeError, "concat needs at least one tensor; got none."),
    (
        lambda x: cr.stack([x, x[0]]),
        ShapeError,
        "stack: tensor 0 is (2, 3, 4) and tensor 1 is (3, 4); all must be equal.",
    ),
    (
        lambda x: cr.split(x, 2, axis=1),
        ShapeError,
        "split: axis 1 of (2, 3, 4) has the size 3, which 2 pieces do not divide.",
    ),
    (
        lambda x: cr.split(x, [2, 1], axis=1),
        ShapeError,
        "split: the cuts [2, 1] must ascend within axis 1 of (2, 3, 4).",
    ),
    (lambda x: cr.roll(x, (1, 2), axis=0), ShapeError, "roll: 2 shifts (1, 2) do not fit 1 axes (0,)."),
    (lambda x: cr.tile(x, (-1,)), ShapeError, "tile: repetitions must be >= 0; got (-1,)."),
    (lambda x: cr.repeat(x, -1), ShapeError, "repeat: repeats must be >= 0; got -1."),
    (
        lambda x: cr.pad(x, ((1, 1), (2, 2))),
        ShapeError,
        "pad: 3 axes need one (before, after) each; got ((1, 1), (2, 2)).",
    ),
    (
        lambda x: cr.pad(cr.arange(3), 1, constant_values=0.5),
        DTypeError,
        "pad: the border is float32 and the tensor int64; convert one with .astype.",
    ),
    (
        lambda x: cr.pad(x, 1, mode="reflec"),
        ValueError,
        'pad.mode must be one of "constant", "reflect", "replicate", "circular"; '
        "got 'reflec'; did you mean 'reflect'?",
    ),
    (lambda x: cr.tril(x[0, 0]), ShapeError, "tril needs at least two axes; got the shape (4,)."),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call(cr.asarray(X))
    assert getattr(error.value, "message", str(error.value)) == message


def test_the_triangle_of_a_bool_matrix_is_bool() -> None:
    """It was int64, so a causal mask was added to the scores instead of masking them."""
    for function in (cr.tril, cr.triu):
        assert function(cr.ones((2, 2), dtype=cr.bool)).dtype is cr.bool

"""cr.linalg: definitions, stacks, empty matrices, gradients that do not depend on a choice, whole error messages."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import linalg
from chainrule.core.errors import DTypeError, IndexRangeError, LinAlgError, ShapeError
from chainrule.testing import assert_close

RNG = np.random.default_rng(3)
STACK = RNG.normal(size=(2, 3, 4, 4)) + 3 * np.eye(4)
TALL = RNG.normal(size=(2, 5, 3))


def tensor(x) -> cr.Tensor:
    return cr.asarray(np.asarray(x, np.float64))


def test_the_namespace_is_one_module() -> None:
    assert cr.linalg is linalg
    assert {
        "cholesky",
        "cross",
        "det",
        "diagonal",
        "eigh",
        "eigvalsh",
        "inv",
        "matmul",
        "matrix_norm",
        "matrix_power",
    } | {
        "matrix_rank",
        "matrix_transpose",
        "outer",
        "pinv",
        "qr",
        "slogdet",
        "solve",
        "svd",
        "svdvals",
        "tensordot",
        "trace",
        "vecdot",
        "vector_norm",
    } <= set(linalg.__all__)  # the standard's list


# --- definitions ----------------------------------------------------------------------------------------------------
def test_factorisations_multiply_back() -> None:
    x = tensor(STACK)
    s = x @ x.mT
    l = linalg.cholesky(s)
    assert_close(l @ l.mT, s, rtol=1e-12, atol=1e-12)
    w, v = linalg.eigh(s)
    assert_close(v @ (w[..., None] * v.mT), s, rtol=1e-11, atol=1e-11)
    p, lower, upper = linalg.lu(x)
    assert_close(p @ lower @ upper, x, rtol=1e-12, atol=1e-12)
    for full in (True, False):
        for y in (tensor(TALL), tensor(TALL).mT):
            u, values, vh = linalg.svd(y, full_matrices=full)
            k = values.shape[-1]
            assert_close(u[..., :k] * values[..., None, :] @ vh[..., :k, :], y, atol=1e-12)
            assert_close(u.mT @ u, np.broadcast_to(np.eye(u.shape[-1]), (2, u.shape[-1], u.shape[-1])), atol=1e-12)
            assert_close(vh @ vh.mT, np.broadcast_to(np.eye(vh.shape[-2]), (2, vh.shape[-2], vh.shape[-2])), atol=1e-12)
    for mode in ("reduced", "complete"):
        for y in (tensor(TALL), tensor(TALL).mT):
            q, r = linalg.qr(y, mode=mode)
            assert_close(q @ r, y, atol=1e-12)
            assert_close(q.mT @ q, np.broadcast_to(np.eye(q.shape[-1]), (2, q.shape[-1], q.shape[-1])), atol=1e-12)
            assert r.shape == (2, 3 if q.shape[-1] == 3 else 5, y.shape[-1])


@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 67])
@pytest.mark.parametrize("upper", [False, True])
def test_triangular_systems_of_every_size(n: int, upper: bool) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, n)) / max(n, 1) + 2 * np.eye(n), rng.normal(size=(n, 3))
    triangle = np.triu(a) if upper else np.tril(a)
    assert_close(linalg.solve_triangular(tensor(a), tensor(b), upper=upper), np.linalg.solve(triangle, b), rtol=1e-10)


def test_the_exponential_is_its_series() -> None:
    x = STACK[0] / 4
    term, total = np.broadcast_to(np.eye(4), x.shape), np.zeros_like(x)
    for k in range(1, 40):
        total, term = total + term, term @ x / k
    assert_close(linalg.matrix_exp(tensor(x)), total, rtol=1e-12, atol=1e-12)
    large = np.array([[0.0, 30.0], [-30.0, 0.0]])  # a turn
    turned = np.array([[math.cos(30), math.sin(30)], [-math.sin(30), math.cos(30)]])
    assert_close(linalg.matrix_exp(tensor(large)), turned, atol=1e-12)


def test_the_pseudo_inverse_satisfies_penroses_equations() -> None:
    rng = np.random.default_rng(8)
    x = tensor(rng.normal(size=(4, 2)) @ rng.normal(size=(2, 5)))  # rank 2
    y = linalg.pinv(x)
    assert linalg.matrix_rank(x).item() == 2
    for got, want in ((x @ y @ x, x), (y @ x @ y, y), ((x @ y).mT, x @ y), ((y @ x).mT, y @ x)):
        assert_close(got, want, rtol=1e-10, atol=1e-12)
    cut = linalg.pinv(cr.asarray(np.stack([np.diag([1.0, 0.1])] * 2)), rtol=cr.asarray(np.array([0.5, 0.01])))
    assert_close(cut, np.stack([np.diag([1.0, 0.0]), np.diag([1.0, 10.0])]), atol=1e-14)


def test_least_squares_gives_numpys_four_results() -> None:
    a, b = TALL[0], RNG.normal(size=(5, 2))
    solution, residuals, rank, values = linalg.lstsq(tensor(a), tensor(b))
    want = np.linalg.lstsq(a, b)
    for got, expected in zip((solution, residuals, rank, values), want, strict=True):
        assert_close(got, np.asarray(expected, got.numpy().dtype), rtol=1e-10)
    vector = linalg.lstsq(tensor(a), tensor(b[:, 0]))
    assert (vector.solution.shape, vector.residuals.shape) == ((3,), ())
    assert linalg.lstsq(tensor(a.T), tensor(np.ones(3))).residuals.shape == (0,)


def test_a_chain_is_multiplied_in_the_cheapest_order(monkeypatch) -> None:
    done = []
    products = __import__("chainrule.ops.linalg.products", fromlist=["matmul"])
    plain = products.matmul
    monkeypatch.setattr(products, "matmul", lambda a, b: done.append((a.shape, b.shape)) or plain(a, b))
    y = linalg.multi_dot([cr.ones((10, 100)), cr.ones((100, 5)), cr.ones((5, 50))])
    assert (y.shape, done) == ((10, 50), [((10, 100), (100, 5)), ((10, 5), (5, 50))])
    assert y[0, 0].item() == 500.0


def test_diagonals_are_numpys() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for offset in range(-4, 6):
        want = np.diagonal(x, offset, -2, -1)
        assert_close(linalg.diagonal(tensor(x), offset=offset), want)
        assert_close(linalg.trace(tensor(x), offset=offset), want.sum(-1))
    assert linalg.trace(cr.asarray(np.eye(2, dtype=np.int8))).dtype is cr.int64


def test_empty_matrices_and_stacks() -> None:
    none, stack = cr.zeros((0, 0)), cr.zeros((0, 3, 3))
    assert linalg.det(none).item() == 1.0
    assert linalg.inv(none).shape == (0, 0)
    assert [t.shape for t in linalg.svd(cr.zeros((0, 3)))] == [(0, 0), (0,), (3, 3)]
    assert [t.shape for t in linalg.qr(cr.zeros((3, 0)), mode="complete")] == [(3, 3), (3, 0)]
    assert linalg.matrix_rank(cr.zeros((0, 3))).item() == 0
    assert linalg.pinv(cr.zeros((0, 3))).shape == (3, 0)
    for function in (linalg.cholesky, linalg.inv, linalg.matrix_exp, linalg.pinv):
        assert function(stack).shape == (0, 3, 3)
    assert linalg.lu(stack).U.shape == (0, 3, 3)


def test_low_precision_is_computed_in_float32_and_rounded_once() -> None:
    x = cr.asarray([[2.0, 1.0], [1.0, 3.0]], dtype=cr.bfloat16)
    assert linalg.inv(x).dtype is cr.bfloat16
    assert_close(linalg.inv(x), linalg.inv(x.astype(cr.float32)).astype(cr.bfloat16), rtol=0, atol=0)


# --- gradients ------------------------------------------------------------------------------------------------------
def test_gradients_of_symmetric_functions_are_symmetric() -> None:
    x = tensor(STACK[0, 0] @ STACK[0, 0].T).requires_grad_()
    (linalg.cholesky(x).sum() + (linalg.eigh(x).eigenvectors[:, 0] ** 2)[1]).backward()
    assert_close(x.grad, x.grad.mT, atol=1e-13)


def test_the_projector_on_a_space_of_equal_eigenvalues_has_its_exact_gradient() -> None:
    base = np.diag([1.0, 1.0, 3.0])

    def spanned(x):
        v = linalg.eigh(x).eigenvectors[:, :2]  # free to turn among themselves
        return ((v @ v.mT) * tensor(np.arange(9.0).reshape(3, 3))).sum()

    cr.check_gradients(spanned, tensor(base + 0.0), order=1)


def test_the_space_of_further_singular_vectors_has_its_exact_gradient() -> None:
    weight = tensor(RNG.normal(size=(5, 5)))

    def spanned(x):
        u = linalg.svd(x).U[:, 3:]
        return (u @ u.mT * weight).sum()

    cr.check_gradients(spanned, tensor(TALL[0]), order=2)
    cr.check_gradients(
        lambda x: (lambda q: (q @ q.mT * weight).sum())(linalg.qr(x, mode="complete").Q[:, 3:]), tensor(TALL[0])
    )


def test_the_norm_at_zero_has_a_finite_second_derivative() -> None:
    hessian = cr.grad(lambda x: cr.grad(lambda y: linalg.vector_norm(y))(x).sum())(cr.zeros(3, dtype=cr.float64))
    assert hessian.tolist() == [0.0, 0.0, 0.0]


def test_factorisations_are_traced() -> None:
    @cr.jit
    def step(x):
        loss = linalg.slogdet(x).logabsdet + linalg.svdvals(x).sum() + linalg.lu(x).U[0, 0]
        return loss, cr.gradients([loss], [x])[0]

    x = tensor(STACK[0, 0]).requires_grad_()
    eager = linalg.slogdet(x).logabsdet + linalg.svdvals(x).sum() + linalg.lu(x).U[0, 0]
    loss, slope = step(x)
    assert_close(loss, eager, rtol=0, atol=0)
    assert_close(slope, cr.gradients([eager], [x])[0], rtol=0, atol=0)


# --- errors ---------------------------------------------------------------------------------------------------------
ERRORS = [
    (lambda: linalg.inv(cr.ones((2, 2))), LinAlgError,
     "solve: the matrix is singular: its equations have no unique solution; use linalg.lstsq or linalg.pinv."),
    (lambda: linalg.solve(cr.ones((2, 3, 3)), cr.ones((2, 3, 1))), LinAlgError,
     "solve: the matrix at (0,) is singular: its equations have no unique solution; use linalg.lstsq or linalg.pinv."),
    (lambda: linalg.cholesky(cr.asarray([[1.0, 2.0], [2.0, 1.0]])), LinAlgError,
     "cholesky: the matrix is not positive definite; add a small multiple of cr.eye, or use linalg.eigh."),
    (lambda: linalg.inv(cr.ones((2, 3))), ShapeError,
     "inv needs square matrices; got the shape (2, 3), whose last sizes 2 and 3 differ."),
    (lambda: linalg.cond(cr.ones((2, 3)), 1), ShapeError,
     "cond needs square matrices; got the shape (2, 3), whose last sizes 2 and 3 differ."),
    (lambda: linalg.matrix_power(cr.ones((2, 3)), 2), ShapeError,
     "matrix_power needs square matrices; got the shape (2, 3), whose last sizes 2 and 3 differ."),
    (lambda: linalg.det(cr.ones(3)), ShapeError, "det needs a matrix or a stack of matrices; got the shape (3,)."),
    (lambda: linalg.trace(cr.ones(3)), ShapeError, "trace needs a matrix or a stack of matrices; got the shape (3,)."),
    (lambda: linalg.eigh(cr.ones((2, 2), dtype=cr.int64)), DTypeError,
     "eigh needs a float tensor; got int64: use .astype(cr.float32)."),
    (lambda: linalg.qr(cr.ones((2, 2)), mode="raw"), ValueError,
     "qr.mode must be \"reduced\" or \"complete\"; got 'raw'."),
    (lambda: linalg.matrix_norm(cr.ones((2, 2)), ord=3), ValueError,
     "matrix_norm.ord must be one of 'fro', 'nuc', 1, -1, 2, -2, inf, -inf; got 3."),
    (lambda: linalg.matrix_norm(cr.ones((2, 2)), axis=(0, -2)), ShapeError,
     "matrix_norm: axis (0, -2) names the same axis twice."),
    (lambda: linalg.norm(cr.ones((2, 2, 2)), 1), ShapeError,
     "norm: ord=1 is for vectors and matrices; x is (2, 2, 2) and axis None: name the axes, or leave ord out."),
    (lambda: linalg.norm(cr.ones(2), "fro"), ShapeError,
     "norm: ord='fro' is for matrices; x is (2,) and axis None: name the axes, or leave ord out."),
    (lambda: linalg.vector_norm(cr.ones(2), axis=1), IndexRangeError,
     "vector_norm: axis 1 does not exist in a tensor with 1 axes; allowed: [-1, 0]."),
    (lambda: linalg.cross(cr.ones(3), cr.ones(2)), ShapeError,
     "cross: x1 is (3,) and x2 is (2,); both need the size 3 on axis -1."),
    (lambda: linalg.multi_dot([cr.ones(2)]), ShapeError,
     "multi_dot takes two or more matrices, the first and last of which may be vectors; got the shapes (2,)."),
    (lambda: linalg.vander(cr.ones(())), ShapeError, "vander needs a vector; got the shape ()."),
    (lambda: linalg.tensorinv(cr.ones((2, 2)), ind=0), ValueError, "tensorinv.ind must be an int > 0; got 0."),
    (lambda: linalg.tensorinv(cr.ones((2, 3)), ind=1), ShapeError,
     "tensorinv: x is (2, 3) and ind 1; the sizes 2 before and 3 after it must be equal."),
    (lambda: linalg.tensorsolve(cr.ones((2, 3)), cr.ones(2)), ShapeError,
     "tensorsolve: a is (2, 3) and b is (2,); a needs 2 elements per axis group, those of b and "
     "those of the solution."),
    (lambda: linalg.lstsq(cr.ones((3, 2)), cr.ones(2)), ShapeError,
     "lstsq: a is (3, 2) and b is (2,); both must have the same number of rows."),
    (lambda: linalg.lu_solve(cr.eye(2), cr.asarray([1, 2]), cr.ones((3, 1))), ShapeError,
     "lu_solve: factor is (2, 2) and b is (3, 1); they need [n, n] and [n, k]."),
    (lambda: linalg.householder_product(cr.ones((2, 3)), cr.ones(2)), ShapeError,
     "householder_product: x is (2, 3) and tau (2,); x needs as many rows as columns or more, and tau at most one "
     "factor per column."),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", ERRORS, ids=[message.split(":")[0][:40] for _, _, message in ERRORS])
def test_what_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}(\n|$)"):
        call()


def test_the_second_derivative_of_a_determinant_needs_an_inverse() -> None:
    x = cr.zeros((2, 2)).requires_grad_()
    (g,) = cr.gradients([linalg.det(x)], [x], create_graph=True)
    with pytest.raises(LinAlgError, match="^solve: the matrix is singular"):
        g.sum().backward()

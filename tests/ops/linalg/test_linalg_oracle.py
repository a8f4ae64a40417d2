"""cr.linalg against PyTorch: values, gradients and second gradients in float64.

Vectors of a factorisation are free in their signs, so their functions are compared where these cancel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle
L, T = cr.linalg, torch.linalg
INF = float("inf")

_rng = np.random.default_rng(11)
SQUARE = _rng.normal(size=(2, 4, 4)) + 2.0 * np.eye(4)
TALL, WIDE = _rng.normal(size=(2, 5, 3)), _rng.normal(size=(2, 3, 5))
VECTORS = _rng.normal(size=(2, 3, 4))
RIGHT = _rng.normal(size=(2, 4, 3))


def positive(x):
    """Return a positive definite matrix made from x, in either library."""
    return x @ x.mT + 0.5 * x.mT @ x


Pair = tuple[Callable, Callable, tuple]
PAIRS: dict[str, Pair] = {
    "solve": (L.solve, T.solve, (SQUARE, RIGHT)),
    "solve of one matrix and a stack": (L.solve, T.solve, (SQUARE[0], RIGHT)),
    "solve of a vector": (L.solve, T.solve, (SQUARE[0], RIGHT[0, :, 0])),
    "inv": (L.inv, T.inv, (SQUARE,)),
    "det": (L.det, T.det, (SQUARE,)),
    "slogdet": (lambda x: L.slogdet(x).logabsdet, lambda x: T.slogdet(x).logabsdet, (-SQUARE,)),
    "logdet": (L.logdet, torch.logdet, (SQUARE,)),
    "cholesky": (lambda x: L.cholesky(positive(x)), lambda x: T.cholesky(positive(x)), (SQUARE,)),
    "cholesky, upper": (
        lambda x: L.cholesky(positive(x), upper=True),
        lambda x: T.cholesky(positive(x), upper=True),
        (SQUARE,),
    ),
    "cholesky_solve": (
        lambda b, x: L.cholesky_solve(b, L.cholesky(positive(x))),
        lambda b, x: torch.cholesky_solve(b, T.cholesky(positive(x))),
        (RIGHT, SQUARE),
    ),
    "cholesky_solve, upper": (
        lambda b, x: L.cholesky_solve(b, L.cholesky(positive(x), upper=True), upper=True),
        lambda b, x: torch.cholesky_solve(b, T.cholesky(positive(x), upper=True), upper=True),
        (RIGHT, SQUARE),
    ),
    **{
        f"solve_triangular, upper={upper}, left={left}, unitriangular={unit}": (
            lambda a, b, upper=upper, left=left, unit=unit: L.solve_triangular(
                a, b if left else b.mT, upper=upper, left=left, unitriangular=unit
            ),
            lambda a, b, upper=upper, left=left, unit=unit: T.solve_triangular(
                a, b if left else b.mT, upper=upper, left=left, unitriangular=unit
            ),
            (SQUARE, RIGHT),
        )
        for upper in (False, True)
        for left in (False, True)
        for unit in (False, True)
    },
    "qr of a tall matrix": (lambda x: L.qr(x).Q * 1.5, lambda x: T.qr(x).Q * 1.5, (TALL,)),
    "r of a tall matrix": (lambda x: L.qr(x).R, lambda x: T.qr(x).R, (TALL,)),
    "q of a wide matrix": (lambda x: L.qr(x).Q, lambda x: T.qr(x).Q, (WIDE,)),
    "r of a wide matrix": (lambda x: L.qr(x).R, lambda x: T.qr(x).R, (WIDE,)),
    "householder_product": (L.householder_product, T.householder_product, (TALL, _rng.normal(size=(2, 2)))),
    **{
        f"lu of {name}, part {part}": (
            lambda x, part=part: L.lu(x)[part],
            lambda x, part=part: T.lu(x)[part],
            (x,),
        )
        for name, x in (("a square", SQUARE), ("a tall matrix", TALL), ("a wide matrix", WIDE))
        for part in (1, 2)
    },
    "lu_factor": (lambda x: L.lu_factor(x).LU, lambda x: T.lu_factor(x).LU, (WIDE,)),
    "lu_solve": (
        lambda x, b: L.lu_solve(*L.lu_factor(x), b),
        lambda x, b: T.lu_solve(*T.lu_factor(x), b),
        (SQUARE, RIGHT),
    ),
    "eigvalsh": (lambda x: L.eigvalsh(positive(x)), lambda x: T.eigvalsh(positive(x)), (SQUARE,)),
    "eigenvectors": (
        lambda x: L.eigh(positive(x)).eigenvectors ** 2,
        lambda x: T.eigh(positive(x)).eigenvectors ** 2,
        (SQUARE,),
    ),
    "svdvals": (L.svdvals, T.svdvals, (TALL,)),
    **{
        f"svd of {name}, squares of part {part}": (
            lambda x, part=part: L.svd(x, full_matrices=False)[part] ** 2,
            lambda x, part=part: T.svd(x, full_matrices=False)[part] ** 2,
            (x,),
        )
        for name, x in (("a square", SQUARE), ("a tall matrix", TALL), ("a wide matrix", WIDE))
        for part in (0, 2)
    },
    "pinv of a tall matrix": (L.pinv, T.pinv, (TALL,)),
    "pinv of a wide matrix": (L.pinv, T.pinv, (WIDE,)),
    "lstsq": (
        lambda a, b: L.lstsq(a, b).solution,
        lambda a, b: T.lstsq(a, b).solution,
        (TALL, _rng.normal(size=(2, 5, 2))),
    ),
    "matrix_exp": (L.matrix_exp, T.matrix_exp, (SQUARE,)),
    **{
        f"matrix_power {n}": (
            lambda x, n=n: L.matrix_power(x, n),
            lambda x, n=n: T.matrix_power(x, n),
            (SQUARE,),
        )
        for n in (-3, -1, 1, 2, 7)
    },
    "multi_dot": (
        lambda *xs: L.multi_dot(xs),
        lambda *xs: T.multi_dot(xs),
        (TALL[0, 0], WIDE[0], TALL[0], WIDE[1], TALL[1, :, 0]),
    ),
    "cross": (L.cross, T.cross, (TALL, _rng.normal(size=(1, 5, 3)))),
    "cross along axis 1": (
        lambda a, b: L.cross(a, b, axis=-2),
        lambda a, b: T.cross(a, b, dim=-2),
        (WIDE, WIDE[::-1].copy()),
    ),
    "diagonal": (lambda x: L.diagonal(x, offset=-1), lambda x: T.diagonal(x, offset=-1), (WIDE,)),
    "trace": (lambda x: L.trace(x) ** 2, lambda x: x.diagonal(dim1=-2, dim2=-1).sum(-1) ** 2, (SQUARE,)),
    "vander": (lambda x: L.vander(x, n=4), lambda x: T.vander(x, N=4), (VECTORS,)),
    "tensorinv": (lambda x: L.tensorinv(x, ind=2), lambda x: T.tensorinv(x, ind=2), (SQUARE[0].reshape(2, 2, 4),)),
    "tensorsolve": (
        lambda a, b: L.tensorsolve(a, b),
        lambda a, b: T.tensorsolve(a, b),
        (SQUARE[0].reshape(2, 2, 4), RIGHT[0, :, :1].reshape(2, 2)),
    ),
    **{
        f"vector_norm {p}": (
            lambda x, p=p: L.vector_norm(x, axis=-1, ord=p),
            lambda x, p=p: T.vector_norm(x, ord=p, dim=-1),
            (VECTORS,),
        )
        for p in (2, 1, 3, 1.5, 0.5, -1, -2.5, INF, -INF)
    },
    "vector_norm of all": (
        lambda x: L.vector_norm(x, keepdims=True),
        lambda x: T.vector_norm(x, keepdim=True),
        (VECTORS,),
    ),
    **{
        f"matrix_norm {p!r}": (
            lambda x, p=p: L.matrix_norm(x, ord=p),
            lambda x, p=p: T.matrix_norm(x, ord=p),
            (TALL,),
        )
        for p in ("fro", "nuc", 2, -2, 1, -1, INF, -INF)
    },
    **{
        f"matrix_norm {p!r} of axes 2 and 0": (
            lambda x, p=p: L.matrix_norm(x, ord=p, axis=(2, 0), keepdims=True),
            lambda x, p=p: T.matrix_norm(x, ord=p, dim=(2, 0), keepdim=True),
            (TALL,),
        )
        for p in ("fro", "nuc", 1, INF)
    },
    "norm": (L.norm, T.norm, (VECTORS,)),
    "norm of a vector": (lambda x: L.norm(x, 3), lambda x: T.norm(x, 3), (VECTORS[0, 0],)),
    "norm of a matrix": (lambda x: L.norm(x, "nuc"), lambda x: T.norm(x, "nuc"), (VECTORS[0],)),
    "norm along an axis": (lambda x: L.norm(x, 1, axis=1), lambda x: T.norm(x, 1, dim=1), (VECTORS,)),
    **{f"cond {p!r}": (lambda x, p=p: L.cond(x, p), lambda x, p=p: T.cond(x, p), (SQUARE,)) for p in (None, 2, -2)},
    **{  # PyTorch's own cond can't be differentiated here
        f"cond {p!r}": (
            lambda x, p=p: L.cond(x, p),
            lambda x, p=p: T.matrix_norm(x, p) * T.matrix_norm(T.inv(x), p),
            (SQUARE,),
        )
        for p in ("fro", "nuc", 1, -1, INF)
    },
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_to_second_order(name: str) -> None:
    ours, theirs, data = PAIRS[name]
    rng = np.random.default_rng(4)
    xs = [cr.asarray(x).requires_grad_() for x in data]
    ts = [torch.tensor(x, requires_grad=True) for x in data]
    y, s = ours(*xs), theirs(*ts)
    np.testing.assert_allclose(y.numpy(), s.detach().numpy(), rtol=1e-9, atol=1e-11)
    weight = rng.normal(size=y.shape)
    loss, want_loss = cr.sum((y * y + y) * weight), ((s * s + s) * torch.tensor(weight)).sum()
    slopes = cr.gradients([loss], xs, create_graph=True)
    wants = torch.autograd.grad(want_loss, ts, create_graph=True)
    for slope, want in zip(slopes, wants, strict=True):
        np.testing.assert_allclose(slope.numpy(), want.detach().numpy(), rtol=1e-8, atol=1e-8)
    directions = [rng.normal(size=x.shape) for x in data]
    second = sum((cr.sum(slope * d) for slope, d in zip(slopes, directions, strict=True)), cr.zeros(()))
    want_second = sum((want * torch.tensor(d)).sum() for want, d in zip(wants, directions, strict=True))
    found = cr.gradients([second], xs)
    for g, want in zip(found, torch.autograd.grad(want_second, ts, allow_unused=True), strict=True):
        if want is not None:
            np.testing.assert_allclose(
                g.numpy(), want.numpy(), rtol=1e-6, atol=1e-6 * max(1.0, want.abs().max().item())
            )


COMPLEX = SQUARE + 0.5j * _rng.normal(size=SQUARE.shape)
COMPLEX_TALL = TALL + 1j * _rng.normal(size=TALL.shape)


def hermitian(x):
    """Return a positive definite matrix made from a complex x, in either library."""
    conjugate = cr.conj(x) if isinstance(x, cr.Tensor) else x.conj()
    return x @ conjugate.mT + 0.5 * conjugate.mT @ x


def sizes(x):
    """Return the squares of absolute values, which do not depend on phases."""
    return cr.abs(x) ** 2 if isinstance(x, cr.Tensor) else x.abs() ** 2


def sorted_by_size(w):
    """Return values in an order that both libraries share."""
    return (
        w[cr.argsort(cr.real(w) + 0.3 * cr.imag(w))]
        if isinstance(w, cr.Tensor)
        else w[(w.real + 0.3 * w.imag).argsort()]
    )


COMPLEX_PAIRS: dict[str, Pair] = {
    "solve": (L.solve, T.solve, (COMPLEX, COMPLEX[:, :, :2])),
    "solve of real equations": (L.solve, lambda a, b: T.solve(a.to(b.dtype), b), (SQUARE, COMPLEX[:, :, :2])),
    "inv": (L.inv, T.inv, (COMPLEX,)),
    "det": (L.det, T.det, (COMPLEX,)),
    "slogdet's sign": (lambda x: L.slogdet(x).sign, lambda x: T.slogdet(x).sign, (COMPLEX,)),
    "slogdet": (lambda x: L.slogdet(x).logabsdet, lambda x: T.slogdet(x).logabsdet, (COMPLEX,)),
    "cholesky": (lambda x: L.cholesky(hermitian(x)), lambda x: T.cholesky(hermitian(x)), (COMPLEX,)),
    "r": (lambda x: L.qr(x).R, lambda x: T.qr(x).R, (COMPLEX_TALL,)),
    "q": (lambda x: L.qr(x).Q, lambda x: T.qr(x).Q, (COMPLEX_TALL,)),
    "lu": (lambda x: L.lu(x).U, lambda x: T.lu(x).U, (COMPLEX,)),
    "eigvalsh": (lambda x: L.eigvalsh(hermitian(x)), lambda x: T.eigvalsh(hermitian(x)), (COMPLEX,)),
    "eigh": (
        lambda x: sizes(L.eigh(hermitian(x)).eigenvectors),
        lambda x: sizes(T.eigh(hermitian(x)).eigenvectors),
        (COMPLEX,),
    ),
    "svdvals": (L.svdvals, T.svdvals, (COMPLEX_TALL,)),
    "u": (
        lambda x: sizes(L.svd(x, full_matrices=False).U),
        lambda x: sizes(T.svd(x, full_matrices=False).U),
        (COMPLEX_TALL,),
    ),
    "vh": (
        lambda x: sizes(L.svd(x, full_matrices=False).Vh),
        lambda x: sizes(T.svd(x, full_matrices=False).Vh),
        (COMPLEX_TALL,),
    ),
    "eigvals of a complex matrix": (
        lambda x: sorted_by_size(L.eigvals(x)),
        lambda x: sorted_by_size(T.eigvals(x)),
        (COMPLEX[0],),
    ),
    "eigvals of a real matrix": (
        lambda x: sorted_by_size(L.eigvals(x)),
        lambda x: sorted_by_size(T.eigvals(x)),
        (SQUARE[0],),
    ),
    "eigenvectors": (
        lambda x: sizes(L.eig(x).eigenvectors).sum(-1),
        lambda x: sizes(T.eig(x).eigenvectors).sum(-1),
        (COMPLEX,),
    ),
    "pinv": (L.pinv, T.pinv, (COMPLEX_TALL,)),
    "matrix_exp": (L.matrix_exp, T.matrix_exp, (COMPLEX,)),
    "matrix_norm": (lambda x: L.matrix_norm(x, ord="nuc"), lambda x: T.matrix_norm(x, "nuc"), (COMPLEX_TALL,)),
    "vector_norm": (lambda x: L.vector_norm(x, ord=3), lambda x: T.vector_norm(x, 3), (COMPLEX_TALL,)),
    "householder_product": (L.householder_product, T.householder_product, (COMPLEX_TALL, COMPLEX_TALL[:, 0, :2])),
}


@pytest.mark.parametrize("name", COMPLEX_PAIRS)
def test_complex_values_and_gradients_to_second_order(name: str) -> None:
    ours, theirs, data = COMPLEX_PAIRS[name]
    rng = np.random.default_rng(4)

    def drawn(x):
        return rng.normal(size=x.shape) + (1j * rng.normal(size=x.shape) if np.iscomplexobj(x) else 0)

    xs = [cr.asarray(x).requires_grad_() for x in data]
    ts = [torch.tensor(x, requires_grad=True) for x in data]
    y, s = ours(*xs), theirs(*ts)
    np.testing.assert_allclose(y.numpy(), s.detach().numpy(), rtol=1e-9, atol=1e-11)
    seed = drawn(y.numpy())
    slopes = cr.gradients([y * y], xs, [cr.asarray(seed)], create_graph=True)
    wants = torch.autograd.grad(s * s, ts, torch.tensor(seed), create_graph=True)
    for slope, want in zip(slopes, wants, strict=True):
        np.testing.assert_allclose(slope.numpy(), want.detach().resolve_conj().numpy(), rtol=1e-8, atol=1e-8)
    directions = [drawn(x) for x in data]
    found = cr.gradients(slopes, xs, [cr.asarray(d) for d in directions])
    again = torch.autograd.grad(wants, ts, [torch.tensor(d) for d in directions])
    for g, want in zip(found, again, strict=True):
        largest = max(1.0, want.abs().max().item())
        np.testing.assert_allclose(g.numpy(), want.resolve_conj().numpy(), rtol=1e-6, atol=1e-6 * largest)


def test_pivots_are_lapacks() -> None:
    for x in (SQUARE, TALL, WIDE):
        assert L.lu_factor(cr.asarray(x)).pivots.tolist() == T.lu_factor(torch.tensor(x)).pivots.tolist()


def test_ranks_and_signs() -> None:
    x = np.stack([np.outer([1.0, 2.0, 3.0], [1.0, 0.0, -1.0]), np.eye(3), np.zeros((3, 3)), -np.eye(3)])
    assert L.matrix_rank(cr.asarray(x)).tolist() == T.matrix_rank(torch.tensor(x)).tolist() == [1, 3, 0, 3]
    assert L.vector_norm(cr.asarray(x), axis=-1, ord=0).tolist() == T.vector_norm(torch.tensor(x), 0, -1).tolist()
    sign, size = L.slogdet(cr.asarray(x))
    assert (sign.tolist(), size.tolist()) == ([0.0, 1.0, 0.0, -1.0], [-INF, 0.0, -INF, 0.0])


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_gradient_of_a_determinant_of_low_rank(rank: int) -> None:
    rng = np.random.default_rng(rank)
    x = rng.normal(size=(3, rank)) @ rng.normal(size=(rank, 3))
    ours, theirs = cr.asarray(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    L.det(ours).backward()
    T.det(theirs).backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("p", [2, 1, 3, 1.5, INF, 0.5])
def test_the_gradient_of_a_norm_at_zero(p: float) -> None:
    x = np.array([[0.0, 0.0, 0.0], [0.0, 3.0, -4.0]])
    ours, theirs = cr.asarray(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    L.vector_norm(ours, axis=-1, ord=p).sum().backward()
    T.vector_norm(theirs, ord=p, dim=-1).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-14)

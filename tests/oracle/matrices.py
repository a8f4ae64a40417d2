"""Matrix entries of the database: products, and `linalg` with its older spellings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tests.oracle.harness import Operator
from tests.oracle.reductions import everywhere
from tests.oracle.shapes import atleast, conj, diagonal

import chainrule as cr
from chainrule import linalg


def adjoint_of(x: Any) -> Any:
    """Return the transpose of matrices of either library, conjugated."""
    return x.mH if isinstance(x, torch.Tensor) else conj(x).mT


def _symmetric(library: Any, x: Any, *rest: Any, **settings: Any) -> tuple[Any, ...]:
    """A gradient by a symmetric matrix is only defined along symmetric matrices."""
    return x + adjoint_of(x), *rest


def _triangular(library: Any, *inputs: Any, upper: bool = False) -> tuple[Any, ...]:
    """The last matrix is read as a triangle; what PyTorch's gradient says beside it has no meaning."""
    return *inputs[:-1], library.triu(inputs[-1]) if upper else library.tril(inputs[-1])


def _moduli(usv: Any) -> tuple[Any, ...]:
    u, s, v = usv
    k = s.shape[-1]
    return u[..., :k].abs(), s, v[..., :k].abs()


# ---------------------------------------------------------------------------------------------------- products
def added(product: Any) -> Operator:
    """Return beta c + alpha product(a, b)."""

    def call(c, a, b, beta=1, alpha=1):
        return beta * c + alpha * product(a, b)

    return Operator(call)


def tensordot(x, y, dims=2):
    if not isinstance(dims, int):  # PyTorch lets an axis of size 1 meet any other
        for i, j in zip(*dims, strict=True):
            x = cr.sum(x, axis=i, keepdims=True) if y.shape[j] == 1 else x
            y = cr.sum(y, axis=j, keepdims=True) if x.shape[i] == 1 else y
    return cr.tensordot(x, y, axes=dims if isinstance(dims, int) else tuple(map(tuple, dims)))


def inner(x, y):
    return x * y if not x.ndim or not y.ndim else cr.tensordot(x, y, axes=((-1,), (-1,)))


def cross(x, y, dim=None):
    if dim is None:
        dim = x.shape.index(3)
    return linalg.cross(x, y, axis=dim)


def cdist(x, y, p=2.0, how=None):
    return linalg.vector_norm(cr.expand_dims(x, -2) - cr.expand_dims(y, -3), axis=-1, ord=p)


# ---------------------------------------------------------------------------------------------------- systems
def triangular_solve(b, a):
    return linalg.solve_triangular(a, b, upper=True), a


def solve(a, b, left=True):
    """A vector, or a stack of vectors, counts as such."""
    if b.ndim == 1 or b.shape == a.shape[:-1]:
        return cr.squeeze(linalg.solve(a, cr.expand_dims(b, -1)), -1)
    return linalg.solve(a, b)


def solve_triangular(a, b, *, upper, left=True, unitriangular=False):
    return linalg.solve_triangular(a, b, upper=upper, left=left, unitriangular=unitriangular)


def lstsq(a, b, driver=None):
    vector = b.ndim == a.ndim - 1
    y = linalg.lstsq(a, cr.expand_dims(b, -1) if vector else b)[0]
    return cr.squeeze(y, -1) if vector else y


def pinv(x, rtol=None, hermitian=False):
    return linalg.pinv(x, rtol=rtol)


def matrix_rank(x, atol=None, rtol=None, hermitian=False):
    if atol is None:
        return linalg.matrix_rank(x, rtol=rtol)
    s = linalg.svdvals(x)
    if not s.shape[-1]:
        return cr.zeros(x.shape[:-2], dtype=cr.int64)
    largest = cr.max(s, axis=-1, keepdims=True)
    limit = cr.maximum(largest * _column(0.0 if rtol is None else rtol), _column(atol))
    return cr.count_nonzero(s > limit, axis=-1)


def _column(x: Any) -> Any:
    return cr.expand_dims(x, -1) if isinstance(x, cr.Tensor) and x.ndim else x


def permutation(pivots: cr.Tensor) -> cr.Tensor:
    """Return the matrices P [..., n, n] of the exchanges that a factorisation made, with P L U the factored matrix."""
    rows = np.broadcast_to(np.arange(pivots.shape[-1]), pivots.shape).copy()
    for step in np.ndindex(*pivots.shape):
        order, i, j = rows[step[:-1]], step[-1], int(pivots.numpy()[step]) - 1
        order[i], order[j] = order[j], order[i]
    return cr.eye(pivots.shape[-1], dtype=cr.float64)[cr.asarray(rows)].mT


def lu_solve(lu, pivots, b, left=True, adjoint=False):
    if not left:
        return adjoint_of(lu_solve(lu, pivots, adjoint_of(b), adjoint=not adjoint))
    if not adjoint:
        return linalg.lu_solve(lu, pivots, b)
    y = linalg.solve_triangular(conj(lu).mT, b, upper=False)
    y = linalg.solve_triangular(conj(lu).mT, y, upper=True, unitriangular=True)
    return permutation(pivots).astype(y.dtype) @ y


def old_lu(x, pivot=True, get_infos=False):
    factor = linalg.lu_factor(x)
    return (*factor, cr.zeros(x.shape[:-2], dtype=cr.int32)) if get_infos else tuple(factor)


def lu_unpack(lu, pivots):
    """Of a factor [..., rows, columns], P with as many rows."""
    size = min(lu.shape[-2:])
    rest = [cr.broadcast_to(cr.arange(size, lu.shape[-2]) + 1, (*pivots.shape[:-1], lu.shape[-2] - size))]
    whole = cr.concat([pivots.astype(cr.int64), *rest], axis=-1)
    lower = cr.tril(lu, k=-1)[..., :size] + cr.eye(lu.shape[-2], size, dtype=lu.dtype)
    return permutation(whole), lower, cr.triu(lu)[..., :size, :]


# ---------------------------------------------------------------------------------------------------- norms
def matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False):
    return linalg.matrix_norm(x, ord=ord, axis=tuple(dim), keepdims=keepdim)


def vector_norm(x, ord=2, dim=None, keepdim=False):
    return linalg.vector_norm(x, ord=ord, axis=everywhere(dim) if x.ndim else None, keepdims=keepdim)


def norm(x, ord=None, dim=None, keepdim=False):
    axis = everywhere(dim)
    if ord is None:
        return linalg.vector_norm(x, axis=axis, keepdims=keepdim)
    if axis is None:
        axis = (0, 1) if x.ndim == 2 else None
    return linalg.norm(x, ord, axis=axis, keepdims=keepdim)


# ---------------------------------------------------------------------------------------------------- decompositions
def svd(x, full_matrices=True):
    return linalg.svd(x, full_matrices=full_matrices)


def old_svd(x, some=True):
    """It returned V, not its transpose."""
    u, s, vh = linalg.svd(x, full_matrices=not some)
    return u, s, vh.mT


def qr(x, mode="reduced"):
    return linalg.qr(x, mode=mode)


def eigh(x, UPLO="L"):
    return linalg.eigh(x)


OPERATORS = {
    "matrix_exp": Operator(linalg.matrix_exp),
    "logdet": Operator(linalg.logdet),
    "cholesky_solve": Operator(
        lambda b, factor, upper=False: linalg.cholesky_solve(b, factor, upper=upper),
        before=_triangular,
        why="the gradient by a triangle is one",
    ),
    "cholesky_inverse": Operator(
        lambda factor, upper=False: linalg.cholesky_solve(
            cr.eye(factor.shape[-1], dtype=factor.dtype), factor, upper=upper
        ),
        before=_triangular,
        why="the gradient by a triangle is one",
    ),
    "matmul": Operator(cr.matmul),
    "__rmatmul__": Operator(lambda x, y: y @ x),
    "mm": Operator(cr.matmul),
    "bmm": Operator(cr.matmul),
    "mv": Operator(cr.matmul),
    "dot": Operator(lambda x, y: cr.tensordot(x, y, axes=1)),
    "vdot": Operator(cr.vecdot),
    "outer": Operator(cr.outer),
    "inner": Operator(inner),
    "kron": Operator(cr.kron),
    "tensordot": Operator(tensordot),
    "einsum": Operator(lambda operands, equation: cr.einsum(equation, *operands)),
    "addmm": added(cr.matmul),
    "addmm/decomposed": added(cr.matmul),
    "addmv": added(cr.matmul),
    "addr": added(cr.outer),
    "baddbmm": added(cr.matmul),
    "addbmm": added(lambda a, b: cr.sum(a @ b, axis=0)),
    "trace": Operator(linalg.trace),
    "cross": Operator(cross),
    "cdist": Operator(cdist),
    "linalg.cross": Operator(lambda x, y, dim=-1: linalg.cross(x, y, axis=dim)),
    "linalg.vecdot": Operator(lambda x, y, dim=-1: linalg.vecdot(x, y, axis=dim)),
    "linalg.multi_dot": Operator(linalg.multi_dot),
    "linalg.matrix_power": Operator(linalg.matrix_power),
    "linalg.diagonal": Operator(lambda x, offset=0, dim1=-2, dim2=-1: diagonal(x, offset, dim1, dim2)),
    "linalg.vander": Operator(lambda x, N=None: linalg.vander(atleast(1)(x), n=N)),
    "linalg.norm": Operator(norm),
    "linalg.norm/subgradients_at_zero": Operator(
        norm, order=1, why="at 0 a norm has no second derivative: chainrule gives 0 and PyTorch NaN"
    ),
    "linalg.vector_norm": Operator(vector_norm),
    "linalg.matrix_norm": Operator(matrix_norm),
    "linalg.cond": Operator(linalg.cond),
    "linalg.det": Operator(linalg.det),
    "linalg.slogdet": Operator(linalg.slogdet),
    "linalg.inv": Operator(linalg.inv),
    "linalg.inv_ex": Operator(lambda x: (linalg.inv(x), cr.zeros(x.shape[:-2], dtype=cr.int32))),
    "linalg.solve": Operator(solve),
    "linalg.solve_ex": Operator(lambda a, b: (solve(a, b), cr.zeros(a.shape[:-2], dtype=cr.int32))),
    "linalg.solve_triangular": Operator(solve_triangular),
    "triangular_solve": Operator(
        triangular_solve, before=lambda library, b, a: (b, library.triu(a)), why="PyTorch's gradient by a is triangular"
    ),
    "linalg.tensorinv": Operator(lambda x, ind=2: linalg.tensorinv(x, ind=ind)),
    "linalg.tensorsolve": Operator(lambda a, b, dims=None: linalg.tensorsolve(a, b, axes=dims)),
    "linalg.lstsq": Operator(lstsq, after=lambda y: y[0] if isinstance(y, tuple) else y),
    "linalg.lstsq/grad_oriented": Operator(lstsq, after=lambda y: y[0] if isinstance(y, tuple) else y),
    "linalg.pinv": Operator(pinv),
    "linalg.pinv/hermitian": Operator(pinv, before=_symmetric),
    "linalg.pinv/singular": Operator(lambda a, b: pinv(a @ b.mT)),
    "pinverse": Operator(pinv),
    "linalg.matrix_rank": Operator(matrix_rank),
    "linalg.matrix_rank/hermitian": Operator(matrix_rank),
    "linalg.cholesky": Operator(lambda x, upper=False: linalg.cholesky(x, upper=upper), before=_symmetric),
    "linalg.cholesky_ex": Operator(
        lambda x, upper=False: (linalg.cholesky(x, upper=upper), cr.zeros(x.shape[:-2], dtype=cr.int32)),
        before=_symmetric,
    ),
    "cholesky": Operator(lambda x, upper=False: linalg.cholesky(x, upper=upper), before=_symmetric),
    "linalg.eigh": Operator(eigh, before=_symmetric),
    "linalg.eigvalsh": Operator(lambda x, UPLO="L": linalg.eigvalsh(x), before=_symmetric),
    "linalg.eig": Operator(linalg.eig),
    "linalg.eigvals": Operator(linalg.eigvals),
    "linalg.qr": Operator(qr),
    "qr": Operator(qr),
    "linalg.svd": Operator(svd),
    "svd": Operator(old_svd, after=_moduli, why="singular vectors are defined up to a sign"),
    "linalg.svdvals": Operator(linalg.svdvals),
    "linalg.householder_product": Operator(
        linalg.householder_product, rtol=1e-8, why="the samples are no reflections: numbers grow to 1e5 and cancel"
    ),
    "linalg.lu": Operator(lambda x, pivot=True: linalg.lu(x)),
    "linalg.lu_factor": Operator(lambda x, pivot=True: linalg.lu_factor(x)),
    "linalg.lu_factor_ex": Operator(lambda x, pivot=True: old_lu(x, get_infos=True)),
    "linalg.lu_solve": Operator(lu_solve),
    "lu": Operator(old_lu),
    "lu_solve": Operator(lambda b, lu, pivots: linalg.lu_solve(lu, pivots, b)),
    "lu_unpack": Operator(lu_unpack),
}

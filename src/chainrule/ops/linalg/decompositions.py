"""Matrices as products of simpler ones: Cholesky, QR, LU, eigenvectors, singular values.

The gradients stand with the primitives, in `factor.py` and `spectral.py`. Signs of vectors are LAPACK's: a function
whose value depends on them has no meaningful gradient.
"""

from __future__ import annotations

from chainrule.core.bind import bind
from chainrule.core.dtypes import int32, int64
from chainrule.core.errors import ShapeError
from chainrule.core.precision import precision
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast, pair
from chainrule.ops.creation import arange, zeros
from chainrule.ops.gather import take_along_axis
from chainrule.ops.join import concat
from chainrule.ops.linalg._matrices import adjoint, float_matrix, require_matrices
from chainrule.ops.linalg._results import EighResult, EigResult, LUFactorResult, LUResult, QRResult, SVDResult
from chainrule.ops.linalg.factor import cholesky_p, complement_p, lu_p, lu_pivots_p, pivot_order_p, qr_p
from chainrule.ops.linalg.spectral import eig_p, eigh_p, svd_p
from chainrule.ops.linalg.systems import solve_triangular
from chainrule.ops.matmul import matmul
from chainrule.ops.shape import broadcast_to, expand_dims, reshape
from chainrule.ops.slices import narrow
from chainrule.ops.triangle import eye, tril, triu

__all__ = [
    "cholesky",
    "cholesky_solve",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "lu",
    "lu_factor",
    "lu_solve",
    "qr",
    "svd",
    "svdvals",
]


def _with_zeros(x: Tensor, count: int, *, axis: int) -> Tensor:
    """Return x with `count` further zeros along an axis."""
    if not count:
        return x
    shape = list(x.shape)
    shape[axis] = count
    return concat([x, zeros(tuple(shape), dtype=x.dtype)], axis=axis)


# ---------------------------------------------------------------------------------------------------- cholesky
def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """Return the Cholesky factor of each matrix.

        x = y y^T,  or x = y^T y with upper=True

    Args:
        x: float tensor [..., n, n] of symmetric positive definite matrices; the halves on the two sides of the diagonal
            are averaged.
        upper: return the upper factor; default False.

    Returns:
        Tensor [..., n, n], triangular with a positive diagonal.

    Raises:
        LinAlgError: a matrix is not positive definite.
        ShapeError: matrices that are not square.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.cholesky(cr.asarray([[4.0, 2.0], [2.0, 5.0]]))
        tensor([[2., 0.],
                [1., 2.]], shape=(2, 2), dtype=float32)

    Source: Murray, Differentiation of the Cholesky decomposition, 2016, for the gradient.
    """
    y = bind(cholesky_p, float_matrix(x, "cholesky"))
    return adjoint(y) if upper else y


def cholesky_solve(b: Tensor, factor: Tensor, /, *, upper: bool = False) -> Tensor:
    """Return the solution of linear equations from the Cholesky factor of their matrix.

        factor factor^T y = b

    Args:
        b: float tensor [..., n, k].
        factor: what `cholesky` returned, [..., n, n].
        upper: whether it is the upper factor; default False.

    Returns:
        Tensor [..., n, k].

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: no float tensors.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.cholesky_solve(cr.ones((2, 1)), 2.0 * cr.eye(2))
        tensor([[0.25],
                [0.25]], shape=(2, 1), dtype=float32)
    """
    b, factor = pair(b, factor)
    other = adjoint(require_matrices(factor, "cholesky_solve"))
    lower, raised = (other, factor) if upper else (factor, other)
    return solve_triangular(raised, solve_triangular(lower, b, upper=False), upper=True)


# ---------------------------------------------------------------------------------------------------- qr
@precision("float32")
def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """Return the QR factorisation of each matrix.

        x = q r

    Args:
        x: float tensor [..., rows, columns].
        mode: "reduced": k = min(rows, columns); "complete": k = rows, the further columns of q orthonormal to the
            others but free to turn among themselves; default "reduced".

    Returns:
        Named tuple: Q [..., rows, k] with orthonormal columns, R [..., k, columns] upper triangular.

    Raises:
        ValueError: an unknown mode.
        ShapeError: fewer than two axes.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> q, r = cr.linalg.qr(cr.asarray([[3.0, 1.0], [4.0, 2.0]]))
        >>> cr.round(cr.abs(r) * 10)
        tensor([[50., 22.],
                [ 0.,  4.]], shape=(2, 2), dtype=float32)

    Source: LAPACK geqrf, Householder reflections.
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f'qr.mode must be "reduced" or "complete"; got {mode!r}.')
    x = float_matrix(x, "qr")
    rows, columns = x.shape[-2:]
    if rows < columns:
        q, first = bind(qr_p, narrow(x, x.ndim - 1, 0, rows))
        rest = matmul(adjoint(q), narrow(x, x.ndim - 1, rows, columns))
        return QRResult(q, concat([first, rest], axis=-1))
    q, r = bind(qr_p, x)
    if mode == "complete" and rows > columns:
        q = concat([q, bind(complement_p, q)], axis=-1)
        r = _with_zeros(r, rows - columns, axis=-2)
    return QRResult(q, r)


@precision("float32")
def householder_product(x: Tensor, tau: Tensor, /) -> Tensor:
    """Return the first columns of a product of Householder reflections.

        y = (1 - tau_1 v_1 v_1^H) ... (1 - tau_k v_k v_k^H),   v_i = (0, ..., 0, 1, x[i + 1, i], x[i + 2, i], ...)

    Args:
        x: float tensor [..., rows, columns], rows >= columns; what stands on and above the diagonal is not read.
        tau: float tensor [..., k], k <= columns.

    Returns:
        Tensor [..., rows, columns].

    Raises:
        ShapeError: more columns than rows, or more factors than columns.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.householder_product(cr.zeros((2, 2)), cr.asarray([2.0, 0.0]))
        tensor([[-1.,  0.],
                [ 0.,  1.]], shape=(2, 2), dtype=float32)
    """
    x, tau = pair(x, tau)
    rows, columns = float_matrix(x, "householder_product").shape[-2:]
    steps = tau.shape[-1] if tau.ndim else 0
    if not tau.ndim or columns > rows or steps > columns:
        raise ShapeError(
            f"householder_product: x is {x.shape} and tau {tau.shape}; x needs as many rows as columns or more, and "
            "tau at most one factor per column."
        )
    ones = eye(rows, columns, dtype=x.dtype)
    vectors = tril(x, k=-1) + ones  # [..., rows, columns]
    y = broadcast_to(ones, x.shape)
    for step in reversed(range(steps)):
        v = narrow(vectors, x.ndim - 1, step, step + 1)  # [..., rows, 1]
        scale = reshape(narrow(tau, tau.ndim - 1, step, step + 1), (*tau.shape[:-1], 1, 1))
        y = y - scale * matmul(v, matmul(adjoint(v), y))
    return y


# ---------------------------------------------------------------------------------------------------- lu
def _factored(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return pivots, the order of the rows, L [..., rows, k] and U [..., k, columns], with x[order] = L U."""
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    pivots = bind(lu_pivots_p, x.detach())
    order = bind(pivot_order_p, pivots, rows=rows)
    x = take_along_axis(x, expand_dims(order, -1), axis=-2)
    l, u = bind(lu_p, x[..., :k, :k])
    if rows > k:
        l = concat([l, solve_triangular(u, x[..., k:, :], upper=True, left=False)], axis=-2)
    if columns > k:
        u = concat([u, solve_triangular(l, x[..., k:], upper=False, unitriangular=True)], axis=-1)
    return pivots, order, l, u


def lu(x: Tensor, /) -> LUResult:
    """Return the LU factorisation of each matrix, by elimination with exchange of rows.

        x = p l u

    Args:
        x: float tensor [..., rows, columns]; k = min(rows, columns).

    Returns:
        Named tuple: P [..., rows, rows], a permutation; L [..., rows, k], lower triangular with ones on the diagonal;
        U [..., k, columns], upper triangular.

    Raises:
        ShapeError: fewer than two axes.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.lu(cr.asarray([[1.0, 2.0], [2.0, 0.0]])).U
        tensor([[2., 0.],
                [0., 2.]], shape=(2, 2), dtype=float32)
    """
    x = float_matrix(x, "lu")
    _, order, l, u = _factored(x)
    return LUResult(cast(expand_dims(order, -2) == expand_dims(arange(x.shape[-2]), -1), x.dtype), l, u)


def lu_factor(x: Tensor, /) -> LUFactorResult:
    """Return the LU factorisation of each matrix in the compact form that `lu_solve` takes.

    Args:
        x: float tensor [..., rows, columns].

    Returns:
        Named tuple: LU [..., rows, columns], U with L below its diagonal; pivots, int32 [..., min(rows, columns)]: in
        step i, counted from 1, row i was exchanged with row pivots[i].

    Raises:
        ShapeError: fewer than two axes.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.lu_factor(cr.asarray([[1.0, 2.0], [2.0, 0.0]])).pivots
        tensor([2, 2], shape=(2,), dtype=int32)
    """
    x = float_matrix(x, "lu_factor")
    pivots, _, l, u = _factored(x)
    rows, columns = x.shape[-2:]
    lower, upper = tril(l, k=-1), triu(u)
    lower = _with_zeros(lower, columns - lower.shape[-1], axis=-1)
    upper = _with_zeros(upper, rows - upper.shape[-2], axis=-2)
    return LUFactorResult(lower + upper, cast(pivots + 1, int32))


def lu_solve(factor: Tensor, pivots: Tensor, b: Tensor, /) -> Tensor:
    """Return the solution of linear equations from the LU factorisation of their matrix.

    Args:
        factor: LU of `lu_factor`, [..., n, n].
        pivots: pivots of `lu_factor`, [..., n].
        b: float tensor [..., n, k].

    Returns:
        Tensor [..., n, k].

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: no float tensors.

    Example:
        >>> import chainrule as cr
        >>> lu = cr.linalg.lu_factor(cr.asarray([[1.0, 2.0], [2.0, 0.0]]))
        >>> cr.linalg.lu_solve(*lu, cr.asarray([[5.0], [2.0]]))
        tensor([[1.],
                [2.]], shape=(2, 1), dtype=float32)
    """
    factor, b = pair(factor, b)
    n = float_matrix(factor, "lu_solve").shape[-1]
    if require_matrices(b, "lu_solve").shape[-2] != n or factor.shape[-2] != n:
        raise ShapeError(f"lu_solve: factor is {factor.shape} and b is {b.shape}; they need [n, n] and [n, k].")
    order = expand_dims(bind(pivot_order_p, cast(pivots, int64) - 1, rows=n), -1)  # [..., n, 1]
    axes = max(order.ndim, b.ndim)
    b = reshape(b, (1,) * (axes - b.ndim) + b.shape)
    order = reshape(order, (1,) * (axes - order.ndim) + order.shape)
    y = solve_triangular(factor, take_along_axis(b, order, axis=-2), upper=False, unitriangular=True)
    return solve_triangular(factor, y, upper=True)


# ---------------------------------------------------------------------------------------------------- eigh, svd
def eigh(x: Tensor, /) -> EighResult:
    """Return the eigenvalues and eigenvectors of each symmetric matrix.

        x v = v diag(w)

    Args:
        x: float tensor [..., n, n] of symmetric matrices; the halves on the two sides of the diagonal are averaged.

    Returns:
        Named tuple: eigenvalues [..., n], ascending; eigenvectors [..., n, n], orthonormal columns.

    Raises:
        ShapeError: matrices that are not square.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.eigh(cr.asarray([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
        tensor([1., 3.], shape=(2,), dtype=float32)

    Source: LAPACK syevd.
    """
    return EighResult(*bind(eigh_p, float_matrix(x, "eigh")))


def eig(x: Tensor, /) -> EigResult:
    """Return the eigenvalues and eigenvectors of each square matrix.

        x v = v diag(w)

    Args:
        x: float or complex tensor [..., n, n].

    Returns:
        Named tuple of complex tensors: eigenvalues [..., n], in no order; eigenvectors [..., n, n], columns of length
        1.

    Raises:
        ShapeError: matrices that are not square.
        DTypeError: not a float or complex tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.eig(cr.asarray([[0.0, -1.0], [1.0, 0.0]])).eigenvalues
        tensor([0.+1.j, 0.-1.j], shape=(2,), dtype=complex64)

    Source: LAPACK geev.
    """
    return EigResult(*bind(eig_p, float_matrix(x, "eig")))


def eigvals(x: Tensor, /) -> Tensor:
    """Return the eigenvalues of each square matrix.

        dw_i = (v^-1 dx v)_ii

    Args:
        x: float or complex tensor [..., n, n].

    Returns:
        Complex tensor [..., n], in no order.

    Raises:
        ShapeError: matrices that are not square.
        DTypeError: not a float or complex tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.eigvals(cr.asarray([[0.0, -1.0], [1.0, 0.0]]))
        tensor([0.+1.j, 0.-1.j], shape=(2,), dtype=complex64)
    """
    return bind(eig_p, float_matrix(x, "eigvals"))[0]


def eigvalsh(x: Tensor, /) -> Tensor:
    """Return the eigenvalues of each symmetric matrix.

        dw_i = v_i^T dx v_i

    Args:
        x: float tensor [..., n, n] of symmetric matrices; the halves on the two sides of the diagonal are averaged.

    Returns:
        Tensor [..., n], ascending.

    Raises:
        ShapeError: matrices that are not square.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.eigvalsh(cr.asarray([[2.0, 1.0], [1.0, 2.0]]))
        tensor([1., 3.], shape=(2,), dtype=float32)
    """
    return bind(eigh_p, float_matrix(x, "eigvalsh"))[0]


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """Return the singular value decomposition of each matrix.

        x = u diag(s) vh

    Args:
        x: float tensor [..., rows, columns]; k = min(rows, columns).
        full_matrices: return square u and vh, whose further vectors are free to turn among themselves; default True.

    Returns:
        Named tuple: U [..., rows, rows or k]; S [..., k], descending; Vh [..., columns or k, columns].

    Raises:
        ShapeError: fewer than two axes.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.svd(cr.asarray([[3.0, 0.0], [0.0, -4.0]])).S
        tensor([4., 3.], shape=(2,), dtype=float32)

    Source: LAPACK gesdd.
    """
    x = float_matrix(x, "svd")
    u, s, vh = bind(svd_p, x)
    rows, columns = x.shape[-2:]
    if full_matrices and rows > columns:
        u = concat([u, bind(complement_p, u)], axis=-1)
    if full_matrices and columns > rows:
        vh = concat([vh, adjoint(bind(complement_p, adjoint(vh)))], axis=-2)
    return SVDResult(u, s, vh)


def svdvals(x: Tensor, /) -> Tensor:
    """Return the singular values of each matrix.

    Args:
        x: float tensor [..., rows, columns].

    Returns:
        Tensor [..., min(rows, columns)], descending.

    Raises:
        ShapeError: fewer than two axes.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.svdvals(cr.asarray([[3.0, 0.0], [0.0, -4.0]]))
        tensor([4., 3.], shape=(2,), dtype=float32)
    """
    return bind(svd_p, float_matrix(x, "svdvals"))[1]

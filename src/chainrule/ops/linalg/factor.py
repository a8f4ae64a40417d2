"""Cholesky, QR and LU factorisations, and what completes an orthonormal basis.

    cholesky   x = l l^H              l lower triangular, positive diagonal
    qr         x = q r                q orthonormal columns, r upper triangular
    lu         x[order] = l u         l lower triangular with ones on the diagonal, u upper triangular

Only the square parts are primitives: the further columns of r (a wide x) and the further rows of l (a tall x) follow
by products, and so do their gradients. Sources: Murray, Differentiation of the Cholesky decomposition, 2016; Walter and
Lehmann, Algorithmic differentiation of linear algebra functions, 2018.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import int64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.primitive import Invalid, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops.linalg._matrices import (
    SMALL,
    SQUARES,
    SYMMETRIC,
    adjoint,
    diagonal_matrix,
    main_diagonal,
    matrices,
    refusals,
    run_each,
    square,
    stack_size,
    symmetric_part,
)
from chainrule.ops.linalg.systems import solve_p, solve_triangular_p
from chainrule.ops.matmul import matmul
from chainrule.ops.triangle import tril, triu

__all__: list[str] = []

_NOT_POSITIVE = (
    "cholesky: the matrix{where} is not positive definite; add a small multiple of cr.eye, or use linalg.eigh."
)


# ---------------------------------------------------------------------------------------------------- cholesky
def _right_solve(b: Tensor, a: Tensor, *, upper: bool) -> Tensor:
    """Return b a^-1 for a triangular matrix a."""
    return adjoint(bind(solve_triangular_p, adjoint(a), adjoint(b), upper=not upper, unit=False))


def _half(x: Tensor) -> Tensor:
    """Return the lower triangle with half the diagonal."""
    return tril(x) - diagonal_matrix(main_diagonal(x) * 0.5)


def _cholesky_vjp(g: Tensor, y: Tensor) -> Tensor:
    middle = _half(matmul(adjoint(y), tril(g)))
    left = bind(solve_triangular_p, adjoint(y), middle, upper=True, unit=False)
    return symmetric_part(_right_solve(left, y, upper=False))


def _cholesky_jvp(tangents: tuple, y: Tensor) -> Tensor:
    left = bind(solve_triangular_p, y, symmetric_part(tangents[0]), upper=False, unit=False)
    return matmul(y, _half(_right_solve(left, adjoint(y), upper=True)))


def _cholesky(x: np.ndarray) -> np.ndarray:
    return run_each(np.linalg.cholesky, (x + np.swapaxes(x, -1, -2).conj()) * x.dtype.type(0.5), _NOT_POSITIVE)


cholesky_p = primitive(
    "cholesky",
    reference=_cholesky,
    shape=lambda x: square("cholesky", x),
    vjp=_cholesky_vjp,
    jvp=_cholesky_jvp,
    flops=lambda x: stack_size(x.shape) * x.shape[-1] ** 3 // 3,
    samples=[
        Sample((SYMMETRIC[0],)),
        Sample((SYMMETRIC,)),
        Sample((np.array([[4.0]]),)),
        Sample((np.zeros((0, 0)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    invalid=[
        *refusals("cholesky"),
        Invalid((-np.eye(2),), _NOT_POSITIVE.format(where="")),
        Invalid((np.stack([np.eye(2), np.diag([1.0, -1.0])]),), _NOT_POSITIVE.format(where=" at (1,)")),
    ],
    source="Murray 2016; the two halves of x are averaged, so the gradient is symmetric",
)


# ---------------------------------------------------------------------------------------------------- qr
def _tall(name: str, x: TensorType) -> TensorType:
    matrices(name, x)
    if x.shape[-2] < x.shape[-1]:
        raise ShapeError(f"{name} needs matrices with at least as many rows as columns; got the shape {x.shape}.")
    return x


def _qr_shape(x: TensorType) -> tuple[TensorType, TensorType]:
    n = _tall("qr", x).shape[-1]
    return x, TensorType((*x.shape[:-2], n, n), x.dtype)


def _qr_vjp(g: tuple, y0: Tensor, y1: Tensor) -> Tensor:
    gq, gr = g
    lower = _half(matmul(y1, adjoint(triu(gr))) - matmul(adjoint(gq), y0))
    return _right_solve(gq + matmul(y0, lower + adjoint(lower)), adjoint(y1), upper=False)


def _qr_jvp(tangents: tuple, y0: Tensor, y1: Tensor) -> tuple[Tensor, Tensor]:
    moved = _right_solve(tangents[0], y1, upper=True)  # dx r^-1
    inner = matmul(adjoint(y0), moved)  # q^H dq + dr r^-1: a skew matrix and an upper triangle
    upper = adjoint(_half(inner + adjoint(inner)))
    return moved - matmul(y0, upper), matmul(upper, y1)


_TALL = np.concatenate([SQUARES, SQUARES[::-1, :2]], axis=-2)  # [2, 5, 3]

qr_p = primitive(
    "qr",
    reference=lambda x: tuple(np.linalg.qr(x)),
    shape=_qr_shape,
    multiple=True,
    vjp=_qr_vjp,
    jvp=_qr_jvp,
    flops=lambda x: stack_size(x.shape) * 4 * x.shape[-2] * x.shape[-1] ** 2,
    samples=[
        Sample((SMALL,)),
        Sample((_TALL,)),
        Sample((_TALL[0, :, :1],)),
        Sample((np.zeros((3, 0)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    invalid=[
        *refusals("qr", squares=False),
        Invalid((np.zeros((2, 3)),), "qr needs matrices with at least as many rows as columns; got the shape (2, 3)."),
    ],
    source="Walter and Lehmann 2018",
)


def _complement_shape(x: TensorType) -> TensorType:
    rows, columns = _tall("complement", x).shape[-2:]
    return TensorType((*x.shape[:-2], rows, rows - columns), x.dtype)


def _complement_vjp(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    # y stays orthogonal to x: x^H dy = -dx^H y
    return -matmul(y, adjoint(bind(solve_p, matmul(adjoint(x), x), matmul(adjoint(x), g))))


def _complement_jvp(tangents: tuple, x: Tensor, y: Tensor) -> Tensor:
    return -matmul(x, bind(solve_p, matmul(adjoint(x), x), matmul(adjoint(tangents[0]), y)))


complement_p = primitive(
    "complement",  # an orthonormal basis of what is orthogonal to the columns; free to turn within that space
    reference=lambda x: np.linalg.qr(x, mode="complete")[0][..., x.shape[-1] :],
    shape=_complement_shape,
    vjp=_complement_vjp,
    jvp=_complement_jvp,
    flops=lambda x: stack_size(x.shape) * 4 * x.shape[-2] ** 2 * x.shape[-1],
    samples=[
        Sample((SMALL[:, :2],)),
        Sample((_TALL[:, :4, :],)),
        Sample((SMALL,)),
        Sample((np.zeros((0, 3, 2)),)),
    ],
    invalid=[
        *refusals("complement", squares=False),
        Invalid(
            (np.zeros((2, 3)),),
            "complement needs matrices with at least as many rows as columns; got the shape (2, 3).",
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- lu
def _eliminate(x: np.ndarray, pivots: np.ndarray | None) -> np.ndarray:
    """Return l and u in one matrix, by Gaussian elimination; with `pivots`, exchange rows and note them there."""
    y = x.copy(order="C")
    rows, columns = x.shape[-2:]
    flat = y.reshape(stack_size(x.shape), rows, columns)  # a view
    steps = None if pivots is None else pivots.reshape(len(flat), min(rows, columns))
    each = np.arange(len(flat))
    for k in range(min(rows, columns)):
        if steps is not None:
            column = flat[:, k:, k]  # LAPACK measures complex numbers by |re| + |im|
            row = k + np.argmax(np.abs(column.real) + np.abs(column.imag), axis=-1)
            steps[:, k] = row
            held = flat[each, row].copy()
            flat[each, row] = flat[:, k]
            flat[:, k] = held
        pivot = flat[:, k, k]
        flat[:, k + 1 :, k] /= np.where(pivot == 0, 1, pivot)[:, None]  # a zero pivot has only zeros below it
        flat[:, k + 1 :, k + 1 :] -= flat[:, k + 1 :, k, None] * flat[:, None, k, k + 1 :]
    return y


def _pivots(x: np.ndarray) -> np.ndarray:
    pivots = np.zeros((*x.shape[:-2], min(x.shape[-2:])), np.int64)
    _eliminate(x, pivots)
    return pivots


def _pivots_shape(x: TensorType) -> TensorType:
    matrices("lu_pivots", x)
    return TensorType((*x.shape[:-2], min(x.shape[-2:])), int64)


lu_pivots_p = primitive(
    "lu_pivots",  # step k exchanges row k with row pivots[k] >= k
    reference=_pivots,
    shape=_pivots_shape,
    flops=lambda x: stack_size(x.shape) * 2 * x.shape[-1] ** 3 // 3,
    samples=[
        Sample((SMALL,), smooth=False),
        Sample((np.array([[0.0, 1.0], [2.0, 1.0], [3.0, 0.0]]),), smooth=False),
        Sample((_TALL,), smooth=False),
        Sample((np.swapaxes(_TALL, -1, -2),), smooth=False),
        Sample((np.zeros((0, 2)),), smooth=False),
    ],
    invalid=refusals("lu_pivots", squares=False),
)


def _order(pivots: np.ndarray, *, rows: int) -> np.ndarray:
    order = np.broadcast_to(np.arange(rows), (*pivots.shape[:-1], rows)).copy()
    count = math.prod(pivots.shape[:-1])
    flat, steps, each = order.reshape(count, rows), pivots.reshape(count, pivots.shape[-1]), np.arange(count)
    for k in range(pivots.shape[-1]):
        held = flat[each, steps[:, k]].copy()
        flat[each, steps[:, k]] = flat[:, k]
        flat[:, k] = held
    return order


def _order_shape(pivots: TensorType, *, rows: int) -> TensorType:
    if pivots.dtype is not int64:
        raise DTypeError(f"pivot_order needs int64 pivots; got {pivots.dtype.name}: use .astype(cr.int64).")
    if pivots.ndim < 1 or pivots.shape[-1] > rows:
        raise ShapeError(f"pivot_order: pivots {pivots.shape} must end in an axis of at most {rows} steps.")
    return TensorType((*pivots.shape[:-1], rows), int64)


pivot_order_p = primitive(
    "pivot_order",  # the order in which pivoting leaves the rows
    reference=_order,
    shape=_order_shape,
    samples=[
        Sample((np.array([2, 1, 2]),), {"rows": 3}, smooth=False),
        Sample((np.array([[2, 2], [0, 1]]),), {"rows": 3}, smooth=False),
        Sample((np.zeros((0, 2), np.int64),), {"rows": 2}, smooth=False),
    ],
    invalid=[
        Invalid((np.zeros(2),), "pivot_order needs int64 pivots; got float64: use .astype(cr.int64).", {"rows": 2}),
        Invalid(
            (np.zeros(3, np.int64),), "pivot_order: pivots (3,) must end in an axis of at most 2 steps.", {"rows": 2}
        ),
    ],
)


def _lu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = _eliminate(x, None)
    return (np.tril(y, -1) + np.eye(x.shape[-1], dtype=x.dtype)).astype(x.dtype), np.triu(y)


def _lu_vjp(g: tuple, y0: Tensor, y1: Tensor) -> Tensor:
    gl, gu = g
    middle = tril(matmul(adjoint(y0), tril(gl, k=-1)), k=-1) + triu(matmul(triu(gu), adjoint(y1)))
    left = bind(solve_triangular_p, adjoint(y0), middle, upper=True, unit=True)
    return _right_solve(left, adjoint(y1), upper=False)


def _lu_jvp(tangents: tuple, y0: Tensor, y1: Tensor) -> tuple[Tensor, Tensor]:
    left = bind(solve_triangular_p, y0, tangents[0], upper=False, unit=True)
    inner = _right_solve(left, y1, upper=True)  # l^-1 dx u^-1
    return matmul(y0, tril(inner, k=-1)), matmul(triu(inner), y1)


lu_p = primitive(
    "lu",  # without exchanges: of a matrix whose rows stand in pivoting order
    reference=_lu,
    shape=lambda x: (square("lu", x), x),
    multiple=True,
    vjp=_lu_vjp,
    jvp=_lu_jvp,
    flops=lambda x: stack_size(x.shape) * 2 * x.shape[-1] ** 3 // 3,
    samples=[Sample((SMALL,)), Sample((SQUARES,)), Sample((np.zeros((0, 0)),)), Sample((np.zeros((0, 2, 2)),))],
    invalid=refusals("lu"),
    source="Walter and Lehmann 2018",
)

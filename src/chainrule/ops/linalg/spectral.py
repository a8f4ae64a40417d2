"""Eigenvalues and singular values, as primitives of two and three outputs.

    eigh   x = v diag(w) v^H            w ascending
    eig    x = v diag(w) v^-1           x any square matrix, w and v complex
    svd    x = u diag(s) vh             s descending, u and vh^H with orthonormal columns

Vectors turn by 1 / (difference of their values). Vectors of equal values can turn freely among themselves: their share
is taken as 0, where PyTorch gives NaN; that is exact for functions of the values and of the spaces that equal values
span. Sources: Giles 2008; Townsend, Differentiating the singular value decomposition, 2016.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import complex_dtype, dtype_of, real_dtype
from chainrule.core.primitive import Edge, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast
from chainrule.ops.complex_parts import complex, conj, imag, real
from chainrule.ops.linalg._matrices import (
    SMALL,
    SQUARES,
    SYMMETRIC,
    adjoint,
    diagonal_matrix,
    inverse_or_zero,
    main_diagonal,
    matrices,
    refusals,
    square,
    stack_size,
    symmetric_part,
)
from chainrule.ops.linalg.systems import solve_p
from chainrule.ops.matmul import matmul
from chainrule.ops.shape import expand_dims

__all__ = ["eig_p", "eigh_p", "svd_p"]


def _of_finite(function: Callable[..., tuple], x: np.ndarray) -> list[np.ndarray]:
    """Return function(x), with NaN for the matrices that hold a NaN or infinity: LAPACK would not end or raise."""
    good = np.isfinite(x).all(axis=(-2, -1))
    outputs = function(x if good.all() else np.where(good[..., None, None], x, 0))
    if good.all():
        return list(outputs)
    return [np.where(good.reshape(good.shape + (1,) * (y.ndim - good.ndim)), y, y.dtype.type(np.nan)) for y in outputs]


def _turning(values: Tensor) -> Tensor:
    """Return 1 / (values[k] - values[j]), [..., j, k]; 0 where they are equal."""
    return inverse_or_zero(expand_dims(values, -2) - expand_dims(values, -1))


# ---------------------------------------------------------------------------------------------------- eigh
def _eigh(x: np.ndarray) -> list[np.ndarray]:
    return _of_finite(np.linalg.eigh, (x + np.swapaxes(x, -1, -2).conj()) * x.dtype.type(0.5))


def _eigh_vjp(g: tuple, y0: Tensor, y1: Tensor) -> Tensor:
    gw, gv = g
    inner = diagonal_matrix(gw) + _turning(y0) * matmul(adjoint(y1), gv)
    return symmetric_part(matmul(matmul(y1, inner), adjoint(y1)))


def _eigh_jvp(tangents: tuple, y0: Tensor, y1: Tensor) -> tuple[Tensor, Tensor]:
    inner = matmul(matmul(adjoint(y1), symmetric_part(tangents[0])), y1)
    return real(main_diagonal(inner)), matmul(y1, _turning(y0) * inner)


def _eigh_shape(x: TensorType) -> tuple[TensorType, TensorType]:
    square("eigh", x)
    return TensorType(x.shape[:-1], real_dtype(x.dtype)), x


eigh_p = primitive(
    "eigh",
    reference=_eigh,
    shape=_eigh_shape,
    multiple=True,
    vjp=_eigh_vjp,
    jvp=_eigh_jvp,
    flops=lambda x: stack_size(x.shape) * 9 * x.shape[-1] ** 3,
    samples=[
        Sample((SYMMETRIC[0],)),
        Sample((SYMMETRIC,)),
        Sample((np.array([[4.0]]),)),
        Sample((np.zeros((0, 0)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    edges=[Edge((np.eye(2),), (np.eye(2),), why="equal eigenvalues: their vectors do not turn")],
    invalid=refusals("eigh"),
    source="LAPACK syevd, heevd; the two halves of x are averaged, so the gradient is symmetric",
)


# ---------------------------------------------------------------------------------------------------- svd
def _svd(x: np.ndarray) -> list[np.ndarray]:
    return _of_finite(lambda finite: np.linalg.svd(finite, full_matrices=False), x)


def _svd_shape(x: TensorType) -> tuple[TensorType, TensorType, TensorType]:
    matrices("svd", x)
    *batch, rows, columns = x.shape
    k = min(rows, columns)
    return (
        TensorType((*batch, rows, k), x.dtype),
        TensorType((*batch, k), real_dtype(x.dtype)),
        TensorType((*batch, k, columns), x.dtype),
    )


def _outside(x: Tensor, basis: Tensor) -> Tensor:
    """Return the columns of x without what lies in the space of the orthonormal columns `basis`."""
    return x - matmul(basis, matmul(adjoint(basis), x))


def _phase(x: Tensor, s: Tensor) -> Tensor:
    """Return i imag(x) / (2 s): u and v turn by opposite phases, half each, which the data leaves open."""
    return complex(0.0, imag(x) * inverse_or_zero(s) * 0.5)


def _svd_vjp(g: tuple, y0: Tensor, y1: Tensor, y2: Tensor) -> Tensor:
    gu, gs, gvh = g
    u, v = y0, adjoint(y2)
    turn, gv = _turning(y1 * y1), adjoint(gvh)
    left, right = matmul(adjoint(u), gu), matmul(adjoint(v), gv)
    row, column, invert = expand_dims(y1, -2), expand_dims(y1, -1), expand_dims(inverse_or_zero(y1), -2)
    inner = diagonal_matrix(gs) + turn * (left - adjoint(left)) * row + column * turn * (right - adjoint(right))
    if y0.dtype.is_complex:
        inner = inner + diagonal_matrix(_phase(main_diagonal(left) - main_diagonal(right), y1))
    x = matmul(u, inner)
    if y0.shape[-2] > y0.shape[-1]:
        x = x + _outside(gu, u) * invert
    x = matmul(x, y2)
    if y2.shape[-1] > y2.shape[-2]:
        x = x + matmul(u, adjoint(_outside(gv, v) * invert))
    return x


def _svd_jvp(tangents: tuple, y0: Tensor, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    u, v = y0, adjoint(y2)
    turn, invert = _turning(y1 * y1), expand_dims(inverse_or_zero(y1), -2)
    moved, moved_back = matmul(tangents[0], v), matmul(adjoint(tangents[0]), u)
    inner = matmul(adjoint(u), moved)
    row, column = expand_dims(y1, -2), expand_dims(y1, -1)
    left, right = turn * (inner * row + adjoint(inner) * column), turn * (column * inner + row * adjoint(inner))
    if y0.dtype.is_complex:
        phase = diagonal_matrix(_phase(main_diagonal(inner), y1))
        left, right = left + phase, right - phase
    du, dv = matmul(u, left), matmul(v, right)
    if y0.shape[-2] > y0.shape[-1]:
        du = du + _outside(moved, u) * invert
    if y2.shape[-1] > y2.shape[-2]:
        dv = dv + _outside(moved_back, v) * invert
    return du, real(main_diagonal(inner)), adjoint(dv)


_TALL = np.concatenate([SQUARES, SQUARES[::-1, :2]], axis=-2)  # [2, 5, 3]

svd_p = primitive(
    "svd",
    reference=_svd,
    shape=_svd_shape,
    multiple=True,
    vjp=_svd_vjp,
    jvp=_svd_jvp,
    flops=lambda x: stack_size(x.shape) * 14 * max(x.shape[-2:]) * min(x.shape[-2:]) ** 2,
    samples=[
        Sample((SMALL,)),
        Sample((_TALL,)),
        Sample((np.swapaxes(_TALL, -1, -2),)),
        Sample((np.array([[2.0], [1.0]]),)),
        Sample((np.zeros((0, 3)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    edges=[Edge((np.eye(2),), (np.eye(2),), why="equal singular values: their vectors do not turn")],
    invalid=refusals("svd", squares=False),
    source="LAPACK gesdd",
)


# ---------------------------------------------------------------------------------------------------- eig
def _eig(x: np.ndarray) -> list[np.ndarray]:
    outputs = _of_finite(np.linalg.eig, x)
    return [y.astype(complex_dtype(dtype_of(x.dtype)).numpy) for y in outputs]


def _eig_shape(x: TensorType) -> tuple[TensorType, TensorType]:
    dtype = complex_dtype(square("eig", x).dtype)
    return TensorType(x.shape[:-1], dtype), TensorType(x.shape, dtype)


def _eig_vjp(g: tuple, y0: Tensor, y1: Tensor) -> Tensor:
    gw, gv = g
    vh = adjoint(y1)
    inner = matmul(vh, gv)
    inner = inner - matmul(vh, y1 * expand_dims(real(main_diagonal(inner)), -2))  # vectors keep the length 1
    inner = diagonal_matrix(gw) + conj(_turning(y0)) * inner
    return bind(solve_p, vh, matmul(inner, vh))


def _eig_jvp(tangents: tuple, y0: Tensor, y1: Tensor) -> tuple[Tensor, Tensor]:
    inner = bind(solve_p, y1, matmul(cast(tangents[0], y1.dtype), y1))
    moved = matmul(y1, _turning(y0) * inner)
    along = real(main_diagonal(matmul(adjoint(y1), moved)))
    return main_diagonal(inner), moved - y1 * expand_dims(along, -2)


eig_p = primitive(
    "eig",
    reference=_eig,
    shape=_eig_shape,
    multiple=True,
    vjp=_eig_vjp,
    jvp=_eig_jvp,
    flops=lambda x: stack_size(x.shape) * 25 * x.shape[-1] ** 3,
    samples=[
        Sample((SMALL,), smooth=False),
        Sample((np.stack([SMALL, SMALL - 2 * SMALL.T]),), smooth=False),
        Sample((np.array([[4.0]]),), smooth=False),
        Sample((np.zeros((0, 0)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    invalid=refusals("eig"),
    source="LAPACK geev; Boeddeker et al., On the computation of complex-valued gradients, 2019",
)


# ---------------------------------------------------------------------------------------------------- functions of x
def eigenvalues_of(x: Tensor) -> Tensor:
    """Return the eigenvalues of symmetric matrices, ascending."""
    return bind(eigh_p, x)[0]


def singular_values_of(x: Tensor) -> Tensor:
    """Return the singular values, descending."""
    return bind(svd_p, x)[1]

"""Determinants: `det`, finite derivative also at singular matrices, and `slogdet`, which does not overflow.

    d det(x)          = det(x) trace(x^-1 dx), the sum over dx times the cofactors of x
    d log|det(x)|     = trace(x^-1 dx)

The cofactors come from the singular values without a division, so the gradient at a matrix of rank n - 1 is right.
Source: Stewart, On the adjugate matrix, Linear Algebra and its Applications 283 (1998).
"""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import real_dtype
from chainrule.core.primitive import Edge, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops.complex_parts import complex, conj, imag, real
from chainrule.ops.exponential import log
from chainrule.ops.linalg._matrices import (
    SMALL,
    SQUARES,
    adjoint,
    diagonal_matrix,
    float_matrix,
    main_diagonal,
    refusals,
    square,
    stack_size,
)
from chainrule.ops.linalg._results import SlogdetResult
from chainrule.ops.linalg.systems import solve_p
from chainrule.ops.matmul import matmul
from chainrule.ops.reduce import sum
from chainrule.ops.selection import where
from chainrule.ops.shape import broadcast_to, expand_dims
from chainrule.ops.triangle import eye

__all__ = ["det", "logdet", "slogdet"]


# ---------------------------------------------------------------------------------------------------- primitives
def _others(s: np.ndarray) -> np.ndarray:
    """Return, for each element along the last axis, the product of all the others, without a division."""
    ones = np.ones((*s.shape[:-1], 1), s.dtype)
    before = np.cumprod(np.concatenate([ones, s[..., :-1]], axis=-1), axis=-1)
    after = np.cumprod(np.concatenate([ones, s[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    return before * after


def _cofactors(x: np.ndarray) -> np.ndarray:
    if not x.size:
        return x.copy()
    good = np.isfinite(x).all(axis=(-2, -1), keepdims=True)
    u, s, vh = np.linalg.svd(np.where(good, x, 0))
    turn = (np.linalg.det(u) * np.linalg.det(vh)).conj()[..., None, None]
    return np.where(good, turn * (u * _others(s)[..., None, :]) @ vh, x.dtype.type(np.nan)).astype(x.dtype)


def _cofactors_push(t: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the derivative of the cofactors in the direction t; the map is its own transpose."""
    moved = adjoint(bind(solve_p, x, t))
    trace = sum(main_diagonal(moved), -1)
    return matmul(y, diagonal_matrix(_repeated(trace, x.shape[-1])) - moved)


def _repeated(x: Tensor, n: int) -> Tensor:
    """Return x n times along a new last axis."""
    return broadcast_to(expand_dims(x, -1), (*x.shape, n))


cofactors_p = primitive(
    "cofactors",  # the gradient of det: det(x) x^-H
    reference=_cofactors,
    shape=lambda x: square("cofactors", x),
    vjp=_cofactors_push,
    jvp=lambda tangents, x, y: _cofactors_push(tangents[0], x, y),
    flops=lambda x: stack_size(x.shape) * 20 * x.shape[-1] ** 3,
    samples=[
        Sample((SMALL,)),
        Sample((SQUARES,)),
        Sample((np.array([[2.0]]),)),
        Sample((np.zeros((0, 0)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    invalid=refusals("cofactors"),
    source="Stewart 1998",
)

det_p = primitive(
    "det",
    reference=lambda x: np.asarray(np.linalg.det(x), x.dtype),
    shape=lambda x: TensorType(square("det", x).shape[:-2], x.dtype),
    vjp=lambda g, x: expand_dims(g, (-2, -1)) * bind(cofactors_p, x),
    jvp=lambda tangents, x: sum(conj(bind(cofactors_p, x)) * tangents[0], (-2, -1)),
    flops=lambda x: stack_size(x.shape) * 2 * x.shape[-1] ** 3 // 3,
    samples=[
        Sample((SMALL,)),
        Sample((SQUARES,)),
        Sample((np.array([[2.0]]),)),
        Sample((np.zeros((0, 0)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    edges=[
        Edge((np.array([[1.0, 2.0], [2.0, 4.0]]),), (np.array([[4.0, -2.0], [-2.0, 1.0]]),), why="rank n - 1"),
        Edge((np.zeros((3, 3)),), (np.zeros((3, 3)),), why="rank below n - 1"),
        Edge((np.zeros((1, 1)),), (np.ones((1, 1)),), why="the number itself"),
    ],
    invalid=refusals("det"),
)


def _slogdet(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sign, size = np.linalg.slogdet(x)
    return np.where(np.isnan(size), size, sign).astype(x.dtype), np.asarray(size)


def _slogdet_vjp(g: tuple, x: Tensor, y0: Tensor) -> Tensor:
    inverse = bind(solve_p, x, eye(x.shape[-1], dtype=x.dtype))
    weight = complex(g[1], -imag(conj(g[0]) * y0)) if x.dtype.is_complex else g[1]  # a complex sign turns
    return expand_dims(weight, (-2, -1)) * adjoint(inverse)


def _slogdet_jvp(tangents: tuple, x: Tensor, y0: Tensor) -> tuple[Tensor | None, Tensor]:
    trace = sum(main_diagonal(bind(solve_p, x, tangents[0])), -1)
    return (y0 * complex(0.0, imag(trace)) if x.dtype.is_complex else None), real(trace)


def _slogdet_shape(x: TensorType) -> tuple[TensorType, TensorType]:
    shape = square("slogdet", x).shape[:-2]
    return TensorType(shape, x.dtype), TensorType(shape, real_dtype(x.dtype))


slogdet_p = primitive(
    "slogdet",
    reference=_slogdet,
    shape=_slogdet_shape,
    multiple=True,
    vjp=_slogdet_vjp,
    jvp=_slogdet_jvp,
    flops=lambda x: stack_size(x.shape) * 2 * x.shape[-1] ** 3 // 3,
    samples=[
        Sample((SMALL,)),
        Sample((-SQUARES,)),
        Sample((np.array([[2.0]]),)),
        Sample((np.zeros((0, 0)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    invalid=refusals("slogdet"),
)


# ---------------------------------------------------------------------------------------------------- functions
def det(x: Tensor, /) -> Tensor:
    """Return the determinant of each matrix.

        dy/dx = y x^-T; finite also where x is singular

    Args:
        x: float tensor [..., n, n].

    Returns:
        Tensor [...] of the same dtype; 1 for n = 0.

    Raises:
        ShapeError: matrices that are not square.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.det(cr.asarray([[2.0, 0.0], [5.0, 3.0]]))
        tensor(6., shape=(), dtype=float32)
    """
    return bind(det_p, float_matrix(x, "det"))


def slogdet(x: Tensor, /) -> SlogdetResult:
    """Return the sign of the determinant of each matrix and the logarithm of its size, which does not overflow.

        det(x) = sign e^logabsdet,   d logabsdet / dx = x^-T

    Args:
        x: float tensor [..., n, n].

    Returns:
        Named tuple: sign and logabsdet, tensors [...]; for a singular matrix 0 and -infinity.

    Raises:
        ShapeError: matrices that are not square.
        DTypeError: not a float tensor.
        LinAlgError: the gradient of logabsdet at a singular matrix.

    Example:
        >>> import chainrule as cr
        >>> sign, logabsdet = cr.linalg.slogdet(-2.0 * cr.eye(3))
        >>> sign.item(), round(logabsdet.item(), 4)
        (-1.0, 2.0794)
    """
    return SlogdetResult(*bind(slogdet_p, float_matrix(x, "slogdet")))


def logdet(x: Tensor, /) -> Tensor:
    """Return the logarithm of the determinant of each matrix.

    Args:
        x: float tensor [..., n, n].

    Returns:
        Tensor [...]; -infinity for a singular matrix, NaN where the determinant is negative.

    Raises:
        ShapeError: matrices that are not square.
        DTypeError: not a float tensor.
        LinAlgError: the gradient at a singular matrix.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.logdet(cr.eye(2))
        tensor(0., shape=(), dtype=float32)
    """
    sign, size = slogdet(x)
    if sign.dtype.is_complex:
        return size + log(sign)
    return where(sign < 0.0, float("nan"), size)

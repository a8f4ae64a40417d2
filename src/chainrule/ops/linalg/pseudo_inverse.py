"""The pseudo-inverse, least squares, and the rank: what a matrix does beyond the directions that it sends to nothing.

    y = pinv(x):  dy = -y dx y + y y^H dx^H (1 - x y) + (1 - y x) dx^H y^H y          while the rank stays the same

Source: Golub and Pereyra, The differentiation of pseudo-inverses, SIAM J. Numer. Anal. 10 (1973).
"""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import real_dtype
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.precision import precision
from chainrule.core.primitive import Edge, Invalid, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast, pair
from chainrule.ops._rules import broadcast_shapes
from chainrule.ops.arithmetic import abs as magnitude
from chainrule.ops.linalg._matrices import (
    SMALL,
    SQUARES,
    adjoint,
    dtype_eps,
    float_matrix,
    matrices,
    refusals,
    require_matrices,
    stack_size,
)
from chainrule.ops.linalg._results import LstsqResult
from chainrule.ops.linalg.spectral import singular_values_of
from chainrule.ops.matmul import matmul
from chainrule.ops.reduce import max as amax
from chainrule.ops.reduce import sum as total
from chainrule.ops.shape import expand_dims, squeeze

__all__ = ["lstsq", "matrix_rank", "pinv"]


# ---------------------------------------------------------------------------------------------------- primitive
def _pinv(x: np.ndarray, rtol: np.ndarray) -> np.ndarray:
    shape = (*np.broadcast_shapes(x.shape[:-2], rtol.shape), x.shape[-1], x.shape[-2])
    if not x.size:
        return np.zeros(shape, x.dtype)
    good = np.isfinite(x).all(axis=(-2, -1), keepdims=True)
    u, s, vh = np.linalg.svd(np.where(good, x, 0), full_matrices=False)
    kept = s > np.max(s, axis=-1, keepdims=True) * rtol[..., None]
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0)
    y = (np.swapaxes(vh, -1, -2).conj() * inverse[..., None, :]) @ np.swapaxes(u, -1, -2).conj()
    return np.broadcast_to(np.where(good, y, x.dtype.type(np.nan)), shape).astype(x.dtype)


def _pinv_shape(x: TensorType, rtol: TensorType) -> TensorType:
    matrices("pinv", x)
    if rtol.dtype.kind != "float":
        raise DTypeError(f"pinv: rtol must be a float; got {rtol.dtype.name}.")
    batch = broadcast_shapes("pinv", x.shape[:-2], rtol.shape)
    if batch != x.shape[:-2]:
        raise ShapeError(f"pinv: rtol {rtol.shape} must broadcast to the stack {x.shape[:-2]}, one number per matrix.")
    return TensorType((*batch, x.shape[-1], x.shape[-2]), x.dtype)


def _lost(x: Tensor, projected: Tensor, y: Tensor) -> Tensor:
    """Return x - projected y."""
    return x - matmul(projected, y)


def _pinv_vjp(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    yh, gh = adjoint(y), adjoint(g)
    first = _lost(gh, x, matmul(y, gh))  # (1 - x y) g^H
    last = _lost(gh, matmul(gh, y), x)  # g^H (1 - y x)
    return matmul(matmul(first, y), yh) + matmul(matmul(yh, y), last) - matmul(matmul(yh, g), yh)


def _pinv_jvp(tangents: tuple, x: Tensor, y: Tensor) -> Tensor:
    t, yh = tangents[0], adjoint(y)
    th = adjoint(t)
    first = _lost(th, y, matmul(x, th))  # (1 - y x) dx^H
    last = _lost(th, matmul(th, x), y)  # dx^H (1 - x y)
    return matmul(matmul(y, yh), last) + matmul(matmul(first, yh), y) - matmul(matmul(y, t), y)


_TALL = np.concatenate([SQUARES, SQUARES[::-1, :2]], axis=-2)  # [2, 5, 3]
_EPS = np.float64(1e-15)

pinv_p = primitive(
    "pinv",
    reference=_pinv,
    shape=_pinv_shape,
    vjp=(_pinv_vjp, None),
    jvp=_pinv_jvp,
    flops=lambda x, rtol: stack_size(x.shape) * 16 * max(x.shape[-2:]) * min(x.shape[-2:]) ** 2,
    samples=[
        Sample((SMALL, _EPS)),
        Sample((_TALL, _EPS)),
        Sample((np.swapaxes(_TALL, -1, -2), np.full(2, 1e-15))),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]), np.float64(1e-4)), smooth=False),
        Sample((np.zeros((0, 3)), _EPS)),
        Sample((np.zeros((0, 2, 2)), _EPS)),
    ],
    edges=[Edge((np.zeros((2, 2)), _EPS), (np.zeros((2, 2)), None), why="rank 0: stays 0")],
    invalid=[
        *refusals("pinv", squares=False, inputs=2),
        Invalid((np.eye(2), np.int64(1)), "pinv: rtol must be a float; got int64."),
        Invalid((np.eye(2), np.zeros(3)), "pinv: rtol (3,) must broadcast to the stack (), one number per matrix."),
    ],
    source="Golub and Pereyra 1973",
)


def _cutoff(x: Tensor, rtol: float | Tensor | None) -> Tensor:
    """Return the share of the largest singular value below which one counts as zero."""
    if rtol is None:
        rtol = max(x.shape[-2:]) * dtype_eps(x.dtype)
    return cast(as_tensor(rtol), real_dtype(x.dtype))


# ---------------------------------------------------------------------------------------------------- functions
def pinv(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """Return the Moore-Penrose pseudo-inverse of each matrix: it undoes x on what x does not send to zero.

    Args:
        x: float tensor [..., rows, columns].
        rtol: singular values up to rtol times the largest count as 0; a number, or one per matrix [...]; default
            max(rows, columns) times the eps of the dtype.

    Returns:
        Tensor [..., columns, rows]; the inverse of an invertible matrix. The gradient takes the rank as constant.

    Raises:
        ShapeError: fewer than two axes, or an rtol that does not fit the stack.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.pinv(cr.asarray([[2.0, 0.0], [0.0, 0.0]]))
        tensor([[0.5, 0. ],
                [0. , 0. ]], shape=(2, 2), dtype=float32)

    Source: Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973).
    """
    x = float_matrix(x, "pinv")
    return bind(pinv_p, x, _cutoff(x, rtol))


def matrix_rank(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """Return the rank of each matrix: the number of singular values that are not negligible.

    Args:
        x: float tensor [..., rows, columns].
        rtol: singular values up to rtol times the largest are negligible; a number, or one per matrix [...]; default
            max(rows, columns) times the eps of the dtype.

    Returns:
        int64 tensor [...].

    Raises:
        ShapeError: fewer than two axes.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.matrix_rank(cr.ones((3, 3)))
        tensor(1, shape=(), dtype=int64)
    """
    x = float_matrix(x, "matrix_rank").detach()
    s = singular_values_of(x)
    if not s.shape[-1]:
        return total(s > 0.0, -1)
    limit = amax(s, axis=-1, keepdims=True) * expand_dims(cast(_cutoff(x, rtol), s.dtype), -1)
    return total(s > limit, -1)


@precision("float32")
def lstsq(a: Tensor, b: Tensor, /, *, rtol: float | None = None) -> LstsqResult:
    """Return the least-squares solution of a x = b; of several, the shortest.

        x = pinv(a) b, which minimises sum((a x - b)^2)

    Args:
        a: float tensor [..., rows, columns].
        b: float tensor [..., rows, k], or a vector [rows].
        rtol: singular values up to rtol times the largest count as 0; default max(rows, columns) times the eps of the
            dtype.

    Returns:
        Named tuple: solution [..., columns, k]; residuals [..., k], the sums of squared differences, or [..., 0] where
        there are no more rows than columns; rank, int64 [...]; singular_values [..., min(rows, columns)]. For a
        vector b the axis k is missing.

    Raises:
        ShapeError: another number of rows.
        DTypeError: no float tensors.

    Example:
        >>> import chainrule as cr
        >>> a = cr.asarray([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])                      # a line through three points
        >>> cr.round(cr.linalg.lstsq(a, cr.asarray([1.0, 3.0, 5.0])).solution)
        tensor([1., 2.], shape=(2,), dtype=float32)
    """
    a, b = pair(a, b)
    float_matrix(a, "lstsq")
    columns = expand_dims(b, -1) if b.ndim == 1 else require_matrices(b, "lstsq")
    if columns.shape[-2] != a.shape[-2]:
        raise ShapeError(f"lstsq: a is {a.shape} and b is {b.shape}; both must have the same number of rows.")
    solution = matmul(pinv(a, rtol=rtol), columns)
    rows, unknowns = a.shape[-2:]
    if rows > unknowns:
        off = magnitude(matmul(a, solution) - columns)
        residuals = total(off * off, -2)
    else:
        residuals = total(columns[..., :0], -2)
    if b.ndim == 1:
        solution = squeeze(solution, -1)
        residuals = residuals if not residuals.shape[-1] else squeeze(residuals, -1)
    return LstsqResult(solution, residuals, matrix_rank(a, rtol=rtol), singular_values_of(a))

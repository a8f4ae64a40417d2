"""Systems of linear equations: `solve`, triangular systems, and the inverse.

    a x = b,   da: -a^-H g x^H,   db: a^-H g                         g the incoming gradient, ^-H the adjoint's inverse

General systems go through LAPACK's LU factorisation with partial pivoting. Triangular ones are solved by halves: the
equations of one half, a matrix product, those of the other, so that most of the work is products.
Source: Giles, An extended collection of matrix derivative results, 2008.
"""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import pair
from chainrule.ops._rules import broadcast_shapes
from chainrule.ops.linalg._matrices import (
    SMALL,
    SQUARES,
    adjoint,
    refusals,
    require_matrices,
    run_each,
    square,
    square_matrix,
    stack_size,
)
from chainrule.ops.matmul import matmul
from chainrule.ops.shape import expand_dims, squeeze
from chainrule.ops.triangle import eye, tril, triu

__all__ = ["inv", "solve", "solve_triangular"]

_SINGULAR = (
    "solve: the matrix{where} is singular: its equations have no unique solution; use linalg.lstsq or linalg.pinv."
)


# ---------------------------------------------------------------------------------------------------- shared
def _solution(name: str, a: TensorType, b: TensorType) -> TensorType:
    square(name, a)
    if b.dtype is not a.dtype:
        raise DTypeError(f"{name}: the dtypes {a.dtype.name} and {b.dtype.name} differ; convert one with .astype.")
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise ShapeError(
            f"{name}: a is {a.shape} and b is {b.shape}; b must have {a.shape[-1]} rows, one per equation, on its last "
            "axis but one."
        )
    batch = broadcast_shapes(name, a.shape[:-2], b.shape[:-2])
    return TensorType((*batch, *b.shape[-2:]), a.dtype)


def _refusals(name: str, **attributes: bool) -> list[Invalid]:
    return [
        *refusals(name, inputs=2, **attributes),
        Invalid(
            (np.eye(2), np.ones((3, 1))),
            f"{name}: a is (2, 2) and b is (3, 1); b must have 2 rows, one per equation, on its last axis but one.",
            attributes,
        ),
        Invalid(
            (np.eye(2), np.ones((2, 1), np.int64)),
            f"{name}: the dtypes float64 and int64 differ; convert one with .astype.",
            attributes,
        ),
        Invalid(
            (np.zeros((2, 1, 1)), np.ones((3, 1, 1))),
            f"{name}: the shapes (2,) and (3,) do not broadcast; at axis -1 the sizes 2 and 3 differ and neither is 1. "
            "Reshape one of them, or add an axis with x[:, None].",
            attributes,
        ),
    ]


# ---------------------------------------------------------------------------------------------------- primitives
def _solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        return run_each(np.linalg.inv, a, _SINGULAR) @ b  # names the matrix that is singular


solve_p: Primitive = primitive(
    "solve",
    reference=_solve,
    shape=lambda a, b: _solution("solve", a, b),
    vjp=(
        lambda g, a, y: -matmul(bind(solve_p, adjoint(a), g), adjoint(y)),
        lambda g, a: bind(solve_p, adjoint(a), g),
    ),
    jvp=lambda tangents, a, y: bind(
        solve_p,
        a,
        (-matmul(tangents[0], y) if tangents[1] is None else tangents[1])
        if None in (tangents[0], tangents[1])
        else tangents[1] - matmul(tangents[0], y),
    ),
    flops=lambda a, b: (
        stack_size(_solution("solve", a, b).shape) * (2 * a.shape[-1] ** 3 // 3 + 2 * a.shape[-1] ** 2 * b.shape[-1])
    ),
    samples=[
        Sample((SMALL, (3, 2))),
        Sample((SQUARES, (2, 3, 1))),
        Sample((SQUARES, (3, 2))),
        Sample((SMALL, (2, 1, 3, 2))),
        Sample((np.array([[2.0]]), (1, 1))),
        Sample((np.zeros((0, 0)), (0, 2))),
        Sample((SMALL, (3, 0))),
        Sample((np.zeros((0, 2, 2)), (2, 1))),
    ],
    invalid=[
        *_refusals("solve"),
        Invalid((np.ones((2, 2)), np.ones((2, 1))), _SINGULAR.format(where="")),
        Invalid((np.stack([np.eye(2), np.ones((2, 2))]), np.ones((2, 1))), _SINGULAR.format(where=" at (1,)")),
    ],
    source="Giles 2008, section 2.3.1",
)


def _substituted(a: np.ndarray, b: np.ndarray, upper: bool, unit: bool) -> np.ndarray:
    """Return a^-1 b for triangular a, by halves."""
    n = a.shape[-1]
    if n <= 1:
        return b if unit or not n else b / a
    half = n // 2
    first, second = slice(0, half), slice(half, n)
    if upper:
        first, second = second, first
    x1 = _substituted(a[..., first, first], b[..., first, :], upper, unit)
    rest = b[..., second, :] - a[..., second, first] @ x1
    x2 = _substituted(a[..., second, second], rest, upper, unit)
    return np.concatenate([x2, x1] if upper else [x1, x2], axis=-2)


def _solve_triangular(a: np.ndarray, b: np.ndarray, *, upper: bool, unit: bool) -> np.ndarray:
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:])
    return _substituted(a, np.broadcast_to(b, shape), upper, unit).astype(a.dtype)


def _triangle(x: Tensor, upper: bool, unit: bool) -> Tensor:
    """Return the part of x that the equations read."""
    return triu(x, k=int(unit)) if upper else tril(x, k=-int(unit))


def _triangular_jvp(tangents: tuple, a: Tensor, y: Tensor, *, upper: bool, unit: bool) -> Tensor:
    da, db = tangents
    moved = None if da is None else -matmul(_triangle(da, upper, unit), y)
    total = db if moved is None else moved if db is None else db + moved
    return bind(solve_triangular_p, a, total, upper=upper, unit=unit)


solve_triangular_p: Primitive = primitive(
    "solve_triangular",
    reference=_solve_triangular,
    shape=lambda a, b, *, upper, unit: _solution("solve_triangular", a, b),
    vjp=(
        lambda g, a, y, *, upper, unit: (
            -_triangle(
                matmul(bind(solve_triangular_p, adjoint(a), g, upper=not upper, unit=unit), adjoint(y)), upper, unit
            )
        ),
        lambda g, a, *, upper, unit: bind(solve_triangular_p, adjoint(a), g, upper=not upper, unit=unit),
    ),
    jvp=_triangular_jvp,
    flops=lambda a, b, *, upper, unit: (
        stack_size(_solution("solve_triangular", a, b).shape) * a.shape[-1] ** 2 * b.shape[-1]
    ),
    samples=[
        *[Sample((SMALL, (3, 2)), {"upper": upper, "unit": unit}) for upper in (False, True) for unit in (False, True)],
        Sample((SQUARES, (3, 2)), {"upper": False, "unit": False}),
        Sample((SMALL, (2, 1, 3, 1)), {"upper": True, "unit": False}),
        Sample((np.zeros((0, 0)), (0, 2)), {"upper": True, "unit": False}),
        Sample((np.zeros((0, 2, 2)), (2, 1)), {"upper": False, "unit": False}),
    ],
    invalid=_refusals("solve_triangular", upper=True, unit=False),
)


# ---------------------------------------------------------------------------------------------------- functions
def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Return the solution of the linear equations x1 y = x2.

    Args:
        x1: float tensor [..., n, n] of invertible matrices.
        x2: a vector [n], or a float tensor [..., n, k]; the axes in front broadcast.

    Returns:
        Tensor [..., n] for a vector x2, else [..., n, k].

    Raises:
        LinAlgError: a matrix is singular.
        ShapeError: matrices that are not square, or another number of rows.
        DTypeError: no float tensors.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.solve(cr.asarray([[2.0, 0.0], [1.0, 1.0]]), cr.asarray([4.0, 3.0]))
        tensor([2., 1.], shape=(2,), dtype=float32)

    Source: LAPACK gesv: LU factorisation with partial pivoting.
    """
    x1, x2 = pair(x1, x2)
    if x2.ndim == 1:
        return squeeze(bind(solve_p, x1, expand_dims(x2, -1)), -1)
    return bind(solve_p, x1, x2)


def inv(x: Tensor, /) -> Tensor:
    """Return the inverse of each matrix.

        y x = x y = 1,   dy = -y dx y

    Args:
        x: float tensor [..., n, n] of invertible matrices.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        LinAlgError: a matrix is singular.
        ShapeError: matrices that are not square.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.inv(cr.asarray([[2.0, 0.0], [0.0, 4.0]]))
        tensor([[0.5 , 0.  ],
                [0.  , 0.25]], shape=(2, 2), dtype=float32)
    """
    x = square_matrix(x, "inv")
    return bind(solve_p, x, eye(x.shape[-1], dtype=x.dtype))


def solve_triangular(a: Tensor, b: Tensor, /, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """Return the solution of linear equations whose matrix is triangular.

        a y = b,  or  y a = b  with left=False

    Args:
        a: float tensor [..., n, n]; what lies outside the triangle is not read.
        b: float tensor [..., n, k], with left=False [..., k, n]; the axes in front broadcast.
        upper: whether the upper triangle counts; else the lower.
        left: whether a stands on the left; default True.
        unitriangular: take the diagonal as ones without reading it; default False.

    Returns:
        Tensor of the shape of b, with the axes in front broadcast. A zero on the diagonal gives infinities and NaN.

    Raises:
        ShapeError: matrices that are not square, or another number of rows.
        DTypeError: no float tensors.

    Example:
        >>> import chainrule as cr
        >>> a = cr.asarray([[2.0, 0.0], [1.0, 1.0]])
        >>> cr.linalg.solve_triangular(a, cr.asarray([[4.0], [3.0]]), upper=False)
        tensor([[2.],
                [1.]], shape=(2, 1), dtype=float32)
    """
    a, b = pair(a, b)
    if left:
        return bind(solve_triangular_p, a, b, upper=upper, unit=unitriangular)
    a, b = (adjoint(require_matrices(x, "solve_triangular")) for x in (a, b))
    return adjoint(bind(solve_triangular_p, a, b, upper=not upper, unit=unitriangular))

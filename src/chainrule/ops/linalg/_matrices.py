"""What the functions of matrices share: shape rules, adjoints and diagonals, failures named, sample matrices.

A stack of matrices has any number of axes in front of the last two, [..., rows, columns].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from chainrule.core.dtypes import DType, real_dtype
from chainrule.core.errors import DTypeError, LinAlgError, ShapeError, user_location
from chainrule.core.primitive import Invalid, TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor
from chainrule.ops.complex_parts import conj
from chainrule.ops.creation import arange
from chainrule.ops.gather import gather
from chainrule.ops.selection import where
from chainrule.ops.shape import expand_dims, matrix_transpose, permute_dims
from chainrule.ops.triangle import eye

__all__ = [
    "SMALL",
    "SQUARES",
    "SYMMETRIC",
    "adjoint",
    "diagonal_matrix",
    "dtype_eps",
    "float_matrix",
    "inverse_or_zero",
    "main_diagonal",
    "matrices",
    "refusals",
    "require_matrices",
    "run_each",
    "square",
    "square_matrix",
    "stack_size",
    "symmetric_part",
]

_rng = np.random.default_rng(5)
# Well-conditioned matrices with distinct eigenvalues and singular values; LAPACK's signs do not change near them.
SMALL = np.array([[2.0, -0.5, 0.3], [0.4, 1.2, -0.6], [-0.2, 0.7, 0.6]])  # det = 1.8
SQUARES = np.stack([SMALL, SMALL.T + np.diag([0.5, 1.0, 2.0])])
SYMMETRIC = np.stack([SMALL @ SMALL.T + np.diag([0.1, 0.8, 2.5]), SMALL.T @ SMALL + np.diag([3.0, 0.2, 1.0])])


def matrices(name: str, x: TensorType) -> TensorType:
    """Return the type of x, a stack of real or complex float matrices.

    Raises:
        DTypeError: no float.
        ShapeError: fewer than two axes.
    """
    if not x.dtype.is_inexact:
        raise DTypeError(f"{name} needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    if x.ndim < 2:
        raise ShapeError(f"{name} needs a matrix or a stack of matrices; got the shape {x.shape}.")
    return x


def square(name: str, x: TensorType) -> TensorType:
    """Return the type of x, a stack of square float matrices.

    Raises:
        DTypeError: no float.
        ShapeError: fewer than two axes, or matrices that are not square.
    """
    matrices(name, x)
    if x.shape[-2] != x.shape[-1]:
        raise ShapeError(
            f"{name} needs square matrices; got the shape {x.shape}, whose last sizes {x.shape[-2]} and {x.shape[-1]} "
            "differ."
        )
    return x


def refusals(name: str, *, squares: bool = True, inputs: int = 1, **attributes: Any) -> list[Invalid]:
    """Return what the primitive `name` refuses in its first input."""
    rest = (np.zeros((2, 2)),) * (inputs - 1)
    found = [
        Invalid(
            (np.zeros((2, 2), np.int64), *rest),
            f"{name} needs a float tensor; got int64: use .astype(cr.float32).",
            attributes,
        ),
        Invalid((np.zeros(2), *rest), f"{name} needs a matrix or a stack of matrices; got the shape (2,).", attributes),
    ]
    if squares:
        message = f"{name} needs square matrices; got the shape (2, 3), whose last sizes 2 and 3 differ."
        found.append(Invalid((np.zeros((2, 3)), *rest), message, attributes))
    return found


def stack_size(shape: tuple[int, ...]) -> int:
    """Return how many matrices a stack holds."""
    return math.prod(shape[:-2])


# ---------------------------------------------------------------------------------------------------- on tensors
def float_matrix(x: Any, name: str) -> Tensor:
    """Return x as a tensor of float matrices; refuse others in the name of the function that the user called."""
    x = as_tensor(x)
    matrices(name, TensorType(x.shape, x.dtype))
    return x


def require_matrices(x: Tensor, name: str) -> Tensor:
    """Return x; refuse fewer than two axes in the name of the function that the user called."""
    if x.ndim < 2:
        raise ShapeError(f"{name} needs a matrix or a stack of matrices; got the shape {x.shape}.")
    return x


def square_matrix(x: Any, name: str) -> Tensor:
    """Return x as a tensor of square float matrices; refuse others in the name of the function that the user called."""
    x = as_tensor(x)
    square(name, TensorType(x.shape, x.dtype))
    return x


def adjoint(x: Tensor) -> Tensor:
    """Return the conjugate transpose of each matrix."""
    return matrix_transpose(conj(x))


def symmetric_part(x: Tensor) -> Tensor:
    """Return (x + x^H) / 2."""
    return (x + adjoint(x)) * 0.5


def main_diagonal(x: Tensor) -> Tensor:
    """Return the main diagonals, [..., min(rows, columns)]."""
    places = arange(min(x.shape[-2:]))
    y = gather(x, [places, places], (x.ndim - 2, x.ndim - 1))  # [k, ...]
    return y if x.ndim == 2 else permute_dims(y, (*range(1, y.ndim), 0))


def diagonal_matrix(d: Tensor) -> Tensor:
    """Return matrices with d on the diagonal, [..., n] -> [..., n, n]."""
    return where(eye(d.shape[-1], dtype=bool), expand_dims(d, -1), 0.0)


def inverse_or_zero(x: Tensor) -> Tensor:
    """Return 1 / x, and 0 where x is 0."""
    zero = x == 0.0
    return where(zero, 0.0, 1.0 / where(zero, 1.0, x))


# ---------------------------------------------------------------------------------------------------- references
def run_each(function: Callable[..., Any], x: np.ndarray, message: str) -> Any:
    """Return function(x) of a stack of matrices; a failure names the first matrix at which it happens.

    Raises:
        LinAlgError: `function` raises NumPy's; the message has "at (1, 0)" in the place of {where}, for a stack.
    """
    try:
        return function(x)
    except np.linalg.LinAlgError:
        for place in np.ndindex(x.shape[:-2]):
            try:
                function(x[place])
            except np.linalg.LinAlgError:
                where = f" at {place}" if place else ""
                raise LinAlgError(message.format(where=where), location=user_location()) from None
        raise


def dtype_eps(dtype: DType) -> float:
    """Return the distance from 1 to the next real number of a float or complex dtype."""
    return float(ml_dtypes.finfo(real_dtype(dtype).numpy).eps)

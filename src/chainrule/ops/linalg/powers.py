"""Products of a matrix with itself: whole powers and the exponential.

    exp(x) = 1 + x + x^2 / 2 + ...

The exponential is computed by scaling and squaring with a Pade approximant of degree 13, in float64. Its derivative is
an exponential of twice the size, so it needs no rule of its own:

    exp([[x, dx], [0, x]]) = [[exp(x), dexp(x)], [0, exp(x)]]

Sources: Higham, SIAM J. Matrix Anal. Appl. 26 (2005); Najfeld and Havel, Adv. Appl. Math. 16 (1995).
"""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import ShapeError
from chainrule.core.precision import precision
from chainrule.core.primitive import Edge, Sample, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor
from chainrule.ops.creation import zeros_like
from chainrule.ops.join import concat
from chainrule.ops.linalg._matrices import (
    SMALL,
    SQUARES,
    adjoint,
    float_matrix,
    refusals,
    require_matrices,
    square,
    stack_size,
)
from chainrule.ops.linalg.systems import inv
from chainrule.ops.matmul import matmul
from chainrule.ops.shape import broadcast_to
from chainrule.ops.slices import narrow
from chainrule.ops.triangle import eye

__all__ = ["matrix_exp", "matrix_power"]

_DEGREE_13 = (
    *(64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0),
    *(10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0),
)
_NORM_13 = 5.371920351148152  # up to this 1-norm the approximant is exact to double precision; Higham 2005, table 2.3


# ---------------------------------------------------------------------------------------------------- primitive
def _pade(x: np.ndarray) -> np.ndarray:
    """Return the approximant of exp(x) of degree 13 / 13."""
    b, one = _DEGREE_13, np.eye(x.shape[-1])
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    odd = x @ (x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * one)
    even = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * one
    return np.linalg.solve(even - odd, even + odd)


def _matrix_exp(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.result_type(x.dtype, np.float64))
    if not x.size:
        return x.copy()
    good = np.isfinite(wide).all(axis=(-2, -1), keepdims=True)
    wide = np.where(good, wide, 0)
    norm = np.abs(wide).sum(axis=-2).max(axis=-1)  # [...]
    halvings = np.maximum(np.ceil(np.log2(np.maximum(norm, 1e-300) / _NORM_13)), 0)[..., None, None]
    y = _pade(wide / 2.0**halvings)
    for step in range(int(halvings.max())):
        y = np.where(step < halvings, y @ y, y)
    return np.where(good, y, np.nan).astype(x.dtype)


def _corner(x: Tensor, g: Tensor) -> Tensor:
    """Return the derivative of exp at x in the direction g."""
    n = x.shape[-1]
    if g.shape != x.shape:
        g = broadcast_to(g, x.shape)
    upper, lower = concat([x, g], axis=-1), concat([zeros_like(x), x], axis=-1)
    whole = bind(matrix_exp_p, concat([upper, lower], axis=-2))
    return narrow(narrow(whole, whole.ndim - 2, 0, n), whole.ndim - 1, n, 2 * n)


matrix_exp_p = primitive(
    "matrix_exp",
    reference=_matrix_exp,
    shape=lambda x: square("matrix_exp", x),
    vjp=lambda g, x: _corner(adjoint(x), g),
    jvp=lambda tangents, x: _corner(x, tangents[0]),
    flops=lambda x: stack_size(x.shape) * 15 * x.shape[-1] ** 3,
    samples=[
        Sample((SMALL,)),
        Sample((SQUARES * np.array([[[0.1]], [[4.0]]]),)),
        Sample((np.array([[2.0]]),)),
        Sample((np.zeros((0, 0)),)),
        Sample((np.zeros((0, 2, 2)),)),
    ],
    edges=[Edge((np.zeros((2, 2)),), (np.ones((2, 2)),), why="the identity: dexp = dx")],
    invalid=refusals("matrix_exp"),
    source="Higham 2005",
)


# ---------------------------------------------------------------------------------------------------- functions
def matrix_exp(x: Tensor, /) -> Tensor:
    """Return the exponential of each matrix.

        y = 1 + x + x^2 / 2! + x^3 / 3! + ...

    Args:
        x: float tensor [..., n, n].

    Returns:
        Tensor of the same shape and dtype; computed in float64.

    Raises:
        ShapeError: matrices that are not square.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.matrix_exp(cr.asarray([[0.0, 1.0], [0.0, 0.0]]))
        tensor([[1., 1.],
                [0., 1.]], shape=(2, 2), dtype=float32)

    Source: scaling and squaring, Higham, SIAM J. Matrix Anal. Appl. 26 (2005).
    """
    return bind(matrix_exp_p, float_matrix(x, "matrix_exp"))


@precision("float32")
def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Return each matrix multiplied with itself n times, by repeated squaring.

    Args:
        x: numeric tensor [..., k, k].
        n: integer; 0 gives identity matrices, a negative one powers of the inverse.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        LinAlgError: a negative power of a singular matrix.
        ShapeError: matrices that are not square.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.matrix_power(cr.asarray([[1.0, 1.0], [0.0, 1.0]]), 5)
        tensor([[1., 5.],
                [0., 1.]], shape=(2, 2), dtype=float32)
    """
    x = require_matrices(as_tensor(x), "matrix_power")
    if x.shape[-2] != x.shape[-1]:
        raise ShapeError(
            f"matrix_power needs square matrices; got the shape {x.shape}, whose last sizes {x.shape[-2]} and "
            f"{x.shape[-1]} differ."
        )
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        return broadcast_to(eye(x.shape[-1], dtype=x.dtype), x.shape)
    result = None
    while n > 1:
        if n % 2:
            result = x if result is None else matmul(result, x)
        x, n = matmul(x, x), n // 2
    return x if result is None else matmul(result, x)

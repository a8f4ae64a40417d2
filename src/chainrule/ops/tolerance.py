"""Comparison with a tolerance, and numbers in place of NaN and infinity."""

from __future__ import annotations

import ml_dtypes

from chainrule.core.errors import DTypeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, pair
from chainrule.ops.arithmetic import abs as size
from chainrule.ops.compare import isfinite, isnan
from chainrule.ops.reduce import all as every
from chainrule.ops.selection import where

__all__ = ["allclose", "isclose", "nan_to_num"]


def isclose(
    x1: Tensor | float, x2: Tensor | float, /, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Return where two tensors agree within a tolerance.

        y = |x1 - x2| <= atol + rtol |x2|

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number that broadcasts with x1: the expected values.
        rtol: tolerance relative to x2, >= 0; default 1e-5.
        atol: absolute tolerance, >= 0; default 1e-8.
        equal_nan: whether NaN agrees with NaN; default False.

    Returns:
        Bool tensor. An infinity agrees only with itself.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.isclose(cr.asarray([1.0, 2.0]), cr.asarray([1.000001, 2.1]))
        tensor([ True, False], shape=(2,), dtype=bool)
    """
    x1, x2 = (x.detach() for x in pair(x1, x2))
    near = (x1 == x2) | (isfinite(x2) & (size(x1 - x2) <= atol + rtol * size(x2)))
    return near | (isnan(x1) & isnan(x2)) if equal_nan else near


def allclose(
    x1: Tensor | float, x2: Tensor | float, /, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Return whether two tensors agree everywhere within a tolerance; `isclose` says where.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number that broadcasts with x1: the expected values.
        rtol: tolerance relative to x2, >= 0; default 1e-5.
        atol: absolute tolerance, >= 0; default 1e-8.
        equal_nan: whether NaN agrees with NaN; default False.

    Returns:
        Bool tensor without axes.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.allclose(cr.ones(2), 1.000001)
        tensor(True, shape=(), dtype=bool)
    """
    return every(isclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan))


def nan_to_num(x: Tensor, /, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Return x with numbers in place of NaN and the infinities; no gradient flows through what was replaced.

    Args:
        x: float tensor of any shape.
        nan: what stands for NaN; default 0.
        posinf: what stands for infinity; default the largest number of the dtype.
        neginf: what stands for minus infinity; default the least number of the dtype.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nan_to_num(cr.asarray([float("nan"), 1.0, float("-inf")]), neginf=-9.0)
        tensor([ 0.,  1., -9.], shape=(3,), dtype=float32)
    """
    x = as_tensor(x)
    if not x.dtype.is_float:
        raise DTypeError(f"nan_to_num needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    limit = _largest(x)
    y = where(isfinite(x), x, limit if posinf is None else posinf)
    y = where(x == -float("inf"), -limit if neginf is None else neginf, y)
    return where(isnan(x), nan, y)


def _largest(x: Tensor) -> float:
    return float(ml_dtypes.finfo(x.dtype.numpy).max)

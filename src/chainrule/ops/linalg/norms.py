"""Sizes of vectors and matrices, and the condition number. The gradient of a norm at 0 is 0.

vector_norm   ord p: sum(|x|^p)^(1/p);  inf: max |x|;  -inf: min |x|;  0: how many are not 0
matrix_norm   "fro": sqrt(sum |x|^2);  "nuc": sum of the singular values;  2, -2: the largest, smallest of them;
              1, -1: the largest, smallest column sum of |x|;  inf, -inf: row sum
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axes_tuple, axis_index, cast
from chainrule.ops._reductions import Axis
from chainrule.ops.arithmetic import abs as magnitude
from chainrule.ops.complex_parts import conj, real
from chainrule.ops.linalg._matrices import float_matrix, square_matrix
from chainrule.ops.linalg.spectral import singular_values_of
from chainrule.ops.linalg.systems import inv
from chainrule.ops.powers import pow, sqrt, square
from chainrule.ops.reduce import max as amax
from chainrule.ops.reduce import min as amin
from chainrule.ops.reduce import sum as total
from chainrule.ops.selection import where
from chainrule.ops.shape import expand_dims, permute_dims, reshape

__all__ = ["cond", "matrix_norm", "norm", "vector_norm"]

Order = float | str | None
_MATRIX_ORDERS = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


def _inexact(x: Any, name: str) -> Tensor:
    """Return x as a tensor; refuse all but floats and complex numbers in the name of the function that was called."""
    x = as_tensor(x)
    if not x.dtype.is_inexact:
        raise DTypeError(f"{name} needs a float tensor; got {x.dtype.name}: use .astype(cr.float32).")
    return x


def _root(summed: Tensor, p: float) -> Tensor:
    """Return summed^(1/p) with the gradient 0 at 0."""
    zero = summed == 0.0
    safe = where(zero, 1.0, summed)
    return where(zero, 0.0, sqrt(safe) if p == 2 else pow(safe, 1.0 / p))


def _vector_norm(x: Tensor, axis: Sequence[int], keepdims: bool, p: float) -> Tensor:
    """Return the p-norm over some axes."""
    if p == 2:
        squares = real(x * conj(x)) if x.dtype.is_complex else square(x)
        return _root(total(squares, axis, keepdims=keepdims), 2)
    size = magnitude(x)
    if p == math.inf:
        return amax(size, axis, keepdims=keepdims)
    if p == -math.inf:
        return amin(size, axis, keepdims=keepdims)
    if p == 1:
        return total(size, axis, keepdims=keepdims)
    if p == 0:
        return total(cast(size != 0.0, size.dtype), axis, keepdims=keepdims)
    if p < 1:  # the slope at 0 is infinite
        zero = size == 0.0
        powers = where(zero, 0.0 if p > 0 else math.inf, pow(where(zero, 1.0, size), p))
        summed = total(powers, axis, keepdims=keepdims)
        return _root(summed, p) if p > 0 else pow(summed, 1.0 / p)
    return _root(total(pow(size, p), axis, keepdims=keepdims), p)


def vector_norm(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """Return the length of the vectors that lie along an axis, or along several.

        y = sum(|x|^ord)^(1/ord)

    Args:
        x: float tensor of any shape.
        axis: the axes of one vector; default all.
        keepdims: keep the vanished axes with size 1; default False.
        ord: any number, inf for the largest |x|, -inf for the smallest, 0 for how many are not 0; default 2.

    Returns:
        Tensor of the remaining shape. Its gradient at a zero vector is 0.

    Raises:
        IndexRangeError: an axis does not exist.
        ShapeError: an infinite norm of no elements.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.vector_norm(cr.asarray([3.0, -4.0]))
        tensor(5., shape=(), dtype=float32)
    """
    x = _inexact(x, "vector_norm")
    return _vector_norm(x, axes_tuple(axis, x.ndim, "vector_norm"), keepdims, ord)


def matrix_norm(
    x: Tensor, /, *, keepdims: bool = False, ord: float | str | None = "fro", axis: tuple[int, int] = (-2, -1)
) -> Tensor:
    """Return the size of each matrix.

    Args:
        x: float tensor [..., rows, columns].
        keepdims: keep the two axes with size 1; default False.
        ord: "fro" or None: root of the sum of squares; "nuc": sum of the singular values; 2 and -2: the largest and
            smallest of these; 1 and -1: the largest and smallest column sum of |x|; inf and -inf: row sum;
            default "fro".
        axis: the axes of rows and columns; default the last two.

    Returns:
        Tensor [...]. Its gradient at a zero matrix is 0 for "fro".

    Raises:
        ValueError: another ord.
        ShapeError: fewer than two axes, or twice the same.
        IndexRangeError: an axis does not exist.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.matrix_norm(cr.asarray([[3.0, 0.0], [0.0, -4.0]]), ord="nuc")
        tensor(7., shape=(), dtype=float32)
    """
    if ord is not None and ord not in _MATRIX_ORDERS:
        raise ValueError(f"matrix_norm.ord must be one of {', '.join(map(repr, _MATRIX_ORDERS))}; got {ord!r}.")
    x = float_matrix(x, "matrix_norm")
    row, column = (axis_index(a, x.ndim, "matrix_norm") for a in axis)
    if row == column:
        raise ShapeError(f"matrix_norm: axis {axis} names the same axis twice.")
    if ord in (None, "fro"):
        return _vector_norm(x, (row, column), keepdims, 2)
    if ord in ("nuc", 2, -2):
        others = tuple(i for i in range(x.ndim) if i not in (row, column))
        s = singular_values_of(permute_dims(x, (*others, row, column)))
        y = total(s, -1) if ord == "nuc" else (amax if ord == 2 else amin)(s, -1)
        return expand_dims(y, tuple(sorted((row, column)))) if keepdims else y
    first, second = (row, column) if ord in (1, -1) else (column, row)
    sums = total(magnitude(x), first, keepdims=True)
    y = (amax if ord in (1, math.inf) else amin)(sums, second, keepdims=True)
    return y if keepdims else reshape(y, tuple(n for i, n in enumerate(x.shape) if i not in (row, column)))


def norm(x: Tensor, /, ord: float | str | None = None, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return a norm of vectors or matrices, as `numpy.linalg.norm` and `torch.linalg.norm` choose it.

    Args:
        x: float tensor of any shape.
        ord: default the root of the sum of squares of everything; else the ord of `vector_norm` for a vector or one
            axis, that of `matrix_norm` for a matrix or two axes.
        axis: one axis of vectors, or two of matrices; default all of x, which is then a vector or a matrix.
        keepdims: keep the vanished axes with size 1; default False.

    Returns:
        Tensor of the remaining shape.

    Raises:
        ShapeError: an ord for a tensor with more than two axes, without axis.
        ValueError: an ord that matrices do not have.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.norm(cr.asarray([[3.0, 0.0], [0.0, -4.0]]))
        tensor(5., shape=(), dtype=float32)
    """
    x = _inexact(x, "norm")
    if ord is None:
        return vector_norm(x, axis=axis, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if len(axes) == 2:
        return matrix_norm(x, ord=ord, axis=axes, keepdims=keepdims)
    if len(axes) != 1 or isinstance(ord, str):
        raise ShapeError(
            f"norm: ord={ord!r} is for {'matrices' if isinstance(ord, str) else 'vectors and matrices'}; "
            f"x is {x.shape} and axis {axis}: name the axes, or leave ord out."
        )
    return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)


def cond(x: Tensor, /, p: float | str | None = None) -> Tensor:
    """Return the condition number of each matrix: how much it can enlarge a relative error.

        y = |x| |x^-1|

    Args:
        x: float tensor [..., n, n]; for p None, 2 and -2 [..., rows, columns].
        p: the ord of `matrix_norm`; default None, 2: the ratio of the largest to the smallest singular value.

    Returns:
        Tensor [...]; infinite for a singular matrix.

    Raises:
        ValueError: an unknown p.
        ShapeError: matrices that are not square.
        LinAlgError: a singular matrix, unless p is None, 2 or -2.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.cond(cr.asarray([[4.0, 0.0], [0.0, 0.5]]))
        tensor(8., shape=(), dtype=float32)
    """
    x = float_matrix(x, "cond")
    if p in (None, 2, -2):
        s = singular_values_of(x)
        large, small = s[..., 0], s[..., -1]
        return small / large if p == -2 else large / small
    x = square_matrix(x, "cond")
    return matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)

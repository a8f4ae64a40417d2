"""Diagonals, traces, and products of more or other factors than two matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.core.precision import precision
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axis_index, pair
from chainrule.ops._rules import broadcast_shapes
from chainrule.ops.creation import arange
from chainrule.ops.gather import gather
from chainrule.ops.join import stack
from chainrule.ops.linalg._matrices import require_matrices
from chainrule.ops.linalg.systems import inv, solve
from chainrule.ops.matmul import matmul
from chainrule.ops.powers import pow
from chainrule.ops.reduce import sum as total
from chainrule.ops.shape import broadcast_to, expand_dims, moveaxis, permute_dims, reshape

__all__ = ["cross", "diagonal", "multi_dot", "tensorinv", "tensorsolve", "trace", "vander"]


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """Return a diagonal of each matrix.

        y[..., i] = x[..., i, i + offset],  or x[..., i - offset, i] for a negative offset

    Args:
        x: tensor [..., rows, columns] of any dtype.
        offset: which: 0 the main one, positive above it, negative below; default 0.

    Returns:
        Tensor [..., k]; empty where the matrix has no such diagonal.

    Raises:
        ShapeError: fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.diagonal(cr.asarray([[1, 2], [3, 4]]))
        tensor([1, 4], shape=(2,), dtype=int64)
    """
    x = require_matrices(as_tensor(x), "diagonal")
    rows, columns = x.shape[-2:]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    places = arange(count)
    y = gather(x, [places - min(offset, 0), places + max(offset, 0)], (x.ndim - 2, x.ndim - 1))  # [k, ...]
    return permute_dims(y, (*range(1, y.ndim), 0))


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Return the sum along a diagonal of each matrix.

    Args:
        x: numeric tensor [..., rows, columns].
        offset: which diagonal: 0 the main one, positive above it, negative below; default 0.
        dtype: dtype of the sum; default that of a float x, int64 for ints, uint64 for unsigned ints.

    Returns:
        Tensor [...].

    Raises:
        ShapeError: fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.trace(cr.asarray([[1, 2], [3, 4]]))
        tensor(5, shape=(), dtype=int64)
    """
    return total(diagonal(require_matrices(as_tensor(x), "trace"), offset=offset), -1, dtype=dtype)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Return the vector products of vectors with three elements.

        y = (a2 b3 - a3 b2,  a3 b1 - a1 b3,  a1 b2 - a2 b1)

    Args:
        x1: numeric tensor.
        x2: numeric tensor; the shapes broadcast, but for the axis of the vectors.
        axis: the axis of the vectors, of size 3 in both; default -1.

    Returns:
        Tensor of the broadcast shape.

    Raises:
        ShapeError: another size than 3, or shapes that do not broadcast.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.cross(cr.asarray([1, 0, 0]), cr.asarray([0, 1, 0]))
        tensor([0, 0, 1], shape=(3,), dtype=int64)
    """
    x1, x2 = pair(x1, x2)
    for x in (x1, x2):
        if x.shape[axis_index(axis, x.ndim, "cross")] != 3:
            raise ShapeError(f"cross: x1 is {x1.shape} and x2 is {x2.shape}; both need the size 3 on axis {axis}.")
    shape = broadcast_shapes("cross", x1.shape, x2.shape)
    a, b = (moveaxis(broadcast_to(x, shape), axis, 0) for x in (x1, x2))
    parts = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    return stack(parts, axis=axis_index(axis, len(shape), "cross"))


@precision("float32")
def multi_dot(arrays: Sequence[Tensor], /) -> Tensor:
    """Return the product of several matrices, in the order of multiplication that needs the fewest operations.

    Args:
        arrays: two or more matrices [n_i, n_(i+1)]; the first and the last may be vectors.

    Returns:
        Tensor [n_0, n_last]; the axis of a vector is missing from it.

    Raises:
        ShapeError: fewer than two arrays, more axes than two, or inner sizes that differ.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.multi_dot([cr.ones((2, 3)), cr.ones((3, 4)), cr.ones(4)])
        tensor([12., 12.], shape=(2,), dtype=float32)

    Source: matrix chain order by dynamic programming, Cormen et al., Introduction to Algorithms, 15.2.
    """
    parts = [as_tensor(x) for x in arrays]
    inside = [x.ndim == 2 for x in parts[1:-1]]
    if len(parts) < 2 or not all(inside) or any(x.ndim not in (1, 2) for x in parts):
        raise ShapeError(
            "multi_dot takes two or more matrices, the first and last of which may be vectors; got the shapes "
            f"{', '.join(str(x.shape) for x in parts)}."
        )
    sizes = [1 if parts[0].ndim == 1 else parts[0].shape[0], *(x.shape[0] for x in parts[1:])]
    sizes.append(1 if parts[-1].ndim == 1 else parts[-1].shape[1])
    cuts = _chain(sizes)

    def product(first: int, last: int) -> Tensor:
        if first == last:
            return parts[first]
        cut = cuts[first, last]
        return matmul(product(first, cut), product(cut + 1, last))

    return product(0, len(parts) - 1)


def _chain(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return, for each run (first, last) of a chain of matrices, after which matrix it is cut best."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    cuts: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            found = [
                (cost[first, cut] + cost[cut + 1, last] + sizes[first] * sizes[cut + 1] * sizes[last + 1], cut)
                for cut in range(first, last)
            ]
            cost[first, last], cuts[first, last] = min(found)
    return cuts


def vander(x: Tensor, /, *, n: int | None = None, increasing: bool = True) -> Tensor:
    """Return the matrix of powers of each vector.

        y[..., i, j] = x[..., i]^j

    Args:
        x: numeric tensor [..., m].
        n: number of powers; default m.
        increasing: from power 0 upwards; else downwards to it; default True.

    Returns:
        Tensor [..., m, n].

    Raises:
        ShapeError: no axes.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.vander(cr.asarray([2, 3]), n=3)
        tensor([[1, 2, 4],
                [1, 3, 9]], shape=(2, 3), dtype=int64)
    """
    x = as_tensor(x)
    if not x.ndim:
        raise ShapeError("vander needs a vector; got the shape ().")
    powers = arange(x.shape[-1] if n is None else n, dtype=x.dtype)
    return pow(expand_dims(x, -1), powers if increasing else powers[::-1])


def tensorinv(x: Tensor, /, *, ind: int = 2) -> Tensor:
    """Return the inverse of a tensor that is read as a matrix: `tensordot` of both, over `ind` axes, is the identity.

    Args:
        x: float tensor whose first `ind` sizes multiply to the same as the others.
        ind: number of axes of the rows, > 0; default 2.

    Returns:
        Tensor [*x.shape[ind:], *x.shape[:ind]].

    Raises:
        ValueError: ind is not positive.
        ShapeError: the two groups of axes differ in size.
        LinAlgError: the matrix is singular.

    Example:
        >>> import chainrule as cr
        >>> cr.linalg.tensorinv(cr.reshape(2.0 * cr.eye(4), (4, 2, 2)), ind=1).shape
        (2, 2, 4)
    """
    if ind <= 0:
        raise ValueError(f"tensorinv.ind must be an int > 0; got {ind}.")
    x = as_tensor(x)
    rows, columns = x.shape[:ind], x.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise ShapeError(
            f"tensorinv: x is {x.shape} and ind {ind}; the sizes {math.prod(rows)} before and {math.prod(columns)} "
            "after it must be equal."
        )
    return reshape(inv(reshape(x, (math.prod(rows), math.prod(columns)))), (*columns, *rows))


def tensorsolve(a: Tensor, b: Tensor, /, *, axes: Sequence[int] | None = None) -> Tensor:
    """Return the solution of linear equations whose matrix has several axes for rows and columns.

        tensordot(a, y, axes=y.ndim) = b

    Args:
        a: float tensor [*b.shape, *y.shape], as many elements in each group.
        b: float tensor.
        axes: axes of a that are moved to its end first; default none.

    Returns:
        Tensor y.

    Raises:
        ShapeError: shapes that do not fit.
        LinAlgError: the matrix is singular.

    Example:
        >>> import chainrule as cr
        >>> a = cr.reshape(2.0 * cr.eye(4), (2, 2, 4))
        >>> cr.linalg.tensorsolve(a, cr.ones((2, 2)))
        tensor([0.5, 0.5, 0.5, 0.5], shape=(4,), dtype=float32)
    """
    a, b = pair(a, b)
    if axes:
        a = moveaxis(a, tuple(axes), tuple(range(a.ndim - len(axes), a.ndim)))
    unknown = a.shape[b.ndim :]
    if a.size != b.size * math.prod(unknown) or b.size != math.prod(unknown):
        raise ShapeError(
            f"tensorsolve: a is {a.shape} and b is {b.shape}; a needs {b.size} elements per axis group, those of b and "
            "those of the solution."
        )
    return reshape(solve(reshape(a, (b.size, b.size)), reshape(b, (b.size,))), unknown)

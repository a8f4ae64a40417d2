"""Differences and sums over pairs: diff, the trapezoidal rule, and the Kronecker product.

diff        y_i = x_(i+1) - x_i
trapezoid   y = sum of (x_i + x_(i+1)) / 2 (t_(i+1) - t_i)
kron        y[i p + k, j q + l] = a[i, j] b[k, l]
"""

from __future__ import annotations

from chainrule.core.dtypes import float32
from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axis_index, cast, pair
from chainrule.ops._windows import fail
from chainrule.ops.compare import not_equal
from chainrule.ops.join import concat
from chainrule.ops.reduce import sum as total
from chainrule.ops.scan import cumulative_sum
from chainrule.ops.shape import broadcast_to, reshape
from chainrule.ops.slices import narrow

__all__ = ["cumulative_trapezoid", "diff", "kron", "trapezoid"]


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Return the n-th differences of neighbours along an axis.

        y_i = x_(i+1) - x_i,     n times

    Args:
        x: tensor of any dtype; of bools, whether neighbours differ.
        axis: the axis; default -1.
        n: how often the difference is taken, >= 0; 0 gives x as it is; default 1.
        prepend: tensor put in front of x along the axis first; default none.
        append: tensor put behind x along the axis first; default none.

    Returns:
        Tensor with n elements fewer along the axis, at least 0.

    Raises:
        IndexRangeError: the axis does not exist.
        ShapeError: what is put in front or behind has other sizes than x on another axis.
        ValueError: n < 0.

    Example:
        >>> import chainrule as cr
        >>> cr.diff(cr.asarray([1.0, 4.0, 9.0, 16.0]), n=2)
        tensor([2., 2.], shape=(2,), dtype=float32)
    """
    x = as_tensor(x)
    a = axis_index(axis, x.ndim, "diff")
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise ValueError(f"diff.n must be an int >= 0; got {n!r}.")
    if n and (prepend is not None or append is not None):
        ends = [None if end is None else as_tensor(end, x) for end in (prepend, append)]
        x = concat([part for part in (ends[0], x, ends[1]) if part is not None], axis=a)
    for _ in range(n):
        size = x.shape[a]
        after, before = narrow(x, a, min(1, size), size), narrow(x, a, 0, max(size - 1, 0))
        x = not_equal(after, before) if x.dtype.kind == "bool" else after - before
    return x


def _spaced(name: str, y: Tensor, x: Tensor | None, dx: float, axis: int) -> tuple[Tensor, int]:
    """Return the area of each strip between neighbours, and the axis."""
    y = as_tensor(y)
    a = axis_index(axis, y.ndim, name)
    if x is None:
        y = y if y.dtype.is_inexact else cast(y, float32)
        width: Tensor | float = dx
    else:
        y, t = pair(y, x)
        y, t = (v if v.dtype.is_inexact else cast(v, float32) for v in (y, t))
        if t.ndim == 1 and y.ndim > 1:
            t = reshape(t, (t.shape[0],) + (1,) * (y.ndim - a - 1))
        if t.ndim < y.ndim - a or t.shape[t.ndim - y.ndim + a] != y.shape[a]:
            raise fail(
                ShapeError, f"{name}: y is {y.shape} and x {as_tensor(x).shape}; axis {a} must be as long in both."
            )
        width = diff(t, axis=t.ndim - y.ndim + a)
    size = y.shape[a]
    sums = narrow(y, a, min(1, size), size) + narrow(y, a, 0, max(size - 1, 0))
    return sums * 0.5 * width, a


def trapezoid(y: Tensor, x: Tensor | None = None, /, *, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Return the integral of sampled values by the trapezoidal rule.

        sum of (y_i + y_(i+1)) / 2 (x_(i+1) - x_i)

    Args:
        y: values; bools and ints give float32.
        x: where they are sampled, a vector or a tensor that broadcasts with y; default `dx` apart.
        dx: distance of the samples where x is left out; default 1.
        axis: the axis; default -1.

    Returns:
        Tensor without that axis.

    Raises:
        IndexRangeError: the axis does not exist.
        ShapeError: x and y differ in length.

    Example:
        >>> import chainrule as cr
        >>> cr.trapezoid(cr.asarray([0.0, 1.0, 4.0]))
        tensor(3., shape=(), dtype=float32)
    """
    strips, a = _spaced("trapezoid", y, x, dx, axis)
    return total(strips, a + strips.ndim - as_tensor(y).ndim)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, /, *, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Return the running integral of sampled values by the trapezoidal rule.

        z_k = sum for i <= k of (y_i + y_(i+1)) / 2 (x_(i+1) - x_i)

    Args:
        y: values; bools and ints give float32.
        x: where they are sampled, a vector or a tensor that broadcasts with y; default `dx` apart.
        dx: distance of the samples where x is left out; default 1.
        axis: the axis; default -1.

    Returns:
        Tensor with one element fewer along the axis.

    Raises:
        IndexRangeError: the axis does not exist.
        ShapeError: x and y differ in length.

    Example:
        >>> import chainrule as cr
        >>> cr.cumulative_trapezoid(cr.asarray([0.0, 1.0, 4.0]))
        tensor([0.5, 3. ], shape=(2,), dtype=float32)
    """
    strips, a = _spaced("cumulative_trapezoid", y, x, dx, axis)
    return cumulative_sum(strips, axis=a + strips.ndim - as_tensor(y).ndim)


def kron(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Return the Kronecker product: x1 with each element replaced by that element times x2.

        y[i p + k, j q + l] = x1[i, j] x2[k, l],     x2 of the shape (p, q)

    Args:
        x1: numeric tensor.
        x2: numeric tensor; missing axes are added in front, on either side.

    Returns:
        Tensor whose sizes are the products of the sizes.

    Raises:
        DTypeError: dtypes that do not mix.

    Example:
        >>> import chainrule as cr
        >>> cr.kron(cr.asarray([[1, 2]]), cr.asarray([[1], [1]]))
        tensor([[1, 2],
                [1, 2]], shape=(2, 2), dtype=int64)
    """
    x1, x2 = pair(x1, x2)
    ndim = max(x1.ndim, x2.ndim)
    left, right = (1,) * (ndim - x1.ndim) + x1.shape, (1,) * (ndim - x2.ndim) + x2.shape
    outer = reshape(x1, tuple(n for size in left for n in (size, 1)))  # [i, 1, j, 1]
    inner = reshape(x2, tuple(n for size in right for n in (1, size)))  # [1, k, 1, l]
    product = broadcast_to(outer, tuple(n for both in zip(left, right) for n in both)) * inner
    return reshape(product, tuple(a * b for a, b in zip(left, right)))

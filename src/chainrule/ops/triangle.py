"""Matrices by their diagonals: the identity, and the triangles below and above."""

from __future__ import annotations

from typing import Any

from chainrule.core.dtypes import float32, to_dtype
from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast, check_device
from chainrule.ops.creation import arange
from chainrule.ops.selection import where
from chainrule.ops.shape import reshape

__all__ = ["eye", "tril", "triu"]


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: str | None = None,
) -> Tensor:
    """Return a matrix with ones on one diagonal and zeros elsewhere.

    Args:
        n_rows: number of rows.
        n_cols: number of columns; default as many as rows.
        k: which diagonal: 0 the main one, positive above it, negative below; default 0.
        dtype: element type; default float32.
        device: None or "cpu".

    Returns:
        Tensor [n_rows, n_cols].

    Raises:
        ValueError: an unknown device.

    Example:
        >>> import chainrule as cr
        >>> cr.eye(2)
        tensor([[1., 0.],
                [0., 1.]], shape=(2, 2), dtype=float32)
    """
    check_device("eye", device)
    columns = arange(n_rows if n_cols is None else n_cols)
    rows = reshape(arange(n_rows), (n_rows, 1))  # [n_rows, 1]
    k = max(-n_rows, min(k, columns.size))  # beyond, there are only zeros
    return cast(columns == rows + k, float32 if dtype is None else to_dtype(dtype))


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """Return the lower triangle of each matrix, with zeros above it.

        y[..., i, j] = x[..., i, j] where j - i <= k, else 0

    Args:
        x: tensor [..., rows, columns].
        k: the last diagonal kept: 0 the main one, positive above it, negative below; default 0.

    Returns:
        Tensor of the shape and dtype of x.

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> cr.tril(cr.ones((2, 2)))
        tensor([[1., 0.],
                [1., 1.]], shape=(2, 2), dtype=float32)
    """
    x = as_tensor(x)
    return where(_offsets(x, "tril") <= k, x, False)  # False is 0 in every dtype, bools too


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """Return the upper triangle of each matrix, with zeros below it.

        y[..., i, j] = x[..., i, j] where j - i >= k, else 0

    Args:
        x: tensor [..., rows, columns].
        k: the first diagonal kept: 0 the main one, positive above it, negative below; default 0.

    Returns:
        Tensor of the shape and dtype of x.

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> cr.triu(cr.ones((2, 2)))
        tensor([[1., 1.],
                [0., 1.]], shape=(2, 2), dtype=float32)
    """
    x = as_tensor(x)
    return where(_offsets(x, "triu") >= k, x, False)


def _offsets(x: Tensor, name: str) -> Tensor:
    """Return j - i for each place of a matrix, [rows, columns]."""
    if x.ndim < 2:
        raise ShapeError(f"{name} needs at least two axes; got the shape {x.shape}.")
    rows, columns = x.shape[-2:]
    return arange(columns) - reshape(arange(rows), (rows, 1))

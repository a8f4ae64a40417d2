"""A small sparse matrix: where its entries stand and what they are, enough to look at linear maps of layers.

Entries are triplets (row, column, value) in the order of rows, then columns, no place twice. `csr` gives the
compressed form that other libraries take, `str` draws the matrix with a dot for every empty place. For looking, not
for speed: a convolution layer computes the same product without the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.core.errors import DataError, ShapeError
from chainrule.core.tensor import Tensor

__all__ = ["SparseMatrix", "from_dense"]

WIDEST = 200  # characters of a line of text
TALLEST = 100  # lines


@dataclass(frozen=True, eq=False, repr=False)
class SparseMatrix:
    """A matrix that holds only the places where something may stand.

        y = A x,   y[i] = sum over entries (i, j, a) of a x[j]

    Args:
        shape: (rows, columns), each >= 0.
        rows: row of each entry, ints [entries] in [0, rows).
        columns: column of each entry, ints [entries] in [0, columns).
        values: the entries [entries]; those at one place are added up. Zeros are kept: a place may hold one.
        row_block: rows are drawn in blocks of this many; default none.
        column_block: columns likewise; default none.
    Attributes:
        T: the transpose.
        density: entries / (rows * columns).
    Raises:
        ShapeError: rows, columns and values differ in length, or a shape that is not two sizes.
        DataError: an entry outside the matrix.

    Example:
        >>> a = SparseMatrix((2, 3), [0, 0, 1], [0, 2, 1], [5, 6, 7])
        >>> a @ [1, 10, 100], (a.T @ [1, 1]).tolist(), len(a)
        (array([605,  70]), [5, 7, 6], 3)
        >>> print(a)
        5 . 6
        . 7 .
    """

    shape: tuple[int, int]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[Any]
    row_block: int = field(default=0, kw_only=True)
    column_block: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        rows, columns = np.asarray(self.rows, np.int64), np.asarray(self.columns, np.int64)
        values = np.asarray(self.values)
        if len(self.shape) != 2 or not (rows.shape == columns.shape == values.shape == (rows.size,)):
            raise ShapeError(
                f"SparseMatrix needs two sizes, and rows, columns and values of one length; got the sizes {self.shape} "
                f"and the shapes {rows.shape}, {columns.shape}, {values.shape}."
            )
        for name, places, size in (("row", rows, self.shape[0]), ("column", columns, self.shape[1])):
            if rows.size and not 0 <= places.min() <= places.max() < size:
                bad = places[(places < 0) | (places >= size)][0]
                raise DataError(f"SparseMatrix of {self.shape[0]} x {self.shape[1]} has an entry in {name} {bad}.")
        order, first = self._sorted(rows, columns)
        total = np.add.reduceat(values[order], first) if rows.size else values
        object.__setattr__(self, "rows", rows[order][first])
        object.__setattr__(self, "columns", columns[order][first])
        object.__setattr__(self, "values", total.astype(values.dtype))

    @staticmethod
    def _sorted(rows: NDArray, columns: NDArray) -> tuple[NDArray, NDArray]:
        """Return the order of the entries, and where in it each place begins."""
        order = np.lexsort((columns, rows))
        there = np.stack([rows[order], columns[order]])
        new = np.ones(rows.size, bool)
        new[1:] = (there[:, 1:] != there[:, :-1]).any(axis=0)
        return order, np.flatnonzero(new)

    @property
    def T(self) -> SparseMatrix:  # NumPy's name
        """Return the transpose: y = A^T x."""
        blocks = {"row_block": self.column_block, "column_block": self.row_block}
        return SparseMatrix(self.shape[::-1], self.columns, self.rows, self.values, **blocks)

    @property
    def density(self) -> float:
        """Return the share of places that hold an entry."""
        return len(self) / max(1, self.shape[0] * self.shape[1])

    def __len__(self) -> int:
        """Return the number of entries."""
        return self.values.size

    def todense(self) -> NDArray[Any]:
        """Return the matrix as an array [rows, columns]."""
        dense = np.zeros(self.shape, self.values.dtype)
        dense[self.rows, self.columns] = self.values
        return dense

    def csr(self) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
        """Return compressed rows, (data, indices, indptr), as `scipy.sparse.csr_matrix((data, indices, indptr))` takes.

        Row i holds data[indptr[i] : indptr[i + 1]].
        """
        counts = np.bincount(self.rows, minlength=self.shape[0])
        return self.values, self.columns, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def __matmul__(self, other: Any) -> Any:
        """Return the product with a vector, a matrix [columns, many] or another sparse matrix."""
        if isinstance(other, SparseMatrix):
            return self._product(other)
        x: NDArray[Any] = other.numpy() if isinstance(other, Tensor) else np.asarray(other)
        self._check_inner(x.shape)
        taken = x[self.columns] * self.values.reshape(-1, *(1,) * (x.ndim - 1))
        y = np.zeros((self.shape[0], *x.shape[1:]), taken.dtype)
        np.add.at(y, self.rows, taken)
        return y

    def _check_inner(self, shape: tuple[int, ...]) -> None:
        if not shape or shape[0] != self.shape[1]:
            raise ShapeError(
                f"SparseMatrix @ x: the matrix is {self.shape[0]} x {self.shape[1]} and x has the shape {shape}; x "
                f"needs {self.shape[1]} rows: flatten a picture with x.reshape(-1)."
            )

    def _product(self, other: SparseMatrix) -> SparseMatrix:
        self._check_inner(other.shape)
        data, indices, start = other.csr()
        many = np.diff(start)[self.columns]  # entries of `other` that each entry meets
        first = np.repeat(start[self.columns] - np.concatenate([[0], np.cumsum(many)[:-1]]), many)
        met = first + np.arange(many.sum()) if len(self) else np.zeros(0, np.int64)
        values = np.repeat(self.values, many) * data[met]
        blocks = {"row_block": self.row_block, "column_block": other.column_block}
        return SparseMatrix((self.shape[0], other.shape[1]), np.repeat(self.rows, many), indices[met], values, **blocks)

    def __str__(self) -> str:
        words = [_word(value) for value in self.values.tolist()]
        width = max(map(len, words), default=1)
        if self.shape[0] > TALLEST or self.shape[1] * (width + 1) > WIDEST:
            return f"{self!r}, too large to print; convolution_pictures.matrix_picture draws it"
        cells = np.full(self.shape, ".", object)
        cells[self.rows, self.columns] = words
        cut, lines = self.column_block or self.shape[1] or 1, []
        for number, row in enumerate(cells):
            parts = [row[i : i + cut] for i in range(0, len(row), cut)]
            line = " | ".join(" ".join(text.rjust(width) for text in part) for part in parts)
            if self.row_block and number and number % self.row_block == 0:
                lines.append("".join("+" if mark == "|" else "-" for mark in line))
            lines.append(line)
        return "\n".join(lines)

    def __repr__(self) -> str:
        share = f"{100 * self.density:.3g} %"
        return (
            f"<sparse matrix {self.shape[0]} x {self.shape[1]}, {len(self):,} entries ({share}), {self.values.dtype}>"
        )


def from_dense(matrix: ArrayLike) -> SparseMatrix:
    """Return the entries of an array that are not zero.

    Args:
        matrix: numbers [rows, columns].

    Returns:
        The sparse matrix.

    Raises:
        ShapeError: not two axes.

    Example:
        >>> from_dense([[0, 2], [0, 0]])
        <sparse matrix 2 x 2, 1 entries (25 %), int64>
    """
    dense = np.asarray(matrix)
    if dense.ndim != 2:
        raise ShapeError(f"from_dense takes an array of two axes; got the shape {dense.shape}.")
    rows, columns = np.nonzero(dense)
    return SparseMatrix((dense.shape[0], dense.shape[1]), rows, columns, dense[rows, columns])


def _word(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

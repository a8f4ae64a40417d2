"""The named tuples that factorisations return, with the field names of the Array API standard."""

from __future__ import annotations

from typing import NamedTuple

from chainrule.core.tensor import Tensor

__all__ = [
    "EigResult",
    "EighResult",
    "LUFactorResult",
    "LUResult",
    "LstsqResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
]


class QRResult(NamedTuple):
    """Q [..., rows, k] with orthonormal columns, and R [..., k, columns], upper triangular."""

    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    """The sign of the determinant and the logarithm of its size, [...] each."""

    sign: Tensor
    logabsdet: Tensor


class EighResult(NamedTuple):
    """Eigenvalues [..., n], ascending, and eigenvectors [..., n, n], one per column."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """Eigenvalues [..., n] and eigenvectors [..., n, n], one per column; both complex."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    """U with the left singular vectors in its columns, S [..., k] descending, Vh with the right ones in its rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class LUResult(NamedTuple):
    """The permutation matrix P, the lower triangle L with ones on the diagonal, the upper triangle U."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactorResult(NamedTuple):
    """L and U in one matrix, and the row, counted from 1, that each step exchanged with its own."""

    LU: Tensor
    pivots: Tensor


class LstsqResult(NamedTuple):
    """Solution, sums of squared differences, rank, and singular values of the matrices."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor

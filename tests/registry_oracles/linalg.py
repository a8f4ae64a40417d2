"""What the primitives on matrices are in PyTorch.

The columns of q, u and v are unique up to their signs only, which LAPACK's builds choose differently: PyTorch's signs
are turned to NumPy's first, which changes neither what is multiplied back together nor how it moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

linalg = torch.linalg


def _symmetric(x):
    return (x + x.mT) / 2


def _like(x, function, *others):
    """Return NumPy's `function` of x as a constant."""
    return torch.from_numpy(np.array(function(x.detach().numpy(), *others)))


def _signs(ours, theirs):
    """Return the sign of each column of `theirs` that makes it look like that of `ours`, as a row per matrix."""
    return torch.sign((ours * theirs.detach()).sum(-2, keepdim=True))


def _qr(x):
    q, r = linalg.qr(x)
    signs = _signs(_like(x, lambda a: np.linalg.qr(a)[0]), q)
    return q * signs, r * signs.mT


def _eigh(x):
    values, vectors = linalg.eigh(_symmetric(x))
    return values, vectors * _signs(_like(_symmetric(x), lambda a: np.linalg.eigh(a)[1]), vectors)


def _svd(x):
    u, s, vh = linalg.svd(x, full_matrices=False)
    signs = _signs(_like(x, lambda a: np.linalg.svd(a, full_matrices=False)[0]), u)
    return u * signs, s, vh * signs.mT


def _complement(x):
    """PyTorch's basis of the complement, turned to NumPy's within that space; it moves at right angles to the space."""
    columns = x.shape[-1]
    ours = _like(x, lambda a: np.linalg.qr(a, mode="complete")[0][..., columns:])
    theirs = linalg.qr(x.detach(), mode="complete")[0][..., columns:]
    u, _, vh = linalg.svd(theirs.mT @ ours)
    basis = theirs @ u @ vh
    return basis - x @ linalg.solve(x.mT @ x, x.mT @ basis)


def _pivot_order(pivots, *, rows):
    matrix = torch.zeros((*pivots.shape[:-1], rows, pivots.shape[-1]), dtype=torch.float64)
    return torch.lu_unpack(matrix, (pivots + 1).int(), unpack_data=False)[0].int().argmax(-2)


def _lu(x):
    """Elimination in the order of the rows, which PyTorch has on GPUs only: l collects what is subtracted."""
    columns = []
    upper = x
    for k in range(x.shape[-1]):
        below = torch.arange(x.shape[-1]) > k
        column = torch.where(below, upper[..., :, k] / upper[..., k, None, k], 0.0)
        columns.append(column)
        upper = upper - column[..., :, None] * upper[..., k, None, :]
    lower = torch.stack(columns, -1) if columns else torch.zeros_like(x)
    return lower + torch.eye(x.shape[-1], dtype=x.dtype), torch.triu(upper)


ORACLES: dict[str, Any] = {
    "cholesky": lambda x: linalg.cholesky(_symmetric(x)),
    "cofactors": lambda x: linalg.det(x)[..., None, None] * linalg.inv(x).mT,
    "complement": _complement,
    "det": linalg.det,
    "eigh": _eigh,
    "lu": _lu,
    "lu_pivots": lambda x: linalg.lu_factor(x.detach())[1].long() - 1,
    "matrix_exp": torch.matrix_exp,
    "pinv": lambda x, rtol: linalg.pinv(x, rtol=rtol.detach()),
    "pivot_order": _pivot_order,
    "qr": _qr,
    "slogdet": lambda x: tuple(linalg.slogdet(x)),
    "solve": linalg.solve,
    "solve_triangular": lambda a, b, *, upper, unit: linalg.solve_triangular(a, b, upper=upper, unitriangular=unit),
    "svd": _svd,
}


def _identity(x):
    return x.shape == (2, 2) and (x == np.eye(2)).all()


def _of_rank_one(x):
    return x.shape == (2, 2) and x[0, 0] * x[1, 1] == x[0, 1] * x[1, 0] != 0


CHOSEN: dict[str, list[tuple[Any, str]]] = {
    "det": [(_of_rank_one, "the cofactors of a singular matrix need not be 0, as PyTorch has them")],
    "eigh": [(_identity, "vectors of equal eigenvalues do not turn; PyTorch gives NaN")],
    "svd": [(_identity, "vectors of equal singular values do not turn; PyTorch gives NaN")],
}

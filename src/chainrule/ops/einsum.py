"""Einstein summation: a sum of products written with one letter per axis.

    einsum("bij,bjk->bik", x, w)     y[b, i, k] = sum_j x[b, i, j] w[b, j, k]

Each operand is first brought to distinct letters (a letter written twice takes the diagonal; axes of size 1 against a
longer one are dropped), then operands are contracted in pairs, from left to right, each pair as one matrix product over
[batch, rows, inner] and [batch, inner, columns]. The order of the pairs is the user's; no cheaper one is searched for.
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence

from chainrule.core.bind import bind
from chainrule.core.dtypes import promote
from chainrule.core.errors import ShapeError, user_location
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast
from chainrule.ops.matmul import matmul_p
from chainrule.ops.reduce import sum
from chainrule.ops.shape import permute_dims, reshape
from chainrule.ops.slices import narrow

__all__ = ["einsum"]

DOTS = "..."


def einsum(subscripts: str, /, *operands: Tensor) -> Tensor:
    """Return the sum of products that the subscripts describe.

        letters that are missing on the right of "->" are summed over

    Args:
        subscripts: a term of letters per operand, separated by commas, then "->" and the letters of the result; without
            "->" the result has the letters that stand once, in alphabetical order. "..." stands for axes in front or
            between that broadcast.
        *operands: numeric tensors; axes of one letter have one size, or size 1.

    Returns:
        Tensor of the promoted dtype.

    Raises:
        ShapeError: subscripts that do not fit the operands; the message names the letter and both sizes.

    Example:
        >>> import chainrule as cr
        >>> cr.einsum("ij,kj->ik", cr.ones((2, 3)), cr.ones((4, 3)))
        tensor([[3., 3., 3., 3.],
                [3., 3., 3., 3.]], shape=(2, 4), dtype=float32)
    """
    tensors = [as_tensor(x) for x in operands]
    terms, result = _parse(subscripts, tensors)
    sizes = _sizes(subscripts, terms, tensors)
    dtype = functools.reduce(promote, (x.dtype for x in tensors))
    parts = [_distinct(cast(x, dtype), term, sizes) for x, term in zip(tensors, terms)]
    left, letters = parts[0]
    for position, (right, others) in enumerate(parts[1:], 2):
        needed = set(result).union(*(term for _, term in parts[position:]))
        left, letters = _contract(left, letters, right, others, needed)
    left, letters = _sum_out(left, letters, set(result))
    return permute_dims(left, [letters.index(c) for c in result])


# ---------------------------------------------------------------------------------------------------- reading
def _refuse(subscripts: str, reason: str) -> ShapeError:
    return ShapeError(f"einsum {subscripts!r}: {reason}.", location=user_location())


def _parse(subscripts: str, tensors: Sequence[Tensor]) -> tuple[list[str], str]:
    """Return one term of letters per operand and the result's; axes behind "..." get letters of their own."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if not tensors or len(terms) != len(tensors):
        raise _refuse(subscripts, f"{len(terms)} terms do not fit {len(tensors)} operands")
    for term in [*terms, right]:
        odd = next((c for c in term.replace(DOTS, "", 1) if c not in string.ascii_letters), None)
        if odd is not None:
            raise _refuse(subscripts, f"a term is made of letters and one '...'; got {odd!r} in {term!r}")
    hidden = [x.ndim - len(term.replace(DOTS, "")) for x, term in zip(tensors, terms)]
    for x, term, extra in zip(tensors, terms, hidden):
        if extra < 0 or (extra and DOTS not in term):
            raise _refuse(subscripts, f"the term {term!r} does not fit an operand of shape {x.shape}")
    wide = max((extra for term, extra in zip(terms, hidden) if DOTS in term), default=0)
    free = list("αβγδεζηθικλμνξοπρστυφχψω")[:wide]  # letters that no user writes
    shared = [c for term in terms for c in term if c not in "."]
    if not arrow:
        right = (DOTS if wide else "") + "".join(c for c in sorted(set(shared)) if shared.count(c) == 1)
    result = right.replace(DOTS, "".join(free))
    for c in result:
        if result.count(c) > 1 or c not in [*shared, *free]:
            problem = "stands twice" if result.count(c) > 1 else "stands in no operand"
            raise _refuse(subscripts, f"the letter {c!r} of the result {problem}")
    return [t.replace(DOTS, "".join(free[wide - n :]) if n else "") for t, n in zip(terms, hidden)], result


def _sizes(subscripts: str, terms: Sequence[str], tensors: Sequence[Tensor]) -> dict[str, int]:
    """Return the size of each letter."""
    sizes: dict[str, int] = {}
    for term, x in zip(terms, tensors):
        for c, n in zip(term, x.shape):
            known = sizes.get(c, 1)
            if 1 not in (n, known) and n != known:
                name = f"the letter {c!r}" if c in string.ascii_letters else "an axis of '...'"
                raise _refuse(subscripts, f"{name} has the sizes {known} and {n}")
            sizes[c] = n if known == 1 else known
    return sizes


# ---------------------------------------------------------------------------------------------------- computing
def _distinct(x: Tensor, term: str, sizes: dict[str, int]) -> tuple[Tensor, str]:
    """Return an operand and its letters, each once, without axes of size 1 that stand against a longer one."""
    short = [c for c, n in zip(term, x.shape) if n == 1 and sizes[c] != 1]
    if short:
        kept = [(c, n) for c, n in zip(term, x.shape) if not (n == 1 and sizes[c] != 1)]
        x, term = reshape(x, tuple(n for _, n in kept)), "".join(c for c, _ in kept)
    while len(set(term)) < len(term):
        c = next(c for c in term if term.count(c) > 1)
        first = term.index(c)
        second = term.index(c, first + 1)
        rest = [i for i in range(x.ndim) if i not in (first, second)]
        n, shape = sizes[c], tuple(x.shape[i] for i in rest)
        flat = reshape(permute_dims(x, [*rest, first, second]), (*shape, n * n))
        x = narrow(flat, -1, 0, n * n, n + 1)  # the diagonal, [..., n]
        term = "".join(term[i] for i in rest) + c
    return x, term


def _sum_out(x: Tensor, letters: str, needed: set[str]) -> tuple[Tensor, str]:
    """Return x summed over the letters that nobody needs."""
    axes = [i for i, c in enumerate(letters) if c not in needed]
    if axes:
        x = sum(x, axes, dtype=x.dtype)
    return x, "".join(c for c in letters if c in needed)


def _contract(left: Tensor, a: str, right: Tensor, b: str, needed: set[str]) -> tuple[Tensor, str]:
    """Return the product of two operands, summed over what they share and nobody else needs."""
    left, a = _sum_out(left, a, needed | set(b))
    right, b = _sum_out(right, b, needed | set(a))
    batch = [c for c in a if c in b and c in needed]
    inner = [c for c in a if c in b and c not in needed]
    rows, columns = [c for c in a if c not in b], [c for c in b if c not in a]
    sizes = dict(zip(a, left.shape)) | dict(zip(b, right.shape))

    def arranged(x: Tensor, letters: str, *groups: list[str]) -> Tensor:
        order = [letters.index(c) for group in groups for c in group]
        return reshape(permute_dims(x, order), tuple(math.prod(sizes[c] for c in group) for group in groups))

    x1 = arranged(left, a, batch, rows, inner)
    x2 = arranged(right, b, batch, inner, columns)
    product = bind(matmul_p, x1, x2) if inner else x1 * x2  # [batch, rows, columns]
    letters = [*batch, *rows, *columns]
    return reshape(product, tuple(sizes[c] for c in letters)), "".join(letters)

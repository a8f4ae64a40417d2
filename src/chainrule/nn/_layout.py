"""Borders and embeddings in PyTorch's order of arguments: pad, and bags of embeddings.

`pad` counts axes from the last one backwards; `embedding_bag` sums, averages or compares the rows of each bag.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import choice, flag, refuse, tensor_input
from chainrule.ops import (
    arange,
    cumulative_sum,
    scatter_add,
    segment_max,
    segment_mean,
    segment_sum,
    take,
    where,
    zeros,
)
from chainrule.ops._inputs import cast
from chainrule.ops.guard import check_indices
from chainrule.ops.pad import bordered

__all__ = ["embedding_bag", "pad"]


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Return the input with a border; widths are given from the last axis backwards.

    Args:
        input: tensor of any dtype.
        pad: (before, after) of the last axis, then of the last but one, and so on; negative widths cut off.
        mode: "constant"; "reflect", the input mirrored at its edge; "replicate", the edge repeated; "circular", the
            other end; default "constant".
        value: what fills a constant border; default 0.

    Returns:
        Tensor whose axes are longer by their two widths.

    Raises:
        ShapeError: an odd number of widths, more than two per axis, or a border wider than what it is taken from.
        DTypeError: a value that the dtype of the input can't hold.
        ValueError: another mode.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.pad(cr.ones((1, 2)), (1, 0, 0, 1))
        tensor([[0., 1., 1.],
                [0., 0., 0.]], shape=(2, 3), dtype=float32)
    """
    x, widths = tensor_input("pad", input), tuple(pad)
    if len(widths) % 2 or len(widths) > 2 * x.ndim:
        raise refuse(
            ShapeError,
            f"pad: the input has the shape {x.shape}; it takes up to {2 * x.ndim} widths in pairs; got {widths}.",
        )
    pairs = list(zip(widths[::2], widths[1::2], strict=True))
    return bordered(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1], mode, 0 if value is None else value)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    mode: str = "mean",
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Return the sum, mean or maximum of the rows of a table that each bag of indices names.

        y[b] = sum over i in bag b of w_i weight[i]

    Args:
        input: integer indices, [bags, size] for bags of one size, or a vector of all indices.
        weight: table, float tensor [rows, features].
        offsets: for a vector, where each bag starts, ascending from 0; default none.
        mode: "sum", "mean" or "max"; default "mean".
        per_sample_weights: factors of the shape of the input, for "sum"; default 1.
        include_last_offset: whether the last offset is the end of the last bag; default False.
        padding_idx: an index that counts nothing; default none.

    Returns:
        Tensor [bags, features]; 0 for an empty bag.

    Raises:
        ShapeError: shapes that do not fit.
        IndexRangeError: an index outside the table.
        ValueError: another mode, or weights with another mode than "sum".

    Example:
        >>> import chainrule as cr
        >>> table = cr.asarray([[1.0], [2.0], [4.0]])
        >>> cr.nn.functional.embedding_bag(cr.asarray([0, 1, 2]), table, cr.asarray([0, 2]), mode="sum")
        tensor([[3.],
                [4.]], shape=(2, 1), dtype=float32)
    """
    name = "embedding_bag"
    choice(name, "mode", mode, ("sum", "mean", "max"))
    indices, table = tensor_input(name, input), tensor_input(name, weight, "weight")
    if per_sample_weights is not None and mode != "sum":
        raise ValueError(f'embedding_bag.per_sample_weights needs mode="sum"; got {mode!r}.')
    factors = per_sample_weights
    if factors is not None and tensor_input(name, factors, "per_sample_weights").shape != indices.shape:
        raise refuse(
            ShapeError,
            f"{name}: the indices are {indices.shape} and their weights {factors.shape}; they must be equal.",
        )
    ids, bags = _bags(name, indices, offsets, flag(name, "include_last_offset", include_last_offset))
    flat = check_indices(indices.reshape((indices.size,)), table.shape[0], name)
    counted = None
    if padding_idx is not None:
        counted = flat != padding_idx % table.shape[0]
        ids, bags = where(counted, ids, bags), bags + 1  # what counts nothing goes to a bag of its own
    rows = take(table, flat, axis=0)
    if factors is not None:
        rows = rows * factors.reshape((indices.size, 1))
    if mode == "max":
        present = scatter_add(zeros((bags,), dtype=table.dtype), ids, 1.0) > 0.0
        y = where(present.reshape((bags, 1)), segment_max(rows, ids, bags), 0.0)
    else:
        y = (segment_sum if mode == "sum" else segment_mean)(rows, ids, bags)
    return y if counted is None else y[: bags - 1]


def _bags(name: str, indices: Tensor, offsets: Tensor | None, include_last_offset: bool) -> tuple[Tensor, int]:
    """Return the bag of each index, in order, and the number of bags."""
    if offsets is None:
        if indices.ndim != 2:
            raise refuse(
                ShapeError, f"{name}: without offsets the indices must be [bags, size]; got the shape {indices.shape}."
            )
        bags, size = indices.shape
        return arange(bags * size) // max(size, 1), bags
    starts = tensor_input(name, offsets, "offsets")
    if indices.ndim != 1 or starts.ndim != 1:
        raise refuse(
            ShapeError,
            f"{name}: with offsets both must be vectors; got the shapes {indices.shape} and {starts.shape}.",
        )
    bags = starts.shape[0] - (1 if include_last_offset else 0)
    begins = scatter_add(zeros((indices.shape[0] + 1,), dtype="int64"), cast(starts[:bags], arange(1).dtype), 1)
    return cumulative_sum(begins)[: indices.shape[0]] - 1, bags

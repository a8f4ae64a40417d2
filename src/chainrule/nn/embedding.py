"""A table of vectors that are looked up by number and trained."""

from __future__ import annotations

from typing import Any

from chainrule.core.context import no_grad
from chainrule.core.tensor import Parameter, Tensor
from chainrule.nn import init
from chainrule.nn._checks import float_dtype, integer
from chainrule.nn._functions import embedding, embedding_indices
from chainrule.nn.module import Module
from chainrule.ops import empty

__all__ = ["Embedding"]


class Embedding(Module):
    """A table of vectors, looked up by row number.

        y = W[i],   W ~ N(0, 1)

    Args:
        num_embeddings: number of rows, >= 1.
        embedding_dim: size of a vector, >= 1.
        padding_idx: a row that starts as zeros and is not trained; negative counts from the end; default none.
        dtype: float dtype of W; default float32.
    Call:
        i: integer tensor [...] in [0, num_embeddings)  ->  tensor [..., embedding_dim].
    Attributes:
        weight: W, [num_embeddings, embedding_dim].
    Raises:
        ValueError: a size below 1, or a padding row outside the table.
        IndexRangeError: an index outside the table; negative ones are.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Embedding(10, 3)(cr.asarray([[1, 2, 3, 4]])).shape
        (1, 4, 3)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, dtype: Any = None):
        super().__init__()
        self.num_embeddings = integer("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = integer("Embedding", "embedding_dim", embedding_dim)
        if (
            padding_idx is not None
            and not -num_embeddings <= integer("Embedding", "padding_idx", padding_idx, low=None) < num_embeddings
        ):
            raise ValueError(
                f"Embedding.padding_idx must be in [{-num_embeddings}, {num_embeddings - 1}]; got {padding_idx}."
            )
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(empty((num_embeddings, embedding_dim), dtype=float_dtype("Embedding", dtype)))
        self.reset_parameters()

    def reset_parameters(self, generator: Any = None) -> None:
        """Draw new initial values; the padding row is zero."""
        init.normal_(self.weight, generator=generator)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, indices: Tensor) -> Tensor:
        """Return the rows at the indices."""
        return embedding(embedding_indices(self, indices, self.num_embeddings), self.weight, self.padding_idx)

    def _arguments(self) -> dict[str, Any]:
        name = self.weight.dtype.name
        return {"dtype": None if name == "float32" else name}

"""The multilayer perceptron: linear layers with an activation between them.

    h_0 = x,   h_i = activation(h_{i-1} W_i^T + b_i),   logits = h_{n-1} W_n^T + b_n

It is a Sequential, so its state dict reads as the sequence of its layers: "0.weight", "0.bias", "2.weight", ...
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from chainrule import nn
from chainrule.core.errors import nearest
from chainrule.core.tensor import Tensor
from chainrule.ops import reshape

__all__ = ["ACTIVATIONS", "MLP"]

ACTIVATIONS = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}


class MLP(nn.Sequential):
    """A multilayer perceptron: linear layers with an activation, and dropout if wanted, after each but the last.

        h_0 = x,   h_i = activation(h_{i-1} W_i^T + b_i),   logits = h_{n-1} W_n^T + b_n

    Args:
        sizes: features of the input, of each hidden layer and of the output, each >= 1; at least two.
        activation: a name in `ACTIVATIONS`, such as "relu", "tanh" or "gelu"; default "relu".
        dropout: probability of zeroing a hidden unit in training, in [0, 1); default 0, no dropout layers.

    Call:
        x: float tensor [batch, ...] with sizes[0] features per sample, flattened if it has more axes  ->
            [batch, sizes[-1]].

    Raises:
        ValueError: sizes that are too few or below 1, an unknown activation, or a dropout outside [0, 1).

    Example:
        >>> model = MLP((784, 64, 32, 10))
        >>> model(cr.zeros((5, 28, 28))).shape, sum(p.size for p in model.parameters())
        ((5, 10), 52650)
        >>> list(model.state_dict())
        ['0.weight', '0.bias', '2.weight', '2.bias', '4.weight', '4.bias']

    Source: Rumelhart, Hinton and Williams, Nature 323 (1986).
    """

    def __init__(self, sizes: Sequence[int], activation: str = "relu", dropout: float = 0.0):
        whole = all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in sizes)
        if len(sizes) < 2 or not whole:
            raise ValueError(f"MLP.sizes must be at least two integers >= 1; got {tuple(sizes)!r}.")
        if activation not in ACTIVATIONS:
            names = ", ".join(ACTIVATIONS)
            hint = nearest(activation, ACTIVATIONS) if isinstance(activation, str) else ""
            raise ValueError(f"MLP.activation must be one of {names}; got {activation!r}{hint or '.'}")
        if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise ValueError(f"MLP.dropout must be a number in [0, 1); got {dropout!r}.")
        self.sizes, self.activation, self.dropout = tuple(sizes), activation, float(dropout)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes[:-1]):
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
            layers += [nn.Dropout(dropout)] if dropout else []
        super().__init__(*layers, nn.Linear(sizes[-2], sizes[-1]))

    def __repr__(self) -> str:
        settings = f", activation={self.activation!r}" if self.activation != "relu" else ""
        return f"MLP({self.sizes}{settings}{f', dropout={self.dropout}' if self.dropout else ''})"

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last layer; a sample with several axes is flattened first."""
        return super().forward(x if x.ndim <= 2 else reshape(x, (x.shape[0], -1)))

    def __getitem__(self, index: int | slice) -> nn.Module:  # type: ignore[override]
        """Return a layer, or a Sequential of several: part of a perceptron is no perceptron of these sizes."""
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)

"""Layers that map or reshape features: Linear, Flatten, Unflatten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Parameter, Tensor
from chainrule.nn import init
from chainrule.nn._checks import flag, float_dtype, integer, refuse, same_dtype, tensor_input
from chainrule.nn._functions import linear
from chainrule.nn.module import Module
from chainrule.ops import empty, reshape

__all__ = ["Flatten", "Linear", "Unflatten"]


class Linear(Module):
    """An affine map of the last axis.

        y = x W^T + b,   W and b ~ U(-1 / sqrt(in_features), 1 / sqrt(in_features))

    Args:
        in_features: size of the input's last axis, >= 1.
        out_features: size of the output's last axis, >= 1.
        bias: whether b is there; default True.
        dtype: float dtype of W and b; default float32.
    Call:
        x: float tensor [..., in_features]  ->  tensor [..., out_features].
    Attributes:
        weight: W, [out_features, in_features].
        bias: b, [out_features], or None.
    Raises:
        ValueError: a size below 1.
        ShapeError: the input's last axis is not in_features.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Linear(784, 64)
        >>> layer, layer(cr.zeros((32, 784))).shape
        (Linear(784, 64), (32, 64))

    Source: the initial values are PyTorch's, He's formula with a = sqrt(5) (pytorch/pytorch#15314).
    """

    receptive_field = "all"

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None):
        super().__init__()
        self.in_features = integer("Linear", "in_features", in_features)
        self.out_features = integer("Linear", "out_features", out_features)
        chosen = float_dtype("Linear", dtype)
        self.weight = Parameter(empty((out_features, in_features), dtype=chosen))
        self.bias = Parameter(empty((out_features,), dtype=chosen)) if flag("Linear", "bias", bias) else None
        if self.bias is None:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self, generator: Any = None) -> None:
        """Draw new initial values."""
        bound = 1.0 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound, generator=generator)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + b."""
        tensor_input(self, x)
        if not x.ndim or x.shape[-1] != self.in_features:
            flat = ": flatten first" if x.ndim > 2 and math.prod(x.shape[1:]) == self.in_features else ""
            raise refuse(ShapeError, f"{self} got {x.shape}; its last axis must be {self.in_features}{flat}.")
        same_dtype(self, x, self.weight.dtype)
        return linear(x, self.weight, self.bias)

    def _arguments(self) -> dict[str, Any]:
        name = self.weight.dtype.name
        return {"bias": self.bias is not None, "dtype": None if name == "float32" else name}


class Flatten(Module):
    """Join neighbouring axes into one.

    Args:
        start_dim: first axis to join; default 1, so that the batch stays.
        end_dim: last axis to join; default -1.
    Call:
        x: tensor [batch, ...]  ->  tensor [batch, features].
    Raises:
        ValueError: an axis that is no int.
        ShapeError: the input does not have these axes.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Flatten()(cr.zeros((32, 1, 28, 28))).shape
        (32, 784)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = integer("Flatten", "start_dim", start_dim, low=None)
        self.end_dim = integer("Flatten", "end_dim", end_dim, low=None)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with the axes joined."""
        shape, n = tensor_input(self, x).shape, x.ndim
        first, last = self.start_dim + n * (self.start_dim < 0), self.end_dim + n * (self.end_dim < 0)
        if not 0 <= first <= last < n:
            axes = f"{self.start_dim} to {self.end_dim}"
            raise refuse(ShapeError, f"{self} got {shape}; it joins the axes {axes}, which this input does not have.")
        return reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


class Unflatten(Module):
    """Cut one axis into several: the opposite of `Flatten`.

    Args:
        dim: the axis; negative counts from the end.
        unflattened_size: sizes of the new axes, whose product is the old size; one of them may be -1.
    Call:
        x: tensor [..., n, ...]  ->  tensor [..., *unflattened_size, ...].
    Raises:
        ValueError: sizes that are no ints >= 1, or more than one -1.
        ShapeError: the input has no such axis, or one of another size.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Unflatten(1, (16, 5, 5))(cr.zeros((32, 400))).shape
        (32, 16, 5, 5)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]):
        super().__init__()
        self.dim = integer("Unflatten", "dim", dim, low=None)
        sizes = tuple(unflattened_size) if isinstance(unflattened_size, tuple | list) else ()
        if not sizes or any(type(n) is not int or (n < 1 and n != -1) for n in sizes) or sizes.count(-1) > 1:
            raise ValueError(
                f"Unflatten.unflattened_size must be ints >= 1, one of which may be -1; got {unflattened_size!r}."
            )
        self.unflattened_size = sizes

    def forward(self, x: Tensor) -> Tensor:
        """Return x with the axis cut."""
        shape, n = tensor_input(self, x).shape, x.ndim
        axis = self.dim + n * (self.dim < 0)
        known = math.prod(size for size in self.unflattened_size if size != -1)
        fits = 0 <= axis < n and (shape[axis] % known == 0 if -1 in self.unflattened_size else shape[axis] == known)
        if not fits:
            needed = f"a multiple of {known}" if -1 in self.unflattened_size else f"{known}"
            raise refuse(ShapeError, f"{self} got {shape}; its axis {self.dim} must have the size {needed}.")
        sizes = tuple(shape[axis] // known if size == -1 else size for size in self.unflattened_size)
        return reshape(x, (*shape[:axis], *sizes, *shape[axis + 1 :]))

"""Forward mode: tangents carried beside values, `jvp` and what is built on it.

    jvp(f, x, t) = (f(x), f'(x) t)

Each call opens a level of its own; a value with a tangent is a `Dual` of that level. Values and tangents are tensors of
the level around it, so forward and reverse mode nest in any order. Source: Griewank and Walther, 2008, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.forward import primitive_jvp
from chainrule.core import tree
from chainrule.core.errors import DTypeError, GradientError, ShapeError
from chainrule.core.levels import Level, Lifted
from chainrule.core.primitive import Primitive
from chainrule.core.tape import Leaf
from chainrule.core.tensor import Tensor, concrete_value
from chainrule.ops._inputs import as_tensor
from chainrule.ops.creation import zeros

__all__ = ["jvp"]


class Dual(Lifted):
    """A value and its tangent, both tensors of the level around.

    Args:
        level: whose it is.
        primal: the value.
        tangent: its tangent, of the same shape and dtype.
    """

    __slots__ = ("primal", "tangent")

    def __init__(self, level: Level, primal: Tensor, tangent: Tensor):
        super().__init__(level, primal.shape, primal._value.dtype)
        self.primal, self.tangent = primal, tangent

    def concrete(self, wish: str) -> np.ndarray:
        """Return the value without its tangent."""
        return concrete_value(self.primal, wish)

    def parts(self) -> tuple[Tensor, ...]:
        """Return the value and its tangent."""
        return self.primal, self.tangent

    def stopped(self) -> Any:
        """Return the value as a constant."""
        return self.primal.detach()._value


class ForwardLevel(Level):
    """The level of one `jvp`."""

    transform = "jvp"

    def apply(self, primitive: Primitive, inputs: Sequence[Tensor], attributes: dict[str, Any]) -> Sequence[Any]:
        primals = [self.primal(tensor) for tensor in inputs]
        tangents = [tensor._value.tangent if self.owns(tensor) else None for tensor in inputs]
        result, moved = self.outside(primitive_jvp, primitive, primals, tangents, attributes)
        outs, moves = (result, moved) if primitive.multiple else ((result,), (moved,))
        return [self.lift(out, t)._value for out, t in zip(outs, moves, strict=True)]

    def leave(self, cell: Tensor) -> None:
        """Leave the value without its tangent."""
        primal = cell._value.primal
        if isinstance(primal._value, Lifted):
            primal._value.level.note(cell)
        if not isinstance(cell._node, Leaf):
            cell._node, cell._index = primal._node, primal._index
        cell._value = primal._value

    def lift(self, primal: Tensor, tangent: Tensor | None) -> Tensor:
        """Return the tensor of this level with this value and tangent; a plain one where nothing moves."""
        return primal if tangent is None else Tensor(Dual(self, primal, tangent))

    def primal(self, tensor: Tensor) -> Tensor:
        """Return the value as a tensor of the level around."""
        return tensor._value.primal if self.owns(tensor) else self.around(tensor)

    def lower(self, tensor: Any) -> tuple[Tensor, Tensor]:
        """Return (value, tangent) of a result."""
        if not isinstance(tensor, Tensor):
            raise GradientError(f"jvp needs a function that returns tensors; it returned {type(tensor).__name__}.")
        if self.owns(tensor):
            return tensor._value.primal, tensor._value.tangent
        return self.primal(tensor), zeros(tensor.shape, dtype=tensor.dtype)


def jvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return a function's result and its directional derivative, in one pass forward.

        y = f(x),   dy = f'(x) dx

    Args:
        function: takes and returns tensors or nested containers of tensors.
        primals: tuple of the positional arguments: where to evaluate.
        tangents: tuple of directions, shaped like the arguments.

    Returns:
        (result, tangent), in the same containers.

    Raises:
        DTypeError: an argument is not a float.
        ShapeError: a tangent does not have the shape of its argument.

    Example:
        >>> import chainrule as cr
        >>> cr.jvp(lambda x: x * x, (cr.asarray(3.0),), (cr.asarray(1.0),))
        (tensor(9., shape=(), dtype=float32), tensor(6., shape=(), dtype=float32))

    Source: Wengert, A simple automatic derivative evaluation program, 1964.
    """
    given, structure = tree.flatten(tuple(primals))
    directions, other = tree.flatten(tuple(tangents))
    if structure != other:
        raise ShapeError("jvp: the tangents must have the containers of the arguments, one tangent per tensor.")
    pairs = [_pair(position, x, t) for position, (x, t) in enumerate(zip(given, directions, strict=True))]
    level = ForwardLevel()
    with level:
        result = function(*tree.unflatten(structure, [level.lift(x, t) for x, t in pairs]))
        leaves, out_structure = tree.flatten(result)
        lowered = [level.outside(level.lower, leaf) for leaf in leaves]
        level.settle(leaves)
    return tuple(
        tree.unflatten(out_structure, list(side)) for side in (zip(*lowered, strict=True) if lowered else ((), ()))
    )


def _pair(position: int, primal: Any, tangent: Any) -> tuple[Tensor, Tensor]:
    x = as_tensor(primal)
    if not x.dtype.is_inexact:
        raise DTypeError(f"only float arguments have tangents; argument {position} is {x.dtype.name}.")
    t = as_tensor(tangent, x)
    if t.shape != x.shape:
        raise ShapeError(
            f"jvp: argument {position} has the shape {x.shape} and its tangent {t.shape}; they must be equal."
        )
    return x, t if t.dtype is x.dtype else t.astype(x.dtype)

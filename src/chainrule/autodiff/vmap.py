"""`vmap`: a function of one sample made into a function of many, without a loop in Python.

    vmap(f)(x)[i] = f(x[i])

Each call opens a level; a tensor inside it is a `Batched` value that hides its batch axis (always axis 0 of the data).
`batching` says for each primitive how it works on hidden batch axes; composites need no rule. Source: the batching
transformation of JAX, Bradbury et al. 2018; Keckler's `functorch` for its composition with a tape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.batching import apply_batched
from chainrule.core import tree
from chainrule.core.errors import ShapeError, TraceError, user_location
from chainrule.core.levels import Level, Lifted
from chainrule.core.primitive import Primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, axis_index
from chainrule.ops.shape import broadcast_to, moveaxis

__all__ = ["vmap"]


class Batched(Lifted):
    """A value with a hidden batch axis.

    Args:
        level: whose it is.
        data: tensor of the level around, [batch, ...].
    """

    __slots__ = ("data",)

    def __init__(self, level: Level, data: Tensor):
        super().__init__(level, data.shape[1:], data._value.dtype)
        self.data = data

    def concrete(self, wish: str) -> np.ndarray:
        """Refuse: there is one value per sample."""
        count = self.data.shape[0]
        raise TraceError(
            f"{wish} asks for the value of a tensor inside vmap, which has one for each of {count} samples. "
            "Use cr.where instead of `if`, or return the tensor and read it after the call.",
            location=user_location(),
        )

    def parts(self) -> tuple[Tensor, ...]:
        """Return the data of all samples."""
        return (self.data,)

    def stopped(self) -> Any:
        """Return the value as a constant."""
        return Batched(self.level, self.data.detach())


class BatchLevel(Level):
    """The level of one `vmap`.

    Args:
        size: number of samples.
        separate: whether each sample draws random numbers of its own.
    """

    transform = "vmap"

    def __init__(self, size: int, separate: bool):
        super().__init__()
        self.size = size
        self.copies = size if separate else 1
        self.separate = separate

    def takes(self, primitive: Primitive, inputs: Sequence[Tensor]) -> bool:
        return super().takes(primitive, inputs) or (self.separate and primitive.name == "random_bits")

    def leave(self, cell: Tensor) -> None:
        raise TraceError(
            f"inside vmap a tensor of shape {cell.shape} from outside was assigned a value that differs by sample. "
            "Return the value from the function instead, or assign what is the same for all samples.",
            location=user_location(),
        )

    def apply(self, primitive: Primitive, inputs: Sequence[Tensor], attributes: dict[str, Any]) -> Sequence[Any]:
        data = [self.data(tensor) for tensor in inputs]
        batched = [self.owns(tensor) for tensor in inputs]
        results = self.outside(apply_batched, primitive, data, batched, attributes, self.size)
        return [Batched(self, result) for result in results]

    def data(self, tensor: Tensor) -> Tensor:
        """Return the data as a tensor of the level around."""
        return tensor._value.data if self.owns(tensor) else self.around(tensor)

    def lower(self, leaf: Any, axis: int) -> Tensor:
        """Return a result with its batch axis in place; one that is the same for all samples is repeated."""
        tensor = as_tensor(leaf)
        data = self.data(tensor)
        if not self.owns(tensor):
            data = broadcast_to(data, (self.size, *data.shape))
        return moveaxis(data, 0, axis_index(axis, data.ndim, "vmap: out_axes"))


def vmap(
    function: Callable[..., Any], in_axes: Any = 0, out_axes: int = 0, randomness: str = "different"
) -> Callable[..., Any]:
    """Return a function that applies `function` to every sample along an axis of its arguments.

    Args:
        function: takes tensors, numbers or nested containers of tensors; returns tensors or containers of them.
        in_axes: the sample axis of the arguments: an integer for all, or a tuple with an integer or None (the same for
            every sample) for each; default 0.
        out_axes: where the sample axis goes in the results; default 0.
        randomness: "different": each sample draws random numbers of its own; "same": all share them; default
            "different".

    Returns:
        A function of the whole arguments. Gradients go through it, and it goes through `grad`, `jvp`, `jit` and `vmap`.

    Raises:
        ShapeError: no argument has a sample axis, or the numbers of samples differ.
        TraceError: the function asks for a value (`.item()`, `if x > 0:`), or assigns a tensor from outside a value
            that differs by sample.
        ValueError: `randomness` is another word.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray([[1.0, 2.0], [3.0, 4.0]])
        >>> cr.vmap(cr.grad(lambda x: (x * x).sum()))(x)  # one gradient per row
        tensor([[2., 4.],
                [6., 8.]], shape=(2, 2), dtype=float32)
    """

    if randomness not in ("different", "same"):
        raise ValueError(f"vmap.randomness must be 'different' or 'same'; got {randomness!r}.")

    @functools.wraps(function)
    def mapped(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple | list) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise ShapeError(
                f"vmap: in_axes has {len(axes)} entries, and the function was called with {len(args)} arguments."
            )
        taken = [tree.flatten(arg) for arg in args]
        moved = [[_front(leaf, axis) for leaf in leaves] for (leaves, _), axis in zip(taken, axes, strict=True)]
        level = BatchLevel(_samples(moved, axes), randomness == "different")
        with level:
            given = [
                tree.unflatten(structure, [leaf if axis is None else Tensor(Batched(level, leaf)) for leaf in leaves])
                for (_, structure), leaves, axis in zip(taken, moved, axes, strict=True)
            ]
            leaves, structure = tree.flatten(function(*given))
            results = [level.outside(level.lower, leaf, out_axes) for leaf in leaves]
            level.settle(leaves)
        return tree.unflatten(structure, results)

    return mapped


def _front(leaf: Any, axis: int | None) -> Any:
    """Return an argument with its sample axis in front."""
    if axis is None:
        return leaf
    x = as_tensor(leaf)
    if x.ndim == 0:
        raise ShapeError("vmap: an argument without axes has no sample axis; give None for it in in_axes.")
    return moveaxis(x, axis_index(axis, x.ndim, "vmap: in_axes"), 0)


def _samples(moved: list[list[Any]], axes: Sequence[int | None]) -> int:
    sizes = {leaf.shape[0] for leaves, axis in zip(moved, axes, strict=True) if axis is not None for leaf in leaves}
    if len(sizes) != 1:
        found = f"they have {', '.join(map(str, sorted(sizes)))} samples" if sizes else "none has one"
        raise ShapeError(f"vmap: the arguments need one common number of samples; {found}.")
    return sizes.pop()

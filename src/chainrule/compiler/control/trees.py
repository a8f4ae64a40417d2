"""Nested containers at the borders of loops and branches: their leaves as tensors, their names, how they must agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.compiler.control.tracer import type_of
from chainrule.core import tree
from chainrule.core.errors import DTypeError, ShapeError, TraceError, user_location
from chainrule.core.tensor import Tensor, connected
from chainrule.ops._inputs import as_tensor

__all__ = ["Leaves", "check_carry", "leaves_of", "names", "one_bool", "words"]


class Leaves:
    """A nested container of tensors taken apart; leaves that are None stay where they are.

    Args:
        value: the container; numbers in it become tensors.

    Attributes:
        tensors: the leaves that are tensors.
        structure: the containers.
    """

    def __init__(self, value: Any):
        leaves, self.structure = tree.flatten(value)
        self.present = [leaf is not None for leaf in leaves]
        self.tensors = [as_tensor(leaf) for leaf in leaves if leaf is not None]

    @classmethod
    def of(cls, structure: Any, leaves: Sequence[Tensor | None]) -> Leaves:
        """Return what `flatten` has taken apart already."""
        return cls(tree.unflatten(structure, list(leaves)))

    def filled(self, tensors: Sequence[Tensor]) -> Any:
        """Return the containers with other tensors."""
        each = iter(tensors)
        return tree.unflatten(self.structure, [next(each) if has else None for has in self.present])

    def names(self, root: str) -> list[str]:
        """Return a name for each tensor, like carry[0] or carry['h']."""
        return [name for name, has in zip(names(self.structure, root), self.present, strict=True) if has]

    def same_containers(self, other: Leaves) -> bool:
        """Return whether containers and missing leaves are the same."""
        return self.structure == other.structure and self.present == other.present

    def words(self) -> str:
        """Return the containers in words, like (tensor, {'h': tensor})."""
        return words(self.structure, iter(self.present))


def leaves_of(value: Any) -> Leaves:
    """Return the leaves as cells of their own, so that assigning one inside leaves what the user gave alone."""
    found = Leaves(value)
    found.tensors = [connected(x._value, x._node, x._index) for x in found.tensors]
    return found


def names(structure: Any, root: str) -> list[str]:
    """Return a name for each leaf of a structure.

    Example:
        >>> from chainrule.core import tree
        >>> names(tree.flatten((1, {"h": 2}))[1], "carry")
        ['carry[0]', "carry[1]['h']"]
    """
    if structure == tree.LEAF:
        return [root]
    kind, keys, parts = structure
    if kind is dict:
        steps = [f"[{key!r}]" for key in keys]
    elif hasattr(kind, "_fields"):
        steps = [f".{field}" for field in kind._fields]
    else:
        steps = [f"[{i}]" for i in range(len(parts))]
    return [name for part, step in zip(parts, steps, strict=True) for name in names(part, root + step)]


def words(structure: Any, present: Any) -> str:
    """Return a structure in words."""
    if structure == tree.LEAF:
        return "tensor" if next(present) else "None"
    kind, keys, parts = structure
    inner = [words(part, present) for part in parts]
    if kind is dict:
        return "{" + ", ".join(f"{key!r}: {part}" for key, part in zip(keys, inner, strict=True)) + "}"
    if kind is list:
        return f"[{', '.join(inner)}]"
    if hasattr(kind, "_fields"):
        return f"{kind.__name__}({', '.join(f'{f}={part}' for f, part in zip(kind._fields, inner, strict=True))})"
    return f"({', '.join(inner)}{',' if len(inner) == 1 else ''})"


def check_carry(name: str, before: Leaves, after: Leaves) -> None:
    """Require that a carry keeps its containers, shapes and dtypes.

    Raises:
        TraceError: other containers.
        ShapeError, DTypeError: a leaf with another shape or dtype; the message names it.
    """
    if not before.same_containers(after):
        raise TraceError(
            f"{name}: the carry must keep its containers; it came in as {before.words()} "
            f"and went out as {after.words()}.",
            location=user_location(),
        )
    check_types(
        f"{name}: the carry must keep its shapes and dtypes",
        *("came in as", "and went out as"),
        before,
        after,
        "carry",
        "give the initial value that type, or convert what the body returns",
    )


def check_types(rule: str, was: str, now: str, before: Leaves, after: Leaves, root: str, way_out: str) -> None:
    """Require equal types, leaf by leaf."""
    for name, a, b in zip(before.names(root), before.tensors, after.tensors, strict=True):
        if a.shape != b.shape or a.dtype is not b.dtype:
            kind = DTypeError if a.shape == b.shape else ShapeError
            raise kind(f"{rule}; {name} {was} {type_of(a)} {now} {type_of(b)}: {way_out}.", location=user_location())


def one_bool(rule: str, value: Any, way_out: str) -> Tensor:
    """Return a condition as a tensor.

    Raises:
        TraceError: it is no single bool.
    """
    if not isinstance(value, Tensor) and not hasattr(value, "dtype") and not isinstance(value, bool):
        raise TraceError(f"{rule}; got {type(value).__name__}: {way_out}.", location=user_location())
    tensor = as_tensor(value)
    if tensor.shape != () or tensor.dtype.name != "bool":
        raise TraceError(f"{rule}; got {type_of(tensor)}: {way_out}.", location=user_location())
    return tensor

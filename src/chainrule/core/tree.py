"""Nested containers of tensors: taking them apart into leaves and putting them together again.

Containers are tuples (named ones too), lists and dictionaries; anything else is a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["flatten", "map_leaves", "unflatten"]

LEAF = "*"


def flatten(tree: Any) -> tuple[list[Any], Hashable]:
    """Return the leaves in order, and a hashable structure for `unflatten`.

    Example:
        >>> flatten({"a": (1, 2), "b": 3})
        ([1, 2, 3], (<class 'dict'>, ('a', 'b'), ((<class 'tuple'>, None, ('*', '*')), '*')))
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Hashable:
    kind = type(tree)
    if kind is tuple or kind is list or (isinstance(tree, tuple) and hasattr(kind, "_fields")):
        return kind, None, tuple([_flatten(item, leaves) for item in tree])
    if kind is dict:
        return dict, tuple(tree), tuple([_flatten(item, leaves) for item in tree.values()])
    leaves.append(tree)
    return LEAF


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """Put leaves together as `structure` says; the inverse of `flatten`.

    Example:
        >>> leaves, structure = flatten([1, (2,)])
        >>> unflatten(structure, leaves)
        [1, (2,)]
    """
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Any, leaves: Any) -> Any:
    if structure == LEAF:
        return next(leaves)
    kind, keys, parts = structure
    items = [_unflatten(part, leaves) for part in parts]
    if kind is dict:
        return dict(zip(keys, items, strict=True))
    return kind(*items) if hasattr(kind, "_fields") else kind(items)


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return the same containers with `function` applied to every leaf.

    Example:
        >>> map_leaves(lambda n: n + 1, {"a": [1, 2]})
        {'a': [2, 3]}
    """
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(leaf) for leaf in leaves])

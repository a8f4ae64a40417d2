"""The canonical form of a graph: bytes that are equal where two graphs mean the same, and the name of its code on disk.

It holds what code is made from: operations, types, attributes, the graphs inside them, the content of constants, and
which output may take over which input. It holds nothing of where a graph comes from: neither lines nor names, labels or
identities. So a step that is traced again, in another process, on another day, has the same form.

    i f32[2,3] f32[3]
    add 0,1 -> f32[2,3]                 values are numbers in the order in which they appear
    sum 2 axis=(0,) keepdims=False -> f32[3]
    o 3

A graph that holds what has no canonical form (a primitive of the user's own, whose source nobody hashes) has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.core.dtypes import DType
from chainrule.core.graph import Graph, Variable
from chainrule.core.lowering import Lowering
from chainrule.core.primitive import PRIMITIVES, Primitive, TensorType

__all__ = ["Canonical", "canonical"]

_PLAIN = frozenset((int, float, bool, complex, str, type(None)))  # their repr is exact
LARGE = 1 << 16  # bytes
_PACKAGES = ("chainrule", "numpy", "ml_dtypes", "functools", "builtins")  # whose versions the cache's names hold


class _Unknown(Exception):
    """Something without a canonical form."""


@dataclass(frozen=True)
class Canonical:
    """A graph in canonical form.

    Attributes:
        material: the bytes.
        constants: its constants in the order of their first use, each content once.
    """

    material: bytes
    constants: tuple[np.ndarray, ...]


def canonical(graph: Graph, takes: Mapping[int, int], fixed: Collection[int] = ()) -> Canonical | None:
    """Return a graph's canonical form.

    Args:
        graph: as traced, before the passes.
        takes: which output may be written over which input.
        fixed: inputs that are state which the step does not assign.

    Returns:
        The form, or None where the graph has none.

    Example:
        >>> import chainrule as cr
        >>> step = cr.jit(lambda x: x + x)
        >>> _ = step(cr.ones(2))
        >>> print(canonical(step.graph(), {}).material.decode())
        takes
        i f32[2]
        add 0,0 -> f32[2]
        o 1
    """
    writer = _Writer()
    try:
        pairs = "".join(f" {a}:{b}" for a, b in sorted(takes.items()))
        state = f" fixed {' '.join(map(str, sorted(fixed)))}" if fixed else ""
        text = f"takes{pairs}{state}\n{writer.graph(graph)}"
    except _Unknown:
        return None
    tail = "".join(f"\nc {digest}" for digest in writer.digests)
    return Canonical((text + tail).encode(), tuple(writer.constants))


class _Writer:
    def __init__(self) -> None:
        self.types: dict[TensorType, str] = {}
        self.digests: dict[str, int] = {}  # numbers of constants, by content
        self.constants: list[np.ndarray] = []
        self.known: dict[Variable, str] = {}
        self.graphs: dict[Graph, str] = {}
        self.names: dict[Primitive, str] = {}

    def name(self, p: Primitive) -> str:
        """Return the name of a primitive that is chainrule's own; the sources of others are not looked at."""
        text = self.names.get(p)
        if text is None:
            if PRIMITIVES.get(p.name) is not p or not all(map(_is_ours, (p.reference, *_rules(p.lower)))):
                raise _Unknown
            text = self.names[p] = p.name
        return text

    def type(self, type: TensorType) -> str:
        text = self.types.get(type)
        if text is None:
            text = self.types[type] = str(type)
        return text

    def graph(self, graph: Graph) -> str:
        """Return the lines of a graph."""
        names: dict[Variable, str] = {}
        for v in graph.inputs:
            names[v] = str(len(names))
        lines = [" ".join(["i", *[self.type(v.type) for v in graph.inputs]])]
        for e in graph.equations:
            parts = [self.name(e.primitive)]
            parts.append(",".join([names.get(v) or self.constant(v) for v in e.inputs]))
            for key, value in e.attributes.items():
                opaque = e.primitive.effect and e.primitive.lower is None  # only its own reference looks at it
                parts.append(f"{key}={self.attribute(value, opaque)}")
            parts.append("->")
            for v in e.outputs:
                parts.append(self.type(v.type))
                names[v] = str(len(names))
            lines.append(" ".join(parts))
        lines.append("o " + ",".join([names.get(v) or self.constant(v) for v in graph.outputs]))
        return "\n".join(lines)

    def constant(self, v: Variable) -> str:
        """Return the number of a constant among those of different content."""
        found = self.known.get(v)
        if found is None:
            if v.constant is None:
                raise _Unknown  # a value of another graph
            number = self.digests.setdefault(f"{self.type(v.type)} {_digest(v.constant)}", len(self.constants))
            if number == len(self.constants):
                self.constants.append(v.constant)
            found = self.known[v] = f"c{number}"
        return found

    def attribute(self, value: Any, opaque: bool = False) -> str:
        """Return the exact text of an attribute."""
        kind = type(value)
        if kind in _PLAIN:
            return repr(value)
        if kind is tuple or kind is list:
            return f"{kind.__name__[0]}({','.join([self.attribute(item) for item in value])})"
        if kind is DType:
            return value.short
        if isinstance(value, Graph):  # or the body of a loop
            text = self.graphs.get(value)
            if text is None:
                whole = hashlib.sha256(self.graph(value).encode()).hexdigest()
                text = self.graphs[value] = f"graph {whole}"
            return text
        if isinstance(value, (np.generic, np.dtype)):
            return repr(value)
        if kind is slice:
            return f"slice({','.join(map(self.attribute, (value.start, value.stop, value.step)))})"
        if opaque:
            return kind.__qualname__
        raise _Unknown


def _digest(array: np.ndarray) -> str:
    """Return a digest of an array's elements; of a large one, what a stride of 0 repeats is looked at once."""
    shape = ""
    if array.nbytes > LARGE and not all(array.strides):
        array = array[tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)]
        shape = f" of {array.shape}"
    if array.nbytes <= 16:
        return array.tobytes().hex() + shape
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data).hexdigest() + shape


def _rules(lower: Lowering | None) -> list[Any]:
    return [] if lower is None else [value for value in vars(lower).values() if callable(value)]


def _is_ours(function: Any) -> bool:
    function = getattr(function, "func", function)  # of a partial
    module = getattr(function, "__module__", None) or type(function).__module__
    return module.partition(".")[0] in _PACKAGES

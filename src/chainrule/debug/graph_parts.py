"""What a picture of a computation is made of: values, operations, the edges between them, and the calls around them.

Three collectors fill these parts: `graph_collect` from a run, `graph_tape` from a finished result, `graph_traced` from
a traced step. What a collector does not know is None, and is not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.core.primitive import TensorType

__all__ = ["Call", "Computation", "Input", "Local", "Operation", "Value"]


@dataclass(eq=False)
class Value:
    """One tensor of the computation.

    Attributes:
        type: shape and dtype.
        array: its data, if known.
        gradient: of the result in this tensor, all paths together, if known.
        name: what the user calls it.
        kind: "argument", "parameter", "constant", or "made" by an operation.
    """

    type: TensorType
    array: np.ndarray | None = None
    gradient: np.ndarray | None = None
    name: str = ""
    kind: str = "made"


@dataclass(frozen=True, eq=False)
class Local:
    """The local derivative of an operation by one input.

    Attributes:
        words: what happens to the upstream gradient, for operations that work on whole tensors.
        array: the derivative of each element of the output by the element of the input it was made from; None where
            words say it.
    """

    words: str
    array: np.ndarray | None = None


@dataclass(eq=False)
class Input:
    """An edge: a value that goes into an operation, and what comes back along it.

    Attributes:
        value: what goes in.
        down: the gradient that goes back: upstream gradient times local derivative.
        local: the local derivative.
    """

    value: Value
    down: np.ndarray | None = None
    local: Local | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module, or one passage through a `cr.debug.block`.

    Attributes:
        path: the module's path, like "encoder.0"; empty for the outermost.
        kind: its class, or the name of the block.
        text: the layer as it is written, like "Linear(784, 64)".
        parameters: how many numbers it trains.
        layer: whether it has no modules inside.
    """

    path: str
    kind: str
    text: str = ""
    parameters: int = 0
    layer: bool = True


@dataclass(eq=False)
class Operation:
    """One operation with its inputs and outputs.

    Attributes:
        name: of the primitive, or of the block with a hard-coded derivative.
        inputs: the edges into it.
        outputs: the values that it made.
        attributes: its settings.
        elementwise: whether it works on each element for itself.
        source: the user's line.
        calls: the calls it happened in, outermost first.
    """

    name: str
    inputs: list[Input]
    outputs: list[Value]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    elementwise: bool = False
    source: str = ""
    calls: tuple[Call, ...] = ()


@dataclass(eq=False)
class Computation:
    """A whole computation, operations in order.

    Attributes:
        name: of the function.
        operations: in the order in which they ran.
        results: what came out, with their names.
        arguments: what was put in.
        notes: what is not known, and why.
    """

    name: str
    operations: list[Operation]
    results: list[tuple[str, Value]]
    arguments: list[Value] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def values(self) -> list[Value]:
        """Return every value once: arguments, what operations read and made, results."""
        found: dict[Value, None] = dict.fromkeys(self.arguments)
        for operation in self.operations:
            found.update(dict.fromkeys(edge.value for edge in operation.inputs))
            found.update(dict.fromkeys(operation.outputs))
        found.update(dict.fromkeys(value for _, value in self.results))
        return list(found)

    def without_dead_ends(self) -> Computation:
        """Return this computation without operations whose outputs reach no result."""
        needed = {value for _, value in self.results}
        kept = []
        for operation in reversed(self.operations):
            if any(value in needed for value in operation.outputs):
                needed.update(edge.value for edge in operation.inputs)
                kept.append(operation)
        self.operations = kept[::-1]
        self.arguments = [value for value in self.arguments if value in needed]
        return self

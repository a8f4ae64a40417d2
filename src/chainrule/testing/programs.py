"""Random programs: straight lines of up to 30 operations, for comparing gradients with another library.

A program is made from its seed alone, and evaluated while it is made: a step whose inputs are outside an operation's
domain, or near a kink, a tie or a pole, or whose result is large, is not taken. So both libraries take the same side
everywhere, and rounding stays small. `print(random_program(seed))` shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.context import no_grad
from chainrule.core.tensor import Tensor
from chainrule.testing._program_operations import OPERATIONS, Attributes, fitting

__all__ = ["Program", "Step", "random_program"]

LONGEST = 30
SHAPES = [(), (3,), (4,), (2, 3), (3, 4), (3, 3), (4, 3), (1, 4), (2, 3, 4), (2, 3, 5), (4, 3, 2)]
LARGEST = 20.0  # of an element
MOST = 200  # elements of a result


class Step(NamedTuple):
    """One operation of a program.

    Args:
        operation: its name.
        inputs: numbers of earlier values.
        attributes: of the operation.
    """

    operation: str
    inputs: tuple[int, ...]
    attributes: Attributes


class Program:
    """Values numbered from 0: first the leaves, then the result of each step.

    Args:
        seed: what it was made from.
        leaves: float64 arrays.
        steps: the operations.
        weights: value number -> what it is multiplied with in the scalar result; values that no step uses.

    Example:
        >>> import numpy as np
        >>> from chainrule.testing import Program
        >>> from chainrule.testing.programs import Step
        >>> print(Program(0, [np.ones(3)], [Step("exp", (0,), {})], {1: np.ones(3)}))
        random_program(0): 1 operations
          x0 = leaf (3,)
          x1 = exp(x0)
          result = <x1, w>
    """

    def __init__(
        self, seed: int, leaves: Sequence[np.ndarray], steps: Sequence[Step], weights: Mapping[int, np.ndarray]
    ):
        self.seed, self.leaves, self.steps, self.weights = seed, list(leaves), list(steps), dict(weights)

    def __str__(self) -> str:
        lines = [f"random_program({self.seed}): {len(self.steps)} operations"]
        lines += [f"  x{i} = leaf {leaf.shape}" for i, leaf in enumerate(self.leaves)]
        for i, step in enumerate(self.steps, len(self.leaves)):
            words = [*(f"x{j}" for j in step.inputs), *(f"{k}={v}" for k, v in step.attributes.items())]
            lines.append(f"  x{i} = {step.operation}({', '.join(words)})")
        return "\n".join([*lines, f"  result = <x{', w> + <x'.join(map(str, self.weights))}, w>"])

    def run(self, leaves: Sequence[Any], table: Mapping[str, Callable[..., Any]] | None = None) -> list[Any]:
        """Return the values that the scalar result is made of.

        Args:
            leaves: tensors of any library, like `self.leaves`.
            table: operation -> function of tensors and attributes; default chainrule's.

        Returns:
            One tensor per entry of `weights`.

        Example:
            >>> import chainrule as cr
            >>> from chainrule.testing.programs import random_program
            >>> program = random_program(3)
            >>> outputs = program.run([cr.asarray(leaf) for leaf in program.leaves])
            >>> [out.shape for out in outputs] == [w.shape for w in program.weights.values()]
            True
        """
        values = list(leaves)
        for step in self.steps:
            apply = OPERATIONS[step.operation].apply if table is None else table[step.operation]
            values.append(apply(*(values[i] for i in step.inputs), **step.attributes))
        return [values[i] for i in self.weights]

    def scalar(self, *leaves: Tensor) -> Tensor:
        """Return the scalar result of the program in chainrule; a function for `grad` and its like.

        Args:
            leaves: tensors like `self.leaves`.
        """
        parts = [(out * Tensor(w)).sum() for out, w in zip(self.run(leaves), self.weights.values(), strict=True)]
        return sum(parts[1:], start=parts[0])


def random_program(seed: int, length: int | None = None) -> Program:
    """Return the program of a seed.

    Args:
        seed: >= 0.
        length: number of operations; default drawn from 1 to 30.

    Returns:
        The program.

    Example:
        >>> from chainrule.testing.programs import random_program
        >>> len(random_program(0, length=5).steps)
        5
    """
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, LONGEST + 1)) if length is None else length
    shapes = [SHAPES[i] for i in rng.integers(0, len(SHAPES), int(rng.integers(2, 5)))]
    leaves = [np.asarray(rng.uniform(-2.0, 2.0, shape)) for shape in shapes]
    values: list[Any] = list(leaves)
    steps: list[Any] = []
    names = list(OPERATIONS)
    while len(steps) < length:
        name = names[rng.integers(len(names))]
        recent = rng.random() < 0.6  # depth: build on the newest values rather than on any
        pool = range(max(0, len(values) - 3), len(values)) if recent else range(len(values))
        inputs = tuple(int(i) for i in rng.choice(list(pool), OPERATIONS[name].arity))
        found = _tried(name, inputs, values, rng)
        if found is not None:
            step, value = found
            steps.append(step)
            values.append(value)
    used = {i for step in steps for i in step.inputs}
    ends = [i for i in range(len(leaves), len(values)) if i not in used]
    return Program(seed, leaves, steps, {i: np.asarray(rng.uniform(-1.0, 1.0, values[i].shape)) for i in ends})


def _tried(
    name: str, inputs: tuple[int, ...], values: list[np.ndarray], rng: np.random.Generator
) -> tuple[Step, np.ndarray] | None:
    """Return a step and its value, if the operation takes these inputs safely."""
    arrays = [values[i] for i in inputs]
    attributes = fitting(name, rng, [x.shape for x in arrays])
    if attributes is None or not OPERATIONS[name].safe(*arrays, **attributes):
        return None
    with no_grad():
        value = OPERATIONS[name].apply(*map(Tensor, arrays), **attributes).numpy()
    small = 0 < value.size <= MOST and np.isfinite(value).all() and np.abs(value).max() <= LARGEST
    return (Step(name, inputs, attributes), value) if small else None

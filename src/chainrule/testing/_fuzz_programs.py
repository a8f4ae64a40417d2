"""Random training steps for the compiler: a program of a seed, traced with its gradients and its state updates.

Leaves are arguments, parameters (with an optimizer) and state that the step assigns. The trace is that of `cr.jit`, so
graphs have captured state, outputs that take over memory, outputs that occur twice, or that are inputs and constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.compiler.trace import trace
from chainrule.core import tree
from chainrule.core.context import enable_grad, no_grad
from chainrule.core.dtypes import bfloat16
from chainrule.core.errors import ChainruleError
from chainrule.core.graph import Graph
from chainrule.core.precision import Operands
from chainrule.core.tensor import Parameter, Tensor
from chainrule.testing import _fuzz_shapes  # noqa: F401 - registers makers
from chainrule.testing._fuzz_operations import MAKERS, MOST, Pool, random_array, random_shape, sane

__all__ = ["LONGEST", "Case", "random_case"]

LONGEST = 40
FAMILIES = {
    "elementwise": 8,
    "choices": 4,
    "casts": 0.8,
    "reductions": 4,
    "norms": 1.5,
    "views": 5,
    "gathers": 2,
    "products": 3,
    "windows": 4,
}
DTYPES = ("float32",) * 12 + ("float64", "bfloat16", "int32", "int64", "uint8", "bool")
WIDE = ((50, 70), (70, 90), (2, 40, 9, 9), (3, 40, 41), (97, 40), (40, 45, 3, 3))


@dataclass
class Case:
    """A traced step and values for its inputs.

    Args:
        seed: of the program.
        graph: as traced.
        takes: which output may be written over which input.
        arrays: one per graph input.
        wide: whether its sizes go beyond three register tiles.
    """

    seed: int
    graph: Graph
    takes: dict[int, int]
    arrays: list[np.ndarray]
    wide: bool = False


@dataclass
class _Program:
    """The leaves, the operations and the ends of one seed; `step` is what is traced."""

    rng: np.random.Generator
    leaves: list[Tensor] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    steps: list[tuple[tuple[int, ...], Callable[..., Any]]] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    weights: dict[int, Tensor] = field(default_factory=dict)
    updates: dict[int, int] = field(default_factory=dict)
    mode: str = "forward"
    optimizer: Any = None
    constant: Tensor | None = None

    def forward(self, arguments: tuple[Tensor, ...]) -> list[Any]:
        """Return all values of the program."""
        given = iter(arguments)
        both = zip(self.roles, self.leaves, strict=True)
        values: list[Any] = [next(given) if role == "argument" else x for role, x in both]
        for inputs, function in self.steps:
            values.append(function(*(values[i] for i in inputs)))
        return values

    def loss(self, values: list[Any]) -> Tensor:
        """Return the weighted sum of the ends."""
        return sum(((values[n].astype(cr.float32) * w).sum() for n, w in self.weights.items()), start=cr.zeros(()))

    def step(self, *arguments: Tensor) -> Any:
        """Run the program, its gradients, its optimizer and its updates of state."""
        values = self.forward(arguments)
        results: list[Any] = [values[n] for n in self.shown]
        if self.mode == "train":
            loss = self.loss(values)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            results.append(loss.detach())
        elif self.mode == "grad":
            places = tuple(i for i, x in enumerate(arguments) if x.dtype.is_float)
            results += cr.grad(lambda *a: self.loss(self.forward(a)), argnums=places)(*arguments)
        new = {n: values[source] for n, source in self.updates.items()}
        for n, value in new.items():
            self.leaves[n].assign_(value)
        return [*results, *([] if self.constant is None else [self.constant])]


def random_case(seed: int) -> Case | None:
    """Return the traced step of a seed, or None where the trace refuses it.

    Args:
        seed: >= 0; one in ten is wide, one in twenty multiplies in bfloat16.
    """
    rng = np.random.default_rng(seed)
    cr.manual_seed(seed)
    pool = Pool(rng, wide=seed % 10 == 9)
    program = _Program(rng)
    _leaves(program, pool)
    _operations(program, pool, int(1 + (LONGEST - 1) * rng.random() ** 1.5))
    _ends(program, pool)
    arguments = tuple(x for x, role in zip(program.leaves, program.roles, strict=True) if role == "argument")
    leaves, structure = tree.flatten((arguments, {}))
    with enable_grad(), Operands(bfloat16 if seed % 20 == 7 else None):
        try:
            variant = trace(program.step, "step", (), leaves, structure, False)
        except ChainruleError:
            return None
    arrays = [np.array(variant._input(place, leaves)) for place in variant.sources]
    return Case(seed, variant.graph, variant._takes(), arrays, pool.wide)


def _leaves(program: _Program, pool: Pool) -> None:
    rng = program.rng
    for number in range(int(rng.integers(2, 5))):
        dtype = "float32" if number == 0 else str(rng.choice(DTYPES))
        shape = random_shape(rng)
        if pool.wide and number < 3:
            dtype, shape = "float32", WIDE[rng.integers(len(WIDE))]
        elif number and rng.random() < 0.4:
            shape = pool.values[-1].shape
        role = str(rng.choice(["argument", "argument", "parameter", "state"]))
        leaf = Tensor(random_array(rng, shape, dtype))
        if role == "parameter":
            role = role if leaf.dtype.is_float else "argument"
            leaf = Parameter(leaf) if role == "parameter" else leaf
        program.leaves.append(leaf)
        program.roles.append(role)
        pool.values.append(leaf.detach())


def _operations(program: _Program, pool: Pool, length: int) -> None:
    rng = program.rng
    names, chances = list(FAMILIES), np.array(list(FAMILIES.values()))
    if rng.random() < 0.5:  # a taste of its own: some graphs are all windows, others all reductions
        chances = chances * rng.exponential(1.0, len(names)) ** 2
    for _ in range(4 * length):
        if len(program.steps) == length:
            return
        family = MAKERS[str(rng.choice(names, p=chances / chances.sum()))]
        made = family[rng.integers(len(family))](pool)
        if made is None:
            continue
        inputs, function = made
        try:
            with no_grad():
                value = function(*(pool.values[i] for i in inputs))
        except ChainruleError:
            continue  # it refuses this dtype or shape
        if not isinstance(value, Tensor) or not sane(value) or value.ndim > 6:
            continue
        program.steps.append(made)
        pool.values.append(value)


def _behind(program: _Program, values: list[int]) -> set[int]:
    """Return the values that others are made of, these included."""
    found = set(values)
    for number in range(len(program.leaves) + len(program.steps) - 1, len(program.leaves) - 1, -1):
        if number in found:
            found.update(program.steps[number - len(program.leaves)][0])
    return found


def _ends(program: _Program, pool: Pool) -> None:
    rng, values, first = program.rng, pool.values, len(program.leaves)
    made = range(first, len(values))
    used = {i for inputs, _ in program.steps for i in inputs}
    floats = [n for n in made if values[n].dtype.is_float]
    ends = [n for n in floats if n not in used] or floats[-1:]
    program.weights = {n: Tensor(random_array(rng, values[n].shape, "float32")) for n in ends[-4:]}
    behind = _behind(program, list(program.weights))
    parameters = [x for n, x in enumerate(program.leaves) if isinstance(x, Parameter) and n in behind]
    if ends and rng.random() < 0.75:
        program.mode = "train" if parameters else "grad"
    if program.mode == "train":
        kind = str(rng.choice(["SGD", "SGD", "Adam", "AdamW", "RMSprop"]))
        options = {"momentum": 0.9} if kind == "SGD" and rng.random() < 0.5 else {}
        program.optimizer = getattr(cr.optim, kind)(parameters, lr=0.01, **options)
    shown = [n for n in range(len(values)) if rng.random() < (0.15 if n >= first else 0.05)]
    program.shown = shown or [len(values) - 1]
    if rng.random() < 0.15:
        program.shown.append(program.shown[0])
    if rng.random() < 0.1:
        program.constant = Tensor(random_array(rng, (3,), "float32"))
    for n, role in enumerate(program.roles):
        like = [m for m, v in enumerate(values) if v.shape == values[n].shape and v.dtype == values[n].dtype and m != n]
        if role == "state" and like and values[n].size <= MOST:
            program.updates[n] = int(rng.choice(like))

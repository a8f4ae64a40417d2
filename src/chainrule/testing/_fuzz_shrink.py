"""Making a failing graph small: outputs go, equations become inputs that hold their values, as long as it fails.

Each try runs in a child of its own, for it may end its process; what counts is that it fails, not how.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.compiler.passes import simplify, without_dead_code
from chainrule.core.graph import Equation, Graph, Variable
from chainrule.testing._fuzz_checks import Tolerances, check_native, check_passes

__all__ = ["Small", "shrink"]

PATIENCE = 60  # seconds that one try may take


@dataclass
class Small:
    """A graph with values and what its outputs may take over.

    Args:
        graph: the graph.
        arrays: one per input.
        takes: which output may be written over which input.
    """

    graph: Graph
    arrays: list[np.ndarray]
    takes: dict[int, int]

    def __str__(self) -> str:
        takes = f"\ntakes {self.takes}" if self.takes else ""
        inputs = "\n".join(
            f"input {n}: {' '.join(np.array2string(x, threshold=8, edgeitems=2, precision=4).split())[:120]}"
            for n, x in enumerate(self.arrays)
        )
        return f"{self.graph}{takes}\n{inputs}"


def shrink(graph: Graph, arrays: Sequence[np.ndarray], takes: dict[int, int], stage: str) -> Small:
    """Return a smaller graph that fails in the same stage.

    Args:
        graph: as traced.
        arrays: its inputs.
        takes: which output may be written over which input.
        stage: "pass ..." shrinks the graph before the passes; anything else after them.
    """
    in_pass = stage.startswith("pass")
    small = Small(graph if in_pass else simplify(graph), list(arrays), dict(takes))

    def fails(candidate: Small) -> bool:
        def run() -> None:
            tolerances = Tolerances(candidate.graph, candidate.arrays, 16)
            if in_pass:
                check_passes(candidate.graph, candidate.arrays, tolerances)
            else:
                check_native(candidate.graph, candidate.arrays, candidate.takes, tolerances)

        return _fails_in_child(run)

    if not fails(small):
        return small
    size = -1
    while size != len(small.graph.equations):
        size = len(small.graph.equations)
        small = _fewer_outputs(small, fails)
        small = _fewer_equations(small, fails)
    return small


def _fails_in_child(run: Callable[[], object]) -> bool:
    child = os.fork()
    if child == 0:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        signal.alarm(PATIENCE)
        try:
            run()
        except BaseException:  # any failure is one
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status != 0


def _fewer_outputs(small: Small, fails: Callable[[Small], bool]) -> Small:
    outputs = list(range(len(small.graph.outputs)))
    for number in outputs:
        only = _with_outputs(small, [number])
        if fails(only):
            return only
    for number in list(outputs):
        rest = [n for n in outputs if n != number]
        if rest and fails(_with_outputs(small, rest)):
            outputs = rest
    return _with_outputs(small, outputs)


def _with_outputs(small: Small, numbers: list[int]) -> Small:
    graph = small.graph
    kept = Graph(graph.name, graph.inputs, graph.equations, tuple(graph.outputs[n] for n in numbers), graph.labels)
    takes = {place: small.takes[n] for place, n in enumerate(numbers) if n in small.takes}
    return _tidy(Small(without_dead_code(kept), small.arrays, takes))


def _fewer_equations(small: Small, fails: Callable[[Small], bool]) -> Small:
    step = max(1, len(small.graph.equations) // 2)
    while True:
        start = 0
        while start < len(small.graph.equations):
            candidate = _without(small, small.graph.equations[start : start + step])
            if candidate is not None and fails(candidate):
                small = candidate
            else:
                start += step
        if step == 1:
            return small
        step = max(1, step // 2)


def _without(small: Small, gone: Iterable[Equation]) -> Small | None:
    """Return the graph with the results of some equations as inputs."""
    graph, cut = small.graph, set(gone)
    values: dict[Variable, np.ndarray] = dict(zip(graph.inputs, small.arrays, strict=True))
    for e in graph.equations:
        given = [values[v] if v.constant is None else v.constant for v in e.inputs]
        values.update(zip(e.outputs, e.primitive.run(given, dict(e.attributes)), strict=True))
    made = [v for e in graph.equations if e in cut for v in e.outputs]
    if any(v in graph.outputs for v in made) and len(graph.outputs) > 1:
        return None
    inputs = (*graph.inputs, *made)
    rest = tuple(e for e in graph.equations if e not in cut)
    labels = (*graph.labels, *(f"cut{n}" for n in range(len(made))))[: len(inputs)] if graph.labels else ()
    kept = without_dead_code(Graph(graph.name, inputs, rest, graph.outputs, labels))
    return _tidy(Small(kept, [*small.arrays, *(values[v] for v in made)], small.takes))


def _tidy(small: Small) -> Small:
    """Drop inputs that nobody reads, for the graph to be read."""
    graph = small.graph
    read = {v for e in graph.equations for v in e.inputs} | set(graph.outputs)
    kept = [n for n, v in enumerate(graph.inputs) if v in read or n in small.takes.values()]
    place = {n: i for i, n in enumerate(kept)}
    takes = {out: place[n] for out, n in small.takes.items()}
    inputs = tuple(graph.inputs[n] for n in kept)
    return Small(Graph(graph.name, inputs, graph.equations, graph.outputs), [small.arrays[n] for n in kept], takes)

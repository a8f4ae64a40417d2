"""From a traced graph to something callable: native code, or the references where this system runs none."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from chainrule.compiler.executor import ReferenceExecutor
from chainrule.core.errors import MachineError, notice
from chainrule.core.graph import Graph

__all__ = ["executor_for", "references", "uses_references"]

_forced = False


def executor_for(graph: Graph, takes: Mapping[int, int], fixed: Collection[int] = ()) -> Any:
    """Return a graph made callable on arrays.

    Args:
        graph: a traced, checked graph.
        takes: which output may be written over which input, if the caller owns that alone.
        fixed: inputs that are state which the step does not assign.

    Returns:
        A `NativeExecutor`, or a `ReferenceExecutor` where executable memory is refused; that is said once.
    """
    if _forced:
        return ReferenceExecutor(graph)
    from chainrule.compiler.plan import plan_for
    from chainrule.compiler.program import NativeExecutor

    try:
        return NativeExecutor(graph, plan_for(graph, takes, fixed))
    except MachineError as error:
        _warn(str(error))
        return ReferenceExecutor(graph)


@functools.cache
def _warn(text: str) -> None:
    notice(f"cr.jit runs the NumPy references, which are slow: {text}")


def uses_references(yes: bool) -> None:
    """Let `cr.jit` run the references from now on (True), or native code (False); for tests and benchmarks."""
    global _forced
    _forced = yes


@contextlib.contextmanager
def references() -> Iterator[None]:
    """Let `cr.jit` run the references inside a `with` block: the same bits as eager, for tests of tracing."""
    before = _forced
    uses_references(True)
    try:
        yield
    finally:
        uses_references(before)

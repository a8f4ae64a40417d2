"""Sequences: turns that run in order for each independent point, the last axis of a turn spread over vectors."""

from __future__ import annotations

import math

from chainrule.compiler.kernels import Loops, Sequence, Stage, Store
from chainrule.compiler.llvm.code import Code, flat
from chainrule.compiler.llvm.ir import Value
from chainrule.compiler.llvm.loops import Plan, emit_loops

__all__ = ["emit_sequence", "plan_sequence"]


def plan_sequence(kernel: Sequence, lanes: int) -> Plan:
    """Return how a sequence is cut: one unit per point of its independent axes.

    Args:
        kernel: from the scheduler.
        lanes: float32 lanes of a vector register.
    """
    done: dict = {}
    store = kernel.store
    address = store.view.address([flat(i, done) for i in store.at])
    stage = Stage(kernel.turns, [Store(store.view, (address,), flat(store.value, done))])
    units = math.prod(v.data[1] for v in kernel.outer)
    return Plan(Loops(list(kernel.equations)), kernel.outer, [stage], "rows", units, 0, lanes)


def emit_sequence(code: Code, plan: Plan, begin: Value, end: Value) -> None:
    """Write the units [begin, end) of a sequence."""
    emit_loops(code, plan, begin, end)

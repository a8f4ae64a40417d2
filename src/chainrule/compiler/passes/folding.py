"""Constant folding: what is known while compiling is computed then, by the primitives' references.

Only small results are folded, so that constants never make the graph large; a constant spread over a large shape stays
a `broadcast_to` of one number, and a range stays an `arange`, which compiled code counts by itself.
"""

from __future__ import annotations

import numpy as np

from chainrule.compiler.passes.rewriting import Rewriting, Rules, rewrite
from chainrule.core.errors import ChainruleError
from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["fold_constants"]

LARGEST = 4096  # elements of a folded result
RULES = Rules()


def fold_constants(graph: Graph) -> Graph:
    """Return the graph with small constant results computed.

    %0 = subtract(1.0, 0.1)
    %1 = multiply(x, %0)        ->    %0 = multiply(x, 0.9)
    """
    return rewrite(graph, RULES)


@RULES.on_all()
def _fold(rw: Rewriting, equation: Equation) -> tuple[Variable, ...] | None:
    inputs = equation.inputs
    if not inputs or any(v.constant is None for v in inputs):
        return None
    if equation.graphs:
        return None  # a loop may take any time
    if any(v.size > LARGEST for v in equation.outputs):
        return None
    if equation.primitive.name == "broadcast_to" and equation.outputs[0].size > max(1, inputs[0].size):
        return None
    kernel = equation.primitive.kernel([v.dtype for v in inputs])
    try:
        with np.errstate(all="ignore"):
            results = kernel(*[v.constant for v in inputs], **equation.attributes)
    except (ChainruleError, ArithmeticError, ValueError):
        return None  # the error belongs to the run
    return tuple([rw.constant(_kept(array)) for array in results])


def _kept(array: np.ndarray) -> np.ndarray:
    array = np.array(array, order="C")
    array.flags.writeable = False
    return array

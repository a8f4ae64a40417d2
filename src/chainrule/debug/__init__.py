"""Looking into a run: the picture of a computation, reverse mode step by step, and where a NaN or an infinity began.

What enters: a Python function, or a result that was recorded. What leaves: pictures, the steps of its backward pass,
and the module, operation and line of its first non-finite value.
"""

from chainrule.debug.backward_steps import BackwardPart, BackwardStep, trace_backward
from chainrule.debug.graph_calls import block
from chainrule.debug.graph_picture import GraphPicture, graph
from chainrule.debug.nan import Finding, debug_nans, find_nan
from chainrule.debug.symbolic import Formula, to_sympy

__all__ = [
    "BackwardPart",
    "BackwardStep",
    "Finding",
    "Formula",
    "GraphPicture",
    "block",
    "debug_nans",
    "find_nan",
    "graph",
    "to_sympy",
    "trace_backward",
]

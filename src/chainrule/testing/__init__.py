"""Beside the house: checks for users' own operations, and the ones chainrule's own tests run.

What enters: a primitive, or two results. What leaves: nothing, or an AssertionError that shows what differs and where.
`python -m chainrule.testing` runs the suite of all primitives and prints the counts.
"""

from chainrule.testing.compare import TOLERANCES, Tolerance, assert_close, assert_equal
from chainrule.testing.primitives import KINDS, Check, Tally, check_primitive, primitive_checks, run_checks
from chainrule.testing.samples import sample_tensors

__all__ = [
    "KINDS",
    "TOLERANCES",
    "Check",
    "Tally",
    "Tolerance",
    "assert_close",
    "assert_equal",
    "check_primitive",
    "primitive_checks",
    "run_checks",
    "sample_tensors",
]

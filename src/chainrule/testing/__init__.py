"""Beside the house: checks for users' own operations, and the ones chainrule's own tests run.

What enters: a primitive, or two results. What leaves: nothing, or an AssertionError that shows what differs and where.
`python -m chainrule.testing` runs the suite of all primitives and prints the counts.
"""

from chainrule.testing.compare import TOLERANCES, Tolerance, assert_close, assert_equal, assert_near
from chainrule.testing.contracts import CONTRACTS, check_module
from chainrule.testing.faults import Fault, fail_at
from chainrule.testing.primitives import KINDS, Check, Tally, check_primitive, primitive_checks, run_checks
from chainrule.testing.programs import Program, random_program
from chainrule.testing.samples import sample_tensors

__all__ = [
    "CONTRACTS",
    "KINDS",
    "TOLERANCES",
    "Check",
    "Fault",
    "Program",
    "Tally",
    "Tolerance",
    "assert_close",
    "assert_equal",
    "assert_near",
    "check_module",
    "check_primitive",
    "fail_at",
    "primitive_checks",
    "random_program",
    "run_checks",
    "sample_tensors",
]

"""Branches and loops on tensors: `cr.cond`, `cr.scan`, `cr.while_loop`.

What enters: Python functions and tensors. What leaves: eagerly, what Python's own `if`, `for` and `while` give; while
tracing, one equation whose attributes hold the graphs of the functions.
"""

from chainrule.compiler.control.cond import cond
from chainrule.compiler.control.loops import scan, while_loop

__all__ = ["cond", "scan", "while_loop"]

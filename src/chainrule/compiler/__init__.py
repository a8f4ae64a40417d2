"""Floor 4: a Python step becomes a graph, and the graph one callable.

What enters: a Python function of tensors. What leaves: a function with the same meaning that runs the traced graph.
Today the executor runs the primitives' NumPy references one after the other.
"""

from chainrule.compiler.jit import JitFunction, jit

__all__ = ["JitFunction", "jit"]

"""Floor 1: the Tensor, the gate `bind`, the tape, the Graph with its tracer, dtypes, errors and switches.

Nothing here knows an operation: primitives register themselves from `chainrule.ops`.
"""

"""The local derivative of one recorded operation by each of its inputs.

An elementwise operation has a number per element; an operation with one number as its result has a number per element
of its inputs. The derivative of any other operation is a matrix that nobody writes out: words say what it does to the
upstream gradient g.
"""

from __future__ import annotations

import numpy as np

from chainrule.core.dtypes import dtype_of
from chainrule.core.tape import FunctionNode, Node
from chainrule.core.tensor import Tensor
from chainrule.debug.graph_parts import Local
from chainrule.ops.creation import ones

__all__ = ["local_derivatives"]

_OPERATORS: dict[str, tuple[str, ...]] = {
    "matmul": ("g @ x2ᵀ", "x1ᵀ @ g"),
    "sum": ("g, given to every summand",),
    "max": ("g, to the largest element, shared at a tie",),
    "min": ("g, to the smallest element, shared at a tie",),
    "reshape": ("g, in the input's shape",),
    "permute_dims": ("g, with the axes put back",),
    "broadcast_to": ("g, summed over the copies",),
    "concat": ("the input's part of g",),
    "slice": ("g where it was taken from, 0 elsewhere",),
    "pad": ("g without the padding",),
    "flip": ("g, flipped back",),
    "gather": ("g, added where it was taken from", "none"),
    "take_along": ("g, added where it was taken from", "none"),
    "cumulative_sum": ("g, summed from the other end",),
    "convolution": ("g, correlated with the flipped kernel", "x, correlated with g"),
}
_ELEMENTWISE = "elementwise: g × derivative"


def local_derivatives(node: Node, limit: int | None = None) -> list[Local | None]:
    """Return the local derivative by each input of a recorded operation whose tape is not freed.

    Args:
        node: the operation.
        limit: most elements of an output for which numbers are computed, else words; default no limit.

    Returns:
        One per input, None where no gradient flows.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray(3.0).requires_grad_()
        >>> local_derivatives((x * x)._node)[0].array
        array(3., dtype=float32)
    """
    shape, _ = node.outputs[0]
    size = int(np.prod(shape, dtype=np.int64))
    wanted = [edge is not None for edge in node.edges]
    if isinstance(node, FunctionNode) or len(node.outputs) > 1:
        single = len(node.outputs) == 1 and size == 1
        arrays = _pulled(node, wanted) if single else [None] * len(wanted)
        return _together(arrays, [f"the derivative of the block {node.name}"] * len(wanted), wanted)
    words = _words(node)
    if limit is not None and size > limit:
        return _together([None] * len(wanted), words, wanted)
    if node.primitive.derivatives:
        rules = zip(node.primitive.rules, wanted, strict=True)
        arrays = [_array(node._apply(rule, ())) if wants else None for rule, wants in rules]
    elif node.primitive.elementwise or size == 1:
        arrays = _pulled(node, wanted)
    else:
        arrays = [None] * len(wanted)
    return _together(arrays, words, wanted)


def _pulled(node: Node, wanted: list[bool]) -> list[np.ndarray | None]:
    shape, dtype = node.outputs[0]
    found = node.pull([ones(shape, dtype=dtype_of(dtype))])
    return [_array(g) if wants and g is not None else None for g, wants in zip(found, wanted, strict=True)]


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor._value)


def _together(arrays: list, words: list[str], wanted: list[bool]) -> list[Local | None]:
    return [Local(w, a) if wants else None for a, w, wants in zip(arrays, words, wanted, strict=True)]


def _words(node: Node) -> list[str]:
    primitive, count = node.primitive, len(node.edges)
    if primitive.elementwise:
        return [_ELEMENTWISE] * count
    known = _OPERATORS.get(primitive.name)
    if known is not None:
        return [known[min(i, len(known) - 1)] for i in range(count)]
    return ["linear: its transpose, applied to g" if primitive.linear else "its gradient rule, applied to g"] * count

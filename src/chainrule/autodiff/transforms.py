"""Functions made into gradient functions: `grad`, `value_and_grad`, `vjp`.

Each call differentiates with respect to aliases made for it alone, so nested calls never confuse their variables:
d/dx [x * d/dy (x + y)] is 1. Source of the trap: Siskind and Pearlmutter, Perturbation Confusion, 2005.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.autodiff.backward import gradients
from chainrule.core import tree
from chainrule.core.bind import bind
from chainrule.core.context import enable_grad, local
from chainrule.core.errors import DTypeError, GradientError, IndexRangeError
from chainrule.core.primitive import PRIMITIVES
from chainrule.core.tape import Node, next_sequence, origin
from chainrule.core.tensor import Tensor, unrecorded
from chainrule.ops._inputs import as_tensor
from chainrule.ops.creation import zeros

__all__ = ["grad", "value_and_grad", "vjp"]


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Return a function that computes the gradient of a scalar function.

    Args:
        function: takes tensors (or nested containers of them), returns a scalar tensor.
        argnums: which positional arguments to differentiate by; default the first.
        has_aux: whether the function returns (scalar, extra); default False.

    Returns:
        A function with the same arguments that returns the gradient, shaped like the argument; a tuple of gradients for
        several argnums; with `has_aux`, (gradient, extra). It can be differentiated again.

    Raises:
        GradientError: the result is not a scalar tensor.
        DTypeError: an argument to differentiate by is not a float.

    Example:
        >>> import chainrule as cr
        >>> cr.grad(lambda x: x**3)(2.0)
        tensor(12., shape=(), dtype=float32)
        >>> cr.grad(cr.grad(lambda x: x**3))(2.0)
        tensor(12., shape=(), dtype=float32)
    """
    both = value_and_grad(function, argnums, has_aux)

    @functools.wraps(function)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that computes a scalar function's value and its gradient together.

    Args:
        function: takes tensors (or nested containers of them), returns a scalar tensor.
        argnums: which positional arguments to differentiate by; default the first.
        has_aux: whether the function returns (scalar, extra); default False.

    Returns:
        A function with the same arguments that returns (value, gradient), value being (scalar, extra) with `has_aux`.

    Raises:
        GradientError: the result is not a scalar tensor.
        DTypeError: an argument to differentiate by is not a float.

    Example:
        >>> import chainrule as cr
        >>> cr.value_and_grad(lambda x: x * x)(3.0)
        (tensor(9., shape=(), dtype=float32), tensor(6., shape=(), dtype=float32))
    """
    several = not isinstance(argnums, int)
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(function)
    def both(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        outer = local.grad
        with enable_grad():
            aliases = [_alias_argument(given, position) for position in wanted]
            result = function(*given, **kwargs)
        value, extra = result if has_aux else (result, None)
        if not isinstance(value, Tensor) or value.size != 1:
            kind = f"a tensor of shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise GradientError(
                f"grad needs a function that returns a scalar tensor; this one returned {kind}: add .sum() or .mean()."
            )
        found, connected = _pull([value], aliases, None, outer)
        gradient = tuple(found) if several else found[0]
        value = value if connected else unrecorded(value)
        return ((value, extra), gradient) if has_aux else (value, gradient)

    return both


def vjp(function: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple]]:
    """Return the function's result, and the function that pulls an upstream gradient back to the arguments.

    Args:
        function: takes and returns tensors or nested containers of tensors.
        args: where to evaluate.

    Returns:
        (result, pull): `pull(upstream)`, with `upstream` shaped like the result, returns a tuple of gradients.

    Raises:
        DTypeError: an argument is not a float.
        GradientError: the result holds something else than tensors.

    Example:
        >>> import chainrule as cr
        >>> y, pull = cr.vjp(lambda x: x * x, cr.asarray([1.0, 2.0]))
        >>> pull(cr.ones(2))
        (tensor([2., 4.], shape=(2,), dtype=float32),)
    """
    given, start = list(args), next_sequence()
    with enable_grad():
        aliases = [_alias_argument(given, position) for position in range(len(given))]
        result = function(*given)
    outputs, structure = tree.flatten(result)
    for out in outputs:
        if not isinstance(out, Tensor):
            raise GradientError(f"vjp needs a function that returns tensors; it returned {type(out).__name__}.")

    def pull(upstream: Any) -> tuple:
        seeds, given_structure = tree.flatten(upstream)
        if given_structure != structure:
            raise GradientError("vjp: the upstream gradient must have the containers of the result.")
        return tuple(_pull(outputs, aliases, seeds, local.grad)[0])

    return released(result, start), pull


def released(results: Any, start: int) -> Any:
    """Return tensors without their tape, where all that they depend on was made since `start`, a sequence number."""

    def alone(tensor: Tensor) -> bool:
        return tensor._node is not None and origin(tensor._node) > start

    return tree.map_leaves(lambda tensor: unrecorded(tensor) if alone(tensor) else tensor, results)


def _alias_argument(args: list[Any], position: int) -> tuple[list[Tensor], Any]:
    """Replace an argument by aliases that belong to this call alone; return them with their structure."""
    if not -len(args) <= position < len(args):
        raise IndexRangeError(f"argnums={position}, but the function was called with {len(args)} positional arguments.")
    leaves, structure = tree.flatten(args[position])
    aliases = []
    for leaf in leaves:
        x = as_tensor(leaf)
        if not x.dtype.is_inexact:
            raise DTypeError(
                f"only float arguments have gradients; argument {position} is {x.dtype.name}: use .astype(cr.float32)."
            )
        aliases.append(bind(PRIMITIVES["identity"], x) if x._node is not None else unrecorded(x).requires_grad_())
    args[position] = tree.unflatten(structure, aliases)
    return aliases, structure


def _pull(
    outputs: list[Tensor], aliases: list[tuple[list[Tensor], Any]], seeds: Any, outer: bool
) -> tuple[list[Any], bool]:
    """Return the gradients of the outputs by the aliases, and whether they are recorded for an outer derivative.

    The gradients have the arguments' containers; zeros stand where nothing depends.
    """
    inputs = [alias for group, _ in aliases for alias in group]
    live = [i for i, out in enumerate(outputs) if isinstance(out, Tensor) and out._node is not None]
    chosen = [outputs[i] for i in live]
    upstream = None if seeds is None else [seeds[i] for i in live]
    starts = [*(out._node for out in chosen), *(s._node for s in upstream or () if s._node)]
    create = outer and (local.transform is not None or _reaches_others(starts, inputs))
    found = (
        gradients(chosen, inputs, upstream, retain_graph=True, create_graph=create) if chosen else [None] * len(inputs)
    )
    filled = iter(
        [g if g is not None else zeros(alias.shape, dtype=alias.dtype) for g, alias in zip(found, inputs, strict=True)]
    )
    return [tree.unflatten(structure, [next(filled) for _ in group]) for group, structure in aliases], create


def _reaches_others(starts: list[Node], inputs: list[Tensor]) -> bool:
    """Return whether the tape behind `starts` ends anywhere but in aliases that are leaves of this call."""
    own = {tensor._node for tensor in inputs}
    seen: set[Node] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if not node.edges and node not in own:  # a leaf, or an input of a traced loop
            return True
        stack.extend(edge[0] for edge in node.edges if edge is not None)
    return False

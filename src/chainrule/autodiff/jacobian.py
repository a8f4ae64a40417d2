"""Derivatives of functions of many numbers: the whole Jacobian or Hessian, or its product with a direction.

    jacobian   [*output, *input]     rows by reverse mode, or columns by forward mode, all in one vmap
    hessian    the Jacobian of the gradient, forward over reverse
    hvp        the Hessian times a direction, at the cost of a few gradients
    linearize  the derivative at a point as a function, without computing the point again

Source: Griewank and Walther, Evaluating Derivatives, 2008, chapters 3 and 5; Pearlmutter 1994 for `hvp`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.autodiff.backward import gradients
from chainrule.autodiff.jvp import jvp
from chainrule.autodiff.transforms import grad, released, vjp
from chainrule.autodiff.vmap import vmap
from chainrule.core import tree
from chainrule.core.context import enable_grad, local
from chainrule.core.errors import DTypeError, GradientError, IndexRangeError, ShapeError
from chainrule.core.tape import next_sequence
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor
from chainrule.ops.creation import zeros
from chainrule.ops.shape import reshape
from chainrule.ops.triangle import eye

__all__ = ["hessian", "hvp", "jacobian", "linearize"]


def jacobian(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, mode: str = "reverse"
) -> Callable[..., Any]:
    """Return a function that computes all partial derivatives of a function.

        J[o, i] = d f(x)[o] / d x[i]

    Args:
        function: takes and returns tensors or nested containers of them.
        argnums: which positional arguments to differentiate by; default the first.
        mode: "reverse": one pass backward per number of the result; "forward": one pass forward per number of the
            arguments; default "reverse".

    Returns:
        A function with the same arguments. It returns the containers of the result, with a tensor [*output, *input] (or
        the argument's containers of such) in the place of each; for several argnums a tuple of them. It can be
        differentiated again.

    Raises:
        DTypeError: an argument to differentiate by, or a result, is not a float.
        ValueError: another mode.

    Example:
        >>> import chainrule as cr
        >>> cr.jacobian(lambda x: x * x)(cr.asarray([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]], shape=(2, 2), dtype=float32)
    """
    if mode not in ("reverse", "forward"):
        raise ValueError(f"jacobian.mode must be 'reverse' or 'forward'; got {mode!r}.")
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    parts = _rows if mode == "reverse" else _columns

    @functools.wraps(function)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        _check_positions(wanted, len(args))

        def of_chosen(*chosen: Any) -> Any:
            given = list(args)
            for position, part in zip(wanted, chosen, strict=True):
                given[position] = part
            return function(*given, **kwargs)

        start = next_sequence()
        structure, found = parts(of_chosen, tuple(args[position] for position in wanted))
        found = [released(block, start) for block in found]
        return tree.unflatten(structure, [block[0] if isinstance(argnums, int) else block for block in found])

    return derivative


def hessian(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return a function that computes all second partial derivatives of a scalar function.

        H[i, j] = d^2 f(x) / d x[i] d x[j]

    Args:
        function: takes tensors or nested containers of them, returns a scalar tensor.
        argnums: which positional arguments to differentiate by; default the first.

    Returns:
        A function with the same arguments that returns a tensor [*input, *input]; for several argnums a tuple of tuples
        of them. It can be differentiated again.

    Raises:
        GradientError: the result is not a scalar tensor.
        DTypeError: an argument to differentiate by is not a float.

    Example:
        >>> import chainrule as cr
        >>> cr.hessian(lambda x: (x**3).sum())(cr.asarray([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]], shape=(2, 2), dtype=float32)
    """
    return jacobian(grad(function, argnums), argnums, "forward")


def hvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple:
    """Return the Hessian of a scalar function times a direction, without the Hessian.

        H(x) t = d/de grad f(x + e t)   at e = 0

    Args:
        function: takes tensors or nested containers of them, returns a scalar tensor.
        primals: tuple of the positional arguments: where to evaluate.
        tangents: tuple of directions, shaped like the arguments.

    Returns:
        Tuple shaped like the arguments.

    Raises:
        GradientError: the result is not a scalar tensor.
        DTypeError: an argument is not a float.
        ShapeError: a direction does not have the shape of its argument.

    Example:
        >>> import chainrule as cr
        >>> cr.hvp(lambda x: (x**3).sum(), (cr.asarray([1.0, 2.0]),), (cr.asarray([1.0, 1.0]),))
        (tensor([ 6., 12.], shape=(2,), dtype=float32),)

    Source: Pearlmutter, Fast exact multiplication by the Hessian, 1994.
    """
    return jvp(grad(function, tuple(range(len(primals)))), primals, tangents)[1]


def linearize(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """Return a function's result, and its derivative there as a function of directions.

        linear(t) = f'(x) t

    The function runs once. `linear` is the pull-back pulled back: linear in its upstream gradient, it has a tape of its
    own, which each call walks.

    Args:
        function: takes and returns tensors or nested containers of them.
        primals: where to evaluate.

    Returns:
        (result, linear): `linear(*tangents)`, with one direction per argument, returns the containers of the result.

    Raises:
        DTypeError: an argument or a result is not a float.
        ShapeError: `linear` is called with directions of other shapes or containers than the arguments.

    Example:
        >>> import chainrule as cr
        >>> y, linear = cr.linearize(lambda x: x * x, cr.asarray([1.0, 2.0]))
        >>> linear(cr.asarray([1.0, 1.0])), linear(cr.asarray([0.0, 1.0]))
        (tensor([2., 4.], shape=(2,), dtype=float32), tensor([0., 4.], shape=(2,), dtype=float32))
    """
    start = next_sequence()
    result, pull = vjp(function, *primals)
    outputs, structure = tree.flatten(result)
    _require_floats("linearize", outputs)
    with enable_grad():
        seeds = [zeros(out.shape, dtype=out.dtype).requires_grad_() for out in outputs]
        pulled, arguments = tree.flatten(pull(tree.unflatten(structure, seeds)))

    def linear(*tangents: Any) -> Any:
        given, containers = tree.flatten(tangents)
        if containers != arguments:
            raise ShapeError("linearize: the directions must have the containers of the arguments, one per tensor.")
        directions = [as_tensor(t, g) for t, g in zip(given, pulled, strict=True)]
        for position, (t, g) in enumerate(zip(directions, pulled, strict=True)):
            if t.shape != g.shape:
                raise ShapeError(
                    f"linearize: argument {position} has the shape {g.shape} and its direction {t.shape}; "
                    "they must be equal."
                )
        live = [(g, t) for g, t in zip(pulled, directions, strict=True) if g._node is not None]
        ends, upstream = [g for g, _ in live], [t if t.dtype is g.dtype else t.astype(g.dtype) for g, t in live]
        found = (
            gradients(ends, seeds, upstream, retain_graph=True, create_graph=local.grad)
            if live
            else [None] * len(seeds)
        )
        moved = [zeros(s.shape, dtype=s.dtype) if g is None else g for g, s in zip(found, seeds, strict=True)]
        return released(tree.unflatten(structure, moved), start)

    return result, linear


def _rows(function: Callable[..., Any], args: tuple) -> tuple[Any, list[tuple]]:
    """Return the containers of the result, and per tensor in it the derivatives by all arguments: reverse mode."""
    result, pull = vjp(function, *args)
    outputs, structure = tree.flatten(result)
    _require_floats("jacobian", outputs)
    found = []
    for number, out in enumerate(outputs):

        def pulled(seed: Tensor, number: int = number) -> tuple:
            seeds = [zeros(other.shape, dtype=other.dtype) for other in outputs]
            seeds[number] = seed
            return pull(tree.unflatten(structure, seeds))

        rows = vmap(pulled, randomness="same")(_basis(out))
        found.append(tree.map_leaves(functools.partial(_unstacked, out.shape), rows))
    return structure, found


def _unstacked(shape: tuple[int, ...], row: Tensor) -> Tensor:
    """Return derivatives [size, ...] of an output as [*shape of the output, ...]."""
    return reshape(row, (*shape, *row.shape[1:]))


def _columns(function: Callable[..., Any], args: tuple) -> tuple[Any, list[tuple]]:
    """Return the containers of the result, and per tensor in it the derivatives by all arguments: forward mode."""
    leaves, arguments = tree.flatten(args)
    inputs = [as_tensor(leaf) for leaf in leaves]
    structure: Any = None
    columns: list[list[Tensor]] = []  # per input, per output
    for number, x in enumerate(inputs):

        def of_one(part: Tensor, number: int = number) -> Any:
            return function(*tree.unflatten(arguments, [*inputs[:number], part, *inputs[number + 1 :]]))

        def pushed(tangent: Tensor, x: Tensor = x, of_one: Callable = of_one) -> Any:
            result, moved = jvp(of_one, (x,), (tangent,))
            _require_floats("jacobian", tree.flatten(result)[0])
            return moved

        moved, structure = tree.flatten(vmap(pushed, out_axes=-1, randomness="same")(_basis(x)))
        columns.append([reshape(column, (*column.shape[:-1], *x.shape)) for column in moved])
    return structure, [tree.unflatten(arguments, list(parts)) for parts in zip(*columns, strict=True)]


def _basis(x: Tensor) -> Tensor:
    """Return all tensors like x that have one 1 and else 0, [size, *shape]."""
    size = math.prod(x.shape)
    return reshape(eye(size, dtype=x.dtype), (size, *x.shape))


def _check_positions(wanted: Sequence[int], count: int) -> None:
    for position in wanted:
        if not -count <= position < count:
            raise IndexRangeError(f"argnums={position}, but the function was called with {count} positional arguments.")


def _require_floats(name: str, outputs: Sequence[Any]) -> None:
    for out in outputs:
        if not isinstance(out, Tensor):
            raise GradientError(f"{name} needs a function that returns tensors; it returned {type(out).__name__}.")
        if not out.dtype.is_float:
            raise DTypeError(f"{name}: only float results have derivatives; one is {out.dtype.name}.")

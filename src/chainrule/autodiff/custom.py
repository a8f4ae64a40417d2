"""A block of code with a hard-coded derivative, and how it goes through every transform.

On a tape the block is one node, whose rule is the block's own `pull`. In forward mode its tangent is what `forward`
says, or else the pull-back transposed: with gradients p(u) linear in the upstream gradient u,

    dy = d/du <p(u), dx>

Inside `jvp` and `vmap` the block is applied by the level around them, to values without tangents or to whole batches,
so an outer transform meets the block too, and never the operations inside it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from chainrule.autodiff.backward import gradients, unbroadcast
from chainrule.autodiff.forward import as_wide_as
from chainrule.autodiff.jvp import ForwardLevel
from chainrule.autodiff.vmap import Batched, BatchLevel
from chainrule.core.context import enable_grad, local
from chainrule.core.errors import GradientError
from chainrule.core.precision import Operands
from chainrule.core.tape import FunctionNode, Leaf, Node, next_sequence
from chainrule.core.tensor import Tensor, connected, current_value
from chainrule.ops.creation import zeros

__all__ = ["custom_gradient"]

Held = list[tuple[Tensor | None, Any]]  # per result the tensor that a pull may hold of it, and what it is to see there


def custom_gradient(
    function: Callable[..., Any] | None = None, *, forward: Callable[[tuple, tuple], Any] | None = None
) -> Callable[..., Any]:
    """Give a block of operations a derivative written by hand.

    Args:
        function: takes tensors, returns (result, pull); `pull(g)` gets the upstream gradient (one per result, if the
            result is a tuple) and returns one gradient per positional argument, or None for those without. Both are
            written in chainrule operations, so the block can be compiled, batched and differentiated again.
        forward: the tangent of the result, for `jvp`: `forward(args, tangents)` gets the positional arguments and their
            tangents (zeros where a float does not move, None for what is no float tensor) and returns one tangent per
            result, or None where it does not move; default the one that follows from `pull`.

    Returns:
        The function, returning only the result; with keywords only, a decorator.

    Raises:
        GradientError: `function` does not return such a pair, or `pull` or `forward` return another number of gradients
            or tangents.

    Example:
        >>> import chainrule as cr
        >>> @cr.custom_gradient
        ... def sigmoid(x):
        ...     y = 1 / (1 + cr.exp(-x))
        ...     return y, lambda g: g * y * (1 - y)
        >>> cr.grad(sigmoid)(0.0)
        tensor(0.25, shape=(), dtype=float32)
    """
    if function is None:
        return functools.partial(custom_gradient, forward=forward)
    block = _Block(function.__name__, function, forward)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        run = block.evaluate(args, kwargs)
        return run.outputs if run.several else run.outputs[0]

    return call


class _Run(NamedTuple):
    """One call of a block.

    Attributes:
        outputs: its results.
        several: whether they are a tuple.
        pull: one upstream gradient per result -> one gradient or None per tensor among the arguments.
        own: per result the tensor that `pull` may hold of it, or None for one that was not made inside.
    """

    outputs: tuple[Tensor, ...]
    several: bool
    pull: Callable[..., list[Tensor | None]]
    own: list[Tensor | None]


class _Block:
    """A function with its hard-coded derivative.

    Args:
        name: for messages and for the tape.
        function: returns (result, pull).
        forward: returns the tangents of the results, or None.
    """

    def __init__(self, name: str, function: Callable, forward: Callable | None):
        self.name, self.function, self.forward = name, function, forward

    def evaluate(self, args: Sequence[Any], kwargs: dict, pulls: bool = False) -> _Run:
        """Call the block; put it on the tape if a gradient is wanted. `pulls` says that `pull` will be called."""
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        recorded = local.grad and any(tensor._node is not None for tensor in tensors)
        level = local.transform
        if level is None or not any(level.owns(tensor) for tensor in tensors):
            run = self.plain(args, kwargs)
        else:
            apply = _pushed if isinstance(level, ForwardLevel) else _mapped
            run = apply(self, level, args, kwargs, pulls or recorded)
        held = list(zip(run.own, [current_value(out) for out in run.outputs], strict=True))
        return self._connect(tensors, run, held) if recorded else run._replace(pull=_showing(run.pull, held))

    def plain(self, args: Sequence[Any], kwargs: dict) -> _Run:
        """Call the function; its results are taken off the tape of the operations inside."""
        start = next_sequence()
        returned = self.function(*args, **kwargs)
        if not (isinstance(returned, tuple) and len(returned) == 2 and callable(returned[1])):
            raise GradientError(
                f"custom_gradient: {self.name} must return (result, pull); it returned {type(returned).__name__}."
            )
        result, pull = returned
        outputs = result if isinstance(result, tuple) else (result,)
        own = [out if _made_inside(out, args, start) else None for out in outputs]
        for out in own:
            if out is not None:
                out._node = None
        return _Run(
            outputs,
            isinstance(result, tuple),
            functools.partial(self._pull, Operands(local.precision)(pull), [isinstance(x, Tensor) for x in args]),
            own,
        )

    def _pull(self, pull: Callable[..., Any], tensors: list[bool], *upstream: Tensor) -> list[Tensor | None]:
        found = pull(*upstream)
        found = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(found) != len(tensors):
            raise GradientError(
                f"custom_gradient: {self.name} takes {len(tensors)} arguments, "
                f"and its pull returned {len(found)} gradients."
            )
        return [g for g, wanted in zip(found, tensors, strict=True) if wanted]

    def _connect(self, tensors: list[Tensor], run: _Run, held: Held) -> _Run:
        """Put the block on the tape as one node; its results are connected to it."""
        edges = [(t._node, t._index) if t._node is not None else None for t in tensors]
        types = [(t._value.shape, t._value.dtype) for t in tensors]
        made = [(out._value.shape, out._value.dtype) for out in run.outputs]
        node = _BlockNode(self.name, run.pull, edges, types, made)
        node.held = held
        outputs = tuple(
            connected(value, node if out.dtype.is_inexact else None, i)
            for i, (out, (_, value)) in enumerate(zip(run.outputs, held, strict=True))
        )
        return run._replace(outputs=outputs, pull=lambda *upstream: node.pull(upstream))


class _BlockNode(FunctionNode):
    """The node of a block. `pull` may use the results: while it runs, they are differentiable through this node.

    Only while it runs, because a result that held its own node would hold itself, and stay in memory.
    """

    __slots__ = ("held",)
    held: Held

    def pull(self, gradients: Any) -> list[Tensor | None]:
        return _showing(super().pull, self.held, self)(gradients)

    def free(self) -> None:
        super().free()
        self.held = []


def _showing(pull: Callable[..., Any], held: Held, node: Node | None = None) -> Callable[..., Any]:
    """Return a pull that sees the results as the level around and the tape see them, not as they were computed."""

    def shown(*upstream: Any) -> Any:
        own = [(tensor, value, index) for index, (tensor, value) in enumerate(held) if tensor is not None]
        before = [tensor._value for tensor, _, _ in own]
        for tensor, value, index in own:
            tensor._value, tensor._node, tensor._index = value, node, index
        try:
            return pull(*upstream)
        finally:
            for (tensor, _, _), value in zip(own, before, strict=True):
                tensor._value, tensor._node = value, None

    return shown


def _made_inside(out: Tensor, args: Sequence[Any], start: int) -> bool:
    """Return whether a result was made by the function, and is neither an argument nor from outside."""
    if any(out is arg for arg in args):
        return False
    return out._node is None or (out._node.sequence > start and not isinstance(out._node, Leaf))


# ---------------------------------------------------------------------------------------------------- inside jvp
def _pushed(block: _Block, level: ForwardLevel, args: Sequence[Any], kwargs: dict, pulls: bool) -> _Run:
    """Call a block on values with tangents: the block outside for the values, its forward rule for the tangents."""
    primals = [level.primal(arg) if isinstance(arg, Tensor) else arg for arg in args]
    tangents = [arg._value.tangent if isinstance(arg, Tensor) and level.owns(arg) else None for arg in args]
    run = level.outside(block.evaluate, primals, kwargs, block.forward is None)
    if block.forward is None:
        given = [t for t, arg in zip(tangents, args, strict=True) if isinstance(arg, Tensor)]
        moved = level.outside(_transposed, run, [p for p in primals if isinstance(p, Tensor)], given)
    else:
        moved = level.outside(_forward, block, run, primals, tangents)
    outputs = tuple(level.lift(out, t) for out, t in zip(run.outputs, moved, strict=True))
    here = block.plain(args, kwargs) if pulls else run
    return _Run(outputs, run.several, here.pull, here.own)


def _transposed(run: _Run, args: list[Tensor], tangents: list[Tensor | None]) -> list[Tensor | None]:
    """Return the tangents of the results that follow from the pull-back."""
    create = local.grad
    with enable_grad():
        seeds = [zeros(out.shape, dtype=out.dtype) for out in run.outputs]
        wanted = [seed.requires_grad_() for seed in seeds if seed.dtype.is_inexact]
        pulled = [
            (unbroadcast(g, arg._value.shape, arg._value.dtype), t)
            for g, arg, t in zip(run.pull(*seeds), args, tangents, strict=True)
            if g is not None and t is not None
        ]
        live = [(g, t) for g, t in pulled if g._node is not None]
    if not live or not wanted:
        return [None] * len(seeds)
    found = gradients([g for g, _ in live], wanted, [t for _, t in live], retain_graph=True, create_graph=create)
    by_seed = {id(seed): g for seed, g in zip(wanted, found, strict=True)}
    return [by_seed.get(id(seed)) for seed in seeds]


def _forward(block: _Block, run: _Run, args: Sequence[Any], tangents: Sequence[Any]) -> list[Tensor | None]:
    """Return the tangents of the results that the block's forward rule gives."""
    full = tuple(
        zeros(arg.shape, dtype=arg.dtype) if t is None and isinstance(arg, Tensor) and arg.dtype.is_inexact else t
        for arg, t in zip(args, tangents, strict=True)
    )
    found = block.forward(tuple(args), full)
    moved = list(found) if isinstance(found, tuple | list) else [found]
    if len(moved) != len(run.outputs):
        raise GradientError(
            f"custom_gradient: {block.name} has {len(run.outputs)} results, "
            f"and its forward rule returned {len(moved)} tangents."
        )
    return [
        None if t is None or not out.dtype.is_inexact else as_wide_as(t, out)
        for t, out in zip(moved, run.outputs, strict=True)
    ]


# ---------------------------------------------------------------------------------------------------- inside vmap
def _mapped(block: _Block, level: BatchLevel, args: Sequence[Any], kwargs: dict, pulls: bool) -> _Run:
    """Call a block on samples: outside it is a block of whole batches, which enters the level again."""
    positions = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
    owned = [level.owns(args[i]) for i in positions]
    inside: list[_Run] = []

    def lifted(tensors: Sequence[Any]) -> list[Any]:
        return [
            Tensor(Batched(level, tensor)) if mine and tensor is not None else tensor
            for mine, tensor in zip(owned, tensors, strict=True)
        ]

    def arguments(data: Sequence[Tensor]) -> list[Any]:
        full = list(args)
        for i, tensor in zip(positions, lifted(data), strict=True):
            known = tensor._node is not None or args[i]._node is None
            full[i] = tensor if known else connected(tensor._value, args[i]._node, args[i]._index)
        return full

    def lowered(*data: Tensor) -> tuple[tuple[Tensor, ...], Callable[..., list]]:
        with level.again():
            run = block.plain(arguments(data), kwargs)
            results = tuple(level.outside(_whole, level, out) for out in run.outputs)
        inside[:] = [run]

        def pull(*upstream: Tensor) -> list[Tensor | None]:
            with level.again():
                found = run.pull(*(Tensor(Batched(level, g)) for g in upstream))
                return [
                    None if g is None else _gathered(level, g, args[i], mine)
                    for g, i, mine in zip(found, positions, owned, strict=True)
                ]

        return results, pull

    def forward(data: tuple, tangents: tuple) -> tuple[Tensor | None, ...]:
        with level.again():
            moves: list[Any] = [None] * len(args)
            for i, tangent in zip(positions, lifted(tangents), strict=True):
                moves[i] = tangent
            found = block.forward(tuple(arguments(data)), tuple(moves))
            found = found if isinstance(found, tuple | list) else (found,)
            return tuple(None if t is None else level.outside(_whole, level, t) for t in found)

    outer = _Block(block.name, lowered, forward if block.forward else None)
    run = level.outside(outer.evaluate, [level.data(args[i]) for i in positions], {}, pulls)
    outputs = tuple(Tensor(Batched(level, out)) for out in run.outputs)
    return _Run(outputs, inside[0].several, inside[0].pull, inside[0].own)


def _whole(level: BatchLevel, tensor: Tensor) -> Tensor:
    """Return the data of a value inside the level: the very tensor, where it is the level's own."""
    return tensor._value.data if level.owns(tensor) else level.lower(tensor, 0)


def _gathered(level: BatchLevel, g: Tensor, arg: Tensor, mine: bool) -> Tensor:
    """Return a gradient for the level around: of the whole batch, or the sum over it for what all samples share."""
    g = unbroadcast(g, arg._value.shape, arg._value.dtype)
    data = level.outside(_whole, level, g)
    return data if mine else level.outside(data.sum, axis=0)

"""`cr.scan` and `cr.while_loop` as users call them: Python loops eagerly, one primitive while tracing.

Traced, the body runs once with symbols. What it assigns becomes part of the carry. A carry that has no gradient at
first, and one after the first step, is found out and traced again with one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.compiler.control.body import Body, aligned, alive, as_recorded
from chainrule.compiler.control.scan import bind_scan
from chainrule.compiler.control.state import Observed, State, assigned, leave, loop_grads, put_grads
from chainrule.compiler.control.tracer import moves, type_of
from chainrule.compiler.control.trees import Leaves, check_carry, check_types, leaves_of, one_bool
from chainrule.compiler.control.vmapped import differs_by_sample, inside_vmap, refuse_draws
from chainrule.compiler.control.while_loop import bind_while
from chainrule.core.context import local
from chainrule.core.errors import ShapeError, TraceError, user_location
from chainrule.core.primitive import TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops.creation import zeros
from chainrule.ops.join import stack

__all__ = ["scan", "while_loop"]


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Return the last carry and all results of a loop over the rows of some tensors.

        c[0] = init,   c[t+1], y[t] = f(c[t], xs[t])

    The body may read and assign tensors from outside. Inside `cr.jit` it is traced once, whatever the length.

    Args:
        f: takes the carry and one row of `xs`; returns the next carry and a result.
        init: the first carry: tensors, numbers or nested containers of them; each keeps its shape and dtype.
        xs: tensors [length, ...], or nested containers of them; default none, and the body gets None.
        length: number of steps, >= 0; default that of `xs`.
        reverse: whether to start at the last row; results stand at the place of their row; default False.

    Returns:
        (carry, ys): the last carry, and the results stacked along a new first axis [length, ...].

    Raises:
        ShapeError: rows and length do not agree, or a leaf of the carry or result changes its shape.
        DTypeError: a leaf of the carry or result changes its dtype.
        TraceError: the body returns no pair, or other containers than it was given.

    Example:
        >>> import chainrule as cr
        >>> cr.scan(lambda total, x: (total + x, total * x), 0.0, cr.asarray([1.0, 2.0, 3.0]))
        (tensor(6., shape=(), dtype=float32), tensor([0., 2., 9.], shape=(3,), dtype=float32))
    """
    carry, rows = leaves_of(init), Leaves(xs)
    steps = _length(rows, length)
    if local.interpreter is None and steps:
        return _scan_python(f, carry, rows, steps, reverse)
    return _scan_traced(f, carry, rows, steps, reverse)


def _length(rows: Leaves, length: int | None) -> int:
    if length is not None and operator.index(length) < 0:
        raise ShapeError(f"cr.scan: length must be >= 0; got {length}.", location=user_location())
    sizes = {} if length is None else {"length": operator.index(length)}
    for name, x in zip(rows.names("xs"), rows.tensors, strict=True):
        if not x.shape:
            raise ShapeError(
                f"cr.scan: {name} has no axes, so it has no rows; its shape is (). Let the body read it from outside.",
                location=user_location(),
            )
        sizes[name] = x.shape[0]
    if len(set(sizes.values())) != 1:
        if not sizes:
            raise ShapeError("cr.scan: without xs it needs a length: cr.scan(f, init, length=10).")
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ShapeError(f"cr.scan: the numbers of rows differ: {listed}.", location=user_location())
    return next(iter(sizes.values()))


def _pair(result: Any) -> tuple[Any, Any]:
    if not (type(result) is tuple and len(result) == 2):
        raise TraceError(
            f"cr.scan: the body must return (carry, y); it returned {type(result).__name__}. "
            "Where there is no result, return (carry, None).",
            location=user_location(),
        )
    return result


def _scan_python(f: Callable, carry: Leaves, rows: Leaves, length: int, reverse: bool) -> tuple[Any, Any]:
    made: list[list[Tensor]] = []
    first: Leaves | None = None
    tensors = carry.tensors
    for t in range(length - 1, -1, -1) if reverse else range(length):
        result = _pair(f(carry.filled(tensors), rows.filled([x[t] for x in rows.tensors])))
        after, y = Leaves(result[0]), Leaves(result[1])
        check_carry("cr.scan", carry, after)
        first = first or y
        _check_rows(first, y)
        tensors = after.tensors
        made.append(y.tensors)
    if reverse:
        made.reverse()
    return carry.filled(tensors), first.filled([stack(list(column)) for column in zip(*made, strict=True)])


def _check_rows(first: Leaves, y: Leaves) -> None:
    rule = "cr.scan: y must be the same in every step"
    if not first.same_containers(y):
        raise TraceError(f"{rule}; it was {first.words()} and is {y.words()}.", location=user_location())
    check_types(rule, "was", "and is", first, y, "y", "convert what the body returns")


def _scan_traced(f: Callable, carry: Leaves, rows: Leaves, length: int, reverse: bool) -> tuple[Any, Any]:
    count = len(carry.tensors)
    parts = [(TensorType(x.shape[1:], x.dtype), moves(x)) for x in rows.tensors]
    ys = Leaves(None)

    def body(*tensors: Tensor) -> list[Tensor]:
        nonlocal ys
        result = _pair(f(carry.filled(tensors[:count]), rows.filled(tensors[count:])))
        after, ys = Leaves(result[0]), Leaves(result[1])
        check_carry("cr.scan", carry, after)
        return [*after.tensors, *ys.tensors]

    run = _observed("the body of cr.scan", body, carry.tensors, parts)
    if not length:
        empty = [zeros((0, *y.shape), dtype=y.dtype) for y in ys.tensors]
        return carry.filled(carry.tensors), ys.filled(empty)
    states = [*assigned([run]), *loop_grads(run)]
    if states and inside_vmap():  # what it assigns (a generator's position) may be one for all samples: only bind knows
        return _scan_python(f, carry, rows, length, reverse)
    graph = _step(run, states, count)
    operands = [*carry.tensors, *(state.before for state in states), *rows.tensors, *graph.captured]
    carries = count + len(states)
    outputs = bind_scan(operands, body=graph, carries=carries, xs=len(parts), length=length, reverse=reverse)
    found = as_recorded(outputs, graph.results)
    leave(states, found[count:carries])
    put_grads([run])
    return carry.filled(found[:count]), ys.filled(found[carries:])


def _observed(
    name: str, body: Callable, carry: Sequence[Tensor], rows: Sequence[tuple[TensorType, bool]] = ()
) -> Observed:
    """Trace a step; again, as long as its end depends on more than its beginning knew."""
    connect, forced = [moves(x) for x in carry], frozenset[int]()
    while True:
        types = [(type_of(x), wanted) for x, wanted in zip(carry, connect, strict=True)]
        run = Observed(name, body, [*types, *rows], forced)
        after = [has or alive(x) for has, x in zip(connect, run.tensors, strict=False)]
        cells = forced | {key for key, (cell, final) in run.cells.items() if cell._node is None and alive(final)}
        if after == connect and cells == forced:
            return run
        connect, forced = after, cells


def _step(run: Observed, states: Sequence[State], count: int) -> Body:
    """Return the graph of a step: the carry and what it assigns -> the same, then the rest of its results."""
    inputs = [*run.inputs[:count], *(run.symbol(state) for state in states), *run.inputs[count:]]
    finals = [run.final(state) for state in states]
    return run.body(inputs, [*run.tensors[:count], *finals, *run.tensors[count:]])


def while_loop(
    cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], init: Any, max_steps: int | None = None
) -> Any:
    """Return the last carry of a loop that goes on while a condition on its carry holds.

        while cond_fn(c): c = body_fn(c)

    The body may read and assign tensors from outside, and the condition may read them. Inside `cr.jit` both are traced
    once.

    Args:
        cond_fn: takes the carry, returns one bool.
        body_fn: takes the carry, returns the next one.
        init: the first carry: tensors, numbers or nested containers of them; each keeps its shape and dtype.
        max_steps: the loop ends after so many steps at the latest, >= 0; default no bound. Backward through a traced
            loop needs one.

    Returns:
        The last carry.

    Raises:
        TraceError: `cond_fn` returns no single bool, or assigns a tensor while it is traced; `body_fn` returns other
            containers than it was given.
        ShapeError, DTypeError: a leaf of the carry changes its shape or dtype.
        GradientError: backward through a traced loop without `max_steps`.
        ValueError: a negative `max_steps`.

    Example:
        >>> import chainrule as cr
        >>> cr.while_loop(lambda x: x < 100, lambda x: x * 3, cr.asarray(2))
        tensor(162, shape=(), dtype=int64)
    """
    if max_steps is not None and operator.index(max_steps) < 0:
        raise ValueError(f"cr.while_loop: max_steps must be None or >= 0; got {max_steps}.")
    carry = leaves_of(init)
    if local.interpreter is not None:
        return carry.filled(_while_traced(cond_fn, body_fn, carry, max_steps))
    steps = 0
    while max_steps is None or steps < max_steps:
        goes_on = _condition(cond_fn, carry)
        if differs_by_sample(goes_on):
            rest = None if max_steps is None else max_steps - steps
            return carry.filled(_while_traced(cond_fn, body_fn, carry, rest))
        if not goes_on:
            break
        after = Leaves(body_fn(carry.filled(carry.tensors)))
        check_carry("cr.while_loop", carry, after)
        carry.tensors, steps = after.tensors, steps + 1
    return carry.filled(carry.tensors)


def _condition(cond_fn: Callable, carry: Leaves) -> Tensor:
    return one_bool(
        "cr.while_loop: cond_fn must return one bool",
        cond_fn(carry.filled(carry.tensors)),
        "compare, and reduce it with cr.any or cr.all",
    )


def _while_traced(cond_fn: Callable, body_fn: Callable, carry: Leaves, max_steps: int | None) -> list[Tensor]:
    def body(*tensors: Tensor) -> list[Tensor]:
        after = Leaves(body_fn(carry.filled(tensors)))
        check_carry("cr.while_loop", carry, after)
        return after.tensors

    def condition(*tensors: Tensor) -> Tensor:
        return _condition(cond_fn, Leaves(carry.filled(tensors)))

    run = _observed("the body of cr.while_loop", body, carry.tensors)
    test = Observed("the condition of cr.while_loop", condition, [(type_of(x), False) for x in carry.tensors])
    if test.cells or test.grads:
        raise TraceError(
            "cr.while_loop: cond_fn assigns a tensor, or draws a random number; do that in body_fn, and let the "
            "condition look at the carry.",
            location=user_location(),
        )
    states, count = [*assigned([run]), *loop_grads(run)], len(carry.tensors)
    tested = test.body([*test.inputs, *(test.symbol(state) for state in states)], test.tensors)
    tested, graph = aligned([tested, _step(run, states, count)])
    refuse_draws("cr.while_loop", graph)
    operands = [*carry.tensors, *(state.before for state in states), *graph.captured]
    found = as_recorded(bind_while(operands, tested, graph, count + len(states), max_steps), graph.results)
    leave(states, found[count:])
    put_grads([run])
    return list(found[:count])

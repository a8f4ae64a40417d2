"""Scatters of one update per row become comparisons: a value made element by element, which fuses with its readers.

The gradient of picking one class per row adds one update to each row of zeros. Where the row numbers are a range, no
place is met twice; and where the index is certainly inside its axis, the scatter could not have raised. Then

    y[n, c] = x[n, c] + u[n] where c == i[n], x[n, c] elsewhere

has the same bits. An index that may be out of range stays a scatter, and still raises.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.compiler.passes.facts import uniform
from chainrule.compiler.passes.ranges import interval
from chainrule.compiler.passes.rewriting import Rewriting, Rules, rewrite
from chainrule.core.dtypes import int64
from chainrule.core.graph import Equation, Graph, Variable

__all__ = ["compare_instead_of_scatter"]

RULES = Rules()


def compare_instead_of_scatter(graph: Graph) -> Graph:
    """Return the graph with scatters of one update per row replaced by comparisons.

        %2: i64[2,8] = concat(arange, labels, axis=0)
        %3: f32[8,10] = scatter_add(zeros, %2, u, axes=(0, 1))
    ->
        %2: bool[8,10] = equal(arange[1,10], labels[8,1])
        %3: f32[8,10] = where(%2, add(zeros, u[8,1]), zeros)
    """
    return rewrite(graph, RULES)


@RULES.on("scatter_add", "scatter_set")
def _one_per_row(rw: Rewriting, equation: Equation) -> Variable | None:
    x, indices, updates = equation.inputs
    axes = equation.attributes["axes"]
    joined = rw.maker(indices, "concat") if len(axes) > 1 else None
    rows = list(joined.inputs) if joined and joined.attributes["axis"] == 0 else [indices]
    if len(rows) != len(axes) or any(row.shape[0] != 1 for row in rows):
        return None
    batch = indices.shape[1:]
    places: dict[int, int] = {}  # batch axis -> axis of x along which it counts
    chosen: list[int] = []  # rows that hold the index
    for number, row in enumerate(rows):
        if number != len(rows) - 1 and x.shape[axes[number]] == 1 and _inside(rw, row, 1):
            continue  # the only place there is
        counted = _counts(rw, row)
        if counted is not None and counted not in places and batch[counted] == x.shape[axes[number]]:
            places[counted] = axes[number]
        else:
            chosen.append(number)
    if len(chosen) != 1 or any(n != 1 for i, n in enumerate(batch) if i not in places):
        return None
    axis, row = axes[chosen[0]], rows[chosen[0]]
    if not _inside(rw, row, x.shape[axis]):
        return None
    index = _placed(rw, rw.reshaped(row, batch), places, x.type.ndim, [])
    rest = [i for i in range(x.type.ndim) if i not in axes]
    values = _placed(rw, updates, places, x.type.ndim, rest)
    return _chosen(rw, equation, index, values, axis)


@RULES.on("add_along")
def _one_along(rw: Rewriting, equation: Equation) -> Variable | None:
    x, indices, updates = equation.inputs
    axis = equation.attributes["axis"]
    if indices.shape[axis] != 1 or not _inside(rw, indices, x.shape[axis]):
        return None
    return _chosen(rw, equation, indices, updates, axis)


@RULES.on("one_hot")
def _one_hot(rw: Rewriting, equation: Equation) -> Variable | None:
    (x,), a = equation.inputs, equation.attributes
    classes = a["num_classes"]
    if not _inside(rw, x, classes) or classes - 1 > np.iinfo(x.dtype).max:
        return None
    counted = rw.emit("arange", start=0, step=1, size=classes, dtype=x.type.dtype)
    hit = rw.emit("equal", rw.reshaped(x, (*x.shape, 1)), counted)
    return rw.emit("astype", hit, dtype=a["dtype"])


@RULES.on("sum")
def _sum_of_one_hit(rw: Rewriting, equation: Equation) -> Variable | None:
    """Turn the sum over c of (v where c == i, 0 elsewhere) into v, and that of its opposite into -v.

    A sum begins with 0.0, so it is v + 0.0; the position i is certainly one of those that are summed.
    """
    (x,), axes, out = equation.inputs, equation.attributes["axis"], equation.outputs[0]
    opposite = rw.maker(x, "negative")
    choice = rw.maker(opposite.inputs[0] if opposite else x, "where")
    if choice is None or len(axes) != 1 or x.type.dtype.kind == "bool":
        return None
    condition, value, other = choice.inputs
    axis, ndim = axes[0], x.type.ndim
    nothing = uniform(rw, other)
    if nothing is None or nothing != 0 or not _one_hit(rw, condition, axis, x.shape):
        return None
    shape = (1,) * (ndim - value.type.ndim) + value.shape
    if shape[axis] != 1:
        return None
    kept = tuple(n for i, n in enumerate(shape) if i != axis or equation.attributes["keepdims"])
    value = rw.reshaped(value, kept)
    value = rw.emit("negative", value) if opposite else value
    if x.type.dtype.is_inexact:
        value = rw.emit("add", value, rw.constant(np.zeros((), x.dtype)))
    return rw.spread(value, out.shape)


def _one_hit(rw: Rewriting, condition: Variable, axis: int, shape: tuple[int, ...]) -> bool:
    """Return whether a condition holds at exactly one position along an axis, whatever the others are."""
    compared = rw.maker(condition, "equal")
    if compared is None:
        return False
    back = axis - len(shape)  # operands have their axes aligned at the end
    for counted, index in (compared.inputs, compared.inputs[::-1]):
        if counted.type.ndim < -back or _counts(rw, counted, 0) != counted.type.ndim + back:
            continue
        repeated = index.type.ndim < -back or index.shape[back] == 1
        return repeated and counted.shape[back] == shape[axis] and _inside(rw, index, shape[axis])
    return False


def _chosen(rw: Rewriting, equation: Equation, index: Variable, values: Variable, axis: int) -> Variable:
    """Return x with the values added, or put, where the position along an axis is the index."""
    x = equation.inputs[0]
    shape = tuple(n if i == axis else 1 for i, n in enumerate(x.shape))
    counted = rw.reshaped(rw.emit("arange", start=0, step=1, size=x.shape[axis], dtype=int64), shape)
    hit = rw.emit("equal", counted, index)
    new = values if equation.primitive.name == "scatter_set" else rw.emit("add", x, values)
    return rw.spread(rw.emit("where", hit, new, x), x.shape)


def _inside(rw: Rewriting, v: Variable, size: int) -> bool:
    """Return whether every index is certainly in [0, size)."""
    found = interval(rw.maker, v)
    return found is not None and found[0] >= 0 and found[1] < size


def _counts(rw: Rewriting, row: Variable, first: int = 1) -> int | None:
    """Return the axis, counted from axis `first`, of which a value holds the coordinate everywhere, or None."""
    chain = row
    spread = rw.maker(chain, "broadcast_to")
    if spread:
        chain = spread.inputs[0]
    reshaped = rw.maker(chain, "reshape")
    start = rw.maker(reshaped.inputs[0] if reshaped else chain, "arange")
    if start is None or (start.attributes["start"], start.attributes["step"]) != (0, 1):
        return None
    size = start.attributes["size"]
    padded = (1,) * (row.type.ndim - chain.type.ndim) + chain.shape
    wide = [i for i, n in enumerate(padded) if n != 1]
    if size == 1 or math.prod(padded) != size or len(wide) != 1 or wide[0] < first:
        return None
    return wide[0] - first


def _placed(rw: Rewriting, v: Variable, places: dict[int, int], ndim: int, rest: list[int]) -> Variable:
    """Return a value [*batch, *rest] with its axes where those of x are, and size 1 where it has none."""
    count = v.type.ndim - len(rest)
    targets = [places.get(i) for i in range(count)] + rest  # None: an axis of size 1
    order = sorted((i for i, t in enumerate(targets) if t is not None), key=lambda i: targets[i])
    ones = [i for i, t in enumerate(targets) if t is None]
    v = rw.permuted(v, [*ones, *order])
    shape = [1] * ndim
    for i, size in zip(order, v.shape[len(ones) :], strict=True):
        shape[targets[i]] = size
    return rw.reshaped(v, shape)

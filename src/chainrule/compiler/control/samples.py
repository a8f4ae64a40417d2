"""Small graphs for the samples of `cond`, `scan` and `while_loop`: all in float64, for a graph's types are fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler.control.body import Body, derived
from chainrule.core.dtypes import float64, int64
from chainrule.core.primitive import Sample, TensorType
from chainrule.core.tensor import Tensor
from chainrule.ops.exponential import exp
from chainrule.ops.hyperbolic import tanh
from chainrule.ops.reduce import max as largest
from chainrule.ops.reduce import sum as total
from chainrule.ops.trigonometric import sin

__all__ = ["branches", "steps", "whiles"]


def _f(*shape: int) -> TensorType:
    return TensorType(shape, float64)


def _i(*shape: int) -> TensorType:
    return TensorType(shape, int64)


def _graph(name: str, function: Callable[..., list[Tensor]], *types: TensorType) -> Body:
    return derived(name, function, types)


def branches() -> list[Sample]:
    """Return samples of `cond`: both branches, two outputs, integers among them, no operand, size 0."""

    def attributes(*types: TensorType) -> dict[str, Any]:
        return {
            "if_true": _graph("true", lambda x, y: [sin(x) * y, total(y * y, axis=0)], *types),
            "if_false": _graph("false", lambda x, y: [exp(x), total(x, axis=0) * 2.0], *types),
        }

    pairs, empty = attributes(_f(2), _f(2)), attributes(_f(0, 2), _f(0, 2))
    counted = {
        "if_true": _graph("true", lambda n, x: [n + 1, x * x], _i(), _f(3)),
        "if_false": _graph("false", lambda n, x: [n, -x], _i(), _f(3)),
    }
    return [
        Sample((np.asarray(True), (2,), (2,)), pairs),
        Sample((np.asarray(False), (2,), (2,)), pairs),
        Sample((np.asarray(True), np.asarray(4), (3,)), counted),
        Sample((np.asarray(False), np.asarray(4), (3,)), counted),
        Sample((np.asarray(True), (0, 2), (0, 2)), empty),
    ]


def steps() -> list[Sample]:
    """Return samples of `scan`: both directions, integers in the carry, no carry, no rows, no steps, size 0."""

    def attributes(body: Body, carries: int, xs: int, length: int, reverse: bool = False) -> dict[str, Any]:
        return {"body": body, "carries": carries, "xs": xs, "length": length, "reverse": reverse}

    step = _graph("step", lambda c, x, w: [tanh(c * w + x), c * x], _f(2), _f(2), _f(2))
    count = _graph("count", lambda n, c, x: [n + 1, c + n * x, n, c * c], _i(), _f(), _f())
    rows = _graph("rows", lambda x, w: [x * w], _f(2), _f(2))
    power = _graph("power", lambda c, w: [sin(c) * w], _f(2), _f(2))
    empty = _graph("empty", lambda c, x: [c + x, c * x], _f(0), _f(0))
    three = ((2,), (3, 2), (2,))
    return [
        Sample(three, attributes(step, 1, 1, 3)),
        Sample(three, attributes(step, 1, 1, 3, reverse=True)),
        Sample((np.asarray(2), (), (4,)), attributes(count, 2, 1, 4)),
        Sample(((3, 2), (2,)), attributes(rows, 0, 1, 3)),
        Sample(((2,), (2,)), attributes(power, 1, 0, 2)),
        Sample(((2,), (0, 2), (2,)), attributes(step, 1, 1, 0)),
        Sample(((0,), (2, 0)), attributes(empty, 1, 1, 2)),
    ]


def whiles() -> list[Sample]:
    """Return samples of `while_loop`: by a counter, by a value, none at all, a bound that ends it, size 0."""

    def attributes(condition: Body, body: Body, carries: int, max_steps: int = 8) -> dict[str, Any]:
        return {"condition": condition, "body": body, "carries": carries, "max_steps": max_steps}

    counted = (_i(), _f(2), _f(2))
    below = _graph("below", lambda n, c, w: [n < 3], *counted)
    step = _graph("step", lambda n, c, w: [n + 1, sin(c) * w], *counted)
    small = _graph("small", lambda c: [largest(c, axis=(0,)) < 10.0], _f(2))
    double = _graph("double", lambda c: [c * c + c], _f(2))
    never = _graph("never", lambda n, c, w: [n < 0], *counted)
    empty = (_i(), _f(0), _f(0))
    return [
        Sample((np.asarray(0), (2,), (2,)), attributes(below, step, 2)),
        Sample(((((2,)), 1.0, 1.5),), attributes(small, double, 1)),
        Sample((np.asarray(0), (2,), (2,)), attributes(never, step, 2)),
        Sample((np.asarray(0), (2,), (2,)), attributes(below, step, 2, max_steps=2)),
        Sample(
            (np.asarray(1), (0,), (0,)),
            attributes(
                _graph("below", lambda n, c, w: [n < 3], *empty),
                _graph("step", lambda n, c, w: [n + 1, c * w], *empty),
                2,
            ),
        ),
    ]

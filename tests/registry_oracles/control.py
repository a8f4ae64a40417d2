"""Branches and loops in PyTorch: their graphs, operation by operation, inside Python's own `if`, `for` and `while`."""

from __future__ import annotations

import importlib
from typing import Any

import torch

_TABLES = [importlib.import_module(f"tests.registry_oracles.{name}") for name in ("arrays", "special")]


def _graph(graph, inputs):
    known = {name: function for table in _TABLES for name, function in table.ORACLES.items()}
    values = dict(zip(graph.inputs, inputs, strict=True))

    def value(v):
        return values[v] if v.constant is None else torch.from_numpy(v.constant.copy())

    for equation in graph:
        made = known[equation.primitive.name](*map(value, equation.inputs), **equation.attributes)
        made = made if equation.primitive.multiple else (made,)
        values.update(zip(equation.outputs, made, strict=True))
    return [value(v) for v in graph.outputs]


def _cond(pred, *operands, if_true, if_false):
    return tuple(_graph(if_true if pred else if_false, operands))


def _scan(*inputs, body, carries, xs, length, reverse):
    carry, rows, consts = list(inputs[:carries]), inputs[carries : carries + xs], inputs[carries + xs :]
    made: dict[int, list] = {}
    for t in range(length - 1, -1, -1) if reverse else range(length):
        found = _graph(body, [*carry, *(x[t] for x in rows), *consts])
        carry, made[t] = found[:carries], found[carries:]
    kinds = [(v.shape, getattr(torch, v.type.dtype.name)) for v in body.outputs[carries:]]
    if not length:
        return (*carry, *(torch.zeros((0, *shape), dtype=dtype) for shape, dtype in kinds))
    return (*carry, *(torch.stack([made[t][i] for t in range(length)]) for i in range(len(kinds))))


def _while(*inputs, condition, body, carries, max_steps):
    carry, consts = list(inputs[:carries]), inputs[carries:]
    for _ in range(max_steps):
        if not _graph(condition, [*carry, *consts])[0]:
            break
        carry = _graph(body, [*carry, *consts])
    return tuple(carry)


ORACLES: dict[str, Any] = {"cond": _cond, "scan": _scan, "while_loop": _while}

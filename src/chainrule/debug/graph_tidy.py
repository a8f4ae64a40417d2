"""Leaving out the bookkeeping of labels and indices: integer and boolean work that no gradient flows through.

A cross-entropy checks its labels, compares them with the label to ignore, counts them and builds indices. A picture of
the computation shows instead that the labels go into the operation that uses them, and the count as a number.
"""

from __future__ import annotations

from chainrule.debug.graph_parts import Computation, Input, Operation, Value

__all__ = ["without_bookkeeping"]


def without_bookkeeping(whole: Computation) -> Computation:
    """Return the computation with bookkeeping contracted to what it was made from.

    Args:
        whole: changed in place.
    """
    made_by = {value: operation for operation in whole.operations for value in operation.outputs}
    results = {value for _, value in whole.results}
    shown: set[Operation] = set()
    while True:
        hidden = _hidden(whole.operations, made_by, results, shown)
        roots = _roots(whole.operations, hidden, made_by)
        visible = [operation for operation in whole.operations if operation not in hidden]
        read = [edge.value for operation in visible for edge in operation.inputs if made_by.get(edge.value) in hidden]
        needed = {made_by[value] for value in read if not _replaceable(value, roots[value])}
        if not needed:
            break
        shown |= needed
    for operation in visible:
        for edge in operation.inputs:
            if made_by.get(edge.value) in hidden:
                edge.value = _replacement(edge, roots[edge.value])
    whole.operations = visible
    return whole.without_dead_ends()


def _hidden(
    operations: list[Operation], made_by: dict[Value, Operation], results: set[Value], shown: set[Operation]
) -> set[Operation]:
    hidden: set[Operation] = set()
    for operation in operations:
        derived, plain = True, True
        for edge in operation.inputs:
            source = made_by.get(edge.value)
            from_hidden = source in hidden or edge.value.kind == "constant"
            derived = derived and from_hidden
            plain = plain and (from_hidden or (source is None and not edge.value.type.dtype.is_inexact))
        floats = any(value.type.dtype.is_inexact for value in operation.outputs)
        flows = any(edge.down is not None for edge in operation.inputs)
        wanted = operation in shown or flows or any(value in results for value in operation.outputs)
        if plain and not wanted and (derived or not floats):
            hidden.add(operation)
    return hidden


def _roots(
    operations: list[Operation], hidden: set[Operation], made_by: dict[Value, Operation]
) -> dict[Value, list[Value]]:
    """Return for each value that hidden operations made the arguments it was made from."""
    roots: dict[Value, list[Value]] = {}
    for operation in operations:
        if operation not in hidden:
            continue
        found: dict[Value, None] = {}
        for edge in operation.inputs:
            if made_by.get(edge.value) in hidden:
                found.update(dict.fromkeys(roots[edge.value]))
            elif edge.value.kind != "constant":
                found[edge.value] = None
        roots.update((value, list(found)) for value in operation.outputs)
    return roots


def _replaceable(value: Value, roots: list[Value]) -> bool:
    if not roots or (value.type.size == 1 and value.array is not None):
        return value.array is not None
    return len(roots) == 1 and not value.type.dtype.is_inexact


def _replacement(edge: Input, roots: list[Value]) -> Value:
    value = edge.value
    if not roots or (value.type.size == 1 and value.array is not None):
        return Value(value.type, value.array, kind="constant")
    return roots[0]

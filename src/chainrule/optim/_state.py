"""State dicts of optimizers: writing them in PyTorch's form, and loading them after everything has been checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.core.context import no_grad
from chainrule.core.dtypes import float64
from chainrule.core.errors import StateDictError, nearest
from chainrule.core.tensor import Tensor
from chainrule.ops import asarray, astype
from chainrule.optim.group import wide

__all__ = ["load_cells", "load_state", "plain_state"]

FOREIGN = {"foreach", "capturable", "differentiable", "fused", "param_names"}  # PyTorch's own switches: no meaning here
OPTIONAL = {"l1", "decoupled_weight_decay", "initial_lr", "maximize"}  # absent from PyTorch's: the present value stays


def plain_state(groups: Sequence[Any], state: Mapping[Tensor, dict[str, Tensor]]) -> dict[str, Any]:
    """Return {"state": {index: {slot: tensor}}, "param_groups": [{setting: value, "params": indices}]}."""
    index, packed, slots = 0, [], {}
    for group in groups:
        indices = list(range(index, index + len(group["params"])))
        index += len(indices)
        packed.append({**group.plain(), "terms": group.terms, "params": indices})
        for number, p in zip(indices, group["params"], strict=True):
            if state.get(p):
                slots[number] = {name: cell.detach() for name, cell in state[p].items()}
    return {"state": slots, "param_groups": packed}


def load_state(optimizer: Any, state_dict: Any) -> None:
    """Check the whole state dict against the optimizer, then assign its cells.

    Raises:
        StateDictError: lists every problem; nothing was assigned.
    """
    name, groups = type(optimizer).__name__, optimizer.param_groups
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        raise StateDictError(f'{name}.load_state_dict needs a dict with the keys "state" and "param_groups".')
    saved, problems = state_dict["param_groups"], []
    if len(saved) != len(groups):
        problems.append(f"it has {len(saved)} parameter groups, the optimizer {len(groups)}")
    for number, (entry, group) in enumerate(zip(saved, groups, strict=False)):
        problems += [f"group {number}: {text}" for text in _group_problems(entry, group, optimizer)]
    plan: list[tuple[Tensor, str, Any]] = []
    if not problems:
        indices = [index for entry in saved for index in entry["params"]]
        parameters = [p for group in groups for p in group["params"]]
        plan = _slot_plan(dict(zip(indices, parameters, strict=True)), state_dict["state"], problems)
    if problems:
        lines = "".join(f"\n  - {text}" for text in problems)
        raise StateDictError(f"{name}.load_state_dict: the state dict does not fit, nothing was loaded:{lines}")
    _assign(optimizer, saved, plan)


def _group_problems(entry: Any, group: Any, optimizer: Any) -> list[str]:
    """Return what is wrong with the saved settings of one group."""
    found = []
    count = len(entry.get("params", ()))
    if count != len(group["params"]):
        found.append(f"it has {count} parameters, the optimizer's group {len(group['params'])}")
    options = group._options
    for key in sorted(set(entry) - set(options) - FOREIGN - {"params", "terms"}):
        found.append(f"unknown setting {key!r}{nearest(key, options)}")
    for key in group.keys()[1:]:
        if key not in entry and key not in OPTIONAL:
            found.append(f"setting {key!r} is missing")
    settings = group.plain()
    for key in sorted(set(entry) & set(options)):
        try:
            settings[key] = options[key].clean(_python(entry[key]), key)
        except ValueError as error:
            found.append(str(error).removesuffix("."))
    try:
        optimizer.check_settings(settings)
    except ValueError as error:
        found.append(str(error).removesuffix("."))
    return found


def _python(value: Any) -> Any:
    """Return saved tensors without axes as Python numbers."""
    if isinstance(value, tuple | list):
        return tuple(_python(item) for item in value)
    return value.item() if isinstance(value, Tensor | np.ndarray) and value.size == 1 else value


def _slot_plan(
    parameters: dict[int, Tensor], state: Mapping[Any, Any], problems: list[str]
) -> list[tuple[Tensor, str, Any]]:
    """Return (parameter, slot, value) for everything saved; what does not fit is added to `problems`."""
    plan = []
    for index, slots in state.items():
        if index not in parameters:
            problems.append(f"state of parameter {index}, which no group lists")
            continue
        p = parameters[index]
        for name, value in slots.items():
            if value is None:  # PyTorch's momentum buffer before the first step
                continue
            tensor = value if isinstance(value, Tensor) else asarray(np.asarray(value))
            wanted = () if name == "step" else p.shape
            if tensor.shape != wanted:
                problems.append(f"parameter {index}: {name} has the shape {tensor.shape}, expected {wanted}")
            elif name != "step" and tensor.dtype is not wide(p.dtype):
                problems.append(f"parameter {index}: {name} is {tensor.dtype.name}, expected {wide(p.dtype).name}")
            plan.append((p, name, tensor))
    return plan


def _assign(optimizer: Any, saved: Sequence[Mapping[str, Any]], plan: list[tuple[Tensor, str, Any]]) -> None:
    for entry, group in zip(saved, optimizer.param_groups, strict=True):
        for key in entry:
            if key in group._options:
                group[key] = _python(entry[key])
        for term in entry.get("terms", ()):  # its coefficient may be zero by now, while its slots still count
            group.use(term)
    owners = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    with no_grad():
        for p in [p for group in optimizer.param_groups for p in group["params"]]:
            group = owners[id(p)]
            for name, start in optimizer.slot_values(group).items():
                cell = optimizer._slots(p, group)[name]
                cell.assign_(asarray(np.full(cell.shape, start, dtype=cell.dtype.numpy)))
        counted = {id(p) for p, name, _ in plan if name == "step"}
        for p, name, value in plan:
            slots = optimizer._slots(p, owners[id(p)])
            if "step" in slots and id(p) not in counted:  # PyTorch's SGD saves no count; slots mean it has made a step
                slots["step"].assign_(asarray(1.0, dtype=float64))
            if name not in slots:  # a slot that this group's settings do not need now; kept for when they do
                slots[name] = Tensor(np.zeros(value.shape, dtype=value.dtype.numpy))
            slots[name].assign_(astype(value, slots[name].dtype))


def _tensor(value: Any, cell: Tensor) -> Tensor:
    """Return a saved value as a tensor; a Python number takes the dtype of its cell."""
    return asarray(value, dtype=cell.dtype) if isinstance(value, int | float) else asarray(value)


def load_cells(owner: str, cells: Mapping[str, Tensor], saved: Any, others: Sequence[str] = ()) -> None:
    """Assign named cells from a dict of tensors; `others` are keys that the caller reads itself.

    Raises:
        StateDictError: lists every name that is missing, unexpected or of another shape or dtype; nothing was assigned.
    """
    if not isinstance(saved, Mapping):
        raise StateDictError(f"{owner}.load_state_dict needs a dict; got {type(saved).__name__}.")
    problems = [f"{name!r} is missing" for name in [*others, *cells] if name not in saved]
    problems += [
        f"unknown {name!r}{nearest(name, cells)}" for name in saved if name not in cells and name not in others
    ]
    values = {name: _tensor(saved[name], cell) for name, cell in cells.items() if name in saved}
    for name, value in values.items():
        cell = cells[name]
        if value.shape != cell.shape:
            problems.append(f"{name!r} has the shape {value.shape}, expected {cell.shape}")
        elif value.dtype is not cell.dtype and not (cell.dtype is float64 and not cell.shape):
            problems.append(f"{name!r} is {value.dtype.name}, expected {cell.dtype.name}")
    if problems:
        lines = "".join(f"\n  - {text}" for text in problems)
        raise StateDictError(f"{owner}.load_state_dict: the state dict does not fit, nothing was loaded:{lines}")
    with no_grad():
        for name, value in values.items():
            cells[name].assign_(astype(value, cells[name].dtype))

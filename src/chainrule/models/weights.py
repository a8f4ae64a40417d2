"""Weights from a file put into a network: names mapped, kernels turned, and a report of what became of each tensor.

    file  --cr.load-->  name -> tensor  --rename-->  the network's names  --axes, dtype-->  assigned, all or none

What is done without being asked never changes the order of numbers: axes of length 1 are dropped or added, floats are
converted to the network's float type. Kernels are turned only where the order of their axes is known: TensorFlow's and
Keras' [height, width, in, out] where the file, or `layout`, says so. A square matrix tells nobody which way it lies.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.core.dtypes import DType
from chainrule.core.errors import StateDictError
from chainrule.core.tensor import Tensor
from chainrule.nn import _state
from chainrule.nn._checks import choice
from chainrule.nn.files import load
from chainrule.nn.foreign.formats import order_of_axes
from chainrule.nn.module import Module
from chainrule.ops import asarray, astype, permute_dims, reshape

__all__ = ["LoadedTensor", "WeightsReport", "load_weights"]

Rename = Mapping[str, str | None] | Callable[[str], str | None]
LAYOUTS = ("auto", "torch", "tensorflow")


@dataclass(frozen=True)
class LoadedTensor:
    """What became of one tensor of a file.

    Attributes:
        name: in the network.
        source: in the file.
        shape: in the network.
        changes: what was done to it, such as "renamed", "transposed from (3, 3, 8, 16)" or "from float64".

    Example:
        >>> LoadedTensor("fc.weight", "dense/kernel", (10, 64), ("renamed", "transposed from (64, 10)")).changes[0]
        'renamed'
    """

    name: str
    source: str
    shape: tuple[int, ...]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeightsReport:
    """What `load_weights` did; printed, it is a table.

    Attributes:
        source: the file, or "a mapping".
        network: class of the network.
        loaded: one row per tensor, in the network's order.
        missing: names of the network that the file does not have; they keep their values.
        extra: names of the file that the network does not have; they were not used.
        left_out: names of the file that `rename` left out.

    Example:
        >>> import chainrule as cr
        >>> net = cr.nn.Linear(3, 2)
        >>> print(load_weights(net, {"w": cr.zeros((2, 3)), "bias": cr.zeros(2)}, rename={"w": "weight"}))
        a mapping -> Linear: 2 tensors, 8 numbers loaded
        name    from  shape   changes
        -----------------------------
        weight  w     (2, 3)  renamed
        bias          (2,)
    """

    source: str
    network: str
    loaded: tuple[LoadedTensor, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[LoadedTensor, ...]:
        """The tensors to which more was done than to copy them."""
        return tuple(row for row in self.loaded if row.changes)

    def __str__(self) -> str:
        numbers = sum(int(np.prod(row.shape, dtype=np.int64)) for row in self.loaded)
        lines = [f"{self.source} -> {self.network}: {len(self.loaded)} tensors, {numbers:,} numbers loaded"]
        cells = [("name", "from", "shape", "changes")] + [
            (row.name, row.source if row.source != row.name else "", str(row.shape), ", ".join(row.changes))
            for row in self.loaded
        ]
        widths = [max(len(row[column]) for row in cells) for column in range(4)]
        table = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in cells]
        lines += [table[0], "-" * (sum(widths) + 6), *table[1:]]
        for names, what in (
            (self.missing, "missing, kept as they were"),
            (self.extra, "in the file only, not used"),
            (self.left_out, "left out by rename"),
        ):
            lines += [f"{what}: {', '.join(names)}"] if names else []
        return "\n".join(lines)

    __repr__ = __str__


@dataclass
class _Matched:
    """What was found for the network's names, before anything is assigned."""

    values: dict[str, Tensor] = field(default_factory=dict)
    rows: list[LoadedTensor] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    misshapen: bool = False


def load_weights(
    model: Module,
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    rename: Rename | None = None,
    strict: bool = True,
    key: str | None = None,
    layout: str = "auto",
) -> WeightsReport:
    """Put the weights of a file into a network: all of them, or none where anything is wrong.

    Args:
        model: the network; its parameters and persistent buffers are assigned.
        source: a file that `cr.load` reads (safetensors, .npz, .pt, .pth, TensorFlow.js), or name -> tensor or array.
        rename: from the file's names to the network's: a function, or regular expression -> replacement, of which the
            first that matches a whole name counts; None in place of a name leaves the tensor out; default none.
        strict: whether names that only one side has are errors; default True. Shapes that do not fit always are.
        key: as in `cr.load`, which dict of a nested PyTorch checkpoint; default none.
        layout: order of a kernel's axes in the file: "torch" [out, in, height, width], "tensorflow" (and Keras)
            [height, width, in, out], or "auto": TensorFlow's for TensorFlow.js, else PyTorch's; default "auto".

    Returns:
        What became of each tensor; print it.

    Raises:
        CheckpointError: the file can't be read; names it.
        StateDictError: lists every missing, extra, misshapen or mistyped tensor, and what can be done.
        ValueError: an unknown layout.

    Example:
        >>> import chainrule as cr
        >>> net = cr.nn.Sequential(cr.nn.Linear(3, 2))
        >>> weights = {"model.0.weight": cr.zeros((2, 3)), "model.0.bias": cr.zeros(2), "step": cr.zeros(())}
        >>> report = load_weights(net, weights, rename={r"model\\.(.*)": r"\\1", "step": None})
        >>> [row.name for row in report.loaded], report.left_out
        (['0.weight', '0.bias'], ('step',))
    """
    choice("load_weights", "layout", layout, LAYOUTS)
    if isinstance(source, Mapping):
        tensors, origin, order = dict(source), "a mapping", "torch"
    else:
        tensors, origin = dict(load(source, key)), pathlib.Path(source).name
        order = order_of_axes(pathlib.Path(source))
    found, left_out, problems = _renamed(tensors, rename)
    own = dict(_state.entries(model))
    optional = _state.optional_names(model)
    missing = [name for name in own if name not in found and name not in optional]
    extra = [name for name in found if name not in own]
    matched = _matched(model, own, tensors, found, order if layout == "auto" else layout)
    if strict:
        problems += _lines(missing, extra, found, own)
    problems += matched.problems
    if problems:
        raise StateDictError(_message(model, origin, problems, missing, extra, matched.misshapen, strict))
    _state.assign(own, matched.values)
    sources = tuple(found[name] for name in extra)
    return WeightsReport(origin, type(model).__name__, tuple(matched.rows), tuple(missing), sources, tuple(left_out))


# ------------------------------------------------------------------------------------------------ names
def _renamed(tensors: Mapping[str, Any], rename: Rename | None) -> tuple[dict[str, str], list[str], list[str]]:
    """Return network's name -> file's name, the names left out, and a line for each name that two tensors would get."""
    found: dict[str, str] = {}
    left_out, problems = [], []
    for name in tensors:
        new = _new_name(name, rename)
        if new is None:
            left_out.append(name)
        elif new in found:
            problems.append(f"{new} would be both {found[new]} and {name} of the file")
        else:
            found[new] = name
    return found, left_out, problems


def _new_name(name: str, rename: Rename | None) -> str | None:
    if rename is None:
        return name
    if not isinstance(rename, Mapping):
        return rename(name)
    for pattern, new in rename.items():
        match = re.fullmatch(pattern, name)
        if match:
            return None if new is None else match.expand(new)
    return name


def _lines(missing: list[str], extra: list[str], found: Mapping[str, str], own: Mapping[str, Tensor]) -> list[str]:
    """Return a line per name that one side alone has; renamed ones with the file's name."""
    lines = _state.names_differ(missing, extra, own)
    renamed = {name: found[name] for name in extra if found[name] != name}
    for place, name in enumerate(extra, len(missing)):
        if name in renamed:
            lines[place] = lines[place].replace(" is unexpected", f" (in the file {renamed[name]}) is unexpected", 1)
    return lines


def _message(
    model: Module, origin: str, problems: list[str], missing: list[str], extra: list[str], misshapen: bool, strict: bool
) -> str:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    ways = []
    if strict and (missing or extra):
        ways.append(
            "rename= gives the file's names other names, or leaves them out; strict=False loads what both have."
        )
    if misshapen:
        ways.append(
            "Make the network with the sizes of the weights, load, then change it: models.replace_head(model, "
            'classes). Kernels that Keras wrote need layout="tensorflow".'
        )
    title = f"load_weights: {count} with {origin} and {type(model).__name__}, nothing was loaded:"
    return "\n  ".join([title, *problems]) + "".join(f"\n{way}" for way in ways)


# ------------------------------------------------------------------------------------------------ values
def _matched(
    model: Module, own: Mapping[str, Tensor], tensors: Mapping[str, Any], found: Mapping[str, str], order: str
) -> _Matched:
    result = _Matched()
    for name, cell in own.items():
        if name not in found:
            continue
        given, source = tensors[found[name]], found[name]
        if not isinstance(given, Tensor | np.ndarray):
            result.problems.append(f"{name} must be a tensor or a NumPy array; the mapping has {type(given).__name__}")
            continue
        value = given if isinstance(given, Tensor) else asarray(given)
        changes = ["renamed"] if source != name else []
        value = _turned(model, name, value, order, changes)
        value = _reshaped(value, cell.shape, changes)
        if value.shape != cell.shape:
            other = "" if source == name else f" as {source}"
            hint = " (transposed?)" if value.shape == cell.shape[::-1] else ""
            result.problems.append(f"{name} has the shape {cell.shape}; the file has {tuple(given.shape)}{other}{hint}")
            result.misshapen = True
        elif not _converts(value.dtype, cell.dtype):
            result.problems.append(f"{name} is {cell.dtype.name}; the file has {value.dtype.name}")
        else:
            if value.dtype is not cell.dtype:
                changes.append(f"from {value.dtype.name}")
            result.values[name] = value if value.dtype is cell.dtype else astype(value, cell.dtype)
            result.rows.append(LoadedTensor(name, source, cell.shape, tuple(changes)))
    return result


def _turned(model: Module, name: str, value: Tensor, order: str, changes: list[str]) -> Tensor:
    """Return a kernel with PyTorch's order of axes."""
    if order != "tensorflow" or value.ndim < 2:
        return value
    layer = model.get_submodule(name.rpartition(".")[0])
    depthwise = getattr(layer, "groups", 1) > 1
    spatial = tuple(range(value.ndim - 2))
    axes = (value.ndim - 2, value.ndim - 1, *spatial) if depthwise else (value.ndim - 1, value.ndim - 2, *spatial)
    changes.append(f"transposed from {value.shape}")
    value = permute_dims(value, axes)
    if depthwise:  # [channels, multiplier, height, width]: one group per channel
        value = reshape(value, (value.shape[0] * value.shape[1], 1, *value.shape[2:]))
    return value


def _reshaped(value: Tensor, shape: tuple[int, ...], changes: list[str]) -> Tensor:
    """Return the value in a shape that differs from its own in axes of length 1 only; else the value as it is."""
    if value.shape == shape or [n for n in value.shape if n != 1] != [n for n in shape if n != 1]:
        return value
    changes.append(f"reshaped from {value.shape}")
    return reshape(value, shape)


def _converts(given: DType, wanted: DType) -> bool:
    """Return whether values of one type are taken as another: floats as floats, whole numbers as whole numbers."""
    kinds = {"uint": "int"}
    return kinds.get(given.kind, given.kind) == kinds.get(wanted.kind, wanted.kind)

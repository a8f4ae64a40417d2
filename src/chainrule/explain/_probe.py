"""Layers by their paths, and what they give out while a network runs, eagerly or inside of a compiled function.

A layer is named by its path, as `named_modules` gives it ("features.0"), and need not be a leaf. Where a layer is
called several times in one pass, the first call counts. While a network is looked at it is in eval mode; afterwards
each of its modules is as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import nn
from chainrule.compiler.jit import jit
from chainrule.core.context import no_grad
from chainrule.core.errors import IndexRangeError, SettingError, ShapeError, nearest
from chainrule.core.tensor import Tensor
from chainrule.nn._modes import evaluation
from chainrule.ops.convert import asarray

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = [
    "batches",
    "called",
    "channel_at",
    "convolutions",
    "described",
    "dtype_of",
    "floats",
    "layer_at",
    "probed",
    "samples",
    "weighted",
]

LISTED = 24  # layers that an error message names at most


def convolutions(model: Module) -> list[str]:
    """Return the paths of the two-dimensional convolutions, in the order of their registration."""
    return [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)]


def weighted(model: Module) -> list[str]:
    """Return the paths of the layers that have units to look at: convolutions and linear layers."""
    return [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def called(model: Module, x: NDArray, kinds: tuple[type, ...]) -> list[str]:
    """Return the paths of the layers of these kinds that run on a batch in eval mode, in the order of their calls."""
    names = {id(module): path for path, module in model.named_modules() if isinstance(module, kinds)}
    found: dict[str, None] = {}

    def note(module: Module, args: tuple, output: Any) -> None:
        found.setdefault(names[id(module)])

    with no_grad(), evaluation(model):
        handles = [module.register_forward_hook(note) for module in model.modules() if id(module) in names]
        try:
            model(asarray(x))
        finally:
            for handle in handles:
                handle.remove()
    return list(found)


def described(module: Module) -> str:
    """Return a layer as it is written in one line; of a block its class alone."""
    return repr(module) if not list(module.children()) else type(module).__name__


def layer_at(model: Module, path: str) -> Module:
    """Return the module at a path; an unknown one is an error that names the nearest, or those that have weights."""
    known = dict(model.named_modules(remove_duplicate=False))
    if path in known:
        return known[path]
    others = weighted(model)
    listed = ", ".join(others[:LISTED]) + (", ..." if len(others) > LISTED else "")
    hint = nearest(path, [name for name in known if name]) or "."
    raise SettingError(f"there is no layer {path!r}{hint} Layers with weights: {listed or 'none'}.")


@contextlib.contextmanager
def probed(model: Module, paths: Sequence[str]) -> Iterator[Callable[[Tensor], list[Tensor]]]:
    """Yield a function that runs the model in eval mode on a batch and returns the outputs of the layers at `paths`."""
    modules = [layer_at(model, path) for path in paths]
    found: dict[int, Any] = {}

    def watch(module: Module, args: tuple, output: Any) -> None:
        found.setdefault(id(module), output)

    def run(x: Tensor) -> list[Tensor]:
        found.clear()
        try:
            model(x)
            return [_tensor(path, found.get(id(module))) for path, module in zip(paths, modules, strict=True)]
        finally:
            found.clear()  # tracers must not outlive their trace

    with evaluation(model):
        handles = [module.register_forward_hook(watch) for module in modules]
        try:
            yield run
        finally:
            for handle in handles:
                handle.remove()


def _tensor(path: str, output: Any) -> Tensor:
    if isinstance(output, Tensor) and output.ndim > 1:
        return output
    what = "was not called" if output is None else f"gave {type(output).__name__} and no tensor [batch, ...]"
    raise SettingError(f"layer {path!r} {what} when the network ran; choose another layer.")


def samples(name: str, model: Module, x: Tensor | ArrayLike) -> NDArray:
    """Return a batch of samples [batch, ...], at least one, in the dtype of the model's parameters."""
    array = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
    if array.ndim < 2 or not len(array):
        raise ShapeError(f"{name} takes samples [batch, ...], at least one; got x of shape {array.shape}.")
    return array.astype(dtype_of(model), copy=False)


def dtype_of(model: Module) -> np.dtype:
    """Return the dtype of the model's first float parameter, float32 where it has none."""
    found = (p.numpy().dtype for p in model.parameters() if p.dtype.is_float)
    return next(found, np.dtype(np.float32))


def batches(function: Callable[[Tensor], Sequence[Tensor]], x: NDArray, size: int) -> list[NDArray]:
    """Return what a function gives for all samples, compiled, in batches of one size; the last is filled up."""
    size = min(size, len(x))
    with no_grad():
        compiled, parts = jit(function), []
        for start in range(0, len(x), size):
            batch = x[start : start + size]
            full = np.concatenate([batch, np.repeat(batch[:1], size - len(batch), axis=0)])
            parts.append([output.numpy()[: len(batch)] for output in compiled(asarray(full))])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def channel_at(path: str, channels: int, wanted: Sequence[int]) -> list[int]:
    """Return channels of a layer as integers; one out of range is an error."""
    for channel in wanted:
        if not 0 <= channel < channels:
            raise IndexRangeError(f"layer {path!r} has channels 0 to {channels - 1}; got {channel}.")
    return [int(channel) for channel in wanted]


def floats(tensor: Tensor) -> NDArray[np.float64]:
    """Return a tensor's values as float64."""
    return np.asarray(tensor.numpy(), np.float64)

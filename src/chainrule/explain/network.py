"""A model and a sample -> values and gradients of every layer, as plain arrays for the report and for figures.

The model runs eagerly, in eval mode, with forward hooks on its leaf modules; `gradients` then walks the tape once and
gives the loss's gradient in each layer's output, in the sample and in the parameters, without touching any `.grad`.
Afterwards hooks are removed and train/eval is as it was. The loss is cross-entropy, so the model must give logits.

An output [channels, height, width] counts as one unit per channel, [time, features] as one per feature: its value is
the mean over the positions, its gradient the sum (what a shift of the whole map would do to the loss).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import nn
from chainrule.autodiff import gradients
from chainrule.core.context import enable_grad
from chainrule.core.errors import IndexRangeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.explain.contents import LayerRow, LayerState, LayerStates
from chainrule.nn._modes import evaluation
from chainrule.ops.convert import asarray

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = ["first_layer_pictures", "layer_rows", "layer_states"]

Floats = NDArray[np.float64]


@dataclass
class Call:
    """One call of a leaf module: its path, the module, what it gave out."""

    path: str
    module: Module
    output: Tensor


def layer_states(model: Module, x: Tensor | ArrayLike, label: int) -> LayerStates:
    """Return what every layer of a classifier gives out for one sample, and the gradient that flows back to it.

        loss = cross_entropy(model(x), label);   gradients[layer] = d loss / d output[layer]

    Args:
        model: a classifier whose output are logits [1, classes].
        x: the sample as the model takes it, a batch of one: [1, features], [1, height, width] or
            [1, channels, height, width].
        label: the true class, from 0 to classes - 1.

    Returns:
        Picture, values, gradients, weights, probabilities and loss. A sample of features is shown as a square picture
        where their number is a square, else as one row.

    Raises:
        ShapeError: x is not a batch of one, or the output is not [1, classes].
        IndexRangeError: the label is no class.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Linear(4, 3), cr.nn.ReLU(), cr.nn.Linear(3, 2))
        >>> states = layer_states(model, cr.ones((1, 4)), 1)
        >>> [(layer.name, layer.kind, layer.values.shape) for layer in states.layers]
        [('0', 'Linear', (3,)), ('1', 'ReLU', (3,)), ('2', 'Linear', (2,))]
        >>> states.picture.shape
        (2, 2)
    """
    x = _leaf(x)
    if x.ndim < 2 or x.shape[0] != 1:
        raise ShapeError(f"layer_states takes a batch of one, [1, ...]; got x of shape {x.shape}: write x[:1].")
    with evaluation(model), enable_grad():
        calls, logits = _record(model, x)
        if logits.ndim != 2:
            raise ShapeError(f"layer_states takes a model whose output is [1, classes]; this one gave {logits.shape}.")
        if not 0 <= label < logits.shape[1]:
            raise IndexRangeError(f"layer_states: label must be a class from 0 to {logits.shape[1] - 1}; got {label}.")
        loss = nn.functional.cross_entropy(logits, asarray([int(label)]))
        back = gradients([loss], [x, *(call.output for call in calls)])
    layers = [_state(call, gradient) for call, gradient in zip(calls, back[1:], strict=True)]
    scores = _floats(logits)[0]
    powers = np.exp(scores - scores.max())
    return LayerStates(
        label=int(label),
        picture=_picture(_floats(x)[0]),
        gradient=_picture(_gradient(back[0], x)[0]),
        probabilities=powers / powers.sum(),
        loss=float(loss.item()),
        layers=tuple(layers),
    )


def layer_rows(model: Module, x: Tensor | ArrayLike, labels: Tensor | ArrayLike) -> list[LayerRow]:
    """Return one row per layer: shape, parameters, norms of weights and gradients, share of dead units.

        loss = mean of cross_entropy(model(x), labels);   dead: 0 for every sample of x (asked of ReLU layers only)

    Args:
        model: a classifier whose output are logits [batch, classes].
        x: samples as the model takes them, [batch, ...].
        labels: the true classes, integers [batch].

    Returns:
        One row per call of a leaf module, in the order of the calls.

    Raises:
        ShapeError: x has no batch axis or no sample.

    Example:
        >>> import chainrule as cr
        >>> model = cr.nn.Sequential(cr.nn.Linear(4, 3), cr.nn.ReLU(), cr.nn.Linear(3, 2))
        >>> rows = layer_rows(model, cr.ones((5, 4)), cr.asarray([0, 1, 0, 1, 0]))
        >>> [(row.kind, row.shape, row.parameters) for row in rows]
        [('Linear(4, 3)', (3,), 15), ('ReLU()', (3,), 0), ('Linear(3, 2)', (2,), 8)]
    """
    x = _leaf(x)
    if not x.ndim or not x.shape[0]:
        raise ShapeError(f"layer_rows takes samples [batch, ...], at least one; got x of shape {x.shape}.")
    with evaluation(model), enable_grad():
        calls, logits = _record(model, x)
        loss = nn.functional.cross_entropy(logits, labels if isinstance(labels, Tensor) else asarray(labels))
        parameters = [p for call in calls for p in call.module.parameters() if p.requires_grad]
        found = gradients([loss], parameters) if parameters else []
    norms = {id(p): _norm([g]) for p, g in zip(parameters, found, strict=True) if g is not None}
    return [_row(call, norms) for call in calls]


def first_layer_pictures(model: Module, shape: tuple[int, int]) -> Floats | None:
    """Return the weights of the model's first Linear layer as one picture per unit.

    Args:
        model: the network.
        shape: height and width of the pictures that it takes, in pixels.

    Returns:
        float64 [units, height, width]; None if the first layer with weights is no Linear on height * width inputs.

    Example:
        >>> import chainrule as cr
        >>> first_layer_pictures(cr.nn.Sequential(cr.nn.Flatten(), cr.nn.Linear(6, 5)), (2, 3)).shape
        (5, 2, 3)
    """
    for _, module in model.named_modules():
        if not list(module.children()) and list(module.parameters()):
            if isinstance(module, nn.Linear) and module.weight.shape[1] == shape[0] * shape[1]:
                return _floats(module.weight).reshape(-1, *shape)
            return None
    return None


def _leaf(x: Tensor | ArrayLike) -> Tensor:
    """Return the samples as a new leaf that wants a gradient; the caller's tensor stays as it is."""
    return asarray(x.numpy() if isinstance(x, Tensor) else x).requires_grad_()


def _record(model: Module, x: Tensor) -> tuple[list[Call], Tensor]:
    """Run the model and return the calls of its leaf modules that gave a float tensor, and its output."""
    calls: list[Call] = []
    handles = []

    def watch(path: str) -> Any:
        def hook(module: Module, args: tuple, output: Any) -> None:
            if isinstance(output, Tensor) and output.dtype.is_float and output.requires_grad and output.ndim > 1:
                calls.append(Call(path, module, output))

        return hook

    try:
        for path, module in model.named_modules():
            if not list(module.children()):
                handles.append(module.register_forward_hook(watch(path)))
        return calls, model(x)
    finally:
        for handle in handles:
            handle.remove()


def _state(call: Call, gradient: Tensor | None) -> LayerState:
    values, slopes = _floats(call.output)[0], _gradient(gradient, call.output)[0]
    weights = _floats(call.module.weight) if isinstance(call.module, nn.Linear) and values.ndim == 1 else None
    kind = type(call.module).__name__
    return LayerState(call.path, kind, _units(values, np.mean), _units(slopes, np.sum), weights)


def _row(call: Call, norms: dict[int, float]) -> LayerRow:
    own = list(call.module.parameters())
    dead = None
    if isinstance(call.module, nn.ReLU):
        alive = np.stack([_units(sample, np.max) for sample in _floats(call.output)]) != 0  # [batch, units]
        dead = float(1 - alive.any(axis=0).mean())
    return LayerRow(
        name=call.path,
        kind=repr(call.module),
        shape=tuple(call.output.shape[1:]),
        parameters=sum(p.size for p in own if p.requires_grad),
        weight_norm=_norm(own) if own else None,
        gradient_norm=math.hypot(*(norms[id(p)] for p in own if id(p) in norms)) if own else None,
        dead=dead,
    )


def _units(sample: Floats, reduce: Any) -> Floats:
    """Return one number per unit of a sample's output: per channel of maps, per feature of sequences."""
    if sample.ndim == 1:
        return sample
    if sample.ndim == 2:
        return reduce(sample, axis=0)  # [time, features] -> [features]
    return reduce(sample, axis=tuple(range(1, sample.ndim)))  # [channels, ...] -> [channels]


def _picture(sample: Floats) -> Floats:
    """Return a sample as a picture: features become a square where their number is one, else a row."""
    if sample.ndim == 3 and sample.shape[0] == 1:
        return sample[0]
    if sample.ndim > 1:
        return sample
    side = math.isqrt(sample.size)
    return sample.reshape(side, side) if side * side == sample.size else sample[None]


def _gradient(gradient: Tensor | None, of: Tensor) -> Floats:
    """Return a gradient as an array; zeros where the loss does not depend on the tensor."""
    return np.zeros(of.shape) if gradient is None else _floats(gradient)


def _floats(tensor: Tensor) -> Floats:
    return np.asarray(tensor.numpy(), np.float64)


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.hypot(*(float(np.linalg.norm(_floats(tensor))) for tensor in tensors))

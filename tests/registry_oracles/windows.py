"""What convolutions and sliding windows are in PyTorch."""

from __future__ import annotations

import math
from typing import Any

import torch

functional = torch.nn.functional


def _convolution(x, w, *, stride, padding, dilation, groups):
    x = functional.pad(x, [n for pair in reversed(padding) for n in pair])
    run = (functional.conv1d, functional.conv2d, functional.conv3d)[len(stride) - 1]
    return run(x, w, None, stride, 0, dilation, groups)


def _convolution_input_gradient(dy, w, *, size, groups, **options):
    x = torch.zeros((dy.shape[0], w.shape[1] * groups, *size), dtype=torch.float64, requires_grad=True)
    y = _convolution(x, w.double(), groups=groups, **options)
    return torch.autograd.grad(y, x, dy.double(), create_graph=True)[0].to(dy.dtype)


def _convolution_weight_gradient(x, dy, *, size, groups, **options):
    w = torch.zeros((dy.shape[1], x.shape[1] // groups, *size), dtype=torch.float64, requires_grad=True)
    y = _convolution(x.double(), w, groups=groups, **options)
    return torch.autograd.grad(y, w, dy.double(), create_graph=True)[0].to(dy.dtype)


def _windows(x, *, size, stride, dilation):
    """All windows over the last axes: [*lead, *count, *size]."""
    lead = x.ndim - len(size)
    for axis, (k, s, d) in enumerate(zip(size, stride, dilation, strict=True)):
        x = x.unfold(lead + axis, d * (k - 1) + 1, s)[..., ::d]
    return x


def _window_sum(x, *, size, **options):
    found = _windows(x, size=size, **options)
    return found.flatten(found.ndim - len(size)).sum(-1) if size else found.clone()


def _transposed(function):
    """Return the transpose of a linear function of an array whose last axes are `shape`."""

    def transpose(y, *, shape, lead, **options):
        x = torch.zeros((*y.shape[:lead], *shape), dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(function(x, **options), x, y.double(), create_graph=True)[0].to(y.dtype)

    return transpose


def _overlap_add(x, *, shape, **options):
    lead = x.ndim - 2 * len(shape)
    return _transposed(_windows)(x, shape=shape, lead=lead, size=tuple(x.shape[x.ndim - len(shape) :]), **options)


def _window_spread(x, *, shape, **options):
    return _transposed(_window_sum)(x, shape=shape, lead=x.ndim - len(shape), **options)


def _window_pick(x, places, *, size, **_):
    n = len(size)
    return x.flatten(x.ndim - n).gather(-1, places.flatten(places.ndim - n)).reshape(places.shape)


def _window_place(x, places, *, shape, size, **_):
    n = len(size)
    lead = x.shape[: x.ndim - n]
    zero = torch.zeros((*lead, math.prod(shape)), dtype=x.dtype)
    return zero.scatter_add(-1, places.flatten(x.ndim - n), x.flatten(x.ndim - n)).reshape(*lead, *shape)


def _window_argmax(x, *, size, stride, dilation, padding):
    """The first largest element of each window that is not padding; NaN is the largest."""
    how = {"size": size, "stride": stride, "dilation": dilation}
    x = x.detach().double()
    plane = x.shape[x.ndim - len(size) :]
    flat = torch.arange(math.prod(plane), dtype=torch.float64).reshape(plane).broadcast_to(x.shape)
    border = [n for pair in reversed(padding) for n in pair]
    place = _windows(functional.pad(flat, border, value=-1.0), **how)
    place = place.flatten(place.ndim - len(size)) if size else place[..., None]
    value = _windows(functional.pad(x, border, value=-math.inf), **how).reshape(place.shape)
    top = value.amax(-1, keepdim=True)
    is_top = ((value == top) | (value.isnan() & top.isnan())) & (place >= 0)
    return place.gather(-1, is_top.int().argmax(-1, keepdim=True))[..., 0].long()


def _widening(function):
    """Return a function of two operands that are converted to `dtype` first, where it is given."""

    def wide(x1, x2, *, dtype=None, **options):
        operands = (x1, x2) if dtype is None else [x.to(getattr(torch, dtype.name)) for x in (x1, x2)]
        return function(*operands, **options)

    return wide


ORACLES: dict[str, Any] = {
    "convolution": _widening(_convolution),
    "convolution_input_gradient": _widening(_convolution_input_gradient),
    "convolution_weight_gradient": _widening(_convolution_weight_gradient),
    "overlap_add": _overlap_add,
    "window_argmax": _window_argmax,
    "window_pick": _window_pick,
    "window_place": _window_place,
    "window_spread": _window_spread,
    "window_sum": _window_sum,
    "windows": _windows,
}


def _without_channels(*arrays):
    return any(array.shape[1] == 0 for array in arrays)


CHOSEN: dict[str, list[tuple[Any, str]]] = {
    "convolution": [(_without_channels, "PyTorch loses the output channels of an image without channels")],
    "convolution_input_gradient": [(_without_channels, "PyTorch loses the output channels")],
    "convolution_weight_gradient": [(_without_channels, "PyTorch loses the output channels")],
}

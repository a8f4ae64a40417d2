"""Every primitive agrees with PyTorch in value and gradient, on each of its samples and edges, in float64.

`ORACLES` says what each primitive is in PyTorch; `WITHOUT` lists those that PyTorch does not have, and what checks them
instead. A primitive that stands in neither fails.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from chainrule.autodiff.backward import gradients
from chainrule.core.primitive import PRIMITIVES, Edge, Primitive, Sample
from chainrule.core.tensor import Tensor
from chainrule.testing import assert_close
from chainrule.testing._values import apply
from chainrule.testing.samples import differentiable, sample_tensors

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle
torch.set_num_threads(1)
functional = torch.nn.functional


# ---------------------------------------------------------------------------------------------------- what it is there
def _reduced(function):
    """Return a reduction that takes `axis` and `keepdims`; PyTorch reads dim=() as all axes, here it is none."""

    def reduce(x, *, axis, keepdims):
        return function(x, axis, keepdims) if axis else function(x[None], (0,), False)

    return reduce


def _prod(x, axis, keepdims):
    for a in sorted(axis, reverse=True):
        x = torch.prod(x, a, keepdim=keepdims)
    return x


def _fronted(x, axes):
    """Return x with the indexed axes first, and the order that puts them back."""
    order = [*axes, *(a for a in range(x.ndim) if a not in axes)]
    return x.permute(order), list(np.argsort(order))


def _gather(x, indices, *, axes):
    return _fronted(x, axes)[0][tuple(indices)]


def _scatter(accumulate):
    def scatter(x, indices, updates, *, axes):
        front, back = _fronted(x, axes)
        return front.index_put(tuple(indices), updates, accumulate=accumulate).permute(back)

    return scatter


def _slice(x, *, starts, limits, steps):
    return x[tuple(slice(*limit) for limit in zip(starts, limits, steps, strict=True))] if starts else x.clone()


def _update_slice(x, update, *, starts, steps):
    limits = [s + (n - 1) * k + 1 if n else s for s, n, k in zip(starts, update.shape, steps, strict=True)]
    x = x.clone()
    x[tuple(slice(*limit) for limit in zip(starts, limits, steps, strict=True))] = update
    return x


def _pad(x, *, low, high, interior):
    """Interior zeros first; a negative low or high cuts."""
    wide = [(n - 1) * (k + 1) + 1 if n else 0 for n, k in zip(x.shape, interior, strict=True)]
    out = x.new_zeros(wide)
    out[tuple(slice(None, None, k + 1) for k in interior)] = x
    return functional.pad(out, [n for pair in zip(reversed(low), reversed(high), strict=True) for n in pair])


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


def _dtype(dtype):
    return getattr(torch, dtype.name)


def _number(x):
    return x.int() if x.dtype == torch.bool else x


SAME_NAME = """
    abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift
    bitwise_xor ceil copysign cos cosh erf erfc exp expm1 floor greater greater_equal hypot isfinite isinf isnan less
    less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul maximum minimum
    multiply negative not_equal positive pow reciprocal relu remainder round rsqrt sigmoid sign signbit sin sinh sqrt
    square subtract tan tanh trunc where
"""
ORACLES: dict[str, Any] = {name: getattr(torch, name) for name in SAME_NAME.split()} | {
    "all": _reduced(torch.all),
    "any": _reduced(torch.any),
    "arange": lambda *, start, step, size, dtype: start + step * torch.arange(size, dtype=_dtype(dtype)),
    "argmax": lambda x, *, axis: torch.argmax(_number(x), axis),
    "argmin": lambda x, *, axis: torch.argmin(_number(x), axis),
    "argsort": lambda x, *, axis, descending: torch.argsort(x, dim=axis, descending=descending, stable=True),
    "astype": lambda x, *, dtype: x.to(_dtype(dtype)),
    "bitwise_invert": torch.bitwise_not,
    "broadcast_to": lambda x, *, shape: torch.broadcast_to(x, shape),
    "check_finite": lambda x, **_: x.clone(),
    "check_indices": lambda x, **_: x.clone(),
    "check_labels": lambda x, **_: x.clone(),
    "check_probabilities": lambda x, **_: x.clone(),
    "clip": torch.clamp,
    "concat": lambda *xs, axis: torch.cat(xs, axis),
    "convolution": _convolution,
    "convolution_input_gradient": _convolution_input_gradient,
    "convolution_weight_gradient": _convolution_weight_gradient,
    "cumulative_prod": lambda x, *, axis: torch.cumprod(x, axis),
    "cumulative_sum": lambda x, *, axis: torch.cumsum(x, axis),
    "divide": torch.true_divide,
    "equal": torch.eq,
    "floor_divide": lambda x1, x2: torch.floor_divide(x1.detach(), x2.detach()),  # it has no gradient there
    "flip": lambda x, *, axis: torch.flip(x, axis),
    "gather": _gather,
    "identity": torch.clone,
    "max": _reduced(torch.amax),
    "min": _reduced(torch.amin),
    "normal_quantile": torch.special.ndtri,
    "nextafter": lambda x1, x2, *, dtype: torch.nextafter(x1.to(_dtype(dtype)), x2.to(_dtype(dtype))),
    "one_hot": lambda x, *, num_classes, dtype: functional.one_hot(x.long(), num_classes).to(_dtype(dtype)),
    "pad": _pad,
    "permute_dims": lambda x, *, axes: x.permute(axes),
    "prod": _reduced(_prod),
    "reshape": lambda x, *, shape: x.reshape(shape),
    "scatter_add": _scatter(accumulate=True),
    "scatter_set": _scatter(accumulate=False),
    "searchsorted": lambda x1, x2, *, side: torch.searchsorted(x1, x2, side=side),
    "slice": _slice,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "sum": _reduced(torch.sum),
    "update_slice": _update_slice,
}

# Primitives that PyTorch does not have, and what checks them instead.
WITHOUT: dict[str, str] = {
    "random_bits": "Philox has its own known answers: tests/core/test_philox.py",
}


def _divides_by_zero(x1, x2):
    return x2.dtype.kind in "iu" and (x2 == 0).any()


def _repeated(x, indices, updates):
    return len(np.unique(indices % 3)) < indices.size


def _without_channels(*arrays):
    return any(array.shape[1] == 0 for array in arrays)


# primitive -> (which inputs, why): another value or gradient than PyTorch's was chosen there.
CHOSEN: dict[str, list[tuple[Any, str]]] = {
    "floor_divide": [(_divides_by_zero, "an integer divided by 0 is 0, as in NumPy; PyTorch raises ZeroDivisionError")],
    "remainder": [(_divides_by_zero, "the remainder by the integer 0 is 0, as in NumPy; PyTorch raises")],
    "logaddexp": [(lambda a, b: np.isneginf(a).all() and np.isneginf(b).all(), "equal shares; PyTorch gives NaN")],
    "hypot": [(lambda a, b: (a == 0).all() and (b == 0).all(), "a norm has gradient 0 at 0; PyTorch gives NaN")],
    "pow": [
        (lambda x, n: (x < 0).any(), "by the exponent of a negative base the gradient is 0; PyTorch gives NaN"),
        (lambda x, n: np.isnan(x).any() and (n == 0).all(), "x^0 is 1 for every x, with gradients 0"),
    ],
    "convolution": [(_without_channels, "PyTorch loses the output channels of an image without channels")],
    "convolution_input_gradient": [(_without_channels, "PyTorch loses the output channels")],
    "convolution_weight_gradient": [(_without_channels, "PyTorch loses the output channels")],
    "astype": [(lambda x: x.dtype.kind == "f" and (x < 0).any(), "a float below the range of uint8 gives 0")],
    "scatter_set": [(_repeated, "only the update that stays gets a gradient; PyTorch leaves repeats undefined")],
}


# ---------------------------------------------------------------------------------------------------- comparing
def _values_of(primitive: Primitive, inputs: list[Tensor], attributes: dict, covectors: list | None):
    """Return chainrule's outputs and the gradients of its differentiable inputs; None where nothing was recorded."""
    moving = differentiable(primitive, inputs)
    full = [x.detach().requires_grad_() if i in moving else x for i, x in enumerate(inputs)]
    outputs = apply(primitive, full, attributes)
    live = [out for out in outputs if out.requires_grad]
    if not live:
        return outputs, dict.fromkeys(moving)
    seeds = [Tensor(c) for c in covectors] if covectors else [Tensor(np.ones(out.shape)) for out in live]
    found = gradients(live, [full[i] for i in moving], seeds)
    return outputs, dict(zip(moving, found, strict=True))


def _theirs(primitive: Primitive, inputs: list[Tensor], attributes: dict, covectors: list | None):
    """Return PyTorch's outputs and gradients; None where it has no gradient."""
    full = [torch.from_numpy(np.array(x.numpy())) for x in inputs]
    for x in full:
        x.requires_grad_(x.dtype == torch.float64)
    outputs = ORACLES[primitive.name](*full, **attributes)
    outputs = outputs if primitive.multiple else (outputs,)
    live = [out for out in outputs if out.requires_grad]
    wanted = [x for x in full if x.requires_grad]
    found: dict[int, Any] = {}
    if live and wanted:
        seeds = [torch.from_numpy(c) for c in covectors] if covectors else [torch.ones_like(out) for out in live]
        grads = iter(torch.autograd.grad(live, wanted, seeds, allow_unused=True))
        found = {i: next(grads) for i, x in enumerate(full) if x.requires_grad}
    return outputs, found


def _compare(primitive: Primitive, item: Sample | Edge, number: int) -> None:
    inputs = sample_tensors(primitive, item, number)
    plain = apply(primitive, inputs, item.attributes)
    rng = np.random.default_rng(number)
    covectors = None
    if isinstance(item, Sample) and all(out.dtype.name == "float64" for out in plain):
        covectors = [np.asarray(rng.standard_normal(out.shape)) for out in plain]
    ours, our_gradients = _values_of(primitive, inputs, item.attributes, covectors)
    theirs, their_gradients = _theirs(primitive, inputs, item.attributes, covectors)
    what = f"{primitive.name} of {[str(x.tolist()) for x in inputs]}"
    for got, want in zip(ours, theirs, strict=True):
        values = want.detach().float() if want.dtype is torch.bfloat16 else want.detach()
        tolerance = 1e-10 if got.dtype.name == "float64" else None
        assert_close(got, values.numpy(), rtol=tolerance, atol=tolerance and 1e-12, what=what)
    for position, want in their_gradients.items():
        if want is None or position not in our_gradients:
            continue
        got = our_gradients[position]
        got = np.zeros(inputs[position].shape) if got is None else got
        assert_close(got, want.numpy(), rtol=1e-10, atol=1e-12, what=f"gradient {position}, {what}")


def _items(name: str) -> list[tuple[int, Sample | Edge]]:
    return [*enumerate(PRIMITIVES[name].samples), *enumerate(PRIMITIVES[name].edges)]


def _chosen(name: str, number: int, item: Sample | Edge) -> bool:
    """Return whether another result than PyTorch's was chosen for these inputs."""
    arrays = [x.numpy() for x in sample_tensors(PRIMITIVES[name], item, number)]
    return any(applies(*arrays) for applies, _ in CHOSEN.get(name, ()))


@pytest.mark.parametrize("name", [name for name in PRIMITIVES if name not in WITHOUT])
def test_primitive_agrees_with_pytorch(name):
    assert name in ORACLES, f"{name} is in neither table: say in ORACLES what it is in PyTorch, or in WITHOUT why not"
    for number, item in _items(name):
        if not _chosen(name, number, item):
            _compare(PRIMITIVES[name], item, number)


@pytest.mark.parametrize("name", CHOSEN)
def test_what_was_chosen_differs_from_pytorch(name):
    """An exception that agrees with PyTorch after all must leave the list."""
    items = [(number, item) for number, item in _items(name) if _chosen(name, number, item)]
    differing = 0
    for number, item in items:
        try:
            _compare(PRIMITIVES[name], item, number)
        except (AssertionError, RuntimeError):
            differing += 1
    assert differing >= len(CHOSEN[name])


def test_the_tables_name_only_primitives():
    assert set(ORACLES) | set(WITHOUT) | set(CHOSEN) <= set(PRIMITIVES)
    assert not set(ORACLES) & set(WITHOUT)


def test_the_comparison_notices_a_wrong_gradient(monkeypatch):
    monkeypatch.setitem(ORACLES, "exp", lambda x: torch.exp(x.detach()) + 0 * x)
    with pytest.raises(AssertionError, match=r"^gradient 0, exp of"):
        _compare(PRIMITIVES["exp"], PRIMITIVES["exp"].samples[1], 1)
    monkeypatch.setitem(ORACLES, "exp", functools.partial(torch.add, 1e-6))
    with pytest.raises(AssertionError, match=r"^exp of"):
        _compare(PRIMITIVES["exp"], PRIMITIVES["exp"].samples[1], 1)

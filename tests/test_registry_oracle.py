"""Every primitive agrees with PyTorch in value and gradient, on each of its samples and edges, in float64.

The files of tests/registry_oracles say what each primitive is in PyTorch (`ORACLES`), which ones PyTorch does not have
(`WITHOUT`), and where another result was chosen (`CHOSEN`). A primitive that stands nowhere fails.
"""

from __future__ import annotations

import functools
import importlib
import pathlib
from typing import Any

import numpy as np
import pytest

from chainrule.autodiff.backward import gradients
from chainrule.core.dtypes import bfloat16
from chainrule.core.primitive import PRIMITIVES, Edge, Primitive, Sample
from chainrule.core.tensor import Tensor
from chainrule.testing import assert_close
from chainrule.testing._values import apply
from chainrule.testing.samples import differentiable, sample_tensors

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle
torch.set_num_threads(1)


ORACLES: dict[str, Any] = {}
WITHOUT: dict[str, str] = {}
CHOSEN: dict[str, list[tuple[Any, str]]] = {}
for _path in sorted((pathlib.Path(__file__).parent / "registry_oracles").glob("*.py")):
    _tables = importlib.import_module(f"tests.registry_oracles.{_path.stem}")
    ORACLES |= _tables.ORACLES
    WITHOUT |= getattr(_tables, "WITHOUT", {})
    CHOSEN |= getattr(_tables, "CHOSEN", {})


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
    full = [_torch_tensor(x) for x in inputs]
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


def _torch_tensor(x: Tensor) -> Any:
    array = np.array(x.numpy())
    return torch.from_numpy(array.astype(np.float32)).bfloat16() if x.dtype is bfloat16 else torch.from_numpy(array)


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
    assert name in ORACLES, (
        f"{name} is in no table of tests/registry_oracles: say in ORACLES what it is in PyTorch, or in WITHOUT why not"
    )
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

"""A layer of chainrule beside the same layer of PyTorch: same state, same inputs, everything compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn

TOLERANCES = {"float64": (1e-10, 1e-11), "float32": (2e-4, 2e-5)}  # rtol, and atol relative to the largest element


def close(what: str, ours: Any, theirs: Any, dtype: str) -> None:
    """Compare a tensor with a tensor of PyTorch."""
    a, b = np.asarray(ours.numpy()), theirs.numpy(force=True)
    assert (a.dtype, a.shape) == (b.dtype, b.shape), what
    rtol, atol = TOLERANCES[dtype]
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol * max(1.0, np.abs(b).max(initial=0.0)), err_msg=what)


def same_state(ours: nn.Module, theirs: Any) -> None:
    """Give our module the state of PyTorch's; the names and their order are the same."""
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({name: value.numpy() for name, value in state.items()})


def compare_layer(
    torch: Any,
    ours: nn.Module,
    theirs: Any,
    *arrays: np.ndarray,
    dtype: str,
    training: bool = True,
    compiled: bool = False,
    steps: int = 2,
) -> None:
    """Compare outputs, gradients of inputs and parameters, and the state, over several steps on changing inputs."""
    ours.astype(dtype).train(training)
    theirs.to(getattr(torch, dtype)).train(training)
    same_state(ours, theirs)
    run = stepper(ours, compiled)
    for number in range(steps):
        values = [a.astype(dtype) * (1.0 + number) if a.dtype.kind == "f" else a for a in arrays]
        ts = [torch.tensor(v.astype(dtype), requires_grad=True) if v.dtype.kind == "f" else torch.tensor(v)
              for v in values]  # fmt: skip
        theirs.zero_grad()
        wanted = theirs(*ts)
        g = np.random.default_rng(7 + number).normal(size=tuple(wanted.shape)).astype(dtype)
        if wanted.requires_grad:
            wanted.backward(torch.from_numpy(g))
        y, gradients = run([cr.asarray(v.astype(dtype) if v.dtype.kind == "f" else v) for v in values], cr.asarray(g))
        close("output", y, wanted, dtype)
        expected = [t.grad for t in ts if t.grad is not None] + [p.grad for p in theirs.parameters()]
        assert len(gradients) == len(expected)
        for position, (mine, other) in enumerate(zip(gradients, expected, strict=True)):
            close(f"gradient {position}", mine, other, dtype)
        for name, value in theirs.state_dict().items():
            close(name, ours.state_dict()[name], value, dtype)


def stepper(module: nn.Module, compiled: bool) -> Callable[[list, cr.Tensor], tuple]:
    """Return a function of inputs and an upstream gradient: output, and gradients of inputs and parameters."""

    def step(inputs: list, g: cr.Tensor) -> tuple:
        xs = [x.detach().requires_grad_() if x.dtype.is_float else x for x in inputs]
        y = module(*xs)
        wanted = [x for x in (*xs, *module.parameters()) if x.requires_grad]
        return y, [found for found in cr.gradients([y], wanted, [g]) if found is not None]

    return cr.jit(step) if compiled else step
